//! The gateway as the listener wants it. Knows nothing of what becomes of a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};

use super::Gateway;
use crate::listener::Body;

/// The gateway as hyper and tower want it. It cannot fail: every request leaves as a response.
#[derive(Clone)]
pub struct Service(Arc<Gateway>);

impl Service {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self(Arc::new(gateway))
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gateway = self.0.clone();
        Box::pin(async move { Ok(gateway.answer(request).await) })
    }
}
