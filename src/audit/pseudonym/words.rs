//! Values in texts: where they stand, and the text with pseudonyms in their place.
//!
//! It reads a text once, so that nothing is looked for in a pseudonym that was just put there.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

/// The values of one record or line, with their pseudonyms.
#[derive(Debug, Default)]
pub struct Values(Vec<Known>);

#[derive(Debug)]
struct Known {
    /// In small letters, those of ASCII.
    value: String,
    name: String,
    is_short: bool,
}

impl Values {
    /// Once each, whatever its case: the first spelling has the name.
    pub(super) fn add(&mut self, value: &str, name: impl FnOnce() -> String) {
        let lower = value.to_ascii_lowercase();
        if value.is_empty() || self.0.iter().any(|known| known.value == lower) {
            return;
        }
        self.0.push(Known {
            is_short: lower.chars().count() < SHORTEST,
            value: lower,
            name: name(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text with pseudonyms.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (kept, mark) = parts(text);
        let lower = kept.to_ascii_lowercase();
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for known in &self.0 {
            known.places(&lower, !mark.is_empty(), &mut found);
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|(at, _)| (at.start, Reverse(at.end)));
        let (mut out, mut end) = (String::new(), 0);
        for (at, name) in found {
            // One that stands within another, or is another's end: no piece of it may be left.
            if at.end <= end {
                continue;
            }
            out.push_str(kept.get(end..at.start).unwrap_or_default());
            out.push_str(name);
            end = at.end;
        }
        out.push_str(kept.get(end..).unwrap_or_default());
        out.push_str(mark);
        Cow::Owned(out)
    }
}

impl Known {
    /// Wherever the value stands on its own: a letter or digit at its end has none beside it. A short one is a word of
    /// every other sentence: it has to be the whole text.
    fn places<'a>(&'a self, text: &str, is_cut: bool, found: &mut Vec<(Range<usize>, &'a str)>) {
        let value = self.value.as_str();
        if self.is_short {
            if text == value {
                found.push((0..text.len(), &self.name));
            }
            return;
        }
        let begins = value.starts_with(char::is_alphanumeric);
        let ends = value.ends_with(char::is_alphanumeric);
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(value)) {
            let at = at + from;
            let end = at + value.len();
            let is_part = begins && is_word_before(text, at)
                || ends
                    && text
                        .get(end..)
                        .is_some_and(|behind| behind.starts_with(char::is_alphanumeric));
            if is_part {
                let first = value.chars().next();
                from = at + first.map_or(1, char::len_utf8);
            } else {
                found.push((at..end, &self.name));
                from = end;
            }
        }
        if is_cut && let Some(at) = begun(text, value) {
            let is_part = begins && is_word_before(text, at);
            if !is_part {
                found.push((at..text.len(), &self.name));
            }
        }
    }
}

/// Where the value begins that the text ends within, because it was cut there.
fn begun(text: &str, value: &str) -> Option<usize> {
    let pieces = value
        .char_indices()
        .map(|(at, _)| at)
        .filter(|at| *at >= SHORTEST);
    let mut pieces: Vec<&str> = pieces.filter_map(|at| value.get(..at)).collect();
    pieces.reverse();
    let piece = pieces.into_iter().find(|piece| text.ends_with(piece))?;
    Some(text.len() - piece.len())
}

/// Whether a letter or digit stands before this place that belongs to what begins here: not one of `%20` or `\n`.
fn is_word_before(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let bytes = before.as_bytes();
    let is_escape = match bytes {
        [.., b'%', one, other] => one.is_ascii_hexdigit() && other.is_ascii_hexdigit(),
        _ => false,
    } || matches!(bytes, [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f']);
    before.ends_with(char::is_alphanumeric) && !is_escape
}

/// What stands there of a text, and the mark that it was cut (`… (2048 bytes, hmac-sha256:…)`), whose words are ours.
fn parts(text: &str) -> (&str, &str) {
    let mark = text.rfind(MARK).filter(|at| {
        let end = text.get(at + MARK.len()..).unwrap_or_default();
        let parts = end
            .strip_suffix(')')
            .and_then(|end| end.split_once(" bytes, hmac-sha256:"));
        parts.is_some_and(|(length, name)| {
            length.bytes().all(|it| it.is_ascii_digit())
                && name.bytes().all(|it| it.is_ascii_hexdigit())
        })
    });
    mark.map_or((text, ""), |at| text.split_at(at))
}

const MARK: &str = "… (";

/// Characters that a value has at least to be looked for within texts.
const SHORTEST: usize = 3;
