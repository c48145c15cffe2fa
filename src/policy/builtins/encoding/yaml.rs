//! YAML, as far as the library and Go's agree (`internal/yaml`, and `go.yaml.in/yaml/v3`).
//!
//! A text that the two could read differently is an error: whether one says a number, and the other a text. The library
//! does not tell how a text was written, so a text counts as plain that could stand somewhere without quotes.

use std::collections::BTreeMap;

use regorus::Value;

use crate::policy::builtins::arguments::{from_whole, is_float, whole};
use crate::policy::builtins::{Answer, Arguments};
use crate::policy::{extent, yaml};

pub(super) fn is_valid(arguments: Arguments<'_>) -> Answer {
    let Ok(text) = arguments.text(0) else {
        return Ok(false.into());
    };
    of_both(text)?;
    match first(text) {
        Ok(read) => is_of_both(&read, text).map(|()| true.into()),
        Err(_fault) => Ok(false.into()),
    }
}

/// The engine's own, which has no bound.
pub(super) fn marshal(arguments: Arguments<'_>) -> Answer {
    let value = arguments.any(0)?;
    extent::writable(value)?;
    let text = yaml_serde::to_string(value).map_err(|error| error.to_string())?;
    Ok(text.into())
}

pub(super) fn unmarshal(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0)?;
    of_both(text)?;
    let mut read = first(text)?;
    is_of_both(&read, text)?;
    round(&mut read);
    Ok(read)
}

/// The first document of several, all of which have to be YAML.
fn first(text: &str) -> Result<Value, String> {
    let first = yaml::first(text).map_err(|fault| fault.message)?;
    Ok(first.unwrap_or(Value::Null))
}

/// On the way from YAML to JSON, which OPA's reader takes, `1.0` becomes an integer.
fn round(value: &mut Value) {
    match value {
        Value::Array(_) => {
            let members = value.as_array_mut().into_iter().flatten();
            members.for_each(round);
        }
        Value::Object(members) => {
            let rounded = members.iter().map(|(name, value)| {
                let mut value = value.clone();
                round(&mut value);
                (name.clone(), value)
            });
            *value = rounded.collect::<BTreeMap<_, _>>().into();
        }
        number if is_float(number) => {
            let is_short = number.as_f64().is_ok_and(|it| it.abs() < 1e21);
            if let Some(whole) = whole(number).filter(|_| is_short) {
                *number = from_whole(whole);
            }
        }
        _ => {}
    }
}

/// Refuses what only one of the two can read.
fn of_both(text: &str) -> Result<(), String> {
    if has_plain(text, |rest| rest.starts_with('!')) {
        return Err("dtgate reads no YAML with tags".to_owned());
    }
    if text.contains("\\/") {
        return Err("dtgate reads no YAML with \\/ in it".to_owned());
    }
    Ok(())
}

/// Refuses what the two read differently.
fn is_of_both(value: &Value, text: &str) -> Result<(), String> {
    match value {
        Value::String(found) => is_text(found, text),
        Value::Number(number) if number.is_integer() => {
            let is_short = number.as_u64().is_some() || number.as_i64().is_some();
            let long = "dtgate reads no YAML with integers of more than 64 bits";
            is_short.then_some(()).ok_or_else(|| long.to_owned())
        }
        Value::Array(members) => members
            .iter()
            .try_for_each(|member| is_of_both(member, text)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            if !matches!(name, Value::String(_)) {
                return Err("dtgate reads no YAML with names that are no texts".to_owned());
            }
            is_of_both(name, text)?;
            is_of_both(member, text)
        }),
        _ => Ok(()),
    }
}

fn is_text(found: &str, text: &str) -> Result<(), String> {
    let is_doubtful = found == "<<" || is_number_in_go(found);
    if is_doubtful && has_plain(text, |rest| rest.starts_with(found)) {
        return Err(format!(
            "dtgate reads no YAML with a plain {found}: write it in quotes, or as a plain number"
        ));
    }
    Ok(())
}

/// Whether Go takes what the library took for a text for a number, if it is plain: `010` is 8 and `1_000` is 1000.
fn is_number_in_go(found: &str) -> bool {
    let number = found.replace('_', "");
    let number = number.strip_prefix(['+', '-']).unwrap_or(&number);
    let is_hex = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_hexdigit());
    let base = number.get(..2).map(str::to_ascii_lowercase);
    match base.as_deref() {
        Some("0x" | "0o" | "0b") => number.get(2..).is_some_and(is_hex),
        _ => number.parse::<f64>().is_ok_and(f64::is_finite),
    }
}

/// Whether something begins where what has no quotes may begin.
fn has_plain(text: &str, begins: impl Fn(&str) -> bool) -> bool {
    let mut before = None;
    text.char_indices().any(|(place, letter)| {
        let may_begin = before.is_none_or(|it: char| {
            it.is_whitespace() || matches!(it, '[' | '{' | ',' | ':' | '\u{feff}')
        });
        before = Some(letter);
        may_begin && text.get(place..).is_some_and(&begins)
    })
}
