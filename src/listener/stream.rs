//! A client's socket, with or without TLS, that tells its `Pace` what moves on it.
//!
//! While a request is being answered it also looks out for the end of the client's side: hyper would take that
//! for the end of the client, or would not look at all. Never looks at bytes but at the first four.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::config::Http2;
use super::frames::Frames;
use super::pace::Pace;

/// A stream that tells its `Pace` when bytes came in and when bytes could not go out.
pub(super) struct Paced<I> {
    inner: I,
    pace: Arc<Pace>,
    /// The twin of what `Pace` knows, so that a write that goes through takes no lock.
    blocked: bool,
    /// Bytes that the socket took since `Pace` was told.
    wrote: usize,
    /// Read before, and to be read again.
    unread: Bytes,
    /// The client has closed its side.
    ended: bool,
    /// HTTP/2: what passes by.
    frames: Option<Box<Frames>>,
    /// HTTP/1: one request at a time, and the client may have closed its side behind it.
    looks_out: bool,
}

impl<I> Paced<I> {
    pub(super) fn new(inner: I, pace: Arc<Pace>) -> Self {
        Self {
            inner,
            pace,
            blocked: false,
            wrote: 0,
            unread: Bytes::new(),
            ended: false,
            looks_out: false,
            frames: None,
        }
    }

    /// Puts back what somebody has read and not used.
    pub(super) fn with_unread(mut self, bytes: Bytes) -> Self {
        self.unread = if self.unread.is_empty() {
            bytes
        } else {
            [bytes, self.unread].concat().into()
        };
        self
    }

    /// From now on it counts the frames of HTTP/2, from the preface on.
    pub(super) fn counting(mut self, config: &Http2) -> Self {
        self.frames = Some(Box::new(Frames::new(config, Instant::now())));
        self
    }

    /// From now on it says when the client closes its side behind a request.
    pub(super) fn looking_out(mut self) -> Self {
        self.looks_out = true;
        self
    }

    /// Read, and not used yet.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.wrote = self.wrote.saturating_add(bytes);
            if let Some(frames) = &mut self.frames {
                frames.wrote(bytes);
            }
        }
        self.blocks(result.is_pending());
        result
    }

    /// An error ends the connection.
    fn count(&mut self, read: &[u8]) -> io::Result<()> {
        let Some(frames) = &mut self.frames else {
            return Ok(());
        };
        frames.gave(self.pace.parts());
        frames.read(read, Instant::now()).map_err(|limit| {
            self.pace.reached(limit);
            io::Error::other(format!("too many frames: {}", limit.as_str()))
        })
    }

    fn blocks(&mut self, blocked: bool) {
        if blocked != self.blocked || (self.ended && self.wrote > 0) {
            self.blocked = blocked;
            self.pace.wrote(std::mem::take(&mut self.wrote), blocked);
        }
    }
}

impl<I: AsyncRead + Unpin> Paced<I> {
    /// Whether the client begins to speak HTTP/2, as soon as that is certain; `None`: it says nothing.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<Option<bool>> {
        loop {
            let known = self.unread.iter().zip(HTTP_2).any(|(have, of)| have != of);
            if known || self.unread.len() >= HTTP_2.len() {
                return Ok(Some(!known));
            }
            if poll_fn(|cx| self.poll_more(cx)).await? == 0 {
                // Too short for HTTP/2, and for anything else.
                return Ok((!self.unread.is_empty()).then_some(false));
            }
        }
    }

    /// Reads more into `unread`.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What most heads fit into.
        let mut bytes = [0; 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        let more = buffer.filled();
        if more.is_empty() {
            self.ended = true;
        } else {
            self.pace.heard();
            let mut all = BytesMut::from(self.unread.as_ref());
            all.extend_from_slice(more);
            self.unread = all.freeze();
        }
        Poll::Ready(Ok(more.len()))
    }

    /// Notices that the client closes its side, or is gone, while nobody reads: its request is being answered.
    fn look_out(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let off = !self.looks_out || self.ended || !self.unread.is_empty();
        // Whoever reads a body finds its end.
        if off || !self.pace.is_busy() || !self.pace.are_bodies_read(cx.waker()) {
            return Ok(());
        }
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, &mut buffer) else {
            return Ok(());
        };
        read?;
        if buffer.filled().is_empty() {
            self.ended = true;
            self.pace.half_closed();
        } else {
            // The next request, or more of this one.
            self.unread = Bytes::copy_from_slice(buffer.filled());
        }
        // It may be what hyper waits for, and would not be woken for again.
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let some = self.unread.len().min(buffer.remaining());
            let read = self.unread.split_to(some);
            buffer.put_slice(&read);
            self.pace.heard();
            return Poll::Ready(self.count(&read));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Some(read @ [_, ..]) = buffer.filled().get(before..) {
            self.pace.heard();
            self.count(read)?;
        } else if matches!(result, Poll::Ready(Ok(()))) && buffer.remaining() > 0 {
            self.ended = true;
        }
        result
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// hyper comes here whenever it has nothing else to do, so this is where the look-out is.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.blocks(result.is_pending());
        self.look_out(cx)?;
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.blocks(result.is_pending());
        result
    }
}

/// How every HTTP/2 connection begins.
const HTTP_2: &[u8; 4] = b"PRI ";

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::listener::pace::Expiry;
    use crate::listener::pace::tests::{after, pace};

    #[tokio::test]
    async fn what_is_put_back_is_read_first_and_is_the_begin_of_a_head() {
        let pace = pace();
        let stream = Paced::new(&b"three"[..], Arc::clone(&pace));
        let mut stream = stream.with_unread("two ".into()).with_unread("one ".into());
        assert_eq!(after(&pace, 11), None);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two three");
        assert!(stream.has_ended());
        assert_eq!(after(&pace, 11), Some(Expiry::Head));
    }

    #[tokio::test]
    async fn http_2_is_told_by_its_first_four_bytes() {
        for (bytes, expected) in [
            ("", None),
            ("PR", Some(false)),
            ("PUT / HTTP/1.1", Some(false)),
            ("PRI * HTTP/2.0", Some(true)),
        ] {
            let mut stream = Paced::new(bytes.as_bytes(), pace());
            assert_eq!(stream.speaks_http2().await.unwrap(), expected, "{bytes}");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, bytes);
        }
    }
}
