//! Decisions in doubt, as whoever reads a journal from its beginning finds them.

use std::collections::{BTreeMap, BTreeSet};

use super::LISTED;
use crate::audit::Ending;
use crate::audit::chain::Link;
use crate::audit::event::Pruned;

/// Allowed decisions that wait for their outcome, for one that tells what became of them ([`Ending`]). `Which::Doubt` of the index means the same.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Doubt {
    waiting: BTreeMap<u64, String>,
    /// The oldest, where there are more than there is room for. Their outcomes are not looked for any more.
    more: u64,
    /// The ids of those whose records were deleted, and the number of the last record that says so.
    deleted: BTreeMap<String, u64>,
}

impl Doubt {
    pub(in crate::audit) fn see(&mut self, record: &Link<'_>) {
        match (&*record.kind, &*record.verdict) {
            ("decision", "allow") => {
                let number = record.seq.unwrap_or_default();
                let id = record.decision_id.clone().into_owned();
                self.waiting.insert(number, id);
                if self.waiting.len() > WAITING && self.waiting.pop_first().is_some() {
                    self.more += 1;
                }
            }
            ("outcome", _) if !Ending::of(&record.outcome, record.status).is_in_doubt() => {
                self.end(record);
            }
            // An operator has found out.
            ("settled", _) if record.found != "unknown" => self.end(record),
            _ => {}
        }
    }

    /// Takes over what a `pruned` record of this number says was in doubt.
    pub(in crate::audit) fn see_deleted(&mut self, pruned: &Pruned, seq: u64) {
        for id in &pruned.in_doubt {
            if self.deleted.len() < LISTED || self.deleted.contains_key(id) {
                self.deleted.insert(id.clone(), seq);
            }
        }
    }

    fn end(&mut self, record: &Link<'_>) {
        self.deleted.remove(&*record.decision_id);
        let meant = self.waiting.get(&record.decision_seq);
        if meant.is_some_and(|id| *id == record.decision_id) {
            self.waiting.remove(&record.decision_seq);
        }
    }

    /// Whether the next decision has room only in the place of the oldest.
    pub(in crate::audit) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING
    }

    /// Forgets decisions that are gone, and what records say that are gone: the last of them has taken that over.
    pub(in crate::audit) fn forget_before(&mut self, first: u64) {
        self.waiting = self.waiting.split_off(&first);
        self.deleted.retain(|_, seq| *seq >= first);
    }

    /// Whether a decision up to this number is in doubt, or one of which a record up to it says that it was.
    pub(in crate::audit) fn is_any_up_to(&self, last: u64) -> bool {
        let mut deleted = self.deleted.values();
        deleted.any(|seq| *seq <= last) || self.waiting.range(..=last).next().is_some()
    }

    /// Those, the ones that are deleted before the others.
    pub(in crate::audit) fn up_to(&self, last: u64) -> Vec<String> {
        let deleted = self.gone(|seq| seq <= last);
        let waiting = self.waiting.range(..=last);
        let waiting = waiting.map(|(_, id)| id.clone());
        deleted.into_iter().chain(waiting).collect()
    }

    /// Those whose records are there no more: a kill leaves what its `pruned` record says is deleted.
    pub(super) fn deleted(&self) -> Vec<String> {
        self.gone(|_| true)
    }

    fn gone(&self, is_meant: impl Fn(u64) -> bool) -> Vec<String> {
        if self.deleted.is_empty() {
            return Vec::new();
        }
        let there: BTreeSet<&String> = self.waiting.values().collect();
        let gone = self.deleted.iter();
        let gone = gone.filter(|(id, seq)| is_meant(**seq) && !there.contains(id));
        gone.map(|(id, _)| id.clone()).collect()
    }

    /// As many as are listed, and how many more there are.
    pub(super) fn some(self) -> (Vec<String>, u64) {
        let all = self.waiting.len();
        let some: Vec<String> = self.waiting.into_values().take(LISTED).collect();
        let more = self.more + (all - some.len()) as u64;
        (some, more)
    }
}

/// More than any gate has requests under way.
const WAITING: usize = 100_000;
