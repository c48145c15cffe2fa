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
use super::schema::{LONGEST_LINE, signed};
use super::verify::{Older, Onward, Problems, Sent};
use crate::audit::facts::{self, About, Decision, Outcome, Settled};

/// Decisions whose outcome has not come yet.
#[derive(Default)]
pub(super) struct Endings {
    waiting: HashMap<u64, Waiting>,
    /// There are too many to be compared.
    is_full: bool,
    /// Who has sent the rows from here on.
    pub(super) sent: Sent,
    /// What rows lack that an earlier build has sent.
    pub(super) older: Older,
    /// Under which names the records behind the last one are here.
    onward: Onward,
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
    /// Who has sent the row.
    sent: Sent,
    /// It is counted among those that lack something.
    lacks: bool,
}

impl Endings {
    /// `sent`: who has sent the first rows.
    pub(super) fn of(sent: Sent, onward: Onward) -> Self {
        Self {
            sent,
            onward,
            ..Self::default()
        }
    }

    pub(super) fn see(
        &mut self,
        asked: &Asked,
        gate: &str,
        kept: &Kept,
        meant: &Row<'_>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        if meant.kind() == "start" {
            self.sent = self.sent.behind(meant.line.as_bytes());
        }
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
        let sent = self.sent;
        let made = match Names::read(&names, token) {
            Names::Whole(made) => made,
            Names::Fewer(made)
                if sent.is_by_earlier() && self.had(asked, gate, (seq, &names))? =>
            {
                made
            }
            Names::Fewer(made) | Names::Other(made) => {
                let or = sent.or_older();
                problems.add(format!(
                    "record {seq} is not what it is found by: its line says something else than its token{or}"
                ));
                made
            }
        };
        let settled_by = |by: i64| -> Result<bool, StoreError> {
            let Some(About::Settled(said)) = self.told_by(asked, gate, by)? else {
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
                    sent,
                    lacks: self.older.has(seq.unsigned_abs()),
                };
                self.waiting.insert(seq.unsigned_abs(), waiting);
            }
            Some(outcome_seq) if outcome_seq > seq => self.is_full = true,
            _ => problems.add(unsaid(seq.unsigned_abs(), sent)),
        }
        Ok(())
    }

    /// Whether the row of an older build has the names that each build has told of its line, and notes that it lacks some.
    fn had(
        &mut self,
        asked: &Asked,
        gate: &str,
        (seq, names): (i64, &[Option<String>]),
    ) -> Result<bool, StoreError> {
        let sql = "SELECT line FROM dtgate.record WHERE gate = $1 AND seq = $2 AND octet_length(line) <= $3 LIMIT 1";
        let rows = asked.rows(sql, &[&gate, &seq, &LONGEST_LINE])?;
        let line: Option<&str> = rows.first().map(|row| column(row, 0)).transpose()?;
        let least = facts::least(line.unwrap_or_default().as_bytes());
        let begins = names.iter().take(least.token.len()).flatten();
        let had = begins.eq(&least.token);
        if had {
            self.older.add(seq.unsigned_abs(), "token");
        }
        Ok(had)
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
            if lacks_outcome(asked, gate, seq, outcome)? {
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
            if waiting.sent.is_by_earlier() {
                waiting.lacks(outcome.of, "words", &mut self.older);
            } else {
                problems.add(format!(
                    "record {} is not found by the words of its outcome {seq}: somebody took them out of its row",
                    outcome.of
                ));
            }
        }
        let mut is_named = true;
        if let Some(made) = &outcome.made {
            waiting.made.retain(|it| it != made);
            is_named = waiting.names.contains(made);
        }
        if waiting.outcome_seq > seq && is_named {
            return Ok(());
        }
        let is_said = waiting.outcome.as_deref() == Some(outcome.ended);
        // What Dynatrace has answered was `answered`, whatever it was.
        let was_answered = waiting.sent.is_by_earlier()
            && waiting.outcome.as_deref() == Some("answered")
            && outcome.ended == "unclear";
        if was_answered {
            waiting.lacks(outcome.of, "outcome", &mut self.older);
        }
        let is_right = is_named
            && waiting.outcome_seq == seq
            && (is_said || was_answered)
            && waiting.made.is_empty()
            && waiting.words.is_empty();
        let sent = waiting.sent;
        self.waiting.remove(&outcome.of);
        if !is_right {
            problems.add(unsaid(outcome.of, sent));
        }
        Ok(())
    }

    /// What a record tells, under whatever name it is here.
    fn told_by(&self, asked: &Asked, gate: &str, seq: i64) -> Result<Option<About>, StoreError> {
        let (others, last) = (self.onward.names(), signed(self.onward.last));
        let rows = asked.rows(TOLD, &[&gate, &seq, &others, &last, &MOST_OF_ONE])?;
        let line: Option<&str> = rows.first().map(|row| column(row, 0)).transpose()?;
        let facts = line.and_then(|line| facts::of(line.as_bytes()));
        Ok(facts.map(|facts| facts.about))
    }

    /// How decisions ended by records that are here under names that the journal got later. What their rows then do not
    /// say is told, and is no problem: it could not be written there under another name.
    fn ended_onward(
        &mut self,
        asked: &Asked,
        gate: &str,
        problems: &mut Problems,
    ) -> Result<Vec<String>, StoreError> {
        let (others, last) = (self.onward.names(), signed(self.onward.last));
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        for row in asked.rows(ONWARD, &[&others, &last, &AWAY, &MOST_OF_ONE])? {
            let (other, seq): (&str, i64) = (column(&row, 0)?, column(&row, 1)?);
            let facts = facts::of(column::<&str>(&row, 2)?.as_bytes());
            let (of, is_unsaid) = match facts.map(|facts| facts.about) {
                Some(About::Outcome(outcome)) if self.waiting.contains_key(&outcome.of) => {
                    self.outcome(asked, gate, seq, &outcome, problems)?;
                    continue;
                }
                Some(About::Outcome(outcome)) => {
                    (outcome.of, lacks_outcome(asked, gate, seq, &outcome)?)
                }
                Some(About::Settled(settled)) => {
                    (settled.of, lacks_settled(asked, gate, seq, &settled)?)
                }
                _ => continue,
            };
            if is_unsaid {
                notes.push(format!(
                    "decision {of} ended by record {seq} of gate {other}; its row does not say so"
                ));
            }
        }
        Ok(notes)
    }

    /// What still waits, waits in vain. Gives what is to be told, and is no problem.
    pub(super) fn end(
        &mut self,
        asked: &Asked,
        gate: &str,
        problems: &mut Problems,
    ) -> Result<Vec<String>, StoreError> {
        let notes = self.ended_onward(asked, gate, problems)?;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let mut waiting: Vec<(u64, Sent)> = waiting.map(|(seq, it)| (seq, it.sent)).collect();
        waiting.sort_unstable_by_key(|(seq, _)| *seq);
        for (seq, sent) in waiting {
            problems.add(unsaid(seq, sent));
        }
        if self.is_full {
            problems.add(
                "more rows name an outcome that does not follow than could be compared".to_owned(),
            );
        }
        Ok(notes)
    }
}

impl Waiting {
    /// The row of an older build lacks something: it is counted once.
    fn lacks(&mut self, seq: u64, column: &'static str, older: &mut Older) {
        if std::mem::replace(&mut self.lacks, true) {
            older.more(column);
        } else {
            older.add(seq, column);
        }
    }
}

/// The names of tokens in a row beside those that its line says, with those that an outcome has made.
enum Names {
    /// All of them stand there, in order, and then what was made.
    Whole(Vec<String>),
    /// Some of them, in order.
    Fewer(Vec<String>),
    Other(Vec<String>),
}

impl Names {
    fn read(kept: &[Option<String>], told: &[String]) -> Self {
        let begins = kept.iter().take(told.len()).map(Option::as_ref);
        let is_whole = begins.eq(told.iter().map(Some));
        if is_whole {
            return Self::Whole(kept.iter().skip(told.len()).flatten().cloned().collect());
        }
        let is_told = |name: &&String| told.contains(*name);
        let made = kept.iter().flatten().filter(|name| !is_told(name));
        let made: Vec<String> = made.cloned().collect();
        let own = kept.iter().flatten().take_while(is_told);
        let mut rest = told.iter();
        let is_in_order = own.clone().all(|name| rest.any(|it| it == name));
        if is_in_order && own.count() + made.len() == kept.len() {
            Self::Fewer(made)
        } else {
            Self::Other(made)
        }
    }
}

fn unsaid(seq: u64, sent: Sent) -> String {
    let or = sent.or_older();
    format!(
        "record {seq} ended otherwise than its row says: outcome, outcome_seq, token or words is wrong{or}"
    )
}

/// Compares a record that settles a decision with that one's row.
fn settlement(
    asked: &Asked,
    gate: &str,
    seq: i64,
    settled: &Settled,
    problems: &mut Problems,
) -> Result<(), StoreError> {
    if lacks_settled(asked, gate, seq, settled)? {
        problems.add(format!(
            "record {seq} settles decision {}, and the row of that does not say so",
            settled.of
        ));
    }
    Ok(())
}

/// Whether the row of a decision does not say that it was settled by this record. One that found something counts before
/// one that did not, and then the last.
fn lacks_settled(
    asked: &Asked,
    gate: &str,
    seq: i64,
    settled: &Settled,
) -> Result<bool, StoreError> {
    let sql = "SELECT settled_seq, left(found, 100) FROM dtgate.record
               WHERE gate = $1 AND seq = $2 AND kind = 'decision' LIMIT 10";
    for row in asked.rows(sql, &[&gate, &signed(settled.of)])? {
        let by: Option<i64> = column(&row, 0)?;
        let found: Option<&str> = column(&row, 1)?;
        let counts = |found: &str| found != "unknown";
        let said = by.zip(found).map(|(by, found)| (counts(found), by));
        if said < Some((counts(&settled.found), seq)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the row of a decision says nothing of this outcome.
fn lacks_outcome(
    asked: &Asked,
    gate: &str,
    seq: i64,
    outcome: &Outcome,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM dtgate.record WHERE gate = $1 AND seq = $2 AND kind = 'decision'
               AND coalesce(outcome_seq, 0) < $3 LIMIT 1";
    let rows = asked.rows(sql, &[&gate, &signed(outcome.of), &seq])?;
    Ok(!rows.is_empty())
}

/// A record of a gate, or one behind its last under the names that follow.
const TOLD: &str = "SELECT line FROM dtgate.record
  WHERE (gate = $1 OR gate = ANY($3) AND seq > $4) AND seq = $2 AND octet_length(line) <= $5 LIMIT 1";

/// Records about decisions up to record `$2`, behind it.
const ONWARD: &str = "SELECT gate, seq, line FROM dtgate.record
  WHERE gate = ANY($1) AND seq > $2 AND seq <= $2 + $3 AND decision_seq <= $2 AND kind IN ('outcome', 'settled')
    AND octet_length(line) <= $4
  ORDER BY seq LIMIT 1000";

/// Records behind the last one within which the outcomes of requests under way then are.
const AWAY: i64 = 1 << 20;
/// Bytes of a record about a decision.
const MOST_OF_ONE: i32 = 1 << 20;
/// Decisions that wait at once: more than any gate has requests under way.
const MOST: usize = 100_000;
