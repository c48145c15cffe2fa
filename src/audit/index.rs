//! An index of the journal, by which decisions are found: `SQLite`, never the truth.
//!
//! It holds what decisions are looked for by, and where each record stands. What is shown is read from the journal. So an
//! index that is damaged, of another version, or of another journal is thrown away and made anew, and nobody has lost
//! anything.

mod blocks;
mod claims;
mod damage;
mod error;
pub mod facts;
mod file;
mod fill;
mod filter;
mod gaps;
mod keep;
mod keys;
mod latency;
mod named;
mod part;
mod position;
mod query;
mod row;
mod sums;
mod tables;
mod texts;
mod unnamed;
mod varint;
mod words;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::lines::{Lines, Place, Unreadable};
use super::segment::{as_readable_as, options};
use super::stop::Stop;
use damage::Damage;
pub use error::Error;
pub use file::check;
use file::{discard, file_of, is_foreign, owned_as};
use fill::Filler;
pub use filter::{Filter, Otherwise, Pattern, Which, ids, is_same_id};
pub use gaps::{Gaps, PrunedBefore};
pub use keep::{Keeper, Progress};
pub use latency::{Latency, Times, Took};
pub use named::{Hidden, PUBLIC, Veil, hidden_of, is_id, is_public, token_of};
pub use query::{Decided, Page};
pub use sums::{By, Sum, Sums};
use tables::{APPLICATION, TABLES, VERSION};
pub use unnamed::Unnamed;

/// An index, open.
#[derive(Debug)]
pub struct Index {
    db: Connection,
    journal: PathBuf,
    /// Where it is kept; `None`: in memory.
    path: Option<PathBuf>,
    /// Device and number, by which the file is known again.
    file: Option<(u64, u64)>,
    filler: Option<Filler>,
    damage: Damage,
    /// When a question is given up; `None`: never.
    stop: Option<Stop>,
}

/// What one transaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// Every line that is written has been read.
    UpToDate,
    /// So many were, and there are more.
    More(usize),
    /// Somebody else fills it too, and was quicker.
    Elsewhere,
    /// Records that were read are not in the journal any more.
    TakenBack,
}

/// By what is counted, in milliseconds: every zone's days and hours begin with a quarter of an hour.
pub const QUARTER: i64 = 15 * MINUTE;
pub const MINUTE: i64 = 60_000;
/// The shortest part of the time by which latencies are counted.
pub const SHORT: i64 = 15_000;
/// The file of an index in the directory of its journal.
pub const FILE: &str = "index.sqlite";

impl Index {
    /// Opens it to be filled and asked; makes it where there is none that can be used.
    pub fn open(journal: &Path, path: &Path) -> Result<Self, Error> {
        let mut again = true;
        loop {
            match Self::open_once(journal, path) {
                Err(error) if again && error.is_damage() => {
                    tracing::warn!(%error, path = %path.display(), "the index is damaged and made anew");
                    discard(path)?;
                    again = false;
                }
                opened => return opened,
            }
        }
    }

    fn open_once(journal: &Path, path: &Path) -> Result<Self, Error> {
        let file = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        if is_foreign(journal, path).map_err(file)? {
            return Err(Error::Foreign(path.to_owned()));
        }
        let made = options(as_readable_as(journal).map_err(file)?)
            .write(true)
            .create_new(true)
            .open(path);
        match made {
            Ok(made) => owned_as(journal, &made).map_err(file)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file(error)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        set_up(&db)?;
        // Into the file itself, before anything goes to the log beside it: whoever finds the file knows whose it is.
        if !has_tables(&db)? {
            db.pragma_update(None, "application_id", APPLICATION)?;
        }
        db.pragma_update(None, "journal_mode", "wal")?;
        // Nothing is lost that could not be read again, and a checkpoint is synced: a power failure damages nothing.
        db.pragma_update(None, "synchronous", "normal")?;
        db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        let mut index = Self {
            db,
            journal: journal.to_owned(),
            path: Some(path.to_owned()),
            file: file_of(path),
            filler: None,
            damage: Damage::default(),
            stop: None,
        };
        if !is_usable(&index.db)? {
            if has_tables(&index.db)? {
                drop(index);
                discard(path)?;
                return Self::open_once(journal, path);
            }
            index.make()?;
        }
        Ok(index)
    }

    /// Makes another one in its place.
    pub fn anew(journal: &Path, path: &Path) -> Result<Self, Error> {
        check(journal, path)?;
        discard(path)?;
        Self::open(journal, path)
    }

    /// Opens it to be asked only. `None`: there is none that could be asked.
    pub fn open_to_read(journal: &Path, path: &Path) -> Result<Option<Self>, Error> {
        let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        if !is_file {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        set_up(&db)?;
        Ok(is_usable(&db)?.then(|| Self {
            db,
            journal: journal.to_owned(),
            path: Some(path.to_owned()),
            file: file_of(path),
            filler: None,
            damage: Damage::default(),
            stop: None,
        }))
    }

    /// One that ends with this process.
    pub fn in_memory(journal: &Path) -> Result<Self, Error> {
        // A file that has no name: what is large goes to the disk.
        let db = Connection::open("")?;
        set_up(&db)?;
        db.pragma_update(None, "journal_mode", "off")?;
        db.pragma_update(None, "synchronous", "off")?;
        let mut index = Self {
            db,
            journal: journal.to_owned(),
            path: None,
            file: None,
            filler: None,
            damage: Damage::default(),
            stop: None,
        };
        index.make()?;
        Ok(index)
    }

    fn make(&mut self) -> Result<(), Error> {
        let making = self
            .db
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another one may have been quicker.
        if pragma(&making, "user_version")? != VERSION {
            making.execute_batch(TABLES)?;
            making.pragma_update(None, "application_id", APPLICATION)?;
            making.pragma_update(None, "user_version", VERSION)?;
        }
        making.commit()?;
        Ok(())
    }

    /// From now on every question fails as soon as this is over, whatever `SQLite` is about.
    pub fn stop_at(&mut self, stop: Stop) -> Result<(), Error> {
        let asked = stop.clone();
        self.db
            .progress_handler(STEPS, Some(move || asked.is_over()))?;
        self.stop = Some(stop);
        Ok(())
    }

    /// Steps over segments that are damaged, and tells of each.
    pub fn over_damage(&mut self, told: fn(&Unreadable)) {
        self.damage = Damage::told(told);
    }

    /// Reads what the journal has and the index has not; `go_on` is told how far it is after each few thousand records,
    /// and stops it by `false`.
    pub fn catch_up(&mut self, mut go_on: impl FnMut(u64) -> bool) -> Result<(), Error> {
        loop {
            let mut filler = match self.filler.take() {
                Some(filler) => filler,
                None => Filler::new(&mut self.db, &self.journal, &self.damage)?,
            };
            // Lost where it fails: what it knows may be of rows that were not written.
            let done = filler.fill(&mut self.db);
            self.damage.tell(&filler.unreadable());
            match done? {
                Filled::UpToDate => {
                    if !position::forget(&mut self.db, &self.journal)? {
                        tracing::info!(
                            "most of what was indexed is pruned: the index is made anew"
                        );
                        empty(&mut self.db)?;
                        continue;
                    }
                    self.filler = Some(filler);
                    return Ok(());
                }
                Filled::More(_) => {
                    let seq = filler.seq();
                    self.filler = Some(filler);
                    if !go_on(seq) {
                        return Ok(());
                    }
                }
                Filled::Elsewhere => {}
                Filled::TakenBack => {
                    empty(&mut self.db)?;
                    let filler = Filler::new(&mut self.db, &self.journal, &self.damage)?;
                    self.filler = Some(filler.over_damage());
                }
            }
        }
    }

    /// Whether the journal has lines that are not indexed.
    pub fn is_behind(&self) -> Result<bool, Error> {
        let at = position::position(&self.db)?;
        position::is_behind(&self.journal, &at).map_err(Error::Journal)
    }

    /// Whether the journal begins before what is indexed: segments that were deleted are there again.
    pub fn lacks_what_was_put_back(&self) -> Result<bool, Error> {
        position::begins_later(&self.db, &self.journal)
    }

    /// Forgets everything.
    pub fn empty(&mut self) -> Result<(), Error> {
        self.filler = None;
        empty(&mut self.db)
    }

    /// The last record that is indexed.
    pub fn last(&self) -> Result<u64, Error> {
        Ok(self
            .db
            .query_row("SELECT coalesce(seq, 0) FROM position", [], |row| {
                row.get(0)
            })?)
    }

    /// Lines of the journal that are no records.
    pub fn unread(&self) -> Result<u64, Error> {
        Ok(self
            .db
            .query_row("SELECT unread FROM position", [], |row| row.get(0))?)
    }

    /// How many records and decisions it has.
    pub fn counts(&self) -> Result<(u64, u64), Error> {
        Ok(self.db.query_row(
            "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM decision)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }

    /// Where it is kept.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A record as the journal has it; `None`: it is not there any more.
    pub fn line(&self, seq: u64) -> Result<Option<Vec<u8>>, Error> {
        // Its own question to SQLite is too short to be stopped, and there may be many.
        if self.stop.as_ref().is_some_and(Stop::is_over) {
            return Err(Error::Stopped);
        }
        let place = self
            .db
            .prepare_cached("SELECT segment, offset FROM record WHERE seq = ?")?
            .query_row([fill::signed(seq)], |row| {
                Ok(Place {
                    segment: row.get(0)?,
                    offset: row.get(1)?,
                })
            })
            .optional()?;
        let Some(place) = place else {
            return Ok(None);
        };
        let mut lines = self.damage.lines(Lines::from(&self.journal, place));
        let line = lines.next_line().map_err(Error::Journal)?;
        self.damage.tell(&lines.unreadable());
        let Some(line) = line.filter(|line| line.place == place) else {
            return Ok(None);
        };
        let is_it = row::Row::read(&line.bytes).is_some_and(|row| row.seq.0 == Some(seq));
        if is_it {
            Ok(Some(line.bytes))
        } else {
            Err(Error::Stale(seq))
        }
    }

    /// Whether its path still leads to it: another process may have made it anew.
    fn is_there(&self) -> bool {
        let found = self.path.as_deref().and_then(file_of);
        self.path.is_none() || (found.is_some() && found == self.file)
    }
}

/// Whether a record says something about the decision of this number: an outcome, what somebody found out, what a
/// challenger would have decided. Whatever an index says.
pub fn is_about(line: &[u8], decision: u64) -> bool {
    row::Row::read(line).is_some_and(|row| {
        matches!(&*row.kind.0, "outcome" | "settled" | "challenger")
            && row.decision_seq.0 == Some(decision)
    })
}

/// What every connection has.
fn set_up(db: &Connection) -> Result<(), Error> {
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "memory")?;
    // What a damaged file says must not lead anywhere.
    db.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

fn pragma(db: &Connection, name: &str) -> Result<i64, Error> {
    Ok(db.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Whether it is an index of this version, whole.
fn is_usable(db: &Connection) -> Result<bool, Error> {
    Ok(pragma(db, "application_id")? == APPLICATION
        && pragma(db, "user_version")? == VERSION
        && tables::are_right(db)?)
}

fn has_tables(db: &Connection) -> Result<bool, Error> {
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables > 0)
}

/// Takes everything out, in one transaction: whoever reads sees all of it or nothing.
fn empty(db: &mut Connection) -> Result<(), Error> {
    let emptied = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    emptied.execute_batch(
        "DROP TABLE IF EXISTS words; DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS text;
         DROP TABLE IF EXISTS list; DROP TABLE IF EXISTS member; DROP TABLE IF EXISTS record;
         DROP TABLE IF EXISTS span; DROP TABLE IF EXISTS decision; DROP TABLE IF EXISTS about;
         DROP TABLE IF EXISTS counted; DROP TABLE IF EXISTS block; DROP TABLE IF EXISTS gap;
         DROP TABLE IF EXISTS latency; DROP TABLE IF EXISTS told_key;",
    )?;
    emptied.execute_batch(TABLES)?;
    emptied.commit()?;
    Ok(())
}

/// Pages of the log (64 MiB) after which they go to their places: one that was changed several times goes there once.
const LOG_PAGES: i64 = 16_000;
/// Memory for pages.
const CACHE_KIB: i64 = 32 * 1024;
/// Instructions of `SQLite`'s machine between two looks at whether a question is given up: well below a millisecond.
const STEPS: i32 = 10_000;

#[cfg(test)]
mod tests;
