//! `dtgate audit settle`: what became of decisions in doubt.
//!
//! What a later record of the journal tells counts first. Else it looks the token up and compares. Nothing is guessed:
//! whatever else could explain what it sees, `unknown` is what it says. A person who knows better can say so.

mod doubt;
mod later;
mod lookup;
#[cfg(test)]
mod model;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use http::header::HeaderValue;
use serde_json::json;

use self::doubt::{Doubt, Looked, doubts as all_doubts};
use self::lookup::ask;
use super::opened::{Found, Place, note};
use super::source::Source;
use super::table::{Table, terminal};
use super::times::Times;
use crate::app;
use crate::audit::event::{self, Event, Settled};
use crate::audit::index::is_same_id;
use crate::audit::proof::Wanted;
use crate::audit::{self, OpenError};
use crate::cli::{Format, block_on, load, print_json};
use crate::config::Config;
use crate::value::{Duration, Visible, counted, rfc3339_millis, unread};

#[derive(Debug, Args)]
pub(in crate::cli) struct Settle {
    /// Only this decision: its id, or the number of its record: 22, '#22' [default: all that are in doubt]
    #[arg(value_name = "ID")]
    id: Option<Wanted>,
    #[command(flatten)]
    place: Place,
    /// Say what you found out elsewhere about the decision ID; nothing is looked up
    #[arg(long, value_enum, requires = "id", conflicts_with_all = ["token_env", "token_file"])]
    found: Option<Said>,
    /// How you found it out, for whoever reads the record
    #[arg(long, value_name = "TEXT", requires = "found")]
    note: Option<String>,
    /// Environment variable with a token that may read tokens (`apiTokens.read`)
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// File with such a token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write what was found into the journal; the gate has to be stopped
    #[arg(long)]
    apply: bool,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// What a person can say.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Said {
    /// It was carried out
    Done,
    /// It was not carried out
    #[value(name = "not_done")]
    NotDone,
}

impl Settle {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let place = self.place.find()?;
        let index = place.open()?;
        super::beside::gaps(&index.gaps(None, None)?);
        let source = |index| Source::Journal {
            index: Box::new(index),
            journal: place.journal.clone(),
        };
        let source_now = source(index);
        let mut doubts = self.wanted(all_doubts(&source_now)?)?;
        if !doubts.is_empty() {
            super::beside::keys(&source_now)?;
        }
        drop(source_now);
        let credential = self.credential()?;
        let config = load(self.place.config.as_ref())?;
        let mut held = None;
        if self.apply && !doubts.is_empty() {
            // Before anything is asked that could not be written then, and until it is written: a gate, or another one who
            // settles, would find out something else meanwhile.
            held = Some(hold(&place)?);
            doubts = self.wanted(all_doubts(&source(place.open()?))?)?;
        }
        let looked: Vec<Looked> = match (self.found, &credential) {
            (Some(said), _) => {
                let found = match said {
                    Said::Done => event::Found::Done,
                    Said::NotDone => event::Found::NotDone,
                };
                let note = self.note.as_deref();
                doubts.iter().map(|_| Looked::said(found, note)).collect()
            }
            (None, None) => doubts.iter().map(Doubt::unasked).collect(),
            (None, Some(credential)) => {
                block_on(async { Ok(look(&doubts, &config, credential, self.timeout).await) })?
            }
        };
        self.show(out, &doubts, &looked)?;
        let seen = || looked.iter().filter(|looked| looked.is_seen).count();
        if self.apply && seen() == 0 && credential.is_none() && !doubts.is_empty() {
            bail!(
                "--apply writes what was found, and nothing was: give a token by --token-env or --token-file, or say \
                 what you found by --found"
            );
        }
        let new = || {
            let all = doubts.iter().zip(&looked);
            all.filter(|(doubt, it)| it.is_seen && !doubt.is_told(it))
        };
        if let Some(held) = held.filter(|_| new().count() > 0) {
            let now = app::now();
            let events = new();
            let events = events.map(|(doubt, looked)| {
                Event::Settled(Settled {
                    timestamp: rfc3339_millis(now),
                    decision_id: doubt.cells.decision_id.clone(),
                    decision_seq: doubt.seq,
                    found: looked.found,
                    detail: looked.why.clone(),
                    by: looked.is_said.then_some("person"),
                })
            });
            let config = audit::Config {
                directory: place.journal.clone(),
                ..config.journal
            };
            audit::add(held, &config, events, app::now).map_err(|error| in_use(error, &place))?;
            let written = counted(new().count(), "record");
            note(&format!("{written} written"));
        } else if self.apply && seen() > 0 {
            note("nothing is written: the journal says the same of them already");
        }
        let failed = looked.len() - seen();
        if credential.is_some() && failed > 0 {
            let failed = counted(failed, "decision");
            note(&format!("{failed} could not be looked up"));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The decisions that are meant.
    fn wanted(&self, all: Vec<Doubt>) -> anyhow::Result<Vec<Doubt>> {
        let Some(wanted) = &self.id else {
            return Ok(all);
        };
        let is_meant = |doubt: &Doubt| match wanted {
            Wanted::Number(seq) => doubt.seq == *seq,
            Wanted::Decision(id) => is_same_id(&doubt.cells.decision_id, id),
        };
        let meant: Vec<Doubt> = all.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            let shown = match wanted {
                Wanted::Number(seq) => format!("of record {seq}"),
                Wanted::Decision(id) => Visible(id).to_string(),
            };
            bail!("the decision {shown} is not in doubt: dtgate audit settle lists those that are");
        }
        Ok(meant)
    }

    fn credential(&self) -> anyhow::Result<Option<HeaderValue>> {
        let token = match (&self.token_env, &self.token_file) {
            (Some(name), _) => {
                let token = std::env::var_os(name).and_then(|token| token.into_string().ok());
                token.ok_or_else(|| anyhow!("the environment variable {name} holds no token"))?
            }
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| anyhow!("{}: {}", path.display(), unread(&error)))?,
            (None, None) => return Ok(None),
        };
        let mut value = HeaderValue::try_from(format!("Api-Token {}", token.trim()))
            .map_err(|_secret| anyhow!("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn show(
        &self,
        out: &mut impl Write,
        doubts: &[Doubt],
        looked: &[Looked],
    ) -> anyhow::Result<()> {
        if self.format == Format::Json {
            for (doubt, looked) in doubts.iter().zip(looked) {
                let cells = &doubt.cells;
                print_json(
                    out,
                    &json!({
                        "decision_seq": doubt.number(), "decision_id": cells.decision_id,
                        "timestamp": cells.timestamp, "operation": cells.operation,
                        "environment": cells.environment, "token": cells.target,
                        "found": looked.found, "detail": looked.why,
                    }),
                )?;
            }
            return Ok(());
        }
        if doubts.is_empty() {
            writeln!(out, "No decision is in doubt.")?;
            return Ok(());
        }
        let mut table = Table::new(&[
            ("WHEN", 8),
            ("#", 4),
            ("OPERATION", 8),
            ("ENVIRONMENT", 7),
            ("TOKEN", 12),
            ("FOUND", 8),
            ("WHY", 16),
        ]);
        let shown = self.times.shown();
        for (doubt, looked) in doubts.iter().zip(looked) {
            let cells = &doubt.cells;
            let number = doubt.number().map(|seq| seq.to_string());
            table.add(vec![
                shown.of(&cells.timestamp).into(),
                number.unwrap_or_default().into(),
                cells.operation.clone().into(),
                cells.environment.clone().into(),
                cells.target.clone().into(),
                looked.found.as_str().into(),
                Visible(&looked.why).to_string().into(),
            ]);
        }
        table.show(out, terminal())?;
        Ok(())
    }
}

fn hold(place: &Found) -> anyhow::Result<audit::Directory> {
    audit::Directory::hold(&place.journal).map_err(|error| in_use(error, place))
}

fn in_use(error: OpenError, place: &Found) -> anyhow::Error {
    match error {
        OpenError::InUse(_) => anyhow!(
            "a gate writes the journal {}: stop it, or run this without --apply",
            place.journal.display()
        ),
        error => anyhow::Error::from(error).context("journal"),
    }
}

/// Looks every one of them up. Who does not answer at all is not asked again.
async fn look(
    doubts: &[Doubt],
    config: &Config,
    credential: &HeaderValue,
    within: Duration,
) -> Vec<Looked> {
    let mut silent: HashMap<&str, String> = HashMap::new();
    let mut looked = Vec::new();
    for doubt in doubts {
        if let Some(known) = doubt.known() {
            looked.push(known);
            continue;
        }
        let environment = &*doubt.cells.environment;
        looked.push(match (doubt.target(), silent.get(environment)) {
            (Err(why), _) => Looked::new(event::Found::Unknown, &why),
            (Ok(_), Some(why)) => Looked::not(why),
            (Ok(id), None) => match ask(config, environment, id, credential, within).await {
                Ok(token) => doubt.judged(token.as_ref(), app::now()),
                Err(failure) => {
                    let looked = Looked::not(&failure.why);
                    if failure.is_general {
                        silent.insert(environment, failure.why);
                    }
                    looked
                }
            },
        });
    }
    looked
}
