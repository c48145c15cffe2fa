//! What else this host answers: enough for a demo to have traffic that is no token operation, and the
//! rotation of the tenant token, which clients of the token API also drive.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::{
    call::Call,
    reply::{self, Refusal},
    state::{Secret, State, require},
};

pub(super) fn time(call: &Call) -> Result<Response<Bytes>, Refusal> {
    if call.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    let milliseconds = call.now.as_millisecond();
    Ok(reply::text(StatusCode::OK, milliseconds.to_string()))
}

pub(super) fn metrics(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    if call.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    require(&call.authenticate(state)?, &["metrics.read"])?;
    let metrics = json!({"totalCount": 2, "nextPageKey": null, "metrics": [
        {"metricId": "builtin:host.cpu.usage", "displayName": "CPU usage %", "unit": "Percent"},
        {"metricId": "builtin:host.mem.usage", "displayName": "Memory used %", "unit": "Percent"},
    ]});
    Ok(reply::json(StatusCode::OK, &metrics))
}

pub(super) fn ingest(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    if call.method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    require(&call.authenticate(state)?, &["metrics.ingest"])?;
    let lines = call.body.split(|&byte| byte == b'\n');
    let count = lines.filter(|line| !line.trim_ascii().is_empty()).count();
    let accepted = json!({"linesOk": count, "linesInvalid": 0, "error": null, "warnings": null});
    Ok(reply::json(StatusCode::ACCEPTED, &accepted))
}

pub(super) fn rotation(
    state: &mut State,
    call: &Call,
    step: &str,
) -> Result<Response<Bytes>, Refusal> {
    if !["start", "finish", "cancel"].contains(&step) {
        return Err(Refusal::not_found());
    }
    if call.method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    require(&call.authenticate(state)?, &["tenantTokenRotation.write"])?;
    let next = state.tenant.next.take();
    let old = state.tenant.active.clone();
    let (active, next) = match (step, next) {
        ("start", None) => {
            let next = state.mint_tenant_token();
            (old.clone(), Some(next))
        }
        ("finish", Some(next)) => (next, None),
        ("cancel", Some(_)) => (old.clone(), None),
        (_, next) => {
            state.tenant.next = next;
            return Err(Refusal::bad(
                "The tenant token rotation is in another state.",
            ));
        }
    };
    let value = |secret: &Secret| json!({"value": secret.reveal()});
    // While both are valid, the new one is the active one.
    let answer = json!({"active": value(next.as_ref().unwrap_or(&active)), "old": value(&old)});
    state.tenant.active = active;
    state.tenant.next = next;
    Ok(reply::json(StatusCode::OK, &answer))
}
