//! Whose turn it is while a request is sent: a deadline for the upstream must not run while the gate itself waits
//! for the client to send more, or for a connection.
//!
//! A turn ends when the upstream has taken a KiB: whoever takes a byte now and then gets nowhere. It refuses to know
//! what the bytes are, and who waits for them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::listener::{Body, BodyError};

/// Since when the upstream is the one that has to act.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<State>);

#[derive(Debug)]
struct State {
    started: Instant,
    /// Milliseconds after `started`, or [`NOT_YET`].
    since: AtomicU64,
    /// Nothing is left to be taken.
    ended: AtomicBool,
}

/// Not the upstream's turn.
const NOT_YET: u64 = u64::MAX;
/// What counts as going on.
pub(super) const PROGRESS: usize = 1024;

/// A request body that notes when it had to wait for the client.
struct Paced {
    body: Body,
    pace: Pace,
    /// Milliseconds of the upstream's turn since its last KiB.
    waited: u64,
    bytes: usize,
}

impl Pace {
    /// Begins with nobody's turn: there is no connection yet.
    pub(super) fn of(body: Body) -> (Self, Body) {
        // Nothing to wait for.
        let ended = body.is_end_stream();
        let pace = Self(Arc::new(State {
            started: Instant::now(),
            since: AtomicU64::new(NOT_YET),
            ended: AtomicBool::new(ended),
        }));
        if ended {
            return (pace, body);
        }
        let paced = Paced {
            body,
            pace: pace.clone(),
            waited: 0,
            bytes: 0,
        };
        (pace, Body::new(paced))
    }

    /// The upstream's turn begins, and everything that was is forgotten.
    pub(super) fn begin(&self) {
        self.set(self.now());
    }

    /// Nobody's turn.
    pub(super) fn pause(&self) {
        self.set(NOT_YET);
    }

    /// Whether the request was taken as a whole, or will not be.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Ends when the upstream has had its turn for so long.
    pub(super) async fn exceeded(&self, limit: Duration) {
        let mut deadline = self.0.started + limit;
        loop {
            tokio::time::sleep_until(deadline).await;
            let since = self.since();
            deadline = if since == NOT_YET {
                Instant::now() + limit
            } else {
                self.0.started + Duration::from_millis(since) + limit
            };
            if deadline <= Instant::now() {
                return;
            }
        }
    }

    /// The same for the rest of a request that was answered before it was taken. False: it ended.
    pub(super) async fn stalled(&self, limit: Duration) -> bool {
        loop {
            tokio::time::sleep(limit).await;
            if self.has_ended() {
                return false;
            }
            let since = self.since();
            let turn = self.0.started + Duration::from_millis(since.min(self.now()));
            if since != NOT_YET && turn.elapsed() >= limit {
                return true;
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(NOT_YET - 1)
    }

    fn since(&self) -> u64 {
        self.0.since.load(Ordering::Relaxed)
    }

    fn set(&self, since: u64) {
        self.0.since.store(since, Ordering::Relaxed);
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let since = self.pace.since();
        if since != NOT_YET {
            self.waited = self.pace.now().saturating_sub(since);
            self.pace.pause();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.bytes += data.map_or(0, Bytes::len);
        if self.bytes >= PROGRESS {
            (self.bytes, self.waited) = (0, 0);
        }
        self.pace.set(self.pace.now().saturating_sub(self.waited));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Nobody reads it any more: whatever was left, the upstream has to answer now.
impl Drop for Paced {
    fn drop(&mut self) {
        self.pace.begin();
        self.pace.0.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    /// Frames of so many bytes; of none: a client that sends nothing.
    struct Frames(usize);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(vec![0; self.0].into()))))
        }
    }

    /// Whether an upstream that takes a frame every 40 seconds runs into the limit within an hour.
    async fn exceeds(bytes: usize) -> bool {
        let (pace, mut body) = Pace::of(Body::new(Frames(bytes)));
        pace.begin();
        let taking = async {
            loop {
                sleep(LIMIT * 2 / 3).await;
                body.frame().await.unwrap().unwrap();
            }
        };
        tokio::select! {
            () = pace.exceeded(LIMIT) => true,
            () = taking => unreachable!(),
            () = sleep(LIMIT * 60) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_not_taking_a_request() {
        assert!(exceeds(1).await);
        assert!(!exceeds(PROGRESS).await);
        // It waits for the client.
        assert!(!exceeds(0).await);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_connection_is_looked_for_it_is_nobodys_turn() {
        let (pace, _body) = Pace::of(crate::listener::empty());
        assert!(timeout(LIMIT * 60, pace.exceeded(LIMIT)).await.is_err());
        pace.begin();
        assert!(timeout(LIMIT * 2, pace.exceeded(LIMIT)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_an_answered_request_ends_or_stalls() {
        let (pace, body) = Pace::of(Body::new(Frames(1)));
        pace.begin();
        assert!(pace.stalled(LIMIT).await);
        drop(body);
        assert!(!pace.stalled(LIMIT).await);
    }
}
