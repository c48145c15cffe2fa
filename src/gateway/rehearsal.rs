//! A request as the gate would read it, without a gate: for `dtgate eval` and `dtgate check`.

use http::Request;

use super::record::Recorder;
use super::story::Started;
use super::{Config, environment};
use crate::dynatrace::catalogue::Catalogue;
use crate::dynatrace::token::HashKey;
use crate::guard::{self, ReadError, Route, Sifted};
use crate::listener::{Body, full};
use crate::policy::{Input, Policy, input};

/// Whether a policy reads the request in the shape of OPA-Envoy, so that it has to be built.
pub fn reads_envoy(policy: &Policy) -> bool {
    [
        "attributes",
        "parsed_path",
        "parsed_query",
        "parsed_body",
        "truncated_body",
    ]
    .iter()
    .any(|member| policy.reads(&format!("input.{member}")))
}

/// Reads a request as the gateway would, for `dtgate eval`: what policies would see of it.
///
/// `None`: it is open traffic, which no policy sees.
pub async fn rehearse(
    request: Request<Body>,
    limits: &Config,
    catalogue: &Catalogue,
    with_envoy: bool,
    time: jiff::Timestamp,
) -> Result<Option<Input>, ReadError> {
    let key = HashKey::new([0; 32]);
    let started = Started::of(&request);
    let (parts, body) = request.into_parts();
    let (head, body) = match guard::head(&parts, catalogue, &key)? {
        Route::Guarded(head) => (*head, body),
        Route::Open => return Ok(None),
        Route::Unsure(head) => match guard::sift(*head, body, limits.read()).await? {
            Sifted::Guarded(head, body) => (*head, full(body)),
            Sifted::Open(_) => return Ok(None),
        },
    };
    let recorder = Recorder::new(&key, "", &started, &parts, Some(&head));
    let call = guard::call(head, body, limits.read()).await?;
    let environment = input::Environment {
        name: environment::DEFAULT.to_owned(),
        id: call
            .head()
            .path()
            .environment()
            .unwrap_or_default()
            .to_owned(),
        data: serde_json::Map::new(),
    };
    Ok(Some(recorder.input(
        &call,
        environment,
        &parts,
        None,
        with_envoy,
        time,
    )))
}
