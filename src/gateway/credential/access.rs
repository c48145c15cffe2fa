//! An access token: asked for with the client's own credential, kept as long as it is good, and asked for again before
//! it ends.
//!
//! One question at a time, whoever waits for its answer; after one that failed nobody asks for a moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use super::CredentialError;
use super::config::OAuth;
use crate::dynatrace::token::TokenSecret;
use crate::outbound::{AskError, Client, Files, Found};
use crate::telemetry::{Limit, Metrics};

/// Clones share the token.
#[derive(Clone, Debug)]
pub(super) struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: OAuth,
    /// What is sent, the client's secret in it.
    question: TokenSecret,
    files: Files,
    proxy: Option<Found>,
    client: Client,
    metrics: Metrics,
    state: Mutex<State>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    failed: Option<(Instant, Arc<AccessError>)>,
}

#[derive(Clone, Debug)]
struct Token {
    /// The value of `Authorization`.
    authorization: TokenSecret,
    /// Asked for again from here on.
    renew: Instant,
    /// Not shown any more from here on.
    ends: Instant,
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the answer is no access token: {0}")]
    Answer(&'static str),
    #[error("{0}: {1}")]
    Ask(String, AskError),
    #[error(transparent)]
    Again(Arc<Self>),
}

/// RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl AccessError {
    /// The limit that was reached, if it was one.
    pub(in crate::gateway) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Ask(_, AskError::Timeout(_)) => Some(Limit::AccessToken),
            Self::Again(error) => error.limit(),
            Self::Answer(_) | Self::Ask(..) => None,
        }
    }
}

impl Access {
    pub(super) fn new(
        config: &OAuth,
        before: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, CredentialError> {
        let files = Files::read(config.ca.as_deref(), config.client_certificate.as_ref())?;
        let path = &config.client_secret_file;
        let text = crate::value::read_setting(path).map_err(|error| CredentialError::Io {
            path: path.clone(),
            error,
        })?;
        let secret = text.trim();
        if secret.is_empty() || secret.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(CredentialError::NoToken { path: path.clone() });
        }
        let question = question(config, secret);
        let url = &config.token_url;
        let proxy = Found::on_the_way(
            url.uri(),
            config.proxy.as_ref(),
            config.proxy_credential_file.as_deref(),
        )?;
        if let Some(Self(before)) = before
            && before.config == *config
            && before.question == question
            && before.files == files
            && before.proxy == proxy
        {
            return Ok(Self(before.clone()));
        }
        let client = Client::new(&files, proxy.clone(), url.is_encrypted())?;
        Ok(Self(Arc::new(Shared {
            config: config.clone(),
            question,
            files,
            proxy,
            client,
            metrics: metrics.clone(),
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })))
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whose it is.
    pub(super) fn client(&self) -> &str {
        &self.0.config.client_id
    }

    /// The value of `Authorization`. Waits for an answer only where there is no good token.
    pub(super) async fn token(&self) -> Result<TokenSecret, AccessError> {
        let now = Instant::now();
        if let Some(token) = self.known(now) {
            if now >= token.renew && self.may_ask(now) {
                let access = self.clone();
                // Nobody waits for it: the one that is there is still good.
                tokio::spawn(async move { access.renew().await });
            }
            return Ok(token.authorization);
        }
        let access = self.clone();
        // Whoever hangs up ends no question: others wait for its answer, or would ask it again.
        let answered = tokio::spawn(async move { access.answered().await }).await;
        answered.unwrap_or(Err(AccessError::Answer("nobody has read it to its end")))
    }

    /// Asks, unless somebody did so meanwhile.
    async fn answered(&self) -> Result<TokenSecret, AccessError> {
        let _asking = self.0.asking.lock().await;
        let now = Instant::now();
        if let Some(token) = self.known(now) {
            return Ok(token.authorization);
        }
        if let Some(error) = self.failed(now) {
            return Err(AccessError::Again(error));
        }
        self.ask().await
    }

    async fn renew(&self) {
        let Ok(_asking) = self.0.asking.try_lock() else {
            return;
        };
        if let Err(error) = self.ask().await {
            tracing::warn!(%error, "the access token could not be renewed, and is used until it ends");
        }
    }

    async fn ask(&self) -> Result<TokenSecret, AccessError> {
        let asked = Instant::now();
        let answered = self.answer().await;
        let token = answered.and_then(|body| Token::read(&body, asked));
        let mut state = self.state();
        match token {
            Ok(token) => {
                *state = State {
                    token: Some(token.clone()),
                    failed: None,
                };
                Ok(token.authorization)
            }
            Err(error) => {
                let error = Arc::new(error);
                state.failed = Some((Instant::now(), error.clone()));
                drop(state);
                self.0.metrics.access_token_failed();
                Err(AccessError::Again(error))
            }
        }
    }

    async fn answer(&self) -> Result<Bytes, AccessError> {
        let Shared {
            config,
            question,
            client,
            ..
        } = &*self.0;
        let body = Bytes::copy_from_slice(question.expose().as_bytes());
        let mut request = Request::post(config.token_url.uri().clone())
            .body(Full::new(body))
            .expect("a URL that was checked makes a request");
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let answer = client.ask(request, config.timeout.into()).await;
        let (_head, body) =
            answer.map_err(|error| AccessError::Ask(config.token_url.to_string(), error))?;
        Ok(body)
    }

    fn known(&self, now: Instant) -> Option<Token> {
        let state = self.state();
        state.token.clone().filter(|token| now < token.ends)
    }

    /// Why nobody asks for a moment.
    fn failed(&self, now: Instant) -> Option<Arc<AccessError>> {
        let state = self.state();
        let (at, error) = state.failed.as_ref()?;
        (now.duration_since(*at) < PAUSE).then(|| error.clone())
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.failed(now).is_none() && self.0.asking.try_lock().is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each is written in one go: what is there is true even if a thread panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    /// Nothing of the answer is repeated: it may hold a token.
    fn read(body: &[u8], asked: Instant) -> Result<Self, AccessError> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_quotes_it| {
            AccessError::Answer("it is no JSON object with access_token and token_type")
        })?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(AccessError::Answer("its token_type is not Bearer"));
        }
        let token = answer.access_token;
        if token.is_empty()
            || token.len() > LONGEST
            || !token.bytes().all(|it| it.is_ascii_graphic())
        {
            return Err(AccessError::Answer(
                "its access_token is not written like one",
            ));
        }
        let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(USUAL).min(DAY));
        if lifetime <= SHORTEST {
            return Err(AccessError::Answer("it ends before it could be used"));
        }
        Ok(Self {
            authorization: TokenSecret::new(format!("Bearer {token}")),
            renew: asked + lifetime / 2,
            ends: asked + lifetime - SHORTEST / 2,
        })
    }
}

fn question(config: &OAuth, secret: &str) -> TokenSecret {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut question = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        encoded(&config.client_id),
        encoded(secret)
    );
    for (name, value) in [("scope", &config.scope), ("resource", &config.resource)] {
        if let Some(value) = value {
            question.extend(["&", name, "=", &encoded(value)]);
        }
    }
    TokenSecret::new(question)
}

/// After a failure nobody asks again for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// A token that lives for less is of no use; half of that before its end it is not shown any more.
const SHORTEST: Duration = Duration::from_secs(20);
/// Where the answer does not say it, in seconds: Dynatrace's live for 300.
const USUAL: u64 = 300;
const DAY: u64 = 24 * 60 * 60;
/// Of a token, in bytes.
const LONGEST: usize = 16 << 10;

#[cfg(test)]
mod tests;
