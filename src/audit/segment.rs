//! The files of a journal: which they are, how they are named and opened, why one cannot be.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

use super::chain::{LinkError, NotedHead};
use super::compress::{self, Unpacked};

/// Why a journal cannot be opened. Nothing on disk was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(
        "{damage}. A crash does not leave this, so nothing was changed: keep {directory} as evidence, \
         run `dtgate audit verify --journal {directory}`, and start with a new directory",
        directory = directory.display()
    )]
    Damaged { directory: PathBuf, damage: Damage },
    #[error("{} {why}: run `{remedy}`", path.display())]
    Exposed {
        path: PathBuf,
        why: String,
        remedy: String,
    },
    #[error("{shown} is for all users of this machine: name a directory of the journal's own, such as {shown}/journal", shown = .0.display())]
    Shared(PathBuf),
    #[error("{} is in use by another dtgate: stop that one, or give this one a directory of its own", .0.display())]
    InUse(PathBuf),
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} {reason}", path.display())]
    Key { path: PathBuf, reason: String },
}

/// What is on disk is not what was written.
#[derive(Debug, Error)]
pub enum Damage {
    #[error(transparent)]
    Broken(Break),
    #[error(
        "{}: record {} was changed: it has hash {found}, and had {} when it was written, says the file \"head\"",
        path.display(), noted.seq, noted.hash
    )]
    Changed {
        path: PathBuf,
        noted: NotedHead,
        found: String,
    },
    #[error(
        "the journal ends with record {last}, but record {answered} was on disk, says the file \"head\": \
         what came after record {last} was cut off"
    )]
    Cut { last: u64, answered: u64 },
    #[error("{} is not what dtgate writes into it", .0.display())]
    Head(PathBuf),
    #[error("{} was changed after it was compressed: {reason}", path.display())]
    Compressed { path: PathBuf, reason: String },
}

impl Damage {
    /// The damage of a compressed segment that could not be read, where that is why.
    pub(super) fn of_reading(path: &Path, error: &io::Error) -> Option<Self> {
        compress::damage(error).map(|reason| Self::Compressed {
            path: forms(path).1,
            reason,
        })
    }
}

/// Where the chain breaks.
#[derive(Debug)]
pub struct Break {
    pub path: PathBuf,
    pub line: u64,
    /// The record that should be there.
    pub record: u64,
    /// Whether the record after it names this one as it is.
    pub confirmed: bool,
    pub why: LinkError,
}

impl std::error::Error for Break {}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, record, .. } = *self;
        let path = self.path.display();
        match &self.why {
            LinkError::Previous { found, .. } if record == 1 => write!(
                f,
                "{path}:{line}: record 1 names {found} as the record before it, and there is none"
            ),
            LinkError::Previous { expected, found } => {
                let before = record - 1;
                match line {
                    1 => write!(f, "the last line before {path}")?,
                    _ => write!(f, "{path}:{}", line - 1)?,
                }
                write!(f, ": record {before} was changed")?;
                if !self.confirmed {
                    write!(f, ", or record {record} after it")?;
                }
                write!(
                    f,
                    ": record {record} names {found} as its hash, and it is {expected}"
                )
            }
            LinkError::Sequence { found, .. } => write!(
                f,
                "{path}:{line}: record {record} comes next, but this is record {found}"
            ),
            LinkError::Form(reason) => {
                write!(f, "{path}:{line}: record {record} is damaged: {reason}")
            }
        }
    }
}

/// The segments of a journal, oldest first. Where a crash left one in both forms, the plain one counts.
pub fn segments(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(first) = named(&name) {
            found.push((first, name));
        }
    }
    // Of two forms the shorter name is the plain one.
    found.sort();
    found.dedup_by_key(|(first, _)| *first);
    let paths = found.iter().map(|(_, name)| directory.join(name));
    Ok(paths.collect())
}

/// The segment that begins with this record, found without a look at the others; `None`: none does.
pub(super) fn beginning_with(directory: &Path, first: u64) -> Option<PathBuf> {
    let (plain, compressed) = forms(&segment_path(directory, first));
    let mut forms = [plain, compressed].into_iter();
    forms.find(|path| first_record(path).is_some() && path.symlink_metadata().is_ok())
}

/// The number of the record that a segment begins with, by its name.
pub fn first_record(path: &Path) -> Option<u64> {
    named(path.file_name()?)
}

fn named(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    let name = name.strip_suffix(COMPRESSED).unwrap_or(name);
    let name = name.strip_suffix(".jsonl")?;
    let is_number = name.len() == 20 && name.bytes().all(|digit| digit.is_ascii_digit());
    let number = is_number.then(|| name.parse().ok()).flatten();
    number.filter(|number| (1..=MOST_RECORDS).contains(number))
}

/// More than any journal has, and little enough to be counted on from.
pub(super) const MOST_RECORDS: u64 = 1 << 60;

pub(super) fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.jsonl"))
}

/// Whether a segment is compressed, by its name.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("zst"))
}

/// Where the plain and the compressed form of a segment are, or would be.
pub(super) fn forms(path: &Path) -> (PathBuf, PathBuf) {
    let plain = if is_compressed(path) {
        path.with_extension("")
    } else {
        path.to_owned()
    };
    let mut compressed = plain.clone().into_os_string();
    compressed.push(COMPRESSED);
    (plain, compressed.into())
}

const COMPRESSED: &str = ".zst";

/// For files that are written: nobody else's, and not what a link leads to.
pub(super) fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(mode).custom_flags(flags(OFlags::NOFOLLOW));
    options
}

/// The mode of a file that whoever may read its directory may read too: a group of auditors, where there is one.
pub(super) fn as_readable_as(directory: &Path) -> io::Result<u32> {
    let group = std::fs::metadata(directory)?.mode() & 0o040;
    Ok(OWNERS_ALONE | group)
}

/// The mode of a file that nobody but its owner reads.
pub(super) const OWNERS_ALONE: u32 = 0o600;

/// Opens a regular file. Anything else is an error, not a wait.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let irregular = || io::Error::other("is no regular file");
    // Opening alone can do something to a device.
    if !std::fs::metadata(path)?.is_file() {
        return Err(irregular());
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags(OFlags::NONBLOCK));
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(irregular());
    }
    Ok(file)
}

/// Opens a segment for reading its lines, from a place on: so many bytes into the segment as it was written. It may
/// have been compressed since it was found.
pub(super) fn open_lines(path: &Path, offset: u64) -> io::Result<Box<dyn BufRead + Send>> {
    Ok(match open_form(path)? {
        (mut plain, false) => {
            plain.seek(SeekFrom::Start(offset))?;
            Box::new(BufReader::new(plain))
        }
        (compressed, true) => Box::new(Unpacked::open(compressed, offset)?),
    })
}

/// Bytes of a segment as it was written.
pub(crate) fn text_length(path: &Path) -> io::Result<u64> {
    match open_form(path)? {
        (plain, false) => Ok(plain.metadata()?.len()),
        (compressed, true) => Ok(Unpacked::open(compressed, 0)?.length()),
    }
}

/// The file of a segment in the form that is there, and whether it is compressed.
fn open_form(path: &Path) -> io::Result<(File, bool)> {
    let (plain, compressed) = forms(path);
    match open_regular(&plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((open_regular(&compressed)?, true))
        }
        file => Ok((file?, false)),
    }
}

/// The last line of a segment with its newline, if it has one, found from its end: what stands before it is not
/// read.
pub(super) fn last_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut room = TAIL;
    loop {
        let (mut tail, is_all) = end(path, room)?;
        let lines = tail.strip_suffix(b"\n").unwrap_or(&tail);
        let before = lines.iter().rposition(|byte| *byte == b'\n');
        if before.is_some() || is_all {
            tail.drain(..before.map_or(0, |at| at + 1));
            return Ok(tail);
        }
        // Twice as much each time: what is longer than any record costs no more than it has.
        room = room.saturating_mul(2);
    }
}

/// So many bytes at the end of a segment, and whether that is all of it.
pub(super) fn end(path: &Path, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let length = text_length(path)?;
    let from = length.saturating_sub(most);
    let mut end = Vec::new();
    open_lines(path, from)?
        .take(length - from)
        .read_to_end(&mut end)?;
    Ok((end, from == 0))
}

/// The first line of a segment with its newline, if it has one.
pub(super) fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    read_line(&mut open_lines(path, 0)?, &mut line)?;
    Ok(line)
}

/// Reads on to the end of a line, its newline with it, or as far as there is any; 0 bytes at the end. Behind what `line`
/// has already.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let room = LONGEST_LINE.saturating_sub(line.len()) as u64 + 1;
    let read = reader.take(room).read_until(b'\n', line)?;
    if line.len() > LONGEST_LINE {
        let longest = LONGEST_LINE >> 20;
        let reason = format!("a line is longer than {longest} MiB, and no record is");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(read)
}

/// No line is longer: what somebody else wrote does not take all memory.
pub(super) const LONGEST_LINE: usize = 64 << 20;
/// What is written of an event at most: far more than a request of the usual limits needs. The line has its number and
/// two more members besides.
pub(super) const LONGEST_RECORD: usize = LONGEST_LINE - 1024;

/// How much of a segment's end is read first in search of its last line.
const TAIL: u64 = 64 * 1024;

pub(super) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Makes a file that is there whole or not at all, whenever a crash comes.
pub(crate) fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    if let Err(error) = std::fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = options(mode)
        .create_new(true)
        .write(true)
        .open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(directory_of(path))?.sync_all()?;
    Ok(file)
}

/// Where a file of a journal is.
pub(super) fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Device and number, by which a file is known again.
pub(super) fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
