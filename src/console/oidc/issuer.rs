//! What is asked of an issuer: where things are, and what a code stands for. Short questions, bounded answers, and each
//! place that it names is as well protected as the issuer itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::config::{Oidc, OidcError};
use super::{Refused, form, word_of};
use crate::console::params::encoded;
use crate::guard::json;
use crate::identity::{self, Name, Origin, Tokens, Url};
use crate::outbound::{Client, Files, Found};
use crate::telemetry::Metrics;

/// An issuer.
pub(super) struct Issuer {
    config: Oidc,
    /// Its own description; `None`: where things are is configured.
    description: Option<(Url, Client)>,
    tokens: Tokens,
    now: fn() -> Timestamp,
    known: tokio::sync::Mutex<Known>,
}

/// What is known of where things are.
#[derive(Default)]
struct Known {
    endpoints: Option<(Instant, Arc<Endpoints>)>,
    /// Why there is none, for a moment.
    failed: Option<(Instant, String)>,
}

/// Where an issuer is asked.
pub(super) struct Endpoints {
    /// Where people log in.
    pub(super) authorization: Url,
    token: Url,
    client: Client,
    /// Whether the secret goes into the form, and not into a field of its own.
    is_posted: bool,
    /// Whether each answer says which issuer it is from (RFC 9207).
    pub(super) says_who_it_is: bool,
}

impl Issuer {
    /// Reads files; asks nobody.
    pub(super) fn new(
        config: &Oidc,
        metrics: &Metrics,
        now: fn() -> Timestamp,
    ) -> Result<Self, OidcError> {
        let issuer = config.of_identity().map_err(OidcError::Issuer)?;
        let name = Name::try_from(NAME.to_owned()).map_err(OidcError::Issuer)?;
        let description = if let Some(configured) = &config.endpoints {
            client(config, &configured.token)?;
            None
        } else {
            let url = Url::of_description(&config.issuer).map_err(OidcError::Issuer)?;
            let client = client(config, &url)?;
            Some((url, client))
        };
        let trusted = identity::Config {
            jwt: [(name, issuer)].into(),
            ..identity::Config::default()
        };
        Ok(Self {
            config: config.clone(),
            description,
            tokens: Tokens::new(&trusted, metrics, now)?,
            now,
            known: tokio::sync::Mutex::default(),
        })
    }

    /// Where things are: asked once for all who wait, and remembered for a while.
    pub(super) async fn endpoints(&self) -> Result<Arc<Endpoints>, Refused> {
        let mut known = self.known.lock().await;
        if let Some((since, endpoints)) = &known.endpoints
            && since.elapsed() < FRESH
        {
            return Ok(endpoints.clone());
        }
        if let Some((since, reason)) = &known.failed
            && since.elapsed() < PAUSE
        {
            return Err(Refused::Unreachable(reason.clone()));
        }
        match self.found().await {
            Ok(endpoints) => {
                let endpoints = Arc::new(endpoints);
                known.endpoints = Some((Instant::now(), endpoints.clone()));
                known.failed = None;
                Ok(endpoints)
            }
            Err(reason) => {
                known.failed = Some((Instant::now(), reason.clone()));
                Err(Refused::Unreachable(reason))
            }
        }
    }

    async fn found(&self) -> Result<Endpoints, String> {
        let Some((url, described)) = &self.description else {
            let configured = self.config.endpoints.as_ref();
            let configured = configured.ok_or("it is not known where it is")?;
            let client = client(&self.config, &configured.token);
            return Ok(Endpoints {
                authorization: configured.authorization.clone(),
                token: configured.token.clone(),
                client: client.map_err(|error| error.to_string())?,
                is_posted: false,
                says_who_it_is: false,
            });
        };
        let mut request = Request::new(Full::default());
        request.uri_mut().clone_from(url.uri());
        let answer = described.ask(request, self.config.timeout.into()).await;
        let (_head, body) = answer.map_err(|error| format!("{url}: {error}"))?;
        let description =
            json::parse(&body).map_err(|_quotes_it| format!("{url}: it is no JSON object"))?;
        if description.get("issuer").and_then(Value::as_str) != Some(&self.config.issuer) {
            return Err(format!(
                "{url}: it describes another issuer than the configuration says"
            ));
        }
        let place = |name: &str| {
            let place = description.get(name).and_then(Value::as_str);
            let place = place.and_then(|place| Url::try_from(place.to_owned()).ok());
            let place = place.filter(|place| place.is_encrypted() || !url.is_encrypted());
            place.ok_or_else(|| format!("{url}: its {name} is no URL that can be used"))
        };
        let token = place("token_endpoint")?;
        let ways = description.get("token_endpoint_auth_methods_supported");
        let ways = ways.and_then(Value::as_array);
        let takes = |way: &str| ways.is_some_and(|ways| ways.iter().any(|it| it == way));
        Ok(Endpoints {
            authorization: place("authorization_endpoint")?,
            client: client(&self.config, &token).map_err(|error| error.to_string())?,
            token,
            is_posted: takes("client_secret_post") && !takes("client_secret_basic"),
            says_who_it_is: description
                .get("authorization_response_iss_parameter_supported")
                .is_some_and(|it| *it == true),
        })
    }

    /// What a good token says. It is judged like those that callers show.
    pub(super) async fn judge(
        &self,
        token: &str,
        origin: Origin,
    ) -> Result<Map<String, Value>, Refused> {
        let judged = self.tokens.judge(token, origin, self.now).await;
        judged
            .map(|jwt| jwt.claims)
            .map_err(|error| Refused::Token(error.flaw))
    }
}

impl Endpoints {
    /// The token that a code stands for.
    pub(super) async fn exchange(
        &self,
        config: &Oidc,
        secret: Option<String>,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<String, Refused> {
        let mut question = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let mut shown = None;
        match &secret {
            Some(secret) if !self.is_posted => {
                let pair = format!("{}:{}", encoded(&config.client_id), encoded(secret));
                shown = Some(format!("Basic {}", BASE64.encode(pair.as_bytes())));
            }
            Some(secret) => {
                question.push(("client_id", &config.client_id));
                question.push(("client_secret", secret));
            }
            None => question.push(("client_id", &config.client_id)),
        }
        let mut request = Request::new(Full::from(Bytes::from(form(&question))));
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(self.token.uri());
        let headers = request.headers_mut();
        let is_form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, is_form);
        if let Some(shown) = shown
            && let Ok(mut shown) = HeaderValue::from_str(&shown)
        {
            shown.set_sensitive(true);
            headers.insert(AUTHORIZATION, shown);
        }
        let answer = self.client.send(request, config.timeout.into()).await;
        let (status, _head, body) =
            answer.map_err(|error| Refused::Unreachable(format!("{}: {error}", self.token)))?;
        let answer = json::parse(&body);
        let answer = answer.map_err(|_quotes_it| Refused::Answer("it is no JSON object"))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        if status != StatusCode::OK {
            return Err(Refused::Code(word_of(text("error").unwrap_or_default())));
        }
        let token = text("id_token").ok_or(Refused::Answer("it has no id_token"))?;
        Ok(token.to_owned())
    }
}

fn client(config: &Oidc, url: &Url) -> Result<Client, OidcError> {
    let files = Files::read(config.ca.as_deref(), None)?;
    let credential = config.proxy_credential_file.as_deref();
    let proxy = Found::on_the_way(url.uri(), config.proxy.as_ref(), credential)?;
    let client = Client::new(&files, proxy, url.is_encrypted())?;
    Ok(client.taking(LONGEST_ANSWER))
}

/// How metrics and the log call it.
const NAME: &str = "console";
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 128 << 10;
/// How long it is remembered where things are.
const FRESH: Duration = Duration::from_hours(1);
/// Between two questions, where the first was in vain.
const PAUSE: Duration = Duration::from_secs(5);
