//! Keyed pseudonyms: texts that stand in a record for values that are not to be read there.
//!
//! The fields of the configuration say which values. Such a value is replaced wherever it stands in the record, also
//! within longer texts and in names of members, but for what the chain and the evidence need. Whoever has the keys finds
//! a value again ([`names`]). A key is never thrown away: what was written by it would be lost.

mod field;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::directory::at;
use super::event::{Caller, Record};
use super::key;
use super::segment::OpenError;
use crate::dynatrace::token::HashKey;
pub use field::{Field, FieldError};

/// Which values have pseudonyms.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub fields: Vec<Field>,
}

/// Gives pseudonyms to the values of some fields.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    fields: Vec<Field>,
    key: HashKey,
    version: u32,
}

/// The values of one record or line, with their pseudonyms, the longest first.
#[derive(Debug, Default)]
pub struct Values(Vec<(String, String)>);

impl Pseudonyms {
    /// With the newest key of the journal, which is made where there is none. `None`: no field has pseudonyms.
    pub(super) fn open(journal: &Path, config: &Config) -> Result<Option<Self>, OpenError> {
        if config.fields.is_empty() {
            return Ok(None);
        }
        let version = versions(journal)?.last().copied().unwrap_or(1);
        let key = key::read_or_make(&path(journal, version))?;
        Ok(Some(Self {
            fields: config.fields.clone(),
            key: HashKey::new(key),
            version,
        }))
    }

    /// The record with pseudonyms, and a member that says where they stand.
    pub(super) fn apply(&self, record: Record) -> Record {
        let mut event: Map<String, Value> = serde_json::from_slice(record.as_json())
            .expect("a record is JSON that we have written");
        let mut values = Values::default();
        for field in &self.fields {
            field.values(&event, &mut |value| self.add(value, &mut values));
        }
        if values.0.is_empty() {
            return record;
        }
        values.sort();
        let mut places = Vec::new();
        let members = std::mem::take(&mut event);
        for (name, value) in members {
            let value = if EVIDENCE.contains(&name.as_str()) {
                value
            } else if name == "request" {
                values.request(value, &mut places)
            } else {
                values.replaced(value, &format!("/{name}"), &mut places)
            };
            event.insert(name, value);
        }
        if !places.is_empty() {
            event.insert("pseudonyms".to_owned(), places.into());
        }
        Record::of(&event, record.as_json().len() + MORE)
    }

    /// Those of a caller, for what is said of it elsewhere.
    pub fn of_caller(&self, address: &str, caller: &Caller) -> Values {
        let mut values = Values::default();
        let event = serde_json::json!({"requested_by": address, "caller": caller});
        if let Value::Object(event) = event {
            for field in &self.fields {
                field.values(&event, &mut |value| self.add(value, &mut values));
            }
        }
        values.sort();
        values
    }

    fn add(&self, value: &str, values: &mut Values) {
        if !value.is_empty() && !values.0.iter().any(|(known, _)| known == value) {
            let name = name(&self.key, self.version, value);
            values.0.push((value.to_owned(), name));
        }
    }
}

impl Values {
    /// The longest first: one may be part of another.
    fn sort(&mut self) {
        self.0
            .sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    }

    /// A text with pseudonyms.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (value, name) in &self.0 {
            if let Some(replaced) = replaced(&text, value, name) {
                text = Cow::Owned(replaced);
            }
        }
        text
    }

    fn replaced(&self, value: Value, path: &str, places: &mut Vec<Value>) -> Value {
        match value {
            Value::String(text) => match self.text(&text) {
                Cow::Borrowed(_) => Value::String(text),
                Cow::Owned(text) => {
                    places.push(path.into());
                    Value::String(text)
                }
            },
            Value::Array(elements) => {
                let elements = elements.into_iter().enumerate();
                let elements = elements.map(|(number, element)| {
                    self.replaced(element, &format!("{path}/{number}"), places)
                });
                Value::Array(elements.collect())
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| {
                    let shown = self.text(&name).into_owned();
                    if shown != name {
                        places.push(path.into());
                    }
                    let value = self.replaced(value, &format!("{path}/{shown}"), places);
                    (shown, value)
                });
                Value::Object(members.collect())
            }
            other => other,
        }
    }

    /// What a request is known by stays.
    fn request(&self, request: Value, places: &mut Vec<Value>) -> Value {
        let Value::Object(members) = request else {
            return request;
        };
        let members = members.into_iter().map(|(name, value)| {
            let value = if matches!(name.as_str(), "path" | "client_id") {
                self.replaced(value, &format!("/request/{name}"), places)
            } else {
                value
            };
            (name, value)
        });
        Value::Object(members.collect())
    }
}

/// The text with a name wherever the value stands on its own: a letter or digit at its end has none beside it. `None`:
/// nowhere.
fn replaced(text: &str, value: &str, name: &str) -> Option<String> {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let begins = is_word(value.chars().next());
    let ends = is_word(value.chars().next_back());
    let mut out = String::new();
    let (mut from, mut written) = (0, 0);
    while let Some(at) = text.get(from..)?.find(value).map(|at| at + from) {
        let end = at + value.len();
        let (before, behind) = (text.get(..at)?, text.get(end..)?);
        let is_part =
            begins && is_word(before.chars().next_back()) || ends && is_word(behind.chars().next());
        if is_part {
            from = at + text.get(at..)?.chars().next().map_or(1, char::len_utf8);
        } else {
            out.push_str(text.get(written..at)?);
            out.push_str(name);
            (from, written) = (end, end);
        }
    }
    if written == 0 && out.is_empty() {
        return None;
    }
    out.push_str(text.get(written..)?);
    Some(out)
}

/// A value's pseudonyms under every key of a journal, the oldest first.
pub fn names(journal: &Path, value: &str) -> Result<Vec<String>, OpenError> {
    let versions = versions(journal)?.into_iter();
    let names = versions.map(|version| {
        let key = key::read(&path(journal, version))?;
        Ok(key.map(|key| name(&HashKey::new(key), version, value)))
    });
    let names: Result<Vec<_>, OpenError> = names.collect();
    Ok(names?.into_iter().flatten().collect())
}

/// Makes the next key, by which a gate gives pseudonyms from its next start on; says which version it is.
pub fn rotate(journal: &Path) -> Result<u32, OpenError> {
    let version = versions(journal)?.last().map_or(1, |last| last + 1);
    key::read_or_make(&path(journal, version))?;
    Ok(version)
}

/// Of the keys that are there, in their order.
fn versions(journal: &Path) -> Result<Vec<u32>, OpenError> {
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(journal).map_err(at(journal))? {
        let name = entry.map_err(at(journal))?.file_name();
        let version = name.to_str().and_then(|name| {
            let version = name.strip_prefix("pseudonym-v")?.strip_suffix(".key")?;
            version.parse::<u32>().ok()
        });
        versions.extend(version);
    }
    versions.sort_unstable();
    Ok(versions)
}

fn path(journal: &Path, version: u32) -> PathBuf {
    journal.join(format!("pseudonym-v{version}.key"))
}

/// `hmac-sha256:v1:` and 32 digits.
fn name(key: &HashKey, version: u32, value: &str) -> String {
    let name = key.name(value);
    match name.as_str().split_once(':') {
        Some((algorithm, digits)) => format!("{algorithm}:v{version}:{digits}"),
        None => name.as_str().to_owned(),
    }
}

/// Members that are never changed: what chain, verification and joins need, and what says nothing of a caller.
const EVIDENCE: [&str; 15] = [
    "kind",
    "timestamp",
    "decision_id",
    "decision_seq",
    "labels",
    "bundles",
    "metrics",
    "evaluator",
    "verdict",
    "operation",
    "first",
    "last",
    "count",
    "status",
    "statuses",
];

/// Bytes that a record grows by, about.
const MORE: usize = 512;

#[cfg(test)]
mod tests;
