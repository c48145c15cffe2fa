//! `dtgate scopes`: the scopes that are shipped, compared with Dynatrace's own document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Format, print_json};
use crate::app;
use crate::dynatrace::openapi::{Document, Endpoint, Why};
use crate::dynatrace::scopes;
use crate::policy::read_yaml;
use crate::value::{Visible, unread};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare scopes and endpoints with the description that Dynatrace gives of its API
    Diff(Diff),
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The document: JSON or YAML
    #[arg(value_name = "OPENAPI-FILE")]
    document: PathBuf,
    /// Directory of policies whose lists of scopes are compared [default: those that are shipped]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Configuration file; its section `endpoints` changes which endpoints are guarded
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// What the document has and the gate has not.
struct Gap {
    /// How many scopes and endpoints the document has.
    scopes: usize,
    endpoints: usize,
    /// With the schemas that list them.
    missing_scopes: BTreeMap<String, BTreeSet<String>>,
    missing_endpoints: BTreeSet<Endpoint>,
    /// Scopes that the lists call current and the document does not have: no gap, it may be about another API.
    only_here: BTreeSet<String>,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Diff(diff) => diff.run(out),
        }
    }
}

impl Diff {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let document = read(&self.document);
        let document = document.with_context(|| self.document.display().to_string())?;
        let catalogue = app::catalogue(&super::load(self.config.as_ref())?)?;
        let known = known(self.policies.as_deref())?;
        let listed = document.scopes();
        let current = known.iter().filter(|(_, status)| *status == "current");
        let only_here = current
            .map(|(scope, _)| scope.clone())
            .filter(|scope| !listed.is_empty() && !listed.contains_key(scope));
        let (endpoints, missing_endpoints) = document.endpoints(&catalogue);
        let gap = Gap {
            scopes: listed.len(),
            endpoints,
            only_here: only_here.collect(),
            missing_scopes: listed
                .into_iter()
                .filter(|(scope, _)| !known.contains_key(scope))
                .collect(),
            missing_endpoints,
        };
        match self.format {
            Format::Json => print_json(out, &gap.json())?,
            Format::Pretty => gap.show(out)?,
        }
        Ok(ExitCode::from(if gap.is_none() { 0 } else { 2 }))
    }
}

impl Gap {
    fn is_none(&self) -> bool {
        self.missing_scopes.is_empty() && self.missing_endpoints.is_empty()
    }

    fn json(&self) -> Value {
        let scopes = self.missing_scopes.iter();
        let scopes = scopes.map(|(scope, by)| json!({"scope": scope, "listed_by": by}));
        let endpoints = self.missing_endpoints.iter().map(|endpoint| {
            json!({"method": endpoint.method, "path": endpoint.path, "why": why(endpoint)})
        });
        json!({
            "ok": self.is_none(),
            "scopes": {
                "in_document": self.scopes,
                "missing": scopes.collect::<Vec<_>>(),
                "not_in_document": self.only_here,
            },
            "endpoints": {
                "in_document": self.endpoints,
                "missing": endpoints.collect::<Vec<_>>(),
            },
        })
    }

    fn show(&self, out: &mut impl Write) -> std::io::Result<()> {
        let width = |texts: &mut dyn Iterator<Item = &String>| {
            texts
                .map(|text| Visible(text).to_string().len())
                .max()
                .unwrap_or_default()
                .min(WIDEST)
        };
        match (self.scopes, self.missing_scopes.len()) {
            (0, _) => writeln!(out, "Scopes: the document lists none for tokens")?,
            (all, 0) => writeln!(out, "Scopes: all {all} are in the list")?,
            (all, missing) => writeln!(out, "Scopes: {missing} of {all} are not in the list")?,
        }
        let scopes = width(&mut self.missing_scopes.keys());
        for (scope, by) in &self.missing_scopes {
            let by: Vec<&str> = by.iter().map(String::as_str).collect();
            let scope = Visible(scope).to_string();
            writeln!(out, "  {scope:<scopes$}  {}", Visible(by.join(", ")))?;
        }
        if !self.only_here.is_empty() {
            let count = self.only_here.len();
            writeln!(
                out,
                "  {count} more are in the list and not in this document"
            )?;
        }
        match self.missing_endpoints.len() {
            0 => writeln!(out, "Endpoints: none of {} is missing", self.endpoints)?,
            missing => writeln!(
                out,
                "Endpoints: {missing} of {} may need a row in the catalogue",
                self.endpoints
            )?,
        }
        let paths = width(&mut self.missing_endpoints.iter().map(|endpoint| &endpoint.path));
        for endpoint in &self.missing_endpoints {
            let path = Visible(&endpoint.path).to_string();
            let why = why(endpoint);
            writeln!(
                out,
                "  {:<6}  {path:<paths$}  {}",
                endpoint.method,
                Visible(why)
            )?;
        }
        Ok(())
    }
}

fn why(endpoint: &Endpoint) -> String {
    match &endpoint.why {
        Why::Below(row) => format!("writes below {row}"),
        Why::Speaks(word) => format!("speaks of {word}"),
    }
}

/// JSON is YAML, but for a reader that is ten times as fast and knows which line is wrong.
fn read(path: &Path) -> anyhow::Result<Document> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
        .map_err(|error| anyhow!(unread(&error)))?;
    if u64::try_from(read)? > LARGEST {
        bail!(
            "it is longer than {} MiB: give one document at a time",
            LARGEST >> 20
        );
    }
    let root: Value = if text.trim_start().starts_with(['{', '[']) {
        serde_json::from_str(&text).context("it is no JSON")?
    } else {
        read_yaml(&text).context("it is no YAML")?
    };
    Ok(Document::new(root)?)
}

/// The scopes of environments and of clusters, each with its status.
fn known(policies: Option<&Path>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut known = BTreeMap::new();
    for (name, shipped) in [
        ("scopes", scopes::ENVIRONMENT),
        ("cluster_scopes", scopes::CLUSTER),
    ] {
        let file = policies.map(|policies| policies.join("dynatrace").join(name).join("data.json"));
        let list: Map<String, Value> = match file {
            None => serde_json::from_str(shipped)?,
            Some(file) => {
                let text = std::fs::read_to_string(&file);
                let list = text.map_err(anyhow::Error::from);
                let list = list.and_then(|text| Ok(serde_json::from_str(&text)?));
                list.with_context(|| file.display().to_string())?
            }
        };
        for (scope, entry) in list {
            let status = entry.get("status").and_then(Value::as_str);
            // A cluster's own come last, and are no environment's.
            let status = status.filter(|_| name == "scopes").unwrap_or_default();
            known.entry(scope).or_insert_with(|| status.to_owned());
        }
    }
    Ok(known)
}

/// The widest column; a longer text ends its alignment.
const WIDEST: usize = 200;

/// Dynatrace's largest has 3 MB.
const LARGEST: u64 = 16 << 20;
