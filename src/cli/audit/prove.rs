//! `dtgate audit prove` and `check-proof`: one record with its evidence, in a file of its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::expect_journal;
use super::opened::{Journal, note};
use super::source::Source;
use super::store::{self, StoreArgs};
use super::trusted::{self, KeyOrFile};
use crate::audit::proof::{self, Checked, Proof, ProveError, Wanted};
use crate::audit::tail::render;
use crate::audit::{first_record, segments};
use crate::cli::{Format, print_json};
use crate::store::{Config, ProofError};
use crate::value::{Visible, counted, rfc3339_millis, unread};

#[derive(Debug, Args)]
pub(in crate::cli) struct Prove {
    /// The id of a decision, or the number of a record: 22, '#22'
    #[arg(value_name = "ID")]
    id: Wanted,
    #[command(flatten)]
    place: Journal,
    #[command(flatten)]
    store: StoreArgs,
    /// A record of this gate
    #[arg(long, value_name = "NAME", requires = "store")]
    gate: Option<String>,
    /// Write the proof into this file [default: to standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckProof {
    /// What `audit prove` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The key that signs the journal's checkpoints, or a file with such keys; may stand several times
    #[arg(long, value_name = "KEY|FILE", required = true)]
    key: Vec<KeyOrFile>,
    /// The key of a witness, or a file with such keys: one of them has to have confirmed the checkpoint
    #[arg(long, value_name = "KEY|FILE")]
    witness: Vec<KeyOrFile>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Prove {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let proof = match self.store.config(self.place.config.as_ref())? {
            Some(config) => self.of_store(&config)?,
            None => self.of_journal()?,
        };
        match &self.output {
            None => write!(out, "{proof}")?,
            Some(path) => {
                std::fs::write(path, proof.to_string())
                    .with_context(|| format!("{}", path.display()))?;
                let (seq, path) = (proof.seq(), path.display());
                note(&format!("record {seq} and its evidence are in {path}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Prove {
    fn of_journal(&self) -> anyhow::Result<Proof> {
        let journal = &self.place.find()?;
        expect_journal(journal)?;
        match proof::prove(journal, &self.id) {
            Err(ProveError::Gone) => Err(gone(journal, &self.id)),
            found => found.with_context(|| format!("journal {}", journal.display())),
        }
    }

    fn of_store(&self, config: &Config) -> anyhow::Result<Proof> {
        let source = Source::Store {
            asked: Box::new(store::open(config)?),
            gate: self.gate.clone(),
            keys: None,
        };
        let key = source.wanted(&self.id)?;
        let Source::Store { asked, .. } = &source else {
            return Err(source.gone(&self.id));
        };
        match asked.prove(&key) {
            Err(ProofError::Prove(ProveError::Gone)) => Err(source.gone(&self.id)),
            found => found.with_context(|| format!("store {}", config.url)),
        }
    }
}

/// Why a record cannot be shown.
pub(super) fn gone(journal: &Path, wanted: &Wanted) -> anyhow::Error {
    let first = segments(journal).ok();
    let first = first
        .and_then(|all| first_record(all.first()?))
        .unwrap_or(1);
    let what = match wanted {
        Wanted::Number(number) if *number < first => {
            return anyhow!(
                "record {number} is not in the journal any more: it begins with record {first}"
            );
        }
        Wanted::Number(number) => format!("there is no record {number} in the journal"),
        Wanted::Decision(id) => format!("there is no decision {} in the journal", Visible(id)),
    };
    if first > 1 {
        return anyhow!("{what}; it begins with record {first}");
    }
    anyhow!("{what}")
}

impl CheckProof {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let (keys, witnesses) = (
            trusted::journals(&self.key).context("--key")?,
            trusted::witnesses(&self.witness).context("--witness")?,
        );
        let shown = self.file.display();
        let unreadable = |error: &std::io::Error| anyhow!("{shown}: {}", unread(error));
        let mut text = String::new();
        let file = std::fs::File::open(&self.file).map_err(|error| unreadable(&error))?;
        let read = file.take(proof::LONGEST + 1).read_to_string(&mut text);
        let length = read.map_err(|error| unreadable(&error))?;
        if length as u64 > proof::LONGEST {
            return Err(anyhow!("{shown} is longer than any proof"));
        }
        let proof = text.parse::<Proof>();
        let checked = proof.and_then(|proof| Ok((proof.check(&keys, &witnesses)?, proof)));
        let is_proven = checked.is_ok();
        match (self.format, checked) {
            (Format::Json, Ok((checked, proof))) => {
                let record: Value = serde_json::from_str(&proof.record).unwrap_or_default();
                print_json(
                    out,
                    &json!({"ok": true, "proof": checked, "record": record}),
                )?;
            }
            (Format::Json, Err(error)) => {
                print_json(out, &json!({"ok": false, "error": error.to_string()}))?;
            }
            (Format::Pretty, Ok((checked, proof))) => show(&checked, &proof, out)?,
            (Format::Pretty, Err(error)) => {
                writeln!(
                    out,
                    "The proof does not hold.\n  {}",
                    Visible(error.to_string())
                )?;
            }
        }
        Ok(ExitCode::from(if is_proven { 0 } else { 2 }))
    }
}

fn show(checked: &Checked, proof: &Proof, out: &mut impl Write) -> std::io::Result<()> {
    let Checked {
        seq,
        size,
        origin,
        key,
        ..
    } = checked;
    writeln!(
        out,
        "The proof holds: this is record {seq} of the journal of {}.",
        Visible(origin)
    )?;
    writeln!(out, "  checkpoint over {}", counted(*size, "record"))?;
    writeln!(out, "  signed by {}", Visible(key))?;
    for (witness, time) in &checked.witnesses {
        let time = i64::try_from(*time)
            .ok()
            .and_then(|time| jiff::Timestamp::from_second(time).ok());
        let time = time.map_or_else(|| "at no time".to_owned(), rfc3339_millis);
        writeln!(out, "  confirmed at {time} by {}", Visible(witness))?;
    }
    writeln!(out, "{}", render(&proof.record))
}
