//! Connections to one upstream, kept for the next request.
//!
//! An HTTP/1 connection carries one request at a time and comes back when its answer was read to the end; an
//! HTTP/2 connection carries as many as the upstream takes, and is kept from its first answer on. A request is sent
//! once: again goes only what provably never left, because a kept connection was closed before the first byte of
//! it. Knows no token, and no time limits but for connections.

mod http2;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::listener::{Body, BodyError, empty};

pub(super) type Connector = HttpsConnector<HttpConnector>;

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
    kept: Mutex<Kept>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a connection that requests can be sent on: address, TCP and TLS.
    pub(super) connect: Duration,
    /// For one that nobody uses.
    pub(super) idle: Duration,
}

/// What can take a request.
#[derive(Debug, Default)]
struct Kept {
    /// The last one back is the first one out: it is the least likely to have been closed meanwhile.
    http1: Vec<(http1::SendRequest<Body>, Instant)>,
    /// The first one that has room: of many after a rush those further back fall idle.
    http2: Vec<(http2::Connection, Instant)>,
    /// Whether a task looks for what was kept for too long.
    swept: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::Connection),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// The upstream has seen nothing of the request.
    #[error(transparent)]
    Connect(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Send(#[from] hyper::Error),
}

impl Pool {
    pub(super) fn new(
        connector: Connector,
        scheme: &Scheme,
        authority: &Authority,
        times: Times,
    ) -> Result<Self, http::Error> {
        let origin = Uri::builder().scheme(scheme.clone()).path_and_query("/");
        let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        // As every client writes it: without the port that the scheme says already.
        let host = if authority.port_u16() == Some(default_port) {
            authority.host()
        } else {
            authority.as_str()
        };
        Ok(Self(Arc::new(Shared {
            connector,
            origin: origin.authority(authority.clone()).build()?,
            host: HeaderValue::from_str(host)?,
            times,
            kept: Mutex::default(),
        })))
    }

    /// A pool for the same upstream, with nothing in it.
    pub(super) fn twin(&self) -> Self {
        Self(Arc::new(Shared {
            connector: self.0.connector.clone(),
            origin: self.0.origin.clone(),
            host: self.0.host.clone(),
            times: self.0.times,
            kept: Mutex::default(),
        }))
    }

    /// Sends a request, whose URL is a path and a query, and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        // Every turn but the last uses one kept connection up.
        loop {
            let (mut sender, kept) = match self.0.take() {
                Some(sender) => (sender, true),
                // Boxed: it is rare and large, and a request that needs none of it would carry it about.
                None => (Box::pin(self.0.connect()).await?, false),
            };
            let sent = match &mut sender {
                Sender::Http1(sender) => {
                    let host = request.headers_mut().entry(HOST);
                    host.or_insert_with(|| self.0.host.clone());
                    sender.try_send_request(request).await
                }
                Sender::Http2(connection) => {
                    request.headers_mut().remove(HOST);
                    let target = std::mem::take(request.uri_mut());
                    *request.uri_mut() = self.0.absolute(target);
                    connection.sender.try_send_request(request).await
                }
            };
            let mut error = match sent {
                Ok(response) => return Ok(self.0.answered(response, sender)),
                Err(error) => error,
            };
            match error.take_message() {
                // It was never begun. Of a request that was, not a byte comes back, whatever the upstream says.
                Some(unsent) if kept => {
                    request = unsent;
                    let target = std::mem::take(request.uri_mut()).into_parts();
                    *request.uri_mut() = target.path_and_query.map_or_else(Uri::default, Uri::from);
                }
                Some(_unsent) => return Err(SendError::Connect(error.into_error().into())),
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
            return Some(Sender::Http2(connection.clone()));
        }
        let last = kept.http1.last();
        if last.is_some_and(|(sender, _)| !sender.is_ready()) {
            kept.http1.retain(|(sender, _)| !sender.is_closed());
        }
        // One that is open and not ready is still taking the rest of a request that was answered early.
        let usable = |(sender, since): &(http1::SendRequest<Body>, Instant)| {
            sender.is_ready() && self.is_fresh(*since)
        };
        let place = kept.http1.iter().rposition(usable)?;
        Some(Sender::Http1(kept.http1.remove(place).0))
    }

    async fn connect(&self) -> Result<Sender, SendError> {
        // Until then nothing of a request has left: whoever waited longer could not tell.
        let connected = timeout(self.times.connect, self.connect_to_the_end()).await;
        connected.unwrap_or_else(|elapsed| Err(SendError::Connect(elapsed.into())))
    }

    async fn connect_to_the_end(&self) -> Result<Sender, SendError> {
        let stream = self.connector.clone().oneshot(self.origin.clone()).await;
        let stream = stream.map_err(SendError::Connect)?;
        let failed = |error: hyper::Error| SendError::Connect(error.into());
        if stream.connected().is_negotiated_h2() {
            let connection = http2::Connection::over(stream).await.map_err(failed)?;
            return Ok(Sender::Http2(connection));
        }
        let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the upstream broke off");
            }
        });
        Ok(Sender::Http1(sender))
    }

    fn absolute(&self, target: Uri) -> Uri {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = target.into_parts().path_and_query;
        Uri::from_parts(parts).unwrap_or_else(|_impossible| self.origin.clone())
    }

    /// The answer, whose last byte gives the connection back.
    fn answered(self: &Arc<Self>, response: Response<Incoming>, sender: Sender) -> Response<Body> {
        let sender = match sender {
            Sender::Http2(connection) => {
                self.keep(Sender::Http2(connection.clone()));
                Some(Sender::Http2(connection))
            }
            // On a connection of HTTP/1.0 hyper would speak it, too, and send a body of unknown length as none.
            Sender::Http1(_) if response.version() != Version::HTTP_11 => None,
            Sender::Http1(sender) => Some(Sender::Http1(sender)),
        };
        if response.body().is_end_stream() {
            if let Some(sender) = sender {
                self.keep(sender);
            }
            return response.map(|_nothing| empty());
        }
        response.map(|body| {
            Body::new(Lent {
                body,
                sender,
                pool: self.clone(),
            })
        })
    }

    /// Keeps a connection for a while, and sees to it that it is not for ever.
    fn keep(self: &Arc<Self>, sender: Sender) {
        let mut kept = self.kept();
        match sender {
            Sender::Http1(sender) if sender.is_closed() => return,
            Sender::Http1(sender) => kept.http1.push((sender, Instant::now())),
            Sender::Http2(connection) => {
                if connection.is_closed() {
                    return;
                }
                let mut known = kept.http2.iter_mut();
                if let Some((_, since)) = known.find(|(one, _)| one.is(&connection)) {
                    // From now on nobody may use it, and not since its last request began.
                    *since = Instant::now();
                    return;
                }
                // Of several that were made at once one is kept, and the others end with their requests.
                if kept.http2.iter().any(|(other, _)| other.has_room()) {
                    return;
                }
                kept.http2.push((connection, Instant::now()));
            }
        }
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.times.idle));
        }
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
            .retain(|(sender, since)| !sender.is_closed() && fresh(*since));
        kept.http2.retain(|(connection, since)| {
            !connection.is_closed() && (connection.is_busy() || fresh(*since))
        });
        if kept.http1.is_empty() && kept.http2.is_empty() {
            kept.swept = false;
            return;
        }
    }
}

/// An answer's body. Read to its end it gives the connection back; dropped before, it closes a connection of
/// HTTP/1, and the request's stream in one of HTTP/2.
struct Lent {
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<Shared>,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.sender = None,
            // Whoever knows the length does not ask again after the last byte.
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            _ => {
                if let Some(sender) = self.sender.take() {
                    self.pool.keep(sender);
                }
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
