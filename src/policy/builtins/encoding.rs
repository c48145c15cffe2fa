//! Encodings, as OPA 1.22 has them (`topdown/encoding.go`, and Go's `base64` and `url`).

#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regorus::Value;

use super::arguments::wrong;
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("base64.decode", 1, base64_decode),
    Own::new("base64.is_valid", 1, base64_is_valid),
    Own::new("base64url.decode", 1, base64url_decode),
    Own::new("urlquery.decode", 1, query_decode),
    Own::new("urlquery.decode_object", 1, query_decode_object),
    Own::new("urlquery.encode", 1, query_encode),
    Own::new("urlquery.encode_object", 1, query_encode_object),
    Own::new("yaml.is_valid", 1, yaml::is_valid),
    Own::new("yaml.marshal", 1, yaml::marshal),
    Own::new("yaml.unmarshal", 1, yaml::unmarshal),
];

fn base64_decode(arguments: Arguments<'_>) -> Answer {
    let bytes = base64(arguments.text(0)?, &BASE64_NOPAD);
    Ok(text_of(&bytes.ok_or("illegal base64 data")?).into())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of several")]
fn base64_is_valid(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0);
    Ok(text
        .is_ok_and(|text| base64(text, &BASE64_NOPAD).is_some())
        .into())
}

fn base64url_decode(arguments: Arguments<'_>) -> Answer {
    let bytes = base64url(arguments.text(0)?);
    Ok(text_of(&bytes.ok_or("illegal base64url string")?).into())
}

/// With or without what fills up the end.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    let filled = match text.len() % 4 {
        _ if text.ends_with('=') => text.to_owned(),
        2 => format!("{text}=="),
        3 => format!("{text}="),
        1 => return None,
        _ => text.to_owned(),
    };
    base64(&filled, &BASE64URL_NOPAD)
}

/// As Go reads it: ends of lines do not count, and bits that are left over may be anything.
pub(super) fn base64(text: &str, encoding: &Encoding) -> Option<Vec<u8>> {
    let text = text.replace(['\r', '\n'], "");
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut specification = encoding.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()?.decode(body.as_bytes()).ok()
}

/// A character for each byte that is no part of one, as Go has it.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk
                .invalid()
                .iter()
                .map(|_byte| char::REPLACEMENT_CHARACTER),
        );
    }
    text
}

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b' ');

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED)
        .to_string()
        .replace(' ', "+")
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let code = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                let code = code.and_then(|code| u8::try_from(code).ok());
                code.ok_or_else(|| format!("invalid URL escape in {text:?}"))?
            }
            byte => byte,
        });
    }
    Ok(text_of(&bytes))
}

fn query_encode(arguments: Arguments<'_>) -> Answer {
    Ok(escaped(arguments.text(0)?).into())
}

fn query_decode(arguments: Arguments<'_>) -> Answer {
    Ok(unescaped(arguments.text(0)?)?.into())
}

fn query_encode_object(arguments: Arguments<'_>) -> Answer {
    let Value::Object(object) = arguments.any(0)? else {
        return Err(wrong(0, "object", arguments.any(0)?));
    };
    let other = || "operand 1 values must be string, array[string], or set[string]".to_owned();
    let mut pairs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in object.iter() {
        let name = match name {
            Value::String(name) => name.to_string(),
            other => other.to_string(),
        };
        let members: Vec<&Value> = match value {
            Value::Array(members) => members.iter().collect(),
            Value::Set(members) => members.iter_sorted().collect(),
            one => vec![one],
        };
        for member in members {
            let Value::String(text) = member else {
                return Err(other());
            };
            pairs.entry(name.clone()).or_default().push(text);
        }
    }
    let pair = |(name, values): (String, Vec<&str>)| {
        let pair = |value: &str| format!("{}={}", escaped(&name), escaped(value));
        values.into_iter().map(pair).collect::<Vec<_>>().join("&")
    };
    let pairs: Vec<String> = pairs.into_iter().map(pair).collect();
    Ok(pairs.join("&").into())
}

fn query_decode_object(arguments: Arguments<'_>) -> Answer {
    let mut members: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for pair in arguments
        .text(0)?
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        if pair.contains(';') {
            return Err("invalid semicolon separator in query".to_owned());
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = members.entry(unescaped(name)?.into()).or_default();
        known.push(unescaped(value)?.into());
    }
    let members = members
        .into_iter()
        .map(|(name, values)| (name, Value::from(values)));
    Ok(Value::from(members.collect::<BTreeMap<_, _>>()))
}
