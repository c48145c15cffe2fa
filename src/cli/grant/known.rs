//! What a command knows of the gate that a grant is for: who may sign, the name of its journal, the journal itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;

use crate::audit::checkpoint::key;
use crate::cli::load;
use crate::grant::{self, Flaw, Gate, Grant, Signed};
use crate::value::plain_words;

#[derive(Clone, Debug, Args)]
pub(super) struct Beside {
    /// Configuration file of the gate: who may sign, and where its journal is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the gate's journal: whether a grant was used, and what its request asks for
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
}

pub(super) struct Known {
    pub(super) config: Option<grant::Config>,
    pub(super) journal: Option<PathBuf>,
    /// The name of its journal, where it can be read.
    name: Option<String>,
}

impl Beside {
    pub(super) fn known(&self) -> anyhow::Result<Known> {
        let config = load(self.config.as_ref())?;
        let by_default = config.journal.directory.clone();
        let journal = match &self.journal {
            Some(journal) => {
                super::super::audit::expect_journal(journal)?;
                Some(journal.clone())
            }
            None => Some(by_default).filter(|it| it.is_dir()),
        };
        if self.config.is_some() && config.grants.is_none() {
            bail!("the configuration has no [grants]: its gate takes none");
        }
        let configured = config.journal.origin.as_ref();
        let configured = || configured.map(|it| it.as_str().to_owned());
        let name = journal.as_deref().and_then(name_of).or_else(configured);
        Ok(Known {
            config: config.grants,
            journal,
            name,
        })
    }
}

/// The name of a journal, for whoever may read its key.
pub(super) fn name_of(journal: &Path) -> Option<String> {
    // Another one that waits is none of a gate's until it starts.
    let (current, next) = key::public(journal).ok()?;
    Some(current.or(next)?.name().to_owned())
}

impl Known {
    /// Whether a grant can be used now, as far as it is known here. That a signature is missing is said only if nothing else
    /// speaks against it: whoever adds it learns the rest before.
    pub(super) fn standing(&self, signed: &Signed, now: Timestamp) -> anyhow::Result<Standing> {
        let grant = &signed.grant;
        let mut unknown = Vec::new();
        let mut flaw = None;
        let gate = self.config.as_ref().map(|config| Gate {
            config,
            name: self.name.as_deref(),
        });
        match &gate {
            Some(gate) => flaw = gate.asked(signed).err(),
            None => unknown.push("whether its signatures hold: give --config FILE"),
        }
        if self.config.is_some() && self.name.is_none() {
            unknown.push("whether it is for this gate: give --journal DIR");
        }
        flaw = flaw.or_else(|| grant.is_timely(now).err());
        match &self.journal {
            Some(_) if flaw.is_some() => {}
            Some(journal) => {
                let found = grant::find_uses(journal, &[grant]);
                let found = found.with_context(|| format!("journal {}", journal.display()))?;
                flaw = found.into_iter().find_map(Result::err);
            }
            None => unknown.push("whether it was used: give --journal DIR"),
        }
        let unapproved = match gate {
            Some(gate) => gate.approved(signed.clone()).err(),
            // Whether they hold, nobody knows here. How many there are, everybody can see.
            None => (signed.signers().count() < 2)
                .then(|| Flaw::OnlyRequester(grant.requested_by.clone())),
        };
        let flaw = flaw.or(unapproved);
        Ok(Standing { flaw, unknown })
    }

    /// The record that a grant is about.
    pub(super) fn record(&self, grant: &Grant) -> Result<Option<Vec<u8>>, String> {
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let line = grant::record(journal, grant);
        line.map_err(|error| plain_words(&error.to_string()))
    }
}

/// How a grant stands.
pub(super) struct Standing {
    pub(super) flaw: Option<Flaw>,
    /// What could not be looked at.
    pub(super) unknown: Vec<&'static str>,
}

impl Standing {
    pub(super) fn text(&self) -> String {
        let unknown = self.unknown.join("; ");
        match (&self.flaw, unknown.is_empty()) {
            (Some(flaw), _) => format!("it cannot be used: {flaw}"),
            (None, true) => "it can be used, once".to_owned(),
            (None, false) => format!("nothing speaks against it; not known is {unknown}"),
        }
    }
}
