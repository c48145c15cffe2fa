//! What of each bundle was in force last, in a file each, so that it is known after a restart: an older one is refused.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Name;
use crate::policy::Least;
use crate::value::{unread, unwritten};

/// What was in force last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Of what is in it, whoever packed and signed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// When it was put in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When its server last said that this is the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

/// A server's word for a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// SHA-256 of its URL, which may have a secret in its query.
    pub server: String,
    pub at: String,
}

/// Why nobody knows, or nobody will.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("policies.state: {}: {}", path.display(), unread(error))]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "policies.state: {}: it does not say which bundle was in force: {reason}; if you know that no older one is given, \
         take the file away", path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("policies.state: {}: {}", path.display(), unwritten(error))]
    Write { path: PathBuf, error: io::Error },
}

impl Remembered {
    /// What may not be older.
    pub fn least(&self) -> Option<Least> {
        self.sequence.map(|sequence| Least {
            sequence,
            digest: self.digest.clone(),
            content: self.content.clone(),
        })
    }

    pub fn read(state: &Path, name: &Name) -> Result<Option<Self>, StateError> {
        let path = path(state, name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::Read { path, error }),
        };
        let read = serde_json::from_str(&text).map_err(|error| StateError::Damaged {
            path,
            reason: error.to_string(),
        });
        read.map(Some)
    }

    /// Puts another in its place, made of what is remembered. `None` leaves it. Nobody else changes it meanwhile.
    pub fn change(
        state: &Path,
        name: &Name,
        change: impl FnOnce(Option<Self>) -> Option<Self>,
    ) -> Result<(), StateError> {
        let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Self::read(state, name)?;
        match change(before.clone()) {
            Some(now) if before.as_ref() != Some(&now) => now.write(state, name),
            _ => Ok(()),
        }
    }

    /// Writes it so that it is whole whenever somebody reads it, and on disk when this comes back.
    pub fn write(&self, state: &Path, name: &Name) -> Result<(), StateError> {
        let path = path(state, name);
        let text = serde_json::json!(self).to_string();
        replace(&path, format!("{text}\n").as_bytes())
            .map_err(|error| StateError::Write { path, error })
    }
}

/// Puts a file in the place of another, in a directory that is made where there is none. It is on disk, and for nobody
/// else to read, when this comes back; whoever reads meanwhile gets the one or the other.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    // One at a time: another that writes the same file would take its new one away.
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let new = path.with_extension("new");
    // What somebody else left or linked there is not written to.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(directory)?.sync_all()
}

static WRITING: Mutex<()> = Mutex::new(());
static CHANGING: Mutex<()> = Mutex::new(());

/// Copies everything that is known of bundles into another directory.
pub fn copy_state(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn path(state: &Path, name: &Name) -> PathBuf {
    state.join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_force_is_read_back_and_a_damaged_file_is_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/state");
        let name = Name::try_from("platform".to_owned()).unwrap();
        assert_eq!(Remembered::read(&state, &name).unwrap(), None);
        let remembered = Remembered {
            digest: "00".to_owned(),
            revision: None,
            sequence: Some(7),
            content: "01".to_owned(),
            ..Remembered::default()
        };
        remembered.write(&state, &name).unwrap();
        assert_eq!(Remembered::read(&state, &name).unwrap(), Some(remembered));
        // A link that stands in the way leads nowhere.
        let other = directory.path().join("other");
        fs::write(&other, "whole").unwrap();
        std::os::unix::fs::symlink(&other, state.join("platform.new")).unwrap();
        replace(&state.join("platform.json"), b"{").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "whole");
        let said = Remembered::read(&state, &name).unwrap_err().to_string();
        assert!(said.contains("platform.json: it does not say"), "{said}");
    }
}
