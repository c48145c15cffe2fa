//! What bytes look like in base64, whatever stands before them.

use data_encoding::BASE64_NOPAD;

/// In base64 behind so many other bytes: without the digits in which those, or others behind, have a share.
pub(crate) fn base64(bytes: &[u8], before: usize) -> String {
    let mut padded = vec![0; before];
    padded.extend_from_slice(bytes);
    let text = BASE64_NOPAD.encode(&padded);
    let (first, whole) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    text.get(first..whole).unwrap_or_default().to_owned()
}

/// How many bytes may stand before, to make a difference.
pub(crate) const BEFORE: [usize; 3] = [0, 1, 2];
