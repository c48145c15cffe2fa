//! The chain: every line carries its number and the SHA-256 of the line before it. Pure.

use std::borrow::Cow;
use std::io::Write;

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
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) verdict: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) decision_id: Cow<'a, str>,
    pub(super) decision_seq: u64,
    /// How many requests a `suppressed` record stands for.
    pub(super) count: u64,
}

impl Head {
    /// Before the first record.
    pub fn origin() -> Self {
        Self {
            next: 1,
            hash: Sha256Hex::ZERO,
        }
    }

    /// Appends a record to `buffer` as the next line.
    pub fn encode(&mut self, record: &Record, buffer: &mut Vec<u8>) -> u64 {
        let sequence = self.next;
        let start = buffer.len();
        buffer.extend_from_slice(b"{\"seq\":");
        write!(buffer, "{sequence}").expect("writing to memory cannot fail");
        buffer.extend_from_slice(b",\"prev\":\"");
        buffer.extend_from_slice(self.hash.as_bytes());
        buffer.extend_from_slice(b"\",");
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
        let text = std::str::from_utf8(line).map_err(|error| LinkError::Form(error.to_string()))?;
        let found =
            serde_json::from_str(text).map_err(|error| LinkError::Form(error.to_string()))?;
        // A list would be read by the places of its elements.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(LinkError::Form("it is no object".to_owned()));
        }
        Ok(found)
    }
}

/// Checks that a line is JSON in every part.
pub(super) fn check_form(line: &[u8]) -> Result<(), LinkError> {
    serde_json::from_slice::<Value>(line)
        .map(drop)
        .map_err(|error| LinkError::Form(error.to_string()))
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
}
