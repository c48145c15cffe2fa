//! `dtgate audit key`: prints the public key of a journal's checkpoints, and prepares another.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::opened::Journal;
use crate::audit::Origin;
use crate::audit::checkpoint::key;
use crate::cli::{Format, print_json};

#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    #[command(flatten)]
    place: Journal,
    /// Make another key, which signs from the next start of the gate on
    #[arg(long)]
    rotate: bool,
    /// The name of the new key [default: that of the old one]
    #[arg(long, value_name = "NAME", requires = "rotate", value_parser = origin)]
    origin: Option<Origin>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Key {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let journal = &self.place.find()?;
        if self.rotate {
            key::prepare(journal, self.origin.as_ref())?;
        }
        let (current, next) = key::public(journal)?;
        let Some(current) = current else {
            bail!(
                "{} has no checkpoint.key: the first start of a gate makes it",
                journal.display()
            );
        };
        match self.format {
            Format::Json => {
                let next = next.map(|key| key.to_string());
                print_json(out, &json!({"key": current.to_string(), "next": next}))?;
            }
            Format::Pretty => {
                writeln!(out, "{current}")?;
                if let Some(next) = next {
                    writeln!(out, "# From the next start of the gate on:\n{next}")?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::try_from(text.to_owned()).map_err(|error| error.to_string())
}
