//! What is known about one guarded request, as policies see it and as the journal keeps it.

mod change;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Became, verdict};
use super::budget::Payer;
use super::echo;
use super::environment::{Addressed, Environment as Reached};
use super::headers;
use super::identify::Identity;
use super::lookup::Found;
use super::recent::Spent;
use super::rejection::Reason;
use super::story::Started;
use super::sums::Kind;
use crate::audit::event::{
    self, Bundle, Bundles, Counted, DecisionRecord, Event, Findings, Labels, Metrics, Outcome,
    Record,
};
use crate::dynatrace::birth::Birth;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::{HashKey, TokenId};
use crate::guard::{self, Call, Head, ReadError};
use crate::identity::forwarded::names_a_client;
use crate::policy::input::{
    self, Attributes, AttributesAddress, AttributesHttp, AttributesRequest, AttributesSource,
    CallerToken, Environment, Envoy, SocketAddress, Target,
};
use crate::policy::{Decision, Evaluator, Input, Judged, Verdict};
use crate::telemetry::Trace;
use crate::value::{Sha256Hex, milliseconds};
use change::{change, difference, settings, told};

/// Makes every record of one request, under one decision id.
pub(super) struct Recorder {
    pub(super) decision_id: Redacted,
    pub(super) request_id: Redacted,
    client_id: Option<Redacted>,
    peer: Redacted,
    method: Redacted,
    path: Redacted,
    version: http::Version,
    caller: Arc<event::Caller>,
    identity: Identity,
    operation: Option<Operation>,
    environment: Option<Arc<Reached>>,
    revision: String,
    payer: Payer,
    /// What it has proven, or its credential: a keyed hash.
    name: Option<TokenId>,
    /// Whether its changes are counted by that.
    is_counted_by_name: bool,
    /// Whether records have that.
    tells_caller: bool,
    redactor: Redactor,
    key: HashKey,
    trace: Trace,
}

/// What of a judged request's record policies have not said.
struct About<'a> {
    /// Of the policies.
    revision: &'a str,
    turn: Option<&'static str>,
    /// Keyed hash of the query.
    query: Option<Redacted>,
    received: Option<&'a Sha256Hex>,
    forwarded: Option<&'a Sha256Hex>,
    counted: Option<Counted<'a>>,
}

/// What a recorder is made with, besides the request.
pub(super) struct Recording<'a> {
    pub(super) key: &'a HashKey,
    /// Of the policies.
    pub(super) revision: &'a str,
    pub(super) started: &'a Started,
    /// Whether records have a hash by which the caller is known again.
    pub(super) tells_caller: bool,
}

impl Recording<'_> {
    pub(super) fn of(
        &self,
        parts: &Parts,
        head: Option<&Head>,
        environment: Option<Arc<Reached>>,
        identity: Identity,
    ) -> Recorder {
        let Self {
            key,
            revision,
            started,
            tells_caller,
        } = self;
        let shown = match head {
            Some(head) => head.caller().cloned(),
            None => guard::caller(parts, key),
        };
        let brokered = head.is_some_and(|head| head.lent().is_some());
        let caller = Arc::new(identity.told(shown.as_ref(), brokered));
        let payer = identity.counted_as(parts, key);
        let redactor = head.map_or(&started.redactor, Head::redactor).clone();
        let is_counted_by_name = identity.is_proven() || guard::has_token(parts);
        Recorder {
            name: payer.clone(),
            is_counted_by_name,
            payer: Payer::new(payer, started.address(), caller.clone()),
            tells_caller: *tells_caller,
            decision_id: Uuid::now_v7().into(),
            request_id: started.id.clone(),
            client_id: started.client_id.clone(),
            peer: started.peer(),
            method: started.method_shown(),
            path: head.map_or_else(
                || started.path(),
                |head| started.redactor.path(&head.path().public()),
            ),
            redactor,
            version: started.version,
            caller,
            identity,
            operation: head.map(|head| head.path().endpoint().operation),
            environment,
            revision: (*revision).to_owned(),
            key: (*key).clone(),
            trace: started.trace.clone(),
        }
    }
}

impl Recorder {
    /// What the request would have been, where its head was refused.
    pub(super) fn about(mut self, operation: Option<Operation>) -> Self {
        self.operation = operation;
        self
    }

    /// What the caller has proven.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// By what its changes are counted: who it has proven to be, or else the whole token, so that nobody spends for another
    /// of whom only a public id is known. Whoever shows cookies alone is counted by address: any cookie more would be
    /// another caller.
    pub(super) fn counted_as(&self) -> TokenId {
        let shown = self.name.clone().filter(|_| self.is_counted_by_name);
        let address = self.payer.address().ip();
        shown.unwrap_or_else(|| self.key.name(&format!("address {address}")))
    }

    /// What it does, if that is known.
    pub(super) fn known_operation(&self) -> Option<Operation> {
        self.operation
    }

    /// Makes what the request says writable.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The trace of the request, if it has one.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(super) fn operation(&self) -> &'static str {
        self.operation.map_or("unknown", Operation::as_str)
    }

    /// Who asks, as records tell it.
    pub(super) fn caller(&self) -> Arc<event::Caller> {
        self.caller.clone()
    }

    /// Who pays for what is written about the request.
    pub(super) fn payer(&self) -> &Payer {
        &self.payer
    }

    /// What is counted where nothing is written.
    pub(super) fn kind(&self, reason: &Reason) -> Kind {
        let operation = reason.operation().or(self.operation);
        Kind {
            reason: reason.kind(),
            operation: operation.map(Operation::as_str),
        }
    }

    /// The document that policies judge. It must not say `[secret]` where the token has a text of its own.
    pub(super) fn input(
        &self,
        call: &Call,
        environment: Environment,
        parts: &Parts,
        found: Option<&Found>,
        with_envoy: bool,
        time: jiff::Timestamp,
    ) -> Result<Input, ReadError> {
        let head = call.head();
        let current = found.and_then(|found| found.current.as_ref());
        let error = found.and_then(|found| found.error.as_ref());
        let difference = difference(call, current);
        let mut texts = self.redactor.once();
        let (certificate, jwt) = self.identity.seen(&self.redactor)?;
        if current.is_some_and(|token| token.texts().any(|text| texts.is_shown(text))) {
            return Err(ReadError::Shown);
        }
        Ok(Input {
            operation: self.operation().to_owned(),
            api: head.path().endpoint().api.as_str().to_owned(),
            environment,
            caller: input::Caller {
                address: self.peer.to_string(),
                token: self.caller_token(),
                certificate,
                jwt,
                teams: self.identity.teams.clone(),
                recent: None,
            },
            token: head.path().token().map(|token| Target {
                id: Redacted::from(token.id()),
                current: current.map(|token| told(token, &mut texts)),
                lookup_error: error.map(|error| self.redactor.text(&error.to_string())),
            }),
            change: change(call, current, difference.as_ref(), &mut texts, time),
            settings: settings(call),
            unknown_members: self.redactor.members(&call.understood().unknown_members),
            time,
            envoy: with_envoy.then(|| self.envoy(call, parts)),
        })
    }

    fn caller_token(&self) -> CallerToken {
        CallerToken {
            id: self
                .caller
                .id
                .as_ref()
                .map(Redacted::from)
                .unwrap_or_default(),
            kind: self.caller.kind.map(Redacted::ours).unwrap_or_default(),
        }
    }

    fn envoy(&self, call: &Call, parts: &Parts) -> Envoy {
        let understood = call.understood();
        let host = parts.headers.get(http::header::HOST).map(visible);
        let host = host.or_else(|| Some(parts.uri.authority()?.as_str().to_owned()));
        Envoy {
            attributes: Attributes {
                request: AttributesRequest {
                    http: AttributesHttp {
                        method: self.method.clone(),
                        path: self.target(call),
                        host: self.redactor.text(&host.unwrap_or_default()),
                        headers: self.public_headers(&parts.headers),
                    },
                },
                source: AttributesSource {
                    address: AttributesAddress {
                        socket_address: SocketAddress {
                            address: self.peer.to_string(),
                        },
                    },
                },
            },
            parsed_path: self.parsed_path(),
            parsed_query: self.parsed_query(call),
            parsed_body: (!understood.body.is_null()).then(|| self.redactor.json(&understood.body)),
            truncated_body: false,
        }
    }

    /// The path with the query, as OPA-Envoy has it. The credential is not in it.
    fn target(&self, call: &Call) -> Redacted {
        let mut target = self.path.to_string();
        let encoded = |text: &str| {
            utf8_percent_encode(self.redactor.text(text).as_str(), NON_ALPHANUMERIC).to_string()
        };
        for (number, (name, value)) in call.head().parameters().iter().enumerate() {
            let sign = if number == 0 { "?" } else { "&" };
            target.extend([sign, &encoded(name), "=", &encoded(value)]);
        }
        self.redactor.text(&target)
    }

    /// As OPA-Envoy has it: decoded first, then cut at every slash.
    fn parsed_path(&self) -> Vec<Redacted> {
        let path = percent_decode_str(&self.path).decode_utf8_lossy();
        let segments = path.trim_start_matches('/').split('/');
        segments
            .map(|segment| self.redactor.text(segment))
            .collect()
    }

    /// As OPA-Envoy has it: per name all values. The credential is not among them.
    fn parsed_query(&self, call: &Call) -> Redacted<Map<String, Value>> {
        let mut query: Map<String, Value> = Map::new();
        for (name, value) in call.head().parameters() {
            let shown = |text: &str| self.redactor.text(text).to_string();
            let values = query.entry(shown(name)).or_insert_with(|| json!([]));
            if let Value::Array(values) = values {
                values.push(json!(shown(value)));
            }
        }
        self.redactor.members(&query)
    }

    /// Header fields that may be shown: none that is made to carry a secret, nor one in which proxies say for whom they
    /// ask: `caller` has what is believed of that. One that is sent several times is joined, as its readers do.
    fn public_headers(&self, headers: &HeaderMap) -> BTreeMap<Redacted, Redacted> {
        let names = headers.keys().filter(|name| !names_a_client(name.as_str()));
        let shown = names.filter_map(|name| {
            let values: Vec<String> = headers.get_all(name).iter().map(visible).collect();
            let value = self.redactor.header(name.as_str(), &values.join(", "))?;
            Some((self.redactor.text(name.as_str()), value))
        });
        shown.collect()
    }

    /// The record of a judged request. `is_alone`: other gates may change the token at the same time.
    pub(super) fn decision(
        &self,
        judged: &Judged<Addressed>,
        input: &Input,
        is_alone: bool,
        spent: Option<&Spent>,
    ) -> DecisionRecord {
        let (decision, call) = (judged.decision(), &judged.subject().call);
        let allowed = decision.verdict == Verdict::Allow;
        let about = About {
            revision: &self.revision,
            turn: (is_alone && allowed).then_some("local"),
            query: self.query(call),
            received: Some(call.received_sha256()),
            forwarded: allowed.then(|| call.forwarded_sha256()),
            counted: spent.map(Spent::counted),
        };
        self.judged(decision, input, &about)
    }

    /// The same with what others found about the same input.
    pub(super) fn challenged(&self, decision: &Decision, input: &Input) -> DecisionRecord {
        let about = About {
            revision: &decision.revision,
            turn: None,
            query: None,
            received: None,
            forwarded: None,
            counted: None,
        };
        self.judged(decision, input, &about)
    }

    fn judged(&self, decision: &Decision, input: &Input, about: &About<'_>) -> DecisionRecord {
        let allowed = decision.verdict == Verdict::Allow;
        // A policy writes what it likes.
        let violations = decision.violations.iter();
        let violations: Vec<_> = violations.map(|found| self.redactor.all(found)).collect();
        let remedy = decision.remedy.as_deref();
        let remedy = remedy.map(|remedy| self.redactor.all(remedy));
        let grant = decision.grant.as_deref().map(|it| self.redactor.all(it));
        let evaluation = u64::try_from(decision.evaluation.as_nanos()).unwrap_or(u64::MAX);
        let event = event::Decision {
            input: Some(input),
            environment: None,
            result: Findings {
                allow: allowed,
                violations: &violations,
                remedy: remedy.as_ref(),
            },
            metrics: Metrics {
                evaluation_ns: Some(evaluation),
            },
            bundles: Bundles {
                policies: Bundle {
                    revision: about.revision,
                },
            },
            evaluator: Some(decision.evaluator).filter(|who| *who != Evaluator::Interpreter),
            turn: about.turn,
            counted: about.counted,
            verdict: verdict(decision.verdict),
            grant: grant.as_ref(),
            request: event::Request {
                query: about.query.as_ref(),
                caller_hash: self.name.as_ref().filter(|_| self.tells_caller),
                received_sha256: about.received,
                forwarded_sha256: about.forwarded,
                ..self.request()
            },
            ..self.refused(input.time)
        };
        event.record()
    }

    /// A keyed hash of the query, by which a request is known again. It may hold secrets.
    fn query(&self, call: &Call) -> Option<Redacted> {
        let parameters = call.head().parameters();
        if parameters.is_empty() {
            return None;
        }
        let written = serde_json::to_string(parameters).expect("texts can be written");
        Some(Redacted::from(&self.key.name(&written)))
    }

    /// The record of a request that was refused before policies could see it; `revision`: of those in force.
    pub(super) fn refusal(
        &self,
        reason: &Reason,
        time: jiff::Timestamp,
        revision: &str,
    ) -> DecisionRecord {
        let error = self.redactor.text(&reason.to_string());
        let event = event::Decision {
            operation: reason.operation().or(self.operation).map(Operation::as_str),
            error: Some(&error),
            bundles: Bundles {
                policies: Bundle { revision },
            },
            ..self.refused(time)
        };
        event.record()
    }

    /// A decision of which nothing is known but the request.
    fn refused(&self, timestamp: jiff::Timestamp) -> event::Decision<'_> {
        event::Decision {
            timestamp,
            decision_id: &self.decision_id,
            labels: Labels {
                version: env!("CARGO_PKG_VERSION"),
            },
            path: "dtgate",
            input: None,
            result: Findings::default(),
            bundles: Bundles {
                policies: Bundle {
                    revision: &self.revision,
                },
            },
            metrics: Metrics::default(),
            evaluator: None,
            turn: None,
            requested_by: &self.peer,
            verdict: "deny",
            grant: None,
            operation: self.operation.map(Operation::as_str),
            environment: self.environment.as_ref().map(|reached| &*reached.name),
            caller: self.caller.known(),
            request: self.request(),
            counted: None,
            error: None,
        }
    }

    fn request(&self) -> event::Request<'_> {
        event::Request {
            id: &self.request_id,
            client_id: self.client_id.as_ref(),
            method: &self.method,
            path: &self.path,
            query: None,
            caller_hash: None,
            received_sha256: None,
            forwarded_sha256: None,
        }
    }

    /// The record of what became of an allowed request.
    pub(super) fn outcome(
        &self,
        time: jiff::Timestamp,
        decision_seq: u64,
        became: &Became,
        elapsed: Duration,
    ) -> Record {
        let credential = became.credential.as_ref();
        let event = Event::Outcome(Outcome {
            timestamp: time,
            decision_id: &self.decision_id,
            decision_seq,
            outcome: became.outcome,
            status: became.status,
            detail: became.detail.as_ref(),
            credential: credential.map(|credential| event::Credential {
                id: &credential.id,
                expiration: credential.expiration,
            }),
            duration_ms: milliseconds(elapsed),
        });
        event.record()
    }

    pub(super) fn upstream_headers(&self, mut headers: HeaderMap, call: &Call) -> HeaderMap {
        let has_body = !call.forwarded().is_empty();
        // Written anew from what the caller was read from, as the body is.
        if let Some(value) = call
            .head()
            .authorization()
            .and_then(|text| HeaderValue::from_str(text.expose()).ok())
        {
            headers.insert(AUTHORIZATION, value);
        }
        // Servers ask for it where a body is usual (RFC 9110, section 8.6), and may answer 411 without.
        let method = call.head().path().endpoint().method;
        let said = headers.contains_key(CONTENT_LENGTH);
        let says_none = !has_body && (said || matches!(method, "PATCH" | "POST" | "PUT"));
        headers::for_upstream_with_body(&mut headers, self.version, &self.request_id, has_body);
        if call.head().lent().is_some() {
            echo::ask_plain(&mut headers);
        }
        // Its answer is read, to know what it made.
        if self.operation.and_then(Birth::of).is_some() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if says_none {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers
    }
}

/// The value of a header field as text. One that is not all visible ASCII is escaped, backslashes too.
fn visible(value: &HeaderValue) -> String {
    let escaped = |_| value.as_bytes().escape_ascii().to_string();
    value.to_str().map_or_else(escaped, str::to_owned)
}

#[cfg(test)]
mod tests;
