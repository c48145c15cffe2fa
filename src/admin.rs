//! The operator's listener: is the gate alive, is it ready, and what has it counted.
//!
//! | path       | answer                                                                      |
//! | ---------- | --------------------------------------------------------------------------- |
//! | `/healthz` | 200 as long as the threads that move bytes do                               |
//! | `/readyz`  | 200 when every check is fine, otherwise 503; either way all checks, as JSON |
//! | `/metrics` | `OpenMetrics` text for who asks for it, else Prometheus' text format 0.0.4   |
//! | `/status`  | what judges now, since when, and how the last reload went, as JSON          |
//!
//! `GET` and `HEAD` only. Changes nothing and shows no token. Does not know what is checked.

mod accept;
mod host;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use tower::Service;

pub use host::{asked_host, is_asked_by_name};

use crate::listener::Tls;
use crate::telemetry::{self, Metrics};
use crate::value::Size;

/// Where the operator asks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Nothing here is secret, so plain HTTP on an address beyond loopback (for probes) is the operator's choice.
    #[serde(deserialize_with = "crate::value::deserialize_listening")]
    pub listen: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Whether documents of policies and data are answered as OPA's data API does (`/v1/data`): whoever reaches this
    /// listener can read the data then.
    pub data_api: bool,
    /// Whether it is answered if a request would pass, as `AuthZEN` asks (`/access/v1/evaluation`).
    pub authzen: bool,
    /// By which names it is asked such questions, besides localhost and IP addresses: the domains of `Host`, without a
    /// port. A page in a browser can reach this listener by any name that its owner lets lead here.
    pub hosts: Vec<String>,
    /// The longest body of such a question.
    pub max_body: Size,
    /// So many questions are answered at once.
    pub max_questions: NonZeroU16,
    /// So many evaluations may be in one question.
    pub max_evaluations: NonZeroU16,
}

/// One thing that has to be well before the gate can do its work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// What is well, or what is wrong and for whom to act.
    pub detail: String,
}

/// All checks, made anew for every question.
pub type Checks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// For how long a thread that moves bytes has not moved, if that is too long.
pub type Stuck = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

/// What judges now, and how that came to be.
pub type Status = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// The service behind the operator's listener.
#[derive(Clone)]
pub struct Admin {
    stuck: Stuck,
    checks: Checks,
    status: Status,
    metrics: Metrics,
}

#[derive(Serialize)]
struct Liveness {
    alive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            tls: None,
            data_api: false,
            authzen: false,
            hosts: Vec::new(),
            max_body: Size::from_kib(256),
            max_questions: NonZeroU16::MIN.saturating_add(1),
            max_evaluations: NonZeroU16::MIN.saturating_add(49),
        }
    }
}

impl Admin {
    pub fn new(stuck: Stuck, checks: Checks, status: Status, metrics: Metrics) -> Self {
        Self {
            stuck,
            checks,
            status,
            metrics,
        }
    }

    /// What judges now, and how that came to be, for others who tell it.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// The answer to a method, a path and what is accepted; nothing else of a request matters here.
    pub fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let route = match path {
            "/healthz" => Self::health,
            "/metrics" if accept::open_metrics(headers) => Self::open_metrics,
            "/metrics" => Self::metrics,
            "/readyz" => Self::readiness,
            "/status" => Self::told,
            _ => {
                return json(
                    StatusCode::NOT_FOUND,
                    &Refusal {
                        error: NO_SUCH_PATH,
                    },
                );
            }
        };
        match *method {
            Method::GET => route(self),
            // The length stays that of the answer to GET.
            Method::HEAD => route(self).map(|_| Full::default()),
            _ => {
                let mut response = json(
                    StatusCode::METHOD_NOT_ALLOWED,
                    &Refusal { error: READ_ONLY },
                );
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let error = (self.stuck)().map(|silence| {
            let seconds = silence.as_secs();
            format!("a worker has not moved for {seconds} s: restart dtgate")
        });
        let status = match error {
            None => StatusCode::OK,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        json(
            status,
            &Liveness {
                alive: error.is_none(),
                error,
            },
        )
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let text = self.metrics.encode_classic();
        response(StatusCode::OK, telemetry::CLASSIC, text)
    }

    fn open_metrics(&self) -> Response<Full<Bytes>> {
        let text = self.metrics.encode();
        response(StatusCode::OK, telemetry::OPEN_METRICS, text)
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let checks = (self.checks)();
        let ready = checks.iter().all(|check| check.ok);
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, &Readiness { ready, checks })
    }

    fn told(&self) -> Response<Full<Bytes>> {
        json(StatusCode::OK, &(self.status)())
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, path) = (request.method(), request.uri().path());
        ready(Ok(self.answer(method, path, request.headers())))
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let mut text = serde_json::to_vec(body).expect("texts and booleans make valid JSON");
    // For those who ask in a terminal.
    text.push(b'\n');
    response(status, JSON, text)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const JSON: &str = "application/json";
const NO_SUCH_PATH: &str = "there are /healthz, /readyz, /status and /metrics";
const READ_ONLY: &str = "only GET and HEAD are answered here";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn admin(journal: bool) -> Admin {
        let checks = move || {
            let policies = Check {
                name: "policies",
                ok: true,
                detail: "9 loaded".to_owned(),
            };
            let detail = if journal {
                "writable"
            } else {
                "no space left on device"
            };
            let journal = Check {
                name: "journal",
                ok: journal,
                detail: detail.to_owned(),
            };
            vec![policies, journal]
        };
        let status = || serde_json::json!({"generation": 3});
        Admin::new(
            Arc::new(|| None),
            Arc::new(checks),
            Arc::new(status),
            Metrics::new("1.2.3"),
        )
    }

    async fn ask(admin: Admin, method: Method, path: &str) -> (Response<()>, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let (head, body) = admin.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (
            Response::from_parts(head, ()),
            String::from_utf8(body).unwrap(),
        )
    }

    #[test]
    fn the_default_stays_on_this_machine_and_an_unknown_key_is_refused() {
        assert!(
            toml::from_str::<Config>("")
                .unwrap()
                .listen
                .ip()
                .is_loopback()
        );
        toml::from_str::<Config>("tls = true").unwrap_err();
    }

    #[tokio::test]
    async fn it_is_alive_even_when_it_is_not_ready() {
        let (response, body) = ask(admin(false), Method::GET, "/healthz").await;
        assert_eq!(
            (response.status(), body.as_str()),
            (StatusCode::OK, "{\"alive\":true}\n")
        );
    }

    #[tokio::test]
    async fn it_is_not_alive_when_a_worker_is_stuck() {
        let mut admin = admin(true);
        admin.stuck = Arc::new(|| Some(Duration::from_millis(42_900)));
        let (response, body) = ask(admin, Method::GET, "/healthz").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body,
            "{\"alive\":false,\"error\":\"a worker has not moved for 42 s: restart dtgate\"}\n"
        );
    }

    #[tokio::test]
    async fn it_is_ready_when_every_check_is_fine_and_says_why_when_not() {
        let (response, body) = ask(admin(true), Method::GET, "/readyz").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            body,
            r#"{"ready":true,"checks":[{"name":"policies","ok":true,"detail":"9 loaded"},{"name":"journal","ok":true,"detail":"writable"}]}
"#
        );
        let (response, body) = ask(admin(false), Method::GET, "/readyz?verbose").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.starts_with(r#"{"ready":false,"#), "{body}");
        assert!(
            body.contains(r#""detail":"no space left on device""#),
            "{body}"
        );
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text_for_who_asks_for_it() {
        for (accept, wanted) in [
            ("application/openmetrics-text", telemetry::OPEN_METRICS),
            ("*/*", telemetry::CLASSIC),
        ] {
            let request = Request::get("/metrics").header("accept", accept);
            let answered = admin(true).oneshot(request.body(()).unwrap()).await;
            let (head, body) = answered.unwrap().into_parts();
            assert_eq!(head.headers[CONTENT_TYPE], wanted);
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            let body = String::from_utf8(body).unwrap();
            assert!(
                body.contains("dtgate_build_info{version=\"1.2.3\"} 1\n"),
                "{body}"
            );
            let is_open = wanted == telemetry::OPEN_METRICS;
            assert_eq!(body.ends_with("# EOF\n"), is_open, "{body}");
            let kind = if is_open {
                "build info"
            } else {
                "build_info gauge"
            };
            assert!(body.contains(&format!("# TYPE dtgate_{kind}\n")), "{body}");
        }
        let (response, _) = ask(admin(true), Method::GET, "/metrics").await;
        assert_eq!(response.headers()[CONTENT_TYPE], telemetry::CLASSIC);
    }

    #[tokio::test]
    async fn head_is_get_without_the_body() {
        for path in ["/healthz", "/readyz", "/status", "/metrics"] {
            let (get, full) = ask(admin(false), Method::GET, path).await;
            let (head, empty) = ask(admin(false), Method::HEAD, path).await;
            assert_eq!(
                (head.status(), head.headers()),
                (get.status(), get.headers())
            );
            assert_eq!(head.headers()[CONTENT_LENGTH], full.len().to_string());
            assert_eq!(empty, "");
        }
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        for path in ["/", "/healthz/", "/api/v1/tokens"] {
            let (response, _) = ask(admin(true), Method::GET, path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
        }
        let (response, _) = ask(admin(true), Method::POST, "/readyz").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}
