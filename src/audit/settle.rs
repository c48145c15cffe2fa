//! The end of a journal, as it is found: where the chain stands, what is in doubt, what was torn.
//!
//! A torn end was never acknowledged, and is set aside; whatever else breaks the chain is no crash but a
//! change, and an error. Only the last segment is read whole, and of the one before it the last line: a
//! start takes as long as one segment, however long the journal is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::chain::{Head, Link, LinkError, check_form};
use super::segment::{OpenError, first_record, options};

/// What opening found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) in_doubt: Vec<String>,
    /// Name of the file that holds a torn end, and why it was one.
    pub(super) torn: Option<(String, String)>,
}

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
    let mut line = Vec::new();
    File::open(last)
        .and_then(|file| io::BufReader::new(file).read_until(b'\n', &mut line))
        .map_err(|source| OpenError::Io {
            path: last.to_owned(),
            source,
        })?;
    let named = Link::read(line.trim_ascii_end())
        .ok()
        .and_then(|link| link.prev.parse().ok());
    // Without it the chain could only go on broken.
    let hash = named.ok_or_else(|| OpenError::Broken {
        path: last.to_owned(),
        line: 1,
        source: LinkError::Form(
            "nothing says what came before it: put the segment before this one back".to_owned(),
        ),
    })?;
    Ok(Head { next, hash })
}

/// Where the chain stands behind a segment after which another begins, with record `next`. It was on disk, whole,
/// before the other was made: no crash changes it.
fn head_behind(path: &Path, next: u64) -> Result<Head, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let line = last_line(path).map_err(io)?;
    match follow_last(&line, next) {
        Ok(head) => Ok(head),
        Err(source) => {
            let content = std::fs::read(path).map_err(io)?;
            let lines = content.split_inclusive(|byte| *byte == b'\n').count();
            Err(OpenError::Broken {
                path: path.to_owned(),
                line: lines.max(1) as u64,
                source,
            })
        }
    }
}

/// Steps over the line before record `next`, whose own word has to do for what is before it.
fn follow_last(line: &[u8], next: u64) -> Result<Head, LinkError> {
    let form = |reason: &str| LinkError::Form(reason.to_owned());
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

/// The last line of a segment with its newline, if it has one, found from its end: what stands before it is not
/// read.
fn last_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    for step in 1.. {
        let from = length.saturating_sub(step * TAIL);
        tail.clear();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(length - from).read_to_end(&mut tail)?;
        let lines = tail.strip_suffix(b"\n").unwrap_or(&tail);
        let before = lines.iter().rposition(|byte| *byte == b'\n');
        if before.is_some() || from == 0 {
            tail.drain(..before.map_or(0, |at| at + 1));
            break;
        }
    }
    Ok(tail)
}

/// Follows the last segment to its end and sets a torn end aside.
pub(super) fn settle(path: &Path, start: Head) -> Result<(Head, Found), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let content = std::fs::read(path).map_err(io)?;
    let mut head = start;
    let mut doubt = super::verify::Doubt::default();
    let mut good = 0;
    let mut number = 0;
    let mut torn = None;
    let mut after = content.as_slice();
    let mut last = None;
    while let Some(line) = first_line(&mut after) {
        number += 1;
        let mut next = head.clone();
        let followed = next.follow(line).and_then(|record| {
            // Every other line is confirmed by the one that follows it.
            if first_line(&mut { after }).is_none() {
                check_form(line)?;
            }
            Ok(record)
        });
        match followed {
            Ok(record) => doubt.see(&record),
            Err(error) if is_torn(content.get(good..).unwrap_or_default(), &head) => {
                torn = Some(error.to_string());
                break;
            }
            Err(source) => {
                return Err(OpenError::Broken {
                    path: path.to_owned(),
                    line: number,
                    source,
                });
            }
        }
        head = next;
        good += line.len() + 1;
        last = Some(line);
    }
    // What was to confirm it may have been torn.
    if let Some(Err(source)) = last.map(check_form) {
        return Err(OpenError::Broken {
            path: path.to_owned(),
            line: number - u64::from(torn.is_some()),
            source,
        });
    }
    if torn.is_none() && good < content.len() {
        torn = Some("the last line is incomplete".to_owned());
    }
    let torn = torn.map(|reason| set_aside(path, &content, good, &reason));
    let found = Found {
        in_doubt: doubt.ids(),
        torn: torn.transpose().map_err(io)?,
    };
    Ok((head, found))
}

/// The next line without its newline, if it has one.
fn first_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    // Never fails: it is memory.
    let length = rest.skip_until(b'\n').ok()?;
    all.get(..length)?.strip_suffix(b"\n")
}

/// How much of a segment's end is read at a time in search of its last line.
const TAIL: u64 = 64 * 1024;

/// A hole is made of whole sectors. Fewer null bytes were written by somebody.
const HOLE: usize = 512;

/// Whether a bad line can be what a crash leaves: nothing readable follows it, or the file has a hole
/// (pages of one unacknowledged batch reach the disk in any order).
fn is_torn(rest: &[u8], head: &Head) -> bool {
    rest.windows(HOLE)
        .any(|window| window.iter().all(|byte| *byte == 0))
        || rest
            .split(|byte| *byte == b'\n')
            .all(|line| match head.clone().follow(line) {
                Err(LinkError::Form(_)) => true,
                Ok(_) => check_form(line).is_err(),
                Err(LinkError::Previous { .. } | LinkError::Sequence { .. }) => false,
            })
}

fn set_aside(
    path: &Path,
    content: &[u8],
    good: usize,
    reason: &str,
) -> io::Result<(String, String)> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut number = 1;
    let (aside, mut file) = loop {
        let aside = path.with_file_name(format!("{name}.torn-{number}"));
        match options().create_new(true).write(true).open(&aside) {
            Ok(file) => break (aside, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    file.write_all(content.get(good..).unwrap_or_default())?;
    file.sync_all()?;
    let segment = OpenOptions::new().write(true).open(path)?;
    segment.set_len(good as u64)?;
    segment.sync_all()?;
    let aside = aside
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok((aside, reason.to_owned()))
}
