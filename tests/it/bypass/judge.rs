//! A reader that is as careless as any server could be, and shares no code with the gate. It says what a
//! request that arrived could do under any reading.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use unicode_normalization::UnicodeNormalization;

use crate::harness::{Seen, read_message};

/// Whether some server could take this for a change of a token.
pub(crate) fn may_change_a_token(seen: &Seen) -> bool {
    is_unsafe(seen) && names_tokens(seen) && !is_lookup(seen)
}

/// Whether some server could take this for a change of a token that grants the forbidden scope.
pub(crate) fn may_grant(seen: &Seen) -> bool {
    readings(seen)
        .iter()
        .any(|reading| may_change_a_token(reading) && speaks_of_the_scope(reading))
}

/// The request, and what else its bytes are where its framing can be read in two ways.
fn readings(seen: &Seen) -> Vec<Seen> {
    let mut readings = vec![seen.clone()];
    let count = |name: &str| seen.headers.iter().filter(|(have, _)| have == name).count();
    let coding = seen.header("transfer-encoding");
    let odd = count("content-length") > 1
        || count("transfer-encoding") > 1
        || (coding.is_some() && count("content-length") > 0)
        || coding.is_some_and(|coding| coding != "chunked")
        || seen.headers.iter().any(|(name, _)| name.trim() != name);
    if odd {
        let starts = (0..seen.body.len()).filter(|&at| at == 0 || seen.body[at - 1] == b'\n');
        readings.extend(starts.filter_map(|at| read_message(&mut &seen.body[at..])));
    }
    readings
}

fn is_unsafe(seen: &Seen) -> bool {
    let line = seen.line.split(' ').next().unwrap_or_default();
    let said = seen
        .headers
        .iter()
        .filter(|(name, _)| name.contains("method") || name.contains("verb"))
        .map(|(_, value)| value.as_str());
    let query = texts(target(seen).as_bytes());
    let asked = query.iter().any(|text| {
        ["method=", "verb=", "override="]
            .iter()
            .any(|word| text.contains(word))
    });
    let safe = |method: &str| {
        ["get", "head", "options"]
            .iter()
            .any(|safe| method.trim().eq_ignore_ascii_case(safe))
    };
    asked || !std::iter::once(line).chain(said).all(safe)
}

fn target(seen: &Seen) -> &str {
    seen.line.split(' ').nth(1).unwrap_or_default()
}

/// The one harmless POST below a token path: exactly as it is documented, with nothing that overrides it.
fn is_lookup(seen: &Seen) -> bool {
    let plain = [
        "/api/v1/tokens/lookup",
        "/api/v2/apiTokens/lookup",
        "/e/abc12345/api/v2/apiTokens/lookup",
    ];
    let path = target(seen).split('?').next().unwrap_or_default();
    let overridden = seen.headers.iter().any(|(name, value)| {
        name.contains("method") || (is_path_header(name) && path_names_tokens(value))
    });
    seen.line.starts_with("POST ")
        && plain.contains(&path)
        && !target(seen).contains("method")
        && !overridden
}

fn is_path_header(name: &str) -> bool {
    ["url", "uri", "path", "prefix", "rewrite", "original"]
        .iter()
        .any(|word| name.contains(word))
}

fn names_tokens(seen: &Seen) -> bool {
    let mut headers = seen.headers.iter();
    path_names_tokens(target(seen))
        || headers.any(|(name, value)| is_path_header(name) && path_names_tokens(value))
}

/// Wherever a segment of it says so, however it is written.
fn path_names_tokens(path: &str) -> bool {
    texts(path.as_bytes()).iter().any(|text| {
        let segments = text.split(['/', '\\', '?', '#', '&', '=', '\u{2044}', '\u{2215}']);
        segments
            .map(stem)
            .any(|stem| stem == "tokens" || stem == "apitokens")
    })
}

fn stem(segment: &str) -> &str {
    let end = segment.find(|c: char| !c.is_alphanumeric());
    segment
        .get(..end.unwrap_or(segment.len()))
        .unwrap_or_default()
}

fn speaks_of_the_scope(seen: &Seen) -> bool {
    let mut places = bodies(&seen.body);
    places.push(target(seen).as_bytes().to_vec());
    places
        .iter()
        .flat_map(|bytes| texts(bytes))
        .any(|text| text.contains("writeconfig"))
}

/// The bytes of a body, unpacked again and again.
fn bodies(body: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![body.to_vec()];
    let mut next = 0;
    while let Some(bytes) = found.get(next).cloned() {
        next += 1;
        if next > 8 {
            break;
        }
        let readers: [Box<dyn Read>; 3] = [
            Box::new(MultiGzDecoder::new(&bytes[..])),
            Box::new(ZlibDecoder::new(&bytes[..])),
            Box::new(DeflateDecoder::new(&bytes[..])),
        ];
        for reader in readers {
            let mut unpacked = Vec::new();
            // What came before an error counts.
            drop(reader.take(1 << 20).read_to_end(&mut unpacked));
            if !unpacked.is_empty() {
                found.push(unpacked);
            }
        }
    }
    found
}

/// Every text that these bytes could be: in any charset, unescaped once more or not, folded.
fn texts(bytes: &[u8]) -> Vec<String> {
    let pairs = |from: usize, high: usize| -> String {
        let pairs = bytes.get(from..).unwrap_or_default().chunks_exact(2);
        let units = pairs.map(|pair| u16::from(pair[high]) << 8 | u16::from(pair[1 - high]));
        char::decode_utf16(units).filter_map(Result::ok).collect()
    };
    let mut texts = Vec::new();
    let charsets = [
        lossy(bytes),
        pairs(0, 0),
        pairs(0, 1),
        pairs(1, 0),
        pairs(1, 1),
    ];
    for mut text in charsets {
        for _ in 0..10 {
            texts.push(fold(&text));
            let unescaped = unescape(&text);
            if unescaped == text {
                break;
            }
            text = unescaped;
        }
    }
    texts
}

/// UTF-8, with what is longer than it may be, and without what is none.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some((&lead, after)) = rest.split_first() {
        let more = match lead {
            0xC0..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF7 => 3,
            _ => 0,
        };
        let tail = after.get(..more).unwrap_or_default();
        if more > 0 && tail.len() == more && tail.iter().all(|byte| byte & 0xC0 == 0x80) {
            let first = u32::from(lead) & (0x3F >> more);
            let code = tail
                .iter()
                .fold(first, |code, byte| code << 6 | u32::from(byte & 0x3F));
            text.extend(char::from_u32(code));
            rest = &after[more..];
        } else {
            if lead.is_ascii() {
                text.push(char::from(lead));
            }
            rest = after;
        }
    }
    text
}

/// One round of every escape that anybody reads: `%41`, `%u0041`, `\u0041`, `\x41`, `&#65;`, `+AEE-`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (used, code) = escape(rest).unwrap_or_else(|| (first.len_utf8(), None));
        match code {
            // One byte of several: together they are a character.
            Some(code) if rest.starts_with('%') && code < 256 => {
                bytes.push(u8::try_from(code).unwrap());
            }
            Some(code) => {
                let c = char::from_u32(code).map(String::from).unwrap_or_default();
                bytes.extend(c.bytes());
            }
            None => bytes.extend(&rest.as_bytes()[..used]),
        }
        rest = &rest[used..];
    }
    lossy(&bytes)
}

fn escape(text: &str) -> Option<(usize, Option<u32>)> {
    for (start, digits, end) in [
        ("%u", 4, ""),
        ("%", 2, ""),
        ("\\u", 4, ""),
        ("\\x", 2, ""),
        ("&#x", 2, ";"),
    ] {
        let hex = text.strip_prefix(start).and_then(|rest| rest.get(..digits));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(code) = code {
            return Some((start.len() + digits + end.len(), Some(code)))
                .filter(|(used, _)| text.is_char_boundary(*used) && *used <= text.len());
        }
    }
    if let Some(rest) = text.strip_prefix("&#") {
        let (digits, _) = rest.split_once(';')?;
        return Some((digits.len() + 3, Some(digits.parse().ok()?)));
    }
    // UTF-7 writes one character in three letters between `+` and `-`.
    let letters = text.strip_prefix('+')?.get(..4)?.strip_suffix('-')?;
    let mut spec = data_encoding::BASE64_NOPAD.specification();
    spec.check_trailing_bits = false;
    let bytes = spec.encoding().ok()?.decode(letters.as_bytes()).ok()?;
    let [high, low] = bytes[..] else { return None };
    Some((5, Some(u32::from(high) << 8 | u32::from(low))))
}

/// Without what nobody sees and what nobody tells apart.
fn fold(text: &str) -> String {
    text.nfkc()
        .flat_map(char::to_lowercase)
        .map(|c| if c == '\u{17f}' { 's' } else { c })
        .filter(|c| !c.is_control() && !c.is_whitespace() && !is_invisible(*c))
        .collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fffd}')
}
