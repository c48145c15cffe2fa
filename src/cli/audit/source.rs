//! Which journal or store a command asks, and what it says where there is no answer.

use std::path::Path;

use anyhow::bail;
use clap::Args;

use super::opened::{self, Place};
use super::prove::gone;
use super::store::{self as place, StoreArgs};
use crate::audit::index::{Filter, Unnamed};
use crate::audit::proof::Wanted;
use crate::store::{self, Key};
pub(in crate::cli) use crate::trail::{Before, Source};
use crate::value::Visible;

/// Which journal, or which store.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Asking {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    store: StoreArgs,
    /// Only what this gate recorded
    #[arg(long, value_name = "NAME", requires = "store")]
    gate: Option<String>,
}

/// Where that is.
#[derive(Debug)]
pub(in crate::cli) struct There {
    journal: opened::Found,
    store: Option<store::Config>,
    gate: Option<String>,
}

impl Asking {
    pub(in crate::cli) fn find(&self) -> anyhow::Result<There> {
        let store = self.store.config(self.place.config.as_ref())?;
        Ok(There {
            journal: self.place.find_it(store.is_none())?,
            store,
            gate: self.gate.clone(),
        })
    }
}

impl There {
    /// The directory that may hold keys of pseudonyms. Whoever asks a store may have none.
    pub(super) fn keys(&self) -> Option<&Path> {
        let journal = &*self.journal.journal;
        (self.store.is_none() || journal.is_dir()).then_some(journal)
    }

    /// The directory of the journal, where it is one.
    pub(in crate::cli) fn journal(&self) -> Option<&Path> {
        self.store.is_none().then_some(&*self.journal.journal)
    }

    pub(in crate::cli) fn open(&self) -> anyhow::Result<Source> {
        let Some(config) = &self.store else {
            return Ok(Source::Journal {
                index: Box::new(self.journal.open()?),
                journal: self.journal.journal.clone(),
            });
        };
        let asked = place::open(config)?;
        if let Some(gate) = &self.gate
            && asked.first(gate)?.is_none()
        {
            let there = Unnamed::new("gate", gate.clone(), asked.recorded()?);
            bail!("{}", super::beside::said(&there));
        }
        Ok(Source::Store {
            asked: Box::new(asked),
            gate: self.gate.clone(),
            keys: self.keys().map(Path::to_owned),
        })
    }
}

impl Source {
    /// The record that is meant; an error, where there is none.
    pub(in crate::cli) fn wanted(&self, wanted: &Wanted) -> anyhow::Result<Key> {
        let id = match (wanted, self) {
            (
                Wanted::Number(seq),
                Self::Store {
                    gate: None, asked, ..
                },
            ) => {
                let gates = asked.recorded()?;
                let [gate] = gates.as_slice() else {
                    bail!("record {seq} of which gate? give --gate, or the id of a decision");
                };
                return Ok(Key {
                    gate: gate.clone(),
                    seq: *seq,
                });
            }
            (Wanted::Number(seq), _) => {
                return Ok(Key {
                    gate: self.gate().unwrap_or_default().to_owned(),
                    seq: *seq,
                });
            }
            (Wanted::Decision(id), _) => id,
        };
        let filter = Filter {
            id: Some(id.clone()),
            ..Filter::default()
        };
        let page = self.find(&filter, None, 1)?;
        match page.decisions.first() {
            Some(found) => Ok(found.key()),
            None => Err(self.gone(wanted)),
        }
    }

    /// Why a record cannot be shown.
    pub(in crate::cli) fn gone(&self, wanted: &Wanted) -> anyhow::Error {
        match (self, wanted) {
            (_, Wanted::Decision(id)) if is_cut(id) => anyhow::anyhow!(
                "{} is only a part of the id of a decision: give it whole, or the number of the record ('#22'); dtgate audit \
                 query --format json has both",
                Visible(id)
            ),
            (Self::Journal { journal, .. }, _) => gone(journal, wanted),
            (Self::Store { .. }, Wanted::Number(number)) => {
                anyhow::anyhow!("there is no record {number} of this gate in the store")
            }
            (Self::Store { .. }, Wanted::Decision(id)) => {
                anyhow::anyhow!("there is no decision {} in the store", Visible(id))
            }
        }
    }
}

/// Whether it is the beginning of an id as gates write them, or its end.
fn is_cut(id: &str) -> bool {
    let is_letter = |it: char| it.is_ascii_hexdigit() || it == '-';
    (4..WHOLE).contains(&id.len()) && id.chars().all(is_letter)
}

/// Letters of a whole id.
const WHOLE: usize = 36;
