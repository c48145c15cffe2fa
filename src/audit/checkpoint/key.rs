//! The key that signs the journal's checkpoints: the file `checkpoint.key`, made with the journal.
//!
//! Whoever has it can write a journal anew as the gate's own, so a file that others may read is refused. A new key waits
//! in `checkpoint.key.next` until a start has put on record that the old one names it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::directory::{KEY, at, directory_sync, may_others};
use super::super::renamed::renamed;
use super::super::segment::{OWNERS_ALONE, OpenError, open_regular, put, segments};
use super::Origin;
use super::note::{PublicKey, SigningKey};

/// What a journal signs with.
#[derive(Debug)]
pub(in crate::audit) struct Keys {
    pub(in crate::audit) current: SigningKey,
    /// Takes over at this start.
    pub(in crate::audit) next: Option<SigningKey>,
}

impl Keys {
    /// The keys of a journal; made where there is none. `origin`: what the configuration calls it, if it does.
    pub(in crate::audit) fn read_or_make(
        directory: &Path,
        origin: Option<&Origin>,
    ) -> Result<Self, OpenError> {
        let path = path(directory);
        let (mut current, next) = (read(&path)?, read(&next_path(directory))?);
        if current.is_none() && next.is_none() {
            if !segments(directory).map_err(at(directory))?.is_empty() {
                tracing::warn!(
                    "the journal has no checkpoint.key: another is made, and no earlier checkpoint vouches for it"
                );
            }
            let name = origin.cloned().unwrap_or_else(Origin::of_this_host);
            current = Some(make(&path, name.as_str())?);
        }
        let keys = match (current, next) {
            // A crash came between the record and the renaming: as if it were the first.
            (None, Some(next)) => {
                take_over(directory)?;
                Self {
                    current: next,
                    next: None,
                }
            }
            (Some(current), Some(next)) if current.public() == next.public() => {
                take_over(directory)?;
                Self {
                    current,
                    next: None,
                }
            }
            (Some(current), next) => Self { current, next },
            (None, None) => return Err(refused(&path, "is gone")),
        };
        let last = keys.next.as_ref().unwrap_or(&keys.current);
        agree(&path, last.name(), origin)?;
        Ok(keys)
    }
}

/// The public keys of a journal: the one that signs, and the one that waits to take over.
pub fn public(directory: &Path) -> Result<(Option<PublicKey>, Option<PublicKey>), OpenError> {
    let of = |key: Option<SigningKey>| key.map(|key| key.public());
    Ok((
        of(read(&path(directory))?),
        of(read(&next_path(directory))?),
    ))
}

/// Makes a key that takes over at the next start. One that waits already is kept: somebody may have been told it.
pub fn prepare(directory: &Path, origin: Option<&Origin>) -> Result<PublicKey, OpenError> {
    let current = read(&path(directory))?.ok_or_else(|| {
        refused(
            &path(directory),
            "is not there yet: the first start of a gate makes it",
        )
    })?;
    if read(&next_path(directory))?.is_some() {
        return Err(refused(
            &next_path(directory),
            "holds a key that waits already: it takes over at the next start of the gate; or remove the file, and run this \
             again",
        ));
    }
    let name = origin.map_or_else(|| current.name(), Origin::as_str);
    if name != current.name() {
        is_new(directory, name)?;
    }
    Ok(make(&next_path(directory), name)?.public())
}

/// A name that the journal had before stands for its records of that time: what comes now would not go on behind those.
fn is_new(directory: &Path, name: &str) -> Result<(), OpenError> {
    let before = renamed(directory).map_err(at(directory))?;
    if before.iter().any(|it| it.old == name || it.new == name) {
        let reason = format!(
            "is of a journal that had the name {name:?} before, and nobody could prove its records elsewhere if it got \
             that name back: take one that it never had"
        );
        return Err(refused(&path(directory), &reason));
    }
    Ok(())
}

/// Puts the next key in the place of the current one.
pub(in crate::audit) fn take_over(directory: &Path) -> Result<(), OpenError> {
    let path = path(directory);
    let moved = std::fs::rename(next_path(directory), &path);
    moved
        .and_then(|()| directory_sync(directory))
        .map_err(at(&path))
}

/// Finds what a start would object to, and changes nothing.
pub fn check(directory: &Path, origin: Option<&Origin>) -> Result<(), OpenError> {
    let path = path(directory);
    let (current, next) = (read(&path)?, read(&next_path(directory))?);
    let last = next.or(current);
    last.map_or(Ok(()), |last| agree(&path, last.name(), origin))
}

/// A journal that goes on under another name would be another one for whoever keeps its checkpoints.
fn agree(path: &Path, name: &str, origin: Option<&Origin>) -> Result<(), OpenError> {
    let Some(origin) = origin.map(Origin::as_str).filter(|origin| *origin != name) else {
        return Ok(());
    };
    let reason = format!(
        "is of the origin {name:?}, and journal.origin is {origin:?}: take journal.origin out of the configuration, or \
         stop the gate and run `dtgate audit key --rotate --origin {origin}`"
    );
    Err(refused(path, &reason))
}

/// Makes the key of a person, in a file of its own. One that is there is kept.
pub fn make_for_person(path: &Path, name: &str) -> Result<SigningKey, OpenError> {
    if std::fs::symlink_metadata(path).is_ok() {
        return Err(refused(
            path,
            "is there already: name another file with --output",
        ));
    }
    make(path, name)
}

/// The key of a person.
pub fn of_person(path: &Path) -> Result<SigningKey, OpenError> {
    let is_public = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text)?;
        Ok(text.parse::<PublicKey>().is_ok())
    });
    if is_public.unwrap_or(false) {
        let reason = "holds a public key: --key takes the private one, which `dtgate grant key NAME` wrote into NAME.key";
        return Err(refused(path, reason));
    }
    let key = read_as(path, "holds no key: `dtgate grant key NAME` makes one")?;
    key.ok_or_else(|| refused(path, "is not there: `dtgate grant key NAME` makes one"))
}

fn make(path: &Path, name: &str) -> Result<SigningKey, OpenError> {
    let key = SigningKey::generate(name).map_err(|error| refused(path, &error.to_string()))?;
    put(path, key.to_secret_text().as_bytes(), OWNERS_ALONE).map_err(at(path))?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<SigningKey>, OpenError> {
    read_as(
        path,
        "holds no key: put the journal's own key back; or remove it, and dtgate makes a new one, which no earlier \
         checkpoint vouches for",
    )
}

/// `otherwise`: what is said where the file has something else.
fn read_as(path: &Path, otherwise: &str) -> Result<Option<SigningKey>, OpenError> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(at(path))?,
    };
    if !found.is_file() {
        return Err(refused(path, "is no regular file"));
    }
    let file = open_regular(path).map_err(at(path))?;
    may_others(path, &file.metadata().map_err(at(path))?, KEY)?;
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    let key = read
        .ok()
        .and_then(|_length| SigningKey::from_secret_text(&text).ok());
    key.map(Some).ok_or_else(|| refused(path, otherwise))
}

fn refused(path: &Path, reason: &str) -> OpenError {
    OpenError::Key {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("checkpoint.key")
}

fn next_path(directory: &Path) -> PathBuf {
    directory.join("checkpoint.key.next")
}

/// More than what is written.
const LONGEST: u64 = 1024;
