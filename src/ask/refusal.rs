//! Why there is no answer, and how that is said: as OPA does, or as `AuthZEN` does not forbid.

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use super::{Api, BODY_TIMEOUT, reply};
use crate::dynatrace::redact::Redactor;
use crate::listener::Body;
use crate::telemetry::Limit;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "this listener is not called so: ask it by an IP address or localhost, or name the host in admin.hosts"
    )]
    Host,
    #[error("the answer is longer than {} MiB: ask for less", reply::MOST >> 20)]
    Long,
    #[error("{0} is not answered here, only {1}")]
    Method(Method, &'static str),
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    #[error("the body broke off")]
    Broken,
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    Late,
    #[error("as many questions are answered as may be at once: ask again")]
    Busy,
    #[error("{0}")]
    Invalid(String),
    /// Nothing is wrong with the question.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Method(..) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) | Self::Long => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLong(_) => Some(Limit::QuestionBody),
            Self::Late => Some(Limit::QuestionTimeout),
            Self::Busy => Some(Limit::Questions),
            Self::Long => Some(Limit::QuestionAnswer),
            Self::Host | Self::Method(..) | Self::Broken | Self::Invalid(_) | Self::Failed(_) => {
                None
            }
        }
    }

    /// By OPA's codes.
    fn code(&self) -> &'static str {
        match self {
            Self::Host
            | Self::Method(..)
            | Self::TooLong(_)
            | Self::Broken
            | Self::Late
            | Self::Invalid(_) => "invalid_parameter",
            Self::Busy | Self::Failed(_) | Self::Long => "internal_error",
        }
    }

    pub(super) fn respond(&self, api: Api, is_pretty: bool) -> Response<Body> {
        let message = Redactor::default().text(&self.to_string()).cut(MOST_TEXT);
        let value = match api {
            Api::Data => json!({"code": self.code(), "message": message}),
            _ => json!({"error": {"status": self.status().as_u16(), "message": message}}),
        };
        let text = reply::written(&value, is_pretty).unwrap_or_default();
        let mut response = reply::response(self.status(), text.into());
        let headers = response.headers_mut();
        match self {
            Self::Method(_, allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// Bytes of what an answer says of an error.
const MOST_TEXT: usize = 500;
