//! How long records are kept: whole closed segments are deleted, the oldest first, once a record says so.
//!
//! In this order, so that a kill after any step loses nothing that was not to be deleted: a file `pruning` says
//! what is intended, a `pruned` record is on disk, the segments go one by one, the file goes. The next start finds
//! the file, and goes on if the record is there. What remains is always the end of the journal without a gap.

mod carried;
mod followed;
mod vouched;

use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::{Deserialize, Deserializer, de};

use super::Config;
use super::aside::of_segment;
use super::chain::{Head, Link};
use super::event::Pruned;
use super::lines::Place;
use super::segment::{
    as_readable_as, first_line, first_record, forms, last_line, open_lines, open_regular, put,
    read_line, segments,
};
use super::settle::written_at;
use super::tree::stored;
use crate::value::{Duration, ParseError, Size, rfc3339_millis};
use carried::Carried;
pub(super) use followed::Followed;

/// When old segments are deleted. As it is built in: never.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Segments are deleted whose last record is older.
    #[serde(deserialize_with = "or_off")]
    pub max_age: Option<Duration>,
    /// The oldest segments are deleted while all closed ones take more room on disk.
    #[serde(deserialize_with = "or_off")]
    pub max_size: Option<Size>,
}

impl Config {
    /// What nobody can mean: the keys below `journal` that lead to it, and what is wrong.
    pub fn refusal(&self) -> Option<(&'static [&'static str], String)> {
        let least = self.segment_size.as_u64().saturating_mul(3);
        if self.segment_age.is_some_and(|age| age < SHORTEST_AGE) {
            let message =
                format!("a segment is kept open for {SHORTEST_AGE} at least, or write \"off\"");
            return Some((&["segment_age"], message));
        }
        if self
            .retention
            .max_size
            .is_some_and(|most| most.as_u64() < least)
        {
            let message = "the last two segments are never deleted: it has to be three times journal.segment_size \
                           at least";
            return Some((&["retention", "max_size"], message.to_owned()));
        }
        match (self.retention.max_age, self.segment_age) {
            (Some(_), None) => {
                let message = "records are deleted with their segment, so a segment must not stay open for ever: \
                               give journal.segment_age";
                Some((&["retention", "max_age"], message.to_owned()))
            }
            (Some(most), Some(age)) if most < age => {
                let message = format!(
                    "records are deleted with their segment, and a segment may be open for {age} \
                     (journal.segment_age): make this longer, or that shorter"
                );
                Some((&["retention", "max_age"], message))
            }
            _ => None,
        }
    }
}

/// A value, or `off`.
pub(super) fn or_off<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err = ParseError>,
{
    let text = String::deserialize(deserializer)?;
    if text.trim() == "off" {
        return Ok(None);
    }
    let value = text
        .parse()
        .map_err(|error: ParseError| de::Error::custom(format!("{error}; or \"off\"")))?;
    Ok(Some(value))
}

/// What is to be deleted: all segments up to this record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) segments: Vec<PathBuf>,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) reason: &'static str,
}

/// What the configuration would have deleted, and what of it may be.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) plan: Option<Plan>,
    /// Segments that wait until a signed checkpoint covers them, and they are shipped.
    pub(super) waiting: usize,
}

/// Looks at what is there. `covered`: the last record that may be deleted.
pub(super) fn due(
    directory: &Path,
    retention: &Retention,
    now: jiff::Timestamp,
    covered: u64,
) -> io::Result<Due> {
    let mut due = Due::default();
    let segments = segments(directory)?;
    let closed = segments.split_last().map_or(&[][..], |(_, closed)| closed);
    let mut size = 0;
    for path in closed {
        size += size_of(path)?;
    }
    // A start needs the last two.
    for pair in segments
        .windows(2)
        .take(segments.len().saturating_sub(KEPT))
    {
        let [path, next] = pair else { break };
        let Some(reason) = reason(path, retention, now, size)? else {
            break;
        };
        let (first, next) = (first_record(path), first_record(next));
        let last = next.unwrap_or_default().saturating_sub(1);
        if last > covered {
            due.waiting += 1;
        } else if due.waiting == 0 {
            let plan = due.plan.get_or_insert_with(|| Plan {
                segments: Vec::new(),
                first: first.unwrap_or_default(),
                last,
                reason,
            });
            plan.segments.push(path.clone());
            plan.last = last;
            if plan.segments.len() >= MOST_AT_ONCE {
                break;
            }
        }
        size = size.saturating_sub(size_of(path)?);
    }
    Ok(due)
}

/// Why a segment is to be deleted.
fn reason(
    path: &Path,
    retention: &Retention,
    now: jiff::Timestamp,
    size: u64,
) -> io::Result<Option<&'static str>> {
    if retention.max_size.is_some_and(|most| size > most.as_u64()) {
        return Ok(Some("max_size"));
    }
    let Some(most) = retention.max_age else {
        return Ok(None);
    };
    let newest = written_at(last_line(path)?.trim_ascii_end());
    let age = newest.filter(|newest| *newest < now);
    let age = age.map(|newest| now.duration_since(newest).unsigned_abs());
    Ok(age
        .is_some_and(|age| age > most.as_std())
        .then_some("max_age"))
}

/// On disk, in all its forms.
fn size_of(path: &Path) -> io::Result<u64> {
    let (plain, compressed) = forms(path);
    let mut size = 0;
    for form in [plain, compressed] {
        match std::fs::symlink_metadata(&form) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => size += found?.len(),
        }
    }
    Ok(size)
}

/// Reads what is to be deleted, and makes the record of it. What is damaged is evidence, and is not deleted. `followed`:
/// what is known from the time before; nothing is, where it fails.
pub(super) fn removal(
    directory: &Path,
    plan: &Plan,
    now: jiff::Timestamp,
    followed: &mut Followed,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Pruned> {
    let read = read(directory, plan, now, followed, go_on);
    read.inspect_err(|_error| *followed = Followed::default())
}

fn read(
    directory: &Path,
    plan: &Plan,
    now: jiff::Timestamp,
    followed: &mut Followed,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Pruned> {
    let before = vouched::check(directory, plan.first, go_on)?;
    let mut carried = Carried::of(before);
    let mut head = None::<Head>;
    followed.begin(plan.first);
    let (mut oldest, mut newest) = (String::new(), String::new());
    let mut line = Vec::new();
    for path in &plan.segments {
        let damaged = |reason: String| {
            let path = path.display();
            io::Error::other(format!("{path} is damaged, and is not deleted: {reason}"))
        };
        if head.is_none() {
            let line = first_line(path)?;
            let named = Link::read(line.trim_ascii_end()).map_err(|it| damaged(it.to_string()))?;
            let prev = named.prev.parse();
            head = Some(Head {
                next: plan.first,
                hash: prev.map_err(|()| damaged("\"prev\" is no hash".to_owned()))?,
            });
        }
        let mut reader = open_lines(path, 0)?;
        go_on()?;
        let mut place = Place {
            segment: first_record(path).unwrap_or_default(),
            offset: 0,
        };
        while read_line(&mut reader, &mut line)? > 0 {
            let content = line.strip_suffix(b"\n").unwrap_or(&line);
            let head = head.get_or_insert_with(Head::origin);
            let record = head.follow(content);
            let record = record.map_err(|it| damaged(it.to_string()))?;
            followed.see(place, &record, content);
            place.offset += line.len() as u64;
            carried.see(&record.kind, content);
            if record.kind == "pruned"
                && let Ok(pruned) = serde_json::from_slice(content)
            {
                carried.extend(pruned);
            }
            if let Some(written) = written_at(content) {
                newest = rfc3339_millis(written);
                if oldest.is_empty() {
                    oldest.clone_from(&newest);
                }
            }
            line.clear();
        }
    }
    let head = head.unwrap_or_else(Head::origin);
    let kept = first_line_behind(directory, plan.last)?;
    let follows = Link::read(kept.trim_ascii_end()).is_ok_and(|it| it.prev == head.hash.as_str());
    if head.next != plan.last + 1 || !follows {
        return Err(io::Error::other(format!(
            "record {} does not follow on record {}: nothing is deleted",
            plan.last + 1,
            plan.last
        )));
    }
    let in_doubt = followed.in_doubt(directory, plan.last, go_on)?;
    Ok(Pruned {
        timestamp: rfc3339_millis(now),
        first: plan.first,
        last: plan.last,
        hash: head.hash.as_str().to_owned(),
        tree: stored::pruned_member(directory, plan.last)?,
        oldest,
        newest,
        reason: plan.reason.to_owned(),
        in_doubt_count: in_doubt.len() as u64,
        in_doubt: in_doubt.into_iter().take(MOST_IN_DOUBT).collect(),
        keys: carried.keys(),
        pseudonyms: carried.pseudonyms(),
    })
}

fn first_line_behind(directory: &Path, last: u64) -> io::Result<Vec<u8>> {
    let next = segments(directory)?
        .into_iter()
        .find(|path| first_record(path) == last.checked_add(1));
    let next = next.ok_or_else(|| io::Error::other("the segment behind it is gone"))?;
    first_line(&next)
}

fn pruned_in(
    path: &Path,
    go_on: &mut dyn FnMut() -> io::Result<()>,
    mut see: impl FnMut(u64, Pruned),
) -> io::Result<()> {
    go_on()?;
    let mut reader = open_lines(path, 0)?;
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? > 0 {
        if memmem::find(&line, b"\"kind\":\"pruned\"").is_some()
            && let Ok(link) = Link::read(line.trim_ascii_end())
            && link.kind == "pruned"
            && let Ok(pruned) = serde_json::from_slice(&line)
        {
            see(link.seq.unwrap_or_default(), pruned);
        }
        line.clear();
    }
    Ok(())
}

/// Deletes what the record says. `written`: the last record before it. When `record` returns, it is on disk, and below a
/// signed checkpoint: what only says so itself, anybody could have written.
pub(super) fn prune(
    directory: &Path,
    pruned: &Pruned,
    written: u64,
    record: impl FnOnce() -> io::Result<()>,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    go_on()?;
    let intended = format!("{written} {}\n", pruned.last);
    let mode = as_readable_as(directory)?;
    put(&intention(directory), intended.as_bytes(), mode)?;
    go_on()?;
    record()?;
    delete(directory, pruned.last, go_on)
}

/// Goes on with what a kill has ended, where the record was written; once a checkpoint covers that: as long as it waits,
/// it says `false`.
pub(super) fn finish(
    directory: &Path,
    covered: u64,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<bool> {
    let path = intention(directory);
    let mut intended = String::new();
    match open_regular(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => io::Read::read_to_string(&mut io::Read::take(file?, 64), &mut intended)?,
    };
    let numbers = intended.trim_end().split_once(' ');
    let numbers =
        numbers.and_then(|(written, last)| Some((written.parse().ok()?, last.parse().ok()?)));
    // Half of it is not there: it was renamed when it was whole. Then it is not dtgate's.
    let (written, last): (u64, u64) = numbers
        .ok_or_else(|| io::Error::other("the file \"pruning\" is not what dtgate writes"))?;
    let mut recorded = None;
    let all = segments(directory)?;
    for (at, path) in all.iter().enumerate() {
        let next = all.get(at + 1).and_then(|path| first_record(path));
        if next.is_none_or(|next| next > written) {
            let see = |seq, pruned: Pruned| {
                if pruned.last == last {
                    recorded = Some((seq, pruned.hash));
                }
            };
            pruned_in(path, go_on, see)?;
        }
    }
    if let Some((seq, hash)) = recorded {
        if seq > covered {
            return Ok(false);
        }
        let kept = first_line_behind(directory, last)?;
        if Link::read(kept.trim_ascii_end()).is_ok_and(|it| it.prev == hash) {
            return delete(directory, last, go_on).map(|()| true);
        }
    }
    go_on()?;
    std::fs::remove_file(path)?;
    sync(directory).map(|()| true)
}

/// Deletes the segments up to a record, and what was set aside from them.
fn delete(
    directory: &Path,
    last: u64,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let all = segments(directory)?;
    for pair in all.windows(2).take(all.len().saturating_sub(KEPT)) {
        let [path, next] = pair else { break };
        if first_record(next).is_none_or(|next| next - 1 > last) {
            break;
        }
        let (plain, compressed) = forms(path);
        for (_, aside) in of_segment(&plain)? {
            go_on()?;
            std::fs::remove_file(aside)?;
        }
        for form in [plain, compressed] {
            go_on()?;
            match std::fs::remove_file(&form) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        // One after the other, so that a power failure leaves no gap.
        sync(directory)?;
    }
    go_on()?;
    std::fs::remove_file(intention(directory))?;
    sync(directory)
}

/// Takes back what was intended. A kill came between the record and its checkpoint: a later start signs that record with
/// whatever else was there, so that it counts for nothing, and another one is written when segments are deleted next.
pub(super) fn forget(directory: &Path) -> io::Result<()> {
    match std::fs::remove_file(intention(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync(directory)),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

fn intention(directory: &Path) -> PathBuf {
    directory.join("pruning")
}

/// More would make files of a few records.
const SHORTEST_AGE: Duration = Duration::from_secs(60);

/// Segments that are never deleted.
const KEPT: usize = 2;

/// Segments that one record deletes.
const MOST_AT_ONCE: usize = 64;

/// Lines that are read between two looks at whether dtgate ends.
const LINES: u64 = 4096;

/// Decisions that the record names.
const MOST_IN_DOUBT: usize = 100;
