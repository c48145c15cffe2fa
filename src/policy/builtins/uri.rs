//! Addresses of resources, as OPA 1.22 has them (`topdown/uri.go`): what Go's `net/url` reads.

mod escapes;
mod host;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use regorus::Value;

use super::encoding::text_of;
use super::{Answer, Arguments, Own};
use escapes::{Part, escaped, unescaped};

pub(super) const OWN: &[Own] = &[
    Own::new("uri.is_valid", 1, is_valid),
    Own::new("uri.parse", 1, parse),
];

#[expect(clippy::unnecessary_wraps, reason = "it is one of several")]
fn is_valid(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0);
    Ok(text
        .is_ok_and(|text| !text.is_empty() && Uri::read(text).is_ok())
        .into())
}

fn parse(arguments: Arguments<'_>) -> Answer {
    let uri = Uri::read(arguments.text(0)?)?;
    let raw_path = uri.raw_path.unwrap_or_else(|| uri.path.clone());
    let members = [
        ("fragment", uri.fragment),
        ("hostname", uri.hostname),
        ("path", uri.path),
        ("port", uri.port),
        ("raw_path", raw_path),
        ("raw_query", uri.raw_query),
        ("scheme", uri.scheme),
    ];
    let members = members.into_iter().filter(|(_, text)| !text.is_empty());
    let members = members.map(|(name, text)| (Value::from(name), Value::from(text)));
    Ok(members.collect::<BTreeMap<_, _>>().into())
}

/// What is empty is not there.
#[derive(Default)]
struct Uri {
    scheme: String,
    hostname: String,
    port: String,
    path: String,
    /// Where it is not what one would write for the path.
    raw_path: Option<String>,
    raw_query: String,
    fragment: String,
}

impl Uri {
    fn read(text: &str) -> Result<Self, String> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut uri = Self::without_fragment(text)?;
        uri.fragment = text_of(&unescaped(fragment, Part::Fragment)?);
        Ok(uri)
    }

    fn without_fragment(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("invalid control character in URL".to_owned());
        }
        let mut uri = Self::default();
        if text == "*" {
            "*".clone_into(&mut uri.path);
            return Ok(uri);
        }
        let (scheme, rest) = scheme(text)?;
        uri.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        query.clone_into(&mut uri.raw_query);
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                return Ok(uri);
            }
            if rest.split('/').next().is_some_and(|it| it.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let has_host = !uri.scheme.is_empty() || !rest.starts_with("///");
        let path = match rest.strip_prefix("//").filter(|_| has_host) {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (uri.hostname, uri.port) = host::read(&uri.scheme, authority)?;
                path
            }
            None => rest,
        };
        let bytes = unescaped(path, Part::Path)?;
        uri.raw_path = (escaped(&bytes) != path).then(|| path.to_owned());
        uri.path = text_of(&bytes);
        Ok(uri)
    }
}

/// The scheme, which may be missing, and what follows it.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(("", text));
    };
    match scheme.bytes().next() {
        None => Err("missing protocol scheme".to_owned()),
        Some(first) if first.is_ascii_alphabetic() && scheme.bytes().all(is_inner) => {
            Ok((scheme, rest))
        }
        Some(_) => Ok(("", text)),
    }
}
