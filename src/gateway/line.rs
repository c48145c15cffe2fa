//! What only so many can have at once (a core, a token), and callers who take turns at it.
//!
//! Whoever has to wait stands in a queue of his own. Addresses take turns, and within an address credentials do: a
//! client can invent a credential with every request, but no address; and behind a load balancer, where all share one
//! address, credentials tell them apart. So nobody waits for more than one turn of each other caller, however much
//! they ask for. Who waits here holds a slot of guarded requests: there are no more of them than of those.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::client::{Address, Credential, Who};
use super::rejection::{Reason, Shed};
use crate::telemetry::Limit;
use round::Round;

mod round;

/// Where they wait. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many requests of one caller may wait.
    queue: usize,
    /// How long one may.
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: usize,
    waiting: usize,
    arrivals: u64,
    addresses: Round<Address, Round<Credential, Queue>>,
}

/// Requests of one caller, in the order in which they came.
type Queue = BTreeMap<u64, oneshot::Sender<Turn>>;

/// The right to have it, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Line);

/// Why somebody does not get a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Crowded {
    /// The caller's queue is full.
    Full,
    /// It took too long.
    Late,
}

impl Crowded {
    /// What the client is told.
    pub(super) fn shed(self) -> Shed {
        match self {
            Self::Full => TOO_MANY,
            Self::Late => TOO_LATE,
        }
    }
}

/// Where a request stands; it leaves when this is dropped.
struct Place {
    line: Line,
    who: Who,
    arrival: u64,
}

impl Line {
    /// For so many at once; of one caller so many may wait, each so long.
    pub(super) fn new(at_once: usize, queue: usize, timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            queue,
            timeout,
            state: Mutex::new(State {
                idle: at_once,
                ..State::default()
            }),
        }))
    }

    /// Does the work on a thread beside those that move bytes, when it is the caller's turn. Whoever stops waiting
    /// leaves the queue; work that has begun is done to its end, and until then nobody has its turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        who: Who,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let turn = self.turn(who).await.map_err(Crowded::shed)?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(|_panic| Reason::Panic)
    }

    /// Does work that grows with the length of a text: here, where that is short and takes no longer than a turn would
    /// cost; else like [`Self::run`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        who: Who,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        if length <= SHORT {
            return Ok(work());
        }
        self.run(who, work).await
    }

    /// How many requests wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Whether nobody else has this line, to wait in or to have a turn.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// A turn, if there is one now.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        let mut state = self.state();
        state.idle = state.idle.checked_sub(1)?;
        Some(Turn(self.clone()))
    }

    /// Waits for a turn. Whoever stops waiting leaves the queue.
    pub(super) async fn turn(&self, who: Who) -> Result<Turn, Crowded> {
        let (granted, _place) = {
            let mut state = self.state();
            if state.idle > 0 {
                state.idle -= 1;
                return Ok(Turn(self.clone()));
            }
            let (arrival, granted) = state.stand(who, self.0.queue)?;
            let place = Place {
                line: self.clone(),
                who,
                arrival,
            };
            (granted, place)
        };
        match tokio::time::timeout(self.0.timeout, granted).await {
            Ok(Ok(turn)) => Ok(turn),
            // The other end is in the queue until this one leaves it.
            Ok(Err(_)) | Err(_) => Err(Crowded::Late),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is called under the lock panics.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A place at the end of the caller's queue.
    fn stand(&mut self, who: Who, most: usize) -> Result<(u64, oneshot::Receiver<Turn>), Crowded> {
        let queue = self.addresses.entry(who.address).entry(who.credential);
        if queue.len() >= most {
            return Err(Crowded::Full);
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
        let who = Who {
            address,
            credential,
        };
        self.leave(who, arrival)
    }

    /// Takes a request out of its queue, and out of the round who has no other.
    fn leave(&mut self, who: Who, arrival: u64) -> Option<oneshot::Sender<Turn>> {
        let credentials = self.addresses.find(&who.address)?;
        let queue = credentials.find(&who.credential)?;
        let grant = queue.remove(&arrival)?;
        if queue.is_empty() {
            credentials.leave(&who.credential);
        }
        if credentials.is_empty() {
            self.addresses.leave(&who.address);
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
        let left = self.line.state().leave(self.who, self.arrival);
        drop(left);
    }
}

/// Bytes that are read where bytes are moved: nearly every guarded request has fewer.
const SHORT: usize = 4 << 10;

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
