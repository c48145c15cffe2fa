//! What a text says: as it stands, without its escapes, and where it is base64 or hexadecimal digits. Each byte of a
//! reading knows which bytes of the text it comes from.

use std::ops::Range;

/// Bytes, and where they stand in the text.
pub(super) struct Reading {
    bytes: Vec<u8>,
    /// For each byte its first and the end of its last; `None`: it is the text itself.
    origins: Option<Vec<(u32, u32)>>,
}

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            origins: None,
        }
    }

    fn empty(room: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(room),
            origins: Some(Vec::with_capacity(room)),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where these bytes stand in the text.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let (start, _) = self.place(range.start);
        let (_, end) = self.place(range.end.saturating_sub(1));
        start..end
    }

    fn place(&self, at: usize) -> (usize, usize) {
        match &self.origins {
            None => (at, at + 1),
            Some(origins) => {
                let (start, end) = origins.get(at).copied().unwrap_or_default();
                (start as usize, end as usize)
            }
        }
    }

    /// Adds a byte that comes from these of another reading.
    fn push(&mut self, byte: u8, from: &Self, range: Range<usize>) {
        let origin = from.origin(range);
        let short = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        self.bytes.push(byte);
        if let Some(origins) = &mut self.origins {
            origins.push((short(origin.start), short(origin.end)));
        }
    }

    /// The same with one layer of escapes taken off: `%2E`, `\u002e`, `\x2e`, `&#46;`, full-width letters; what is not
    /// seen at all is left out. `None`: there are none.
    pub(super) fn unescaped(&self) -> Option<Self> {
        let marks = |byte: &u8| matches!(byte, b'%' | b'\\' | b'&' | 0x80..);
        let first = self.bytes.iter().position(marks)?;
        let mut next = Self::empty(self.len());
        let mut at = 0;
        let mut changed = false;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let escape = if at < first { None } else { escape(rest) };
            changed |= escape.is_some();
            let (said, length) = escape.unwrap_or_else(|| (rest.first().copied(), 1));
            if let Some(byte) = said {
                next.push(byte, self, at..at + length);
            }
            at += length;
            // What begins no escape at the first of many backslashes, begins none at the others: each would count them
            // to the end.
            while escape.is_none() && said == Some(b'\\') && self.bytes.get(at) == Some(&b'\\') {
                next.push(b'\\', self, at..at + 1);
                at += 1;
            }
        }
        changed.then_some(next)
    }

    /// The same without blanks, where it has some, and letters of which every token has one.
    pub(super) fn joined(&self) -> Option<Self> {
        if !self.bytes.iter().any(u8::is_ascii_whitespace) || !self.has_a_mark() {
            return None;
        }
        let mut joined = Self::empty(self.len());
        for (at, byte) in self.bytes.iter().enumerate() {
            if !byte.is_ascii_whitespace() {
                joined.push(*byte, self, at..at + 1);
            }
        }
        Some(joined)
    }

    /// Whether it has a `d` and a zero, or an `eyJ`, blanks aside.
    fn has_a_mark(&self) -> bool {
        let mut last = [0; 3];
        self.bytes.iter().any(|byte| {
            if byte.is_ascii_whitespace() {
                return false;
            }
            let [_, second, third] = last;
            last = [second, third, byte.to_ascii_lowercase()];
            matches!(&last, b"dt0" | b"eyj")
        })
    }

    /// What its base64 and hexadecimal digits say, at every place where they may begin, as far as that is text.
    pub(super) fn decoded(&self) -> Vec<Self> {
        let mut stretches = Vec::new();
        for (bits, digit) in [(6, sextet as fn(u8) -> Option<u8>), (4, nibble)] {
            let mut run: Vec<(u8, usize)> = Vec::new();
            for (at, byte) in self.bytes.iter().enumerate() {
                if let Some(digit) = digit(*byte) {
                    run.push((digit, at));
                } else if !byte.is_ascii_whitespace() {
                    self.decode(&run, bits, &mut stretches);
                    run.clear();
                }
            }
            self.decode(&run, bits, &mut stretches);
        }
        stretches
    }

    /// Adds what a run of digits says, wherever it is text for long enough to hold something.
    fn decode(&self, run: &[(u8, usize)], bits: usize, stretches: &mut Vec<Self>) {
        if run.len() * bits < SHORTEST * 8 {
            return;
        }
        let phases = if bits == 6 { 4 } else { 2 };
        for phase in 0..phases {
            let digits = run.get(phase..).unwrap_or_default();
            let whole = digits.len() * bits / 8;
            let is_text = |number: &usize| {
                decoded(digits, bits, *number).is_some_and(|(byte, _)| is_text(byte))
            };
            let mut start = 0;
            while start + SHORTEST <= whole {
                // From its end, so that most of what is no text is never decoded.
                let mut first = start..start + SHORTEST;
                if let Some(number) = first.rfind(|number| !is_text(number)) {
                    start = number + 1;
                    continue;
                }
                let rest = start + SHORTEST..whole;
                let end = start + SHORTEST + rest.take_while(is_text).count();
                let mut stretch = Self::empty(end - start);
                for (byte, from) in (start..end).filter_map(|at| decoded(digits, bits, at)) {
                    stretch.push(byte, self, from);
                }
                stretches.push(stretch);
                start = end + 1;
            }
        }
    }
}

/// A byte of what digits say, and where its digits stand: it has a share in two of them.
fn decoded(digits: &[(u8, usize)], bits: usize, number: usize) -> Option<(u8, Range<usize>)> {
    let begin = number * 8;
    let (left, start) = digits.get(begin / bits)?;
    let (right, end) = digits.get(begin / bits + 1)?;
    let both = usize::from(*left) << bits | usize::from(*right);
    let byte = both >> (2 * bits - 8 - begin % bits) & 0xff;
    Some((u8::try_from(byte).ok()?, *start..end + 1))
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

/// Of both alphabets.
fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

fn nibble(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// An escape that bytes begin with: what it says (nothing that counts, where `None`), and how long it is.
fn escape(bytes: &[u8]) -> Option<(Option<u8>, usize)> {
    match bytes {
        [b'%', b'u' | b'U', digits @ ..] => number(digits, 16, 4..=4, 2),
        [b'%', digits @ ..] => number(digits, 16, 2..=2, 1),
        [b'\\', ..] => {
            // Escaped more than once.
            let slashes = bytes.iter().take_while(|byte| **byte == b'\\').count();
            match bytes.get(slashes..).unwrap_or_default() {
                [b'u' | b'U', b'{', digits @ ..] => {
                    let (said, length) = number(digits, 16, 1..=6, slashes + 2)?;
                    (bytes.get(length) == Some(&b'}')).then_some((said, length + 1))
                }
                [b'u', digits @ ..] => number(digits, 16, 4..=4, slashes + 1),
                [b'U', digits @ ..] => number(digits, 16, 8..=8, slashes + 1),
                [b'x', digits @ ..] => number(digits, 16, 2..=2, slashes + 1),
                _ => None,
            }
        }
        [b'&', b'#', b'x' | b'X', digits @ ..] => Some(ended(bytes, number(digits, 16, 1..=8, 3)?)),
        [b'&', b'#', digits @ ..] => Some(ended(bytes, number(digits, 10, 1..=8, 2)?)),
        [b'&', ..] => {
            let named = |(name, byte): &(&str, u8)| {
                let begins = bytes.get(..name.len())?;
                begins
                    .eq_ignore_ascii_case(name.as_bytes())
                    .then_some((Some(*byte), name.len()))
            };
            ENTITIES.iter().find_map(named)
        }
        [first, ..] if !first.is_ascii() => letter(bytes),
        _ => None,
    }
}

/// The longest number that follows, of a character, after so many bytes.
fn number(
    digits: &[u8],
    radix: u32,
    lengths: std::ops::RangeInclusive<usize>,
    before: usize,
) -> Option<(Option<u8>, usize)> {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let digits: Vec<u32> = digits
        .iter()
        .take(*lengths.end())
        .map_while(digit)
        .collect();
    if digits.len() < *lengths.start() {
        return None;
    }
    let code = digits
        .iter()
        .fold(0_u32, |code, digit| code.saturating_mul(radix) + digit);
    Some((plain(code), before + digits.len()))
}

/// With the semicolon that ends it, if it has one.
fn ended(bytes: &[u8], (said, length): (Option<u8>, usize)) -> (Option<u8>, usize) {
    let ends = bytes.get(length) == Some(&b';');
    (said, length + usize::from(ends))
}

/// A letter of more than one byte that is read as another, or not seen.
fn letter(bytes: &[u8]) -> Option<(Option<u8>, usize)> {
    let begin = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let valid = match std::str::from_utf8(begin) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(begin.get(..error.valid_up_to())?).ok()?,
    };
    let letter = valid.chars().next()?;
    let code = u32::from(letter);
    let seen = !matches!(
        code,
        0xad | 0x34f | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xffff | 0xe0000..=0xe0fff
    );
    let said = plain(code);
    (said.is_some() || !seen).then_some((said, letter.len_utf8()))
}

/// A character as ASCII.
fn plain(code: u32) -> Option<u8> {
    match code {
        0..=0x7f => u8::try_from(code).ok(),
        0xa0 | 0x2000..=0x200a | 0x202f | 0x3000 => Some(b' '),
        // An ideographic full stop; full-width letters.
        0x3002 | 0xff61 => Some(b'.'),
        0xff01..=0xff5e => u8::try_from(code - 0xff01 + 0x21).ok(),
        _ => None,
    }
}

/// Whether text can hold a secret at all, as it stands or encoded: all have a run of this many letters, digits, and
/// what those are encoded with. Most paths, methods and names of scopes have none.
pub(super) fn may_hold_a_secret(text: &[u8]) -> bool {
    let mut run = 0;
    text.iter().any(|byte| {
        let goes_on = match byte {
            b'-' | b'_' | b'+' | b'=' | b'%' | b'&' | b'#' | b';' | b'\\' | 0x80.. => true,
            byte => {
                byte.is_ascii_alphanumeric()
                    || byte.is_ascii_whitespace()
                    || byte.is_ascii_control()
            }
        };
        run = if goes_on { run + 1 } else { 0 };
        run >= SHORTEST
    })
}

const ENTITIES: [(&str, u8); 6] = [
    ("&period;", b'.'),
    ("&lowbar;", b'_'),
    ("&hyphen;", b'-'),
    ("&equals;", b'='),
    ("&percnt;", b'%'),
    ("&amp;", b'&'),
];

/// The shortest part of a secret that is looked for.
pub(super) const SHORTEST: usize = 12;
