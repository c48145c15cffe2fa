//! The end of a journal, as it is found: where the chain stands, what is in doubt, what was torn.
//!
//! A torn end was never acknowledged, and is set aside; whatever else breaks the chain is no crash but a
//! change, and an error. Only the last segment is read whole, and of the one before it the last line: a
//! start takes as long as one segment, however long the journal is. Nothing here changes a file.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use super::chain::{Head, Link, LinkError, check_form, confirms, incomplete, on_disk};
use super::directory::at;
use super::mark::Marked;
use super::pseudonym::Said;
use super::segment::{
    self, Break, Damage, OpenError, directory_of, first_record, last_line, open_lines,
};
use super::verify::Doubt;

/// Where the chain stands before the last segment: after the last line of the one before it.
pub(super) fn head_of(last: &Path, before: &[PathBuf]) -> Result<Head, OpenError> {
    let next = first_record(last).unwrap_or(1);
    if let Some(path) = before.last() {
        return head_behind(path, next);
    }
    if next == 1 {
        return Ok(Head::origin());
    }
    // Older segments were moved away: the first line's own word is all there is to hold on to.
    let line = segment::first_line(last).map_err(unread(last))?;
    let named = Link::read(line.trim_ascii_end())
        .ok()
        .and_then(|link| link.prev.parse().ok());
    // Without it the chain could only go on broken.
    let hash = named.ok_or_else(|| {
        let reason = "nothing says what came before it; put the segment before this one back";
        damaged(last, broken(last, 1, next, form(reason), false))
    })?;
    Ok(Head { next, hash })
}

/// Where the chain stands behind a segment after which another begins, with record `next`. It was on disk, whole,
/// before the other was made: no crash changes it.
fn head_behind(path: &Path, next: u64) -> Result<Head, OpenError> {
    let line = last_line(path).map_err(unread(path))?;
    match follow_last(&line, next) {
        Ok(head) => Ok(head),
        Err(source) => {
            let content = content(path)?;
            let lines = content.split_inclusive(|byte| *byte == b'\n').count();
            let record = next.saturating_sub(1);
            Err(damaged(
                path,
                broken(path, lines.max(1) as u64, record, source, false),
            ))
        }
    }
}

/// Steps over the line before record `next`, whose own word has to do for what is before it.
fn follow_last(line: &[u8], next: u64) -> Result<Head, LinkError> {
    let line = line
        .strip_suffix(b"\n")
        .ok_or_else(|| form("it is incomplete, and another segment follows"))?;
    check_form(line)?;
    let prev = Link::read(line)?.prev.parse();
    let mut head = Head {
        next: next.saturating_sub(1),
        hash: prev.map_err(|_invalid| form("\"prev\" is no hash"))?,
    };
    head.follow(line)?;
    Ok(head)
}

/// The end of the last segment.
#[derive(Debug)]
pub(super) struct End {
    /// Behind the last whole record.
    pub(super) head: Head,
    /// Bytes up to there.
    pub(super) good: usize,
    /// Why the rest is torn, when there is one.
    pub(super) torn: Option<String>,
    /// Allowed decisions without outcome.
    pub(super) in_doubt: Vec<String>,
    /// Files set aside that records of this segment name.
    pub(super) named: Vec<String>,
    /// When its first record was written, by that record.
    pub(super) began: Option<jiff::Timestamp>,
    /// The key of pseudonyms that it tells of last.
    pub(super) keyed: Option<Said>,
}

/// Follows the last segment to its end. `marked`: what the file `head` says.
pub(super) fn examine(
    path: &Path,
    content: &[u8],
    start: Head,
    marked: Option<&Marked>,
) -> Result<End, Damage> {
    let (mut head, mut good, mut number) = (start, 0, 0);
    let mut doubt = Doubt::default();
    let (mut named, mut keyed) = (Vec::new(), None);
    let (mut rest, mut last) = (content, None);
    compare(path, &head, marked)?;
    let bad = loop {
        let Some(line) = first_line(&mut rest) else {
            let rest = content.get(good..).filter(|rest| !rest.is_empty());
            break rest.map(|rest| (incomplete(rest), false));
        };
        let record = match head.follow(line) {
            Ok(record) => record,
            Err(source) => {
                let next = first_line(&mut rest);
                break Some((source, next.is_some_and(|next| confirms(next, line))));
            }
        };
        compare(path, &head, marked)?;
        doubt.see(&record);
        match &*record.kind {
            "start" | "reload" => keyed = Said::of(line).or(keyed),
            // Of what is older than all that is there.
            "pruned" => keyed = keyed.or_else(|| Said::all(line).pop()),
            _ => {}
        }
        named.extend(record.set_aside);
        (good, number, last) = (good + line.len() + 1, number + 1, Some(line));
    };
    // What confirms every other line is the one that follows it.
    if let Some(Err(source)) = last.map(check_form) {
        return Err(broken(path, number, head.next - 1, source, false));
    }
    let answered = marked.map_or(0, |marked| marked.answered);
    let torn = match bad {
        None => None,
        Some((LinkError::Form(reason), _))
            if head.next > answered.max(on_disk(content.get(good..).unwrap_or_default())) =>
        {
            Some(reason)
        }
        Some((source, confirmed)) => {
            return Err(broken(path, number + 1, head.next, source, confirmed));
        }
    };
    if answered >= head.next {
        let last = head.next - 1;
        return Err(Damage::Cut { last, answered });
    }
    Ok(End {
        head,
        good,
        torn,
        in_doubt: doubt.up_to(u64::MAX),
        named,
        began: content
            .split(|byte| *byte == b'\n')
            .next()
            .and_then(written_at),
        keyed,
    })
}

/// When a record was written, by its own word.
pub(super) fn written_at(line: &[u8]) -> Option<jiff::Timestamp> {
    #[derive(serde::Deserialize)]
    struct Written<'a> {
        #[serde(borrow)]
        timestamp: std::borrow::Cow<'a, str>,
    }
    let written: Written<'_> = serde_json::from_slice(line).ok()?;
    written.timestamp.parse().ok()
}

/// The record that the file `head` names has to be the one that was written.
pub(super) fn compare(path: &Path, head: &Head, marked: Option<&Marked>) -> Result<(), Damage> {
    let noted = marked.map(|marked| &marked.head);
    match noted.filter(|noted| noted.seq + 1 == head.next) {
        Some(noted) if noted.hash != head.hash.as_str() => Err(Damage::Changed {
            path: path.to_owned(),
            noted: noted.clone(),
            found: head.hash.as_str().to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The next line without its newline, if it has one.
fn first_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    // Never fails: it is memory.
    let length = rest.skip_until(b'\n').ok()?;
    all.get(..length)?.strip_suffix(b"\n")
}

/// Everything that a segment holds, and why it cannot be read.
pub(super) fn content(path: &Path) -> Result<Vec<u8>, OpenError> {
    open_lines(path, 0).and_then(whole).map_err(unread(path))
}

fn whole(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    Ok(content)
}

fn unread(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| match Damage::of_reading(&path, &error) {
        Some(damage) => damaged(&path, damage),
        None => at(&path)(error),
    }
}

fn form(reason: &str) -> LinkError {
    LinkError::Form(reason.to_owned())
}

fn broken(path: &Path, line: u64, record: u64, why: LinkError, confirmed: bool) -> Damage {
    Damage::Broken(Break {
        path: path.to_owned(),
        line,
        record,
        confirmed,
        why,
    })
}

fn damaged(path: &Path, damage: Damage) -> OpenError {
    OpenError::Damaged {
        directory: directory_of(path).to_owned(),
        damage,
    }
}
