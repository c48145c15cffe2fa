//! The names that a journal has had: by them it is known to whoever keeps its records elsewhere.

use std::io;
use std::path::Path;

use memchr::memmem;
use serde::Deserialize;

use super::checkpoint::handed_over;
use super::checkpoint::note::PublicKey;
use super::lines::Lines;

/// A key of another name took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The record that says so; 0: it is deleted, and a `pruned` record has kept it.
    pub record: u64,
    pub old: String,
    pub new: String,
}

/// What has to be known of a record.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    seq: u64,
    kind: String,
    note: String,
    keys: Vec<String>,
}

/// Every time that a journal got another name, the oldest first, as far as its records say it. All of them are looked at.
pub fn renamed(journal: &Path) -> io::Result<Vec<Renamed>> {
    let (mut deleted, mut there) = (Vec::new(), Vec::new());
    let mut lines = Lines::new(journal).over_damage();
    while let Some(line) = lines.next_line()? {
        let is_kind = |kind: &[u8]| memmem::find(&line.bytes, kind).is_some();
        if !KINDS.iter().any(|kind| is_kind(kind)) {
            continue;
        }
        let told: Told = serde_json::from_slice(&line.bytes).unwrap_or_default();
        match &*told.kind {
            "key" => there.extend(change(told.seq, &told.note)),
            "pruned" => {
                for change in told.keys.iter().filter_map(|note| change(0, note)) {
                    if !deleted.contains(&change) {
                        deleted.push(change);
                    }
                }
            }
            _ => {}
        }
    }
    deleted.extend(there);
    Ok(deleted)
}

/// The keys of a record by which one took over from another, the old one and the new one, where both have signed it.
pub fn takes_over(line: &[u8]) -> Option<(PublicKey, PublicKey)> {
    let told: Told = serde_json::from_slice(line).ok()?;
    (told.kind == "key").then(|| handed_over(&told.note))?
}

fn change(record: u64, note: &str) -> Option<Renamed> {
    let (old, new) = handed_over(note)?;
    (old.name() != new.name()).then(|| Renamed {
        record,
        old: old.name().to_owned(),
        new: new.name().to_owned(),
    })
}

/// As a gate writes them.
const KINDS: [&[u8]; 2] = [b"\"kind\":\"key\"", b"\"kind\":\"pruned\""];
