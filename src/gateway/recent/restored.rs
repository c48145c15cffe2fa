//! What a journal tells of the last hour: decisions say what they count for, and later records of the same decision
//! whether they still do.
//!
//! It reads whatever stands there: a line that says nothing of it is stepped over.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use memchr::memmem::find;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::table::{Minute, Table};
use super::{Entry, counts};
use crate::audit::lines::since;
use crate::policy::input::Amounts;

/// What was read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Restored {
    pub(super) changes: usize,
    callers: usize,
    /// Some of the hour was not read: there is too much of it, or it is damaged.
    is_part: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    counted: Option<Counted<'a>>,
    caller: Option<Shown>,
    decision_seq: u64,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    status: Option<u16>,
    #[serde(borrow)]
    found: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Counted<'a> {
    #[serde(borrow)]
    caller: Cow<'a, str>,
    #[serde(flatten)]
    amounts: Amounts,
}

/// What the caller has proven.
#[derive(Deserialize)]
struct Shown {
    certificate: Option<IgnoredAny>,
    jwt: Option<IgnoredAny>,
}

impl Restored {
    /// `is_read`: policies ask for it. Where none does, and none did before, there is nothing to say.
    pub(super) fn say(&self, is_read: bool) {
        let Self {
            changes,
            callers,
            is_part,
        } = self;
        if !is_read && *changes == 0 {
            return;
        }
        tracing::info!(
            changes,
            callers,
            "what callers did within the last hour was read from the journal"
        );
        if *is_part {
            tracing::warn!(
                most = MOST,
                "the journal has more of the last hour than is read, or some of it cannot be read: callers may do more than \
                 policies say"
            );
        }
    }
}

/// Counts what was counted within the hour before `now`.
///
/// The start has read the last segment before, for the chain. It is not read once for both: nothing may count before the
/// chain is known to be right, the hour may begin segments earlier, and most gates ask for nothing of it.
pub(super) fn read(journal: &Path, now: Timestamp, table: &mut Table) -> io::Result<Restored> {
    let hour_ago = now.checked_sub(HOUR).unwrap_or(Timestamp::MIN);
    let (lines, is_all) = since(journal, hour_ago, MOST)?;
    let mut lines = lines.over_damage();
    let mut waiting = HashMap::new();
    let mut restored = Restored::default();
    while let Some(line) = lines.next_line()? {
        restored.changes += usize::from(see(&line.bytes, now, table, &mut waiting));
    }
    restored.callers = table.len();
    restored.is_part = !is_all || !lines.unreadable().is_empty();
    Ok(restored)
}

/// Whether a line is a change that counts, as far as is known by then. `waiting`: those of whose end nothing was read.
fn see(line: &[u8], now: Timestamp, table: &mut Table, waiting: &mut HashMap<u64, Entry>) -> bool {
    if !WORDS.iter().any(|word| find(line, word).is_some()) {
        return false;
    }
    let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else {
        return false;
    };
    match (&*record.kind, record.counted) {
        ("decision", Some(Counted { caller, amounts })) => {
            let Ok(time) = record.timestamp.parse::<Timestamp>() else {
                return false;
            };
            let entry = Entry {
                caller: caller.into(),
                // Nothing is counted for longer than an hour, whatever a clock said.
                minute: Minute::of(time).min(Minute::of(now)),
                amounts,
                is_proven: record
                    .caller
                    .is_some_and(|it| it.certificate.is_some() || it.jwt.is_some()),
            };
            table.add(&entry);
            waiting.insert(record.seq, entry);
            true
        }
        (kind @ ("outcome" | "settled"), _) => {
            let counts = match kind {
                "outcome" => counts(record.outcome == "failed", record.status),
                _ => record.found != "not_done",
            };
            let is_taken = record
                .status
                .is_some_and(|status| (200..300).contains(&status));
            match waiting.remove(&record.decision_seq) {
                Some(entry) if !counts => table.take_back(&entry),
                Some(entry) if is_taken => {
                    table.accept(&entry);
                }
                _ => {}
            }
            false
        }
        _ => false,
    }
}

/// One of them is in every line that matters.
const WORDS: [&[u8]; 3] = [
    b"\"counted\":{",
    b"\"kind\":\"outcome\"",
    b"\"kind\":\"settled\"",
];
/// With the minute that counts more.
const HOUR: SignedDuration = SignedDuration::from_mins(61);

/// Records that are read at most.
const MOST: u64 = 500_000;
