//! How it goes, sink by sink.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::telemetry::SinkLoad;
use crate::value::rfc3339_millis;

/// How it goes. Clones share it.
#[derive(Clone, Default)]
pub struct State(Option<Arc<Shared>>);

struct Shared {
    sinks: Mutex<BTreeMap<String, Told>>,
    /// To be told what has arrived everywhere.
    shipped: Arc<dyn Fn(u64) + Send + Sync>,
    now: fn() -> Timestamp,
}

/// What is known of one sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// The last record that has arrived.
    pub seq: u64,
    /// When a record arrived last.
    pub at: Option<String>,
    /// Why it does not go on.
    pub error: Option<String>,
    /// The same, as its file says it: what a restart begins behind.
    #[serde(skip)]
    saved: u64,
    /// Whether the journal is kept until it has arrived.
    #[serde(skip)]
    is_waited_for: bool,
    /// When everything was on disk that has arrived by now.
    #[serde(skip)]
    complete: Option<Timestamp>,
}

impl State {
    pub(super) fn new(shipped: Arc<dyn Fn(u64) + Send + Sync>, now: fn() -> Timestamp) -> Self {
        Self(Some(Arc::new(Shared {
            sinks: Mutex::default(),
            shipped,
            now,
        })))
    }

    /// By sink.
    pub fn all(&self) -> BTreeMap<String, Told> {
        let shared = self.0.as_ref();
        shared.map_or_else(BTreeMap::new, |shared| shared.sinks().clone())
    }

    /// `is_waited_for`: whether the journal is kept until it has arrived.
    pub(super) fn begins(&self, name: &str, seq: u64, is_waited_for: bool) {
        self.change(name, |told, now| {
            (told.seq, told.saved, told.is_waited_for) = (seq, seq, is_waited_for);
            told.complete = Some(now);
        });
    }

    /// A record has arrived, or is not for this sink (`is_told`), and all before it. The error that was before that;
    /// none, if it was well.
    pub(super) fn arrived(&self, name: &str, seq: u64, is_told: bool) -> Option<String> {
        let mut error = None;
        self.change(name, |told, now| {
            told.seq = seq;
            if is_told {
                told.at = Some(rfc3339_millis(now));
            }
            error = told.error.take();
        });
        error
    }

    /// Whether it does not go on.
    pub(super) fn is_failing(&self, name: &str) -> bool {
        let sinks = self.0.as_ref().map(|shared| shared.sinks());
        sinks.is_some_and(|sinks| sinks.get(name).is_some_and(|told| told.error.is_some()))
    }

    /// It does not go on. Whether that is news.
    pub(super) fn failed(&self, name: &str, reason: &str) -> bool {
        let mut is_news = false;
        self.change(name, |told, _| {
            is_news = told.error.as_deref() != Some(reason);
            told.error = Some(reason.to_owned());
        });
        is_news
    }

    pub(super) fn now(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|shared| (shared.now)())
    }

    /// Everything has arrived that was on disk then.
    pub(super) fn complete(&self, name: &str, then: Option<Timestamp>) {
        self.change(name, |told, _| {
            told.complete = then;
            told.error = None;
        });
    }

    /// It stands elsewhere than it was. What comes behind may not be deleted from now on.
    pub(super) fn stands(&self, name: &str, seq: u64) {
        self.change(name, |told, _| (told.seq, told.saved) = (seq, seq));
        self.tell_shipped();
    }

    /// Its file says so.
    pub(super) fn saved(&self, name: &str, seq: u64) {
        self.change(name, |told, _| told.saved = seq);
        self.tell_shipped();
    }

    /// Says what has arrived everywhere.
    pub(super) fn tell_shipped(&self) {
        let Some(shared) = &self.0 else {
            return;
        };
        let sinks = shared.sinks();
        let waited_for = sinks.values().filter(|told| told.is_waited_for);
        let least = waited_for.map(|told| told.saved).min();
        drop(sinks);
        (shared.shipped)(least.unwrap_or(u64::MAX));
    }

    /// How far all of them are behind record `last`.
    pub fn load(&self, last: u64) -> Vec<SinkLoad> {
        let Some(shared) = &self.0 else {
            return Vec::new();
        };
        let now = (shared.now)();
        let sinks = shared.sinks();
        let load = sinks.iter().map(|(name, told)| {
            let behind = last.saturating_sub(told.seq);
            let since = told.complete.filter(|_| behind > 0);
            let seconds = since.map_or(0, |since| now.as_second() - since.as_second());
            SinkLoad {
                sink: name.clone(),
                behind,
                seconds: seconds.max(0),
            }
        });
        load.collect()
    }

    fn change(&self, name: &str, act: impl FnOnce(&mut Told, Timestamp)) {
        if let Some(shared) = &self.0 {
            let now = (shared.now)();
            act(shared.sinks().entry(name.to_owned()).or_default(), now);
        }
    }
}

impl Shared {
    fn sinks(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.all()).finish()
    }
}
