//! Bundles that were fetched, as files: the newest one, which the gate reads, and beside it the one that was in force
//! last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::remembered::replace;
use super::{Config, Name, Remembered};
use crate::policy::Packed;
use crate::value::Sha256Hex;

/// What a server said of what was fetched.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Said {
    /// SHA-256 of the bundle.
    pub(super) digest: String,
    #[serde(default)]
    pub(super) etag: Option<String>,
    /// When the server last said that this is the bundle.
    #[serde(default)]
    pub(super) confirmed: Option<String>,
}

/// The files of one bundle.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    state: PathBuf,
    name: Name,
    /// What the gate reads.
    current: PathBuf,
    /// What may stand there.
    packed: Packed,
}

impl Stored {
    pub(super) fn new(state: &Path, name: &Name, config: &Config) -> Self {
        let current = config.path(state, name);
        Self {
            state: state.to_owned(),
            name: name.clone(),
            packed: config.packed(name, current.clone()),
            current,
        }
    }

    fn good(&self) -> PathBuf {
        self.state.join(format!("{}.good.tar.gz", self.name))
    }

    fn said_path(&self) -> PathBuf {
        self.state.join(format!("{}.server.json", self.name))
    }

    pub(super) fn is_there(&self) -> bool {
        self.current.exists()
    }

    /// Whether what is there may be read.
    pub(super) fn is_good(&self) -> bool {
        fs::read(&self.current).is_ok_and(|bytes| self.vet(&bytes).is_ok())
    }

    /// Refuses what may not be put there: the gate reads only what was signed.
    pub(super) fn vet(&self, bytes: &[u8]) -> Result<(), String> {
        self.packed.vet(bytes)
    }

    /// What the server said last. What cannot be read was never said.
    pub(super) fn said(&self) -> Said {
        let text = fs::read_to_string(self.said_path()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The `ETag` of what is in force. That of a bundle that was refused, or is not in force yet, is none.
    pub(super) fn etag(&self) -> Option<String> {
        let said = self.said();
        let in_force = Remembered::read(&self.state, &self.name).ok()??;
        said.etag.filter(|_| said.digest == in_force.digest)
    }

    /// Keeps what was fetched, and says whether it is another one than before.
    pub(super) fn keep(&self, bytes: &[u8], said: &Said) -> io::Result<bool> {
        let before = fs::read(&self.current).unwrap_or_default();
        let is_other = before != bytes;
        if is_other {
            replace(&self.current, bytes)?;
        }
        self.say(said)?;
        Ok(is_other)
    }

    pub(super) fn say(&self, said: &Said) -> io::Result<()> {
        replace(
            &self.said_path(),
            serde_json::json!(said).to_string().as_bytes(),
        )
    }

    /// It is in force: from here on a start takes it, whatever else is fetched and refused.
    pub(super) fn is_in_force(&self, digest: &str) -> io::Result<()> {
        let bytes = fs::read(&self.current)?;
        // A newer one came meanwhile: it will be in force, or not.
        if Sha256Hex::of(&bytes).as_str() != digest
            || fs::read(self.good()).ok().as_ref() == Some(&bytes)
        {
            return Ok(());
        }
        replace(&self.good(), &bytes)
    }

    /// For a start: what was in force last, and nothing that came later.
    pub(super) fn restore(&self) -> io::Result<()> {
        match fs::read(self.good()) {
            Ok(bytes) if fs::read(&self.current).ok().as_ref() != Some(&bytes) => {
                replace(&self.current, &bytes)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
