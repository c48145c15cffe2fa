//! Keyed pseudonyms: texts that stand in a record for values that are not to be read there.
//!
//! The fields of the configuration say which values. Such a value is replaced wherever it stands in the record, also
//! within longer texts and in names of members, but for what the chain and the evidence need. Whoever has the keys finds
//! a value again ([`names`]). A key is never thrown away: what was written by it would be lost.

mod field;
mod keys;
mod places;
mod words;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::directory::at;
use super::event::{Caller, Record};
use super::key;
use super::segment::OpenError;
use crate::dynatrace::token::HashKey;
pub use field::{Field, FieldError};
use keys::Told;
pub(super) use keys::is_of_one_key;
pub use keys::{Differing, MOST_KEYS, Said, differing, is_pseudonym};
pub use words::Values;

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

impl Pseudonyms {
    /// With the newest key of the journal. Where there is none it is made, with a number that no record tells of: the whole
    /// journal is read for that. `None`: no field has pseudonyms.
    pub(super) fn open(journal: &Path, config: &Config) -> Result<Option<Self>, OpenError> {
        if config.fields.is_empty() {
            return Ok(None);
        }
        let version = if let Some(newest) = versions(journal)?.last() {
            *newest
        } else {
            let told = Told::by(journal).map_err(at(journal))?.newest;
            if told > 0 {
                warn_of(told);
            }
            told.saturating_add(1)
        };
        let key = key::read_or_make(&path(journal, version))?;
        Ok(Some(Self {
            fields: config.fields.clone(),
            key: HashKey::new(key),
            version,
        }))
    }

    /// The record with pseudonyms, and a member that says where they stand.
    pub(super) fn apply(&self, record: Record) -> Record {
        let event: Map<String, Value> = serde_json::from_slice(record.as_json())
            .expect("a record is JSON that we have written");
        let values = self.of(&event);
        if values.is_empty() {
            return record;
        }
        let (mut event, places) = places::replaced(event, &values);
        if !places.is_empty() {
            event.insert("pseudonyms".to_owned(), places.into());
        }
        Record::of(&event, record.as_json().len() + MORE)
    }

    /// Those of a caller, for what is said of it elsewhere.
    pub fn of_caller(&self, address: &str, caller: &Caller) -> Values {
        match serde_json::json!({"requested_by": address, "caller": caller}) {
            Value::Object(event) => self.of(&event),
            _ => Values::default(),
        }
    }

    /// What a record of the start says of them: which fields, and by which key.
    pub fn told(&self) -> Value {
        let fields: Vec<&str> = self.fields.iter().map(Field::name).collect();
        let fingerprint = keys::fingerprint(&self.key);
        serde_json::json!({"fields": fields, "key": format!("v{}", self.version), "fingerprint": fingerprint})
    }

    /// Says where the key is another one than the journal has used: nobody could find by it what was written before.
    pub(super) fn compare(&self, said: Option<&Said>) {
        let is_other = |said: &&Said| {
            let is_same = said.fingerprint.as_deref() == Some(&keys::fingerprint(&self.key));
            said.version > self.version || said.version == self.version && !is_same
        };
        if let Some(said) = said.filter(|it| it.fingerprint.is_some()).filter(is_other) {
            warn_of(said.version);
        }
    }

    fn of(&self, event: &Map<String, Value>) -> Values {
        let mut values = words::Collected::default();
        for field in &self.fields {
            let is_id = field.is_id();
            let mut add =
                |value: &str| values.add(value, is_id, || name(&self.key, self.version, value));
            field.values(event, &mut |value| {
                add(value);
                // The same address, in its other notation.
                if let Ok(IpAddr::V6(address)) = value.parse()
                    && let Some(address) = address.to_ipv4_mapped()
                {
                    add(&address.to_string());
                }
            });
        }
        values.values()
    }
}

/// The keys of a journal, for whoever looks for several values.
#[derive(Debug)]
pub struct KnownKeys(Vec<(HashKey, u32)>);

impl KnownKeys {
    /// All that are there, the oldest first.
    pub fn of(journal: &Path) -> Result<Self, OpenError> {
        let versions = versions(journal)?.into_iter();
        let keys = versions.map(|version| {
            let key = key::read(&path(journal, version))?;
            Ok(key.map(|key| (HashKey::new(key), version)))
        });
        let keys: Result<Vec<_>, OpenError> = keys.collect();
        Ok(Self(keys?.into_iter().flatten().collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A value's pseudonyms, one by each key.
    pub fn names(&self, value: &str) -> impl Iterator<Item = String> {
        let keys = self.0.iter();
        keys.map(move |(key, version)| name(key, *version, value))
    }
}

/// A value's pseudonyms under every key of a journal, the oldest first.
pub fn names(journal: &Path, value: &str) -> Result<Vec<String>, OpenError> {
    Ok(KnownKeys::of(journal)?.names(value).collect())
}

/// A key that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub version: u32,
    /// Deleted records may have had pseudonyms of the same version, by a key that is lost: nothing tells of them any more.
    pub may_be_used: bool,
}

/// Makes the next key, by which a gate gives pseudonyms from its next start on; says which version it is. A version of
/// which a record tells, or that a pseudonym has, is not given out again, though its key is lost.
pub fn rotate(journal: &Path) -> Result<Rotated, OpenError> {
    let told = Told::by(journal).map_err(at(journal))?;
    let there = versions(journal)?.last().copied();
    let newest = there.unwrap_or_default().max(told.newest);
    let version = newest.saturating_add(1);
    key::read_or_make(&path(journal, version))?;
    Ok(Rotated {
        version,
        may_be_used: told.is_partly_unknown && newest == 0,
    })
}

fn warn_of(version: u32) {
    let key = format!("pseudonym-v{version}.key");
    tracing::warn!(
        key,
        "the key of pseudonyms is missing, or another one than before"
    );
}

/// The newest key that is there.
pub fn newest(journal: &Path) -> Result<Option<u32>, OpenError> {
    Ok(versions(journal)?.last().copied())
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

/// Bytes that a record grows by, about.
const MORE: usize = 512;

#[cfg(test)]
mod tests;
