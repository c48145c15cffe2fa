//! Keys that whoever asks trusts: as they were printed, or in files.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};

use crate::audit::checkpoint::note::{Kind, NoteError, PublicKey};

/// What stands on the command line.
#[derive(Clone, Debug)]
pub(super) enum KeyOrFile {
    File(PathBuf),
    Key(PublicKey),
}

impl FromStr for KeyOrFile {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text
            .parse()
            .map_or_else(|_no_key| Self::File(text.into()), Self::Key))
    }
}

/// Keys of journals. A witness confirms other journals, too: what it has signed is nobody's own by that.
pub(super) fn journals(given: &[KeyOrFile]) -> anyhow::Result<Vec<PublicKey>> {
    let keys = keys(given)?;
    match keys.iter().find(|key| key.kind() != Kind::Plain) {
        Some(key) => bail!("{key} is the key of a witness, not of a journal: give it by --witness"),
        None => Ok(keys),
    }
}

/// The same, of witnesses.
pub(super) fn witnesses(given: &[KeyOrFile]) -> anyhow::Result<Vec<PublicKey>> {
    let keys = keys(given)?;
    match keys.iter().find(|key| key.kind() != Kind::Cosignature) {
        Some(key) => bail!("{key} is the key of a journal, not of a witness"),
        None => Ok(keys),
    }
}

/// All of them. A file has one a line; empty lines, and those that begin with `#`, are stepped over.
fn keys(given: &[KeyOrFile]) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for one in given {
        let path = match one {
            KeyOrFile::Key(key) => {
                keys.push(key.clone());
                continue;
            }
            KeyOrFile::File(path) => path,
        };
        if path
            .to_string_lossy()
            .trim_start()
            .starts_with("PRIVATE+KEY+")
        {
            bail!("what is given is a {}", NoteError::Private);
        }
        let shown = path.display();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
        read.with_context(|| {
            format!("{shown} is neither a key, NAME+HASH+BASE64, nor a file with keys")
        })?;
        if text.len() as u64 == LONGEST {
            bail!("{shown} is longer than any file with keys");
        }
        let lines = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let before = keys.len();
        for line in lines {
            let key = line.parse().map_err(|error| match error {
                NoteError::Private => anyhow!("{shown} holds a {error}"),
                _ => anyhow!("{shown}: {error}"),
            })?;
            keys.push(key);
        }
        if keys.len() == before {
            bail!("{shown} holds no key");
        }
    }
    Ok(keys)
}

/// Of a file with keys: thousands.
const LONGEST: u64 = 1 << 20;
