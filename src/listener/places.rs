//! Places for connections: how many there are, how many one address may hold, and who has to leave when a
//! new client comes.
//!
//! The connection that has been without a request for longest makes room. Becoming idle or busy is one atomic
//! write; the order is put right only when somebody has to leave. Knows no socket.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::telemetry::{Limit, Metrics};

/// All places of a listener.
pub(super) struct Places {
    most: usize,
    most_per_address: usize,
    metrics: Metrics,
    started: Instant,
    state: Mutex<State>,
    /// A place was given up, or may be taken from somebody.
    room: Notify,
}

/// The place of one connection.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    address: IpAddr,
    /// Microseconds after `Places::started`, or [`PARKED`], [`BUSY`] or [`GONE`].
    idle_since: AtomicU64,
    /// Where it stands in the queue. Touched only by whoever holds the lock.
    queued: AtomicU64,
    leave: Notify,
}

/// A place that is given up when this is dropped.
pub(super) struct Taken(Arc<Place>);

struct State {
    /// Connections that are not over yet, those that were told to leave included.
    open: usize,
    next: u64,
    /// Those that were not told to leave. Whoever is idle stands at a moment that is not after the one since
    /// which it is; whoever is busy may stand anywhere.
    queue: BTreeMap<Rank, Arc<Place>>,
    addresses: HashMap<IpAddr, BTreeSet<Rank>>,
}

/// A moment, and who.
type Rank = (u64, u64);

/// What became of the wish for a place.
enum Wish {
    Granted(Taken),
    /// The address has as many as it may, all of them busy.
    Refused,
    /// There is no room yet.
    Waiting,
}

impl Places {
    pub(super) fn new(most: usize, most_per_address: usize, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_address,
            metrics,
            started: Instant::now(),
            state: Mutex::new(State {
                open: 0,
                next: 0,
                queue: BTreeMap::new(),
                addresses: HashMap::new(),
            }),
            room: Notify::new(),
        })
    }

    /// A place for a connection from `address`, as soon as there is one; `None` when the address has too many.
    pub(super) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Taken> {
        let address = network(address);
        let mut waited = false;
        loop {
            match self.wish(address, waited) {
                Wish::Granted(taken) => return Some(taken),
                Wish::Refused => return None,
                Wish::Waiting => self.room.notified().await,
            }
            waited = true;
        }
    }

    /// The place of another address, instead of one that was taken for it; `None` when that address has too many.
    pub(super) fn hand_over(self: &Arc<Self>, taken: Taken, address: IpAddr) -> Option<Taken> {
        let address = network(address);
        if address == taken.0.address {
            return Some(taken);
        }
        let handed = {
            let mut state = self.state();
            self.has_room_for(&mut state, address)
                .then(|| self.grant(&mut state, address))
        };
        // Not before: the room is its own.
        drop(taken);
        handed
    }

    /// Whoever has been idle for longest leaves, without anybody new.
    pub(super) fn shrink(&self) {
        let oldest = self.state().oldest(None);
        if let Some(oldest) = oldest {
            oldest.leave.notify_one();
        }
    }

    fn wish(self: &Arc<Self>, address: IpAddr, waited: bool) -> Wish {
        let mut state = self.state();
        if !self.has_room_for(&mut state, address) {
            return Wish::Refused;
        }
        if state.open < self.most {
            return Wish::Granted(self.grant(&mut state, address));
        }
        if !waited {
            self.metrics.reached(Limit::Connections);
        }
        // One that is leaving already is enough.
        let leaving = state.open > state.queue.len();
        if !leaving && let Some(oldest) = state.oldest(None) {
            oldest.leave.notify_one();
        }
        Wish::Waiting
    }

    /// Whether an address may have one more. Whoever of it has been idle for longest makes room.
    fn has_room_for(&self, state: &mut State, address: IpAddr) -> bool {
        let held = state.addresses.get(&address).map_or(0, BTreeSet::len);
        if held < self.most_per_address {
            return true;
        }
        self.metrics.reached(Limit::ConnectionsPerAddress);
        let oldest = state.oldest(Some(address));
        oldest.inspect(|oldest| oldest.leave.notify_one()).is_some()
    }

    fn grant(self: &Arc<Self>, state: &mut State, address: IpAddr) -> Taken {
        let since = self.moment(Instant::now());
        let place = Arc::new(Place {
            places: Arc::clone(self),
            id: state.next,
            address,
            idle_since: AtomicU64::new(since),
            queued: AtomicU64::new(since),
            leave: Notify::new(),
        });
        state.next += 1;
        state.open += 1;
        state.put(since, Arc::clone(&place));
        Taken(place)
    }

    fn moment(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.started).as_micros();
        u64::try_from(passed).map_or(PARKED - 1, |passed| passed.min(PARKED - 1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, moment: u64, place: Arc<Place>) {
        place.queued.store(moment, Ordering::Relaxed);
        let rank = (moment, place.id);
        self.addresses
            .entry(place.address)
            .or_default()
            .insert(rank);
        self.queue.insert(rank, place);
    }

    fn remove(&mut self, rank: Rank) -> Option<Arc<Place>> {
        let place = self.queue.remove(&rank)?;
        if let Some(ranks) = self.addresses.get_mut(&place.address) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.addresses.remove(&place.address);
            }
        }
        Some(place)
    }

    /// Takes whoever has been idle for longest, of all or of one address, out of the queue.
    ///
    /// The first in the queue is the one if it has been idle since the moment at which it stands there: nobody
    /// behind it has been idle for longer. If not, it goes where it belongs, and whoever is busy to the end, where
    /// it says itself when it becomes idle. So each stands in the way at most once for every time that it was busy.
    fn oldest(&mut self, address: Option<IpAddr>) -> Option<Arc<Place>> {
        loop {
            let rank = match address {
                Some(address) => *self.addresses.get(&address)?.first()?,
                None => *self.queue.first_key_value()?.0,
            };
            let (moment, _) = rank;
            if moment == PARKED {
                return None;
            }
            let place = self.remove(rank)?;
            match place.replace(moment, GONE) {
                Ok(()) => return Some(place),
                Err(BUSY) => match place.replace(BUSY, PARKED) {
                    Ok(()) => self.put(PARKED, place),
                    // It has just become idle: at this moment or later.
                    Err(_idle) => self.put(moment, place),
                },
                Err(since) => self.put(since, place),
            }
        }
    }
}

impl Place {
    /// A request has begun. `false`: too late, the connection was told to leave.
    pub(super) fn busy(&self) -> bool {
        let was = self
            .idle_since
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |since| {
                (since < PARKED).then_some(BUSY)
            });
        was != Err(GONE)
    }

    /// There is no request any more.
    pub(super) fn idle(&self, now: Instant) {
        let since = self.places.moment(now);
        if self.replace(BUSY, since) == Err(PARKED) && self.replace(PARKED, since).is_ok() {
            self.unpark(since);
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.idle_since.load(Ordering::Relaxed), BUSY | PARKED)
    }

    fn unpark(&self, since: u64) {
        let mut state = self.places.state();
        if let Some(place) = state.remove((PARKED, self.id)) {
            state.put(since, place);
        }
        drop(state);
        self.places.room.notify_one();
    }

    fn replace(&self, expected: u64, new: u64) -> Result<(), u64> {
        let replaced =
            self.idle_since
                .compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire);
        replaced.map(drop)
    }
}

impl Taken {
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.0)
    }

    /// Returns when the place is wanted for somebody else.
    pub(super) async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.0.places.state();
        state.open -= 1;
        let queued = self.0.queued.load(Ordering::Relaxed);
        state.remove((queued, self.0.id));
        drop(state);
        self.0.places.room.notify_one();
    }
}

/// Whom an address stands for: of IPv6, everybody has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Where those stand, and what they are, that were seen to be busy when somebody had to leave.
const PARKED: u64 = u64::MAX - 2;
const BUSY: u64 = u64::MAX - 1;
const GONE: u64 = u64::MAX;

#[cfg(test)]
mod tests;
