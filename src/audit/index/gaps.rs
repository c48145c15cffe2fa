//! What of a journal is not there: pruned, missing, or unreadable.

use memchr::memmem;
use rusqlite::OptionalExtension;

use super::fill::{KINDS_FROM, signed};
use super::position::position;
use super::row::Row;
use super::tables::Kind;
use super::{Error, Index};
use crate::audit::event;
use crate::audit::lines::Lines;
use crate::audit::mark;
use crate::audit::segment;

/// What an answer cannot have anything of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Retention took the beginning away.
    pub pruned: Option<PrunedBefore>,
    /// First and last records that are missing, the first few such gaps.
    pub missing: Vec<(u64, u64)>,
    pub more_missing: u64,
    /// Lines that are no records.
    pub unread: u64,
    /// The end is gone: the last record that is there, and the one that was on disk, says the file `head`.
    pub cut: Option<(u64, u64)>,
}

/// Where a journal begins after it was pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedBefore {
    /// The first record that is there.
    pub first: u64,
    /// When those before it were.
    pub timestamp: String,
}

impl Index {
    /// What is not there of the time that is asked for, in milliseconds since 1970. A gate may delete old segments
    /// meanwhile: before something is said to be missing, it is looked for again.
    pub fn gaps(&self, since: Option<i64>, until: Option<i64>) -> Result<Gaps, Error> {
        let mut gaps = self.gaps_now(since, until)?;
        for _ in 0..AGAIN {
            if gaps.missing.is_empty() {
                break;
            }
            let before = std::mem::replace(&mut gaps, self.gaps_now(since, until)?);
            if before == gaps {
                break;
            }
        }
        Ok(gaps)
    }

    fn gaps_now(&self, since: Option<i64>, until: Option<i64>) -> Result<Gaps, Error> {
        let segments = segment::segments(&self.journal).map_err(Error::Journal)?;
        let firsts = segments
            .iter()
            .filter_map(|path| segment::first_record(path));
        let firsts: Vec<u64> = firsts.collect();
        let mut gaps = Gaps {
            unread: self.unread()?,
            cut: self.cut(until)?,
            ..Gaps::default()
        };
        let mut missing = Vec::new();
        if let Some(first) = firsts.first().copied().filter(|first| *first > 1) {
            let mut pruned = self.last_pruned()?;
            if pruned.last + 1 < first {
                pruned = self.pruned_since()?.unwrap_or(pruned);
            }
            let last = pruned.last.min(first - 1);
            if last + 1 < first {
                missing.push((last + 1, first - 1));
            }
            if last > 0 && self.may_be_before(first, since)? {
                gaps.pruned = Some(PrunedBefore {
                    first: last + 1,
                    timestamp: pruned.timestamp,
                });
            }
        }
        let indexed = self.last()?;
        for pair in firsts.windows(2) {
            // What a gate has written since is not missing.
            let &[this, next] = pair else { continue };
            if next > indexed {
                break;
            }
            // The last record before the next segment has to be in this one, and to be the one before.
            let sql = "SELECT seq FROM record WHERE seq >= ? AND seq < ? AND segment = ?1 ORDER BY seq DESC LIMIT 1";
            let found: Option<u64> = self
                .db
                .prepare_cached(sql)?
                .query_row([signed(this), signed(next)], |row| row.get(0))
                .optional()?;
            let from = found.map_or(this, |found| found + 1);
            if from < next {
                missing.push((from, next - 1));
            }
        }
        missing.extend(self.within_segments(since, until)?);
        missing.sort_unstable();
        for (from, to) in missing {
            let is_wanted = self.may_be_before(to + 1, since)? && self.may_be_after(from, until)?;
            if !is_wanted {
                continue;
            }
            if gaps.missing.len() < SHOWN {
                gaps.missing.push((from, to));
            } else {
                gaps.more_missing += 1;
            }
        }
        Ok(gaps)
    }

    /// First and last records that are missing between two of one segment, the first few that may be of this time: more
    /// are counted by nobody.
    fn within_segments(
        &self,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Vec<(u64, u64)>, Error> {
        // As `may_be_before` and `may_be_after` say it: those of another time must not take the room of these.
        let sql = "SELECT seq, last FROM gap WHERE
             (?1 IS NULL OR coalesce((SELECT ms FROM record WHERE seq > gap.last ORDER BY seq LIMIT 1) >= ?1, 1))
             AND (?2 IS NULL OR coalesce((SELECT ms FROM record WHERE seq < gap.seq ORDER BY seq DESC LIMIT 1) < ?2, 1))
             ORDER BY seq LIMIT ?3";
        let mut statement = self.db.prepare_cached(sql)?;
        let values = rusqlite::params![since, until, MOST_WITHIN];
        let found = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// What is gone at the end, if it may be of this time. The file is read first: whatever a running gate says there is in
    /// the segments by then.
    fn cut(&self, until: Option<i64>) -> Result<Option<(u64, u64)>, Error> {
        let Ok(Some(Ok(marked))) = mark::read(&self.journal) else {
            return Ok(None);
        };
        let (on_disk, indexed) = (marked.head.seq, self.last()?);
        if on_disk <= indexed {
            return Ok(None);
        }
        let written = match self.last_written() {
            // It is damaged, or a gate compresses or deletes it at this moment: nobody knows.
            Err(Error::Journal(_)) => return Ok(None),
            written => written?,
        };
        let last = written.max(indexed);
        let is_wanted = on_disk > last && self.may_be_after(last + 1, until)?;
        Ok(is_wanted.then_some((last, on_disk)))
    }

    /// The highest number near the end of the journal; 0, where none can be read there. However far the index is behind, the
    /// end alone is read: of the last segment that has a record, as much as holds a line.
    fn last_written(&self) -> Result<u64, Error> {
        let segments = segment::segments(&self.journal).map_err(Error::Journal)?;
        for path in segments.iter().rev().take(LAST) {
            let mut room = NEAR;
            loop {
                self.is_wanted()?;
                let (end, is_all) = segment::end(path, room).map_err(Error::Journal)?;
                let numbers = end.split_inclusive(|byte| *byte == b'\n');
                let whole = numbers.filter(|line| line.ends_with(b"\n"));
                let numbers = whole.filter_map(|line| Row::read(line.trim_ascii_end())?.seq.0);
                if let Some(last) = numbers.max() {
                    return Ok(last);
                }
                if is_all || room > segment::LONGEST_LINE as u64 {
                    break;
                }
                room *= 8;
            }
        }
        Ok(0)
    }

    /// Fails where nobody waits for the answer any more.
    fn is_wanted(&self) -> Result<(), Error> {
        match &self.stop {
            Some(stop) if stop.is_over() => Err(Error::Stopped),
            _ => Ok(()),
        }
    }

    /// The last line that is indexed, and all behind it.
    fn lines_since(&self) -> Result<Lines, Error> {
        let lines = match position(&self.db)?.place {
            Some(place) => Lines::from(&self.journal, place),
            None => Lines::new(&self.journal),
        };
        Ok(lines.over_damage())
    }

    /// How many requests were refused of which there is no record, but one that counts them, written in this time.
    pub fn counted(&self, since: Option<i64>, until: Option<i64>) -> Result<u64, Error> {
        // In this order: there are few of these, and the other way round each record would be looked at.
        let sql =
            "SELECT coalesce(sum(c.count), 0) FROM counted c CROSS JOIN record r ON r.seq = c.seq
                   WHERE (?1 IS NULL OR r.ms >= ?1) AND (?2 IS NULL OR r.ms < ?2)";
        let mut statement = self.db.prepare_cached(sql)?;
        Ok(statement.query_row([since, until], |row| row.get(0))?)
    }

    /// The newest `pruned` record; one that cannot be read does not hide those before it.
    fn last_pruned(&self) -> Result<event::Pruned, Error> {
        let mut before = i64::MAX.unsigned_abs();
        for _ in 0..SHOWN {
            let Some(seq) = self.last_before("pruned", before)? else {
                break;
            };
            let line = self.line(seq)?;
            if let Some(pruned) = line.and_then(|line| serde_json::from_slice(&line).ok()) {
                return Ok(pruned);
            }
            before = seq;
        }
        Ok(event::Pruned::default())
    }

    /// The newest `pruned` record that is not indexed yet.
    fn pruned_since(&self) -> Result<Option<event::Pruned>, Error> {
        let mut lines = self.lines_since()?;
        let mut found = None;
        while let Some(line) = lines.next_line().map_err(Error::Journal)? {
            self.is_wanted()?;
            let is_one = memmem::find(&line.bytes, b"\"kind\":\"pruned\"").is_some()
                && Row::read(&line.bytes).is_some_and(|row| row.kind.0 == "pruned");
            if is_one {
                found = serde_json::from_slice(&line.bytes).ok().or(found);
            }
        }
        Ok(found)
    }

    /// The last record of a kind as the journal has it.
    pub fn last_of(&self, kind: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.last_before(kind, i64::MAX.unsigned_abs())? {
            Some(seq) => self.line(seq),
            None => Ok(None),
        }
    }

    /// The number of the last record of a kind before this one.
    pub fn last_before(&self, kind: &str, seq: u64) -> Result<Option<u64>, Error> {
        let sql = "SELECT max(seq) FROM record WHERE seq < ?1 AND kind > 0
                   AND kind = (SELECT id + ?2 FROM text WHERE kind = ?3 AND value = ?4)";
        let values = rusqlite::params![signed(seq), KINDS_FROM, Kind::Record as i64, kind];
        let mut statement = self.db.prepare_cached(sql)?;
        Ok(statement.query_row(values, |row| row.get(0))?)
    }

    /// Whether what stood before a record may have been written at this time or later.
    fn may_be_before(&self, seq: u64, since: Option<i64>) -> Result<bool, Error> {
        let sql = "SELECT ms FROM record WHERE seq >= ? ORDER BY seq LIMIT 1";
        let after = self.time(sql, seq)?;
        Ok(since.zip(after).is_none_or(|(since, after)| since <= after))
    }

    /// Whether what stood after a record may have been written before this time.
    fn may_be_after(&self, seq: u64, until: Option<i64>) -> Result<bool, Error> {
        let sql = "SELECT ms FROM record WHERE seq < ? ORDER BY seq DESC LIMIT 1";
        let before = self.time(sql, seq)?;
        Ok(until
            .zip(before)
            .is_none_or(|(until, before)| before < until))
    }

    fn time(&self, sql: &str, seq: u64) -> Result<Option<i64>, Error> {
        let mut statement = self.db.prepare_cached(sql)?;
        let found = statement.query_row([signed(seq)], |row| row.get::<_, Option<i64>>(0));
        Ok(found.optional()?.flatten())
    }
}

/// Segments in which the last record is looked for: the last one may be empty.
const LAST: usize = 3;
/// Bytes at the end of a segment that are looked at first.
const NEAR: u64 = 64 * 1024;
/// How often it is looked again. Each time a gate has deleted something else.
const AGAIN: usize = 8;
/// Gaps within segments that are looked at.
const MOST_WITHIN: i64 = 1000;
/// Gaps that are told one by one.
const SHOWN: usize = 8;
