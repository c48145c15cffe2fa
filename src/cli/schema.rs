//! `dtgate schema`: what dtgate writes, for programs that read it.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use crate::audit::schema::schema;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the JSON Schema of the journal's records
    Record,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Record => writeln!(out, "{:#}", schema())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
