//! The key of a journal: 32 random bytes, by which what must not be shown gets names.
//!
//! Whoever has it can test guesses, so a file that others may read is refused, and so is one that holds no
//! key: names made with 32 zeros could be tested by everybody.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::directory::{KEY, at, may_others};
use super::segment::{OWNERS_ALONE, OpenError, open_regular, put};
use crate::value::counted;

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("hash.key")
}

pub(super) fn read_or_make(path: &Path) -> Result<[u8; 32], OpenError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    // Two random UUIDs: 244 bits from the system's generator.
    let random = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    let key: [u8; 32] = Sha256::digest(random).into();
    put(path, &key, OWNERS_ALONE).map_err(at(path))?;
    Ok(key)
}

/// The key, where there is one.
pub(super) fn read(path: &Path) -> Result<Option<[u8; 32]>, OpenError> {
    let refuse = |reason: String| OpenError::Key {
        path: path.to_owned(),
        reason: format!(
            "{reason}: put the journal's own key back, or remove it, and dtgate makes a new one \
             (the names of credentials without a public part then change)"
        ),
    };
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(at(path))?,
    };
    if !found.is_file() {
        return Err(refuse("is no regular file".to_owned()));
    }
    let file = open_regular(path).map_err(at(path))?;
    may_others(path, &file.metadata().map_err(at(path))?, KEY)?;
    let mut content = Vec::new();
    file.take(LENGTH as u64 + 1)
        .read_to_end(&mut content)
        .map_err(at(path))?;
    let key = <[u8; LENGTH]>::try_from(content.as_slice()).map_err(|_length| {
        refuse(match content.len() {
            length @ ..=LENGTH => format!("has {}, not {LENGTH}", counted(length, "byte")),
            _ => format!("is longer than {LENGTH} bytes"),
        })
    })?;
    if key.iter().collect::<BTreeSet<_>>().len() < DIFFERENT {
        return Err(refuse("is not random".to_owned()));
    }
    Ok(Some(key))
}

const LENGTH: usize = 32;

/// Bytes that differ from one another in a key at least. Of 32 random ones 30 do; fewer than these happen once in
/// 10^13 keys, and 32 zeros, a word repeated or hexadecimal digits have fewer.
const DIFFERENT: usize = 17;
