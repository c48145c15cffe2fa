//! How far the journal is known to be on disk: the file `head`, with the number and the hash of that record, and
//! the number of the last one that somebody was answered for (nobody is for a `stop`).
//!
//! It is written behind every sync and never synced itself, so it costs little and never says too much: after
//! a crash of the machine it may be older than the journal, never newer. It tells damage at the end of a
//! journal from what a crash leaves there. It is no proof: whoever can change a segment can change it too.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::chain::{Head, NotedHead};
use super::segment::{Damage, as_readable_as, open_regular, put};

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Mark(File);

/// What it says.
#[derive(Clone, Debug)]
pub(super) struct Marked {
    pub(super) head: NotedHead,
    pub(super) answered: u64,
}

impl Mark {
    pub(super) fn put(directory: &Path, head: &Head, answered: u64) -> io::Result<Self> {
        let mode = as_readable_as(directory)?;
        put(&path(directory), line(head, answered).as_bytes(), mode).map(Self)
    }

    /// Always of one length, and in one sector: there is no half of it.
    pub(super) fn write(&self, head: &Head, answered: u64) -> io::Result<()> {
        self.0.write_all_at(line(head, answered).as_bytes(), 0)
    }
}

/// Reads the file, where there is one.
pub(super) fn read(directory: &Path) -> io::Result<Option<Result<Marked, Damage>>> {
    let path = path(directory);
    let mut before = None;
    // A gate may be writing it: what is there twice is whole.
    for _ in 0..TRIES {
        let file = match open_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.take(LONGEST).read_to_end(&mut content)?;
        if before.as_ref() == Some(&content) {
            break;
        }
        before = Some(content);
    }
    let marked = parse(&before.unwrap_or_default());
    Ok(Some(marked.ok_or(Damage::Head(path))))
}

/// The last record of a journal that is known to be on disk; `None`: nothing says so.
pub fn on_disk(directory: &Path) -> Option<u64> {
    let marked = read(directory).ok()??.ok()?;
    Some(marked.head.seq)
}

fn parse(content: &[u8]) -> Option<Marked> {
    let line = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
    let (head, answered) = line.split_once(' ')?;
    Some(Marked {
        head: head.parse().ok()?,
        answered: answered.parse().ok()?,
    })
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("head")
}

fn line(head: &Head, answered: u64) -> String {
    let hash = head.hash.as_str();
    format!("{:020}:{hash} {answered:020}\n", head.next - 1)
}

const TRIES: usize = 8;

/// More than what is written.
const LONGEST: u64 = 256;
