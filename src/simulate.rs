//! The Dynatrace token API in memory: upstream of the demo and of the tests.
//!
//! It answers as the documentation and recorded traffic say Dynatrace does: both token APIs, with
//! their statuses, texts, date formats and empty bodies. Where neither says, it is the lenient one,
//! because a gate is only tested by an upstream that would have done it.
//!
//! It knows nothing of the gate, reads no clock and no randomness, and never panics on a request.

mod activegate;
mod body;
mod call;
mod list;
mod moment;
mod open;
mod reply;
mod scopes;
pub mod seeds;
mod selector;
mod server;
mod settings;
mod state;
mod v1;
mod v2;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::LOCATION};
use jiff::Timestamp;
use serde::Serialize;

pub use server::serve;

use body::Members;
use call::Call;
use reply::{Refusal, Violation};
use scopes::Version;
use state::{State, Token, Window};

/// Which of the behaviours that differ between real environments this one has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub unknown_scopes: UnknownScopes,
    /// New tokens come from the account only; creating one here is a 400.
    pub minting_retired: bool,
    pub throttle: Option<Throttle>,
    /// Sends every API request to a login page that answers 200, as a misrouted request finds it.
    pub redirect_to_login: bool,
    /// Does what is asked of the token of this name, and hangs up instead of saying so.
    pub hangs_up_about: Option<&'static str>,
    /// How many secrets are taken as minted: two environments mint the same, unless this differs.
    pub minted: u64,
}

/// What happens to a scope that cannot be assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownScopes {
    /// Silently, with the status of success: what was measured on the real API.
    #[default]
    Drop,
    /// 400 with a violation for each.
    Refuse,
}

/// How many requests are answered in a window; the others get 429 and `Retry-After`.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    pub requests: u32,
    pub window: Duration,
}

/// What can be seen of a token from outside: never its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    pub scopes: Vec<String>,
}

impl TokenView {
    fn of(token: &Token) -> Self {
        Self {
            id: token.alias.unwrap_or(&token.id).to_owned(),
            name: token.name.clone(),
            enabled: token.enabled,
            scopes: token.scopes.clone(),
        }
    }
}

/// One environment. Clones share it.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    now: fn() -> Timestamp,
    state: Mutex<State>,
}

impl Simulator {
    /// An environment that has the tokens of [`seeds`].
    pub fn seeded(options: Options, now: fn() -> Timestamp) -> Self {
        Self {
            shared: Arc::new(Shared {
                options,
                now,
                state: Mutex::new(State::seeded(options.minted)),
            }),
        }
    }

    /// Answers one request, whatever it is.
    pub fn answer(&self, request: Request<Bytes>, peer: IpAddr) -> Response<Bytes> {
        let Shared { options, now, .. } = *self.shared;
        let (parts, body) = request.into_parts();
        let (call, path) = Call::new(parts, body, options, now(), peer);
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        respond(&mut self.state(), &call, &path).unwrap_or_else(Refusal::into_response)
    }

    /// Whether nobody is told what became of this request.
    fn hangs_up(&self, method: &Method, path: &str) -> bool {
        let Some(name) = self.shared.options.hangs_up_about else {
            return false;
        };
        let id = path.rsplit('/').next().unwrap_or_default();
        *method != Method::GET && self.state().find(id).is_some_and(|it| it.name == name)
    }

    /// The token as it is now, by either of its ids.
    pub fn token(&self, id: &str) -> Option<TokenView> {
        self.state().find(id).map(TokenView::of)
    }

    /// Every token as it is now, oldest first.
    pub fn tokens(&self) -> Vec<TokenView> {
        self.state().tokens.iter().map(TokenView::of).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

const LOGIN: &str = "/ui/login";

fn respond(state: &mut State, call: &Call, path: &[&str]) -> Result<Response<Bytes>, Refusal> {
    if let Some(throttle) = call.options.throttle {
        throttled(&mut state.window, throttle, call.now)?;
    }
    if call.options.redirect_to_login {
        return Ok(login(path));
    }
    match path {
        ["api", "v1", "tokens", below @ ..] => v1::answer(state, call, below),
        ["api", "v2", "apiTokens", below @ ..] => v2::answer(state, call, below),
        ["api", "v2", "activeGateTokens", below @ ..] => activegate::answer(state, call, below),
        ["api", "v2", "agentConnectionToken"] => activegate::agent_connection_token(state, call),
        [
            "api",
            "v1",
            "deployment",
            "installer",
            "agent" | "gateway",
            "connectioninfo",
        ] => activegate::connection_info(state, call),
        ["api", "v2", "settings", "objects", below @ ..] => settings::answer(state, call, below),
        ["api", "v2", "tenantTokenRotation", step] => open::rotation(state, call, step),
        ["api", "v2", "metrics"] => open::metrics(state, call),
        ["api", "v2", "metrics", "ingest"] => open::ingest(state, call),
        ["api", "v1", "time"] => open::time(call),
        _ => Err(Refusal::not_found()),
    }
}

fn throttled(window: &mut Window, throttle: Throttle, now: Timestamp) -> Result<(), Refusal> {
    let elapsed = Duration::try_from(now.duration_since(window.since)).unwrap_or_default();
    if elapsed >= throttle.window {
        *window = Window {
            since: now,
            requests: 0,
        };
    }
    if window.requests >= throttle.requests {
        let left = throttle.window.saturating_sub(elapsed);
        return Err(Refusal::throttled(left.as_secs().max(1)));
    }
    window.requests += 1;
    Ok(())
}

fn login(path: &[&str]) -> Response<Bytes> {
    if path == ["ui", "login"] {
        let page = b"<!DOCTYPE html><title>Sign in</title>".to_vec();
        return reply::typed(
            StatusCode::OK,
            HeaderValue::from_static("text/html; charset=utf-8"),
            page,
        );
    }
    let mut response = reply::empty(StatusCode::FOUND);
    let location = HeaderValue::from_static(LOGIN);
    response.headers_mut().insert(LOCATION, location);
    response
}

// What both versions do alike.

fn retired() -> Refusal {
    Refusal::bad("Creation of new tokens is now only available in Account Management.")
}

fn looked_up(call: &Call) -> Result<String, Refusal> {
    let mut members = Members::read(&call.headers, &call.body)?;
    let credential = members.filled("token");
    let credential = members.required("token", credential);
    members.finish()?;
    Ok(credential)
}

fn new_scopes(members: &mut Members, call: &Call, version: Version) -> Vec<String> {
    let requested = members.texts("scopes");
    if requested.as_ref().is_some_and(Vec::is_empty) {
        members.violate("scopes", "Must not be empty.");
    }
    let requested = members.required("scopes", requested);
    accepted(members, &requested, call, version)
}

/// The empty list takes every scope away: no schema forbids it for an update.
fn changed_scopes(members: &mut Members, call: &Call, version: Version) -> Option<Vec<String>> {
    let requested = members.texts("scopes")?;
    Some(accepted(members, &requested, call, version))
}

fn accepted(
    members: &mut Members,
    requested: &[String],
    call: &Call,
    version: Version,
) -> Vec<String> {
    let checked = scopes::accepted(requested, version, call.options.unknown_scopes);
    checked.unwrap_or_else(|violations: Vec<Violation>| {
        members.extend(violations);
        Vec::new()
    })
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
