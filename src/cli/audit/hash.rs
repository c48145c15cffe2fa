//! `dtgate audit hash`: by which pseudonyms a value is known in a journal.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::super::{Format, print_json};
use super::opened::{Journal, note};
use super::source::Source;
use super::{beside, readable};
use crate::audit::index::{self, Index};
use crate::audit::pseudonym::{self, Rotated, Said, differing};

#[derive(Debug, Args)]
pub(in crate::cli) struct Hash {
    /// The value, as in 10.1.2.3; `-` reads it from standard input: a command line can be seen by others
    #[arg(value_name = "VALUE", required_unless_present = "rotate")]
    value: Option<String>,
    #[command(flatten)]
    place: Journal,
    /// Make a new key first: the gate uses it from its next start on
    #[arg(long)]
    rotate: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Hash {
    pub(in crate::cli) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let directory = &self.place.find()?;
        readable(directory)?;
        let journal = || format!("journal {}", directory.display());
        let rotated = self.rotate.then(|| pseudonym::rotate(directory));
        let rotated = rotated.transpose().with_context(journal)?;
        if rotated.is_some_and(|it| it.may_be_used) {
            note(
                "the journal was pruned, and no record says which keys deleted records had pseudonyms by: \
                 one of the same number, which is lost, may have been among them",
            );
        }
        let names = match self.value()? {
            None => Vec::new(),
            Some(value) => {
                let names = pseudonym::names(directory, &value).with_context(journal)?;
                if names.is_empty() {
                    bail!(
                        "{}: it has no key for pseudonyms: no start has made one (journal.pseudonyms.fields)",
                        journal()
                    );
                }
                say_missing(directory)?;
                names
            }
        };
        match self.format {
            Format::Json => print_json(
                out,
                &json!({"made": rotated.map(|it| it.version), "pseudonyms": names}),
            )?,
            Format::Pretty => {
                if let Some(Rotated { version, .. }) = rotated {
                    writeln!(
                        out,
                        "key v{version} is made; the gate uses it from its next start on"
                    )?;
                }
                for name in names {
                    writeln!(out, "{name}")?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn value(&self) -> anyhow::Result<Option<String>> {
        let Some(value) = &self.value else {
            return Ok(None);
        };
        if value != "-" {
            return Ok(Some(value.clone()));
        }
        let mut text = String::new();
        let read = std::io::stdin().take(LONGEST).read_to_string(&mut text);
        read.context("standard input")?;
        // Whoever types it ends the line.
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Says which keys are missing, as far as the index knows of them; it is not made for that. Where there is none, that older
/// keys are missing is seen by the newest one.
fn say_missing(journal: &Path) -> anyhow::Result<()> {
    if let Ok(Some(index)) = Index::open_to_read(journal, &journal.join(index::FILE)) {
        return beside::keys(&Source::Journal {
            index: Box::new(index),
            journal: journal.to_owned(),
        });
    }
    let newest = pseudonym::newest(journal)?;
    let said = newest.map(|version| Said {
        version,
        fingerprint: None,
    });
    for key in &differing(Some(journal), said.as_slice())? {
        beside::missing(key);
    }
    note(
        "there is no index of the journal yet: without it no key is missed that is newer than those that are there (dtgate \
         audit index)",
    );
    Ok(())
}

const LONGEST: u64 = 64 << 10;
