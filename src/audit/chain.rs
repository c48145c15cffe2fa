//! The chain: every line carries its number, the SHA-256 of the line before it, and how far the journal was on
//! disk when it was written. Pure.
//!
//! That a record says `"synced":20` proves that record 20 was on disk, whatever is found in its place later:
//! so a start can tell the end that a crash tore from damage to what was acknowledged.

use std::borrow::Cow;
use std::io::Write;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::event::Record;
use crate::value::Sha256Hex;

/// The place after the last record: the number that comes next and the hash that it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub next: u64,
    pub hash: Sha256Hex,
}

/// A head as it was noted, written `SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedHead {
    pub seq: u64,
    pub hash: String,
}

impl FromStr for NotedHead {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write a head as audit verify prints it: SEQ:HASH";
        let (seq, hash) = text.split_once(':').ok_or(wanted)?;
        let hash: Sha256Hex = hash.parse().map_err(|()| wanted)?;
        Ok(Self {
            seq: seq.parse().map_err(|_invalid| wanted)?,
            hash: hash.as_str().to_owned(),
        })
    }
}

/// Why a line does not continue the chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    #[error("not a record: {0}")]
    Form(String),
    #[error("names {found} as the record before it, which is {expected}")]
    Previous { expected: String, found: String },
    #[error("has number {found} where {expected} comes next")]
    Sequence { expected: u64, found: u64 },
}

/// What has to be known of a record to follow the chain and to count. The rest is stepped over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link<'a> {
    pub(super) seq: Option<u64>,
    #[serde(borrow)]
    pub(super) prev: Cow<'a, str>,
    /// Absent from journals of the first dtgate.
    pub(super) synced: Option<u64>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) verdict: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) decision_id: Cow<'a, str>,
    pub(super) decision_seq: u64,
    /// What was found out about a decision in doubt.
    #[serde(borrow)]
    pub(super) found: Cow<'a, str>,
    /// What became of an allowed request.
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    /// Dynatrace's status, if it answered.
    pub(super) status: Option<u64>,
    /// How many requests a `suppressed` record stands for.
    pub(super) count: u64,
    pub(super) set_aside: Option<String>,
}

impl Head {
    /// Before the first record.
    pub fn origin() -> Self {
        Self {
            next: 1,
            hash: Sha256Hex::ZERO,
        }
    }

    /// Appends a record to `buffer` as the next line; the records up to `synced` are on disk.
    pub fn encode(&mut self, record: &Record, synced: u64, buffer: &mut Vec<u8>) -> u64 {
        let sequence = self.next;
        let start = buffer.len();
        let (prev, infallible) = (self.hash.as_str(), "writing to memory cannot fail");
        write!(
            buffer,
            "{OPENING}{sequence},\"prev\":\"{prev}\",\"synced\":{synced},"
        )
        .expect(infallible);
        // Without the event's own opening brace; the line has one already.
        buffer.extend_from_slice(record.as_json().get(1..).unwrap_or_default());
        self.hash = Sha256Hex::of(buffer.get(start..).unwrap_or_default());
        self.next += 1;
        buffer.push(b'\n');
        sequence
    }

    /// Checks that a line (without its newline) comes next, and steps over it.
    ///
    /// What the next line names was written so: the form of all members has to be checked ([`check_form`])
    /// only where no line follows, or nothing is to be taken on trust.
    pub(super) fn follow<'a>(&mut self, line: &'a [u8]) -> Result<Link<'a>, LinkError> {
        let found = Link::read(line)?;
        let (Some(sequence), false) = (found.seq, found.prev.is_empty()) else {
            return Err(LinkError::Form("it has no \"seq\" and \"prev\"".to_owned()));
        };
        if sequence != self.next {
            return Err(LinkError::Sequence {
                expected: self.next,
                found: sequence,
            });
        }
        if found.prev != self.hash.as_str() {
            return Err(LinkError::Previous {
                expected: self.hash.as_str().to_owned(),
                found: found.prev.into_owned(),
            });
        }
        self.hash = Sha256Hex::of(line);
        self.next += 1;
        Ok(found)
    }
}

impl<'a> Link<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, LinkError> {
        let text = std::str::from_utf8(line).map_err(|error| form(line, &error))?;
        let found = serde_json::from_str(text).map_err(|error| form(line, &error))?;
        // A list would be read by the places of its elements.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(LinkError::Form("it is no object".to_owned()));
        }
        Ok(found)
    }
}

/// The last record that was on disk for certain, by the word of whatever can still be read in `rest`.
///
/// A record's first members are enough, and it may stand anywhere: what was before it can have lost its newline.
/// One that says nothing about it was written by a dtgate that did not know more than that it came later.
pub(super) fn on_disk(rest: &[u8]) -> u64 {
    let opening = OPENING.as_bytes();
    let places = rest
        .windows(opening.len())
        .enumerate()
        .filter(|(_, window)| *window == opening);
    let said = places.filter_map(|(at, _)| {
        let line = rest.get(at..)?.split(|byte| *byte == b'\n').next()?;
        synced(line).or_else(|| {
            let record = Link::read(line).ok()?;
            let is_record = record.seq.is_some() && !record.prev.is_empty();
            is_record.then(|| record.synced.unwrap_or(u64::MAX))
        })
    });
    said.max().unwrap_or(0)
}

/// What the beginning of a record says, whatever became of the rest.
fn synced(line: &[u8]) -> Option<u64> {
    let beginning = line.get(..line.len().min(LONGEST_BEGINNING))?;
    let text = beginning.utf8_chunks().next()?.valid();
    let (number, rest) = text.strip_prefix(OPENING)?.split_once(",\"prev\":\"")?;
    let (prev, rest) = rest.split_once("\",\"synced\":")?;
    let (synced, _) = rest.split_once(',')?;
    let (_, _): (u64, Sha256Hex) = (number.parse().ok()?, prev.parse().ok()?);
    synced.parse().ok()
}

/// What every line begins with.
const OPENING: &str = "{\"seq\":";

/// Room for the members that stand first.
const LONGEST_BEGINNING: usize = 160;

/// Whether the line that follows another names it as it is: then it is not that one which was changed.
pub(super) fn confirms(next: &[u8], line: &[u8]) -> bool {
    Link::read(next).is_ok_and(|link| link.prev == Sha256Hex::of(line).as_str())
}

/// Checks that a line is JSON in every part.
pub(super) fn check_form(line: &[u8]) -> Result<(), LinkError> {
    serde_json::from_slice::<Value>(line)
        .map(drop)
        .map_err(|error| form(line, &error))
}

/// Why a line without its newline is no record.
pub(super) fn incomplete(line: &[u8]) -> LinkError {
    let mut reason = "the last line is incomplete".to_owned();
    if let Some(null) = null(line) {
        reason = format!("{reason} and holds {null}");
    }
    LinkError::Form(reason)
}

/// Why a line is no record. No JSON has a null byte, and a hole in a file has nothing else.
fn form(line: &[u8], error: &impl ToString) -> LinkError {
    let null = null(line).map(|null| format!("it holds {null}"));
    LinkError::Form(null.unwrap_or_else(|| error.to_string()))
}

fn null(line: &[u8]) -> Option<String> {
    match line.split(|byte| *byte == 0).count() - 1 {
        0 => None,
        1 => Some("a null byte".to_owned()),
        number => Some(format!("{number} null bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_encoded_can_be_followed_and_nothing_else() {
        let (mut writer, mut buffer) = (Head::origin(), Vec::new());
        for number in 0..3 {
            writer.encode(
                &Record::of(&json!({"kind": "x", "n": number}), 64),
                number,
                &mut buffer,
            );
        }
        let lines: Vec<&[u8]> = buffer
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        let mut reader = Head::origin();
        for line in &lines {
            reader.follow(line).unwrap();
        }
        assert_eq!(reader, writer);
        assert!(matches!(
            Head::origin().follow(lines[1]),
            Err(LinkError::Sequence { .. })
        ));
        let edited = String::from_utf8(lines[0].to_vec())
            .unwrap()
            .replace("\"n\":0", "\"n\":9");
        let mut reader = Head::origin();
        reader.follow(edited.as_bytes()).unwrap();
        assert!(matches!(
            reader.follow(lines[1]),
            Err(LinkError::Previous { .. })
        ));
    }

    #[test]
    fn what_was_on_disk_is_known_from_the_beginning_of_any_later_record() {
        let (mut head, mut buffer) = (Head::origin(), Vec::new());
        for synced in [0, 1, 1] {
            head.encode(&Record::of(&json!({"kind": "x"}), 64), synced, &mut buffer);
        }
        assert_eq!(on_disk(&buffer), 1);
        assert_eq!(on_disk(b""), 0);
        let second = buffer.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let head = |length: usize| &buffer[second..second + length];
        // Without its newline, behind what is no record, and cut off in the middle.
        for (rest, said) in [
            ([b"\0\0\0", head(120)].concat(), 1),
            ([b"x\n{\"seq\":", head(100)].concat(), 1),
            ([b"x", head(40)].concat(), 0),
            (b"{\"seq\":7,\"prev\":\"a\"}".to_vec(), u64::MAX),
            (b"{\"seq\":7,\"prev\":\"a".to_vec(), 0),
            (b"{\"seq\":7}\n".to_vec(), 0),
        ] {
            assert_eq!(on_disk(&rest), said, "{}", String::from_utf8_lossy(&rest));
        }
    }

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let hash = Sha256Hex::of(b"x");
        let head: NotedHead = format!("12:{}", hash.as_str()).parse().unwrap();
        assert_eq!((head.seq, head.hash.as_str()), (12, hash.as_str()));
        for wrong in ["12", "12:", "12:abc", "x:{}"] {
            wrong.parse::<NotedHead>().unwrap_err();
        }
    }
}
