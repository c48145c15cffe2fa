//! The chain of one journal, under whatever names it was sent: another name is another gate here, and the same journal.

use std::collections::{HashMap, VecDeque};

use serde::Deserialize;

use super::bounds::Bounds;
use super::{Problems, Rows};
use crate::audit::chain::NotedHead;
use crate::audit::checkpoint::note::PublicKey;
use crate::audit::verify::{Beginning, Elsewhere, Report, Trust, VerifyError};
use crate::store::StoreError;
use crate::store::ask::Asked;
use crate::store::column::column;
use crate::store::rows::prev;
use crate::store::schema::{signed, unsigned};

/// A name under which a journal was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub gate: String,
    /// The last record that was sent under it.
    pub last: u64,
}

/// The way through the lines of a journal, under whatever names they are here.
pub(super) struct Chain<'a> {
    name: String,
    of_gates: Vec<String>,
    noted: Option<&'a NotedHead>,
    trust: &'a Trust,
    walk: Option<Elsewhere<'a>>,
    pub(super) broken: Option<VerifyError>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(
        gate: &str,
        earlier: &[Earlier],
        noted: Option<&'a NotedHead>,
        trust: &'a Trust,
    ) -> Self {
        let earlier = earlier.iter().map(|it| &*it.gate);
        Self {
            name: format!("gate {gate}"),
            of_gates: [gate]
                .into_iter()
                .chain(earlier)
                .map(str::to_owned)
                .collect(),
            noted,
            trust,
            walk: None,
            broken: None,
        }
    }

    /// Goes on with the record of this number, as long as nothing is broken.
    pub(super) fn see(
        &mut self,
        asked: &Asked,
        (seq, line): (u64, &[u8]),
        ahead: Option<&[u8]>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        let walk = if let Some(walk) = &mut self.walk {
            walk
        } else {
            let beginning = Beginning {
                name: &self.name,
                first: seq,
                line,
                removals: &asked.removals(&self.of_gates, seq)?,
            };
            match Elsewhere::new(beginning, self.noted, self.trust) {
                Ok(new) => self.walk.insert(new),
                Err(error) => {
                    self.broken = Some(error);
                    return Ok(());
                }
            }
        };
        let next = walk.next();
        if next != seq {
            problems.add(format!("row {seq} stands where record {next} comes next"));
        }
        self.broken = walk.see(line, ahead).err();
        Ok(())
    }

    /// Goes on with all of these rows, as long as nothing is broken.
    pub(super) fn walk(
        &mut self,
        asked: &Asked,
        rows: &mut Rows<'_>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        while self.broken.is_none()
            && let Some(kept) = rows.next()?
        {
            let line: &str = column(&kept, "line")?;
            let seq = unsigned(column(&kept, "seq")?);
            self.see(asked, (seq, line.as_bytes()), rows.line_ahead(), problems)?;
        }
        Ok(())
    }

    /// The last record that was met.
    pub(super) fn last(&self) -> Option<u64> {
        self.walk.as_ref().map(|walk| walk.next() - 1)
    }

    /// `None`: there were no lines.
    pub(super) fn end(self) -> Option<Result<Report, VerifyError>> {
        match self.broken {
            Some(error) => Some(Err(error)),
            None => self.walk.map(Elsewhere::end),
        }
    }
}

/// The old name, where a record of another key gives the gate another one, too.
fn renamed(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        old: String,
    }
    let Said { old } = serde_json::from_str(line).ok()?;
    let old: PublicKey = old.parse().ok()?;
    Some(old.name().to_owned())
}

impl Asked {
    /// Under which names this journal was sent before: a gate whose first record here goes on from one of another gate, which
    /// a `key` record says it was. The oldest first.
    pub(super) fn earlier(&self, gate: &str) -> Result<Vec<Earlier>, StoreError> {
        let mut names = vec![gate.to_owned()];
        let mut earlier = VecDeque::new();
        while let Some(newest) = names.last()
            && names.len() < MOST_NAMES
        {
            let first = self.rows(FIRST, &[newest])?;
            let Some(first) = first.first() else { break };
            let (seq, line): (i64, &str) = (column(first, 0)?, column(first, 1)?);
            let prev = prev(line);
            if seq <= 1 {
                break;
            }
            let mut found = None;
            for row in self.rows(KEYS, &[&names, &MOST_OF_ONE])? {
                let old = renamed(column(&row, 0)?).filter(|old| !names.contains(old));
                let Some(old) = old else { continue };
                let sql =
                    "SELECT encode(hash, 'hex') FROM dtgate.record WHERE gate = $1 AND seq = $2";
                let before = self.rows(sql, &[&old, &(seq - 1)])?;
                let hash: Option<&str> = before.first().map(|row| column(row, 0)).transpose()?;
                if hash.is_some() && hash == prev.as_deref() {
                    found = Some(old);
                    break;
                }
            }
            let Some(old) = found else { break };
            names.push(old.clone());
            earlier.push_front(Earlier {
                gate: old,
                last: unsigned(seq - 1),
            });
        }
        Ok(earlier.into())
    }

    /// Whether a record under this name says that the journal had the other name before.
    pub(super) fn has_been(&self, gate: &str, old: &str) -> Result<bool, StoreError> {
        for row in self.rows(KEYS, &[&[gate].as_slice(), &MOST_OF_ONE])? {
            if renamed(column(&row, 0)?).is_some_and(|it| it == old) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was sent under other names begins the chain. That the rows there are as their lines say is a matter of those
    /// gates.
    pub(super) fn walk_earlier(
        &self,
        earlier: &[Earlier],
        bounds: &HashMap<i64, Bounds>,
        chain: &mut Chain<'_>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        for Earlier { gate, last } in earlier {
            let mut rows = Rows::of(self, bounds, gate, signed(*last));
            chain.walk(self, &mut rows, problems)?;
        }
        Ok(())
    }

    /// The records that say what was deleted of the journal before record `first`, or shortly behind it.
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

/// The nearest to where the rest begins: retention writes any number of them.
const REMOVALS: &str = "
SELECT line FROM (
  SELECT line, seq, substring(line FROM '\"last\":([0-9]{1,19})[^0-9]')::numeric AS last FROM dtgate.record
  WHERE gate = ANY($1) AND kind = 'pruned' AND octet_length(line) <= $2
) AS removal WHERE last >= $3::bigint ORDER BY last, seq LIMIT 1000";

const FIRST: &str =
    "SELECT seq, line FROM dtgate.record WHERE gate = $1 AND seq > 0 ORDER BY seq, at LIMIT 1";

const KEYS: &str = "SELECT line FROM dtgate.record WHERE gate = ANY($1) AND kind = 'key' AND octet_length(line) <= $2
  ORDER BY seq, at LIMIT 4096";

/// Names that one journal has had.
const MOST_NAMES: usize = 100;
/// Bytes of a record that is read as a whole.
const MOST_OF_ONE: i32 = 1 << 20;
