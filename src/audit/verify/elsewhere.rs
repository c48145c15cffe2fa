//! Lines that are kept elsewhere than in segments: they are handed in, one after the other.
//!
//! There is no file `head`, and nothing that was set aside, and what a gate deletes of its journal may stay there.

use std::borrow::Cow;
use std::path::PathBuf;

use super::checkpoints::{Checking, Trust};
use super::start::Start;
use super::unsigned::Unsigned;
use super::{
    Break, Damage, LinkError, NotedHead, Report, VerifyError, Walk, check_form, confirms, stored,
};

/// With what such lines begin.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// What the place is called.
    pub name: &'a str,
    /// The number of the first record, and its line.
    pub first: u64,
    pub line: &'a [u8],
    /// The `pruned` records among them, which say what came before.
    pub removals: &'a [Vec<u8>],
}

/// The way through such lines.
pub struct Elsewhere<'a> {
    walk: Walk<'a>,
    name: PathBuf,
    last: Vec<u8>,
    /// Since the newest checkpoint.
    unsigned: Unsigned,
    proven: u64,
}

impl<'a> Elsewhere<'a> {
    pub fn new(
        beginning: Beginning<'_>,
        noted: Option<&'a NotedHead>,
        trust: &Trust,
    ) -> Result<Self, VerifyError> {
        let Beginning { first, line, .. } = beginning;
        let name = PathBuf::from(beginning.name);
        let start = Start::elsewhere(&name, first, line, trust.begins.clone());
        let deleted = stored::beginning_by(first.saturating_sub(1), beginning.removals);
        let walk = Walk::new(&name, start, deleted, noted, trust)?;
        Ok(Self {
            unsigned: Unsigned::new(walk.interval),
            walk,
            name,
            last: Vec::new(),
            proven: 0,
        })
    }

    /// The number of the record that comes next.
    pub fn next(&self) -> u64 {
        self.walk.head.next
    }

    /// The hash of the record before that.
    pub fn hash(&self) -> &str {
        self.walk.head.hash.as_str()
    }

    /// Goes on with a line without its newline, and says of what kind it is; `next`: the one behind it, if there is one.
    pub fn see<'l>(
        &mut self,
        line: &'l [u8],
        next: Option<&[u8]>,
    ) -> Result<Cow<'l, str>, VerifyError> {
        let record = self.walk.head.next;
        let broken = |why| {
            VerifyError::Damaged(Damage::Broken(Break {
                path: self.name.clone(),
                line: record,
                record,
                confirmed: next.is_some_and(|next| confirms(next, line)),
                why,
            }))
        };
        let kind = self.walk.follow(line).map_err(broken)?;
        self.walk.followed(&self.name, record, &kind, line)?;
        let checkpoints = self.walk.checkpoints.as_ref();
        let proven = checkpoints.map_or(0, Checking::proven);
        if proven > self.proven {
            self.proven = proven;
            self.unsigned = Unsigned::new(self.walk.interval);
        } else if proven > 0 {
            self.unsigned.see(line);
        }
        self.last.clear();
        self.last.extend_from_slice(line);
        Ok(kind)
    }

    pub fn end(self) -> Result<Report, VerifyError> {
        let last = self.walk.head.next - 1;
        // What confirms every other line is the one that follows it.
        check_form(&self.last).map_err(|why: LinkError| {
            VerifyError::Damaged(Damage::Broken(Break {
                path: self.name.clone(),
                line: last,
                record: last,
                confirmed: false,
                why,
            }))
        })?;
        let (mut report, _gone) = self.walk.ended(&self.name)?;
        // The checkpoint itself is the one behind what it proves.
        let from = report.checkpoints.proven + 2;
        report.problems.extend(self.unsigned.problem(from, last));
        Ok(report)
    }
}

impl std::fmt::Debug for Elsewhere<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, next) = (&self.name, self.next());
        f.debug_struct("Elsewhere")
            .field("name", name)
            .field("next", &next)
            .finish_non_exhaustive()
    }
}
