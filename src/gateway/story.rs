//! One request in the log: who it is, and what became of it. Nothing that could be a secret.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{Method, Request, Response, Uri, Version};
use uuid::Uuid;

use super::client::Address;
use super::cut::Cut;
use super::environment::Environment;
use super::headers;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::guard;
use crate::listener::{Body, Peer};

/// One request's identity, and when it began. What only a log line or a record says is made when one is written.
pub(super) struct Started {
    pub(super) id: String,
    pub(super) client_id: Option<Redacted>,
    peer: Option<Peer>,
    pub(super) method: Method,
    uri: Uri,
    /// Makes what the request says writable.
    pub(super) redactor: Redactor,
    pub(super) version: Version,
    at: Instant,
}

/// What the log says about a request besides its head.
#[derive(Default)]
pub(super) struct Story {
    pub(super) guarded: bool,
    pub(super) environment: Option<Arc<Environment>>,
    pub(super) decision_id: Option<String>,
    pub(super) verdict: Option<&'static str>,
    pub(super) operation: Option<&'static str>,
    pub(super) error: Option<String>,
}

impl Started {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let client_id = request.headers().get(&headers::REQUEST_ID);
        let redactor = Redactor::new(guard::own_secret(
            request.headers().get(AUTHORIZATION),
            request.uri().query(),
        ));
        Self {
            id: Uuid::now_v7().to_string(),
            client_id: client_id
                .map(|value| redactor.text(&String::from_utf8_lossy(value.as_bytes())))
                .filter(|id| id.len() <= 128 && !presents(request, id)),
            peer: Peer::of(request),
            method: request.method().clone(),
            uri: request.uri().clone(),
            redactor,
            version: request.version(),
            at: Instant::now(),
        }
    }

    /// The client's address, without port.
    pub(super) fn peer(&self) -> String {
        self.peer.map_or_else(String::new, |peer| {
            peer.address.ip().to_canonical().to_string()
        })
    }

    /// The client's address, as far as shares go. Whoever has none is one of all who have none.
    pub(super) fn address(&self) -> Address {
        let nowhere = || Address::from(IpAddr::from(Ipv6Addr::UNSPECIFIED));
        self.peer.map_or_else(nowhere, Address::of)
    }

    /// The path without what could be a secret.
    pub(super) fn path(&self) -> Redacted {
        self.redactor.path(self.uri.path())
    }
}

/// Whether text is part of the credential that a request presents: people paste into any field.
fn presents(request: &Request<Body>, text: &str) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut fields = request.headers().get_all(AUTHORIZATION).iter();
    query.contains(text)
        || fields.any(|value| String::from_utf8_lossy(value.as_bytes()).contains(text))
}

/// The one line of a request.
pub(super) fn log(started: &Started, story: &Story, response: &Response<Body>, cut: &Cut) {
    tracing::info!(
        request.id = %started.id,
        request.client_id = started.client_id.as_ref().map(|id| id.as_str()),
        peer.address = %started.peer(),
        method = %cut.text(&started.redactor.text(started.method.as_str())),
        path = %cut.text(&started.path()),
        status = response.status().as_u16(),
        duration_ms = started.at.elapsed().as_secs_f64() * 1000.0,
        route = if story.guarded { "guarded" } else { "open" },
        environment = story.environment.as_ref().map(|environment| environment.name.as_str()),
        operation = story.operation,
        verdict = story.verdict.or_else(|| story.guarded.then_some("deny")),
        decision.id = story.decision_id,
        error = story.error.as_deref().map(|error| cut.text(&started.redactor.text(error)).into_owned()),
        "request"
    );
}
