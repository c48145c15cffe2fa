//! The newest decisions of a journal, without reading all of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use memchr::memmem;
use serde::Deserialize;

use super::compare::Candidate;
use super::record::Caller;
use super::{Options, Report, Wanted};
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments};
use crate::policy::{Policy, Verdict};
use crate::value::Holder;

/// Judges the newest decisions of a journal again, so many at most: those that a policy has judged before, and that
/// Dynatrace did not turn away for their credential. Decisions beyond 64 MiB, and what is older than 1 GiB of records, are
/// not looked at. On this thread: it is for a gate that serves meanwhile.
///
/// Of one caller, or one address of those who have proven nothing, there is no more than a tenth, as long as there are
/// others: nobody fills the place of all by asking again and again.
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
        share: (decisions / SHARES).max(1),
        most: decisions,
        taken: BTreeMap::new(),
        spare: Held::default(),
        turned_away: BTreeSet::new(),
    };
    for path in segments(journal)?.iter().rev() {
        let Some(segment) = first_record(path) else {
            continue;
        };
        let judged = look.judged_of(journal, segment, &mut report)?;
        for (seq, (who, line)) in judged.lines.into_iter().rev() {
            let taken = look.taken.entry(who.clone()).or_default();
            if *taken >= look.share {
                look.spare(seq, who, line);
                continue;
            }
            *taken += 1;
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
    // There are not as many others.
    for (_who, line) in look.spare.lines.into_values().rev() {
        if look.room == 0 || report.replayed >= wanted {
            break;
        }
        look.room = look.room.saturating_sub(line.len());
        candidate.judge(&line, &options, &mut report);
    }
    Ok(report)
}

/// How much may still be looked at, and what was seen behind it.
struct Look {
    room: usize,
    left: usize,
    /// Decisions of one, before those of others.
    share: usize,
    /// Decisions that are wanted.
    most: usize,
    taken: BTreeMap<Who, usize>,
    /// The newest beyond a share.
    spare: Held,
    /// Decisions, by their numbers, whose outcome stands in a segment that was read before.
    turned_away: BTreeSet<u64>,
}

/// Who has asked: a caller, or an address.
type Who = String;

/// Lines by their numbers.
#[derive(Default)]
struct Held {
    lines: BTreeMap<u64, (Who, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    fn insert(&mut self, seq: u64, who: Who, line: Vec<u8>) {
        self.bytes += line.len();
        if let Some((_, before)) = self.lines.insert(seq, (who, line)) {
            self.bytes -= before.len();
        }
    }

    fn remove(&mut self, seq: u64) -> Option<(Who, Vec<u8>)> {
        let removed = self.lines.remove(&seq);
        self.bytes -= removed.as_ref().map_or(0, |(_, line)| line.len());
        removed
    }

    /// Takes away the oldest, until the rest fits.
    fn fit(&mut self, most: usize, bytes: usize) {
        while self.lines.len() > most || self.bytes > bytes {
            let Some((_, (_, line))) = self.lines.pop_first() else {
                return;
            };
            self.bytes -= line.len();
        }
    }
}

impl Look {
    /// Keeps one that is beyond a share.
    fn spare(&mut self, seq: u64, who: Who, line: Vec<u8>) {
        self.spare.insert(seq, who, line);
        self.spare.fit(self.most, MOST_SPARE);
    }

    /// The newest decisions of policies in one segment, by their numbers: those that have an input and a verdict. What was
    /// refused before any policy, or is masked as a whole, says nothing about policies. What was allowed and turned away
    /// by Dynatrace for its credential anybody can send, as much as they like: it says nothing of those who may.
    fn judged_of(&mut self, journal: &Path, segment: u64, report: &mut Report) -> io::Result<Held> {
        let from = Place { segment, offset: 0 };
        let mut lines = Lines::from(journal, from).over_damage();
        let mut found = Held::default();
        let mut of: BTreeMap<Who, VecDeque<u64>> = BTreeMap::new();
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
                let removed = found
                    .remove(decision)
                    .or_else(|| self.spare.remove(decision));
                if removed.is_none() {
                    self.turned_away.insert(decision);
                }
            }
            if !(has(DECISION) && has(INPUT)) {
                continue;
            }
            let Ok(asked) = serde_json::from_slice::<Asked>(&line.bytes) else {
                report.damaged += 1;
                continue;
            };
            let seq = asked.seq;
            if self.turned_away.remove(&seq) {
                continue;
            }
            let who = asked.who();
            // Here already: many of one would else push out those of others that are older.
            let mine = of.entry(who.clone()).or_default();
            mine.push_back(seq);
            found.insert(seq, who, line.bytes);
            if mine.len() > self.share
                && let Some(oldest) = mine.pop_front()
                && let Some((who, line)) = found.remove(oldest)
            {
                self.spare(oldest, who, line);
            }
            found.fit(usize::MAX, self.room);
        }
        Ok(found)
    }
}

/// What of a decision says who has asked.
#[derive(Deserialize)]
struct Asked {
    seq: u64,
    #[serde(default)]
    verdict: Option<Verdict>,
    #[serde(default)]
    requested_by: String,
    #[serde(default)]
    caller: Caller,
    #[serde(default)]
    input: Seen,
}

/// What policies saw of who has asked: the record in short has no issuer of a certificate.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Seen {
    caller: SeenCaller,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SeenCaller {
    certificate: SeenCertificate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SeenCertificate {
    issuer: String,
}

impl Asked {
    /// Who has proven who it is, or was let in by Dynatrace, is known by that. Whoever was only denied can have invented all
    /// that it has shown, but for the address.
    fn who(&self) -> Who {
        let Caller {
            id,
            jwt,
            certificate,
            ..
        } = &self.caller;
        if !jwt.subject.is_empty() {
            return format!("jwt {} {}", jwt.issuer, jwt.subject);
        }
        if !certificate.fingerprint.is_empty() {
            let holder = Holder {
                spiffe_id: &certificate.spiffe_id,
                issuer: &self.input.caller.certificate.issuer,
                subject: &certificate.subject,
                fingerprint: &certificate.fingerprint,
            };
            return holder.to_string();
        }
        if self.verdict == Some(Verdict::Allow) && !id.is_empty() {
            return format!("token {id}");
        }
        match self.requested_by.parse() {
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
                // Whoever has one has a whole network.
                let [a, b, c, d, ..] = address.segments();
                format!("address {a:x}:{b:x}:{c:x}:{d:x}")
            }
            _ => format!("address {}", self.requested_by),
        }
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

const DECISION: &[u8] = b"\"kind\":\"decision\"";
const OUTCOME: &[u8] = b"\"kind\":\"outcome\"";
const INPUT: &[u8] = b"\"input\":{";
/// Of lines that are held at once.
const MOST_BYTES: usize = 64 << 20;
/// Of those beyond a share.
const MOST_SPARE: usize = 32 << 20;
/// Each who asks has one of so many, before others.
const SHARES: usize = 10;
/// Of records that are read.
const MOST_READ: usize = 1 << 30;
