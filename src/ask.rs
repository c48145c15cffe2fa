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
//! more than so many bytes for so long, and keeps no more than so many threads busy; and that what looks like a secret
//! is in no answer. All other paths are for whoever stands behind it.

mod authzen;
mod data;
mod request;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::Service;

use crate::admin::Config;
use crate::dynatrace::redact::Redactor;
use crate::gateway::Set;
use crate::listener::{Body, full};
use crate::telemetry::{Limit, Metrics};

/// What judges now.
pub type InForce = Arc<dyn Fn() -> Arc<Set> + Send + Sync>;

/// Answers questions, and leaves everything else to `rest`.
#[derive(Clone)]
pub struct Ask<S> {
    rest: S,
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    in_force: InForce,
    metrics: Metrics,
    now: fn() -> jiff::Timestamp,
    /// Bodies that are read at once.
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
    now: jiff::Timestamp,
    most_evaluations: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0} is not answered here, only {1}")]
    Method(Method, &'static str),
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    #[error("the body broke off")]
    Broken,
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    Late,
    #[error("as many questions are answered as may be at once: ask again")]
    Busy,
    #[error("{0}")]
    Invalid(String),
    /// Nothing is wrong with the question.
    #[error("{0}")]
    Failed(String),
}

/// A status, and what is answered.
type Answer = (StatusCode, Value);

impl<S> Ask<S> {
    pub fn new(
        rest: S,
        config: &Config,
        in_force: InForce,
        metrics: Metrics,
        now: fn() -> jiff::Timestamp,
    ) -> Self {
        let questions = usize::from(config.max_questions.get());
        let shared = Shared {
            config: config.clone(),
            in_force,
            metrics,
            now,
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
        match self.shared.api(request.uri().path()) {
            None => Box::pin(self.rest.call(request)),
            Some(api) => {
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
            "/access/v1/evaluation" if authzen => Some(Api::Evaluation),
            "/access/v1/evaluations" if authzen => Some(Api::Evaluations),
            "/.well-known/authzen-configuration" if authzen => Some(Api::Discovery),
            _ if data_api && (path == DATA || path.starts_with(BELOW_DATA)) => Some(Api::Data),
            _ => None,
        }
    }

    async fn answer(&self, api: Api, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (id, is_pretty) = (request_id(&parts), is_pretty(&parts));
        let answered = match api.allows(&parts.method) {
            Ok(()) => self.think(api, parts, body).await,
            Err(refusal) => Err(refusal),
        };
        let result = match &answered {
            Ok(_) => "answered",
            Err(Refusal::Busy | Refusal::Failed(_)) => "failed",
            Err(_) => "refused",
        };
        self.metrics.asked(api.name(), result);
        if let Some(limit) = answered.as_ref().err().and_then(Refusal::limit) {
            self.metrics.reached(limit);
        }
        let mut response = match answered {
            Ok((status, value)) => respond(status, &value, is_pretty),
            Err(refusal) => refusal.respond(api, is_pretty),
        };
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    async fn think(&self, api: Api, parts: Parts, body: Body) -> Result<Answer, Refusal> {
        if api == Api::Discovery {
            return authzen::configuration(&parts).map(|value| (StatusCode::OK, value));
        }
        // Until it is answered: what waits holds its body.
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
            set: (self.in_force)(),
            now: (self.now)(),
            most_evaluations: usize::from(self.config.max_evaluations.get()),
        };
        let metrics = self.metrics.clone();
        let thinking = move || {
            // Also where the client has gone: the thread is busy until then.
            let _held = (turn, place);
            match question.api {
                Api::Data => data::answer(&question),
                Api::Evaluation => authzen::evaluation(&question),
                Api::Evaluations | Api::Discovery => authzen::evaluations(&question, &metrics),
            }
        };
        let thought = tokio::task::spawn_blocking(thinking).await;
        thought.unwrap_or_else(|_panic| {
            Err(Refusal::Failed(
                "dtgate has a fault (its log says where)".to_owned(),
            ))
        })
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

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Method(..) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLong(_) => Some(Limit::QuestionBody),
            Self::Late => Some(Limit::QuestionTimeout),
            Self::Busy => Some(Limit::Questions),
            Self::Method(..) | Self::Broken | Self::Invalid(_) | Self::Failed(_) => None,
        }
    }

    /// By OPA's codes.
    fn code(&self) -> &'static str {
        match self {
            Self::Method(..) | Self::TooLong(_) | Self::Broken | Self::Late | Self::Invalid(_) => {
                "invalid_parameter"
            }
            Self::Busy | Self::Failed(_) => "internal_error",
        }
    }

    fn respond(&self, api: Api, is_pretty: bool) -> Response<Body> {
        let message = Redactor::default().text(&self.to_string()).cut(MOST_TEXT);
        let value = match api {
            Api::Data => json!({"code": self.code(), "message": message}),
            _ => json!({"error": {"status": self.status().as_u16(), "message": message}}),
        };
        let mut response = respond(self.status(), &value, is_pretty);
        let headers = response.headers_mut();
        match self {
            Self::Method(_, allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

fn respond(status: StatusCode, value: &Value, is_pretty: bool) -> Response<Body> {
    let mut text = if is_pretty {
        format!("{value:#}")
    } else {
        value.to_string()
    };
    text.push('\n');
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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

const DATA: &str = "/v1/data";
const BELOW_DATA: &str = "/v1/data/";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// As long as those that the gate writes down.
const LONGEST_ID: usize = 128;
/// Bytes of what an answer says of an error.
const MOST_TEXT: usize = 500;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a question waits for others.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bodies that are read, or have been, for each question that is answered.
const BODIES_A_QUESTION: usize = 4;
