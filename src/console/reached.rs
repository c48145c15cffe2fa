//! Lines of policies that recorded requests reach when they are judged again, kept: a page that is loaded once more judges
//! only what came since. And the set by which a decision was made, for a page of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::Policy;
use crate::store::Key;

/// What one decision reaches.
#[derive(PartialEq)]
pub(super) struct Lines {
    /// Per file, its rows.
    pub(super) of: Vec<(String, Vec<u32>)>,
    /// Something that policies saw is masked, or has a pseudonym: it may have reached others.
    pub(super) is_veiled: bool,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Kept {
    lines: Mutex<OfSet>,
    /// The set that was loaded last.
    set: Mutex<Option<Policy>>,
}

/// What decisions reach of one set of policies.
#[derive(Default)]
struct OfSet {
    revision: String,
    of: HashMap<Key, Arc<Lines>>,
    rows: usize,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, OfSet> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a decision reaches of this set, where that is known.
    pub(super) fn lines(&self, policy: &Policy, key: &Key) -> Option<Arc<Lines>> {
        let kept = self.lock();
        let is_it = kept.revision == policy.revision();
        is_it.then(|| kept.of.get(key).cloned()).flatten()
    }

    /// Keeps what a decision reaches, as far as there is room.
    pub(super) fn keep(&self, policy: &Policy, key: Key, lines: Arc<Lines>) {
        let mut kept = self.lock();
        if kept.revision != policy.revision() {
            *kept = OfSet {
                revision: policy.revision().to_owned(),
                ..OfSet::default()
            };
        }
        let rows = rows(&lines);
        if kept.rows + rows <= MOST_ROWS && !kept.of.contains_key(&key) {
            kept.rows += rows;
            // Most requests reach the same.
            let same = kept.of.values().find(|it| **it == lines).cloned();
            kept.of.insert(key, same.unwrap_or(lines));
        }
    }

    /// Forgets all but these.
    pub(super) fn keep_only(&self, keys: &HashSet<Key>) {
        let mut kept = self.lock();
        kept.of.retain(|key, _| keys.contains(key));
        kept.rows = kept.of.values().map(|lines| rows(lines)).sum();
    }

    /// A set of this revision: the one that was loaded last, or the one that `load` finds.
    pub(super) fn set(
        &self,
        revision: &str,
        load: impl FnOnce() -> Option<Policy>,
    ) -> Option<Policy> {
        let mut last = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = last.as_ref().filter(|it| it.revision() == revision) {
            return Some(policy.clone());
        }
        let loaded = load().filter(|it| it.revision() == revision)?;
        *last = Some(loaded.clone());
        Some(loaded)
    }
}

fn rows(lines: &Lines) -> usize {
    lines.of.iter().map(|(_, rows)| rows.len()).sum()
}

/// Rows that are kept, of all decisions.
const MOST_ROWS: usize = 4_000_000;
