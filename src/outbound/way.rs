//! The way to somebody: straight, or through a proxy that is asked for a tunnel (HTTP CONNECT).

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower::{Service, ServiceExt};

use super::proxy::Found;

/// Opens sockets that lead there, whatever is in between; `C` opens those of the first step.
#[derive(Clone, Debug)]
pub enum Way<C> {
    Straight(C),
    Tunnel(Tunnel<C>),
}

type Failed = Box<dyn Error + Send + Sync>;

impl<C> Way<C> {
    /// Through the proxy, if there is one.
    pub fn through(proxy: Option<Found>, connector: C) -> Self {
        let Some(Found { uri, authorization }) = proxy else {
            return Self::Straight(connector);
        };
        let tunnel = Tunnel::new(uri, connector);
        Self::Tunnel(match authorization {
            Some(authorization) => tunnel.with_auth(authorization),
            None => tunnel,
        })
    }
}

impl<C> Service<Uri> for Way<C>
where
    C: Service<Uri, Error: Into<Failed>, Future: Send + 'static> + Clone + Send + 'static,
    C::Response: Read + Write + Unpin + Send + 'static,
{
    type Response = C::Response;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Straight(connector) => {
                let opening = connector.clone().oneshot(to);
                Box::pin(async move { opening.await.map_err(Into::into) })
            }
            Self::Tunnel(tunnel) => {
                let opening = tunnel.clone().oneshot(with_port(to));
                Box::pin(async move { opening.await.map_err(Into::into) })
            }
        }
    }
}

/// A proxy is always told the port.
fn with_port(to: Uri) -> Uri {
    if to.port().is_some() || to.scheme_str() != Some("http") {
        return to;
    }
    let host = to.host().unwrap_or_default();
    let mut parts = to.clone().into_parts();
    parts.authority = format!("{host}:80").parse().ok();
    Uri::from_parts(parts).unwrap_or(to)
}
