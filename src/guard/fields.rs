//! The fields of a request's head: what they may say, and what would make another request of it.
//!
//! One credential that reads in one way, one media type, no override of method or path.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::fold::fold;
use super::path::MAX_ROUNDS;
use super::{ReadError, path};
use crate::dynatrace::catalogue::{Catalogue, Endpoint};
use crate::dynatrace::token::TokenSecret;

/// What the caller presents, as it has to be sent on or looked for.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) secret: TokenSecret,
    pub(super) in_query: bool,
}

/// Servers and frameworks can be told by header or parameter to see another method or path.
pub(super) fn refuse_overrides(parts: &Parts, catalogue: &Catalogue) -> Result<(), ReadError> {
    let suspect = || path::is_suspect(parts.uri.path(), catalogue);
    for (name, value) in &parts.headers {
        // Gateways that speak CGI take `_` and `-` for the same.
        let name = name.as_str();
        let folded = if name.contains('_') {
            &*name.replace('_', "-")
        } else {
            name
        };
        let refused = if METHOD_OVERRIDES.contains(&folded) {
            suspect()
        } else if PATH_OVERRIDES.contains(&folded) {
            suspect() || path::is_suspect(&String::from_utf8_lossy(value.as_bytes()), catalogue)
        } else if FORWARDED_PATHS.contains(&folded) {
            // Honest where a proxy in front says what it has rewritten; on another path it leads elsewhere.
            path::is_suspect(&String::from_utf8_lossy(value.as_bytes()), catalogue) && !suspect()
        } else {
            false
        };
        if refused {
            return Err(ReadError::Override(name.to_owned()));
        }
    }
    let overridden = every_parameter(parts)
        .iter()
        .any(|(name, _)| METHOD_OVERRIDES.contains(&name.replace('_', "-").as_str()));
    if overridden && suspect() {
        return Err(ReadError::Query);
    }
    Ok(())
}

/// `Connection` takes fields off the request. Those that say who asks, and for what, must stay.
pub(super) fn refuse_connection_fields(headers: &HeaderMap) -> Result<(), ReadError> {
    for value in headers.get_all(CONNECTION) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let name = name.trim().to_ascii_lowercase();
            if !name.is_empty() && !CONNECTION_OPTIONS.contains(&name.as_str()) {
                return Err(ReadError::Connection(name.chars().take(32).collect()));
            }
        }
    }
    Ok(())
}

/// One credential at most, in the header or as a query parameter; others are accepted only where the
/// operation has some.
pub(super) fn credential(
    parts: &Parts,
    endpoint: &Endpoint,
) -> Result<Option<Credential>, ReadError> {
    let mut found = None;
    for value in parts.headers.get_all(AUTHORIZATION) {
        let text = value.to_str().map_err(|_opaque| {
            ReadError::Credential("the Authorization header is not plain text")
        })?;
        if found.is_some() {
            return Err(ReadError::Credential("more than one Authorization header"));
        }
        // One scheme and one token, or two readers could take two callers from it.
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let plain = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/' | '=')
        };
        let [scheme, token] = words.as_slice() else {
            return Err(ReadError::Credential(
                "the Authorization header is not one scheme and one token",
            ));
        };
        if !scheme.chars().chain(token.chars()).all(plain) {
            return Err(ReadError::Credential(
                "the Authorization header is not one scheme and one token",
            ));
        }
        found = Some(Credential {
            secret: TokenSecret::new(format!("{scheme} {token}")),
            in_query: false,
        });
    }
    for (name, value) in parameters(parts) {
        if name != API_TOKEN {
            if endpoint.query {
                continue;
            }
            return Err(ReadError::Query);
        }
        if found.is_some() {
            return Err(ReadError::Credential(
                "more than one credential (header and query parameter count)",
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if value.is_empty() || !value.chars().all(plain) {
            return Err(ReadError::Credential(
                "the query parameter api-token is not written like a token",
            ));
        }
        found = Some(Credential {
            secret: TokenSecret::new(value),
            in_query: true,
        });
    }
    Ok(found)
}

/// Whether a query parameter is there, under any spelling, and does not say `false`.
pub(super) fn asks_for(parts: &Parts, wanted: &str) -> bool {
    every_parameter(parts).iter().any(|(name, value)| {
        let letters: String = name.chars().filter(|c| c.is_alphabetic()).collect();
        letters == wanted && value != "false"
    })
}

/// The query's parameters in every reading: decoded again and again, and taken apart each time.
fn every_parameter(parts: &Parts) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Some(query) = parts.uri.query() else {
        return found;
    };
    let mut query = query.to_owned();
    for _ in 0..MAX_ROUNDS {
        found.extend(read(&query));
        let decoded = percent_decode_str(&query).decode_utf8_lossy().into_owned();
        if decoded == query {
            break;
        }
        query = decoded;
    }
    found
}

/// The query's parameters, names decoded and folded, values decoded.
pub(super) fn parameters(parts: &Parts) -> impl Iterator<Item = (String, String)> {
    read(parts.uri.query().unwrap_or_default())
}

fn read(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        // A second `?` is part of a value to most readers, and begins anew for some.
        .split(['&', ';', '?'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (fold(&decode(name)), decode(value))
        })
}

/// Whether the head says that no body follows.
pub(super) fn has_no_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    !headers.contains_key(TRANSFER_ENCODING) && length.is_none_or(|length| length == "0")
}

/// `application/json`, with `charset=utf-8` or without parameters.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().as_deref() == Some("application/json")
        && match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(parameter), None) => matches!(
                parameter.as_str(),
                "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8"
            ),
            (Some(_), Some(_)) => false,
        }
}

/// The query parameter that stands for the header; Dynatrace's own examples also write `Api-Token`.
pub(super) const API_TOKEN: &str = "api-token";

/// What a client may say about its connection.
const CONNECTION_OPTIONS: &[&str] = &[
    "close",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// As header fields and as parameters, with `-` for `_`.
const METHOD_OVERRIDES: &[&str] = &[
    "-method",
    "http-method",
    "method-override",
    "x-http-method",
    "x-http-method-override",
    "x-method",
    "x-method-override",
    "x-original-method",
];

const PATH_OVERRIDES: &[&str] = &[
    "x-http-path-override",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

const FORWARDED_PATHS: &[&str] = &[
    "x-envoy-original-path",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-original-path",
];
