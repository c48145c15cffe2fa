//! When a checkpoint is due, and what it says. The writer's own: no checkpoint covers what is not on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checkpoint::Signed;
use super::checkpoint::note::SigningKey;
use super::event::{Event, Record};
use super::journal::Journal;

/// Signs for the journal.
#[derive(Debug)]
pub(super) struct Notary {
    key: SigningKey,
    interval: Duration,
    made: Instant,
    /// Records came that tell of something else than checkpoints.
    is_behind: bool,
    /// Somebody waits for one.
    is_awaited: bool,
    /// Where the last record was. When it is closed, a checkpoint covers it.
    segment: Option<PathBuf>,
}

impl Notary {
    pub(super) fn new(key: SigningKey, interval: crate::value::Duration) -> Self {
        Self {
            key,
            interval: interval.into(),
            made: Instant::now(),
            // The start.
            is_behind: true,
            is_awaited: false,
            segment: None,
        }
    }

    /// How long nothing needs to be done, even where nobody writes.
    pub(super) fn pause(&self) -> Duration {
        self.interval
    }

    /// Records were written.
    pub(super) fn see(&mut self, records: impl Iterator<Item = impl std::borrow::Borrow<Record>>) {
        for record in records {
            let record = record.borrow();
            self.is_behind |= !record.is_of_checkpoint();
            self.is_awaited |= record.is_of_deletion();
        }
    }

    /// Whether it is time for one.
    pub(super) fn is_due(&mut self, segment: &Path) -> bool {
        let is_closed = self
            .segment
            .as_deref()
            .is_some_and(|before| before != segment);
        if self.segment.as_deref() != Some(segment) {
            self.segment = Some(segment.to_owned());
        }
        // Whatever was written into it, a recovery too.
        self.is_behind |= is_closed;
        self.is_behind && (is_closed || self.is_awaited || self.made.elapsed() >= self.interval)
    }

    /// Puts a checkpoint of all that is there on disk. `None`: there is nothing new, or the tree is not known.
    pub(super) fn seal(
        &mut self,
        journal: &mut Journal,
        now: jiff::Timestamp,
    ) -> io::Result<Option<Signed>> {
        self.made = Instant::now();
        let Some((size, root)) = journal.root()?.filter(|_| self.is_behind) else {
            return Ok(None);
        };
        let signed = Signed::new(size, root, &self.key, now);
        let event = Event::Checkpoint(signed.event(&self.key.public()));
        journal.note(&[event.record()])?;
        (self.is_behind, self.is_awaited) = (false, false);
        Ok(Some(signed))
    }
}
