//! JSON, as OPA 1.22 has it (`topdown/encoding.go`, and Go's `json`).

pub(in crate::policy) mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use regorus::Value;
use serde::de::IgnoredAny;

use super::arguments::{whole, writable};
use super::{Answer, Arguments, Own};
use crate::policy::extent;

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
    extent::writable(value)?;
    writable(value)?;
    let text = written(value)?;
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

fn written(value: &Value) -> Result<String, String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

/// The engine would round integers that a machine has not, and bring names that are no texts into another order.
fn write(value: &Value, text: &mut String) -> Result<(), String> {
    let list = |members: &mut dyn Iterator<Item = &Value>, text: &mut String| {
        text.push('[');
        for (place, member) in members.enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            write(member, text)?;
        }
        text.push(']');
        Ok(())
    };
    match value {
        Value::Array(members) => list(&mut members.iter(), text),
        Value::Set(members) => list(&mut members.iter_sorted(), text),
        Value::Object(members) => {
            let named = members.iter().map(|(name, member)| {
                let name = match name {
                    Value::String(name) => name.to_string(),
                    name => written(name)?,
                };
                Ok((name, member))
            });
            let named: BTreeMap<String, &Value> = named.collect::<Result<_, String>>()?;
            text.push('{');
            for (place, (name, member)) in named.into_iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                text.push_str(&serde_json::to_string(&name).map_err(|error| error.to_string())?);
                text.push(':');
                write(member, text)?;
            }
            text.push('}');
            Ok(())
        }
        other => {
            let json = serde_json::to_string(other).map_err(|error| error.to_string())?;
            text.push_str(&whole(other).map_or(json, |whole| whole.to_string()));
            Ok(())
        }
    }
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
