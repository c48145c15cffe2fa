//! The threads that move bytes. Each has a runtime of its own, and with it every connection that it is given.
//!
//! A connection stays where it was put, and so does what its requests leave behind: no task, timer or pooled
//! connection is handed from thread to thread. Knows nothing of what is served.

use std::io;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::value::threads;

/// Threads with one runtime each; dropped, they end, and what still runs on them ends with them.
#[derive(Debug)]
pub struct Workers {
    runtimes: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    /// Cancelled by the first that ends.
    ended: CancellationToken,
}

/// Asks every thread for a sign of life.
#[derive(Clone, Debug)]
pub struct Pulse(Vec<Handle>);

/// Where a connection can be served, and by what.
#[derive(Debug)]
pub struct Seat<S> {
    pub(super) runtime: Handle,
    pub(super) service: S,
    /// Every connection here holds a clone.
    load: Arc<()>,
}

impl Workers {
    pub fn start(count: NonZeroU16) -> io::Result<Self> {
        let mut workers = Self {
            runtimes: Vec::new(),
            threads: Vec::new(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        for number in 0..count.get() {
            let runtime = threads::runtime_here().enable_all().build()?;
            let stop = workers.stop.clone();
            let ended = workers.ended.clone().drop_guard();
            workers.runtimes.push(runtime.handle().clone());
            let thread = threads::named(format!("worker-{number}"));
            let thread = thread.spawn(move || {
                // Dropped in a panic too.
                let _ended = ended;
                runtime.block_on(stop.cancelled());
                // What blocks a thread of its own, a name that is looked up, is not waited for.
                runtime.shutdown_background();
            })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Returns when a thread has ended, which none does by itself: then no connection is served there any more, and
    /// every new one would be put there, because nowhere else are fewer.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// By which to know that none of them is stuck.
    pub fn pulse(&self) -> Pulse {
        Pulse(self.runtimes.clone())
    }

    /// A seat on every thread, each with a service of its own.
    pub fn seats<S>(&self, mut service: impl FnMut() -> S) -> Vec<Seat<S>> {
        let runtimes = self.runtimes.iter();
        runtimes
            .map(|runtime| Seat::new(runtime.clone(), service()))
            .collect()
    }
}

/// Keeps when the pulse was felt last. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Heart {
    pulse: Pulse,
    felt: Arc<Mutex<Instant>>,
}

impl Heart {
    pub fn new(pulse: Pulse) -> Self {
        Self {
            pulse,
            felt: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Feels the pulse now and then. A thread that is stuck is waited for.
    pub async fn beat(self) {
        loop {
            self.pulse.felt().await;
            *self.felt.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Tells for how long nothing was felt, if that is too long.
    pub fn stuck(&self) -> Arc<dyn Fn() -> Option<Duration> + Send + Sync> {
        let felt = self.felt.clone();
        Arc::new(move || {
            let felt = *felt.lock().unwrap_or_else(PoisonError::into_inner);
            Some(felt.elapsed()).filter(|silence| *silence > STUCK)
        })
    }
}

/// How often the pulse is felt.
const BEAT: Duration = Duration::from_secs(2);

/// A thread that has not moved for so long is stuck: it moves all the time, and nothing that it does takes a second.
const STUCK: Duration = Duration::from_secs(30);

impl Pulse {
    /// Returns when every thread has done a piece of work. One that has ended counts: it is not stuck, and
    /// [`Workers::ended`] tells of it.
    pub fn felt(&self) -> impl Future<Output = ()> + Send + use<> {
        let asked: Vec<_> = self
            .0
            .iter()
            .map(|runtime| runtime.spawn(async {}))
            .collect();
        async {
            for answer in asked {
                drop(answer.await);
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

impl<S> Seat<S> {
    fn new(runtime: Handle, service: S) -> Self {
        Self {
            runtime,
            service,
            load: Arc::default(),
        }
    }

    /// The runtime that this is called on.
    pub fn here(service: S) -> Vec<Self> {
        vec![Self::new(Handle::current(), service)]
    }

    pub fn service(&self) -> &S {
        &self.service
    }

    /// Counted as one connection until it is dropped.
    pub(super) fn taken(&self) -> Arc<()> {
        self.load.clone()
    }

    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.load) - 1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_stuck_is_noticed_and_so_is_one_that_goes_on() {
        let workers = Workers::start(NonZeroU16::MIN).unwrap();
        let heart = Heart::new(workers.pulse());
        let stuck = heart.stuck();
        assert_eq!(stuck(), None);
        let (go_on, wait) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        workers.runtimes[0].spawn(async move {
            begun.send(()).unwrap();
            // Blocks the thread, as a fault would.
            wait.recv().unwrap();
        });
        begins.recv().unwrap();
        let beating = tokio::spawn(heart.clone().beat());
        tokio::task::yield_now().await;
        let before = Instant::now().checked_sub(STUCK + BEAT).unwrap();
        *heart.felt.lock().unwrap() = before;
        tokio::task::yield_now().await;
        assert!(stuck() > Some(STUCK));
        go_on.send(()).unwrap();
        while stuck().is_some() {
            tokio::task::yield_now().await;
        }
        beating.abort();
    }
}
