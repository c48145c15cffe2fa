//! The data plane: the request path, from a head to an answer.
//!
//! ```text
//! route ─┬─ open ─ slot ─────────────────────────────────────────────────► stream
//!        └─ guarded ─ body ─ slot ─ call ─ look up ─ judge ─ record ─┬─► forward ─ record outcome ─► answer
//!                                                                    └─► refuse
//! ```
//!
//! No slot is held while the gate waits for a client. A guarded request runs in a task of its own: hyper drops a
//! handler whose client hangs up, and nobody may cancel a write between its record and its outcome. Before its record
//! a request ends with its client, and that is recorded.

mod answer;
mod birth;
mod bodies;
mod budget;
pub mod challenger;
mod client;
mod consider;
pub mod credential;
mod cut;
mod echo;
pub mod environment;
mod granted;
mod headers;
mod identify;
mod ledger;
mod limits;
mod line;
pub mod lookup;
mod masking;
mod open;
mod pace;
mod permit;
mod pool;
mod quota;
mod recent;
mod record;
mod refusal;
mod rehearsal;
mod rejection;
mod route;
mod service;
mod set;
mod story;
mod sums;
mod traced;
mod turns;
mod unseen;
pub mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::audit::event::Record;
use crate::dynatrace::birth::Birth;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::token::HashKey;
use crate::grant::Grants;
use crate::listener::{Body, Tracker, full};
use crate::policy::{Decision, POLICY_ERROR};
use crate::store::{TurnError, Turns};
use crate::telemetry::{AccessLog, Limit, Metrics, Step, Telemetry, Tracer};
use answer::{decision_header, decision_of, passed_on, verdict, warn};
use challenger::Challenger;
use consider::{Asked, Considered};
use cut::Cut;
use environment::Environments;
use identify::Identity;
pub use ledger::Ledger;
pub use limits::Config;
use lookup::Found;
use permit::Permit;
use recent::{Counting, Spent};
pub use recent::{Counts, Recent};
use record::{Recorder, Recording};
pub use rehearsal::{
    Before, Failures, Opinion, Reading, Setting, Supposal, SupposeError, Supposed, Supposition,
    Unknown, Unsent, reads_envoy, rehearse, rehearse_all, status,
};
use rejection::{Reason, Rejection};
use route::{Routed, Unrouted};
pub use service::Service;
pub use set::{Set, Wanted};
use story::{Started, Story, log};
pub use unseen::UnknownWrites;
pub use upstream::Reached;
use upstream::{Upstream, UpstreamError};

/// Everything the request path needs: one for every thread, and another one after a reload.
pub struct Gateway {
    set: Arc<Set>,
    /// Those of the set, with connections of this thread.
    environments: Environments,
    shared: Arc<Shared>,
}

/// What all threads have together and no reload changes.
pub struct Shared {
    audit: Audit,
    ledger: Ledger,
    cut: Cut,
    /// How many records are masked at once.
    masking: Arc<Semaphore>,
    metrics: Metrics,
    access: AccessLog,
    key: HashKey,
    now: fn() -> jiff::Timestamp,
    /// Runs every detached request, so that a drain waits for it.
    tracker: Tracker,
    traces: Tracer,
    outside: Outside,
}

/// What others know that requests are refused for, or pass by.
pub struct Outside {
    /// Where several gates take turns.
    pub fleet: Option<Turns>,
    /// Why changes are refused because the policies may be out of date. None: they are not.
    pub stale: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What lets pass once what policies deny.
    pub grants: Grants,
    /// Policies that are asked beside those in force.
    pub challenger: Challenger,
    /// What callers did within the last hour.
    pub recent: Recent,
}

impl Shared {
    pub fn new(
        audit: Audit,
        ledger: Ledger,
        telemetry: Telemetry,
        key: HashKey,
        now: fn() -> jiff::Timestamp,
        tracker: Tracker,
        outside: Outside,
    ) -> Self {
        let Telemetry {
            metrics,
            access,
            traces,
        } = telemetry;
        Self {
            audit,
            ledger,
            cut: Cut::new(key.clone(), metrics.clone()),
            masking: Arc::new(Semaphore::new(MASKED_AT_ONCE)),
            metrics,
            access,
            key,
            now,
            tracker,
            traces,
            outside,
        }
    }
}

/// What became of a request that was not refused.
enum Admitted {
    Answered(Response<Body>),
    /// Another set is in force, and nothing has happened yet.
    Superseded(Arrived),
}

/// A request as it came. Its head is behind a pointer: every step hands it on, and none copies it.
struct Arrived {
    parts: Box<Parts>,
    body: Body,
}

impl From<Request<Body>> for Arrived {
    fn from(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            parts: Box::new(parts),
            body,
        }
    }
}

impl Gateway {
    pub fn new(set: Arc<Set>, shared: Arc<Shared>) -> Self {
        Self {
            environments: set.environments.twin(),
            set,
            shared,
        }
    }

    /// The same gateway with another set. Connections to upstreams that are still the same go on.
    fn with(&self, set: Arc<Set>) -> Self {
        Self {
            environments: set.environments.with_connections_of(&self.environments),
            set,
            shared: self.shared.clone(),
        }
    }

    pub fn into_service(self) -> Service {
        Service::new(self)
    }

    /// Answers any request, and logs one line about it, unless it was refused like too many others. Gives the request
    /// back when another set is in force before the decision about it was recorded: that one has to answer it.
    async fn answer(self: Arc<Self>, request: Arrived) -> Result<Response<Body>, Arrived> {
        let trace = self.shared.traces.trace(&request.parts.headers);
        let has_body = !request.body.is_end_stream();
        let started = Started::of(&request.parts, has_body, &self.set.forwarded, trace);
        started.forwarded().count(&self.shared.metrics);
        let _in_flight = self.shared.metrics.begin();
        let mut story = Story::default();
        let mut logged = true;
        let answered = match self.clone().admit(request, &started, &mut story).await {
            Ok(Admitted::Superseded(request)) => {
                started.trace.discard();
                return Err(request);
            }
            Ok(Admitted::Answered(response)) => Ok(response),
            Err(rejection) => Err(rejection),
        };
        let response = answered.unwrap_or_else(|rejection| {
            if let Some(limit) = rejection.reason.limit() {
                self.shared.metrics.reached(limit);
            }
            logged = self.is_logged(&started, &rejection);
            let kind = rejection.reason.kind();
            started.trace.tell(|said| said.set("dtgate.refusal", kind));
            story.error = Some(rejection.text(&started.redactor));
            // What was forwarded was allowed, whatever became of it.
            let forwarded = matches!(rejection.reason, Reason::Upstream(_));
            story.verdict = (story.guarded && forwarded).then_some("allow");
            story.decision_id = rejection
                .decision_id
                .clone()
                .or_else(|| story.decision_id.take());
            let policies = rejection.reason.policies().join(", ");
            story.policies = (!policies.is_empty()).then(|| started.redactor.text(&policies));
            let ask = self.how_to_ask(&rejection);
            let mut response = rejection.into_response(
                &started.id,
                started.has_body,
                ask.as_deref(),
                &started.redactor,
            );
            headers::for_client(response.headers_mut(), started.version, &started.id);
            decision_header(response.headers_mut(), story.decision_id.as_ref());
            response
        });
        self.shared.metrics.request(
            story.guarded,
            story.operation,
            &started.method,
            response.status(),
        );
        let pseudonyms = self.shared.audit.pseudonyms();
        let values = pseudonyms.map(|it| it.of_caller(&started.peer(), &story.caller));
        let (trace, status) = (&started.trace, response.status());
        trace.answered(|said| traced::request(said, &started, &story, status, values.as_ref()));
        if logged && self.shared.access.is_on() {
            log(
                (&self.shared.access, (self.shared.now)()),
                values.as_ref(),
                &started,
                &story,
                &response,
                &self.shared.cut,
            );
        }
        Ok(response)
    }

    async fn admit(
        self: Arc<Self>,
        Arrived { mut parts, body }: Arrived,
        started: &Started,
        story: &mut Story,
    ) -> Result<Admitted, Rejection> {
        if parts.method == Method::CONNECT {
            return Err(Reason::Connect.into());
        }
        let trace = &started.trace;
        let mut identity = Identity::of(&parts);
        trace.step(Step::Identify);
        let identified = self.identify(&mut parts, &mut identity, started.address());
        let routed = match identified.await {
            Ok(()) => {
                trace.step(Step::Route);
                self.route(started, &mut parts, &mut identity, body).await
            }
            Err(reason) => Err(reason.into()),
        };
        let revision = self.set.policy.revision();
        let recorder = Recording {
            key: &self.shared.key,
            revision,
            started,
            tells_caller: self.set.grants.is_some(),
        };
        let gateway = self.clone();
        let answered = match routed {
            Ok(Routed::Open(open)) => {
                let passed = self.pass(parts, open, &identity, started, story);
                return Ok(Admitted::Answered(passed.await?));
            }
            Ok(Routed::Guarded(environment, head, body)) => {
                story.environment = Some(environment.clone());
                story.guarded = true;
                story.operation = Some(head.path().endpoint().operation.as_str());
                let reached = Some(environment.clone());
                let recorder = recorder.of(&parts, Some(&head), reached, identity);
                story.caller = recorder.caller();
                let asked = Asked {
                    address: started.address(),
                    environment,
                    head: *head,
                    parts,
                    body,
                };
                self.detached(async move |client| gateway.guarded(recorder, asked, client).await)
                    .await
            }
            Err(Unrouted { reason, operation }) => {
                story.guarded = true;
                story.operation = operation.map(Operation::as_str);
                let environment = self.environments.open(&parts);
                story.environment = environment.ok().map(|(environment, _target)| environment);
                let reached = story.environment.clone();
                self.find_teams_by_head(&mut identity, &parts);
                let recorder = recorder.of(&parts, None, reached, identity);
                let recorder = recorder.about(operation);
                story.caller = recorder.caller();
                self.detached(async move |_| Err(gateway.refuse(&recorder, reason).await))
                    .await
            }
        };
        let admitted = answered?;
        if let Admitted::Answered(response) = &admitted {
            story.verdict = Some("allow");
            story.decision_id = decision_of(response.headers());
        }
        Ok(admitted)
    }

    /// Begins at once, runs on when the client hangs up, and learns of it. What is awaited is small: open traffic carries
    /// room for it about.
    fn detached<W, F, T>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Rejection>> + use<W, F, T>
    where
        W: FnOnce(CancellationToken) -> F,
        F: Future<Output = Result<T, Rejection>> + Send + 'static,
        T: Send + 'static,
    {
        let gone = CancellationToken::new();
        let while_it_waits = gone.clone().drop_guard();
        // Boxed: it is large, and a task is moved about before it begins and when it ends.
        let task = self.shared.tracker.spawn(Box::pin(work(gone)));
        async move {
            let answered = task.await;
            drop(while_it_waits);
            answered.unwrap_or_else(|_panic| Err(Reason::Panic.into()))
        }
    }

    /// The way of one guarded request. Every step takes what only the step before can make.
    async fn guarded(
        &self,
        recorder: Recorder,
        asked: Asked,
        client: CancellationToken,
    ) -> Result<Admitted, Rejection> {
        // Until it is recorded a request ends with its client. From there on nobody ends it.
        let recorder = Arc::new(recorder);
        let trace = recorder.trace();
        let considering = Box::pin(self.consider(&recorder, asked));
        let considered = client.run_until_cancelled(considering).await;
        let Considered {
            judged,
            input,
            counting,
            found,
            parts,
            received,
            held: (slot, _memory),
        } = match considered.unwrap_or(Err(Reason::Gone)) {
            Ok(considered) => considered,
            Err(reason) => return Err(Box::pin(self.refuse(&recorder, reason)).await),
        };
        let (judged, claim) = self.granted(&recorder, judged, &input);
        let spent = counting.filter(|_| judged.is_allowed());
        let spent = spent.map(Counting::spend);
        self.count(&recorder, judged.decision());
        let evaluation = judged.decision().evaluation;
        trace.tell_step(|said| traced::judged(said, judged.decision()));
        trace.step(Step::Record);
        // What is denied changes nothing, whoever has the turn.
        if let Some(found) = found.as_ref().filter(|_| judged.is_allowed())
            && !found.is_ours().await
        {
            return Err(Box::pin(self.refuse(&recorder, TurnError::Lost.into())).await);
        }
        let is_alone = found.as_ref().is_some_and(Found::is_alone);
        let event = recorder.decision(&judged, &input, is_alone, spent.as_ref());
        let missing = found.as_ref().is_some_and(Found::is_missing);
        let recording = self.decided_by(claim, &recorder, judged, event, missing, input);
        let durable = Box::pin(recording).await;
        let id = durable.is_ok().then_some(&recorder.decision_id);
        self.shared.metrics.evaluated(evaluation, id);
        let durable = match durable {
            Err(rejection) if rejection.reason.is_superseded() => {
                let mut parts = parts;
                recorder.identity().give_back(&mut parts.headers);
                let body = full(received);
                return Ok(Admitted::Superseded(Arrived { parts, body }));
            }
            durable => durable?,
        };
        let sequence = durable.sequence();
        let (permit, decision) = Permit::grant(durable).map_err(|decision| Rejection {
            reason: refusal::denied(decision, missing),
            decision_id: Some(recorder.decision_id.clone()),
            counted: false,
        })?;
        self.shared.metrics.goes_on(is_alone);
        let counted = spent.map(Spent::sent);
        trace.step(Step::Forward);
        trace.tell_step(|said| traced::sends(said, &parts.method, permit.environment()));
        let birth = Birth::of(permit.call().head().path().endpoint().operation);
        let (answer, elapsed) = self.send(&recorder, permit, parts.headers).await;
        let (answer, became) = self.became(birth, answer, recorder.redactor()).await;
        if let Some(counted) = counted {
            counted.came_to(&became);
        }
        if became.is_success() {
            self.shared.ledger.accept(recorder.payer());
        }
        trace.tell_step(|said| traced::forwarded(said, &became));
        trace.step(Step::RecordOutcome);
        let event = recorder.outcome((self.shared.now)(), sequence, &became, elapsed);
        self.record_outcome(&recorder, event).await;
        let response = answer.map_err(|error| Rejection {
            reason: error.into(),
            decision_id: Some(recorder.decision_id.clone()),
            counted: false,
        })?;
        let mut response = passed_on(response, slot, &recorder.request_id, self.shared.now);
        decision_header(response.headers_mut(), Some(&recorder.decision_id));
        if warn(response.headers_mut(), &decision, recorder.redactor()) {
            self.shared.metrics.reached(Limit::Warnings);
        }
        Ok(Admitted::Answered(response))
    }

    /// Sends what may be sent: the answer, and how long it took to begin.
    async fn send(
        &self,
        recorder: &Recorder,
        permit: Permit,
        headers: HeaderMap,
    ) -> (Result<Response<Body>, UpstreamError>, Duration) {
        let mut headers = recorder.upstream_headers(headers, permit.call());
        recorder.trace().pass_on(&mut headers);
        let lent = permit.call().head().lent().cloned();
        let sent = Instant::now();
        let answer = Upstream::forward(permit, headers).await;
        let answer = answer.and_then(|answer| echo::withhold(answer, lent.as_ref()));
        let elapsed = sent.elapsed();
        let metrics = &self.shared.metrics;
        metrics.upstream_answered(elapsed, Some(&recorder.decision_id));
        (answer, elapsed)
    }

    fn count_record(&self, recorder: &Recorder, waiting: Instant, durable: bool) {
        let metrics = &self.shared.metrics;
        if durable {
            metrics.recorded(waiting.elapsed(), &recorder.decision_id);
        } else {
            metrics.record_failed();
        }
    }

    /// The change has happened, or may have: the caller gets the true answer even when the outcome
    /// cannot be recorded. The journal then shows the decision as in doubt.
    async fn record_outcome(&self, recorder: &Recorder, outcome: Record) {
        let waiting = Instant::now();
        let written = self.shared.audit.record(outcome).await;
        self.count_record(recorder, waiting, written.is_ok());
        if let Err(error) = written {
            tracing::error!(%error, decision_id = %recorder.decision_id, "an outcome is not recorded");
        }
    }

    fn count(&self, recorder: &Recorder, decision: &Decision) {
        let verdict = verdict(decision.verdict);
        let metrics = &self.shared.metrics;
        metrics.decision(recorder.operation(), verdict);
        for violation in &decision.violations {
            metrics.violation(&violation.policy, &violation.mode.to_string());
            if violation.code.as_deref() == Some(POLICY_ERROR) {
                metrics.policy_failed();
            }
        }
    }
}

/// Records that are masked at once: enough for all cores of most machines, and each takes as long as a policy may.
const MASKED_AT_ONCE: usize = 16;
