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
use crate::audit::{first_record, segments};
use crate::value::Sha256Hex;

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
    let Some(from) = grants.iter().map(|grant| grant.after.seq).min() else {
        return Ok(Vec::new());
    };
    let mut numbered = Numbered::from(journal, from)?;
    let mut search = Search {
        found: grants
            .iter()
            .map(|grant| before(grant, numbered.oldest))
            .collect(),
        places: HashMap::new(),
        grants,
    };
    for (at, grant) in grants.iter().enumerate() {
        search.places.insert(grant.id.to_string(), at);
    }
    let (mut read, mark) = (0, Finder::new(MARK));
    while let Some((number, line)) = numbered.next()? {
        read += line.len() as u64;
        if read > MOST_BYTES {
            search.give_up();
            break;
        }
        search.look(number, &line, &mark);
    }
    Ok(search.found)
}

struct Search<'a> {
    grants: &'a [&'a Grant],
    places: HashMap<String, usize>,
    found: Vec<Result<(), Flaw>>,
}

impl Search<'_> {
    fn look(&mut self, number: u64, line: &[u8], mark: &Finder<'_>) {
        for (grant, found) in self.grants.iter().zip(&mut self.found) {
            let is_it = grant.after.seq == number
                && matches!(found, Err(Flaw::OtherJournal(_)))
                && Sha256Hex::of(line).as_str() == grant.after.sha256;
            if is_it && is_of_its_decision(grant, line) {
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
            Err(_other) => (self.named_in(line), "nobody can read".to_owned()),
        };
        let at = id.and_then(|id| self.places.get(&id));
        if let Some(found) = at.and_then(|at| self.found.get_mut(*at)) {
            *found = Err(Flaw::Used(decision_id));
        }
    }

    fn named_in(&self, line: &[u8]) -> Option<String> {
        let mut ids = self.places.keys();
        let is_named = |id: &&String| memchr::memmem::find(line, id.as_bytes()).is_some();
        ids.find(is_named).cloned()
    }

    fn give_up(&mut self) {
        for found in &mut self.found {
            if !matches!(found, Err(Flaw::Used(_))) {
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
            let is_it = Sha256Hex::of(&line).as_str() == grant.after.sha256
                && is_of_its_decision(grant, &line);
            return Ok(is_it.then_some(line));
        }
    }
    Ok(None)
}

/// The lines of a journal with their numbers, from the segment on that has a record.
struct Numbered {
    lines: Lines,
    /// Of the line that was read last.
    number: u64,
    /// The first record that is there; none, where there is no journal.
    oldest: Option<u64>,
}

impl Numbered {
    fn from(journal: &Path, seq: u64) -> io::Result<Self> {
        let segments = segments(journal)?;
        let firsts = segments.iter().filter_map(|path| first_record(path));
        let oldest = firsts.clone().min();
        let place = Place {
            segment: firsts
                .filter(|first| *first <= seq)
                .max()
                .or(oldest)
                .unwrap_or(0),
            offset: 0,
        };
        Ok(Self {
            lines: Lines::from(journal, place),
            number: 0,
            oldest,
        })
    }

    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(line) = self.lines.next_line()? else {
            return Ok(None);
        };
        self.number = if line.place.offset == 0 {
            line.place.segment
        } else {
            self.number + 1
        };
        Ok(Some((self.number, line.bytes)))
    }
}

const MARK: &[u8] = b"\"grant\":{";

/// Of records that are looked through: a few hours of a very busy gate.
const MOST_BYTES: u64 = 4 << 30;
