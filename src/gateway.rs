//! The data plane: the request path, from a head to an answer.
//!
//! ```text
//! admit ─ route ─┬─ open ──────────────────────────────────────────────────► stream
//!                └─ guarded ─ call ─ look up ─ judge ─ record ─┬─► forward ─ record outcome ─► answer
//!                                                              └─► refuse
//! ```
//!
//! A guarded request runs in a task of its own: hyper drops a handler whose client hangs up, and nobody
//! may cancel a write between its record and its outcome.

mod answer;
mod budget;
mod cut;
pub mod environment;
mod headers;
mod ledger;
pub mod lookup;
mod pace;
mod permit;
mod pool;
mod record;
mod refusal;
mod rehearsal;
mod rejection;
mod service;
mod story;
mod sums;
mod turns;
pub mod upstream;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::audit::event::Record;
use crate::audit::{Audit, RecordError};
use crate::dynatrace::catalogue::{Catalogue, Operation};
use crate::dynatrace::token::{HashKey, redact};
use crate::guard::{self, Call, Head, Route, Sifted};
use crate::listener::{Body, Tracker, empty, full};
use crate::policy::{Decision, Input, Judged, Policy};
use crate::telemetry::Metrics;
use crate::value::{Duration, Size};
use answer::{became, decision_header, decision_of, passed_on, verdict, warn};
use cut::Cut;
use environment::{Addressed, Environment, Environments};
pub use ledger::Ledger;
use lookup::{Asking, Found, Lookup};
use permit::Permit;
use record::Recorder;
pub use rehearsal::{reads_envoy, rehearse};
use rejection::{Reason, Rejection};
pub use service::Service;
use story::{Started, Story, log};
use upstream::Upstream;

/// What one request may cost.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The longest body of a guarded request.
    pub body: Size,
    /// The longest body of a write of settings, which is read to know whether it is guarded.
    pub settings_body: Size,
    /// How long a guarded request's body may take to arrive.
    pub body_timeout: Duration,
    /// Requests whose answer has not begun; more are answered 503.
    pub in_flight: usize,
    /// Refusals of one caller that are recorded a minute; more are counted.
    pub refusals: NonZeroU32,
    /// Denials of one caller that are recorded a minute; more are answered 429, and counted.
    pub denials: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body: Size::from_kib(64),
            // Dynatrace accepts 1 MB.
            settings_body: Size::from_kib(1024),
            body_timeout: Duration::from_secs(10),
            in_flight: 1024,
            refusals: NonZeroU32::new(60).expect("more than none"),
            denials: NonZeroU32::new(600).expect("more than none"),
        }
    }
}

/// Everything the request path needs. Built by `app`, with a twin for every thread.
pub struct Gateway {
    limits: guard::Limits,
    catalogue: Arc<Catalogue>,
    slots: Arc<Semaphore>,
    environments: Environments,
    lookup: Lookup,
    policy: Policy,
    /// Decisions that may be made at once.
    judges: Arc<Semaphore>,
    /// Whether a policy reads the request in the shape of OPA-Envoy.
    reads_envoy: bool,
    audit: Audit,
    ledger: Ledger,
    cut: Cut,
    metrics: Metrics,
    key: HashKey,
    now: fn() -> jiff::Timestamp,
    /// Runs every detached request, so that a drain waits for it.
    tracker: Tracker,
}

/// The parts that a gateway is made of.
pub struct Parties {
    pub catalogue: Catalogue,
    pub environments: Environments,
    pub lookup: Lookup,
    pub policy: Policy,
    pub audit: Audit,
    pub ledger: Ledger,
    pub metrics: Metrics,
    pub key: HashKey,
    pub now: fn() -> jiff::Timestamp,
    pub tracker: Tracker,
}

/// What a request is, with the body that is still to be used.
enum Routed {
    Guarded(Arc<Environment>, Box<Head>, Body),
    Open(Body),
}

impl Gateway {
    pub fn new(config: &Config, parties: Parties) -> Self {
        Self {
            limits: config.read(),
            catalogue: Arc::new(parties.catalogue),
            slots: Arc::new(Semaphore::new(config.in_flight)),
            environments: parties.environments,
            lookup: parties.lookup,
            judges: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, usize::from),
            )),
            reads_envoy: reads_envoy(&parties.policy),
            policy: parties.policy,
            audit: parties.audit,
            ledger: parties.ledger,
            cut: Cut::new(parties.key.clone(), parties.metrics.clone()),
            metrics: parties.metrics,
            key: parties.key,
            now: parties.now,
            tracker: parties.tracker,
        }
    }

    /// The same gateway for another thread: only the connections to the upstream are not shared.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            limits: self.limits,
            catalogue: self.catalogue.clone(),
            slots: self.slots.clone(),
            environments: self.environments.twin(),
            lookup: self.lookup.clone(),
            policy: self.policy.clone(),
            judges: self.judges.clone(),
            reads_envoy: self.reads_envoy,
            audit: self.audit.clone(),
            ledger: self.ledger.clone(),
            cut: self.cut.clone(),
            metrics: self.metrics.clone(),
            key: self.key.clone(),
            now: self.now,
            tracker: self.tracker.clone(),
        }
    }

    pub fn into_service(self) -> Service {
        Service::new(self)
    }

    /// Answers any request, and logs one line about it, unless it was refused like too many others.
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let started = Started::of(&request);
        let _in_flight = self.metrics.begin();
        let mut story = Story::default();
        let mut logged = true;
        let answered = self.clone().admit(request, &started, &mut story).await;
        let response = answered.unwrap_or_else(|rejection| {
            if let Some(limit) = rejection.reason.limit() {
                self.metrics.reached(limit);
            }
            logged = self.is_logged(&started, &rejection);
            story.error = Some(redact(&rejection.to_string()));
            // What was forwarded was allowed, whatever became of it.
            let forwarded = matches!(rejection.reason, Reason::Upstream(_));
            story.verdict = (story.guarded && forwarded).then_some("allow");
            story.decision_id = rejection
                .decision_id
                .clone()
                .or_else(|| story.decision_id.take());
            let mut response = rejection.into_response(&started.id);
            headers::for_client(response.headers_mut(), started.version, &started.id);
            decision_header(response.headers_mut(), story.decision_id.as_deref());
            response
        });
        self.metrics.request(
            story.guarded,
            story.operation,
            &started.method,
            response.status(),
        );
        if logged {
            log(&started, &story, &response, &self.cut);
        }
        response
    }

    async fn admit(
        self: Arc<Self>,
        request: Request<Body>,
        started: &Started,
        story: &mut Story,
    ) -> Result<Response<Body>, Rejection> {
        // Goes with the work: a client that hangs up does not make room for another request's.
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(Reason::Busy.into());
        };
        if request.method() == Method::CONNECT {
            return Err(Reason::Connect.into());
        }
        let (parts, body) = request.into_parts();
        match self.route(&parts, body).await {
            Ok(Routed::Open(body)) => {
                let (environment, target) = self.environments.open(&parts).map_err(Reason::from)?;
                story.environment = Some(environment.clone());
                let request = Request::from_parts(parts, body);
                self.stream(&environment, target, request, started).await
            }
            Ok(Routed::Guarded(environment, head, body)) => {
                story.environment = Some(environment.clone());
                story.guarded = true;
                story.operation = Some(head.path().endpoint().operation.as_str());
                let recorder = Recorder::new(
                    &self.key,
                    self.policy.revision(),
                    started,
                    &parts,
                    Some(&head),
                );
                let tracker = self.tracker.clone();
                // Boxed: it is large, and a task is moved about before it begins and when it ends.
                let task = tracker.spawn(Box::pin(async move {
                    let answer = self
                        .guarded(recorder, environment, *head, parts, body)
                        .await;
                    drop(slot);
                    answer
                }));
                let (response, verdict) = task
                    .await
                    .unwrap_or_else(|_panic| Err(Reason::Panic.into()))?;
                story.verdict = Some(verdict);
                story.decision_id = decision_of(response.headers());
                Ok(response)
            }
            Err(reason) => {
                story.guarded = true;
                story.operation = reason.operation().map(Operation::as_str);
                let recorder =
                    Recorder::new(&self.key, self.policy.revision(), started, &parts, None);
                let tracker = self.tracker.clone();
                let task = tracker.spawn(Box::pin(async move {
                    let rejection = self.refuse(recorder, reason).await;
                    drop(slot);
                    rejection
                }));
                Err(task.await.unwrap_or_else(|_panic| Reason::Panic.into()))
            }
        }
    }

    /// Guarded or open; a body that had to be read for it is given back.
    async fn route(&self, parts: &Parts, body: Body) -> Result<Routed, Reason> {
        let (head, body) = match guard::head(parts, &self.catalogue, &self.key)? {
            Route::Guarded(head) => (head, body),
            Route::Open => return Ok(Routed::Open(body)),
            Route::Unsure(head) => match guard::sift(*head, body, self.limits).await? {
                Sifted::Guarded(head, body) => (head, full(body)),
                Sifted::Open(body) => return Ok(Routed::Open(full(body))),
            },
        };
        let environment = self.environments.guarded(parts, &head)?;
        guard::require_credential(parts, &head)?;
        Ok(Routed::Guarded(environment, head, body))
    }

    /// Open traffic: both bodies are streamed, nothing is kept.
    async fn stream(
        &self,
        environment: &Environment,
        target: PathAndQuery,
        mut request: Request<Body>,
        started: &Started,
    ) -> Result<Response<Body>, Rejection> {
        if !headers::may_forward(&started.method, request.headers_mut()) {
            let mut response = Response::new(empty());
            headers::for_client(response.headers_mut(), started.version, &started.id);
            return Ok(response);
        }
        headers::for_upstream(request.headers_mut(), started.version, &started.id);
        let sent = Instant::now();
        let response = environment.upstream.stream(target, request).await;
        let response = response.map_err(Reason::from)?;
        self.metrics.upstream_answered(sent.elapsed());
        Ok(passed_on(response, &started.id, (self.now)()))
    }

    /// The way of one guarded request. Every step takes what only the step before can make.
    async fn guarded(
        &self,
        recorder: Recorder,
        environment: Arc<Environment>,
        head: Head,
        parts: Parts,
        body: Body,
    ) -> Result<(Response<Body>, &'static str), Rejection> {
        let call = match guard::call(head, body, self.limits).await {
            Ok(call) => call,
            Err(error) => return Err(Box::pin(self.refuse(recorder, error.into())).await),
        };
        // Holds the token's turn until the upstream has answered.
        let found = self.look_up(&recorder, &environment, &call, &parts).await;
        let told = environment.input(call.head());
        let time = (self.now)();
        let input = recorder.input(&call, told, &parts, found.as_ref(), self.reads_envoy, time);
        let (judged, input) = self.judge(Addressed { call, environment }, input).await?;
        self.count(&recorder, judged.decision());
        let event = recorder.decision(&judged, &input);
        let missing = found.as_ref().is_some_and(Found::is_missing);
        let durable = self.decided(&recorder, judged, event, missing).await?;
        let sequence = durable.sequence();
        let (permit, decision) = Permit::grant(durable).map_err(|decision| Rejection {
            reason: refusal::denied(decision, missing),
            decision_id: Some(recorder.decision_id.clone()),
            counted: false,
        })?;
        let headers = recorder.upstream_headers(parts.headers, permit.call());
        let sent = Instant::now();
        let answer = Upstream::forward(permit, headers).await;
        let elapsed = sent.elapsed();
        self.metrics.upstream_answered(elapsed);
        let (outcome, status, detail) = became(&answer);
        let event = recorder.outcome(
            (self.now)(),
            sequence,
            outcome,
            status,
            detail.as_deref(),
            elapsed,
        );
        self.record_outcome(&recorder, event).await;
        let response = answer.map_err(|error| Rejection {
            reason: error.into(),
            decision_id: Some(recorder.decision_id.clone()),
            counted: false,
        })?;
        let mut response = passed_on(response, &recorder.request_id, (self.now)());
        decision_header(response.headers_mut(), Some(&recorder.decision_id));
        warn(response.headers_mut(), &decision);
        Ok((response, "allow"))
    }

    /// The token as it is, when a policy wants to know.
    async fn look_up(
        &self,
        recorder: &Recorder,
        environment: &Environment,
        call: &Call,
        parts: &Parts,
    ) -> Option<Found> {
        let asked = Instant::now();
        let looking = self.lookup.look(Asking {
            environment,
            call,
            parts,
            request_id: &recorder.request_id,
        });
        let found = looking.await?;
        self.metrics
            .looked_up(found.error.is_none(), asked.elapsed());
        Some(found)
    }

    /// Asks the policies: here, where the answer is quick and nobody objects; else off the threads that move
    /// bytes and not for more requests at once than there are cores, because a policy that runs to its time
    /// limit must not stall open traffic.
    async fn judge(
        &self,
        addressed: Addressed,
        input: Input,
    ) -> Result<(Judged<Addressed>, Input), Rejection> {
        let addressed = match self.policy.judge_quickly(addressed, &input) {
            Ok(judged) => return Ok((judged, input)),
            Err(addressed) => addressed,
        };
        let _turn = self.judges.acquire().await;
        let policy = self.policy.clone();
        tokio::task::spawn_blocking(move || (policy.judge(addressed, &input), input))
            .await
            .map_err(|_panic| Reason::Panic.into())
    }

    async fn record(&self, record: Record) -> Result<u64, RecordError> {
        let waiting = Instant::now();
        let recorded = self.audit.record(record).await;
        self.count_record(waiting, recorded.is_ok());
        recorded
    }

    fn count_record(&self, waiting: Instant, durable: bool) {
        if durable {
            self.metrics.recorded(waiting.elapsed());
        } else {
            self.metrics.record_failed();
        }
    }

    /// The change has happened, or may have: the caller gets the true answer even when the outcome
    /// cannot be recorded. The journal then shows the decision as in doubt.
    async fn record_outcome(&self, recorder: &Recorder, outcome: Record) {
        if let Err(error) = self.record(outcome).await {
            tracing::error!(%error, decision_id = %recorder.decision_id, "an outcome is not recorded");
        }
    }

    fn count(&self, recorder: &Recorder, decision: &Decision) {
        let verdict = verdict(decision.verdict);
        self.metrics
            .decision(recorder.operation(), verdict, decision.evaluation);
        for violation in &decision.violations {
            self.metrics
                .violation(&violation.policy, &violation.mode.to_string());
        }
    }
}

impl Config {
    fn read(&self) -> guard::Limits {
        guard::Limits {
            body: self.body.as_usize(),
            settings_body: self.settings_body.as_usize(),
            body_timeout: self.body_timeout.into(),
        }
    }
}
