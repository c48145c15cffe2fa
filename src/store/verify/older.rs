//! Rows that another build has sent: what they lack of what this build tells of their lines.

use std::collections::BTreeSet;

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
