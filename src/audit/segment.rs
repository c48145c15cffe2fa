//! The files of a journal: which they are, how they are named and opened, why one cannot be.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::chain::LinkError;

/// Why a journal cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(
        "{}:{line}: {source}; this is no torn end but a change of what was written: \
         run `dtgate audit verify`, and start with a new directory if it must go on",
        path.display()
    )]
    Broken {
        path: PathBuf,
        line: u64,
        #[source]
        source: LinkError,
    },
    #[error("{} is in use by another dtgate", .0.display())]
    InUse(PathBuf),
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The segments of a journal, oldest first.
pub fn segments(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if first_record(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The number of the record that a segment begins with, by its name.
pub fn first_record(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

pub(super) fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.jsonl"))
}

pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
