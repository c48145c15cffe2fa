//! An answer's body on its way to the client, who is not waited for without end.
//!
//! On HTTP/1 the socket is all there is to wait for, and `Pace` watches it. On HTTP/2 each client says for each
//! stream how much it takes, and hyper does not look at a body for which there is no room. So whoever runs the
//! stream watches it, and drops it with everything it holds: that resets the stream, and ends the answer at its
//! source. Knows no socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::body::{Body, BodyError};
use super::pace::{InFlight, Pace};
use super::progress::Watch;

/// An answer's body, which keeps its request in flight until the last byte is with the protocol.
pub(super) struct Answer {
    body: Body,
    /// HTTP/2: what was taken from `body` and not given out yet.
    rest: Bytes,
    multiplexed: bool,
    /// `None`: there was no request that anybody would wait for.
    in_flight: Option<InFlight>,
}

/// Runs the streams of one HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Streams(Arc<Pace>);

/// What one stream waits for.
#[derive(Default)]
struct Taking {
    /// Bytes that hyper has of its answer, and that the client has not made room for.
    given: usize,
    watch: Watch,
}

tokio::task_local! {
    /// Between an answer and whoever runs its stream; hyper is in the middle and knows nothing of it.
    static TAKING: RefCell<Taking>;
}

impl Answer {
    pub(super) fn new(body: Body, multiplexed: bool, in_flight: InFlight) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            multiplexed,
            in_flight: Some(in_flight),
        }
    }

    /// A short one of the listener's own. Whoever does not take it is idle.
    pub(super) fn short(body: Body) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            multiplexed: false,
            in_flight: None,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(in_flight) = this.in_flight.as_ref().filter(|_| this.multiplexed) else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        // Asked for more: what was given before has its room.
        give(0, in_flight);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => this.rest = data,
                    Ok(nothing) => return Poll::Ready(Some(Ok(Frame::data(nothing)))),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let part = part(&mut this.rest, in_flight.pace().patience().least);
        give(part.len(), in_flight);
        in_flight.pace().gives_part();
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

/// The next part of `rest`, which is not empty.
///
/// hyper lets go of a part as soon as there is room for the first byte of it. So each is smaller than what the
/// client has to take in time, and the last byte is one by itself: whoever waits for the room for it waits in
/// sight.
fn part(rest: &mut Bytes, least: u64) -> Bytes {
    let most = usize::try_from(least / 2).map_or(FRAME, |half| half.clamp(64, FRAME));
    let size = match rest.len() {
        1 => 1,
        more => (more - 1).min(most),
    };
    rest.split_to(size)
}

/// hyper gets so many bytes of an answer, and had room for those before.
fn give(bytes: usize, in_flight: &InFlight) {
    let outside = TAKING.try_with(|taking| {
        let mut taking = taking.borrow_mut();
        let room = std::mem::replace(&mut taking.given, bytes);
        let patience = in_flight.pace().patience();
        taking.watch.progress.moved(room, Instant::now, patience);
    });
    debug_assert!(outside.is_ok(), "every stream runs on `Streams`");
}

impl Streams {
    pub(super) fn new(pace: Arc<Pace>) -> Self {
        Self(pace)
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let pace = Arc::clone(&self.0);
        let watched = async move {
            let mut stream = pin!(stream);
            poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let overdue = TAKING.with(|taking| {
                    let mut taking = taking.borrow_mut();
                    if taking.given == 0 {
                        // It waits for something else than its client.
                        return Poll::Pending;
                    }
                    taking.watch.poll_overdue(cx, pace.patience())
                });
                pace.answer_overdue(ready!(overdue));
                Poll::Ready(())
            })
            .await;
        };
        drop(tokio::spawn(TAKING.scope(RefCell::default(), watched)));
    }
}

/// As much as fits into one frame of HTTP/2 that no client has to ask for.
const FRAME: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;
    use crate::listener::body::full;
    use crate::listener::pace::tests::pace;

    /// The sizes of the frames in which an answer of so many bytes is given out.
    async fn parts(size: usize, multiplexed: bool) -> Vec<usize> {
        let text: Bytes = (0..=u8::MAX).cycle().take(size).collect();
        let in_flight = pace().begin().unwrap();
        let mut answer = Answer::new(full(text.clone()), multiplexed, in_flight);
        let expected = u64::try_from(size).unwrap();
        let reading = async {
            let (mut sizes, mut all) = (Vec::new(), Vec::new());
            while !answer.is_end_stream() {
                let left = expected - u64::try_from(all.len()).unwrap();
                assert_eq!(answer.size_hint().exact(), Some(left));
                let data = answer.frame().await.unwrap().unwrap().into_data().unwrap();
                sizes.push(data.len());
                all.extend_from_slice(&data);
            }
            assert_eq!(all, text);
            sizes
        };
        TAKING.scope(RefCell::default(), reading).await
    }

    #[tokio::test]
    async fn the_last_byte_of_an_answer_waits_for_room_on_its_own() {
        assert_eq!(parts(1, true).await, [1]);
        assert_eq!(parts(2, true).await, [1, 1]);
        // Half of what has to be taken in time.
        let most = 15 << 10;
        assert_eq!(parts(most, true).await, [most - 1, 1]);
        assert_eq!(parts(most + 1, true).await, [most, 1]);
        assert_eq!(parts(2 * most + 5, true).await, [most, most, 4, 1]);
        assert_eq!(parts(2 * most + 5, false).await, [2 * most + 5]);
    }
}
