//! Fetches the keys of an issuer: one short question, one bounded answer, a connection of its own.
//!
//! It follows no redirect and takes nothing that is not 200: an answer that comes from elsewhere than was configured is
//! none of the issuer's.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL};
use http::{HeaderMap, Request};
use http_body_util::Full;
use serde_json::Value;

use super::config::{Issuer, Source, Url};
use super::file;
use super::jwk::{KeySet, MOST_KEYS};
use crate::guard::json;
use crate::outbound::{AskError, Client, Files, Found, LONGEST_ANSWER, OutboundError};
use crate::telemetry::Limit;
use crate::value::unread;

/// Fetches from one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    issuer: String,
    source: Source,
    timeout: Duration,
    client: Client,
}

/// Keys, and for how long their issuer says that they need not be asked for again.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) fresh: Option<Duration>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {fault}")]
pub struct FetchError {
    /// The URL that was asked, or the file.
    pub at: String,
    pub fault: Fault,
}

/// What was wrong there.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(
        "it is no description of an issuer (a JSON object with \"issuer\" and \"jwks_uri\"): {0}"
    )]
    Description(String),
    #[error("{}", unread(.0))]
    File(std::io::Error),
    #[error("it says that it is issuer {said:?}, and the configuration says {configured:?}")]
    Issuer { said: String, configured: String },
    #[error("it has more than {LONGEST_ANSWER} bytes")]
    Long,
    #[error("it has more than {MOST_KEYS} keys")]
    Many,
    #[error("no key in it can be used: {}", .0.join("; "))]
    NoKey(Vec<String>),
    #[error("it names {said:?} as the place of its keys (jwks_uri): {reason}")]
    Place { said: String, reason: String },
    #[error("it is no set of keys (a JSON object with a list \"keys\"): {0}")]
    Set(String),
}

impl FetchError {
    /// The limit that was reached, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self.fault {
            Fault::Ask(AskError::Long(_)) | Fault::Long | Fault::Many => Some(Limit::JwksAnswer),
            Fault::Ask(AskError::Timeout(_)) => Some(Limit::JwksTimeout),
            Fault::Ask(_)
            | Fault::Description(_)
            | Fault::File(_)
            | Fault::Issuer { .. }
            | Fault::NoKey(_)
            | Fault::Place { .. }
            | Fault::Set(_) => None,
        }
    }
}

impl Fault {
    pub(super) fn at(self, place: &impl ToString) -> FetchError {
        FetchError {
            at: place.to_string(),
            fault: self,
        }
    }
}

impl Fetcher {
    pub(super) fn new(issuer: &Issuer) -> Result<Self, OutboundError> {
        let files = Files::read(issuer.ca.as_deref(), None)?;
        let (proxy, encrypted) = match &issuer.keys {
            Source::Discovery(url) | Source::Url(url) => {
                let credential = issuer.proxy_credential_file.as_deref();
                let proxy = Found::on_the_way(url.uri(), issuer.proxy.as_ref(), credential)?;
                (proxy, url.is_encrypted())
            }
            Source::File(_) => (None, false),
        };
        Ok(Self {
            issuer: issuer.issuer.clone(),
            source: issuer.keys.clone(),
            timeout: issuer.timeout.into(),
            client: Client::new(&files, proxy, encrypted)?,
        })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let (url, all) = match &self.source {
            Source::File(path) => {
                let keys = file::read(path)?;
                return Ok(Fetched { keys, fresh: None });
            }
            Source::Discovery(url) | Source::Url(url) => (url, async {
                match self.source {
                    Source::Discovery(_) => self.keys(&self.described(url).await?).await,
                    Source::File(_) | Source::Url(_) => self.keys(url).await,
                }
            }),
        };
        let late = |_elapsed| Fault::Ask(AskError::Timeout(self.timeout)).at(url);
        tokio::time::timeout(self.timeout, all)
            .await
            .map_err(late)?
    }

    async fn keys(&self, url: &Url) -> Result<Fetched, FetchError> {
        let (head, body) = self.get(url).await?;
        Ok(Fetched {
            keys: KeySet::usable(&body).map_err(|fault| fault.at(url))?,
            fresh: freshness(&head),
        })
    }

    /// Where an issuer says that its keys are.
    async fn described(&self, url: &Url) -> Result<Url, FetchError> {
        let (_, body) = self.get(url).await?;
        let none = |reason: String| Fault::Description(reason).at(url);
        let description = json::parse(&body).map_err(|error| none(error.to_string()))?;
        let text = |name: &str| {
            let member = description.get(name).and_then(Value::as_str);
            member.ok_or_else(|| none(format!("{name:?} is missing")))
        };
        let (said, place) = (text("issuer")?, text("jwks_uri")?);
        if said != self.issuer {
            let (said, configured) = (said.to_owned(), self.issuer.clone());
            return Err(Fault::Issuer { said, configured }.at(url));
        }
        let refused = |reason: String| {
            let said = place.to_owned();
            Fault::Place { said, reason }.at(url)
        };
        let keys = Url::try_from(place.to_owned()).map_err(refused)?;
        if url.is_encrypted() && !keys.is_encrypted() {
            let reason = "anybody on this machine could answer there";
            return Err(refused(reason.to_owned()));
        }
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<(HeaderMap, Bytes), FetchError> {
        let mut request = Request::new(Full::default());
        request.uri_mut().clone_from(url.uri());
        let answer = self.client.ask(request, self.timeout).await;
        answer.map_err(|error| Fault::Ask(error).at(url))
    }
}

/// How long an answer need not be asked for again, as far as it says so.
fn freshness(head: &HeaderMap) -> Option<Duration> {
    let text = |name| {
        head.get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
    };
    let directives = text(CACHE_CONTROL).flat_map(|value| value.split(','));
    let mut fresh = None;
    for directive in directives {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            fresh = seconds
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    let age = text(AGE).next().and_then(|age| age.parse().ok());
    let age = age.map_or(Duration::ZERO, Duration::from_secs);
    fresh.map(|fresh| fresh.saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says() {
        let fresh = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            });
            freshness(&fields.collect())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(fresh(&[]), None);
        assert_eq!(
            fresh(&[("cache-control", "public, Max-Age=300")]),
            seconds(300)
        );
        assert_eq!(
            fresh(&[("cache-control", "max-age=300"), ("age", "100")]),
            seconds(200)
        );
        assert_eq!(
            fresh(&[("cache-control", "max-age=300"), ("age", "900")]),
            seconds(0)
        );
        assert_eq!(
            fresh(&[("cache-control", "no-store, max-age=300")]),
            seconds(0)
        );
        assert_eq!(fresh(&[("cache-control", "max-age=-1")]), None);
        assert_eq!(
            fresh(&[("cache-control", "max-age=99999999999999999999999")]),
            None
        );
    }
}
