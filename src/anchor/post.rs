//! A checkpoint, sent to a URL.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::AnchorError;
use crate::audit::Destinations;
use crate::audit::checkpoint::Url;
use crate::outbound::{AskError, Client, Files, Found, Proxy};

/// Somebody who takes texts by POST.
#[derive(Clone, Debug)]
pub(super) struct Post {
    client: Client,
    url: Uri,
}

impl Post {
    pub(super) fn new(url: &Url, to: &Destinations) -> Result<Self, AnchorError> {
        let failed = |source| AnchorError::Outbound {
            to: url.to_string(),
            source,
        };
        let proxy = to.proxy.clone().map(Proxy::try_from);
        let proxy = proxy.transpose().map_err(AnchorError::Proxy)?;
        let files = Files::read(to.ca.as_deref(), None).map_err(failed)?;
        let proxy = Found::on_the_way(url.uri(), proxy.as_ref(), None).map_err(failed)?;
        Ok(Self {
            client: Client::new(&files, proxy, url.is_encrypted()).map_err(failed)?,
            url: url.uri().clone(),
        })
    }

    /// Where it sends to.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// The same one, at a path below.
    pub(super) fn below(&self, name: &str) -> Option<Self> {
        let path = self.url.path().trim_end_matches('/');
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = Some(format!("{path}/{name}").parse().ok()?);
        Some(Self {
            client: self.client.clone(),
            url: Uri::from_parts(parts).ok()?,
        })
    }

    /// What is answered, whatever the status says.
    pub(super) async fn send(&self, text: String) -> Result<(StatusCode, Bytes), AskError> {
        let mut request = Request::new(Full::new(Bytes::from(text)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let (status, _head, body) = self.client.send(request, TIMEOUT).await?;
        Ok((status, body))
    }
}

/// Nobody waits for it, and the next checkpoint comes in a minute.
const TIMEOUT: Duration = Duration::from_secs(10);
