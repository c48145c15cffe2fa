//! An HTTP/1 connection to the upstream, which carries one request at a time.
//!
//! It refuses to know who uses it, and for how long it is kept.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::rt::{Read, Write};
use tokio::task::AbortHandle;

use super::framing::Heads;
use super::socket::Told;
use crate::listener::Body;

#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Body>,
    told: Arc<Told>,
    /// Bytes that may come before an answer's head has.
    most: usize,
    task: AbortHandle,
}

impl Connection {
    pub(super) async fn over<I>(stream: I, told: Arc<Told>, heads: Heads) -> hyper::Result<Self>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let buffer = heads.size.max(BUFFER);
        let (sender, connection) = http1::Builder::new()
            .max_headers(heads.fields)
            .max_header_size(heads.size)
            .max_buf_size(buffer)
            .handshake(stream)
            .await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the upstream broke off");
            }
        });
        Ok(Self {
            sender,
            told,
            // What is read ahead of the body is among it.
            most: INTERIM * (heads.size + buffer),
            task: task.abort_handle(),
        })
    }

    /// `kept`: it carried other requests before.
    ///
    /// What is awaited has no room for the request any more: it is with the connection's task.
    pub(super) fn try_send(
        &mut self,
        request: Request<Body>,
        kept: bool,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.told.asks(kept, self.most);
        let told = Arc::clone(&self.told);
        let answer = self.sender.try_send_request(request);
        async move {
            let answer = answer.await;
            if answer.is_ok() {
                told.answered();
            }
            answer
        }
    }

    /// Whether more came before an answer than its head and a few interim answers.
    pub(super) fn overran(&self) -> bool {
        self.told.overran()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until it can take a request, or is closed.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }

    /// What ends it, with whatever it still carries.
    pub(super) fn task(&self) -> AbortHandle {
        self.task.clone()
    }
}

/// What is read at once of a body, and held for a client that does not take it: less costs large answers time.
const BUFFER: usize = 256 * 1024;
/// Interim answers may be as long as so many heads.
const INTERIM: usize = 4;
