//! Canonical paths, and the recognition of what only looks like one.
//!
//! A path is read twice. Strictly: does it spell an endpoint of the catalogue in the one way that every
//! server reads alike? Then it is that endpoint. Leniently: could any server, decoding again and
//! again, folding case, cutting `;params`, resolving dots, turning backslashes, arrive at the token API?
//! Then a request that could change something is refused, because nobody can say what it would do. All
//! other paths are open traffic and go upstream byte for byte.

use percent_encoding::percent_decode;
use thiserror::Error;

use super::json::fold;
use crate::dynatrace::catalogue::{
    ANY, Catalogue, ENVIRONMENT, Endpoint, Find, Handling, ID, Operation, PROXY, Row, is_open,
};
use crate::dynatrace::token::{
    HashKey, IdError, TokenReference, TokenSecret, is_token_word, redact,
};

/// What a method and a path are to the gate.
#[derive(Debug)]
pub enum Target {
    Guarded(CanonicalPath),
    Open,
}

/// The path of a guarded operation, in its one spelling.
#[derive(Clone, Debug)]
pub struct CanonicalPath {
    endpoint: &'static Endpoint,
    environment: Option<String>,
    /// Below `/e/{environment-id}`; the token's place is empty.
    segments: Vec<String>,
    token: Option<TokenReference>,
}

/// Why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    #[error("the path ends in no token id: {0}")]
    Id(#[source] IdError),
    #[error("the path could be read as that of {0}, and is not written as Dynatrace documents it")]
    LookAlike(Operation),
    #[error("the method is not one of {}", .0.join(", "))]
    Method(Vec<&'static str>),
    #[error("{operation} is refused here: {why}")]
    Refused {
        operation: Operation,
        why: &'static str,
    },
    #[error("the path speaks of tokens, and is none that dtgate knows")]
    Unknown,
}

/// Reads a method and the path of a request target (without its query).
pub fn classify(
    method: &str,
    path: &str,
    catalogue: &Catalogue,
    key: &HashKey,
) -> Result<Target, PathError> {
    match suspect(Kind::of(method), path, catalogue) {
        None => Ok(Target::Open),
        Some(suspect) => match strict(method, path, catalogue, key)? {
            Some(target) => Ok(target),
            None => Err(match suspect {
                Suspect::Row(operation) => PathError::LookAlike(operation),
                Suspect::Token => PathError::Unknown,
            }),
        },
    }
}

/// Whether a path could be read as one of a guarded operation, on any method.
pub fn is_suspect(path: &str, catalogue: &Catalogue) -> bool {
    [Kind::Get, Kind::Write]
        .iter()
        .any(|kind| suspect(*kind, path, catalogue).is_some())
}

impl CanonicalPath {
    pub fn endpoint(&self) -> &'static Endpoint {
        self.endpoint
    }

    /// The `{environment-id}` of `/e/{environment-id}`.
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    pub fn token(&self) -> Option<&TokenReference> {
        self.token.as_ref()
    }

    /// The last segment, for endpoints whose last segment names an object.
    pub fn object(&self) -> Option<&str> {
        let (pattern, segment) = (
            self.endpoint.path.rsplit('/').next()?,
            self.segments.last()?,
        );
        is_open(pattern).then_some(segment)
    }

    /// What goes upstream. It may hold a whole secret: Dynatrace lets one delete a token by it.
    pub fn raw(&self) -> TokenSecret {
        TokenSecret::new(self.with_id(|token| token.raw().expose()))
    }

    /// The same without `/e/{environment-id}`.
    pub fn raw_below(&self) -> TokenSecret {
        TokenSecret::new(self.below(|token| token.raw().expose()))
    }

    /// The path up to the token's id, with the environment's prefix or without.
    pub fn collection(&self, below: bool) -> String {
        let path = if below {
            self.below(|_| "")
        } else {
            self.with_id(|_| "")
        };
        path.trim_end_matches('/').to_owned()
    }

    /// The same with the token's public id, for people, policies and the journal.
    pub fn public(&self) -> String {
        redact(&self.with_id(|token| token.id().as_str()))
    }

    fn with_id<'a>(&'a self, id: impl Fn(&'a TokenReference) -> &'a str) -> String {
        let mut path = String::new();
        if let Some(environment) = &self.environment {
            path.push('/');
            path.push_str(ENVIRONMENT);
            path.push('/');
            path.push_str(environment);
        }
        path + &self.below(id)
    }

    fn below<'a>(&'a self, id: impl Fn(&'a TokenReference) -> &'a str) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match &self.token {
                Some(token) if segment.is_empty() => id(token),
                _ => segment,
            });
        }
        path
    }
}

/// The strict reading. `None`: this path is no endpoint of the catalogue.
fn strict(
    method: &str,
    path: &str,
    catalogue: &Catalogue,
    key: &HashKey,
) -> Result<Option<Target>, PathError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    if !path.bytes().all(plain) {
        return Ok(None);
    }
    // Dynatrace's own examples have a trailing slash and a double one; both can mean only one thing.
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return Ok(None);
    }
    let (environment, below) = match segments.as_slice() {
        [ENVIRONMENT, environment, below @ ..] if is_environment(environment) => {
            (Some(*environment), below)
        }
        below => (None, below),
    };
    let documented = match below.strip_prefix(PROXY) {
        Some(rest) => [&["api"], rest].concat(),
        None => below.to_vec(),
    };
    let row = match catalogue.find(method, &documented) {
        Find::Unknown => return Ok(None),
        Find::Method(methods) => return Err(PathError::Method(methods)),
        Find::Row(row) => row,
    };
    match row.handling {
        Handling::Pass => return Ok(Some(Target::Open)),
        Handling::Refuse => {
            return Err(PathError::Refused {
                operation: row.endpoint.operation,
                why: row.endpoint.why,
            });
        }
        Handling::Judge => {}
    }
    let mut canonical: Vec<String> = below.iter().map(|segment| (*segment).to_owned()).collect();
    let mut token = None;
    // The proxy's root is longer than `api`, which makes no difference at the end.
    if row.segments.last() == Some(&ID)
        && let Some(last) = canonical.last_mut()
    {
        token = Some(TokenReference::parse(last, key).map_err(PathError::Id)?);
        last.clear();
    }
    Ok(Some(Target::Guarded(CanonicalPath {
        endpoint: row.endpoint,
        environment: environment.map(str::to_owned),
        segments: canonical,
        token,
    })))
}

/// "has to match `[a-zA-Z0-9_-]{1,70}`" (cluster API, create environment).
pub fn is_environment(segment: &str) -> bool {
    (1..=70).contains(&segment.len())
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What a method may do, as far as the catalogue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Changes nothing, and its answer shows nothing.
    Quiet,
    /// Changes nothing; its answer may disclose a credential.
    Get,
    /// Whatever else there is.
    Write,
}

impl Kind {
    fn of(method: &str) -> Self {
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
enum Suspect {
    Row(Operation),
    /// No row that is known, but it speaks of tokens.
    Token,
}

/// Looks for a guarded operation in everything that some server might make of a path: each round of
/// decoding counts, with and without its dots resolved.
fn suspect(kind: Kind, path: &str, catalogue: &Catalogue) -> Option<Suspect> {
    let rows: Vec<&Row> = catalogue
        .rows()
        .iter()
        .filter(|row| kind.concerns(row))
        .collect();
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        // A server that decodes before it looks for the query ends the path at an encoded `?`.
        let cut = folded.split(['?', '#']).next().unwrap_or_default();
        for path in [folded.as_str(), cut] {
            // All slashes are one, or each is what it is: `;a\b` ends in one place or another.
            for separators in [SLASHES, &['/', '\\'], &['/']] {
                let found = find_suspect(kind, &rows, path, separators);
                if found.is_some() {
                    return found;
                }
                if !folded.contains(OTHER_SLASHES) {
                    break;
                }
            }
        }
        let decoded = decode(&folded);
        if decoded == text {
            return None;
        }
        text = decoded;
    }
    // Encoded so often that no honest client did it.
    Some(Suspect::Token)
}

/// The same in one reading, folded.
fn find_suspect(kind: Kind, rows: &[&Row], path: &str, slashes: &[char]) -> Option<Suspect> {
    let segments: Vec<&str> = path
        .split(slashes)
        .map(word)
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .collect();
    let row = rows.iter().find(|row| could_be(row, &segments));
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
            && pairs
                .into_iter()
                .all(|(pattern, segment)| is_open(pattern) || is_word(segment, pattern))
    };
    if !row.anchored {
        // What follows the name of tokens is theirs too; elsewhere it is something else.
        let tokens = row.mark.iter().any(|word| word.contains("token"));
        return (0..segments.len())
            .filter(|from| tokens || segments.len() - from == row.mark.len())
            .any(|from| fits(&row.mark, segments.get(from..).unwrap_or_default()));
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
            .any(|segment| is_token_word(stem(segment), dotted))
}

/// A segment without what a server might cut off: matrix parameters, a null byte's tail.
pub(super) fn word(segment: &str) -> &str {
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
pub(super) fn decode(text: &str) -> String {
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

pub(super) const MAX_ROUNDS: usize = 8;

#[cfg(test)]
mod tests;
