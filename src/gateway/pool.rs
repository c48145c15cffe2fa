//! Connections to one upstream, kept for the next request.
//!
//! An HTTP/1 connection carries one request at a time and comes back when its answer was read to the end; one
//! HTTP/2 connection carries them all. A request is sent once: again goes only what provably never left, because
//! a kept connection was closed before the first byte of it. Knows no token, and no time limit but its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::listener::{Body, BodyError, boxed, empty};

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
    idle_timeout: Duration,
    kept: Mutex<Kept>,
}

/// What no request has in its hands.
#[derive(Debug, Default)]
struct Kept {
    /// The last one back is the first one out: it is the least likely to have been closed meanwhile.
    http1: Vec<(http1::SendRequest<Body>, Instant)>,
    http2: Option<(http2::SendRequest<Body>, Instant)>,
    /// Whether a task looks for what was kept for too long.
    swept: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
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
        idle_timeout: Duration,
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
            idle_timeout,
            kept: Mutex::default(),
        })))
    }

    /// A pool for the same upstream, with nothing in it.
    pub(super) fn twin(&self) -> Self {
        Self(Arc::new(Shared {
            connector: self.0.connector.clone(),
            origin: self.0.origin.clone(),
            host: self.0.host.clone(),
            idle_timeout: self.0.idle_timeout,
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
            let (sender, kept) = match self.0.take() {
                Some(sender) => (sender, true),
                // Boxed: it is rare and large, and a request that needs none of it would carry it about.
                None => (Box::pin(self.0.connect()).await?, false),
            };
            let (sent, http1) = match sender {
                Sender::Http1(mut sender) => {
                    let host = request.headers_mut().entry(HOST);
                    host.or_insert_with(|| self.0.host.clone());
                    (sender.try_send_request(request).await, Some(sender))
                }
                Sender::Http2(mut sender) => {
                    request.headers_mut().remove(HOST);
                    let target = std::mem::take(request.uri_mut());
                    *request.uri_mut() = self.0.absolute(target);
                    (sender.try_send_request(request).await, None)
                }
            };
            let mut error = match sent {
                Ok(response) => return Ok(self.0.answered(response, http1)),
                Err(error) => error,
            };
            match error.take_message() {
                Some(unsent) if kept => {
                    request = unsent;
                    let target = std::mem::take(request.uri_mut()).into_parts();
                    *request.uri_mut() = target.path_and_query.map_or_else(Uri::default, Uri::from);
                }
                _ => return Err(error.into_error().into()),
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
        since.elapsed() < self.idle_timeout
    }

    /// A connection that can take a request now.
    fn take(&self) -> Option<Sender> {
        let mut kept = self.kept();
        if let Some((sender, since)) = &mut kept.http2 {
            if sender.is_ready() && self.is_fresh(*since) {
                *since = Instant::now();
                return Some(Sender::Http2(sender.clone()));
            }
            kept.http2 = None;
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
        let stream = self.connector.clone().oneshot(self.origin.clone()).await;
        let stream = stream.map_err(SendError::Connect)?;
        let failed = |error: hyper::Error| SendError::Connect(error.into());
        if !stream.connected().is_negotiated_h2() {
            let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the upstream broke off");
                }
            });
            return Ok(Sender::Http1(sender));
        }
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = handshake.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the upstream broke off");
            }
        });
        // Of several that were made at once the first is kept, and the others end with their request.
        let mut kept = self.kept();
        if kept.http2.is_none() {
            kept.http2 = Some((sender.clone(), Instant::now()));
        }
        Ok(Sender::Http2(sender))
    }

    fn absolute(&self, target: Uri) -> Uri {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = target.into_parts().path_and_query;
        Uri::from_parts(parts).unwrap_or_else(|_impossible| self.origin.clone())
    }

    /// The answer, whose last byte gives the connection back.
    fn answered(
        self: &Arc<Self>,
        response: Response<Incoming>,
        http1: Option<http1::SendRequest<Body>>,
    ) -> Response<Body> {
        let Some(sender) = http1 else {
            self.keep(None);
            return response.map(boxed);
        };
        if response.body().is_end_stream() {
            self.keep(Some(sender));
            return response.map(|_nothing| empty());
        }
        response.map(|body| {
            Body::new(Lent {
                body,
                sender: Some(sender),
                pool: self.clone(),
            })
        })
    }

    /// Keeps a connection for a while, and sees to it that it is not for ever.
    fn keep(self: &Arc<Self>, http1: Option<http1::SendRequest<Body>>) {
        let mut kept = self.kept();
        let open = http1.filter(|sender| !sender.is_closed());
        kept.http1
            .extend(open.map(|sender| (sender, Instant::now())));
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_timeout));
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
        kept.http2 = kept.http2.take().filter(|(_, since)| fresh(*since));
        if kept.http1.is_empty() && kept.http2.is_none() {
            kept.swept = false;
            return;
        }
    }
}

/// An answer's body over HTTP/1. Read to its end it gives the connection back; dropped before, it closes it.
struct Lent {
    body: Incoming,
    sender: Option<http1::SendRequest<Body>>,
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
                    self.pool.keep(Some(sender));
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
