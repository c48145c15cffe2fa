//! How much may be written about requests that are refused: so many records a minute for a caller, for an address,
//! and for the gate as a whole.
//!
//! Pure: whoever asks brings the time. A bucket is kept as the moment at which it will be full again, so that one
//! that is full need not be kept at all. Memory is bounded by the table, and what is written by the bucket of the
//! gate, whatever the table has forgotten.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

use super::client::Address;
use crate::audit::event::Caller;
use crate::dynatrace::token::TokenId;

/// Who pays for what is written about a request.
#[derive(Clone, Debug)]
pub(super) struct Payer {
    own: Key,
    address: Address,
    /// For people: what is not proven is claimed, and anybody can claim it.
    caller: Arc<Caller>,
}

/// Whose bucket it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Key {
    /// A credential, by the keyed hash of all of it: a public id could be borrowed to use up another's budget.
    Credential(TokenId),
    /// Everybody at an address.
    Address(Address),
    /// Those at an address who show no credential.
    Strangers(Address),
}

/// Nothing is left, and whose bucket it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spent {
    Caller(Duration),
    /// There is room again after so long.
    Address(Duration),
    /// Nobody in particular is to blame.
    Gate,
}

/// Records of one kind.
#[derive(Debug)]
pub(super) struct Budget {
    amount: NonZeroU32,
    /// When each bucket is full again. Whoever is not here has a full one.
    full: LruCache<Key, Instant>,
    gate: Option<Instant>,
    /// Credentials that Dynatrace accepted, and when.
    accepted: LruCache<Key, Instant>,
}

impl Payer {
    /// `credential`: a name that nobody can make who does not have the credential.
    pub(super) fn new(credential: Option<TokenId>, address: Address, caller: Arc<Caller>) -> Self {
        Self {
            own: credential.map_or(Key::Strangers(address), Key::Credential),
            address,
            caller,
        }
    }

    pub(super) fn address(&self) -> Address {
        self.address
    }

    pub(super) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

impl Budget {
    /// `amount`: for one caller a minute. Saved up is as much as for one minute.
    pub(super) fn new(amount: NonZeroU32) -> Self {
        Self {
            amount,
            full: LruCache::new(BUCKETS),
            gate: None,
            accepted: LruCache::new(BUCKETS),
        }
    }

    /// Dynatrace has accepted the credential: for some time it pays from its own bucket alone, and whoever invents
    /// credentials takes nothing from it.
    pub(super) fn accept(&mut self, payer: &Payer, now: Instant) {
        if matches!(payer.own, Key::Credential(_)) {
            self.accepted.push(payer.own.clone(), now);
        }
    }

    fn is_accepted(&mut self, own: &Key, now: Instant) -> bool {
        let accepted = self.accepted.get(own);
        accepted.is_some_and(|at| now.saturating_duration_since(*at) < ACCEPTED)
    }

    /// Takes `cost` out of the buckets of caller, address and gate, if there is something left in each of them, and
    /// says how many buckets that were not full had to be forgotten for it. A cost that is more than what is left is
    /// owed; one that is more than the whole budget of a caller uses that up and no more.
    pub(super) fn take(&mut self, payer: &Payer, cost: u32, now: Instant) -> Result<usize, Spent> {
        let (own, address) = (&payer.own, Key::Address(payer.address));
        let accepted = self.is_accepted(own, now);
        let own_wait = wait(self.full.get(own).copied(), self.interval(ONE), now);
        if accepted {
            return match own_wait {
                Some(wait) => Err(Spent::Caller(wait)),
                None => Ok(self.pay(own, cost.min(self.amount.get()), ONE, now)),
            };
        }
        let address_wait = wait(
            self.full.get(&address).copied(),
            self.interval(ADDRESS),
            now,
        );
        match (own_wait, address_wait) {
            (Some(wait), other) => return Err(Spent::Caller(wait.max(other.unwrap_or_default()))),
            (None, Some(wait)) => return Err(Spent::Address(wait)),
            (None, None) => {}
        }
        if wait(self.gate, self.interval(GATE), now).is_some() {
            return Err(Spent::Gate);
        }
        let cost = cost.min(self.amount.get());
        self.gate = Some(after(self.gate, self.interval(GATE) * cost, now));
        let of_own = self.pay(own, cost, ONE, now);
        Ok(of_own + self.pay(&address, cost, ADDRESS, now))
    }

    /// Takes it out of one bucket, and says how many that were not full had to be forgotten for it.
    fn pay(&mut self, key: &Key, cost: u32, share: NonZeroU32, now: Instant) -> usize {
        let taken = self.interval(share) * cost;
        let full = after(self.full.peek(key).copied(), taken, now);
        let gone = self.full.push(key.clone(), full);
        usize::from(gone.is_some_and(|(of, full)| of != *key && full > now))
    }

    /// How long it takes until there is one more in the bucket of so many callers.
    fn interval(&self, callers: NonZeroU32) -> Duration {
        MINUTE / self.amount.saturating_mul(callers).get()
    }
}

/// How long until there is one in a bucket; `None`: there is.
fn wait(full: Option<Instant>, interval: Duration, now: Instant) -> Option<Duration> {
    let missing = full?.saturating_duration_since(now);
    let wait = (missing + interval).saturating_sub(MINUTE);
    (!wait.is_zero()).then_some(wait)
}

/// When a bucket is full again, once something was taken out.
fn after(full: Option<Instant>, taken: Duration, now: Instant) -> Instant {
    full.map_or(now, |full| full.max(now)) + taken
}

/// How many callers' budgets a caller has, an address, and the gate.
const ONE: NonZeroU32 = NonZeroU32::MIN;
const ADDRESS: NonZeroU32 = NonZeroU32::new(10).expect("more than none");
const GATE: NonZeroU32 = NonZeroU32::new(30).expect("more than none");

/// What budgets are for, and what can be saved up.
const MINUTE: Duration = Duration::from_mins(1);

/// How long a credential counts as accepted.
const ACCEPTED: Duration = Duration::from_mins(15);

/// Buckets that are kept, and accepted credentials; the one that was used least recently goes.
const BUCKETS: NonZeroUsize = NonZeroUsize::new(4096).expect("more than none");

#[cfg(test)]
mod tests;
