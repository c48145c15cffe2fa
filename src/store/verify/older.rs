//! Rows that another build has sent: what they lack of what this build tells of their lines.

use std::collections::BTreeSet;

use crate::audit::facts::{FORM, form_of_start};
use crate::store::StoreError;
use crate::store::ask::Asked;
use crate::store::column::column;
use crate::store::schema::{LONGEST_LINE, signed};

/// Which build has sent a row, as far as the chain says it. A gate sends what it writes, and what it finds unsent at its
/// start: behind a `start` of a build all rows are its own, or a later one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Sent {
    /// One that tells what this one tells.
    ByOurs,
    /// An earlier one, which may have told less.
    ByEarlier,
    /// No `start` before it is there any more. As if it were ours, which is the safe side.
    #[default]
    Unsaid,
}

impl Sent {
    /// The row may lack what earlier builds did not tell.
    pub(in crate::store) fn is_by_earlier(self) -> bool {
        self == Self::ByEarlier
    }

    /// Of the rows behind this record. An earlier build that was put back for a while changes nothing: its rows are told as
    /// changed, and can be sent again.
    pub(in crate::store) fn behind(self, line: &[u8]) -> Self {
        match form_of_start(line) {
            Some(form) if form >= u64::from(FORM) => Self::ByOurs,
            _ => self,
        }
    }

    /// What else is the reason where such a row is not as it should be.
    pub(in crate::store) fn or_older(self) -> &'static str {
        match self {
            Self::ByOurs => "",
            Self::ByEarlier => {
                ", or an earlier build has shipped it: ship it again (docs/store.md)"
            }
            Self::Unsaid => {
                ", or an earlier build has shipped it, which nothing says where the first records of a gate are gone: ship it \
                 again (docs/store.md)"
            }
        }
    }
}

/// The columns of which builds have told differently.
pub(super) const DIFFERENT: [&str; 4] = ["no_op", "outcome", "token", "words"];

impl Asked {
    /// By which build the first rows of a gate were sent: not by one with another form than that of the first `start` that
    /// is there. Only what is in the chain counts, which begins behind record `begins`.
    pub(super) fn sent_first(&self, gate: &str, begins: Option<u64>) -> Result<Sent, StoreError> {
        let behind = signed(begins.unwrap_or_default());
        let rows = self.rows(FIRST_START, &[&gate, &behind, &LONGEST_LINE])?;
        let line: Option<&str> = rows.first().map(|row| column(row, 0)).transpose()?;
        let form = line.and_then(|line| form_of_start(line.as_bytes()));
        Ok(match form {
            Some(form) if form < u64::from(FORM) => Sent::ByEarlier,
            _ => Sent::Unsaid,
        })
    }
}

const FIRST_START: &str = "
SELECT line FROM dtgate.record WHERE gate = $1 AND seq > $2 AND kind = 'start'
  AND octet_length(line) <= $3 ORDER BY seq, at LIMIT 1";

/// How many rows that are, and by which columns they are found by less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Older {
    pub rows: u64,
    /// The first and the last of these records.
    pub first: u64,
    pub last: u64,
    pub lacks: BTreeSet<&'static str>,
    /// The record that was counted last.
    counted: u64,
}

impl Older {
    /// The row of a record lacks something in a column. What it lacks in others at once is the same row.
    pub(in crate::store) fn add(&mut self, seq: u64, column: &'static str) {
        if !self.has(seq) {
            self.counted = seq;
            self.first = if self.rows == 0 {
                seq
            } else {
                self.first.min(seq)
            };
            self.last = self.last.max(seq);
            self.rows += 1;
        }
        self.more(column);
    }

    /// A row that is counted lacks something else, too.
    pub(in crate::store) fn more(&mut self, column: &'static str) {
        self.lacks.insert(column);
    }

    /// Whether it is the record that was counted last.
    pub(in crate::store) fn has(&self, seq: u64) -> bool {
        self.rows > 0 && self.counted == seq
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn from_the_first_start_of_this_form_on_all_is_ours() {
        let behind =
            |sent: Sent, record: serde_json::Value| sent.behind(record.to_string().as_bytes());
        for sent in [Sent::ByEarlier, Sent::Unsaid, Sent::ByOurs] {
            for form in [u64::from(FORM), u64::from(FORM) + 1, u64::MAX] {
                let start = json!({"kind": "start", "form": form});
                assert_eq!(behind(sent, start), Sent::ByOurs);
            }
            for other in [
                json!({"kind": "start"}),
                json!({"kind": "start", "form": FORM - 1}),
                json!({"kind": "start", "form": "1"}),
                json!({"kind": "stop", "form": FORM}),
                json!({"form": FORM}),
            ] {
                assert_eq!(behind(sent, other), sent);
            }
        }
    }
}
