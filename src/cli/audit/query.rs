//! `dtgate audit query`: which decisions.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::beside;
use super::beside::NotShown;
use super::source::{Asking, Before, Source};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use super::wanted::Wanted;
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found, Lines};
use crate::trail::told::{Token, Who};
use crate::trail::{csv, export};
use crate::value::Visible;

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
        let page = source.find(&filter, self.before.as_ref(), self.limit)?;
        match self.format {
            Form::Pretty => pretty(out, &source, &page.decisions, &shown)?,
            Form::Json => each(&source, &page.decisions, |found, lines| {
                json(out, &source, found, lines)
            })?
            .say(),
            Form::Csv => rows(out, &source, &page.decisions)?,
        }
        if page.more
            && let Some(last) = page.decisions.last()
        {
            let more = format!(
                "there are older ones: --before {} shows them, --limit more at once",
                source.next(last)
            );
            super::opened::note(&more);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How an allowed request ended, in a word or two.
pub(super) fn ended(
    cells: &Cells,
    outcome: Option<&Value>,
    settled: Option<&Value>,
) -> (String, Style) {
    let red = AnsiColor::Red.on_default();
    if let Some(found) = settled.and_then(|record| record["found"].as_str()) {
        return (
            format!("settled: {}", Visible(found)),
            AnsiColor::Yellow.on_default(),
        );
    }
    let Some(outcome) = outcome else {
        return match &*cells.verdict {
            "allow" => ("in doubt".to_owned(), red),
            _ => (String::new(), Style::new()),
        };
    };
    match (outcome["outcome"].as_str(), outcome["status"].as_u64()) {
        (Some("answered"), Some(status)) if status < 400 => (status.to_string(), Style::new()),
        (Some("answered"), Some(status)) => (status.to_string(), AnsiColor::Yellow.on_default()),
        (Some("failed"), _) => ("not sent".to_owned(), AnsiColor::Yellow.on_default()),
        _ => ("in doubt".to_owned(), red),
    }
}

/// A record that belongs to a decision.
pub(super) fn record(line: Option<&Vec<u8>>) -> Option<Value> {
    line.and_then(|line| serde_json::from_slice(line).ok())
}

/// Every decision with its lines, of which some are read at a time. `see` says whether it could be shown; those that could
/// not are given back.
pub(super) fn each(
    source: &Source,
    decisions: &[Found],
    mut see: impl FnMut(&Found, &Lines) -> anyhow::Result<bool>,
) -> anyhow::Result<NotShown> {
    let mut not_shown = NotShown::default();
    let mut rest = decisions;
    while !rest.is_empty() {
        let (some, behind) = rest.split_at(source.at_once(rest)?);
        for (found, lines) in some.iter().zip(source.lines(some)?) {
            if !see(found, &lines)? {
                not_shown.add(found.decided.seq);
            }
        }
        rest = behind;
    }
    Ok(not_shown)
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
    each(source, decisions, |found, lines| {
        let line = lines.decision.as_deref().unwrap_or_default();
        let Some(cells) = Cells::of(line) else {
            return Ok(false);
        };
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let (answer, style) = ended(&cells, outcome.as_ref(), settled.as_ref());
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        let token = Token::of(&told, outcome.as_ref());
        let who = Who::of(&told).short();
        let otherwise = record(lines.challenger.as_ref()).map(|it| Otherwise::of(&it).short());
        let mut row = row(cells, shown, &token, who, (answer, style), otherwise);
        if has_gates {
            row.insert(1, Visible(&found.gate).to_string().into());
        }
        table.add(row);
        Ok(true)
    })?
    .say();
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

/// The records as they are in the journal.
fn json(
    out: &mut impl Write,
    source: &Source,
    found: &Found,
    lines: &Lines,
) -> anyhow::Result<bool> {
    let Some(line) = export::json(source, found, lines) else {
        return Ok(false);
    };
    writeln!(out, "{line}")?;
    Ok(true)
}

fn rows(out: &mut impl Write, source: &Source, decisions: &[Found]) -> anyhow::Result<()> {
    csv::line(out, &export::titles(source))?;
    each(source, decisions, |found, lines| {
        let Some(cells) = export::cells(source, found, lines) else {
            return Ok(false);
        };
        csv::line(out, &cells)?;
        Ok(true)
    })?
    .say();
    Ok(())
}

/// Reads how many are shown.
pub(super) fn at_least_one(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("write a number, 1 or more")
}

const EXAMPLES: &str = "Example: who gave which token the scope logs.read in the last week?
  dtgate audit query --added logs.read --decision allow --since 7d";
