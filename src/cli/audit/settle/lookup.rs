//! A token as Dynatrace has it now, or why that cannot be known.

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use serde_json::Value;

use crate::config::Config;
use crate::dynatrace::current::CurrentToken;
use crate::outbound::{self, AskError, Client};
use crate::value::Duration;

/// Why Dynatrace did not tell.
pub(super) struct Failure {
    pub(super) why: String,
    /// It will not tell of other tokens either.
    pub(super) is_general: bool,
    /// It says that there is nothing.
    is_missing: bool,
}

impl Failure {
    fn of_asking(error: &AskError) -> Self {
        let status = match error {
            AskError::Status(status) => Some(*status),
            _ => None,
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        Self {
            is_general: matches!(error, AskError::Timeout(_) | AskError::Unreachable(_))
                || status.is_some_and(|status| refused.contains(&status)),
            is_missing: status == Some(StatusCode::NOT_FOUND),
            why: match status {
                Some(status) if refused.contains(&status) => {
                    format!("the answer is {status}: the token may not read tokens")
                }
                _ => match error {
                    AskError::Unreachable(why) => format!("no answer: {why}"),
                    error => error.to_string(),
                },
            },
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            why: format!("{:#}", error.into()),
            is_general: false,
            is_missing: false,
        }
    }
}

/// The token as it is now; `None`: there is none.
pub(super) async fn ask(
    config: &Config,
    environment: &str,
    id: &str,
    credential: &HeaderValue,
    within: Duration,
) -> Result<Option<CurrentToken>, Failure> {
    let upstream = match config.environments.get(environment) {
        Some(environment) => &environment.upstream,
        None if config.environments.is_empty() => &config.upstream,
        None => return Err(anyhow!("the configuration has no environment of this name").into()),
    };
    let base = upstream.url.as_ref();
    let base = base.context("the configuration does not say where Dynatrace is (upstream.url)")?;
    // v1 knows tokens by ids of its own.
    let collection = if id.starts_with("dt0") {
        "v2/apiTokens"
    } else {
        "v1/tokens"
    };
    let all: Uri = format!("{base}/api/{collection}").parse()?;
    let one: Uri = format!("{base}/api/{collection}/{id}").parse()?;
    let own = upstream.client_certificate.as_ref();
    let files = outbound::Files::read(upstream.ca.as_deref(), own)?;
    let proxy = outbound::Found::on_the_way(
        &one,
        upstream.proxy.as_ref(),
        upstream.proxy_credential_file.as_deref(),
    )?;
    let client = Client::new(&files, proxy, base.is_encrypted())?;
    let get = async |uri: Uri| {
        let request = Request::get(uri)
            .header(AUTHORIZATION, credential)
            .body(Full::new(Bytes::new()))?;
        let answer = client.ask(request, within.into()).await;
        answer
            .map(|(_, body)| body)
            .map_err(|error| Failure::of_asking(&error))
    };
    match get(one).await {
        Ok(body) => {
            let token = CurrentToken::parse(&body)
                .map_err(|error| anyhow!("the answer is no token: {error}"))?;
            match &token.id {
                Some(told) if told == id => Ok(Some(token)),
                Some(_) => Err(anyhow!("the answer is about another token").into()),
                None => Err(anyhow!("the answer does not say about which token it is").into()),
            }
        }
        Err(failure) if failure.is_missing => {
            // Whoever knows nothing of tokens says the same: it has to know others.
            let body = get(all).await?;
            let known: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_list = ["apiTokens", "values"]
                .iter()
                .any(|name| known.get(name).is_some_and(Value::is_array));
            if is_list {
                return Ok(None);
            }
            Err(anyhow!("what answers there has no list of tokens").into())
        }
        Err(failure) => Err(failure),
    }
}
