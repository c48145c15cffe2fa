//! Whether a grant was used: by the records behind the one that it names. Where a grant lies, how often and under which
//! name, and what the clock says, makes no difference.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::Value;

use super::facts::Facts;
use super::flaw::Flaw;
use super::text::{Allows, Grant};
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments, text_length};
use crate::value::{Sha256Hex, plain_words};

/// What has to be known of a record.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    decision_id: String,
    #[serde(default)]
    grant: Option<Used>,
}

#[derive(Deserialize)]
struct Used {
    id: String,
}

/// Of each grant, why it cannot be used; nothing, where the journal has nothing against it.
pub fn find(journal: &Path, grants: &[&Grant]) -> io::Result<Vec<Result<(), Flaw>>> {
    find_within(journal, grants, MOST_BYTES)
}

/// The same, in so many bytes of segments at the journal's end. What one grant needs and cannot be read takes no other one
/// with it: those that need later records alone are looked for behind it.
pub(super) fn find_within(
    journal: &Path,
    grants: &[&Grant],
    most: u64,
) -> io::Result<Vec<Result<(), Flaw>>> {
    let (firsts, reach) = reach(journal, most)?;
    let oldest = firsts.first().copied();
    let mut search = Search {
        found: grants.iter().map(|it| before(it, oldest)).collect(),
        places: HashMap::new(),
        grants,
    };
    for (at, grant) in grants.iter().enumerate() {
        let places = search.places.entry(grant.id.to_string());
        places.or_default().push(at);
    }
    search.give_up(|seq| reach.is_some_and(|reach| seq < reach));
    let pruned = oldest.unwrap_or(0);
    let mut from = search.first_from(pruned.max(reach.unwrap_or(0)));
    while let Some(seq) = from {
        let mut numbered = Numbered::from(journal, seq)?;
        let Err(error) = search.read(&mut numbered, most.saturating_mul(2)) else {
            break;
        };
        let unread = numbered.next;
        let behind = firsts.iter().copied().find(|first| *first > unread);
        search.fail(behind, &plain_words(&error.to_string()));
        from = behind.and_then(|behind| search.first_from(behind));
    }
    Ok(search.found)
}

/// The records that segments begin with, and the first of those that are read: where they have more than so many bytes.
fn reach(journal: &Path, most: u64) -> io::Result<(Vec<u64>, Option<u64>)> {
    let (mut firsts, mut reach, mut bytes) = (Vec::new(), None, 0_u64);
    for path in segments(journal)?.iter().rev() {
        let Some(first) = first_record(path) else {
            continue;
        };
        // What cannot be read is told when it is read.
        bytes = bytes.saturating_add(text_length(path).unwrap_or(0));
        if bytes > most && reach.is_none() {
            reach = Some(firsts.last().copied().unwrap_or(u64::MAX));
        }
        firsts.push(first);
    }
    firsts.reverse();
    Ok((firsts, reach))
}

struct Search<'a> {
    grants: &'a [&'a Grant],
    /// Of each id: one grant may be there several times.
    places: HashMap<String, Vec<usize>>,
    found: Vec<Result<(), Flaw>>,
}

impl Search<'_> {
    /// The first record from which on any grant has to be looked for, of those from a record on.
    fn first_from(&self, least: u64) -> Option<u64> {
        let seqs = self.grants.iter().map(|grant| grant.after.seq);
        seqs.filter(|seq| *seq >= least).min()
    }

    fn read(&mut self, numbered: &mut Numbered, most: u64) -> io::Result<()> {
        let (mut read, mark) = (0, Finder::new(MARK));
        while let Some((number, line)) = numbered.next()? {
            read += line.len() as u64;
            if read > most {
                // More was written meanwhile than is read.
                self.give_up(|_seq| true);
                break;
            }
            self.look(number, &line, &mark);
        }
        Ok(())
    }

    /// Nothing is known of those that need records before this one.
    fn fail(&mut self, behind: Option<u64>, reason: &str) {
        for (grant, found) in self.grants.iter().zip(&mut self.found) {
            let needs_it = behind.is_none_or(|behind| grant.after.seq < behind);
            let is_open = matches!(found, Ok(()) | Err(Flaw::OtherJournal(_)));
            if needs_it && is_open {
                *found = Err(Flaw::Journal(reason.to_owned()));
            }
        }
    }

    fn look(&mut self, number: u64, line: &[u8], mark: &Finder<'_>) {
        for (grant, found) in self.grants.iter().zip(&mut self.found) {
            let is_open = matches!(found, Err(Flaw::OtherJournal(_)));
            if grant.after.seq == number && is_open && names(grant, line) {
                *found = Ok(());
            }
        }
        // A client's text has its quotes escaped; its members may look like this, and are not at the top.
        if mark.find(line).is_none() {
            return;
        }
        let (id, decision_id) = match serde_json::from_slice::<Record>(line) {
            Ok(record) => (record.grant.map(|used| used.id), record.decision_id),
            // No dtgate wrote it: whatever it names was used.
            Err(_other) => (self.named_in(line), NOBODYS.to_owned()),
        };
        let places = id.and_then(|id| self.places.get(&id));
        for at in places.into_iter().flatten() {
            if let Some(found) = self.found.get_mut(*at) {
                *found = Err(Flaw::Used(decision_id.clone()));
            }
        }
    }

    fn named_in(&self, line: &[u8]) -> Option<String> {
        let mut ids = self.places.keys();
        let is_named = |id: &&String| memchr::memmem::find(line, id.as_bytes()).is_some();
        ids.find(is_named).cloned()
    }

    /// Leaves out those behind such a record.
    fn give_up(&mut self, is_too_far: impl Fn(u64) -> bool) {
        for (grant, found) in self.grants.iter().zip(&mut self.found) {
            let is_open = !matches!(found, Err(Flaw::Used(_) | Flaw::Pruned(_)));
            if is_open && is_too_far(grant.after.seq) {
                *found = Err(Flaw::TooFar);
            }
        }
    }
}

/// What is known of a grant before its record is found.
fn before(grant: &Grant, oldest: Option<u64>) -> Result<(), Flaw> {
    let seq = grant.after.seq;
    Err(match oldest {
        Some(oldest) if seq < oldest => Flaw::Pruned(seq),
        _ => Flaw::OtherJournal(seq),
    })
}

/// Whether this is the record that a grant names.
pub fn names(grant: &Grant, line: &[u8]) -> bool {
    Sha256Hex::of(line).as_str() == grant.after.sha256 && is_of_its_decision(grant, line)
}

/// The decision by which a grant was used, where this is its record.
pub fn used_by(grant: &Grant, line: &[u8]) -> Option<String> {
    let id = grant.id.to_string();
    match serde_json::from_slice::<Record>(line) {
        Ok(record) => {
            let is_it = record.grant.is_some_and(|used| used.id == id);
            is_it.then_some(record.decision_id)
        }
        Err(_other) => memchr::memmem::find(line, id.as_bytes()).map(|_| NOBODYS.to_owned()),
    }
}

/// A grant for one request names the record by which it was denied, and says what that says.
fn is_of_its_decision(grant: &Grant, line: &[u8]) -> bool {
    let Allows::Request(request) = &grant.allows else {
        return true;
    };
    let record: Value = serde_json::from_slice(line).unwrap_or_default();
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    text("decision_id") == Some(&*request.decision)
        && text("verdict") == Some("deny")
        && Facts::of(&record).as_ref() == Ok(&request.facts)
}

/// The record that a grant names, where this journal has it.
pub fn record(journal: &Path, grant: &Grant) -> io::Result<Option<Vec<u8>>> {
    let mut numbered = Numbered::from(journal, grant.after.seq)?;
    while let Some((number, line)) = numbered.next()? {
        if number == grant.after.seq {
            return Ok(names(grant, &line).then_some(line));
        }
    }
    Ok(None)
}

/// The lines of a journal with their numbers, from the segment on that has a record. That a segment is missing in between
/// is an error: what stood in it is not known.
struct Numbered {
    lines: Lines,
    /// Of the line that is read next.
    next: u64,
}

impl Numbered {
    fn from(journal: &Path, seq: u64) -> io::Result<Self> {
        let segments = segments(journal)?;
        let firsts = segments.iter().filter_map(|path| first_record(path));
        let oldest = firsts.clone().min();
        let segment = firsts.filter(|first| *first <= seq).max().or(oldest);
        let segment = segment.unwrap_or(0);
        let place = Place { segment, offset: 0 };
        Ok(Self {
            lines: Lines::from(journal, place),
            next: segment,
        })
    }

    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(line) = self.lines.next_line()? else {
            return Ok(None);
        };
        let Place { segment, offset } = line.place;
        if offset == 0 && segment != self.next {
            let next = self.next;
            return Err(io::Error::other(format!(
                "behind the records before {next} comes record {segment}"
            )));
        }
        self.next += 1;
        Ok(Some((self.next - 1, line.bytes)))
    }
}

/// Stands for the id of a decision whose record is no record.
const NOBODYS: &str = "nobody can read";

const MARK: &[u8] = b"\"grant\":{";

/// Of segments that are looked through, as they were written: a few hours of a very busy gate.
const MOST_BYTES: u64 = 4 << 30;
