//! Reads JSON that is known to be JSON as Go does: integers of any size, the last of two members of one name, and
//! U+FFFD for half a pair of surrogates.

use std::collections::BTreeMap;

use regorus::Value;

use crate::policy::builtins::numbers::parsed;

/// How deep lists and objects may nest.
const MOST_DEPTH: usize = 128;

/// `None`: it nests too deeply, or has a number that is too large, or too near to zero.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text };
    reader.value(MOST_DEPTH)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn skip(&mut self, letters: usize) {
        self.rest = self.rest.get(letters..).unwrap_or_default();
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn takes(&mut self, letter: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let inner = depth.checked_sub(1)?;
        self.space();
        for (word, value) in [
            ("null", Value::Null),
            ("true", true.into()),
            ("false", false.into()),
        ] {
            if self.rest.starts_with(word) {
                self.skip(word.len());
                return Some(value);
            }
        }
        if self.rest.starts_with('"') {
            return Some(self.text()?.into());
        }
        if self.takes('[') {
            let mut members = Vec::new();
            while !self.takes(']') {
                members.push(self.value(inner)?);
                self.takes(',');
            }
            return Some(members.into());
        }
        if self.takes('{') {
            let mut members = BTreeMap::new();
            while !self.takes('}') {
                self.space();
                let name = Value::from(self.text()?);
                self.takes(':');
                members.insert(name, self.value(inner)?);
                self.takes(',');
            }
            return Some(members.into());
        }
        let end = self
            .rest
            .find(|it: char| !it.is_ascii_alphanumeric() && !"+-.".contains(it));
        let number = self.rest.get(..end.unwrap_or(self.rest.len()))?;
        let value = parsed(number)?;
        self.skip(number.len());
        Some(value)
    }

    fn text(&mut self) -> Option<String> {
        self.skip(1);
        let mut text = String::new();
        loop {
            let (plain, _) = self.rest.split_at(self.rest.find(['"', '\\'])?);
            text.push_str(plain);
            self.skip(plain.len());
            if self.rest.starts_with('"') {
                self.skip(1);
                return Some(text);
            }
            let letter = self.rest.chars().nth(1)?;
            self.skip(2);
            text.push(match letter {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => self.escape()?,
                letter => letter,
            });
        }
    }

    /// What stands behind `\u`, and the second half of a pair if there is one.
    fn escape(&mut self) -> Option<char> {
        let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
        let first = unit(self.rest)?;
        self.skip(4);
        let second = self.rest.strip_prefix("\\u").and_then(unit);
        let pair = [first, second.unwrap_or_default()];
        match char::decode_utf16(pair).next()? {
            Ok(letter) => {
                self.skip(if letter.len_utf16() == 2 { 6 } else { 0 });
                Some(letter)
            }
            Err(_half) => Some(char::REPLACEMENT_CHARACTER),
        }
    }
}
