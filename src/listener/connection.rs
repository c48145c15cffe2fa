//! One accepted connection, from its handshake to its last answer.
//!
//! Whatever goes wrong here ends this connection and is logged for those who debug; nothing is returned,
//! because nothing that one client does may matter to another.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::answer::{Answer, Streams};
use super::asked::Asked;
use super::body::{boxed, full};
use super::config::Http2;
use super::linger::linger;
use super::pace::{Pace, Times};
use super::places::Taken;
use super::progress::Patience;
use super::stream::Paced;
use super::tls::{Refusal, Set, Standing, TlsSwap};
use super::{Config, Peer, Serve, proxy, tls};
use crate::telemetry::{Limit, Metrics};

/// What all connections of a listener share.
pub(super) struct Protocol {
    http1: http1::Builder,
    http2: Http2,
    max_header_size: u32,
    tls: TlsSwap,
    handshake_timeout: std::time::Duration,
    times: Times,
    metrics: Metrics,
}

/// One connection, as long as it lasts.
struct Visit<'a> {
    pace: Arc<Pace>,
    peer: Peer,
    /// TLS only.
    standing: Option<Arc<Standing>>,
    shutdown: &'a CancellationToken,
}

impl Protocol {
    pub(super) fn new(config: &Config, tls: TlsSwap, metrics: Metrics) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // hyper would start this clock when the previous answer ends, and so close idle connections
            // that a client is about to write to. `Pace` starts it at the first byte.
            .header_read_timeout(None)
            // A client may close its side and wait for its answer. `Paced` looks out for those that are gone.
            .half_close(true)
            // There is no limit of its own for the head: it has to fit into the buffer.
            .max_buf_size(config.max_header_size.as_usize());
        let rate = config.min_rate.as_u64();
        Self {
            http1,
            http2: config.http2,
            max_header_size: u32::try_from(config.max_header_size.as_u64()).unwrap_or(u32::MAX),
            tls,
            handshake_timeout: config.handshake_timeout.as_std(),
            times: Times {
                head: config.header_timeout.as_std(),
                idle: config.idle_timeout.as_std(),
                half_closed: config.half_close_timeout.as_std(),
                patience: Patience::new(config.stall_timeout.as_std(), rate),
            },
            metrics,
        }
    }

    fn http2(&self, pace: &Arc<Pace>) -> http2::Builder<Streams> {
        let mut http2 = http2::Builder::new(Streams::new(Arc::clone(pace)));
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(self.http2.max_streams.get())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(self.max_header_size);
        http2
    }

    /// Serves one connection until it ends by itself, by a limit, or after `shutdown` by its last answer.
    pub(super) async fn serve<S: Serve>(
        &self,
        stream: TcpStream,
        taken: &Taken,
        peer: Peer,
        service: S,
        shutdown: &CancellationToken,
    ) {
        let pace = Pace::new(self.times, taken.place(), self.metrics.clone());
        let mut visit = Visit {
            pace,
            peer,
            standing: None,
            shutdown,
        };
        // Boxed one by one, here and below: a connection holds what it needs now, and not room for all of it.
        let Some(sets) = self.tls.sets() else {
            let stream = Paced::new(stream, Arc::clone(&visit.pace));
            return Box::pin(self.serve_stream(stream, &visit, service)).await;
        };
        let handshake = self.handshake(stream, sets, &visit.peer);
        let Some((stream, standing)) = Box::pin(handshake).await else {
            return;
        };
        visit.peer.certificate = standing.certificate();
        visit.standing = Some(Arc::new(standing));
        let http2 = tls::is_http2(stream.get_ref().1);
        let stream = Paced::new(stream, Arc::clone(&visit.pace));
        if http2 {
            Box::pin(self.serve_http2(stream, &visit, service)).await;
        } else {
            Box::pin(self.serve_stream(stream, &visit, service)).await;
        }
    }

    /// `None`: it broke off.
    async fn handshake(
        &self,
        stream: TcpStream,
        sets: watch::Receiver<Arc<Set>>,
        peer: &Peer,
    ) -> Option<(TlsStream<TcpStream>, Standing)> {
        let server = Arc::clone(&sets.borrow().server);
        let shaking = async {
            if proxy::announces(&stream).await {
                self.metrics.proxy_header("ignored");
            }
            TlsAcceptor::from(server).accept(stream).await
        };
        let refused = match timeout(self.handshake_timeout, shaking).await {
            Ok(Ok(stream)) => match Standing::new(stream.get_ref().1, sets, self.tls.now()) {
                Ok(standing) => return Some((stream, standing)),
                Err(refusal) => Some(refusal),
            },
            Ok(Err(error)) => {
                debug!(peer.address = %peer.address, %error, "TLS handshake broke off");
                tls::refusal(&error)
            }
            Err(_elapsed) => {
                self.metrics.reached(Limit::HandshakeTimeout);
                debug!(peer.address = %peer.address, "TLS handshake took too long");
                None
            }
        };
        if let Some(refusal) = refused {
            self.refused(refusal, peer);
        }
        None
    }

    fn refused(&self, refusal: Refusal, peer: &Peer) {
        let reason = refusal.as_str();
        self.metrics.certificate_refused(reason);
        debug!(peer.address = %peer.address, reason, "a client is not let in, for its certificate");
    }

    /// Serves what the client turns out to speak. While it is silent a connection of HTTP/1 is a socket and nothing
    /// else: the buffers of the protocol are five times all the rest, and most connections are idle most of the time.
    async fn serve_stream<I, S: Serve>(&self, mut stream: Paced<I>, visit: &Visit<'_>, service: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut is_first = visit.standing.is_none();
        loop {
            let http2 = tokio::select! {
                biased;
                http2 = stream.speaks_http2() => http2,
                () = visit.shutdown.cancelled() => return,
                _expiry = visit.pace.expired() => return,
                refusal = visit.lost() => return self.refused(refusal, &visit.peer),
            };
            let Ok(Some(http2)) = http2 else {
                return;
            };
            if std::mem::take(&mut is_first) && proxy::begins(stream.unread()) {
                self.metrics.proxy_header("ignored");
            }
            let service = service.clone();
            if http2 {
                return Box::pin(self.serve_http2(stream, visit, service)).await;
            }
            match Box::pin(self.serve_http1(stream, visit, service)).await {
                Some(silent) => stream = silent,
                None => return,
            }
        }
    }

    /// Gives the stream back when the client has been silent for a moment.
    async fn serve_http1<I, S: Serve>(
        &self,
        stream: Paced<I>,
        visit: &Visit<'_>,
        service: S,
    ) -> Option<Paced<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let Visit { pace, peer, .. } = visit;
        let stream = TokioIo::new(stream.looking_out());
        let mut connection = self
            .http1
            .serve_connection(stream, requests(visit, service));
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    let malformed = ended.as_ref().is_err_and(hyper::Error::is_parse);
                    if malformed {
                        self.metrics.malformed();
                    }
                    if let Err(error) = ended {
                        debug!(peer.address = %peer.address, %error, "connection broke off");
                    }
                    if malformed || pace.is_mid_body() {
                        linger(connection.into_parts().io.into_inner(), pace).await;
                    }
                    return None;
                }
                () = visit.shutdown.cancelled(), if !closing => {}
                refusal = visit.lost(), if !closing => self.refused(refusal, peer),
                expiry = pace.expired() => if !expiry.is_polite() || closing {
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

    async fn serve_http2<I, S: Serve>(&self, stream: Paced<I>, visit: &Visit<'_>, service: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let Visit { pace, peer, .. } = visit;
        let most = self.http2.max_streams.get();
        pace.multiplexed(usize::try_from(most).unwrap_or(usize::MAX));
        let stream = TokioIo::new(stream.counting(&self.http2));
        let builder = self.http2(pace);
        let connection = builder.serve_connection(stream, requests(visit, service));
        let mut connection = pin!(connection);
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        if let Some(limit) = broken(&error) {
                            self.metrics.reached(limit);
                        }
                        debug!(peer.address = %peer.address, %error, "connection broke off");
                    }
                    return;
                }
                () = visit.shutdown.cancelled(), if !closing => {}
                refusal = visit.lost(), if !closing => self.refused(refusal, peer),
                expiry = pace.expired() => if !expiry.is_polite() || closing {
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

/// The limit of h2's own that a connection was ended for.
fn broken(error: &hyper::Error) -> Option<Limit> {
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    let is_ours = error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    // It has no other way to say which one.
    let is_about_resets = error.to_string().contains("resets");
    is_ours.then_some(if is_about_resets {
        Limit::Http2Resets
    } else {
        Limit::Http2Control
    })
}

impl Visit<'_> {
    /// Returns when the client would not be let in any more.
    async fn lost(&self) -> Refusal {
        match &self.standing {
            Some(standing) => standing.lost().await,
            None => pending().await,
        }
    }
}

/// The service as hyper wants it, with the requests that it is given in flight.
fn requests<S: Serve>(
    visit: &Visit<'_>,
    service: S,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Answer>,
    Error = Infallible,
    Future: Send,
> + use<S> {
    let (pace, peer) = (Arc::clone(&visit.pace), visit.peer.clone());
    let standing = visit.standing.clone();
    service_fn(move |mut request: Request<Incoming>| {
        let is_let_in = standing.as_ref().is_none_or(|own| own.judge().is_ok());
        let in_flight = if is_let_in { pace.begin() } else { None };
        let multiplexed = request.version() == Version::HTTP_2;
        request.extensions_mut().insert(peer.clone());
        if let Some(standing) = &standing {
            request.extensions_mut().insert(Arc::clone(standing));
        }
        let on_demand = request.headers().contains_key(EXPECT);
        let pace = &pace;
        let request = request.map(|body| boxed(Asked::new(body, on_demand, pace)));
        let answer = in_flight
            .is_some()
            .then(|| service.clone().oneshot(request));
        async move {
            if !is_let_in {
                return Ok(elsewhere(multiplexed));
            }
            let (Some(in_flight), Some(answer)) = (in_flight, answer) else {
                // The connection is about to be closed, and nothing has begun.
                return pending().await;
            };
            let mut response = answer.await?;
            if !multiplexed && in_flight.pace().leaves_rest() {
                // What is still to come of the body is thrown away, and no other request after it is read.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response.map(|body| Answer::new(body, multiplexed, in_flight)))
        }
    })
}

/// The answer to a request on a connection whose client would not be let in any more: nothing has begun, and a new
/// handshake decides.
fn elsewhere(multiplexed: bool) -> Response<Answer> {
    let mut response = Response::new(Answer::short(full(ELSEWHERE)));
    *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if !multiplexed {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

const ELSEWHERE: &str =
    "The client certificate of this connection is not accepted any more. Connect again.\n";
/// Of all request bodies on a connection, what is kept before it is read.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The same of one: several that nobody reads leave room for the others.
const STREAM_WINDOW: u32 = 128 << 10;
/// What is kept of one answer until the socket takes it.
const SEND_BUFFER: usize = 32 << 10;
/// A client whose network is gone answers no ping. For HTTP/1 there is TCP's own.
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(20);
const PING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);
