//! Keys that take turns.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Whoever is new comes last, and so does whoever just had his turn. Every step takes logarithmic time.
#[derive(Debug)]
pub(super) struct Round<K, V> {
    /// Keys by their place.
    places: BTreeMap<u64, K>,
    entries: HashMap<K, (u64, V)>,
    last: u64,
}

impl<K, V> Default for Round<K, V> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            entries: HashMap::new(),
            last: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V: Default> Round<K, V> {
    /// What a key has; one that was not here comes in, last.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        let (_, value) = self.entries.entry(key).or_insert_with(|| {
            self.last += 1;
            self.places.insert(self.last, key);
            (self.last, V::default())
        });
        value
    }

    pub(super) fn find(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Whose turn it is, who then is last.
    pub(super) fn turn(&mut self) -> Option<(K, &mut V)> {
        let (_, key) = self.places.pop_first()?;
        self.last += 1;
        self.places.insert(self.last, key);
        let (place, value) = self.entries.get_mut(&key)?;
        *place = self.last;
        Some((key, value))
    }

    pub(super) fn leave(&mut self, key: &K) {
        if let Some((place, _)) = self.entries.remove(key) {
            self.places.remove(&place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
