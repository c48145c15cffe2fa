//! What files are like: equal digests, equal files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// SHA-256 over names and contents.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::app) struct Digest([u8; 32]);

impl Digest {
    /// Of files, and of what policies are made of below directories. What cannot be read counts by the reason.
    pub(in crate::app) fn of<P: AsRef<Path>>(paths: &[P]) -> Self {
        let mut sum = Sha256::new();
        for path in paths.iter().map(AsRef::as_ref) {
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => {
                    directory(path, &mut Vec::new(), &mut 0, &mut sum);
                }
                _ => file(path, &mut sum),
            }
        }
        Self(sum.finalize().into())
    }
}

/// `way`: the directories that it is in, links resolved; `links`: those that were followed so far.
fn directory(path: &Path, way: &mut Vec<PathBuf>, links: &mut usize, sum: &mut Sha256) {
    add(sum, path.as_os_str().as_encoded_bytes());
    // Where links lead in a circle or to too many, whoever reads policies says so.
    match path.canonicalize() {
        Ok(real) if *links <= MOST_LINKS && !way.contains(&real) => way.push(real),
        _ => return,
    }
    entries(path, way, links, sum);
    way.pop();
}

fn entries(path: &Path, way: &mut Vec<PathBuf>, links: &mut usize, sum: &mut Sha256) {
    let entries: io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return add(sum, error.kind().to_string().as_bytes()),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        // `..data` of a ConfigMap is one of them: its files are seen by their own links.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Links are followed, as whoever reads policies does.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            *links += usize::from(entry.file_type().is_ok_and(|kind| kind.is_symlink()));
            directory(&path, way, links, sum);
        } else if is_policy(&path) {
            file(&path, sum);
        }
    }
}

/// Whatever its name is written like: some spellings are refused.
fn is_policy(path: &Path) -> bool {
    let kinds = ["json", "rego", "yaml", "yml"];
    path.extension().is_some_and(|extension| {
        kinds
            .iter()
            .any(|kind| extension.eq_ignore_ascii_case(kind))
    })
}

fn file(path: &Path, sum: &mut Sha256) {
    add(sum, path.as_os_str().as_encoded_bytes());
    match fs::read(path) {
        Ok(text) => add(sum, &text),
        Err(error) => add(sum, error.kind().to_string().as_bytes()),
    }
}

const MOST_LINKS: usize = 1000;

/// With its length, so that two texts are never read as one.
fn add(sum: &mut Sha256, text: &[u8]) {
    sum.update((text.len() as u64).to_be_bytes());
    sum.update(text);
}
