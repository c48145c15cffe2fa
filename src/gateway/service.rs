//! The gateway as the listener wants it, and where one set is swapped for another. Knows nothing of what becomes of a
//! request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::{Request, Response};

use super::upstream::Reached;
use super::{Arrived, Gateway, Set};
use crate::listener::Body;

/// The gateway as hyper and tower want it. It cannot fail: every request leaves as a response.
#[derive(Clone)]
pub struct Service(Arc<ArcSwap<Gateway>>);

impl Service {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(gateway)))
    }

    /// The environments that are in force.
    pub fn reached(&self) -> Vec<Reached> {
        self.0.load().environments.reached()
    }

    /// Requests whose head comes from now on have this set. Those that have begun keep theirs.
    pub fn swap(&self, set: Arc<Set>) {
        let next = self.0.load().with(set);
        self.0.store(Arc::new(next));
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
        let gateways = self.0.clone();
        let mut request = Arrived::from(request);
        Box::pin(async move {
            loop {
                match gateways.load_full().answer(request).await {
                    Ok(response) => return Ok(response),
                    // Once for each reload, at most.
                    Err(superseded) => request = superseded,
                }
            }
        })
    }
}
