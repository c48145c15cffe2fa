//! The files: segments of JSON lines, opened, extended, closed, recovered.
//!
//! What [`Journal::append`] has returned for is on disk (or, buffered, with the kernel). What it
//! failed for leaves no trace once [`Journal::recover`] has succeeded: those events were answered with
//! an error, so nothing that was forwarded is lost with them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::aside::{self, Aside, of_segment, set_aside};
use super::chain::Head;
use super::checkpoint::key;
use super::directory::{Directory, at};
use super::event::{Event, Record, Recovery};
use super::mark::{self, Mark};
use super::pseudonym::Said;
use super::retention;
use super::segment::{
    Damage, LONGEST_LINE, OpenError, as_readable_as, identity, is_compressed, open_regular,
    options, segment_path, segments,
};
use super::settle::{content, examine, head_of};
use super::tree::{Hash, stored::Stored};
use super::{Config, Durability, recovered};
use crate::value::{Duration, counted, rfc3339_millis};

/// The open journal. One thread owns it.
pub(super) struct Journal {
    directory: Arc<Directory>,
    segment: PathBuf,
    file: File,
    /// Device and number of the file, by which it is known again.
    identity: (u64, u64),
    /// Length of the segment as far as it is known to be written and acknowledged.
    durable: u64,
    head: Head,
    /// Of the records up to there; none where segments are missing.
    tree: Option<Stored>,
    /// The last record that is known to be on disk.
    synced: u64,
    /// The last record that somebody was answered for, or may have been.
    answered: u64,
    mark: Mark,
    buffer: Vec<u8>,
    durability: Durability,
    segment_size: u64,
    segment_age: Option<Duration>,
    /// When the first record of the segment was written. `None`: it has none yet.
    began: Option<Began>,
    /// How many segments were closed since the start.
    closed: u64,
    unsynced: bool,
}

/// When the first record of a segment was written, by a clock that nobody sets: what is known of it from before
/// the start, and since when it is counted.
#[derive(Clone, Copy)]
struct Began {
    before: std::time::Duration,
    since: Instant,
}

impl Began {
    fn at(since: Instant) -> Self {
        let before = std::time::Duration::ZERO;
        Self { before, since }
    }

    fn before(now: jiff::Timestamp, began: jiff::Timestamp) -> Self {
        let age = now.duration_since(began);
        Self {
            before: age.try_into().unwrap_or_default(),
            since: Instant::now(),
        }
    }

    fn age(self, now: Instant) -> std::time::Duration {
        self.before + now.saturating_duration_since(self.since)
    }
}

/// What opening found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) in_doubt: Vec<String>,
    /// Files that hold what was torn, and that no record names yet.
    pub(super) asides: Vec<Aside>,
    /// The key of pseudonyms that was used last, where the last segment tells.
    pub(super) keyed: Option<Said>,
}

impl Journal {
    /// Opens what is there. Nothing on disk is changed where that is refused.
    pub(super) fn open(
        directory: Arc<Directory>,
        config: &Config,
        now: jiff::Timestamp,
    ) -> Result<(Self, Found), OpenError> {
        let path = directory.path();
        let segments = segments(path).map_err(at(path))?;
        let damaged = |damage| OpenError::Damaged {
            directory: path.to_owned(),
            damage,
        };
        let marked = mark::read(path).map_err(at(&mark::path(path)))?.transpose();
        let marked = marked.map_err(damaged)?;
        let mut began = None;
        let (segment, head, found) = match segments.split_last() {
            None => {
                let answered = marked.map_or(0, |marked| marked.answered);
                if answered > 0 {
                    return Err(damaged(Damage::Cut { last: 0, answered }));
                }
                (segment_path(path, 1), Head::origin(), Found::default())
            }
            Some((last, before)) => {
                let start = head_of(last, before)?;
                let content = content(last)?;
                let end = examine(last, &content, start, marked.as_ref()).map_err(damaged)?;
                began = end.began.map(|began| Began::before(now, began));
                let tail = content.get(end.good..).unwrap_or_default();
                let torn = end.torn.as_deref();
                let torn = torn.map(|reason| (tail, end.good as u64, reason));
                // Only what was closed is compressed: somebody took away what came behind it.
                let is_closed = is_compressed(last);
                if is_closed && let Some(reason) = torn {
                    return Err(damaged(Damage::Compressed {
                        path: last.clone(),
                        reason: reason.2.to_owned(),
                    }));
                }
                let asides = set_aside(last, &end.named, torn)?;
                let found = Found {
                    in_doubt: end.in_doubt,
                    asides,
                    keyed: end.keyed,
                };
                let segment = if is_closed {
                    began = None;
                    segment_path(path, end.head.next)
                } else {
                    last.clone()
                };
                (segment, end.head, found)
            }
        };
        let file = options(as_readable_as(path).map_err(at(path))?)
            .create(true)
            .append(true)
            .open(&segment)
            .map_err(at(&segment))?;
        // What a dtgate that was killed left with the kernel is on disk from here on.
        file.sync_all().map_err(at(&segment))?;
        let written = file.metadata().map_err(at(&segment))?;
        directory.sync().map_err(at(path))?;
        let journal = Self {
            mark: Mark::put(path, &head, head.next - 1).map_err(at(&mark::path(path)))?,
            segment,
            file,
            identity: identity(&written),
            durable: written.len(),
            synced: head.next - 1,
            answered: head.next - 1,
            tree: tree_of(path, head.next - 1)?,
            head,
            buffer: Vec::with_capacity(64 * 1024),
            durability: config.durability,
            segment_size: config.segment_size.as_u64(),
            segment_age: config.segment_age,
            began,
            closed: 0,
            unsynced: false,
            directory,
        };
        Ok((journal, found))
    }

    /// The last record that is on disk.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// The segment that is written, and the number of the next record.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn end(&self) -> (&Path, u64) {
        (&self.segment, self.head.next)
    }

    /// Writes what opening and closing have to say, which nobody waits for, into the segment that is there, however
    /// long it is: files set aside from a segment are named in the same.
    pub(super) fn note(&mut self, records: &[Record]) -> io::Result<()> {
        // Synced before, so that the records say that all others are on disk.
        self.sync()?;
        self.write(records.iter(), self.answered)?;
        self.began.get_or_insert_with(|| Began::at(Instant::now()));
        self.sync()
    }

    /// Writes all records, syncs once, and returns the number of the first; the others follow in order.
    #[expect(
        single_use_lifetimes,
        reason = "an anonymous lifetime cannot stand in `impl Trait` yet"
    )]
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        now: Instant,
    ) -> io::Result<u64> {
        if self.durable >= self.segment_size {
            self.rotate()?;
        }
        self.close_old(now)?;
        let first = self.write(records, u64::MAX)?;
        self.began.get_or_insert_with(|| Began::at(now));
        Ok(first)
    }

    /// Closes the segment if its first record is old. One without records is kept.
    pub(super) fn close_old(&mut self, now: Instant) -> io::Result<()> {
        let age = self.began.map(|began| began.age(now));
        match (age, self.segment_age) {
            (Some(age), Some(most)) if age > most.as_std() => self.rotate(),
            _ => Ok(()),
        }
    }

    /// How many segments were closed since the start.
    pub(super) fn closed(&self) -> u64 {
        self.closed
    }

    #[expect(
        single_use_lifetimes,
        reason = "an anonymous lifetime cannot stand in `impl Trait` yet"
    )]
    fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        answered: u64,
    ) -> io::Result<u64> {
        let mut head = self.head.clone();
        self.buffer.clear();
        let mut growth = self.tree.as_ref().map(Stored::grow);
        for record in records {
            let start = self.buffer.len();
            head.encode(record, self.synced, &mut self.buffer);
            let line = self.buffer.get(start..self.buffer.len() - 1);
            if let (Some(growth), Some(line)) = (&mut growth, line) {
                growth.push(line);
            }
        }
        self.file.write_all(&self.buffer)?;
        match self.durability {
            Durability::Synced => self.file.sync_data()?,
            Durability::Buffered => self.unsynced = true,
        }
        let length = self.durable + self.buffer.len() as u64;
        self.look(length)?;
        let (first, last) = (self.head.next, head.next - 1);
        if !self.unsynced {
            self.mark.write(&head, answered.min(last))?;
            self.synced = last;
        }
        (self.durable, self.head, self.answered) = (length, head, answered.min(last));
        if let (Some(tree), Some(growth)) = (&mut self.tree, growth) {
            tree.keep(growth);
        }
        Ok(first)
    }

    /// Number and root of the records so far, all of which are brought to disk before.
    pub(super) fn root(&mut self) -> io::Result<Option<(u64, Hash)>> {
        self.sync()?;
        Ok(self.tree.as_mut().map(|tree| {
            // Whoever gets the checkpoint may ask for proofs.
            tree.flush();
            (tree.tree().size(), tree.tree().root())
        }))
    }

    /// Whether everything that was written is still where readers will look for it.
    pub(super) fn is_there(&self) -> io::Result<()> {
        self.look(self.durable)
    }

    /// Makes sure that the file written to is still the one that readers will find: a segment that was
    /// moved away, removed or replaced takes writes and syncs all the same.
    fn look(&self, length: u64) -> io::Result<()> {
        self.directory.is_there()?;
        let segment = self.segment.display();
        let found = match std::fs::metadata(&self.segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::other(format!("{segment} is gone")));
            }
            found => found?,
        };
        if identity(&found) != self.identity {
            return Err(io::Error::other(format!(
                "{segment} is not the file that dtgate writes to any more"
            )));
        }
        if found.len() != length {
            return Err(io::Error::other(format!(
                "{segment} has {}, not {length}: somebody else wrote to it or cut it",
                counted(found.len(), "byte")
            )));
        }
        Ok(())
    }

    /// Brings to disk what buffered appends left with the kernel.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.all_on_disk()?;
        }
        Ok(())
    }

    fn all_on_disk(&mut self) -> io::Result<()> {
        self.mark.write(&self.head, self.answered)?;
        self.unsynced = false;
        self.synced = self.head.next - 1;
        Ok(())
    }

    /// Makes the journal writable after an append failed: cuts what was not acknowledged, and goes on
    /// in a new segment, because a file whose sync failed once cannot be trusted to sync again.
    pub(super) fn recover(
        &mut self,
        now: jiff::Timestamp,
        reason: &str,
        refused_events: u64,
    ) -> io::Result<()> {
        let mut asides = Vec::new();
        match open_regular(&self.segment) {
            Ok(old) => {
                let length = old.metadata()?.len();
                // Never cut, or stretch, what somebody else has put there.
                self.look(length)?;
                if length < self.durable {
                    return Err(io::Error::other(format!(
                        "{} has lost records: it has {}, and had {}",
                        self.segment.display(),
                        counted(length, "byte"),
                        self.durable
                    )));
                }
                if let Some(tail) = self.others(old)? {
                    asides = self.set_aside(&tail)?;
                }
                let old = OpenOptions::new().write(true).open(&self.segment)?;
                old.set_len(self.durable)?;
                old.sync_all()?;
                self.all_on_disk()?;
            }
            Err(_) if self.durable == 0 => {}
            Err(error) => {
                let reason = format!("{}: {error}", self.segment.display());
                return Err(io::Error::new(error.kind(), reason));
            }
        }
        self.begin_segment()?;
        let event = Event::Recovery(Recovery {
            timestamp: rfc3339_millis(now),
            reason: reason.to_owned(),
            refused_events,
            aside: None,
        });
        let asides = asides.into_iter().map(|aside| recovered(aside, now));
        let records: Vec<Record> = asides.chain([event.record()]).collect();
        self.append(records.iter(), Instant::now())?;
        self.sync()
    }

    /// What stands behind the acknowledged records, where it is not what could not be written: the same file may be the
    /// journal of another gate, in a copy made of hard links, and its records must not be lost.
    fn others(&self, mut file: File) -> io::Result<Option<Vec<u8>>> {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(self.durable))?;
        file.take(LONGEST_LINE as u64 + 1).read_to_end(&mut tail)?;
        if tail.len() > LONGEST_LINE {
            let segment = self.segment.display();
            let reason = format!("{segment} has more than dtgate cuts off: somebody else wrote it");
            return Err(io::Error::other(reason));
        }
        let mut both = tail.iter().zip(&self.buffer);
        // A disk in trouble leaves null bytes.
        let is_ours =
            tail.len() <= self.buffer.len() && both.all(|(is, was)| is == was || *is == 0);
        Ok((!is_ours).then_some(tail))
    }

    /// Puts it into a file beside the segment.
    fn set_aside(&self, tail: &[u8]) -> io::Result<Vec<Aside>> {
        let known = of_segment(&self.segment)?;
        let known: Vec<String> = known.iter().map(|(_, path)| aside::name(path)).collect();
        let reason = "somebody else wrote to the segment";
        set_aside(&self.segment, &known, Some((tail, self.durable, reason)))
            .map_err(io::Error::other)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.look(self.durable)?;
        self.all_on_disk()?;
        self.begin_segment()
    }

    /// Opens the segment that begins with the next record. Nothing of ours can be in a file of that name:
    /// what was acknowledged would have advanced the number, and what was not is cut off.
    fn begin_segment(&mut self) -> io::Result<()> {
        self.directory.is_there()?;
        let segment = segment_path(self.directory.path(), self.head.next);
        let readable = as_readable_as(self.directory.path())?;
        let file = options(readable).create(true).append(true).open(&segment)?;
        let made = file.metadata()?;
        if made.len() > 0 {
            return Err(io::Error::other(format!(
                "{} is there already, and dtgate did not write it",
                segment.display()
            )));
        }
        file.sync_all()?;
        self.directory.sync()?;
        self.directory.is_there()?;
        self.identity = identity(&made);
        (self.segment, self.file, self.durable) = (segment, file, 0);
        self.began = None;
        self.closed += 1;
        Ok(())
    }
}

/// The tree of the records that are there. A journal that has none, because segments were moved away, is written without.
///
/// So is one whose old segments are not what was signed or cannot be read: a start looks at the newest only, and what is
/// not right is never signed.
fn tree_of(directory: &Path, last: u64) -> Result<Option<Stored>, OpenError> {
    let (current, next) = key::public(directory)?;
    let keys: Vec<_> = current.into_iter().chain(next).collect();
    let reason = match Stored::open(directory, last, &keys) {
        Ok(Some(tree)) => {
            // Before anything is signed: what was to be deleted because of it stays.
            if tree.has_late_removals() {
                retention::forget(directory).map_err(at(directory))?;
            }
            return Ok(Some(tree));
        }
        Ok(None) => {
            "old segments are missing and the file tree is not right. Put them back and start again"
                .to_owned()
        }
        Err(error) => error.to_string(),
    };
    tracing::error!(reason, "no checkpoints of the journal can be made");
    Ok(None)
}
