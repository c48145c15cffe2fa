//! Past decisions again, under other policies: what would have been decided otherwise, about whom, and what nobody can
//! say.
//!
//! It judges the `input` that a record has, with the record's own time for a clock and the candidate's own data. It
//! guarantees that no decision is left out in silence: one that cannot be judged again, or not by all policies, is
//! counted with the reason. What is kept while it runs does not grow with the journal. It does not verify the
//! journal, and opens no door: what it decides is told, never acted upon.

mod compare;
mod given;
mod newest;
mod record;
mod tally;
mod wanted;

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use crate::audit::lines::{Line, Lines, Unreadable};
use crate::audit::on_disk;
use crate::audit::pseudonym::{Said, differing};
use crate::policy::Policy;
use crate::value::threads::named;
use compare::Candidate;
pub use given::given;
pub use newest::{Bound, newest};
pub use record::cut;
pub use tally::{Affected, Change, Example, Group, Moment, Report};
pub use wanted::{Field, Met, Wanted, Where, WhereError};

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    pub wanted: Wanted,
    /// Examples for each policy and kind of change.
    pub examples: usize,
    /// Threads that judge.
    pub jobs: usize,
}

/// Judges the decisions of a journal again: one thread reads, the others judge.
pub fn replay(journal: &Path, candidate: &Policy, options: &Options) -> io::Result<Report> {
    let options = &with_made(journal, options)?;
    let candidate = Candidate::new(candidate);
    let (sender, batches) = sync_channel::<Vec<Vec<u8>>>(options.jobs * QUEUED);
    // They alone have it, so that the reader ends when none of them is left.
    let batches = Arc::new(Mutex::new(batches));
    let candidate = &candidate;
    thread::scope(|scope| {
        let workers: io::Result<Vec<_>> = (0..options.jobs.max(1))
            .map(|_| {
                let batches = batches.clone();
                named("replay").spawn_scoped(scope, move || work(&batches, candidate, options))
            })
            .collect();
        let workers = workers?;
        drop(batches);
        let read = read(journal, |batch| sender.send(batch).is_ok());
        drop(sender);
        let mut report = Report::new(candidate.policy().revision());
        for worker in workers {
            let done = worker.join().map_err(|_panic| {
                io::Error::other("a thread that judges has panicked: nothing is known")
            })?;
            report.add(done, options.examples);
        }
        let seen = read?;
        report.unreadable = seen.unreadable;
        (report.missing, report.more_missing) = (seen.missing, seen.more_missing);
        report.cut = seen.cut;
        let keys: Vec<Said> = report.keys.iter().cloned().collect();
        report.missing_keys = differing(Some(journal), &keys).map_err(io::Error::other)?;
        Ok(report)
    })
}

/// Where a token is asked for: the decisions that made it are known by their outcomes, which come later.
fn with_made(journal: &Path, options: &Options) -> io::Result<Options> {
    let mut options = options.clone();
    if options.wanted.asks_for_tokens() {
        let mut lines = Lines::new(journal).over_damage();
        while let Some(line) = lines.next_line()? {
            if let Some(outcome) = record::outcome(&line.bytes) {
                options.wanted.see_outcome(&outcome);
            }
        }
    }
    Ok(options)
}

/// What of a journal nothing is known of.
#[derive(Debug, Default)]
struct Seen {
    unreadable: Vec<Unreadable>,
    /// First and last records that are not there, the deleted beginning too.
    missing: Vec<(u64, u64)>,
    /// Further ones.
    more_missing: u64,
    /// The last record that is there, and the one that was on disk.
    cut: Option<(u64, u64)>,
    segment: u64,
    /// The record that the last line was, or would have been.
    last: u64,
}

impl Seen {
    /// A line comes, and with it perhaps a segment.
    fn line(&mut self, line: &Line) {
        if line.place.segment != self.segment {
            self.segment = line.place.segment;
            self.is_next(self.segment);
            self.last = self.last.max(self.segment.saturating_sub(1));
        }
        match record::number(&line.bytes) {
            Some(number) => {
                self.is_next(number);
                self.last = number;
            }
            // It stands in place of a record, and is counted as damaged.
            None => self.last += 1,
        }
    }

    /// What comes is this record: all between it and the last one is missing.
    fn is_next(&mut self, number: u64) {
        let next = self.last + 1;
        if number <= next || self.is_told(next) {
            return;
        }
        if self.missing.len() < MOST_MISSING {
            self.missing.push((next, number - 1));
        } else {
            self.more_missing += 1;
        }
    }

    /// The rest of a damaged segment is told by itself.
    fn is_told(&self, next: u64) -> bool {
        self.unreadable.iter().any(|it| it.first == Some(next))
    }

    /// There is no more, and this record was on disk when it began.
    fn ends(&mut self, on_disk: Option<u64>) {
        let on_disk = on_disk.filter(|it| *it > self.last && !self.is_told(self.last + 1));
        self.cut = on_disk.map(|on_disk| (self.last, on_disk));
    }
}

/// Reads all lines, and hands them on many at a time, until nobody takes them. What it had to step over, or did not find.
fn read(journal: &Path, mut hand_on: impl FnMut(Vec<Vec<u8>>) -> bool) -> io::Result<Seen> {
    // Whatever a running gate says there is in the segments by then.
    let on_disk = on_disk(journal);
    let mut lines = Lines::new(journal).over_damage();
    let mut seen = Seen::default();
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    while let Some(line) = lines.next_line()? {
        seen.unreadable.extend(lines.unreadable());
        seen.line(&line);
        bytes += line.bytes.len();
        batch.push(line.bytes);
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            if !hand_on(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))) {
                return Ok(Seen::default());
            }
            bytes = 0;
        }
    }
    hand_on(batch);
    seen.unreadable.extend(lines.unreadable());
    seen.ends(on_disk);
    Ok(seen)
}

/// Judges what comes, until nothing does.
fn work(
    batches: &Mutex<Receiver<Vec<Vec<u8>>>>,
    candidate: &Candidate<'_>,
    options: &Options,
) -> Report {
    let mut report = Report::new(candidate.policy().revision());
    loop {
        let next = batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = next else {
            return report;
        };
        for line in batch {
            candidate.judge(&line, options, &mut report);
        }
    }
}

/// Lines that are handed on at once, and their bytes; batches that wait for each thread. Together they bound the memory,
/// but for a single long line.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
const QUEUED: usize = 2;
/// Gaps that are told one by one.
const MOST_MISSING: usize = 32;

#[cfg(test)]
mod tests;
