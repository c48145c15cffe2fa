//! `AuthZEN` 1.0: whether a request would pass, and if not, why.

use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::request::Entities;
use super::{Answer, Question, Refusal};
use crate::admin::asked_host;
use crate::dynatrace::redact::Redactor;
use crate::gateway::{Opinion, Supposal, Unknown};
use crate::guard::json;
use crate::listener::Peer;
use crate::policy::Violation;
use crate::telemetry::{Limit, Metrics};

/// What is wrong with one evaluation: a status as HTTP has them, and why.
#[derive(Debug)]
pub(super) struct Flaw {
    status: u16,
    message: String,
    ignored: Vec<String>,
}

impl Flaw {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            ignored: Vec::new(),
        }
    }

    /// The same, with what of the question means nothing: it may be why.
    pub(super) fn with(self, ignored: &[String]) -> Self {
        Self {
            ignored: ignored.to_vec(),
            ..self
        }
    }

    fn to_json(&self) -> Value {
        let message = Redactor::default().text(&self.message).cut(MOST_TEXT);
        let error = json!({"status": self.status, "message": message});
        let mut context = Map::from_iter([("error".to_owned(), error)]);
        tell_ignored(&mut context, &self.ignored);
        json!({"decision": false, "context": context})
    }
}

/// How several evaluations make one.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// Where these questions are answered, as whoever asks reaches the gate.
pub(super) fn configuration(parts: &Parts) -> Result<Value, Refusal> {
    let host = asked_host(parts)
        .ok_or_else(|| Refusal::Invalid("the request names no host".to_owned()))?;
    let peer = Peer::of(&parts.extensions);
    let scheme = if peer.is_some_and(|peer| peer.tls) {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{host}");
    Ok(json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
    }))
}

/// One evaluation.
pub(super) fn evaluation(question: &Question) -> Result<Answer, Refusal> {
    let asked = read(question)?;
    single(question, &asked)
}

/// Several, with what they have in common; or one, where there is no list.
pub(super) fn evaluations(question: &Question, metrics: &Metrics) -> Result<Answer, Refusal> {
    check_kind(question)?;
    let read = json::parse_listed(&question.body, "evaluations");
    let (asked, listed) = read.map_err(|error| unread(&error))?;
    let asked = object(asked)?;
    let semantic = semantic(&asked)?;
    match asked.get("evaluations") {
        None => return single(question, &asked),
        Some(Value::Array(_)) if listed.is_empty() => return single(question, &asked),
        Some(Value::Array(_)) => {}
        Some(_) => return Err(invalid("evaluations is no list")),
    }
    let most = question.most_evaluations;
    if listed.len() > most {
        metrics.reached(Limit::Evaluations);
        return Err(invalid(&format!("there are more than {most} evaluations")));
    }
    let began = Instant::now();
    let mut answers = Vec::new();
    for one in &listed {
        let answer = match one {
            Ok(Value::Object(_)) if began.elapsed() > MOST_TIME => {
                Flaw::new(503, "the evaluations before this one took too long").to_json()
            }
            Ok(Value::Object(own)) => {
                let merged = merged(own, &asked);
                evaluate(question, &merged).unwrap_or_else(|flaw| flaw.to_json())
            }
            Ok(_) => Flaw::new(400, "the evaluation is no object").to_json(),
            Err(error) => {
                let message = format!("the evaluation is {NOT_JSON}: {error}");
                Flaw::new(400, message).to_json()
            }
        };
        let decision = answer.get("decision") == Some(&Value::Bool(true));
        answers.push(answer);
        let is_last = match semantic {
            Semantic::ExecuteAll => false,
            Semantic::DenyOnFirstDeny => !decision,
            Semantic::PermitOnFirstPermit => decision,
        };
        if is_last {
            break;
        }
    }
    Ok((StatusCode::OK, json!({"evaluations": answers})))
}

fn single(question: &Question, asked: &Map<String, Value>) -> Result<Answer, Refusal> {
    // What is not a question at all is refused; what cannot be judged is not allowed.
    entities(asked).map_err(|flaw| invalid(&flaw.message))?;
    let answer = evaluate(question, asked).unwrap_or_else(|flaw| flaw.to_json());
    Ok((StatusCode::OK, answer))
}

fn read(question: &Question) -> Result<Map<String, Value>, Refusal> {
    check_kind(question)?;
    object(json::parse(&question.body).map_err(|error| unread(&error))?)
}

fn check_kind(question: &Question) -> Result<(), Refusal> {
    let kind = question.parts.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(invalid("the Content-Type must be application/json"))
    }
}

fn unread(error: &json::JsonError) -> Refusal {
    invalid(&format!("the body is {NOT_JSON}: {error}"))
}

fn object(read: Value) -> Result<Map<String, Value>, Refusal> {
    match read {
        Value::Object(members) => Ok(members),
        _ => Err(invalid("the body must be a JSON object")),
    }
}

fn semantic(asked: &Map<String, Value>) -> Result<Semantic, Refusal> {
    let options = match asked.get("options") {
        None | Some(Value::Null) => return Ok(Semantic::ExecuteAll),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(invalid("options is no object")),
    };
    match options.get("evaluations_semantic").map(Value::as_str) {
        None | Some(Some("execute_all")) => Ok(Semantic::ExecuteAll),
        Some(Some("deny_on_first_deny")) => Ok(Semantic::DenyOnFirstDeny),
        Some(Some("permit_on_first_permit")) => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(invalid(
            "options.evaluations_semantic is execute_all, deny_on_first_deny or permit_on_first_permit",
        )),
    }
}

/// An evaluation with what it does not say itself. An entity of its own takes the place of the common one, but for the
/// type: whom and what it is about each says itself.
fn merged(own: &Map<String, Value>, common: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = own.clone();
    for name in ["subject", "action", "resource", "context"] {
        let Some(default) = common.get(name) else {
            continue;
        };
        match (merged.get_mut(name), default) {
            (None, _) => {
                merged.insert(name.to_owned(), default.clone());
            }
            (Some(Value::Object(entity)), Value::Object(default)) if name != "context" => {
                if let (false, Some(kind)) = (entity.contains_key("type"), default.get("type")) {
                    entity.insert("type".to_owned(), kind.clone());
                }
            }
            (Some(_), _) => {}
        }
    }
    merged
}

fn entities(asked: &Map<String, Value>) -> Result<Entities<'_>, Flaw> {
    let entity = |name: &'static str, needed: &[&str]| {
        let missing = || Flaw::new(400, format!("{name} is missing, or no object"));
        let entity = asked
            .get(name)
            .and_then(Value::as_object)
            .ok_or_else(missing)?;
        for member in needed {
            if !entity.get(*member).is_some_and(Value::is_string) {
                return Err(Flaw::new(
                    400,
                    format!("{name}.{member} is missing, or no text"),
                ));
            }
        }
        Ok(entity)
    };
    let context = match asked.get("context") {
        None | Some(Value::Null) => None,
        Some(Value::Object(context)) => Some(context),
        Some(_) => return Err(Flaw::new(400, "context is no object")),
    };
    Ok(Entities {
        subject: entity("subject", &["type", "id"])?,
        action: entity("action", &["name"])?,
        resource: entity("resource", &["type", "id"])?,
        context,
        is_body_beside: asked.contains_key("body"),
    })
}

/// A member that is known to be text.
pub(super) fn text<'a>(entity: &'a Map<String, Value>, member: &str) -> &'a str {
    entity
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn evaluate(question: &Question, asked: &Map<String, Value>) -> Result<Value, Flaw> {
    let wanted = entities(asked)?.wanted(question.now)?;
    let request = json!({
        "method": shown(wanted.supposition.method.as_str()),
        "path": shown(&wanted.supposition.target),
    });
    let (stale, counts) = (&*question.stale, &question.counts);
    let supposal = question.set.suppose(wanted.supposition, stale, counts);
    let ignored = wanted.ignored;
    let supposal = supposal
        .map_err(|error| Flaw::new(error.status().as_u16(), error.to_string()).with(&ignored))?;
    let operation = match &supposal {
        Supposal::Open(operation) => operation.as_deref(),
        Supposal::Judged(opinion) => Some(opinion.operation.as_str()),
    };
    if operation != Some(wanted.operation.as_str()) {
        let operation = operation.unwrap_or("nothing in the catalogue");
        let message = format!("this is a request for {operation}, and action.name says otherwise");
        return Err(Flaw::new(400, message).with(&ignored));
    }
    let (decision, mut context) = match supposal {
        Supposal::Open(_) => (true, Map::from_iter([("open".to_owned(), true.into())])),
        Supposal::Judged(opinion) => (opinion.allowed, told(&opinion)),
    };
    context.insert("request".to_owned(), request);
    tell_ignored(&mut context, &ignored);
    Ok(json!({"decision": decision, "context": context}))
}

/// What of the question means nothing.
fn tell_ignored(context: &mut Map<String, Value>, ignored: &[String]) {
    let ignored: Vec<_> = ignored
        .iter()
        .map(|name| Redactor::default().text(name).cut(MOST_NAME))
        .take(MOST_IGNORED)
        .collect();
    if !ignored.is_empty() {
        context.insert("ignored".to_owned(), json!(ignored));
    }
}

/// A text of whoever asks.
fn shown(text: &str) -> String {
    let text = Redactor::default().text(text).cut(MOST_TEXT);
    text.to_string()
}

/// Why it would pass, or not.
fn told(opinion: &Opinion) -> Map<String, Value> {
    let violations = opinion.violations.iter().take(MOST_VIOLATIONS);
    let violations: Vec<Value> = violations.map(|violation| objection(violation)).collect();
    let mut told = Map::new();
    told.insert("operation".to_owned(), json!(opinion.operation));
    told.insert("api".to_owned(), json!(opinion.api));
    told.insert("environment".to_owned(), json!(opinion.environment));
    told.insert("revision".to_owned(), json!(opinion.revision));
    told.insert("violations".to_owned(), violations.into());
    let more = opinion.violations.len().saturating_sub(MOST_VIOLATIONS);
    if more > 0 {
        told.insert("more_violations".to_owned(), more.into());
    }
    if let Some(remedy) = &opinion.remedy {
        told.insert("remedy".to_owned(), json!(remedy));
    }
    let unknown: Vec<&str> = opinion.unknown.iter().copied().map(unsaid).collect();
    if !unknown.is_empty() {
        told.insert("unknown".to_owned(), json!(unknown));
    }
    told
}

fn objection(violation: &Violation) -> Value {
    let cut = |text: &str| Redactor::default().text(text).cut(MOST_TEXT);
    let mut told = Map::from_iter([
        ("policy".to_owned(), json!(violation.policy)),
        ("mode".to_owned(), json!(violation.mode)),
        ("effect".to_owned(), json!(violation.does())),
        ("message".to_owned(), json!(cut(&violation.message))),
    ]);
    for (name, text) in [("code", &violation.code), ("path", &violation.path)] {
        if let Some(text) = text {
            told.insert(name.to_owned(), json!(cut(text)));
        }
    }
    if let Some(exception) = &violation.exception {
        told.insert("exception".to_owned(), json!(cut(&exception.ticket)));
    }
    told.into()
}

fn invalid(message: &str) -> Refusal {
    Refusal::Invalid(message.to_owned())
}

/// What is not known, and how to say it.
fn unsaid(what: Unknown) -> &'static str {
    match what {
        Unknown::Address => {
            "caller.address: 192.0.2.1 stands for it, and policies judge by it; give it as subject.properties.address"
        }
        Unknown::Caller => {
            "caller: nobody is said, and a real caller has a token at least, by which policies, modes and exceptions may judge \
             otherwise; give it by subject.type token, team, jwt or spiffe, or in subject.properties"
        }
        Unknown::Headers => {
            "attributes.request.http.headers: there are none but those that every request has, and policies judge by \
             them; give them as action.properties.headers"
        }
        Unknown::Host => {
            "attributes.request.http.host: abc12345.live.dynatrace.com stands for it, and policies judge by it; give it \
             as action.properties.host"
        }
        Unknown::Recent => {
            "caller.recent: zeros stand for it, and policies judge by it; give it as subject.properties.recent, or who calls \
             by type jwt or spiffe, or by issuer, subject and all other names of a certificate"
        }
        Unknown::Team => {
            "caller.teams: data.callers has no team of a name that is said, so nobody belongs to it; policies, modes and \
             exceptions that name it apply as if it were there"
        }
        Unknown::Token => {
            "token.current: the token was not looked up, and policies judge by it; give it as resource.properties.current"
        }
    }
}

const NOT_JSON: &str = "not JSON that everybody reads alike";
/// Objections in one answer.
const MOST_VIOLATIONS: usize = 100;
/// Bytes of one text in it.
const MOST_TEXT: usize = 500;
/// Names of what is not used, and bytes of one.
const MOST_IGNORED: usize = 20;
const MOST_NAME: usize = 100;
/// What all evaluations of a question may take before the next one is begun.
const MOST_TIME: Duration = Duration::from_secs(5);
