//! An HTTP/2 connection to the upstream, and how many requests it may carry at a time.
//!
//! It asks the upstream for a sign of life and breaks when there is none: a network that goes away says nothing,
//! and an idle connection would look usable for ever. It refuses to know who uses it, and for how long it is kept.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::listener::Body;

/// Each clone is a request, until the last byte of its answer; the one that is kept is one more.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<Body>,
    /// As many as the upstream takes at a time. One more would wait for another to end, behind it for how long
    /// nobody knows.
    limit: Arc<AtomicUsize>,
    clones: Arc<()>,
}

impl Connection {
    pub(super) async fn over<I>(stream: I) -> hyper::Result<Self>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(stream)
            .await?;
        let limit = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let told = limit.clone();
        tokio::spawn(async move {
            // Polled with every request: what the upstream said last is known before the next one.
            let ended = poll_fn(|context| {
                let polled = Pin::new(&mut connection).poll(context);
                told.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a connection to the upstream broke off");
            }
        });
        Ok(Self {
            sender,
            limit,
            clones: Arc::new(()),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the kept connection carries a request.
    pub(super) fn is_busy(&self) -> bool {
        Arc::strong_count(&self.clones) > 1
    }

    /// Whether the kept connection can carry one more.
    pub(super) fn has_room(&self) -> bool {
        self.sender.is_ready()
            && Arc::strong_count(&self.clones) <= self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.clones, &other.clones)
    }
}

/// Silence for so long, and then no answer for so long: a connection is dead after both.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
