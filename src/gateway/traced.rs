//! What traces say about a request and its steps: by the semantic conventions of OpenTelemetry where there are some, and
//! else below `dtgate.`. `docs/operations.md` lists all of it.

use std::borrow::Cow;

use http::{Method, StatusCode, Version};

use super::answer::{Became, verdict};
use super::environment::Environment;
use super::lookup::Found;
use super::record::Recorder;
use super::story::{Started, Story};
use crate::audit::event::Answer;
use crate::audit::pseudonym::Values;
use crate::dynatrace::redact::Redacted;
use crate::policy::{Decision, Evaluator};
use crate::telemetry::{Attributes, Value, known_method};

/// A request that has its answer.
pub(super) fn request(
    said: &mut Attributes,
    started: &Started,
    story: &Story,
    status: StatusCode,
    values: Option<&Values>,
) {
    let shown = |text: Redacted| match values.map(|values| values.text(&text)) {
        Some(Cow::Owned(text)) => {
            let end = text.floor_char_boundary(LONGEST);
            Value::configured(text.get(..end).unwrap_or_default())
        }
        _ => Value::from(text),
    };
    let method = known_method(&started.method);
    said.set("http.request.method", method.unwrap_or("_OTHER"));
    if method.is_none() {
        said.set("http.request.method_original", started.method_shown());
    }
    said.set("http.response.status_code", status.as_u16());
    said.set("url.path", shown(started.path()));
    said.set(
        "url.scheme",
        if started.is_encrypted {
            "https"
        } else {
            "http"
        },
    );
    said.set("network.protocol.version", version(started.version));
    said.set("client.address", shown(started.peer()));
    said.set("dtgate.request.id", &started.id);
    said.set(
        "dtgate.route",
        if story.guarded { "guarded" } else { "open" },
    );
    let environment = story.environment.as_ref();
    said.set_some(
        "dtgate.environment",
        environment.map(|it| Value::configured(&it.name)),
    );
    said.set_some("dtgate.operation", story.operation);
    let verdict = story.verdict.or_else(|| story.guarded.then_some("deny"));
    said.set_some("dtgate.verdict", verdict);
    said.set_some("dtgate.policies", story.policies.clone().map(shown));
    said.set_some("dtgate.decision.id", story.decision_id.as_ref());
    let caller = story.caller.id.as_ref();
    said.set_some("dtgate.caller.id", caller.map(Redacted::from).map(shown));
    if status.is_server_error() {
        said.set("error.type", status);
    }
}

/// One whose record is on disk: its client may be gone before it has its answer.
pub(super) fn recorded(said: &mut Attributes, recorder: &Recorder) {
    said.set("dtgate.decision.id", &recorder.decision_id);
    said.set("dtgate.operation", recorder.operation());
}

/// The step that asks the upstream about the token.
pub(super) fn looked_up(said: &mut Attributes, found: &Found) {
    if found.error.is_some() {
        said.set("error.type", "lookup-failed");
    }
}

/// The step that judges.
pub(super) fn judged(said: &mut Attributes, decision: &Decision) {
    said.set("dtgate.verdict", verdict(decision.verdict));
    said.set(
        "dtgate.policies.revision",
        Value::configured(&decision.revision),
    );
    let evaluator = match decision.evaluator {
        Evaluator::Bytecode => "bytecode",
        Evaluator::Interpreter => "interpreter",
    };
    said.set("dtgate.evaluator", evaluator);
}

/// A step that sends the upstream a request of this method.
pub(super) fn sends(said: &mut Attributes, method: &Method, environment: &Environment) {
    said.set(
        "http.request.method",
        known_method(method).unwrap_or("_OTHER"),
    );
    asks(said, environment);
}

/// A step that asks an environment.
pub(super) fn asks(said: &mut Attributes, environment: &Environment) {
    let host = environment.upstream.host();
    said.set("server.address", Value::configured(host));
}

/// The step that forwards.
pub(super) fn forwarded(said: &mut Attributes, became: &Became) {
    said.set_some("http.response.status_code", became.status);
    let status = became.status.and_then(|it| StatusCode::from_u16(it).ok());
    match status {
        Some(status) if status.is_client_error() || status.is_server_error() => {
            said.set("error.type", status);
        }
        Some(_) => {}
        None if became.outcome == Answer::Failed => said.set("error.type", "not-sent"),
        None => said.set("error.type", "no-answer"),
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// The longest text of ours, in bytes.
const LONGEST: usize = 1024;
