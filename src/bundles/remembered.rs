//! What of each bundle was in force last, in a file each, so that it is known after a restart: an older one is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Name;
use crate::policy::{Before, Least, Release};
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
    /// What it owned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
    /// Whether it had policies, or what they share.
    #[serde(default, skip_serializing_if = "is_not")]
    pub rego: bool,
    /// Another set is in force since, without a bundle of this name.
    #[serde(default, skip_serializing_if = "is_not")]
    pub gone: bool,
    /// When it was put in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When its server last said that this is the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_not(is: &bool) -> bool {
    !is
}

/// The bundles that somebody went back from on purpose, the latest last: of the sets that are kept, they do not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct WentBack(Vec<Left>);

/// One of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Left {
    name: String,
    roots: Vec<String>,
    sequence: u64,
    digest: String,
    content: String,
}

impl Left {
    fn of(before: &Before) -> Option<Self> {
        let least = before.least.clone()?;
        Some(Self {
            name: before.name.clone(),
            roots: before.roots.clone(),
            sequence: least.sequence,
            digest: least.digest,
            content: least.content,
        })
    }

    fn before(&self) -> Before {
        let (roots, least) = (self.roots.clone(), Some(self.least()));
        Before {
            name: self.name.clone(),
            roots,
            least,
            has_rego: false,
            is_in_force: false,
        }
    }

    fn least(&self) -> Least {
        Least {
            sequence: self.sequence,
            digest: self.digest.clone(),
            content: self.content.clone(),
        }
    }
}

impl WentBack {
    /// `None`: nobody has written it yet, or an earlier build has, which knew numbers only: those would also hide what was
    /// in force later.
    pub fn read(state: &Path) -> Result<Option<Self>, StateError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bundles(Vec<Left>),
            Numbers(BTreeMap<String, u64>),
        }
        let path = state.join(WENT_BACK);
        let written = read(path).map_err(|error| match error {
            StateError::Damaged { path, reason } => StateError::DamagedList { path, reason },
            other => other,
        })?;
        Ok(match written {
            Some(Written::Bundles(all)) => Some(Self(all)),
            Some(Written::Numbers(none)) if none.is_empty() => Some(Self::default()),
            Some(Written::Numbers(_)) | None => None,
        })
    }

    /// Whether it was gone back from under this name: it has the same number and the same files. Under another it may have
    /// been in force later.
    pub fn has(&self, release: &Release) -> bool {
        let is_it = |from: &Left| {
            let is_same = from.digest == release.digest || from.content == release.content;
            from.name == release.name && release.sequence == Some(from.sequence) && is_same
        };
        self.0.iter().any(is_it)
    }

    /// Takes out what is in force again, or has something in its place that is not older.
    pub fn is_in_force(&mut self, release: &Release) {
        let sequence = release.sequence;
        self.0.retain(|from| {
            let is_older = sequence.is_none_or(|it| it < from.sequence);
            is_older || !from.before().concerns(&release.name, &release.roots)
        });
    }

    /// Adds one. What nobody has gone back from for longest is forgotten beyond a number: it counts again.
    pub fn add(&mut self, before: &Before) {
        if let Some(from) = Left::of(before)
            && !self.0.contains(&from)
        {
            self.0.push(from);
            let beyond = self.0.len().saturating_sub(MOST_WENT_BACK);
            self.0.drain(..beyond);
        }
    }

    pub fn write(&self, state: &Path) -> Result<(), StateError> {
        let text = serde_json::json!(self).to_string();
        replace(&state.join(WENT_BACK), format!("{text}\n").as_bytes()).map_err(StateError::Write)
    }
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
    #[error(
        "policies.state: {}: it does not say what was gone back from on purpose: {reason}; take the file away: then the \
         highest number of all sets that are kept counts, and who has gone back says why once more", path.display()
    )]
    DamagedList { path: PathBuf, reason: String },
    #[error("policies.state: {0}")]
    Write(io::Error),
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
        read(path(state, name))
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
        replace(&path, format!("{text}\n").as_bytes()).map_err(StateError::Write)
    }

    /// All that is remembered, by name.
    pub fn all(state: &Path) -> Result<Vec<(Name, Self)>, StateError> {
        let unread = |error| StateError::Read {
            path: state.to_owned(),
            error,
        };
        let entries = match fs::read_dir(state) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unread)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let file = entry.map_err(unread)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(ENDING));
            let Some(name) = name.and_then(|name| Name::try_from(name.to_owned()).ok()) else {
                continue;
            };
            if let Some(remembered) = Self::read(state, &name)? {
                all.push((name, remembered));
            }
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// What may not be older, of a bundle that has this name.
    pub fn before(&self, name: &Name) -> Before {
        Before {
            name: name.to_string(),
            roots: self.roots.clone(),
            least: self.least(),
            has_rego: self.rego,
            is_in_force: !self.gone,
        }
    }

    /// Forgets one.
    pub fn forget(state: &Path, name: &Name) -> io::Result<()> {
        let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::remove_file(path(state, name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Puts a file in the place of another, in a directory that is made where there is none. It is on disk, and for nobody
/// else to read, when this comes back; whoever reads meanwhile gets the one or the other. An error names what stands in
/// the way.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    replace_by(&new, path, bytes)
        .map_err(|(at, error)| io::Error::other(format!("{}: {}", at.display(), unwritten(&error))))
}

/// `new`: what it is called until it is whole.
fn replace_by<'a>(
    new: &'a Path,
    path: &'a Path,
    bytes: &[u8],
) -> Result<(), (&'a Path, io::Error)> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let at = |at: &'a Path| move |error: io::Error| (at, error);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(at(directory))?;
    // One at a time: another that writes the same file would take its new one away.
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    // What somebody else left or linked there is not written to.
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err((new, error)),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(new).map_err(at(new))?;
    file.write_all(bytes).map_err(at(new))?;
    file.sync_all().map_err(at(new))?;
    fs::rename(new, path).map_err(at(path))?;
    let written = fs::File::open(directory).and_then(|directory| directory.sync_all());
    written.map_err(at(directory))
}

/// Of a file, behind the name of its bundle.
const ENDING: &str = ".json";
/// Many more than anybody goes back over.
const MOST_WENT_BACK: usize = 4096;
/// No bundle has such a name.
const WENT_BACK: &str = "went.back.json";
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
    state.join(format!("{name}{ENDING}"))
}

/// What a file of the state says; `None`: nobody has written it yet.
fn read<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, StateError> {
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
