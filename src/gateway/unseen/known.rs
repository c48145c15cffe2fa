//! Which requests the catalogue would have to know, and does not.

use std::borrow::Cow;
use std::iter::Filter;
use std::str::Split;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::dynatrace::catalogue::{Catalogue, ENVIRONMENT, Find, PROXY};
use crate::guard::path::is_environment;

pub(super) type Segments<'a> = Filter<Split<'a, char>, fn(&&'a str) -> bool>;

/// Whether a request is a write to the platform, or one with a `:verb`, that no row knows. Most requests are found to
/// be neither by their method, and nearly all others by the first segment of their path.
pub(in crate::gateway) fn is_unknown(method: &Method, path: &str, catalogue: &Catalogue) -> bool {
    if matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    ) {
        return false;
    }
    // A write with escapes within escapes is refused, wherever it leads.
    let path = if path.contains('%') {
        percent_decode_str(path).decode_utf8_lossy()
    } else {
        Cow::Borrowed(path)
    };
    let below = below(&path);
    if !(is_platform(below.clone()) || path.contains(':') && words(below.clone()).any(has_verb)) {
        return false;
    }
    let below: Vec<&str> = below.collect();
    let documented = match below.strip_prefix(PROXY) {
        Some(rest) => [&["api"], rest].concat(),
        None => below,
    };
    !matches!(catalogue.find(method.as_str(), &documented), Find::Row(_))
}

/// The segments of a path that are not empty, below `/e/{environment-id}`.
pub(super) fn below(path: &str) -> Segments<'_> {
    let mut segments: Segments<'_> = path.split('/').filter(|segment| !segment.is_empty());
    loop {
        let mut rest = segments.clone();
        let named = rest
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(ENVIRONMENT));
        if !(named && rest.next().is_some_and(is_environment)) {
            return segments;
        }
        segments = rest;
    }
}

/// The segments without their `;parameters`. Some servers cut those off, and see no segment where nothing is left.
pub(super) fn words(segments: Segments<'_>) -> impl Iterator<Item = &str> {
    let words = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    words.filter(|word| !word.is_empty())
}

/// Below `/platform/`, but for what is `/api` there. However it is written: a server may read it so.
fn is_platform(segments: Segments<'_>) -> bool {
    let Some((platform, rest)) = PROXY.split_first() else {
        return false;
    };
    let mut words = words(segments);
    let first = words.next();
    first.is_some_and(|first| first.eq_ignore_ascii_case(platform))
        && !rest.iter().copied().eq(words.take(rest.len()))
}

/// `{name}:{verb}`.
fn has_verb(segment: &str) -> bool {
    segment
        .rsplit_once(':')
        .is_some_and(|(name, verb)| !name.is_empty() && is_verb(verb))
}

/// A word, as Dynatrace writes the verbs of custom methods.
pub(super) fn is_verb(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(word)
}
