//! The admin listener: for operators and their programs, never for clients of Dynatrace.
//!
//! | path       | answer                                                             |
//! |------------|--------------------------------------------------------------------|
//! | `/healthz` | 200 while the program lives                                        |
//! | `/readyz`  | 200 when policies are loaded and the journal is written, else 503 with the reasons |
//! | `/metrics` | all metrics, in the text format of Prometheus                      |

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::audit::Audit;
use crate::listener::Body;
use crate::telemetry::Metrics;

/// Answers on the admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    pub audit: Audit,
    pub metrics: Metrics,
    pub revision: String,
}

impl tower::Service<Request<Body>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl Admin {
    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "only GET\n".to_owned(),
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => self.ready(),
            "/metrics" => answer(StatusCode::OK, METRICS, self.metrics.encode()),
            _ => answer(
                StatusCode::NOT_FOUND,
                TEXT,
                "/healthz, /readyz and /metrics are here\n".to_owned(),
            ),
        }
    }

    fn ready(&self) -> Response<Body> {
        let journal = self.audit.health();
        let status = if journal.is_ok() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = json!({
            "ready": journal.is_ok(),
            "policies": self.revision,
            "journal": journal.err().unwrap_or_else(|| "writable".to_owned()),
        });
        answer(status, JSON, format!("{body}\n"))
    }
}

fn answer(status: StatusCode, media_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text).map_err(|never| match never {})));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
