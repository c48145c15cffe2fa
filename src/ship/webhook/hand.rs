//! What waits to be told: the first few one by one, the others by number.

use std::collections::VecDeque;

use super::told::Told;

/// Records that were selected and have not arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    pub(super) told: VecDeque<Told>,
    /// Besides those.
    pub(super) more: u64,
    /// The numbers of all of them: from here, to there.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Hand {
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(super) fn count(&self) -> u64 {
        self.told.len() as u64 + self.more
    }

    /// Takes one more; of it only its number, where there are `most` already.
    pub(super) fn take(&mut self, seq: u64, most: usize, told: impl FnOnce() -> Told) {
        if self.is_empty() {
            self.first = seq;
        }
        self.last = seq;
        if self.told.len() < most && self.more == 0 {
            self.told.push_back(told());
        } else {
            self.more += 1;
        }
    }

    /// All of them by their number alone.
    pub(super) fn bare(&self) -> Self {
        Self {
            told: VecDeque::new(),
            more: self.count(),
            ..*self
        }
    }

    /// The first one, in a hand of its own.
    pub(super) fn split_first(&mut self) -> Option<Self> {
        let told = self.told.pop_front()?;
        let seq = told.seq;
        self.first = self.told.front().map_or(seq + 1, |next| next.seq);
        Some(Self {
            told: VecDeque::from([told]),
            more: 0,
            first: seq,
            last: seq,
        })
    }
}
