//! `dtgate endpoints`: the catalogue, as it is in force, or what is missing from it.

mod unknown;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::json;

use super::{Format, print_json};
use crate::app;
use crate::dynatrace::catalogue::{Handling, Only, Row};

#[derive(Debug, Args)]
pub(super) struct Endpoints {
    /// Configuration file; what its section `endpoints` changes is marked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List the writes of a journal that the catalogue does not know, instead
    #[arg(long, requires = "journal")]
    unknown: bool,
    /// Directory of the journal
    #[arg(long, value_name = "DIR", requires = "unknown")]
    journal: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// What the columns have.
const TITLE: [&str; 5] = ["operation", "handling", "method", "path", "why"];

impl Endpoints {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if let Some(journal) = self.journal.filter(|_| self.unknown) {
            unknown::list(&journal, self.format, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let catalogue = app::catalogue(&super::load(self.config.as_ref())?)?;
        match self.format {
            Format::Json => {
                let rows: Vec<_> = catalogue.rows().iter().map(as_json).collect();
                print_json(out, &json!(rows))?;
            }
            Format::Pretty => {
                let [
                    operation_title,
                    handling_title,
                    method_title,
                    path_title,
                    why,
                ] = TITLE;
                let width = |title: &str, text: fn(&Row) -> String| {
                    let widths = catalogue.rows().iter().map(|row| text(row).len());
                    widths.fold(title.len(), usize::max)
                };
                let operations = width(operation_title, operation);
                let handlings = width(handling_title, |row| row.handling.to_string());
                let methods = width(method_title, |row| row.endpoint.method.to_owned());
                let paths = width(path_title, path);
                writeln!(
                    out,
                    "{operation_title:<operations$}  {handling_title:<handlings$}  {method_title:<methods$}  {path_title:<paths$}  {why}"
                )?;
                for row in catalogue.rows() {
                    let style = style(row.handling);
                    writeln!(
                        out,
                        "{:<operations$}  {style}{:<handlings$}{style:#}  {:<methods$}  {:<paths$}  {}{}",
                        operation(row),
                        row.handling,
                        row.endpoint.method,
                        path(row),
                        if is_changed(row) { "(configured) " } else { "" },
                        row.endpoint.why,
                    )?;
                }
                writeln!(
                    out,
                    "\nEach path also behind /e/{{environment-id}}, and /api/… also as /platform/classic/environment-api/….\n\
                     What is not listed is streamed through. It is refused if it could be read as one of these, or if its path speaks of tokens.\n\
                     `write` stands for every method but GET, HEAD and OPTIONS. `dtgate endpoints --unknown` lists the writes that no row knows."
                )?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn operation(row: &Row) -> String {
    row.endpoint.operation.to_string()
}

/// The path, and what narrows it.
fn path(row: &Row) -> String {
    let path = row.endpoint.path;
    match row.endpoint.only {
        Only::Always => path.to_owned(),
        Only::Query(_) => format!("{path}?createToken=true"),
        Only::Schemas => format!("{path} (token settings)"),
    }
}

fn is_changed(row: &Row) -> bool {
    row.handling != row.endpoint.handling
}

fn style(handling: Handling) -> Style {
    match handling {
        Handling::Judge => AnsiColor::Yellow.on_default(),
        Handling::Pass => AnsiColor::Green.on_default(),
        Handling::Refuse => AnsiColor::Red.on_default(),
    }
}

fn as_json(row: &Row) -> serde_json::Value {
    json!({
        "operation": row.endpoint.operation,
        "handling": row.handling,
        "documented_handling": row.endpoint.handling,
        "api": row.endpoint.api.as_str(),
        "method": row.endpoint.method,
        "path": row.endpoint.path,
        "only": match row.endpoint.only {
            Only::Always => None,
            Only::Query(_) => Some("createToken"),
            Only::Schemas => Some("token settings"),
        },
        "why": row.endpoint.why,
    })
}
