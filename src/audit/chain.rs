//! The chain: every line carries its number and the SHA-256 of the line before it. Pure.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::value::sha256_hex;

/// The place after the last record: the number that comes next and the hash that it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub next: u64,
    pub hash: String,
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

impl Head {
    /// Before the first record.
    pub fn origin() -> Self {
        Self {
            next: 1,
            hash: "0".repeat(64),
        }
    }

    /// Appends an event to `buffer` as the next line.
    pub(super) fn encode(
        &mut self,
        event: &impl Serialize,
        buffer: &mut Vec<u8>,
    ) -> serde_json::Result<u64> {
        let sequence = self.next;
        let start = buffer.len();
        buffer.extend_from_slice(
            format!("{{\"seq\":{sequence},\"prev\":\"{}\",", self.hash).as_bytes(),
        );
        let brace = buffer.len();
        if let Err(error) = serde_json::to_writer(&mut *buffer, event) {
            buffer.truncate(start);
            return Err(error);
        }
        // The event's own opening brace; the line has one already.
        buffer.remove(brace);
        self.hash = sha256_hex(buffer.get(start..).unwrap_or_default());
        self.next += 1;
        buffer.push(b'\n');
        Ok(sequence)
    }

    /// Checks that a line (without its newline) comes next, and steps over it.
    pub fn follow(&mut self, line: &[u8]) -> Result<Value, LinkError> {
        let record: Value =
            serde_json::from_slice(line).map_err(|error| LinkError::Form(error.to_string()))?;
        let (Some(sequence), Some(previous)) = (
            record.get("seq").and_then(Value::as_u64),
            record.get("prev").and_then(Value::as_str),
        ) else {
            return Err(LinkError::Form("it has no \"seq\" and \"prev\"".to_owned()));
        };
        if sequence != self.next {
            return Err(LinkError::Sequence {
                expected: self.next,
                found: sequence,
            });
        }
        if previous != self.hash {
            return Err(LinkError::Previous {
                expected: self.hash.clone(),
                found: previous.to_owned(),
            });
        }
        self.hash = sha256_hex(line);
        self.next += 1;
        Ok(record)
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
            writer
                .encode(&json!({"kind": "x", "n": number}), &mut buffer)
                .unwrap();
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
