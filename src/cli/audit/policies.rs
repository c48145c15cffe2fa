//! `dtgate policies`: which policies there are, how they are applied, and when each objected last; which were in force,
//! and how two sets differ.

mod diff;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::source::{Asking, Source};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use crate::app;
use crate::audit::index::{Filter, Pattern};
use crate::cli::place::POLICIES;
use crate::cli::{Format, load, print_json};
use crate::policy::{Entrypoint, Listed, Policy};
use crate::value::Visible;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Policies {
    /// List the policies of a directory: mode, title, tests, and when each objected last
    List(List),
    /// Show policies that were in force, by the revision that records have, or list them
    Show(show::Show),
    /// Say how two sets of policies differ, and which requests they decide differently; exit with 2 if they do
    Diff(diff::Diff),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Directory of policies, or a bundle [default: all that the configuration loads, else policies]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A rule that judges besides the policies, as those of OPA's Envoy plugin do: envoy/authz/allow; may be repeated
    #[arg(long = "entrypoint", value_name = "PATH")]
    entrypoints: Vec<Entrypoint>,
    /// Say also when each objected last, by the journal or the store
    #[arg(long)]
    objections: bool,
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// A policy, and when it objected last, if that was asked.
struct Row {
    policy: Listed,
    objected: Option<String>,
}

impl Policies {
    pub(in crate::cli) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(out),
            Self::Show(show) => show.run(out),
            Self::Diff(diff) => diff.run(out),
        }
    }
}

impl List {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let policy = self.loaded()?;
        let source = self.objections.then(|| self.from.find()?.open());
        let source = source
            .transpose()
            .context("--objections: when each objected last")?;
        let mut rows = Vec::new();
        for policy in policy.listed_at(app::now()) {
            let objected = source.as_ref().map(|source| last(source, &policy.name));
            let objected = objected.transpose()?.flatten();
            rows.push(Row { policy, objected });
        }
        match self.format {
            Format::Json => {
                for row in &rows {
                    print_json(out, &row.json(policy.revision()))?;
                }
            }
            Format::Pretty => {
                self.table(&rows).show(out, terminal())?;
                writeln!(out, "\nrevision {}", policy.revision())?;
                for release in policy.releases() {
                    writeln!(out, "bundle {}", Visible(&release.told()))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is named; else what a gate with this configuration would have in force.
    fn loaded(&self) -> anyhow::Result<Policy> {
        if let Some(path) = &self.policies {
            return app::policies_at(path, &self.entrypoints);
        }
        let mut config = load(self.from.place.config.as_ref())?;
        let entrypoints = self.entrypoints.iter().cloned();
        config.policies.entrypoints.extend(entrypoints);
        if let Some(directory) = config.directory() {
            POLICIES.expect(directory, Some(&config))?;
        }
        let loaded = app::sources(&config).and_then(|sources| {
            let limit = config.policies.time_limit.into();
            Ok(Policy::load_all(&sources, limit)?)
        });
        loaded.map_err(|error| config.hidden().error(error))
    }

    fn table(&self, rows: &[Row]) -> Table {
        let shown = self.times.shown();
        let mut columns = vec![("POLICY", 10), ("MODE", 7), ("TESTS", 5), ("TITLE", 16)];
        if self.objections {
            columns.push(("OBJECTED", 10));
        }
        let mut table = Table::new(&columns).numbers(&["TESTS"]);
        for row in rows {
            table.add(self.cells(row, &shown));
        }
        table
    }

    fn cells(&self, row: &Row, shown: &Shown) -> Vec<Cell> {
        let Row { policy, objected } = row;
        let title = policy.title.as_deref().unwrap_or("-");
        let mut cells: Vec<Cell> = vec![
            Visible(&policy.name).to_string().into(),
            Visible(&policy.mode).to_string().into(),
            policy.tests.to_string().into(),
            Visible(title).to_string().into(),
        ];
        if self.objections {
            let objected = objected.as_deref().map(|at| shown.of(at));
            cells.push(objected.unwrap_or_else(|| "never".to_owned()).into());
        }
        cells
    }
}

impl Row {
    fn json(&self, revision: &str) -> serde_json::Value {
        let Self { policy, objected } = self;
        json!({
            "revision": revision,
            "policy": policy.name, "mode": policy.mode, "title": policy.title, "file": policy.file,
            "tests": policy.tests, "objected": objected,
        })
    }
}

/// When a policy objected last, whatever came of it, as the record says it.
fn last(source: &Source, policy: &str) -> anyhow::Result<Option<String>> {
    let filter = Filter {
        policy: vec![Pattern::Exactly(policy.to_owned())],
        ..Filter::default()
    };
    let found = source.find(&filter, None, 1)?.decisions;
    let lines = source.lines(&found)?.into_iter().next();
    let Some(line) = lines.and_then(|lines| lines.decision) else {
        return Ok(None);
    };
    let record: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
    let at = record.get("timestamp").and_then(serde_json::Value::as_str);
    Ok(at.map(str::to_owned))
}
