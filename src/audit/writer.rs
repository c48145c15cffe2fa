//! The writer: one thread that owns the files. Everything that has queued up is one batch.
//!
//! Whatever ends it, a panic too, ends the waiting of everybody who waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::RecordError;
use super::chain::{Head, NotedHead};
use super::checkpoint::Signed;
use super::event::{Event, Recovery, Stop};
use super::journal::Journal;
use super::keeper::{Keeper, Keeping, Kept};
use super::notary::Notary;
use super::queue::{Pending, Wanted, answer};
use crate::value::threads;
use crate::value::{plain_words, rfc3339_millis};

/// The writer's thread; ends when every [`super::Audit`] is dropped.
#[derive(Debug)]
pub struct Writer(oneshot::Receiver<Ended>);

/// Dropped with the thread.
#[derive(Debug)]
struct Ended;

impl Writer {
    /// Waits until everything queued is written and the `stop` record is on disk.
    pub async fn join(self) {
        if self.0.await.is_err() {
            tracing::error!("the journal was not closed: its writer ended by a panic");
        }
    }
}

/// What the writer has done, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub failures: AtomicU64,
    pub sync_nanoseconds: AtomicU64,
    pub checkpoints: AtomicU64,
}

/// What everybody may know of the writer.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    /// Why the journal is not written at the moment.
    trouble: Mutex<Option<String>>,
    /// Where the chain stands.
    head: Mutex<Option<Head>>,
    /// Since when it is with the disk.
    working: Mutex<Option<Instant>>,
    /// The newest checkpoint.
    pub(super) newest: watch::Sender<Option<Arc<Signed>>>,
    /// The last record that a signed checkpoint covers; none yet.
    covered: AtomicU64,
    /// The last record that is on disk.
    synced: AtomicU64,
    /// The last record that was shipped, where records have to be shipped before they may be deleted.
    shipped: Mutex<Option<u64>>,
    kept: Mutex<Kept>,
}

impl Shared {
    /// How long the disk has not answered.
    pub(super) fn silence(&self) -> Duration {
        let since = *self.working.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last record that is written.
    pub(super) fn head(&self) -> Option<NotedHead> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.as_ref().map(|head| NotedHead {
            seq: head.next.saturating_sub(1),
            hash: head.hash.as_str().to_owned(),
        })
    }

    /// The last record that a power failure does not take back.
    pub(super) fn on_disk(&self) -> u64 {
        self.synced.load(Ordering::Relaxed)
    }

    /// Records up to this one have arrived where all of them are sent.
    pub(super) fn shipped_up_to(&self, seq: u64) {
        *self.shipped.lock().unwrap_or_else(PoisonError::into_inner) = Some(seq);
    }

    /// The last record that a signed checkpoint covers.
    pub(super) fn covered_up_to(&self) -> u64 {
        self.covered.load(Ordering::Relaxed)
    }

    /// A checkpoint that covers the records up to this one is on disk.
    pub(super) fn covers(&self, last: u64) {
        self.covered.fetch_max(last, Ordering::Relaxed);
    }

    /// The last record that may be deleted.
    pub(super) fn may_be_deleted(&self) -> u64 {
        let shipped = self.shipped.lock();
        let shipped = *shipped.unwrap_or_else(PoisonError::into_inner);
        self.covered_up_to().min(shipped.unwrap_or(u64::MAX))
    }

    /// What the keeper found.
    pub(super) fn keeps(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    pub(super) fn kept(&self) -> Kept {
        let kept = self.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stands_at(&self, journal: &Journal) {
        let head = journal.head();
        self.synced.store(journal.synced(), Ordering::Relaxed);
        let mut known = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(head) {
            *known = Some(head.clone());
        }
    }

    fn tell(&self, trouble: Option<&Trouble>) {
        let reason = trouble.map(|trouble| trouble.reason.clone());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Does what may take the disk's time.
    fn work<T>(&self, act: impl FnOnce() -> T) -> T {
        let set = |since| *self.working.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let done = act();
        set(None);
        done
    }
}

/// Starts the thread.
pub(super) fn start(
    journal: Journal,
    queue: mpsc::Receiver<Pending>,
    shared: Arc<Shared>,
    notary: Notary,
    now: fn() -> jiff::Timestamp,
    keeper: Keeper,
) -> std::io::Result<Writer> {
    let runtime = threads::runtime_here().enable_time().build()?;
    let (end, ended) = oneshot::channel();
    shared.stands_at(&journal);
    let keeping = keeper.start()?;
    let work = Work {
        journal,
        shared,
        notary,
        now,
        closed: 0,
        trouble: None,
        synced: Instant::now(),
    };
    threads::named("journal").spawn(move || {
        let _told = Told;
        // The last to go: the others hold the directory, and whoever waits for the end may open it again.
        let end = end;
        let (keeping, mut work) = (keeping, work);
        runtime.block_on(work.write(queue, &keeping));
        drop((keeping, work));
        if end.send(Ended).is_err() {
            tracing::debug!("nobody waits for the journal's end");
        }
    })?;
    Ok(Writer(ended))
}

/// Says that the thread panics, at once.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "the journal's writer ended by a panic: guarded requests are refused until dtgate is restarted"
            );
        }
    }
}

/// What the thread works with.
struct Work {
    journal: Journal,
    shared: Arc<Shared>,
    notary: Notary,
    now: fn() -> jiff::Timestamp,
    trouble: Option<Trouble>,
    /// How many segments the keeper knows to be closed.
    closed: u64,
    /// When what is buffered was brought to disk last.
    synced: Instant,
}

impl Work {
    async fn write(&mut self, mut queue: mpsc::Receiver<Pending>, keeping: &Keeping) {
        let shared = self.shared.clone();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Woken without events too: to sync what is buffered, to see whether a disk in trouble is back, and
            // whether the journal is still in its place.
            let queued = queue.recv_many(&mut batch, BATCH);
            let pause = IDLE.min(self.notary.pause());
            if tokio::time::timeout(pause, queued).await == Ok(0) {
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
            self.give_up(&mut batch);
            let written = shared.work(|| {
                self.heal();
                self.append(&batch)
            });
            // Before anybody is answered: whoever was refused must not find the gate ready.
            shared.tell(self.trouble.as_ref());
            if self.trouble.is_none() {
                shared.stands_at(&self.journal);
            }
            self.answer(&mut batch, written);
            shared.work(|| {
                self.look_after();
                self.seal_when_due();
            });
            shared.tell(self.trouble.as_ref());
            if self.journal.closed() != self.closed {
                self.closed = self.journal.closed();
                keeping.wake();
            }
        }
        shared.work(|| self.close());
    }

    /// Leaves out the decisions that nobody waits for any more, because the disk took too long, and says so.
    fn give_up(&mut self, batch: &mut Vec<Pending>) {
        let before = batch.len();
        batch.retain(Pending::is_wanted);
        let given_up = (before - batch.len()) as u64;
        if given_up == 0 {
            return;
        }
        self.count_failures(given_up);
        tracing::warn!(
            refused = given_up,
            "the journal was too slow for allowed requests: they were refused and are not recorded"
        );
        if let Some(trouble) = &mut self.trouble {
            trouble.refused += given_up;
            return;
        }
        let event = Event::Recovery(Recovery {
            timestamp: rfc3339_millis((self.now)()),
            reason: "the journal was too slow: allowed requests were refused".to_owned(),
            refused_events: given_up,
            aside: None,
        });
        let (pending, _nobody) = Pending::new(event.record(), Wanted::Always);
        batch.insert(0, pending);
    }

    /// Tries again what failed. A disk in trouble is not asked with every request.
    fn heal(&mut self) {
        if let Some(failed) = self.trouble.take() {
            self.trouble = if failed.tried.elapsed() < RETRY {
                Some(failed)
            } else {
                failed.try_recovery(&mut self.journal, self.now)
            };
        }
    }

    /// The number of the batch's first record, when it was written.
    fn append(&mut self, batch: &[Pending]) -> Option<u64> {
        if self.trouble.is_some() || batch.is_empty() {
            return None;
        }
        let started = Instant::now();
        let records = batch.iter().map(|pending| &pending.record);
        match self.journal.append(records.clone(), started) {
            Ok(first) => {
                self.notary.see(records);
                let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let counters = &self.shared.counters;
                counters
                    .sync_nanoseconds
                    .fetch_add(elapsed, Ordering::Relaxed);
                counters.batches.fetch_add(1, Ordering::Relaxed);
                counters
                    .records
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                Some(first)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn answer(&mut self, batch: &mut Vec<Pending>, written: Option<u64>) {
        if let Some(first) = written {
            answer(batch, |place| Ok(first + place));
        } else if let Some(failed) = &mut self.trouble {
            let refused = batch.len() as u64;
            failed.refused += refused;
            let error = RecordError::Failed(failed.reason.clone());
            self.count_failures(refused);
            answer(batch, |_place| Err(error.clone()));
        }
    }

    /// Syncs what is buffered, and sees whether the journal is in its place: a second goes by at most, however
    /// busy it is.
    fn look_after(&mut self) {
        if self.trouble.is_some() || self.synced.elapsed() < IDLE {
            return;
        }
        let found = self.journal.sync().and_then(|()| self.journal.is_there());
        let found = found.and_then(|()| self.journal.close_old(Instant::now()));
        if let Err(error) = found {
            self.fail(&error);
        }
        self.synced = Instant::now();
    }

    /// Behind the answers: nobody waits for a checkpoint.
    fn seal_when_due(&mut self) {
        if self.trouble.is_some() || !self.notary.is_due(self.journal.end().0) {
            return;
        }
        if let Err(error) = self.seal() {
            self.fail(&error);
            return;
        }
        self.shared.stands_at(&self.journal);
    }

    fn seal(&mut self) -> std::io::Result<()> {
        if let Some(signed) = self.notary.seal(&mut self.journal, (self.now)())? {
            let checkpoints = &self.shared.counters.checkpoints;
            checkpoints.fetch_add(1, Ordering::Relaxed);
            self.shared.covers(signed.checkpoint.size);
            self.shared.newest.send_replace(Some(Arc::new(signed)));
        }
        Ok(())
    }

    fn fail(&mut self, error: &std::io::Error) {
        tracing::error!(%error, "the journal cannot be written: guarded requests are refused");
        self.trouble = Some(Trouble {
            reason: plain_words(&error.to_string()),
            refused: 0,
            tried: Instant::now(),
        });
    }

    fn count_failures(&self, number: u64) {
        let failures = &self.shared.counters.failures;
        failures.fetch_add(number, Ordering::Relaxed);
    }

    fn close(&mut self) {
        // What a failed write left behind must not stand before the last record: it would break the chain.
        let trouble = self.trouble.take();
        if let Some(failed) =
            trouble.and_then(|failed| failed.try_recovery(&mut self.journal, self.now))
        {
            tracing::error!(error = failed.reason, "the journal could not be closed");
            return;
        }
        let stop = Event::Stop(Stop {
            timestamp: rfc3339_millis((self.now)()),
        })
        .record();
        self.notary.see(std::iter::once(&stop));
        if let Err(error) = self.journal.note(&[stop]).and_then(|()| self.seal()) {
            tracing::error!(%error, "the journal could not be closed");
            return;
        }
        self.shared.stands_at(&self.journal);
    }
}

/// The journal is not written at the moment.
struct Trouble {
    reason: String,
    refused: u64,
    tried: Instant,
}

impl Trouble {
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

/// Said to whoever asks afterwards.
pub(super) const ENDED: &str = "its writer has ended; dtgate must be restarted";

/// Events written with one sync at most.
const BATCH: usize = 1024;

/// How long buffered records stay unsynced, and how soon a journal is looked at unasked.
const IDLE: Duration = Duration::from_secs(1);

/// A disk in trouble is not asked more often than this.
const RETRY: Duration = Duration::from_millis(100);
