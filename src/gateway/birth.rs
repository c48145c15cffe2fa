//! What a creation made: read from its answer, before the client gets it.
//!
//! The outcome is on disk before the client has a byte of the answer, so the answer is read first: so much of it, and
//! so long, and no more. Then it goes to the client as it came, whatever was found in it. What cannot be read is said
//! in the outcome.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::Body as _;
use thiserror::Error;

use super::Gateway;
use super::answer::Became;
use super::bodies::Ahead;
use super::upstream::UpstreamError;
use crate::dynatrace::birth::{Birth, Credential};
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::HashKey;
use crate::guard::json;
use crate::listener::Body;
use crate::telemetry::Limit;
use crate::value::Size;

/// Why the answer to a creation does not tell what it made. Never in the answer's own words: it holds a secret.
#[derive(Debug, Error, PartialEq)]
enum Untold {
    #[error("its answer broke off")]
    Broken,
    #[error("its answer is encoded (Content-Encoding)")]
    Encoding,
    #[error("its answer has no body")]
    Empty,
    #[error("its answer cannot be read as JSON in one way (line {line} column {column})")]
    Json { line: usize, column: usize },
    #[error("its answer was not there within {} (limits.birth_timeout)", humantime::format_duration(*.0))]
    Late(Duration),
    #[error("its answer is longer than {0} (limits.birth)")]
    Long(Size),
    #[error("its answer is not JSON (Content-Type)")]
    MediaType,
    #[error("its answer does not have it where Dynatrace documents it")]
    Missing,
}

impl Gateway {
    /// What became of a request that was forwarded. The answer to a creation is read for it.
    pub(super) async fn became(
        &self,
        birth: Option<Birth>,
        answer: Result<Response<Body>, UpstreamError>,
        redactor: &Redactor,
    ) -> (Result<Response<Body>, UpstreamError>, Became) {
        let mut became = Became::of(&answer, redactor);
        let (birth, response) = match (birth, answer) {
            (Some(birth), Ok(response)) if response.status().is_success() => (birth, response),
            (_, answer) => return (answer, became),
        };
        let (response, told) = self.read(birth, response).await;
        match told {
            Ok(credential) => became.credential = Some(credential),
            Err(untold) => {
                if let Some(limit) = untold.limit() {
                    self.shared.metrics.reached(limit);
                }
                became.detail =
                    Some(redactor.text(&format!("what it made is not known: {untold}")));
            }
        }
        (Ok(response), became)
    }

    /// Reads an answer, and gives it back as it came.
    async fn read(
        &self,
        birth: Birth,
        response: Response<Body>,
    ) -> (Response<Body>, Result<Credential, Untold>) {
        let (parts, mut body) = response.into_parts();
        let form = match Form::of(&parts.headers) {
            Ok(form) => form,
            Err(untold) => return (Response::from_parts(parts, body), Err(untold)),
        };
        let (most, patience) = (
            self.set.limits.birth,
            self.set.limits.birth_timeout.as_std(),
        );
        let too_long = Untold::Long(most);
        if body.size_hint().lower() > most.as_u64() {
            return (Response::from_parts(parts, body), Err(too_long));
        }
        let mut ahead = Ahead::default();
        let reading = ahead.read(&mut body, most.as_usize());
        let told = match tokio::time::timeout(patience, reading).await {
            Err(_elapsed) => Err(Untold::Late(patience)),
            Ok(true) => form.read(birth, &ahead.bytes, &self.shared.key),
            Ok(false) if ahead.broken.is_some() => Err(Untold::Broken),
            Ok(false) => Err(too_long),
        };
        (Response::from_parts(parts, ahead.before(body)), told)
    }
}

impl Untold {
    /// The limit that was reached, if it was one.
    fn limit(&self) -> Option<Limit> {
        match self {
            Self::Late(_) => Some(Limit::BirthTimeout),
            Self::Long(_) => Some(Limit::Birth),
            Self::Broken
            | Self::Encoding
            | Self::Empty
            | Self::Json { .. }
            | Self::MediaType
            | Self::Missing => None,
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Json,
    /// The token alone.
    Text,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Untold> {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        if !encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Untold::Encoding);
        }
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let text = value.to_str().unwrap_or_default();
        let media_type = text.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "text/csv" | "text/plain" => Ok(Self::Text),
            other if other.ends_with("+json") => Ok(Self::Json),
            _ => Err(Untold::MediaType),
        }
    }

    fn read(self, birth: Birth, body: &[u8], key: &HashKey) -> Result<Credential, Untold> {
        if body.trim_ascii().is_empty() {
            return Err(Untold::Empty);
        }
        let found = match self {
            Self::Json => {
                let members = json::parse_object(body, birth.words());
                let members = members.map_err(|error| Untold::Json {
                    line: error.line,
                    column: error.column,
                })?;
                birth.read(&members, key)
            }
            Self::Text => {
                let text = std::str::from_utf8(body).ok();
                text.and_then(|text| birth.read_text(text, key))
            }
        };
        found.ok_or(Untold::Missing)
    }
}
