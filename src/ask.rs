//! Questions before a request: what do the policies say about this, and what would become of that?
//!
//! | path                                  | asked by               | answer                                    |
//! | ------------------------------------- | ---------------------- | ----------------------------------------- |
//! | `/v1/data/…`                          | OPA's data API         | a document of policies and data           |
//! | `/access/v1/evaluation`               | `AuthZEN` 1.0          | whether a request would pass, and why not |
//! | `/access/v1/evaluations`              | the same, about several |                                          |
//! | `/.well-known/authzen-configuration`  | the same               | where these are                           |
//!
//! For operators, and off unless they say otherwise. It guarantees that asking opens no door, writes no record, reads no
//! more than so many bytes for so long, keeps no more than so many threads busy and no more than so many answers in
//! memory; that no page in a browser asks by a name of its own; and that what looks like a secret is in no answer. All
//! other paths are for whoever stands behind it.

mod authzen;
mod data;
mod refusal;
mod reply;
mod request;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tower::Service;

use refusal::Refusal;

use crate::admin::{Config, is_asked_by_name};
use crate::dynatrace::redact::Redactor;
use crate::gateway::{Counts, Set};
use crate::listener::Body;
use crate::telemetry::Metrics;
use crate::value::threads;

/// What judges now.
pub type InForce = Arc<dyn Fn() -> Arc<Set> + Send + Sync>;

/// Why changes are refused whatever the policies say, if they are.
pub type Stale = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What questions are answered with.
#[derive(Clone)]
pub struct Gate {
    pub in_force: InForce,
    pub stale: Stale,
    /// What callers did before.
    pub counts: Counts,
    pub metrics: Metrics,
    pub now: fn() -> jiff::Timestamp,
    /// Lets requests go before the thread that calls it.
    pub step_back: fn(),
}

/// Answers questions, and leaves everything else to `rest`.
#[derive(Clone)]
pub struct Ask<S> {
    rest: S,
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    gate: Gate,
    /// Bodies that are read, and answers that are sent, at once.
    bodies: Arc<Semaphore>,
    /// Questions that are thought about at once.
    questions: Arc<Semaphore>,
}

/// Who asks how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Api {
    /// OPA's data API.
    Data,
    /// `AuthZEN`, about one request.
    Evaluation,
    /// The same about several.
    Evaluations,
    /// Where to ask.
    Discovery,
}

/// What is thought about where it stops nobody.
struct Question {
    api: Api,
    parts: Parts,
    body: Bytes,
    set: Arc<Set>,
    stale: Stale,
    counts: Counts,
    now: jiff::Timestamp,
    is_pretty: bool,
    most_evaluations: usize,
}

/// A status, and what is answered.
type Answer = (StatusCode, Value);

impl<S> Ask<S> {
    pub fn new(rest: S, config: &Config, gate: Gate) -> Self {
        let questions = usize::from(config.max_questions.get());
        let shared = Shared {
            config: config.clone(),
            gate,
            bodies: Arc::new(Semaphore::new(BODIES_A_QUESTION * questions)),
            questions: Arc::new(Semaphore::new(questions)),
        };
        Self {
            rest,
            shared: Arc::new(shared),
        }
    }
}

impl<S> Service<Request<Body>> for Ask<S>
where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rest.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        match (self.shared.api(path), switch(path)) {
            // It is off, or it would be answered.
            (None, Some(key)) => Box::pin(std::future::ready(Ok(reply::off(key)))),
            (None, None) => Box::pin(self.rest.call(request)),
            (Some(api), _) => {
                let shared = self.shared.clone();
                Box::pin(async move { Ok(shared.answer(api, request).await) })
            }
        }
    }
}

impl Shared {
    /// Who asks, where that is answered at all.
    fn api(&self, path: &str) -> Option<Api> {
        let Config {
            data_api, authzen, ..
        } = self.config;
        match path {
            EVALUATION if authzen => Some(Api::Evaluation),
            EVALUATIONS if authzen => Some(Api::Evaluations),
            DISCOVERY if authzen => Some(Api::Discovery),
            _ if data_api && (path == DATA || path.starts_with(BELOW_DATA)) => Some(Api::Data),
            _ => None,
        }
    }

    async fn answer(&self, api: Api, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (id, is_pretty) = (request_id(&parts), is_pretty(&parts));
        let allowed = self.is_asked(&parts);
        let answered = match allowed.and_then(|()| api.allows(&parts.method)) {
            Ok(()) => self.think(api, parts, body).await,
            Err(refusal) => Err(refusal),
        };
        let result = match &answered {
            Ok(_) => "answered",
            Err(Refusal::Busy | Refusal::Failed(_) | Refusal::Long) => "failed",
            Err(_) => "refused",
        };
        self.gate.metrics.asked(api.name(), result);
        if let Some(limit) = answered.as_ref().err().and_then(Refusal::limit) {
            self.gate.metrics.reached(limit);
        }
        let mut response = match answered {
            Ok((status, text)) => reply::response(status, text),
            Err(refusal) => refusal.respond(api, is_pretty),
        };
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    fn is_asked(&self, parts: &Parts) -> Result<(), Refusal> {
        is_asked_by_name(parts, &self.config.hosts)
            .then_some(())
            .ok_or(Refusal::Host)
    }

    async fn think(
        &self,
        api: Api,
        parts: Parts,
        body: Body,
    ) -> Result<(StatusCode, Bytes), Refusal> {
        let is_pretty = is_pretty(&parts);
        if api == Api::Discovery {
            let value = authzen::configuration(&parts)?;
            return Ok((StatusCode::OK, reply::written(&value, is_pretty)?.into()));
        }
        // Until the last byte of the answer is sent: what waits holds its body, and then its answer.
        let place = timeout(PATIENCE, self.bodies.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Refusal::Busy);
        };
        let body = self.read(&parts, body).await?;
        let questions = self.questions.clone();
        let turn = timeout(PATIENCE, questions.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Refusal::Busy);
        };
        let question = Question {
            api,
            parts,
            body,
            set: (self.gate.in_force)(),
            stale: self.gate.stale.clone(),
            counts: self.gate.counts.clone(),
            now: (self.gate.now)(),
            is_pretty,
            most_evaluations: usize::from(self.config.max_evaluations.get()),
        };
        let Gate {
            metrics, step_back, ..
        } = self.gate.clone();
        let (done, thought) = oneshot::channel();
        let thinking = move || {
            step_back();
            let answered = question.answer(&metrics);
            // Also where the client has gone: the thread was busy until now.
            drop(turn);
            let held = answered.map(|(status, text)| (status, reply::held(text, place)));
            let _gone = done.send(held);
        };
        // One of its own: a thread that has stepped back cannot come forward again.
        let thread = threads::named("question");
        if let Err(error) = thread.spawn(thinking) {
            return Err(Refusal::Failed(format!("no thread can be had: {error}")));
        }
        let fault = |_panic| Refusal::Failed("dtgate has a fault (its log says where)".to_owned());
        thought.await.map_err(fault)?
    }

    /// The whole body, or none of it.
    async fn read(&self, parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return Err(Refusal::Invalid(
                "the body must not be compressed (Content-Encoding)".to_owned(),
            ));
        }
        let most = self.config.max_body.as_usize();
        let reading = Limited::new(body, most).collect();
        match timeout(BODY_TIMEOUT, reading).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLong(most)),
            Ok(Err(_broken)) => Err(Refusal::Broken),
            Err(_late) => Err(Refusal::Late),
        }
    }
}

impl Question {
    /// The status, and the text: both are made here, and nothing of it on a thread that moves bytes.
    fn answer(&self, metrics: &Metrics) -> Result<(StatusCode, Vec<u8>), Refusal> {
        let (status, value) = match self.api {
            Api::Data => data::answer(self),
            Api::Evaluation => authzen::evaluation(self),
            Api::Evaluations | Api::Discovery => authzen::evaluations(self, metrics),
        }?;
        Ok((status, reply::written(&value, self.is_pretty)?))
    }
}

impl Api {
    /// In the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Evaluation | Self::Evaluations | Self::Discovery => "authzen",
        }
    }

    fn allows(self, method: &Method) -> Result<(), Refusal> {
        let (is_allowed, allowed) = match self {
            Self::Data => (matches!(*method, Method::GET | Method::POST), "GET, POST"),
            Self::Discovery => (*method == Method::GET, "GET"),
            Self::Evaluation | Self::Evaluations => (*method == Method::POST, "POST"),
        };
        let shown = match *method {
            // Who sends a long one has no need to read it again.
            ref method if method.as_str().len() <= 20 => method.clone(),
            _ => Method::OPTIONS,
        };
        is_allowed
            .then_some(())
            .ok_or(Refusal::Method(shown, allowed))
    }
}

/// The key of the configuration that lets such a path be answered.
fn switch(path: &str) -> Option<&'static str> {
    match path {
        EVALUATION | EVALUATIONS | DISCOVERY => Some("admin.authzen"),
        _ if path == DATA || path.starts_with(BELOW_DATA) => Some("admin.data_api"),
        _ => None,
    }
}

/// The client's name of the request, where it may be repeated: `AuthZEN` wants it back.
fn request_id(parts: &Parts) -> Option<HeaderValue> {
    let value = parts.headers.get(REQUEST_ID)?;
    let text = value
        .to_str()
        .ok()
        .filter(|text| text.len() <= LONGEST_ID)?;
    (!Redactor::default().hides(text)).then(|| value.clone())
}

fn is_pretty(parts: &Parts) -> bool {
    let pretty = data::parameter(parts, "pretty");
    pretty.is_some_and(|value| matches!(&*value, "" | "true" | "1"))
}

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const DISCOVERY: &str = "/.well-known/authzen-configuration";
const DATA: &str = "/v1/data";
const BELOW_DATA: &str = "/v1/data/";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// As long as those that the gate writes down.
const LONGEST_ID: usize = 128;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a question waits for others.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bodies that are read, or have been, and answers that are sent, for each question that is answered.
const BODIES_A_QUESTION: usize = 4;
