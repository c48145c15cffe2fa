//! Who calls, as far as a head alone tells: what is shown by way of a credential, and what must be.

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use http::request::Parts;

use super::fields::api_token;
use super::{Head, MIN_OWN_SECRET, ReadError, secret_part};
use crate::dynatrace::token::{Caller, HashKey, TokenId, TokenSecret};

/// Refuses a guarded request that shows nothing by which Dynatrace could know its caller: a header, a query
/// parameter, or the session of a browser.
pub fn require_credential(parts: &Parts, head: &Head) -> Result<(), ReadError> {
    let session = || {
        let mut cookies = parts.headers.get_all(COOKIE).iter();
        cookies.any(|cookie| !cookie.as_bytes().trim_ascii().is_empty())
    };
    if head.credential.is_some() || session() {
        Ok(())
    } else {
        Err(ReadError::NoCredential(head.path.endpoint().operation))
    }
}

/// A name for the credential as a whole, its secret included: one that nobody can take who does not have it.
pub fn credential_name(parts: &Parts, key: &HashKey) -> Option<TokenId> {
    // All of it: a part of it, such as the last of several cookies, others can have too.
    let shown = |name: HeaderName| {
        let values = parts.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = values.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    };
    // The same one whatever its scheme is written like.
    let without_scheme = |text: String| match text.trim().split_once(' ') {
        Some((_scheme, token)) => token.trim().to_owned(),
        None => text.trim().to_owned(),
    };
    let credential = shown(AUTHORIZATION)
        .map(without_scheme)
        .or_else(|| api_token(parts.uri.query()))
        .or_else(|| shown(COOKIE))?;
    Some(key.name(&credential))
}

/// The part of the credential that a request shows which must not be written, wherever else in the request it stands.
pub fn own_secret(authorization: Option<&HeaderValue>, query: Option<&str>) -> Option<TokenSecret> {
    let credential = match authorization {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => api_token(query)?,
    };
    let secret = secret_part(credential.trim());
    (secret.len() >= MIN_OWN_SECRET).then(|| TokenSecret::new(secret.to_owned()))
}

/// Who calls, for the record of a request whose head was refused.
pub fn caller(parts: &Parts, key: &HashKey) -> Option<Caller> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let text = String::from_utf8_lossy(value.as_bytes());
        return Some(Caller::from_authorization(&text, key));
    }
    Some(Caller::from_query(&api_token(parts.uri.query())?, key))
}
