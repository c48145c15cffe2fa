//! Where a journal begins from which old segments were deleted, and who vouches for that; and a segment that is
//! there in both forms.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Removal, VerifyError, unread};
use crate::audit::chain::{Head, Link, NotedHead};
use crate::audit::compress::Unpacked;
use crate::audit::compress::text_of;
use crate::audit::segment::{
    Damage, first_line, first_record, forms, is_compressed, open_lines, open_regular,
};
use crate::value::Sha256Hex;

/// The place before the first record that is there.
#[derive(Debug, Default)]
pub(super) struct Start {
    path: PathBuf,
    /// Hashes of the record before the first, by its own word, and of the last one of every segment.
    ends: BTreeMap<u64, Sha256Hex>,
    first: u64,
    /// The last record that a `pruned` record says was deleted, where it knows the hashes above.
    gone: Option<u64>,
    /// The records that say so.
    vouching: Vec<u64>,
    /// The last record that any `pruned` record says was deleted: what comes behind it should be there.
    said: u64,
    /// What a gate deletes of its journal stays here.
    is_kept: bool,
    /// A head that vouches for the beginning, where it is in the chain.
    begins: Option<NotedHead>,
}

impl Start {
    /// Of the oldest segment that is there.
    pub(super) fn of(path: &Path) -> Result<Self, VerifyError> {
        let first = first_record(path).unwrap_or_default();
        if first <= 1 {
            return Ok(Self::before(path, first, b""));
        }
        let line = match first_line(path) {
            // The walk says so, by its number.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
            line => line.map_err(unread(path))?,
        };
        Ok(Self::before(path, first, line.trim_ascii_end()))
    }

    /// Of records that are kept elsewhere.
    pub(super) fn elsewhere(
        name: &Path,
        first: u64,
        line: &[u8],
        begins: Option<NotedHead>,
    ) -> Self {
        let mut start = Self {
            is_kept: true,
            begins,
            ..Self::before(name, first, line)
        };
        let head = start.head();
        start.follows(&head);
        start
    }

    /// The chain has come so far.
    pub(super) fn follows(&mut self, head: &Head) {
        let is_it = |it: &NotedHead| {
            it.seq.checked_add(1) == Some(head.next) && it.hash == head.hash.as_str()
        };
        if self.begins.as_ref().is_some_and(is_it) {
            self.gone = self.gone.max(Some(self.first.saturating_sub(1)));
        }
    }

    fn before(path: &Path, first: u64, line: &[u8]) -> Self {
        let mut start = Self {
            path: path.to_owned(),
            first,
            ..Self::default()
        };
        if first > 1 {
            let named = Link::read(line).ok();
            let hash = named.and_then(|link| link.prev.parse().ok());
            // A first line that says nothing is found to be broken when it is read.
            start
                .ends
                .insert(first - 1, hash.unwrap_or(Sha256Hex::ZERO));
        }
        start
    }

    pub(super) fn head(&self) -> Head {
        match self.ends.first_key_value() {
            Some((last, hash)) => Head {
                next: last + 1,
                hash: *hash,
            },
            None => Head::origin(),
        }
    }

    /// Whether a head is that of the last record before the first one that is there.
    pub(super) fn is_behind(&self, noted: &NotedHead) -> bool {
        let before = self.ends.first_key_value();
        before.is_some_and(|(last, hash)| *last == noted.seq && noted.hash == hash.as_str())
    }

    pub(super) fn segment_ends(&mut self, head: &Head) {
        self.ends.insert(head.next.saturating_sub(1), head.hash);
    }

    /// Takes a record's word that what is missing was deleted, if the hash that it names is that of the chain. A
    /// kill between the record and the deletion leaves more segments than it says.
    pub(super) fn vouched_by(&mut self, removal: &Removal) -> Result<(), VerifyError> {
        let Removal { seq, pruned } = removal;
        self.said = self.said.max(pruned.last);
        let before = self.first.saturating_sub(1);
        if pruned.last < before || (self.is_kept && pruned.last > before) {
            return Ok(());
        }
        let found = self.ends.get(&pruned.last).filter(|_| pruned.last < *seq);
        match found {
            Some(hash) if hash.as_str() == pruned.hash => {
                self.gone = self.gone.max(Some(pruned.last));
                if self.vouching.len() < MOST_VOUCHING {
                    self.vouching.push(*seq);
                }
                Ok(())
            }
            found => Err(VerifyError::Pruned {
                seq: *seq,
                last: pruned.last,
                noted: pruned.hash.clone(),
                found: found.map_or_else(|| "none".to_owned(), |hash| hash.as_str().to_owned()),
            }),
        }
    }

    /// Which records say that what is missing was deleted. None where nothing is missing.
    pub(super) fn vouching(&self) -> &[u64] {
        if self.first > 1 { &self.vouching } else { &[] }
    }

    /// The last record that was deleted as a record says; an error where nothing vouches for the beginning.
    pub(super) fn check(&self) -> Result<u64, VerifyError> {
        if self.first > 1 && self.gone.is_none() && self.is_kept {
            return Err(VerifyError::Begins {
                path: self.path.clone(),
                first: self.first,
            });
        }
        if self.first > 1 && self.gone.is_none() {
            return Err(VerifyError::Missing {
                path: self.path.clone(),
                expected: self.said + 1,
                named: self.first,
            });
        }
        Ok(self.gone.unwrap_or_default())
    }
}

/// More than kills leave.
const MOST_VOUCHING: usize = 1000;

/// What is wrong with the compressed form of a segment whose plain form is there too: a crash leaves both, and they
/// say the same.
pub(super) fn other_form(path: &Path) -> Option<String> {
    if is_compressed(path) {
        return None;
    }
    let (plain, compressed) = forms(path);
    let differs = || -> io::Result<bool> {
        let packed = Unpacked::open(open_regular(&compressed)?, 0)?;
        let packed = text_of(packed)?;
        Ok(packed != text_of(open_lines(&plain, 0)?)?)
    };
    match differs() {
        Ok(false) => None,
        Ok(true) => Some(format!(
            "{} and {} say different things: the plain one was checked",
            compressed.display(),
            plain.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(match Damage::of_reading(&compressed, &error) {
            Some(damage) => damage.to_string(),
            None => format!("{}: {error}", compressed.display()),
        }),
    }
}
