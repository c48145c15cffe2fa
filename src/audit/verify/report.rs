//! What is found in a journal, and why one is no evidence.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoints::{CheckpointError, Checkpoints};
use crate::audit::event::Pruned;
use crate::audit::pseudonym::Differing;
use crate::audit::segment::Damage;

/// What a whole journal contains.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub segments: usize,
    pub records: u64,
    pub allowed: u64,
    pub denied: u64,
    pub outcomes: u64,
    /// Requests that were refused or denied without a record of their own.
    pub suppressed: u64,
    /// Allowed decisions of which nobody knows what became, oldest first: a crash came between, Dynatrace did not
    /// answer, or they are under way.
    pub in_doubt: Vec<String>,
    /// Further ones, where there are too many to list.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_in_doubt: u64,
    /// The same, whose records were deleted, by the word of `pruned` records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted_in_doubt: Vec<String>,
    /// When the journal was written again after something went wrong.
    pub recoveries: Vec<Recovered>,
    /// Further ones, where there are too many to list.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_recoveries: u64,
    /// What was set aside and is not as the records say.
    pub problems: Vec<String>,
    /// What says that older segments were deleted, as far as it was not deleted itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<Removal>,
    /// Further ones, where there are too many to list.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_pruned: u64,
    /// Records of a start from which on a key of pseudonyms is another one, though its version is the same: its number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_keys: Vec<(u64, u32)>,
    /// Keys of pseudonyms that records name and that are not beside the journal: no matter for what is proven.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_keys: Vec<Differing>,
    /// Why nobody knows which are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_keys: Option<String>,
    /// Records that could have been changed unseen: no record names their hash, and nobody noted it.
    pub unvouched: Vec<u64>,
    /// Whether the file `head` is there.
    pub has_head_file: bool,
    /// Number and hash of the last record: note them elsewhere to prove later that nothing was cut.
    pub head_seq: u64,
    pub head_hash: String,
    /// What checkpoints prove.
    pub checkpoints: Checkpoints,
    /// Nobody looked at checkpoints: the beginning is not here, and nothing says what it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_unseen_checkpoints: bool,
}

/// A `recovery` record.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Recovered {
    pub seq: u64,
    pub timestamp: String,
    pub reason: String,
    pub refused_events: u64,
    /// The file that holds what was torn, its length and its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside_sha256: Option<String>,
}

/// A `pruned` record.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Removal {
    pub seq: u64,
    #[serde(flatten)]
    pub pruned: Pruned,
}

/// Why a journal is no evidence.
#[derive(Debug, Error)]
pub enum VerifyError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("{} holds no journal", .0.display())]
    Empty(PathBuf),
    #[error(
        "record {seq} with hash {hash} is not in the journal, though it was noted as its head once"
    )]
    Head { seq: u64, hash: String },
    #[error(
        "record {seq}, which was noted as the head once, was deleted by retention, with all up to record {last}: take a \
         newer head"
    )]
    HeadDeleted { seq: u64, last: u64 },
    #[error(
        "record {seq} says that record {last} was deleted and had hash {noted}, and the record after it names {found}"
    )]
    Pruned {
        seq: u64,
        last: u64,
        noted: String,
        found: String,
    },
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}{}: {why}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Checkpoint {
        path: PathBuf,
        line: Option<u64>,
        why: CheckpointError,
    },
    #[error(
        "record {expected} comes next, but {} begins with record {named} by its name: a segment is missing, \
         was renamed, or was replaced by a shorter one", path.display()
    )]
    Missing {
        path: PathBuf,
        expected: u64,
        named: u64,
    },
    #[error(
        "{} begins with record {first}, and no record says that its gate deleted those before it", path.display()
    )]
    Begins { path: PathBuf, first: u64 },
    #[error(
        "{}:{line}: record {record} is torn ({reason}): a gate is writing it, or a crash cut it, and dtgate sets \
         it aside when it starts", path.display()
    )]
    Torn {
        path: PathBuf,
        line: u64,
        record: u64,
        reason: String,
    },
}

impl VerifyError {
    /// Whether the journal could be read and is broken, as opposed to not readable at all.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Damaged(_)
            | Self::Head { .. }
            | Self::HeadDeleted { .. }
            | Self::Missing { .. }
            | Self::Begins { .. }
            | Self::Pruned { .. }
            | Self::Checkpoint { .. }
            | Self::Torn { .. } => true,
            Self::Empty(_) | Self::Io { .. } => false,
        }
    }

    /// What does not hold, in one sentence.
    pub fn headline(&self) -> &'static str {
        match self {
            Self::Checkpoint { why, .. } => why.headline(),
            Self::Begins { .. } => "Nothing vouches for the beginning.",
            Self::HeadDeleted { .. } => "The head that was noted does not fit.",
            Self::Head { .. } => "The journal does not go on from the head that was noted.",
            _ => "The chain is broken.",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}
