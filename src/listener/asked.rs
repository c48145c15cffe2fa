//! A request's body on its way from the client, who is not waited for without end.
//!
//! Only while somebody wants more of it does the client owe anything. Says when all of it was read: until then
//! the protocol is in the middle of it. Knows no socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::body::BodyError;
use super::pace::Pace;
use super::progress::Watch;

pub(super) struct Asked {
    body: Incoming,
    /// `None`: nothing is to come any more.
    unread: Option<Arc<Pace>>,
    watch: Watch,
}

impl Asked {
    /// `on_demand`: the client sends nothing before it is told to.
    pub(super) fn new(body: Incoming, on_demand: bool, pace: &Arc<Pace>) -> Self {
        let unread = (!body.is_end_stream()).then(|| {
            let upper = body.size_hint().upper();
            pace.body_begins(!on_demand && upper.is_some_and(|upper| upper <= SMALL_REST));
            Arc::clone(pace)
        });
        Self {
            body,
            unread,
            watch: Watch::default(),
        }
    }

    fn ends(&mut self) {
        if let Some(pace) = self.unread.take() {
            pace.body_ends();
        }
    }
}

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(pace) = &this.unread else {
            return Pin::new(&mut this.body)
                .poll_frame(cx)
                .map_err(BodyError::from);
        };
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let now = tokio::time::Instant::now;
                this.watch.progress.moved(bytes, now, pace.patience());
                if this.body.is_end_stream() {
                    this.ends();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.ends();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Pending => {
                let overdue = ready!(this.watch.poll_overdue(cx, pace.patience()));
                pace.body_overdue(overdue);
                Poll::Ready(Some(Err(BodyError::stalled())))
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

/// What hyper reads by itself, when it is there, of a body that nobody wants.
const SMALL_REST: u64 = 16 << 10;
