//! The deprecated v1 token API: `revoked`, integer milliseconds, envelopes for every error.
//!
//! All of it but the lookup needs `TenantTokenManagement`, and no token may change itself.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT, LOCATION},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    body::Members,
    call::Call,
    reply::{self, Refusal},
    scopes::Version,
    state::{Change, State, Token, Wanted, require},
};

const SCOPE: [&str; 1] = ["TenantTokenManagement"];

/// `path` is what follows `/api/v1/tokens`.
pub(super) fn answer(
    state: &mut State,
    call: &Call,
    path: &[&str],
) -> Result<Response<Bytes>, Refusal> {
    match (path, &call.method) {
        ([], &Method::GET) => list(state, call),
        ([], &Method::POST) => create(state, call),
        ([], _) => Err(Refusal::method("GET, POST")),
        (["lookup"], &Method::POST) => lookup(state, call),
        ([id], &Method::GET) => read(state, call, id),
        ([id], &Method::PUT) => update(state, call, id),
        ([id], &Method::DELETE) => delete(state, call, id),
        ([_], _) => Err(Refusal::method("DELETE, GET, PUT")),
        _ => Err(Refusal::not_found()),
    }
}

fn administrator(state: &mut State, call: &Call) -> Result<Token, Refusal> {
    let caller = call.authenticate(state)?;
    require(&caller, &SCOPE)?;
    Ok(caller)
}

fn list(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    administrator(state, call)?;
    let query = &call.query;
    let mut violations = Vec::new();
    let limit = query.integer("limit", 0..=1_000_000, 1000, &mut violations);
    let from = query.moment("from", call.now, &mut violations);
    let to = query.moment("to", call.now, &mut violations);
    if !violations.is_empty() {
        return Err(Refusal::violated(violations));
    }
    let wanted = |token: &&Token| {
        query.first("user").is_none_or(|user| token.owner == user)
            && query.all("permissions").all(|scope| token.has(scope))
            && token.used_within(from, to)
    };
    let tokens = state.tokens.iter().filter(wanted).take(limit);
    let values = tokens.map(Stub::of).collect();
    Ok(reply::json(StatusCode::OK, &StubList { values }))
}

fn create(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    let caller = administrator(state, call)?;
    if call.options.minting_retired {
        return Err(super::retired());
    }
    let mut members = Members::read(&call.headers, &call.body)?;
    let name = members.filled("name");
    let name = members.required("name", name);
    let scopes = super::new_scopes(&mut members, call, Version::V1);
    let expires = expiry(&mut members, call.now);
    members.finish()?;
    let wanted = Wanted {
        name,
        scopes,
        personal: false,
        expires,
    };
    let token = state.create(wanted, &caller.owner, call.now);
    let mut response = shown(&call.headers, token.secret.reveal());
    let location = format!("{}/api/v1/tokens/{}", call.base, token.id);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The new secret, in the first of the offered media types that we know.
fn shown(headers: &HeaderMap, secret: &str) -> Response<Bytes> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    for range in accept.unwrap_or_default().split(',') {
        let range = range.to_ascii_lowercase().replace(' ', "");
        let mut parameters = range.split(';');
        match parameters.next().unwrap_or_default() {
            "text/plain" => return reply::text(StatusCode::CREATED, secret.to_owned()),
            "text/csv" => {
                let bare = parameters.any(|parameter| parameter == "header=absent");
                let (kind, head) = if bare {
                    ("text/csv; header=absent; charset=utf-8", "")
                } else {
                    ("text/csv; header=present; charset=utf-8", "token\r\n")
                };
                let body = format!("{head}{secret}\r\n").into_bytes();
                return reply::typed(StatusCode::CREATED, HeaderValue::from_static(kind), body);
            }
            "application/json" | "application/*" | "*/*" => break,
            _ => {}
        }
    }
    reply::json(StatusCode::CREATED, &Created { token: secret })
}

fn expiry(members: &mut Members, now: Timestamp) -> Option<Timestamp> {
    let mut duration = members.object("expiresIn")?;
    let value = duration.number("value");
    let value = duration.required("value", value);
    let unit = duration.text("unit");
    let milliseconds = match unit.as_deref().unwrap_or("MILLIS") {
        "DAYS" => 86_400_000,
        "HOURS" => 3_600_000,
        "MILLIS" => 1,
        "MINUTES" => 60_000,
        "SECONDS" => 1000,
        _ => {
            duration.violate("unit", "Must be DAYS, HOURS, MILLIS, MINUTES or SECONDS.");
            1
        }
    };
    let span = value.checked_mul(milliseconds);
    let span = span.map(SignedDuration::from_millis);
    let expires = span.and_then(|span| now.checked_add(span).ok());
    if value < 0 {
        duration.violate("value", "Must not be negative.");
    } else if expires.is_none() {
        duration.violate("value", "Too large.");
    }
    members.close("expiresIn", duration);
    expires
}

fn lookup(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    call.authenticate(state)?;
    let credential = super::looked_up(call)?;
    let token = state.find_secret(&credential).ok_or_else(absent)?;
    Ok(reply::json(StatusCode::OK, &Metadata::of(token)))
}

fn read(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    administrator(state, call)?;
    let token = state.find(id).ok_or_else(absent)?;
    Ok(reply::json(StatusCode::OK, &Metadata::of(token)))
}

fn update(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    let caller = administrator(state, call)?;
    let mut members = Members::read(&call.headers, &call.body)?;
    let change = Change {
        name: members.filled("name"),
        enabled: members.flag("revoked").map(|revoked| !revoked),
        scopes: super::changed_scopes(&mut members, call, Version::V1),
    };
    members.finish()?;
    let token = state.find_mut(id).ok_or_else(absent)?;
    if token.id == caller.id {
        return Err(Refusal::bad(
            "You can't update the token you're using for authentication of the request.",
        ));
    }
    token.apply(change, call.now);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn delete(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    let caller = administrator(state, call)?;
    state.delete(id, &caller, absent())?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// It does not repeat the id, which may be a secret.
fn absent() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "The requested token has not been found.",
    )
}

#[derive(Serialize)]
struct Created<'a> {
    token: &'a str,
}

#[derive(Serialize)]
struct StubList<'a> {
    values: Vec<Stub<'a>>,
}

#[derive(Serialize)]
struct Stub<'a> {
    id: &'a str,
    name: &'a str,
}

impl<'a> Stub<'a> {
    fn of(token: &'a Token) -> Self {
        Self {
            id: known_as(token),
            name: &token.name,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    id: &'a str,
    name: &'a str,
    user_id: &'a str,
    revoked: bool,
    created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<i64>,
    personal_access_token: bool,
    scopes: &'a [String],
}

impl<'a> Metadata<'a> {
    fn of(token: &'a Token) -> Self {
        Self {
            id: known_as(token),
            name: &token.name,
            user_id: &token.owner,
            revoked: !token.enabled,
            created: token.created.as_millisecond(),
            expires: token.expires.map(Timestamp::as_millisecond),
            last_use: token.last_use.map(Timestamp::as_millisecond),
            personal_access_token: token.personal,
            scopes: &token.scopes,
        }
    }
}

/// v1 still knows tokens of the old format by their UUID.
fn known_as(token: &Token) -> &str {
    token.alias.unwrap_or(&token.id)
}

#[cfg(test)]
mod tests;
