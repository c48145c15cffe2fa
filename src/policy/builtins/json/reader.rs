//! Reads JSON that is known to be JSON as Go does: integers of any size, the last of two members of one name, and
//! U+FFFD for half a pair of surrogates.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use regorus::Value;

use crate::policy::builtins::numbers::parsed;

/// How deep lists and objects may nest.
const MOST_DEPTH: usize = 128;

/// What is made of JSON.
pub(in crate::policy) trait Made: Sized {
    /// `true`, `false`, or nothing for `null`.
    fn word(word: Option<bool>) -> Self;
    /// `None`: it is too large, or too near to zero.
    fn number(text: &str) -> Option<Self>;
    fn text(text: String) -> Self;
    fn list(members: Vec<Self>) -> Self;
    fn object(members: BTreeMap<String, Self>) -> Self;
}

impl Made for Value {
    fn word(word: Option<bool>) -> Self {
        word.map_or(Self::Null, Self::from)
    }

    fn number(text: &str) -> Option<Self> {
        parsed(text)
    }

    fn text(text: String) -> Self {
        text.into()
    }

    fn list(members: Vec<Self>) -> Self {
        members.into()
    }

    fn object(members: BTreeMap<String, Self>) -> Self {
        let members = members.into_iter();
        let members: BTreeMap<Self, Self> =
            members.map(|(name, value)| (name.into(), value)).collect();
        members.into()
    }
}

/// `None`: it nests too deeply, or has a number that cannot be made.
pub(in crate::policy) fn read<M: Made>(text: &str) -> Option<M> {
    let mut reader = Reader {
        rest: text,
        made: PhantomData,
    };
    reader.value(MOST_DEPTH)
}

struct Reader<'t, M> {
    rest: &'t str,
    made: PhantomData<M>,
}

impl<M: Made> Reader<'_, M> {
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

    fn value(&mut self, depth: usize) -> Option<M> {
        let inner = depth.checked_sub(1)?;
        self.space();
        for (word, value) in [("null", None), ("true", Some(true)), ("false", Some(false))] {
            if self.rest.starts_with(word) {
                self.skip(word.len());
                return Some(M::word(value));
            }
        }
        if self.rest.starts_with('"') {
            return Some(M::text(self.text()?));
        }
        if self.takes('[') {
            let mut members = Vec::new();
            while !self.takes(']') {
                members.push(self.value(inner)?);
                self.takes(',');
            }
            return Some(M::list(members));
        }
        if self.takes('{') {
            let mut members = BTreeMap::new();
            while !self.takes('}') {
                self.space();
                let name = self.text()?;
                self.takes(':');
                members.insert(name, self.value(inner)?);
                self.takes(',');
            }
            return Some(M::object(members));
        }
        let end = self
            .rest
            .find(|it: char| !it.is_ascii_alphanumeric() && !"+-.".contains(it));
        let number = self.rest.get(..end.unwrap_or(self.rest.len()))?;
        let value = M::number(number)?;
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
