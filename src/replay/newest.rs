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

/// Judges the newest decisions of a journal again, so many at most: those that a policy has judged before. Decisions
/// beyond 64 MiB, and what is older than 1 GiB of records, are not looked at. On this thread: it is for a gate that
/// serves meanwhile.
pub fn newest(journal: &Path, candidate: &Policy, decisions: usize) -> io::Result<Report> {
    let options = Options {
        wanted: Wanted::new(None, None, Vec::new()),
        examples: 1,
        jobs: 1,
    };
    let candidate = Candidate::new(candidate);
    let mut report = Report::new(candidate.policy().revision());
    let wanted = u64::try_from(decisions).unwrap_or(u64::MAX);
    let (mut room, mut left) = (MOST_BYTES, MOST_READ);
    for path in segments(journal)?.iter().rev() {
        let Some(segment) = first_record(path) else {
            continue;
        };
        let judged = judged_of(journal, segment, room, &mut left)?;
        for line in judged.into_iter().rev() {
            room = room.saturating_sub(line.len());
            candidate.judge(&line, &options, &mut report);
            if report.replayed >= wanted {
                return Ok(report);
            }
        }
        if room == 0 || left == 0 {
            break;
        }
    }
    Ok(report)
}

/// The newest decisions of policies in one segment, in their order: those that have an input and a verdict. What was
/// refused before any policy, or is masked as a whole, says nothing about policies.
fn judged_of(
    journal: &Path,
    segment: u64,
    room: usize,
    left: &mut usize,
) -> io::Result<VecDeque<Vec<u8>>> {
    let from = Place { segment, offset: 0 };
    let mut lines = Lines::from(journal, from).over_damage();
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    while let Some(line) = lines.next_line()?
        && line.place.segment == segment
    {
        *left = left.saturating_sub(line.bytes.len());
        // In a text of somebody else, the quotation marks would have backslashes.
        let has = |member: &[u8]| memmem::find(&line.bytes, member).is_some();
        if !(has(DECISION) && has(INPUT)) {
            continue;
        }
        bytes += line.bytes.len();
        found.push_back(line.bytes);
        while bytes > room {
            bytes -= found.pop_front().map_or(0, |line: Vec<u8>| line.len());
        }
    }
    Ok(found)
}

const DECISION: &[u8] = b"\"kind\":\"decision\"";
const INPUT: &[u8] = b"\"input\":{";
/// Of lines that are held at once.
const MOST_BYTES: usize = 64 << 20;
/// Of records that are read.
const MOST_READ: usize = 1 << 30;
