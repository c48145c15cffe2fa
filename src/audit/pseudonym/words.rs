//! Values in texts: where they stand, and the text with pseudonyms in their place.
//!
//! It reads a text once, so that nothing is looked for in a pseudonym that was just put there.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::AhoCorasick;

/// The values of one record or line, with their pseudonyms. All of them are looked for at once: a caller may have very
/// many.
#[derive(Debug, Default)]
pub struct Values {
    known: Vec<Known>,
    /// Those that may stand within texts; `None`: there is none.
    within: Option<AhoCorasick>,
    /// Places in `known`, by the value.
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Known {
    /// In small letters, those of ASCII.
    value: String,
    name: String,
    /// It is the public id of the caller's own token.
    is_id: bool,
}

/// Collects values.
#[derive(Debug, Default)]
pub(super) struct Collected {
    known: Vec<Known>,
    places: HashMap<String, usize>,
}

impl Collected {
    /// Once each, whatever its case: the first spelling has the name.
    pub(super) fn add(&mut self, value: &str, is_id: bool, name: impl FnOnce() -> String) {
        let lower = value.to_ascii_lowercase();
        if value.is_empty() {
            return;
        }
        if let Some(known) = self
            .places
            .get(&lower)
            .and_then(|at| self.known.get_mut(*at))
        {
            known.is_id |= is_id;
            return;
        }
        self.places.insert(lower.clone(), self.known.len());
        self.known.push(Known {
            value: lower,
            name: name(),
            is_id,
        });
    }

    pub(super) fn values(self) -> Values {
        let is_within = self.known.iter().any(|known| !known.is_short());
        let patterns = self.known.iter().map(|known| {
            // A short one is never found within a text, and the others keep their places.
            if known.is_short() {
                NOWHERE
            } else {
                known.value.as_bytes()
            }
        });
        let within = is_within.then(|| {
            let built = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(patterns);
            built.expect("values of one record are far fewer and shorter than the limits")
        });
        Values {
            known: self.known,
            within,
            places: self.places,
        }
    }
}

impl Values {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A text with pseudonyms.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        let (kept, mark) = parts(text);
        let mut found = self.found(kept, !mark.is_empty());
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

    /// The id of a token, by which its history is asked for: it has a pseudonym where the caller used this very token.
    pub(super) fn id<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.whole(text).filter(|known| known.is_id) {
            Some(known) => Cow::Owned(known.name.clone()),
            None => Cow::Borrowed(text),
        }
    }

    fn whole(&self, text: &str) -> Option<&Known> {
        let place = self.places.get(&text.to_ascii_lowercase())?;
        self.known.get(*place)
    }

    /// Wherever a value stands on its own: a letter or digit at its end has none beside it. A short one is a word of
    /// every other sentence: it has to be the whole text.
    fn found<'a>(&'a self, text: &str, is_cut: bool) -> Vec<(Range<usize>, &'a str)> {
        let mut found = Vec::new();
        if let Some(known) = self.whole(text) {
            found.push((0..text.len(), &*known.name));
        }
        let Some(within) = &self.within else {
            return found;
        };
        let mut end = vec![0; self.known.len()];
        for one in within.find_overlapping_iter(text) {
            let place = one.pattern().as_usize();
            let (Some(known), Some(end)) = (self.known.get(place), end.get_mut(place)) else {
                continue;
            };
            if one.start() >= *end && known.is_alone(text, one.range()) {
                *end = one.end();
                found.push((one.range(), &*known.name));
            }
        }
        if is_cut {
            let lower = text.to_ascii_lowercase();
            let long = self.known.iter().filter(|known| !known.is_short());
            found.extend(long.filter_map(|known| {
                let at = begun(&lower, &known.value)?;
                let is_alone = known.begins_alone(text, at);
                is_alone.then(|| (at..text.len(), &*known.name))
            }));
        }
        found
    }
}

impl Known {
    fn is_short(&self) -> bool {
        self.value.chars().nth(SHORTEST - 1).is_none()
    }

    fn is_alone(&self, text: &str, at: Range<usize>) -> bool {
        let ends = self.value.ends_with(char::is_alphanumeric);
        let behind = text.get(at.end..).unwrap_or_default();
        self.begins_alone(text, at.start) && !(ends && behind.starts_with(char::is_alphanumeric))
    }

    fn begins_alone(&self, text: &str, at: usize) -> bool {
        let begins = self.value.starts_with(char::is_alphanumeric);
        !(begins && is_word_before(text, at))
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

/// What no text holds: texts are UTF-8.
const NOWHERE: &[u8] = b"\xff";
