//! Events in, evidence out: a durable, chained journal of every decision.
//!
//! One thread owns the files. It takes every event that has queued up, writes them, calls `fdatasync`
//! once and only then tells each caller. There is no timer: the sync in progress is the batching window.
//! When writing fails, every waiting caller is told so, and nothing is promised again before a new
//! segment has been written and synced. Nobody waits longer than [`Config::timeout`]. It refuses to know what
//! the events mean, except for one thing: only here a judged request becomes a [`Recorded`] one.

mod aside;
pub mod chain;
pub mod checkpoint;
mod compress;
mod config;
mod directory;
mod ending;
pub mod event;
pub mod index;
mod journal;
mod keeper;
mod key;
pub mod lines;
mod mark;
pub mod masks;
mod notary;
pub mod outgoing;
pub mod proof;
pub mod pseudonym;
mod queue;
pub mod renamed;
mod retention;
pub mod schema;
mod segment;
mod settle;
mod space;
mod stop;
pub mod tail;
pub mod tree;
pub mod verify;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::policy::{Decision, Judged, Mask, Verdict};
use crate::value::{Duration, absolute, rfc3339_millis};
use chain::NotedHead;
use checkpoint::key::{Keys, take_over};
use checkpoint::key_change;
pub use checkpoint::{Destinations, Origin, Signed};
#[cfg(test)]
pub(crate) use compress::pack_for_tests;
pub use config::{Compression, Config, Durability, Indexing};
pub use directory::Directory;
pub use ending::Ending;
pub use event::Configured;
use event::{DecisionRecord, Event, Record, Recovery, SetAside, Start};
pub use index::facts;
use journal::Journal;
use keeper::Keeper;
pub use keeper::{Kept, step_back, yield_to_others};
pub use mark::on_disk;
use notary::Notary;
use pseudonym::Pseudonyms;
use queue::{Pending, Wanted};
pub use retention::Retention;
use segment::LONGEST_RECORD;
pub use segment::{Break, Damage, OpenError, first_record, segments};
pub(crate) use segment::{open_regular, put, text_length};
pub use space::Space;
pub use stop::{Stop, Waiting};
use tree::{Hash, stored::Hashes};
use writer::Shared;
pub use writer::{Counters, Writer};

/// Why an event was not recorded. Whoever asked must not act.
#[derive(Clone, Debug, Error)]
pub enum RecordError {
    #[error("the journal cannot be written: {0}")]
    Failed(String),
    #[error("the journal did not answer within {0}")]
    Late(Duration),
    /// It never came to the journal.
    #[error("the journal does not answer: it has not for {0}")]
    Silent(Duration),
    /// Written, it would be damage to whoever reads it.
    #[error("a record of {0} bytes is longer than any may be")]
    Long(usize),
    /// What is said has nothing of the record in it.
    #[error("the record cannot be masked as the policies want it: {0}")]
    Unmasked(String),
    #[error("what decided it was replaced before it was recorded")]
    Superseded,
}

impl RecordError {
    /// Whether it is certain that an allowed decision was not written, and will not be.
    pub fn is_unwritten(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Late(_) => false,
            Self::Silent(_) | Self::Long(_) | Self::Unmasked(_) | Self::Superseded => true,
        }
    }

    /// For the client, who has nothing to do with the gate's files: the log has the rest.
    pub fn for_client(&self) -> String {
        match self {
            Self::Failed(_) | Self::Long(_) => {
                "the journal cannot be written (dtgate's log says why)".to_owned()
            }
            Self::Unmasked(_) => {
                "the record cannot be masked as the policies want it (dtgate's log says why)"
                    .to_owned()
            }
            Self::Late(_) | Self::Silent(_) | Self::Superseded => self.to_string(),
        }
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

/// The handle to the journal. Clones share one writer.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Pending>,
    shared: Arc<Shared>,
    timeout: Duration,
    directory: PathBuf,
    origin: Arc<str>,
    in_force: Arc<RwLock<InForce>>,
    pseudonyms: Option<Arc<Pseudonyms>>,
}

/// The policies that decide.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Counts them: the first have 0.
    pub generation: u64,
    pub revision: Arc<str>,
    /// What records of theirs have to be masked by. Not known of the first.
    pub mask: Option<Mask>,
}

impl Audit {
    /// Opens the journal, recovers it, records the start, and starts the writer.
    pub fn open(
        directory: Directory,
        config: &Config,
        revision: &str,
        configured: Configured,
        now: fn() -> jiff::Timestamp,
    ) -> Result<(Self, Writer), OpenError> {
        let pseudonyms = Pseudonyms::open(directory.path(), &config.pseudonyms)?;
        let configured = Configured {
            pseudonyms: pseudonyms.as_ref().map(Pseudonyms::told),
            ..configured
        };
        let failed = |error| directory::at(&config.directory)(error);
        let keys = Keys::read_or_make(directory.path(), config.origin.as_ref())?;
        let directory = Arc::new(directory);
        let (mut journal, mut found) = Journal::open(directory.clone(), config, now())?;
        if let Some(pseudonyms) = &pseudonyms {
            let keyed = found.keyed.or_else(|| told_to_index(directory.path()));
            pseudonyms.compare(keyed.as_ref());
        }
        let in_doubt = found.in_doubt.len();
        let asides = found.asides.into_iter();
        let mut records: Vec<Record> = asides.map(|aside| recovered(aside, now())).collect();
        let start = Event::Start(Start {
            timestamp: rfc3339_millis(now()),
            version: env!("CARGO_PKG_VERSION"),
            revision: revision.to_owned(),
            form: facts::FORM,
            configured,
            in_doubt: found
                .in_doubt
                .split_off(in_doubt.saturating_sub(MOST_IN_DOUBT)),
            in_doubt_count: (in_doubt > MOST_IN_DOUBT).then_some(in_doubt as u64),
        });
        records.push(start.record());
        if let Some(next) = &keys.next {
            records.push(Event::Key(key_change(&keys.current, next, now())).record());
        }
        let (queue, queued) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        if config.is_shipped {
            shared.shipped_up_to(0);
        }
        let audit = Self {
            queue,
            shared: shared.clone(),
            timeout: config.timeout,
            directory: directory.path().to_owned(),
            origin: keys.next.as_ref().unwrap_or(&keys.current).name().into(),
            in_force: Arc::new(RwLock::new(InForce {
                generation: 0,
                revision: revision.into(),
                mask: None,
            })),
            pseudonyms: pseudonyms.map(Arc::new),
        };
        let (segment, next_record) = journal.end();
        tracing::info!(
            directory = %absolute(&config.directory),
            segment = %segment.file_name().unwrap_or_default().display(),
            next_record,
            in_doubt,
            "journal"
        );
        journal.note(&records).map_err(&failed)?;
        let key = match keys.next {
            None => keys.current,
            Some(next) => {
                take_over(directory.path())?;
                tracing::warn!(key = %next.public(), "another key signs checkpoints from here on");
                next
            }
        };
        tracing::info!(key = %key.public(), "checkpoints of the journal");
        let notary = Notary::new(key, config.checkpoint_interval);
        let keeper = Keeper::new(
            directory,
            config,
            audit.queue.downgrade(),
            shared.clone(),
            now,
        );
        let started = writer::start(journal, queued, shared, notary, now, keeper);
        Ok((audit, started.map_err(failed)?))
    }

    /// Records a decision. The request comes back only when the decision is on disk, and in time: one that is
    /// allowed too late is not recorded as allowed, unless it was being written already.
    ///
    /// `generation`: of the policies that decided. When others are in force by the time that the decision gets its place
    /// among the records, it is not written.
    pub async fn decided<T>(
        &self,
        judged: Judged<T>,
        decision: DecisionRecord,
        generation: u64,
    ) -> Result<Recorded<T>, RecordError> {
        let wanted = match judged.decision().verdict {
            Verdict::Allow => Wanted::WhileAwaited,
            Verdict::Deny => Wanted::Always,
        };
        let sequence = self.of(generation, decision.into(), wanted).await?;
        Ok(Recorded { judged, sequence })
    }

    /// Records a request that policies were not asked about, under the same condition: the record names those in force.
    pub async fn refused(
        &self,
        refusal: DecisionRecord,
        generation: u64,
    ) -> Result<u64, RecordError> {
        self.of(generation, refusal.into(), Wanted::Always).await
    }

    /// Records what a challenger said of a decision, under the same condition: it was masked as those want it who decided.
    pub async fn challenged(&self, record: Record, generation: u64) -> Result<u64, RecordError> {
        self.of(generation, record, Wanted::Always).await
    }

    /// Gives a record its place only while the policies of this generation are in force.
    async fn of(
        &self,
        generation: u64,
        record: Record,
        wanted: Wanted,
    ) -> Result<u64, RecordError> {
        let placed = self.written(record, wanted, |place, pending| {
            let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
            if in_force.generation != generation {
                return Err(RecordError::Superseded);
            }
            place.send(pending);
            Ok(())
        });
        placed.await
    }

    /// A record with its pseudonyms, of which only a part is to be written, or which is only looked at.
    pub fn with_pseudonyms(&self, record: DecisionRecord) -> DecisionRecord {
        match &self.pseudonyms {
            Some(pseudonyms) => record.changed(|record| pseudonyms.apply(record)),
            None => record,
        }
    }

    /// Gives pseudonyms to what is said of callers elsewhere.
    pub fn pseudonyms(&self) -> Option<&Pseudonyms> {
        self.pseudonyms.as_deref()
    }

    /// What decides now.
    pub fn in_force(&self) -> InForce {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        in_force.clone()
    }

    /// Records that other policies are in force, and puts them in force: every decision before the record is of those
    /// before, every decision behind it of these.
    pub async fn replaced(
        &self,
        record: Record,
        by: InForce,
        put_in_force: impl FnOnce(),
    ) -> Result<u64, RecordError> {
        let placed = self.written(record, Wanted::Always, |place, pending| {
            let in_force = self.in_force.write();
            let mut in_force = in_force.unwrap_or_else(PoisonError::into_inner);
            *in_force = by;
            place.send(pending);
            put_in_force();
            Ok(())
        });
        placed.await
    }

    /// Records an event and returns its number once it is on disk.
    pub async fn record(&self, record: impl Into<Record>) -> Result<u64, RecordError> {
        let placed = self.written(record.into(), Wanted::Always, |place, pending| {
            place.send(pending);
            Ok(())
        });
        placed.await
    }

    /// `enter` gives the record its place among the others, or says why it must not have one.
    async fn written(
        &self,
        record: Record,
        wanted: Wanted,
        enter: impl FnOnce(mpsc::Permit<'_, Pending>, Pending) -> Result<(), RecordError>,
    ) -> Result<u64, RecordError> {
        let silent = RecordError::Silent(self.timeout);
        let record = match &self.pseudonyms {
            Some(pseudonyms) => pseudonyms.apply(record),
            None => record,
        };
        let length = record.as_json().len();
        if length > LONGEST_RECORD {
            return Err(RecordError::Long(length));
        }
        let (pending, written) = Pending::new(record, wanted);
        if self.is_silent() {
            // Whoever comes while the disk hangs does not wait for it too. What is true is written later.
            if wanted == Wanted::Always {
                match self.queue.try_reserve() {
                    Ok(place) => enter(place, pending)?,
                    Err(_full) => tracing::debug!("no place is left for a record"),
                }
            }
            return Err(silent);
        }
        let mut is_queued = false;
        let waiting = async {
            let gone = || RecordError::Failed(writer::ENDED.to_owned());
            let place = self.queue.reserve().await.map_err(|_closed| gone())?;
            enter(place, pending)?;
            is_queued = true;
            written.await.map_err(|_closed| gone())?.answer()
        };
        let answer = tokio::time::timeout(self.timeout.as_std(), waiting).await;
        answer.unwrap_or(Err(if is_queued {
            RecordError::Late(self.timeout)
        } else {
            silent
        }))
    }

    /// The newest checkpoint, whenever there is another. Whoever is slow misses the older ones.
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.shared.newest.subscribe()
    }

    /// What proves that the tree of `new` records begins with that of `old`; nothing, of none.
    pub async fn consistency(&self, old: u64, new: u64) -> io::Result<Vec<Hash>> {
        let directory = self.directory.clone();
        let proof = tokio::task::spawn_blocking(move || {
            let path = match old {
                0 => Vec::new(),
                old if old > new => return Err(io::Error::other("it is shorter than it was")),
                old => tree::consistency(old, new),
            };
            let hashes = Hashes::open(&directory)?;
            let mut read = |node| hashes.read(node);
            path.iter()
                .map(|range| tree::hash(range, &mut read))
                .collect()
        });
        proof
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }

    /// The last record that is written. `None`: not known yet.
    pub fn head(&self) -> Option<NotedHead> {
        self.shared.head()
    }

    /// Whether records can be written, or why not.
    pub fn health(&self) -> Result<(), String> {
        if self.queue.is_closed() {
            return Err(writer::ENDED.to_owned());
        }
        if self.is_silent() {
            let seconds = self.shared.silence().as_secs();
            return Err(format!("the disk has not answered for {seconds} s"));
        }
        self.shared.trouble().map_or(Ok(()), Err)
    }

    fn is_silent(&self) -> bool {
        self.shared.silence() >= self.timeout.as_std()
    }

    /// What of the journal is there, and whether closed segments are compressed and deleted as they should be.
    pub fn kept(&self) -> Kept {
        self.shared.kept()
    }

    /// The number of the last record, for whoever must not keep the journal from being closed.
    pub fn last(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.head().map_or(0, |head| head.seq)
    }

    /// The last record and the policies in force, for the same.
    pub fn stands(&self) -> impl Fn() -> (Option<NotedHead>, Arc<str>) + Send + Sync + use<> {
        let (shared, in_force) = (self.shared.clone(), self.in_force.clone());
        move || {
            let in_force = in_force.read().unwrap_or_else(PoisonError::into_inner);
            (shared.head(), in_force.revision.clone())
        }
    }

    /// The last record that a power failure does not take back, for the same.
    pub fn on_disk(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.on_disk()
    }

    /// Where to tell how far records have been sent to where all of them go: what has not arrived there is not deleted.
    pub fn shipped(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |seq| shared.shipped_up_to(seq)
    }

    /// By what name its checkpoints, and its records elsewhere, are known.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where it is.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// What is kept, for the same.
    pub fn keeps(&self) -> impl Fn() -> Kept + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.kept()
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

/// Writes into a journal that no gate writes, and signs it: what was found out about it. It was held since before that was
/// looked for: no gate has written anything meanwhile.
pub fn add(
    directory: Directory,
    config: &Config,
    events: impl Iterator<Item = Event<'static>>,
    now: fn() -> jiff::Timestamp,
) -> Result<(), OpenError> {
    let directory = Arc::new(directory);
    let failed = |error| directory::at(&config.directory)(error);
    let keys = Keys::read_or_make(directory.path(), config.origin.as_ref())?;
    let (mut journal, found) = Journal::open(directory, config, now())?;
    let asides = found.asides.into_iter();
    let recovered = asides.map(|aside| recovered(aside, now()));
    let records: Vec<Record> = recovered
        .chain(events.map(|event| event.record()))
        .collect();
    journal.note(&records).map_err(failed)?;
    let mut notary = Notary::new(keys.current, config.checkpoint_interval);
    notary.seal(&mut journal, now()).map(drop).map_err(failed)
}

/// The key of pseudonyms that the journal used last, where the last segment does not tell and there is an index that can be
/// asked: to read the whole journal would take a start too long.
fn told_to_index(journal: &std::path::Path) -> Option<pseudonym::Said> {
    let index = index::Index::open_to_read(journal, &journal.join(index::FILE));
    let said = index.ok()??.said_of_keys().ok()?.into_iter();
    // Of several with one number the last.
    said.max_by_key(|said| said.version)
}

/// What is said of a torn end that was set aside.
fn recovered(aside: aside::Aside, now: jiff::Timestamp) -> Record {
    let (name, reason) = (&aside.name, &aside.reason);
    tracing::warn!(set_aside = %name, %reason, "the journal's end was torn and is set aside");
    let event = Event::Recovery(Recovery {
        timestamp: rfc3339_millis(now),
        refused_events: 0,
        reason: aside.reason,
        aside: Some(SetAside {
            name: aside.name,
            length: aside.length,
            sha256: aside.sha256.as_str().to_owned(),
        }),
    });
    event.record()
}

/// Events that wait at most; past that, callers wait for a place.
const QUEUE: usize = 4096;
/// Decisions in doubt that a start names.
const MOST_IN_DOUBT: usize = 100;

#[cfg(test)]
mod tests;
