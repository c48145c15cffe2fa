use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn all() -> impl FnMut() -> io::Result<()> {
    || Ok(())
}

/// Lines that are alike and not the same, as records are.
fn lines(length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0.. {
        if text.len() >= length {
            break;
        }
        text.extend(format!("{{\"seq\":{},\"kind\":\"outcome\"}}\n", number % 50).bytes());
    }
    text.truncate(length);
    text
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = pack(&mut Cursor::new(text), &mut out, &mut all()).unwrap();
    assert_eq!(read, text_of(text).unwrap());
    out
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn read(content: &[u8], offset: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Unpacked::open(file(content), offset)?.read_to_end(&mut text)?;
    Ok(text)
}

/// The error of reading all of it.
fn refused(content: &[u8]) -> Option<String> {
    match read(content, 0) {
        Ok(_) => None,
        Err(error) => Some(damage(&error).unwrap_or_else(|| panic!("{error}"))),
    }
}

#[test]
fn a_text_of_any_length_is_read_again_from_any_place_and_by_zstd_itself() {
    for length in [
        1,
        100,
        FRAME - 1,
        FRAME,
        FRAME + 1,
        3 * FRAME,
        3 * FRAME + 7,
    ] {
        let text = lines(length);
        let content = packed(&text);
        assert_eq!(zstd::decode_all(&content[..]).unwrap(), text);
        assert_eq!(
            Unpacked::open(file(&content), 0).unwrap().length(),
            length as u64
        );
        for offset in [0, 1, length / 2, length - 1, length, length + 1, FRAME] {
            let rest = text.get(offset..).unwrap_or_default();
            assert_eq!(read(&content, offset as u64).unwrap(), rest, "{offset}");
        }
    }
}

/// Two frames, so that there is a boundary too.
#[test]
fn a_change_of_any_byte_is_found() {
    let content = packed(&lines(FRAME + 100));
    assert_eq!(refused(&content), None);
    for at in 0..content.len() {
        for change in [1, 0x10, 0xFF] {
            let mut changed = content.clone();
            changed[at] ^= change;
            assert!(refused(&changed).is_some(), "byte {at}, {change}");
        }
    }
}

#[test]
fn what_is_cut_longer_or_composed_otherwise_is_found() {
    let (one, other) = (packed(&lines(300)), packed(&lines(400)));
    for length in 0..one.len() {
        assert!(refused(&one[..length]).is_some(), "{length}");
    }
    // A skippable frame of somebody's, in front, inside and behind; a file twice; a table of another's.
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, b'x'];
    let table = one.len() - (HEADER + 2 * ENTRY + FOOTER);
    for changed in [
        [&skippable[..], &one].concat(),
        [&one[..table], &skippable, &one[table..]].concat(),
        [&one[..], &skippable].concat(),
        [&one[..], &one].concat(),
        [&one[..], &other].concat(),
        [&other[..other.len() - (one.len() - table)], &one[table..]].concat(),
        [&one[..], b"\0"].concat(),
        lines(300),
        Vec::new(),
    ] {
        assert!(refused(&changed).is_some());
    }
}

/// A table that fits its file and lies about what is in it.
fn lying(frame: &[u8], said: Frame) -> Vec<u8> {
    let table = table(&[said]).unwrap();
    [frame, &SEAL_HEADER, &[0; 32], &table].concat()
}

#[test]
fn sizes_are_not_believed() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let length = size(bomb.len()).unwrap();
    for text in [0, 1, 1 << 20, (1 << 20) + 1, u32::MAX] {
        assert!(
            refused(&lying(
                &bomb,
                Frame {
                    packed: length,
                    text
                }
            ))
            .is_some()
        );
    }
    for said in [0, 1, length - 1, length + 1, u32::MAX] {
        let frame = Frame {
            packed: said,
            text: 9,
        };
        assert!(refused(&lying(&bomb, frame)).is_some());
    }
    // Many frames, said to be there.
    let mut content = packed(&lines(300));
    let number = content.len() - FOOTER;
    content[number..number + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&content).is_some());
}

proptest! {
    #[test]
    fn what_is_no_compressed_segment_is_damaged(content: Vec<u8>, ends_like_one: bool) {
        let mut content = content;
        if ends_like_one {
            content.extend([1, 0, 0, 0, 0]);
            content.extend(SEEKABLE_MAGIC.to_le_bytes());
        }
        prop_assert!(refused(&content).is_some());
    }
}
