//! The section `[journal]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::checkpoint::{Destinations, Origin};
use super::retention::{self, Retention};
use super::{index, pseudonym};
use crate::value::{Duration, Size};

/// Where the journal is and what it promises.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A directory of its own, one a process.
    pub directory: PathBuf,
    pub durability: Durability,
    /// A segment that is longer is followed by a new one.
    pub segment_size: Size,
    /// A segment whose first record is older is followed by a new one.
    #[serde(deserialize_with = "retention::or_off")]
    pub segment_age: Option<Duration>,
    /// What becomes of a segment that is followed by a new one.
    pub compression: Compression,
    pub retention: Retention,
    /// Where less is free, refusals and denials are only counted, and judged reads refused.
    pub min_free: Size,
    /// How long anybody waits for a record to be written.
    pub timeout: Duration,
    /// Values that are not to be read in it.
    pub pseudonyms: pseudonym::Config,
    /// How long new records are without a checkpoint.
    pub checkpoint_interval: Duration,
    /// By what name the journal's checkpoints are known. By the name of the machine, where none is given.
    pub origin: Option<Origin>,
    pub checkpoints: Destinations,
    /// Whether the gate keeps an index of it.
    pub index: Indexing,
    /// Where, if not in the journal's directory.
    pub index_path: Option<PathBuf>,
    /// Whether records are sent elsewhere: until it is told how far ([`Audit::shipped`](super::Audit::shipped)), none is deleted.
    #[serde(skip)]
    pub is_shipped: bool,
}

/// Whether the gate keeps an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Indexing {
    Off,
    On,
}

impl Config {
    /// Where its index is.
    pub fn index_path(&self) -> PathBuf {
        let own = || self.directory.join(index::FILE);
        self.index_path.clone().unwrap_or_else(own)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("journal"),
            durability: Durability::Synced,
            segment_size: Size::from_mib(32),
            segment_age: Some(Duration::from_secs(24 * 60 * 60)),
            compression: Compression::Zstd,
            retention: Retention::default(),
            min_free: Size::from_mib(256),
            timeout: Duration::from_secs(10),
            pseudonyms: pseudonym::Config::default(),
            checkpoint_interval: Duration::from_secs(60),
            origin: None,
            checkpoints: Destinations::default(),
            index: Indexing::On,
            index_path: None,
            is_shipped: false,
        }
    }
}

/// What an acknowledged record has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When the kernel has it: a power failure or a crash of the machine loses the decisions of the last
    /// second, although they were forwarded. A crash of dtgate loses nothing.
    Buffered,
    /// When it is on disk (`fdatasync`), before anything is forwarded.
    Synced,
}

/// How closed segments are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// In zstd's seekable format.
    Zstd,
    /// As they were written.
    Off,
}
