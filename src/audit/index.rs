//! An index of the journal, by which decisions are found: `SQLite`, never the truth.
//!
//! It holds what decisions are looked for by, and where each record stands. What is shown is read from the journal. So an
//! index that is damaged, of another version, or of another journal is thrown away and made anew, and nobody has lost
//! anything.

mod damage;
pub mod facts;
mod fill;
mod filter;
mod gaps;
mod keep;
mod part;
mod position;
mod query;
mod row;
mod sums;
mod tables;
mod texts;
mod unnamed;
mod words;

use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use thiserror::Error;

use super::lines::{Lines, Place, Unreadable};
use super::segment::{as_readable_as, directory_of, identity, options};
use damage::Damage;
use fill::Filler;
pub use filter::{Filter, Pattern, Which};
pub use gaps::{Gaps, PrunedBefore};
pub use keep::{Keeper, Progress};
pub use query::{Decided, Page};
pub use sums::{By, Sum};
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
}

/// Why an index cannot be used. The journal is as it was.
#[derive(Debug, Error)]
pub enum Error {
    #[error("index: {0}{advice}", advice = advice(.0))]
    Database(rusqlite::Error),
    #[error("journal: {0}")]
    Journal(std::io::Error),
    #[error("index {}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is there and is no index of a journal: remove it, or name another file", .0.display())]
    Foreign(PathBuf),
    #[error(
        "record {0} is indexed where the journal has another one: run dtgate audit index --rebuild"
    )]
    Stale(u64),
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
        db.pragma_update(None, "wal_autocheckpoint", 4000)?;
        let mut index = Self {
            db,
            journal: journal.to_owned(),
            path: Some(path.to_owned()),
            file: file_of(path),
            filler: None,
            damage: Damage::default(),
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

/// Whether a record says something about the decision of this number: an outcome, or what somebody found out. Whatever an
/// index says.
pub fn is_about(line: &[u8], decision: u64) -> bool {
    row::Row::read(line).is_some_and(|row| {
        matches!(&*row.kind.0, "outcome" | "settled") && row.decision_seq.0 == Some(decision)
    })
}

impl Error {
    /// Nothing can be written to it: by its modes, or because another process holds it and does not let go.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::PermissionDenied
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
            Self::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::Journal(_) | Self::Foreign(_) | Self::Stale(_) => false,
        }
    }

    /// It is the index that is wrong, and a new one helps: its pages, or what somebody wrote into its tables.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => is_damage(error),
            Self::Stale(_) => true,
            Self::Journal(_) | Self::File { .. } | Self::Foreign(_) => false,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows,
        SqliteFailure, Utf8Error,
    };
    match error {
        // The words say "SQL logic error" of what is wrong in their tables, and that code has no name.
        SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::Unknown
        ),
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | InvalidColumnType(..)
        | QueryReturnedNoRows
        | Utf8Error(..) => true,
        _ => false,
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    if is_damage(error) {
        ": it is damaged, run dtgate audit index --rebuild"
    } else {
        ""
    }
}

/// Root may make it, and the gate has to write to it.
fn owned_as(journal: &Path, made: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (wanted, found) = (std::fs::metadata(journal)?, made.metadata()?);
    if wanted.uid() != found.uid() && rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(made, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    Ok(())
}

fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().as_ref().map(identity)
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
         DROP TABLE IF EXISTS span; DROP TABLE IF EXISTS decision; DROP TABLE IF EXISTS about;",
    )?;
    emptied.execute_batch(TABLES)?;
    emptied.commit()?;
    Ok(())
}

/// Finds what a gate would object to: a file in its place that is none of its own.
pub fn check(journal: &Path, path: &Path) -> Result<(), Error> {
    match is_foreign(journal, path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Foreign(path.to_owned())),
        Err(source) => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a file is somebody else's: it is not where indexes are, and does not say that it is one.
fn is_foreign(journal: &Path, path: &Path) -> std::io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        // A link leads to what nobody meant to be written, a pipe is waited for.
        Ok(found) if !found.is_file() => return Ok(true),
        Ok(_file) => {}
    }
    if path == journal.join(FILE) {
        return Ok(false);
    }
    let mut header = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened?.take(100).read_to_end(&mut header)?,
    };
    let says = header.get(68..72).and_then(|it| it.try_into().ok());
    let is_ours = says.is_some_and(|it| i64::from(u32::from_be_bytes(it)) == APPLICATION);
    Ok(!header.is_empty() && !is_ours)
}

/// Removes the file and what belongs to it.
fn discard(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_owned();
    for end in ["", "-wal", "-shm"] {
        let mut name = name.clone();
        name.push(end);
        let file = directory_of(path).join(name);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { path: file, source });
            }
            _removed => {}
        }
    }
    Ok(())
}

/// Memory for pages.
const CACHE_KIB: i64 = 32 * 1024;

#[cfg(test)]
mod tests;
