//! Proof, offline: reading a journal to its end is verifying it.
//!
//! Finds edited, removed, added and reordered records and missing segments. What it cannot find by
//! itself is a journal whose end was cut off cleanly, or that was written anew as a whole: compare the
//! reported head with one noted earlier (`--expect-head`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::chain::{Head, Link, LinkError, check_form};
use super::{first_record, segments};

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
    /// Allowed decisions without outcome, oldest first: a crash came between, or they are under way.
    pub in_doubt: Vec<String>,
    /// Number and hash of the last record: note them elsewhere to prove later that nothing was cut.
    pub head_seq: u64,
    pub head_hash: String,
}

/// Why a journal is no evidence.
#[derive(Debug, Error)]
pub enum VerifyError {
    #[error("{}:{line}: {source}", path.display())]
    Broken {
        path: PathBuf,
        line: u64,
        #[source]
        source: LinkError,
    },
    #[error("{} holds no journal", .0.display())]
    Empty(PathBuf),
    #[error(
        "record {seq} with hash {hash} is not in the journal, though it was noted as its head once"
    )]
    Head { seq: u64, hash: String },
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: the segment that begins with record {expected} is missing before it", path.display())]
    Missing { path: PathBuf, expected: u64 },
    #[error("{}:{line}: the last line is incomplete; dtgate sets it aside when it starts", path.display())]
    Torn { path: PathBuf, line: u64 },
}

impl VerifyError {
    /// Whether the journal could be read and is broken, as opposed to not readable at all.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Head { .. } | Self::Missing { .. } | Self::Torn { .. } => {
                true
            }
            Self::Empty(_) | Self::Io { .. } => false,
        }
    }
}

/// A head that was noted earlier, written `SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedHead {
    pub seq: u64,
    pub hash: String,
}

impl std::str::FromStr for NotedHead {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write a head as audit verify prints it: SEQ:HASH";
        let (seq, hash) = text.split_once(':').ok_or(wanted)?;
        Ok(Self {
            seq: seq.parse().map_err(|_invalid| wanted)?,
            hash: hash.to_owned(),
        })
    }
}

/// Reads the journal in `directory` from its first record to its last.
pub fn verify(directory: &Path, noted: Option<&NotedHead>) -> Result<Report, VerifyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| VerifyError::Io { path, source }
    };
    let segments = segments(directory).map_err(io(directory))?;
    if segments.is_empty() {
        return Err(VerifyError::Empty(directory.to_owned()));
    }
    let mut head = Head::origin();
    let mut report = Report::default();
    let mut doubt = Doubt::default();
    let mut noted_found = noted.is_none();
    for path in &segments {
        if first_record(path) != Some(head.next) {
            return Err(VerifyError::Missing {
                path: path.clone(),
                expected: head.next,
            });
        }
        let mut reader = BufReader::new(File::open(path).map_err(io(path))?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(io(path))? == 0 {
                break;
            }
            if line.pop() != Some(b'\n') {
                return Err(VerifyError::Torn {
                    path: path.clone(),
                    line: number,
                });
            }
            let broken = |source| VerifyError::Broken {
                path: path.clone(),
                line: number,
                source,
            };
            check_form(&line).map_err(broken)?;
            let record = head.follow(&line).map_err(broken)?;
            report.see(&record);
            doubt.see(&record);
            noted_found |= noted.is_some_and(|noted| {
                noted.seq + 1 == head.next && noted.hash == head.hash.as_str()
            });
        }
        report.segments += 1;
    }
    if let Some(noted) = noted.filter(|_| !noted_found) {
        return Err(VerifyError::Head {
            seq: noted.seq,
            hash: noted.hash.clone(),
        });
    }
    report.in_doubt = doubt.ids();
    report.head_seq = head.next - 1;
    head.hash.as_str().clone_into(&mut report.head_hash);
    Ok(report)
}

impl Report {
    fn see(&mut self, record: &Link<'_>) {
        self.records += 1;
        match (&*record.kind, &*record.verdict) {
            ("decision", "allow") => self.allowed += 1,
            ("decision", _) => self.denied += 1,
            ("outcome", _) => self.outcomes += 1,
            ("suppressed", _) => self.suppressed = self.suppressed.saturating_add(record.count),
            _ => {}
        }
    }
}

/// Allowed decisions that wait for their outcome.
#[derive(Debug, Default)]
pub(super) struct Doubt(BTreeMap<u64, String>);

impl Doubt {
    pub(super) fn see(&mut self, record: &Link<'_>) {
        match (&*record.kind, &*record.verdict) {
            ("decision", "allow") => {
                let number = record.seq.unwrap_or_default();
                self.0
                    .insert(number, record.decision_id.clone().into_owned());
            }
            ("outcome", _) => {
                let meant = self.0.get(&record.decision_seq);
                if meant.is_some_and(|id| *id == record.decision_id) {
                    self.0.remove(&record.decision_seq);
                }
            }
            _ => {}
        }
    }

    pub(super) fn ids(self) -> Vec<String> {
        self.0.into_values().collect()
    }
}
