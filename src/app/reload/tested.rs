//! Whether the policies that are in force have passed their own tests.

use super::digest::Digest;
use crate::app::load;
use crate::config::Config;
use crate::policy::Sources;

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

    /// What this configuration puts in force, of these sources. Whatever has not passed yet has to, where that is wanted: also policies
    /// of which only the tests are others, and those that came when it was not wanted.
    pub(super) fn with(
        self,
        config: &Config,
        sources: impl FnOnce() -> anyhow::Result<Sources>,
    ) -> anyhow::Result<Self> {
        let files = Digest::of(&config.files_of_policies());
        let has_passed = self.passed && self.files == files;
        if config.reload.require_tests && !has_passed {
            load::pass_their_tests(&sources()?, config)?;
        }
        Ok(Self {
            files,
            passed: has_passed || config.reload.require_tests,
        })
    }
}
