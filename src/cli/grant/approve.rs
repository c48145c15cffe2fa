//! `dtgate grant approve`: the second signature.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Args;

use super::known::Beside;
use super::{confirm, show, told};
use crate::app;
use crate::audit::checkpoint::key;
use crate::cli::audit::note;
use crate::grant::{self, Flaw};
use crate::value::{Visible, unwritten};

#[derive(Debug, Args)]
pub(in crate::cli) struct Approve {
    /// The grant; the signature is added to it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Private key of whoever approves it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    beside: Beside,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
}

impl Approve {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let known = self.beside.known()?;
        let mut signed = show::read(&self.file)?;
        let key = key::of_person(&self.key)?;
        let file = self.file.display();
        let standing = known.standing(&signed, app::now())?;
        // What is missing is what this command adds; all else is looked at as the gate does.
        if let Some(flaw) = standing
            .flaw
            .filter(|flaw| !matches!(flaw, Flaw::OnlyRequester(_)))
        {
            bail!("{file}: {flaw}");
        }
        if let Some(config) = &known.config
            && !config.approvers.keys().contains(&key.public())
        {
            bail!(
                "{}: this key of {} is none of grants.approvers",
                self.key.display(),
                Visible(key.name())
            );
        }
        let record = told::record(&known, &signed.grant)?;
        told::show(out, &signed.grant, record.as_deref())?;
        for unknown in standing.unknown {
            note(&format!("not known is {unknown}"));
        }
        signed
            .approve(&key)
            .map_err(|refused| anyhow!("{file}: {refused}"))?;
        confirm(out, self.yes)?;
        grant::write(&self.file, &signed.to_string())
            .map_err(|error| anyhow!("{file}: {}", unwritten(&error)))?;
        writeln!(
            out,
            "\n{} approves it: {file} is good once it is in the gate's directory of grants",
            Visible(key.name())
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
