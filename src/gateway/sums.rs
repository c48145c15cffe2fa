//! What is counted instead of being written: how many, since when, of what kind, by whom.
//!
//! Bounded, whatever is counted: kinds and parties past the first are counted together. Every count adds up:
//! nothing is forgotten, and nothing counted twice.

use std::sync::Arc;

use jiff::Timestamp;

use super::budget::Payer;
use super::client::Address;
use crate::audit::event::{Caller, Event, Record, Suppressed, SuppressedBy, SuppressedKind};
use crate::value::rfc3339_millis;

/// What was refused, in words of our own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    pub(super) reason: &'static str,
    pub(super) operation: Option<&'static str>,
}

/// Refusals that were counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    span: Option<(Timestamp, Timestamp)>,
    count: u64,
    kinds: Tally<Kind>,
    parties: Tally<Party>,
}

/// Who was refused: a caller, or everybody at an address.
#[derive(Clone, Debug, PartialEq)]
struct Party {
    address: Address,
    caller: Option<Arc<Caller>>,
}

/// Counts of the first that came, and of all others together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally<T> {
    first: Vec<(T, u64)>,
    others: u64,
}

impl Sums {
    /// Counts one. `of_caller`: the caller is to be named, not only its address.
    pub(super) fn count(&mut self, payer: &Payer, of_caller: bool, kind: Kind, time: Timestamp) {
        self.widen((time, time));
        self.count += 1;
        self.kinds.add(&kind, 1);
        let party = Party {
            address: payer.address(),
            caller: Some(payer.caller())
                .filter(|caller| of_caller && !caller.is_unknown())
                .cloned(),
        };
        self.parties.add(&party, 1);
    }

    /// Counts one of whom nobody is to be named.
    pub(super) fn count_unnamed(&mut self, kind: Kind, time: Timestamp) {
        self.widen((time, time));
        self.count += 1;
        self.kinds.add(&kind, 1);
        self.parties.others += 1;
    }

    /// Takes back what could not be written down.
    pub(super) fn add(&mut self, other: &Self) {
        if let Some(span) = other.span {
            self.widen(span);
        }
        self.count += other.count;
        self.kinds.add_all(&other.kinds);
        self.parties.add_all(&other.parties);
    }

    fn widen(&mut self, (first, last): (Timestamp, Timestamp)) {
        self.span = Some(match self.span {
            Some((before, after)) => (before.min(first), after.max(last)),
            None => (first, last),
        });
    }

    /// The record of it; `None`: nothing was counted.
    pub(super) fn record(&self, time: Timestamp) -> Option<Record> {
        let (first, last) = self.span?;
        let kinds = self.kinds.first.iter().map(|(kind, count)| SuppressedKind {
            reason: kind.reason,
            operation: kind.operation,
            count: *count,
        });
        let parties = self
            .parties
            .first
            .iter()
            .map(|(party, count)| SuppressedBy {
                requested_by: (&party.address).into(),
                caller: party.caller.as_deref(),
                count: *count,
            });
        let event = Event::Suppressed(Suppressed {
            timestamp: time,
            first,
            last,
            count: self.count,
            reasons: kinds.collect(),
            other_reasons: self.kinds.others,
            callers: parties.collect(),
            other_callers: self.parties.others,
        });
        Some(event.record())
    }

    /// Says it in one line of the log, if anything was counted.
    pub(super) fn log(&self) {
        let Some((first, last)) = self.span else {
            return;
        };
        let kinds = self
            .kinds
            .first
            .iter()
            .map(|(kind, count)| match kind.operation {
                Some(operation) => format!("{} of {operation}: {count}", kind.reason),
                None => format!("{}: {count}", kind.reason),
            });
        let parties = self
            .parties
            .first
            .iter()
            .map(|(party, count)| match &party.caller {
                Some(caller) => format!("{} at {}: {count}", caller.name(), party.address),
                None => format!("{}: {count}", party.address),
            });
        tracing::warn!(
            count = self.count,
            first = %rfc3339_millis(first),
            last = %rfc3339_millis(last),
            reasons = kinds.collect::<Vec<_>>().join(", "),
            other_reasons = self.kinds.others,
            callers = parties.collect::<Vec<_>>().join(", "),
            other_callers = self.parties.others,
            "refused requests without a line of their own"
        );
    }
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            others: 0,
        }
    }
}

impl<T: Clone + PartialEq> Tally<T> {
    /// One of these.
    pub(super) fn of(what: T) -> Self {
        Self {
            first: vec![(what, 1)],
            others: 0,
        }
    }

    pub(super) fn first(&self) -> impl Iterator<Item = (&T, u64)> {
        self.first.iter().map(|(what, count)| (what, *count))
    }

    pub(super) fn others(&self) -> u64 {
        self.others
    }

    fn add(&mut self, what: &T, count: u64) {
        if let Some((_, sum)) = self.first.iter_mut().find(|(known, _)| known == what) {
            *sum += count;
        } else if self.first.len() < ENTRIES {
            self.first.push((what.clone(), count));
        } else {
            self.others += count;
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (what, count) in &other.first {
            self.add(what, *count);
        }
        self.others += other.others;
    }
}

/// Of each, those that are counted by themselves.
const ENTRIES: usize = 32;

#[cfg(test)]
mod tests;
