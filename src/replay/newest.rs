//! The newest decisions of a journal, without reading all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use memchr::memmem;
use serde::Deserialize;

use super::compare::Candidate;
use super::{Options, Report, Wanted};
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments};
use crate::policy::Policy;

/// Judges the newest decisions of a journal again, so many at most: those that a policy has judged before, and that
/// Dynatrace did not turn away for their credential. Decisions beyond 64 MiB, and what is older than 1 GiB of records, are
/// not looked at. On this thread: it is for a gate that serves meanwhile.
///
/// Also compared is what becomes of them from `now` on, by the candidate and by what is `in_force`.
pub fn newest(
    journal: &Path,
    candidate: &Policy,
    in_force: Option<&Policy>,
    now: Timestamp,
    decisions: usize,
) -> io::Result<Report> {
    let options = Options {
        wanted: Wanted::new(None, None, Vec::new()),
        examples: 1,
        jobs: 1,
    };
    let candidate = Candidate::new(candidate).also_from(now, in_force);
    let mut report = Report::new(candidate.policy().revision());
    let wanted = u64::try_from(decisions).unwrap_or(u64::MAX);
    let mut look = Look {
        room: MOST_BYTES,
        left: MOST_READ,
        turned_away: BTreeSet::new(),
    };
    for path in segments(journal)?.iter().rev() {
        let Some(segment) = first_record(path) else {
            continue;
        };
        let judged = look.judged_of(journal, segment, &mut report)?;
        for line in judged.into_values().rev() {
            look.room = look.room.saturating_sub(line.len());
            candidate.judge(&line, &options, &mut report);
            if report.replayed >= wanted {
                return Ok(report);
            }
        }
        if look.room == 0 || look.left == 0 {
            break;
        }
    }
    Ok(report)
}

/// How much may still be looked at, and what was seen behind it.
struct Look {
    room: usize,
    left: usize,
    /// Decisions, by their numbers, whose outcome stands in a segment that was read before.
    turned_away: BTreeSet<u64>,
}

impl Look {
    /// The newest decisions of policies in one segment, by their numbers: those that have an input and a verdict. What was
    /// refused before any policy, or is masked as a whole, says nothing about policies. What was allowed and turned away
    /// by Dynatrace for its credential anybody can send, as much as they like: it says nothing of those who may.
    fn judged_of(
        &mut self,
        journal: &Path,
        segment: u64,
        report: &mut Report,
    ) -> io::Result<BTreeMap<u64, Vec<u8>>> {
        let from = Place { segment, offset: 0 };
        let mut lines = Lines::from(journal, from).over_damage();
        let (mut found, mut bytes): (BTreeMap<u64, Vec<u8>>, usize) = (BTreeMap::new(), 0);
        while let Some(line) = lines.next_line()?
            && line.place.segment == segment
        {
            self.left = self.left.saturating_sub(line.bytes.len());
            // In a text of somebody else, the quotation marks would have backslashes.
            let has = |member: &[u8]| memmem::find(&line.bytes, member).is_some();
            if has(OUTCOME)
                && let Some(decision) = turned_away(&line.bytes)
            {
                report.turned_away += 1;
                match found.remove(&decision) {
                    Some(line) => bytes -= line.len(),
                    None => drop(self.turned_away.insert(decision)),
                }
            }
            if !(has(DECISION) && has(INPUT)) {
                continue;
            }
            let Some(seq) = seq(&line.bytes) else {
                report.damaged += 1;
                continue;
            };
            if self.turned_away.remove(&seq) {
                continue;
            }
            bytes += line.bytes.len();
            if let Some(before) = found.insert(seq, line.bytes) {
                bytes -= before.len();
            }
            while bytes > self.room {
                bytes -= found.pop_first().map_or(0, |(_, line)| line.len());
            }
        }
        Ok(found)
    }
}

/// The number of the decision whose request Dynatrace has turned away for its credential.
fn turned_away(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Outcome {
        decision_seq: u64,
        status: Option<u16>,
    }
    let outcome: Outcome = serde_json::from_slice(line).ok()?;
    let is_it = matches!(outcome.status, Some(401 | 403));
    is_it.then_some(outcome.decision_seq)
}

fn seq(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let numbered: Numbered = serde_json::from_slice(line).ok()?;
    Some(numbered.seq)
}

const DECISION: &[u8] = b"\"kind\":\"decision\"";
const OUTCOME: &[u8] = b"\"kind\":\"outcome\"";
const INPUT: &[u8] = b"\"input\":{";
/// Of lines that are held at once.
const MOST_BYTES: usize = 64 << 20;
/// Of records that are read.
const MOST_READ: usize = 1 << 30;
