//! Proof, offline: reading a journal to its end is verifying it.
//!
//! Finds edited, removed, added and reordered records and missing segments, and files set aside that are gone,
//! changed, or that no record names. A journal that was written anew as a whole, the file `head` with it, is found by
//! the key that signs its checkpoints, and one that was cut, by a checkpoint or a head that was kept elsewhere.
//! It holds on to nothing that grows with the journal: lists are cut, and what is not listed is counted.
//!
//! Lines that are kept elsewhere than in segments are verified by the same walk ([`Elsewhere`]).

mod aside;
mod checkpoints;
mod doubt;
mod elsewhere;
mod report;
mod start;
mod unsigned;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use super::chain::{Head, LinkError, NotedHead, check_form, confirms, incomplete, on_disk};
use super::mark::{self, Marked};
use super::pseudonym::{MOST_KEYS, Said, differing};
use super::segment::{Break, Damage, LONGEST_LINE, first_record, open_lines, read_line, segments};
use super::settle::compare;
use super::tree::stored::{self, Deleted};
use crate::value::Duration;
use checkpoints::Checking;
pub use checkpoints::{CheckpointError, Checkpoints, Late, Trust, read_kept};
pub(super) use doubt::Doubt;
pub use elsewhere::{Beginning, Elsewhere};
pub use report::{Recovered, Removal, Report, VerifyError};
use start::{Start, other_form};

/// Reads the journal in `directory` from its first record to its last. Nobody's signature is trusted.
pub fn verify(directory: &Path, noted: Option<&NotedHead>) -> Result<Report, VerifyError> {
    verify_by(directory, noted, &Trust::default())
}

/// The same, and finds out what is proven by keys and by a checkpoint from elsewhere.
pub fn verify_by(
    directory: &Path,
    noted: Option<&NotedHead>,
    trust: &Trust,
) -> Result<Report, VerifyError> {
    let mut tries = 0;
    loop {
        match walk(directory, noted, trust) {
            // A gate deleted it meanwhile, or it was never there.
            Err(VerifyError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tries < TRIES =>
            {
                tries += 1;
            }
            verified => return verified,
        }
    }
}

fn walk(directory: &Path, noted: Option<&NotedHead>, trust: &Trust) -> Result<Report, VerifyError> {
    // First: a gate that writes meanwhile makes the journal longer, and never shorter than this says.
    let marked = mark::read(directory)
        .map_err(io(&mark::path(directory)))?
        .transpose()?;
    let segments = segments(directory).map_err(io(directory))?;
    if segments.is_empty() && marked.as_ref().is_none_or(|marked| marked.answered == 0) {
        return Err(VerifyError::Empty(directory.to_owned()));
    }
    let start = match segments.first() {
        Some(first) => Start::of(first)?,
        None => Start::default(),
    };
    let deleted = stored::beginning(&segments).map_err(unread(directory))?;
    let mut walk = Walk {
        marked,
        segments: &segments,
        ..Walk::new(directory, start, deleted, noted, trust)?
    };
    for path in &segments {
        walk.segment(path, segments.last() == Some(path))?;
    }
    walk.end(directory)
}

/// How often a journal from which segments are deleted is read again.
const TRIES: u32 = 100;

/// The way from the first record to the last.
struct Walk<'a> {
    head: Head,
    start: Start,
    /// None: nothing says what the tree of the deleted records was.
    checkpoints: Option<Checking>,
    report: Report,
    doubt: Doubt,
    /// Of pseudonyms: the fingerprint of each version, by the last record that tells it.
    keys: BTreeMap<u32, String>,
    /// All that records tell of them, each once.
    told: BTreeSet<Said>,
    /// What the file `head` says.
    marked: Option<Marked>,
    noted: Option<&'a NotedHead>,
    noted_found: bool,
    segments: &'a [PathBuf],
    /// How often a gate makes a checkpoint.
    interval: Duration,
    /// By keys, or by a checkpoint from elsewhere.
    is_proof_wanted: bool,
}

impl<'a> Walk<'a> {
    /// From the place where it starts on. `deleted`: what is known of what comes before.
    fn new(
        path: &Path,
        start: Start,
        deleted: Option<Deleted>,
        noted: Option<&'a NotedHead>,
        trust: &Trust,
    ) -> Result<Self, VerifyError> {
        let said = deleted.iter().flat_map(|it| Said::of_deleted(&it.pruned));
        let told: BTreeSet<Said> = said.clone().take(MOST_KEYS).collect();
        let keys = said.filter_map(|said| Some((said.version, said.fingerprint?)));
        let keys = keys.take(LISTED).collect();
        let checkpoints = deleted.map(|deleted| Checking::new(trust, deleted));
        Ok(Self {
            head: start.head(),
            noted_found: noted.is_some_and(|noted| start.is_behind(noted)),
            start,
            checkpoints: checkpoints.transpose().map_err(at_checkpoint(path, None))?,
            report: Report::default(),
            doubt: Doubt::default(),
            keys,
            told,
            marked: None,
            noted,
            segments: &[],
            interval: trust.interval.unwrap_or(INTERVAL),
            is_proof_wanted: trust.wants_proof(),
        })
    }

    fn segment(&mut self, path: &Path, is_last: bool) -> Result<(), VerifyError> {
        let (named, expected) = (first_record(path).unwrap_or_default(), self.head.next);
        if named != expected {
            return Err(VerifyError::Missing {
                path: path.to_owned(),
                expected,
                named,
            });
        }
        let opened = open_lines(path, 0);
        let mut reader = opened.map_err(|error| self.unreadable(path, error))?;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            match read_line(&mut reader, &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    return Err(self.too_long(path, number, &error));
                }
                Err(error) => return Err(self.unreadable(path, error)),
            }
            // What confirms every other line is the one that follows it.
            let is_end = is_last && reader.fill_buf().map_err(unread(path))?.is_empty();
            let followed = match line.strip_suffix(b"\n") {
                Some(line) if is_end => check_form(line).and_then(|()| self.follow(line)),
                Some(line) => self.follow(line),
                None => Err(incomplete(&line)),
            };
            let kind = match followed {
                Ok(kind) => kind,
                Err(why) => return Err(self.broken(path, number, &line, why, reader, is_last)),
            };
            let whole = line.strip_suffix(b"\n").unwrap_or(&line);
            self.followed(path, number, &kind, whole)?;
        }
        self.start.segment_ends(&self.head);
        self.report.problems.extend(other_form(path));
        self.report.segments += 1;
        Ok(())
    }

    /// Looks at what a line says that continues the chain.
    fn followed(
        &mut self,
        path: &Path,
        number: u64,
        kind: &str,
        line: &[u8],
    ) -> Result<(), VerifyError> {
        compare(path, &self.head, self.marked.as_ref())?;
        match kind {
            "pruned" => self.pruned(path, number, line)?,
            "start" | "reload" => self.keyed(line),
            _ => {}
        }
        // What is about to be deleted is in the tree already.
        if let Some(checkpoints) = &mut self.checkpoints
            && self.head.next > checkpoints.size() + 1
        {
            let seen = checkpoints.see(kind, line);
            seen.map_err(at_checkpoint(path, Some(number)))?;
        }
        Ok(())
    }

    fn follow<'l>(&mut self, line: &'l [u8]) -> Result<Cow<'l, str>, LinkError> {
        let record = self.head.follow(line)?;
        let report = &mut self.report;
        report.records += 1;
        match (&*record.kind, &*record.verdict) {
            ("decision", "allow") => report.allowed += 1,
            ("decision", _) => report.denied += 1,
            ("outcome", _) => report.outcomes += 1,
            ("suppressed", _) => {
                report.suppressed = report.suppressed.saturating_add(record.count);
            }
            ("recovery", _) => {
                let recovered = serde_json::from_slice(line);
                let form = |error: serde_json::Error| LinkError::Form(error.to_string());
                let recovered = recovered.map_err(form)?;
                if report.recoveries.len() < LISTED {
                    report.recoveries.push(recovered);
                } else {
                    report.more_recoveries += 1;
                }
            }
            _ => {}
        }
        self.doubt.see(&record);
        self.start.follows(&self.head);
        self.noted_found |= self.noted.is_some_and(|noted| {
            noted.seq + 1 == self.head.next && noted.hash == self.head.hash.as_str()
        });
        Ok(record.kind)
    }

    /// Looks whether a key of pseudonyms is still the same.
    fn keyed(&mut self, line: &[u8]) {
        let Some(said) = Said::of(line) else {
            return;
        };
        self.told([said.clone()]);
        let Some(fingerprint) = said.fingerprint else {
            return;
        };
        if self.keys.len() >= LISTED {
            return;
        }
        let before = self.keys.insert(said.version, fingerprint.clone());
        if before.is_some_and(|before| before != fingerprint)
            && self.report.other_keys.len() < LISTED
        {
            let record = self.head.next - 1;
            self.report.other_keys.push((record, said.version));
        }
    }

    /// Keeps what is told of keys, as far as there is room.
    fn told(&mut self, said: impl IntoIterator<Item = Said>) {
        for said in said {
            if self.told.len() < MOST_KEYS {
                self.told.insert(said);
            }
        }
    }

    /// Looks whether the chain is what a record says of what was deleted.
    fn pruned(&mut self, path: &Path, line: u64, content: &[u8]) -> Result<(), VerifyError> {
        let removal: Removal = serde_json::from_slice(content).map_err(|error| {
            VerifyError::Damaged(Damage::Broken(Break {
                path: path.to_owned(),
                line,
                record: self.head.next - 1,
                confirmed: false,
                why: LinkError::Form(error.to_string()),
            }))
        })?;
        self.start.vouched_by(&removal)?;
        if let Some(noted) = self.noted
            && noted.seq == removal.pruned.last
            && noted.hash != removal.pruned.hash
        {
            return Err(head_lost(noted));
        }
        self.told(Said::of_deleted(&removal.pruned));
        self.doubt.see_deleted(&removal.pruned, removal.seq);
        if self.report.pruned.len() < LISTED {
            self.report.pruned.push(removal);
        } else {
            self.report.more_pruned += 1;
        }
        Ok(())
    }

    /// The same as [`unread`], and how far a compressed segment can be read.
    fn unreadable(&self, path: &Path, error: io::Error) -> VerifyError {
        let mut unread = unread(path)(error);
        if let VerifyError::Damaged(Damage::Compressed { reason, .. }) = &mut unread {
            let last = self.head.next.saturating_sub(1);
            let first = first_record(path).unwrap_or_default();
            *reason = if first <= last {
                format!("{reason} (records {first} to {last} in it can be read)")
            } else {
                format!("{reason} (it begins with record {first}, and none in it can be read)")
            };
        }
        unread
    }

    fn too_long(&self, path: &Path, line: u64, error: &io::Error) -> VerifyError {
        VerifyError::Damaged(Damage::Broken(Break {
            path: path.to_owned(),
            line,
            record: self.head.next,
            confirmed: false,
            why: LinkError::Form(error.to_string()),
        }))
    }

    /// What is wrong with a line: torn by a crash, where it is the end and nothing says that it was on disk.
    fn broken(
        &self,
        path: &Path,
        number: u64,
        line: &[u8],
        why: LinkError,
        reader: impl BufRead,
        is_last: bool,
    ) -> VerifyError {
        let record = self.head.next;
        let mut rest = line.to_vec();
        // No further than a torn end can be long.
        if let Err(error) = reader.take(LONGEST_LINE as u64).read_to_end(&mut rest) {
            return unread(path)(error);
        }
        let answered = self.marked.as_ref().map_or(0, |marked| marked.answered);
        match why {
            LinkError::Form(reason) if is_last && record > answered.max(on_disk(&rest)) => {
                VerifyError::Torn {
                    path: path.to_owned(),
                    line: number,
                    record,
                    reason,
                }
            }
            why => {
                let mut lines = rest.split(|byte| *byte == b'\n');
                let confirmed = match (lines.next(), lines.next()) {
                    (Some(line), Some(next)) => confirms(next, line),
                    _ => false,
                };
                VerifyError::Damaged(Damage::Broken(Break {
                    path: path.to_owned(),
                    line: number,
                    record,
                    confirmed,
                    why,
                }))
            }
        }
    }

    fn end(mut self, directory: &Path) -> Result<Report, VerifyError> {
        let (segments, interval) = (self.segments, self.interval);
        let told: Vec<Said> = std::mem::take(&mut self.told).into_iter().collect();
        let (answered, on_disk) = self
            .marked
            .as_ref()
            .map_or((0, 0), |marked| (marked.answered, marked.head.seq));
        let last = self.head.next - 1;
        if answered > last {
            return Err(VerifyError::Damaged(Damage::Cut { last, answered }));
        }
        let (mut report, gone) = self.ended(directory)?;
        // What was set aside is deleted before the segment whose record names it.
        let recoveries = report.recoveries.iter();
        let kept: Vec<_> = recoveries.filter(|it| it.seq > gone).collect();
        let found = aside::problems(directory, &kept).map_err(io(directory))?;
        report.problems.extend(found);
        if on_disk > last {
            // Nobody was answered for them (a start, a recovery, a stop), so that a start lets it pass.
            report.problems.push(format!(
                "record {on_disk} was on disk, says the file head, and the journal ends with record {last}"
            ));
        }
        match differing(Some(directory), &told) {
            Ok(missing) => report.missing_keys = missing,
            // Whoever verifies need not be allowed to read them.
            Err(error) => report.unread_keys = Some(whole(&error)),
        }
        let proven = report.checkpoints.proven;
        if proven > 0 {
            // The checkpoint itself is the one behind them.
            let found = unsigned::problem(segments, proven + 2, last, interval);
            report.problems.extend(found.map_err(unread(directory))?);
        }
        Ok(report)
    }

    /// What the lines themselves tell, wherever they are kept, and the last record that was deleted.
    fn ended(self, path: &Path) -> Result<(Report, u64), VerifyError> {
        let (mut report, last) = (self.report, self.head.next - 1);
        report.has_head_file = self.marked.is_some();
        report.has_unseen_checkpoints = self.checkpoints.is_none();
        let gone = self.start.check();
        if let Some(noted) = self.noted.filter(|_| !self.noted_found) {
            return Err(match gone {
                Ok(gone) if noted.seq < gone => VerifyError::HeadDeleted {
                    seq: noted.seq,
                    last: gone,
                },
                _ => head_lost(noted),
            });
        }
        let gone = gone?;
        report.checkpoints = match self.checkpoints {
            Some(checkpoints) => checkpoints
                .end(self.start.vouching(), &report.pruned)
                .map_err(at_checkpoint(path, None))?,
            None if self.is_proof_wanted => {
                let first = gone + 1;
                return Err(at_checkpoint(path, None)(CheckpointError::Vouched {
                    first,
                }));
            }
            None => Checkpoints::default(),
        };
        report.deleted_in_doubt = self.doubt.deleted();
        (report.in_doubt, report.more_in_doubt) = self.doubt.some();
        if self.noted.is_none_or(|noted| noted.seq != last) {
            report.unvouched.push(last);
        }
        report.head_seq = last;
        self.head.hash.as_str().clone_into(&mut report.head_hash);
        Ok((report, gone))
    }
}

/// An error with what it comes from.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn head_lost(noted: &NotedHead) -> VerifyError {
    VerifyError::Head {
        seq: noted.seq,
        hash: noted.hash.clone(),
    }
}

fn at_checkpoint(
    path: &Path,
    line: Option<u64>,
) -> impl FnOnce(CheckpointError) -> VerifyError + use<> {
    let path = path.to_owned();
    move |why| VerifyError::Checkpoint { path, line, why }
}

/// Why a segment cannot be read: damage, where it is compressed and was changed.
fn unread(path: &Path) -> impl FnOnce(io::Error) -> VerifyError + use<> {
    let path = path.to_owned();
    move |error| match Damage::of_reading(&path, &error) {
        Some(damage) => VerifyError::Damaged(damage),
        None => io(&path)(error),
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> VerifyError + use<> {
    let path = path.to_owned();
    move |source| VerifyError::Io { path, source }
}

/// `journal.checkpoint_interval`, where nobody says another.
const INTERVAL: Duration = Duration::from_secs(60);
/// Of a kind.
const LISTED: usize = 10_000;
