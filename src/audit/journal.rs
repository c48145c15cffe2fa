//! The files: segments of JSON lines, opened, extended, closed, recovered.
//!
//! What [`Journal::append`] has returned for is on disk (or, buffered, with the kernel). What it
//! failed for leaves no trace once [`Journal::recover`] has succeeded: those events were answered with
//! an error, so nothing that was forwarded is lost with them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::chain::Head;
use super::event::{Event, Record, Recovery};
use super::segment::{OpenError, options, segment_path, segments, sync_directory};
use super::settle::{Found, head_of, settle};
use super::{Config, Durability};
use crate::value::rfc3339_millis;

/// The open journal. One thread owns it.
pub(super) struct Journal {
    directory: PathBuf,
    segment: PathBuf,
    file: File,
    /// Device and number of the file, by which it is known again.
    identity: (u64, u64),
    /// Length of the segment as far as it is known to be on disk and acknowledged.
    durable: u64,
    head: Head,
    buffer: Vec<u8>,
    durability: Durability,
    segment_size: u64,
    unsynced: bool,
    /// Held, never read: the lock ends with the process.
    _lock: File,
}

impl Journal {
    pub(super) fn open(config: &Config) -> Result<(Self, Found), OpenError> {
        let directory = config.directory.clone();
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(at(&directory))?;
        let lock_path = directory.join("lock");
        let lock = options()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        if lock.try_lock().is_err() {
            return Err(OpenError::InUse(directory));
        }
        let segments = segments(&directory).map_err(at(&directory))?;
        let (segment, head, found) = match segments.split_last() {
            None => (
                segment_path(&directory, 1),
                Head::origin(),
                Found::default(),
            ),
            Some((last, before)) => {
                let start = head_of(last, before)?;
                let (head, found) = settle(last, start)?;
                (last.clone(), head, found)
            }
        };
        let file = options()
            .create(true)
            .append(true)
            .open(&segment)
            .map_err(at(&segment))?;
        let written = file.metadata().map_err(at(&segment))?;
        sync_directory(&directory).map_err(at(&directory))?;
        let journal = Self {
            directory,
            segment,
            file,
            identity: (written.dev(), written.ino()),
            durable: written.len(),
            head,
            buffer: Vec::with_capacity(64 * 1024),
            durability: config.durability,
            segment_size: config.segment_size.as_u64(),
            unsynced: false,
            _lock: lock,
        };
        Ok((journal, found))
    }

    /// Writes all records, syncs once, and returns the number of the first; the others follow in order.
    #[expect(
        single_use_lifetimes,
        reason = "an anonymous lifetime cannot stand in `impl Trait` yet"
    )]
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> io::Result<u64> {
        if self.durable >= self.segment_size {
            self.rotate()?;
        }
        let mut head = self.head.clone();
        self.buffer.clear();
        for record in records {
            head.encode(record, &mut self.buffer);
        }
        self.file.write_all(&self.buffer)?;
        match self.durability {
            Durability::Synced => self.file.sync_data()?,
            Durability::Buffered => self.unsynced = true,
        }
        self.look(self.durable + self.buffer.len() as u64)?;
        self.durable += self.buffer.len() as u64;
        let first = self.head.next;
        self.head = head;
        Ok(first)
    }

    /// Makes sure that the file written to is still the one that readers will find: a segment that was
    /// moved away, removed or replaced takes writes and syncs all the same.
    fn look(&self, length: u64) -> io::Result<()> {
        let found = std::fs::metadata(&self.segment)?;
        if ((found.dev(), found.ino()), found.len()) == (self.identity, length) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{} is not the file that dtgate writes to any more",
            self.segment.display()
        )))
    }

    /// Whether nothing is left with the kernel.
    pub(super) fn is_synced(&self) -> bool {
        !self.unsynced
    }

    /// Brings to disk what buffered appends left with the kernel.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
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
        if let Ok(old) = OpenOptions::new().write(true).open(&self.segment) {
            // Never cut, or stretch, what somebody else has put there.
            self.look(old.metadata()?.len())?;
            if old.metadata()?.len() < self.durable {
                return Err(io::Error::other(format!(
                    "{} has lost records",
                    self.segment.display()
                )));
            }
            old.set_len(self.durable)?;
            old.sync_all()?;
        } else if self.durable > 0 {
            return Err(io::Error::other(format!(
                "{} is gone",
                self.segment.display()
            )));
        }
        self.begin_segment()?;
        let event = Event::Recovery(Recovery {
            timestamp: rfc3339_millis(now),
            reason: reason.to_owned(),
            refused_events,
            set_aside: None,
        });
        self.append(std::iter::once(&event.record()))?;
        self.file.sync_all()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.unsynced = false;
        self.begin_segment()
    }

    /// Opens the segment that begins with the next record. Nothing acknowledged can be in a file of
    /// that name: it would have advanced the number.
    fn begin_segment(&mut self) -> io::Result<()> {
        std::fs::metadata(&self.directory)?;
        let segment = segment_path(&self.directory, self.head.next);
        let file = options().create(true).append(true).open(&segment)?;
        file.set_len(0)?;
        file.sync_all()?;
        sync_directory(&self.directory)?;
        let made = file.metadata()?;
        self.identity = (made.dev(), made.ino());
        (self.segment, self.file, self.durable) = (segment, file, 0);
        Ok(())
    }
}
