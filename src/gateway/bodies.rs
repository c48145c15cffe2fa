//! Bodies of requests, as far as the gate waits for them.
//!
//! Those that are read whole share one amount of memory, with what is made of them. It is counted by what has arrived,
//! not by what was announced, and given back when nobody holds it any more. It does not know what the bytes say.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use serde_json::Value;

use super::client::Address;
use super::quota::{Portion, Quota};
use super::rejection::{Reason, Shed};
use crate::guard::ReadError;
use crate::listener::{Body, BodyError};

/// Reads bodies whole, while there is memory for them.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    pub(super) memory: Quota<Address>,
    /// For one body to arrive.
    pub(super) timeout: Duration,
}

/// Bytes, and the right to hold them.
struct Counted {
    bytes: Vec<u8>,
    portion: Portion<Address>,
}

impl Bodies {
    /// A body to its end, or none of it. What is longer than `limit` is refused, never cut.
    pub(super) async fn read(
        &self,
        address: Address,
        mut body: Body,
        limit: usize,
    ) -> Result<Bytes, Reason> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let reading = async {
            let mut counted = Counted {
                bytes: Vec::new(),
                portion: self.memory.take(address, 0)?,
            };
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| broken(&error))?;
                if let Ok(data) = frame.into_data() {
                    counted.push(&data, limit)?;
                }
            }
            Ok(Bytes::from_owner(counted))
        };
        tokio::time::timeout(self.timeout, reading)
            .await
            .unwrap_or(Err(ReadError::Timeout(self.timeout).into()))
    }

    /// Takes the memory for a body that was read as JSON: a number of two bytes becomes a hundred.
    pub(super) fn hold(&self, address: Address, body: &Value) -> Result<Portion<Address>, Shed> {
        self.memory.take(address, COPIES * weight(body))
    }
}

/// What a guarded request with so long a body holds at most.
pub(super) const fn at_most(longest: usize) -> usize {
    // One byte for a number, one for the comma behind it, and all of them within something.
    (longest / 2 + 1).saturating_mul(COPIES * size_of::<Value>())
}

/// Bytes of memory that a value takes, about.
fn weight(value: &Value) -> usize {
    let below: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(weight).sum(),
        Value::Object(members) => {
            let members = members.iter();
            let weights = members.map(|(name, value)| MEMBER + name.len() + weight(value));
            weights.sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + below
}

impl Counted {
    /// Copies: a few bytes of a frame keep all of the buffer in memory that they were read into.
    fn push(&mut self, data: &[u8], limit: usize) -> Result<(), Reason> {
        let (length, capacity) = (self.bytes.len() + data.len(), self.bytes.capacity());
        if length > limit {
            return Err(ReadError::TooLarge(limit).into());
        }
        if length > capacity {
            let wanted = length.max(2 * capacity).min(limit);
            self.portion.grow(wanted - capacity)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body did not arrive whole.
fn broken(error: &BodyError) -> ReadError {
    if BodyError::is_stalled(error) {
        ReadError::Stalled
    } else {
        ReadError::Body(error.to_string())
    }
}

/// Waits until the body of an upload begins: before that there is nothing to do for it. What was read is read again.
pub(super) async fn begun(mut body: Body) -> Result<Body, ReadError> {
    if body.is_end_stream() {
        return Ok(body);
    }
    let first = body.frame().await.transpose();
    let first = first.map_err(|error| broken(&error))?;
    Ok(Body::new(Begun {
        first,
        unsent: false,
        broken: None,
        rest: body,
    }))
}

/// The begin of a body that was read ahead.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) bytes: Vec<u8>,
    /// How it ended before its end.
    pub(super) broken: Option<BodyError>,
}

impl Ahead {
    /// Reads a body to its end, or until there is more of it than so many bytes. Says whether the end was reached.
    /// Whoever stops waiting has what was read so far.
    pub(super) async fn read(&mut self, body: &mut Body, most: usize) -> bool {
        while self.bytes.len() <= most {
            match body.frame().await {
                None => return true,
                // Copied, as in [`Counted`]. The pool lets no trailers through.
                Some(Ok(frame)) => {
                    let data = frame.data_ref().map(Bytes::as_ref);
                    self.bytes.extend_from_slice(data.unwrap_or_default());
                }
                Some(Err(error)) => {
                    self.broken = Some(error);
                    return false;
                }
            }
        }
        false
    }

    /// The same body again: what was read, then the rest.
    pub(super) fn before(self, rest: Body) -> Body {
        let first = (!self.bytes.is_empty()).then(|| Frame::data(self.bytes.into()));
        Body::new(Begun {
            first,
            unsent: true,
            broken: self.broken,
            rest,
        })
    }
}

/// What was read of a body, how that broke off if it did, and else what comes after it.
struct Begun {
    first: Option<Frame<Bytes>>,
    /// Head and first frame are still to be sent.
    unsent: bool,
    broken: Option<BodyError>,
    rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.first.take() {
            Some(first) => Some(Poll::Ready(Some(Ok(first)))),
            None if self.broken.is_some() => None,
            None => Some(Pin::new(&mut self.rest).poll_frame(cx)),
        };
        match frame {
            // Trailers end here, as those of answers do: they could say what the head did not.
            Some(Poll::Ready(Some(Ok(frame)))) if !frame.is_data() => return Poll::Ready(None),
            Some(frame) => return frame,
            None => {}
        }
        if std::mem::take(&mut self.unsent) {
            // What was read is sent first: with an error hyper throws away what it has not written yet.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.broken.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.broken.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref);
        let first = first.map_or(0, |data| data.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }
}

/// Once as it goes upstream, once as the policies see it, and once on the way.
const COPIES: usize = 3;

/// Its name, and the way to find it.
const MEMBER: usize = size_of::<String>() + 2 * size_of::<usize>();

#[cfg(test)]
mod tests;
