//! `dtgate audit checkpoint`: the newest signed checkpoint, to be kept where nobody who can change the journal can
//! change it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::expect_journal;
use super::opened::{Journal, note};
use crate::audit::proof::newest_checkpoint;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckpointArgs {
    #[command(flatten)]
    place: Journal,
    /// Write it into this file [default: to standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl CheckpointArgs {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let journal = &self.place.find()?;
        expect_journal(journal)?;
        let shown = journal.display();
        let newest = newest_checkpoint(journal).with_context(|| format!("journal {shown}"))?;
        let Some(newest) = newest else {
            bail!(
                "the journal {shown} has no checkpoint: a gate makes one each minute, and when it ends"
            );
        };
        match &self.output {
            None => write!(out, "{newest}")?,
            Some(path) => {
                let shown = path.display();
                std::fs::write(path, newest.to_string()).with_context(|| format!("{shown}"))?;
                note(&format!("the newest checkpoint is in {shown}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
