//! What a crash left at the end of a segment, kept in a file beside it.
//!
//! Three steps: the file is made, the segment is cut, a record names the file with its length and hash. A
//! crash between them leaves the next start to go on: it finds the same bytes in a file already, or a file
//! that no record names yet.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::directory::at;
use super::segment::{OpenError, as_readable_as, directory_of, open_regular, put};
use crate::value::Sha256Hex;

/// A file that was set aside.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    /// Its name in the journal's directory.
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) sha256: Sha256Hex,
    /// Why.
    pub(super) reason: String,
}

impl Aside {
    fn of(path: &Path, content: &[u8], reason: &str) -> Self {
        Self {
            name: name(path),
            length: content.len() as u64,
            sha256: Sha256Hex::of(content),
            reason: reason.to_owned(),
        }
    }
}

/// Whether a name is that of a file that was set aside.
pub(super) fn is_aside(name: &str) -> bool {
    name.split_once(".jsonl.torn-")
        .is_some_and(|(_, number)| number_of(number).is_some())
}

/// Everything that was set aside from a segment and has no record yet: what a start left unsaid that a crash
/// ended, and `torn`, the segment's end from byte `good` on, with the reason. That is cut off here.
pub(super) fn set_aside(
    segment: &Path,
    named: &[String],
    torn: Option<(&[u8], u64, &str)>,
) -> Result<Vec<Aside>, OpenError> {
    let mut unsaid = Vec::new();
    let mut next = 1;
    for (number, path) in of_segment(segment).map_err(at(segment))? {
        next = next.max(number + 1);
        if !named.contains(&name(&path)) {
            let mut content = Vec::new();
            open_regular(&path)
                .and_then(|mut file| file.read_to_end(&mut content))
                .map_err(at(&path))?;
            unsaid.push((path, content));
        }
    }
    let mut found = Vec::new();
    if let Some((tail, good, reason)) = torn {
        let kept = unsaid.iter().position(|(_, content)| content == tail);
        let path = if let Some(place) = kept {
            unsaid.remove(place).0
        } else {
            let path = beside(segment, &next.to_string());
            let mode = as_readable_as(directory_of(segment)).map_err(at(segment))?;
            put(&path, tail, mode).map_err(at(&path))?;
            path
        };
        cut(segment, good).map_err(at(segment))?;
        found.push(Aside::of(&path, tail, reason));
    }
    found.extend(
        unsaid
            .iter()
            .map(|(path, content)| Aside::of(path, content, UNSAID)),
    );
    Ok(found)
}

fn cut(segment: &Path, good: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(segment)?;
    file.set_len(good)?;
    file.sync_all()
}

/// The files that were set aside from a segment, with their numbers.
pub(super) fn of_segment(segment: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let prefix = name(&beside(segment, ""));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory_of(segment))? {
        let path = entry?.path();
        let number = name(&path).strip_prefix(&prefix).and_then(number_of);
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// Small enough that there is always a next one.
fn number_of(text: &str) -> Option<u64> {
    text.parse::<u32>().ok().map(u64::from)
}

fn beside(segment: &Path, number: &str) -> PathBuf {
    segment.with_file_name(format!("{}.torn-{number}", name(segment)))
}

pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

const UNSAID: &str = "a start set this aside and ended before it could say so";
