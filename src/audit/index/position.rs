//! How far an index has come in its journal, and what the journal has no more.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row as Found, TransactionBehavior, params};

use super::fill::signed;
use super::{Error, blocks, latency};
use crate::audit::lines::{Lines, Place};
use crate::audit::segment;
use crate::value::Sha256Hex;

/// How far an index has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    pub(super) epoch: i64,
    pub(super) place: Option<Place>,
    pub(super) seq: u64,
    pub(super) hash: String,
    pub(super) unread: u64,
    /// The segment of the last record, and how many lines since then are none.
    pub(super) last: Option<(u64, u64)>,
}

pub(super) fn position(db: &Connection) -> rusqlite::Result<Position> {
    let read = |row: &Found<'_>| {
        let (segment, offset) = (row.get::<_, Option<u64>>(1)?, row.get::<_, Option<u64>>(2)?);
        Ok(Position {
            epoch: row.get(0)?,
            place: segment
                .zip(offset)
                .map(|(segment, offset)| Place { segment, offset }),
            seq: row.get::<_, Option<u64>>(3)?.unwrap_or_default(),
            hash: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            unread: row.get(5)?,
            last: row.get::<_, Option<u64>>(6)?.zip(row.get(7)?),
        })
    };
    let position = db
        .prepare_cached(
            "SELECT epoch, segment, offset, seq, hash, unread, last, behind FROM position",
        )?
        .query_row([], read)
        .optional()?;
    Ok(position.unwrap_or_default())
}

/// Whether a journal has lines behind a position, or is another one.
pub(super) fn is_behind(journal: &Path, at: &Position) -> std::io::Result<bool> {
    let Some(place) = at.place else {
        return Ok(Lines::new(journal).next_line()?.is_some());
    };
    let mut lines = Lines::from(journal, place);
    let line = lines.next_line()?;
    let is_it = line
        .is_some_and(|line| line.place == place && Sha256Hex::of(&line.bytes).as_str() == at.hash);
    Ok(!is_it || lines.next_line()?.is_some())
}

pub(super) fn note(db: &Connection, at: &Position) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE position SET segment = ?, offset = ?, seq = ?, hash = ?, unread = ?, last = ?, behind = ?",
    )?
    .execute(params![
        at.place.map(|place| signed(place.segment)),
        at.place.map(|place| signed(place.offset)),
        signed(at.seq),
        at.hash,
        signed(at.unread),
        at.last.map(|(segment, _)| signed(segment)),
        at.last.map(|(_, unread)| signed(unread))
    ])?;
    Ok(())
}

/// What retention took away is nothing that could be shown. The directory says what is gone, and not a record, which
/// anybody might have made up. `false`: most of the index would be of what is gone, and it is better made anew.
pub(super) fn forget(db: &mut Connection, journal: &Path) -> Result<bool, Error> {
    let there = segment::segments(journal).map_err(Error::Journal)?;
    let first = there.first().and_then(|path| segment::first_record(path));
    let Some(first) = first.map(signed) else {
        return Ok(true);
    };
    let sql = "SELECT (SELECT min(seq) FROM record), (SELECT min(first) FROM span)";
    let (oldest, began): (Option<i64>, Option<i64>) =
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if oldest.is_none_or(|oldest| oldest >= first) {
        return Ok(true);
    }
    let gone = first.saturating_sub(began.unwrap_or(first));
    let last = signed(position(db)?.seq);
    if gone > WORTH && gone > last.saturating_sub(first) {
        return Ok(false);
    }
    let forgotten = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["decision", "record", "about", "counted", "gap"] {
        forgotten.execute(&format!("DELETE FROM {table} WHERE seq < ?"), [first])?;
    }
    blocks::forget(&forgotten, first)?;
    let sql = "SELECT min(earliest) FROM span WHERE first >= (SELECT max(first) FROM span WHERE first <= ?)";
    let earliest: Option<i64> = forgotten.query_row(sql, [first], |row| row.get(0))?;
    latency::forget(&forgotten, earliest.unwrap_or(i64::MIN))?;
    forgotten.commit()?;
    Ok(true)
}

/// Whether the oldest segment that is indexed is not the oldest that is there.
pub(super) fn begins_later(db: &Connection, journal: &Path) -> Result<bool, Error> {
    let there = segment::segments(journal).map_err(Error::Journal)?;
    // One that cannot be read cannot be indexed.
    let mut readable = there
        .iter()
        .filter(|path| segment::first_line(path).is_ok());
    let first = readable.next().and_then(|path| segment::first_record(path));
    let indexed: Option<i64> = db
        .query_row(
            "SELECT segment FROM record ORDER BY seq LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(matches!((first.map(signed), indexed), (Some(first), Some(indexed)) if first < indexed))
}

/// Records that are gone for which an index is made anew.
const WORTH: i64 = 100_000;
