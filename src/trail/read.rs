//! Decisions with their lines, some at a time.

use serde_json::Value;

use super::{Error, Source};
use crate::store::{Found, Lines};
use crate::value::counted;

/// Decisions that are found, and whose records are gone or cannot be read.
#[derive(Debug, Default)]
pub struct NotShown {
    first: Vec<String>,
    count: usize,
}

impl NotShown {
    pub fn add(&mut self, seq: u64) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("#{seq}"));
        }
    }

    pub fn extend(&mut self, more: Self) {
        self.count += more.count;
        let room = SHOWN.saturating_sub(self.first.len());
        self.first.extend(more.first.into_iter().take(room));
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What to tell whoever asked; `None`: all are shown.
    pub fn said(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let decisions = counted(self.count, "decision");
        let more = match self.count - self.first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let which = self.first.join(", ");
        Some(format!(
            "{decisions} cannot be shown, because the record is gone or cannot be read: {which}{more}. Run dtgate audit verify"
        ))
    }
}

/// Every decision with its lines, of which some are read at a time. `see` says whether it could be shown; those that could
/// not are given back.
pub fn each<E: From<Error>>(
    source: &Source,
    decisions: &[Found],
    mut see: impl FnMut(&Found, &Lines) -> Result<bool, E>,
) -> Result<NotShown, E> {
    let mut not_shown = NotShown::default();
    let mut rest = decisions;
    while !rest.is_empty() {
        let (some, behind) = rest.split_at(source.at_once(rest)?);
        for (found, lines) in some.iter().zip(source.lines(some)?) {
            if !see(found, &lines)? {
                not_shown.add(found.decided.seq);
            }
        }
        rest = behind;
    }
    Ok(not_shown)
}

/// A record that belongs to a decision.
pub fn record(line: Option<&Vec<u8>>) -> Option<Value> {
    line.and_then(|line| serde_json::from_slice(line).ok())
}

/// Decisions that are named.
const SHOWN: usize = 8;
