//! What is sent elsewhere: records in their order, no further than what is on disk, and a file that says how far it is.
//!
//! A record goes out at least once. The file is written behind what has arrived, so that a kill repeats records and
//! skips none. It names the last record by its hash: a journal that is another one by now is sent from its beginning.

mod ends;
mod whose;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::lines::{Line, Lines, Place};
use super::segment::{OWNERS_ALONE, first_record, open_regular, put, segments};
use crate::value::Sha256Hex;
pub use whose::{Whose, whose};

/// How far one destination is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The last record that has arrived; 0: none.
    pub seq: u64,
    /// Of that record's line.
    hash: String,
    /// Where it begins.
    segment: u64,
    offset: u64,
}

/// A record on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub seq: u64,
    /// Its line, without the newline.
    pub line: Vec<u8>,
    place: Place,
}

/// How far a destination is, as it is said there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The last record; 0: none.
    pub seq: u64,
    /// Of its line, where that is known.
    pub hash: Option<Sha256Hex>,
    /// Up to this one, records were sent under another name.
    pub behind: u64,
}

/// Some records that follow one another.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub records: Vec<Outgoing>,
    /// Records before or between them that are not in the journal any more, or cannot be read.
    pub missing: u64,
}

/// How much is read at once. One record is, however long it is.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub records: usize,
    pub bytes: usize,
}

/// Where a cursor belongs in a journal.
#[derive(Debug)]
pub struct Bookmark {
    path: PathBuf,
    journal: PathBuf,
    /// What is read next stands behind it.
    at: Cursor,
    /// Everything up to it has arrived.
    arrived: Cursor,
    /// What the file says.
    written: Option<File>,
    /// By what name records are sent, and the last one that was sent under another.
    name: String,
    behind: u64,
    /// Records up to this one that are missing were told.
    told: u64,
    /// What has arrived once is to be sent again: also what was deleted by now is missed.
    is_lost: bool,
}

/// A file that says how far one destination is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    cursor: Cursor,
    #[serde(default)]
    name: String,
    #[serde(default)]
    behind: u64,
}

impl Bookmark {
    /// Reads the cursor of a destination. Where there is none, it gets what comes behind record `from`, which is written
    /// at once: the next start must not begin later. `name`: letters, digits, dots and hyphens.
    pub fn open(journal: &Path, name: &str, from: u64) -> io::Result<Self> {
        let path = path(journal, name);
        let written = read(&path)?;
        let is_there = written.is_some();
        let file = match written.clone() {
            Some(file) => file,
            None => File {
                cursor: Cursor::behind(journal, from)?,
                name: String::new(),
                behind: from,
            },
        };
        let mut bookmark = Self {
            path,
            journal: journal.to_owned(),
            written,
            name: file.name,
            behind: file.behind,
            arrived: file.cursor.clone(),
            told: file.cursor.seq,
            at: file.cursor,
            is_lost: false,
        };
        // Before anybody counts on what it says: what has arrived may be deleted.
        if is_there
            && bookmark.at.seq > 0
            && let Err(error) = bookmark.lines()
        {
            tracing::warn!(sink = name, %error, "the record that arrived last cannot be read");
        }
        if !is_there {
            bookmark.save_early();
        }
        Ok(bookmark)
    }

    /// Records are sent under this name from now on. Those that were sent under another are not sent again.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        if self.name != name {
            if !self.name.is_empty() {
                self.behind = self.arrived.seq;
            }
            name.clone_into(&mut self.name);
            self.save_early();
        }
        self
    }

    /// If it cannot be written now, it is when something has arrived.
    fn save_early(&mut self) {
        if let Err(error) = self.save() {
            tracing::warn!(path = %self.path.display(), %error, "how far it is cannot be written");
        }
    }

    /// The last record that has arrived.
    pub fn seq(&self) -> u64 {
        self.arrived.seq
    }

    /// What has arrived.
    pub fn sent(&self) -> Arrived {
        Arrived {
            seq: self.arrived.seq,
            hash: self.arrived.hash.parse().ok(),
            behind: self.behind,
        }
    }

    /// Records up to this one are there under another name: they are not sent again under this one.
    pub fn sent_before(&mut self, seq: u64) -> io::Result<()> {
        if seq > self.arrived.seq {
            self.at = Cursor::behind(&self.journal, seq)?;
            self.arrived = self.at.clone();
            self.told = self.told.max(seq);
        }
        self.behind = self.behind.max(seq);
        Ok(())
    }

    /// The records behind those that were passed, up to number `last`, which is on disk. A journal that is another one
    /// than before is read from its beginning.
    pub fn next(&mut self, last: u64, most: Most) -> io::Result<Batch> {
        let mut batch = Batch::default();
        // Nothing was written since, and nobody exchanges a journal that is being written.
        if last == self.at.seq {
            return Ok(batch);
        }
        let mut lines = self.lines()?;
        let (mut bytes, mut before) = (0, self.at.seq);
        // The highest number that a line can have where it stands: lines may be damaged, and segments gone.
        let mut highest = before;
        while before < last && batch.records.len() < most.records && bytes < most.bytes {
            let line = match lines.next() {
                // What was read until then is sent before.
                Err(_met_again) if !batch.records.is_empty() => break,
                line => line?,
            };
            let Some(line) = line else {
                // What is on disk can be read, or is gone.
                batch.missing += self.missing(before, last + 1);
                break;
            };
            let seq = Link::read(&line.bytes).ok().and_then(|link| link.seq);
            if line.place.offset == 0 {
                highest = highest.max(line.place.segment.saturating_sub(1));
            }
            highest += 1;
            // What has no number, or one that was there already, is no record that could be sent.
            let can_stand = |seq: &u64| (before + 1..=last.min(highest)).contains(seq);
            let Some(seq) = seq.filter(can_stand) else {
                continue;
            };
            highest = seq;
            batch.missing += self.missing(before, seq);
            before = seq;
            bytes += line.bytes.len();
            batch.records.push(Outgoing {
                seq,
                place: line.place,
                line: line.bytes,
            });
        }
        Ok(batch)
    }

    /// How many records between these two were not told to be missing before.
    fn missing(&mut self, before: u64, next: u64) -> u64 {
        let first = before.max(self.told) + 1;
        self.told = self.told.max(next.saturating_sub(1));
        next.saturating_sub(first)
    }

    /// The lines behind the record that the cursor names; all, if the journal is another one.
    fn lines(&mut self) -> io::Result<Behind> {
        if self.at.seq == 0 {
            // What was deleted before anybody wanted it is nobody's loss.
            if !self.is_lost {
                let oldest = self.oldest()?.unwrap_or(1);
                self.told = self.told.max(oldest.saturating_sub(1));
            }
            return Ok(Behind {
                first: None,
                lines: Lines::new(&self.journal).over_damage(),
            });
        }
        let place = Place {
            segment: self.at.segment,
            offset: self.at.offset,
        };
        let mut lines = Lines::from(&self.journal, place).over_damage();
        let named = lines.next_line()?;
        let (is_it, first) = match named {
            named if self.at.hash.is_empty() => (self.names_no_record()?, named),
            // Nothing is deleted of a journal without something being left of it.
            None => (false, None),
            Some(line) if line.place == place && self.is_named(&line) => (true, None),
            Some(line) if line.place == place => {
                // It was changed since, where the next one still names it.
                let next = lines.next_line()?;
                let follows = next.as_ref().is_some_and(|next| self.is_next(next));
                (follows, next)
            }
            // It was deleted since.
            Some(line) => {
                // The oldest are deleted first.
                let is_deleted = self.oldest()?.is_none_or(|oldest| oldest > place.segment);
                (is_deleted && self.is_later(&line), Some(line))
            }
        };
        if is_it {
            return Ok(Behind { first, lines });
        }
        tracing::warn!(
            record = self.at.seq,
            "the journal is not the one that was sent from: all of it is sent"
        );
        (self.at, self.arrived) = (Cursor::default(), Cursor::default());
        (self.told, self.behind, self.is_lost) = (0, 0, false);
        self.lines()
    }

    /// Its number has to be that of the line: a higher one, which somebody wrote there, would leave records out that
    /// count as sent.
    fn is_named(&self, line: &Line) -> bool {
        let seq = Link::read(&line.bytes).ok().and_then(|link| link.seq);
        seq.is_none_or(|seq| seq == self.at.seq)
            && Sha256Hex::of(&line.bytes).as_str() == self.at.hash
    }

    fn is_next(&self, line: &Line) -> bool {
        Link::read(&line.bytes)
            .is_ok_and(|link| link.seq == Some(self.at.seq + 1) && link.prev == self.at.hash)
    }

    /// Whether it can stand behind what was deleted with the record that the cursor names.
    fn is_later(&self, line: &Line) -> bool {
        let seq = Link::read(&line.bytes).ok().and_then(|link| link.seq);
        match seq {
            Some(seq) if seq == self.at.seq + 1 => self.is_next(line),
            seq => seq.is_some_and(|seq| seq > self.at.seq),
        }
    }

    /// This record was taken, and all before it: they are not read again. That they have arrived is another matter.
    pub fn passed(&mut self, record: &Outgoing) {
        self.at = Cursor::of(record.seq, &record.line, record.place);
    }

    /// All that was passed has arrived.
    pub fn arrived(&mut self) {
        self.arrived = self.at.clone();
    }

    /// Of what has arrived, the other side has lost everything behind record `seq`, under whatever name it was sent: what
    /// the journal still has of that is read again. `false`: nothing was sent behind it.
    pub fn lost(&mut self, seq: u64) -> io::Result<bool> {
        if seq >= self.arrived.seq {
            return Ok(false);
        }
        self.at = Cursor::behind(&self.journal, seq)?;
        self.arrived = self.at.clone();
        // What comes again comes under the name of today.
        self.behind = self.behind.min(seq);
        (self.told, self.is_lost) = (seq, true);
        Ok(true)
    }

    /// Whether what has arrived is not what the file says.
    pub fn is_ahead(&self) -> bool {
        let written = self.written.as_ref();
        written.is_none_or(|file| file.cursor != self.arrived)
    }

    /// Writes how far it is.
    pub fn save(&mut self) -> io::Result<()> {
        let file = File {
            cursor: self.arrived.clone(),
            name: self.name.clone(),
            behind: self.behind,
        };
        put(&self.path, &serde_json::to_vec(&file)?, OWNERS_ALONE)?;
        self.written = Some(file);
        Ok(())
    }
}

/// Lines, of which the first may have been read.
struct Behind {
    first: Option<Line>,
    lines: Lines,
}

impl Behind {
    fn next(&mut self) -> io::Result<Option<Line>> {
        match self.first.take() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next_line(),
        }
    }
}

fn path(journal: &Path, name: &str) -> PathBuf {
    journal.join(format!("shipped.{name}"))
}

impl Cursor {
    fn of(seq: u64, line: &[u8], place: Place) -> Self {
        Self {
            seq,
            hash: Sha256Hex::of(line).as_str().to_owned(),
            segment: place.segment,
            offset: place.offset,
        }
    }

    /// Behind a record, whatever it is.
    fn behind(journal: &Path, seq: u64) -> io::Result<Self> {
        if seq == 0 {
            return Ok(Self::default());
        }
        let all = segments(journal)?;
        let begin = all.iter().filter_map(|path| first_record(path));
        let segment = begin.take_while(|first| *first <= seq).last();
        let segment = segment.unwrap_or_default();
        let place = Place { segment, offset: 0 };
        let mut lines = Lines::from(journal, place).over_damage();
        while let Some(line) = lines.next_line()? {
            match Link::read(&line.bytes).ok().and_then(|link| link.seq) {
                Some(number) if number == seq => return Ok(Self::of(seq, &line.bytes, line.place)),
                Some(number) if number > seq => break,
                _ => {}
            }
        }
        // It is damaged: its number has to do.
        Ok(Self {
            seq,
            segment,
            ..Self::default()
        })
    }
}

fn read(path: &Path) -> io::Result<Option<File>> {
    let mut text = Vec::new();
    match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.take(LONGEST).read_to_end(&mut text)?,
    };
    Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|_no_cursor| {
        tracing::warn!(path = %path.display(), "it does not say how far the journal was sent: all of it is sent");
        File::default()
    })))
}

/// More than such a file needs.
const LONGEST: u64 = 4096;
