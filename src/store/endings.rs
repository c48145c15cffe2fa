//! How decisions ended, as their rows say it, compared with the records that say so.
//!
//! An outcome comes soon after its decision: what waits for one is held, and that is little. Whoever has rows name
//! outcomes that do not come fills it, and is told.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row as Kept;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::rows::Row;
use super::schema::signed;
use super::verify::Problems;
use crate::audit::facts::{self, About, Decision, Outcome, Settled};

/// Decisions whose outcome has not come yet.
#[derive(Default)]
pub(super) struct Endings {
    waiting: HashMap<u64, Waiting>,
    /// There are too many to be compared.
    is_full: bool,
}

/// What a decision's row says of its end.
struct Waiting {
    outcome_seq: i64,
    outcome: Option<String>,
    /// All its names of tokens.
    names: Vec<String>,
    /// Those that are not in the decision itself: an outcome has made them.
    made: Vec<String>,
    /// All its words.
    found_by: HashSet<String>,
    /// Those that are not in the decision itself: an outcome has said them.
    words: Vec<String>,
}

impl Endings {
    pub(super) fn see(
        &mut self,
        asked: &Asked,
        gate: &str,
        kept: &Kept,
        meant: &Row<'_>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        match meant.told() {
            Some(About::Decision(decision)) => {
                self.decision(asked, gate, kept, meant.seq, decision, problems)
            }
            Some(About::Outcome(outcome)) => {
                self.outcome(asked, gate, meant.seq, outcome, problems)
            }
            Some(About::Settled(settled)) => settlement(asked, gate, meant.seq, settled, problems),
            _ => Ok(()),
        }
    }

    fn decision(
        &mut self,
        asked: &Asked,
        gate: &str,
        kept: &Kept,
        seq: i64,
        decision: &Decision,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        let outcome: Option<String> = column(kept, "outcome")?;
        let outcome_seq: Option<i64> = column(kept, "outcome_seq")?;
        let found: Option<String> = column(kept, "found")?;
        let settled_seq: Option<i64> = column(kept, "settled_seq")?;
        let names: Option<Vec<Option<String>>> = column(kept, "token")?;
        let (names, token) = (names.unwrap_or_default(), &decision.token);
        let words: Option<Vec<Option<String>>> = column(kept, "words")?;
        let found_by: HashSet<String> = words.into_iter().flatten().flatten().collect();
        let own: HashSet<&String> = decision.words.iter().collect();
        let words = found_by.iter().filter(|word| !own.contains(word));
        let words: Vec<String> = words.cloned().collect();
        let begins = names.iter().take(token.len()).map(Option::as_ref);
        let made: Vec<String> = names.iter().skip(token.len()).flatten().cloned().collect();
        if !begins.eq(token.iter().map(Some)) {
            problems.add(format!(
                "record {seq} is not what it is found by: its line says something else than its token"
            ));
        }
        let settled_by = |by: i64| -> Result<bool, StoreError> {
            let Some(About::Settled(said)) = told_by(asked, gate, by)? else {
                return Ok(false);
            };
            Ok(signed(said.of) == seq && Some(said.found) == found)
        };
        let is_settled = match settled_seq {
            None => found.is_none(),
            Some(by) => by > seq && settled_by(by)?,
        };
        if !is_settled {
            problems.add(format!(
                "record {seq} was settled by no record as its row says"
            ));
        }
        match outcome_seq {
            None if outcome.is_none() && made.is_empty() && words.is_empty() => {}
            Some(outcome_seq) if outcome_seq > seq && self.waiting.len() < MOST => {
                let waiting = Waiting {
                    outcome_seq,
                    outcome,
                    names: names.into_iter().flatten().collect(),
                    made,
                    found_by,
                    words,
                };
                self.waiting.insert(seq.unsigned_abs(), waiting);
            }
            Some(outcome_seq) if outcome_seq > seq => self.is_full = true,
            _ => problems.add(unsaid(seq.unsigned_abs())),
        }
        Ok(())
    }

    fn outcome(
        &mut self,
        asked: &Asked,
        gate: &str,
        seq: i64,
        outcome: &Outcome,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        let Some(waiting) = self.waiting.get_mut(&outcome.of) else {
            // About what is no decision, or was not compared, or its row does not know of it.
            let sql =
                "SELECT 1 FROM dtgate.record WHERE gate = $1 AND seq = $2 AND kind = 'decision'
                       AND coalesce(outcome_seq, 0) < $3";
            if !asked
                .rows(sql, &[&gate, &signed(outcome.of), &seq])?
                .is_empty()
            {
                problems.add(format!(
                    "record {seq} says how decision {} ended, and the row of that does not",
                    outcome.of
                ));
            }
            return Ok(());
        };
        waiting.words.retain(|it| !outcome.words.contains(it));
        let mut words = outcome.words.iter();
        if !words.all(|word| waiting.found_by.contains(word)) {
            problems.add(format!(
                "record {} is not found by the words of its outcome {seq}: somebody took them out of its row, or an earlier \
                 build has shipped it: ship it again (docs/store.md)",
                outcome.of
            ));
        }
        let mut is_named = true;
        if let Some(made) = &outcome.made {
            waiting.made.retain(|it| it != made);
            is_named = waiting.names.contains(made);
        }
        if waiting.outcome_seq > seq && is_named {
            return Ok(());
        }
        let is_right = is_named
            && waiting.outcome_seq == seq
            && waiting.outcome.as_deref() == Some(outcome.ended)
            && waiting.made.is_empty()
            && waiting.words.is_empty();
        self.waiting.remove(&outcome.of);
        if !is_right {
            problems.add(unsaid(outcome.of));
        }
        Ok(())
    }

    /// What still waits, waits in vain.
    pub(super) fn end(self, problems: &mut Problems) {
        let mut waiting: Vec<u64> = self.waiting.into_keys().collect();
        waiting.sort_unstable();
        for seq in waiting {
            problems.add(unsaid(seq));
        }
        if self.is_full {
            problems.add(
                "more rows name an outcome that does not follow than could be compared".to_owned(),
            );
        }
    }
}

fn unsaid(seq: u64) -> String {
    format!(
        "record {seq} ended otherwise than its row says: outcome, outcome_seq, token or words is wrong"
    )
}

/// Compares a record that settles a decision with that one's row. One that found something counts before one that did
/// not, and then the last.
fn settlement(
    asked: &Asked,
    gate: &str,
    seq: i64,
    settled: &Settled,
    problems: &mut Problems,
) -> Result<(), StoreError> {
    let sql = "SELECT settled_seq, found FROM dtgate.record WHERE gate = $1 AND seq = $2 AND kind = 'decision'";
    for row in asked.rows(sql, &[&gate, &signed(settled.of)])? {
        let by: Option<i64> = column(&row, 0)?;
        let found: Option<&str> = column(&row, 1)?;
        let counts = |found: &str| found != "unknown";
        let said = by.zip(found).map(|(by, found)| (counts(found), by));
        if said < Some((counts(&settled.found), seq)) {
            problems.add(format!(
                "record {seq} settles decision {}, and the row of that does not say so",
                settled.of
            ));
        }
    }
    Ok(())
}

/// What a record tells.
fn told_by(asked: &Asked, gate: &str, seq: i64) -> Result<Option<About>, StoreError> {
    let sql = "SELECT line FROM dtgate.record WHERE gate = $1 AND seq = $2";
    let rows = asked.rows(sql, &[&gate, &seq])?;
    let line: Option<&str> = rows.first().map(|row| column(row, 0)).transpose()?;
    let facts = line.and_then(|line| facts::of(line.as_bytes()));
    Ok(facts.map(|facts| facts.about))
}

/// Decisions that wait at once: more than any gate has requests under way.
const MOST: usize = 100_000;
