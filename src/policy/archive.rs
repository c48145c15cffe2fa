//! The archive that an OPA bundle is (`.tar.gz`), as what is in it: names and bytes.
//!
//! Whoever made it is not trusted: sizes, numbers and names have bounds, and what is no plain file is refused with the
//! reason, as are names that lead out of it and names that stand twice. A cut or changed archive is refused by its
//! checksum. It does not know what the files mean.

pub(in crate::policy) mod algorithm;
mod canonical;
pub(in crate::policy) mod manifest;
mod once;
pub(in crate::policy) mod sign;
pub(in crate::policy) mod signature;
#[cfg(test)]
mod tests;
pub(in crate::policy) mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::value::{Sha256Hex, Visible, read_file, unread};

/// The longest archive, as it is stored and sent.
pub const MOST_BYTES: usize = 32 << 20;
/// What is in it, with what the archive needs for itself.
const MOST_UNPACKED: usize = 64 << 20;
const MOST_FILES: usize = 10_000;
/// In bytes.
const LONGEST_NAME: usize = 1024;
/// Directories within directories.
const DEEPEST: usize = 32;
const LONGEST_MESSAGE: usize = 1000;
/// How what is compressed begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Of the archive's blocks.
const BLOCK: usize = 512;

/// What is in it.
#[derive(Debug, PartialEq)]
pub(in crate::policy) struct Archive {
    /// By their names below its root, with slashes.
    pub(in crate::policy) files: BTreeMap<String, Vec<u8>>,
    /// How names stand in it that are not what tools of OPA write, `/a/x.rego`.
    written: BTreeMap<String, String>,
    /// SHA-256 of the archive.
    pub(in crate::policy) digest: String,
    /// As it was stored and sent.
    pub(in crate::policy) packed: Arc<[u8]>,
}

/// Why it is refused.
#[derive(Debug, PartialEq)]
pub(in crate::policy) struct Refusal {
    /// The file in it that is wrong; `None`: the whole.
    pub(in crate::policy) file: Option<String>,
    pub(in crate::policy) message: String,
}

impl Refusal {
    pub(in crate::policy) fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            message: cut(message.into()),
        }
    }

    pub(in crate::policy) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: Some(Visible(file).to_string()),
            message: cut(message.into()),
        }
    }
}

impl Archive {
    /// Reads a file.
    pub(in crate::policy) fn open(path: &Path) -> Result<Self, Refusal> {
        let packed = read_file(path, MOST_BYTES as u64);
        Self::read(&packed.map_err(|error| Refusal::new(unread(&error)))?)
    }

    /// SHA-256 of a file that may be one.
    pub(in crate::policy) fn digest_of(path: &Path) -> io::Result<String> {
        let packed = read_file(path, MOST_BYTES as u64)?;
        Ok(Sha256Hex::of(&packed).as_str().to_owned())
    }

    pub(in crate::policy) fn read(packed: &[u8]) -> Result<Self, Refusal> {
        let unpacked = unpacked(packed)?;
        let (mut files, mut written) = (BTreeMap::new(), BTreeMap::new());
        let mut names = BTreeSet::new();
        let mut end = 0;
        let mut archive = tar::Archive::new(unpacked.as_slice());
        for entry in archive.entries().map_err(|error| broken(&error))? {
            let mut entry = entry.map_err(|error| broken(&error))?;
            let kind = entry.header().entry_type();
            let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
            let at = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
            end = at
                .saturating_add(size)
                .checked_next_multiple_of(BLOCK)
                .unwrap_or(usize::MAX);
            // What `git archive` begins with.
            if kind == EntryType::XGlobalHeader {
                continue;
            }
            let raw = entry.path_bytes();
            let shown = raw.get(..LONGEST_NAME).unwrap_or(&raw);
            let name = name(&raw).map_err(|reason| {
                Refusal::of_file(
                    &String::from_utf8_lossy(shown),
                    format!("its name {reason}"),
                )
            })?;
            let as_it_stands = String::from_utf8_lossy(shown).into_owned();
            if names.len() >= MOST_FILES {
                let message = format!("it has more than {MOST_FILES} files and directories");
                return Err(Refusal::new(message));
            }
            if !name.is_empty() && !names.insert(name.clone()) {
                return Err(Refusal::of_file(&name, "it stands twice in the bundle"));
            }
            match kind {
                EntryType::Directory => {}
                EntryType::Regular | EntryType::Continuous if name.is_empty() => {
                    return Err(Refusal::new("a file in it has no name"));
                }
                EntryType::Regular | EntryType::Continuous => {
                    let mut bytes = Vec::new();
                    entry
                        .read_to_end(&mut bytes)
                        .map_err(|error| broken(&error))?;
                    if bytes.len() != size {
                        return Err(Refusal::of_file(&name, "it is cut"));
                    }
                    if as_it_stands.strip_prefix('/') != Some(name.as_str()) {
                        written.insert(name.clone(), as_it_stands);
                    }
                    files.insert(name, bytes);
                }
                _ => {
                    let message = "it is a link, a device or something else that is no plain file: bundles hold files \
                                   and directories";
                    return Err(Refusal::of_file(&name, message));
                }
            }
        }
        let rest = unpacked.get(end..);
        if rest.is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            return Err(Refusal::new(
                "something stands behind its end, or it is cut",
            ));
        }
        Ok(Self {
            files,
            written,
            digest: Sha256Hex::of(packed).as_str().to_owned(),
            packed: packed.into(),
        })
    }

    /// SHA-256 of what is in it, but for one file. Two that were packed or signed apart have the same if their files are
    /// the same.
    pub(in crate::policy) fn content_without(&self, but: &str) -> String {
        content_without(&self.files, but)
    }

    /// A file's name as OPA has it: as it stands in the archive.
    fn as_written(&self, name: &str) -> String {
        let written = self.written.get(name).cloned();
        written.unwrap_or_else(|| format!("/{name}"))
    }

    /// A file that has to be text.
    pub(in crate::policy) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let bytes = self.files.get(name);
        let text = bytes.map(|bytes| std::str::from_utf8(bytes));
        text.transpose()
            .map_err(|_error| Refusal::of_file(name, "it is not UTF-8"))
    }
}

/// The same of files that are still to be packed.
pub(in crate::policy) fn content_without(files: &BTreeMap<String, Vec<u8>>, but: &str) -> String {
    let mut sum = Sha256::new();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != but) {
        // With their lengths, so that two files are never read as one.
        for part in [name.as_bytes(), bytes] {
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part);
        }
    }
    HEXLOWER.encode(&sum.finalize())
}

/// Everything that is compressed, after its checksum was found right.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut gzip = GzDecoder::new(packed);
    let unpacked = at_most(&mut gzip, MOST_UNPACKED).map_err(|error| {
        let is_cut = error.kind() == io::ErrorKind::UnexpectedEof && packed.starts_with(&GZIP);
        Refusal::new(if is_cut {
            "it is cut: its end is missing"
        } else {
            "it is no bundle, or damaged: a bundle is a tar archive that is compressed with gzip"
        })
    })?;
    let unpacked = unpacked.ok_or_else(|| {
        Refusal::new(format!(
            "unpacked it has more than {} MiB",
            MOST_UNPACKED >> 20
        ))
    })?;
    if gzip.into_inner().is_empty() {
        Ok(unpacked)
    } else {
        Err(Refusal::new("something stands behind its end"))
    }
}

/// Words of whoever made it, as long as somebody reads them.
fn cut(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push('…');
    }
    message
}

/// `None`: there is more.
fn at_most(from: impl Read, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

fn broken(error: &io::Error) -> Refusal {
    Refusal::new(format!(
        "it is no tar archive, or damaged: {}",
        Visible(error)
    ))
}

/// Below the root of the bundle; empty for the root itself. OPA writes a slash before each name, `tar .` writes `./`.
fn name(raw: &[u8]) -> Result<String, String> {
    if raw.len() > LONGEST_NAME {
        return Err(format!("has more than {LONGEST_NAME} bytes"));
    }
    let text = std::str::from_utf8(raw).map_err(|_error| "is not UTF-8".to_owned())?;
    let below = text.strip_prefix("./").or_else(|| text.strip_prefix('/'));
    let below = below.unwrap_or(text);
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.is_empty() || below == "." {
        return Ok(String::new());
    }
    if below.contains('\\') || Visible(below).to_string() != below {
        return Err("has a backslash, or letters that cannot be seen".to_owned());
    }
    let steps: Vec<&str> = below.split('/').collect();
    if steps.iter().any(|step| matches!(*step, "" | "." | "..")) {
        return Err("leads out of the bundle, or has steps that say nothing".to_owned());
    }
    if steps.len() > DEEPEST {
        return Err(format!("leads through more than {DEEPEST} directories"));
    }
    Ok(below.to_owned())
}
