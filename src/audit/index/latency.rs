//! How long policies and Dynatrace took, by quarters of an hour, by minutes and by shorter parts: counts of times that are
//! about the same, so that a month is told as quickly as an hour, and without a look at any record.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::filter::Pattern;
use super::part::texts_of;
use super::tables::Kind;
use super::{Error, Index, MINUTE, QUARTER, SHORT, varint};

/// What took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Took {
    /// The policies, for one decision.
    Policies,
    /// Dynatrace, from when the request was sent until its answer began, or nobody waited for it any more.
    Dynatrace,
}

/// How many took how long. Each time counts in one of eight parts of a power of two, so that what is told is too long by
/// an eighth at most, and never too short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(BTreeMap<u64, u64>);

/// Those of one part of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// When it begins, in milliseconds since 1970.
    pub from: i64,
    pub took: Took,
    pub times: Times,
}

/// What was counted in a transaction, before it is added to what is there.
#[derive(Debug, Default)]
pub(super) struct Counted(BTreeMap<(i64, i64, i64, i64), Times>);

impl Times {
    /// One more, in microseconds.
    pub fn add(&mut self, micros: u64) {
        self.add_many(part(micros), 1);
    }

    pub fn merge(&mut self, other: &Self) {
        for (part, count) in &other.0 {
            self.add_many(*part, *count);
        }
    }

    fn add_many(&mut self, part: u64, count: u64) {
        let so_far = self.0.entry(part).or_default();
        *so_far = so_far.saturating_add(count);
    }

    pub fn count(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// In how many microseconds so many percent of them were over; `None`: there are none.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let count = u128::from(self.count());
        let wanted = (count * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        for (part, count) in &self.0 {
            seen += u128::from(*count);
            if seen >= wanted {
                return Some(longest(*part));
            }
        }
        None
    }

    fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 4);
        for (part, count) in &self.0 {
            varint::write(&mut bytes, *part);
            varint::write(&mut bytes, *count);
        }
        bytes
    }

    fn add_packed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut left = bytes.iter();
        while !left.as_slice().is_empty() {
            let part = varint::read(&mut left)?;
            self.add_many(part, varint::read(&mut left)?);
        }
        Ok(())
    }
}

impl Counted {
    /// Something took so long at a time, in milliseconds since 1970. What has no time is not told.
    pub(super) fn add(
        &mut self,
        ms: Option<i64>,
        environment: Option<i64>,
        took: Took,
        micros: i64,
    ) {
        let Some(ms) = ms else { return };
        let micros = u64::try_from(micros).unwrap_or_default();
        for long in [SHORT, MINUTE, QUARTER] {
            let number = ms.div_euclid(long);
            let key = (long, number, environment.unwrap_or_default(), took as i64);
            self.0.entry(key).or_default().add(micros);
        }
    }

    pub(super) fn write(self, db: &Connection) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        // The clock of this machine, as SQLite says it: that of whoever writes the records, in a gate.
        let now: i64 = db.query_row("SELECT unixepoch()", [], |row| row.get(0))?;
        self.write_at(db, now.saturating_mul(1000))
    }

    /// A record whose clock is ahead takes nothing away of what is kept.
    fn write_at(self, db: &Connection, now: i64) -> Result<(), Error> {
        let kept = KEPT.map(|(long, kept)| {
            let numbers = self.0.keys().filter(|(of, ..)| *of == long);
            let last = numbers.map(|(_, number, ..)| *number).max();
            let last = last.unwrap_or(i64::MIN).min(now.div_euclid(long));
            (long, last.saturating_sub(kept))
        });
        for ((long, number, environment, took), mut times) in self.0 {
            if kept.iter().any(|(of, kept)| *of == long && number < *kept) {
                continue;
            }
            let key = params![long, number, environment, took];
            let before: Option<Vec<u8>> = db
                .prepare_cached(THERE)?
                .query_row(key, |row| row.get(0))
                .optional()?;
            times.add_packed(&before.unwrap_or_default())?;
            db.prepare_cached(
                "INSERT OR REPLACE INTO latency(long, number, environment, took, times) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![long, number, environment, took, times.packed()])?;
        }
        for (long, kept) in kept {
            db.prepare_cached("DELETE FROM latency WHERE long = ? AND number < ?")?
                .execute([long, kept])?;
        }
        Ok(())
    }
}

impl Index {
    /// How long it took from one moment until before another (milliseconds since 1970), in the environments that are meant;
    /// none: in all. In parts of so many milliseconds, or shorter ones: by quarters of an hour, the last hour by minutes,
    /// and the last quarter by shorter ones. Earlier ones are not kept.
    pub fn latencies(
        &self,
        (since, until): (i64, i64),
        part: i64,
        environment: &[Pattern],
    ) -> Result<Vec<Latency>, Error> {
        let long = match part {
            ..MINUTE => SHORT,
            MINUTE..QUARTER => MINUTE,
            QUARTER.. => QUARTER,
        };
        let mut sql =
            "SELECT number, took, times FROM latency WHERE long = ? AND number BETWEEN ? AND ?"
                .to_owned();
        let mut values: Vec<Box<dyn rusqlite::ToSql>> = vec![
            Box::new(long),
            Box::new(since.div_euclid(long)),
            Box::new(until.saturating_sub(1).div_euclid(long)),
        ];
        if !environment.is_empty() {
            let part = texts_of(Kind::Environment, environment);
            sql.push_str(" AND environment IN (");
            sql.push_str(&part.one_of);
            sql.push(')');
            values.extend(part.values);
        }
        let mut statement = self.db.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values.iter().map(|value| &**value)))?;
        let mut found: BTreeMap<(i64, Took), Times> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let took = match row.get::<_, i64>(1)? {
                0 => Took::Policies,
                _ => Took::Dynatrace,
            };
            let number: i64 = row.get(0)?;
            let packed = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let times = found
                .entry((number.saturating_mul(long), took))
                .or_default();
            times.add_packed(packed)?;
        }
        let found = found.into_iter();
        Ok(found
            .map(|((from, took), times)| Latency { from, took, times })
            .collect())
    }
}

/// Forgets what was over before a moment, in milliseconds since 1970.
pub(super) fn forget(db: &Connection, before: i64) -> rusqlite::Result<()> {
    for long in [SHORT, MINUTE, QUARTER] {
        db.execute(
            "DELETE FROM latency WHERE long = ? AND number < ?",
            [long, before.div_euclid(long)],
        )?;
    }
    Ok(())
}

/// In which part a time counts.
fn part(micros: u64) -> u64 {
    match micros.checked_ilog2() {
        None | Some(..3) => micros,
        Some(power) => {
            let shift = power - 3;
            u64::from(shift) * 8 + (micros >> shift)
        }
    }
}

/// The longest time of a part.
fn longest(part: u64) -> u64 {
    match (part / 8).checked_sub(1) {
        None => part,
        Some(shift) => {
            let shift = u32::try_from(shift).unwrap_or(u32::MAX);
            let next = u128::from(8 + part % 8 + 1).checked_shl(shift);
            let longest = next.map_or(u128::MAX, |next| next - 1);
            u64::try_from(longest).unwrap_or(u64::MAX)
        }
    }
}

const THERE: &str =
    "SELECT times FROM latency WHERE long = ? AND number = ? AND environment = ? AND took = ?";
/// How many of the shorter parts are kept: an hour and a little, and a quarter of one and a little.
const KEPT: [(i64, i64); 2] = [(MINUTE, 90), (SHORT, 80)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::index::tests::{indexed, write};

    #[test]
    fn latencies_are_those_of_the_records_however_often_the_index_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let at = |minute: u32| format!("2024-11-24T01:{minute:02}:00.000Z");
        let decision = |environment: &str, minute: u32, ns: u64| {
            json!({"kind": "decision", "verdict": "allow", "timestamp": at(minute), "environment": environment,
                   "metrics": {"timer_rego_query_eval_ns": ns}})
        };
        let outcome = |of: u64, minute: u32, outcome: &str, ms: f64| {
            json!({"kind": "outcome", "decision_seq": of, "timestamp": at(minute), "outcome": outcome, "status": 200,
                   "duration_ms": ms})
        };
        let records = [
            decision("prod", 1, 3_000),
            decision("dev", 2, 5_000),
            outcome(1, 3, "answered", 0.004),
            outcome(2, 16, "answered", 0.007),
            // It took nothing of Dynatrace's time, is of no decision, and has no time.
            outcome(1, 17, "failed", 90.0),
            outcome(99, 17, "answered", 90.0),
            json!({"kind": "decision", "verdict": "allow", "metrics": {"timer_rego_query_eval_ns": 7}}),
        ];
        let began: i64 = "2024-11-24T01:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_millisecond();
        let hour = (began, began + 3_600_000);
        let told = |index: &Index, part, environment: &[Pattern]| -> Vec<(i64, Took, u64, u64)> {
            let all = index.latencies(hour, part, environment).unwrap();
            let minute = |it: &Latency| (it.from - began) / MINUTE;
            let longest = |it: &Latency| it.times.percentile(100).unwrap();
            all.iter()
                .map(|it| (minute(it), it.took, it.times.count(), longest(it)))
                .collect()
        };
        // All at once, and record by record.
        for some in [records.len(), 1] {
            for end in (some..=records.len()).step_by(some) {
                write(directory.path(), &records[..end]);
                indexed(directory.path());
            }
            let index = indexed(directory.path());
            let minutes = [
                (1, Took::Policies, 1, 3),
                (2, Took::Policies, 1, 5),
                (3, Took::Dynatrace, 1, 4),
                (16, Took::Dynatrace, 1, 7),
            ];
            assert_eq!(told(&index, MINUTE, &[]), minutes);
            let quarters = [
                (0, Took::Policies, 2, 5),
                (0, Took::Dynatrace, 1, 4),
                (15, Took::Dynatrace, 1, 7),
            ];
            assert_eq!(told(&index, QUARTER, &[]), quarters);
            let prod = [Pattern::Exactly("prod".to_owned())];
            assert_eq!(told(&index, MINUTE, &prod), [minutes[0], minutes[2]]);
            drop(index);
            std::fs::remove_file(directory.path().join(crate::audit::index::FILE)).unwrap();
        }
    }

    #[test]
    fn minutes_are_kept_for_an_hour_and_what_is_pruned_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let at = |hour: u32| {
            json!({"kind": "decision", "verdict": "allow", "timestamp": format!("2024-11-24T{hour:02}:00:00.000Z"),
                   "metrics": {"timer_rego_query_eval_ns": 1_000}})
        };
        let records: Vec<_> = (0..5).map(at).collect();
        write(directory.path(), &records);
        let index = indexed(directory.path());
        let all = (0, i64::MAX);
        let count = |part| index.latencies(all, part, &[]).unwrap().len();
        assert_eq!([QUARTER, MINUTE, SHORT].map(count), [5, 2, 1]);
        let minutes = index.latencies(all, MINUTE, &[]).unwrap();
        forget(&index.db, minutes[1].from).unwrap();
        assert_eq!([QUARTER, MINUTE, SHORT].map(count), [1, 1, 1]);
    }

    #[test]
    fn a_record_whose_clock_is_ahead_takes_nothing_away() {
        let directory = tempfile::tempdir().unwrap();
        let index = indexed(directory.path());
        let now = 1_000_000 * MINUTE;
        let write = |ms: i64, now: i64| {
            let mut counted = Counted::default();
            counted.add(Some(ms), None, Took::Policies, 7);
            counted.write_at(&index.db, now).unwrap();
            let all = (0, i64::MAX);
            [MINUTE, SHORT].map(|part| index.latencies(all, part, &[]).unwrap().len())
        };
        assert_eq!(write(now, now), [1, 1]);
        assert_eq!(write(now + 100_000 * MINUTE, now), [2, 2]);
        assert_eq!(write(now + MINUTE, now + MINUTE), [3, 3]);
        // What is older than what is kept goes by this machine's clock.
        let later = now + 60 * MINUTE;
        assert_eq!(write(later, later), [4, 2]);
    }

    #[test]
    fn a_time_is_told_as_an_eighth_longer_at_most_and_never_shorter() {
        let some = (0..64).flat_map(|power| {
            let around = 1_u64 << power;
            [
                around - 1,
                around,
                around + 1,
                around + around / 3,
                around + (around - 1),
            ]
        });
        for micros in some.chain(0..5000).chain([u64::MAX]) {
            let told = longest(part(micros));
            assert!(told >= micros, "{micros}: {told}");
            assert!(told - micros <= micros / 8, "{micros}: {told}");
            if let Some(more) = micros.checked_add(1) {
                assert!(part(more) >= part(micros));
            }
        }
    }

    #[test]
    fn percentiles_are_of_all_that_was_counted_and_survive_being_packed() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), None);
        for micros in [1, 2, 3, 4, 1_000_000] {
            times.add(micros);
        }
        let mut again = Times::default();
        again.add_packed(&times.packed()).unwrap();
        assert_eq!(again, times);
        assert_eq!(times.percentile(0), Some(1));
        assert_eq!(times.percentile(50), Some(3));
        assert_eq!(times.percentile(80), Some(4));
        assert!(
            times
                .percentile(99)
                .is_some_and(|it| (1_000_000..1_125_000).contains(&it))
        );
        times.merge(&again);
        assert_eq!(times.count(), 10);
        assert_eq!(times.percentile(50), Some(3));
    }
}
