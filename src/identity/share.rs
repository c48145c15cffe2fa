//! How much of the work on tokens one address may cause: who waits for keys, and whose signatures are checked.
//!
//! A token is checked before anybody is known by it, so that until then there is nothing but the address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::telemetry::Limit;
use crate::value::Share;

/// Where a request is from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The address, or the network that counts as one.
    pub address: IpAddr,
    /// What one address may have of what there is for all.
    pub share: Share,
}

/// Places to wait in.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

/// Only those who wait are in it.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Place<'p> {
    places: &'p Places,
    address: IpAddr,
}

/// Signatures that were wrong, by address.
#[derive(Debug)]
pub(super) struct Forgeries(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    /// When each address has all of its budget again.
    full: LruCache<IpAddr, Instant>,
    /// Tokens that were good once: who has one is not kept from showing it by others at its address.
    good: LruCache<u64, ()>,
    hasher: RandomState,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
        }
    }

    /// The limit that is reached: of all, or of the address.
    pub(super) fn take(&self, origin: Origin) -> Result<Place<'_>, Limit> {
        let each = origin.share.of(self.most).max(1);
        let mut taken = self.taken();
        if taken.all >= self.most {
            return Err(Limit::JwksWaiting);
        }
        let own = taken.by.entry(origin.address).or_default();
        if *own >= each {
            return Err(Limit::JwksWaitingPerAddress);
        }
        *own += 1;
        taken.all += 1;
        drop(taken);
        Ok(Place {
            places: self,
            address: origin.address,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Plain numbers, changed together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.address);
            }
        }
    }
}

impl Default for Forgeries {
    fn default() -> Self {
        Self(Mutex::new(Seen {
            full: LruCache::new(MOST_KNOWN),
            good: LruCache::new(MOST_KNOWN),
            hasher: RandomState::new(),
        }))
    }
}

impl Forgeries {
    /// Whether the signature of a token from there is still checked.
    pub(super) fn may_check(&self, origin: Origin, token: &str) -> bool {
        let mut seen = self.seen();
        let full = seen.full.get(&origin.address);
        let missing = full.map(|full| full.saturating_duration_since(Instant::now()));
        let has_room = missing.is_none_or(|missing| missing + INTERVAL <= MINUTE);
        has_room || {
            let hash = seen.hasher.hash_one(token);
            seen.good.get(&hash).is_some()
        }
    }

    /// What came of it.
    pub(super) fn checked(&self, origin: Origin, token: &str, is_good: bool) {
        let mut seen = self.seen();
        if is_good {
            let hash = seen.hasher.hash_one(token);
            seen.good.put(hash, ());
        } else {
            let now = Instant::now();
            let full = seen.full.peek(&origin.address);
            let full = full.map_or(now, |full| now.max(*full)) + INTERVAL;
            seen.full.put(origin.address, full);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wrong signatures of one address: so many a minute, and no more saved up.
const MOST_FORGED: u32 = 600;
const MINUTE: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(60_000 / MOST_FORGED as u64);

/// Addresses that are remembered, and good tokens; the one that was seen least recently goes.
const MOST_KNOWN: NonZeroUsize = NonZeroUsize::new(4096).expect("more than none");

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin {
            address: IpAddr::from([10, 0, 0, last]),
            share: Share::percent(25),
        }
    }

    #[test]
    fn one_address_takes_its_share_of_the_places_and_leaves_the_rest() {
        let places = Places::new(8);
        let own: Vec<_> = (0..2).map(|_| places.take(origin(1)).unwrap()).collect();
        assert_eq!(
            places.take(origin(1)).unwrap_err(),
            Limit::JwksWaitingPerAddress
        );
        let others: Vec<_> = (2..5)
            .flat_map(|last| [places.take(origin(last)), places.take(origin(last))])
            .collect();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(places.take(origin(9)).unwrap_err(), Limit::JwksWaiting);
        drop((own, others));
        assert!(places.taken().by.is_empty());
        assert_eq!(places.taken().all, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_signatures_are_checked_so_often_a_minute_and_whoever_was_known_goes_on() {
        let forgeries = Forgeries::default();
        forgeries.checked(origin(1), "good", true);
        for _ in 0..MOST_FORGED {
            assert!(forgeries.may_check(origin(1), "bad"));
            forgeries.checked(origin(1), "bad", false);
        }
        assert!(!forgeries.may_check(origin(1), "bad"));
        assert!(!forgeries.may_check(origin(1), "good that is new"));
        assert!(forgeries.may_check(origin(1), "good"));
        assert!(forgeries.may_check(origin(2), "bad"));
        tokio::time::advance(INTERVAL).await;
        assert!(forgeries.may_check(origin(1), "bad"));
        forgeries.checked(origin(1), "bad", false);
        assert!(!forgeries.may_check(origin(1), "bad"));
    }
}
