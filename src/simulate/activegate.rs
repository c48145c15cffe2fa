//! Tokens of `ActiveGates`, and the tokens that installers carry: minted, shown, revoked.
//!
//! Terraform's `dynatrace_ag_token` creates one, and asks for the connection info every time it reads it.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    body::Members,
    call::Call,
    moment,
    reply::{self, Refusal},
    state::{State, require},
};

const CREATE: [&str; 2] = [
    "activeGateTokenManagement.create",
    "activeGateTokenManagement.write",
];
const READ: [&str; 1] = ["activeGateTokenManagement.read"];
const WRITE: [&str; 1] = ["activeGateTokenManagement.write"];
const TYPES: [&str; 2] = ["ENVIRONMENT", "CLUSTER"];
/// Two years, one of them a leap year.
const LONGEST: SignedDuration = SignedDuration::from_hours((366 + 365) * 24);

/// What may be seen of the token of an `ActiveGate`. Nothing here ever authenticates by it, so that its
/// secret is not kept.
pub(super) struct GateToken {
    id: String,
    name: String,
    kind: String,
    owner: String,
    seed: bool,
    created: Timestamp,
    expires: Option<Timestamp>,
}

impl GateToken {
    fn shown(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("id", json!(self.id));
        add("name", json!(self.name));
        add("activeGateType", json!(self.kind));
        add("owner", json!(self.owner));
        add("seedToken", json!(self.seed));
        add("creationDate", json!(moment::print(self.created)));
        if let Some(expires) = self.expires {
            add("expirationDate", json!(moment::print(expires)));
        }
        members
    }
}

/// `path` is what follows `/api/v2/activeGateTokens`.
pub(super) fn answer(
    state: &mut State,
    call: &Call,
    path: &[&str],
) -> Result<Response<Bytes>, Refusal> {
    match (path, &call.method) {
        ([], &Method::GET) => list(state, call),
        ([], &Method::POST) => create(state, call),
        ([], _) => Err(Refusal::method("GET, POST")),
        ([id], &Method::GET) => read(state, call, id),
        ([id], &Method::DELETE) => delete(state, call, id),
        ([_], _) => Err(Refusal::method("DELETE, GET")),
        _ => Err(Refusal::not_found()),
    }
}

fn list(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    require(&call.authenticate(state)?, &READ)?;
    let mut violations = Vec::new();
    let size = call
        .query
        .integer("pageSize", 100..=3_000, 100, &mut violations);
    if !violations.is_empty() {
        return Err(Refusal::violated(violations));
    }
    // One page: nobody makes more than a hundred of them here.
    let tokens: Vec<_> = state
        .gates
        .iter()
        .take(size)
        .map(GateToken::shown)
        .collect();
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "totalCount": state.gates.len(),
            "pageSize": size,
            "nextPageKey": null,
            "activeGateTokens": tokens,
        }),
    ))
}

fn create(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    let caller = call.authenticate(state)?;
    require(&caller, &CREATE)?;
    let mut members = Members::read(&call.headers, &call.body)?;
    let name = members.filled("name");
    let name = members.required("name", name);
    // Not required since 1.338. That it is then the first of them is an assumption.
    let kind = members.text("activeGateType");
    let kind = kind.unwrap_or_else(|| TYPES[0].to_owned());
    if !TYPES.contains(&kind.as_str()) {
        members.violate("activeGateType", "Must be one of [ENVIRONMENT, CLUSTER].");
    }
    let seed = members.flag("seedToken").unwrap_or_default();
    let expires = expiry(&mut members, call.now);
    members.finish()?;
    let (id, secret) = state.mint_gate_token();
    let mut created = Map::new();
    created.insert("id".to_owned(), json!(id));
    created.insert("token".to_owned(), json!(secret.reveal()));
    if let Some(expires) = expires {
        let date = json!(moment::print(expires));
        created.insert("expirationDate".to_owned(), date);
    }
    state.gates.push(GateToken {
        id,
        name,
        kind,
        owner: caller.owner,
        seed,
        created: call.now,
        expires,
    });
    Ok(reply::json(StatusCode::CREATED, &created))
}

fn expiry(members: &mut Members, now: Timestamp) -> Option<Timestamp> {
    let text = members.date("expirationDate")?;
    let expires = moment::parse(&text, now).map(moment::truncated);
    let problem = match expires {
        None => "Not a valid date.",
        Some(expires) if expires < now => "Must not be in the past.",
        Some(expires) if expires.duration_since(now) > LONGEST => {
            "Must not be more than two years from now."
        }
        Some(_) => return expires,
    };
    members.violate("expirationDate", problem);
    None
}

fn read(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    require(&call.authenticate(state)?, &READ)?;
    let position = position(state, id)?;
    let token = state.gates.get(position).map(GateToken::shown);
    Ok(reply::json(StatusCode::OK, &token))
}

fn delete(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    require(&call.authenticate(state)?, &WRITE)?;
    let position = position(state, id)?;
    state.gates.remove(position);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Unlike access tokens, these are missing with an envelope.
fn position(state: &State, id: &str) -> Result<usize, Refusal> {
    let mut tokens = state.gates.iter();
    tokens.position(|token| token.id == id).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("ActiveGate token with ID '{id}' not found."),
        )
    })
}

/// Shows the tenant token: to an agent's installer, or to that of an `ActiveGate`.
pub(super) fn connection_info(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    if call.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    require(&call.authenticate(state)?, &["InstallerDownload"])?;
    let environment = call.base.trim_start_matches("/e/");
    let info = json!({
        "tenantUUID": if environment.is_empty() { "abc12345" } else { environment },
        "tenantToken": state.tenant.active.reveal(),
        "communicationEndpoints": [],
        "formattedCommunicationEndpoints": "",
    });
    Ok(reply::json(StatusCode::OK, &info))
}

pub(super) fn agent_connection_token(
    state: &mut State,
    call: &Call,
) -> Result<Response<Bytes>, Refusal> {
    if call.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    require(&call.authenticate(state)?, &["agentTokenManagement.read"])?;
    let token = json!({"token": state.agents.reveal()});
    Ok(reply::json(StatusCode::OK, &token))
}

#[cfg(test)]
mod tests;
