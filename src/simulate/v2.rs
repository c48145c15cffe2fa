//! The v2 access-token API: `enabled`, dates with milliseconds, 404 without a body.
//!
//! A token with `apiTokens.write` may change itself, even widen itself; only disabling and deleting
//! itself is refused. That is how Dynatrace documents it, and why a gate in front makes sense.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    body::Members,
    call::Call,
    list, moment,
    reply::{self, Refusal},
    scopes::Version,
    state::{Change, State, Token, Wanted, require},
};

const READ: [&str; 1] = ["apiTokens.read"];
const WRITE: [&str; 1] = ["apiTokens.write"];

/// `path` is what follows `/api/v2/apiTokens`.
pub(super) fn answer(
    state: &mut State,
    call: &Call,
    path: &[&str],
) -> Result<Response<Bytes>, Refusal> {
    match (path, &call.method) {
        ([], &Method::GET) => {
            allowed(state, call, &READ)?;
            list::answer(state, call)
        }
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

fn allowed(state: &mut State, call: &Call, any_of: &[&str]) -> Result<Token, Refusal> {
    let caller = call.authenticate(state)?;
    require(&caller, any_of)?;
    Ok(caller)
}

fn create(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    let caller = allowed(state, call, &WRITE)?;
    if call.options.minting_retired {
        return Err(super::retired());
    }
    let mut members = Members::read(&call.headers, &call.body)?;
    let name = members.filled("name");
    let name = members.required("name", name);
    let scopes = super::new_scopes(&mut members, call, Version::V2);
    let personal = members.flag("personalAccessToken").unwrap_or_default();
    let expires = expiry(&mut members, call.now);
    members.finish()?;
    let wanted = Wanted {
        name,
        scopes,
        personal,
        expires,
    };
    let token = state.create(wanted, &caller.owner, call.now);
    let created = Created {
        id: &token.id,
        token: token.secret.reveal(),
        expiration_date: token.expires.map(moment::print),
    };
    Ok(reply::json(StatusCode::CREATED, &created))
}

fn expiry(members: &mut Members, now: Timestamp) -> Option<Timestamp> {
    let text = members.date("expirationDate")?;
    match moment::parse(&text, now).map(moment::truncated) {
        Some(expires) if expires < now => {
            members.violate("expirationDate", "Must not be in the past.");
            None
        }
        None => {
            members.violate("expirationDate", "Not a valid date.");
            None
        }
        expires => expires,
    }
}

fn lookup(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    call.authenticate(state)?;
    let credential = super::looked_up(call)?;
    let token = state.find_secret(&credential).ok_or_else(absent)?;
    Ok(reply::json(StatusCode::OK, &list::whole(token)))
}

fn read(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    allowed(state, call, &READ)?;
    let token = state.find(id).ok_or_else(absent)?;
    Ok(reply::json(StatusCode::OK, &list::whole(token)))
}

/// Not finding the token is documented for every operation but this one; the same is assumed here.
fn update(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    let caller = allowed(state, call, &WRITE)?;
    let mut members = Members::read(&call.headers, &call.body)?;
    let change = Change {
        name: members.filled("name"),
        enabled: members.flag("enabled"),
        scopes: super::changed_scopes(&mut members, call, Version::V2),
    };
    members.finish()?;
    let token = state.find_mut(id).ok_or_else(absent)?;
    if token.id == caller.id && change.enabled == Some(false) {
        return Err(Refusal::bad(
            "You can't disable the token you're using for authentication of the request.",
        ));
    }
    token.apply(change, call.now);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn delete(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    let caller = allowed(state, call, &WRITE)?;
    state.delete(id, &caller, absent())?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn absent() -> Refusal {
    Refusal::empty(StatusCode::NOT_FOUND)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    id: &'a str,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<String>,
}

#[cfg(test)]
mod tests;
