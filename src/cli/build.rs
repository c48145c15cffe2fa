//! `dtgate build`: makes an OPA bundle of directories of policies, and signs it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use super::{Format, place, print_json};
use crate::policy::build::{Built, Recipe, build};
use crate::policy::{Algorithm, SignedBy};
use crate::value::{Visible, counted, unwritten};

#[derive(Debug, Args)]
pub(super) struct Build {
    /// Directories of policies, their tests and data
    #[arg(value_name = "PATH", default_value = "policies")]
    paths: Vec<PathBuf>,
    /// Where the bundle is written
    #[arg(long, short, value_name = "FILE", default_value = "bundle.tar.gz")]
    output: PathBuf,
    /// What this version is called
    #[arg(long, value_name = "TEXT")]
    revision: Option<String>,
    /// A part of data that belongs to the bundle, as dtgate/naming; may be given several times [default: all]
    #[arg(long, value_name = "PATH")]
    root: Vec<String>,
    /// The number of this version: gates refuse lower ones than they had
    #[arg(long, value_name = "NUMBER")]
    sequence: Option<u64>,
    /// Private key (PEM) or secret (HS…) to sign the bundle with
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// How it is signed: RS, PS, ES or HS with 256, 384 or 512
    #[arg(long, value_name = "NAME", default_value_t, requires = "signing_key")]
    signing_alg: Algorithm,
    /// What the key is called
    #[arg(long, value_name = "NAME", requires = "signing_key")]
    key_id: Option<String>,
    /// What the signature is for
    #[arg(long, value_name = "TEXT", requires = "signing_key")]
    scope: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Build {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if self.paths == [PathBuf::from("policies")] {
            place::TESTED.expect(&PathBuf::from("policies"), None)?;
        }
        let algorithm = self.signing_alg;
        let (key_id, scope) = (self.key_id, self.scope);
        let recipe = Recipe {
            revision: self.revision,
            roots: self.root,
            sequence: self.sequence,
            signed_by: self.signing_key.map(|key_file| SignedBy {
                key_file,
                algorithm,
                key_id,
                scope,
            }),
        };
        let Built {
            bytes,
            digest,
            files,
            ..
        } = build(&self.paths, &recipe, &self.output)?;
        let output = self.output.display();
        std::fs::write(&self.output, bytes)
            .map_err(|error| anyhow!(unwritten(&error)))
            .with_context(|| output.to_string())?;
        match self.format {
            Format::Json => print_json(
                out,
                &json!({"file": self.output, "files": files, "digest": digest}),
            )?,
            Format::Pretty => {
                let files = counted(files, "file");
                writeln!(out, "{}: {files}, sha256 {digest}", Visible(output))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
