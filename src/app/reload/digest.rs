//! What files are like: equal digests, equal files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::policy::LONGEST_FILE;
use crate::value::read_file;

/// SHA-256 over names and contents.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::app) struct Digest([u8; 32]);

impl Digest {
    /// Of files, and of what policies are made of below directories. What cannot be read counts by the reason.
    pub(in crate::app) fn of<P: AsRef<Path>>(paths: &[P]) -> Self {
        let mut look = Look {
            sum: Sha256::new(),
            links: 0,
            left: MOST_BYTES,
        };
        for path in paths.iter().map(AsRef::as_ref) {
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => {
                    look.links = 0;
                    directory(path, &mut Vec::new(), &mut look);
                }
                _ => file(path, &mut look),
            }
        }
        Self(look.sum.finalize().into())
    }
}

/// What was seen so far.
struct Look {
    sum: Sha256,
    /// To directories, that were followed.
    links: usize,
    /// Bytes that may be read. Whoever reads policies refuses more.
    left: u64,
}

/// `way`: the directories that it is in, links resolved.
fn directory(path: &Path, way: &mut Vec<PathBuf>, look: &mut Look) {
    add(&mut look.sum, path.as_os_str().as_encoded_bytes());
    // Where links lead in a circle or to too many, whoever reads policies says so.
    match path.canonicalize() {
        Ok(real) if look.links <= MOST_LINKS && !way.contains(&real) => way.push(real),
        _ => return,
    }
    entries(path, way, look);
    way.pop();
}

fn entries(path: &Path, way: &mut Vec<PathBuf>, look: &mut Look) {
    let entries: io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return add(&mut look.sum, error.kind().to_string().as_bytes()),
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
            look.links += usize::from(entry.file_type().is_ok_and(|kind| kind.is_symlink()));
            directory(&path, way, look);
        } else if is_policy(&path) {
            file(&path, look);
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

fn file(path: &Path, look: &mut Look) {
    add(&mut look.sum, path.as_os_str().as_encoded_bytes());
    match read_file(path, look.left.min(LONGEST_FILE)) {
        Ok(text) => {
            look.left = look.left.saturating_sub(text.len() as u64);
            add(&mut look.sum, &text);
        }
        Err(error) => add(&mut look.sum, error.to_string().as_bytes()),
    }
}

/// Of all files together.
const MOST_BYTES: u64 = 16 * LONGEST_FILE;
const MOST_LINKS: usize = 1000;

/// With its length, so that two texts are never read as one.
fn add(sum: &mut Sha256, text: &[u8]) {
    sum.update((text.len() as u64).to_be_bytes());
    sum.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may write to a directory of policies or requests could stop the gate by it.
    #[test]
    fn devices_and_pipes_are_looked_at_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.json"), "{}").unwrap();
        let before = Digest::of(&[folder.path()]);
        std::os::unix::fs::symlink("/dev/zero", path("zero.json")).unwrap();
        let with_zero = Digest::of(&[folder.path()]);
        let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe.rego"), kind, mode, 0).unwrap();
        let with_pipe = Digest::of(&[folder.path()]);
        assert!(before != with_zero && with_zero != with_pipe);
        assert_eq!(with_pipe, Digest::of(&[folder.path()]));
    }
}
