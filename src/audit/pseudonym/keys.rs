//! Which keys a journal has used, by what its records say, and which of them are not there any more: what was written by
//! those cannot be found by its values, and whoever asks has to be told.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;

use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{name, path};
use crate::audit::chain::Link;
use crate::audit::event::Pruned;
use crate::audit::key;
use crate::audit::lines::Lines;
use crate::audit::segment::OpenError;
use crate::dynatrace::token::HashKey;

/// What a `start` or `reload` record says of the key that is used from there on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub version: u32,
    /// Not there in journals of early builds.
    pub fingerprint: Option<String>,
}

/// What of the keys that a journal has used is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Differing {
    Key {
        version: u32,
        /// There is another one in its place.
        #[serde(rename = "replaced")]
        is_replaced: bool,
    },
    /// Records tell of more keys than are looked for: any of the others may be missing, too.
    Others { more: bool },
}

/// What a record says of a key.
#[derive(Deserialize)]
struct Keyed {
    key: String,
    fingerprint: Option<String>,
}

impl Said {
    /// What the line of a `start` or `reload` record says; `None`: nothing of pseudonyms.
    pub fn of(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Record {
            pseudonyms: Keyed,
        }
        let record: Record = serde_json::from_slice(line).ok()?;
        Self::read(record.pseudonyms)
    }

    /// What a `pruned` record says of the starts and reloads that are deleted, the oldest first.
    pub fn of_deleted(pruned: &Pruned) -> Vec<Self> {
        pruned.pseudonyms.iter().filter_map(Self::told).collect()
    }

    /// What the line of a record says, if it is of one of these kinds; nothing else in it matters.
    pub fn all(line: &[u8]) -> Vec<Self> {
        #[derive(Deserialize)]
        struct Record {
            pseudonyms: Value,
        }
        let told = serde_json::from_slice(line).map(|record: Record| record.pseudonyms);
        match told.unwrap_or_default() {
            Value::Array(deleted) => deleted.iter().filter_map(Self::told).collect(),
            told => Self::told(&told).into_iter().collect(),
        }
    }

    fn told(told: &Value) -> Option<Self> {
        Self::read(Keyed::deserialize(told).ok()?)
    }

    fn read(keyed: Keyed) -> Option<Self> {
        // None is so long: what somebody else has written is none, and takes no room.
        let cut = |text: String| text.chars().take(LONGEST).collect();
        Some(Self {
            version: keyed.key.strip_prefix('v')?.parse().ok()?,
            fingerprint: keyed.fingerprint.map(cut),
        })
    }
}

/// Whether two starts have told of the same key.
pub(in crate::audit) fn is_of_one_key(one: &Value, other: &Value) -> bool {
    let (one, other) = (Said::told(one), Said::told(other));
    one.is_some() && one == other
}

/// What all records of a journal tell of its keys; of what is damaged nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The highest version; none is 0.
    pub(super) newest: u32,
    /// Records are deleted, and what is left does not say by which keys they had pseudonyms: earlier builds did not write it.
    pub(super) is_partly_unknown: bool,
}

impl Told {
    pub(super) fn by(journal: &Path) -> io::Result<Self> {
        let mut lines = Lines::new(journal).over_damage();
        let (mut newest, mut is_said, mut is_pruned) = (0, false, false);
        while let Some(line) = lines.next_line()? {
            let line = line.bytes;
            let has = |text: &[u8]| memmem::find(&line, text).is_some();
            if has(b"\"pseudonyms\"") {
                let said = of_kind(&line);
                is_said |= !said.is_empty();
                let said = said.iter().map(|it| it.version);
                newest = said.fold(newest.max(newest_name(&line, newest)), u32::max);
            }
            is_pruned |= has(b"\"pruned\"") && is_of_kind(&line, &["pruned"]);
        }
        Ok(Self {
            newest,
            is_partly_unknown: is_pruned && !is_said,
        })
    }
}

/// The highest version of a pseudonym that stands in a record, if it is higher than this one. Only a text that is nothing
/// but a pseudonym counts, where the record says that there is one: others write texts, too.
fn newest_name(line: &[u8], known: u32) -> u32 {
    let may_be_higher = |at: usize| {
        let behind = line.get(at + NAME.len()..).unwrap_or_default();
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0_u64, |number, digit| {
            (number * 10 + u64::from(digit - b'0')).min(u64::from(u32::MAX))
        });
        number > u64::from(known)
    };
    if !memmem::find_iter(line, NAME).any(may_be_higher) {
        return 0;
    }
    let record: Value = serde_json::from_slice(line).unwrap_or_default();
    let places = record.get("pseudonyms").and_then(Value::as_array);
    let places = places.into_iter().flatten().filter_map(Value::as_str);
    let texts = places.filter_map(|place| record.pointer(place)?.as_str());
    texts.filter_map(version_of).max().unwrap_or_default()
}

/// The version of the key that made a pseudonym; `None`: it is another text.
fn version_of(text: &str) -> Option<u32> {
    let (version, digits) = text.strip_prefix("hmac-sha256:v")?.split_once(':')?;
    let is_hex = digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit());
    version.parse().ok().filter(|_| is_hex)
}

/// Whether a text is a pseudonym, and nothing else.
pub fn is_pseudonym(text: &str) -> bool {
    version_of(text).is_some()
}

fn is_of_kind(line: &[u8], kinds: &[&str]) -> bool {
    Link::read(line).is_ok_and(|link| kinds.contains(&&*link.kind))
}

/// What a line says, by its kind: what others write is not believed.
fn of_kind(line: &[u8]) -> Vec<Said> {
    if is_of_kind(line, &["start", "reload", "pruned"]) {
        Said::all(line)
    } else {
        Vec::new()
    }
}

/// By which a key is known again. Nothing can be found out by it: keys are random. No value of a record has it, because none
/// begins with a null byte.
pub(super) fn fingerprint(key: &HashKey) -> String {
    let name = name(key, 0, "\0the key itself");
    let digits = name.rsplit(':').next().unwrap_or_default();
    digits.get(..16).unwrap_or(digits).to_owned()
}

/// The keys that records tell of and that are not in this directory, where there is one. Before a key all with a lower
/// number were used. Where [`MOST_KEYS`] are told of, or a number is higher than that, nobody knows of all.
pub fn differing(keys: Option<&Path>, said: &[Said]) -> Result<Vec<Differing>, OpenError> {
    let newest = said.iter().map(|said| said.version).max();
    let older = (1..newest.unwrap_or_default())
        .take(MOST_KEYS)
        .map(|version| Said {
            version,
            fingerprint: None,
        });
    let mut there: BTreeMap<u32, Option<String>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for Said {
        version,
        fingerprint: wanted,
    } in said.iter().cloned().chain(older)
    {
        if let Entry::Vacant(place) = there.entry(version) {
            let key = keys.map(|keys| key::read(&path(keys, version)));
            let key = key.transpose()?.flatten();
            place.insert(key.map(|key| fingerprint(&HashKey::new(key))));
        }
        let has = there.get(&version).and_then(Option::as_ref);
        let is_right = match (has, wanted) {
            (None, _) => false,
            (Some(has), Some(wanted)) => *has == wanted,
            (Some(_), None) => true,
        };
        if !is_right {
            found.insert(version, has.is_some());
        }
    }
    let found = found.into_iter();
    let found = found.map(|(version, is_replaced)| Differing::Key {
        version,
        is_replaced,
    });
    let is_more = said.len() >= MOST_KEYS || newest.is_some_and(|it| it as usize > MOST_KEYS);
    let others = is_more.then_some(Differing::Others { more: true });
    Ok(found.chain(others).collect())
}

/// What a pseudonym begins with.
const NAME: &[u8] = b"hmac-sha256:v";

/// Different keys that are kept of what records tell, and looked for: nobody makes so many. Where there are as many, there
/// may be more.
pub const MOST_KEYS: usize = 1000;

/// Letters of a fingerprint that are kept: twice as many as one has, and more.
const LONGEST: usize = 40;
