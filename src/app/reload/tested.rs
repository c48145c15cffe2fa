//! Whether the policies that are in force have passed their own tests.

use anyhow::{Context, bail};

use super::digest::Digest;
use crate::app::load;
use crate::config::Config;
use crate::policy::suite;

/// The files of policies that are in force, those of their tests among them.
#[derive(Clone, Copy)]
pub(super) struct Tested {
    files: Digest,
    /// Whether they have passed. What the gate was started with counts as if it had: it was in force here before, or is
    /// the first.
    passed: bool,
}

impl Tested {
    pub(super) fn new(files: Digest) -> Self {
        Self {
            files,
            passed: true,
        }
    }

    pub(super) fn differs(self, other: Self) -> bool {
        self.files != other.files
    }

    /// What this configuration puts in force. Whatever has not passed yet has to, where that is wanted: also policies
    /// of which only the tests are others, and those that came when it was not wanted.
    pub(super) fn with(self, config: &Config) -> anyhow::Result<Self> {
        let files = Digest::of(&config.files_of_policies());
        let has_passed = self.passed && self.files == files;
        if config.reload.require_tests && !has_passed {
            pass_their_tests(config)?;
        }
        Ok(Self {
            files,
            passed: has_passed || config.reload.require_tests,
        })
    }
}

/// The policies' own tests, those that `dtgate test` runs.
pub(in crate::app) fn pass_their_tests(config: &Config) -> anyhow::Result<()> {
    let mut report = Vec::new();
    let sources = load::sources(config)?;
    let outcome = suite::run_all(&sources, &suite::Options::default(), &mut report);
    match outcome.context("tests")? {
        suite::Outcome::Passed => Ok(()),
        suite::Outcome::Failed => bail!(
            "the policies do not pass their tests (reload.require_tests):\n{}",
            String::from_utf8_lossy(&report).trim_end()
        ),
    }
}
