//! The keys of one issuer, at hand: fetched before they are too old, and when a token names one that is not known.
//!
//! Nobody can make the gate fetch without end: one fetch at a time serves everybody who waits for it, the next one
//! because of an unknown name comes after a pause, and names that were asked for in vain are remembered. Requests wait for
//! a bounded time, and a bounded number of them does. No lock is held while anybody waits.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::{Issuer, Name, Source};
use super::error::Flaw;
use super::fetch::{Fetched, Fetcher};
use super::file::{self, KeysError};
use super::jwk::{Key, KeySet};
use super::share::{Origin, Places};
use crate::telemetry::{Limit, Metrics};

/// Clones share the keys, whichever runtime asks.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Name,
    /// None: the keys were read from a file, and stay what they are.
    fetcher: Option<Fetcher>,
    timeout: Duration,
    pause: Duration,
    max_age: Duration,
    waiting: Places,
    metrics: Metrics,
    now: fn() -> Timestamp,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    keys: Arc<KeySet>,
    /// When they came.
    fetched: Option<Instant>,
    /// When to ask for them again.
    due: Instant,
    /// When they were asked for last, and what came of it.
    asked: Option<Instant>,
    failure: Option<String>,
    /// Closed when the fetch that is under way is done.
    flight: Option<watch::Receiver<()>>,
    /// Names that were asked for in vain, and when.
    unknown: LruCache<String, Instant>,
}

/// What there is to say about a name without waiting.
enum Looked {
    Found(Key),
    Refused(Flaw, Option<Limit>),
    Wait(watch::Receiver<()>),
}

/// How the keys of an issuer are, for operators.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    pub name: Name,
    pub keys: usize,
    /// Since they were fetched; none for a file, and where no fetch has gone well yet.
    pub age: Option<Duration>,
    /// Why the last fetch did not go well.
    pub failure: Option<String>,
    /// Whether tokens of this issuer can be checked.
    pub usable: bool,
}

impl Keys {
    /// Reads a file; fetches nothing yet. `before`: keys of the same issuer from the same place.
    pub(super) fn new(
        name: &Name,
        issuer: &Issuer,
        before: Option<&Self>,
        metrics: &Metrics,
        now: fn() -> Timestamp,
    ) -> Result<Self, KeysError> {
        let (state, fetcher) = match &issuer.keys {
            Source::File(path) => (State::new(file::keys(name, path)?), None),
            Source::Discovery(_) | Source::Url(_) => {
                let fetcher = Fetcher::new(issuer)?;
                metrics.keys_will_be_fetched(name.as_str());
                let known = before.map(|before| before.0.state.clone());
                let state = known.unwrap_or_else(|| State::new(KeySet::default()));
                (state, Some(fetcher))
            }
        };
        Ok(Self(Arc::new(Shared {
            name: name.clone(),
            fetcher,
            timeout: issuer.timeout.into(),
            pause: issuer.pause.into(),
            max_age: issuer.max_age.into(),
            waiting: Places::new([Limit::JwksWaiting, Limit::JwksWaitingPerAddress]),
            metrics: metrics.clone(),
            now,
            state,
        })))
    }

    /// Whether the two come from a file that says the same. Those that are fetched change without anybody's doing.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let text = |keys: &Self| keys.0.lock().keys.clone();
        self.0.fetcher.is_some() || other.0.fetcher.is_some() || text(self).is_like(&text(other))
    }

    /// The key of this name. It may be fetched for it.
    pub(super) async fn find(&self, kid: &str, origin: Origin) -> Result<Key, Flaw> {
        let flight = match self.0.look(kid, true) {
            Looked::Found(key) => return Ok(key),
            Looked::Refused(flaw, limit) => return Err(self.0.refused(flaw, limit)),
            Looked::Wait(flight) => flight,
        };
        let place = self.0.waiting.take(origin, MOST_WAITING);
        let _place = place.map_err(|limit| self.0.refused(Flaw::Waiting, Some(limit)))?;
        if !self.0.landed(flight).await {
            return Err(self.0.refused(Flaw::Unavailable, Some(Limit::JwksTimeout)));
        }
        match self.0.look(kid, false) {
            Looked::Found(key) => Ok(key),
            Looked::Refused(flaw, limit) => Err(self.0.refused(flaw, limit)),
            Looked::Wait(_) => Err(Flaw::Unavailable),
        }
    }

    /// Fetches keys before they are too old, for ever. A file needs none of it.
    pub(super) async fn keep(&self) {
        if self.0.fetcher.is_none() {
            return;
        }
        loop {
            let due = self.0.lock().due;
            sleep_until(due).await;
            let flight = {
                let mut state = self.0.lock();
                if state.due > Instant::now() {
                    continue;
                }
                self.0.fly(&mut state)
            };
            self.0.landed(flight).await;
        }
    }

    pub(super) fn health(&self) -> Health {
        let state = self.0.lock();
        Health {
            name: self.0.name.clone(),
            keys: state.keys.len(),
            age: state.fetched.map(|fetched| fetched.elapsed()),
            failure: state.failure.clone(),
            usable: self.0.fetcher.is_none() || self.0.is_usable(&state),
        }
    }
}

impl State {
    fn new(keys: KeySet) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            keys: Arc::new(keys),
            fetched: None,
            due: Instant::now(),
            asked: None,
            failure: None,
            flight: None,
            unknown: LruCache::new(MOST_UNKNOWN),
        }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, flaw: Flaw, limit: Option<Limit>) -> Flaw {
        if let Some(limit) = limit {
            self.metrics.reached(limit);
        }
        flaw
    }

    /// Whether there are keys, and they are not too old.
    fn is_usable(&self, state: &State) -> bool {
        state.fetched.is_some_and(|at| at.elapsed() < self.max_age)
    }

    /// `first`: a fetch may be begun for the name.
    fn look(self: &Arc<Self>, kid: &str, first: bool) -> Looked {
        let mut state = self.lock();
        if self.fetcher.is_none() {
            return match state.keys.get(kid) {
                Some(key) => Looked::Found(key.clone()),
                None => Looked::Refused(Flaw::Key, None),
            };
        }
        let usable = self.is_usable(&state);
        if usable && let Some(key) = state.keys.get(kid).cloned() {
            if state.due <= Instant::now() {
                // Nobody waits for it: the key is good. Whoever keeps the keys may be about to do the same.
                drop(self.fly(&mut state));
            }
            return Looked::Found(key);
        }
        let failed = state.failure.is_some();
        let in_vain = match (usable, failed) {
            // It may be there, and nobody can tell.
            (true, true) => Looked::Refused(Flaw::Unavailable, None),
            (true, false) => Looked::Refused(Flaw::Key, None),
            (false, _) => Looked::Refused(
                Flaw::Unavailable,
                state.fetched.is_some().then_some(Limit::JwksAge),
            ),
        };
        if !first {
            if usable && !failed {
                state.unknown.put(kid.to_owned(), Instant::now());
            }
            return in_vain;
        }
        let remembered = state.unknown.get(kid);
        if usable && remembered.is_some_and(|at| at.elapsed() < REMEMBERED) {
            return Looked::Refused(Flaw::Key, Some(Limit::JwksPause));
        }
        if let Some(flight) = state.flight.clone().filter(is_under_way) {
            return Looked::Wait(flight);
        }
        if state.asked.is_some_and(|at| at.elapsed() < self.pause) {
            return match in_vain {
                Looked::Refused(flaw, None) => Looked::Refused(flaw, Some(Limit::JwksPause)),
                in_vain => in_vain,
            };
        }
        Looked::Wait(self.fly(&mut state))
    }

    /// Begins a fetch, unless one is under way.
    fn fly(self: &Arc<Self>, state: &mut State) -> watch::Receiver<()> {
        if let Some(flight) = state.flight.clone().filter(is_under_way) {
            return flight;
        }
        let (done, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        state.asked = Some(Instant::now());
        let shared = self.clone();
        // By itself: who asked first may hang up, and others wait for it, too.
        drop(tokio::spawn(async move {
            shared.fetch().await;
            drop(done);
        }));
        flight
    }

    /// Waits until a fetch is done, or for as long as one may take.
    async fn landed(&self, mut flight: watch::Receiver<()>) -> bool {
        // It ends by being closed.
        timeout(self.timeout + GRACE, flight.changed())
            .await
            .is_ok()
    }

    async fn fetch(&self) {
        let Some(fetcher) = &self.fetcher else {
            return;
        };
        let answer = fetcher.fetch().await;
        let name = self.name.as_str();
        self.metrics.keys_fetched(name, answer.is_ok());
        match answer {
            Ok(keys) => {
                self.metrics.keys_are_of(name, (self.now)());
                self.store(keys);
            }
            Err(error) => {
                if let Some(limit) = error.limit() {
                    self.metrics.reached(limit);
                }
                self.failed(error.to_string());
            }
        }
    }

    fn store(&self, fetched: Fetched) {
        let keys = Arc::new(fetched.keys);
        let fresh = fetched
            .fresh
            .unwrap_or(FRESH)
            .clamp(LEAST_FRESH, MOST_FRESH);
        let (before, failure) = {
            let mut state = self.lock();
            let now = Instant::now();
            state.fetched = Some(now);
            state.due = now + fresh.min(self.max_age / 2);
            let before = std::mem::replace(&mut state.keys, keys.clone());
            (before, state.failure.take())
        };
        let issuer = self.name.as_str();
        if failure.is_some() || before.len() != keys.len() {
            tracing::info!(
                issuer,
                keys = keys.len(),
                "the keys of an issuer were fetched"
            );
        }
        if before.left_out != keys.left_out {
            keys.say_left_out(self.name.as_str());
        }
    }

    fn failed(&self, mut error: String) {
        // It may hold text of whoever answered.
        error.truncate(error.floor_char_boundary(LONGEST_REASON));
        let (told, usable) = {
            let mut state = self.lock();
            let now = Instant::now();
            state.due = now + RETRY.max(self.pause);
            let told = state.failure.as_ref() == Some(&error);
            state.failure = Some(error.clone());
            (told, self.is_usable(&state))
        };
        let issuer = self.name.as_str();
        // Once, and not with each attempt: the metric counts them.
        if told {
            tracing::debug!(issuer, error, "{NOT_FETCHED}");
        } else if usable {
            tracing::warn!(
                issuer,
                error,
                "{NOT_FETCHED}: those that are there are used meanwhile"
            );
        } else {
            tracing::error!(issuer, error, "{NOT_FETCHED}: its tokens cannot be checked");
        }
    }
}

const NOT_FETCHED: &str = "the keys of an issuer could not be fetched";

fn is_under_way(flight: &watch::Receiver<()>) -> bool {
    flight.has_changed().is_ok()
}

/// Requests that wait for the keys of one issuer.
const MOST_WAITING: usize = 256;

/// What a fetch may take longer than its own limit, on a machine that is busy.
const GRACE: Duration = Duration::from_millis(500);

/// Names of keys that were asked for in vain, and for how long each is remembered.
const MOST_UNKNOWN: NonZeroUsize = match NonZeroUsize::new(256) {
    Some(number) => number,
    None => NonZeroUsize::MIN,
};
const REMEMBERED: Duration = Duration::from_mins(1);

/// How long keys need not be asked for again: where the issuer does not say it, at least, and at most.
const FRESH: Duration = Duration::from_mins(10);
const LEAST_FRESH: Duration = Duration::from_mins(1);
const MOST_FRESH: Duration = Duration::from_hours(1);

/// The longest reason that is kept and logged.
const LONGEST_REASON: usize = 1024;

/// After a fetch that failed.
const RETRY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
