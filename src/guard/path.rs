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
    self, COLLECTIONS, ENVIRONMENT, Endpoint, Find, Handling, ID, INTERNAL_ROOT,
};
use crate::dynatrace::token::{HashKey, IdError, TokenReference, TokenSecret};

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
    token: Option<TokenReference>,
}

/// Why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    #[error("the path ends in no token id: {0}")]
    Id(#[source] IdError),
    #[error("the path leads to the web UI's internal API, which dtgate cannot judge")]
    Internal,
    #[error(
        "the path could be read as one of the token API, and is not written as Dynatrace documents it"
    )]
    LookAlike,
    #[error("the method is not one of {}", .0.join(", "))]
    Method(Vec<&'static str>),
}

/// Reads a method and the path of a request target (without its query).
pub fn classify(method: &str, path: &str, key: &HashKey) -> Result<Target, PathError> {
    let reading = lenient(path);
    if reading.internal {
        return Err(PathError::Internal);
    }
    if !reading.token_like {
        return Ok(Target::Open);
    }
    // No server changes a token on these; their answers are the caller's own business.
    let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
    match strict(method, path, key) {
        Ok(Some(target)) => Ok(target),
        _ if safe => Ok(Target::Open),
        Ok(None) => Err(PathError::LookAlike),
        Err(error) => Err(error),
    }
}

/// Whether a path could be read as one of the token API, on any method.
pub fn is_token_like(path: &str) -> bool {
    lenient(path).token_like
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

    /// What goes upstream. It may hold a whole secret: Dynatrace lets one delete a token by it.
    pub fn raw(&self) -> TokenSecret {
        TokenSecret::new(self.with_id(|token| token.raw().expose()))
    }

    /// The same with the token's public id, for people, policies and the journal.
    pub fn public(&self) -> String {
        self.with_id(|token| token.id().as_str())
    }

    fn with_id<'a>(&'a self, id: impl Fn(&'a TokenReference) -> &'a str) -> String {
        let mut path = String::new();
        if let Some(environment) = &self.environment {
            path.push('/');
            path.push_str(ENVIRONMENT);
            path.push('/');
            path.push_str(environment);
        }
        for segment in self.endpoint.path {
            path.push('/');
            path.push_str(match &self.token {
                Some(token) if *segment == ID => id(token),
                _ => segment,
            });
        }
        path
    }
}

/// The strict reading. `None`: this path is no endpoint of the catalogue.
fn strict(method: &str, path: &str, key: &HashKey) -> Result<Option<Target>, PathError> {
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
    match catalogue::find(method, below) {
        Find::Unknown => Ok(None),
        Find::Method(methods) => Err(PathError::Method(methods)),
        Find::Endpoint(endpoint) if endpoint.handling == Handling::Pass => Ok(Some(Target::Open)),
        Find::Endpoint(endpoint) => {
            let id = endpoint
                .path
                .iter()
                .zip(below)
                .find(|(pattern, _)| **pattern == ID);
            let token = id
                .map(|(_, segment)| TokenReference::parse(segment, key))
                .transpose()
                .map_err(PathError::Id)?;
            Ok(Some(Target::Guarded(CanonicalPath {
                endpoint,
                environment: environment.map(str::to_owned),
                token,
            })))
        }
    }
}

/// "has to match `[a-zA-Z0-9_-]{1,70}`" (cluster API, create environment).
pub fn is_environment(segment: &str) -> bool {
    (1..=70).contains(&segment.len())
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[derive(Default)]
struct Reading {
    token_like: bool,
    internal: bool,
}

/// The union of everything that some server might make of a path: each round of decoding counts, with
/// and without its dots resolved.
fn lenient(path: &str) -> Reading {
    let mut reading = Reading::default();
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        let segments: Vec<&str> = folded
            .split(['/', '\\', '?', '#', '\u{2044}', '\u{2215}', '\u{29f8}'])
            .map(word)
            .filter(|segment| !segment.is_empty() && *segment != ".")
            .collect();
        let resolved = resolve(&segments);
        // Servers disagree on whether dots are resolved before or after slashes are merged and escapes
        // decoded. With dots in it, a path that names the tokens anywhere may lead there.
        if segments.contains(&"..") {
            reading.token_like |= segments.iter().any(|segment| is_collection(segment));
            reading.internal |= segments.contains(&INTERNAL_ROOT);
        }
        for segments in [&segments, &resolved] {
            reading.token_like |= segments.windows(2).any(|pair| match pair {
                [version, collection] => is_version(version) && is_collection(collection),
                _ => false,
            });
            reading.internal |= match segments.as_slice() {
                [ENVIRONMENT, _, root, ..] | [root, ..] => *root == INTERNAL_ROOT,
                [] => false,
            };
        }
        let decoded = decode(&folded);
        if decoded == text {
            return reading;
        }
        text = decoded;
    }
    // Encoded so often that no honest client did it.
    reading.token_like = true;
    reading
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

/// `tokens`, and `tokens.json`, `tokens:verb`, `tokens,x`: what stands before the first character that
/// is no letter.
fn is_collection(segment: &str) -> bool {
    let end = segment
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(segment.len());
    let stem = segment.get(..end).unwrap_or_default();
    COLLECTIONS.contains(&stem)
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

pub(super) const MAX_ROUNDS: usize = 8;

#[cfg(test)]
mod tests;
