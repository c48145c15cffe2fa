//! What is known of all gates, asked for once: where the rows of each begin and end, and what each said of its end.

use std::collections::HashMap;

use super::bounds::Bounds;
use super::chain::Earlier;
use super::proof::handed_to;
use super::source::{Source, Tables};
use crate::store::StoreError;
use crate::store::ask::Asked;
use crate::store::gates::Gate;
use crate::value::Sha256Hex;

/// All gates, as they are when the first of them is verified.
#[derive(Debug, Default)]
pub struct Fleet {
    pub(super) gates: Vec<Gate>,
    pub(super) bounds: HashMap<i64, Bounds>,
    pub(super) ends: Vec<End>,
    /// Of gates whose rows end before what they had sent: which others have the record with which they said that their
    /// journal ends.
    heads: HashMap<String, Vec<String>>,
    /// There are more gates than are looked at.
    pub(super) has_more: bool,
}

/// Where the rows of a gate begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) gate: String,
    pub(super) first: u64,
    /// What the first one names as the hash before it.
    pub(super) prev: Option<String>,
    pub(super) last: u64,
    pub(super) hash: String,
}

/// A record that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) gate: String,
    pub(super) seq: u64,
    pub(super) hash: String,
}

impl Asked {
    /// What has to be known of all gates before one of them is verified, or each.
    pub fn fleet(&self, gate: Option<&str>) -> Result<Fleet, StoreError> {
        let bounds = self.bounds()?;
        let tables = Tables {
            asked: self,
            bounds: &bounds,
        };
        let fleet = Fleet::of(&tables, self.gates()?, gate)?;
        Ok(Fleet { bounds, ..fleet })
    }

    /// Under which name the records behind the last one of a gate are here, as far as they say so.
    pub(in crate::store) fn goes_on_as(&self, gate: &str) -> Result<Option<String>, StoreError> {
        let fleet = self.fleet(Some(gate))?;
        if let Some(other) = fleet.heads(gate).next() {
            return Ok(Some(other.clone()));
        }
        let tables = Tables {
            asked: self,
            bounds: &fleet.bounds,
        };
        let next = handed_to(&tables, &fleet, gate)?.into_iter().next();
        Ok(next.map(|it| it.gate.clone()))
    }
}

impl Fleet {
    /// `gate`: only this one will be verified.
    pub(super) fn of(
        source: &impl Source,
        gates: Vec<Gate>,
        gate: Option<&str>,
    ) -> Result<Self, StoreError> {
        let mut ends = source.ends(MOST_GATES + 1)?;
        let mut has_more = ends.len() > MOST_GATES;
        ends.truncate(MOST_GATES);
        let mut fleet = Self {
            ends,
            ..Self::default()
        };
        let is_short = |it: &&Gate| it.shipped > fleet.end(&it.name).map_or(0, |end| end.last);
        let short = gates.iter().filter(is_short);
        let short = short.filter(|it| gate.is_none_or(|gate| gate == it.name));
        let short = short.filter(|it| it.head_hash.parse::<Sha256Hex>().is_ok());
        let pairs = short.flat_map(|short| {
            let ends = fleet.ends.iter().filter(|it| it.gate != short.name);
            let has = ends.filter(|it| (it.first..=it.last).contains(&short.head_seq));
            has.map(move |it| (&short.name, wanted(it, short)))
        });
        let mut pairs: Vec<(&String, Wanted)> = pairs.take(MOST_PAIRS + 1).collect();
        has_more |= pairs.len() > MOST_PAIRS;
        pairs.truncate(MOST_PAIRS);
        let (short, wanted): (Vec<&String>, Vec<Wanted>) = pairs.into_iter().unzip();
        let there = if wanted.is_empty() {
            Vec::new()
        } else {
            source.there(&wanted)?
        };
        let mut heads: HashMap<String, Vec<String>> = HashMap::new();
        for at in there {
            if let (Some(short), Some(wanted)) = (short.get(at), wanted.get(at)) {
                let others = heads.entry((*short).clone()).or_default();
                others.push(wanted.gate.clone());
            }
        }
        fleet.heads = heads;
        fleet.gates = gates;
        fleet.has_more = has_more;
        Ok(fleet)
    }

    /// What a gate said of itself.
    pub(super) fn said(&self, gate: &str) -> Option<&Gate> {
        self.gates.iter().find(|it| it.name == gate)
    }

    pub(super) fn end(&self, gate: &str) -> Option<&End> {
        self.ends.iter().find(|it| it.gate == gate)
    }

    /// Who else has the last record of a gate, by that one's word.
    pub(super) fn heads(&self, gate: &str) -> impl Iterator<Item = &String> {
        self.heads.get(gate).into_iter().flatten().take(MOST_HEADS)
    }

    /// The gates whose first record names the last one of this gate, and so on: the names that its journal got.
    pub(super) fn behind(&self, gate: &str) -> Vec<&End> {
        let mut behind: Vec<&End> = Vec::new();
        let mut newest = self.end(gate);
        while let Some(end) = newest
            && behind.len() < MOST_NAMES
        {
            newest = self.next(end).next();
            behind.extend(newest);
        }
        behind
    }

    /// The gates whose first record names this last one, a few of them.
    pub(super) fn next<'a>(&'a self, end: &'a End) -> impl Iterator<Item = &'a End> {
        let next = self.ends.iter().filter(|it| {
            end.last.checked_add(1) == Some(it.first) && it.prev.as_ref() == Some(&end.hash)
        });
        next.take(MOST_HEADS)
    }
}

impl Fleet {
    /// What names go on with behind the record with which their journal got another one.
    pub(super) fn beyond(&self, earlier: &[Earlier]) -> Vec<String> {
        let ends = earlier
            .iter()
            .filter_map(|it| Some((it, self.end(&it.gate)?.last)));
        let beyond = ends.filter(|(it, end)| *end > it.last);
        let note = |(Earlier { gate, last }, end): (&Earlier, u64)| {
            format!(
                "gate {gate} goes on up to record {end}, behind record {last}, with which this journal goes on under \
                 another name: a copy of the journal was used, or put back, under the old name, or somebody put those \
                 records there"
            )
        };
        beyond.map(note).collect()
    }
}

fn wanted(end: &End, short: &Gate) -> Wanted {
    Wanted {
        gate: end.gate.clone(),
        seq: short.head_seq,
        hash: short.head_hash.clone(),
    }
}

/// Names that one journal has had.
pub(super) const MOST_NAMES: usize = 100;
/// Gates that are looked at for what others lack, which others these are, and so many of one.
const MOST_GATES: usize = 1000;
const MOST_PAIRS: usize = 10_000;
const MOST_HEADS: usize = 8;
