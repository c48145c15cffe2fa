//! What the store knows of grants, for whoever has no journal beside them. It is asked for what was shipped: the gate itself
//! goes by its journal.

use crate::audit::index::Filter;
use crate::cli::audit::store;
use crate::grant::{self, Flaw, Grant};
use crate::store::{Asked, Config, Cursor, Key, Question};

/// The store, asked about grants.
pub(super) struct Stored(Asked);

/// What records say of a grant.
pub(super) enum Found {
    Good,
    Flawed(Flaw),
    /// What could not be looked at.
    Unknown(&'static str),
}

impl Stored {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        store::open(config).map(Self)
    }

    /// Whether a grant could be used, by the records of its gate.
    pub(super) fn find(&self, grant: &Grant) -> anyhow::Result<Found> {
        let Self(asked) = self;
        let Some(line) = asked.line(&named(grant))? else {
            return Ok(Found::Unknown(
                "whether it was used: the store does not have the record that it names",
            ));
        };
        if !grant::names(grant, &line) {
            return Ok(Found::Flawed(Flaw::OtherJournal(grant.after.seq)));
        }
        if let Some(decision) = self.used(grant)? {
            return Ok(Found::Flawed(Flaw::Used(decision)));
        }
        let gates = asked.gates()?;
        let gate = gates.iter().find(|it| it.name == grant.gate);
        let last = asked.last(&grant.gate)?;
        Ok(match gate {
            Some(gate) if gate.head_seq <= gate.shipped.max(last) => Found::Good,
            _ => Found::Unknown(
                "whether it was used a moment ago: not all records of its gate have come to the store",
            ),
        })
    }

    /// The decision by which it was used.
    fn used(&self, grant: &Grant) -> anyhow::Result<Option<String>> {
        let Self(asked) = self;
        let filter = Filter {
            granted: true,
            ..Filter::default()
        };
        let mut before: Option<Cursor> = None;
        loop {
            let question = Question {
                filter: &filter,
                gate: Some(&grant.gate),
                before: before.as_ref(),
            };
            let page = asked.find(question, AT_ONCE)?;
            for found in &page.decisions {
                let line = asked.line(&found.key())?.unwrap_or_default();
                let used = grant::used_by(grant, &line);
                if used.is_some() {
                    return Ok(used);
                }
            }
            // All of them, of which there are few: they come by their time, and a clock may have been set back.
            match page.decisions.last() {
                Some(last) if page.more => {
                    before = Some(Cursor {
                        at: last.at,
                        gate: last.gate.clone(),
                        seq: last.decided.seq,
                    });
                }
                _ => return Ok(None),
            }
        }
    }

    /// The record that a grant is about.
    pub(super) fn record(&self, grant: &Grant) -> anyhow::Result<Option<Vec<u8>>> {
        let line = self.0.line(&named(grant))?;
        Ok(line.filter(|line| grant::names(grant, line)))
    }
}

fn named(grant: &Grant) -> Key {
    Key {
        gate: grant.gate.clone(),
        seq: grant.after.seq,
    }
}

/// Decisions that are asked for at once.
const AT_ONCE: usize = 100;
