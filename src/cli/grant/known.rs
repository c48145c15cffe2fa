//! What a command knows of the gate that a grant is for: who may sign, the name of its journal, the journal itself or the
//! store that has its records.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;

use super::stored::{Found, Stored};
use crate::audit::checkpoint::key;
use crate::cli::audit::store::StoreArgs;
use crate::cli::load;
use crate::config::Config;
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
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) struct Known {
    pub(super) config: Option<grant::Config>,
    pub(super) records: Option<Records>,
    /// The name of its journal, where it can be read.
    name: Option<String>,
}

/// Where the records of the gate are.
pub(super) enum Records {
    Journal(PathBuf),
    Store(Box<Stored>),
}

impl Beside {
    pub(super) fn known(&self) -> anyhow::Result<Known> {
        let config = load(self.config.as_ref())?;
        if self.config.is_some() && config.grants.is_none() {
            bail!("the configuration has no [grants]: its gate takes none");
        }
        let records = self.records(&config)?;
        let name = match &records {
            Some(Records::Journal(journal)) => name_of(journal),
            // It has the records of many gates, and whose configuration this is nobody knows.
            Some(Records::Store(_)) | None => None,
        };
        let configured = config.journal.origin.as_ref();
        let name = name.or_else(|| configured.map(|it| it.as_str().to_owned()));
        Ok(Known {
            config: config.grants,
            records,
            name,
        })
    }

    fn records(&self, config: &Config) -> anyhow::Result<Option<Records>> {
        if let Some(store) = self.store.config(self.config.as_ref())? {
            let stored = Stored::open(&store)?;
            return Ok(Some(Records::Store(Box::new(stored))));
        }
        if let Some(journal) = &self.journal {
            super::super::audit::expect_journal(journal)?;
            return Ok(Some(Records::Journal(journal.clone())));
        }
        let by_default = Some(config.journal.directory.clone());
        let journal = by_default.filter(|it| it.is_dir());
        Ok(journal.map(Records::Journal))
    }
}

/// The name of a journal, for whoever may read its key.
pub(super) fn name_of(journal: &Path) -> Option<String> {
    // Another one that waits is none of a gate's until it starts.
    let (current, next) = key::public(journal).ok()?;
    Some(current.or(next)?.name().to_owned())
}

impl Known {
    /// Whether a grant can be used now, as far as it is known here.
    pub(super) fn standing(&self, signed: &Signed, now: Timestamp) -> anyhow::Result<Standing> {
        let mut standings = self.standings(&[signed], now)?;
        standings.pop().context("there is one for each grant")
    }

    /// The same of several, with one look at the records. That a signature is missing is said only if nothing else speaks
    /// against it: whoever adds it learns the rest before.
    pub(super) fn standings(
        &self,
        grants: &[&Signed],
        now: Timestamp,
    ) -> anyhow::Result<Vec<Standing>> {
        let standings = grants.iter().map(|it| self.by_itself(it, now));
        let mut standings: Vec<Standing> = standings.collect();
        let both = grants.iter().zip(&mut standings);
        let open = both.filter(|(_, standing)| standing.flaw.is_none());
        let (wanted, open): (Vec<&Grant>, Vec<&mut Standing>) = open
            .map(|(signed, standing)| (&signed.grant, standing))
            .unzip();
        for (found, standing) in self.found(&wanted)?.into_iter().zip(open) {
            match found {
                Found::Good => {}
                Found::Flawed(flaw) => standing.flaw = Some(flaw),
                Found::Unknown(what) => standing.unknown.push(what),
            }
        }
        let gate = self.gate();
        for (signed, standing) in grants.iter().zip(&mut standings) {
            let unapproved = || match &gate {
                Some(gate) => gate.approved(Signed::clone(signed)).err(),
                // Whether they hold, nobody knows here. How many there are, everybody can see.
                None => (signed.signers().count() < 2)
                    .then(|| Flaw::OnlyRequester(signed.grant.requested_by.clone())),
            };
            standing.flaw = standing.flaw.take().or_else(unapproved);
        }
        Ok(standings)
    }

    fn gate(&self) -> Option<Gate<'_>> {
        Some(Gate {
            config: self.config.as_ref()?,
            name: self.name.as_deref(),
        })
    }

    /// Without its records.
    fn by_itself(&self, signed: &Signed, now: Timestamp) -> Standing {
        let mut unknown = Vec::new();
        let mut flaw = None;
        let gate = self.gate();
        match &gate {
            Some(gate) => flaw = gate.asked(signed).err(),
            None => unknown.push("whether its signatures hold: give --config FILE"),
        }
        if self.config.is_some() && self.name.is_none() {
            unknown.push(match &self.records {
                Some(Records::Store(_)) => {
                    "whether it is for the gate of this configuration: set journal.origin in it, or compare the name"
                }
                _ => "whether it is for this gate: give --journal DIR",
            });
        }
        let flaw = flaw.or_else(|| signed.grant.is_timely(now).err());
        let doubled = || gate.and_then(|gate| gate.not_doubled(&signed.grant, now).err());
        Standing {
            flaw: flaw.or_else(doubled),
            unknown,
        }
    }

    /// What the records say of each.
    fn found(&self, grants: &[&Grant]) -> anyhow::Result<Vec<Found>> {
        match &self.records {
            _ if grants.is_empty() => Ok(Vec::new()),
            Some(Records::Journal(journal)) => {
                let found = grant::find_uses(journal, grants);
                let found = found.with_context(|| format!("journal {}", journal.display()))?;
                let found = found.into_iter().map(|it| match it {
                    Ok(()) => Found::Good,
                    Err(flaw) => Found::Flawed(flaw),
                });
                Ok(found.collect())
            }
            Some(Records::Store(stored)) => grants.iter().map(|it| stored.find(it)).collect(),
            None => {
                let what = "whether it was used: give --journal DIR, or --store URL";
                Ok(grants.iter().map(|_| Found::Unknown(what)).collect())
            }
        }
    }

    /// The record that a grant is about.
    pub(super) fn record(&self, grant: &Grant) -> anyhow::Result<Option<Vec<u8>>> {
        match &self.records {
            Some(Records::Journal(journal)) => grant::record(journal, grant)
                .map_err(|error| anyhow!(plain_words(&error.to_string()))),
            Some(Records::Store(stored)) => stored.record(grant),
            None => Ok(None),
        }
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
