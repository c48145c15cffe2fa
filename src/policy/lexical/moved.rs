//! A text with changes in it, and where its pieces stand in the file that it was made from.
//!
//! No line moves; columns do. What moved is told in the last line of the text itself, a comment: whoever has a span of
//! the engine has the text, and with it the place in the file. The entries are sorted and of one size, so that a place
//! is found without reading them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::policy::problem::Problem;

/// Changes by the place in the file.
#[derive(Default)]
pub(super) struct Changes {
    /// Behind what ends there, from the inside to the outside.
    closing: BTreeMap<usize, String>,
    /// Before what begins there, from the outside to the inside.
    opening: BTreeMap<usize, String>,
    replaced: BTreeMap<usize, (usize, String)>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.closing.is_empty() && self.opening.is_empty() && self.replaced.is_empty()
    }

    /// Around what is there already.
    pub(super) fn open(&mut self, start: usize, text: &str) {
        self.opening.entry(start).or_default().insert_str(0, text);
    }

    /// Around what is there already.
    pub(super) fn close(&mut self, end: usize, text: &str) {
        self.closing.entry(end).or_default().push_str(text);
    }

    /// The text in its place has as many lines.
    pub(super) fn replace(&mut self, start: usize, end: usize, text: String) {
        self.replaced.insert(start, (end, text));
    }

    /// The text with the changes, and what moved.
    pub(super) fn applied(&self, text: &str) -> String {
        let mut writer = Writer {
            out: String::with_capacity(text.len() * 2),
            line: 1,
            column: 1,
            in_file: 1,
            moved: String::new(),
            count: 0,
        };
        let places: BTreeSet<usize> = self
            .closing
            .keys()
            .chain(self.opening.keys())
            .chain(self.replaced.keys())
            .copied()
            .collect();
        let mut done = 0;
        for place in places {
            writer.copy(text.get(done..place).unwrap_or_default());
            done = done.max(place);
            let added = [self.closing.get(&place), self.opening.get(&place)];
            for added in added.into_iter().flatten() {
                writer.put(added, "");
            }
            if let Some((end, new)) = self.replaced.get(&place) {
                writer.put(new, text.get(place..*end).unwrap_or_default());
                done = *end;
            }
        }
        writer.copy(text.get(done..).unwrap_or_default());
        let Writer {
            mut out,
            moved,
            count,
            ..
        } = writer;
        if count > 0 {
            // `write!` on a text cannot fail.
            let _written = write!(out, "\n#{moved}{count:08x}{END}");
        }
        out
    }
}

/// A text with more behind it; what moved stays its last line.
pub(in crate::policy) fn appended(text: &str, more: &str) -> String {
    match text.rsplit_once('\n') {
        Some((before, last)) if last.ends_with(END) => format!("{before}{more}\n{last}"),
        _ => format!("{text}{more}"),
    }
}

/// What such a text ends with.
const END: &str = "#dtgate";

/// A line, a column of the text and the column of the file, and whether what follows is copied: `c` or `n`.
const ENTRY: usize = 8 * 3 + 1;

struct Writer {
    out: String,
    line: usize,
    column: usize,
    in_file: usize,
    moved: String,
    count: usize,
}

impl Writer {
    fn copy(&mut self, text: &str) {
        self.out.push_str(text);
        match text.rsplit_once('\n') {
            None => {
                let length = text.chars().count();
                self.column += length;
                self.in_file += length;
            }
            Some((before, last)) => {
                self.line += before.matches('\n').count() + 1;
                self.column = last.chars().count() + 1;
                self.in_file = self.column;
            }
        }
    }

    fn put(&mut self, new: &str, old: &str) {
        self.entry('n');
        self.out.push_str(new);
        let after = |column: usize, text: &str| match text.rsplit_once('\n') {
            None => column + text.chars().count(),
            Some((_, last)) => last.chars().count() + 1,
        };
        self.line += new.matches('\n').count();
        self.column = after(self.column, new);
        self.in_file = after(self.in_file, old);
        self.entry('c');
    }

    fn entry(&mut self, how: char) {
        let Self {
            line,
            column,
            in_file,
            ..
        } = self;
        // `write!` on a text cannot fail.
        let _written = write!(self.moved, "{line:08x}{column:08x}{in_file:08x}{how}");
        self.count += 1;
    }
}

/// The column in the file of a place in a text.
pub(in crate::policy) fn column(text: &str, line: usize, column: usize) -> usize {
    found(text, line, column).unwrap_or(column)
}

fn found(text: &str, line: usize, column: usize) -> Option<usize> {
    let text = text.strip_suffix(END)?;
    let (text, count) = text.split_at_checked(text.len().checked_sub(8)?)?;
    let count = usize::from_str_radix(count, 16).ok()?;
    let start = text.len().checked_sub(count.checked_mul(ENTRY)?)?;
    let entry = |number: usize| {
        let start = start + number * ENTRY;
        let entry = text.get(start..start + ENTRY)?;
        let number = |place: usize| usize::from_str_radix(entry.get(place..place + 8)?, 16).ok();
        Some(((number(0)?, number(8)?), number(16)?, entry.ends_with('c')))
    };
    // The last that begins at the place or before it.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if entry(middle)?.0 <= (line, column) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let ((of_line, begin), in_file, is_copied) = entry(low.checked_sub(1)?)?;
    let further = if is_copied {
        column.checked_sub(begin)?
    } else {
        0
    };
    (of_line == line).then_some(in_file + further)
}

/// A problem with a text, at its place in the file.
pub(in crate::policy) fn in_file(text: &str, mut problem: Problem) -> Problem {
    problem.column = column(text, problem.line, problem.column);
    problem
}
