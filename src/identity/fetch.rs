//! Fetches the keys of an issuer: one short question, one bounded answer, a connection of its own.
//!
//! It follows no redirect and takes nothing that is not 200: an answer that comes from elsewhere than was configured is
//! none of the issuer's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::config::{Source, Url};
use super::file;
use super::jwk::{KeySet, MOST_KEYS};
use crate::guard::json;
use crate::telemetry::Limit;
use crate::value::unread;

/// Fetches from one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    issuer: String,
    source: Source,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
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
    #[error("it names {said:?} as the place of its keys (jwks_uri): {reason}")]
    Place { said: String, reason: String },
    #[error("the answer is {0}, a redirect, which is not followed: give the URL that it leads to")]
    Redirect(StatusCode),
    #[error("it is no set of keys (a JSON object with a list \"keys\"): {0}")]
    Set(String),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Unreachable(String),
}

/// Why nothing could ever be fetched.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl FetchError {
    /// The limit that was reached, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self.fault {
            Fault::Long | Fault::Many => Some(Limit::JwksAnswer),
            Fault::Timeout(_) => Some(Limit::JwksTimeout),
            Fault::Description(_)
            | Fault::File(_)
            | Fault::Issuer { .. }
            | Fault::Place { .. }
            | Fault::Redirect(_)
            | Fault::Set(_)
            | Fault::Status(_)
            | Fault::Unreachable(_) => None,
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
    pub(super) fn new(
        issuer: String,
        source: Source,
        timeout: Duration,
        ca: Option<PathBuf>,
    ) -> Result<Self, CaError> {
        let encrypted = match &source {
            Source::Discovery(url) | Source::Url(url) => url.is_encrypted(),
            Source::File(_) => false,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca, encrypted)?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            // Whoever asks has a runtime of his own, and asks seldom.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(connector);
        Ok(Self {
            issuer,
            source,
            timeout,
            client,
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
        let late = |_elapsed| Fault::Timeout(self.timeout).at(url);
        tokio::time::timeout(self.timeout, all)
            .await
            .map_err(late)?
    }

    async fn keys(&self, url: &Url) -> Result<Fetched, FetchError> {
        let (head, body) = self.get(url).await?;
        Ok(Fetched {
            keys: KeySet::parse(&body).map_err(|fault| fault.at(url))?,
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
        let unreachable = |reason: String| Fault::Unreachable(reason).at(url);
        let request = Request::get(url.uri())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .header(USER_AGENT, concat!("dtgate/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| unreachable(whole(&error)))?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(Fault::Redirect(status).at(url)),
            status => return Err(Fault::Status(status).at(url)),
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Fault::Long.at(url)
            } else {
                unreachable(whole(error.as_ref()))
            }
        })?;
        Ok((head.headers, body.to_bytes()))
    }
}

/// An error with what caused it: the library says only "client error (Connect)".
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
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

/// The system's authorities take tens of milliseconds to read: not for an issuer that shows no certificate.
fn tls(ca: Option<PathBuf>, encrypted: bool) -> Result<ClientConfig, CaError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let failed = |reason: String| CaError::File {
            path: path.clone(),
            reason,
        };
        let text = std::fs::read(&path).map_err(|error| failed(unread(&error)))?;
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            let reason = "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
            return Err(failed(reason.to_owned()));
        }
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|error| failed(error.to_string()))?;
        }
    } else if encrypted {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate could not be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The longest answer: with 100 keys and the certificates of each.
pub(super) const LONGEST_ANSWER: usize = 512 << 10;
const LONGEST_HEAD: usize = 64 << 10;

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
