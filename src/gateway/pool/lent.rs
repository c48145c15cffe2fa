//! An answer's body, which gives its connection back.
//!
//! Read to its end it gives the connection back; dropped before, it closes a connection of HTTP/1, and the
//! request's stream in one of HTTP/2. It does not wait for ever: while the client is ready for more, the upstream
//! may take so long for every KiB. Trailers end here, as they may at every proxy: they could say what the head did
//! not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Sender, Shared};
use crate::gateway::pace::PROGRESS;
use crate::listener::BodyError;
use crate::telemetry::Limit;

pub(super) struct Lent {
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<Shared>,
    patience: Patience,
}

/// How long the upstream was waited for since its last KiB.
#[derive(Default)]
struct Patience {
    waited: Duration,
    bytes: usize,
    /// Waiting now. While the client takes what is there, nobody asks for more.
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Error)]
#[error("the upstream's answer did not go on (upstream.body_timeout)")]
struct Silence;

impl Lent {
    pub(super) fn new(body: Incoming, sender: Option<Sender>, pool: Arc<Shared>) -> Self {
        Self {
            body,
            sender,
            pool,
            patience: Patience::default(),
        }
    }

    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.keep(sender);
        }
    }
}

impl Patience {
    fn came(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.bytes += bytes;
        if self.bytes >= PROGRESS {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
    }

    fn poll_exceeded(&mut self, context: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + limit.saturating_sub(self.waited);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // It may be set for an earlier wait, which has ended: it is moved when it rings, and not for every frame.
        while alarm.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let limit = self.pool.times.body;
            if self.patience.poll_exceeded(context, limit).is_pending() {
                return Poll::Pending;
            }
            self.sender = None;
            self.pool.metrics.reached(Limit::UpstreamBody);
            return Poll::Ready(Some(Err(BodyError::new(Silence))));
        };
        match frame {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else {
                    self.give_back();
                    return Poll::Ready(None);
                };
                self.patience.came(data.len());
                // Whoever knows the length does not ask again after the last byte.
                if self.body.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.sender = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
