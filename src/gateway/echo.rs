//! An upstream that repeats what it was shown. The gate's credential is for the gate alone: callers who were lent it do
//! not find it in an answer, neither in a field nor in the body, and get no session that was begun with it.
//!
//! In its place stand as many asterisks, so that an answer is as long as it said. What cannot be looked through is not
//! passed on.

mod spellings;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE,
    SET_COOKIE,
};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::ext::ReasonPhrase;

use super::upstream::UpstreamError;
use crate::dynatrace::token::{TokenSecret, secret_part};
use crate::listener::{Body, BodyError, boxed};
use spellings::Spellings;

/// Asks for an answer that can be looked through: as it is, and all of it. Two halves of a secret are none.
pub(super) fn ask_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for part in [RANGE, IF_RANGE, A_IM] {
        headers.remove(part);
    }
}

/// An answer without what its caller was lent.
pub(super) fn withhold(
    mut response: Response<Body>,
    lent: Option<&TokenSecret>,
) -> Result<Response<Body>, UpstreamError> {
    let token = lent.and_then(|lent| lent.expose().split(' ').next_back());
    let secret = token.map(secret_part).unwrap_or_default();
    if secret.is_empty() {
        return Ok(response);
    }
    let spellings = Spellings::of(secret);
    // Nobody needs the words behind the status; HTTP/2 has none.
    response.extensions_mut().remove::<ReasonPhrase>();
    let headers = response.headers_mut();
    headers.remove(SET_COOKIE);
    take_out(headers, &spellings);
    if response.body().is_end_stream() {
        return Ok(response);
    }
    if let Some(why) = veil(&response) {
        return Err(UpstreamError::Veiled(response.status(), why));
    }
    let spellings = Arc::new(spellings);
    Ok(response.map(|body| {
        boxed(Withholding {
            body,
            spellings,
            held: BytesMut::new(),
            owed: 0,
            ready: VecDeque::new(),
        })
    }))
}

/// Why a body cannot be looked through, if so. It was asked for otherwise.
fn veil(response: &Response<Body>) -> Option<&'static str> {
    let is_plain = |value: &HeaderValue| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.all(|coding| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        })
    };
    let mut codings = response.headers().get_all(CONTENT_ENCODING).iter();
    if !codings.all(is_plain) {
        return Some("it is compressed (Content-Encoding)");
    }
    let partial = [StatusCode::PARTIAL_CONTENT, StatusCode::IM_USED];
    partial
        .contains(&response.status())
        .then_some("it is only a part of one")
}

/// Whole fields: nobody needs the rest of one.
fn take_out(headers: &mut HeaderMap, spellings: &Spellings) {
    let fields = headers.iter();
    let fields = fields.filter(|(_, value)| spellings.stand_in(value.as_bytes()));
    let names: Vec<HeaderName> = fields.map(|(name, _)| name.clone()).collect();
    for name in names {
        headers.remove(name);
    }
}

/// A body in which a secret is covered, however it is cut into pieces.
struct Withholding {
    body: Body,
    spellings: Arc<Spellings>,
    /// The last bytes, as long as the secret could begin with them.
    held: BytesMut,
    /// So many of them belong to one that was found before.
    owed: usize,
    ready: VecDeque<Frame<Bytes>>,
}

impl Withholding {
    /// What can be passed on of what is held: all of it, if this is the end.
    fn covered(&mut self, is_end: bool) -> Bytes {
        let found = self.spellings.find(&self.held);
        let begun = self.spellings.begun_in(&self.held);
        let passed = self.held.len() - if is_end { 0 } else { begun };
        let mut open = self.held.split_to(passed);
        let begun_before = 0..std::mem::take(&mut self.owed);
        for place in found.into_iter().chain([begun_before]) {
            let end = place.end.min(passed);
            if let Some(part) = open.get_mut(place.start..end) {
                part.fill(b'*');
                self.owed = self.owed.max(place.end - end);
            }
        }
        open.freeze()
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
                        take_out(&mut trailers, &self.spellings);
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

/// Changes between two versions of an answer (RFC 3229): a part of it, too.
const A_IM: HeaderName = HeaderName::from_static("a-im");

#[cfg(test)]
mod tests;
