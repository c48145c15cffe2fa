//! Sums of decisions that stand together in the journal, so that whoever counts does not look at each.
//!
//! A block is of so many numbers of records, and eight blocks make one of the next level. It is made when its last
//! number has passed, in the transaction of the rows, from what no later record changes. What a block does not answer,
//! because only a part of it is meant or because it is not there, its parts do, and in the end the rows: which blocks
//! there are changes how long an answer takes, and not what it is.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::fill::signed;
use super::{Error, varint};
use crate::audit::stop::Stop;

/// What decisions are alike in. 0: it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Alike {
    pub(super) quarter: i64,
    pub(super) verdict: i64,
    pub(super) no_op: i64,
    pub(super) environment: i64,
    pub(super) operation: i64,
    pub(super) objections: i64,
    pub(super) caller: i64,
    pub(super) certificate: i64,
    pub(super) claim: i64,
    pub(super) teams: i64,
}

/// A member of [`Alike`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Quarter,
    Verdict,
    NoOp,
    Environment,
    Operation,
    Objections,
    Caller,
    Certificate,
    Claim,
    Teams,
}

/// By what a block is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cube {
    /// By the quarter of an hour, but not by who it was.
    When,
    /// By who it was, but not by the quarter of an hour.
    Who,
}

/// A part of the journal's numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Block { level: usize, number: i64 },
    Rows { first: i64, last: i64 },
}

/// Milliseconds since 1970: from then on, and before then. A decision without a time is in none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

/// A block, without its sums. One that has a decision without a time has no times.
struct Found {
    earliest: Option<i64>,
    latest: Option<i64>,
}

/// How many decisions are alike.
pub(super) type Counts = HashMap<Alike, u64>;

impl Column {
    /// Of a column of the table `decision`.
    pub(super) fn named(column: &str) -> Option<Self> {
        Some(match column {
            "verdict" => Self::Verdict,
            "noop" => Self::NoOp,
            "environment" => Self::Environment,
            "operation" => Self::Operation,
            "objections" => Self::Objections,
            "caller" => Self::Caller,
            "certificate" => Self::Certificate,
            "claim" => Self::Claim,
            "teams" => Self::Teams,
            _ => return None,
        })
    }
}

impl Cube {
    /// What it tells apart.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::When => &[
                Column::Quarter,
                Column::Verdict,
                Column::NoOp,
                Column::Environment,
                Column::Operation,
                Column::Objections,
            ],
            Self::Who => &[
                Column::Verdict,
                Column::NoOp,
                Column::Environment,
                Column::Operation,
                Column::Objections,
                Column::Caller,
                Column::Certificate,
                Column::Claim,
                Column::Teams,
            ],
        }
    }

    fn of(self, decision: &Alike) -> Alike {
        match self {
            Self::When => Alike {
                caller: 0,
                certificate: 0,
                claim: 0,
                teams: 0,
                ..*decision
            },
            Self::Who => Alike {
                quarter: 0,
                ..*decision
            },
        }
    }

    fn sums(self) -> &'static str {
        match self {
            Self::When => "SELECT whens FROM block WHERE level = ? AND number = ?",
            Self::Who => "SELECT whos FROM block WHERE level = ? AND number = ?",
        }
    }
}

impl Alike {
    pub(super) fn get(&self, column: Column) -> i64 {
        match column {
            Column::Quarter => self.quarter,
            Column::Verdict => self.verdict,
            Column::NoOp => self.no_op,
            Column::Environment => self.environment,
            Column::Operation => self.operation,
            Column::Objections => self.objections,
            Column::Caller => self.caller,
            Column::Certificate => self.certificate,
            Column::Claim => self.claim,
            Column::Teams => self.teams,
        }
    }

    fn slot(&mut self, column: Column) -> &mut i64 {
        match column {
            Column::Quarter => &mut self.quarter,
            Column::Verdict => &mut self.verdict,
            Column::NoOp => &mut self.no_op,
            Column::Environment => &mut self.environment,
            Column::Operation => &mut self.operation,
            Column::Objections => &mut self.objections,
            Column::Caller => &mut self.caller,
            Column::Certificate => &mut self.certificate,
            Column::Claim => &mut self.claim,
            Column::Teams => &mut self.teams,
        }
    }
}

impl Times {
    fn are_all(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    fn have(self, block: &Found) -> bool {
        let (Some(earliest), Some(latest)) = (block.earliest, block.latest) else {
            return self.are_all();
        };
        self.since.is_none_or(|since| since <= earliest)
            && self.until.is_none_or(|until| latest < until)
    }

    fn have_nothing_of(self, block: &Found) -> bool {
        let (Some(earliest), Some(latest)) = (block.earliest, block.latest) else {
            return false;
        };
        self.since.is_some_and(|since| latest < since)
            || self.until.is_some_and(|until| until <= earliest)
    }
}

/// The fewest pieces that have the decisions of a time.
pub(super) fn pieces(
    db: &Connection,
    times: Times,
    stop: Option<&Stop>,
) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let all = (0, i64::MAX);
    within(db, times, stop, BITS.len() - 1, all, &mut pieces)?;
    Ok(pieces)
}

/// Those of a part, by blocks of this level and below.
fn within(
    db: &Connection,
    times: Times,
    stop: Option<&Stop>,
    level: usize,
    (first, last): (i64, i64),
    pieces: &mut Vec<Piece>,
) -> Result<(), Error> {
    let Some(bits) = BITS.get(level) else {
        return Ok(());
    };
    let mut from = first;
    while let Some(seq) = next_decision(db, from, last)? {
        if stop.is_some_and(Stop::is_over) {
            return Err(Error::Stopped);
        }
        let number = seq >> bits;
        let ends = end(number, *bits).min(last);
        match (block(db, level, number)?, level.checked_sub(1)) {
            (Some(block), _) if times.have_nothing_of(&block) => {}
            (Some(block), _) if times.have(&block) => pieces.push(Piece::Block { level, number }),
            (_, Some(below)) => within(db, times, stop, below, (seq, ends), pieces)?,
            (_, None) => pieces.push(Piece::Rows {
                first: seq,
                last: ends,
            }),
        }
        match ends.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(())
}

/// Tells what decisions of a piece are alike in, and how many there are.
pub(super) fn each(
    db: &Connection,
    times: Times,
    piece: Piece,
    cube: Cube,
    mut take: impl FnMut(&Alike, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    match piece {
        Piece::Block { level, number } => {
            let mut sums = db.prepare_cached(cube.sums())?;
            let mut rows = sums.query(params![level, number])?;
            if let Some(row) = rows.next()? {
                let packed = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
                unpacked(packed, cube.columns(), &mut take)?;
            }
            Ok(())
        }
        Piece::Rows { first, last } => {
            each_row(db, times, (first, last), |alike| take(&cube.of(alike), 1))
        }
    }
}

fn each_row(
    db: &Connection,
    times: Times,
    (first, last): (i64, i64),
    mut take: impl FnMut(&Alike) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = db.prepare_cached(ROWS)?;
    let mut rows = rows.query(params![first, last, times.since, times.until])?;
    while let Some(row) = rows.next()? {
        let number =
            |at: usize| Ok::<i64, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.unwrap_or(0));
        take(&Alike {
            quarter: number(0)?,
            verdict: number(1)?,
            no_op: number(2)?,
            environment: number(3)?,
            operation: number(4)?,
            objections: number(5)?,
            caller: number(6)?,
            certificate: number(7)?,
            claim: number(8)?,
            teams: number(9)?,
        })?;
    }
    Ok(())
}

/// Makes the blocks whose last number has passed since: those behind `before`, up to `last`.
pub(super) fn close(db: &Connection, before: u64, last: u64) -> Result<(), Error> {
    let (before, last) = (signed(before), signed(last));
    for (level, bits) in BITS.iter().enumerate() {
        let mut from = (before.saturating_add(1) >> bits) << bits;
        while let Some(seq) = next_decision(db, from, last)? {
            let number = seq >> bits;
            let ends = end(number, *bits);
            if ends > last {
                break;
            }
            make(db, level, number)?;
            match ends.checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
    }
    Ok(())
}

/// A block of many that are hardly ever alike is left out: its parts answer.
fn make(db: &Connection, level: usize, number: i64) -> Result<(), Error> {
    let Some(bits) = BITS.get(level) else {
        return Ok(());
    };
    let (first, last) = (number << bits, end(number, *bits));
    let mut parts = Vec::new();
    match level.checked_sub(1) {
        None => parts.push(Piece::Rows { first, last }),
        Some(below) => within(db, Times::default(), None, below, (first, last), &mut parts)?,
    }
    let (mut whens, mut whos) = (Counts::new(), Counts::new());
    let mut times = Vec::new();
    for part in parts {
        times.push(found(db, part)?);
        match part {
            Piece::Rows { first, last } => {
                each_row(db, Times::default(), (first, last), |decision| {
                    add(&mut whens, Cube::When.of(decision), 1);
                    add(&mut whos, Cube::Who.of(decision), 1);
                    Ok(())
                })?;
            }
            Piece::Block { .. } => {
                for (cube, counts) in [(Cube::When, &mut whens), (Cube::Who, &mut whos)] {
                    each(db, Times::default(), part, cube, |alike, count| {
                        add(counts, *alike, count);
                        Ok(())
                    })?;
                }
            }
        }
        if whens.len().max(whos.len()) > MOST {
            return Ok(());
        }
    }
    let earliest = times.iter().map(|it| it.earliest).min().flatten();
    let latest = times.iter().map(|it| it.latest).max().flatten();
    db.prepare_cached(
        "INSERT OR REPLACE INTO block(level, number, earliest, latest, whens, whos) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        level,
        number,
        earliest,
        latest.filter(|_| earliest.is_some()),
        packed(whens, Cube::When.columns()),
        packed(whos, Cube::Who.columns())
    ])?;
    Ok(())
}

/// Takes back the blocks that have anything of what is before a record.
pub(super) fn forget(db: &Connection, first: i64) -> rusqlite::Result<()> {
    for (level, bits) in BITS.iter().enumerate() {
        db.execute(
            "DELETE FROM block WHERE level = ? AND number <= ?",
            params![level, first.saturating_sub(1) >> bits],
        )?;
    }
    Ok(())
}

fn add(counts: &mut Counts, alike: Alike, count: u64) {
    let so_far = counts.entry(alike).or_default();
    *so_far = so_far.saturating_add(count);
}

/// The last number of a block.
fn end(number: i64, bits: u32) -> i64 {
    (number << bits) | !(-1_i64 << bits)
}

fn next_decision(db: &Connection, first: i64, last: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT min(seq) FROM decision WHERE seq BETWEEN ? AND ?")?
        .query_row([first, last], |row| row.get(0))
}

fn block(db: &Connection, level: usize, number: i64) -> rusqlite::Result<Option<Found>> {
    db.prepare_cached("SELECT earliest, latest FROM block WHERE level = ? AND number = ?")?
        .query_row(params![level, number], |row| {
            Ok(Found {
                earliest: row.get(0)?,
                latest: row.get(1)?,
            })
        })
        .optional()
}

/// The times of a piece.
fn found(db: &Connection, piece: Piece) -> rusqlite::Result<Found> {
    let (first, last) = match piece {
        Piece::Block { level, number } => {
            let none = Found {
                earliest: None,
                latest: None,
            };
            return Ok(block(db, level, number)?.unwrap_or(none));
        }
        Piece::Rows { first, last } => (first, last),
    };
    let sql = "SELECT iif(count(*) = count(ms), min(ms), NULL), max(ms) FROM decision WHERE seq BETWEEN ? AND ?";
    db.prepare_cached(sql)?.query_row([first, last], |row| {
        Ok(Found {
            earliest: row.get(0)?,
            latest: row.get(1)?,
        })
    })
}

fn packed(counts: Counts, columns: &[Column]) -> Vec<u8> {
    let mut counts: Vec<(Alike, u64)> = counts.into_iter().collect();
    counts.sort_unstable();
    let mut bytes = Vec::with_capacity(counts.len() * columns.len() * 2);
    for (alike, count) in counts {
        for column in columns {
            varint::write(&mut bytes, alike.get(*column).cast_unsigned());
        }
        varint::write(&mut bytes, count);
    }
    bytes
}

fn unpacked(
    bytes: &[u8],
    columns: &[Column],
    take: &mut impl FnMut(&Alike, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = bytes.iter();
    let mut alike = Alike::default();
    while !left.as_slice().is_empty() {
        for column in columns {
            *alike.slot(*column) = varint::read(&mut left)?.cast_signed();
        }
        take(&alike, varint::read(&mut left)?)?;
    }
    Ok(())
}

const ROWS: &str = "SELECT ms / 900000, verdict, noop, environment, operation, objections, caller, certificate, claim,
      teams
    FROM decision WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR ms >= ?3) AND (?4 IS NULL OR ms < ?4)";
/// How many numbers a block of each level has, as a power of two. Tests have blocks of a few, so that whatever is counted
/// anywhere is counted by blocks of all levels.
const BITS: [u32; 4] = if cfg!(test) {
    [1, 2, 3, 5]
} else {
    [13, 16, 19, 22]
};
/// Sums of a block, at the most.
const MOST: usize = if cfg!(test) { 12 } else { 1 << 16 };
