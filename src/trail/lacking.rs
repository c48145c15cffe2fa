//! Keys of pseudonyms that are not there: what has a pseudonym by them is not found by its value.

use serde::Serialize;

use super::{Error, Source};
use crate::audit::pseudonym::{Differing, MOST_KEYS, differing};

/// What is not there of the keys by which a gate has given pseudonyms.
#[derive(Debug, Serialize)]
pub struct Lacking {
    /// Of several that meet in a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    #[serde(flatten)]
    key: Differing,
}

/// The keys by which records have pseudonyms, and that are not there.
pub fn lacking(source: &Source) -> Result<Vec<Lacking>, Error> {
    let (index, journal) = match source {
        Source::Journal { index, journal } => (index, journal),
        Source::Store { .. } => return lacking_of_gates(source),
    };
    let said = index.said_of_keys()?;
    let keys = differing(Some(journal), &said)?.into_iter();
    Ok(keys.map(|key| Lacking { gate: None, key }).collect())
}

/// Each gate has keys of its own, and whoever asks those of one directory at most.
fn lacking_of_gates(source: &Source) -> Result<Vec<Lacking>, Error> {
    let Source::Store { asked, gate, keys } = source else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (gate, said) in asked.said_of_keys(gate.as_deref())? {
        let keys = differing(keys.as_deref(), &said)?.into_iter();
        all.extend(keys.map(|key| Lacking {
            gate: Some(gate.clone()),
            key,
        }));
    }
    Ok(all)
}

/// Where values cannot be found by which pseudonyms were made, because the key is not there.
pub fn keys(source: &Source) -> Result<Vec<String>, Error> {
    let lacking = lacking(source)?;
    Ok(if source.is_store() {
        of_gates(&lacking).into_iter().collect()
    } else {
        lacking.iter().map(|it| missing(&it.key)).collect()
    })
}

/// Which key of a journal is missing, beside an answer.
pub fn missing(key: &Differing) -> String {
    format!("{}, and is not in this answer", of_key(key))
}

/// Which key of a journal is missing.
pub fn of_key(key: &Differing) -> String {
    match key {
        Differing::Key {
            version,
            is_replaced,
        } => {
            let what = if *is_replaced {
                "is another one than records were written by"
            } else {
                "is missing"
            };
            format!("the key pseudonym-v{version}.key {what}: {NOT_FOUND}")
        }
        Differing::Others { .. } => format!(
            "records tell of {MOST_KEYS} keys of pseudonyms or more, and only so many are looked for; others may be missing: \
             {NOT_FOUND}"
        ),
    }
}

/// Which keys of gates are missing, in one line.
fn of_gates(lacking: &[Lacking]) -> Option<String> {
    if lacking.is_empty() {
        return None;
    }
    let named = lacking.iter().take(SHOWN).map(|it| {
        let gate = it.gate.as_deref().unwrap_or_default();
        match it.key {
            Differing::Key {
                version,
                is_replaced: false,
            } => format!("v{version} of {gate}"),
            Differing::Key { version, .. } => format!("v{version} of {gate}, another one"),
            Differing::Others { .. } => format!("perhaps others of {gate}"),
        }
    });
    let named: Vec<String> = named.collect();
    let more = match lacking.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "keys of pseudonyms are missing ({}{more}), and --journal DIR names where they are: {NOT_FOUND}, and is not in \
         this answer",
        named.join("; ")
    ))
}

/// Keys that are named.
const SHOWN: usize = 8;
/// What becomes of values whose key is missing.
const NOT_FOUND: &str = "what has a pseudonym by it is not found by its value";
