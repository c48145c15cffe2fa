//! `dtgate grant`: lets one request pass that policies deny. One person asks for it, another one approves it.

mod approve;
mod known;
mod request;
mod show;
mod told;
mod verify;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::audit::checkpoint::key;
use crate::value::is_name;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a second signature to a grant that somebody else has asked for
    Approve(approve::Approve),
    /// Make the pair of keys of a person who asks for grants and approves those of others
    Key(KeyArgs),
    /// List the grants of a directory, and say how each stands
    List(show::List),
    /// Ask for a grant: write a file that says what is to pass, and sign it
    Request(Box<request::RequestArgs>),
    /// Show what a grant lets pass, and how it stands
    Show(show::Show),
    /// Check by the journal alone that the grant by which a request passed was good
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Who it is for: letters, digits, hyphens and underscores
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Where the private key is written [default: NAME.key]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Approve(approve) => approve.run(out),
            Self::Key(key) => key.run(out),
            Self::List(list) => list.run(out),
            Self::Request(request) => request.run(out),
            Self::Show(show) => show.run(out),
            Self::Verify(verify) => verify.run(out),
        }
    }
}

impl KeyArgs {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let path = self
            .output
            .unwrap_or_else(|| PathBuf::from(format!("{}.key", self.name)));
        let key = key::make_for_person(&path, &self.name)?;
        writeln!(out, "{}", key.public())?;
        super::audit::note(&format!(
            "the private key is in {}: keep it. The line that was printed is the public key: it belongs into grants.approvers of the \
             gate's configuration",
            path.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    is_name(text)
        .then(|| text.to_owned())
        .ok_or("write 1 to 64 letters, digits, hyphens and underscores")
}

/// Asks whoever sits there. `--yes` is for those who have seen it already.
fn confirm(out: &mut impl Write, is_sure: bool) -> anyhow::Result<()> {
    if is_sure {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nobody is there to be asked: look at what is signed, and say --yes");
    }
    write!(out, "\nSign this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    let mut line = std::io::Read::take(stdin.lock(), LONGEST_ANSWER);
    line.read_line(&mut answer).context("the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing is signed"),
    }
}

const LONGEST_ANSWER: u64 = 64;
