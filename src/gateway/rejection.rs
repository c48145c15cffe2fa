//! Every way to refuse a request: status, what the client reads, what the log says.
//!
//! The only place where an error becomes a status. There is no wildcard arm: a new reason does not
//! compile until it has a status.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use thiserror::Error;

mod kind;
mod objections;
pub(in crate::gateway) mod written;

use super::environment::RouteError;
use super::identify::BrokerError;
use super::ledger::Counted;
use super::upstream::UpstreamError;
use crate::audit::RecordError;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::{ConstraintViolation, ErrorEnvelope, ParameterLocation};
use crate::guard::ReadError;
use crate::guard::path::PathError;
use crate::identity;
use crate::listener::{Body, full};
use crate::policy::{Decision, Effect};
use crate::store::TurnError;
use crate::telemetry::Limit;
use objections::{denied, objections};

/// A request that gets no answer from the upstream.
#[derive(Debug, Error)]
#[error("{reason}")]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    /// The id under which the journal has it.
    pub(super) decision_id: Option<Redacted>,
    /// It is in the sums of journal and log, and has neither record nor line of its own.
    pub(super) counted: bool,
}

/// Why.
#[derive(Debug, Error)]
pub(super) enum Reason {
    #[error("denied by policy")]
    Denied(Box<Decision>),
    /// Denied, because there is no such token: clients take 404 for what it is.
    #[error("there is no such token")]
    Missing(Box<Decision>),
    #[error("CONNECT is not supported: dtgate opens no tunnels")]
    Connect,
    #[error("the client went away before the request was judged")]
    Gone,
    #[error("the client certificate of this connection is not accepted any more: connect again")]
    Lapsed,
    #[error("dtgate has a fault (a panic; its log says where)")]
    Panic,
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Denied like others of the same caller, more than are recorded.
    #[error("denied by policy, after too many denials of the same caller")]
    Throttled {
        decision: Box<Decision>,
        wait: Duration,
    },
    #[error(transparent)]
    Shed(#[from] Shed),
    /// Nobody has vouched for the policies for longer than they may be used.
    #[error("its policies may be out of date, and changes wait until they are not: {0}")]
    Stale(String),
    #[error("the catalogue does not know this write, and unknown_writes is \"refuse\"")]
    UnknownWrite,
    /// Allowed; but it would change nothing, and more such requests are not recorded.
    #[error("{}", unrecorded(*.0))]
    Unrecorded(Counted),
    /// Other gates may be changing the token.
    #[error(transparent)]
    Turn(#[from] TurnError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// More than the gate takes at once. Nothing was begun, so that a repeat is safe, and worth it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{text}")]
pub(super) struct Shed {
    pub(super) limit: Limit,
    pub(super) text: &'static str,
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            decision_id: None,
            counted: false,
        }
    }
}

impl Reason {
    /// Whether another set has to judge the request.
    pub(super) fn is_superseded(&self) -> bool {
        matches!(self, Self::Record(RecordError::Superseded))
    }

    /// The operation that was refused, where the catalogue refuses it as a whole.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Read(error) => error.operation(),
            Self::Broker(BrokerError::Unproven { operation, .. }) => Some(*operation),
            _ => None,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Broker(BrokerError::Access(_)) => StatusCode::BAD_GATEWAY,
            Self::Identity(error) if error.flaw.is_passing() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broker(BrokerError::Unproven { .. }) | Self::Identity(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Denied(decision) => written::status(decision).unwrap_or(StatusCode::FORBIDDEN),
            Self::Broker(BrokerError::NotYours { .. }) | Self::UnknownWrite => {
                StatusCode::FORBIDDEN
            }
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Read(error) => read_status(error),
            // Nobody reads that of `Gone`.
            Self::Broker(BrokerError::Several(_)) | Self::Gone | Self::Route(RouteError::Host) => {
                StatusCode::BAD_REQUEST
            }
            Self::Lapsed | Self::Route(RouteError::Ambiguous(_) | RouteError::Unknown { .. }) => {
                StatusCode::MISDIRECTED_REQUEST
            }
            // Terraform tries it again for five minutes, which is as long as an overload may well take. Nothing has
            // failed that would fail again: other than below.
            Self::Shed(_)
            | Self::Turn(TurnError::Taken(_))
            | Self::Unrecorded(Counted { wait: None, .. }) => StatusCode::SERVICE_UNAVAILABLE,
            // Not 503: Terraform would try it again for five minutes.
            Self::Panic
            | Self::Record(_)
            | Self::Stale(_)
            | Self::Turn(TurnError::Away(_) | TurnError::Lost) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Upstream(error) => match error {
                UpstreamError::Answer(_)
                | UpstreamError::Connect(_)
                | UpstreamError::Head
                | UpstreamError::Redirect(_)
                | UpstreamError::Send(_)
                | UpstreamError::Veiled(..) => StatusCode::BAD_GATEWAY,
                UpstreamError::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
                UpstreamError::Stalled => StatusCode::REQUEST_TIMEOUT,
                UpstreamError::Body | UpstreamError::Target => StatusCode::BAD_REQUEST,
                UpstreamError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            },
            Self::Throttled { .. } | Self::Unrecorded(Counted { wait: Some(_), .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// The policies that deny, each once.
    pub(super) fn policies(&self) -> Vec<&str> {
        let (Self::Denied(decision) | Self::Missing(decision) | Self::Throttled { decision, .. }) =
            self
        else {
            return Vec::new();
        };
        let denials = decision.with_effect(Effect::Deny);
        let mut names: Vec<&str> = denials.map(|violation| &*violation.policy).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The limit that it ran into, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Denied(decision) if written::unsent(decision).is_some() => {
                Some(Limit::WrittenAnswer)
            }
            Self::Denied(decision) | Self::Missing(decision) => {
                let all = decision.with_effect(Effect::Deny).count();
                (objections(decision, true, &Redactor::default()).len() < all)
                    .then_some(Limit::Violations)
            }
            Self::Read(ReadError::TooLarge(_)) => Some(Limit::Body),
            Self::Read(ReadError::Timeout(_)) => Some(Limit::BodyTimeout),
            Self::Read(ReadError::Path(PathError::Long)) => Some(Limit::Path),
            Self::Read(ReadError::Path(PathError::Work(_))) => Some(Limit::HeadWork),
            Self::Record(RecordError::Late(_) | RecordError::Silent(_)) => {
                Some(Limit::JournalTimeout)
            }
            Self::Shed(shed) => Some(shed.limit),
            Self::Upstream(error) => error.limit(),
            Self::Broker(BrokerError::Access(error)) => error.limit(),
            Self::Broker(_)
            | Self::Identity(_)
            | Self::Connect
            | Self::Gone
            | Self::Lapsed
            | Self::Panic
            | Self::Read(_)
            | Self::Record(_)
            | Self::Route(_)
            | Self::Stale(_)
            | Self::Throttled { .. }
            | Self::UnknownWrite
            | Self::Unrecorded(_) => None,
            Self::Turn(_) => Some(Limit::Turn),
        }
    }

    /// What happened to the request, so that nobody has to guess.
    fn fate(&self) -> &'static str {
        match self {
            Self::Broker(_)
            | Self::Connect
            | Self::Denied(_)
            | Self::Gone
            | Self::Lapsed
            | Self::Identity(_)
            | Self::Missing(_)
            | Self::Read(_)
            | Self::Record(_)
            | Self::Route(_)
            | Self::Stale(_)
            | Self::Throttled { .. }
            | Self::UnknownWrite => "This request was not sent to Dynatrace.",
            Self::Shed(_) | Self::Turn(_) | Self::Unrecorded(_) => {
                "This request was not sent to Dynatrace; try again."
            }
            Self::Panic => "Whether this request was sent to Dynatrace is in the journal.",
            Self::Upstream(error) if error.never_arrived() => {
                "This request did not reach Dynatrace."
            }
            Self::Upstream(_) => {
                "Dynatrace may have acted on this request: look before you repeat it."
            }
        }
    }
}

pub(super) fn read_status(error: &ReadError) -> StatusCode {
    match error {
        ReadError::Body(_)
        | ReadError::Case(_)
        | ReadError::Change(_)
        | ReadError::Connection(_)
        | ReadError::Credential(_)
        | ReadError::Empty(_)
        | ReadError::Host
        | ReadError::Json(_)
        | ReadError::ObjectId
        | ReadError::Override(_)
        | ReadError::Query
        | ReadError::Secret(_)
        | ReadError::Shown
        | ReadError::ShownProof
        | ReadError::Superfluous(_) => StatusCode::BAD_REQUEST,
        ReadError::Encoding | ReadError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ReadError::Path(error) => match error {
            PathError::Ambiguous(_)
            | PathError::Id(_)
            | PathError::LookAlike(_)
            | PathError::Unknown
            | PathError::Work(_) => StatusCode::BAD_REQUEST,
            PathError::Long => StatusCode::URI_TOO_LONG,
            PathError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            PathError::Refused { .. } => StatusCode::FORBIDDEN,
        },
        ReadError::NoCredential(_) => StatusCode::UNAUTHORIZED,
        ReadError::Stalled | ReadError::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
        ReadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ReadError::Trace => StatusCode::METHOD_NOT_ALLOWED,
    }
}

impl Rejection {
    pub(super) fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// Why, as it may be written.
    pub(super) fn text(&self, redactor: &Redactor) -> Redacted {
        redactor.text(&self.reason.to_string())
    }

    /// The answer in Dynatrace's own form. `request_id` names the request when no decision does; `has_body`: there is
    /// one that violations can be in; `ask`: how to ask for a grant.
    pub(super) fn into_response(
        self,
        request_id: &str,
        has_body: bool,
        ask: Option<&str>,
        redactor: &Redactor,
    ) -> Response<Body> {
        let status = self.status();
        let violations = self.violations(has_body, redactor);
        let message = self.message(request_id, ask, violations.len(), redactor);
        let body = ErrorEnvelope::new(status.as_u16(), message, violations).to_json();
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        if let Reason::Denied(decision) = &self.reason
            && let Some(written) = written::written(decision, redactor)
        {
            headers.extend(written.headers);
            if let Some(body) = written.body {
                *response.body_mut() = full(body);
                // The usual body says it.
                let ask = ask.map(|ask| HeaderValue::from_bytes(redactor.text(ask).as_bytes()));
                if let Some(Ok(ask)) = ask {
                    response.headers_mut().insert(GRANT, ask);
                }
            }
            return response;
        }
        if let Reason::Denied(decision) = &self.reason
            && let Some((entrypoint, reason)) = written::unsent(decision)
        {
            let decision_id = self.decision_id.as_ref().map_or("", |id| id.as_str());
            tracing::warn!(
                entrypoint,
                reason,
                decision_id,
                "the answer that an entrypoint wrote cannot be sent: the usual one is sent"
            );
        }
        self.advise(headers);
        response
    }

    /// Says in header fields what to do.
    fn advise(&self, headers: &mut HeaderMap) {
        match &self.reason {
            Reason::Shed(_)
            | Reason::Turn(TurnError::Taken(_))
            | Reason::Unrecorded(Counted { wait: None, .. })
            | Reason::Upstream(UpstreamError::Full(_)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Reason::Read(ReadError::Path(PathError::Method(methods))) => {
                if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                    headers.insert(ALLOW, allow);
                }
            }
            Reason::Read(ReadError::Trace) => {
                headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            Reason::Read(ReadError::NoCredential(_)) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
            }
            Reason::Broker(BrokerError::Unproven { proofs, .. }) => {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
                if proofs.bearer {
                    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(UNKNOWN));
                }
            }
            Reason::Identity(error) if error.flaw.is_passing() => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Reason::Identity(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER));
            }
            Reason::Broker(_)
            | Reason::Connect
            | Reason::Denied(_)
            | Reason::Gone
            | Reason::Lapsed
            | Reason::Missing(_)
            | Reason::Panic
            | Reason::Read(_)
            | Reason::Record(_)
            | Reason::Route(_)
            | Reason::Stale(_)
            | Reason::Turn(_)
            | Reason::UnknownWrite
            | Reason::Upstream(_) => {}
            Reason::Throttled { wait, .. }
            | Reason::Unrecorded(Counted {
                wait: Some(wait), ..
            }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds(*wait)));
            }
        }
    }

    /// What a client reads; `shown`: how many violations stand beside it.
    fn message(
        &self,
        request_id: &str,
        ask: Option<&str>,
        shown: usize,
        redactor: &Redactor,
    ) -> Redacted {
        let named = match &self.decision_id {
            Some(decision) => format!("decision {decision}"),
            None => format!("request {request_id}"),
        };
        let message = match &self.reason {
            Reason::Denied(decision) | Reason::Missing(decision) => {
                denied(decision, shown, redactor)
            }
            Reason::Throttled { decision, wait } => format!(
                "{}. Too many requests of this caller were denied; wait {} s before the next one",
                denied(decision, shown, redactor).trim_end_matches('.'),
                seconds(*wait)
            ),
            Reason::Upstream(error) => format!("dtgate could not get an answer: {error}"),
            Reason::Record(error) => format!("Refused by dtgate: {}", error.for_client()),
            other => format!("Refused by dtgate: {other}"),
        };
        let fate = self.reason.fate();
        let ask = ask.map_or_else(String::new, |ask| format!(" {ask}"));
        redactor.text(&format!("{message} ({named}). {fate}{ask}"))
    }

    fn violations(&self, has_body: bool, redactor: &Redactor) -> Vec<ConstraintViolation> {
        match &self.reason {
            Reason::Denied(decision)
            | Reason::Missing(decision)
            | Reason::Throttled { decision, .. } => objections(decision, has_body, redactor),
            Reason::Read(error) => error
                .member()
                .map(|path| ConstraintViolation {
                    path: redactor.text(path),
                    message: self.text(redactor),
                    parameter_location: ParameterLocation::PayloadBody,
                    location: None,
                })
                .into_iter()
                .collect(),
            Reason::Broker(_)
            | Reason::Identity(_)
            | Reason::Connect
            | Reason::Gone
            | Reason::Lapsed
            | Reason::Panic
            | Reason::Record(_)
            | Reason::Route(_)
            | Reason::Shed(_)
            | Reason::Stale(_)
            | Reason::Turn(_)
            | Reason::UnknownWrite
            | Reason::Unrecorded(_)
            | Reason::Upstream(_) => Vec::new(),
        }
    }
}

/// Why an allowed read is not forwarded.
fn unrecorded(counted: Counted) -> String {
    match counted {
        Counted {
            wait: Some(wait), ..
        } => format!(
            "as many reads of this caller or its address are recorded as may be in a minute, and no other is forwarded; \
             wait {} s before the next one",
            seconds(wait)
        ),
        Counted {
            limit: Limit::MinFree,
            ..
        } => "the journal's disk is nearly full: reads are not recorded, and so not forwarded"
            .to_owned(),
        _ => {
            "as many reads are recorded as may be in a minute, and no other is forwarded".to_owned()
        }
    }
}

/// A time to wait, rounded up: whoever comes back after it finds room.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The scheme that Dynatrace documents for API tokens. No browser knows it, so none asks for a password.
const CHALLENGE: &str = "Api-Token realm=\"Dynatrace\"";

/// For those who show no JSON Web Token where one is believed.
const UNKNOWN: &str = "Bearer realm=\"dtgate\"";

/// For those whose JSON Web Token is refused (RFC 6750, section 3).
const BEARER: &str = "Bearer realm=\"dtgate\", error=\"invalid_token\"";

/// What may come instead of TRACE.
const METHODS: &str = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE";

/// How to ask for a grant, beside a body that an entrypoint wrote.
const GRANT: HeaderName = HeaderName::from_static("dtgate-grant");

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn no_refusal_is_one_that_terraform_repeats_but_the_one_meant_to_be() {
        let reasons = [
            Reason::Connect,
            Reason::Gone,
            Reason::Panic,
            Reason::Read(ReadError::Host),
            Reason::Read(ReadError::NoCredential(Operation::TokenUpdate)),
            Reason::Read(ReadError::TooLarge(1)),
            Reason::Shed(Shed {
                limit: Limit::InFlight,
                text: "too many",
            }),
            Reason::Upstream(UpstreamError::Full(Duration::from_secs(5))),
            Reason::Upstream(UpstreamError::Head),
            Reason::Upstream(UpstreamError::Target),
        ];
        for reason in reasons {
            let repeated = matches!(reason.status().as_u16(), 429 | 503);
            let meant = matches!(
                reason,
                Reason::Shed(_) | Reason::Upstream(UpstreamError::Full(_))
            );
            assert_eq!(repeated, meant, "{reason}");
        }
    }
}
