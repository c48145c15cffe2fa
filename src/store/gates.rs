//! The gates that meet in the store.

use super::StoreError;
use super::ask::{Asked, Key};
use super::column::column;
use super::moment::Moment;
use super::schema::unsigned;

/// A gate, as it said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    pub name: String,
    pub version: String,
    /// Of its policies.
    pub revision: String,
    pub listen: String,
    pub head_seq: u64,
    pub head_hash: String,
    /// The last record that is in the store, by its word.
    pub shipped: u64,
    pub started: Moment,
    pub seen: Moment,
    /// When the server was asked, by its own clock: so is `seen`.
    pub asked: Moment,
    /// That signs its checkpoints.
    pub key: String,
}

impl Asked {
    /// All of them, in the order of their names.
    pub fn gates(&self) -> Result<Vec<Gate>, StoreError> {
        // One gate's row is no reason not to hear of the others.
        let sql = "SELECT gate, left(version, 1000), left(revision, 1000), left(listen, 1000), head_seq, left(head_hash, 1000),
                   shipped_seq, started, seen, left(key, 10000), clock_timestamp() FROM dtgate.gate ORDER BY gate COLLATE \"C\"";
        let rows = self.rows(sql, &[])?;
        let gate = |row| {
            Ok(Gate {
                name: column(row, 0)?,
                version: column(row, 1)?,
                revision: column(row, 2)?,
                listen: column(row, 3)?,
                head_seq: unsigned(column(row, 4)?),
                head_hash: column(row, 5)?,
                shipped: unsigned(column(row, 6)?),
                started: column(row, 7)?,
                seen: column(row, 8)?,
                key: column(row, 9)?,
                asked: column(row, 10)?,
            })
        };
        rows.iter().map(gate).collect()
    }

    /// The gates that have records here, in the order of their names, whether they are listed or not.
    pub fn recorded(&self) -> Result<Vec<String>, StoreError> {
        // From each name to the next: there are few gates, and many records.
        let sql = "WITH RECURSIVE gate(name) AS (
                     SELECT min(gate) FROM dtgate.record
                     UNION ALL SELECT (SELECT min(gate) FROM dtgate.record WHERE gate > name) FROM gate WHERE name IS NOT NULL
                   ) SELECT name FROM gate WHERE name IS NOT NULL ORDER BY name COLLATE \"C\"";
        let rows = self.rows(sql, &[])?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// The last decision of each gate that has any here.
    pub fn newest(&self) -> Result<Vec<Key>, StoreError> {
        let mut newest = Vec::new();
        for gate in self.recorded()? {
            let end = Key {
                gate,
                seq: u64::MAX,
            };
            if let (Some(seq), _) = self.decisions_beside(&end)? {
                newest.push(Key { seq, ..end });
            }
        }
        Ok(newest)
    }

    /// The last record of a gate that is here; 0: there is none.
    pub fn last(&self, gate: &str) -> Result<u64, StoreError> {
        let sql = "SELECT max(seq) FROM dtgate.record WHERE gate = $1";
        let rows = self.rows(sql, &[&gate])?;
        let last: Option<Option<i64>> = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(last.flatten().map_or(0, unsigned))
    }

    /// The first record of a gate that is here.
    pub fn first(&self, gate: &str) -> Result<Option<Key>, StoreError> {
        let sql = "SELECT min(seq) FROM dtgate.record WHERE gate = $1";
        let rows = self.rows(sql, &[&gate])?;
        let first: Option<Option<i64>> = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(first.flatten().map(|seq| Key {
            gate: gate.to_owned(),
            seq: unsigned(seq),
        }))
    }
}
