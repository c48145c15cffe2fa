//! JSON, as OPA 1.22 has it (`topdown/encoding.go`, and Go's `json`).

mod reader;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

use super::arguments::writable;
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("json.is_valid", 1, is_valid),
    Own::new("json.marshal", 1, marshal),
    Own::new("json.unmarshal", 1, unmarshal),
];

#[expect(clippy::unnecessary_wraps, reason = "it is one of several")]
fn is_valid(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0);
    Ok(text
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
        .into())
}

/// Go escapes what could end a script in a page.
fn marshal(arguments: Arguments<'_>) -> Answer {
    let value = arguments.any(0)?;
    writable(value)?;
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            letter => escaped.push(letter),
        }
    }
    Ok(escaped.into())
}

fn unmarshal(arguments: Arguments<'_>) -> Answer {
    parsed(arguments.text(0)?)
}

pub(super) fn parsed(text: &str) -> Answer {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    reader::read(text).ok_or_else(|| {
        "it nests too deeply, or a number is too large, or too near to zero".to_owned()
    })
}
