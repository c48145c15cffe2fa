//! One record of a gate and its evidence, from what is here of its journal.

use thiserror::Error;

use super::StoreError;
use super::ask::{Asked, Key, bytes};
use super::column::column;
use super::schema::{signed, unsigned};
use crate::audit::proof::{Elsewhere, Proof, ProveError, prove_elsewhere};

/// Why a record cannot be proven.
#[derive(Debug, Error)]
pub enum ProofError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Prove(#[from] ProveError),
    #[error(
        "no checkpoint of gate {gate} covers record {seq}, and none will: its journal goes on as gate {other}. Prove it from the \
         journal: `dtgate audit prove --journal DIR`"
    )]
    Renamed {
        seq: u64,
        gate: String,
        other: String,
    },
}

impl Asked {
    /// Proves a record by the newest checkpoint over it that a witness has confirmed; where there is none, by the newest.
    /// What comes out was checked: rows that somebody has changed prove nothing.
    pub fn prove(&self, key: &Key) -> Result<Proof, ProofError> {
        let line = self.line(key)?.ok_or(ProveError::Gone)?;
        let mut checkpoints = Vec::new();
        for kind in ["checkpoint", "cosigned"] {
            let rows = self.rows(CHECKPOINTS, &[&key.gate, &kind, &signed(key.seq), &NEWEST])?;
            for row in rows {
                checkpoints.push(bytes(column(&row, 0)?));
            }
        }
        let first = self.first(&key.gate)?.map_or(1, |first| first.seq);
        let removals = self.removals(std::slice::from_ref(&key.gate), first)?;
        let of = Elsewhere {
            number: key.seq,
            record: String::from_utf8_lossy(&line).into_owned(),
            checkpoints: &checkpoints,
            first,
            removals: &removals,
        };
        let proven = prove_elsewhere(of, |from| {
            let rows = self.rows(LEAVES, &[&key.gate, &signed(from), &AT_ONCE])?;
            let leaves = rows.iter().map(|row| {
                let hash = <[u8; 32]>::try_from(column::<&[u8]>(row, 1)?);
                let hash = hash.map_err(|_length| StoreError::Column("line".to_owned()))?;
                Ok((unsigned(column(row, 0)?), hash))
            });
            leaves.collect::<Result<_, ProofError>>()
        });
        if let Err(ProofError::Prove(ProveError::NotCovered(seq))) = proven
            && let Some(other) = self.goes_on_as(&key.gate)?
        {
            let gate = key.gate.clone();
            return Err(ProofError::Renamed { seq, gate, other });
        }
        proven
    }
}

/// Behind the record, and so over it.
const CHECKPOINTS: &str =
    "SELECT line FROM dtgate.record WHERE gate = $1 AND kind = $2 AND seq > $3
    AND kind NOT IN ('decision', 'outcome') ORDER BY at DESC, seq DESC LIMIT $4";
/// Checkpoints of each kind that are looked at: several witnesses may have confirmed the newest one.
const NEWEST: i64 = 64;
/// What stands in the tree for each record: the server reads the lines, and nobody else has to.
const LEAVES: &str =
    "SELECT seq, sha256('\\x00'::bytea || convert_to(line, 'UTF8')) FROM dtgate.record
    WHERE gate = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
/// Records of one question.
const AT_ONCE: i64 = 20_000;
