//! The upstream: its address, deadlines, and the only place that sends anything to Dynatrace.
//!
//! Guarded operations are sent by [`Upstream::forward`], which takes a [`Permit`] and nothing else;
//! open traffic is streamed by [`Upstream::stream`]; [`Upstream::ask`] asks about a token, and can do no more.
//! A guarded request is sent once: the pool repeats only what provably never left.

mod base;
mod reach;

use std::error::Error;
use std::io::ErrorKind;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use tokio::time::error::Elapsed;
use tower::util::MapResponse;

use super::pace::Pace;
use super::permit::Permit;
use super::pool::{self, Heads, Pool, SendError, Socket, Tcp, Times};
use crate::dynatrace::token::TokenSecret;
use crate::listener::{Body, BodyError, full};
use crate::outbound::{ClientCertificate, Files, Found, OutboundError, Proxy, Way};
use crate::telemetry::{Limit, Metrics};
use crate::value::{self, Size};

pub use base::{Base, BaseError};
use reach::Reach;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `http://…` or `https://…`, with or without a path in front of every request's own.
    pub url: Option<Base>,
    /// PEM file of the certification authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// What the upstream is shown, where it asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// The proxy on the way, which is asked for a tunnel.
    pub proxy: Option<Proxy>,
    /// File with `user:password` for it.
    pub proxy_credential_file: Option<PathBuf>,
    /// For a connection to send on, with the wait for a free one and the TLS handshake.
    pub connect_timeout: value::Duration,
    /// From the last byte of the request to the first of the answer; before that, how long the upstream may
    /// take to accept the next KiB of what is there to send. Waiting for the client does not count.
    pub response_timeout: value::Duration,
    /// For every KiB of an answer's body, and for its end. Waiting for the client does not count.
    pub body_timeout: value::Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: value::Duration,
    /// Connections at once; whoever finds none free waits for one.
    pub max_connections: NonZeroUsize,
    /// All of an answer's head: status and header lines.
    pub max_header_size: Size,
    /// Header lines of an answer.
    pub max_headers: NonZeroUsize,
    /// Silence after which TCP asks for a sign of life.
    pub keepalive_idle: value::Duration,
    /// Between one such question and the next.
    pub keepalive_interval: value::Duration,
    /// Questions without an answer that end a connection.
    pub keepalive_count: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            ca: None,
            client_certificate: None,
            proxy: None,
            proxy_credential_file: None,
            connect_timeout: value::Duration::from_secs(5),
            response_timeout: value::Duration::from_secs(60),
            body_timeout: value::Duration::from_secs(120),
            idle_timeout: value::Duration::from_secs(30),
            max_connections: NonZeroUsize::new(1280).unwrap_or(NonZeroUsize::MIN),
            max_header_size: Size::from_kib(64),
            // As many as hyper has room for without asking for memory.
            max_headers: NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN),
            keepalive_idle: value::Duration::from_secs(15),
            keepalive_interval: value::Duration::from_secs(5),
            keepalive_count: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// A target that was written here.
fn written(target: &str) -> Result<PathAndQuery, UpstreamError> {
    target.parse().map_err(|_invalid| UpstreamError::Target)
}

/// Why the client for the upstream could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "max_header_size = \"{0}\" is out of range: write a size from \"{SMALLEST_HEAD}\" to \"{LARGEST_HEAD}\""
    )]
    HeaderSize(Size),
    #[error("max_headers = {0} is out of range: write a number from 1 to {MOST_HEADERS}")]
    Headers(NonZeroUsize),
    #[error("{0}")]
    Host(#[from] http::Error),
    #[error("no upstream: give --upstream URL, or upstream.url in the configuration")]
    Missing,
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// Why there is no answer from the upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("the upstream's answer cannot be understood in one way: {0}")]
    Answer(String),
    #[error("the request body did not arrive whole")]
    Body,
    #[error("no connection to the upstream")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    #[error(
        "all connections to the upstream (upstream.max_connections) were in use for {}",
        humantime::format_duration(*.0)
    )]
    Full(Duration),
    #[error(
        "the head of the upstream's answer is longer than upstream.max_header_size or has more fields than upstream.max_headers"
    )]
    Head,
    #[error("the upstream answered {0}, a redirect, to a guarded operation")]
    Redirect(StatusCode),
    #[error("the connection to the upstream broke before it answered")]
    Send(#[source] hyper::Error),
    #[error("the client sent too little of its body for too long")]
    Stalled,
    #[error("the request target cannot be written below the upstream's URL")]
    Target,
    #[error("the upstream did not answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error(
        "the upstream answered {0}, and its answer cannot be searched for the gate's credential: {1}"
    )]
    Veiled(StatusCode, &'static str),
}

impl UpstreamError {
    /// Whether it is certain that the upstream did not act on the request.
    pub(super) fn never_arrived(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Full(_) | Self::Target => true,
            Self::Answer(_)
            | Self::Body
            | Self::Head
            | Self::Redirect(_)
            | Self::Send(_)
            | Self::Stalled
            | Self::Timeout(_)
            | Self::Veiled(..) => false,
        }
    }

    /// The same with what only operators are told: where there is no connection, why.
    pub(super) fn in_full(&self) -> String {
        match self {
            Self::Connect(error) => format!("{self}: {}", reach::why(error.as_ref())),
            other => other.to_string(),
        }
    }

    /// The limit that was reached, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Connect(error) => timed_out(error.as_ref()).then_some(Limit::UpstreamConnect),
            Self::Full(_) => Some(Limit::UpstreamConnections),
            Self::Head => Some(Limit::UpstreamHead),
            Self::Timeout(_) => Some(Limit::UpstreamResponse),
            // The listener counts it.
            Self::Answer(_)
            | Self::Body
            | Self::Redirect(_)
            | Self::Send(_)
            | Self::Stalled
            | Self::Target
            | Self::Veiled(..) => None,
        }
    }
}

/// Whether time was what lacked: ours, or that of the system.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|error| {
        let system = error.downcast_ref::<std::io::Error>();
        error.is::<Elapsed>() || system.is_some_and(|error| error.kind() == ErrorKind::TimedOut)
    })
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
    made_of: Arc<MadeOf>,
    reach: Arc<Reach>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// An environment, for operators. Connections are those of all threads together.
#[derive(Clone, Debug)]
pub struct Reached {
    pub name: String,
    pub url: String,
    pub open: usize,
    pub most: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Why the last connection could not be made.
    pub error: Option<String>,
}

/// What an upstream was made of: of the same, it is the same.
#[derive(Debug, PartialEq)]
struct MadeOf {
    config: Config,
    files: Files,
    proxy: Option<Found>,
}

impl Upstream {
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, BuildError> {
        let base = config.url.clone().ok_or(BuildError::Missing)?;
        let limits = config.limits(metrics)?;
        let encrypted = base.scheme == Scheme::HTTPS;
        let files = Files::read(config.ca.as_deref(), config.client_certificate.as_ref())?;
        let proxy = Found::on_the_way(
            &base.origin(),
            config.proxy.as_ref(),
            config.proxy_credential_file.as_deref(),
        )?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(files.client(encrypted)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Way::through(proxy.clone(), config.tcp()));
        let pool = Pool::new(connector, &base.scheme, &base.authority, limits)?;
        Ok(Self {
            base,
            pool,
            made_of: Arc::new(MadeOf {
                config: config.clone(),
                files,
                proxy,
            }),
            reach: Arc::default(),
            connect_timeout: config.connect_timeout.into(),
            response_timeout: config.response_timeout.into(),
        })
    }

    /// The same upstream with connections of its own.
    pub(super) fn twin(&self) -> Self {
        Self {
            base: self.base.clone(),
            pool: self.pool.twin(),
            made_of: self.made_of.clone(),
            reach: self.reach.clone(),
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
        }
    }

    /// Where it leads, and what of the connections to it is taken.
    pub(super) fn reached(&self, name: &str) -> Reached {
        let (most, open, waiting) = self.pool.load();
        Reached {
            name: name.to_owned(),
            url: self.base.to_string(),
            open,
            most,
            waiting,
            error: self.reach.reason(),
        }
    }

    /// The name of where it leads.
    pub(super) fn host(&self) -> &str {
        self.base.authority.host()
    }

    /// Whether the two lead to the same place in the same way.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.made_of == other.made_of
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
        let (parts, body) = request.into_parts();
        let response = upstream.send(Box::new(parts), body).await?;
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
        let (parts, body) = request.into_parts();
        self.send(Box::new(parts), body).await
    }

    /// Streams open traffic, its target byte for byte.
    pub(super) async fn stream(
        &self,
        target: PathAndQuery,
        mut parts: Box<Parts>,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        // `OPTIONS *` is about the server itself; nothing else is.
        let target = match (target == "*", parts.method == Method::OPTIONS) {
            (false, _) => target,
            (true, true) => PathAndQuery::from_static("/"),
            (true, false) => return Err(UpstreamError::Target),
        };
        parts.uri = self.base.join(target)?;
        parts.version = http::Version::HTTP_11;
        self.send(parts, body).await
    }

    async fn send(&self, parts: Box<Parts>, body: Body) -> Result<Response<Body>, UpstreamError> {
        let (pace, body) = Pace::of(body);
        let answer = tokio::select! {
            biased;
            answer = self.pool.send(parts, body, &pace) => answer,
            () = pace.exceeded(self.response_timeout) => {
                return Err(UpstreamError::Timeout(self.response_timeout));
            }
        };
        match &answer {
            Err(SendError::Connect(error)) => {
                let (url, why) = (self.base.to_string(), reach::why(error.as_ref()));
                self.reach.failed(&url, &why, Instant::now());
            }
            // It says nothing about the upstream.
            Err(SendError::Full) => {}
            _ => self.reach.reached(&self.base),
        }
        answer.map_err(|error| match error {
            SendError::Answer(why) => UpstreamError::Answer(why),
            SendError::Connect(error) => UpstreamError::Connect(error),
            SendError::Full => UpstreamError::Full(self.connect_timeout),
            SendError::Head => UpstreamError::Head,
            SendError::Send(error) if BodyError::is_stalled(&error) => UpstreamError::Stalled,
            SendError::Send(error) if BodyError::is_behind(&error) => UpstreamError::Body,
            SendError::Send(error) => UpstreamError::Send(error),
        })
    }
}

impl Config {
    /// The files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.client_certificate.as_ref();
        let own = own.map(|own| [own.certificate.as_path(), &own.key]);
        let others = [&self.ca, &self.proxy_credential_file];
        let others = others.into_iter().filter_map(Option::as_deref);
        others.chain(own.into_iter().flatten())
    }

    fn limits(&self, metrics: &Metrics) -> Result<pool::Limits, BuildError> {
        if !(SMALLEST_HEAD..=LARGEST_HEAD).contains(&self.max_header_size) {
            return Err(BuildError::HeaderSize(self.max_header_size));
        }
        if self.max_headers.get() > MOST_HEADERS {
            return Err(BuildError::Headers(self.max_headers));
        }
        Ok(pool::Limits {
            times: Times {
                connect: self.connect_timeout.into(),
                response: self.response_timeout.into(),
                body: self.body_timeout.into(),
                idle: self.idle_timeout.into(),
            },
            heads: Heads {
                size: self.max_header_size.as_usize(),
                fields: self.max_headers.get(),
            },
            connections: self.max_connections.get(),
            metrics: metrics.clone(),
        })
    }

    /// Makes sockets that notice when the other end vanishes.
    pub(super) fn tcp(&self) -> Tcp {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.connect_timeout.into()));
        tcp.set_keepalive(Some(self.keepalive_idle.into()));
        tcp.set_keepalive_interval(Some(self.keepalive_interval.into()));
        tcp.set_keepalive_retries(Some(self.keepalive_count.get()));
        MapResponse::new(tcp, Socket::new)
    }
}

const SMALLEST_HEAD: Size = Size::from_kib(8);
const LARGEST_HEAD: Size = Size::from_mib(1);
/// Room is made for all of them before a head is read.
const MOST_HEADERS: usize = 4096;
