//! `dtgate grant show` and `list`: what grants let pass, and how they stand.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use super::known::{Beside, Standing};
use super::told;
use crate::app;
use crate::cli::{Format, print_json};
use crate::grant::{self, Flaw, Signed};
use crate::value::{Visible, unread};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The grant
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    beside: Beside,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Directory of grants [default: what the configuration says]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    beside: Beside,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Show {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let known = self.beside.known()?;
        let signed = read(&self.file)?;
        let standing = known.standing(&signed, app::now())?;
        match self.format {
            Format::Json => print_json(out, &told::to_json(&signed, &standing))?,
            Format::Pretty => {
                let record = told::record(&known, &signed.grant)?;
                told::show(out, &signed.grant, record.as_deref())?;
                let signers: Vec<&str> = signed.signers().collect();
                writeln!(out, "\nsigned by {}", Visible(signers.join(" and ")))?;
                writeln!(out, "{}", standing.text())?;
            }
        }
        Ok(match standing.flaw {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(2),
        })
    }
}

impl List {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let known = self.beside.known()?;
        let configured = known.config.as_ref().map(|it| it.directory.clone());
        let directory = self.directory.or(configured);
        let directory = directory.context("which directory? name it, or give --config FILE")?;
        let shown = directory.display().to_string();
        let listing =
            grant::read_all(&directory).map_err(|error| anyhow!("{shown}: {}", unread(&error)))?;
        let read = listing.files.into_iter().map(|(name, text)| {
            let signed = text.and_then(|text| Signed::parse(&text));
            (name, signed)
        });
        let read: Vec<(String, Result<Signed, Flaw>)> = read.collect();
        let grants: Vec<&Signed> = read.iter().filter_map(|(_, it)| it.as_ref().ok()).collect();
        let mut standings = known.standings(&grants, app::now())?.into_iter();
        for (name, signed) in &read {
            match signed {
                Ok(signed) => {
                    let standing = standings.next().context("there is one for each grant")?;
                    line(out, name, signed, &standing, self.format)?;
                }
                Err(flaw) => flawed(out, name, flaw, self.format)?,
            }
        }
        if listing.has_more {
            super::super::audit::note(&format!(
                "{shown} has more than are looked at, here and by the gate: take away those that are of no use any more"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(
    out: &mut impl Write,
    name: &str,
    signed: &Signed,
    standing: &Standing,
    format: Format,
) -> anyhow::Result<()> {
    if format == Format::Json {
        let mut value = told::to_json(signed, standing);
        if let Some(members) = value.as_object_mut() {
            members.insert("file".to_owned(), name.into());
        }
        return Ok(print_json(out, &value)?);
    }
    let (what, how) = (told::in_short(signed), standing.text());
    Ok(writeln!(out, "{}: {what}: {how}", Visible(name))?)
}

/// A file that holds no grant.
fn flawed(out: &mut impl Write, name: &str, flaw: &Flaw, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let value = json!({"file": name, "usable": false, "reason": flaw.to_string()});
        return Ok(print_json(out, &value)?);
    }
    Ok(writeln!(
        out,
        "{}: it cannot be used: {flaw}",
        Visible(name)
    )?)
}

/// Reads a grant that somebody names.
pub(super) fn read(path: &Path) -> anyhow::Result<Signed> {
    let text = grant::read(path);
    let signed = text.and_then(|text| Signed::parse(&text));
    signed.map_err(|flaw| anyhow!("{}: {flaw}", path.display()))
}
