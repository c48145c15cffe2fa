//! The records behind the newest checkpoint of the key: whether a gate that worked can have left so many.
//!
//! A gate signs within a minute after it has written something. So what it leaves unsigned when it is killed was written
//! within a minute, by the records' own times. More is what somebody leaves who writes the end anew and has no key.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::audit::segment::first_record;
use crate::audit::tree::stored::each_line;
use crate::value::Duration;

/// What has to be known of an unsigned record.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    timestamp: String,
    kind: String,
}

/// How long the records took that no checkpoint covers, by their own times.
#[derive(Debug)]
pub(super) struct Unsigned {
    interval: std::time::Duration,
    before: Option<jiff::Timestamp>,
    took: std::time::Duration,
    longest: std::time::Duration,
}

impl Unsigned {
    /// `interval`: how often a gate makes a checkpoint.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval: interval.into(),
            before: None,
            took: std::time::Duration::ZERO,
            longest: std::time::Duration::ZERO,
        }
    }

    pub(super) fn see(&mut self, line: &[u8]) {
        let told: Told = serde_json::from_slice(line).unwrap_or_default();
        let at: Option<jiff::Timestamp> = told.timestamp.parse().ok();
        if matches!(&*told.kind, "start" | "settled") {
            // Another process, that may have been killed as early as the one before.
            self.took = std::time::Duration::ZERO;
        } else if let (Some(before), Some(at)) = (self.before, at) {
            // Longer than that a gate has nothing to write, or the machine sleeps, or its clock is set.
            let passed = at.duration_since(before).try_into().unwrap_or_default();
            self.took += self.interval.min(passed);
        }
        self.before = at.or(self.before);
        self.longest = self.longest.max(self.took);
    }

    /// What is wrong with them, if they are records `from` to `last`.
    pub(super) fn problem(&self, from: u64, last: u64) -> Option<String> {
        let most = self.interval.saturating_mul(INTERVALS);
        (self.longest > most).then(|| {
            let (longest, interval) = (shown(self.longest), shown(self.interval));
            format!(
                "records {from} to {last} are not signed, and were written over {longest} at least, by their own times: a gate \
                 makes a checkpoint every {interval}. It could not (its log says why), or somebody wrote the end anew. If \
                 journal.checkpoint_interval is longer than {interval}, hand it in by --checkpoint-interval"
            )
        })
    }
}

/// What is wrong with records `from` to `last`, which no checkpoint covers; `interval`: how often a gate makes one.
pub(super) fn problem(
    segments: &[PathBuf],
    from: u64,
    last: u64,
    interval: Duration,
) -> io::Result<Option<String>> {
    let begins = segments.partition_point(|path| number(path) <= from);
    let later = segments.get(begins.saturating_sub(1)..).unwrap_or_default();
    let mut unsigned = Unsigned::new(interval);
    for path in later {
        let mut seq = number(path);
        each_line(path, |line| {
            if seq >= from {
                unsigned.see(line);
            }
            seq += 1;
            seq <= last
        })?;
    }
    Ok(unsigned.problem(from, last))
}

fn number(path: &Path) -> u64 {
    first_record(path).unwrap_or_default()
}

fn shown(time: std::time::Duration) -> String {
    let seconds = std::time::Duration::from_secs(time.as_secs());
    humantime::format_duration(seconds.max(std::time::Duration::from_secs(1))).to_string()
}

/// One is what a kill leaves. The others are for machines that sleep meanwhile, again and again.
const INTERVALS: u32 = 5;
