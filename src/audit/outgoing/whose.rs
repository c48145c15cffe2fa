//! Whether a record that is found elsewhere is one of this journal.

use std::io;
use std::path::Path;

use crate::audit::chain::Link;
use crate::audit::lines::{Lines, Place};
use crate::audit::segment::{first_record, segments};
use crate::value::Sha256Hex;

/// Of which journal a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of this one.
    Ours,
    /// This one has another record of that number.
    Another,
    /// This one ends before it.
    Beyond,
    /// This one has nothing left by which it could be told.
    Untold,
}

/// Looks for the record of this number, which has this hash elsewhere. One that was changed here since is still named by
/// the one behind it.
pub fn whose(journal: &Path, seq: u64, hash: &Sha256Hex) -> io::Result<Whose> {
    let all = segments(journal)?;
    let begin = all.iter().filter_map(|path| first_record(path));
    let Some(segment) = begin.clone().take_while(|first| *first <= seq).last() else {
        // Either the record behind it is the first that is left, or nothing near it is.
        let first = begin.min().filter(|first| *first == seq + 1);
        let whose = first.map(|first| from(journal, first, (seq, hash)));
        let whose = whose.transpose()?.filter(|it| *it != Whose::Beyond);
        return Ok(whose.unwrap_or(Whose::Untold));
    };
    from(journal, segment, (seq, hash))
}

fn from(journal: &Path, segment: u64, (seq, hash): (u64, &Sha256Hex)) -> io::Result<Whose> {
    let mut lines = Lines::from(journal, Place { segment, offset: 0 }).over_damage();
    let mut is_there = false;
    while let Some(line) = lines.next_line()? {
        let Ok(link) = Link::read(&line.bytes) else {
            continue;
        };
        match link.seq {
            Some(number) if number == seq && Sha256Hex::of(&line.bytes) == *hash => {
                return Ok(Whose::Ours);
            }
            Some(number) if number == seq => is_there = true,
            Some(number) if number == seq + 1 && link.prev == hash.as_str() => {
                return Ok(Whose::Ours);
            }
            Some(number) if number == seq + 1 || number > seq && is_there => {
                return Ok(Whose::Another);
            }
            Some(number) if number > seq => return Ok(Whose::Untold),
            _ => {}
        }
    }
    let end = if is_there {
        Whose::Another
    } else {
        Whose::Beyond
    };
    Ok(end)
}
