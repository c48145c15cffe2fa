//! The files of grants. Anybody may have put anything there: what is read is bounded, and nothing is waited for.
//!
//! A link is followed: what it leads to is worth what its signatures say, as a copy is.

use std::io::{self, Read};
use std::path::Path;

use super::flaw::Flaw;
use crate::audit::{open_regular, put};
use crate::value::unread;

/// What is in a directory.
#[derive(Debug)]
pub struct Listing {
    /// By name, the last first: names of newer grants come later.
    pub files: Vec<(String, Result<String, Flaw>)>,
    /// There are more than are looked at.
    pub has_more: bool,
}

/// Reads the text of a grant.
pub fn read(path: &Path) -> Result<String, Flaw> {
    let cannot = |error: io::Error| Flaw::Unread(unread(&error));
    let file = open_regular(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    let mut file = file.take(LONGEST + 1);
    file.read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Flaw::Long);
    }
    String::from_utf8(bytes).map_err(|_binary| Flaw::NoGrant)
}

/// Reads all grants of a directory.
pub fn read_all(directory: &Path) -> io::Result<Listing> {
    let (mut names, mut has_more) = (Vec::new(), false);
    for (number, entry) in std::fs::read_dir(directory)?.enumerate() {
        if number == MOST_ENTRIES {
            has_more = true;
            break;
        }
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .filter(|it| it.ends_with(ENDING))
                .map(str::to_owned),
        );
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    has_more |= names.len() > MOST_FILES;
    names.truncate(MOST_FILES);
    let files = names.into_iter().map(|name| {
        let text = read(&directory.join(&name));
        (name, text)
    });
    Ok(Listing {
        files: files.collect(),
        has_more,
    })
}

/// Writes a grant, whole or not at all. It is no secret: the gate has to read it.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    put(path, text.as_bytes(), READABLE).map(drop)
}

/// What names of grants end in.
pub const ENDING: &str = ".grant";

/// Bytes of a grant: far more than one needs.
const LONGEST: u64 = 16 << 10;
/// Grants that are read, and entries of the directory that are looked at.
const MOST_FILES: usize = 128;
const MOST_ENTRIES: usize = 4096;

const READABLE: u32 = 0o644;
