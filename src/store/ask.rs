//! Questions to the store, of commands: one after the other, and all of one moment.

use tokio::runtime::Runtime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::moment::Moment;
use super::schema::{signed, unsigned};
use super::{Config, Connected, StoreError};
use crate::audit::index::Decided;

/// A session that only reads.
#[derive(Debug)]
pub struct Asked {
    // Ended before the runtime that moves its bytes.
    connected: Connected,
    runtime: Runtime,
}

/// A record, by its gate and number. A journal has one gate, without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub gate: String,
    pub seq: u64,
}

/// A decision that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub gate: String,
    pub at: Moment,
    pub decided: Decided,
}

impl Found {
    pub fn key(&self) -> Key {
        self.beside(self.decided.seq)
    }

    /// Another record of the same gate.
    pub fn beside(&self, seq: u64) -> Key {
        Key {
            gate: self.gate.clone(),
            seq,
        }
    }
}

/// The lines of a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub decision: Option<Vec<u8>>,
    pub outcome: Option<Vec<u8>>,
    pub settled: Option<Vec<u8>>,
}

impl Asked {
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Other(error.to_string()))?;
        let connected = runtime.block_on(async {
            let connected = Connected::open(config, "audit").await?;
            connected.client.batch_execute(SESSION).await?;
            Ok::<_, StoreError>(connected)
        })?;
        Ok(Self { connected, runtime })
    }

    pub(super) fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let asking = self.connected.client.query(sql, values);
        Ok(self.runtime.block_on(asking)?)
    }

    /// Something that has no answer.
    pub(super) fn say(&self, sql: &str) -> Result<(), StoreError> {
        let saying = self.connected.client.batch_execute(sql);
        Ok(self.runtime.block_on(saying)?)
    }

    /// A record as it was written.
    pub fn line(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT line FROM dtgate.record WHERE gate = $1 AND seq = $2 LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        Ok(rows.first().map(|row| bytes(row.get(0))))
    }

    /// The lines of several decisions at once, in their order.
    pub fn lines(&self, found: &[Found]) -> Result<Vec<Lines>, StoreError> {
        let gates: Vec<&str> = found.iter().map(|it| &*it.gate).collect();
        let number = |of: &dyn Fn(&Decided) -> Option<u64>| -> Vec<Option<i64>> {
            found.iter().map(|it| of(&it.decided).map(signed)).collect()
        };
        let seqs = number(&|it| Some(it.seq));
        let (outcomes, settled) = (number(&|it| it.outcome), number(&|it| it.settled));
        let rows = self.rows(LINES, &[&gates, &seqs, &outcomes, &settled])?;
        let line = |row: &Row, at: usize| row.get::<_, Option<&str>>(at).map(bytes);
        Ok(rows
            .iter()
            .map(|row| Lines {
                decision: line(row, 0),
                outcome: line(row, 1),
                settled: line(row, 2),
            })
            .collect())
    }

    /// A decision by its number.
    pub fn decision(&self, key: &Key) -> Result<Option<Found>, StoreError> {
        let sql = "SELECT gate, seq, at, coalesce(no_op, false), outcome_seq, settled_seq FROM dtgate.record
                   WHERE gate = $1 AND seq = $2 AND kind = 'decision' LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        Ok(rows.first().map(found))
    }

    /// The records before and after one, of the same gate.
    pub fn neighbours(&self, key: &Key) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let sql = "SELECT (SELECT max(seq) FROM dtgate.record WHERE gate = $1 AND seq < $2),
                          (SELECT min(seq) FROM dtgate.record WHERE gate = $1 AND seq > $2)";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        let number = |at| rows.first().and_then(|row| row.get::<_, Option<i64>>(at));
        Ok((number(0).map(unsigned), number(1).map(unsigned)))
    }

    /// The last record of a kind before another, of the same gate.
    pub fn last_before(&self, kind: &str, key: &Key) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT seq FROM dtgate.record WHERE gate = $1 AND seq < $2 AND kind = $3
                   AND kind NOT IN ('decision', 'outcome') ORDER BY at DESC, seq DESC LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq), &kind])?;
        Ok(rows.first().map(|row| unsigned(row.get(0))))
    }
}

/// Of the columns that all questions for decisions ask for.
pub(super) fn found(row: &Row) -> Found {
    let number = |at| row.get::<_, Option<i64>>(at).map(unsigned);
    Found {
        gate: row.get(0),
        at: row.get(2),
        decided: Decided {
            seq: unsigned(row.get(1)),
            no_op: row.get(3),
            outcome: number(4),
            settled: number(5),
        },
    }
}

pub(super) fn bytes(line: &str) -> Vec<u8> {
    line.as_bytes().to_vec()
}

/// What is asked is all of one moment, nothing is written by it, and no time is lost on compiling questions. What a
/// person waits for has the memory to be sorted in.
const SESSION: &str = "SET jit = off; SET work_mem = '64MB';
    BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

const LINES: &str = "
SELECT decision.line, outcome.line, settled.line
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS asked(gate, seq, outcome, settled, place)
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.seq LIMIT 1
) AS decision ON true
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.outcome LIMIT 1
) AS outcome ON true
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.settled LIMIT 1
) AS settled ON true
ORDER BY place";
