//! Journal in, rows out. Rows and the place behind the last of them are written in one transaction, so that whatever
//! ends a filler, the next one goes on exactly behind what is there. Several may fill one index at a time: each looks
//! at the place anew before it writes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::facts::{self, names, operation, searched, teams};
use super::position::{Position, note, position};
use super::row::Row;
use super::tables::{
    ALLOW, ANSWERED, COULD_NOT, DENY, FAILED, Kind, List, TIMED_OUT, UNCLEAR, UNKNOWN, VIOLATIONS,
    WOULD_ALLOW, WOULD_DENY,
};
use super::texts::Known;
use super::words::Text;
use super::{Damage, Error, Filled, Took, blocks, empty, keys, latency};
use crate::audit::lines::{Line, Lines, Place, Unreadable};
use crate::value::Sha256Hex;

/// Reads on from where an index is.
#[derive(Debug)]
pub(super) struct Filler {
    lines: Lines,
    at: Position,
    known: Known,
    span: Span,
    /// A number that comes again is damage in the journal, and not its writer's change of mind.
    is_damaged: bool,
}

/// The times of the records that follow one another: the clock may have been set back between them.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first: i64,
    records: u32,
    earliest: i64,
    latest: i64,
}

/// A decision that waits for its outcome, as long as the transaction is open.
#[derive(Debug, Default)]
struct Decided {
    seq: i64,
    ms: Option<i64>,
    id: Option<i64>,
    verdict: i64,
    operation: Option<i64>,
    environment: Option<i64>,
    caller: Option<i64>,
    certificate: Option<i64>,
    claim: Option<i64>,
    teams: Option<i64>,
    client: Option<i64>,
    objections: Option<i64>,
    asked: Option<i64>,
    added: Option<i64>,
    removed: Option<i64>,
    no_op: bool,
    revision: Option<i64>,
    ended: Ended,
    settled: Option<i64>,
    challenger: Option<(i64, i64)>,
    words: Text,
}

/// What waits until the transaction ends. Words are written in the order of decisions: each step back would cost a part of
/// the index of its own. What decisions are about is written in the order of its table: each of its pages once.
#[derive(Default)]
struct Waiting {
    decided: Vec<Decided>,
    /// Texts, and decisions that are about them.
    about: Vec<(i64, i64)>,
    /// What outcomes add to decisions that have their row.
    words: BTreeMap<i64, Text>,
    latencies: latency::Counted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    outcome: Option<i64>,
    status: Option<i64>,
    micros: Option<i64>,
    seq: Option<i64>,
}

impl Ended {
    /// A request that was never sent took nothing of Dynatrace's time.
    fn count(&self, ms: Option<i64>, environment: Option<i64>, latencies: &mut latency::Counted) {
        if let Some(micros) = self.micros.filter(|_| self.outcome != Some(FAILED)) {
            latencies.add(ms, environment, Took::Dynatrace, micros);
        }
    }
}

impl Waiting {
    fn about(&mut self, text: Option<i64>, seq: i64) {
        self.about.extend(text.map(|text| (text, seq)));
    }

    fn write(mut self, db: &Connection) -> Result<(), Error> {
        self.latencies.write(db)?;
        self.about.sort_unstable();
        self.about.dedup();
        for (text, seq) in self.about {
            db.prepare_cached("INSERT OR IGNORE INTO about(text, seq) VALUES (?, ?)")?
                .execute(params![text, seq])?;
        }
        // A row that has words already gets more: nothing of it is compared or counted but whether a word is there.
        for (seq, text) in self.words {
            insert_words(db, seq, text)?;
        }
        for decision in self.decided {
            insert(db, &decision)?;
            insert_words(db, decision.seq, decision.words)?;
        }
        Ok(())
    }
}

impl Filler {
    /// Goes on where the index is. One that does not belong to this journal any more is emptied.
    pub(super) fn new(
        db: &mut Connection,
        journal: &std::path::Path,
        damage: &Damage,
    ) -> Result<Self, Error> {
        let at = position(db)?;
        if let Some(place) = at.place {
            let mut lines = damage.lines(Lines::from(journal, place));
            let line = lines.next_line().map_err(Error::Journal)?;
            let is_it = line.is_some_and(|line| {
                line.place == place && Sha256Hex::of(&line.bytes).as_str() == at.hash
            });
            if is_it {
                return Ok(Self::from(lines, at));
            }
            tracing::info!("the journal is not the one that was indexed: its index is made anew");
            empty(db)?;
        }
        let at = position(db)?;
        Ok(Self::from(damage.lines(Lines::new(journal)), at))
    }

    fn from(lines: Lines, at: Position) -> Self {
        Self {
            lines,
            at,
            known: Known::default(),
            span: Span::default(),
            is_damaged: false,
        }
    }

    /// Reads a journal whose numbers do not follow one another: whoever copies a line must not keep others from what
    /// is left.
    pub(super) fn over_damage(mut self) -> Self {
        self.is_damaged = true;
        self
    }

    /// What could not be read since it was asked last.
    pub(super) fn unreadable(&mut self) -> Vec<Unreadable> {
        self.lines.unreadable()
    }

    /// The last record that has its row.
    pub(super) fn seq(&self) -> u64 {
        self.at.seq
    }

    /// One transaction: as many lines as there are, and no more than a few thousand, a few megabytes and a second:
    /// others wait for it, and what it changes has to have room.
    pub(super) fn fill(&mut self, db: &mut Connection) -> Result<Filled, Error> {
        let Some(first) = self.lines.next_line().map_err(Error::Journal)? else {
            self.is_damaged = false;
            return Ok(Filled::UpToDate);
        };
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if position(&transaction)? != self.at {
            return Ok(Filled::Elsewhere);
        }
        let before = self.at.seq;
        let mut next = Some(first);
        let mut batch = Batch::new();
        let mut waiting = Waiting::default();
        let mut last: Option<Line> = None;
        while let Some(line) = next.take() {
            let row = Row::read(&line.bytes).filter(|row| can_stand(row.seq.0, line.place));
            let seq = row.as_ref().and_then(|row| row.seq.0);
            let is_again = seq.is_some_and(|seq| seq <= self.at.seq);
            if is_again && !self.is_damaged {
                // The writer took back what it could not sync: what was read of it never was.
                return Ok(Filled::TakenBack);
            }
            if let Some(row) = row.filter(|_| !is_again) {
                self.note_gap(&transaction, line.place.segment, seq.unwrap_or_default())?;
                self.at.seq = seq.unwrap_or_default();
                self.record(&transaction, &line, &row, &mut waiting)?;
            } else {
                self.at.unread += 1;
                self.at.last = self.at.last.map(|(segment, unread)| (segment, unread + 1));
            }
            batch.add(line.bytes.len());
            last = Some(line);
            if batch.is_full {
                break;
            }
            next = self.lines.next_line().map_err(Error::Journal)?;
        }
        waiting.write(&transaction)?;
        self.end_span(&transaction)?;
        blocks::close(&transaction, before, self.at.seq)?;
        if let Some(line) = last {
            self.at.place = Some(line.place);
            let hash = Sha256Hex::of(&line.bytes);
            hash.as_str().clone_into(&mut self.at.hash);
        }
        note(&transaction, &self.at)?;
        transaction.commit()?;
        Ok(if batch.is_full {
            Filled::More(batch.records)
        } else {
            self.is_damaged = false;
            Filled::UpToDate
        })
    }

    /// Records that are gone within a segment leave nothing but their numbers. Lines that are no records stand for some; what
    /// is gone with whole segments, or at the end of one, is seen by the segments.
    fn note_gap(&mut self, db: &Connection, segment: u64, seq: u64) -> rusqlite::Result<()> {
        let last = self.at.last.replace((segment, 0));
        let unread = match last {
            Some((last, unread)) if last == segment => unread,
            _ => return Ok(()),
        };
        let first = self.at.seq + 1;
        if seq > first.saturating_add(unread) {
            db.prepare_cached("INSERT OR REPLACE INTO gap(seq, last) VALUES (?, ?)")?
                .execute(params![signed(first), signed(seq - 1)])?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        db: &Connection,
        line: &Line,
        row: &Row<'_>,
        waiting: &mut Waiting,
    ) -> Result<(), Error> {
        let (seq, ms) = (signed(self.at.seq), row.millis());
        if let Some(ms) = ms {
            self.span.add(seq, ms);
            if self.span.records == SPAN {
                self.end_span(db)?;
            }
        }
        let kind = match &*row.kind.0 {
            "decision" => 0,
            // Never asked for by their kind: there are as many as decisions.
            "outcome" => OUTCOME,
            other => self.known.text(db, Kind::Record, other)?.unwrap_or(OTHER) + KINDS_FROM,
        };
        db.prepare_cached(
            "INSERT INTO record(seq, kind, ms, segment, offset) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            seq,
            kind,
            ms,
            signed(line.place.segment),
            signed(line.place.offset)
        ])?;
        match &*row.kind.0 {
            "decision" => {
                let decision = self.decision(db, seq, ms, row, waiting)?;
                if let Some(took) = row.metrics.0.rego_query_eval_ns.0 {
                    let (micros, of) = (signed(took / 1000), decision.environment);
                    waiting.latencies.add(ms, of, Took::Policies, micros);
                }
                waiting.decided.push(decision);
            }
            "outcome" => self.outcome(db, seq, ms, row, waiting)?,
            "settled" => settled(db, seq, row, &mut waiting.decided)?,
            "challenger" => challenged(db, seq, row, &mut waiting.decided)?,
            "suppressed" => counted(db, seq, row)?,
            "start" | "reload" => keys::told(db, seq, &line.bytes)?,
            "pruned" => keys::told_of_deleted(db, &line.bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn decision(
        &mut self,
        db: &Connection,
        seq: i64,
        ms: Option<i64>,
        row: &Row<'_>,
        waiting: &mut Waiting,
    ) -> Result<Decided, Error> {
        let known = &mut self.known;
        let (told, seen) = facts::callers(row);
        let id = uuid_beginning(&row.decision_id.0);
        if id.is_none() {
            let text = known.text(db, Kind::Decision, &row.decision_id.0)?;
            waiting.about(text, seq);
        }
        let (certificate, claim) = (facts::certificate(row), facts::claim(row));
        let masks = row.masks();
        let names = names(row, &masks);
        let names = names.each_ref().map(|name| &**name);
        for (number, name) in names.iter().enumerate() {
            let is_new = names.iter().take(number).all(|before| before != name);
            if is_new {
                let text = known.text(db, Kind::Token, name)?;
                waiting.about(text, seq);
            }
        }
        let change = &row.input.0.change.0;
        let (caller, environment) = (facts::caller(row), facts::environment(row));
        Ok(Decided {
            seq,
            ms,
            id,
            verdict: if facts::is_allowed(row) { ALLOW } else { DENY },
            operation: known.text(db, Kind::Operation, operation(row))?,
            environment: known.text(db, Kind::Environment, environment)?,
            caller: known.text(db, Kind::Caller, caller)?,
            certificate: known.together(db, List::Certificate, Kind::Certificate, &certificate)?,
            claim: known.together(db, List::Claim, Kind::Claim, &claim)?,
            teams: known.list(db, List::Teams, teams(told, seen))?,
            client: known.text(db, Kind::Client, &row.requested_by.0)?,
            objections: known.list(db, List::Objections, row.result.0.violations)?,
            asked: known.list(db, List::Scopes, change.scopes.0.requested)?,
            added: known.list(db, List::Scopes, change.scopes.0.added)?,
            removed: known.list(db, List::Scopes, change.scopes.0.removed)?,
            no_op: row.is_no_op(&masks),
            revision: known.text(db, Kind::Revision, &row.bundles.0.policies.0.revision.0)?,
            ended: Ended::default(),
            settled: None,
            challenger: None,
            words: searched(row, &masks, &names, &certificate, &claim),
        })
    }

    fn outcome(
        &mut self,
        db: &Connection,
        seq: i64,
        ms: Option<i64>,
        row: &Row<'_>,
        waiting: &mut Waiting,
    ) -> Result<(), Error> {
        let Some(of) = facts::about_earlier(row, seq.unsigned_abs()).map(signed) else {
            return Ok(());
        };
        let made = &row.credential.0.id.0;
        let text = self.known.text(db, Kind::Token, made)?;
        waiting.about(text, of);
        let ended = Ended {
            outcome: Some(match facts::ended(row) {
                "answered" => ANSWERED,
                "failed" => FAILED,
                "unclear" => UNCLEAR,
                _ => UNKNOWN,
            }),
            status: row.status.0.map(signed),
            micros: row.duration_ms.0.map(micros),
            seq: Some(seq),
        };
        let decided = &mut waiting.decided;
        if let Ok(at) = decided.binary_search_by_key(&of, |decided| decided.seq) {
            if let Some(decided) = decided.get_mut(at) {
                decided.ended = ended;
                decided.words.add(&row.detail.0);
                ended.count(ms, decided.environment, &mut waiting.latencies);
            }
            return Ok(());
        }
        if !row.detail.0.is_empty() {
            waiting.words.entry(of).or_default().add(&row.detail.0);
        }
        let environment = db
            .prepare_cached(
                "UPDATE decision SET outcome = ?, status = ?, micros = ?, outcome_seq = ? WHERE seq = ?
                 RETURNING environment",
            )?
            .query_row(
                params![
                    ended.outcome,
                    ended.status,
                    ended.micros,
                    ended.seq,
                    of
                ],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(environment) = environment {
            ended.count(ms, environment, &mut waiting.latencies);
        }
        Ok(())
    }

    fn end_span(&mut self, db: &Connection) -> Result<(), Error> {
        let span = std::mem::take(&mut self.span);
        if span.records > 0 {
            db.prepare_cached("INSERT INTO span(first, earliest, latest) VALUES (?, ?, ?)")?
                .execute(params![span.first, span.earliest, span.latest])?;
        }
        Ok(())
    }
}

/// How much a transaction has.
#[derive(Debug)]
struct Batch {
    records: usize,
    bytes: usize,
    began: Instant,
    /// It ended because there was no more room, and not because there were no more lines.
    is_full: bool,
}

impl Batch {
    fn new() -> Self {
        Self {
            records: 0,
            bytes: 0,
            began: Instant::now(),
            is_full: false,
        }
    }

    fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
        self.is_full = self.records >= BATCH
            || self.bytes >= BATCH_BYTES
            || self.records.is_multiple_of(LOOKS) && self.began.elapsed() >= LONGEST;
    }
}

impl Span {
    fn add(&mut self, seq: i64, ms: i64) {
        if self.records == 0 {
            (self.first, self.earliest, self.latest) = (seq, ms, ms);
        }
        self.records += 1;
        self.earliest = self.earliest.min(ms);
        self.latest = self.latest.max(ms);
    }
}

fn insert_words(db: &Connection, seq: i64, words: Text) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO words(rowid, text) VALUES (?, ?)")?
        .execute(params![seq, words.done()])?;
    Ok(())
}

fn insert(db: &Connection, decided: &Decided) -> rusqlite::Result<()> {
    let of = decided;
    db.prepare_cached(
        "INSERT INTO decision(seq, ms, id, verdict, operation, environment, caller, certificate, claim, teams,
           client, objections, asked, added, removed, noop, revision, outcome, status, micros, outcome_seq, settled,
           challenger, challenger_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        of.seq,
        of.ms,
        of.id,
        of.verdict,
        of.operation,
        of.environment,
        of.caller,
        of.certificate,
        of.claim,
        of.teams,
        of.client,
        of.objections,
        of.asked,
        of.added,
        of.removed,
        of.no_op,
        of.revision,
        of.ended.outcome,
        of.ended.status,
        of.ended.micros,
        of.ended.seq,
        of.settled,
        of.challenger.map(|(differs, _)| differs),
        of.challenger.map(|(_, seq)| seq)
    ])?;
    Ok(())
}

/// Somebody looked what became of a decision in doubt.
fn settled(db: &Connection, seq: i64, row: &Row<'_>, decided: &mut [Decided]) -> Result<(), Error> {
    let Some(of) = facts::about_earlier(row, seq.unsigned_abs()).map(signed) else {
        return Ok(());
    };
    // What nobody could find out stays in doubt.
    let settled = if row.found.0 == "unknown" { -seq } else { seq };
    if let Ok(at) = decided.binary_search_by_key(&of, |decided| decided.seq) {
        if let Some(decided) = decided.get_mut(at)
            && (settled > 0 || decided.settled.is_none_or(|before| before < 0))
        {
            decided.settled = Some(settled);
        }
        return Ok(());
    }
    db.prepare_cached(
        "UPDATE decision SET settled = ?1 WHERE seq = ?2 AND (?1 > 0 OR coalesce(settled, 0) <= 0)",
    )?
    .execute(params![settled, of])?;
    Ok(())
}

/// A challenger would have decided otherwise: the last that says so counts.
fn challenged(
    db: &Connection,
    seq: i64,
    row: &Row<'_>,
    decided: &mut [Decided],
) -> Result<(), Error> {
    let Some(of) = facts::about_earlier(row, seq.unsigned_abs()).map(signed) else {
        return Ok(());
    };
    let differs = match facts::differs(row) {
        "would_deny" => WOULD_DENY,
        "would_allow" => WOULD_ALLOW,
        "failed" => COULD_NOT,
        "timed_out" => TIMED_OUT,
        _ => VIOLATIONS,
    };
    if let Ok(at) = decided.binary_search_by_key(&of, |decided| decided.seq) {
        if let Some(decided) = decided.get_mut(at) {
            decided.challenger = Some((differs, seq));
        }
        return Ok(());
    }
    db.prepare_cached("UPDATE decision SET challenger = ?, challenger_seq = ? WHERE seq = ?")?
        .execute(params![differs, seq, of])?;
    Ok(())
}

/// Requests that have no record of their own.
fn counted(db: &Connection, seq: i64, row: &Row<'_>) -> rusqlite::Result<()> {
    let count = signed(row.count.0.unwrap_or_default().min(MOST_COUNTED));
    db.prepare_cached("INSERT INTO counted(seq, count) VALUES (?, ?)")?
        .execute(params![seq, count])?;
    Ok(())
}

/// The first half of a UUID: ids of one time stand together, and one in a millisecond has it for itself.
pub(super) fn uuid_beginning(id: &str) -> Option<i64> {
    let id = uuid::Uuid::try_parse(id).ok()?;
    Some(id.as_u64_pair().0.cast_signed())
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a duration of thousands of years is none"
)]
fn micros(ms: f64) -> i64 {
    (ms * 1000.0).round() as i64
}

/// Whether a record can have this number where it stands: a line that claims a number far away would hide all between.
fn can_stand(seq: Option<u64>, place: Place) -> bool {
    let before = seq.and_then(|seq| seq.checked_sub(place.segment.max(1)));
    before.is_some_and(|before| before <= place.offset / SHORTEST)
}

/// Bytes that no record is shorter than: number, hash, kind and time.
const SHORTEST: u64 = 96;
/// Lines of a transaction, and their bytes. What callers, tokens and addresses are found by changes the same pages in each
/// transaction: twice as many lines are hardly more to write.
const BATCH: usize = 32_768;
const BATCH_BYTES: usize = 32 << 20;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(1);
/// Lines after which the clock is looked at.
const LOOKS: usize = 16;
/// Records of a span of time.
const SPAN: u32 = 1024;
/// Requests that one record counts: more than come in a minute, and so few that their sum is a number.
const MOST_COUNTED: u64 = 1 << 32;
const OUTCOME: i64 = -1;
const OTHER: i64 = 0;
pub(super) const KINDS_FROM: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_full_of_lines_of_bytes_or_of_time() {
        let mut batch = Batch::new();
        for _ in 1..BATCH {
            batch.add(100);
        }
        assert!(!batch.is_full);
        batch.add(100);
        assert!(batch.is_full);
        let mut batch = Batch::new();
        for _ in 0..3 {
            batch.add(BATCH_BYTES / 4);
        }
        assert!(!batch.is_full);
        batch.add(BATCH_BYTES / 4);
        assert!(batch.is_full);
        let mut batch = Batch::new();
        batch.began = Instant::now().checked_sub(LONGEST).unwrap();
        for _ in 0..LOOKS {
            batch.add(100);
        }
        assert!(batch.is_full);
    }
}
