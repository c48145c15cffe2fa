//! How this API answers: compact JSON, Dynatrace's error envelope, and bodies that are really empty.
//!
//! The only place where a refusal becomes a response. It knows no endpoint.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Why a request is not done. Small, so that it travels in a `Result`.
pub(super) struct Refusal {
    status: StatusCode,
    /// Without a message the answer has no body at all, as v2 answers 404.
    message: Option<String>,
    violations: Vec<Violation>,
    hint: Option<Hint>,
}

/// What a refusal says in a header.
enum Hint {
    Allow(&'static str),
    RetryAfter(u64),
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: Some(message.into()),
            violations: Vec::new(),
            hint: None,
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            message: None,
            violations: Vec::new(),
            hint: None,
        }
    }

    pub(super) fn violated(violations: Vec<Violation>) -> Self {
        let refusal = Self::new(StatusCode::BAD_REQUEST, "Constraints violated.");
        Self {
            violations,
            ..refusal
        }
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "HTTP 404 Not Found")
    }

    pub(super) fn method(allowed: &'static str) -> Self {
        let refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTP 405 Method Not Allowed",
        );
        Self {
            hint: Some(Hint::Allow(allowed)),
            ..refusal
        }
    }

    pub(super) fn throttled(retry_after: u64) -> Self {
        let refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests. Try again later.",
        );
        Self {
            hint: Some(Hint::RetryAfter(retry_after)),
            ..refusal
        }
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut response = match self.message {
            Some(message) => json(
                self.status,
                &Envelope {
                    error: Failure {
                        code: self.status.as_u16(),
                        message,
                        violations: self.violations,
                    },
                },
            ),
            None => empty(self.status),
        };
        let headers = response.headers_mut();
        match self.hint {
            Some(Hint::Allow(methods)) => {
                headers.insert(ALLOW, HeaderValue::from_static(methods));
            }
            Some(Hint::RetryAfter(seconds)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            None => {}
        }
        response
    }
}

#[derive(Serialize)]
struct Envelope {
    error: Failure,
}

#[derive(Serialize)]
struct Failure {
    code: u16,
    message: String,
    #[serde(rename = "constraintViolations", skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
}

/// One thing that is wrong with a request, and where.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Violation {
    path: String,
    message: String,
    parameter_location: &'static str,
    location: Option<&'static str>,
}

impl Violation {
    pub(super) fn body(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::at("PAYLOAD_BODY", path.into(), message.into())
    }

    pub(super) fn query(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::at("QUERY", path.into(), message.into())
    }

    fn at(parameter_location: &'static str, path: String, message: String) -> Self {
        Self {
            path,
            message,
            parameter_location,
            location: None,
        }
    }

    /// Whether this is about that member, or about a part of it.
    pub(super) fn is_below(&self, member: &str) -> bool {
        let rest = self.path.strip_prefix(member);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    pub(super) fn below(self, member: &str) -> Self {
        Self {
            path: format!("{member}.{}", self.path),
            ..self
        }
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    let body = serde_json::to_vec(value).expect("our answers have string keys only");
    typed(status, JSON, body)
}

pub(super) fn text(status: StatusCode, body: String) -> Response<Bytes> {
    typed(status, TEXT, body.into_bytes())
}

pub(super) fn typed(status: StatusCode, kind: HeaderValue, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
