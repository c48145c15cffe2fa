//! The socket of one connection to the upstream, and what the pool tells it before a request.
//!
//! What came before the request can be no answer to it, and whoever sends interim answers without end sends none.
//! Knows no protocol: it counts bytes, and asks the system whether any lie unread.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::places::Place;

/// Keeps its place among the connections until it is closed.
#[derive(Debug)]
pub(in crate::gateway) struct Socket {
    io: TcpStream,
    told: Arc<Told>,
    place: Option<Place>,
}

/// What the pool tells a connection of HTTP/1, which reads for itself.
#[derive(Debug)]
pub(super) struct Told {
    /// A request is about to be sent: nothing may have come yet.
    asking: AtomicBool,
    /// Bytes that may still come before the head of the answer has.
    left: AtomicUsize,
}

impl Told {
    /// A request comes next. On a connection that carried others `foul` is what lies unread; on a new one that
    /// may be the end of its handshake.
    pub(super) fn asks(&self, foul: bool, most: usize) {
        self.left.store(most, Ordering::Relaxed);
        self.asking.store(foul, Ordering::Relaxed);
    }

    /// The head has come: how long the body may be is not known here.
    pub(super) fn answered(&self) {
        self.left.store(NO_LIMIT, Ordering::Relaxed);
    }

    /// Whether more came than an answer's head and a few interim answers.
    pub(super) fn overran(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl Socket {
    pub(in crate::gateway) fn new(stream: TokioIo<TcpStream>) -> TokioIo<Self> {
        TokioIo::new(Self {
            io: stream.into_inner(),
            told: Arc::new(Told {
                asking: AtomicBool::new(false),
                left: AtomicUsize::new(NO_LIMIT),
            }),
            place: None,
        })
    }

    /// The socket of a connection, with or without TLS.
    pub(super) fn of(stream: &mut MaybeHttpsStream<TokioIo<Self>>) -> &mut Self {
        match stream {
            MaybeHttpsStream::Http(socket) => socket.inner_mut(),
            MaybeHttpsStream::Https(tls) => tls.inner_mut().get_mut().0.inner_mut().inner_mut(),
        }
    }

    pub(super) fn takes(&mut self, place: Place) {
        self.place = Some(place);
    }

    pub(super) fn told(&self) -> Arc<Told> {
        self.told.clone()
    }

    /// Whether something came, or the end, that nobody has read. The system is asked: what the runtime knows is as
    /// old as its last look.
    fn has_unread(&self) -> bool {
        let looked = SockRef::from(&self.io).peek(&mut [MaybeUninit::uninit()]);
        !looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.told.asking.swap(false, Ordering::Relaxed) && self.has_unread() {
            return Poll::Ready(Err(io::Error::other("bytes that nobody asked for")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let left = self.told.left.load(Ordering::Relaxed);
        if left != NO_LIMIT {
            let left = left.saturating_sub(buffer.filled().len() - before);
            self.told.left.store(left, Ordering::Relaxed);
            if left == 0 {
                return Poll::Ready(Err(io::Error::other("interim answers without end")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

const NO_LIMIT: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::ServiceExt;

    use crate::gateway::upstream::Config;

    use super::*;

    #[tokio::test]
    async fn a_socket_notices_when_the_other_end_vanishes() {
        let config: Config = toml::from_str(
            "keepalive_idle = \"7s\"\nkeepalive_interval = \"2s\"\nkeepalive_count = 4",
        )
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let connecting = config.tcp().oneshot(upstream.parse().unwrap());
        let socket = connecting.await.unwrap().into_inner();
        let socket = SockRef::from(&socket.io);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        let interval = socket.tcp_keepalive_interval().unwrap();
        assert_eq!(interval, Duration::from_secs(2));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }
}
