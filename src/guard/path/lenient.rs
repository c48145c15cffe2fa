//! The lenient reading of a path: could any server take it for that of a guarded operation?

use percent_encoding::percent_decode;

use crate::dynatrace::catalogue::{ANY, Catalogue, ENVIRONMENT, Operation, PROXY, Row, is_open};
use crate::dynatrace::token::is_token_word;
use crate::guard::fold::fold;

/// What a method may do, as far as the catalogue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Changes nothing, and its answer shows nothing.
    Quiet,
    /// Changes nothing; its answer may disclose a credential.
    Get,
    /// Whatever else there is.
    Write,
}

impl Kind {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "HEAD" | "OPTIONS" => Self::Quiet,
            "GET" => Self::Get,
            _ => Self::Write,
        }
    }

    fn concerns(self, row: &Row) -> bool {
        let method = row.endpoint.method;
        row.is_guarded()
            && match self {
                Self::Quiet => method == ANY,
                Self::Get => matches!(method, ANY | "GET"),
                Self::Write => method != "GET",
            }
    }
}

/// What a path could be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    Row(Operation),
    /// No row that is known, but it speaks of tokens.
    Token,
}

/// Looks for a guarded operation in everything that some server might make of a path: each round of
/// decoding counts, with and without its dots resolved.
pub(super) fn suspect(kind: Kind, path: &str, catalogue: &Catalogue) -> Option<Suspect> {
    // To read it in every way would take longer than anything else; no honest path is as long.
    if path.len() > MAX_PATH {
        return Some(Suspect::Token);
    }
    let rows = catalogue.rows().iter().filter(|row| kind.concerns(row));
    if is_plain(path) {
        return find_suspect(kind, rows, &path.to_ascii_lowercase(), &['/']);
    }
    let rows: Vec<&Row> = rows.collect();
    in_every_way(kind, &rows, path)
}

/// Whether a path has only one reading: nothing to decode, to cut off, to resolve, or to take for a slash.
/// Letters may still be large or small, and slashes double.
fn is_plain(path: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/');
    path.bytes().all(plain) && !path.split('/').any(|segment| segment == "..")
}

fn in_every_way(kind: Kind, rows: &[&Row], path: &str) -> Option<Suspect> {
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        let found = in_one_round(kind, rows, &folded);
        if found.is_some() {
            return found;
        }
        // Some cut parameters off, up to the next slash that they see, and decode further only then.
        let mut cut = without_parameters(&folded);
        for round in 0.. {
            if cut == folded {
                break;
            }
            let folded = fold(&cut);
            let found = in_one_round(kind, rows, &folded);
            if found.is_some() {
                return found;
            }
            let decoded = decode(&folded);
            if decoded == folded {
                break;
            }
            if round == MAX_ROUNDS_CUT {
                return Some(Suspect::Token);
            }
            cut = decoded;
        }
        let decoded = decode(&folded);
        // Folding plain text twice is folding it once.
        if decoded == text || (text.is_ascii() && decoded == folded) {
            return None;
        }
        text = decoded;
    }
    // Encoded so often that no honest client did it.
    Some(Suspect::Token)
}

/// Looks at a folded path as it is, without decoding it further.
fn in_one_round(kind: Kind, rows: &[&Row], folded: &str) -> Option<Suspect> {
    // A server that decodes before it looks for the query ends the path at an encoded `?`.
    let cut = folded.split(['?', '#']).next().unwrap_or_default();
    for path in [folded, cut] {
        // All slashes are one, or each is what it is: `;a\b` ends in one place or another.
        for separators in [SLASHES, &['/', '\\'], &['/']] {
            let found = find_suspect(kind, rows.iter().copied(), path, separators);
            if found.is_some() {
                return found;
            }
            if !folded.contains(OTHER_SLASHES) {
                break;
            }
        }
    }
    None
}

/// A path without what stands between a `;` and the next slash.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| segment.split(';').next());
    segments.flatten().collect::<Vec<_>>().join("/")
}

/// The same in one reading, folded.
#[expect(
    single_use_lifetimes,
    reason = "an anonymous lifetime cannot stand in `impl Trait` yet"
)]
fn find_suspect<'a>(
    kind: Kind,
    mut rows: impl Iterator<Item = &'a Row>,
    path: &str,
    slashes: &[char],
) -> Option<Suspect> {
    let segments: Vec<&str> = path
        .split(slashes)
        .map(word)
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .collect();
    let row = rows.find(|row| could_be(row, &segments));
    row.map(|row| Suspect::Row(row.endpoint.operation))
        .or_else(|| (kind == Kind::Write && speaks_of_tokens(&segments)).then_some(Suspect::Token))
}

/// Whether folded segments could be those of a row, somewhere behind any root.
fn could_be(row: &Row, segments: &[&str]) -> bool {
    if !segments.contains(&"..") {
        return is_at(row, segments);
    }
    // Servers disagree on whether dots are resolved before or after slashes are merged and escapes
    // decoded. With dots in it, a path that names what a row ends in may lead there.
    let named = row.mark.iter().rev().find(|segment| !is_open(segment));
    named.is_some_and(|name| segments.iter().any(|segment| is_word(segment, name)))
        || is_at(row, &resolve(segments))
}

fn is_at(row: &Row, segments: &[&str]) -> bool {
    let fits = |pattern: &[String], segments: &[&str]| {
        let pairs = pattern.iter().zip(segments);
        pattern.len() <= segments.len()
            && pairs.into_iter().all(|(pattern, segment)| {
                is_open(pattern) || is_word(segment, pattern)
                    // The same in another version.
                    || is_version(pattern) && is_version(segment)
            })
    };
    if !row.anchored {
        // What follows the name of tokens is theirs too; elsewhere it is something else.
        let last = (segments.len() + 1).saturating_sub(row.mark.len());
        let first = if row.tokens {
            0
        } else {
            last.saturating_sub(1)
        };
        return (first..last).any(|from| fits(&row.mark, segments.get(from..).unwrap_or_default()));
    }
    let before = row.mark.split_last().map_or(&[][..], |(_, before)| before);
    let below = match segments {
        [ENVIRONMENT, _, below @ ..] => below,
        all => all,
    };
    fits(before, segments)
        || fits(before, below)
        || below.strip_prefix(PROXY).is_some_and(
            |below| matches!(before, [api, rest @ ..] if api == "api" && fits(rest, below)),
        )
}

/// Whether a path is about tokens in a way that no honest path is that has nothing to do with them: right
/// behind a version, or by a word of their own (`apiTokens`).
fn speaks_of_tokens(segments: &[&str]) -> bool {
    let behind_version = |segments: &[&str]| {
        segments.windows(2).any(
            |pair| matches!(pair, [version, name] if is_version(version) && name.contains("token")),
        )
    };
    let dotted = segments.contains(&"..");
    behind_version(segments)
        || behind_version(&resolve(segments))
        || segments
            .iter()
            .any(|segment| is_token_word(stem(segment), dotted) || is_plural(segment))
}

/// `tokens`, `platform-tokens`, `accessTokens`: a collection of them, and no name that somebody gave.
fn is_plural(segment: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '_';
    segment.ends_with("tokens") && segment.chars().all(letters)
}

/// A segment without what a server might cut off: matrix parameters, a null byte's tail.
pub(in crate::guard) fn word(segment: &str) -> &str {
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

fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `tokens`, and `tokens.json`, `tokens:verb`, `tokens,x`.
fn is_word(segment: &str, word: &str) -> bool {
    // Nearly every pair differs at once.
    if segment.as_bytes().first() != word.as_bytes().first() {
        return false;
    }
    segment.strip_prefix(word).is_some_and(|rest| {
        let next = rest.chars().next();
        next.is_none_or(|c| !c.is_alphanumeric())
    })
}

/// What stands before the first character that is no letter or digit.
fn stem(segment: &str) -> &str {
    let end = segment
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(segment.len());
    segment.get(..end).unwrap_or_default()
}

/// One round of percent decoding, `%uXXXX` and overlong UTF-8 included.
pub(in crate::guard) fn decode(text: &str) -> String {
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
const OTHER_SLASHES: &[char] = &['\\', '?', '#', '\u{2044}', '\u{2215}', '\u{29f8}'];

/// Bytes of a path.
const MAX_PATH: usize = 8 * 1024;

/// Rounds of decoding behind a parameter that was cut off.
const MAX_ROUNDS_CUT: usize = 3;

pub(in crate::guard) const MAX_ROUNDS: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dynatrace::catalogue::Overrides;

    /// Segments of the catalogue, cut, joined and changed, and what makes a path one that is not plain.
    fn segment() -> impl Strategy<Value = String> {
        let catalogue = Catalogue::new(&Overrides::default()).unwrap();
        let words = catalogue.rows().iter().flat_map(|row| row.segments.iter());
        let mut words: Vec<String> = words
            .map(|word| word.replace(['{', '}', '*'], ""))
            .collect();
        words.extend(["", ".", "..", "e", "abc-1", "lookup", "v9", "tokens-2"].map(str::to_owned));
        words.sort();
        words.dedup();
        (
            prop::sample::select(words),
            prop_oneof![12 => Just(""), 1 => Just(".json"), 1 => Just("~"), 1 => Just("s"), 1 => Just("Tokens")],
            0..12_u8,
        )
            .prop_map(|(word, end, change)| match change {
                0 => word.to_uppercase() + end,
                1 => word.to_lowercase() + end,
                2 => word.chars().skip(1).collect::<String>() + end,
                _ => word + end,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_plain_path_is_read_as_it_is_read_in_every_way(
            segments in prop::collection::vec(segment(), 0..8),
            root in prop_oneof![8 => Just("/"), 1 => Just("//"), 1 => Just("")],
        ) {
            let catalogue = Catalogue::new(&Overrides::default()).unwrap();
            let path = format!("{root}{}", segments.join("/"));
            for kind in [Kind::Quiet, Kind::Get, Kind::Write] {
                let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| kind.concerns(row)).collect();
                let long = in_every_way(kind, &rows, &path);
                prop_assert_eq!(suspect(kind, &path, &catalogue), long, "{:?} {}", kind, path);
            }
        }
    }
}
