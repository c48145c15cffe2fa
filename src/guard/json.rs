//! Strict JSON: accepts only text that every reader understands alike.
//!
//! JSON as written leaves room for two readers to see two values: duplicate members, members that
//! differ by case, numbers past the range of a double, invalid UTF-8, unlimited depth. All of that is
//! refused, so that "what a lenient reader could make of it" is one value. It refuses to know what the
//! members mean.

mod apart;
mod place;

use std::collections::HashSet;
use std::error::Error;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use super::fold::{fold, fold_char};

/// Why bytes are not strict JSON, and where. It holds names of the client's: what shows it has to take secrets out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
    pub message: String,
    /// The member or element that is to blame, as `scopes[2].name`, where one is.
    pub member: Option<String>,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)?;
        if let Some(member) = &self.member {
            write!(f, ", {member:?}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for JsonError {}

/// Reads any JSON value.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_text(as_text(bytes)?)
}

/// Reads one JSON object with a list in it, and each value of the list apart: one that cannot be read spoils none of the
/// others. In the object the list is empty, or what else is there under its name.
pub fn parse_listed(bytes: &[u8], list: &str) -> Result<(Value, Listed), JsonError> {
    let text = as_text(bytes)?;
    let whole = match parse_text(text) {
        Ok(mut whole) => {
            let listed = match whole.get_mut(list) {
                Some(Value::Array(listed)) => std::mem::take(listed),
                _ => Vec::new(),
            };
            return Ok((whole, listed.into_iter().map(Ok).collect()));
        }
        Err(whole) => whole,
    };
    let Some((rest, listed)) = apart::taken(text, list) else {
        return Err(whole);
    };
    let rest = parse_text(&rest).map_err(|_rest| whole)?;
    Ok((rest, listed.into_iter().map(parse_text).collect()))
}

/// The values of a list, each by itself.
pub type Listed = Vec<Result<Value, JsonError>>;

/// Reads one JSON object.
///
/// `words` are the member names that mean something to whoever reads the object later. A name that is
/// not one of them but would be taken for one by a reader that folds case, trims or normalises is
/// refused, at the top level; two names in one object that fold alike are refused everywhere.
pub fn parse_object(
    bytes: &[u8],
    words: impl Iterator<Item = &'static str>,
) -> Result<Map<String, Value>, JsonError> {
    let text = as_text(bytes)?;
    let value = parse_text(text)?;
    let Value::Object(members) = value else {
        return Err(JsonError {
            line: 1,
            column: 1,
            message: "the body must be a JSON object".to_owned(),
            member: None,
        });
    };
    let words: Vec<(&str, String)> = words
        .map(|word| (word, letters(word, usize::MAX)))
        .collect();
    let longest = words.iter().map(|(_, letters)| letters.len()).max();
    for name in members.keys() {
        let letters = letters(name, longest.unwrap_or_default());
        let mut words = words.iter();
        let twin = words.find(|(word, same)| *same == letters && *word != name);
        if let Some((word, _)) = twin {
            let (line, column) = find_name(text, name);
            return Err(JsonError {
                line,
                column,
                message: format!("it could be taken for {word:?}, and is not written like that"),
                member: Some(place::shown(name).to_owned()),
            });
        }
    }
    Ok(members)
}

fn as_text(bytes: &[u8]) -> Result<&str, JsonError> {
    let not_utf8 = |offset| {
        let (line, column) = position(bytes, offset);
        JsonError {
            line,
            column,
            message: "not UTF-8".to_owned(),
            member: None,
        }
    };
    refuse_mark(bytes)?;
    std::str::from_utf8(bytes).map_err(|error| not_utf8(error.valid_up_to()))
}

/// Some readers take a byte-order mark off, others find no JSON behind it. Who sends one does not see it.
pub(super) fn refuse_mark(bytes: &[u8]) -> Result<(), JsonError> {
    let found = BYTE_ORDER_MARKS
        .iter()
        .find(|(mark, _)| bytes.starts_with(mark));
    found.map_or(Ok(()), |(_, encoding)| {
        Err(JsonError {
            line: 1,
            column: 1,
            message: format!(
                "it begins with a byte-order mark ({encoding}): send UTF-8 without one"
            ),
            member: None,
        })
    })
}

fn parse_text(text: &str) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError::from_serde(&error).at_member(text, error.classify()))
}

/// The letters of a folded name: some readers take `scopes[]`, `scopes[0]` and `"scopes"` for `scopes`. No more of
/// them than tell that it is none of the words.
fn letters(name: &str, longest: usize) -> String {
    let mut letters = String::new();
    for c in name.chars() {
        fold_char(c, &mut |c| {
            if c.is_alphabetic() {
                letters.push(c);
            }
        });
        if letters.len() > longest {
            break;
        }
    }
    letters
}

/// Deserialises any value, strictly. The depth counts objects and arrays around it.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value < -MAX_EXACT {
            return Err(E::custom(TOO_LARGE));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if i64::try_from(value).map_or(true, |value| value > MAX_EXACT) {
            return Err(E::custom(TOO_LARGE));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 is exact in a double")]
        let exact = value.abs() <= MAX_EXACT as f64;
        match Number::from_f64(value) {
            Some(number) if exact => Ok(Value::Number(number)),
            _ => Err(E::custom(TOO_LARGE)),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        let mut folded_names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            // A control character could end or split the name for another reader.
            if name.chars().any(char::is_control) {
                return Err(A::Error::custom("the name contains a control character"));
            }
            if !folded_names.insert(fold(&name)) {
                return Err(A::Error::custom(if object.contains_key(&name) {
                    "duplicate member"
                } else {
                    "it could be taken for another member beside it"
                }));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

impl JsonError {
    pub(super) fn from_serde(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(message, _)| message);
        Self {
            line: error.line(),
            column: error.column(),
            message: message.to_owned(),
            member: None,
        }
    }

    /// Names the member, unless the text is no JSON at all there.
    fn at_member(mut self, text: &str, category: Category) -> Self {
        if category == Category::Data || self.message == "number out of range" {
            let mut lines = text.split_inclusive('\n');
            let before = lines.by_ref().take(self.line.saturating_sub(1));
            let offset = before.map(str::len).sum::<usize>() + self.column;
            self.member = place::member(text.as_bytes().get(..offset).unwrap_or_default());
        }
        self
    }
}

fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let mut lines = before.split(|byte| *byte == b'\n');
    let column = lines.next_back().map_or(1, |line| line.len() + 1);
    (lines.count() + 1, column)
}

/// Where a member name stands, as far as its plain spelling can be found; else the first character.
fn find_name(text: &str, name: &str) -> (usize, usize) {
    let quoted = Value::String(name.to_owned()).to_string();
    text.find(&quoted)
        .map_or((1, 1), |offset| position(text.as_bytes(), offset))
}

/// Longer ones first: that of UTF-32 begins like that of UTF-16.
const BYTE_ORDER_MARKS: [(&[u8], &str); 5] = [
    (b"\xFF\xFE\0\0", "of UTF-32"),
    (b"\0\0\xFE\xFF", "of UTF-32"),
    (b"\xEF\xBB\xBF", "EF BB BF"),
    (b"\xFF\xFE", "of UTF-16"),
    (b"\xFE\xFF", "of UTF-16"),
];

/// Objects and arrays inside each other. A token change needs two.
const MAX_DEPTH: usize = 32;

/// The integers that every reader keeps exactly: those of a double (RFC 7493, section 2.2).
const MAX_EXACT: i64 = (1 << 53) - 1;

const TOO_LARGE: &str = "number outside of the range that every reader keeps exactly (2^53)";

#[cfg(test)]
mod tests;
