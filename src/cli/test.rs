//! `dtgate test`: the tests of policies, once, or again whenever a file has changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::place;
use crate::policy::suite;
use crate::value::{VisibleLines, visible_json};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(super) struct Test {
    /// Directories of policies and tests, or bundles
    #[arg(value_name = "PATH", default_value = "policies")]
    paths: Vec<PathBuf>,
    /// Run only tests whose name (`data.package.test_name`) matches
    #[arg(long, short, value_name = "REGEX")]
    run: Option<String>,
    /// Show every test, not only those that did not pass
    #[arg(long, short)]
    verbose: bool,
    /// Report which lines the tests evaluated, as JSON
    #[arg(long, short)]
    coverage: bool,
    /// Fail when less than this share of lines was evaluated
    #[arg(long, value_name = "PERCENT")]
    threshold: Option<f64>,
    /// Do not fail because of skipped tests (`todo_test_…`)
    #[arg(long, short = 'z')]
    exit_zero_on_skipped: bool,
    /// Fail when there is no test, or none that `--run` matches
    #[arg(long)]
    fail_on_empty: bool,
    /// Run them again whenever a file has changed, until it is interrupted
    #[arg(long, short, conflicts_with_all = ["coverage", "threshold"])]
    watch: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For programs: as `opa test`
    Json,
    /// For CI: `JUnit`'s XML
    Junit,
    /// For people
    Pretty,
}

impl Test {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let run = self.run.as_deref().map(regex::Regex::new).transpose();
        let options = suite::Options {
            run: run.context("--run")?,
            format: match self.format {
                Format::Json => suite::Format::Json,
                Format::Junit => suite::Format::Junit,
                Format::Pretty => suite::Format::Pretty,
            },
            verbose: self.verbose,
            coverage: self.coverage,
            threshold: self.threshold,
            exit_zero_on_skipped: self.exit_zero_on_skipped,
            fail_on_empty: self.fail_on_empty,
            within: None,
        };
        if self.paths == [PathBuf::from("policies")] {
            place::TESTED.expect(Path::new("policies"), None)?;
        }
        if self.watch {
            return self.watch(&options, out);
        }
        Ok(match self.report(&options, out)? {
            suite::Outcome::Passed => ExitCode::SUCCESS,
            suite::Outcome::Failed => ExitCode::from(2),
            suite::Outcome::Empty => anyhow::bail!(suite::EMPTY),
        })
    }

    fn report(
        &self,
        options: &suite::Options,
        out: &mut impl Write,
    ) -> anyhow::Result<suite::Outcome> {
        let mut report = Vec::new();
        let outcome = suite::run(&self.paths, options, &mut report)?;
        let report = String::from_utf8_lossy(&report);
        if self.coverage || self.threshold.is_some() || self.format == Format::Json {
            write!(out, "{}", visible_json(&report))?;
        } else {
            write!(out, "{}", VisibleLines(report))?;
        }
        Ok(outcome)
    }

    /// Until its output is closed, or it is interrupted.
    fn watch(&self, options: &suite::Options, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        loop {
            // A change that comes while they run is seen behind that.
            let seen = suite::fingerprint(&self.paths);
            match self.report(options, out) {
                Ok(suite::Outcome::Empty) if self.format == Format::Pretty => {
                    writeln!(out, "{}", suite::EMPTY)?;
                }
                Ok(_) => {}
                Err(error) if error.is::<std::io::Error>() => return Err(error),
                Err(error) => writeln!(out, "{}", VisibleLines(format!("{error:#}")))?,
            }
            if self.format == Format::Pretty {
                writeln!(out, "Waiting for a file to change; Ctrl-C ends it.")?;
            }
            out.flush()?;
            while suite::fingerprint(&self.paths) == seen {
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
