//! One accepted connection, from its handshake to its last answer.
//!
//! Whatever goes wrong here ends this connection and is logged for those who debug; nothing is returned,
//! because nothing that one client does may matter to another.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::body::{Body, BodyError, boxed};
use super::pace::{Expiry, InFlight, Pace, Paced};
use super::{Config, Peer, tls};

/// What all connections of a listener share.
pub(super) struct Protocol {
    http: auto::Builder<TokioExecutor>,
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
            tls,
            handshake_timeout: config.handshake_timeout.as_std(),
            header_timeout: config.header_timeout.as_std(),
            idle_timeout: config.idle_timeout.as_std(),
        }
    }

    /// Serves one connection until it ends by itself, by a limit, or after `shutdown` by its last answer.
    pub(super) async fn serve<S>(
        &self,
        stream: TcpStream,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        // Answers are small and written whole: waiting for more to send only adds delay.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(peer.address = %peer.address, %error, "connection ended before it began");
            return;
        }
        let Some(acceptor) = &self.tls else {
            return self
                .serve_http(stream, false, peer, service, shutdown)
                .await;
        };
        match timeout(self.handshake_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = tls::is_http2(stream.get_ref().1);
                self.serve_http(stream, http2, peer, service, shutdown)
                    .await;
            }
            Ok(Err(error)) => {
                debug!(peer.address = %peer.address, %error, "TLS handshake broke off");
            }
            Err(_elapsed) => {
                debug!(peer.address = %peer.address, "TLS handshake took too long");
            }
        }
    }

    async fn serve_http<I, S>(
        &self,
        stream: I,
        http2: bool,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let pace = Pace::new(self.header_timeout, self.idle_timeout, http2);
        let stream = TokioIo::new(Paced::new(stream, Arc::clone(&pace)));
        let requests = Arc::clone(&pace);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_flight = requests.begin(request.version() == Version::HTTP_2);
            request.extensions_mut().insert(peer);
            let answer = service.clone().oneshot(request.map(boxed));
            async move {
                answer
                    .await
                    .map(|response| response.map(|body| Answer { body, in_flight }))
            }
        });
        let mut connection = pin!(self.http.serve_connection(stream, service));
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
