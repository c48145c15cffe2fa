//! `dtgate audit history`: what became of one token, from its creation to its removal.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::{Value, json};

use super::opened::Place;
use super::query::{ended, record};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use crate::audit::index::{Filter, Index, Pattern};
use crate::audit::tail::Cells;
use crate::audit::{first_record, segments};
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
        let (mut rows, mut denied, mut unchanging) = (Vec::new(), 0_usize, 0_usize);
        for step in &steps {
            if step.happened != Happened::No {
                scopes = if step.is_masked() {
                    None
                } else {
                    step.scopes_after().or(scopes)
                };
            }
            let is_denied = step.cells.verdict != "allow";
            if self.all || !(is_denied || step.no_op) {
                rows.push((step, scopes.clone()));
            } else if is_denied {
                denied += 1;
            } else {
                unchanging += 1;
            }
        }
        let begins = begins(&self.place.journal)?;
        if self.format == Format::Json {
            for (step, scopes) in rows {
                print_json(out, &step.to_json(scopes.as_deref()))?;
            }
            if let Some(begins) = begins {
                super::opened::note(&begins);
            }
            return Ok(ExitCode::SUCCESS);
        }
        if rows.is_empty() {
            let token = Visible(&self.token);
            writeln!(out, "No change of {token} is in the journal.")?;
        } else {
            let mut titles = vec![("WHEN", 8), ("#", 4)];
            // One token can have had several ids, and one name several tokens.
            if ids.len() > 1 {
                titles.push(("TOKEN", 12));
            }
            titles.extend([("BY", 12), ("WHAT", 16), ("ANSWER", 6), ("RULES", 8)]);
            titles.push(("SCOPES AFTER IT", 12));
            let mut table = Table::new(&titles);
            for (step, scopes) in rows {
                table.add(step.row(&shown, scopes.as_deref(), ids.len() > 1));
            }
            table.show(out, terminal())?;
        }
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
        let denied = (denied > 0).then(|| counted(denied, "denied request"));
        let unchanging =
            (unchanging > 0).then(|| counted(unchanging, "request") + " that changed nothing");
        let hidden: Vec<String> = denied.into_iter().chain(unchanging).collect();
        if !hidden.is_empty() {
            writeln!(out, "Not shown: {}. --all shows them.", hidden.join(", "))?;
        }
        if let Some(begins) = begins {
            writeln!(out, "{begins}")?;
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

/// Says so, where older records are not there any more.
fn begins(journal: &Path) -> anyhow::Result<Option<String>> {
    let first = segments(journal)?
        .first()
        .and_then(|path| first_record(path));
    let first = first.filter(|first| *first > 1);
    Ok(first.map(|first| {
        format!("The journal begins with record {first}: what was before it was pruned, and is not shown.")
    }))
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

    /// Masks took away or replaced what tells the scopes.
    fn is_masked(&self) -> bool {
        let lists =
            ["erased", "masked"].map(|name| self.record.get(name).and_then(Value::as_array));
        let mut places = lists.into_iter().flatten().flatten();
        places.any(|place| {
            let place = place.as_str().unwrap_or_default();
            let scopes = "/input/change/scopes";
            place.starts_with(scopes) || scopes.starts_with(place)
        })
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
            let made = self.made.as_ref();
            let made = made.map_or_else(String::new, |id| format!(" as {}", Visible(id)));
            parts.push(format!("{word}{made}"));
        }
        parts.extend(self.cells.changes.iter().cloned());
        if parts.is_empty() {
            parts.push("changes nothing".to_owned());
        }
        let what = parts.join("; ");
        if self.cells.verdict == "allow" {
            what
        } else {
            format!("denied: {what}")
        }
    }

    /// The id of the token that it is about.
    fn about(&self) -> String {
        let id = self
            .record
            .pointer("/input/token/id")
            .and_then(Value::as_str);
        let id = id.or(self.made.as_deref()).unwrap_or_default();
        Visible(id).to_string()
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

    fn row(&self, shown: &Shown, scopes: Option<&[String]>, has_ids: bool) -> Vec<Cell> {
        let what = Cell {
            text: self.what(),
            style: match self.happened {
                Happened::Yes => Style::new(),
                Happened::No => Style::new().dimmed(),
                Happened::Perhaps => AnsiColor::Yellow.on_default(),
            },
        };
        let (answer, style) = self.answer.clone();
        let mut row = vec![
            Cell {
                text: shown.of(&self.cells.timestamp),
                style: Style::new().dimmed(),
            },
            self.cells.seq.to_string().into(),
        ];
        if has_ids {
            row.push(self.about().into());
        }
        row.extend([
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
        ]);
        row
    }

    fn to_json(&self, scopes: Option<&[String]>) -> Value {
        json!({
            "seq": self.cells.seq,
            "timestamp": self.cells.timestamp,
            "decision_id": self.cells.decision_id,
            "verdict": self.cells.verdict,
            "operation": self.cells.operation,
            "token": self.about(),
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
