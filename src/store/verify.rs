//! Proof from the store alone: the lines of each gate are a chain, and what stands beside a line is what the line says.
//! Whoever changes only the columns by which records are found would change answers, and no line.
//!
//! Rows are read in order, some at a time: what is held does not grow with the store.

mod bounds;
mod chain;
mod compared;
mod ended;
mod fleet;
#[cfg(test)]
mod model;
mod older;
mod proof;
mod source;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio_postgres::Row as Kept;
use tokio_postgres::types::ToSql;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::endings::Endings;
use super::gates::Gate;
use super::moment::Moment;
use super::query::Question;
use super::rows::Row;
use super::schema::{LONGEST_LINE, signed, unsigned};
use crate::audit::chain::NotedHead;
use crate::audit::index::Filter;
use crate::audit::verify::{Report, Trust, VerifyError};
use crate::value::Sha256Hex;
use bounds::Bounds;
pub use chain::Earlier;
use compared::compared;
use ended::Ended;
pub use fleet::Fleet;
pub use older::Older;
pub(super) use older::Sent;
pub(super) use proof::Onward;
use proof::{Demand, Proof, Proven};
use source::{Step, Tables};

/// What was found of one gate.
#[derive(Debug)]
pub struct Verified {
    pub gate: String,
    /// Under which names its first records are here.
    pub earlier: Vec<Earlier>,
    /// What its lines are; `None`: there are none.
    pub chain: Option<Result<Report, VerifyError>>,
    /// What else is not as it should be.
    pub problems: Vec<String>,
    /// What rows lack that another build has sent; `None`: nothing.
    pub older: Option<Older>,
    /// What somebody has to know who counts on it, and is no proof that anything is wrong.
    pub notes: Vec<String>,
}

impl Verified {
    /// Nothing is wrong.
    pub fn is_right(&self) -> bool {
        let is_whole = |chain: &Result<Report, VerifyError>| {
            chain
                .as_ref()
                .is_ok_and(|report| report.problems.is_empty())
        };
        self.problems.is_empty() && self.chain.as_ref().is_none_or(is_whole)
    }
}

/// Why a chain proves nothing of this gate, though it holds.
fn unproven(
    gate: &str,
    earlier: &[Earlier],
    chain: Option<&Result<Report, VerifyError>>,
    trust: &Trust,
) -> Option<String> {
    let Some(chain) = chain else {
        return Some("there are no records of it: nothing is proven".to_owned());
    };
    // It may be that of another gate.
    let checkpoints = &chain.as_ref().ok()?.checkpoints;
    let key = checkpoints.key.as_ref()?;
    let name = key.split('+').next();
    // Until the first checkpoint under a new name, which comes within a minute, the newest is of the name before.
    let is_before = earlier.iter().any(|it| Some(&*it.gate) == name)
        && trust.keys.iter().any(|it| Some(it.name()) == name)
        && earlier
            .last()
            .is_some_and(|it| checkpoints.covered <= it.last);
    let is_anothers = !trust.keys.is_empty() && name != Some(gate) && !is_before;
    is_anothers
        .then(|| format!("its checkpoints are signed by the key {key}, which is none of this gate"))
}

/// What is wrong, as far as it is listed.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<String>,
    more: u64,
}

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        if self.list.len() < LISTED {
            self.list.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more", self.more));
        }
        self.list
    }
}

/// The rows of a gate, in the order of their numbers.
struct Rows<'a> {
    asked: &'a Asked,
    bounds: &'a HashMap<i64, Bounds>,
    gate: &'a str,
    ahead: VecDeque<Kept>,
    /// The last that was read.
    last: (i64, Moment),
    /// Up to this number.
    most: i64,
    is_end: bool,
}

impl<'a> Rows<'a> {
    /// Behind one number, and up to another.
    fn of(
        asked: &'a Asked,
        bounds: &'a HashMap<i64, Bounds>,
        gate: &'a str,
        (behind, most): (i64, i64),
    ) -> Self {
        Self {
            asked,
            bounds,
            gate,
            ahead: VecDeque::new(),
            last: (behind, Moment::LATEST),
            most,
            is_end: false,
        }
    }

    fn next(&mut self) -> Result<Option<Kept>, StoreError> {
        // One stays, to be looked at.
        if self.ahead.len() < 2 && !self.is_end {
            let (seq, at) = self.last;
            let values: [&(dyn ToSql + Sync); 7] = [
                &self.gate, &seq, &at, &AT_ONCE, &BYTES, &self.most, &LONGEST,
            ];
            let rows = self.asked.rows(&rows_sql(), &values)?;
            self.is_end = rows.is_empty();
            if let Some(last) = rows.last() {
                self.last = (column(last, "seq")?, column(last, "at")?);
            }
            self.ahead.extend(rows);
        }
        let row = self.ahead.pop_front();
        if let Some(row) = &row {
            self.is_in_bounds(row)?;
        }
        Ok(row)
    }

    /// A question for a time does not look into parts of another.
    fn is_in_bounds(&self, row: &Kept) -> Result<(), StoreError> {
        let (at, part): (Moment, i64) = (column(row, "at")?, column(row, "part")?);
        let why = match self.bounds.get(&part) {
            Some(bounds) if bounds.has(at) => return Ok(()),
            Some(bounds) => ("it has rows of another time than it says", &*bounds.table),
            None => ("it has rows in no part of its own", "dtgate.record"),
        };
        let (why, table) = (why.0.to_owned(), why.1.to_owned());
        Err(StoreError::Odd { table, why })
    }

    /// The line behind the last one.
    fn line_ahead(&self) -> Option<&[u8]> {
        let next: &str = self.ahead.front()?.try_get("line").ok()?;
        Some(next.as_bytes())
    }
}

/// The head behind which a gate is verified, where not all before it is there.
struct NotedBeginning<'a> {
    noted: Option<&'a NotedHead>,
    /// It is there with its hash, or something behind it is, which names it.
    is_met: bool,
}

impl<'a> NotedBeginning<'a> {
    fn of(noted: Option<&'a NotedHead>) -> Self {
        Self {
            noted,
            is_met: noted.is_none(),
        }
    }

    /// Whether a row is one of those before.
    fn is_before(&mut self, seq: u64, line: &[u8]) -> bool {
        let Some(noted) = self.noted.filter(|noted| seq <= noted.seq) else {
            self.is_met = true;
            return false;
        };
        self.is_met |= seq == noted.seq && noted.hash == Sha256Hex::of(line).as_str();
        true
    }

    /// Where nothing is behind it, under another name neither, its hash has to be known otherwise.
    fn check(
        &self,
        said: Option<&Gate>,
        chain: Option<&Result<Report, VerifyError>>,
        problems: &mut Problems,
    ) {
        let head = self.noted.zip(said);
        let is_head =
            head.is_some_and(|(noted, it)| it.head_seq == noted.seq && it.head_hash == noted.hash);
        let report = chain.and_then(|chain| chain.as_ref().ok());
        let goes_on = self.noted.zip(report);
        let goes_on = goes_on.is_some_and(|(noted, report)| report.head_seq > noted.seq);
        if !self.is_met && !is_head && !goes_on {
            problems.add(
                "nothing is here behind the record that --begin names, and neither a row nor the gate itself says that its \
                 hash is this one"
                    .to_owned(),
            );
        }
    }
}

impl Asked {
    /// Verifies what one gate has written.
    pub fn verify(
        &self,
        fleet: &Fleet,
        gate: &str,
        noted: Option<&NotedHead>,
        trust: &Trust,
    ) -> Result<Verified, StoreError> {
        let mut problems = Problems::default();
        let begins = self.begins(gate, trust)?;
        let tables = Tables {
            asked: self,
            bounds: &fleet.bounds,
        };
        let demand = Demand {
            noted,
            trust,
            begins,
        };
        let mut proof = Proof::begin(&tables, fleet, gate, demand, &mut problems)?;
        self.find_odd_numbers(gate, &mut problems)?;
        let mut rows = Rows::of(self, &fleet.bounds, gate, (0, i64::MAX));
        let mut beginning = NotedBeginning::of(trust.begins.as_ref().filter(|_| begins.is_some()));
        let mut endings = Endings::of(self.sent_first(gate, begins)?, proof.onward.clone());
        let (mut names, mut ended) = (Names::default(), Ended::default());
        let mut decisions = 0;
        while proof.chain.broken.is_none()
            && let Some(kept) = rows.next()?
        {
            let number: i64 = column(&kept, "seq")?;
            let Some(line) = column::<Option<&str>>(&kept, "line")? else {
                proof
                    .chain
                    .see(&tables, &Step::too_large(unsigned(number)), &mut problems)?;
                break;
            };
            let (seq, line) = (unsigned(number), line.as_bytes());
            let meant = Row::read(seq, line);
            decisions += u64::from(meant.decision().is_some());
            if let Some(problem) = compared(&kept, &meant, endings.sent, &mut endings.older)? {
                problems.add(problem);
            }
            names.see(&meant);
            if names.is_full() {
                names.check(self, &mut problems)?;
            }
            // What is left of the records before.
            if beginning.is_before(seq, line) {
                continue;
            }
            endings.see(self, gate, &kept, &meant, &mut problems)?;
            ended.see(seq, meant.kind());
            let ahead = rows.line_ahead();
            proof
                .chain
                .see(&tables, &Step { seq, line, ahead }, &mut problems)?;
        }
        names.check(self, &mut problems)?;
        let is_whole = proof.chain.broken.is_none();
        let last = proof.chain.last().or(begins).unwrap_or_default();
        let proven = proof.end(&tables, &mut problems)?;
        let Proven {
            earlier,
            chain,
            mut notes,
        } = proven;
        if let Some(Ok(report)) = &chain {
            ended.problem(report.checkpoints.covered, &mut problems);
        }
        let said = fleet.said(gate);
        beginning.check(said, chain.as_ref(), &mut problems);
        if is_whole {
            notes.extend(endings.end(self, gate, &mut problems)?);
            self.compare_count(gate, decisions, &mut problems)?;
            match said {
                Some(said) => notes.extend(silent(said, last)),
                None => {
                    problems.add("it is not among the gates that dtgate audit gates lists".into());
                }
            }
        }
        Ok(Verified {
            gate: gate.to_owned(),
            earlier,
            chain,
            problems: problems.all(),
            older: Some(endings.older).filter(|it| it.rows > 0),
            notes,
        })
    }

    /// Rows are read from the first number on.
    fn find_odd_numbers(&self, gate: &str, problems: &mut Problems) -> Result<(), StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM dtgate.record WHERE gate = $1 AND seq < 1)";
        let rows = self.rows(sql, &[&gate])?;
        let is_any = rows.first().map(|row| column(row, 0)).transpose()?;
        if is_any.unwrap_or_default() {
            problems.add("a row has a number that no record has".to_owned());
        }
        Ok(())
    }

    /// The record behind which this gate is verified, where not all before it are there any more. Months are dropped by
    /// time, and records follow by number: some of those before it may be left.
    fn begins(&self, gate: &str, trust: &Trust) -> Result<Option<u64>, StoreError> {
        let Some(noted) = &trust.begins else {
            return Ok(None);
        };
        let sql =
            "SELECT min(seq), count(*) FROM dtgate.record WHERE gate = $1 AND seq BETWEEN 1 AND $2";
        let rows = self.rows(sql, &[&gate, &signed(noted.seq)])?;
        let first = rows
            .first()
            .map(|row| column::<Option<i64>>(row, 0))
            .transpose()?
            .flatten();
        let there = rows.first().map(|row| column::<i64>(row, 1)).transpose()?;
        let all = first.map(|first| unsigned(signed(noted.seq) - first) + 1);
        let is_whole = all.is_some() && all == there.map(unsigned);
        Ok((!is_whole).then_some(noted.seq))
    }

    /// Compares how many decisions there are with how many a question finds, by whatever index the server takes for it: the
    /// rows were read by another.
    fn compare_count(
        &self,
        gate: &str,
        decisions: u64,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        let found = self.count(Question {
            filter: &Filter::default(),
            gate: Some(gate),
            before: None,
        })?;
        if found != decisions {
            problems.add(format!(
                "a question for its decisions finds {found}, and {decisions} are there: an index of the server is damaged \
                 (REINDEX TABLE dtgate.record makes all anew), or rows were changed to another kind than their lines are of (then \
                 they are named, too)"
            ));
        }
        Ok(())
    }
}

/// What is said of a gate that is silent, and has records behind the end that it told.
fn silent(said: &Gate, last: u64) -> Option<String> {
    let is_silent = said.asked.since(said.seen) > SILENT;
    let head = said.head_seq;
    (is_silent && last > head).then(|| {
        format!(
            "the gate said last, at {}, that its journal ends with record {head}: it was killed within seconds after \
             record {last}, or somebody else put records {} to {last} there",
            said.seen,
            head + 1
        )
    })
}

/// Names that are to be in the list of all names, each of them once.
#[derive(Default)]
struct Names {
    known: HashSet<(&'static str, String)>,
    new: Vec<(&'static str, String, u64)>,
}

impl Names {
    fn see(&mut self, row: &Row<'_>) {
        for (kind, text) in row.names() {
            let name = (kind, text.to_owned());
            if !self.known.contains(&name) {
                self.new.push((kind, name.1.clone(), unsigned(row.seq)));
                self.known.insert(name);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.new.len() >= NAMES_AT_ONCE
    }

    /// Whoever takes a name out of the list hides what has it.
    fn check(&mut self, asked: &Asked, problems: &mut Problems) -> Result<(), StoreError> {
        let kinds: Vec<&str> = self.new.iter().map(|(kind, ..)| *kind).collect();
        let values: Vec<&str> = self
            .new
            .iter()
            .map(|(_, value, _)| value.as_str())
            .collect();
        for row in asked.rows(NAMELESS, &[&kinds, &values])? {
            let at = usize::try_from(column::<i64>(&row, 0)? - 1).unwrap_or_default();
            if let Some((kind, value, seq)) = self.new.get(at) {
                problems.add(format!(
                    "record {seq} names the {kind} {value}, and the list of names has it not: questions for it find nothing"
                ));
            }
        }
        self.new.clear();
        if self.known.len() > KNOWN {
            self.known.clear();
        }
        Ok(())
    }
}

/// From one row to the next by the primary key, which all tables of months have. Of a row that is larger than a gate
/// writes any, nothing comes but its number: whoever may add rows would end the proof of all.
fn rows_sql() -> String {
    let shown = TEXTS.into_iter().chain(LISTS).chain(OTHERS).map(|column| {
        format!("CASE WHEN texts <= $7 AND lists <= $7 THEN {column} END AS {column}")
    });
    let shown: Vec<String> = shown.collect();
    let texts = TEXTS.map(|it| format!("coalesce(octet_length({it}), 0)::bigint"));
    let packed = LISTS.map(|it| format!("coalesce(pg_column_size({it}), 0)"));
    let lists = LISTS.map(|it| format!("coalesce(octet_length({it}::text), 0)::bigint"));
    ROWS.replace("SHOWN", &shown.join(", "))
        .replace("TEXTS", &texts.join(" + "))
        .replace("PACKED", &packed.join(" + "))
        .replace("LISTS", &lists.join(" + "))
        .replace(
            "tsvector_to_array(words) END AS tsvector_to_array(words)",
            "tsvector_to_array(words) END AS words",
        )
}

const ROWS: &str = "
SELECT part, seq, at, SHOWN
FROM (
  SELECT *, sum(texts + lists) OVER way AS bytes, row_number() OVER way AS place
  FROM (SELECT tableoid::bigint AS part, *, TEXTS AS texts,
      CASE WHEN PACKED > 65536 THEN LISTS ELSE 0 END AS lists
    FROM dtgate.record WHERE gate = $1 AND (seq, at) > ($2, $3) AND seq <= $6 ORDER BY seq, at LIMIT $4) AS page
  WINDOW way AS (ORDER BY seq, at)
) AS page WHERE place = 1 OR bytes <= $5::bigint ORDER BY seq, at";
const TEXTS: [&str; 12] = [
    "line",
    "hash",
    "kind",
    "decision_id",
    "verdict",
    "operation",
    "environment",
    "caller",
    "client",
    "revision",
    "outcome",
    "found",
];
const LISTS: [&str; 9] = [
    "certificate",
    "claim",
    "team",
    "token",
    "scope",
    "added",
    "removed",
    "policy",
    "code",
];
/// What has room for no more than a megabyte.
const OTHERS: [&str; 5] = [
    "no_op",
    "outcome_seq",
    "settled_seq",
    "decision_seq",
    "tsvector_to_array(words)",
];

const NAMELESS: &str = "
SELECT place FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted(kind, value, place)
WHERE NOT EXISTS (SELECT FROM dtgate.name WHERE name.kind = wanted.kind AND name.value = wanted.value)";

/// Rows that are read at once, and bytes of their lines.
const AT_ONCE: i64 = 1000;
/// Of one row, its texts and its lists: more than a gate writes of either.
const LONGEST: i64 = 2 * (LONGEST_LINE as i64);
const BYTES: i64 = 32 << 20;
/// Names that are looked for at once, and that are remembered.
const NAMES_AT_ONCE: usize = 5_000;
const KNOWN: usize = 200_000;
/// Of problems.
const LISTED: usize = 1000;
/// A gate says every few seconds how it is.
const SILENT: Duration = Duration::from_mins(1);
