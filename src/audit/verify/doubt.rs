//! Decisions in doubt, as whoever reads a journal from its beginning finds them.

use std::collections::{BTreeMap, BTreeSet};

use super::LISTED;
use crate::audit::Ending;
use crate::audit::chain::Link;
use crate::audit::event::Pruned;

/// Allowed decisions that wait for their outcome, for one that tells what became of them ([`Ending`]). `Which::Doubt` of the index means the same.
#[derive(Debug, Default)]
pub(in crate::audit) struct Doubt {
    waiting: BTreeMap<u64, String>,
    /// The oldest, where there are more than there is room for. Their outcomes are not looked for any more.
    more: u64,
    /// The ids of those whose records were deleted.
    deleted: BTreeSet<String>,
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

    /// Takes over what a `pruned` record says was in doubt.
    pub(in crate::audit) fn see_deleted(&mut self, pruned: &Pruned) {
        let room = LISTED.saturating_sub(self.deleted.len());
        let ids = pruned.in_doubt.iter().take(room);
        self.deleted.extend(ids.cloned());
    }

    fn end(&mut self, record: &Link<'_>) {
        self.deleted.remove(&*record.decision_id);
        let meant = self.waiting.get(&record.decision_seq);
        if meant.is_some_and(|id| *id == record.decision_id) {
            self.waiting.remove(&record.decision_seq);
        }
    }

    pub(in crate::audit) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.deleted.is_empty()
    }

    /// Those that are deleted, the oldest there are, before the others.
    pub(in crate::audit) fn ids(self) -> Vec<String> {
        let deleted = self.deleted();
        deleted
            .into_iter()
            .chain(self.waiting.into_values())
            .collect()
    }

    /// Those whose records are there no more: a kill leaves what its `pruned` record says is deleted.
    pub(super) fn deleted(&self) -> Vec<String> {
        if self.deleted.is_empty() {
            return Vec::new();
        }
        let there: BTreeSet<&String> = self.waiting.values().collect();
        self.deleted
            .iter()
            .filter(|id| !there.contains(id))
            .cloned()
            .collect()
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
