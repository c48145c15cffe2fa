//! Events in, evidence out: a durable, chained journal of every decision.
//!
//! One thread owns the files. It takes every event that has queued up, writes them, calls `fdatasync`
//! once and only then tells each caller. There is no timer: the sync in progress is the batching window.
//! When writing fails, every waiting caller is told so, and nothing is promised again before a new
//! segment has been written and synced. It refuses to know what the events mean, except for one thing:
//! only here a judged request becomes a [`Recorded`] one.

pub mod chain;
pub mod event;
mod journal;
mod queue;
mod segment;
mod settle;
mod space;
pub mod tail;
pub mod verify;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::policy::{Decision, Judged};
use crate::value::{Size, rfc3339_millis};
use event::{DecisionRecord, Event, Record, Recovery, Start, Stop};
use journal::Journal;
use queue::{Pending, answer};
pub use segment::{OpenError, first_record, segments};
pub use space::Space;

/// Where the journal is and what it promises.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A directory of its own, one a process.
    pub directory: PathBuf,
    pub durability: Durability,
    /// A segment that is longer is followed by a new one.
    pub segment_size: Size,
    /// Where less is free, refusals and denials are only counted.
    pub min_free: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("journal"),
            durability: Durability::Synced,
            segment_size: Size::from_mib(32),
            min_free: Size::from_mib(256),
        }
    }
}

/// What an acknowledged record has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Written to the kernel, not synced: a crash of dtgate loses nothing, but a power failure or a
    /// crash of the machine loses the decisions of the last second, though they were forwarded.
    Buffered,
    /// On disk (`fdatasync`) before anything is forwarded.
    Synced,
}

/// Why an event was not recorded. Whoever asked must not act.
#[derive(Clone, Debug, Error)]
#[error("the journal cannot be written: {0}")]
pub struct RecordError(String);

#[cfg(test)]
impl RecordError {
    pub(crate) fn new(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// A judged request whose decision is on disk. Nothing else can make one.
#[derive(Debug)]
pub struct Recorded<T> {
    judged: Judged<T>,
    sequence: u64,
}

impl<T> Recorded<T> {
    pub fn decision(&self) -> &Decision {
        self.judged.decision()
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The request and what was decided about it.
    pub fn into_parts(self) -> (T, Decision) {
        self.judged.into_parts()
    }
}

/// What the writer has done, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub failures: AtomicU64,
    pub sync_nanoseconds: AtomicU64,
}

/// The handle to the journal. Clones share one writer.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Pending>,
    shared: Arc<Shared>,
}

/// The writer's thread; ends when every [`Audit`] is dropped.
#[derive(Debug)]
pub struct Writer(std::thread::JoinHandle<()>);

impl Writer {
    /// Waits until everything queued is written and the `stop` record is on disk.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the journal's writer ended by a panic");
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    counters: Counters,
    /// Why the journal is not written at the moment.
    trouble: Mutex<Option<String>>,
}

impl Shared {
    /// Lets [`Audit::health`] know.
    fn tell(&self, trouble: Option<&Trouble>) {
        let reason = trouble.map(|trouble| trouble.reason.clone());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Audit {
    /// Opens the journal, recovers it, records the start, and starts the writer. `endpoints`: what the
    /// configuration changes about them.
    pub fn open(
        config: &Config,
        revision: &str,
        endpoints: Map<String, Value>,
        now: fn() -> jiff::Timestamp,
    ) -> Result<(Self, Writer), OpenError> {
        let (mut journal, found) = Journal::open(config)?;
        let mut records = Vec::new();
        if let Some((set_aside, reason)) = found.torn {
            tracing::warn!(%set_aside, %reason, "the journal's end was torn and is set aside");
            let event = Event::Recovery(Recovery {
                timestamp: rfc3339_millis(now()),
                reason,
                refused_events: 0,
                set_aside: Some(set_aside),
            });
            records.push(event.record());
        }
        let start = Event::Start(Start {
            timestamp: rfc3339_millis(now()),
            version: env!("CARGO_PKG_VERSION"),
            revision: revision.to_owned(),
            endpoints,
            in_doubt: found.in_doubt,
        });
        records.push(start.record());
        let failed = |source| OpenError::Io {
            path: config.directory.clone(),
            source,
        };
        journal.append(records.iter()).map_err(failed)?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let audit = Self {
            queue,
            shared: shared.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || runtime.block_on(write(journal, queued, &shared, now)))
            .map_err(failed)?;
        Ok((audit, Writer(thread)))
    }

    /// Records a decision. The request comes back only when the decision is on disk.
    pub async fn decided<T>(
        &self,
        judged: Judged<T>,
        decision: DecisionRecord,
    ) -> Result<Recorded<T>, RecordError> {
        let sequence = self.record(decision).await?;
        Ok(Recorded { judged, sequence })
    }

    /// Records an event and returns its number once it is on disk.
    pub async fn record(&self, record: impl Into<Record>) -> Result<u64, RecordError> {
        let (pending, written) = Pending::new(record.into());
        let gone = || RecordError("its writer has ended".to_owned());
        self.queue.send(pending).await.map_err(|_closed| gone())?;
        written.await.map_err(|_closed| gone())?.answer()
    }

    /// Whether records can be written, or why not.
    pub fn health(&self) -> Result<(), String> {
        if self.queue.is_closed() {
            return Err("the journal's writer has ended".to_owned());
        }
        let trouble = self
            .shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Ok(()), Err)
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

/// The writer: everything that has queued up is one batch.
async fn write(
    mut journal: Journal,
    mut queue: mpsc::Receiver<Pending>,
    shared: &Shared,
    now: fn() -> jiff::Timestamp,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut trouble: Option<Trouble> = None;
    let mut synced = Instant::now();
    loop {
        let queued = queue.recv_many(&mut batch, BATCH);
        let waited = if trouble.is_none() && journal.is_synced() {
            Ok(queued.await)
        } else {
            // Woken without events too: to sync what is buffered, and to see whether the disk is back.
            tokio::time::timeout(IDLE, queued).await
        };
        if waited == Ok(0) {
            break;
        }
        // Whoever has something to do on this processor does it first, and its records share this sync. Where
        // nobody has, this takes no time.
        std::thread::yield_now();
        while batch.len() < BATCH
            && let Ok(pending) = queue.try_recv()
        {
            batch.push(pending);
        }
        if let Some(failed) = trouble.take() {
            // A disk in trouble is not asked with every request.
            trouble = if failed.tried.elapsed() < RETRY {
                Some(failed)
            } else {
                failed.try_recovery(&mut journal, now)
            };
            shared.tell(trouble.as_ref());
        }
        if trouble.is_none() && !batch.is_empty() {
            trouble = append(&mut journal, &mut batch, &shared.counters).err();
        }
        // What is buffered stays so for a second at most, however busy the journal is.
        if trouble.is_none() && synced.elapsed() >= IDLE {
            trouble = journal.sync().err().map(|error| Trouble::new(&error));
            synced = Instant::now();
        }
        if let Some(failed) = &mut trouble {
            failed.refused += batch.len() as u64;
            // Before anybody is answered: whoever was refused must not find the gate ready.
            shared.tell(Some(failed));
            shared
                .counters
                .failures
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            let refused = RecordError(failed.reason.clone());
            answer(&mut batch, |_place| Err(refused.clone()));
        }
    }
    // What a failed write left behind must not stand before the last record: it would break the chain.
    if let Some(failed) = trouble.and_then(|failed| failed.try_recovery(&mut journal, now)) {
        tracing::error!(error = failed.reason, "the journal could not be closed");
        return;
    }
    let stop = Event::Stop(Stop {
        timestamp: rfc3339_millis(now()),
    })
    .record();
    if let Err(error) = journal
        .append(std::iter::once(&stop))
        .and_then(|_first| journal.sync())
    {
        tracing::error!(%error, "the journal could not be closed");
    }
}

fn append(
    journal: &mut Journal,
    batch: &mut Vec<Pending>,
    counters: &Counters,
) -> Result<(), Trouble> {
    let started = Instant::now();
    let first = journal
        .append(batch.iter().map(|pending| &pending.record))
        .map_err(|error| {
            tracing::error!(%error, "the journal cannot be written: guarded requests are refused");
            Trouble::new(&error)
        })?;
    let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    counters
        .sync_nanoseconds
        .fetch_add(elapsed, Ordering::Relaxed);
    counters.batches.fetch_add(1, Ordering::Relaxed);
    counters
        .records
        .fetch_add(batch.len() as u64, Ordering::Relaxed);
    answer(batch, |place| Ok(first + place));
    Ok(())
}

/// The journal is not written at the moment.
struct Trouble {
    reason: String,
    refused: u64,
    tried: Instant,
}

impl Trouble {
    fn new(error: &std::io::Error) -> Self {
        Self {
            reason: error.to_string(),
            refused: 0,
            tried: Instant::now(),
        }
    }

    /// Tries to write again. What is left of the trouble comes back.
    fn try_recovery(mut self, journal: &mut Journal, now: fn() -> jiff::Timestamp) -> Option<Self> {
        match journal.recover(now(), &self.reason, self.refused) {
            Ok(()) => {
                tracing::warn!(refused = self.refused, "the journal is written again");
                None
            }
            Err(error) => {
                self.reason = error.to_string();
                self.tried = Instant::now();
                Some(self)
            }
        }
    }
}

/// Events that wait at most; past that, callers wait for a place.
const QUEUE: usize = 4096;

/// Events written with one sync at most.
const BATCH: usize = 1024;

/// How long buffered records stay unsynced, and how soon a journal in trouble is tried again unasked.
const IDLE: Duration = Duration::from_secs(1);

/// A disk in trouble is not asked more often than this.
const RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
