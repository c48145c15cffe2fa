//! Checkpoints as they are met on the way through a journal: each has to be the tree of the records before it, signed.
//!
//! Who signed is proven by keys from elsewhere. Without them the checkpoints say themselves whose they are, and somebody
//! who wrote the journal anew would say so, too.

use std::collections::VecDeque;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::chain::NotedHead;
use super::super::checkpoint::note::{Note, PublicKey};
use super::super::checkpoint::{Checkpoint, handed_over, handover};
use super::super::tree::stored::Deleted;
use super::super::tree::{Compact, Hash, leaf};
use super::report::{Removal, is_zero};
use crate::value::{Duration, Sha256Hex};

/// What a journal is compared with.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Of the journal.
    pub keys: Vec<PublicKey>,
    /// Of witnesses.
    pub witnesses: Vec<PublicKey>,
    /// A checkpoint that was kept elsewhere.
    pub kept: Option<Note>,
    /// A head that was noted: what comes before it need not be there.
    pub begins: Option<NotedHead>,
    /// `journal.checkpoint_interval`, if it is not the default.
    pub interval: Option<Duration>,
}

impl Trust {
    /// Whether somebody is trusted: then what nobody vouches for is not taken.
    pub fn wants_proof(&self) -> bool {
        !self.keys.is_empty() || !self.witnesses.is_empty() || self.kept.is_some()
    }
}

/// What the checkpoints of a journal prove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checkpoints {
    pub count: u64,
    /// The records that the newest checkpoint with a trusted signature covers, from the first.
    pub proven: u64,
    /// By the signatures alone, whoever made them.
    pub covered: u64,
    /// The key that the newest checkpoint says it is signed by.
    pub key: Option<String>,
    /// Times that another key took over.
    pub key_changes: u64,
    /// Cosignatures of witnesses that hold, whoever the witness is.
    pub cosignatures: u64,
    /// The records that a trusted witness has confirmed.
    pub witnessed: u64,
    /// The size of the checkpoint from elsewhere that the journal was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<u64>,
    /// Records that no checkpoint covered when a gate was started behind them: a crash leaves that, and so does whoever
    /// changes a journal whose gate is down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_late: Vec<Late>,
    /// Further ones, where there are too many to list.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_signed_late: u64,
}

/// Records that the next start has signed, and not the gate that wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Late {
    pub from: u64,
    pub to: u64,
    /// The record of the start, or the first that was written by hand.
    pub by: u64,
}

/// On the way.
#[derive(Debug)]
pub(super) struct Checking {
    tree: Compact,
    /// The records that were deleted.
    pruned: u64,
    trust: Trust,
    kept: Option<Checkpoint>,
    /// The keys that sign this journal, as far as anybody can know.
    known: Vec<PublicKey>,
    /// Hashes of the newest checkpoints.
    recent: VecDeque<Sha256Hex>,
    /// Of a key that is not known: the record, and what its key is said to be.
    foreign: Option<(u64, String)>,
    /// A checkpoint of such a key was met: without keys from elsewhere nobody can say which of them is the journal's.
    is_of_several: bool,
    /// The last record that tells of something else than what was signed.
    written: u64,
    /// The first `pruned` record that nobody has signed yet.
    removal: Option<u64>,
    /// From the first to the last record where such were signed by a later start. There is a signature between two of
    /// them.
    late_removals: Vec<(u64, u64)>,
    found: Checkpoints,
}

/// Why the checkpoints do not hold.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("record {record}, a checkpoint, does not hold: {reason}")]
    Checkpoint { record: u64, reason: String },
    #[error(
        "a record from {from} to {to} was changed, added or removed, or the checkpoint was: the checkpoint in record {record} \
         covers other records than these"
    )]
    Root { from: u64, to: u64, record: u64 },
    #[error(
        "record {record} is of a key that is not the one before, or not signed by it: {reason}"
    )]
    Key { record: u64, reason: String },
    #[error("record {record}, a cosignature, does not hold: {reason}")]
    Cosigned { record: u64, reason: String },
    #[error(
        "the checkpoint in record {record} is signed by {key}, which is none of the keys that were given, and which none of \
         them names: the journal was written anew, or the key is missing here"
    )]
    Foreign { record: u64, key: String },
    #[error("a gate makes one each minute, and when it ends")]
    Absent,
    #[error("no checkpoint in the journal is signed by a key that was given: nothing is proven")]
    Unproven,
    #[error(
        "no witness that was given has confirmed a checkpoint of this journal: take the keys of its cosigned records"
    )]
    Unwitnessed,
    #[error("the checkpoint that was kept elsewhere is not signed by a key that was given")]
    KeptKey,
    #[error(
        "the checkpoint that was kept elsewhere is no checkpoint: an origin, a number, and a root are expected"
    )]
    KeptForm,
    #[error(
        "the journal ends with record {last}, and a checkpoint that was kept elsewhere covers {size}: what came after \
         record {last} was cut off"
    )]
    Cut { last: u64, size: u64 },
    #[error(
        "the first {size} records are not those that a checkpoint which was kept elsewhere covers: the journal was written \
         anew, or changed together with its hashes"
    )]
    Other { size: u64 },
    #[error(
        "the checkpoint that was kept elsewhere covers {size} records, and older ones than {first} were pruned: take a newer one"
    )]
    Pruned { size: u64, first: u64 },
    #[error(
        "the records before {first} are gone, and no pruned record of this journal says what they were"
    )]
    Vouched { first: u64 },
    #[error(
        "the records before {first} are gone, and record {record}, which says that they were deleted, is below no \
         checkpoint of a key or a witness that was given: a gate makes one before it deletes anything"
    )]
    Deleted { first: u64, record: u64 },
    #[error(
        "the records before {first} are gone, and record {record}, which says that they were deleted, was not signed by the \
         gate that wrote it, but by a later start, with all that it found: a gate signs before it deletes anything. Somebody \
         else may have deleted them. Where the key was changed since, give the older keys, too"
    )]
    DeletedUnsigned { first: u64, record: u64 },
}

impl CheckpointError {
    /// What does not hold, in one sentence.
    pub(super) fn headline(&self) -> &'static str {
        match self {
            Self::Checkpoint { .. }
            | Self::Root { .. }
            | Self::Key { .. }
            | Self::Cosigned { .. } => "The checkpoints do not hold.",
            Self::Foreign { .. } | Self::Unproven => "The checkpoints do not fit this key.",
            Self::Absent => "There is no checkpoint in the journal: nothing is proven.",
            Self::Unwitnessed => "The witness has not confirmed this journal.",
            Self::KeptKey | Self::KeptForm | Self::Pruned { .. } => {
                "The checkpoint that was kept elsewhere does not fit."
            }
            Self::Cut { .. } | Self::Other { .. } => {
                "The journal does not go on from the checkpoint that was kept elsewhere."
            }
            Self::Vouched { .. } | Self::Deleted { .. } | Self::DeletedUnsigned { .. } => {
                "Nothing vouches for the beginning of the journal."
            }
        }
    }
}

/// What has to be known of records that tell of checkpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    size: u64,
    root: String,
    key: String,
    old: String,
    new: String,
    witness: String,
    synced: u64,
    note: String,
}

impl Checking {
    /// `deleted`: what was pruned. Whoever gave a key that has handed over since, also there, knows the next one.
    pub(super) fn new(trust: &Trust, deleted: Deleted) -> Result<Self, CheckpointError> {
        let Deleted { tree, pruned } = deleted;
        let trust = trust.clone();
        let kept = trust.kept.as_ref().map(|note| {
            let by_us =
                trust.keys.is_empty() || trust.keys.iter().any(|key| key.signed(note).is_some());
            let checkpoint = Checkpoint::parse(&note.text).ok_or(CheckpointError::KeptForm)?;
            by_us.then_some(checkpoint).ok_or(CheckpointError::KeptKey)
        });
        let kept = kept.transpose()?;
        let mut known = trust.keys.clone();
        for (old, new) in pruned.keys.iter().filter_map(|note| handed_over(note)) {
            take_over(&mut known, &old, new);
        }
        let this = Self {
            known,
            pruned: tree.size(),
            tree,
            trust,
            recent: VecDeque::new(),
            foreign: None,
            is_of_several: false,
            written: 0,
            removal: None,
            late_removals: Vec::new(),
            found: Checkpoints {
                compared: kept.as_ref().map(|kept| kept.size),
                ..Checkpoints::default()
            },
            kept,
        };
        match &this.kept {
            Some(kept) if kept.size < this.tree.size() => Err(CheckpointError::Pruned {
                size: kept.size,
                first: this.tree.size() + 1,
            }),
            _ => this.compare().map(|()| this),
        }
    }

    /// The records that are in its tree.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The records that are proven so far.
    pub(super) fn proven(&self) -> u64 {
        self.found.proven
    }

    /// Goes on with a line that continues the chain.
    pub(super) fn see(&mut self, kind: &str, line: &[u8]) -> Result<(), CheckpointError> {
        let record = self.tree.size() + 1;
        match kind {
            "checkpoint" => self.checkpoint(record, line)?,
            "cosigned" => self.cosigned(record, line)?,
            "key" => self.key(record, line)?,
            // Nobody else writes them but a gate that starts, and a command that is run where none runs.
            "start" | "settled" => self.begins(record),
            "pruned" => self.removal = self.removal.or(Some(record)),
            _ => {}
        }
        if !matches!(kind, "checkpoint" | "cosigned" | "settled") {
            self.written = record;
        }
        self.tree.push(leaf(line), |_hash| {});
        self.compare()
    }

    /// Somebody opens the journal, and signs from here on for all that is there.
    fn begins(&mut self, record: u64) {
        let found = &mut self.found;
        let signed = if self.trust.keys.is_empty() {
            found.covered
        } else {
            found.proven
        };
        if let Some(first) = self.removal.take() {
            let last = self.late_removals.last_mut();
            match last.filter(|(_, to)| *to > signed) {
                Some((_, to)) => *to = record,
                None => self.late_removals.push((first, record)),
            }
        }
        let from = signed.max(self.pruned) + 1;
        if self.written < from {
            return;
        }
        let late = Late {
            from,
            to: self.written,
            by: record,
        };
        // A start that was ended before its first checkpoint: the next one signs all.
        found.signed_late.pop_if(|last| last.from == from);
        if found.signed_late.len() < LISTED {
            found.signed_late.push(late);
        } else {
            found.more_signed_late += 1;
        }
    }

    fn compare(&self) -> Result<(), CheckpointError> {
        match &self.kept {
            Some(kept) if kept.size == self.tree.size() && kept.root != self.tree.root() => {
                Err(CheckpointError::Other { size: kept.size })
            }
            _ => Ok(()),
        }
    }

    fn checkpoint(&mut self, record: u64, line: &[u8]) -> Result<(), CheckpointError> {
        let wrong = |reason: &str| CheckpointError::Checkpoint {
            record,
            reason: reason.to_owned(),
        };
        let (told, note) = read(line).map_err(|reason| wrong(&reason))?;
        let key: PublicKey = told
            .key
            .parse()
            .map_err(|_invalid| wrong("it names no key"))?;
        let said = Checkpoint::parse(&note.text).ok_or_else(|| wrong("it is none"))?;
        // All that is said twice is said alike: then the signature is over all of it.
        let root: Hash = self.tree.root();
        let root_text = super::super::checkpoint::hash_of(&told.root);
        if said.size != told.size || Some(said.root) != root_text || said.origin != key.name() {
            return Err(wrong("the signed text says something else than the record"));
        }
        if note.to_string() != told.note || Checkpoint::to_text(&said) != note.text {
            return Err(wrong("it is not written as dtgate writes it"));
        }
        if key.signed(&note).is_none() {
            return Err(wrong("the signature is wrong"));
        }
        if said.size != record - 1 || told.synced != said.size || said.root != root {
            return Err(CheckpointError::Root {
                from: self.found.covered + 1,
                to: record - 1,
                record,
            });
        }
        if self.known.is_empty() {
            self.known.push(key.clone());
        }
        let found = &mut self.found;
        if self.known.contains(&key) {
            self.foreign = None;
            self.removal = None;
            if !self.trust.keys.is_empty() {
                found.proven = said.size;
            }
        } else {
            self.is_of_several = true;
            self.foreign = Some((record, key.to_string()));
        }
        found.count += 1;
        found.covered = said.size;
        found.key = Some(key.to_string());
        self.recent.push_front(Sha256Hex::of(note.text.as_bytes()));
        self.recent.truncate(RECENT);
        Ok(())
    }

    /// Another key takes over.
    fn key(&mut self, record: u64, line: &[u8]) -> Result<(), CheckpointError> {
        let wrong = |reason: &str| CheckpointError::Key {
            record,
            reason: reason.to_owned(),
        };
        let (told, note) = read(line).map_err(|reason| wrong(&reason))?;
        let of = |text: &str| {
            text.parse::<PublicKey>()
                .map_err(|_invalid| wrong("it names no key"))
        };
        let (old, new) = (of(&told.old)?, of(&told.new)?);
        if note.text != handover(&old, &new) || note.to_string() != told.note {
            return Err(wrong("the signed text says something else than the record"));
        }
        if old.signed(&note).is_none() || new.signed(&note).is_none() {
            return Err(wrong("a signature is wrong"));
        }
        take_over(&mut self.known, &old, new);
        self.found.key_changes += 1;
        Ok(())
    }

    fn cosigned(&mut self, record: u64, line: &[u8]) -> Result<(), CheckpointError> {
        let wrong = |reason: &str| CheckpointError::Cosigned {
            record,
            reason: reason.to_owned(),
        };
        let (told, note) = read(line).map_err(|reason| wrong(&reason))?;
        let witness: PublicKey = told
            .witness
            .parse()
            .map_err(|_invalid| wrong("it names no witness"))?;
        let said = Checkpoint::parse(&note.text).ok_or_else(|| wrong("it is of no checkpoint"))?;
        // The witness answered when the segment of that checkpoint was closed already, which was deleted since: nothing is
        // left to compare it with, and it confirms nothing of what is there.
        let is_deleted = said.size < self.pruned;
        let text = Sha256Hex::of(note.text.as_bytes());
        if said.size != told.size || !is_deleted && !self.recent.contains(&text) {
            return Err(wrong("no checkpoint shortly before it has that text"));
        }
        if witness.signed(&note).is_none() {
            return Err(wrong("the signature is wrong"));
        }
        self.found.cosignatures += 1;
        if !is_deleted && self.trust.witnesses.contains(&witness) {
            self.found.witnessed = self.found.witnessed.max(said.size);
        }
        Ok(())
    }

    /// `vouching`: the records that say that the beginning was deleted, where it was; `removals`: all that say so of any.
    pub(super) fn end(
        self,
        vouching: &[u64],
        removals: &[Removal],
    ) -> Result<Checkpoints, CheckpointError> {
        let last = self.tree.size();
        if let Some(kept) = self.kept.filter(|kept| kept.size > last) {
            return Err(CheckpointError::Cut {
                last,
                size: kept.size,
            });
        }
        if !self.trust.witnesses.is_empty() && self.found.witnessed == 0 {
            return Err(CheckpointError::Unwitnessed);
        }
        let by_keys = !self.trust.keys.is_empty();
        // Who signed is not known then: what a witness has seen was there before it looked.
        let proven_to = if by_keys {
            self.found.proven
        } else {
            self.found.witnessed
        };
        if !by_keys && self.trust.witnesses.is_empty() {
            return Ok(self.found);
        }
        // An older key that nobody gave is fine where a known one signed again later: that covers all.
        if let Some((record, key)) = self.foreign.filter(|_| by_keys) {
            return Err(CheckpointError::Foreign { record, key });
        }
        let first = self.pruned + 1;
        let is_proven = |record: &u64| *record <= proven_to;
        let late = &self.late_removals;
        // Whoever deletes all that the gate has signed makes a key of his own the first one that is met.
        let is_anybodys = !by_keys && self.is_of_several;
        let is_late = |record: &u64| {
            is_anybodys || late.iter().any(|(from, to)| (from..=to).contains(&record))
        };
        // A removal that goes on from one which nobody signed in time is no better than that.
        let goes_on_from = |record: &u64| {
            let this = removals.iter().find(|it| it.seq == *record)?;
            let mut before = removals
                .iter()
                .filter(|it| it.pruned.last.checked_add(1) == Some(this.pruned.first));
            let late = before.clone().find(|it| is_late(&it.seq))?;
            before.all(|it| is_late(&it.seq)).then_some(late.seq)
        };
        let mut proven = vouching.iter().filter(|it| is_proven(it));
        if let Some(&record) = vouching.first()
            && !proven
                .clone()
                .any(|it| !is_late(it) && goes_on_from(it).is_none())
        {
            return Err(match proven.next() {
                Some(record) => CheckpointError::DeletedUnsigned {
                    first,
                    record: goes_on_from(record).unwrap_or(*record),
                },
                None => CheckpointError::Deleted { first, record },
            });
        }
        match (proven_to, self.found.count) {
            (0, 0) => Err(CheckpointError::Absent),
            (0, _) => Err(CheckpointError::Unproven),
            _ => Ok(self.found),
        }
    }
}

/// A key that is known has named the next one.
fn take_over(known: &mut Vec<PublicKey>, old: &PublicKey, new: PublicKey) {
    if known.contains(old) && !known.contains(&new) && known.len() < KEYS {
        known.push(new);
    }
}

fn read(line: &[u8]) -> Result<(Told, Note), String> {
    let told: Told = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let note = Note::parse(&told.note).map_err(|error| error.to_string())?;
    Ok((told, note))
}

/// Of a kind.
const LISTED: usize = 1000;
/// A witness answers within ten seconds. No gate makes more checkpoints meanwhile.
const RECENT: usize = 1 << 15;
/// More than anybody rotates.
const KEYS: usize = 4096;

/// A checkpoint file of the operator's.
pub fn read_kept(path: &Path) -> std::io::Result<Note> {
    use std::io::Read;
    let mut text = String::new();
    let file = super::super::segment::open_regular(path)?;
    file.take(super::super::checkpoint::note::LONGEST_NOTE as u64 + 1)
        .read_to_string(&mut text)?;
    // Whoever takes it out of a record by other tools ends the last line once more.
    let text = format!("{}\n", text.trim_end_matches(['\n', '\r']));
    Note::parse(&text).map_err(std::io::Error::other)
}
