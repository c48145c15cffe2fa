//! The file `tree`: the hashes of all full subtrees, each behind the last leaf below it, so that one more record costs two
//! hashes on the average, and a proof reads a few.
//!
//! It is never the truth. It is written behind the records and never synced; a start compares it with the newest
//! checkpoint that the gate has signed, and makes it anew from the segments where it is short, too long or wrong. Where old segments were pruned,
//! the file has a hole in place of what was below their largest subtrees.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use memchr::memmem;
use serde::Deserialize;

use super::super::checkpoint::note::{Note, PublicKey};
use super::super::checkpoint::{Checkpoint, hash_of};
use super::super::compress;
use super::super::event::Pruned;
use super::super::segment::{
    MOST_RECORDS, as_readable_as, first_record, open_lines, open_regular, options, read_line,
    segments,
};
use super::{Compact, Hash, Node, largest, leaf, stored};

/// The tree of a journal that is written.
#[derive(Debug)]
pub(in crate::audit) struct Stored {
    tree: Compact,
    /// Nothing is written to it any more after a failure: a hole would be taken for hashes.
    file: Option<File>,
    /// Hashes that the file holds.
    kept: u64,
    /// Those that come next.
    waiting: Vec<u8>,
    has_late_removals: bool,
}

/// What a batch of records adds, as long as nobody knows whether it is on disk.
#[derive(Debug)]
pub(in crate::audit) struct Growth {
    tree: Compact,
    hashes: Vec<u8>,
}

/// The hashes, to be read.
#[derive(Debug)]
pub struct Hashes(File);

/// What is known of records that were deleted.
#[derive(Debug, Default)]
pub(in crate::audit) struct Deleted {
    pub(in crate::audit) tree: Compact,
    /// The record that says so.
    pub(in crate::audit) pruned: Pruned,
}

impl Growth {
    /// Goes on with a line without its newline.
    pub(in crate::audit) fn push(&mut self, line: &[u8]) {
        let hashes = &mut self.hashes;
        self.tree
            .push(leaf(line), |hash| hashes.extend_from_slice(hash));
    }
}

impl Stored {
    /// The tree of the records up to `last`, all of which are on disk. `None`: it cannot be known, because segments are
    /// missing.
    ///
    /// What one of `keys` has signed is the truth: nothing is added to records that are others than a checkpoint of the
    /// gate's own says, and the file is not believed because of somebody else's.
    pub(in crate::audit) fn open(
        directory: &Path,
        last: u64,
        keys: &[PublicKey],
    ) -> io::Result<Option<Self>> {
        let file = options(as_readable_as(directory)?)
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path(directory))?;
        let segments = segments(directory)?;
        let has_late_removals = check_removals(&segments, keys)?;
        let hashes = Hashes(file);
        let newest = newest_right(&hashes, &segments, last, keys)?;
        let Some((tree, from)) = newest.map_or_else(
            || Ok::<_, io::Error>(beginning(&segments)?.map(|it| (it.tree, 0))),
            |it| Ok(Some(it)),
        )?
        else {
            return Ok(None);
        };
        let mut this = Self {
            kept: stored(tree.size()),
            tree,
            file: Some(hashes.0),
            waiting: Vec::new(),
            has_late_removals,
        };
        this.write_roots()?;
        if from == 0 && segments.len() > 2 {
            let segments = segments.len();
            tracing::info!(
                segments,
                "the journal's file tree is made anew: all of the journal is read"
            );
        }
        for path in segments.get(from..).unwrap_or_default() {
            this.follow(path, last, keys)?;
        }
        if this.tree.size() != last {
            return Ok(None);
        }
        this.flush();
        if let Some(file) = &this.file {
            file.set_len(this.kept * HASH)?;
        }
        Ok(Some(this))
    }

    /// The roots of what comes before: they are there, but for a journal whose beginning was pruned.
    fn write_roots(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        for (node, root) in largest(self.tree.size()).zip(self.tree.roots()) {
            file.write_all_at(root, node.place() * HASH)?;
        }
        Ok(())
    }

    /// Goes on with the records of a segment that come next, as far as `last`.
    fn follow(&mut self, path: &Path, last: u64, keys: &[PublicKey]) -> io::Result<()> {
        let (mut next, mut wrong) = (first_record(path).unwrap_or_default(), None);
        each_line(path, |line| {
            // By its place: what it says is checked elsewhere.
            if next == self.tree.size() + 1 && next <= last {
                if let Some(signed) = checkpoint(line, keys)
                    && signed != (self.tree.size(), self.tree.root())
                {
                    wrong = Some(next);
                    return false;
                }
                let waiting = &mut self.waiting;
                self.tree
                    .push(leaf(line), |hash| waiting.extend_from_slice(hash));
                if self.waiting.len() >= ROOM {
                    self.flush();
                }
            }
            next += 1;
            next <= last
        })?;
        match wrong {
            None => Ok(()),
            Some(record) => Err(io::Error::other(format!(
                "the checkpoint in record {record}, signed by this gate, covers other records than these: the journal was \
                 changed. Run `dtgate audit verify`"
            ))),
        }
    }

    pub(in crate::audit) fn tree(&self) -> &Compact {
        &self.tree
    }

    /// There were `pruned` records that were not signed when the journal was opened: nothing may be deleted because of
    /// them.
    pub(in crate::audit) fn has_late_removals(&self) -> bool {
        self.has_late_removals
    }

    pub(in crate::audit) fn grow(&self) -> Growth {
        Growth {
            tree: self.tree.clone(),
            hashes: Vec::new(),
        }
    }

    /// What was added is on disk.
    pub(in crate::audit) fn keep(&mut self, growth: Growth) {
        self.tree = growth.tree;
        self.waiting.extend_from_slice(&growth.hashes);
        if self.waiting.len() >= ROOM {
            self.flush();
        }
    }

    /// Writes what waits. A failure does not matter to records: the next start makes the file anew.
    pub(in crate::audit) fn flush(&mut self) {
        if let Some(file) = &self.file {
            match file.write_all_at(&self.waiting, self.kept * HASH) {
                Ok(()) => self.kept += self.waiting.len() as u64 / HASH,
                Err(error) => {
                    tracing::warn!(%error, "the journal's file tree cannot be written: proofs have to read the whole journal until the next start");
                    self.file = None;
                }
            }
        }
        self.waiting.clear();
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Hashes {
    pub fn open(directory: &Path) -> io::Result<Self> {
        open_regular(&path(directory)).map(Self)
    }

    /// The hash of a full subtree, if it is there.
    pub fn read(&self, node: Node) -> io::Result<Hash> {
        let mut hash = [0; 32];
        self.0.read_exact_at(&mut hash, node.place() * HASH)?;
        if hash == [0; 32] {
            return Err(io::Error::other("the file tree has a hole"));
        }
        Ok(hash)
    }

    /// The tree of so many leaves.
    pub fn tree(&self, size: u64) -> io::Result<Compact> {
        let roots: io::Result<Vec<Hash>> = largest(size).map(|node| self.read(node)).collect();
        Compact::from_roots(size, roots?).ok_or_else(|| io::Error::other("the file tree is short"))
    }
}

/// The tree at the newest checkpoint for which the file has the right hashes, and the segment that it stands in.
fn newest_right(
    hashes: &Hashes,
    segments: &[PathBuf],
    last: u64,
    keys: &[PublicKey],
) -> io::Result<Option<(Compact, usize)>> {
    let length = hashes.0.metadata()?.len();
    for (place, path) in segments.iter().enumerate().rev() {
        let first = first_record(path).unwrap_or_default();
        if length < stored(first.saturating_sub(1)) * HASH {
            continue;
        }
        let mut found = None;
        each_line(path, |line| {
            if let Some((size, root)) =
                checkpoint(line, keys).filter(|(size, _)| (first - 1..last).contains(size))
                && let Ok(tree) = hashes.tree(size)
                && tree.root() == root
            {
                found = Some(tree);
            }
            true
        })?;
        if let Some(tree) = found {
            return Ok(Some((tree, place)));
        }
    }
    Ok(None)
}

/// The tree of the records before the first segment. Where a kill came between a `pruned` record and the deletion, it is
/// that of more: of all that are about to be deleted. `None`: no record says what was there.
///
/// What is damaged says nothing: whoever reads on meets it.
pub(in crate::audit) fn beginning(segments: &[PathBuf]) -> io::Result<Option<Deleted>> {
    let first = segments.first().and_then(|path| first_record(path));
    let gone = first.unwrap_or(1) - 1;
    if gone == 0 {
        return Ok(Some(Deleted::default()));
    }
    let mut found: Option<Deleted> = None;
    // The newest says it, unless it was not carried out at all.
    for path in segments.iter().rev() {
        let read = read_each(path, |line| {
            take_nearer(&mut found, gone, line);
            true
        });
        match read {
            Err(error) if !is_damage(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if found.as_ref().is_some_and(|it| it.tree.size() == gone) {
            break;
        }
    }
    Ok(found)
}

/// The same, of a journal whose `pruned` records are known.
pub(in crate::audit) fn beginning_by(gone: u64, removals: &[Vec<u8>]) -> Option<Deleted> {
    let mut found = (gone == 0).then(Deleted::default);
    for line in removals {
        take_nearer(&mut found, gone, line);
    }
    found
}

fn take_nearer(found: &mut Option<Deleted>, gone: u64, line: &[u8]) {
    if let Some(tree) = pruned(line)
        && tree.size() >= gone
        && found
            .as_ref()
            .is_none_or(|found| tree.size() < found.tree.size())
    {
        let pruned = serde_json::from_slice(line).unwrap_or_default();
        *found = Some(Deleted { tree, pruned });
    }
}

/// A compressed segment that was changed, or a line without end.
fn is_damage(error: &io::Error) -> bool {
    compress::damage(error).is_some() || error.kind() == io::ErrorKind::FileTooLarge
}

/// What a line says, if it is a `pruned` record: `tree` has the hashes of the largest full subtrees of the records up to
/// `last`, in base64, from the left.
fn pruned(line: &[u8]) -> Option<Compact> {
    #[derive(Deserialize)]
    struct Pruned {
        kind: String,
        last: u64,
        tree: Vec<String>,
    }
    memmem::find(line, b"\"kind\":\"pruned\"")?;
    let Pruned { kind, last, tree } = serde_json::from_slice(line).ok()?;
    let roots: Option<Vec<Hash>> = tree.iter().map(|root| hash_of(root)).collect();
    let last = (last <= MOST_RECORDS).then_some(last)?;
    let tree = Compact::from_roots(last, roots?)?;
    (kind == "pruned").then_some(tree)
}

/// Whether there are `pruned` records behind the newest checkpoint of the gate's own. A kill may leave one there; then nothing was
/// deleted yet. An error where something was: whoever did that did not wait for the signature, as the gate does.
fn check_removals(segments: &[PathBuf], keys: &[PublicKey]) -> io::Result<bool> {
    let mut late = BTreeMap::new();
    let mut is_signed = false;
    for path in segments.iter().rev() {
        let mut seq = first_record(path).unwrap_or_default();
        let mut here = BTreeMap::new();
        each_line(path, |line| {
            if checkpoint(line, keys).is_some() {
                (is_signed, here) = (true, BTreeMap::new());
            } else if let Some(tree) = pruned(line) {
                here.insert(seq, tree.size());
            }
            seq += 1;
            true
        })?;
        late.extend(here);
        if is_signed {
            break;
        }
    }
    let first = segments.first().and_then(|path| first_record(path));
    let gone = first.unwrap_or(1) - 1;
    let told = late.iter().find(|(_, last)| gone > 0 && **last >= gone);
    if let Some((record, _)) = told.filter(|_| is_signed)
        && !is_said_before(segments, gone, &late)?
    {
        return Err(io::Error::other(format!(
            "the first {gone} records are gone, and record {record}, which says that they were deleted, is signed by \
             nobody: this gate signs first, and then deletes. Somebody else deleted them. Run `dtgate audit verify`"
        )));
    }
    Ok(!late.is_empty())
}

/// Whether another record than these says that so many were deleted.
fn is_said_before(segments: &[PathBuf], gone: u64, late: &BTreeMap<u64, u64>) -> io::Result<bool> {
    for path in segments.iter().rev() {
        let (mut seq, mut found) = (first_record(path).unwrap_or_default(), false);
        each_line(path, |line| {
            found |=
                pruned(line).is_some_and(|tree| tree.size() >= gone) && !late.contains_key(&seq);
            seq += 1;
            !found
        })?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The member `tree` of a `pruned` record: that of the first `size` records, which were in the journal.
pub(in crate::audit) fn pruned_member(directory: &Path, size: u64) -> io::Result<Vec<String>> {
    let tree = Hashes::open(directory)?.tree(size)?;
    Ok(tree
        .roots()
        .iter()
        .map(|root| BASE64.encode(root))
        .collect())
}

/// Size and root, if a line is a record of a checkpoint that one of these keys has signed.
fn checkpoint(line: &[u8], keys: &[PublicKey]) -> Option<(u64, Hash)> {
    #[derive(Deserialize)]
    struct Record {
        kind: String,
        note: String,
    }
    memmem::find(line, b"\"kind\":\"checkpoint\"")?;
    let record: Record = serde_json::from_slice(line).ok()?;
    let note = Note::parse(&record.note).ok()?;
    let checkpoint = Checkpoint::parse(&note.text).filter(|_| record.kind == "checkpoint")?;
    keys.iter().find_map(|key| key.signed(&note))?;
    Some((checkpoint.size, checkpoint.root))
}

/// Hands over each whole line of a segment, without its newline, while it is wanted.
pub(in crate::audit) fn each_line(path: &Path, see: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    read_each(path, see).map_err(named)
}

/// The same; the error is as it was met.
fn read_each(path: &Path, mut see: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut reader = open_lines(path, 0)?;
    let mut line = Vec::new();
    loop {
        line.clear();
        read_line(&mut reader, &mut line)?;
        let Some(line) = line.strip_suffix(b"\n") else {
            return Ok(());
        };
        if !see(line) {
            return Ok(());
        }
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("tree")
}

const HASH: u64 = 32;

/// Hashes that wait before they are written.
const ROOM: usize = 64 << 10;
