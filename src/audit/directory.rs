//! The directory of a journal: made, held against a second writer, kept out of other hands.
//!
//! The lock is on the directory itself. No file can be removed from under it, and whatever path leads here,
//! by a link or a mount, leads to the same lock. It ends with the process.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::checkpoint;
use super::key;
use super::mark;
use super::segment::{OpenError, flags, identity, segments};

/// The directory of a journal, held by this process.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
    /// Device and number, by which it is known again.
    identity: (u64, u64),
}

impl Directory {
    /// Makes it where it does not exist, and holds it until this is dropped.
    pub fn hold(path: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(no_directory)
            .map_err(at(path))?;
        let handle = open(path).map_err(no_directory).map_err(at(path))?;
        let found = handle.metadata().map_err(at(path))?;
        may_others(path, &found, DIRECTORY)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => {
                let reason = format!(
                    "this file system cannot lock a directory, choose a local one: {source}"
                );
                return Err(at(path)(io::Error::new(source.kind(), reason)));
            }
        }
        let held = Self {
            path: path.to_owned(),
            handle,
            identity: identity(&found),
        };
        held.is_there().map_err(at(path))?;
        files(path)?;
        Ok(held)
    }

    /// Finds what a start would object to, and neither makes nor changes anything.
    pub fn check(path: &Path) -> Result<(), OpenError> {
        let handle = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(no_directory).map_err(at(path))?,
        };
        may_others(path, &handle.metadata().map_err(at(path))?, DIRECTORY)?;
        files(path)?;
        checkpoint::key::check(path, None)?;
        key::read(&key::path(path)).map(drop)
    }

    /// The key for names of what must not be shown; made once for each journal.
    pub fn hash_key(&self) -> Result<[u8; 32], OpenError> {
        key::read_or_make(&key::path(&self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it: a directory can be moved away, and another be made in its place.
    pub(super) fn is_there(&self) -> io::Result<()> {
        let path = self.path.display();
        let reason = match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => return Ok(()),
            Ok(_) => format!("{path} is not the directory that dtgate opened any more"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{path} is gone"),
            Err(error) => return Err(error),
        };
        Err(io::Error::other(reason))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// What modes forbid: a directory, a segment, a key.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    forbidden: u32,
    wanted: &'static str,
}

/// A group may read: an auditor's. Nobody else may even look for a file.
const DIRECTORY: Kept = Kept {
    forbidden: 0o027,
    wanted: "700",
};
/// Where the directory is right, who may read a segment is the owner's business.
const SEGMENT: Kept = Kept {
    forbidden: 0o022,
    wanted: "600",
};
pub(super) const KEY: Kept = Kept {
    forbidden: 0o077,
    wanted: "600",
};

/// Refuses what others may read or change. The bits are what counts: root may do everything.
pub(super) fn may_others(path: &Path, found: &Metadata, kept: Kept) -> Result<(), OpenError> {
    let mode = found.mode() & 0o777;
    let shown = path.display();
    // Like /tmp: it is everybody's, and taking it away from them would harm them.
    if found.is_dir() && mode & 0o002 != 0 && found.mode() & 0o1000 != 0 {
        return Err(OpenError::Shared(path.to_owned()));
    }
    let (why, remedy) = if mode & kept.forbidden != 0 {
        let verb = if mode & kept.forbidden & 0o022 == 0 {
            "read"
        } else {
            "change"
        };
        (
            format!("is open to others, who may {verb} it (mode {mode:04o})"),
            format!("chmod {} {shown}", kept.wanted),
        )
    } else if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
        let user = rustix::process::geteuid().as_raw();
        (
            format!("belongs to another user ({})", found.uid()),
            format!("chown {user} {shown}"),
        )
    } else {
        return Ok(());
    };
    Err(OpenError::Exposed {
        path: path.to_owned(),
        why,
        remedy,
    })
}

/// What a start reads: of the segments the last two, so that it takes no longer with more of them, and the file `head`.
fn files(directory: &Path) -> Result<(), OpenError> {
    let segments = segments(directory).map_err(at(directory))?;
    for path in segments.iter().rev().take(2) {
        let found = std::fs::symlink_metadata(path).map_err(at(path))?;
        if !found.is_file() {
            return Err(at(path)(io::Error::other("is no regular file")));
        }
        may_others(path, &found, SEGMENT)?;
    }
    // What it says tells damage from a torn end: whoever may change it could have damage set aside.
    let head = mark::path(directory);
    match std::fs::symlink_metadata(&head) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(&head)(error)),
        Ok(found) if !found.is_file() => Err(at(&head)(io::Error::other("is no regular file"))),
        Ok(found) => may_others(&head, &found, SEGMENT),
    }
}

/// In place of "File exists", where a directory cannot be made because something else is there.
fn no_directory(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            io::Error::other("is no directory: name one that is the journal's own")
        }
        _ => error,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags(OFlags::DIRECTORY));
    options.open(path)
}

/// Brings to disk what a directory lists.
pub(super) fn directory_sync(path: &Path) -> io::Result<()> {
    open(path)?.sync_all()
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
