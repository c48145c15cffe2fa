//! The records of a journal, one line each, in their order: the one door through which whoever looks at a journal
//! reads it, whatever form its segments have.
//!
//! It follows a journal that is being written, and checks nothing: [`verify`](super::verify) does.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::compress;
use super::segment::{
    LONGEST_LINE, beginning_with, first_line, first_record, open_lines, read_line, segments,
};
use super::settle::written_at;

/// Where a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The record that the segment begins with, by its name.
    pub segment: u64,
    /// Bytes before the line in the segment, as it was written.
    pub offset: u64,
}

/// A line without its newline, whatever is in it.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    pub bytes: Vec<u8>,
}

/// Reads the lines of a journal in order, and goes on where it stopped when more are written.
pub struct Lines {
    directory: PathBuf,
    /// Nothing before it is read.
    from: Place,
    current: Option<Open>,
    partial: Vec<u8>,
    /// Segments that come later. A journal may have very many: they are not looked for again for each.
    ahead: VecDeque<(PathBuf, u64)>,
    /// Where it steps over compressed segments that are damaged: those that it has not told yet.
    unreadable: Option<Vec<Unreadable>>,
}

/// The rest of a compressed segment that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unreadable {
    pub path: PathBuf,
    /// The first record that cannot be read, by the name of the segment and the lines before it.
    pub first: Option<u64>,
}

/// The segment that is read.
struct Open {
    reader: Box<dyn BufRead + Send>,
    /// Where the next line begins.
    place: Place,
    path: PathBuf,
    /// The record that the next line should be.
    next: Option<u64>,
}

impl Lines {
    /// Steps over what cannot be read of compressed segments that are damaged, and tells it ([`unreadable`](Self::unreadable)).
    #[must_use]
    pub fn over_damage(mut self) -> Self {
        self.unreadable = Some(Vec::new());
        self
    }

    /// What it has stepped over since it was asked last.
    pub fn unreadable(&mut self) -> Vec<Unreadable> {
        self.unreadable
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// All of them.
    pub fn new(directory: &Path) -> Self {
        let start = Place {
            segment: 0,
            offset: 0,
        };
        Self::from(directory, start)
    }

    /// Those that begin here or later.
    pub fn from(directory: &Path, from: Place) -> Self {
        Self {
            directory: directory.to_owned(),
            from,
            current: None,
            partial: Vec::new(),
            ahead: VecDeque::new(),
            unreadable: None,
        }
    }

    /// The next complete line, or `None` when everything written so far was read.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut gone = 0;
        loop {
            if let Some(line) = self.line()? {
                return Ok(Some(line));
            }
            let Some((path, segment)) = self.next_segment()? else {
                return Ok(None);
            };
            // What is followed by another is written to no more: what it got before that is there now.
            if let Some(line) = self.line()? {
                return Ok(Some(line));
            }
            let offset = match self.from {
                Place {
                    segment: at,
                    offset,
                } if at == segment => offset,
                _ => 0,
            };
            let reader: Box<dyn BufRead + Send> = match open_lines(&path, offset) {
                // It was deleted since it was found.
                Err(error) if error.kind() == io::ErrorKind::NotFound && gone < TRIES => {
                    gone += 1;
                    self.ahead.clear();
                    continue;
                }
                Err(error) if self.unreadable.is_some() && is_damage(&error) => {
                    self.step_over(&path, Some(segment));
                    Box::new(io::empty())
                }
                opened => opened.map_err(in_file(&path))?,
            };
            self.partial.clear();
            self.current = Some(Open {
                reader,
                place: Place { segment, offset },
                path,
                next: (offset == 0).then_some(segment),
            });
        }
    }

    /// The next complete line of the segment that is read.
    fn line(&mut self) -> io::Result<Option<Line>> {
        let Some(open) = &mut self.current else {
            return Ok(None);
        };
        match read_line(&mut open.reader, &mut self.partial) {
            Err(error) if self.unreadable.is_some() && is_damage(&error) => {
                open.reader = Box::new(io::empty());
                let (path, next) = (open.path.clone(), open.next);
                self.partial.clear();
                self.step_over(&path, next);
                return Ok(None);
            }
            read => read.map_err(in_file(&open.path))?,
        };
        if !self.partial.ends_with(b"\n") {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.partial);
        let place = open.place;
        open.place.offset += bytes.len() as u64;
        open.next = open.next.map(|next| next + 1);
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok(Some(Line { place, bytes }))
    }

    fn step_over(&mut self, path: &Path, first: Option<u64>) {
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.push(Unreadable {
                path: path.to_owned(),
                first,
            });
        }
    }

    fn next_segment(&mut self) -> io::Result<Option<(PathBuf, u64)>> {
        let from = match &self.current {
            Some(open) => open.place.segment + 1,
            None => self.from.segment,
        };
        while self.ahead.front().is_some_and(|(_, it)| *it < from) {
            self.ahead.pop_front();
        }
        // Who reads one record of a journal has no need of all its segments.
        if self.ahead.is_empty() && self.current.is_none() {
            let begun = beginning_with(&self.directory, from);
            self.ahead.extend(begun.map(|path| (path, from)));
        }
        if self.ahead.is_empty() {
            let found = segments(&self.directory)?.into_iter();
            let numbered = found.filter_map(|path| Some((first_record(&path)?, path)));
            let later = numbered.filter(|(segment, _)| *segment >= from);
            self.ahead = later.map(|(segment, path)| (path, segment)).collect();
        }
        Ok(self.ahead.front().cloned())
    }
}

/// The last records, by their numbers so many at least, and whether that is all of them.
pub fn last(directory: &Path, count: u64) -> io::Result<(Lines, bool)> {
    let found = segments(directory)?;
    let firsts: Vec<u64> = found.iter().filter_map(|path| first_record(path)).collect();
    let last = firsts.last().copied().unwrap_or_default();
    // The last segment may be empty.
    let begins = firsts
        .iter()
        .rposition(|first| last.saturating_sub(*first) >= count);
    let segment = begins.and_then(|at| firsts.get(at)).copied();
    let from = Place {
        segment: segment.unwrap_or_default(),
        offset: 0,
    };
    Ok((Lines::from(directory, from), begins.unwrap_or(0) == 0))
}

/// The records from about this time on, and whether that is all of them: where it would be more than `most`, it begins
/// later.
pub fn since(directory: &Path, time: jiff::Timestamp, most: u64) -> io::Result<(Lines, bool)> {
    let found = segments(directory)?.into_iter();
    let mut all: Vec<(u64, PathBuf)> = found
        .filter_map(|path| Some((first_record(&path)?, path)))
        .collect();
    all.sort_unstable();
    let last = all.last().map_or(0, |(first, _)| *first);
    let (mut segment, mut is_all) = (last, true);
    for (first, path) in all.iter().rev() {
        if last - first > most {
            is_all = false;
            break;
        }
        segment = *first;
        // One that cannot be read says nothing of its time.
        let begins = first_line(path).ok().and_then(|line| written_at(&line));
        if begins.is_some_and(|begins| begins <= time) {
            break;
        }
    }
    let from = Place { segment, offset: 0 };
    Ok((Lines::from(directory, from), is_all))
}

/// A segment that is listed and not there, again and again, is no segment that is deleted just now.
const TRIES: u32 = 64;
/// Bytes of a line that is one.
pub const LONGEST: usize = LONGEST_LINE;

fn is_damage(error: &io::Error) -> bool {
    compress::damage(error).is_some()
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.current.as_ref().map(|open| open.place);
        f.debug_struct("Lines")
            .field("at", &at)
            .finish_non_exhaustive()
    }
}
