//! One request in the log: who it is, and what became of it. Nothing that could be a secret.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, Response, Uri, Version};
use http_body::Body as _;
use uuid::Uuid;

use super::client::Address;
use super::cut::Cut;
use super::environment::Environment;
use super::headers;
use crate::audit::event;
use crate::audit::pseudonym::Values;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::TokenId;
use crate::guard;
use crate::identity::forwarded::{self, Finding};
use crate::listener::{Body, Peer};
use crate::telemetry::{Access, AccessLog, Trace};

/// One request's identity, and when it began. What only a log line or a record says is made when one is written.
pub(super) struct Started {
    pub(super) id: Redacted,
    pub(super) client_id: Option<Redacted>,
    /// The client's address: of the connection, or as a proxy says that is believed.
    client: Option<IpAddr>,
    /// What was made of what a proxy says.
    forwarded: Finding,
    pub(super) method: Method,
    uri: Uri,
    /// Makes what the request says writable.
    pub(super) redactor: Redactor,
    pub(super) version: Version,
    pub(super) has_body: bool,
    pub(super) is_encrypted: bool,
    pub(super) trace: Trace,
    at: Instant,
}

/// What the log says about a request besides its head.
#[derive(Default)]
pub(super) struct Story {
    pub(super) guarded: bool,
    pub(super) environment: Option<Arc<Environment>>,
    pub(super) decision_id: Option<Redacted>,
    pub(super) verdict: Option<&'static str>,
    pub(super) operation: Option<&'static str>,
    pub(super) caller: Arc<event::Caller>,
    /// Those that denied it.
    pub(super) policies: Option<Redacted>,
    pub(super) error: Option<Redacted>,
}

impl Started {
    pub(super) fn of(
        parts: &Parts,
        has_body: bool,
        proxies: &forwarded::Config,
        trace: Trace,
    ) -> Self {
        let peer = Peer::of(&parts.extensions);
        let is_encrypted = peer.as_ref().is_some_and(|peer| peer.tls);
        let peer = peer.map(|peer| peer.address.ip());
        let client = peer.map(|peer| proxies.client(peer, &parts.headers));
        let client_id = parts.headers.get(&headers::REQUEST_ID);
        let redactor = guard::redactor(&parts.headers, parts.uri.query());
        Self {
            id: Uuid::now_v7().into(),
            client_id: client_id
                .filter(|value| value.len() <= LONGEST_READ)
                .map(|value| redactor.text(&String::from_utf8_lossy(value.as_bytes())))
                .filter(|id| id.len() <= LONGEST_ID),
            client: client.map(|client| client.address),
            forwarded: client.map_or(Finding::Absent, |client| client.finding),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            redactor,
            version: parts.version,
            has_body,
            is_encrypted,
            trace,
            at: Instant::now(),
        }
    }

    /// The client's address, without port.
    pub(super) fn peer(&self) -> Redacted {
        let client = self.client.map(|client| client.to_canonical());
        client.map_or_else(Redacted::default, Redacted::from)
    }

    /// The client's address, as far as shares go. Whoever has none is one of all who have none.
    pub(super) fn address(&self) -> Address {
        let nowhere = || Address::from(IpAddr::from(Ipv6Addr::UNSPECIFIED));
        self.client.map_or_else(nowhere, Address::from)
    }

    /// What was made of what a proxy says about the client.
    pub(super) fn forwarded(&self) -> Finding {
        self.forwarded
    }

    /// The method as it may be written.
    pub(super) fn method_shown(&self) -> Redacted {
        let method = self.method.as_str();
        if method.len() > LONGEST_METHOD {
            return Redacted::ours("…");
        }
        self.redactor.word(method)
    }

    /// The path without what could be a secret.
    pub(super) fn path(&self) -> Redacted {
        self.redactor.path(self.uri.path())
    }
}

/// The longest method that is written.
const LONGEST_METHOD: usize = 64;

/// The longest id of a client that is written, and the longest in which secrets are looked for: a token may be in it.
const LONGEST_ID: usize = 128;
const LONGEST_READ: usize = 1024;

/// The one line of a request.
pub(super) fn log(
    (to, now): (&AccessLog, jiff::Timestamp),
    values: Option<&Values>,
    started: &Started,
    story: &Story,
    response: &Response<Body>,
    cut: &Cut,
) {
    let caller = &*story.caller;
    let peer = started.peer();
    let teams = (!caller.teams.is_empty()).then(|| caller.teams.join(", "));
    let policies = story.policies.as_ref().map(|names| cut.text(names));
    let error = story.error.as_ref().map(|error| cut.text(error));
    let (method, path) = (started.method_shown(), started.path());
    let access = Access {
        request_id: &started.id,
        client_id: started.client_id.as_ref().map(Redacted::as_str),
        peer: started.client.map(|client| client.to_canonical()),
        peer_name: None,
        method: &cut.text(&method),
        path: &cut.text(&path),
        version: version(started.version),
        status: response.status().as_u16(),
        length: response.body().size_hint().exact(),
        elapsed: started.at.elapsed(),
        route: if story.guarded { "guarded" } else { "open" },
        environment: story
            .environment
            .as_ref()
            .map(|environment| environment.name.as_str()),
        operation: story.operation,
        verdict: story.verdict.or_else(|| story.guarded.then_some("deny")),
        caller: caller.id.as_ref().map(TokenId::as_str),
        brokered: caller.brokered,
        teams: teams.as_deref(),
        certificate: caller.certificate.as_ref().map(|it| it.subject.as_str()),
        issuer: caller.jwt.as_ref().map(|it| it.issuer.as_str()),
        subject: caller.jwt.as_ref().map(|it| it.subject.as_str()),
        policies: policies.as_deref(),
        decision_id: story.decision_id.as_ref().map(Redacted::as_str),
        error: error.as_deref(),
    };
    match values {
        None => to.write(now, &access),
        Some(values) => under_pseudonyms(&access, &peer, values, |access| to.write(now, access)),
    }
}

/// The same line with pseudonyms in all its texts: whatever a client or a policy wrote may repeat a value.
fn under_pseudonyms(
    access: &Access<'_>,
    peer: &str,
    values: &Values,
    write: impl FnOnce(&Access<'_>),
) {
    let told = |text: &str| Some(values.text(text).into_owned());
    let [
        peer,
        client_id,
        path,
        caller,
        teams,
        certificate,
        subject,
        policies,
        error,
    ] = [
        Some(peer),
        access.client_id,
        Some(access.path),
        access.caller,
        access.teams,
        access.certificate,
        access.subject,
        access.policies,
        access.error,
    ]
    .map(|text| text.and_then(told));
    write(&Access {
        peer_name: peer.as_deref(),
        client_id: client_id.as_deref(),
        path: path.as_deref().unwrap_or_default(),
        caller: caller.as_deref(),
        teams: teams.as_deref(),
        certificate: certificate.as_deref(),
        subject: subject.as_deref(),
        policies: policies.as_deref(),
        error: error.as_deref(),
        ..*access
    });
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
