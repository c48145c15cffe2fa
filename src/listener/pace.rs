//! How long a connection may take, judged from what really moved on it.
//!
//! Three limits: a request head must be complete soon after its first byte; a connection without a request
//! is closed when it has been idle for long; a client that does not take its answer is cut. Time that a
//! request spends in the service is not limited here. Sees bytes go by but never looks at them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// The clock of one connection, shared by its socket, its requests and the task that watches it.
#[derive(Debug)]
pub(super) struct Pace {
    head: Duration,
    state: Mutex<State>,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expiry {
    /// No request for long: close politely.
    Idle,
    /// A head that does not end, or an answer that is not taken: cut.
    Stalled,
}

/// One request between its head and the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Pace>);

/// A stream that tells its `Pace` when bytes came in and when bytes could not go out.
#[derive(Debug)]
pub(super) struct Paced<I> {
    inner: I,
    pace: Arc<Pace>,
    /// The twin of `State::blocked`, so that a write that goes through takes no lock.
    blocked: bool,
    /// Read before, and to be read again.
    unread: Bytes,
}

#[derive(Debug)]
struct State {
    idle: Duration,
    idle_since: Instant,
    in_flight: usize,
    /// Request bodies of which not every byte was read: what comes next on the connection is theirs.
    unread: usize,
    /// When the first byte came since the last request ended.
    heard: Option<Instant>,
    /// Since when the client has not taken a byte.
    blocked: Option<Instant>,
    /// HTTP/2: bytes between requests are the protocol's own and start no head.
    multiplexed: bool,
}

impl Pace {
    pub(super) fn new(head: Duration, idle: Duration, multiplexed: bool) -> Arc<Self> {
        let state = Mutex::new(State {
            idle,
            idle_since: Instant::now(),
            in_flight: 0,
            heard: None,
            blocked: None,
            unread: 0,
            multiplexed,
        });
        Arc::new(Self { head, state })
    }

    /// A request head has arrived whole.
    pub(super) fn begin(self: &Arc<Self>, multiplexed: bool) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.heard = None;
        state.multiplexed = multiplexed;
        drop(state);
        InFlight(Arc::clone(self))
    }

    /// The connection was told to close: what is left of its idle time shrinks to that of a head.
    pub(super) fn closing(&self) {
        let mut state = self.state();
        state.idle = self.head;
        state.idle_since = Instant::now();
    }

    /// Returns when a limit is broken.
    ///
    /// Nobody wakes this up when bytes move. It looks again after the shortest of all limits: one that
    /// starts in between cannot end before that, so it is never late.
    pub(super) async fn expired(&self) -> Expiry {
        loop {
            let now = Instant::now();
            let judged = self.state().judge(now, self.head);
            match judged {
                Ok(deadline) => sleep_until(deadline).await,
                Err(expiry) => return expiry,
            }
        }
    }

    /// A request whose body is still to come.
    pub(super) fn body_begins(&self) {
        self.state().unread += 1;
    }

    /// Its last byte was read. One that nobody reads to its end leaves the connection for ever in the middle of it.
    pub(super) fn body_ends(&self) {
        self.state().unread -= 1;
    }

    /// Returns when there was no request for a moment, and nothing waits to be read or sent. It may be late.
    pub(super) async fn silent(&self) {
        let moment = SILENCE.min(self.head);
        loop {
            tokio::time::sleep(moment).await;
            let state = self.state();
            let nothing = state.in_flight == 0
                && state.unread == 0
                && state.heard.is_none()
                && state.blocked.is_none();
            if nothing && state.idle_since.elapsed() >= moment {
                return;
            }
        }
    }

    fn heard(&self) {
        let mut state = self.state();
        if state.in_flight == 0 && state.heard.is_none() {
            state.heard = Some(Instant::now());
        }
    }

    fn blocked(&self, blocked: bool) {
        let mut state = self.state();
        state.blocked = if blocked {
            state.blocked.or_else(|| Some(Instant::now()))
        } else {
            None
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers: they are true even if a thread panicked while it held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The moment to look again, or the limit that is broken.
    fn judge(&self, now: Instant, head: Duration) -> Result<Instant, Expiry> {
        let limit = match (self.blocked, self.heard) {
            // The request may be over for the protocol and its answer still wait in a buffer.
            (Some(since), _) => Some((since + self.idle, Expiry::Stalled)),
            _ if self.in_flight > 0 => None,
            (None, Some(since)) if !self.multiplexed => Some((since + head, Expiry::Stalled)),
            (None, _) => Some((self.idle_since + self.idle, Expiry::Idle)),
        };
        let look_again = now + head.min(self.idle);
        match limit {
            Some((deadline, expiry)) if deadline <= now => Err(expiry),
            Some((deadline, _)) => Ok(deadline.min(look_again)),
            None => Ok(look_again),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.idle_since = Instant::now();
            state.heard = None;
        }
    }
}

impl<I> Paced<I> {
    pub(super) fn new(inner: I, pace: Arc<Pace>) -> Self {
        Self {
            inner,
            pace,
            blocked: false,
            unread: Bytes::new(),
        }
    }

    /// Puts back what somebody has read and not used.
    pub(super) fn with_unread(mut self, bytes: Bytes) -> Self {
        self.unread = bytes;
        self
    }

    fn wrote<T>(&mut self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() != self.blocked {
            self.blocked = result.is_pending();
            self.pace.blocked(self.blocked);
        }
        result
    }
}

impl Paced<TcpStream> {
    /// Waits for the first bytes, without taking them, and says whether they can only be HTTP/1. What cannot be
    /// told from so little is not: somebody else has to look at more of it, or at the end of the stream.
    pub(super) async fn speaks_http1(&self) -> bool {
        let mut first = [0; HTTP_2.len()];
        if !self.unread.is_empty() {
            return true;
        }
        let peeked = self.inner.peek(&mut first).await.unwrap_or_default();
        let mut known = first.iter().take(peeked).zip(HTTP_2);
        known.any(|(byte, expected)| byte != expected)
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
            buffer.put_slice(&self.unread.split_to(some));
            self.pace.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.heard();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Paced<I> {
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(result)
    }
}

/// How every HTTP/2 connection begins.
const HTTP_2: &[u8; 4] = b"PRI ";
/// Long enough that a client that sends one request after the other does not notice.
const SILENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    /// What the pace would say so many seconds from now.
    fn after(pace: &Pace, secs: u64) -> Option<Expiry> {
        pace.state()
            .judge(Instant::now() + Duration::from_secs(secs), HEAD)
            .err()
    }

    #[tokio::test]
    async fn a_silent_connection_is_idle_and_a_begun_head_is_stalled_much_sooner() {
        let pace = Pace::new(HEAD, IDLE, false);
        assert_eq!(after(&pace, 59), None);
        assert_eq!(after(&pace, 61), Some(Expiry::Idle));
        pace.heard();
        assert_eq!(after(&pace, 9), None);
        assert_eq!(after(&pace, 11), Some(Expiry::Stalled));
    }

    #[tokio::test]
    async fn a_request_in_flight_may_take_as_long_as_it_wants() {
        let pace = Pace::new(HEAD, IDLE, false);
        pace.heard();
        let (first, second) = (pace.begin(true), pace.begin(true));
        drop(first);
        pace.heard();
        assert_eq!(after(&pace, 100_000), None);
        drop(second);
        assert_eq!(after(&pace, 59), None);
        assert_eq!(after(&pace, 61), Some(Expiry::Idle));
    }

    #[tokio::test]
    async fn what_is_put_back_is_read_first_and_is_the_begin_of_a_head() {
        let pace = Pace::new(HEAD, IDLE, false);
        let mut stream = Paced::new(&b"two"[..], Arc::clone(&pace)).with_unread("one ".into());
        assert_eq!(after(&pace, 11), None);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two");
        assert_eq!(after(&pace, 11), Some(Expiry::Stalled));
    }

    #[tokio::test]
    async fn bytes_between_requests_start_no_head_on_http_2() {
        let pace = Pace::new(HEAD, IDLE, true);
        pace.heard();
        assert_eq!(after(&pace, 59), None);
        assert_eq!(after(&pace, 61), Some(Expiry::Idle));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_is_stalled_even_with_its_request_in_flight() {
        let pace = Pace::new(HEAD, IDLE, false);
        let _request = pace.begin(false);
        pace.blocked(true);
        assert_eq!(after(&pace, 61), Some(Expiry::Stalled));
        pace.blocked(false);
        assert_eq!(after(&pace, 61), None);
    }

    #[tokio::test]
    async fn a_closing_connection_gets_only_the_time_of_a_head() {
        let pace = Pace::new(HEAD, IDLE, true);
        pace.closing();
        assert_eq!(after(&pace, 9), None);
        assert_eq!(after(&pace, 11), Some(Expiry::Idle));
    }
}
