//! How many connections to one upstream may be open at once, and who waits for one.
//!
//! All threads share it. Whoever finds no connection and no place takes an idle connection of another thread, or
//! waits in line for the first that is given back or closed: the line is as long as there are requests under way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Sender, Shared};
use crate::telemetry::{Counted, Metrics};

#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    free: Arc<Semaphore>,
    metrics: Metrics,
    /// One for each thread.
    pools: Mutex<Vec<Weak<Shared>>>,
    line: Mutex<Line>,
    /// How long the line is, for those who only want to know whether there is one.
    waiting: AtomicUsize,
}

/// Who came first is served first.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Sender>>,
}

/// The right to have one connection, until it is closed.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// What a request may use.
pub(super) enum Found {
    Connection(Sender),
    Place(Place),
}

/// A place in the line.
struct Waiter<'a> {
    places: &'a Places,
    number: u64,
    given: oneshot::Receiver<Sender>,
}

impl Places {
    pub(super) fn new(most: usize, metrics: Metrics) -> Arc<Self> {
        let most = most.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            metrics,
            pools: Mutex::default(),
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// From now on its idle connections are everybody's.
    pub(super) fn join(&self, pool: &Arc<Shared>) {
        self.pools().push(Arc::downgrade(pool));
    }

    /// A place for a new connection, or a connection of somebody else. Whoever stops waiting leaves nothing behind.
    pub(super) async fn find(&self) -> Found {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Found::Place(self.place(permit));
        }
        // First into the line, then a look around: whoever gives a connection back does it the other way round.
        let mut waiter = self.wait();
        if let Some(sender) = self.idle() {
            return Found::Connection(sender);
        }
        tokio::select! {
            biased;
            Ok(sender) = &mut waiter.given => Found::Connection(sender),
            Ok(permit) = self.free.clone().acquire_owned() => Found::Place(self.place(permit)),
            else => std::future::pending().await,
        }
    }

    /// A connection came back to a pool: who has waited longest gets it.
    pub(super) fn serve(&self, pool: &Arc<Shared>) {
        let mut spare = None;
        while spare.is_some() || self.waiting() > 0 {
            let Some(sender) = spare.take().or_else(|| pool.take()) else {
                return;
            };
            match self.first() {
                Some(waiter) => spare = waiter.send(sender).err(),
                None => pool.put(sender),
            }
        }
    }

    /// How many may be open, and how many are.
    pub(super) fn taken(&self) -> (usize, usize) {
        (
            self.most,
            self.most.saturating_sub(self.free.available_permits()),
        )
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn wait(&self) -> Waiter<'_> {
        let (sender, given) = oneshot::channel();
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, sender);
        self.waiting.store(line.waiting.len(), Ordering::Relaxed);
        Waiter {
            places: self,
            number,
            given,
        }
    }

    fn first(&self) -> Option<oneshot::Sender<Sender>> {
        let mut line = self.line();
        let first = line.waiting.pop_first();
        self.waiting.store(line.waiting.len(), Ordering::Relaxed);
        first.map(|(_, waiter)| waiter)
    }

    fn idle(&self) -> Option<Sender> {
        let pools = self.pools().clone();
        pools.iter().find_map(|pool| pool.upgrade()?.take())
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place {
            _permit: permit,
            _counted: self.metrics.upstream_connected(),
        }
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut line = self.places.line();
        line.waiting.remove(&self.number);
        self.places
            .waiting
            .store(line.waiting.len(), Ordering::Relaxed);
    }
}
