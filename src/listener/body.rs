//! The one body type of requests and responses.
//!
//! Boxed once, so that every signature behind the listener is short and the stack's type stays small.
//! Streams: nothing here collects or copies what passes.

use std::convert::Infallible;
use std::error::Error;
use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// A request or response body, streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The body broke off: the peer went away or did not keep to the protocol.
///
/// A type of our own, because a boxed error as a body's error does not pass the `Send` checks of a
/// spawned task.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
pub struct BodyError(#[source] Box<dyn Error + Send + Sync>);

/// Boxes any body of bytes.
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

/// No bytes at all.
pub fn empty() -> Body {
    boxed(Empty::new())
}

/// All bytes at once.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    boxed(Full::new(bytes.into()))
}

impl BodyError {
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }

    /// The client did not send what it owes: an `io::Error`, for those who do not know this module.
    pub(super) fn stalled() -> Self {
        Self::new(io::Error::new(io::ErrorKind::TimedOut, Stalled))
    }

    /// Whether that is behind an error, and not a client or an upstream that is gone.
    pub fn is_stalled(error: &(dyn Error + 'static)) -> bool {
        let is_it = |error: &&(dyn Error + 'static)| {
            let error = error.downcast_ref::<io::Error>();
            let inner = error.and_then(io::Error::get_ref);
            inner.is_some_and(<dyn Error + Send + Sync>::is::<Stalled>)
        };
        std::iter::successors(Some(error), |&error| error.source()).any(|error| is_it(&error))
    }

    /// Whether a body that broke off is behind an error.
    pub fn is_behind(error: &(dyn Error + 'static)) -> bool {
        std::iter::successors(Some(error), |&error| error.source()).any(<dyn Error>::is::<Self>)
    }
}

/// What a client is told whose body did not come.
#[derive(Debug, thiserror::Error)]
#[error("the client sent too little for too long")]
struct Stalled;

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        Self::new(error)
    }
}

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_boxed_body_gives_back_its_bytes() {
        assert_eq!(full("abc").collect().await.unwrap().to_bytes(), "abc");
        assert!(empty().collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn a_limited_body_can_be_collected_inside_a_spawned_task() {
        let collected =
            tokio::spawn(async { http_body_util::Limited::new(full("abc"), 2).collect().await });
        assert!(collected.await.unwrap().is_err());
    }
}
