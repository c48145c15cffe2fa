//! One record, and what proves that it is in the journal: the hashes beside its way to the root of a signed checkpoint.
//! It is checked without the journal. Below the record a proof is a
//! [C2SP tlog-proof](https://c2sp.org/tlog-proof), for whoever has another program for those.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Stop;
use super::chain::Link;
use super::checkpoint::note::{Note, NoteError, PublicKey, Signature};
use super::checkpoint::{Checkpoint, hash_of};
use super::segment::{first_record, segments};
use super::tree::stored::{Hashes, beginning, beginning_by, each_line};
use super::tree::{self, Compact, Hash, Node, inclusion, largest, leaf, root_by_inclusion};

/// A record with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The line, without its newline.
    pub record: String,
    index: u64,
    path: Vec<Hash>,
    note: Note,
}

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `22` or `#22`.
    Number(u64),
    /// The decision of this id.
    Decision(String),
}

#[derive(Debug, Error)]
pub enum ProveError {
    #[error("there is no such record in the journal")]
    Gone,
    #[error(
        "no checkpoint covers record {0} yet: a gate makes one each minute (journal.checkpoint_interval), and when it ends"
    )]
    NotCovered(u64),
    #[error("the checkpoint over {0} records does not hold: run `dtgate audit verify`")]
    Wrong(u64),
    #[error(
        "a proof needs all records up to the checkpoint, and record {0} is not there: where the gate has its journal, \
         `dtgate audit prove --journal DIR` needs the store no more"
    )]
    Missing(u64),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub seq: u64,
    /// Records that the checkpoint covers.
    pub size: u64,
    pub origin: String,
    /// The key that has signed it.
    pub key: String,
    /// Witnesses that were given and have confirmed it, each with the time in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// The signatures below the checkpoint, by what they say of their keys.
    pub signatures: Vec<String>,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckError {
    #[error("it is no proof: {0}")]
    Form(&'static str),
    #[error("its checkpoint: {0}")]
    Note(#[from] NoteError),
    #[error(
        "the checkpoint is not signed by a key that was given, but by {0}: if the journal's key was changed, take the key of \
         that time, which `dtgate audit verify --key` with an older one prints"
    )]
    Key(String),
    #[error("no witness that was given has confirmed the checkpoint")]
    Witness,
    #[error(
        "the record is not the one that the checkpoint covers: it was changed, or the proof was"
    )]
    Root,
    #[error("the record says that it is record {said}, and its place is that of record {proven}")]
    Sequence { said: u64, proven: u64 },
}

impl FromStr for Wanted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let number = digits.parse().ok().filter(|number| *number > 0);
        Ok(number.map_or_else(|| Self::Decision(canonical(text)), Self::Number))
    }
}

/// The id of a decision as a gate writes it.
fn canonical(id: &str) -> String {
    uuid::Uuid::try_parse(id).map_or_else(|_other| id.to_owned(), |id| id.hyphenated().to_string())
}

/// Finds a record and proves it by the newest checkpoint over it that a witness has confirmed; where there is none, by
/// the newest.
pub fn prove(directory: &Path, wanted: &Wanted) -> Result<Proof, ProveError> {
    prove_unless(directory, wanted, &|| false)
}

/// The same, as long as it is not over.
pub fn prove_until(directory: &Path, wanted: &Wanted, stop: &Stop) -> Result<Proof, ProveError> {
    let proof = prove_unless(directory, wanted, &|| stop.is_over());
    if stop.is_over() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    proof
}

fn prove_unless(
    directory: &Path,
    wanted: &Wanted,
    is_over: &dyn Fn() -> bool,
) -> Result<Proof, ProveError> {
    let segments = segments(directory)?;
    let (number, record) = find(&segments, wanted, is_over)?.ok_or(ProveError::Gone)?;
    let note =
        checkpoint_over(&segments, number, is_over)?.ok_or(ProveError::NotCovered(number))?;
    let Some(checkpoint) = Checkpoint::parse(&note.text) else {
        return Err(ProveError::NotCovered(number));
    };
    let Checkpoint { size, root, .. } = checkpoint;
    let (index, hash) = (number - 1, leaf(record.as_bytes()));
    let holds = |path: &[Hash]| root_by_inclusion(hash, index, size, path) == Some(root);
    let proof = |path| Proof {
        record,
        index,
        path,
        note,
    };
    if let Some(path) = by_file(directory, index, size).filter(|path| holds(path)) {
        return Ok(proof(path));
    }
    // The file is no more than a help.
    let path = by_segments(&segments, index, size, is_over)?;
    match path.filter(|path| holds(path)) {
        Some(path) => Ok(proof(path)),
        None => Err(ProveError::Wrong(size)),
    }
}

/// How far a checkpoint vouches for a record, by the hashes that are kept beside the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// The record is in the tree of the checkpoint over so many records.
    By(u64),
    /// The checkpoint is older than the record.
    NotYet,
    /// The record, the hashes and the checkpoint over so many records do not fit together.
    Differs(u64),
    /// There is no such checkpoint, or not all hashes are there: [`prove`] says it.
    Unknown,
}

/// Looks at a record and the line of a checkpoint. However long the journal is, a few hashes are read of it.
pub fn covered(directory: &Path, number: u64, record: &[u8], checkpoint: &[u8]) -> Covered {
    let note = told(checkpoint).filter(|(is_checkpoint, _)| *is_checkpoint);
    let parsed = note.and_then(|(_, note)| Checkpoint::parse(&note.text));
    let (Some(Checkpoint { size, root, .. }), Some(index)) = (parsed, number.checked_sub(1)) else {
        return Covered::Unknown;
    };
    if size < number {
        return Covered::NotYet;
    }
    let Some(path) = by_file(directory, index, size) else {
        return Covered::Unknown;
    };
    if root_by_inclusion(leaf(record), index, size, &path) == Some(root) {
        Covered::By(size)
    } else {
        Covered::Differs(size)
    }
}

/// A record of a journal that is kept elsewhere, and what is there of it.
#[derive(Debug)]
pub struct Elsewhere<'a> {
    pub number: u64,
    pub record: String,
    /// The lines of its newest checkpoints and of what witnesses have confirmed, the newest first.
    pub checkpoints: &'a [Vec<u8>],
    /// The first record that is there.
    pub first: u64,
    /// The lines that say what the gate has deleted of its journal.
    pub removals: &'a [Vec<u8>],
}

/// Proves it as [`prove`] does. `leaves`: number and hash ([`leaf`]) of each record from a number on, in their order.
pub fn prove_elsewhere<E: From<ProveError>>(
    of: Elsewhere<'_>,
    mut leaves: impl FnMut(u64) -> Result<Vec<(u64, Hash)>, E>,
) -> Result<Proof, E> {
    let Elsewhere {
        number,
        record,
        checkpoints,
        first,
        removals,
    } = of;
    let mut covering = Covering::of(number);
    for line in checkpoints {
        covering.see_older(line);
    }
    let note = covering.best().ok_or(ProveError::NotCovered(number))?;
    let checkpoint = Checkpoint::parse(&note.text).ok_or(ProveError::NotCovered(number))?;
    let Checkpoint { size, root, .. } = checkpoint;
    let (index, deleted) = (number - 1, beginning_by(first.saturating_sub(1), removals));
    let tree = deleted.ok_or(ProveError::Missing(1))?.tree;
    let mut climb = Climb::new(index, size, tree);
    while climb.next() <= size {
        let next = climb.next();
        let some = leaves(next)?;
        for (at, hash) in &some {
            if climb.next() > size {
                break;
            }
            if *at != climb.next() {
                return Err(ProveError::Missing(climb.next()).into());
            }
            climb.push(*hash);
        }
        if some.is_empty() {
            return Err(ProveError::Missing(next).into());
        }
    }
    let hash = leaf(record.as_bytes());
    let holds = |path: &Vec<Hash>| root_by_inclusion(hash, index, size, path) == Some(root);
    let path = climb.path().filter(holds).ok_or(ProveError::Wrong(size))?;
    Ok(Proof {
        record,
        index,
        path,
        note,
    })
}

/// Number and line of a record.
fn find(
    segments: &[PathBuf],
    wanted: &Wanted,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<(u64, String)>> {
    let numbered = |path: &PathBuf| first_record(path).unwrap_or_default();
    let from = match wanted {
        Wanted::Number(number) => segments
            .partition_point(|path| numbered(path) <= *number)
            .saturating_sub(1),
        Wanted::Decision(_) => 0,
    };
    for path in segments.get(from..).unwrap_or_default() {
        let (mut number, mut found) = (numbered(path), None);
        each_line(path, |line| {
            let is_it = match wanted {
                Wanted::Number(wanted) => number == *wanted,
                Wanted::Decision(id) => {
                    memmem::find(line, id.as_bytes()).is_some()
                        && Link::read(line)
                            .is_ok_and(|link| link.kind == "decision" && link.decision_id == *id)
                }
            };
            if is_it {
                found = Some((number, String::from_utf8_lossy(line).into_owned()));
            }
            number += 1;
            !is_it && !is_over()
        })?;
        if found.is_some() || matches!(wanted, Wanted::Number(_)) {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The newest checkpoint of a journal as it was signed, with the signatures of the witnesses that have confirmed it.
pub fn newest_checkpoint(directory: &Path) -> io::Result<Option<Note>> {
    let mut confirmed = Vec::new();
    for path in segments(directory)?.iter().rev() {
        let (mut newest, mut here) = (None, Vec::new());
        each_line(path, |line| {
            match told(line) {
                Some((true, note)) => newest = Some(note),
                Some((false, note)) => here.push(note),
                None => {}
            }
            true
        })?;
        confirmed.append(&mut here);
        if let Some(newest) = newest {
            confirmed.retain(|note: &Note| note.text == newest.text);
            let all = confirmed.into_iter();
            return Ok(Some(all.fold(newest, |all, note| merged(Some(all), note))));
        }
    }
    Ok(None)
}

/// The note of a line that is a checkpoint (`true`), or tells that a witness has confirmed one.
fn told(line: &[u8]) -> Option<(bool, Note)> {
    #[derive(Deserialize)]
    struct Told {
        kind: String,
        note: String,
    }
    let may_be = [
        b"\"kind\":\"checkpoint\"".as_slice(),
        b"\"kind\":\"cosigned\"",
    ];
    if !may_be.iter().any(|kind| memmem::find(line, kind).is_some()) {
        return None;
    }
    let told: Told = serde_json::from_slice(line).ok()?;
    let is_checkpoint = match &*told.kind {
        "checkpoint" => true,
        "cosigned" => false,
        _ => return None,
    };
    Some((is_checkpoint, Note::parse(&told.note).ok()?))
}

/// The best checkpoint that covers a record, with the signatures of all witnesses that have confirmed it.
fn checkpoint_over(
    segments: &[PathBuf],
    record: u64,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<Note>> {
    let mut newest = None;
    for path in segments.iter().rev() {
        let mut here = Covering::of(record);
        each_line(path, |line| {
            here.see(line);
            !is_over()
        })?;
        newest = newest.or(here.newest);
        if here.cosigned.is_some() || first_record(path).unwrap_or_default() <= record {
            return Ok(here.cosigned.or(newest));
        }
    }
    Ok(newest)
}

/// The checkpoints that cover a record, as far as they were seen.
struct Covering {
    record: u64,
    newest: Option<Note>,
    /// With the signatures of all witnesses.
    cosigned: Option<Note>,
}

impl Covering {
    fn of(record: u64) -> Self {
        Self {
            record,
            newest: None,
            cosigned: None,
        }
    }

    fn covers(&self, line: &[u8]) -> Option<(bool, Note)> {
        let (is_checkpoint, note) = told(line)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        (checkpoint.size >= self.record).then_some((is_checkpoint, note))
    }

    /// A line that comes after those that were seen.
    fn see(&mut self, line: &[u8]) {
        match self.covers(line) {
            Some((true, note)) => self.newest = Some(note),
            Some((false, note)) => self.cosigned = Some(merged(self.cosigned.take(), note)),
            None => {}
        }
    }

    /// A line that comes before those that were seen.
    fn see_older(&mut self, line: &[u8]) {
        match self.covers(line) {
            Some((true, note)) => self.newest = self.newest.take().or(Some(note)),
            Some((false, note)) => {
                self.cosigned = Some(match self.cosigned.take() {
                    None => note,
                    Some(newer) => merged(Some(note), newer),
                });
            }
            None => {}
        }
    }

    fn best(self) -> Option<Note> {
        self.cosigned.or(self.newest)
    }
}

/// The newer of two, with all signatures where they are of one text.
fn merged(before: Option<Note>, newer: Note) -> Note {
    match before {
        Some(mut before) if before.text == newer.text => {
            for signature in newer.signatures {
                if !before.signatures.contains(&signature) {
                    before.signatures.push(signature);
                }
            }
            before
        }
        _ => newer,
    }
}

fn by_file(directory: &Path, index: u64, size: u64) -> Option<Vec<Hash>> {
    let hashes = Hashes::open(directory).ok()?;
    let path = inclusion(index, size);
    let mut read = |node| hashes.read(node);
    path.iter()
        .map(|range| tree::hash(range, &mut read).ok())
        .collect()
}

/// Reads the journal up to `size` and holds on to the hashes that are needed.
fn by_segments(
    segments: &[PathBuf],
    index: u64,
    size: u64,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<Hash>>> {
    let Some(deleted) = beginning(segments)? else {
        return Ok(None);
    };
    let mut climb = Climb::new(index, size, deleted.tree);
    let mut number = segments.first().and_then(|path| first_record(path));
    for path in segments {
        each_line(path, |line| {
            // What is about to be deleted is in the tree already.
            let here = number.unwrap_or(1);
            number = Some(here + 1);
            if here >= climb.next() {
                climb.push(leaf(line));
            }
            climb.next() <= size && !is_over()
        })?;
        if climb.next() > size {
            break;
        }
    }
    Ok(climb.path())
}

/// A tree that grows, and the hashes beside the way of one record to its root.
struct Climb {
    path: Vec<tree::Range>,
    tree: Compact,
    needed: HashSet<Node>,
    found: HashMap<Node, Hash>,
}

impl Climb {
    /// From the tree of the first records on, which may not be there any more.
    fn new(index: u64, size: u64, tree: Compact) -> Self {
        let path = inclusion(index, size);
        let needed: HashSet<Node> = path.iter().flat_map(tree::nodes).collect();
        let before = largest(tree.size()).zip(tree.roots().iter().copied());
        let found = before.filter(|(node, _)| needed.contains(node)).collect();
        Self {
            path,
            tree,
            needed,
            found,
        }
    }

    /// The record that comes next.
    fn next(&self) -> u64 {
        self.tree.size() + 1
    }

    fn push(&mut self, leaf: Hash) {
        let leaf_index = self.tree.size();
        let mut level = 0;
        self.tree.push(leaf, |hash| {
            let node = Node {
                level,
                index: leaf_index >> level,
            };
            if self.needed.contains(&node) {
                self.found.insert(node, *hash);
            }
            level += 1;
        });
    }

    fn path(&self) -> Option<Vec<Hash>> {
        let mut read = |node| self.found.get(&node).copied().ok_or(());
        let path = self.path.iter();
        path.map(|range| tree::hash(range, &mut read).ok())
            .collect()
    }
}

impl Proof {
    /// The number of its record.
    pub fn seq(&self) -> u64 {
        self.index.saturating_add(1)
    }

    /// How many records its checkpoint covers.
    pub fn size(&self) -> u64 {
        Checkpoint::parse(&self.note.text).map_or(0, |it| it.size)
    }

    /// Checks it. No key: whoever the checkpoint says. Witnesses: one of them is enough.
    pub fn check(
        &self,
        keys: &[PublicKey],
        witnesses: &[PublicKey],
    ) -> Result<Checked, CheckError> {
        let checkpoint =
            Checkpoint::parse(&self.note.text).ok_or(CheckError::Form("its checkpoint is none"))?;
        let signatures: Vec<String> = self.note.signatures.iter().map(Signature::key_id).collect();
        let key = keys.iter().find(|key| key.signed(&self.note).is_some());
        let key = key.ok_or_else(|| CheckError::Key(signatures.join(", ")))?;
        let confirmed = witnesses
            .iter()
            .filter_map(|witness| Some((witness.to_string(), witness.signed(&self.note)?)));
        let confirmed: Vec<(String, u64)> = confirmed.collect();
        if confirmed.is_empty() && !witnesses.is_empty() {
            return Err(CheckError::Witness);
        }
        let hash = leaf(self.record.as_bytes());
        if root_by_inclusion(hash, self.index, checkpoint.size, &self.path) != Some(checkpoint.root)
        {
            return Err(CheckError::Root);
        }
        let said = Link::read(self.record.as_bytes())
            .ok()
            .and_then(|link| link.seq)
            .unwrap_or_default();
        if said != self.index + 1 {
            return Err(CheckError::Sequence {
                said,
                proven: self.index + 1,
            });
        }
        Ok(Checked {
            seq: said,
            size: checkpoint.size,
            origin: checkpoint.origin,
            key: key.to_string(),
            witnesses: confirmed,
            signatures,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            index,
            path,
            note,
        } = self;
        write!(f, "{HEADER}\n{record}\n\n{TLOG}\nindex {index}\n")?;
        for hash in path {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{note}")
    }
}

impl FromStr for Proof {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        let form = |what| CheckError::Form(what);
        let rest = text
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| form("its first line is \"dtgate proof 1\""))?;
        let (record, rest) = rest
            .split_once("\n\n")
            .ok_or_else(|| form("it ends too early"))?;
        let (hashes, note) = rest
            .split_once("\n\n")
            .ok_or_else(|| form("it ends too early"))?;
        let mut lines = hashes.split('\n');
        if record.contains('\n') || lines.next() != Some(TLOG) {
            return Err(form("a line is missing, or there is one too many"));
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(|index| {
            index
                .parse()
                .ok()
                .filter(|it: &u64| *it < u64::MAX && it.to_string() == index)
        });
        let path: Option<Vec<Hash>> = lines.take(LONGEST_PATH + 1).map(hash_of).collect();
        Ok(Self {
            record: record.to_owned(),
            index: index.ok_or_else(|| form("no line says the record's index"))?,
            path: path.ok_or_else(|| form("a hash is none"))?,
            note: Note::parse(note)?,
        })
    }
}

const HEADER: &str = "dtgate proof 1";
const TLOG: &str = "c2sp.org/tlog-proof@v1";
/// Of a tree with more leaves than there can be.
const LONGEST_PATH: usize = 64;
/// A proof that is longer is none: a record of a body and what is known of a caller, many times over.
pub const LONGEST: u64 = 16 << 20;
