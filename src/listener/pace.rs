//! How long a connection may take, judged from what really moved on it.
//!
//! A request head must be complete soon after its first byte; a connection without a request is closed when it
//! has been idle for long; a client that does not take its answer is cut, and so is one that has closed its side
//! and may be gone. Time that a request spends in the service is not limited here. Never sees a byte.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::places::Place;
use super::progress::{Overdue, Patience, Progress};
use crate::telemetry::{Limit, Metrics};

/// What all connections of a listener may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) half_closed: Duration,
    pub(super) patience: Patience,
}

/// The clock of one connection, shared by its socket, its requests and the task that watches it.
pub(super) struct Pace {
    times: Times,
    place: Arc<Place>,
    metrics: Metrics,
    /// Request bodies of which not every byte was read: what comes next on the connection is theirs.
    unread: AtomicUsize,
    /// HTTP/2: parts of answers that were given out, and not counted yet.
    parts: AtomicU32,
    state: Mutex<State>,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expiry {
    /// An answer that is not taken: cut.
    Answer(Overdue),
    /// Nothing could be sent to a client that has closed its side: it is gone.
    Gone,
    /// A head that does not end: cut.
    Head,
    /// No request for long: close politely.
    Idle,
    /// One of its streams was given up: close politely.
    Unreliable,
}

/// One request between its head and the last byte of its answer.
pub(super) struct InFlight(Arc<Pace>);

/// Where a connection is on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Course {
    /// It takes requests.
    Open,
    /// One of its streams was given up: it has to close.
    Unreliable,
    /// It was told to close.
    Closing,
}

#[derive(Debug)]
struct State {
    idle: Duration,
    idle_since: Instant,
    in_flight: usize,
    /// Who wants to know when the last of the bodies was read.
    body_watcher: Option<Waker>,
    /// The rest of the last one may be too much for hyper to read on its own, or never come.
    leaves_rest: bool,
    /// When the first byte came since the last request ended.
    heard: Option<Instant>,
    /// What the socket takes. It is the client's turn while the socket is full.
    writing: Progress,
    /// Since when the client's side is closed and nothing could be sent to it.
    half_closed: Option<Instant>,
    course: Course,
    /// HTTP/2: bytes between requests are the protocol's own and start no head. So many requests at once.
    multiplexed: Option<usize>,
}

impl Pace {
    pub(super) fn new(times: Times, place: Arc<Place>, metrics: Metrics) -> Arc<Self> {
        let state = Mutex::new(State {
            idle: times.idle,
            idle_since: Instant::now(),
            in_flight: 0,
            body_watcher: None,
            leaves_rest: false,
            heard: None,
            writing: Progress::default(),
            half_closed: None,
            course: Course::Open,
            multiplexed: None,
        });
        Arc::new(Self {
            times,
            place,
            metrics,
            unread: AtomicUsize::new(0),
            parts: AtomicU32::new(0),
            state,
        })
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.times.patience
    }

    /// From now on the connection speaks HTTP/2, with so many streams at most.
    pub(super) fn multiplexed(&self, most: usize) {
        let mut state = self.state();
        state.multiplexed = Some(most);
        state.heard = None;
    }

    /// A request head has arrived whole; `None`: too late, the connection was told to go.
    pub(super) fn begin(self: &Arc<Self>) -> Option<InFlight> {
        let mut state = self.state();
        if state.in_flight == 0 && !self.place.busy() {
            return None;
        }
        state.in_flight += 1;
        state.heard = None;
        let is_full = state.multiplexed == Some(state.in_flight);
        drop(state);
        if is_full {
            self.metrics.reached(Limit::Http2Streams);
        }
        Some(InFlight(Arc::clone(self)))
    }

    /// Whether a request is in flight, or an answer still waits to be sent.
    pub(super) fn is_busy(&self) -> bool {
        self.place.is_busy()
    }

    /// The connection was told to close: what is left of its idle time shrinks to that of a head.
    pub(super) fn closing(&self) {
        let mut state = self.state();
        state.idle = self.times.head;
        state.idle_since = Instant::now();
        state.course = Course::Closing;
    }

    /// Returns when a limit is broken, which it has then counted.
    ///
    /// Nobody wakes this up when bytes move. It looks again after the shortest of all limits: one that
    /// starts in between can hardly end before that.
    pub(super) async fn expired(&self) -> Expiry {
        loop {
            let now = Instant::now();
            let judged = self.state().judge(now, &self.times);
            match judged {
                Ok(deadline) => sleep_until(deadline).await,
                Err(expiry) => {
                    if let Some(limit) = expiry.limit() {
                        self.metrics.reached(limit);
                    }
                    return expiry;
                }
            }
        }
    }

    /// A request whose body is still to come. `small`: what is left of it is read even if nobody wants it.
    pub(super) fn body_begins(&self, small: bool) {
        self.unread.fetch_add(1, Ordering::AcqRel);
        self.state().leaves_rest = !small;
    }

    /// Its last byte was read. One that nobody reads to its end leaves the connection for ever in the middle of it.
    pub(super) fn body_ends(&self) {
        self.unread.fetch_sub(1, Ordering::AcqRel);
        let watcher = self.state().body_watcher.take();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// Whether no byte of a body is to come; if not, `waker` is woken when that changes.
    pub(super) fn are_bodies_read(&self, waker: &Waker) -> bool {
        if self.is_mid_body() {
            self.state().body_watcher = Some(waker.clone());
        }
        // The last one may have ended just now.
        !self.is_mid_body()
    }

    /// The client has sent less of a body than it should have.
    pub(super) fn body_overdue(&self, overdue: Overdue) {
        self.metrics.reached(match overdue {
            Overdue::Slow => Limit::TooSlow,
            Overdue::Stalled => Limit::StalledUpload,
        });
        self.unreliable();
    }

    /// The client has taken less of one answer of several than it should have.
    pub(super) fn answer_overdue(&self, overdue: Overdue) {
        self.metrics.reached(taken_by(overdue));
        self.unreliable();
    }

    fn unreliable(&self) {
        let mut state = self.state();
        if state.course == Course::Open {
            state.course = Course::Unreliable;
        }
    }

    /// Whether a body was begun whose rest stands between its request and the next one.
    pub(super) fn is_mid_body(&self) -> bool {
        self.unread.load(Ordering::Acquire) > 0
    }

    /// The same, where it is more than is worth reading.
    pub(super) fn leaves_rest(&self) -> bool {
        self.is_mid_body() && self.state().leaves_rest
    }

    /// One more part of an answer goes out.
    pub(super) fn gives_part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many did since the last time.
    pub(super) fn parts(&self) -> u32 {
        self.parts.swap(0, Ordering::Relaxed)
    }

    /// A limit that only the connection itself knows of.
    pub(super) fn reached(&self, limit: Limit) {
        self.metrics.reached(limit);
    }

    /// Returns when there was no request for a moment, and nothing waits to be read or sent. It may be late.
    pub(super) async fn silent(&self) {
        let moment = SILENCE.min(self.times.head);
        loop {
            sleep(moment).await;
            let state = self.state();
            let nothing = state.in_flight == 0
                && !self.is_mid_body()
                && state.heard.is_none()
                && !state.writing.is_waiting();
            if nothing && state.idle_since.elapsed() >= moment {
                return;
            }
        }
    }

    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.in_flight == 0 && state.heard.is_none() && state.multiplexed.is_none() {
            state.heard = Some(Instant::now());
        }
    }

    /// The socket has taken so many bytes since the last time, and now it does or does not take more.
    pub(super) fn wrote(&self, bytes: usize, blocked: bool) {
        let now = Instant::now();
        let mut state = self.state();
        let patience = self.patience();
        state.writing.moved(bytes, || now, patience);
        if state.half_closed.is_some() && bytes > 0 {
            state.half_closed = Some(now);
        }
        if blocked {
            state.writing.waits(now);
            // The request may be over for the protocol and its answer still wait in a buffer.
            self.place.busy();
        } else if state.in_flight == 0 {
            self.place.idle(now);
        }
    }

    /// The client has closed its side: it sends nothing any more, and may be gone.
    pub(super) fn half_closed(&self) {
        self.state().half_closed = Some(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers: they are true even if a thread panicked while it held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The moment to look again, or the limit that is broken.
    fn judge(&self, now: Instant, times: &Times) -> Result<Instant, Expiry> {
        if self.course == Course::Unreliable {
            return Err(Expiry::Unreliable);
        }
        let blocked = self.writing.judge(now, &times.patience);
        let limit = match (blocked.map_err(Expiry::Answer)?, self.half_closed) {
            (Some(deadline), _) => Some((deadline, Expiry::Answer(Overdue::Stalled))),
            (None, Some(since)) if self.in_flight > 0 => {
                Some((since + times.half_closed, Expiry::Gone))
            }
            _ if self.in_flight > 0 => None,
            _ => match self.heard {
                Some(since) => Some((since + times.head, Expiry::Head)),
                None => Some((self.idle_since + self.idle, Expiry::Idle)),
            },
        };
        let look_again = now + times.shortest().min(self.idle);
        match limit {
            Some((deadline, expiry)) if deadline <= now => Err(expiry),
            Some((deadline, _)) => Ok(deadline.min(look_again)),
            None => Ok(look_again),
        }
    }
}

impl Times {
    fn shortest(&self) -> Duration {
        let others = self.half_closed.min(self.patience.silence);
        self.head.min(self.idle).min(others)
    }
}

impl Expiry {
    /// Whether the connection may still end its requests.
    pub(super) fn is_polite(self) -> bool {
        matches!(self, Self::Idle | Self::Unreliable)
    }

    fn limit(self) -> Option<Limit> {
        match self {
            Self::Answer(overdue) => Some(taken_by(overdue)),
            Self::Gone => Some(Limit::HalfCloseTimeout),
            Self::Head => Some(Limit::HeaderTimeout),
            // It is what ends most connections; and what was given up was counted there.
            Self::Idle | Self::Unreliable => None,
        }
    }
}

fn taken_by(overdue: Overdue) -> Limit {
    match overdue {
        Overdue::Slow => Limit::TooSlow,
        Overdue::Stalled => Limit::StalledAnswer,
    }
}

impl InFlight {
    pub(super) fn pace(&self) -> &Pace {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            let now = Instant::now();
            state.idle_since = now;
            state.heard = None;
            if !state.writing.is_waiting() {
                self.0.place.idle(now);
            }
        }
    }
}

/// Long enough that a client that sends one request after the other does not notice.
const SILENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
pub(super) mod tests;
