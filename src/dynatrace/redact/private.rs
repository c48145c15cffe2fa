//! Private keys as files of keys have them: of signed notes, and in PEM form.

use std::ops::Range;

use super::shape::length;

/// What has to be hidden of a key that begins with these two words, each of letters, digits, `-` and `_`.
///
/// `PRIVATE+KEY+NAME+HASH+BASE64`: all behind the mark, also where the key is cut short.
/// `-----BEGIN … PRIVATE KEY-----`: all to the line that ends it.
pub(super) fn key(bytes: &[u8], first: Range<usize>, second: Range<usize>) -> Option<Range<usize>> {
    let word = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
    let end = word(&first).last_chunk::<7>()?;
    if !end.eq_ignore_ascii_case(b"PRIVATE") {
        return None;
    }
    let between = bytes.get(first.end..second.start)?;
    if between == b"+" && word(&second).eq_ignore_ascii_case(b"KEY") {
        let start = second.end + 1;
        let is_of_it = |byte: u8| !byte.is_ascii_whitespace() && !b"\"'`,;<>".contains(&byte);
        let long = length(bytes, start, is_of_it);
        return (bytes.get(second.end) == Some(&b'+') && long >= SHORTEST)
            .then_some(start..start + long);
    }
    if between == b" " && word(&second).eq_ignore_ascii_case(b"KEY-----") {
        let start = second.end + line_ends(bytes.get(second.end..)?);
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        if length(bytes, start, is_digit) < SHORTEST {
            return None;
        }
        let rest = bytes.get(start..)?;
        let end = rest.windows(END.len()).position(|window| window == END);
        return Some(start..end.map_or(bytes.len(), |end| start + end));
    }
    None
}

/// How long the ends of lines and blanks are that a text begins with, also where a backslash stands for them.
fn line_ends(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        rest = match rest {
            [b'\\', b'n' | b'r', rest @ ..] => rest,
            [first, rest @ ..] if first.is_ascii_whitespace() => rest,
            _ => return text.len() - rest.len(),
        };
    }
}

/// The shortest that is a key and no word about one.
const SHORTEST: usize = 16;

const END: &[u8] = b"-----END";
