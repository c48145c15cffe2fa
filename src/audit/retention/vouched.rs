//! Who says that the beginning of a journal was deleted, before more of it is.
//!
//! A gate signs its `pruned` record, and then deletes. One that only the next start has signed was not carried out by a
//! gate: somebody may have put it there. A deletion that went on from it would take away the last trace of that.

use std::io;
use std::path::Path;

use memchr::memmem;
use serde::Deserialize;

use super::pruned_in;
use crate::audit::checkpoint::note::{Note, PublicKey};
use crate::audit::checkpoint::{handed_over, key};
use crate::audit::event::Pruned;
use crate::audit::segment::{first_record, segments};
use crate::audit::tree::stored::each_line;

/// What has to be known of the records behind it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    kind: String,
    key: String,
    old: String,
    new: String,
    note: String,
}

/// What comes behind a record.
#[derive(Default)]
struct Behind {
    /// The key of the first checkpoint, where that comes before another process opens the journal.
    signed_by: Option<PublicKey>,
    is_over: bool,
    /// Keys that took over, and from which.
    changes: Vec<(PublicKey, PublicKey)>,
}

/// The record that says that everything before record `first` was deleted; an error where there is none, or none that was
/// signed by the gate that wrote it. `None`: nothing was deleted.
pub(super) fn check(
    directory: &Path,
    first: u64,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Option<Pruned>> {
    let missing = first.saturating_sub(1);
    if missing == 0 {
        return Ok(None);
    }
    let (mut late, mut is_other) = (None, false);
    // From the end on: the last one is the one that counts, and others that say the same.
    for path in segments(directory)?.iter().rev() {
        let mut said = Vec::new();
        pruned_in(path, go_on, |seq, pruned| said.push((seq, pruned)))?;
        for (seq, pruned) in said.into_iter().rev() {
            if pruned.last < missing {
                is_other = true;
            } else if is_signed(directory, seq, go_on)? {
                return Ok(Some(pruned));
            } else {
                late = Some(seq);
            }
        }
        if is_other {
            break;
        }
    }
    Err(io::Error::other(match late {
        Some(record) => format!(
            "records 1 to {missing} are missing, and record {record}, which says that they were deleted, was not signed by \
             the gate that wrote it: run `dtgate audit verify`, put their segments back, or set journal.retention to off"
        ),
        None => format!(
            "records 1 to {missing} are missing, and no record says that they were deleted: put their segments back, or \
             set journal.retention to off"
        ),
    }))
}

/// Whether a checkpoint covers a record that was made before another process opened the journal.
fn is_signed(
    directory: &Path,
    record: u64,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<bool> {
    let mut behind = Behind::default();
    let segments = segments(directory)?;
    let begins = segments.partition_point(|path| first_record(path) <= Some(record));
    for path in segments.get(begins.saturating_sub(1)..).unwrap_or_default() {
        go_on()?;
        let mut seq = first_record(path).unwrap_or_default();
        each_line(path, |line| {
            if seq > record {
                behind.see(line);
            }
            seq += 1;
            true
        })?;
    }
    let (current, _next) = key::public(directory).map_err(io::Error::other)?;
    Ok(behind.is_signed(current))
}

impl Behind {
    fn see(&mut self, line: &[u8]) {
        if !KINDS.iter().any(|kind| memmem::find(line, kind).is_some()) {
            return;
        }
        let told: Told = serde_json::from_slice(line).unwrap_or_default();
        match &*told.kind {
            "start" | "settled" => self.is_over = true,
            "checkpoint" if !self.is_over && self.signed_by.is_none() => {
                let signed = Note::parse(&told.note).ok().zip(told.key.parse().ok());
                let signed =
                    signed.filter(|(note, key): &(_, PublicKey)| key.signed(note).is_some());
                self.signed_by = signed.map(|(_, key)| key);
            }
            "key" => self.changes.extend(change(&told)),
            _ => {}
        }
    }

    /// By the gate's key, or by one from which it took over.
    fn is_signed(&self, current: Option<PublicKey>) -> bool {
        let mut known: Vec<PublicKey> = current.into_iter().collect();
        for (old, new) in self.changes.iter().rev() {
            if known.contains(new) {
                known.push(old.clone());
            }
        }
        self.signed_by
            .as_ref()
            .is_some_and(|key| known.contains(key))
    }
}

/// The keys of a `key` record that both have signed.
fn change(told: &Told) -> Option<(PublicKey, PublicKey)> {
    let keys = handed_over(&told.note)?;
    let (old, new): (PublicKey, PublicKey) = (told.old.parse().ok()?, told.new.parse().ok()?);
    (keys == (old, new)).then_some(keys)
}

/// As the gate and `audit settle` write them.
const KINDS: [&[u8]; 4] = [
    b"\"kind\":\"start\"",
    b"\"kind\":\"settled\"",
    b"\"kind\":\"checkpoint\"",
    b"\"kind\":\"key\"",
];
