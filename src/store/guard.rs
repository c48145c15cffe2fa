//! The bytes of a session, on their way through a [`Watch`].
//!
//! The driver takes a stream that is not its own only from whoever encrypts it. A connection that is not encrypted is
//! therefore handed in as one that is, by the way on which nothing is said about it beforehand (`Direct`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Config, Socket};

use super::watch::{Room, Watch};

/// Makes streams that are watched, of those that another one makes.
#[derive(Clone, Debug)]
pub(super) struct Guard<M> {
    make: M,
    room: Room,
    is_private: bool,
}

/// A stream that is watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Watch,
}

/// Makes streams as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

/// A stream that nothing was done to.
#[derive(Debug)]
pub(super) struct Bare<S>(S);

impl<M> Guard<M> {
    /// Of one that encrypts.
    pub(super) fn encrypted(make: M, room: Room) -> Self {
        Self {
            make,
            room,
            is_private: true,
        }
    }
}

impl Guard<Plain> {
    /// Of connections over a network, as they are.
    pub(super) fn plain(settings: &mut Config, room: Room) -> Self {
        settings.ssl_mode(SslMode::Require);
        settings.ssl_negotiation(SslNegotiation::Direct);
        Self {
            make: Plain,
            room,
            is_private: false,
        }
    }
}

impl<S> Watched<S> {
    /// One that nobody else can read.
    pub(super) fn private(stream: S, room: Room) -> Self {
        let watch = Watch::new(room, true);
        Self { stream, watch }
    }
}

type Connecting<S, E> = Pin<Box<dyn Future<Output = Result<Watched<S>, E>> + Send>>;

impl<M> MakeTlsConnect<Socket> for Guard<M>
where
    M: MakeTlsConnect<Socket>,
    M::TlsConnect: Send + 'static,
    <M::TlsConnect as TlsConnect<Socket>>::Future: Send + 'static,
{
    type Stream = Watched<M::Stream>;
    type TlsConnect = Guard<M::TlsConnect>;
    type Error = M::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        Ok(Guard {
            make: self.make.make_tls_connect(domain)?,
            room: self.room,
            is_private: self.is_private,
        })
    }
}

impl<C> TlsConnect<Socket> for Guard<C>
where
    C: TlsConnect<Socket>,
    C::Stream: Unpin,
    C::Future: Send + 'static,
{
    type Stream = Watched<C::Stream>;
    type Error = C::Error;
    type Future = Connecting<C::Stream, C::Error>;

    fn connect(self, socket: Socket) -> Self::Future {
        let watch = Watch::new(self.room, self.is_private);
        let connecting = self.make.connect(socket);
        Box::pin(async move {
            let stream = connecting.await?;
            Ok(Watched { stream, watch })
        })
    }
}

impl MakeTlsConnect<Socket> for Plain {
    type Stream = Bare<Socket>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _domain: &str) -> io::Result<Self> {
        Ok(Self)
    }
}

impl TlsConnect<Socket> for Plain {
    type Stream = Bare<Socket>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Bare<Socket>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        std::future::ready(Ok(Bare(socket)))
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Bare<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            let new = buffer.filled().get(before..).unwrap_or_default();
            return Poll::Ready(this.watch.see(new));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bare<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bare<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
