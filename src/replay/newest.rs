//! The newest decisions of a journal, without reading all of it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::compare::{Asker, Candidate};
use super::record::{Caller, Certificate, Jwt};
use super::{Options, Report, Wanted};
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments};
use crate::dynatrace::token::is_hashed;
use crate::policy::Policy;
use crate::value::Holder;

/// Judges the newest decisions of a journal again, so many at most: those that a policy has judged before, and that
/// Dynatrace did not turn away: for their credential, or with another 4xx where whoever asked has proven nothing. On this
/// thread: it is for a gate that serves meanwhile.
///
/// Of one caller, or one address of those who have proven nothing, there is no more than a tenth, as long as there are
/// others: nobody fills the place of all by asking again and again. A token proves something only where an outcome says
/// that Dynatrace has done what was asked: any other id can have been invented. Who shows OAuth access tokens counts by its
/// address as well: each token is another, and one client gets as many as it likes. The same holds for what the look costs: of
/// the 64 MiB that are held of one segment, and of the 1 GiB of records after which the look ends, each caller fills a
/// tenth at most, and all together who were turned away. Where a bound ended the look all the same, the report says so.
///
/// Also compared is what becomes of them from `now` on, by the candidate and by what is `in_force`.
pub fn newest(
    journal: &Path,
    candidate: &Policy,
    in_force: Option<&Policy>,
    now: Timestamp,
    decisions: usize,
) -> io::Result<Report> {
    newest_within(MOST, journal, candidate, in_force, now, decisions)
}

/// What a look may cost, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Most {
    /// Of lines that are held at once.
    pub(super) held: usize,
    /// Of those beyond a share.
    pub(super) spare: usize,
    /// Of records that are read: of one no more than its part counts.
    pub(super) read: usize,
    /// And whoever they are of.
    pub(super) read_at_all: usize,
    /// Outcomes that are held at once; of those beyond, the decisions count for their addresses.
    pub(super) answers: usize,
}

pub(super) fn newest_within(
    most: Most,
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
        most,
        counted: 0,
        read: BTreeMap::new(),
        share: (decisions / SHARES).max(1),
        wanted: decisions,
        taken: BTreeMap::new(),
        spare: Held::default(),
        answers: BTreeMap::new(),
    };
    let segments = segments(journal)?;
    for path in segments.iter().rev() {
        let Some(segment) = first_record(path) else {
            continue;
        };
        let judged = look.judged_of(journal, segment, &mut report)?;
        for (seq, (who, line)) in judged.lines.into_iter().rev() {
            let taken = look.taken.entry(who.clone()).or_default();
            if *taken >= look.share {
                if look.spare(seq, who, line) {
                    report.ended_by = Some(Bound::Held);
                }
                continue;
            }
            *taken += 1;
            candidate.judge_of(asker(&who), &line, &options, &mut report);
            if report.replayed >= wanted {
                report.ended_by = None;
                return Ok(report);
            }
        }
        let has_read_all = look.read.values().sum::<usize>() >= most.read_at_all;
        if (look.counted >= most.read || has_read_all) && segments.first() != Some(path) {
            report.ended_by = Some(Bound::Read);
            break;
        }
    }
    // There are not as many others.
    for (who, line) in look.spare.lines.into_values().rev() {
        if report.replayed >= wanted {
            report.ended_by = None;
            return Ok(report);
        }
        candidate.judge_of(asker(&who), &line, &options, &mut report);
    }
    Ok(report)
}

/// What ended a look at the newest decisions before there were enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// As many records were read as are read at most.
    Read,
    /// Decisions were too large to be held.
    Held,
}

/// How much may still be looked at, and what was seen behind it.
struct Look {
    most: Most,
    /// Bytes of records that were read, of each no more than its part.
    counted: usize,
    /// What was read of each, in bytes: the rest of a journal has one part together.
    read: BTreeMap<Who, usize>,
    /// Decisions of one, before those of others.
    share: usize,
    /// Decisions that are wanted.
    wanted: usize,
    taken: BTreeMap<Who, usize>,
    /// The newest beyond a share.
    spare: Held,
    /// What outcomes say of decisions, by their numbers, that are not read yet.
    answers: BTreeMap<u64, Answer>,
}

/// What an outcome says of the credential that a request had.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Answer {
    /// Dynatrace has done what was asked: it knows the token.
    LetIn,
    /// It was turned away for its credential.
    TurnedAway,
    /// It was turned away for something else, perhaps before anybody looked at its credential.
    Refused,
}

/// Who has asked: a caller, or an address.
type Who = String;

/// Who counts by the address is told by it.
fn asker(who: &Who) -> Asker {
    if who.starts_with(ADDRESS) {
        Asker::ByAddress
    } else {
        Asker::AsTold
    }
}

/// Lines by their numbers.
#[derive(Default)]
struct Held {
    lines: BTreeMap<u64, (Who, Vec<u8>)>,
    bytes: usize,
}

/// What is held of one in a segment: numbers, and their bytes.
#[derive(Default)]
struct Mine {
    numbers: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Mine {
    fn push(&mut self, number: u64, bytes: usize) {
        self.numbers.push_back((number, bytes));
        self.bytes += bytes;
    }

    /// The oldest, where there are more than its share; the newest stays.
    fn beyond(&mut self, share: usize, bytes: usize) -> Option<u64> {
        let is_beyond = self.numbers.len() > share || self.bytes > bytes;
        if !is_beyond || self.numbers.len() < 2 {
            return None;
        }
        let (number, bytes) = self.numbers.pop_front()?;
        self.bytes -= bytes;
        Some(number)
    }
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

    /// Takes away the oldest, until the rest fits. Whether any were for their size.
    fn fit(&mut self, most: usize, bytes: usize) -> bool {
        let mut is_any = false;
        while self.lines.len() > most || self.bytes > bytes {
            is_any |= self.lines.len() <= most;
            let Some((_, (_, line))) = self.lines.pop_first() else {
                break;
            };
            self.bytes -= line.len();
        }
        is_any
    }
}

impl Look {
    /// Keeps one that is beyond a share.
    fn spare(&mut self, seq: u64, who: Who, line: Vec<u8>) -> bool {
        self.spare.insert(seq, who, line);
        self.spare.fit(self.wanted, self.most.spare)
    }

    /// Counts what was read of one, as far as it has not filled its part already.
    fn has_read(&mut self, who: &str, bytes: usize) {
        let part = self.most.read / SHARES;
        let before = self.read.get(who).copied().unwrap_or_default();
        let now = before.saturating_add(bytes);
        self.counted += now.min(part) - before.min(part);
        match self.read.get_mut(who) {
            Some(read) => *read = now,
            None => drop(self.read.insert(who.to_owned(), now)),
        }
    }

    /// What Dynatrace has said to whom, by the outcomes in one segment. First of all: anybody can show the id of somebody
    /// else's credential, and would take the places of that caller's decisions.
    fn see_outcomes(&mut self, journal: &Path, segment: u64) -> io::Result<()> {
        let from = Place { segment, offset: 0 };
        let mut lines = Lines::from(journal, from).over_damage();
        while let Some(line) = lines.next_line()?
            && line.place.segment == segment
        {
            if memmem::find(&line.bytes, OUTCOME).is_some()
                && let Some((decision, answer)) = answer(&line.bytes)
            {
                self.answers.insert(decision, answer);
                if self.answers.len() > self.most.answers {
                    self.answers.pop_first();
                }
            }
        }
        Ok(())
    }

    /// The newest decisions of policies in one segment, by their numbers: those that have an input and a verdict. What was
    /// refused before any policy, or is masked as a whole, says nothing about policies. What was allowed and turned away
    /// by Dynatrace for its credential anybody can send, as much as they like: it says nothing of those who may. The same
    /// holds of any other 4xx, where who asked has proven nothing.
    fn judged_of(&mut self, journal: &Path, segment: u64, report: &mut Report) -> io::Result<Held> {
        self.see_outcomes(journal, segment)?;
        let from = Place { segment, offset: 0 };
        let mut lines = Lines::from(journal, from).over_damage();
        let mut found = Held::default();
        let mut of: BTreeMap<Who, Mine> = BTreeMap::new();
        let mut is_cut = false;
        while let Some(line) = lines.next_line()?
            && line.place.segment == segment
        {
            // In a text of somebody else, the quotation marks would have backslashes.
            let has = |member: &[u8]| memmem::find(&line.bytes, member).is_some();
            if !(has(DECISION) && has(INPUT)) {
                self.has_read(OTHERS, line.bytes.len());
                continue;
            }
            let Some(asked) = Asked::of(&line.bytes) else {
                report.damaged += 1;
                self.has_read(OTHERS, line.bytes.len());
                continue;
            };
            let seq = asked.seq;
            let answer = self.answers.remove(&seq);
            let who = asked.who(answer == Some(Answer::LetIn));
            // Of who has proven nothing, what Dynatrace did not do takes nothing from anybody when it is denied.
            let is_nobodys = answer == Some(Answer::Refused) && who.starts_with(ADDRESS);
            if answer == Some(Answer::TurnedAway) || is_nobodys {
                report.turned_away += 1;
                self.has_read(OTHERS, line.bytes.len());
                continue;
            }
            self.has_read(&who, line.bytes.len());
            // Here already: many of one would else push out those of others that are older.
            let mine = of.entry(who.clone()).or_default();
            mine.push(seq, line.bytes.len());
            found.insert(seq, who, line.bytes);
            while let Some(oldest) = mine.beyond(self.share, self.most.held / SHARES) {
                if let Some((who, line)) = found.remove(oldest) {
                    is_cut |= self.spare(oldest, who, line);
                }
            }
            is_cut |= found.fit(usize::MAX, self.most.held);
        }
        // All other outcomes are of what stands before.
        drop(self.answers.split_off(&segment));
        if is_cut {
            report.ended_by = Some(Bound::Held);
        }
        Ok(found)
    }
}

/// What of a decision says who has asked.
#[derive(Deserialize)]
struct Asked {
    seq: u64,
    #[serde(default)]
    requested_by: String,
    #[serde(default)]
    caller: Caller,
    #[serde(default)]
    input: Seen,
}

/// What policies saw of who has asked: the record in short has no issuer of a certificate, nor its other names.
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
    dns: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    addresses: Vec<String>,
}

impl Asked {
    /// Of a line. Masks may have put whatever they like in the place of a member, or of all around it.
    fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line)
            .ok()
            .or_else(|| Self::of_masked(line))
    }

    fn of_masked(line: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let text = |place: &str| {
            let text = value.pointer(place).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let texts = |name: &str| {
            let list = value.pointer(&format!("/input/caller/certificate/{name}"));
            let list = list.and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let certificate = SeenCertificate {
            issuer: text("/input/caller/certificate/issuer"),
            dns: texts("dns"),
            uris: texts("uris"),
            emails: texts("emails"),
            addresses: texts("addresses"),
        };
        Some(Self {
            seq: value.get("seq")?.as_u64()?,
            requested_by: text("/requested_by"),
            caller: Caller {
                id: text("/caller/id"),
                teams: Vec::new(),
                jwt: Jwt {
                    issuer: text("/caller/jwt/issuer"),
                    subject: text("/caller/jwt/subject"),
                },
                certificate: Certificate {
                    subject: text("/caller/certificate/subject"),
                    spiffe_id: text("/caller/certificate/spiffe_id"),
                    fingerprint: text("/caller/certificate/fingerprint"),
                },
            },
            input: Seen {
                caller: SeenCaller { certificate },
            },
        })
    }

    /// Who has proven who it is, or `is_let_in` by Dynatrace, is known by that. All others can have invented all that they
    /// have shown, but for the address.
    fn who(&self, is_let_in: bool) -> Who {
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
            let seen = &self.input.caller.certificate;
            let holder = Holder {
                spiffe_id: &certificate.spiffe_id,
                issuer: &seen.issuer,
                subject: &certificate.subject,
                names: [&seen.dns, &seen.uris, &seen.emails, &seen.addresses],
                fingerprint: &certificate.fingerprint,
            };
            return holder.to_string();
        }
        // Of an OAuth access token there is no more than its hash, and one client gets as many as it likes.
        if is_let_in && !id.is_empty() && !is_hashed(id) {
            return format!("token {id}");
        }
        match self.requested_by.parse() {
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
                // Whoever has one has a whole network, and many have the 65,536 of a site.
                let [a, b, c, ..] = address.segments();
                format!("{ADDRESS}{a:x}:{b:x}:{c:x}")
            }
            _ => format!("{ADDRESS}{}", self.requested_by),
        }
    }
}

/// The number of a decision, and what an outcome says of the credential, where it says something of it: no answer, an
/// error and a redirect can come before anybody has looked at a token. So can what is not found or wrong, but then nothing
/// was done.
fn answer(line: &[u8]) -> Option<(u64, Answer)> {
    #[derive(Deserialize)]
    struct Said {
        decision_seq: u64,
        outcome: String,
        status: Option<u16>,
    }
    let Said {
        decision_seq,
        outcome,
        status,
    } = serde_json::from_slice(line).ok()?;
    let answer = match status {
        Some(200..=299) if outcome == "answered" => Answer::LetIn,
        Some(401 | 403) => Answer::TurnedAway,
        Some(400..=499) if outcome == "answered" => Answer::Refused,
        _ => return None,
    };
    Some((decision_seq, answer))
}

/// What the name of who has proven nothing begins with.
const ADDRESS: &str = "address ";
const DECISION: &[u8] = b"\"kind\":\"decision\"";
const OUTCOME: &[u8] = b"\"kind\":\"outcome\"";
const INPUT: &[u8] = b"\"input\":{";
/// Who has asked for what no policy has judged: nobody.
const OTHERS: &str = "";
const MOST: Most = Most {
    held: 64 << 20,
    spare: 32 << 20,
    read: 1 << 30,
    read_at_all: 8 << 30,
    answers: 1 << 20,
};
/// Each who asks has one of so many, before others.
const SHARES: usize = 10;
