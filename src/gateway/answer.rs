//! The upstream's answer on its way to the client, and what the gate says in its headers.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use uuid::Uuid;

use super::headers;
use super::upstream::UpstreamError;
use crate::audit::event::Answer;
use crate::dynatrace::birth::Credential;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::listener::{Body, BodyError};
use crate::policy::{Decision, Effect, Granted, Verdict};
use crate::value::counted;

/// The upstream's answer, which holds the request's slot, and with it a share of the connections to the upstream, to
/// its last byte: a client that takes none of it must not keep them from the others.
pub(super) fn passed_on<S: Send + Unpin + 'static>(
    mut response: Response<Body>,
    slot: S,
    request_id: &str,
    now: fn() -> jiff::Timestamp,
) -> Response<Body> {
    let version = response.version();
    *response.version_mut() = Version::default();
    headers::for_client(response.headers_mut(), version, request_id);
    headers::limit_reset(response.headers_mut(), now);
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| {
        Body::new(Holding {
            body,
            slot: Some(slot),
        })
    })
}

/// A body, and what is let go with its last byte.
struct Holding<S> {
    body: Body,
    slot: Option<S>,
}

impl<S: Unpin> http_body::Body for Holding<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.slot = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What became of a request that was forwarded.
pub(super) struct Became {
    pub(super) outcome: Answer,
    pub(super) status: Option<u16>,
    pub(super) detail: Option<Redacted>,
    /// What it made.
    pub(super) credential: Option<Credential>,
}

impl Became {
    /// Whether the upstream did what it was asked.
    pub(super) fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    pub(super) fn of(answer: &Result<Response<Body>, UpstreamError>, redactor: &Redactor) -> Self {
        let said = |error: &UpstreamError| Some(redactor.text(&error.in_full()));
        let (outcome, status, detail) = match answer {
            Ok(response) => (Answer::Answered, Some(response.status()), None),
            // The client is told that nobody can use the answer: no record says that it was one.
            Err(UpstreamError::Redirect(status)) => (
                Answer::Unknown,
                Some(*status),
                Some(Redacted::ours("redirect")),
            ),
            // Dynatrace's own answer: only its text may not be passed on.
            Err(error @ UpstreamError::Veiled(status, _)) => {
                (Answer::Answered, Some(*status), said(error))
            }
            Err(error) if error.never_arrived() => (Answer::Failed, None, said(error)),
            Err(error) => (Answer::Unknown, None, said(error)),
        };
        Self {
            outcome,
            status: status.map(|status| status.as_u16()),
            detail,
            credential: None,
        }
    }
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

pub(super) fn decision_of(headers: &HeaderMap) -> Option<Redacted> {
    let value = headers.get("dtgate-decision-id")?;
    Some(Uuid::try_parse(value.to_str().ok()?).ok()?.into())
}

pub(super) fn decision_header(headers: &mut HeaderMap, decision_id: Option<&Redacted>) {
    if let Some(value) = decision_id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
        headers.insert("dtgate-decision-id", value);
    }
}

/// One `Warning: 299` for a grant, and one a violation that only warns, as far as clients take them; the last one says how many are left
/// out. Returns whether any are. Header text is ASCII; the rest is in the journal.
#[must_use]
pub(super) fn warn(headers: &mut HeaderMap, decision: &Decision, redactor: &Redactor) -> bool {
    if let Some(grant) = &decision.grant {
        let denied = decision.with_effect(Effect::Deny);
        let policies: BTreeSet<&str> = denied.map(|it| &*it.policy).collect();
        let policies = Vec::from_iter(policies).join(", ");
        let Granted {
            id,
            ticket,
            approved_by,
            ..
        } = &**grant;
        let text = format!(
            "passes this once by grant {id}, approved by {approved_by}; denied by {policies}; ticket {ticket}"
        );
        append_warning(headers, &redactor.text(&text).cut(MAX_WARNING));
    }
    let mut warnings = decision.with_effect(Effect::Warn);
    for violation in warnings.by_ref().take(MAX_WARNINGS) {
        append_warning(headers, &redactor.text(&violation.told()).cut(MAX_WARNING));
    }
    let left_out = warnings.count();
    if left_out > 0 {
        let left_out = counted(left_out, "more warning");
        let text = format!("{left_out} in the journal, under dtgate-decision-id");
        append_warning(headers, &redactor.text(&text).cut(MAX_WARNING));
    }
    left_out > 0
}

fn append_warning(headers: &mut HeaderMap, text: &Redacted) {
    let mut quoted = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    if let Ok(value) = HeaderValue::from_str(&format!("299 dtgate \"{quoted}\"")) {
        headers.append(http::header::WARNING, value);
    }
}

/// `Warning` fields of one answer, without the one that counts the rest. Python's client takes no answer with more
/// than a hundred fields, Node's none with more than 16 KiB of them, and a nginx before the gate none beyond 4 KiB.
const MAX_WARNINGS: usize = 5;

/// Bytes of one of their texts, quoting aside.
const MAX_WARNING: usize = 200;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn an_answer_that_is_not_passed_on_is_told_with_its_status() {
        let veiled = UpstreamError::Veiled(StatusCode::OK, "it is encoded");
        for (error, wanted) in [
            (
                UpstreamError::Redirect(StatusCode::FOUND),
                (Answer::Unknown, Some(302)),
            ),
            (veiled, (Answer::Answered, Some(200))),
        ] {
            let became = Became::of(&Err(error), &Redactor::default());
            assert_eq!((became.outcome, became.status), wanted);
            assert!(became.detail.is_some());
        }
    }
}
