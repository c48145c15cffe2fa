//! An upstream that repeats what it was shown. The gate's credential is for the gate alone: callers who were lent it do
//! not find it in an answer, neither in a field nor in the body, and get no session that was begun with it.
//!
//! In its place stand as many asterisks, so that an answer is as long as it said.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, Response};
use http_body::{Body as _, Frame, SizeHint};

use crate::dynatrace::token::{TokenSecret, secret_part};
use crate::listener::{Body, BodyError, boxed};

/// An answer without what its caller was lent.
pub(super) fn withhold(mut response: Response<Body>, lent: Option<&TokenSecret>) -> Response<Body> {
    let token = lent.and_then(|lent| lent.expose().split(' ').next_back());
    let secret = token.map(secret_part).unwrap_or_default();
    if secret.is_empty() {
        return response;
    }
    let headers = response.headers_mut();
    headers.remove(SET_COOKIE);
    take_out(headers, secret);
    if response.body().is_end_stream() {
        return response;
    }
    let secret = Bytes::copy_from_slice(secret.as_bytes());
    response.map(|body| {
        boxed(Withholding {
            body,
            secret,
            held: BytesMut::new(),
            ready: VecDeque::new(),
        })
    })
}

/// Whole fields: nobody needs the rest of one.
fn take_out(headers: &mut HeaderMap, secret: &str) {
    let secret = secret.as_bytes();
    let holds = |value: &[u8]| value.windows(secret.len()).any(|part| part == secret);
    let fields = headers.iter().filter(|(_, value)| holds(value.as_bytes()));
    let names: Vec<HeaderName> = fields.map(|(name, _)| name.clone()).collect();
    for name in names {
        headers.remove(name);
    }
}

/// A body in which a secret is covered, however it is cut into pieces.
struct Withholding {
    body: Body,
    secret: Bytes,
    /// The last bytes, as long as the secret could begin with them.
    held: BytesMut,
    ready: VecDeque<Frame<Bytes>>,
}

impl Withholding {
    /// What can be passed on of what is held: all of it, if this is the end.
    fn covered(&mut self, is_end: bool) -> Bytes {
        let secret = &*self.secret;
        let mut at = 0;
        while let Some(found) = position(self.held.get(at..).unwrap_or_default(), secret) {
            let start = at + found;
            at = start + secret.len();
            if let Some(part) = self.held.get_mut(start..at) {
                part.fill(b'*');
            }
        }
        let rest = self.held.get(at..).unwrap_or_default();
        let longest = rest.len().min(secret.len() - 1);
        let begins = |length: &usize| {
            let begin = secret.get(..*length).unwrap_or_default();
            rest.ends_with(begin)
        };
        let kept = (1..=longest).rev().find(begins).filter(|_| !is_end);
        let passed = self.held.len() - kept.unwrap_or(0);
        self.held.split_to(passed).freeze()
    }
}

impl http_body::Body for Withholding {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = self.covered(true);
                    let rest = (!rest.is_empty()).then(|| Ok(Frame::data(rest)));
                    return Poll::Ready(rest);
                }
            };
            let passed = match frame.into_data() {
                Ok(data) => {
                    self.held.extend_from_slice(&data);
                    let is_end = self.body.is_end_stream();
                    self.covered(is_end)
                }
                Err(frame) => {
                    let rest = self.covered(true);
                    if let Ok(mut trailers) = frame.into_trailers() {
                        trailers.remove(SET_COOKIE);
                        let secret = String::from_utf8_lossy(&self.secret).into_owned();
                        take_out(&mut trailers, &secret);
                        self.ready.push_back(Frame::trailers(trailers));
                    }
                    rest
                }
            };
            if !passed.is_empty() {
                self.ready.push_front(Frame::data(passed));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.ready.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.ready.iter().filter_map(Frame::data_ref);
        let waiting = waiting.map(Bytes::len).sum::<usize>() + self.held.len();
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(waiting));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
