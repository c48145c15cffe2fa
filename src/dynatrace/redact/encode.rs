//! What bytes look like in base64 and in hexadecimal digits, whatever stands before them.

/// In base64, without the first so many bits, and without the digit that the last bits have a share in only.
pub(super) fn base64(bytes: &[u8], skipped: usize) -> impl Iterator<Item = u8> {
    let digits = bits(bytes, skipped, 6);
    digits.filter_map(|digit| BASE64.get(digit).copied())
}

pub(super) fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bits(bytes, 0, 4).filter_map(|digit| HEX.get(digit).copied())
}

/// Bytes as digits of so many bits, without the first bits, and without what is left at the end.
fn bits(bytes: &[u8], skipped: usize, width: usize) -> impl Iterator<Item = usize> {
    let count = (bytes.len() * 8).saturating_sub(skipped) / width;
    (0..count).map(move |number| {
        let start = skipped + number * width;
        let byte = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
        let both = byte(start / 8) << 8 | byte(start / 8 + 1);
        both >> (16 - start % 8 - width) & ((1 << width) - 1)
    })
}

/// How many bits belong to a digit with what is before: nothing, one byte, two.
pub(super) const SKIPPED: [usize; 3] = [0, 4, 2];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8; 16] = b"0123456789abcdef";
