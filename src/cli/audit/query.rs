//! `dtgate audit query`: which decisions.

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::opened::Place;
use super::table::{Cell, Table, terminal};
use super::times::Shown;
use crate::app;
use crate::audit::index::{Decided, Filter, Index, Pattern, Which};
use crate::audit::tail::Cells;
use crate::cli::when::{When, zone};
use crate::value::{Network, Visible, visible_json};

#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Wanted,
    /// Show COUNT decisions at most, the newest first
    #[arg(long, value_name = "COUNT", default_value = "100")]
    limit: NonZeroUsize,
    /// Only decisions older than record SEQ: the next page
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

/// Which decisions are meant.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Wanted {
    /// From then on: 7d (ago), 12h, 2026-11-01, 2026-11-01T08:00 (in --tz), 2026-11-01T08:00+01:00
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Public id of the caller's credential, or how it begins
    #[arg(long, value_name = "ID")]
    caller: Vec<String>,
    /// Subject, SPIFFE id or fingerprint of the caller's certificate (`*` at the end: how it begins)
    #[arg(long, value_name = "NAME")]
    certificate: Vec<Pattern>,
    /// Issuer or subject of the caller's JSON Web Token
    #[arg(long, value_name = "NAME")]
    claim: Vec<Pattern>,
    /// Team of the caller
    #[arg(long, value_name = "NAME")]
    team: Vec<Pattern>,
    /// Id or name of the token that a request is about, or that it made
    #[arg(long, value_name = "TOKEN")]
    token: Vec<Pattern>,
    /// Environment
    #[arg(long, value_name = "NAME")]
    environment: Vec<Pattern>,
    /// Operation, as `dtgate endpoints` names it: token.update, token.*
    #[arg(long, value_name = "NAME")]
    operation: Vec<Pattern>,
    /// Scope that was asked for
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Pattern>,
    /// Scope that the token would get, and has not
    #[arg(long, value_name = "SCOPE")]
    added: Vec<Pattern>,
    /// Scope that the token would lose
    #[arg(long, value_name = "SCOPE")]
    removed: Vec<Pattern>,
    /// Policy that objected or warned
    #[arg(long, value_name = "NAME")]
    policy: Vec<Pattern>,
    /// Code of an objection
    #[arg(long, value_name = "CODE")]
    code: Vec<Pattern>,
    /// allow, deny, or the id of a decision
    #[arg(long, value_name = "VERDICT|ID")]
    decision: Option<String>,
    /// How an allowed request ended
    #[arg(long, value_enum)]
    outcome: Option<Which>,
    /// Address of the client, or a network: 10.1.0.0/16
    #[arg(long, value_name = "ADDRESS")]
    client: Vec<Network>,
    /// Words that all stand in names, paths, messages and errors (`word*`: how one begins)
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Requests that change nothing, as Terraform sends them
    #[arg(long, value_enum, default_value_t = NoOp::Show)]
    no_op: NoOp,
}

/// How times are read and shown.
#[derive(Clone, Debug, Args)]
pub(super) struct Times {
    /// Zone of times: UTC, local, or a name such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    tz: TimeZone,
    /// Show whole times, and not how long ago
    #[arg(long)]
    absolute: bool,
}

/// What becomes of requests that change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NoOp {
    /// They are left out
    Hide,
    /// Nothing else is shown
    Only,
    /// They are shown like all others
    #[default]
    Show,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For spreadsheets
    Csv,
    /// For programs: a line for each decision, with its outcome
    Json,
    /// For people
    Pretty,
}

impl Times {
    pub(super) fn shown(&self) -> Shown {
        Shown {
            zone: self.tz.clone(),
            absolute: self.absolute,
            now: app::now(),
        }
    }
}

impl Wanted {
    pub(super) fn filter(&self, shown: &Shown) -> anyhow::Result<Filter> {
        let read = |when: Option<When>| {
            let moment = when.map(|when| when.moment(shown.now, &shown.zone));
            moment.transpose()
        };
        let since = read(self.since).context("--since")?;
        let until = read(self.until).context("--until")?;
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            bail!("--since is not before --until: nothing lies between");
        }
        let (allowed, id) = match self.decision.as_deref() {
            None => (None, None),
            Some("allow") => (Some(true), None),
            Some("deny") => (Some(false), None),
            Some(id) => (None, Some(id.to_owned())),
        };
        let wanted = self.clone();
        Ok(Filter {
            since: since.map(jiff::Timestamp::as_millisecond),
            until: until.map(jiff::Timestamp::as_millisecond),
            caller: wanted.caller,
            certificate: wanted.certificate,
            claim: wanted.claim,
            team: wanted.team,
            token: wanted.token,
            environment: wanted.environment,
            operation: wanted.operation,
            scope: wanted.scope,
            added: wanted.added,
            removed: wanted.removed,
            policy: wanted.policy,
            code: wanted.code,
            client: wanted.client,
            allowed,
            id,
            outcome: self.outcome,
            no_op: match self.no_op {
                NoOp::Hide => Some(false),
                NoOp::Only => Some(true),
                NoOp::Show => None,
            },
            text: wanted.text,
            before: None,
        })
    }
}

impl Query {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let shown = self.times.shown();
        let mut filter = self.which.filter(&shown)?;
        filter.before = self.before;
        let index = self.place.open()?;
        let page = index.find(&filter, self.limit.get())?;
        match self.format {
            Form::Pretty => pretty(out, &index, &page.decisions, &shown)?,
            Form::Json => {
                for decided in &page.decisions {
                    json(out, &index, decided)?;
                }
            }
            Form::Csv => csv(out, &index, &page.decisions)?,
        }
        if page.more
            && let Some(last) = page.decisions.last()
        {
            let more = format!(
                "there are older ones: --before {} shows them, --limit more at once",
                last.seq
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
pub(super) fn record(index: &Index, seq: Option<u64>) -> anyhow::Result<Option<Value>> {
    let line = seq.map(|seq| index.line(seq)).transpose()?.flatten();
    Ok(line.and_then(|line| serde_json::from_slice(&line).ok()))
}

fn pretty(
    out: &mut impl Write,
    index: &Index,
    decisions: &[Decided],
    shown: &Shown,
) -> anyhow::Result<()> {
    if decisions.is_empty() {
        writeln!(out, "No decision is like that.")?;
        return Ok(());
    }
    let mut table = Table::new(&[
        ("WHEN", 8),
        ("#", 4),
        ("", 5),
        ("OPERATION", 8),
        ("ENVIRONMENT", 7),
        ("TOKEN", 12),
        ("BY", 10),
        ("ANSWER", 6),
        ("WHAT", 12),
    ]);
    for decided in decisions {
        let Some(cells) = index.line(decided.seq)?.as_deref().and_then(Cells::of) else {
            continue;
        };
        let outcome = record(index, decided.outcome)?;
        let settled = record(index, decided.settled)?;
        let (answer, style) = ended(&cells, outcome.as_ref(), settled.as_ref());
        table.add(row(cells, shown, answer, style));
    }
    table.show(out, terminal())?;
    Ok(())
}

fn row(cells: Cells, shown: &Shown, answer: String, style: Style) -> Vec<Cell> {
    let (colour, mut what) = if cells.verdict == "allow" {
        (AnsiColor::Green, cells.changes)
    } else {
        let mut what = cells.objections;
        if what.is_empty() {
            what.push(cells.error);
        }
        (AnsiColor::Red, what)
    };
    what.retain(|part| !part.is_empty());
    let who = match (&*cells.who, &*cells.client) {
        ("", client) => client.to_owned(),
        (who, _) => who.to_owned(),
    };
    vec![
        Cell {
            text: shown.of(&cells.timestamp),
            style: Style::new().dimmed(),
        },
        cells.seq.to_string().into(),
        Cell {
            text: cells.verdict,
            style: colour.on_default(),
        },
        cells.operation.into(),
        cells.environment.into(),
        cells.target.into(),
        who.into(),
        Cell {
            text: answer,
            style,
        },
        what.join("; ").into(),
    ]
}

/// The records as they are in the journal.
fn json(out: &mut impl Write, index: &Index, decided: &Decided) -> anyhow::Result<()> {
    let Some(line) = index.line(decided.seq)? else {
        return Ok(());
    };
    let text = |seq: Option<u64>| {
        let line = seq.map(|seq| index.line(seq)).transpose()?.flatten();
        let line = line.map(|line| String::from_utf8_lossy(&line).into_owned());
        anyhow::Ok(line.unwrap_or_else(|| "null".to_owned()))
    };
    let (outcome, settled) = (text(decided.outcome)?, text(decided.settled)?);
    let line = format!(
        "{{\"no_op\":{},\"decision\":{},\"outcome\":{outcome},\"settled\":{settled}}}",
        decided.no_op,
        String::from_utf8_lossy(&line)
    );
    writeln!(out, "{}", visible_json(&line))?;
    Ok(())
}

fn csv(out: &mut impl Write, index: &Index, decisions: &[Decided]) -> anyhow::Result<()> {
    writeln!(
        out,
        "time,seq,decision_id,verdict,operation,environment,token,caller,client,what,objections,error,no_op,outcome,status,duration_ms,settled\r"
    )?;
    for decided in decisions {
        let Some(cells) = index.line(decided.seq)?.as_deref().and_then(Cells::of) else {
            continue;
        };
        let outcome = record(index, decided.outcome)?.unwrap_or_default();
        let settled = record(index, decided.settled)?.unwrap_or_default();
        let plain = |record: &Value, name: &str| match record.get(name) {
            Some(Value::String(text)) => Visible(text).to_string(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let cells = [
            cells.timestamp,
            cells.seq.to_string(),
            cells.decision_id,
            cells.verdict,
            cells.operation,
            cells.environment,
            cells.target,
            cells.who,
            cells.client,
            cells.changes.join("; "),
            cells.objections.join("; "),
            cells.error,
            decided.no_op.to_string(),
            plain(&outcome, "outcome"),
            plain(&outcome, "status"),
            plain(&outcome, "duration_ms"),
            plain(&settled, "found"),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        writeln!(out, "{}\r", cells.join(","))?;
    }
    Ok(())
}

/// A cell that no spreadsheet takes for a formula.
fn csv_cell(text: &str) -> String {
    // Blanks before it, and its wide forms, do not keep every spreadsheet from it.
    let is_formula = text.trim_start().starts_with([
        '=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]) && text.parse::<f64>().is_err()
        || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1", "' =1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("=A1;\"x\"", "\"'=A1;\"\"x\"\"\""),
            ("\tx", "'\tx"),
            ("-1.5", "-1.5"),
            ("-a, \"b\"", "\"'-a, \"\"b\"\"\""),
            ("a,b", "\"a,b\""),
        ] {
            assert_eq!(csv_cell(text), wanted);
        }
    }
}
