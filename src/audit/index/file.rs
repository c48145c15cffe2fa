//! The file of an index: whose it is, and who may write to it.

use std::io::Read;
use std::path::Path;

use super::tables::APPLICATION;
use super::{Error, FILE};
use crate::audit::segment::{directory_of, identity};

/// Root may make it, and the gate has to write to it.
pub(super) fn owned_as(journal: &Path, made: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (wanted, found) = (std::fs::metadata(journal)?, made.metadata()?);
    if wanted.uid() != found.uid() && rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(made, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    Ok(())
}

pub(super) fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().as_ref().map(identity)
}

/// Finds what a gate would object to: a file in its place that is none of its own.
pub fn check(journal: &Path, path: &Path) -> Result<(), Error> {
    match is_foreign(journal, path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Foreign(path.to_owned())),
        Err(source) => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a file is somebody else's: it is not where indexes are, and does not say that it is one.
pub(super) fn is_foreign(journal: &Path, path: &Path) -> std::io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        // A link leads to what nobody meant to be written, a pipe is waited for.
        Ok(found) if !found.is_file() => return Ok(true),
        Ok(_file) => {}
    }
    if path == journal.join(FILE) {
        return Ok(false);
    }
    let mut header = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened?.take(100).read_to_end(&mut header)?,
    };
    let says = header.get(68..72).and_then(|it| it.try_into().ok());
    let is_ours = says.is_some_and(|it| i64::from(u32::from_be_bytes(it)) == APPLICATION);
    Ok(!header.is_empty() && !is_ours)
}

/// Removes the file and what belongs to it.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_owned();
    for end in ["", "-wal", "-shm"] {
        let mut name = name.clone();
        name.push(end);
        let file = directory_of(path).join(name);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { path: file, source });
            }
            _removed => {}
        }
    }
    Ok(())
}
