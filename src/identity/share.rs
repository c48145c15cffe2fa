//! How much of the work on tokens one address may cause: who waits for keys, and who for its signature to be checked.
//!
//! A token is checked before anybody is known by it, so that until then there is nothing but the address. Behind a load
//! balancer that is everybody's: so whoever sends wrong tokens takes turns with all others, and uses nothing up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::Semaphore;

use crate::telemetry::Limit;
use crate::value::Share;

/// Where a request is from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The address, or the network that counts as one.
    pub address: IpAddr,
    /// What one address may have of what there is for all.
    pub share: Share,
    /// How many may wait for a signature to be checked, from all addresses.
    pub signatures: usize,
}

/// Places to wait in.
#[derive(Debug)]
pub(super) struct Places {
    /// What is reached when all are taken, and when an address has its share.
    exceeded: [Limit; 2],
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

/// Checks signatures: a few at a time, so that there is always time for everything else, and in the order in which they
/// came.
#[derive(Debug)]
pub(super) struct Checks {
    running: Semaphore,
    waiting: Places,
    known: Mutex<Known>,
}

/// Tokens that were good once: who has one does not wait behind those of whom nothing is known.
#[derive(Debug)]
struct Known {
    tokens: LruCache<u64, ()>,
    hasher: RandomState,
}

impl Places {
    pub(super) fn new(exceeded: [Limit; 2]) -> Self {
        Self {
            exceeded,
            taken: Mutex::default(),
        }
    }

    /// One of so many. Or the limit that is reached: of all, or of the address.
    pub(super) fn take(&self, origin: Origin, most: usize) -> Result<Place<'_>, Limit> {
        let [of_all, of_address] = self.exceeded;
        let each = origin.share.of(most).max(1);
        let mut taken = self.taken();
        if taken.all >= most {
            return Err(of_all);
        }
        let own = taken.by.entry(origin.address).or_default();
        if *own >= each {
            return Err(of_address);
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

impl Default for Checks {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            // The other half is for everything else.
            running: Semaphore::new((cores / 2).max(1)),
            waiting: Places::new([Limit::JwtSignatures, Limit::JwtSignaturesPerAddress]),
            known: Mutex::new(Known {
                tokens: LruCache::new(MOST_KNOWN),
                hasher: RandomState::new(),
            }),
        }
    }
}

impl Checks {
    /// Whether a token is good, as soon as it is its turn. Or the limit that is reached by all who wait.
    pub(super) async fn check(
        &self,
        origin: Origin,
        token: &str,
        verify: impl FnOnce() -> bool,
    ) -> Result<bool, Limit> {
        let _turn = if self.is_known(token) {
            None
        } else {
            let _place = self.waiting.take(origin, origin.signatures)?;
            // Nobody closes it.
            self.running.acquire().await.ok()
        };
        let is_good = verify();
        if is_good {
            let mut known = self.known();
            let hash = known.hasher.hash_one(token);
            known.tokens.put(hash, ());
        }
        Ok(is_good)
    }

    fn is_known(&self, token: &str) -> bool {
        let mut known = self.known();
        let hash = known.hasher.hash_one(token);
        known.tokens.get(&hash).is_some()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Good tokens that are remembered; the one that was seen least recently goes.
const MOST_KNOWN: NonZeroUsize = NonZeroUsize::new(4096).expect("more than none");

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    fn origin(last: u8) -> Origin {
        Origin {
            address: IpAddr::from([10, 0, 0, last]),
            share: Share::percent(25),
            signatures: 8,
        }
    }

    #[test]
    fn one_address_takes_its_share_of_the_places_and_leaves_the_rest() {
        let places = Places::new([Limit::JwksWaiting, Limit::JwksWaitingPerAddress]);
        let take = |last| places.take(origin(last), 8);
        let own: Vec<_> = (0..2).map(|_| take(1).unwrap()).collect();
        assert_eq!(take(1).unwrap_err(), Limit::JwksWaitingPerAddress);
        let others: Vec<_> = (2..5).flat_map(|last| [take(last), take(last)]).collect();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(take(9).unwrap_err(), Limit::JwksWaiting);
        drop((own, others));
        assert!(places.taken().by.is_empty());
        assert_eq!(places.taken().all, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_known_waits_for_its_turn_in_its_addresss_share_of_the_places() {
        let checks = Arc::new(Checks::default());
        assert_eq!(checks.check(origin(1), "good", || true).await, Ok(true));
        let all = checks.running.available_permits();
        let busy = checks.running.acquire_many(u32::try_from(all).unwrap());
        let busy = busy.await.unwrap();
        let ask = |origin: Origin| {
            let checks = checks.clone();
            tokio::spawn(async move { checks.check(origin, "new", || false).await })
        };
        let mut waiting = vec![ask(origin(1)), ask(origin(1)), ask(origin(2))];
        yield_now().await;
        // Nobody lets it wait.
        let now = |origin| timeout(Duration::from_secs(1), checks.check(origin, "new", || true));
        let refused = now(origin(1)).await;
        assert_eq!(refused, Ok(Err(Limit::JwtSignaturesPerAddress)));
        // Who was known does not wait.
        assert_eq!(checks.check(origin(1), "good", || true).await, Ok(true));
        // Where one address has all there is, all there is holds.
        let shared = Origin {
            share: Share::percent(100),
            ..origin(1)
        };
        waiting.extend((0..5).map(|_| ask(shared)));
        yield_now().await;
        assert_eq!(now(shared).await, Ok(Err(Limit::JwtSignatures)));
        drop(busy);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(false));
        }
        assert!(checks.waiting.taken().by.is_empty());
    }
}
