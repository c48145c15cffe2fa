//! Counts by caller and minute. Pure: whoever asks brings the time.
//!
//! A caller is here while something of it is not older than an hour, or until there are too many others: then its count
//! begins anew. Those who have proven who they are, or whose credential Dynatrace has taken, have a place of their own:
//! whoever invents credentials pushes out none of them. A count is exact to a minute: never less than an hour, and never
//! more than a minute more.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use lru::LruCache;

use super::Entry;
use crate::policy::input::Amounts;

/// A minute, counted from 1970.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Minute(i64);

pub(super) struct Table {
    known: LruCache<Arc<str>, Counts>,
    /// Nobody has said yet that their credentials are any.
    strangers: LruCache<Arc<str>, Counts>,
}

/// By minute, in the order in which they came.
type Counts = VecDeque<(Minute, Amounts)>;

impl Minute {
    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(60))
    }

    /// The first that counts now.
    fn first(self) -> Self {
        Self(self.0.saturating_sub(60))
    }
}

impl Table {
    /// `most`: known callers, and as many strangers.
    pub(super) fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        Self {
            known: LruCache::new(most),
            strangers: LruCache::new(most),
        }
    }

    /// What a caller's changes came to. Minutes that are still to come, because the clock was set back, count too.
    pub(super) fn sum(&self, caller: &str, now: Minute) -> Amounts {
        let counts = self.known.peek(caller);
        let counts = counts.or_else(|| self.strangers.peek(caller));
        let recent = counts
            .into_iter()
            .flatten()
            .filter(|(minute, _)| *minute >= now.first());
        recent.fold(Amounts::default(), |sum, (_, more)| plus(sum, *more))
    }

    /// Adds to a caller's count. Whether another was forgotten of whom something still counted.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        let Entry {
            caller,
            minute,
            amounts,
            is_proven,
        } = entry;
        let counts = self.known.get_mut(caller);
        if let Some(counts) = counts.or_else(|| self.strangers.get_mut(caller)) {
            counts.retain(|(at, _)| *at >= minute.first());
            match counts.iter_mut().find(|(at, _)| at == minute) {
                Some((_, sum)) => *sum = plus(*sum, *amounts),
                None => counts.push_back((*minute, *amounts)),
            }
            return false;
        }
        let counts = Counts::from([(*minute, *amounts)]);
        let callers = if *is_proven {
            &mut self.known
        } else {
            &mut self.strangers
        };
        let forgotten = callers.push(caller.clone(), counts);
        forgotten.is_some_and(|(_, counts)| still_counts(&counts, *minute))
    }

    /// Dynatrace has taken the caller's credential: it is a stranger no more. Whether another was forgotten for it of whom
    /// something still counted.
    pub(super) fn accept(&mut self, entry: &Entry) -> bool {
        let Some((caller, counts)) = self.strangers.pop_entry(&entry.caller) else {
            return false;
        };
        let forgotten = self.known.push(caller, counts);
        forgotten.is_some_and(|(_, counts)| still_counts(&counts, entry.minute))
    }

    /// The same did not happen.
    pub(super) fn take_back(&mut self, entry: &Entry) {
        let counts = self.known.peek_mut(&entry.caller);
        let Some(counts) = counts.or_else(|| self.strangers.peek_mut(&entry.caller)) else {
            return;
        };
        for (_, sum) in counts.iter_mut().filter(|(at, _)| *at == entry.minute) {
            *sum = minus(*sum, entry.amounts);
        }
        counts.retain(|(_, sum)| *sum != Amounts::default());
        if counts.is_empty() {
            // Who is known stays known.
            self.strangers.pop(&entry.caller);
        }
    }

    /// How many callers something is known of.
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.strangers.len()
    }
}

fn still_counts(counts: &Counts, now: Minute) -> bool {
    counts.iter().any(|(at, _)| *at >= now.first())
}

fn plus(one: Amounts, other: Amounts) -> Amounts {
    each(one, other, u64::saturating_add)
}

fn minus(one: Amounts, other: Amounts) -> Amounts {
    each(one, other, u64::saturating_sub)
}

fn each(one: Amounts, other: Amounts, of: fn(u64, u64) -> u64) -> Amounts {
    Amounts {
        created: of(one.created, other.created),
        scopes_gained: of(one.scopes_gained, other.scopes_gained),
        removed: of(one.removed, other.removed),
    }
}
