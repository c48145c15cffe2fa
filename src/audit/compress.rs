//! The compressed form of a closed segment: zstd in its seekable format, which the ordinary `zstd -d` reads.
//!
//! Frames of 128 KiB of text each, a skippable frame with a SHA-256 of all other bytes of the file, and the seek
//! table, which is a skippable frame too. There are bytes in a zstd frame that nobody looks at, and several ways to
//! write the same text: the hash is what shows that one was changed. A file that has anything else, or anything
//! twice, is damaged. Sizes come from the file and are not believed: none makes a reader take more than a frame's
//! room.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

/// What a text had when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) length: u64,
    pub(super) sha256: [u8; 32],
}

/// One frame, by the seek table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    packed: u32,
    text: u32,
}

/// Compresses a text to its end. `go_on` is asked before every frame.
pub(super) fn pack(
    text: &mut impl Read,
    out: &mut impl Write,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Text> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let (mut frames, mut read, mut sealed) = (Vec::new(), Sha256::new(), Sha256::new());
    let (mut part, mut length) = (Vec::with_capacity(FRAME), 0);
    let mut packed = Vec::with_capacity(compress_bound(FRAME));
    loop {
        go_on()?;
        part.clear();
        text.by_ref().take(FRAME as u64).read_to_end(&mut part)?;
        if part.is_empty() {
            break;
        }
        packed.clear();
        compressor.compress_to_buffer(&part, &mut packed)?;
        out.write_all(&packed)?;
        read.update(&part);
        sealed.update(&packed);
        length += part.len() as u64;
        frames.push(Frame {
            packed: size(packed.len())?,
            text: size(part.len())?,
        });
        if frames.len() > MOST_FRAMES {
            return Err(io::Error::other("is too long to be compressed"));
        }
    }
    let table = table(&frames)?;
    sealed.update(&table);
    out.write_all(&SEAL_HEADER)?;
    out.write_all(&sealed.finalize())?;
    out.write_all(&table)?;
    let sha256 = read.finalize().into();
    Ok(Text { length, sha256 })
}

/// The seek table for these frames and the seal behind them.
fn table(frames: &[Frame]) -> io::Result<Vec<u8>> {
    let number = frames.len() + 1;
    let mut table = Vec::with_capacity(HEADER + number * ENTRY + FOOTER);
    table.extend(TABLE_MAGIC.to_le_bytes());
    table.extend(size(number * ENTRY + FOOTER)?.to_le_bytes());
    for frame in frames.iter().chain([&SEAL_FRAME]) {
        table.extend(frame.packed.to_le_bytes());
        table.extend(frame.text.to_le_bytes());
    }
    table.extend(size(number)?.to_le_bytes());
    table.push(0);
    table.extend(SEEKABLE_MAGIC.to_le_bytes());
    Ok(table)
}

fn size(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(io::Error::other)
}

/// A compressed segment, open for reading its text.
pub(super) struct Unpacked {
    file: File,
    frames: std::vec::IntoIter<Frame>,
    decompressor: Decompressor<'static>,
    packed: Vec<u8>,
    text: Vec<u8>,
    /// What of the text was read.
    at: usize,
    length: u64,
    /// Where everything is read: what the other bytes have to hash to.
    seal: Option<Seal>,
}

struct Seal {
    hash: Sha256,
    table: Vec<u8>,
    expected: [u8; 32],
}

impl Unpacked {
    /// From a place in the text on. Read from its beginning to its end, every byte of the file is checked.
    pub(super) fn open(mut file: File, offset: u64) -> io::Result<Self> {
        let (frames, table, expected) = contents(&mut file)?;
        let length = frames.iter().map(|frame| u64::from(frame.text)).sum();
        let (mut skipped, mut packed, mut text) = (0, 0, 0);
        for frame in &frames {
            if text + u64::from(frame.text) > offset {
                break;
            }
            skipped += 1;
            packed += u64::from(frame.packed);
            text += u64::from(frame.text);
        }
        file.seek(SeekFrom::Start(packed))?;
        let mut frames = frames.into_iter();
        if let Some(last) = usize::checked_sub(skipped, 1) {
            frames.nth(last);
        }
        let seal = (skipped == 0).then(|| Seal {
            hash: Sha256::new(),
            table,
            expected,
        });
        let mut open = Self {
            file,
            frames,
            decompressor: Decompressor::new()?,
            packed: Vec::new(),
            text: Vec::new(),
            at: 0,
            length,
            seal,
        };
        if offset > text {
            open.next_frame()?;
            open.at = usize::try_from(offset - text)
                .unwrap_or(usize::MAX)
                .min(open.text.len());
        }
        Ok(open)
    }

    /// Bytes of the text.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn next_frame(&mut self) -> io::Result<()> {
        self.text.clear();
        self.at = 0;
        let Some(frame) = self.frames.next() else {
            if self.seal.take().is_none_or(Seal::holds) {
                return Ok(());
            }
            return Err(damaged(
                "a byte that nobody reads was changed: the text is as it was, and the file is not",
            ));
        };
        self.packed.resize(frame.packed as usize, 0);
        self.file
            .read_exact(&mut self.packed)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
                _ => error,
            })?;
        if let Some(seal) = &mut self.seal {
            seal.hash.update(&self.packed);
        }
        self.text.reserve_exact(frame.text as usize);
        let unpacked = self
            .decompressor
            .decompress_to_buffer(&self.packed, &mut self.text)
            .map_err(|error| damaged(&format!("a frame cannot be decompressed: {error}")))?;
        if unpacked != frame.text as usize {
            return Err(damaged(
                "a frame holds more or less than the seek table says",
            ));
        }
        Ok(())
    }
}

impl Seal {
    fn holds(mut self) -> bool {
        self.hash.update(&self.table);
        self.hash.finalize()[..] == self.expected
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Unpacked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.text.len() {
            self.next_frame()?;
        }
        Ok(self.text.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

/// The frames of a file, its seek table and its seal, once they are known to be all that is in it.
fn contents(file: &mut File) -> io::Result<(Vec<Frame>, Vec<u8>, [u8; 32])> {
    let whole = file.metadata()?.len();
    let mut end = [0; FOOTER];
    let footer = whole
        .checked_sub(FOOTER as u64)
        .ok_or_else(|| damaged("it has no seek table"))?;
    file.seek(SeekFrom::Start(footer))?;
    file.read_exact(&mut end)?;
    let (number, rest) = end.split_at(4);
    if rest.first() != Some(&0) || rest.get(1..) != Some(&SEEKABLE_MAGIC.to_le_bytes()) {
        return Err(damaged("it does not end with a seek table of dtgate's"));
    }
    let number = word(number) as usize;
    if !(1..=MOST_FRAMES + 1).contains(&number) {
        return Err(damaged("its seek table has too many frames, or none"));
    }
    let length = HEADER + number * ENTRY + FOOTER;
    let start = whole.checked_sub(length as u64);
    let start = start.ok_or_else(|| damaged("its seek table is cut"))?;
    file.seek(SeekFrom::Start(start))?;
    let mut table = vec![0; length];
    file.read_exact(&mut table)?;
    let entries = table
        .get(HEADER..length - FOOTER)
        .unwrap_or_default()
        .chunks_exact(ENTRY);
    let mut frames: Vec<Frame> = entries
        .map(|entry| {
            let (packed, text) = entry.split_at(4);
            Frame {
                packed: word(packed),
                text: word(text),
            }
        })
        .collect();
    let sum: u64 = frames.iter().map(|frame| u64::from(frame.packed)).sum();
    let is_sealed = frames.pop() == Some(SEAL_FRAME);
    let fits = frames.iter().all(|frame| {
        (1..=LONGEST_TEXT).contains(&(frame.text as usize))
            && (1..=compress_bound(LONGEST_TEXT)).contains(&(frame.packed as usize))
    });
    // Made anew from what was read, it is the same: no part of it says anything else.
    if !is_sealed || !fits || sum != start || self::table(&frames)? != table {
        return Err(damaged("its seek table does not say what is in it"));
    }
    let mut seal = [0; SEAL];
    file.seek(SeekFrom::Start(start - SEAL as u64))?;
    file.read_exact(&mut seal)?;
    let (header, hash) = seal.split_at(HEADER);
    let expected = hash.try_into().map_err(io::Error::other)?;
    if header != SEAL_HEADER {
        return Err(damaged("its own hash is not where it should be"));
    }
    Ok((frames, table, expected))
}

fn word(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// The text to its end.
pub(super) fn text_of(mut reader: impl BufRead) -> io::Result<Text> {
    let (mut hash, mut length) = (Sha256::new(), 0);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            break;
        }
        hash.update(part);
        let read = part.len();
        length += read as u64;
        reader.consume(read);
    }
    let sha256 = hash.finalize().into();
    Ok(Text { length, sha256 })
}

/// A compressed segment is not what dtgate wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damaged(String);

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damaged(reason.to_owned()))
}

/// What is wrong with a compressed segment, where that is the error.
pub(super) fn damage(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    inner.is::<Damaged>().then(|| inner.to_string())
}

/// What zstd takes where nobody asks for more: a tenth of the text stays, at hundreds of megabytes a second.
const LEVEL: i32 = 3;

/// Text of a frame: what is read to reach one line.
const FRAME: usize = 128 << 10;

/// More than dtgate writes into one; and all the room that a file can make a reader take for it.
const LONGEST_TEXT: usize = 1 << 20;

/// 128 GiB of text.
const MOST_FRAMES: usize = 1 << 20;

/// Of a skippable frame: its kind and its length.
const HEADER: usize = 8;
/// Of a seek table: two sizes.
const ENTRY: usize = 8;
/// Number of frames, a descriptor (0: no checksums, frames have their own), and a number to know it by.
const FOOTER: usize = 9;
const TABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The skippable frame of kind 3, 32 bytes long.
const SEAL_HEADER: [u8; HEADER] = [0x53, 0x2A, 0x4D, 0x18, 32, 0, 0, 0];
const SEAL: usize = HEADER + 32;
const SEAL_FRAME: Frame = Frame {
    packed: 40,
    text: 0,
};

/// A segment as it is once it is compressed, for tests of those who read journals.
#[cfg(test)]
pub(crate) fn pack_for_tests(path: &std::path::Path) {
    let text = std::fs::read(path).unwrap();
    let mut out = Vec::new();
    pack(&mut &text[..], &mut out, &mut || Ok(())).unwrap();
    std::fs::write(path.with_extension("jsonl.zst"), out).unwrap();
    std::fs::remove_file(path).unwrap();
}

#[cfg(test)]
mod tests;
