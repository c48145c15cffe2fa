//! `dtgate audit query`: which decisions.

use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::opened::note;
use super::source::{Asking, Before, Source};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use super::wanted::Wanted;
use super::{beside, csv};
use crate::audit::Ending;
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found, Lines};
use crate::trail::ended::{Ended, How, ending};
use crate::trail::read::{NotShown, each, record};
use crate::trail::told::{self, Token, Who, asked, scopes};
use crate::value::{Visible, visible_json};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Query {
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    which: Wanted,
    /// Show COUNT decisions at most, the newest first
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = at_least_one)]
    limit: usize,
    /// Only decisions older than record SEQ: the next page. Of several gates: TIME/GATE/SEQ
    #[arg(long, value_name = "SEQ")]
    before: Option<Before>,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For spreadsheets
    Csv,
    /// For programs
    Json,
    /// For people
    Pretty,
}

impl Query {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let shown = self.times.shown();
        let there = self.from.find()?;
        let filter = self.which.filter(&shown, there.keys())?;
        let source = there.open()?;
        beside::say(&source, &filter)?;
        beside::left_out(&source, &filter)?;
        let page = source.find(&filter, self.before.as_ref(), self.limit)?;
        match self.format {
            Form::Pretty => pretty(out, &source, &page.decisions, &shown)?,
            Form::Json => say(&each(&source, &page.decisions, |found, lines| {
                json(out, &source, found, lines)
            })?),
            Form::Csv => rows(out, &source, &page.decisions)?,
        }
        if page.more
            && let Some(last) = page.decisions.last()
        {
            let more = format!(
                "there are older ones: --before {} shows them, --limit more at once",
                source.next(last)
            );
            note(&more);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How an ending looks in a terminal.
pub(super) fn style(ended: &Ended) -> Style {
    match ended.how {
        How::Well => Style::new(),
        How::Otherwise => AnsiColor::Yellow.on_default(),
        How::InDoubt => AnsiColor::Red.on_default(),
    }
}

/// Says which decisions could not be shown.
pub(super) fn say(not_shown: &NotShown) {
    if let Some(text) = not_shown.said() {
        note(&text);
    }
}

fn pretty(
    out: &mut impl Write,
    source: &Source,
    decisions: &[Found],
    shown: &Shown,
) -> anyhow::Result<()> {
    if decisions.is_empty() {
        writeln!(out, "No decision matches.")?;
        return Ok(());
    }
    let has_gates = source.has_several_gates()?;
    let mut columns = vec![("WHEN", 10)];
    columns.extend(has_gates.then_some(("GATE", 6)));
    columns.extend([
        ("#", 4),
        ("VERDICT", 5),
        ("OPERATION", 8),
        ("ENVIRONMENT", 7),
        ("TOKEN", 12),
        ("BY", 10),
        ("ANSWER", 6),
        ("WHAT", 12),
    ]);
    let mut table = Table::new(&columns);
    let not_shown = each(source, decisions, |found, lines| {
        let line = lines.decision.as_deref().unwrap_or_default();
        let Some(cells) = Cells::of(line) else {
            return Ok(false);
        };
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let ended = Ended::of(&cells, outcome.as_ref(), settled.as_ref());
        let style = style(&ended);
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        let token = Token::of(&told, outcome.as_ref());
        let who = Who::of(&told).short();
        let otherwise = record(lines.challenger.as_ref()).map(|it| Otherwise::of(&it).short());
        let mut row = row(cells, shown, &token, who, (ended.text, style), otherwise);
        if has_gates {
            row.insert(1, Visible(&found.gate).to_string().into());
        }
        table.add(row);
        Ok::<_, anyhow::Error>(true)
    })?;
    say(&not_shown);
    table.leave_out_same("ENVIRONMENT");
    table.show(out, terminal())?;
    Ok(())
}

fn row(
    cells: Cells,
    shown: &Shown,
    token: &Token,
    who: String,
    (answer, style): (String, Style),
    otherwise: Option<String>,
) -> Vec<Cell> {
    let verdict = if cells.grant.is_empty() {
        cells.verdict.clone()
    } else {
        "granted".to_owned()
    };
    let (colour, mut what) = if !cells.grant.is_empty() {
        let what = [cells.changes, cells.objections, vec![cells.grant]];
        (AnsiColor::Yellow, what.concat())
    } else if cells.verdict == "allow" {
        (AnsiColor::Green, cells.changes)
    } else {
        let mut what = cells.objections;
        if what.is_empty() {
            what.push(cells.error);
        }
        (AnsiColor::Red, what)
    };
    let new = token.created();
    if new.is_none() && !token.made.is_empty() {
        what.push(format!("made {}", token.made));
    }
    what.extend(otherwise);
    what.retain(|part| !part.is_empty());
    vec![
        Cell {
            text: shown.of(&cells.timestamp),
            style: Style::new().dimmed(),
        },
        cells.seq.to_string().into(),
        Cell {
            text: verdict,
            style: colour.on_default(),
        },
        cells.operation.into(),
        cells.environment.into(),
        new.unwrap_or(cells.target).into(),
        who.into(),
        Cell {
            text: answer,
            style,
        },
        what.join("; ").into(),
    ]
}

/// A record as it was written. What is none may stand in a store: it is shown as a text, so that it cannot pass for
/// another member, or for another line.
pub(super) fn one_line(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let is_line = !text.contains(['\n', '\r']);
    if is_line && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        text
    } else {
        Cow::Owned(Value::from(&*text).to_string())
    }
}

/// The records as they are in the journal.
fn json(
    out: &mut impl Write,
    source: &Source,
    found: &Found,
    lines: &Lines,
) -> anyhow::Result<bool> {
    let Some(line) = &lines.decision else {
        return Ok(false);
    };
    let [outcome, settled, challenger] = [&lines.outcome, &lines.settled, &lines.challenger]
        .map(|line| line.as_deref().map_or(Cow::Borrowed("null"), one_line));
    let gate = if source.is_store() {
        format!("\"gate\":{},", Value::from(&*found.gate))
    } else {
        String::new()
    };
    let line = format!(
        "{{{gate}\"no_op\":{},\"decision\":{},\"outcome\":{outcome},\"settled\":{settled},\"challenger\":{challenger}}}",
        found.decided.no_op,
        one_line(line)
    );
    writeln!(out, "{}", visible_json(&line))?;
    Ok(true)
}

fn rows(out: &mut impl Write, source: &Source, decisions: &[Found]) -> anyhow::Result<()> {
    let gate: &[&str] = if source.is_store() { &["gate"] } else { &[] };
    let titles = [gate, &TITLES[..], &told::TITLES, &MORE].concat();
    csv::line(
        out,
        &titles.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
    )?;
    let not_shown = each(source, decisions, |found, lines| {
        let line = lines.decision.as_deref().unwrap_or_default();
        let Some(cells) = Cells::of(line) else {
            return Ok(false);
        };
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let otherwise = record(lines.challenger.as_ref());
        let otherwise = otherwise.as_ref().map(Otherwise::of).unwrap_or_default();
        let token = Token::of(&told, outcome.as_ref());
        let how = how_ended(&cells, outcome.as_ref(), settled.as_ref());
        let plain = |record: Option<&Value>, name: &str| match record.map(|it| &it[name]) {
            Some(Value::String(text)) => Visible(text).to_string(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let token_id = token.any_id().to_owned();
        let first = [
            cells.timestamp,
            cells.seq.to_string(),
            cells.decision_id,
            cells.verdict.clone(),
            cells.operation,
            cells.environment,
            token_id,
            token.name,
            token.made,
        ];
        let rest = [
            told::text(&told, "/request/path"),
            scopes(&told, "requested").join(" "),
            scopes(&told, "added").join(" "),
            scopes(&told, "removed").join(" "),
            asked(&cells.changes, cells.verdict == "allow").join("; "),
            cells.objections.join("; "),
            cells.error,
            told::text(&told, "/bundles/policies/revision"),
            found.decided.no_op.to_string(),
            how,
            plain(outcome.as_ref(), "status"),
            plain(outcome.as_ref(), "duration_ms"),
            plain(settled.as_ref(), "found"),
            cells.grant,
            otherwise.differs,
            otherwise.objections.join("; "),
        ];
        let who = Who::of(&told).cells();
        let gate = source.is_store().then(|| Visible(&found.gate).to_string());
        let gate: Vec<String> = gate.into_iter().collect();
        csv::line(out, &[&gate, &first[..], &who, &rest].concat())?;
        Ok::<_, anyhow::Error>(true)
    })?;
    say(&not_shown);
    Ok(())
}

/// How an allowed request ended, as `stats --by outcome` counts it.
fn how_ended(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> String {
    let found = settled.and_then(|it| it["found"].as_str());
    let word = match outcome.map(ending) {
        _ if cells.verdict != "allow" => "",
        Some(Ending::Done | Ending::Refused) => "answered",
        Some(Ending::NotSent) => "failed",
        _ if found.is_some_and(|found| found != "unknown") => "settled",
        _ => "in doubt",
    };
    word.to_owned()
}

/// Reads how many are shown.
pub(super) fn at_least_one(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("write a number, 1 or more")
}

/// Of the columns for spreadsheets: before those of the caller.
const TITLES: [&str; 9] = [
    "time",
    "seq",
    "decision_id",
    "verdict",
    "operation",
    "environment",
    "token_id",
    "token_name",
    "made_id",
];

/// Behind them.
const MORE: [&str; 16] = [
    "path",
    "scopes_requested",
    "scopes_added",
    "scopes_removed",
    "what",
    "objections",
    "error",
    "revision",
    "no_op",
    "outcome",
    "status",
    "duration_ms",
    "settled",
    "grant",
    "challenger",
    "challenger_objections",
];

const EXAMPLES: &str = "Example: who gave which token the scope logs.read in the last week?
  dtgate audit query --added logs.read --decision allow --since 7d";
