//! What answers come from: a journal with its index, or the store, in which all gates meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

use super::Error;
use crate::audit::index::{By, Filter, Gaps, Index, Latency, Pattern, Sums, Unnamed, is_about};
use crate::audit::{Stop, on_disk};
use crate::store::{Asked, Cursor, Found, Key, Lines, Moment, Page, Question, SAMPLE};

/// What is asked.
pub enum Source {
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
pub enum Before {
    Number(u64),
    Cursor(Cursor),
}

/// How long it took.
pub struct Latencies {
    pub all: Vec<Latency>,
    /// Of how many decisions of each part, where it is not all of them.
    pub of: Option<usize>,
}

impl Source {
    /// A journal, by the index that a running gate keeps of it.
    pub fn of_gate(journal: &Path, index: &Path) -> Result<Self, Error> {
        let opened = Index::open_to_read(journal, index)?;
        let index = opened.ok_or_else(|| {
            let path = index.display();
            Error::Unopened(format!(
                "there is no index of the journal at {path} yet: is journal.index off?"
            ))
        })?;
        Ok(Self::Journal {
            index: Box::new(index),
            journal: journal.to_owned(),
        })
    }

    /// The same; of a store, only what this gate recorded. One that shows a single gate already goes on showing that.
    #[must_use]
    pub fn of_gate_only(self, name: Option<&str>) -> Self {
        match (self, name) {
            (
                Self::Store {
                    asked,
                    keys,
                    gate: None,
                },
                Some(name),
            ) => Self::Store {
                asked,
                gate: Some(name.to_owned()),
                keys,
            },
            (source, _) => source,
        }
    }

    /// The same; each question fails as soon as this is over.
    pub fn stop_at(self, stop: Stop) -> Result<Self, Error> {
        match self {
            Self::Journal { mut index, journal } => {
                index.stop_at(stop)?;
                Ok(Self::Journal { index, journal })
            }
            Self::Store {
                mut asked,
                gate,
                keys,
            } => {
                asked.stop_at(stop)?;
                Ok(Self::Store { asked, gate, keys })
            }
        }
    }

    /// The newest decisions that a filter lets through.
    pub fn find(
        &self,
        filter: &Filter,
        before: Option<&Before>,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut filter = filter.clone();
        let cursor = match (before, self) {
            (None, _) => None,
            (Some(Before::Cursor(_)), Self::Journal { .. }) => {
                return Err(Error::Before(
                    "--before takes the number of a record here: only the store has several gates",
                ));
            }
            (Some(Before::Number(_)), Self::Store { gate: None, .. }) => {
                return Err(Error::Before(
                    "--before takes a time, a gate and a number here, as the answer says it: numbers are of one --gate",
                ));
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

    /// The newest decisions of one gate that a filter lets through.
    pub fn find_of(&self, gate: &str, filter: &Filter, limit: usize) -> Result<Vec<Found>, Error> {
        let Self::Store { asked, .. } = self else {
            return Ok(self.find(filter, None, limit)?.decisions);
        };
        let question = Question {
            filter,
            gate: Some(gate),
            before: None,
        };
        Ok(asked.find(question, limit)?.decisions)
    }

    /// Of each gate of a store that is asked about, its newest decision: what a gate sends late is not among the newest of
    /// all.
    pub fn newest_of_gates(&self) -> Result<Vec<Key>, Error> {
        let Self::Store { asked, gate, .. } = self else {
            return Ok(Vec::new());
        };
        let mut newest = asked.newest()?;
        newest.retain(|it| gate.as_ref().is_none_or(|gate| *gate == it.gate));
        Ok(newest)
    }

    /// Of how many of these, from the first, the lines are read at once.
    pub fn at_once(&self, found: &[Found]) -> Result<usize, Error> {
        let some = found.get(..AT_ONCE).unwrap_or(found);
        Ok(match self {
            Self::Store { asked, .. } => asked.at_once(some)?,
            Self::Journal { .. } => some.len(),
        })
    }

    /// The lines of decisions. Of many, hand in some at a time ([`Self::at_once`]).
    pub fn lines(&self, found: &[Found]) -> Result<Vec<Lines>, Error> {
        let mut all = match self {
            Self::Store { asked, .. } => asked.lines(found)?,
            Self::Journal { index, .. } => {
                let line = |seq: Option<u64>| {
                    Ok::<_, Error>(seq.map(|seq| index.line(seq)).transpose()?.flatten())
                };
                let all = found.iter().map(|Found { decided, .. }| {
                    Ok::<_, Error>(Lines {
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

    /// A record as it was written.
    pub fn line(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.line(key.seq)?,
            Self::Store { asked, .. } => asked.line(key)?,
        })
    }

    pub fn decision(&self, key: &Key) -> Result<Option<Found>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.decision(key.seq)?.map(in_journal),
            Self::Store { asked, .. } => asked.decision(key)?,
        })
    }

    pub fn neighbours(&self, key: &Key) -> Result<(Option<u64>, Option<u64>), Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.neighbours(key.seq)?,
            Self::Store { asked, .. } => asked.neighbours(key)?,
        })
    }

    /// The decisions before and after a record, of the same gate.
    pub fn decisions_beside(&self, key: &Key) -> Result<(Option<u64>, Option<u64>), Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.decisions_beside(key.seq)?,
            Self::Store { asked, .. } => asked.decisions_beside(key)?,
        })
    }

    pub fn last_before(&self, kind: &str, key: &Key) -> Result<Option<u64>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.last_before(kind, key.seq)?,
            Self::Store { asked, .. } => asked.last_before(kind, key)?,
        })
    }

    /// The names of the policies of this revision, as they were written down when they came into force before a record.
    pub fn policies_in_force(
        &self,
        key: &Key,
        revision: Option<&Value>,
    ) -> Result<Option<Vec<Value>>, Error> {
        let mut before = key.clone();
        // Between it and the decision may be reloads that were refused, or that came while it was judged.
        for _ in 0..LOOKED_AT {
            let start = self.last_before("start", &before)?;
            let Some(last) = start.max(self.last_before("reload", &before)?) else {
                break;
            };
            before.seq = last;
            let line = self.line(&before)?.unwrap_or_default();
            let record: Value = serde_json::from_slice(&line).unwrap_or_default();
            if record.get("to").or_else(|| record.get("revision")) == revision {
                return Ok(record.get("policies").and_then(Value::as_array).cloned());
            }
        }
        Ok(None)
    }

    /// How many decisions there were, in each quarter of an hour.
    pub fn sums(&self, filter: &Filter, by: By) -> Result<Sums, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.sums(filter, by)?,
            Self::Store { asked, gate, .. } => asked.sums(all(filter, gate.as_deref()), by)?,
        })
    }

    /// The same in parts of so many milliseconds: of an hour or so.
    pub fn by_parts(&self, filter: &Filter, by: By, long: i64) -> Result<Sums, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.by_parts(filter, by, long)?,
            Self::Store { asked, gate, .. } => {
                asked.by_parts(all(filter, gate.as_deref()), by, long)?
            }
        })
    }

    /// How long policies and Dynatrace took from one moment until before another, in these environments: in parts of so
    /// many milliseconds, or shorter ones. The first begins at that moment.
    pub fn latencies(
        &self,
        times: (i64, i64),
        part: i64,
        environment: &[Pattern],
    ) -> Result<Latencies, Error> {
        Ok(match self {
            Self::Journal { index, .. } => Latencies {
                all: index.latencies(times, part, environment)?,
                of: None,
            },
            Self::Store { asked, gate, .. } => {
                let filter = Filter {
                    environment: environment.to_vec(),
                    ..Filter::default()
                };
                Latencies {
                    all: asked.latencies(all(&filter, gate.as_deref()), times, part)?,
                    of: Some(SAMPLE),
                }
            }
        })
    }

    /// The same over all of the time.
    pub fn totals(&self, filter: &Filter, by: By) -> Result<Sums, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.totals(filter, by)?,
            Self::Store { asked, gate, .. } => asked.totals(all(filter, gate.as_deref()), by)?,
        })
    }

    /// The policies that objected when somebody was refused, one that only warns too, and how often: for each of these
    /// names of callers, which decisions are counted by. The empty one stands for all of whom there is no name. All are
    /// looked for at once.
    pub fn objections(
        &self,
        filter: &Filter,
        by: By,
        names: &[&str],
    ) -> Result<Vec<BTreeMap<String, u64>>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.objections(filter, by, names)?,
            Self::Store { asked, gate, .. } => {
                asked.objections(all(filter, gate.as_deref()), by, names)?
            }
        })
    }

    /// What is not there of a journal. Of the store, `audit verify` tells it.
    pub fn gaps(&self, since: Option<i64>, until: Option<i64>) -> Result<Gaps, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.gaps(since, until)?,
            Self::Store { .. } => Gaps::default(),
        })
    }

    /// How many records of a journal are on disk, and not in its index.
    pub fn behind(&self) -> Result<u64, Error> {
        Ok(match self {
            Self::Journal { index, journal } => {
                let on_disk = on_disk(journal).unwrap_or_default();
                on_disk.saturating_sub(index.last()?)
            }
            Self::Store { .. } => 0,
        })
    }

    /// Of each gate that has written more than the store has: the last record that is there, by its number, and how many are
    /// not.
    pub fn unshipped(&self) -> Result<Vec<(Key, u64)>, Error> {
        let Self::Store { asked, gate, .. } = self else {
            return Ok(Vec::new());
        };
        let mut behind = Vec::new();
        let gates = asked.gates()?.into_iter();
        for it in gates.filter(|it| gate.as_ref().is_none_or(|gate| *gate == it.name)) {
            let seq = asked.last(&it.name)?;
            // What a gate says of itself is some seconds old, and what it has sent is there.
            let missing = it.head_seq.saturating_sub(it.shipped.max(seq));
            if missing > 0 {
                let key = Key { gate: it.name, seq };
                behind.push((key, missing));
            }
        }
        Ok(behind)
    }

    /// How many requests were refused of which there is no record, but one that counts them, written in this time.
    pub fn counted(&self, since: Option<i64>, until: Option<i64>) -> Result<u64, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.counted(since, until)?,
            Self::Store { asked, gate, .. } => asked.counted(gate.as_deref(), since, until)?,
        })
    }

    /// The gates of which a store has rows of this time that other builds have sent. An index is made anew by each build.
    pub fn sent_by_others(
        &self,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Vec<String>, Error> {
        let Self::Store { asked, gate, .. } = self else {
            return Ok(Vec::new());
        };
        let gates = match gate {
            Some(gate) => vec![gate.clone()],
            None => asked.recorded()?,
        };
        Ok(asked.sent_by_others(&gates, (since, until))?)
    }

    pub fn unnamed(&self, filter: &Filter) -> Result<Vec<Unnamed>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.unnamed(filter)?,
            Self::Store { asked, .. } => asked.unnamed(filter)?,
        })
    }

    pub fn found_by(&self, text: &str) -> Result<Vec<&'static str>, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.found_by(text)?,
            Self::Store { asked, .. } => asked.found_by(text)?,
        })
    }

    /// How many decisions have longer texts than are searched, as far as that is known.
    pub fn searched_in_part(&self) -> Result<u64, Error> {
        Ok(match self {
            Self::Journal { index, .. } => index.searched_in_part()?,
            Self::Store { .. } => 0,
        })
    }

    /// The directory that may hold keys of pseudonyms.
    pub fn keys(&self) -> Option<&Path> {
        match self {
            Self::Journal { journal, .. } => Some(journal),
            Self::Store { keys, .. } => keys.as_deref(),
        }
    }

    pub fn is_store(&self) -> bool {
        matches!(self, Self::Store { .. })
    }

    /// Whether an answer may have records of several gates.
    pub fn has_several_gates(&self) -> Result<bool, Error> {
        Ok(match self {
            Self::Store {
                asked, gate: None, ..
            } => asked.recorded()?.len() > 1,
            _ => false,
        })
    }

    /// The directory of the journal, where it is one.
    pub fn journal(&self) -> Option<&Path> {
        match self {
            Self::Journal { journal, .. } => Some(journal),
            Self::Store { .. } => None,
        }
    }

    /// The one gate that is asked about.
    pub fn gate(&self) -> Option<&str> {
        match self {
            Self::Store { gate, .. } => gate.as_deref(),
            Self::Journal { .. } => None,
        }
    }

    /// How a page goes on behind its last decision.
    pub fn next(&self, last: &Found) -> String {
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

/// What is asked of all pages.
fn all<'a>(filter: &'a Filter, gate: Option<&'a str>) -> Question<'a> {
    Question {
        filter,
        gate,
        before: None,
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
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let cursor = || {
            let (at, rest) = text.split_once('/')?;
            let (gate, seq) = rest.rsplit_once('/')?;
            Some(Self::Cursor(Cursor {
                at: at.parse().ok()?,
                gate: gate.to_owned(),
                seq: seq.parse().ok()?,
            }))
        };
        cursor().ok_or(Error::Before(
            "write the number of a record, or TIME/GATE/NUMBER as an answer from the store says it",
        ))
    }
}

/// Decisions whose lines are read at once.
const AT_ONCE: usize = 500;
/// Starts and reloads that are looked at for the policies of a decision.
const LOOKED_AT: usize = 100;
