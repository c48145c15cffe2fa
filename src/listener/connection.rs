//! One accepted connection, from its handshake to its last answer.
//!
//! Whatever goes wrong here ends this connection and is logged for those who debug; nothing is returned,
//! because nothing that one client does may matter to another.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::body::{Body, BodyError, boxed};
use super::pace::{Expiry, InFlight, Pace, Paced};
use super::{Config, Peer, Serve, tls};

/// What all connections of a listener share.
pub(super) struct Protocol {
    http: auto::Builder<TokioExecutor>,
    /// The same for connections that speak HTTP/1 for certain.
    http1: http1::Builder,
    tls: Option<TlsAcceptor>,
    handshake_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Protocol {
    pub(super) fn new(config: &Config, tls: Option<TlsAcceptor>) -> Self {
        let header_size = config.max_header_size;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .half_close(false)
            .max_buf_size(header_size.as_usize());
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // hyper would start this clock when the previous answer ends, and so close idle connections
            // that a client is about to write to. `Pace` starts it at the first byte.
            .header_read_timeout(None)
            // A client that closes its side gives up: there is nobody left to answer.
            .half_close(false)
            // There is no limit of its own for the head: it has to fit into the buffer.
            .max_buf_size(header_size.as_usize());
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(header_size.as_u64()).unwrap_or(u32::MAX));
        Self {
            http,
            http1,
            tls,
            handshake_timeout: config.handshake_timeout.as_std(),
            header_timeout: config.header_timeout.as_std(),
            idle_timeout: config.idle_timeout.as_std(),
        }
    }

    /// Serves one connection until it ends by itself, by a limit, or after `shutdown` by its last answer.
    pub(super) async fn serve<S: Serve>(
        &self,
        stream: TcpStream,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) {
        // Answers are small and written whole: waiting for more to send only adds delay.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(peer.address = %peer.address, %error, "connection ended before it began");
            return;
        }
        // Boxed one by one, here and below: a connection holds what it needs now, and not room for all of it.
        let Some(acceptor) = &self.tls else {
            return Box::pin(self.serve_plain(stream, peer, service, shutdown)).await;
        };
        Box::pin(self.serve_tls(acceptor, stream, peer, service, shutdown)).await;
    }

    async fn serve_tls<S: Serve>(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) {
        match Box::pin(timeout(self.handshake_timeout, acceptor.accept(stream))).await {
            Ok(Ok(stream)) => {
                let http2 = tls::is_http2(stream.get_ref().1);
                let pace = Pace::new(self.header_timeout, self.idle_timeout, http2);
                let stream = Paced::new(stream, Arc::clone(&pace));
                Box::pin(self.serve_http(stream, &pace, peer, service, shutdown)).await;
            }
            Ok(Err(error)) => {
                debug!(peer.address = %peer.address, %error, "TLS handshake broke off");
            }
            Err(_elapsed) => {
                debug!(peer.address = %peer.address, "TLS handshake took too long");
            }
        }
    }

    /// Serves a connection without TLS. While its client is silent it is a socket and nothing else: the buffers
    /// of the protocol are five times all the rest, and most connections are idle most of the time.
    async fn serve_plain<S: Serve>(
        &self,
        stream: TcpStream,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) {
        let pace = Pace::new(self.header_timeout, self.idle_timeout, false);
        let mut stream = Paced::new(stream, Arc::clone(&pace));
        loop {
            let http1 = tokio::select! {
                biased;
                http1 = stream.speaks_http1() => http1,
                () = shutdown.cancelled() => return,
                _idle = pace.expired() => return,
            };
            let service = service.clone();
            if !http1 {
                return Box::pin(self.serve_http(stream, &pace, peer, service, shutdown)).await;
            }
            let serving = Box::pin(self.serve_http1(stream, &pace, peer, service, shutdown));
            match serving.await {
                Some(silent) => stream = silent,
                None => return,
            }
        }
    }

    /// Gives the stream back when the client has been silent for a moment.
    async fn serve_http1<S: Serve>(
        &self,
        stream: Paced<TcpStream>,
        pace: &Arc<Pace>,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) -> Option<Paced<TcpStream>> {
        let service = requests(pace, peer, service);
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        debug!(peer.address = %peer.address, %error, "connection broke off");
                    }
                    return None;
                }
                () = shutdown.cancelled(), if !closing => {}
                expiry = pace.expired() => if expiry == Expiry::Stalled || closing {
                    debug!(peer.address = %peer.address, ?expiry, "connection took too long");
                    return None;
                },
                () = pace.silent(), if !closing => {
                    let parts = connection.into_parts();
                    return Some(parts.io.into_inner().with_unread(parts.read_buf));
                }
            }
            closing = true;
            pace.closing();
            Pin::new(&mut connection).graceful_shutdown();
        }
    }

    async fn serve_http<I, S: Serve>(
        &self,
        stream: Paced<I>,
        pace: &Arc<Pace>,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let service = requests(pace, peer, service);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(peer.address = %peer.address, error, "connection broke off");
                    }
                    return;
                }
                () = shutdown.cancelled(), if !closing => {}
                expiry = pace.expired() => if expiry == Expiry::Stalled || closing {
                    debug!(peer.address = %peer.address, ?expiry, "connection took too long");
                    return;
                }
            }
            closing = true;
            pace.closing();
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// The service as hyper wants it, with the requests that it is given in flight.
fn requests<S: Serve>(
    pace: &Arc<Pace>,
    peer: Peer,
    service: S,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Answer>,
    Error = Infallible,
    Future: Send,
> + use<S> {
    let pace = Arc::clone(pace);
    service_fn(move |mut request: Request<Incoming>| {
        let in_flight = pace.begin(request.version() == Version::HTTP_2);
        request.extensions_mut().insert(peer);
        let pace = &pace;
        let request = request.map(|body| boxed(Asked::new(body, pace)));
        let answer = service.clone().oneshot(request);
        async move {
            answer
                .await
                .map(|response| response.map(|body| Answer { body, in_flight }))
        }
    })
}

/// A request's body, which says when all of it was read: until then the protocol is in the middle of it.
struct Asked {
    body: Incoming,
    unread: Option<Arc<Pace>>,
}

impl Asked {
    fn new(body: Incoming, pace: &Arc<Pace>) -> Self {
        let unread = (!body.is_end_stream()).then(|| {
            pace.body_begins();
            Arc::clone(pace)
        });
        Self { body, unread }
    }
}

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if (frame.is_none() || self.body.is_end_stream())
            && let Some(pace) = self.unread.take()
        {
            pace.body_ends();
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

/// An answer's body, which keeps its request in flight until the last byte is with the protocol.
struct Answer {
    body: Body,
    #[expect(dead_code, reason = "held for its drop")]
    in_flight: InFlight,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// HTTP/2 requests of one client at a time; what exceeds it waits at the client.
const MAX_STREAMS: u32 = 128;
/// A client whose network is gone answers no ping. HTTP/1 has none: there the idle limit has to do.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
