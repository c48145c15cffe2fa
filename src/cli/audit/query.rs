//! `dtgate audit query`: which decisions.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::beside;
use super::opened::note;
use super::source::{Asking, Before, Source};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use super::wanted::Wanted;
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found, Lines};
use crate::trail::ended::{Ended, How};
use crate::trail::read::{NotShown, each, record};
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
        How::Otherwise | How::NotYet => AnsiColor::Yellow.on_default(),
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
    let not_shown = each(source, decisions, |found, lines| {
        let Some(cells) = export::cells(source, found, lines) else {
            return Ok(false);
        };
        csv::line(out, &cells)?;
        Ok::<_, anyhow::Error>(true)
    })?;
    say(&not_shown);
    Ok(())
}

/// Reads how many are shown.
pub(super) fn at_least_one(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("write a number, 1 or more")
}

const EXAMPLES: &str = "Example: who gave which token the scope logs.read in the last week?
  dtgate audit query --added logs.read --decision allow --since 7d";
