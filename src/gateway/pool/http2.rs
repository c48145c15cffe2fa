//! An HTTP/2 connection to the upstream, and how many requests it may carry at a time.
//!
//! It asks the upstream for a sign of life and breaks when there is none: a network that goes away says nothing,
//! and an idle connection would look usable for ever. An answer that nobody takes holds its own window and no
//! other's. It refuses to know who uses it, and for how long it is kept.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;

use super::framing::Heads;
use crate::listener::Body;

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<Body>,
    shared: Arc<Shared>,
}

/// A request on a connection, until the last byte of its answer.
#[derive(Debug)]
pub(super) struct Carried(pub(super) Connection);

#[derive(Debug)]
struct Shared {
    /// As many as the upstream takes at a time. One more would wait for another to end, behind it for how long
    /// nobody knows.
    limit: AtomicUsize,
    carried: AtomicUsize,
    given_up: AtomicBool,
    task: Spawner,
}

/// Remembers the first task of a connection: it owns the socket.
#[derive(Clone, Debug, Default)]
struct Spawner(Arc<OnceLock<AbortHandle>>);

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = tokio::spawn(future);
        self.0.get_or_init(|| task.abort_handle());
    }
}

impl Connection {
    pub(super) async fn over<I>(stream: I, heads: Heads) -> hyper::Result<Self>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let task = Spawner::default();
        let (sender, mut connection) = http2::Builder::new(task.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * MAX_STREAMS)
            // Up to there the gate itself says that a head is too long; beyond, hyper says that something broke.
            .max_header_list_size(heads.list_size())
            .handshake(stream)
            .await?;
        let shared = Arc::new(Shared {
            limit: AtomicUsize::new(at_most(connection.current_max_send_streams())),
            carried: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            task,
        });
        let told = shared.clone();
        tokio::spawn(async move {
            // Polled with every request: what the upstream said last is known before the next one.
            let ended = poll_fn(|context| {
                let polled = Pin::new(&mut connection).poll(context);
                let limit = at_most(connection.current_max_send_streams());
                told.limit.store(limit, Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a connection to the upstream broke off");
            }
        });
        Ok(Self { sender, shared })
    }

    pub(super) fn carry(&self) -> Carried {
        self.shared.carried.fetch_add(1, Ordering::Relaxed);
        Carried(self.clone())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.shared.given_up.load(Ordering::Relaxed)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.shared.carried.load(Ordering::Relaxed) > 0
    }

    /// Whether it can carry one more.
    pub(super) fn has_room(&self) -> bool {
        self.sender.is_ready()
            && !self.is_closed()
            && self.shared.carried.load(Ordering::Relaxed)
                < self.shared.limit.load(Ordering::Relaxed)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Nobody uses it any more; it is closed when the last answer that it carries was read.
    pub(super) async fn give_up(&self, look_again: Duration) {
        self.shared.given_up.store(true, Ordering::Relaxed);
        while self.is_busy() {
            tokio::time::sleep(look_again).await;
        }
        if let Some(task) = self.shared.task.0.get() {
            task.abort();
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.shared.carried.fetch_sub(1, Ordering::Relaxed);
    }
}

fn at_most(streams: usize) -> usize {
    streams.min(usize::try_from(MAX_STREAMS).unwrap_or(usize::MAX))
}

/// Silence for so long, and then no answer for so long: a connection is dead after both.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of one answer as is held for a client that does not take it.
const WINDOW: u32 = 256 * 1024;
/// Requests on one connection. There is a window for each: answers that nobody takes must not stop the others.
const MAX_STREAMS: u32 = 100;
