//! A request as the gate would read it, without a gate: for `dtgate eval` and `dtgate check`.

use http::Request;
use http_body_util::BodyExt;

use super::record::Recorder;
use super::story::Started;
use super::{Config, environment};
use crate::dynatrace::catalogue::Catalogue;
use crate::dynatrace::token::HashKey;
use crate::guard::{self, ReadError, Route, Sifted};
use crate::listener::Body;
use crate::policy::{Input, Policy, input};
use crate::value::Size;

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
    let body = body.collect().await;
    let body = body.map_err(|error| ReadError::Body(error.to_string()))?;
    let body = body.to_bytes();
    let fits = |limit: Size| {
        let longest = limit.as_usize();
        let fits = body.len() <= longest;
        fits.then_some(()).ok_or(ReadError::TooLarge(longest))
    };
    let head = match guard::head(&parts, catalogue, &key)? {
        Route::Guarded(head) => *head,
        Route::Open => return Ok(None),
        Route::Unsure(head) => {
            fits(limits.settings_body)?;
            match guard::sift(*head, &body)? {
                Sifted::Guarded(head) => *head,
                Sifted::Open => return Ok(None),
            }
        }
    };
    fits(limits.body)?;
    let recorder = Recorder::new(&key, "", &started, &parts, Some(&head));
    let call = guard::call(head, &body)?;
    let environment = input::Environment {
        name: environment::DEFAULT.to_owned(),
        id: recorder
            .redactor()
            .text(call.head().path().environment().unwrap_or_default()),
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
