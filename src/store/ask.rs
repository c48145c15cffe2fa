//! Questions to the store, of commands: one after the other, and all of one moment.

use std::collections::HashMap;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::column::column;
use super::moment::Moment;
use super::schema::{self, signed, unsigned};
use super::{Config, Connected, StoreError};
use crate::audit::Stop;
use crate::audit::index::Decided;
use crate::value::threads;

/// A session that only reads.
#[derive(Debug)]
pub struct Asked {
    // Ended before the runtime that moves its bytes.
    connected: Connected,
    runtime: Runtime,
    /// For an answer.
    patience: Duration,
    /// When all questions are given up; `None`: never.
    stop: Option<Stop>,
}

/// A record, by its gate and number. A journal has one gate, without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// What a challenger would have decided otherwise.
    pub challenger: Option<Vec<u8>>,
}

impl Asked {
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let runtime = threads::runtime_here()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Other(error.to_string()))?;
        let connected = runtime.block_on(Connected::open_to_ask(config, "audit"))?;
        let asked = Self {
            connected,
            runtime,
            patience: config.timeout.as_std().saturating_mul(PATIENCE),
            stop: None,
        };
        let ms = asked.patience.as_millis().min(i32::MAX as u128);
        asked.say(&format!("SET statement_timeout = {ms}; {SESSION}"))?;
        asked.are_tables()?;
        Ok(asked)
    }

    /// From now on every question fails as soon as this is over. The server, which does not hear of it, works for as long
    /// as is left of the time now, at most.
    pub fn stop_at(&mut self, stop: Stop) -> Result<(), StoreError> {
        let left = self.patience.min(stop.left());
        // 0 would be without end.
        let ms = left.as_millis().clamp(1, i32::MAX as u128);
        self.stop = Some(stop);
        self.say(&format!("SET statement_timeout = {ms}"))
    }

    /// Whether what is asked are the tables themselves, with all that is in them: a view or a policy could say one thing
    /// to whoever verifies, and another to whoever asks.
    fn are_tables(&self) -> Result<(), StoreError> {
        let odd = self.rows(schema::ODD, &[])?;
        match odd.first() {
            None => Ok(()),
            Some(row) => Err(StoreError::Odd {
                table: column(row, 0)?,
                why: column(row, 1)?,
            }),
        }
    }

    /// The answer, or what is wrong. A server that is there ends a question that takes too long by itself.
    fn answer<T>(
        &self,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let within = self.patience.saturating_add(SILENT);
        let answered = self.runtime.block_on(async {
            tokio::select! {
                answered = tokio::time::timeout(within, asking) => {
                    answered.map_err(|_elapsed| StoreError::Timeout(within))
                }
                () = self.is_given_up() => Err(StoreError::Stopped),
            }
        });
        // Nor does anybody wait for its next answer.
        let answered = answered.inspect_err(|_given_up| self.connected.end())?;
        answered.map_err(|error| self.connected.explained(error.into()))
    }

    /// Waits until nobody wants an answer any more.
    async fn is_given_up(&self) {
        let Some(stop) = &self.stop else {
            return std::future::pending().await;
        };
        while !stop.is_over() {
            tokio::time::sleep(LOOK.min(stop.left())).await;
        }
    }

    pub(super) fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.answer(self.connected.client.query(sql, values))
    }

    /// Something that has no answer.
    pub(super) fn say(&self, sql: &str) -> Result<(), StoreError> {
        self.answer(self.connected.client.batch_execute(sql))
    }

    /// A record as it was written.
    pub fn line(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT line FROM dtgate.record WHERE gate = $1 AND seq = $2 ORDER BY at LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        let line = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(line.map(bytes))
    }

    /// Of how many of these decisions, from the first, the lines have room at once. One has.
    pub fn at_once(&self, found: &[Found]) -> Result<usize, StoreError> {
        let (mut room, mut count) = (AT_ONCE, 0);
        for row in self.of_lines("octet_length", found)? {
            for place in 0..3_usize {
                let bytes = column::<Option<i32>>(&row, place)?.unwrap_or_default();
                room -= i64::from(bytes);
            }
            if room < 0 {
                break;
            }
            count += 1;
        }
        Ok(count.clamp(1, found.len().max(1)))
    }

    fn of_lines(&self, shown: &str, found: &[Found]) -> Result<Vec<Row>, StoreError> {
        let gates: Vec<&str> = found.iter().map(|it| &*it.gate).collect();
        let number = |of: &dyn Fn(&Decided) -> Option<u64>| -> Vec<Option<i64>> {
            found.iter().map(|it| of(&it.decided).map(signed)).collect()
        };
        let seqs = number(&|it| Some(it.seq));
        let (outcomes, settled) = (number(&|it| it.outcome), number(&|it| it.settled));
        let sql = LINES.replace("SHOWN", shown);
        self.rows(&sql, &[&gates, &seqs, &outcomes, &settled])
    }

    /// The lines of several decisions at once, in their order.
    pub fn lines(&self, found: &[Found]) -> Result<Vec<Lines>, StoreError> {
        let rows = self.of_lines("", found)?;
        let line =
            |row, at: usize| Ok::<_, StoreError>(column::<Option<&str>>(row, at)?.map(bytes));
        let mut challenged = self.challenged(found)?;
        let lines = |(row, found): (_, &Found)| {
            Ok::<_, StoreError>(Lines {
                challenger: challenged.remove(&found.key()),
                decision: line(row, 0)?,
                outcome: line(row, 1)?,
                settled: line(row, 2)?,
            })
        };
        rows.iter().zip(found).map(lines).collect()
    }

    /// What challengers would have decided otherwise, of these decisions.
    fn challenged(&self, found: &[Found]) -> Result<HashMap<Key, Vec<u8>>, StoreError> {
        let gates: Vec<&str> = found.iter().map(|it| &*it.gate).collect();
        let seqs: Vec<i64> = found.iter().map(|it| signed(it.decided.seq)).collect();
        let rows = self.rows(CHALLENGED, &[&gates, &seqs, &MOST_OF_ONE])?;
        let lines = rows.iter().map(|row| {
            let key = Key {
                gate: column(row, 0)?,
                seq: unsigned(column(row, 1)?),
            };
            Ok((key, bytes(column(row, 2)?)))
        });
        lines.collect()
    }

    /// A decision by its number.
    pub fn decision(&self, key: &Key) -> Result<Option<Found>, StoreError> {
        let sql = "SELECT gate, seq, at, coalesce(no_op, false), outcome_seq, settled_seq FROM dtgate.record
                   WHERE gate = $1 AND seq = $2 AND kind = 'decision' ORDER BY at LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        rows.first().map(found).transpose()
    }

    /// The records before and after one, of the same gate.
    pub fn neighbours(&self, key: &Key) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let sql = "SELECT (SELECT max(seq) FROM dtgate.record WHERE gate = $1 AND seq < $2),
                          (SELECT min(seq) FROM dtgate.record WHERE gate = $1 AND seq > $2)";
        self.beside(sql, key)
    }

    /// The decisions before and after a record, of the same gate.
    pub fn decisions_beside(&self, key: &Key) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let sql = "SELECT (SELECT max(seq) FROM dtgate.record WHERE gate = $1 AND seq < $2 AND kind = 'decision'),
                          (SELECT min(seq) FROM dtgate.record WHERE gate = $1 AND seq > $2 AND kind = 'decision')";
        self.beside(sql, key)
    }

    /// Two numbers that such a question finds.
    fn beside(&self, sql: &str, key: &Key) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq)])?;
        let number = |at: usize| {
            let number = rows.first().map(|row| column::<Option<i64>>(row, at));
            Ok::<_, StoreError>(number.transpose()?.flatten().map(unsigned))
        };
        Ok((number(0)?, number(1)?))
    }

    /// How many requests were refused of which there is no record, but one that counts them, written in this time.
    pub fn counted(
        &self,
        gate: Option<&str>,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<u64, StoreError> {
        let [since, until] = [since, until].map(|ms| ms.map(Moment::of_millis));
        let rows = self.rows(COUNTED, &[&gate, &since, &until])?;
        let count: Option<i64> = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(count.map_or(0, unsigned))
    }

    /// The last record of a kind before another, of the same gate.
    pub fn last_before(&self, kind: &str, key: &Key) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT seq FROM dtgate.record WHERE gate = $1 AND seq < $2 AND kind = $3
                   AND kind NOT IN ('decision', 'outcome') ORDER BY at DESC, seq DESC LIMIT 1";
        let rows = self.rows(sql, &[&key.gate, &signed(key.seq), &kind])?;
        let seq = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(seq.map(unsigned))
    }
}

/// Of the columns that all questions for decisions ask for.
pub(super) fn found(row: &Row) -> Result<Found, StoreError> {
    let number = |at: usize| Ok::<_, StoreError>(column::<Option<i64>>(row, at)?.map(unsigned));
    let at: Moment = column(row, 2)?;
    Ok(Found {
        gate: column(row, 0)?,
        at,
        decided: Decided {
            seq: unsigned(column(row, 1)?),
            ms: at.millis(),
            no_op: column(row, 3)?,
            outcome: number(4)?,
            settled: number(5)?,
            challenger: None,
        },
    })
}

pub(super) fn bytes(line: &str) -> Vec<u8> {
    line.as_bytes().to_vec()
}

/// What is asked is all of one moment, nothing is written by it, and no time is lost on compiling questions. What a
/// person waits for has the memory to be sorted in.
///
/// Where a policy would leave rows out, the server says so, and leaves none out. Nobody makes something else of the tables
/// as long as they are locked so: it hinders nobody who reads or writes.
const SESSION: &str =
    "SET jit = off; SET work_mem = '64MB'; SET row_security = off; SET constraint_exclusion = off;
    BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    LOCK TABLE dtgate.version, dtgate.record, dtgate.gate, dtgate.name IN ACCESS SHARE MODE";

/// The lines of the decisions `$1`, `$2` and of the records about them; `SHOWN` of each.
const LINES: &str = "
SELECT SHOWN(decision.line), SHOWN(outcome.line), SHOWN(settled.line)
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS asked(gate, seq, outcome, settled, place)
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.seq ORDER BY at LIMIT 1
) AS decision ON true
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.outcome ORDER BY at LIMIT 1
) AS outcome ON true
LEFT JOIN LATERAL (
  SELECT line FROM dtgate.record WHERE record.gate = asked.gate AND record.seq = asked.settled ORDER BY at LIMIT 1
) AS settled ON true
ORDER BY place";

/// Of the gate `$1` since `$2` and before `$3`. The lists of such a record have counts of their own, and what somebody is
/// called may look like one. As it is written, that of the record stands before them; with the members in order, as
/// pseudonyms leave it, it is the last that looks so. A line may be one that no gate wrote, and no JSON that the server takes:
/// what is no number of a few digits counts nothing.
const COUNTED: &str = r#"
SELECT coalesce(sum(coalesce(substring(line from '^\{[^[{]*"count":([0-9]{1,9}),"reasons"'),
  substring(line from '.*"count":([0-9]{1,9}),"first":"[^"]*","kind":"suppressed"'))::bigint), 0)::bigint FROM dtgate.record
WHERE kind = 'suppressed' AND kind NOT IN ('decision', 'outcome') AND ($1::text IS NULL OR gate = $1)
  AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)"#;

/// How many times `store.timeout` a person waits for one answer, and how much longer where nothing comes at all.
const PATIENCE: u32 = 30;
const SILENT: Duration = Duration::from_secs(5);
/// Between two looks at whether anybody still waits.
const LOOK: Duration = Duration::from_millis(100);
/// Of the decisions `$1`, `$2`: the last counts.
const CHALLENGED: &str = "
SELECT c.gate, c.decision_seq, c.line FROM dtgate.record AS c
JOIN (SELECT DISTINCT gate, seq FROM unnest($1::text[], $2::bigint[]) AS of(gate, seq)) AS asked
  ON c.gate = asked.gate AND c.decision_seq = asked.seq
WHERE c.kind = 'challenger' AND octet_length(c.line) <= $3 ORDER BY c.seq";

/// Bytes of a challenger's record: its texts are cut when it is written.
const MOST_OF_ONE: i32 = 1 << 20;
/// Bytes of lines that are read at once.
const AT_ONCE: i64 = 32 << 20;
