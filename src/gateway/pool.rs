//! Connections to one upstream, kept for the next request.
//!
//! An HTTP/1 connection carries one request at a time and comes back when its answer was read to the end; an
//! HTTP/2 connection carries as many as the upstream takes, and is kept from its first answer on. A request is sent
//! once: again goes only what provably never left, because a kept connection was closed before the first byte of
//! it. No answer is one that can be read in two ways. Knows no token.

mod connect;
mod framing;
mod http1;
mod http2;
mod lent;
mod places;
mod socket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Instant;

use super::pace::Pace;
use crate::listener::{Body, empty};
use crate::telemetry::{Limit, Metrics};
use connect::Connector;
use lent::Lent;
use places::Places;

pub(super) use connect::Tcp;
pub(super) use framing::Heads;
pub(super) use socket::Socket;

/// The connections of one thread to one upstream.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    /// The upstream without a path.
    origin: Uri,
    host: HeaderValue,
    times: Times,
    heads: Heads,
    metrics: Metrics,
    kept: Mutex<Kept>,
    places: Arc<Places>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a connection that requests can be sent on: a place for it, address, TCP and TLS.
    pub(super) connect: Duration,
    /// For the upstream, to take the rest of a request that it has answered.
    pub(super) response: Duration,
    /// For every KiB of an answer's body.
    pub(super) body: Duration,
    /// For a connection that nobody uses.
    pub(super) idle: Duration,
}

/// What the connections to one upstream are limited to.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) times: Times,
    pub(super) heads: Heads,
    /// Connections, those of all threads together.
    pub(super) connections: usize,
    /// Where is counted what was reached.
    pub(super) metrics: Metrics,
}

/// What can take a request.
#[derive(Debug, Default)]
struct Kept {
    /// The last one back is the first one out: it is the least likely to have been closed meanwhile.
    http1: Vec<(http1::Connection, Instant)>,
    /// The first one that has room: of many after a rush those further back fall idle.
    http2: Vec<(http2::Connection, Instant)>,
    /// Whether a task looks for what was kept for too long.
    swept: bool,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::Connection),
    Http2(http2::Carried),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// It came, and cannot be understood in one way.
    #[error("{0}")]
    Answer(String),
    /// The upstream has seen nothing of the request.
    #[error(transparent)]
    Connect(Box<dyn std::error::Error + Send + Sync>),
    /// No connection became free: the same.
    #[error("all connections are in use")]
    Full,
    /// The answer's head is too long.
    #[error("the head is too long")]
    Head,
    #[error(transparent)]
    Send(hyper::Error),
}

impl From<hyper::Error> for SendError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::Head
        } else if error.is_parse() {
            Self::Answer(error.to_string())
        } else {
            Self::Send(error)
        }
    }
}

impl Pool {
    pub(super) fn new(
        connector: Connector,
        scheme: &Scheme,
        authority: &Authority,
        limits: Limits,
    ) -> Result<Self, http::Error> {
        let origin = Uri::builder().scheme(scheme.clone()).path_and_query("/");
        let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        // As every client writes it: without the port that the scheme says already.
        let host = if authority.port_u16() == Some(default_port) {
            authority.host()
        } else {
            authority.as_str()
        };
        Ok(Self::with(Shared {
            connector,
            origin: origin.authority(authority.clone()).build()?,
            host: HeaderValue::from_str(host)?,
            times: limits.times,
            heads: limits.heads,
            places: Places::new(limits.connections, limits.metrics.clone()),
            metrics: limits.metrics,
            kept: Mutex::default(),
        }))
    }

    /// A pool for the same upstream, with nothing in it.
    pub(super) fn twin(&self) -> Self {
        Self::with(Shared {
            connector: self.0.connector.clone(),
            origin: self.0.origin.clone(),
            host: self.0.host.clone(),
            times: self.0.times,
            heads: self.0.heads,
            places: self.0.places.clone(),
            metrics: self.0.metrics.clone(),
            kept: Mutex::default(),
        })
    }

    /// Of all threads: how many connections may be open, how many are, and how many requests wait for one.
    pub(super) fn load(&self) -> (usize, usize, usize) {
        let (most, open) = self.0.places.taken();
        (most, open, self.0.places.waiting())
    }

    fn with(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        shared.places.join(&shared);
        Self(shared)
    }

    /// Sends a request, whose URL is a path and a query, and waits for the head of its answer. The pace is that of
    /// its body.
    pub(super) async fn send(
        &self,
        mut parts: Box<Parts>,
        mut body: Body,
        pace: &Pace,
    ) -> Result<Response<Body>, SendError> {
        let mut until = None;
        // Every turn but the last uses one kept connection up.
        loop {
            pace.pause();
            let (mut sender, kept) = if let Some(sender) = self.0.take() {
                (sender, true)
            } else {
                let until = *until.get_or_insert_with(|| Instant::now() + self.0.times.connect);
                // Boxed: it is rare and large, and a request that needs none of it would carry it about.
                Box::pin(self.0.find(until)).await?
            };
            pace.begin();
            let sent = match &mut sender {
                Sender::Http1(connection) => {
                    let host = parts.headers.entry(HOST);
                    host.or_insert_with(|| self.0.host.clone());
                    connection
                        .try_send(Request::from_parts(*parts, body), kept)
                        .await
                }
                Sender::Http2(carried) => {
                    parts.headers.remove(HOST);
                    parts.uri = self.0.absolute(std::mem::take(&mut parts.uri));
                    let request = Request::from_parts(*parts, body);
                    carried.0.sender.try_send_request(request).await
                }
            };
            let mut error = match sent {
                Ok(response) => return self.0.answered(response, sender, pace),
                Err(error) => error,
            };
            match error.take_message() {
                // It was never begun. Of a request that was, not a byte comes back, whatever the upstream says.
                Some(unsent) if kept => {
                    let (head, rest) = unsent.into_parts();
                    (parts, body) = (Box::new(head), rest);
                    let target = std::mem::take(&mut parts.uri).into_parts();
                    parts.uri = target.path_and_query.map_or_else(Uri::default, Uri::from);
                }
                Some(_unsent) => return Err(SendError::Connect(error.into_error().into())),
                None if sender.overran() => return Err(SendError::Head),
                None => return Err(error.into_error().into()),
            }
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whole connections are put in and taken out: a panic leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, since: Instant) -> bool {
        since.elapsed() < self.times.idle
    }

    /// A connection that can take a request now.
    fn take(&self) -> Option<Sender> {
        let mut kept = self.kept();
        kept.http2.retain(|(connection, _)| !connection.is_closed());
        let usable = |(connection, since): &&mut (http2::Connection, Instant)| {
            connection.has_room() && (connection.is_busy() || self.is_fresh(*since))
        };
        if let Some((connection, since)) = kept.http2.iter_mut().find(usable) {
            *since = Instant::now();
            return Some(Sender::Http2(connection.carry()));
        }
        while let Some((connection, since)) = kept.http1.pop() {
            if connection.is_ready() && self.is_fresh(since) {
                return Some(Sender::Http1(connection));
            }
        }
        None
    }

    /// The answer, whose last byte gives the connection back.
    fn answered(
        self: &Arc<Self>,
        mut response: Response<Incoming>,
        sender: Sender,
        pace: &Pace,
    ) -> Result<Response<Body>, SendError> {
        let again = framing::judge(&mut response, self.heads)?;
        if !pace.has_ended() {
            self.watch(pace.clone(), &sender);
        }
        let sender = match sender {
            Sender::Http2(carried) => {
                self.keep_http2(&carried.0);
                self.places.serve(self);
                Some(Sender::Http2(carried))
            }
            Sender::Http1(connection) => again.then_some(Sender::Http1(connection)),
        };
        if response.body().is_end_stream() {
            if let Some(sender) = sender {
                self.keep(sender);
            }
            return Ok(response.map(|_nothing| empty()));
        }
        Ok(response.map(|body| Body::new(Lent::new(body, sender, self.clone()))))
    }

    /// An upstream that has answered may take the rest of the request as slowly as before the answer, and no slower.
    fn watch(&self, pace: Pace, sender: &Sender) {
        let (limit, metrics) = (self.times.response, self.metrics.clone());
        let connection = match sender {
            Sender::Http1(connection) => Ok(connection.task()),
            Sender::Http2(carried) => Err(carried.0.clone()),
        };
        tokio::spawn(async move {
            if pace.stalled(limit).await {
                metrics.reached(Limit::UpstreamResponse);
                match connection {
                    Ok(task) => task.abort(),
                    Err(connection) => connection.give_up(limit).await,
                }
            }
        });
    }

    /// Keeps a connection for a while, unless somebody waits for one.
    fn keep(self: &Arc<Self>, sender: Sender) {
        match sender {
            // It still takes the rest of a request that was answered early, or its own thread is not that far yet.
            Sender::Http1(mut connection) if !connection.is_ready() => {
                let pool = self.clone();
                tokio::spawn(async move {
                    if connection.ready().await.is_ok() {
                        pool.keep(Sender::Http1(connection));
                    }
                });
            }
            sender => {
                self.put(sender);
                self.places.serve(self);
            }
        }
    }

    /// Keeps a connection, and sees to it that it is not for ever.
    fn put(self: &Arc<Self>, sender: Sender) {
        match sender {
            Sender::Http1(connection) => {
                let mut kept = self.kept();
                kept.http1.push((connection, Instant::now()));
                self.sweep(&mut kept);
            }
            Sender::Http2(carried) => {
                let connection = carried.0.clone();
                drop(carried);
                self.keep_http2(&connection);
            }
        }
    }

    fn keep_http2(self: &Arc<Self>, connection: &http2::Connection) {
        if connection.is_closed() {
            return;
        }
        let mut kept = self.kept();
        if let Some((_, since)) = kept.http2.iter_mut().find(|(one, _)| one.is(connection)) {
            // From now on nobody may use it, and not since its last request began.
            *since = Instant::now();
            return;
        }
        // Of several that were made at once one is kept, and the others end with their requests.
        if kept.http2.iter().any(|(other, _)| other.has_room()) {
            return;
        }
        kept.http2.push((connection.clone(), Instant::now()));
        self.sweep(&mut kept);
    }

    fn sweep(self: &Arc<Self>, kept: &mut Kept) {
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.times.idle));
        }
    }
}

impl Sender {
    fn overran(&self) -> bool {
        matches!(self, Self::Http1(connection) if connection.overran())
    }
}

/// Closes what nobody used for long, until nothing is left.
async fn sweep(pool: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut kept = pool.kept();
        let fresh = |since| pool.is_fresh(since);
        kept.http1
            .retain(|(connection, since)| !connection.is_closed() && fresh(*since));
        kept.http2.retain(|(connection, since)| {
            !connection.is_closed() && (connection.is_busy() || fresh(*since))
        });
        if kept.http1.is_empty() && kept.http2.is_empty() {
            kept.swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests;
