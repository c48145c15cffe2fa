//! What is asked of lines, wherever they stand: in the tables, or in those of a test.

use std::collections::HashMap;

use super::bounds::Bounds;
use super::fleet::{End, Wanted};
use super::{Problems, Rows};
use crate::store::StoreError;
use crate::store::ask::Asked;
use crate::store::column::column;
use crate::store::schema::{signed, unsigned};

/// A row on the way through them: its number, its line and the line behind it.
pub(super) struct Step<'a> {
    pub(super) seq: u64,
    pub(super) line: &'a [u8],
    pub(super) ahead: Option<&'a [u8]>,
}

impl Step<'_> {
    /// No gate writes such a row: it is not read.
    pub(super) fn too_large(seq: u64) -> Self {
        Self {
            seq,
            line: b"",
            ahead: None,
        }
    }
}

/// Lines of gates, by their numbers.
pub(super) trait Source {
    /// Goes through the rows of a gate behind the first of these records and up to the second, as long as `see` wants more.
    fn walk(
        &self,
        gate: &str,
        span: (u64, u64),
        problems: &mut Problems,
        see: &mut dyn FnMut(Step<'_>, &mut Problems) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError>;

    /// The hash of a record, by what stands beside its line, and the one that the line names.
    fn hashes(&self, gate: &str, seq: u64) -> Result<Option<(String, Option<String>)>, StoreError>;

    /// The first record of a gate, and the hash that its line names.
    fn first(&self, gate: &str) -> Result<Option<(u64, Option<String>)>, StoreError>;

    /// Records of these gates that tell of another key.
    fn keys(&self, gates: &[String]) -> Result<Vec<String>, StoreError>;

    /// The records that say what was deleted of the journal before record `first`, or shortly behind it.
    fn removals(&self, gates: &[String], first: u64) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Where the rows of each gate begin and end, of so many gates at most.
    fn ends(&self, most: usize) -> Result<Vec<End>, StoreError>;

    /// Which of these are there: their places.
    fn there(&self, wanted: &[Wanted]) -> Result<Vec<usize>, StoreError>;
}

/// The tables.
pub(super) struct Tables<'a> {
    pub(super) asked: &'a Asked,
    pub(super) bounds: &'a HashMap<i64, Bounds>,
}

impl Source for Tables<'_> {
    fn walk(
        &self,
        gate: &str,
        (behind, up_to): (u64, u64),
        problems: &mut Problems,
        see: &mut dyn FnMut(Step<'_>, &mut Problems) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let span = (signed(behind), signed(up_to));
        let mut rows = Rows::of(self.asked, self.bounds, gate, span);
        while let Some(kept) = rows.next()? {
            let seq = unsigned(column(&kept, "seq")?);
            let step = match column::<Option<&str>>(&kept, "line")? {
                Some(line) => Step {
                    seq,
                    line: line.as_bytes(),
                    ahead: rows.line_ahead(),
                },
                None => Step::too_large(seq),
            };
            if !see(step, problems)? {
                break;
            }
        }
        Ok(())
    }

    fn hashes(&self, gate: &str, seq: u64) -> Result<Option<(String, Option<String>)>, StoreError> {
        let rows = self
            .asked
            .rows(&with_prev(HASHES), &[&gate, &signed(seq)])?;
        let row = rows.first();
        row.map(|row| Ok((column(row, 0)?, column(row, 1)?)))
            .transpose()
    }

    fn first(&self, gate: &str) -> Result<Option<(u64, Option<String>)>, StoreError> {
        let rows = self.asked.rows(&with_prev(FIRST), &[&gate])?;
        let row = rows.first();
        row.map(|row| Ok((unsigned(column(row, 0)?), column(row, 1)?)))
            .transpose()
    }

    fn keys(&self, gates: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self.asked.rows(KEYS, &[&gates, &MOST_OF_ONE])?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    fn removals(&self, gates: &[String], first: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        self.asked.removals(gates, first)
    }

    fn ends(&self, most: usize) -> Result<Vec<End>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.asked.rows(&with_prev(ENDS), &[&most])?;
        let end = |row| {
            Ok(End {
                gate: column(row, 0)?,
                first: unsigned(column(row, 1)?),
                prev: column(row, 2)?,
                last: unsigned(column(row, 3)?),
                hash: column(row, 4)?,
            })
        };
        rows.iter().map(end).collect()
    }

    fn there(&self, wanted: &[Wanted]) -> Result<Vec<usize>, StoreError> {
        let gates: Vec<&str> = wanted.iter().map(|it| &*it.gate).collect();
        let seqs: Vec<i64> = wanted.iter().map(|it| signed(it.seq)).collect();
        let hashes: Vec<&str> = wanted.iter().map(|it| &*it.hash).collect();
        let rows = self.asked.rows(THERE, &[&gates, &seqs, &hashes])?;
        let place = |row| Ok(usize::try_from(column::<i64>(row, 0)? - 1).unwrap_or(usize::MAX));
        rows.iter().map(place).collect()
    }
}

impl Asked {
    /// The records that say what was deleted of a journal before record `first`, or shortly behind it.
    pub(in crate::store) fn removals(
        &self,
        gates: &[String],
        first: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if first <= 1 {
            return Ok(Vec::new());
        }
        let gone = signed(first - 1);
        let rows = self.rows(REMOVALS, &[&gates, &MOST_OF_ONE, &gone])?;
        let lines = rows.iter().map(|row| column::<&str>(row, 0));
        let lines: Result<Vec<&str>, _> = lines.collect();
        Ok(lines?
            .into_iter()
            .map(|it| it.as_bytes().to_vec())
            .collect())
    }
}

/// Where `PREV` stands, what a line names as the hash before it. Each line begins so, and no more of it is read.
/// Where `HASH` stands, the hash beside it: what has another length is none.
fn with_prev(sql: &str) -> String {
    let prev = r#"substring(left(line, 160) FROM '^\{"seq":[0-9]{1,20},"prev":"([0-9a-f]{64})"')"#;
    let hash = "CASE octet_length(hash) WHEN 32 THEN encode(hash, 'hex') ELSE '' END";
    sql.replace("PREV", prev).replace("HASH", hash)
}

const FIRST: &str =
    "SELECT seq, PREV FROM dtgate.record WHERE gate = $1 AND seq > 0 ORDER BY seq, at LIMIT 1";

const HASHES: &str = "SELECT HASH, PREV FROM dtgate.record WHERE gate = $1 AND seq = $2
  ORDER BY at LIMIT 1";

/// From each name to the next: there are few gates, and many records.
const ENDS: &str = "
WITH RECURSIVE gate(name) AS (
  SELECT min(gate) FROM dtgate.record
  UNION ALL SELECT (SELECT min(gate) FROM dtgate.record WHERE gate > name) FROM gate WHERE name IS NOT NULL
), named AS (SELECT name FROM gate WHERE name IS NOT NULL LIMIT $1)
SELECT name, first.seq, first.prev, last.seq, last.hash FROM named,
LATERAL (SELECT seq, PREV AS prev FROM dtgate.record WHERE gate = name AND seq > 0 ORDER BY seq, at LIMIT 1) AS first,
LATERAL (SELECT seq, HASH AS hash FROM dtgate.record WHERE gate = name ORDER BY seq DESC, at DESC LIMIT 1)
  AS last";

const THERE: &str = "
SELECT place FROM unnest($1::text[], $2::bigint[], $3::text[]) WITH ORDINALITY AS wanted(gate, seq, hash, place)
WHERE EXISTS (SELECT FROM dtgate.record AS r
  WHERE r.gate = wanted.gate AND r.seq = wanted.seq AND r.hash = decode(wanted.hash, 'hex')) ORDER BY place";

/// The nearest to where the rest begins: retention writes any number of them.
const REMOVALS: &str = "
SELECT line FROM (
  SELECT line, seq, substring(line FROM '\"last\":([0-9]{1,19})[^0-9]')::numeric AS last FROM dtgate.record
  WHERE gate = ANY($1) AND seq > 0 AND kind = 'pruned' AND octet_length(line) <= $2
) AS removal WHERE last >= $3::bigint ORDER BY last, seq LIMIT 1000";

const KEYS: &str =
    "SELECT line FROM dtgate.record WHERE gate = ANY($1) AND seq > 0 AND kind = 'key'
  AND octet_length(line) <= $2 ORDER BY seq, at LIMIT 4096";

/// Bytes of a record that is read as a whole.
const MOST_OF_ONE: i32 = 1 << 20;
