//! The newest decisions of a journal, without reading all of it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use memchr::memmem;

use super::compare::Candidate;
use super::{Options, Report, Wanted};
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments};
use crate::policy::Policy;

/// Judges the newest decisions of a journal again, so many at most, and no more than fit in 64 MiB. On this thread: it is
/// for a gate that serves meanwhile.
pub fn newest(journal: &Path, candidate: &Policy, decisions: usize) -> io::Result<Report> {
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    let (mut wanted, mut room) = (decisions, MOST_BYTES);
    for path in segments(journal)?.iter().rev() {
        let Some(segment) = first_record(path) else {
            continue;
        };
        let older = decisions_of(journal, segment, wanted, room)?;
        wanted = wanted.saturating_sub(older.len());
        room = room.saturating_sub(older.iter().map(Vec::len).sum());
        for line in older.into_iter().rev() {
            lines.push_front(line);
        }
        if wanted == 0 || room == 0 {
            break;
        }
    }
    let options = Options {
        wanted: Wanted::new(None, None, Vec::new()),
        examples: 1,
        jobs: 1,
    };
    let candidate = Candidate::new(candidate);
    let mut report = Report::new(candidate.policy().revision());
    for line in lines {
        candidate.judge(&line, &options, &mut report);
    }
    Ok(report)
}

/// The newest of one segment, in their order.
fn decisions_of(
    journal: &Path,
    segment: u64,
    wanted: usize,
    room: usize,
) -> io::Result<VecDeque<Vec<u8>>> {
    let from = Place { segment, offset: 0 };
    let mut lines = Lines::from(journal, from).over_damage();
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    while let Some(line) = lines.next_line()?
        && line.place.segment == segment
    {
        // In a text of somebody else, the quotation marks would have backslashes.
        if memmem::find(&line.bytes, DECISION).is_none() {
            continue;
        }
        bytes += line.bytes.len();
        found.push_back(line.bytes);
        while found.len() > wanted || bytes > room {
            bytes -= found.pop_front().map_or(0, |line: Vec<u8>| line.len());
        }
    }
    Ok(found)
}

const DECISION: &[u8] = b"\"kind\":\"decision\"";
/// Of lines that are held at once.
const MOST_BYTES: usize = 64 << 20;
