//! Work that takes a core: as much of it at once as there are cores, and callers take turns.
//!
//! Whoever has to wait stands in a queue of his own. Addresses take turns, and within an address credentials do: a
//! client can invent a credential with every request, but no address; and behind a load balancer, where all share one
//! address, credentials tell them apart. So nobody waits for more than one turn of each other caller, however much
//! they ask for. Who waits here holds a slot of guarded requests: there are no more of them than of those.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::client::Address;
use super::rejection::{Reason, Shed};
use crate::dynatrace::token::TokenSecret;
use crate::telemetry::Limit;
use round::Round;

mod round;

/// Threads for work that is not done where bytes are moved. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Judges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many requests of one caller may wait.
    queue: usize,
    /// How long one may.
    timeout: Duration,
    /// Its keys are this process's secret: nobody can choose a credential that is counted as another's.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: usize,
    waiting: usize,
    arrivals: u64,
    addresses: Round<Address, Round<Credential, Queue>>,
}

/// A credential's hash.
type Credential = u64;

/// Requests of one caller, in the order in which they came.
type Queue = BTreeMap<u64, oneshot::Sender<Turn>>;

/// The right to keep one core busy, until it is dropped.
#[derive(Debug)]
struct Turn(Judges);

/// Where a request stands; it leaves when this is dropped.
struct Place {
    judges: Judges,
    address: Address,
    credential: Credential,
    arrival: u64,
}

impl Judges {
    pub(super) fn new(cores: usize, queue: usize, timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            queue,
            timeout,
            hasher: RandomState::new(),
            state: Mutex::new(State {
                idle: cores,
                ..State::default()
            }),
        }))
    }

    /// Does the work when it is the caller's turn. Whoever stops waiting leaves the queue; work that has begun is
    /// done to its end, and until then nobody has its turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        address: Address,
        credential: Option<&TokenSecret>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let credential = self.0.hasher.hash_one(credential.map(TokenSecret::expose));
        let turn = self.turn(address, credential).await?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(|_panic| Reason::Panic)
    }

    /// How many requests wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting
    }

    async fn turn(&self, address: Address, credential: Credential) -> Result<Turn, Shed> {
        let (granted, _place) = {
            let mut state = self.state();
            if state.idle > 0 {
                state.idle -= 1;
                return Ok(Turn(self.clone()));
            }
            let arrival = state.stand(address, credential, self.0.queue)?;
            let place = Place {
                judges: self.clone(),
                address,
                credential,
                arrival: arrival.0,
            };
            (arrival.1, place)
        };
        match tokio::time::timeout(self.0.timeout, granted).await {
            Ok(Ok(turn)) => Ok(turn),
            // The other end is in the queue until this one leaves it.
            Ok(Err(_)) | Err(_) => Err(TOO_LATE),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is called under the lock panics.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A place at the end of the caller's queue.
    fn stand(
        &mut self,
        address: Address,
        credential: Credential,
        most: usize,
    ) -> Result<(u64, oneshot::Receiver<Turn>), Shed> {
        let queue = self.addresses.entry(address).entry(credential);
        if queue.len() >= most {
            return Err(TOO_MANY);
        }
        let (grant, granted) = oneshot::channel();
        let arrival = self.arrivals;
        queue.insert(arrival, grant);
        self.arrivals += 1;
        self.waiting += 1;
        Ok((arrival, granted))
    }

    /// The request whose turn it is leaves its queue. `None`: nobody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (address, credentials) = self.addresses.turn()?;
        let (credential, queue) = credentials.turn()?;
        let (arrival, _) = queue.first_key_value()?;
        let arrival = *arrival;
        self.leave(address, credential, arrival)
    }

    /// Takes a request out of its queue, and out of the round who has no other.
    fn leave(
        &mut self,
        address: Address,
        credential: Credential,
        arrival: u64,
    ) -> Option<oneshot::Sender<Turn>> {
        let credentials = self.addresses.find(&address)?;
        let queue = credentials.find(&credential)?;
        let grant = queue.remove(&arrival)?;
        if queue.is_empty() {
            credentials.leave(&credential);
        }
        if credentials.is_empty() {
            self.addresses.leave(&address);
        }
        self.waiting -= 1;
        Some(grant)
    }
}

impl Drop for Turn {
    /// The next one's turn.
    fn drop(&mut self) {
        let mut state = self.0.state();
        let next = state.next();
        if next.is_none() {
            state.idle += 1;
        }
        drop(state);
        if let Some(grant) = next {
            // Where nobody takes it any more, it comes back and is dropped here: the one after that is next.
            drop(grant.send(Self(self.0.clone())));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self
            .judges
            .state()
            .leave(self.address, self.credential, self.arrival);
        drop(left);
    }
}

const TOO_MANY: Shed = Shed {
    limit: Limit::JudgeQueue,
    text: "too many requests of this caller wait to be judged",
};

const TOO_LATE: Shed = Shed {
    limit: Limit::JudgeTimeout,
    text: "the request waited too long to be judged",
};

#[cfg(test)]
mod tests;
