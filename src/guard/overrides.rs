//! What would make another request of one: its method, and fields and parameters by which servers and frameworks can
//! be told to see another method or path.
//!
//! Such fields have many spellings, so they are known by the words in their names.

use http::Method;
use http::header::{HeaderValue, TRAILER};
use http::request::Parts;

use super::ReadError;
use super::fields::names_parameter;
use super::path::{Likeness, PathError};
use super::reading::Work;
use crate::dynatrace::catalogue::Catalogue;

/// What a field or a parameter could change, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Another method.
    Method,
    /// Another path.
    Path,
    /// A path. Proxies in front say so what they have rewritten.
    Forwarded,
}

/// Refuses TRACE, whose answer repeats what should not be shown, and methods that only some servers know.
pub(super) fn refuse_method(method: &str) -> Result<(), ReadError> {
    if method == "TRACE" {
        return Err(ReadError::Trace);
    }
    let mut known = METHODS.iter();
    match known.find(|known| **known != method && known.eq_ignore_ascii_case(method)) {
        Some(known) => Err(ReadError::Case(known)),
        None => Ok(()),
    }
}

/// Refuses what could turn the request into one for a guarded operation, or one of those into another.
pub(super) fn refuse_overrides(
    parts: &Parts,
    likeness: &Likeness,
    catalogue: &Catalogue,
    work: &mut Work,
) -> Result<(), ReadError> {
    let suspect = likeness.is_suspect(catalogue);
    for (name, value) in &parts.headers {
        let refused = match says(name.as_str().as_bytes()) {
            None => suspect && *name == TRAILER && announces(value),
            Some(Says::Method) => suspect,
            Some(Says::Path) => suspect || leads_there(value, catalogue, work)?,
            // Honest where a proxy in front tells of this path; of another one it leads elsewhere.
            Some(Says::Forwarded) => {
                !(suspect && is_own(value, parts.uri.path()))
                    && leads_there(value, catalogue, work)?
            }
        };
        if refused {
            let name = Some(name.as_str()).filter(|name| name.len() <= LONGEST_NAME);
            return Err(ReadError::Override(name.unwrap_or("…").to_owned()));
        }
    }
    let overrides = |name: &[u8]| says(name) == Some(Says::Method);
    if suspect && names_parameter(parts, work, overrides)? {
        return Err(ReadError::Query);
    }
    Ok(())
}

/// Whether a request can be nothing but a read, whatever its fields and parameters say to whom.
pub fn only_reads(parts: &Parts) -> bool {
    let overrides = |name: &[u8]| says(name) == Some(Says::Method);
    let mut fields = parts.headers.keys().map(|name| name.as_str().as_bytes());
    matches!(parts.method, Method::GET | Method::HEAD)
        && !fields.any(overrides)
        && names_parameter(parts, &mut Work::default(), overrides).is_ok_and(|named| !named)
}

/// Whether a field of this name could be told another method or path, or tells one.
pub fn is_about_another_request(name: &str) -> bool {
    says(name.as_bytes()).is_some()
}

fn says(name: &[u8]) -> Option<Says> {
    if may_say(name) { by_words(name) } else { None }
}

/// Goes by the words of a name in lower case, however they are joined.
fn by_words(name: &[u8]) -> Option<Says> {
    let words = || {
        let words = name.split(|byte| !byte.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty())
    };
    let is = |wanted: &[&str]| words().any(|word| wanted.iter().any(|one| word == one.as_bytes()));
    let within = |wanted: &[&str]| words().any(|word| wanted.iter().any(|one| contains(word, one)));
    // What a browser asks before it sends something.
    if name.starts_with(b"access-control-") {
        return None;
    }
    let turns = within(&["override", "rewrite", "unencoded", "tunnel"]);
    let method = within(&["method"]) || is(&["verb"]) || within(&["httpverb", "verboverride"]);
    if method && (turns || !is(&["auth", "envoy", "forwarded"]) || is(&["original"])) {
        return (!is(&["envoy", "forwarded"]) || turns).then_some(Says::Method);
    }
    let ends = |end: &str| words().any(|word| word.ends_with(end.as_bytes()));
    let address = ends("url") || ends("uri");
    if address && (turns || within(&["original"]) && !is(&["envoy", "forwarded"])) {
        return Some(Says::Path);
    }
    let path = ends("path") || within(&["pathinfo"]) || is(&["prefix", "script"]);
    match path {
        true if turns => Some(Says::Path),
        true => Some(Says::Forwarded),
        false if address => Some(Says::Forwarded),
        // Of what, only some servers know: `X-HTTP-Override`.
        false => within(&["override"]).then_some(Says::Method),
    }
}

/// Whether a name has the first letters of a word without which it says nothing. Every field of every request is asked
/// about, and nearly none has.
fn may_say(name: &[u8]) -> bool {
    // Of `method`, `path`, `prefix`, `script`, `uri`, `url`, and of `override` and `verb`.
    let begins = |letters: &[u8]| {
        matches!(
            letters,
            b"met" | b"pat" | b"pre" | b"scr" | b"uri" | b"url" | b"ver"
        )
    };
    name.windows(3).any(begins)
}

fn contains(word: &[u8], part: &str) -> bool {
    word.windows(part.len())
        .any(|letters| letters == part.as_bytes())
}

/// Whether a `Trailer` field announces one that would change the request.
fn announces(value: &HeaderValue) -> bool {
    let mut names = value.as_bytes().split(|byte| *byte == b',');
    names.any(|name| {
        let name = name.trim_ascii().to_ascii_lowercase();
        matches!(says(&name), Some(Says::Method | Says::Path))
    })
}

/// Whether a field's value is the path of the request, with or without what a proxy in front has cut off or put before.
fn is_own(value: &HeaderValue, own: &str) -> bool {
    let value = String::from_utf8_lossy(value.as_bytes());
    let path = value.split('?').next().unwrap_or_default();
    let is_plain = |before: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
        before.bytes().all(plain)
    };
    path.strip_suffix(own).is_some_and(is_plain) || (path.starts_with('/') && own.ends_with(path))
}

/// Whether a field's value could be the path of a guarded operation.
fn leads_there(
    value: &HeaderValue,
    catalogue: &Catalogue,
    work: &mut Work,
) -> Result<bool, ReadError> {
    let path = String::from_utf8_lossy(value.as_bytes());
    let likeness = Likeness::of(&path, catalogue, work).map_err(PathError::from)?;
    Ok(likeness.is_suspect(catalogue))
}

/// The longest name of a field that is repeated to whoever sent it.
const LONGEST_NAME: usize = 64;

/// Methods that are known everywhere, in their one spelling (RFC 9110, section 9.1: case matters).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_words() {
        for name in [
            "x-http-method-override",
            "x_http_method_override",
            "x.http.method.override",
            "x-http-method",
            "x-http-verb",
            "x-http-verb-override",
            "x-httpmethod",
            "x-method",
            "x-method-override",
            "x-rest-method",
            "x-tunneled-method",
            "x-original-method",
            "x-original-request-method",
            "x-forwarded-method-override",
            "http-method",
            "_method",
            "method",
            "httpmethod",
            "httpverb",
            "verb",
            "methodoverride",
            "x-request-method",
            "x-request-verb",
            "x-http-override",
            "x-override",
            "_override",
            "override",
        ] {
            assert_eq!(says(name.as_bytes()), Some(Says::Method), "{name}");
        }
        for name in [
            "x-override-url",
            "x-url-override",
            "x-ms-original-url",
            "x-original-request-uri",
            "x-original-url",
            "x_original_uri",
            "x-originalurl",
            "x-rewrite-url",
            "x-rewrite-uri",
            "x-waws-unencoded-url",
            "x-path-override",
            "x-http-path-override",
        ] {
            assert_eq!(says(name.as_bytes()), Some(Says::Path), "{name}");
        }
        for name in [
            "x-forwarded-uri",
            "x-forwarded-path",
            "x-forwarded-prefix",
            "x-envoy-original-path",
            "x-original-path",
            "x-request-uri",
            "x-proxy-url",
            "x-script-name",
            "path-info",
        ] {
            assert_eq!(says(name.as_bytes()), Some(Says::Forwarded), "{name}");
        }
        for name in [
            "access-control-request-method",
            "x-forwarded-method",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-envoy-original-method",
            "x-request-id",
            "x-auth-method",
            "x-verbose",
            "referer",
            "authorization",
            "content-type",
            "traceparent",
            "metricselector",
        ] {
            assert_eq!(says(name.as_bytes()), None, "{name}");
        }
    }

    /// Whatever is made of the words that names are known by.
    #[test]
    fn no_name_that_says_something_is_passed_over_at_first_sight() {
        let words = [
            "auth",
            "envoy",
            "forwarded",
            "httpverb",
            "method",
            "original",
            "override",
            "path",
            "pathinfo",
            "prefix",
            "rewrite",
            "script",
            "tunnel",
            "unencoded",
            "uri",
            "url",
            "verb",
            "verboverride",
            "x",
        ];
        for one in words {
            for two in words {
                for three in words {
                    for joint in ["-", "", "s_"] {
                        let name = format!("{one}{joint}{two}{joint}{three}");
                        let name = name.as_bytes();
                        assert_eq!(says(name), by_words(name), "{one} {joint} {two} {three}");
                    }
                }
            }
        }
    }

    #[test]
    fn methods_have_one_spelling() {
        for method in ["get", "Post", "pUT", "trace", "Delete"] {
            assert!(
                matches!(refuse_method(method), Err(ReadError::Case(_))),
                "{method}"
            );
        }
        assert!(matches!(refuse_method("TRACE"), Err(ReadError::Trace)));
        for method in ["GET", "PATCH", "QUERY", "query", "MERGE", "GETS"] {
            assert!(refuse_method(method).is_ok(), "{method}");
        }
    }
}
