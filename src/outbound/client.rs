//! One short question, one bounded answer, a connection of its own.
//!
//! It follows no redirect and takes nothing that is not 200: an answer that comes from elsewhere than was configured is
//! none. What an answer says is never part of an error: it may be a secret.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Files, Found, OutboundError, Way};

/// Asks. Clones share the way.
#[derive(Clone, Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpsConnector<Way<HttpConnector>>, Full<Bytes>>,
    /// The longest answer that it takes.
    most: usize,
}

/// Why there is no answer. Who was asked is known to who asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the answer has more than {0} bytes")]
    Long(usize),
    #[error("the answer is {0}, a redirect, which is not followed: give the URL that it leads to")]
    Redirect(StatusCode),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Unreachable(String),
}

impl Client {
    /// `is_encrypted`: whether anybody is asked who has to prove who he is.
    pub fn new(
        files: &Files,
        proxy: Option<Found>,
        is_encrypted: bool,
    ) -> Result<Self, OutboundError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(files.client(is_encrypted)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Way::through(proxy, tcp));
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Whoever asks has a runtime of his own, and asks seldom.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(connector);
        Ok(Self {
            inner: client,
            most: LONGEST_ANSWER,
        })
    }

    /// The same for answers of up to so many bytes.
    #[must_use]
    pub fn taking(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Head and body of the answer, which is 200, and JSON unless something else is asked for.
    pub async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<(HeaderMap, Bytes), AskError> {
        match self.send(request, within).await? {
            (StatusCode::OK, head, body) => Ok((head, body)),
            (status, _, _) => Err(AskError::Status(status)),
        }
    }

    /// The answer, whatever its status is, but for a redirect. 304 is none: it has no body.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), AskError> {
        let answer = async {
            let (status, headers, body) = self.begun(request).await?;
            Ok((status, headers, self.read(body).await?))
        };
        tokio::time::timeout(within, answer)
            .await
            .unwrap_or(Err(AskError::Timeout(within)))
    }

    /// What becomes of a message is said by the status. The body, which may say more, is `None` where it is long, slow or
    /// cut off.
    pub async fn tell(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<(StatusCode, HeaderMap, Option<Bytes>), AskError> {
        let begun = tokio::time::timeout(within, self.begun(request)).await;
        let (status, headers, body) = begun.unwrap_or(Err(AskError::Timeout(within)))?;
        let body = tokio::time::timeout(within.min(FOR_THE_BODY), self.read(body)).await;
        Ok((status, headers, body.ok().and_then(Result::ok)))
    }

    /// Sends, and waits for the head of the answer.
    async fn begun(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Incoming), AskError> {
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.entry(ACCEPT).or_insert(json);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let agent = concat!("dtgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let answer = self.inner.request(request).await;
        let answer = answer.map_err(|error| AskError::Unreachable(causes(&error)))?;
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(AskError::Redirect(status));
        }
        let (head, body) = answer.into_parts();
        Ok((status, head.headers, body))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, AskError> {
        let body = Limited::new(body, self.most).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                AskError::Long(self.most)
            } else {
                AskError::Unreachable(causes(error.as_ref()))
            }
        })?;
        Ok(body.to_bytes())
    }
}

/// An error with what caused it: the library says only "client error (Connect)".
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// The longest answer: a hundred keys with the certificates of each.
pub const LONGEST_ANSWER: usize = 512 << 10;
/// Time for a body behind a status that says all there is to say.
const FOR_THE_BODY: Duration = Duration::from_secs(2);
const LONGEST_HEAD: usize = 64 << 10;
