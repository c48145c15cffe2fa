//! One object a line in the names of the Elastic Common Schema, version 8.11, with dots as its loggers write them.
//! What the schema has no name for is below `dtgate`.

use super::json::text;
use super::{Access, MESSAGE};

pub(super) fn write(out: &mut String, now: jiff::Timestamp, access: &Access<'_>) {
    add!(out, r#"{{"@timestamp":"{now:.6}","log.level":"info""#);
    text(out, "message", MESSAGE);
    out.push_str(HEAD);
    // "allowed" and "denied" are what the schema calls them.
    out.push_str(match access.verdict {
        Some("allow") => r#"["access","allowed"]"#,
        Some("deny") => r#"["access","denied"]"#,
        _ => r#"["access"]"#,
    });
    let is_success = access.status < 400;
    text(
        out,
        "event.outcome",
        if is_success { "success" } else { "failure" },
    );
    add!(out, r#","event.duration":{}"#, access.elapsed.as_nanos());
    text(out, "http.request.id", access.request_id);
    text(out, "http.request.method", access.method);
    add!(out, r#","http.response.status_code":{}"#, access.status);
    if let Some(length) = access.length {
        add!(out, r#","http.response.body.bytes":{length}"#);
    }
    text(out, "http.version", access.version);
    text(out, "url.path", access.path);
    if let Some(peer) = access.peer {
        add!(out, r#","client.ip":"{peer}""#);
    }
    text(out, "dtgate.route", access.route);
    for (name, value) in [
        ("dtgate.request.client_id", access.client_id),
        ("dtgate.environment", access.environment),
        ("dtgate.operation", access.operation),
        ("dtgate.verdict", access.verdict),
        ("user.id", access.caller),
        ("dtgate.caller.teams", access.teams),
        ("tls.client.subject", access.certificate),
        ("dtgate.caller.issuer", access.issuer),
        ("dtgate.caller.subject", access.subject),
        ("dtgate.policies", access.policies),
        ("dtgate.decision.id", access.decision_id),
        ("error.message", access.error),
    ] {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    if access.brokered {
        out.push_str(r#","dtgate.caller.brokered":true"#);
    }
    out.push('}');
}

const HEAD: &str = concat!(
    r#","ecs.version":"8.11.0","service.name":"dtgate","event.dataset":"dtgate.access","event.kind":"event""#,
    r#","event.category":["web"],"event.type":"#,
);
