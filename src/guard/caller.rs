//! Who calls, as far as a head alone tells: what is shown by way of a credential, and what must be.

use std::borrow::Cow;

use http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
};
use http::request::Parts;

use super::fields::{api_token, decoded, is_api_token, pairs};
use super::{Head, ReadError};
use crate::dynatrace::redact::{Redactor, names_a_secret};
use crate::dynatrace::token::{Caller, HashKey, TokenId, TokenSecret, is_any_prefix};

/// Refuses a guarded request that shows nothing by which Dynatrace could know its caller (a header, a query
/// parameter, or the session of a browser), and one that shows two: nobody can say who would act then.
pub fn require_credential(parts: &Parts, head: &Head) -> Result<(), ReadError> {
    // The field of an old standard: some servers read it as they read Cookie.
    if parts.headers.contains_key(COOKIE2) {
        return Err(ReadError::Credential(
            "the header Cookie2 may hold another credential: send the request without it",
        ));
    }
    let mut cookies = parts.headers.get_all(COOKIE).iter();
    let session = cookies.any(|cookie| !cookie.as_bytes().trim_ascii().is_empty());
    match (&head.credential, session) {
        (None, false) => Err(ReadError::NoCredential(head.path.endpoint().operation)),
        (Some(_), true) => Err(ReadError::Credential(
            "more than one credential, a token and a Cookie: send the request without the Cookie field",
        )),
        (None, true) | (Some(_), false) => Ok(()),
    }
}

const COOKIE2: &str = "cookie2";

/// A name for the credential as a whole, its secret included: one that nobody can take who does not have it. It is never
/// the name of anything else that is hashed by the same key, whatever the credential looks like.
pub fn credential_name(parts: &Parts, key: &HashKey) -> Option<TokenId> {
    let credential = token(parts).or_else(|| shown(parts, COOKIE))?;
    let credential = lower_prefix(&credential);
    Some(key.name(&format!("credential {credential}")))
}

/// Whether a token is shown. A caller that shows none is known by its cookies alone, and can put any cookie beside the one
/// that Dynatrace knows it by.
pub fn has_token(parts: &Parts) -> bool {
    token(parts).is_some()
}

/// The same one whatever its scheme is written like.
fn token(parts: &Parts) -> Option<String> {
    let without_scheme = |text: String| match text.trim().split_once(' ') {
        Some((_scheme, token)) => token.trim().to_owned(),
        None => text.trim().to_owned(),
    };
    shown(parts, AUTHORIZATION)
        .map(without_scheme)
        .or_else(|| api_token(parts.uri.query()))
}

/// All of it: a part of it, such as the last of several cookies, others can have too.
fn shown(parts: &Parts, name: HeaderName) -> Option<String> {
    let values = parts.headers.get_all(name).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let text = values.collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then_some(text)
}

/// One token has one name, whatever its prefix is written like.
fn lower_prefix(credential: &str) -> Cow<'_, str> {
    match credential.split_once('.') {
        Some((prefix, rest)) if is_any_prefix(prefix.as_bytes()) => {
            Cow::Owned(format!("{}.{rest}", prefix.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(credential),
    }
}

/// What makes text of a request writable: it knows every credential that the head shows, and whatever else in it has a
/// name that says that it is secret.
pub fn redactor(headers: &HeaderMap, query: Option<&str>) -> Redactor {
    let (mut credentials, mut values) = (Vec::new(), Vec::new());
    let secret = |text: Cow<'_, str>| TokenSecret::new(text.into_owned());
    for (name, value) in headers {
        let text = || text(value);
        if name == AUTHORIZATION || name == PROXY_AUTHORIZATION {
            credentials.push(secret(text()));
        } else if name == COOKIE {
            let text = text();
            let cookies = text.split(';').filter_map(|cookie| cookie.split_once('='));
            values.extend(cookies.map(|(_name, value)| secret(value.into())));
        } else if is_jwt(value.as_bytes()) {
            credentials.push(secret(text()));
        } else if names_a_secret(name.as_str()) {
            values.push(secret(text()));
        }
    }
    for (name, value) in pairs(query) {
        let name = decoded(name);
        if is_api_token(&name) {
            credentials.push(secret(decoded(value)));
        } else if names_a_secret(&name) {
            values.push(secret(decoded(value)));
        }
    }
    Redactor::knowing(credentials, values)
}

/// A field's value as text. Nearly all are UTF-8, which the standard library finds out faster than it replaces what is
/// not.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    std::str::from_utf8(value.as_bytes())
        .map_or_else(|_| String::from_utf8_lossy(value.as_bytes()), Cow::Borrowed)
}

/// Whether a field has a JSON Web Token in it, whatever the field is called: three parts, and the first of them is an
/// object in base64.
fn is_jwt(value: &[u8]) -> bool {
    if value.len() < MIN_JWT {
        return false;
    }
    let word = value.rsplit(u8::is_ascii_whitespace).next();
    let word = word.unwrap_or_default();
    let begins = word.starts_with(b"ey") || word.starts_with(b"ew");
    begins && word.len() >= MIN_JWT && word.split(|byte| *byte == b'.').count() == 3
}

/// The shortest one: even its signature alone is longer.
const MIN_JWT: usize = 48;

/// Who calls, for the record of a request whose head was refused.
pub fn caller(parts: &Parts, key: &HashKey) -> Option<Caller> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let text = String::from_utf8_lossy(value.as_bytes());
        return Some(Caller::from_authorization(&text, key));
    }
    Some(Caller::from_query(&api_token(parts.uri.query())?, key))
}
