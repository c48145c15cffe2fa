//! Whose turn it is while a request is sent: a deadline for the upstream must not run while the gate
//! itself waits for the client to send more.
//!
//! It refuses to know what the bytes are, and who waits for them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::listener::{Body, BodyError};

/// Since when the upstream is the one that has to act.
pub(super) struct Pace {
    started: Instant,
    /// Milliseconds after `started`, or [`CLIENT`].
    since: Arc<AtomicU64>,
}

/// Not the upstream's turn: the client has to send more.
const CLIENT: u64 = u64::MAX;

/// A request body that notes when it had to wait for the client.
struct Paced {
    body: Body,
    started: Instant,
    since: Arc<AtomicU64>,
}

impl Pace {
    /// Begins with the upstream's turn: it has to take a connection.
    pub(super) fn of(body: Body) -> (Self, Body) {
        let (started, since) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        // Nothing to wait for.
        if body.is_end_stream() {
            return (Self { started, since }, body);
        }
        let paced = Paced {
            body,
            started,
            since: since.clone(),
        };
        (Self { started, since }, Body::new(paced))
    }

    /// Ends when the upstream has had its turn for so long.
    pub(super) async fn exceeded(&self, limit: Duration) {
        let mut deadline = self.started + limit;
        loop {
            tokio::time::sleep_until(deadline).await;
            let since = self.since.load(Ordering::Relaxed);
            deadline = if since == CLIENT {
                Instant::now() + limit
            } else {
                self.started + Duration::from_millis(since) + limit
            };
            if deadline <= Instant::now() {
                return;
            }
        }
    }
}

impl Paced {
    fn upstreams_turn(&self) {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(CLIENT - 1);
        self.since.store(passed, Ordering::Relaxed);
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.since.store(CLIENT, Ordering::Relaxed);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.upstreams_turn();
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
        self.upstreams_turn();
    }
}
