//! `dtgate audit history`: what became of one token, from its creation to its removal.

mod hidden;
mod line;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::beside;
use super::opened::note;
use super::query::Form;
use super::source::Asking;
use super::table::{Table, terminal};
use super::times::{Shown, Span, Times};
use crate::audit::index::{Filter, Pattern};
use crate::cli::print_json;
use crate::trail::csv;
use crate::trail::history::{Found, Happened, MOST, steps};
use crate::value::Visible;
use hidden::Hidden;
use line::Line;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct History {
    /// Public id or name of the token
    #[arg(value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    token: String,
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    span: Span,
    /// Environment
    #[arg(long, value_name = "NAME")]
    environment: Vec<Pattern>,
    /// Show what was denied, and what changed nothing, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

impl History {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let source = self.from.find()?.open()?;
        let found = steps(&source, &self.token, &self.environment, MOST)?;
        found.missing().iter().for_each(|text| note(text));
        let shown = self.times.shown();
        let span = self.span.read(&shown)?;
        let has_gates = source.has_several_gates()?;
        let asked = Filter {
            since: span.0,
            until: span.1,
            environment: self.environment.clone(),
            ..Filter::default()
        };
        beside::say_of_history(&source, &asked, &self.token)?;
        let (mut lines, mut hidden) = (Vec::new(), Hidden::default());
        let mut tokens = found.tokens();
        let mut doubtful = BTreeSet::new();
        for step in &found.all {
            // What was before the time that is asked for tells which scopes there were.
            let seen = tokens.see(step);
            if !is_within(&step.cells.timestamp, span) {
                continue;
            }
            if step.happened == Happened::Perhaps {
                doubtful.insert(step.key.clone());
            }
            if let Some((ended, _)) = seen.found.as_ref().and_then(Found::ends) {
                doubtful.remove(&ended);
            }
            lines.extend(seen.found.map(Line::Found));
            let is_denied = step.cells.verdict != "allow";
            if self.all || !(is_denied || step.no_op) {
                lines.push(Line::Step(step, seen.after));
            } else if is_denied {
                hidden.denied += 1;
            } else {
                hidden.unchanging += 1;
            }
        }
        match self.format {
            Form::Json => {
                for line in &lines {
                    let mut json = line.to_json();
                    if let (true, Some(members)) = (source.is_store(), json.as_object_mut()) {
                        members.insert("gate".to_owned(), line.gate().into());
                    }
                    print_json(out, &json)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Form::Csv => {
                let gate = |gate: &str| source.is_store().then(|| Visible(gate).to_string());
                let with = |name: &str, cells: Vec<String>| {
                    gate(name).into_iter().chain(cells).collect::<Vec<_>>()
                };
                csv::line(out, &with("gate", line::titles()))?;
                for line in &lines {
                    csv::line(out, &with(line.gate(), line.cells()))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Form::Pretty => {}
        }
        if lines.is_empty() {
            let token = Visible(&self.token);
            let place = if source.is_store() {
                "store"
            } else {
                "journal"
            };
            writeln!(out, "No change of {token} is in the {place}.")?;
        } else {
            table(out, &lines, (has_gates, found.ids.len() > 1), &shown)?;
        }
        hidden.doubtful = doubtful.len();
        hidden.say(out)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One token can have had several ids, and one name several tokens, in several environments.
fn table(
    out: &mut impl Write,
    lines: &[Line<'_>],
    (has_gates, has_ids): (bool, bool),
    shown: &Shown,
) -> anyhow::Result<()> {
    let mut environments = lines.iter().map(Line::environment);
    let first = environments.next();
    let with = line::With {
        gates: has_gates,
        ids: has_ids,
        environments: environments.any(|it| Some(it) != first),
    };
    let mut table = Table::new(&line::columns(with));
    for line in lines {
        table.add(line.row(shown, with));
    }
    table.show(out, terminal())?;
    Ok(())
}

/// Whether a record is of the time that is asked for; one that has none is of every time.
fn is_within(timestamp: &str, (since, until): (Option<i64>, Option<i64>)) -> bool {
    let Ok(moment) = timestamp.parse::<jiff::Timestamp>() else {
        return true;
    };
    let ms = moment.as_millisecond();
    since.is_none_or(|since| ms >= since) && until.is_none_or(|until| ms < until)
}

const EXAMPLES: &str = "Example: who gave which scopes to the token payments-cd in November?
  dtgate audit history payments-cd --since 2026-11-01 --until 2026-12-01 --absolute";
