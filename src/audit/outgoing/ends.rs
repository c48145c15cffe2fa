//! The oldest and the newest records of a journal that is sent.

use std::io::{self, Read};
use std::path::Path;

use super::{Bookmark, Cursor, Outgoing};
use crate::audit::chain::Link;
use crate::audit::lines::Place;
use crate::audit::segment::{
    first_record, last_line, open_lines, read_line, segments, text_length,
};

impl Bookmark {
    /// The first record that is left of the journal.
    pub(super) fn oldest(&self) -> io::Result<Option<u64>> {
        let all = segments(&self.journal)?;
        Ok(all.first().and_then(|path| first_record(path)))
    }

    /// The last record that is there, or what is known of it: the name of its segment.
    fn newest(&self) -> io::Result<u64> {
        let all = segments(&self.journal)?;
        let Some(last) = all.last() else { return Ok(0) };
        let begins = first_record(last).unwrap_or_default();
        let line = last_line(last).unwrap_or_default();
        let seq = Link::read(line.trim_ascii_end()).ok().and_then(|it| it.seq);
        Ok(seq.unwrap_or(begins).max(begins))
    }

    /// Whether a cursor that names a number, and no record, can be this gate's: the record of this number cannot be read.
    pub(super) fn names_no_record(&self) -> io::Result<bool> {
        let seq = self.at.seq;
        Ok(seq <= self.newest()? && Cursor::behind(&self.journal, seq)?.hash.is_empty())
    }

    /// Some of the last records that are on disk, up to number `last`, the newest first: as many as the ends of the last
    /// segments have room for.
    pub fn newest_records(&self, last: u64) -> io::Result<Vec<Outgoing>> {
        let mut found = Vec::new();
        for path in segments(&self.journal)?.iter().rev().take(SEGMENTS) {
            let mut records = at_the_end(path)?;
            records.retain(|record| record.seq <= last);
            found.extend(records.into_iter().rev());
        }
        Ok(found)
    }
}

fn at_the_end(path: &Path) -> io::Result<Vec<Outgoing>> {
    let length = text_length(path)?;
    let from = length.saturating_sub(END);
    let mut reader = open_lines(path, from)?.take(length - from);
    let segment = first_record(path).unwrap_or_default();
    let (mut offset, mut records) = (from, Vec::new());
    loop {
        let (mut line, place) = (Vec::new(), Place { segment, offset });
        match read_line(&mut reader, &mut line)? {
            0 => return Ok(records),
            bytes => offset += bytes as u64,
        }
        // The rest of a line that began before, or the beginning of one that is being written.
        if (place.offset == from && from > 0) || line.pop() != Some(b'\n') {
            continue;
        }
        if let Some(seq) = Link::read(&line).ok().and_then(|link| link.seq) {
            records.push(Outgoing { seq, line, place });
        }
    }
}

/// How many segments are looked at, and how many bytes of each: the newest may just have begun.
const SEGMENTS: usize = 2;
const END: u64 = 256 << 10;
