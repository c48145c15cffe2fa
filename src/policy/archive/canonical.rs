//! What the signature of a bundle is over, file by file, as OPA hashes it (`v1/bundle/hash.go`).
//!
//! Files of data and the manifest count by what they say: members in the order of their names, no blanks, numbers as
//! they are written. All others count by their bytes.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value as Json;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::manifest;
use crate::policy::builtins::json::reader::{Made, read};
use crate::policy::yaml;
use crate::value::hex;

/// The hash of a file, in lower-case hexadecimal.
pub(super) fn hash(algorithm: &str, name: &str, bytes: &[u8]) -> Result<String, String> {
    let file_name = name.rsplit('/').next().unwrap_or(name);
    let canonical = match file_name {
        manifest::NAME | "data.json" | "data.yaml" | "data.yml" => {
            let mut canonical = Vec::new();
            let is_yaml = matches!(file_name, "data.yaml" | "data.yml");
            node(bytes, is_yaml)?.write(&mut canonical);
            canonical
        }
        _ => bytes.to_vec(),
    };
    Ok(match algorithm {
        "SHA-224" => hex(&Sha224::digest(canonical)),
        "SHA-256" => hex(&Sha256::digest(canonical)),
        "SHA-384" => hex(&Sha384::digest(canonical)),
        "SHA-512" => hex(&Sha512::digest(canonical)),
        "SHA-512-224" => hex(&Sha512_224::digest(canonical)),
        "SHA-512-256" => hex(&Sha512_256::digest(canonical)),
        "MD5" | "SHA-1" => {
            return Err(format!("{algorithm} is broken: sign with SHA-256"));
        }
        _ => return Err("its hash is made by no algorithm that is known".to_owned()),
    })
}

/// JSON with its numbers as they are written.
#[derive(Debug, PartialEq)]
enum Node {
    Word(Option<bool>),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Made for Node {
    fn word(word: Option<bool>) -> Self {
        Self::Word(word)
    }

    fn number(text: &str) -> Option<Self> {
        Some(Self::Number(text.to_owned()))
    }

    fn text(text: String) -> Self {
        Self::Text(text)
    }

    fn list(members: Vec<Self>) -> Self {
        Self::List(members)
    }

    fn object(members: BTreeMap<String, Self>) -> Self {
        Self::Object(members)
    }
}

/// OPA hashes JSON in any of these files as JSON, and what is none as YAML; what has to be JSON is refused here where it
/// is not, for OPA reads it no more than dtgate does. `is_yaml`: policies are given what it says as
/// YAML, whatever it is.
fn node(bytes: &[u8], is_yaml: bool) -> Result<Node, String> {
    let text = std::str::from_utf8(bytes).map_err(|_error| "it is not UTF-8".to_owned())?;
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        let as_json: Option<Json> = serde_json::from_str(text).ok();
        if is_yaml && as_json != yaml::from_str(text).ok() {
            return Err(
                "it says one thing as JSON, by which it is signed, and another as YAML".to_owned(),
            );
        }
        return read(text).ok_or_else(|| "it nests too deeply".to_owned());
    }
    if !is_yaml {
        // OPA would sign what it says as YAML, and read none of it. So it is not looked at before its hash is.
        return Err("it is no JSON".to_owned());
    }
    let yaml: Json =
        yaml::from_str(text).map_err(|_error| "it is neither JSON nor YAML".to_owned())?;
    Ok(of_yaml(yaml))
}

fn of_yaml(value: Json) -> Node {
    match value {
        Json::Null => Node::Word(None),
        Json::Bool(word) => Node::Word(Some(word)),
        Json::Number(number) => Node::Number(match number.as_f64() {
            Some(float) if number.is_f64() => as_go_writes(float),
            _ => number.to_string(),
        }),
        Json::String(text) => Node::Text(text),
        Json::Array(list) => Node::List(list.into_iter().map(of_yaml).collect()),
        Json::Object(members) => Node::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, of_yaml(value)))
                .collect(),
        ),
    }
}

/// The shortest digits that are this number; with an exponent where it is very small or very large.
fn as_go_writes(float: f64) -> String {
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let written = format!("{float:e}");
        match written.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => written,
        }
    } else {
        format!("{float}")
    }
}

impl Node {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Word(word) => {
                let word = word.map_or("null", |it| if it { "true" } else { "false" });
                out.extend(word.as_bytes());
            }
            Self::Number(number) => out.extend(number.as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(members) => {
                out.push(b'[');
                for (place, member) in members.iter().enumerate() {
                    out.extend((place > 0).then_some(b','));
                    member.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (place, (name, member)) in members.iter().enumerate() {
                    out.extend((place > 0).then_some(b','));
                    write_text(name, out);
                    out.push(b':');
                    member.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// As Go writes it: also the two separators that end a line in JavaScript are escaped.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let written = Json::from(text).to_string();
    let written = written.replace('\u{2028}', "\\u2028");
    out.extend(written.replace('\u{2029}', "\\u2029").into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        let is_yaml = !text.trim_start().starts_with('{');
        node(text.as_bytes(), is_yaml).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_in_order_and_numbers_stay_as_they_are_written() {
        for (text, wanted) in [
            (
                r#" { "b": [1.0, 1e2, 123456789012345678901234567890], "a" : null} "#,
                r#"{"a":null,"b":[1.0,1e2,123456789012345678901234567890]}"#,
            ),
            (
                "{\"<&>\": \"\u{2028}\u{2029}\\u0001\\b\\f\u{7f}\"}",
                "{\"<&>\":\"\\u2028\\u2029\\u0001\\b\\f\u{7f}\"}",
            ),
            (r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
            (
                "a: [yes, 1.50, 1e21, 0.0000001, -3, ~]\n",
                r#"{"a":["yes",1.5,1e+21,1e-7,-3,null]}"#,
            ),
        ] {
            assert_eq!(canonical(text), wanted, "{text}");
        }
        assert!(node(b"\xff", false).is_err());
        assert_eq!(node(b"a: 1", false), Err("it is no JSON".to_owned()));
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(
            node(deep.as_bytes(), false),
            Err("it nests too deeply".to_owned())
        );
    }

    #[test]
    fn what_is_signed_as_json_is_not_read_as_something_else() {
        for (text, is_one) in [
            (r#"{"a": ["b", 1, 1.5, true, null]}"#, true),
            ("{\"a\": \"b\u{85}c\"}", false),
            ("{\"a\": \"b \u{2028}c\"}", false),
        ] {
            let read = node(text.as_bytes(), true);
            assert_eq!(read.is_ok(), is_one, "{text:?}: {read:?}");
            assert!(node(text.as_bytes(), false).is_ok());
        }
    }

    #[test]
    fn only_what_is_data_counts_by_what_it_says() {
        let hash = |name: &str, text: &str| hash("SHA-256", name, text.as_bytes()).unwrap();
        assert_eq!(hash("a/data.json", "{ }"), hash(".manifest", "{}"));
        assert_ne!(hash("a/x.rego", "{ }"), hash("a/x.rego", "{}"));
    }
}
