//! What is known about one guarded request, as policies see it and as the journal keeps it.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::verdict;
use super::budget::Payer;
use super::environment::Addressed;
use super::headers;
use super::lookup::Found;
use super::rejection::Reason;
use super::story::Started;
use super::sums::Kind;
use crate::audit::event::{
    self, Answer, Bundle, Bundles, DecisionRecord, Event, Findings, Labels, Metrics, Outcome,
    Record,
};
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::current::{CurrentToken, Difference};
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::{Caller, HashKey};
use crate::guard::{self, Call, Head};
use crate::policy::input::{
    self, Attributes, AttributesAddress, AttributesHttp, AttributesRequest, AttributesSource,
    CallerToken, Change, Current, Environment, Envoy, Settings, SocketAddress, Target,
};
use crate::policy::{Evaluator, Input, Judged, Verdict};

/// Makes every record of one request, under one decision id.
pub(super) struct Recorder {
    pub(super) decision_id: Redacted,
    pub(super) request_id: Redacted,
    client_id: Option<Redacted>,
    peer: Redacted,
    method: Redacted,
    path: Redacted,
    version: http::Version,
    caller: Option<Caller>,
    operation: Option<Operation>,
    revision: String,
    payer: Payer,
    redactor: Redactor,
}

impl Recorder {
    pub(super) fn new(
        key: &HashKey,
        revision: &str,
        started: &Started,
        parts: &Parts,
        head: Option<&Head>,
    ) -> Self {
        let caller = match head {
            Some(head) => head.caller().cloned(),
            None => guard::caller(parts, key),
        };
        Self {
            payer: Payer::new(
                guard::credential_name(parts, key),
                started.address(),
                caller.clone(),
            ),
            decision_id: Uuid::now_v7().into(),
            request_id: started.id.clone(),
            client_id: started.client_id.clone(),
            peer: started.peer(),
            method: started.method_shown(),
            path: head.map_or_else(
                || started.path(),
                |head| started.redactor.path(&head.path().public()),
            ),
            redactor: started.redactor.clone(),
            version: started.version,
            caller,
            operation: head.map(|head| head.path().endpoint().operation),
            revision: revision.to_owned(),
        }
    }

    /// Makes what the request says writable.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(super) fn operation(&self) -> &'static str {
        self.operation.map_or("unknown", Operation::as_str)
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

    /// The document that policies judge.
    pub(super) fn input(
        &self,
        call: &Call,
        environment: Environment,
        parts: &Parts,
        found: Option<&Found>,
        with_envoy: bool,
        time: jiff::Timestamp,
    ) -> Input {
        let path = call.head().path();
        Input {
            operation: self.operation().to_owned(),
            api: path.endpoint().api.as_str().to_owned(),
            environment,
            caller: input::Caller {
                address: self.peer.to_string(),
                token: self.caller.as_ref().map(|caller| CallerToken {
                    id: caller.id.to_string(),
                    kind: caller.kind.as_str().to_owned(),
                }),
                certificate: None,
            },
            token: path.token().map(|token| Target {
                id: token.id().to_string(),
                current: found
                    .and_then(|found| found.current.as_ref())
                    .map(|token| current(token, &self.redactor)),
                lookup_error: found
                    .and_then(|found| found.error.as_ref())
                    .map(|error| self.redactor.text(&error.to_string()).to_string()),
            }),
            change: change(
                call,
                found.and_then(|found| found.current.as_ref()),
                &self.redactor,
            ),
            settings: settings(call),
            unknown_members: (*self.redactor.members(&call.understood().unknown_members)).clone(),
            time,
            envoy: with_envoy.then(|| self.envoy(call, parts)),
        }
    }

    fn envoy(&self, call: &Call, parts: &Parts) -> Envoy {
        let host = parts
            .headers
            .get(http::header::HOST)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let host = host.or_else(|| {
            parts
                .uri
                .authority()
                .map(|authority| authority.as_str().into())
        });
        Envoy {
            attributes: Attributes {
                request: AttributesRequest {
                    http: AttributesHttp {
                        method: self.method.to_string(),
                        path: self.path.to_string(),
                        host: self.redactor.text(&host.unwrap_or_default()).to_string(),
                        headers: public_headers(&parts.headers, self.redactor()),
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
            parsed_path: self
                .path
                .trim_start_matches('/')
                .split('/')
                .map(str::to_owned)
                .collect(),
            parsed_query: parsed_query(call, self.redactor()),
            parsed_body: (*self.redactor.json(&call.understood().body)).clone(),
            truncated_body: false,
        }
    }

    /// The record of a judged request.
    pub(super) fn decision(&self, judged: &Judged<Addressed>, input: &Input) -> DecisionRecord {
        let (decision, call) = (judged.decision(), &judged.subject().call);
        let allowed = decision.verdict == Verdict::Allow;
        // A policy writes what it likes.
        let violations = decision.violations.iter();
        let violations: Vec<_> = violations.map(|found| self.redactor.all(found)).collect();
        let remedy = decision.remedy.as_deref();
        let remedy = remedy.map(|remedy| self.redactor.all(remedy));
        let evaluation = u64::try_from(decision.evaluation.as_nanos()).unwrap_or(u64::MAX);
        let event = event::Decision {
            input: Some(input),
            result: Findings {
                allow: allowed,
                violations: &violations,
                remedy: remedy.as_ref(),
            },
            metrics: Metrics {
                evaluation_ns: Some(evaluation),
            },
            evaluator: Some(decision.evaluator).filter(|who| *who != Evaluator::Interpreter),
            verdict: verdict(decision.verdict),
            request: event::Request {
                received_sha256: Some(call.received_sha256()),
                forwarded_sha256: allowed.then(|| call.forwarded_sha256()),
                ..self.request()
            },
            ..self.refused(input.time)
        };
        event.record()
    }

    /// The record of a request that was refused before policies could see it.
    pub(super) fn refusal(&self, reason: &Reason, time: jiff::Timestamp) -> DecisionRecord {
        let error = self.redactor.text(&reason.to_string());
        let event = event::Decision {
            operation: reason.operation().or(self.operation).map(Operation::as_str),
            error: Some(&error),
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
            requested_by: &self.peer,
            verdict: "deny",
            operation: self.operation.map(Operation::as_str),
            caller: self.caller.as_ref().map(|caller| event::Caller {
                id: &caller.id,
                kind: caller.kind.as_str(),
            }),
            request: self.request(),
            error: None,
        }
    }

    fn request(&self) -> event::Request<'_> {
        event::Request {
            id: &self.request_id,
            client_id: self.client_id.as_ref(),
            method: &self.method,
            path: &self.path,
            received_sha256: None,
            forwarded_sha256: None,
        }
    }

    /// The record of what became of an allowed request.
    pub(super) fn outcome(
        &self,
        time: jiff::Timestamp,
        decision_seq: u64,
        outcome: Answer,
        status: Option<u16>,
        detail: Option<&Redacted>,
        elapsed: Duration,
    ) -> Record {
        let event = Event::Outcome(Outcome {
            timestamp: time,
            decision_id: &self.decision_id,
            decision_seq,
            outcome,
            status,
            detail,
            duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
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
        headers::for_upstream_with_body(&mut headers, self.version, &self.request_id, has_body);
        headers
    }
}

fn settings(call: &Call) -> Option<Settings> {
    let schemas = &call.understood().schemas;
    (!schemas.is_empty()).then(|| Settings {
        schemas: schemas.iter().map(|schema| (*schema).to_owned()).collect(),
    })
}

/// As OPA-Envoy has it: per name all values. The credential is not among them.
fn parsed_query(call: &Call, redactor: &Redactor) -> Map<String, Value> {
    let mut query: Map<String, Value> = Map::new();
    for (name, value) in call.head().parameters() {
        let values = query
            .entry(redactor.text(name).to_string())
            .or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(redactor.text(value)));
        }
    }
    query
}

fn change(call: &Call, current: Option<&CurrentToken>, redactor: &Redactor) -> Change {
    let requested = call.change();
    let mut change = Change::default();
    change.name.requested.clone_from(&requested.name);
    change.enabled.requested = requested.enabled;
    change.scopes.requested.clone_from(&requested.scopes);
    change
        .expiration
        .requested
        .clone_from(&requested.expiration);
    change.personal.requested = requested.personal;
    let difference = match current {
        Some(current) => {
            change.name.current = current
                .name
                .as_deref()
                .map(|name| redactor.text(name).to_string());
            change.enabled.current = current.enabled;
            change.scopes.current = Some(current.scopes.clone());
            let difference = current.difference(requested);
            let differs = difference.differs.iter().map(|&member| member.to_owned());
            change.differs = Some(differs.collect());
            difference
        }
        None if call.head().path().endpoint().operation.makes_token() => {
            Difference::of_creation(requested)
        }
        None => return change,
    };
    change.scopes.added = Some(difference.added);
    change.scopes.removed = Some(difference.removed);
    change.scopes.kept = Some(difference.kept);
    change
}

/// What Dynatrace tells of a token; people put secrets into names too.
fn current(token: &CurrentToken, redactor: &Redactor) -> Current {
    let shown = |text: &str| redactor.text(text).to_string();
    let text = |text: &Option<String>| text.as_deref().map(shown);
    Current {
        id: text(&token.id),
        name: text(&token.name),
        enabled: token.enabled,
        owner: text(&token.owner),
        scopes: token.scopes.iter().map(|scope| shown(scope)).collect(),
        personal: token.personal,
        expiration: text(&token.expiration),
    }
}

/// Header fields that may be shown: none that is made to carry a secret.
fn public_headers(headers: &HeaderMap, redactor: &Redactor) -> Map<String, Value> {
    let shown = headers.iter().filter_map(|(name, value)| {
        let value = redactor.header(name.as_str(), value.to_str().ok()?)?;
        Some((name.as_str().to_owned(), json!(value)))
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
