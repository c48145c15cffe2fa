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

use crate::audit::lines::{Lines, Unreadable};
use crate::audit::pseudonym::{Said, differing};
use crate::policy::Policy;
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
        let workers: Vec<_> = (0..options.jobs.max(1))
            .map(|_| {
                let batches = batches.clone();
                scope.spawn(move || work(&batches, candidate, options))
            })
            .collect();
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
        let Seen {
            unreadable,
            missing,
            more_missing,
        } = read?;
        (report.unreadable, report.missing, report.more_missing) =
            (unreadable, missing, more_missing);
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
    /// First and last records of segments that are not there, the deleted beginning too.
    missing: Vec<(u64, u64)>,
    /// Further ones.
    more_missing: u64,
}

impl Seen {
    /// A segment begins with one record, where another one would come next.
    fn begins(&mut self, segment: u64, next: u64) {
        // The rest of a damaged segment is told by itself.
        let is_told = self.unreadable.iter().any(|it| it.first == Some(next));
        if segment <= next || is_told {
            return;
        }
        if self.missing.len() < MOST_MISSING {
            self.missing.push((next, segment - 1));
        } else {
            self.more_missing += 1;
        }
    }
}

/// Reads all lines, and hands them on many at a time, until nobody takes them. What it had to step over, or did not find.
fn read(journal: &Path, mut hand_on: impl FnMut(Vec<Vec<u8>>) -> bool) -> io::Result<Seen> {
    let mut lines = Lines::new(journal).over_damage();
    let mut seen = Seen::default();
    let (mut segment, mut next) = (0, 1);
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    while let Some(line) = lines.next_line()? {
        if line.place.segment != segment {
            seen.unreadable.extend(lines.unreadable());
            segment = line.place.segment;
            seen.begins(segment, next);
            next = segment;
        }
        next += 1;
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
