//! Where answers come from: a journal with its index, or the store, in which all gates meet.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;

use super::opened::{self, Place, note};
use super::prove::gone;
use super::store::{self as place, StoreArgs};
use crate::audit::index::{By, Filter, Gaps, Index, Sum, Unnamed, is_about};
use crate::audit::proof::Wanted;
use crate::store::{self, Asked, Cursor, Found, Key, Lines, Moment, Page, Question};
use crate::value::{Visible, counted};

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

/// What is asked.
pub(in crate::cli) enum Source {
    Journal {
        index: Box<Index>,
        journal: PathBuf,
    },
    Store {
        asked: Box<Asked>,
        gate: Option<String>,
        keys: Option<PathBuf>,
    },
}

/// Where a page of decisions begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Before {
    Number(u64),
    Cursor(Cursor),
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

/// What is asked of all pages.
fn all<'a>(filter: &'a Filter, gate: Option<&'a str>) -> Question<'a> {
    Question {
        filter,
        gate,
        before: None,
    }
}

impl Source {
    /// The newest decisions that a filter lets through.
    pub(in crate::cli) fn find(
        &self,
        filter: &Filter,
        before: Option<&Before>,
        limit: usize,
    ) -> anyhow::Result<Page> {
        let mut filter = filter.clone();
        let cursor = match (before, self) {
            (None, _) => None,
            (Some(Before::Cursor(_)), Self::Journal { .. }) => {
                bail!(
                    "--before takes the number of a record here: only the store has several gates"
                );
            }
            (Some(Before::Number(_)), Self::Store { gate: None, .. }) => {
                bail!(
                    "--before takes a time, a gate and a number here, as the answer says it: numbers are of one --gate"
                );
            }
            (Some(Before::Number(number)), _) => {
                filter.before = Some(*number);
                None
            }
            (Some(Before::Cursor(cursor)), _) => Some(cursor),
        };
        match self {
            Self::Journal { index, .. } => {
                let page = index.find(&filter, limit)?;
                let decisions = page.decisions.into_iter();
                Ok(Page {
                    decisions: decisions.map(in_journal).collect(),
                    more: page.more,
                })
            }
            Self::Store { asked, gate, .. } => {
                let question = Question {
                    filter: &filter,
                    gate: gate.as_deref(),
                    before: cursor,
                };
                Ok(asked.find(question, limit)?)
            }
        }
    }

    /// Of how many of these, from the first, the lines are read at once.
    pub(super) fn at_once(&self, found: &[Found]) -> anyhow::Result<usize> {
        let some = found.get(..AT_ONCE).unwrap_or(found);
        Ok(match self {
            Self::Store { asked, .. } => asked.at_once(some)?,
            Self::Journal { .. } => some.len(),
        })
    }

    /// The lines of decisions. Of many, hand in some at a time ([`Self::at_once`]).
    pub(super) fn lines(&self, found: &[Found]) -> anyhow::Result<Vec<Lines>> {
        let mut all = match self {
            Self::Store { asked, .. } => asked.lines(found)?,
            Self::Journal { index, .. } => {
                let line = |seq: Option<u64>| {
                    anyhow::Ok(seq.map(|seq| index.line(seq)).transpose()?.flatten())
                };
                let all = found.iter().map(|Found { decided, .. }| {
                    anyhow::Ok(Lines {
                        decision: line(Some(decided.seq))?,
                        outcome: line(decided.outcome)?,
                        settled: line(decided.settled)?,
                        challenger: line(decided.challenger)?,
                    })
                });
                all.collect::<Result<_, _>>()?
            }
        };
        // What an index says of a decision counts where the records say so.
        for (found, lines) in found.iter().zip(&mut all) {
            for line in [
                &mut lines.outcome,
                &mut lines.settled,
                &mut lines.challenger,
            ] {
                *line = line.take().filter(|line| is_about(line, found.decided.seq));
            }
        }
        Ok(all)
    }

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
            (Self::Journal { journal, .. }, _) => gone(journal, wanted),
            (Self::Store { .. }, Wanted::Number(number)) => {
                anyhow::anyhow!("there is no record {number} of this gate in the store")
            }
            (Self::Store { .. }, Wanted::Decision(id)) => {
                anyhow::anyhow!("there is no decision {} in the store", Visible(id))
            }
        }
    }

    /// A record as it was written.
    pub(in crate::cli) fn line(&self, key: &Key) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(match self {
            Self::Journal { index, .. } => index.line(key.seq)?,
            Self::Store { asked, .. } => asked.line(key)?,
        })
    }

    pub(super) fn decision(&self, key: &Key) -> anyhow::Result<Option<Found>> {
        Ok(match self {
            Self::Journal { index, .. } => index.decision(key.seq)?.map(in_journal),
            Self::Store { asked, .. } => asked.decision(key)?,
        })
    }

    pub(in crate::cli) fn neighbours(
        &self,
        key: &Key,
    ) -> anyhow::Result<(Option<u64>, Option<u64>)> {
        Ok(match self {
            Self::Journal { index, .. } => index.neighbours(key.seq)?,
            Self::Store { asked, .. } => asked.neighbours(key)?,
        })
    }

    pub(in crate::cli) fn last_before(&self, kind: &str, key: &Key) -> anyhow::Result<Option<u64>> {
        Ok(match self {
            Self::Journal { index, .. } => index.last_before(kind, key.seq)?,
            Self::Store { asked, .. } => asked.last_before(kind, key)?,
        })
    }

    /// How many decisions there were, in each quarter of an hour.
    pub(super) fn sums(&self, filter: &Filter, by: By) -> anyhow::Result<Vec<Sum>> {
        Ok(match self {
            Self::Journal { index, .. } => index.sums(filter, by)?,
            Self::Store { asked, gate, .. } => asked.sums(all(filter, gate.as_deref()), by)?,
        })
    }

    /// The same over all of the time.
    pub(super) fn totals(&self, filter: &Filter, by: By) -> anyhow::Result<Vec<Sum>> {
        Ok(match self {
            Self::Journal { index, .. } => index.totals(filter, by)?,
            Self::Store { asked, gate, .. } => asked.totals(all(filter, gate.as_deref()), by)?,
        })
    }

    /// What is not there of a journal. Of the store, `audit verify` tells it.
    pub(super) fn gaps(&self, since: Option<i64>, until: Option<i64>) -> anyhow::Result<Gaps> {
        Ok(match self {
            Self::Journal { index, .. } => index.gaps(since, until)?,
            Self::Store { .. } => Gaps::default(),
        })
    }

    pub(super) fn unnamed(&self, filter: &Filter) -> anyhow::Result<Vec<Unnamed>> {
        Ok(match self {
            Self::Journal { index, .. } => index.unnamed(filter)?,
            Self::Store { asked, .. } => asked.unnamed(filter)?,
        })
    }

    pub(super) fn found_by(&self, text: &str) -> anyhow::Result<Vec<&'static str>> {
        Ok(match self {
            Self::Journal { index, .. } => index.found_by(text)?,
            Self::Store { asked, .. } => asked.found_by(text)?,
        })
    }

    /// How many decisions have longer texts than are searched, as far as that is known.
    pub(super) fn searched_in_part(&self) -> anyhow::Result<u64> {
        Ok(match self {
            Self::Journal { index, .. } => index.searched_in_part()?,
            Self::Store { .. } => 0,
        })
    }

    /// The directory that may hold keys of pseudonyms.
    pub(super) fn keys(&self) -> Option<&Path> {
        match self {
            Self::Journal { journal, .. } => Some(journal),
            Self::Store { keys, .. } => keys.as_deref(),
        }
    }

    pub(super) fn is_store(&self) -> bool {
        matches!(self, Self::Store { .. })
    }

    /// Whether an answer may have records of several gates.
    pub(super) fn has_several_gates(&self) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Store {
                asked, gate: None, ..
            } => asked.recorded()?.len() > 1,
            _ => false,
        })
    }

    /// The directory of the journal, where it is one.
    pub(in crate::cli) fn journal(&self) -> Option<&Path> {
        match self {
            Self::Journal { journal, .. } => Some(journal),
            Self::Store { .. } => None,
        }
    }

    fn gate(&self) -> Option<&str> {
        match self {
            Self::Store { gate, .. } => gate.as_deref(),
            Self::Journal { .. } => None,
        }
    }

    /// Says which gates have written more than the store has.
    pub(super) fn say_behind(&self) -> anyhow::Result<()> {
        let Self::Store { asked, gate, .. } = self else {
            return Ok(());
        };
        let gates = asked.gates()?;
        for it in gates
            .iter()
            .filter(|it| gate.as_ref().is_none_or(|gate| *gate == it.name))
        {
            // What a gate says of itself is some seconds old, and what it has sent is there.
            let there = it.shipped.max(asked.last(&it.name)?);
            let behind = it.head_seq.saturating_sub(there);
            if behind > 0 {
                let behind = counted(behind, "record");
                note(&format!(
                    "{behind} of gate {} had not come to the store when it was seen last",
                    it.name
                ));
            }
        }
        Ok(())
    }

    /// How a page goes on behind its last decision.
    pub(in crate::cli) fn next(&self, last: &Found) -> String {
        match self {
            Self::Journal { .. } | Self::Store { gate: Some(_), .. } => {
                last.decided.seq.to_string()
            }
            Self::Store { gate: None, .. } => {
                format!("{}/{}/{}", last.at, last.gate, last.decided.seq)
            }
        }
    }
}

fn in_journal(decided: crate::audit::index::Decided) -> Found {
    Found {
        gate: String::new(),
        at: Moment::default(),
        decided,
    }
}

impl FromStr for Before {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wanted =
            "write the number of a record, or TIME/GATE/NUMBER as an answer from the store says it";
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let (at, rest) = text.split_once('/').context(wanted)?;
        let (gate, seq) = rest.rsplit_once('/').context(wanted)?;
        Ok(Self::Cursor(Cursor {
            at: at.parse().ok().context(wanted)?,
            gate: gate.to_owned(),
            seq: seq.parse().context(wanted)?,
        }))
    }
}

/// Decisions whose lines are read at once.
const AT_ONCE: usize = 500;
