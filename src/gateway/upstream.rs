//! The upstream: its address, deadlines, and the only place that sends anything to Dynatrace.
//!
//! Guarded operations are sent by [`Upstream::forward`], which takes a [`Permit`] and nothing else;
//! open traffic is streamed by [`Upstream::stream`]; [`Upstream::ask`] asks about a token, and can do no more.
//! A guarded request is sent once: the pool repeats only what provably never left.

mod base;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use thiserror::Error;

use super::pace::Pace;
use super::permit::Permit;
use super::pool::{Pool, SendError, Times};
use crate::dynatrace::token::TokenSecret;
use crate::listener::{Body, full};
use crate::value;

pub use base::{Base, BaseError};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `http://…` or `https://…`, with or without a path in front of every request's own.
    pub url: Option<Base>,
    /// PEM file of the certification authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// For a connection to send on, with its TLS handshake.
    pub connect_timeout: value::Duration,
    /// From the last byte of the request to the first of the answer; before that, how long the upstream may
    /// take to accept what is there to send. Waiting for the client does not count.
    pub response_timeout: value::Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: value::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            ca: None,
            connect_timeout: value::Duration::from_secs(5),
            response_timeout: value::Duration::from_secs(60),
            idle_timeout: value::Duration::from_secs(30),
        }
    }
}

/// A target that was written here.
fn written(target: &str) -> Result<PathAndQuery, UpstreamError> {
    target.parse().map_err(|_invalid| UpstreamError::Target)
}

/// Why the client for the upstream could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    #[error("{}: {reason}", path.display())]
    Ca { path: PathBuf, reason: String },
    #[error("{0}")]
    Host(#[from] http::Error),
    #[error("no upstream: give --upstream URL, or upstream.url in the configuration")]
    Missing,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no answer from the upstream.
#[derive(Debug, Error)]
pub enum UpstreamError {
    #[error("no connection to the upstream")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the upstream answered {0}, a redirect, to a guarded operation")]
    Redirect(StatusCode),
    #[error("the connection to the upstream broke before it answered")]
    Send(#[source] hyper::Error),
    #[error("the request target cannot be written below the upstream's URL")]
    Target,
    #[error("the upstream did not answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
}

impl UpstreamError {
    /// Whether it is certain that the upstream did not act on the request.
    pub(super) fn never_arrived(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Target => true,
            Self::Redirect(_) | Self::Send(_) | Self::Timeout(_) => false,
        }
    }
}

/// A question about a token. It changes nothing: there is no other than these two.
#[derive(Debug)]
pub(super) struct Question {
    method: Method,
    /// It may hold a secret.
    path: TokenSecret,
    headers: HeaderMap,
    body: String,
}

impl Question {
    /// `GET {collection}/{id}`.
    pub(super) fn read(collection: &str, id: &str, headers: HeaderMap) -> Self {
        Self {
            method: Method::GET,
            path: TokenSecret::new(format!("{collection}/{id}")),
            headers,
            body: String::new(),
        }
    }

    /// `POST {collection}/lookup`, which takes a token's secret and for which every scope suffices.
    pub(super) fn lookup(collection: &str, mut headers: HeaderMap, body: String) -> Self {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            method: Method::POST,
            path: TokenSecret::new(format!("{collection}/lookup")),
            headers,
            body,
        }
    }
}

/// The one upstream, and this thread's connections to it.
#[derive(Debug)]
pub struct Upstream {
    base: Base,
    pool: Pool,
    response_timeout: Duration,
}

impl Upstream {
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let base = config.url.clone().ok_or(BuildError::Missing)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout.into()));
        let encrypted = base.scheme == Scheme::HTTPS;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config.ca.as_deref(), encrypted)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let times = Times {
            connect: config.connect_timeout.into(),
            idle: config.idle_timeout.into(),
        };
        let pool = Pool::new(connector, &base.scheme, &base.authority, times)?;
        Ok(Self {
            base,
            pool,
            response_timeout: config.response_timeout.into(),
        })
    }

    /// The same upstream with connections of its own.
    pub(super) fn twin(&self) -> Self {
        Self {
            base: self.base.clone(),
            pool: self.pool.twin(),
            response_timeout: self.response_timeout,
        }
    }

    /// Sends a guarded request to the environment that it was judged for: the canonical path and the bytes that
    /// were judged. Once.
    pub(super) async fn forward(
        permit: Permit,
        headers: HeaderMap,
    ) -> Result<Response<Body>, UpstreamError> {
        let (call, environment) = (permit.call(), permit.environment());
        let upstream = &environment.upstream;
        let mut request = Request::new(full(call.forwarded().clone()));
        *request.method_mut() = call
            .head()
            .path()
            .endpoint()
            .method
            .parse()
            .map_err(|_invalid| UpstreamError::Target)?;
        let target = call.head().target(environment.strips());
        *request.uri_mut() = upstream.base.join(written(target.expose())?)?;
        *request.headers_mut() = headers;
        let response = upstream.send(request).await?;
        // A client that follows it would repeat the write elsewhere, or take a login page for success.
        // 304 is none: it answers a download that asked whether there is anything new.
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(UpstreamError::Redirect(response.status()));
        }
        Ok(response)
    }

    /// Asks about a token before a change of it is judged.
    pub(super) async fn ask(&self, question: Question) -> Result<Response<Body>, UpstreamError> {
        let mut request = Request::new(full(question.body));
        *request.method_mut() = question.method;
        *request.uri_mut() = self.base.join(written(question.path.expose())?)?;
        *request.headers_mut() = question.headers;
        self.send(request).await
    }

    /// Streams open traffic, its target byte for byte.
    pub(super) async fn stream(
        &self,
        target: PathAndQuery,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, UpstreamError> {
        // `OPTIONS *` is about the server itself.
        let target = if target == "*" {
            PathAndQuery::from_static("/")
        } else {
            target
        };
        *request.uri_mut() = self.base.join(target)?;
        *request.version_mut() = http::Version::HTTP_11;
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let (parts, body) = request.into_parts();
        let (pace, body) = Pace::of(body);
        let answer = tokio::select! {
            biased;
            answer = self.pool.send(Request::from_parts(parts, body)) => answer,
            () = pace.exceeded(self.response_timeout) => {
                return Err(UpstreamError::Timeout(self.response_timeout));
            }
        };
        answer.map_err(|error| match error {
            SendError::Connect(error) => UpstreamError::Connect(error),
            SendError::Send(error) => UpstreamError::Send(error),
        })
    }
}

/// The system's authorities take tens of milliseconds to read: not for an upstream that shows no certificate.
fn tls(ca: Option<&Path>, encrypted: bool) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let failed = |reason: String| BuildError::Ca {
            path: path.to_owned(),
            reason,
        };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("no certificate in it".to_owned()));
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
        }
    } else if encrypted {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate could not be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
