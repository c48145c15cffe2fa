//! Untrusted requests in, [`Call`]s out: the only reader of what clients send.
//!
//! A [`Call`] exists only for a guarded request that can be understood in exactly one way; what will
//! go upstream is made here, from the same value that policies judge. It refuses to know policies, the
//! journal and the upstream.

pub mod json;
pub mod path;

use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, TRANSFER_ENCODING,
};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use thiserror::Error;

use crate::dynatrace::change::{self, ChangeError, TokenChange, Understood};
use crate::dynatrace::token::{Caller, HashKey, TokenSecret, contains_secret};
use crate::value::sha256_hex;
use json::JsonError;
use path::{CanonicalPath, PathError, Target};

/// How much of a guarded request is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body. What is longer is refused, never cut.
    pub body: usize,
    pub body_timeout: Duration,
}

/// Where a request goes from its head alone.
#[derive(Debug)]
pub enum Route {
    Guarded(Head),
    /// Streamed through, byte for byte.
    Open,
}

/// The head of a guarded request, understood. Its body is still to be read.
#[derive(Clone, Debug)]
pub struct Head {
    path: CanonicalPath,
    caller: Option<Caller>,
    credential: Option<Credential>,
}

/// What the caller presents, as it has to be sent on or looked for.
#[derive(Clone, Debug)]
struct Credential {
    secret: TokenSecret,
    in_query: bool,
}

/// A guarded request, read whole and understood.
#[derive(Debug)]
pub struct Call {
    head: Head,
    understood: Understood,
    forwarded: Bytes,
    received_sha256: String,
    forwarded_sha256: String,
}

/// Why a guarded request, or one that looks like it, is refused before it can be judged.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the request body did not arrive whole: {0}")]
    Body(String),
    #[error("the Connection header names a field that belongs to the request: {0:?}")]
    Connection(String),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("{0}")]
    Credential(&'static str),
    #[error("Content-Encoding is not accepted here: send the body as it is")]
    Encoding,
    #[error("a request must have exactly one Host")]
    Host,
    #[error("the body: {0}")]
    Json(#[from] JsonError),
    #[error("the Content-Type must be application/json in UTF-8")]
    MediaType,
    #[error("the header {0:?} would make another request of this one")]
    Override(String),
    #[error(transparent)]
    Path(#[from] PathError),
    // Its name is not repeated: people put tokens into queries.
    #[error("the query has a parameter that is not one of this operation (only api-token is)")]
    Query,
    #[error("{0} contains the secret part of a token")]
    Secret(&'static str),
    #[error("the request body did not arrive within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the request body is longer than {0} bytes")]
    TooLarge(usize),
}

impl ReadError {
    /// The member of the body that is to blame, if it is one.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Change(error) => Some(&error.path),
            _ => None,
        }
    }
}

/// Reads the head of any request.
pub fn head(parts: &Parts, key: &HashKey) -> Result<Route, ReadError> {
    let hosts = parts.headers.get_all(HOST).iter().count();
    let named = parts.uri.authority().is_some() || parts.version <= Version::HTTP_10;
    if hosts > 1 || (hosts == 0 && !named) {
        return Err(ReadError::Host);
    }
    // Other codings would be taken off with this connection's framing, and nobody would undo them.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(ReadError::Encoding);
    }
    let path = parts.uri.path();
    refuse_overrides(parts)?;
    let Target::Guarded(path) = path::classify(parts.method.as_str(), path, key)? else {
        return Ok(Route::Open);
    };
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(ReadError::Encoding);
    }
    if path.endpoint().operation.has_body() && !is_json(&parts.headers) {
        return Err(ReadError::MediaType);
    }
    refuse_connection_fields(&parts.headers)?;
    let credential = credential(parts)?;
    Ok(Route::Guarded(Head {
        path,
        caller: credential.as_ref().map(|credential| {
            let text = credential.secret.expose();
            if credential.in_query {
                Caller::from_query(text, key)
            } else {
                Caller::from_authorization(text, key)
            }
        }),
        credential,
    }))
}

/// Reads the body of a guarded request to its end, and understands it.
pub async fn call<B>(head: Head, body: B, limits: Limits) -> Result<Call, ReadError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let read = Limited::new(body, limits.body).collect();
    let collected = tokio::time::timeout(limits.body_timeout, read)
        .await
        .map_err(|_elapsed| ReadError::Timeout(limits.body_timeout))?;
    let received = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(ReadError::TooLarge(limits.body));
        }
        Err(error) => return Err(ReadError::Body(error.to_string())),
    };
    let understood = understand(&head, &received)?;
    let forwarded = if head.path.endpoint().operation.has_body() {
        Bytes::from(serde_json::to_vec(&understood.members).expect("a JSON object can be written"))
    } else {
        Bytes::new()
    };
    Ok(Call {
        received_sha256: sha256_hex(&received),
        forwarded_sha256: sha256_hex(&forwarded),
        head,
        understood,
        forwarded,
    })
}

/// Who calls, for the record of a request whose head was refused.
pub fn caller(parts: &Parts, key: &HashKey) -> Option<Caller> {
    let value = parts.headers.get(AUTHORIZATION)?;
    Some(Caller::from_authorization(
        &String::from_utf8_lossy(value.as_bytes()),
        key,
    ))
}

impl Head {
    pub fn path(&self) -> &CanonicalPath {
        &self.path
    }

    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The `Authorization` field as it goes upstream: what the caller was read from.
    pub fn authorization(&self) -> Option<&TokenSecret> {
        let credential = self.credential.as_ref()?;
        (!credential.in_query).then_some(&credential.secret)
    }

    /// Path and query as they go upstream. It may hold secrets.
    pub fn target(&self) -> TokenSecret {
        let path = self.path.raw();
        match &self.credential {
            Some(credential) if credential.in_query => TokenSecret::new(format!(
                "{}?{API_TOKEN}={}",
                path.expose(),
                credential.secret.expose()
            )),
            _ => path,
        }
    }
}

impl Call {
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn change(&self) -> &TokenChange {
        &self.understood.change
    }

    pub fn understood(&self) -> &Understood {
        &self.understood
    }

    /// The body that goes upstream: our own serialisation of what was judged.
    pub fn forwarded(&self) -> &Bytes {
        &self.forwarded
    }

    /// SHA-256 of the body as received, in hexadecimal.
    pub fn received_sha256(&self) -> &str {
        &self.received_sha256
    }

    /// SHA-256 of the body as it goes upstream, in hexadecimal.
    pub fn forwarded_sha256(&self) -> &str {
        &self.forwarded_sha256
    }
}

fn understand(head: &Head, received: &[u8]) -> Result<Understood, ReadError> {
    let endpoint = head.path.endpoint();
    if !endpoint.operation.has_body() {
        if received.is_empty() {
            return Ok(Understood::default());
        }
        return Err(ReadError::Body(format!(
            "{} takes no body",
            endpoint.operation
        )));
    }
    if received.is_empty() {
        return Err(ReadError::Body(
            "it is empty, and a JSON object is expected".to_owned(),
        ));
    }
    let members = json::parse_object(received, change::all_words())?;
    let own = head
        .credential
        .as_ref()
        .map(|credential| secret_part(credential.secret.expose()));
    let value = Value::Object(members);
    if any_text(&value, &|text| {
        contains_secret(text)
            || own.is_some_and(|own| own.len() >= MIN_OWN_SECRET && text.contains(own))
    }) {
        return Err(ReadError::Secret("the body"));
    }
    let Value::Object(members) = value else {
        return Ok(Understood::default());
    };
    Ok(change::understand(
        endpoint.api,
        endpoint.operation,
        members,
    )?)
}

/// The part of a credential that must never be written: all of it but scheme and public id.
fn secret_part(credential: &str) -> &str {
    let token = credential.rsplit(' ').next().unwrap_or(credential);
    token.rsplit('.').next().unwrap_or(token)
}

fn any_text(value: &Value, found: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => found(text),
        Value::Array(elements) => elements.iter().any(|element| any_text(element, found)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| found(name) || any_text(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Servers and frameworks can be told by header or parameter to see another method or path.
fn refuse_overrides(parts: &Parts) -> Result<(), ReadError> {
    let token_path = || path::is_token_like(parts.uri.path());
    for (name, value) in &parts.headers {
        // Gateways that speak CGI take `_` and `-` for the same.
        let folded = name.as_str().replace('_', "-");
        let refused = if METHOD_OVERRIDES.contains(&folded.as_str()) {
            token_path()
        } else if PATH_OVERRIDES.contains(&folded.as_str()) {
            token_path() || path::is_token_like(&String::from_utf8_lossy(value.as_bytes()))
        } else {
            false
        };
        if refused {
            return Err(ReadError::Override(name.as_str().to_owned()));
        }
    }
    let overridden = parameters(parts).find(|(name, _)| {
        matches!(
            name.as_str(),
            "_method" | "x-http-method-override" | "method_override"
        )
    });
    match overridden {
        Some(_) if token_path() => Err(ReadError::Query),
        _ => Ok(()),
    }
}

/// `Connection` takes fields off the request. Those that say who asks, and for what, must stay.
fn refuse_connection_fields(headers: &HeaderMap) -> Result<(), ReadError> {
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

/// One credential at most, in the header or as the one query parameter that a guarded operation has.
fn credential(parts: &Parts) -> Result<Option<Credential>, ReadError> {
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
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
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

/// The query's parameters, names decoded and folded, values decoded.
fn parameters(parts: &Parts) -> impl Iterator<Item = (String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (json::fold(&decode(name)), decode(value))
        })
}

/// `application/json`, with `charset=utf-8` or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
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
const API_TOKEN: &str = "api-token";

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

const METHOD_OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
];

const PATH_OVERRIDES: &[&str] = &["x-original-uri", "x-original-url", "x-rewrite-url"];

/// Shorter texts are the invented tokens of examples, and would be found in honest words.
const MIN_OWN_SECRET: usize = 16;

#[cfg(test)]
mod tests;
