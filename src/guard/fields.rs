//! The fields of a request's head: what they may say, and what would make another request of it.
//!
//! One credential that reads in one way, one media type.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::ReadError;
use super::fold::fold;
use super::path::PathError;
use super::reading::{Reading, Work};
use crate::dynatrace::catalogue::Endpoint;
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::TokenSecret;

/// What the caller presents, as it has to be sent on or looked for.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) secret: TokenSecret,
    pub(super) in_query: bool,
}

/// Whether the query has such a parameter, under any spelling and for any reader.
pub(super) fn names_parameter(
    parts: &Parts,
    work: &mut Work,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<bool, ReadError> {
    Ok(count_parameters(parts, work, wanted)? > 0)
}

/// How many parameters of this kind a reader could see at most; one more, when nobody can say.
fn count_parameters(
    parts: &Parts,
    work: &mut Work,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<usize, ReadError> {
    let query = parts.uri.query().unwrap_or_default();
    let reading = Reading::of(query, work).map_err(PathError::from)?;
    let named = reading.names().filter(|name| wanted(name)).count();
    Ok(named + usize::from(reading.is_too_deep()))
}

/// `Connection` takes fields off the request. Those that say who asks, and for what, must stay.
pub fn refuse_connection_fields(headers: &HeaderMap, redactor: &Redactor) -> Result<(), ReadError> {
    for value in headers.get_all(CONNECTION) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let name = name.trim();
            let is = |option: &&str| option.eq_ignore_ascii_case(name);
            if !name.is_empty() && !CONNECTION_OPTIONS.iter().any(is) {
                // A longer one is no field's name, and may be what people paste by mistake.
                let shown = if name.len() > LONGEST_FIELD {
                    "…"
                } else {
                    name
                };
                return Err(ReadError::Connection(redactor.word(shown)));
            }
        }
    }
    Ok(())
}

/// One credential at most, in the header or as a query parameter; others are accepted only where the
/// operation has some.
pub(super) fn credential(
    parts: &Parts,
    parameters: &[(String, String)],
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
        let words = text.split(' ').filter(|word| !word.is_empty());
        let words: Vec<&str> = words.take(3).collect();
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
    for (name, value) in parameters {
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
            secret: TokenSecret::new(value.clone()),
            in_query: true,
        });
    }
    Ok(found)
}

/// Whether a query parameter is there, under any spelling and for any reader, and does not say `false` in so many
/// letters.
pub(super) fn asks_for(parts: &Parts, wanted: &str, work: &mut Work) -> Result<bool, ReadError> {
    let named = count_parameters(parts, work, |name| {
        let letters = name
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80);
        letters.eq(wanted.as_bytes())
    })?;
    let pairs = parts.uri.query().unwrap_or_default().split(SEPARATORS);
    let denied = pairs.filter_map(|pair| pair.split_once('='));
    let denied =
        denied.filter(|(name, value)| name.eq_ignore_ascii_case(wanted) && *value == "false");
    Ok(named > denied.count())
}

/// The query's parameters, names decoded and folded, values decoded.
pub(super) fn parameters(
    parts: &Parts,
    work: &mut Work,
) -> Result<Vec<(String, String)>, ReadError> {
    let mut parameters = Vec::new();
    for (name, value) in pairs(parts.uri.query()) {
        work.spend(STEPS_A_PARAMETER).map_err(PathError::from)?;
        parameters.push((fold(&decoded(name)), decoded(value).into_owned()));
    }
    Ok(parameters)
}

/// The first parameter that is a credential.
pub(super) fn api_token(query: Option<&str>) -> Option<String> {
    let (_, value) = pairs(query).find(|(name, _)| is_api_token(&decoded(name)))?;
    Some(decoded(value).into_owned())
}

/// Whether a decoded name is that of the parameter which is a credential, to the most lenient reader.
pub(super) fn is_api_token(name: &str) -> bool {
    // Of a plain name nothing but its case is folded.
    if name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return name.eq_ignore_ascii_case(API_TOKEN);
    }
    fold(name) == API_TOKEN
}

pub(super) fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let query = query.unwrap_or_default();
    let pairs = query.split(SEPARATORS).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// `application/json`, with `charset=utf-8` or without parameters. Between semicolons there may be nothing
/// (RFC 9110, section 5.6.6).
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_named = parts.next().as_deref() == Some("application/json");
    let mut parameters = parts.filter(|parameter| !parameter.is_empty());
    is_named
        && match (parameters.next(), parameters.next()) {
            (None, _) => true,
            (Some(parameter), None) => matches!(
                parameter.as_str(),
                "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8"
            ),
            (Some(_), Some(_)) => false,
        }
}

/// The longest name of a field that is repeated to whoever sent it.
const LONGEST_FIELD: usize = 32;

/// What parameters stand between. A second `?` is part of a value to most readers, and begins anew for some.
const SEPARATORS: [char; 3] = ['&', ';', '?'];

/// What it costs to keep a parameter, beside its bytes.
const STEPS_A_PARAMETER: usize = 64;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_for_a_token_is_known_however_it_is_written() {
        for name in [
            "api-token",
            "Api-Token",
            "API-TOKEN",
            " api-token",
            "api-\ttoken",
            "api\u{ad}-token",
            "ａｐｉ-token",
            "api-to\u{212a}en",
        ] {
            assert!(is_api_token(name), "{name:?}");
        }
        for name in [
            "",
            "api_token",
            "api-tokens",
            "apitoken",
            "x-api-token",
            "аpi-token",
        ] {
            assert!(!is_api_token(name), "{name:?}");
        }
        // What is plain takes the short way, and it leads to the same place.
        for byte in 0..=u8::MAX {
            let name = format!("api-toke{}n", char::from(byte));
            assert_eq!(is_api_token(&name), fold(&name) == API_TOKEN, "{name:?}");
        }
    }
}
