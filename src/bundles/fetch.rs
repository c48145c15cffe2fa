//! One fetch of a bundle: one question, one bounded answer. No redirect is followed.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use http::{Request, StatusCode};
use http_body_util::Full;

use super::config::Remote;
use super::keep::off_thread;
use crate::outbound::{AskError, Client, Files, Found, OutboundError, is_encrypted, is_here};
use crate::policy::MOST_BYTES;
use crate::value::{read_setting, unread};

/// What a server answers.
#[derive(Debug)]
pub(super) enum Answer {
    Bundle(Fetched),
    /// It has none but the one that is known.
    Unchanged,
}

#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
    /// Whether the server waits for a new bundle when it is asked to.
    pub(super) can_wait: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer is empty")]
    Empty,
    #[error("a fault of the program")]
    Fault,
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("token_file {}: {reason}", path.display())]
    Token { path: PathBuf, reason: String },
}

impl Remote {
    /// What is needed to ask, read anew: certificates and tokens are exchanged while the gate runs.
    fn client(&self) -> Result<Client, OutboundError> {
        let files = Files::read(self.ca.as_deref(), self.client_certificate.as_ref())?;
        let credential = self.proxy_credential_file.as_deref();
        let proxy = Found::on_the_way(&self.url, self.proxy.as_ref(), credential)?;
        // From there, this machine would be another one, and it would read the token.
        let proxy = proxy.filter(|_| !is_here(&self.url));
        let client = Client::new(&files, proxy, is_encrypted(&self.url))?;
        Ok(client.taking(MOST_BYTES))
    }

    fn token(&self) -> Result<Option<HeaderValue>, FetchError> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let failed = |reason: String| FetchError::Token {
            path: path.clone(),
            reason,
        };
        let text = read_setting(path).map_err(|error| failed(unread(&error)))?;
        let value = HeaderValue::try_from(format!("Bearer {}", text.trim()));
        let mut value =
            value.map_err(|_quotes_it| failed("a token is one line of letters".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whether everything is there that is needed to ask.
    pub fn check(&self) -> Result<(), FetchError> {
        self.client()?;
        self.token().map(|_token| ())
    }

    /// `etag`: of what is in force; `wait`: for how long the server is asked to wait for another.
    pub(super) async fn fetch(
        &self,
        etag: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<Answer, FetchError> {
        let mut request = Request::new(Full::default());
        request.uri_mut().clone_from(&self.url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let remote = self.clone();
        // Files: a disk can be slow.
        let found = off_thread(move || Ok((remote.token()?, remote.client()?))).await;
        let (token, client) = found.unwrap_or(Err(FetchError::Fault))?;
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token);
        }
        if let Some(Ok(etag)) = etag.map(HeaderValue::from_str) {
            headers.insert(IF_NONE_MATCH, etag);
        }
        let prefer = wait.map_or_else(
            || "modes=snapshot".to_owned(),
            |wait| format!("modes=snapshot;wait={}", wait.as_secs().max(1)),
        );
        if let Ok(prefer) = HeaderValue::from_str(&prefer) {
            headers.insert(HeaderName::from_static("prefer"), prefer);
        }
        let within = self
            .timeout
            .as_std()
            .saturating_add(wait.unwrap_or_default());
        let (status, head, bytes) = client.send(request, within).await?;
        match status {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Answer::Unchanged),
            StatusCode::OK if bytes.is_empty() => Err(FetchError::Empty),
            StatusCode::OK => {
                let text = |name| head.get(name).and_then(|value| value.to_str().ok());
                Ok(Answer::Bundle(Fetched {
                    etag: text(ETAG).map(str::to_owned),
                    can_wait: text(CONTENT_TYPE) == Some(WAITS),
                    bytes,
                }))
            }
            status => Err(AskError::Status(status).into()),
        }
    }
}

/// How a server says that it waits.
const WAITS: &str = "application/vnd.openpolicyagent.bundles";
const ACCEPTED: &str = "application/vnd.openpolicyagent.bundles, application/gzip, application/octet-stream, */*;q=0.1";
