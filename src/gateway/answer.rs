//! The upstream's answer on its way to the client, and what the gate says in its headers.

use http::{HeaderMap, HeaderValue, Response, Version};

use super::headers;
use super::upstream::UpstreamError;
use crate::audit::event::Answer;
use crate::listener::Body;
use crate::policy::{Decision, Effect, Verdict};

pub(super) fn passed_on(
    mut response: Response<Body>,
    request_id: &str,
    now: jiff::Timestamp,
) -> Response<Body> {
    let version = response.version();
    *response.version_mut() = Version::default();
    headers::for_client(response.headers_mut(), version, request_id);
    headers::limit_reset(response.headers_mut(), now);
    response
}

/// What became of a request that was forwarded.
pub(super) fn became(
    answer: &Result<Response<Body>, UpstreamError>,
) -> (Answer, Option<u16>, Option<String>) {
    match answer {
        Ok(response) => (Answer::Answered, Some(response.status().as_u16()), None),
        Err(UpstreamError::Redirect(status)) => (
            Answer::Answered,
            Some(status.as_u16()),
            Some("redirect".to_owned()),
        ),
        Err(error) if error.never_arrived() => (Answer::Failed, None, Some(error.to_string())),
        Err(error) => (Answer::Unknown, None, Some(error.to_string())),
    }
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

pub(super) fn decision_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("dtgate-decision-id")?;
    value.to_str().ok().map(str::to_owned)
}

pub(super) fn decision_header(headers: &mut HeaderMap, decision_id: Option<&str>) {
    if let Some(value) = decision_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert("dtgate-decision-id", value);
    }
}

/// One `Warning: 299` a violation that only warns. Header text is ASCII; the rest is in the journal.
pub(super) fn warn(headers: &mut HeaderMap, decision: &Decision) {
    for violation in decision.with_effect(Effect::Warn) {
        let text: String = format!("{} ({})", violation.message, violation.policy)
            .chars()
            .map(|c| {
                if c.is_ascii_graphic() || c == ' ' {
                    c
                } else {
                    '?'
                }
            })
            .flat_map(|c| {
                if matches!(c, '"' | '\\') {
                    vec!['\\', c]
                } else {
                    vec![c]
                }
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 dtgate \"{text}\"")) {
            headers.append(http::header::WARNING, value);
        }
    }
}
