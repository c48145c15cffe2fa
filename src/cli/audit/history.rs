//! `dtgate audit history`: what became of one token, from its creation to its removal.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::{Value, json};

use super::opened::Place;
use super::query::{Times, ended, record};
use super::table::{Cell, Table, terminal};
use super::times::Shown;
use crate::audit::index::{Filter, Index, Pattern};
use crate::audit::tail::Cells;
use crate::cli::{Format, print_json};
use crate::value::{Visible, counted};

#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    /// Public id or name of the token
    #[arg(value_name = "TOKEN")]
    token: String,
    #[command(flatten)]
    place: Place,
    /// Show what was denied, and what changed nothing, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// One change, or what was asked.
struct Step {
    cells: Cells,
    record: Value,
    answer: (String, Style),
    /// It came about, as far as anybody knows.
    happened: Happened,
    made: Option<String>,
    no_op: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Yes,
    No,
    Perhaps,
}

impl History {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let index = self.place.open()?;
        let (ids, steps) = self.steps(&index)?;
        let shown = self.times.shown();
        let mut scopes: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        for step in &steps {
            if step.happened != Happened::No {
                scopes = step.scopes_after().or(scopes);
            }
            let is_shown = self.all || (step.cells.verdict == "allow" && !step.no_op);
            if is_shown {
                rows.push((step, scopes.clone()));
            }
        }
        if self.format == Format::Json {
            for (step, scopes) in rows {
                print_json(out, &step.to_json(scopes.as_deref()))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if rows.is_empty() {
            writeln!(
                out,
                "No change of {} is in the journal.",
                Visible(&self.token)
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        if ids.len() > 1 {
            let ids: Vec<String> = ids.iter().map(|id| Visible(id).to_string()).collect();
            writeln!(out, "Ids: {}", ids.join(", "))?;
        }
        let mut table = Table::new(&[
            ("WHEN", 8),
            ("#", 4),
            ("BY", 12),
            ("WHAT", 16),
            ("ANSWER", 6),
            ("RULES", 8),
            ("SCOPES AFTER IT", 12),
        ]);
        for (step, scopes) in rows {
            table.add(step.row(&shown, scopes.as_deref()));
        }
        table.show(out, terminal())?;
        let doubtful = steps
            .iter()
            .filter(|step| step.happened == Happened::Perhaps);
        let doubtful = doubtful.count();
        if doubtful > 0 {
            writeln!(
                out,
                "{} in doubt: dtgate audit settle looks what became of them.",
                counted(doubtful, "change")
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Everything about the token, the oldest first, and the ids that it had.
    fn steps(&self, index: &Index) -> anyhow::Result<(BTreeSet<String>, Vec<Step>)> {
        let mut names = BTreeSet::from([self.token.clone()]);
        let mut seqs = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut steps = Vec::new();
        loop {
            let filter = Filter {
                token: names.iter().cloned().map(Pattern::Exactly).collect(),
                ..Filter::default()
            };
            let known = names.len();
            for decided in index.find(&filter, MOST)?.decisions {
                if !seqs.insert(decided.seq) {
                    continue;
                }
                let Some(step) = Step::read(index, &decided)? else {
                    continue;
                };
                // What was denied gave no name to anything.
                if step.cells.verdict == "allow" {
                    let about = step
                        .record
                        .pointer("/input/token/id")
                        .and_then(Value::as_str);
                    ids.extend(about.map(str::to_owned));
                    ids.extend(step.made.clone());
                }
                steps.push(step);
            }
            // Rotation gives a new id: what has it is the same token.
            let more = ids.iter().filter(|id| !id.is_empty()).cloned();
            names.extend(more.take(MOST_IDS));
            if names.len() == known {
                break;
            }
        }
        steps.sort_by_key(|step| step.cells.seq);
        Ok((ids, steps))
    }
}

impl Step {
    fn read(index: &Index, decided: &crate::audit::index::Decided) -> anyhow::Result<Option<Self>> {
        let Some(line) = index.line(decided.seq)? else {
            return Ok(None);
        };
        let Some(cells) = Cells::of(&line) else {
            return Ok(None);
        };
        let outcome = record(index, decided.outcome)?;
        let settled = record(index, decided.settled)?;
        let answer = ended(&cells, outcome.as_ref(), settled.as_ref());
        let made = outcome
            .as_ref()
            .and_then(|it| it.pointer("/credential/id")?.as_str());
        Ok(Some(Self {
            record: serde_json::from_slice(&line).unwrap_or_default(),
            happened: happened(&cells, outcome.as_ref(), settled.as_ref()),
            made: made.map(str::to_owned),
            no_op: decided.no_op,
            cells,
            answer,
        }))
    }

    /// The scopes that the token has then; `None`: the same as before.
    fn scopes_after(&self) -> Option<Vec<String>> {
        if self.cells.operation.ends_with(".delete") {
            return Some(Vec::new());
        }
        let at = |pointer: &str| {
            let list = self.record.pointer(pointer)?.as_array()?;
            let texts = list.iter().filter_map(Value::as_str);
            Some(texts.map(|text| Visible(text).to_string()).collect())
        };
        at("/input/change/scopes/requested").or_else(|| at("/input/change/scopes/current"))
    }

    /// What was done, in a few words.
    fn what(&self) -> String {
        let word = match self.cells.operation.rsplit('.').next() {
            Some("create") => "created",
            Some("delete") => "removed",
            Some("update") => "",
            _ => &self.cells.operation,
        };
        let mut parts: Vec<String> = Vec::new();
        if !word.is_empty() {
            parts.push(word.to_owned());
        }
        parts.extend(self.cells.changes.iter().cloned());
        if let Some(made) = &self.made {
            parts.push(format!("as {}", Visible(made)));
        }
        if self.cells.verdict != "allow" {
            parts.insert(0, "denied:".to_owned());
        }
        if parts.is_empty() {
            parts.push("changes nothing".to_owned());
        }
        parts.join(" ")
    }

    fn who(&self) -> String {
        match &*self.cells.who {
            "" => self.cells.client.clone(),
            who => who.to_owned(),
        }
    }

    /// Under which policies, and what they had to say.
    fn rules(&self) -> String {
        let revision = self.record.pointer("/bundles/policies/revision");
        let revision = revision.and_then(Value::as_str).unwrap_or_default();
        let short: String = revision.chars().take(8).collect();
        let mut parts = vec![Visible(short).to_string()];
        parts.extend(self.cells.objections.iter().cloned());
        parts.join("; ")
    }

    fn row(&self, shown: &Shown, scopes: Option<&[String]>) -> Vec<Cell> {
        let what = Cell {
            text: self.what(),
            style: match self.happened {
                Happened::Yes => Style::new(),
                Happened::No => Style::new().dimmed(),
                Happened::Perhaps => AnsiColor::Yellow.on_default(),
            },
        };
        let (answer, style) = self.answer.clone();
        vec![
            Cell {
                text: shown.of(&self.cells.timestamp),
                style: Style::new().dimmed(),
            },
            self.cells.seq.to_string().into(),
            self.who().into(),
            what,
            Cell {
                text: if self.cells.verdict == "allow" {
                    answer
                } else {
                    "denied".to_owned()
                },
                style,
            },
            self.rules().into(),
            match scopes {
                None => "not known".to_owned(),
                Some([]) => "none".to_owned(),
                Some(scopes) if self.happened == Happened::Perhaps => {
                    format!("{}, if it was carried out", scopes.join(", "))
                }
                Some(scopes) => scopes.join(", "),
            }
            .into(),
        ]
    }

    fn to_json(&self, scopes: Option<&[String]>) -> Value {
        json!({
            "seq": self.cells.seq,
            "timestamp": self.cells.timestamp,
            "decision_id": self.cells.decision_id,
            "verdict": self.cells.verdict,
            "operation": self.cells.operation,
            "caller": self.who(),
            "what": self.what(),
            "answer": self.answer.0,
            "happened": match self.happened {
                Happened::Yes => Value::Bool(true),
                Happened::No => Value::Bool(false),
                Happened::Perhaps => Value::Null,
            },
            "revision": self.record.pointer("/bundles/policies/revision"),
            "objections": self.cells.objections,
            "scopes_after": scopes,
        })
    }
}

fn happened(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> Happened {
    if cells.verdict != "allow" {
        return Happened::No;
    }
    match settled.and_then(|record| record["found"].as_str()) {
        Some("done") => return Happened::Yes,
        Some("not_done") => return Happened::No,
        _ => {}
    }
    match outcome.map(|outcome| (outcome["outcome"].as_str(), outcome["status"].as_u64())) {
        Some((Some("answered"), Some(..400))) => Happened::Yes,
        Some((Some("answered" | "failed"), _)) => Happened::No,
        _ => Happened::Perhaps,
    }
}

/// Decisions of one token.
const MOST: usize = 100_000;
/// Ids that one token can have had.
const MOST_IDS: usize = 64;
