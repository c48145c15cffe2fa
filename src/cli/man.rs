//! `dtgate completions` and `dtgate man`: what shells and `man` know of the command line, made of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::value::unwritten;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Your shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory for a page a command; otherwise the page of dtgate itself is printed
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        // Into memory first: it cannot report that nobody reads.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dtgate", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Man {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let mut command = Cli::command();
        command.build();
        match self.directory {
            None => page(command, out)?,
            Some(directory) => {
                let written = pages(command, &directory);
                written
                    .map_err(|error| anyhow!("{}: {}", directory.display(), unwritten(&error)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page of a command, and of each below it: `dtgate-audit-verify.1`.
fn pages(command: clap::Command, directory: &Path) -> io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        pages(below.clone(), directory)?;
    }
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    let mut text = Vec::new();
    page(command, &mut text)?;
    fs::write(path, text)
}

fn page(command: clap::Command, out: &mut impl Write) -> io::Result<()> {
    clap_mangen::Man::new(command).render(out)
}
