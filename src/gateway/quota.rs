//! What there is only so much of, and how much of it each has: slots of requests, bytes of bodies; by address, or by
//! caller.
//!
//! Nobody gets more than his share, so that whoever takes all that he can get leaves the rest to others. It does not
//! know what is counted.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rejection::Shed;

/// An amount that is handed out. Clones hand out of the same.
#[derive(Debug)]
pub(super) struct Quota<K>(Arc<Shared<K>>);

/// Who holds: an address, or a caller.
pub(super) trait Holder: Copy + Eq + Hash + fmt::Debug {}

impl<K: Copy + Eq + Hash + fmt::Debug> Holder for K {}

#[derive(Debug)]
struct Shared<K> {
    all: usize,
    each: usize,
    /// Said when there is no more at all, and when there is no more for one of them.
    exceeded: [Shed; 2],
    held: Mutex<Held<K>>,
}

/// Only those who hold something are in it.
#[derive(Debug)]
struct Held<K> {
    all: usize,
    by: HashMap<K, usize>,
}

/// What somebody holds, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Portion<K: Holder> {
    quota: Quota<K>,
    holder: K,
    amount: usize,
}

impl<K> Clone for Quota<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Holder> Quota<K> {
    /// So much for all, and of it so much for each, but never less than `least`, which is what one request needs at most.
    pub(super) fn new(all: usize, each: usize, least: usize, exceeded: [Shed; 2]) -> Self {
        Self(Arc::new(Shared {
            all: all.max(least),
            each: each.max(least),
            exceeded,
            held: Mutex::new(Held {
                all: 0,
                by: HashMap::new(),
            }),
        }))
    }

    pub(super) fn take(&self, holder: K, amount: usize) -> Result<Portion<K>, Shed> {
        let mut portion = Portion {
            quota: self.clone(),
            holder,
            amount: 0,
        };
        portion.grow(amount)?;
        Ok(portion)
    }

    /// How much is handed out.
    pub(super) fn held(&self) -> usize {
        self.0.held().all
    }
}

impl<K> Shared<K> {
    fn held(&self) -> MutexGuard<'_, Held<K>> {
        // Plain numbers, changed together: they are true even if a thread panicked while it held the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Holder> Portion<K> {
    /// Takes more, or nothing.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), Shed> {
        let Shared {
            all,
            each,
            exceeded: [none, none_for_one],
            ..
        } = &*self.quota.0;
        let mut held = self.quota.0.held();
        if more > all - held.all {
            return Err(*none);
        }
        let held_by_one = held.by.get(&self.holder).copied().unwrap_or_default();
        if more > each.saturating_sub(held_by_one) {
            return Err(*none_for_one);
        }
        if more > 0 {
            held.all += more;
            held.by.insert(self.holder, held_by_one + more);
        }
        drop(held);
        self.amount += more;
        Ok(())
    }
}

impl<K: Holder> Drop for Portion<K> {
    fn drop(&mut self) {
        let mut held = self.quota.0.held();
        held.all -= self.amount;
        if let Some(held_by_one) = held.by.get_mut(&self.holder) {
            *held_by_one -= self.amount;
            if *held_by_one == 0 {
                held.by.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::gateway::client::Address;
    use crate::telemetry::Limit;

    const NONE: Shed = Shed {
        limit: Limit::InFlight,
        text: "none",
    };
    const NONE_FOR_ADDRESS: Shed = Shed {
        limit: Limit::InFlightPerAddress,
        text: "none for this address",
    };

    fn address(last: u8) -> Address {
        Address::from(IpAddr::from([10, 0, 0, last]))
    }

    fn quota(all: usize, least: usize) -> Quota<Address> {
        Quota::new(all, all / 4, least, [NONE, NONE_FOR_ADDRESS])
    }

    #[test]
    fn one_address_gets_its_share_and_leaves_the_rest_to_others() {
        let quota = quota(8, 1);
        let first: Vec<_> = (0..2).map(|_| quota.take(address(1), 1).unwrap()).collect();
        assert_eq!(quota.take(address(1), 1).unwrap_err(), NONE_FOR_ADDRESS);
        let others: Vec<_> = (2..8).map(|n| quota.take(address(n), 1).unwrap()).collect();
        assert_eq!(quota.take(address(9), 1).unwrap_err(), NONE);
        drop(first);
        drop(quota.take(address(1), 2).unwrap());
        drop(others);
        assert_eq!(quota.held(), 0);
        assert!(quota.0.held().by.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let quota = quota(100, 1);
        let mut portion = quota.take(address(1), 20).unwrap();
        assert_eq!(portion.grow(6).unwrap_err(), NONE_FOR_ADDRESS);
        assert_eq!(portion.grow(usize::MAX).unwrap_err(), NONE);
        assert_eq!(quota.held(), 20);
        portion.grow(5).unwrap();
        drop(portion);
        assert_eq!(quota.held(), 0);
        drop(quota.take(address(1), 0).unwrap());
        assert!(quota.0.held().by.is_empty());
    }

    #[test]
    fn a_share_is_enough_for_one_request() {
        assert!(quota(2, 1).take(address(1), 1).is_ok());
        assert!(quota(100, 150).take(address(1), 150).is_ok());
    }
}
