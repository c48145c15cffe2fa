//! One reading of a client's text that stands for all that servers make of it.
//!
//! Some decode escapes once, some again and again; some fold case, and letters that look alike. Here everything is
//! undone in one pass, escapes inside escapes too, and for each character is kept how often it was encoded. Whoever
//! looks for something then asks: is it there, for somebody who stopped earlier too? The work is that of the bytes.

use thiserror::Error;

use super::fold::fold_char;

/// A text with everything undone.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// ASCII, in lower case; bytes that are no UTF-8; [`LETTER`] and [`OTHER`]. A `/` is one that all servers see,
    /// a `\` what some take for one, a `?` what ends a path for some.
    text: Vec<u8>,
    /// For each byte of the text.
    marks: Vec<Mark>,
    /// That of the next byte.
    gap: u8,
    /// It is encoded so often that it was not read to the end.
    too_deep: bool,
    strange: Option<Strange>,
}

/// What a byte was: how often it was encoded, and the same of something before it that cannot be seen. Two numbers and
/// not a type of its own: a text that is plain has nothing but zeros, and memory comes with them.
type Mark = [u8; 2];

/// Why a text can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Strange {
    #[error("it has a backslash")]
    Backslash,
    #[error("it has a control character")]
    Control,
    #[error("it has an encoded dot")]
    Dot,
    #[error("it has a segment of dots")]
    Dots,
    #[error("it has an encoded ? or #")]
    End,
    #[error("it has a % that begins no escape")]
    Escape,
    #[error("it has a character that is not ASCII")]
    NotAscii,
    #[error("it has an encoded semicolon")]
    Semicolon,
    #[error("it has an encoded slash")]
    Slash,
    #[error("it is encoded more than once")]
    Twice,
    #[error("it has an escape with %u")]
    Utf16,
}

/// What reading one head may still cost. A step is a character read, or a place in the catalogue looked at.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

/// Reading the head would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the head takes too much work to read: its path, its query or a header that names a path is too long, has too many parts, or is encoded too often"
)]
pub struct TooMuch;

/// A part of a path, between two of what some server takes for a slash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    whole: &'a [u8],
    marks: &'a [Mark],
    /// Up to a `;`.
    word: &'a [u8],
    /// Some servers see no end between the part before and this one.
    pub(super) joined: bool,
    /// The path ends here for some.
    pub(super) ends: bool,
    /// Some servers see more here.
    pub(super) unsure: bool,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: MOST }
    }
}

impl Work {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), TooMuch> {
        self.left = self.left.checked_sub(steps).ok_or(TooMuch)?;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> usize {
        MOST - self.left
    }
}

impl Reading {
    pub(super) fn of(text: &str, work: &mut Work) -> Result<Self, TooMuch> {
        // Most texts are plain to the end: nothing to undo.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(byte);
        let plain = text.bytes().take_while(|byte| plain(byte)).count();
        let (plain, rest) = text.split_at(plain);
        work.spend(plain.len())?;
        let mut reading = Self {
            text: plain.to_ascii_lowercase().into_bytes(),
            marks: vec![[0, 0]; plain.len()],
            ..Self::default()
        };
        for c in rest.chars() {
            reading.take(c, 0, work)?;
            if reading.too_deep {
                break;
            }
        }
        Ok(reading)
    }

    /// Whether it is encoded more often than any honest client does it. The rest is not read then.
    pub(super) fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    /// Why it can be read in more than one way, if it can, apart from dots.
    pub(super) fn strange(&self) -> Option<Strange> {
        self.strange
    }

    /// A character that was encoded so often.
    fn take(&mut self, c: char, depth: u8, work: &mut Work) -> Result<(), TooMuch> {
        self.notice(c, depth);
        let mut bytes = [0; MOST_FOLDED];
        let (mut count, mut steps) = (0_usize, 0_usize);
        fold_char(c, &mut |folded| {
            steps += 1;
            // Of letters that are not ASCII no word is made: one stands for all that come together.
            let last = count.checked_sub(1).and_then(|last| bytes.get(last));
            let other = |last: &u8| *last >= OTHER;
            if !folded.is_ascii() && !SLASHES.contains(&folded) && last.is_some_and(other) {
                return;
            }
            if let Some(place) = bytes.get_mut(count) {
                *place = byte(folded, depth == 0 && c.is_ascii());
                count += 1;
            }
        });
        work.spend(steps.max(1))?;
        for byte in bytes.iter().take(count) {
            self.push(*byte, depth);
            if byte.is_ascii_hexdigit() {
                self.unescape(work)?;
            }
        }
        if count == 0 {
            self.gap = self.gap.max(depth);
        }
        Ok(())
    }

    fn notice(&mut self, c: char, depth: u8) {
        let strange = match c {
            _ if depth > 1 => Strange::Twice,
            '\\' => Strange::Backslash,
            '.' if depth > 0 => Strange::Dot,
            '/' if depth > 0 => Strange::Slash,
            ';' if depth > 0 => Strange::Semicolon,
            '?' | '#' if depth > 0 => Strange::End,
            _ if c.is_control() => Strange::Control,
            _ if !c.is_ascii() => Strange::NotAscii,
            _ => return,
        };
        self.strange.get_or_insert(strange);
    }

    fn push(&mut self, byte: u8, depth: u8) {
        let gap = std::mem::take(&mut self.gap);
        self.text.push(byte);
        self.marks.push([depth, gap]);
    }

    /// Undoes the escape that the text ends in, if it does.
    fn unescape(&mut self, work: &mut Work) -> Result<(), TooMuch> {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        let (length, code) = match self.text.as_slice() {
            [.., b'%', high, low] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (3, high << 4 | low),
                _ => return Ok(()),
            },
            [.., b'%', b'u', a, b, c, d] => {
                let digits = [a, b, c, d].map(hex);
                let code = digits
                    .iter()
                    .try_fold(0, |code, digit| Some(code << 4 | (*digit)?));
                match code {
                    Some(code) => (6, code),
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        // Half of a pair of UTF-16 is no character.
        let Some(c) = char::from_u32(code) else {
            return Ok(());
        };
        let depth = self.cut(length) + 1;
        if depth > MAX_DEPTH {
            self.too_deep = true;
            return Ok(());
        }
        if length > 3 {
            self.strange.get_or_insert(Strange::Utf16);
        }
        if length == 3 && code >= 0x80 {
            self.notice(c, depth);
            return self.take_byte(u8::try_from(code).unwrap_or(OTHER), depth, work);
        }
        self.take(c, depth, work)
    }

    /// Takes off the last bytes, and tells how often they were encoded at most: what cannot be seen within them had to
    /// go first, what stands before them not.
    fn cut(&mut self, length: usize) -> u8 {
        let from = self.text.len().saturating_sub(length);
        self.text.truncate(from);
        let mut cut = self.marks.drain(from..);
        let Some([first, gap]) = cut.next() else {
            return 0;
        };
        self.gap = gap;
        cut.fold(first, |most, [depth, gap]| most.max(depth).max(gap))
    }

    /// A byte that is part of a character, as it should be.
    fn take_byte(&mut self, byte: u8, depth: u8, work: &mut Work) -> Result<(), TooMuch> {
        work.spend(1)?;
        self.push(byte.min(OTHER), depth);
        for length in 2..=4 {
            let from = self.text.len().saturating_sub(length);
            let character = self.text.get(from..).and_then(character);
            if let Some(c) = character {
                let depth = self.cut(length);
                return self.take(c, depth, work);
            }
        }
        Ok(())
    }

    /// Whether any part of it does, or two that stand together.
    pub(super) fn mentions_tokens(&self) -> bool {
        mention_tokens(&self.text)
    }

    /// The parts of a path.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::with_capacity(USUAL_PARTS);
        let (mut from, mut joined) = (0, false);
        let ends = self.text.iter().enumerate();
        let ends = ends.filter(|(_, byte)| matches!(byte, b'/' | b'\\' | b'?'));
        let ends = ends.map(|(at, byte)| (at, *byte));
        let end = (self.text.len(), b'/');
        for (at, byte) in ends.chain(std::iter::once(end)) {
            let whole = self.text.get(from..at).unwrap_or_default();
            let marks = self.marks.get(from..at).unwrap_or_default();
            let gap = self.marks.get(at).map_or(self.gap, |[_, gap]| *gap);
            parts.push(Part {
                whole,
                marks,
                word: whole.split(|byte| *byte == b';').next().unwrap_or_default(),
                joined,
                ends: byte == b'?',
                unsure: joined || byte != b'/' || gap > 0 || marks.iter().copied().any(is_encoded),
            });
            from = at + 1;
            joined = byte != b'/';
        }
        parts
    }

    /// The names of a query's parameters, wherever somebody could see one begin.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        // A second `?` is part of a value to most readers, and begins anew for some.
        let pairs = self.text.split(|byte| matches!(byte, b'&' | b';' | b'?'));
        pairs.filter_map(|pair| pair.split(|byte| *byte == b'=').next())
    }
}

/// Whether somebody who decodes less sees something else here.
fn is_encoded(mark: Mark) -> bool {
    mark != [0, 0]
}

impl Part<'_> {
    /// Empty, or a dot: no segment to most.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.word, b"" | b".")
    }

    pub(super) fn is_up(&self) -> bool {
        self.word == b".."
    }

    pub(super) fn is_dots(&self) -> bool {
        matches!(self.word, b"." | b"..")
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.word == word.as_bytes()
    }

    /// `tokens`, and `tokens.json`, `tokens:verb`, `tokens,x`, and what was one before the last decoding.
    pub(super) fn is_word(&self, word: &str) -> bool {
        // Nearly every pair differs at once.
        if self.word.first() != word.as_bytes().first() {
            return false;
        }
        self.word.strip_prefix(word.as_bytes()).is_some_and(|rest| {
            let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != LETTER;
            let encoded = || self.marks.get(word.len()).copied().is_some_and(is_encoded);
            rest.first().is_none_or(|next| ends(next) || encoded())
        })
    }

    /// `v1`, `v2`, `v1.0`.
    pub(super) fn is_version(&self) -> bool {
        matches!(self.word, [b'v', digit, ..] if digit.is_ascii_digit())
    }

    /// `tokens`, `platform-tokens`, `accessTokens`: a collection of them, and no name that somebody gave.
    pub(super) fn is_plural_of_tokens(&self) -> bool {
        let letters = |byte: &u8| byte.is_ascii_alphabetic() || b"-_".contains(byte);
        self.word.ends_with(b"tokens") && self.word.iter().all(letters)
    }

    pub(super) fn mentions_tokens(&self) -> bool {
        mention_tokens(self.whole)
    }
}

/// Whether the word is there that all words have which are about tokens.
fn mention_tokens(text: &[u8]) -> bool {
    text.windows(5).any(|letters| letters == b"token")
}

/// What stands for a folded character; `raw`: it is there as it is, for all servers.
fn byte(c: char, raw: bool) -> u8 {
    match c {
        '/' if raw => b'/',
        '/' | '\\' => b'\\',
        '?' | '#' => b'?',
        _ if SLASHES.contains(&c) => b'\\',
        _ => match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() => byte,
            _ if c.is_alphanumeric() => LETTER,
            _ => OTHER,
        },
    }
}

/// What bytes of UTF-8 say, to a careless reader too: `C0 AF`, `E0 80 AF` and `F0 80 80 AF` are slashes.
fn character(bytes: &[u8]) -> Option<char> {
    let ascii = |high: u8, low: u8| char::from(((high & 1) << 6) | (low & 0x3F));
    match bytes {
        [lead @ 0xC0..=0xC1, low @ 0x80..=0xBF] => Some(ascii(*lead, *low)),
        [0xE0, high @ 0x80..=0x81, low @ 0x80..=0xBF]
        | [0xF0, 0x80, high @ 0x80..=0x81, low @ 0x80..=0xBF] => Some(ascii(*high, *low)),
        [0xC2..=0xF4, ..] => {
            let mut characters = std::str::from_utf8(bytes).ok()?.chars();
            let first = characters.next();
            first.filter(|_| characters.next().is_none())
        }
        _ => None,
    }
}

/// What is no slash, and some take for one.
const SLASHES: [char; 3] = ['\u{2044}', '\u{2215}', '\u{29f8}'];

/// A letter or digit that is not ASCII; no byte of UTF-8.
const LETTER: u8 = 0xFF;

/// Any other character that is not ASCII.
const OTHER: u8 = 0xFE;

/// Parts that a path has at most, most of the time.
const USUAL_PARTS: usize = 8;

/// Honest clients encode once, and those that mean well twice.
const MAX_DEPTH: u8 = 3;

/// What one character is folded to at most.
const MOST_FOLDED: usize = 18;

/// Steps to read one head. An honest one takes a few hundred.
const MOST: usize = 128 * 1024;

#[cfg(test)]
mod tests;
