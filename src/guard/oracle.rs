//! What the gate took for suspicious when it still looked for it round by round: slow, and simple enough to be
//! believed. Tests hold the one reading to it, which may be stricter and never more lenient.

use percent_encoding::percent_decode;
use unicode_normalization::UnicodeNormalization;

use super::path::Kind;
use crate::dynatrace::catalogue::{Catalogue, ENVIRONMENT, REST, Row, is_open, is_version};
use crate::dynatrace::token::{TOKEN_WORDS, TOKENS};

/// Whether some server could take a path for that of a guarded operation.
pub(super) fn is_suspect(kind: Kind, path: &str, catalogue: &Catalogue) -> bool {
    let rows: Vec<&Row> = catalogue
        .rows()
        .iter()
        .filter(|row| kind.concerns(row))
        .collect();
    path.len() > MAX_PATH || in_every_way(kind, &rows, path)
}

/// Whether every reading of a path finds this environment.
pub(super) fn is_of(path: &str, id: Option<&str>) -> bool {
    let id = id.map(fold);
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        if !all_read(&folded, id.as_deref()) {
            return false;
        }
        let decoded = decode(&folded);
        if decoded == text {
            return true;
        }
        text = decoded;
    }
    false
}

/// Compatibility forms resolved, case folded, and everything that cannot be seen taken away, of a whole text.
pub(super) fn fold(text: &str) -> String {
    let invisible = |c: char| {
        matches!(
            u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
                | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
                | 0xFFF0..=0xFFFB | 0x1_D173..=0x1_D17A | 0xE_0000..=0xE_0FFF
        )
    };
    let visible = |c: &char| !c.is_whitespace() && !c.is_control() && !invisible(*c);
    text.nfkc()
        .filter(visible)
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(visible)
        .collect()
}

fn in_every_way(kind: Kind, rows: &[&Row], path: &str) -> bool {
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        if in_one_round(kind, rows, &folded) {
            return true;
        }
        // Some cut parameters off, up to the next slash that they see, and decode further only then.
        let mut cut = without_parameters(&folded);
        for round in 0.. {
            if cut == folded {
                break;
            }
            let folded = fold(&cut);
            if in_one_round(kind, rows, &folded) {
                return true;
            }
            let decoded = decode(&folded);
            if decoded == folded {
                break;
            }
            if round == MAX_ROUNDS_CUT {
                return true;
            }
            cut = decoded;
        }
        let decoded = decode(&folded);
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    true
}

/// Looks at a folded path as it is, without decoding it further.
fn in_one_round(kind: Kind, rows: &[&Row], folded: &str) -> bool {
    // A server that decodes before it looks for the query ends the path at an encoded `?`.
    let cut = folded.split(['?', '#']).next().unwrap_or_default();
    [folded, cut].iter().any(|path| {
        // All slashes are one, or each is what it is: `;a\b` ends in one place or another.
        [SLASHES, &['/', '\\'], &['/']]
            .iter()
            .any(|separators| find_suspect(kind, rows, path, separators))
    })
}

/// A path without what stands between a `;` and the next slash.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| segment.split(';').next());
    segments.flatten().collect::<Vec<_>>().join("/")
}

fn find_suspect(kind: Kind, rows: &[&Row], path: &str, slashes: &[char]) -> bool {
    let segments: Vec<&str> = path
        .split(slashes)
        .map(word)
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .collect();
    rows.iter().any(|row| could_be(row, &segments))
        || kind == Kind::Write && speaks_of_tokens(&segments)
}

/// The segments by which a row is recognised: lower case, without what it leaves open at its end, and without the
/// leading `api`, which the proxy does not have.
fn mark(row: &Row) -> Vec<String> {
    let mark = match row.segments.as_slice() {
        ["api", below @ ..] => below,
        all => all,
    };
    let mark = mark.iter().filter(|segment| **segment != REST);
    mark.map(|segment| segment.to_lowercase()).collect()
}

/// Whether folded segments could be those of a row, somewhere behind any root.
fn could_be(row: &Row, segments: &[&str]) -> bool {
    let mark = mark(row);
    if !segments.contains(&"..") {
        return is_at(row, &mark, segments);
    }
    // With dots in it, a path that names what a row ends in may lead there.
    let named = mark.iter().rev().find(|segment| !is_open(segment));
    named.is_some_and(|name| segments.iter().any(|segment| is_word(segment, name)))
        || is_at(row, &mark, &resolve(segments))
}

fn is_at(row: &Row, mark: &[String], segments: &[&str]) -> bool {
    let fits = |pattern: &[String], segments: &[&str]| {
        let pairs = pattern.iter().zip(segments);
        pattern.len() <= segments.len()
            && pairs.into_iter().all(|(pattern, segment)| {
                is_open(pattern)
                    || is_word(segment, pattern)
                    || is_version(pattern) && is_version(segment)
            })
    };
    if !row.anchored {
        // What follows is owned, or something else.
        let last = (segments.len() + 1).saturating_sub(mark.len());
        let first = if row.owns { 0 } else { last.saturating_sub(1) };
        return (first..last).any(|from| fits(mark, segments.get(from..).unwrap_or_default()));
    }
    let mut below = segments;
    while let [ENVIRONMENT, _, rest @ ..] = below {
        if fits(mark, below) {
            return true;
        }
        below = rest;
    }
    fits(mark, below)
}

fn speaks_of_tokens(segments: &[&str]) -> bool {
    let behind_version = |segments: &[&str]| {
        segments.windows(2).any(
            |pair| matches!(pair, [version, name] if is_version(version) && name.contains("token")),
        )
    };
    let dotted = segments.contains(&"..");
    let letters = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '_';
    behind_version(segments)
        || behind_version(&resolve(segments))
        || segments.iter().any(|segment| {
            let stem = segment.split(|c: char| !c.is_alphanumeric()).next();
            stem.is_some_and(|stem| TOKEN_WORDS.contains(&stem) || dotted && stem == TOKENS)
                || segment.ends_with("tokens") && segment.chars().all(letters)
        })
}

/// A segment without matrix parameters.
fn word(segment: &str) -> &str {
    segment.split([';', '\0']).next().unwrap_or_default()
}

fn resolve<'a>(segments: &[&'a str]) -> Vec<&'a str> {
    let mut resolved = Vec::new();
    for segment in segments {
        if *segment == ".." {
            resolved.pop();
        } else {
            resolved.push(*segment);
        }
    }
    resolved
}

/// `tokens`, and `tokens.json`, `tokens:verb`, `tokens,x`.
fn is_word(segment: &str, word: &str) -> bool {
    segment.strip_prefix(word).is_some_and(|rest| {
        let next = rest.chars().next();
        next.is_none_or(|c| !c.is_alphanumeric())
    })
}

/// Whether every reading of one round finds this environment.
fn all_read(folded: &str, id: Option<&str>) -> bool {
    let segments: Vec<&str> = folded
        .split(SLASHES)
        .skip(usize::from(folded.starts_with(['/', '\\'])))
        .map(word)
        .filter(|segment| *segment != ".")
        .collect();
    let filled = |segments: &[&'_ str]| -> Vec<String> {
        let filled = segments.iter().filter(|segment| !segment.is_empty());
        filled.map(|segment| (*segment).to_owned()).collect()
    };
    let merged: Vec<&str> = segments.iter().copied().filter(|s| !s.is_empty()).collect();
    // Some servers resolve dots before they merge slashes, some after.
    let (Some(one), Some(other)) = (climb(&merged), climb(&segments)) else {
        return false;
    };
    [filled(&merged), filled(&one), filled(&other)]
        .iter()
        .all(|segments| match segments.as_slice() {
            [first, found, ..] if first == ENVIRONMENT => id == Some(found),
            _ => id.is_none(),
        })
}

/// `None`: the dots climb above the root.
fn climb<'a>(segments: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut resolved = Vec::new();
    for segment in segments {
        if *segment == ".." {
            resolved.pop()?;
        } else {
            resolved.push(*segment);
        }
    }
    Some(resolved)
}

/// One round of percent decoding, `%uXXXX` and overlong UTF-8 included.
fn decode(text: &str) -> String {
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("%u") {
        let (before, from) = rest.split_at(at);
        bytes.extend(percent_decode(before.as_bytes()));
        let unit = from
            .get(2..6)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        let used = if let Some(c) = unit {
            bytes.extend(c.to_string().bytes());
            6
        } else {
            bytes.extend(b"%u");
            2
        };
        rest = from.get(used..).unwrap_or_default();
    }
    bytes.extend(percent_decode(rest.as_bytes()));
    String::from_utf8(bytes).unwrap_or_else(|error| lossy(error.as_bytes()))
}

/// Invalid UTF-8 as a careless decoder reads it: `C0 AF`, `E0 80 AF` and `F0 80 80 AF` are slashes.
fn lossy(bytes: &[u8]) -> String {
    let ascii = |high: u8, low: u8| ((high & 1) << 6) | (low & 0x3F);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [lead @ 0xC0..=0xC1, low @ 0x80..=0xBF, after @ ..] => {
                plain.push(ascii(*lead, *low));
                after
            }
            [0xE0, high @ 0x80..=0x81, low @ 0x80..=0xBF, after @ ..]
            | [
                0xF0,
                0x80,
                high @ 0x80..=0x81,
                low @ 0x80..=0xBF,
                after @ ..,
            ] => {
                plain.push(ascii(*high, *low));
                after
            }
            [byte, after @ ..] => {
                plain.push(*byte);
                after
            }
            [] => return String::from_utf8_lossy(&plain).into_owned(),
        };
    }
}

/// What some server takes for the end of a segment.
const SLASHES: &[char] = &['/', '\\', '?', '#', '\u{2044}', '\u{2215}', '\u{29f8}'];

const MAX_PATH: usize = 8 * 1024;
const MAX_ROUNDS: usize = 8;
const MAX_ROUNDS_CUT: usize = 3;
