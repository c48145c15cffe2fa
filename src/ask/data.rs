//! OPA's data API: a document below `data`, with an input or without.

use std::borrow::Cow;

use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Answer, DATA, Question, Refusal};
use crate::dynatrace::redact::Redactor;
use crate::guard::json;

/// What OPA says to whoever forgets the input.
const NO_INPUT: &str = "'input' key missing from the request";

pub(super) fn answer(question: &Question) -> Result<Answer, Refusal> {
    let (input, is_missing) = input(question)?;
    let path = path(question.parts.uri.path())?;
    let policy = question.set.policy();
    let found = policy.document(&path, input.as_ref(), question.now);
    let found = found.map_err(Refusal::Failed)?;
    let mut members = Map::new();
    members.insert("decision_id".to_owned(), json!(Uuid::now_v7().to_string()));
    if let Some(found) = found {
        // Whoever asks may show a secret, and a document may repeat it.
        let shown = (*Redactor::default().json(&found)).clone();
        members.insert("result".to_owned(), shown);
    }
    if is_missing {
        let warning = json!({"code": "api_usage_warning", "message": NO_INPUT});
        members.insert("warning".to_owned(), warning);
    }
    Ok((StatusCode::OK, Value::Object(members)))
}

/// The input, and whether a body says none.
fn input(question: &Question) -> Result<(Option<Value>, bool), Refusal> {
    let Question { parts, body, .. } = question;
    if parts.method == Method::GET {
        let given = parameter(parts, "input");
        let read = given.map(|text| read(text.as_bytes())).transpose()?;
        return Ok((read, false));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok((None, true));
    }
    match read(body)? {
        // OPA takes it for nothing, there as in the member.
        Value::Null => Ok((None, true)),
        Value::Object(mut members) => {
            let input = members.remove("input").filter(|input| !input.is_null());
            let is_missing = input.is_none();
            Ok((input, is_missing))
        }
        _ => Err(Refusal::Invalid(
            "the body must be a JSON object with the member input".to_owned(),
        )),
    }
}

fn read(text: &[u8]) -> Result<Value, Refusal> {
    json::parse(text).map_err(|error| {
        Refusal::Invalid(format!(
            "the input is not JSON that everybody reads alike: {error}"
        ))
    })
}

/// The steps below `data`, as OPA takes them.
fn path(path: &str) -> Result<Vec<String>, Refusal> {
    let below = path.strip_prefix(DATA).unwrap_or_default();
    let steps = below.split('/').filter(|step| !step.is_empty());
    let steps = steps.map(|step| {
        let step = percent_decode_str(step).decode_utf8();
        step.map(Cow::into_owned)
    });
    let steps: Result<Vec<String>, _> = steps.collect();
    let steps = steps.map_err(|_not_utf8| Refusal::Invalid("the path is not UTF-8".to_owned()))?;
    if steps.len() > MOST_STEPS {
        return Err(Refusal::Invalid(format!(
            "the path has more than {MOST_STEPS} steps"
        )));
    }
    Ok(steps)
}

/// The first of a query's parameters of this name.
pub(super) fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let pairs = parts.uri.query()?.split('&');
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    let text = value.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8_lossy();
    Some(text.into_owned())
}

const MOST_STEPS: usize = 64;
