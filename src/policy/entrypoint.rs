//! Policies of OPA's Envoy plugin: one rule, of any package, that says whether a request is allowed.
//!
//! It reads what such a rule says, and guarantees that only `true`, or an object whose `allowed` is `true`, lets a request
//! pass. It does not know what HTTP is: what may be sent of an answer is for others to say.

use std::fmt;
use std::str::FromStr;

use regorus::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::decision::{Answer, Mode, Rule, Violation};
use super::extent;

/// The way to such a rule, as OPA writes it: `envoy/authz/allow`.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Entrypoint(String);

/// Why a text is no such way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an entrypoint is a package and a rule, words with slashes between them, as in envoy/authz/allow"
)]
pub struct NoEntrypoint;

impl FromStr for Entrypoint {
    type Err = NoEntrypoint;

    fn from_str(text: &str) -> Result<Self, NoEntrypoint> {
        // OPA tolerates the slash.
        let name = text.strip_prefix('/').unwrap_or(text);
        let steps = name.split('/').count();
        if name.len() > LONGEST || steps < 2 || !name.split('/').all(is_word) {
            return Err(NoEntrypoint);
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Entrypoint {
    type Error = NoEntrypoint;

    fn try_from(text: String) -> Result<Self, NoEntrypoint> {
        text.parse()
    }
}

impl fmt::Display for Entrypoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Entrypoint {
    /// By which modes, exceptions and records call it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The rule: `data.envoy.authz.allow`.
    pub(in crate::policy) fn rule(&self) -> String {
        self.path().join(".")
    }

    pub(in crate::policy) fn path(&self) -> Vec<String> {
        let steps = ["data"].into_iter().chain(self.0.split('/'));
        steps.map(str::to_owned).collect()
    }
}

fn is_word(step: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !step.is_empty() && step.chars().all(is_letter) && !step.starts_with(|c: char| c.is_numeric())
}

/// What the rule objects to; nothing where it allows the request.
///
/// # Errors
///
/// Says why nobody can tell.
pub(super) fn objection(name: &str, mode: Mode, said: &Value) -> Result<Option<Violation>, String> {
    match said {
        Value::Bool(true) => Ok(None),
        Value::Bool(false) => Ok(Some(denied(name, mode, "not-allowed", Map::new()))),
        Value::Undefined => Ok(Some(denied(name, mode, "undefined", Map::new()))),
        Value::Object(members) => match members.get(&Value::from("allowed")) {
            Some(Value::Bool(true)) => Ok(None),
            Some(Value::Bool(false)) => {
                // It is for a record.
                extent::recordable(said)?;
                let json = serde_json::to_value(said).map_err(|error| error.to_string())?;
                let Json::Object(mut members) = json else {
                    return Err("it is no object".to_owned());
                };
                members.remove("allowed");
                Ok(Some(denied(name, mode, "not-allowed", members)))
            }
            _ => Err("it is an object without a member allowed that is true or false".to_owned()),
        },
        _ => Err("it is neither true nor false, nor an object with the member allowed".to_owned()),
    }
}

fn denied(name: &str, mode: Mode, code: &str, members: Map<String, Json>) -> Violation {
    let answer = (!members.is_empty())
        .then(|| Answer::of(&members))
        .flatten();
    let is_line = |text: &&str| text.len() <= SHOWN && !text.contains(char::is_control);
    let body = members.get("body").and_then(Json::as_str);
    let message = match (code, body.map(str::trim).filter(is_line)) {
        ("undefined", _) => format!("{name} is undefined, and so does not allow this request"),
        (_, Some(text)) if !text.is_empty() => {
            format!("{name} does not allow this request: {text}")
        }
        _ => format!("{name} does not allow this request"),
    };
    Violation {
        policy: name.to_owned(),
        mode,
        rule: Rule::Deny,
        message,
        path: None,
        code: Some(code.to_owned()),
        details: members,
        exception: None,
        answer: answer.map(Box::new),
    }
}

impl Answer {
    /// The answer that an object asks for; nothing where a member of it has the wrong kind.
    fn of(members: &Map<String, Json>) -> Option<Self> {
        let status = match members.get("http_status") {
            None => DENIED,
            Some(status) => u16::try_from(status.as_u64()?).ok()?,
        };
        let body = match members.get("body") {
            None => None,
            Some(body) => Some(body.as_str()?.to_owned()),
        };
        let mut headers = Vec::new();
        match members.get("headers") {
            None => {}
            Some(Json::Array(several)) => {
                for one in several {
                    add(&mut headers, one.as_object()?)?;
                }
            }
            Some(one) => add(&mut headers, one.as_object()?)?,
        }
        Some(Self {
            status,
            headers,
            body,
        })
    }
}

fn add(headers: &mut Vec<(String, String)>, members: &Map<String, Json>) -> Option<()> {
    for (name, value) in members {
        let one = std::slice::from_ref(value);
        for value in value.as_array().map_or(one, Vec::as_slice) {
            headers.push((name.clone(), value.as_str()?.to_owned()));
        }
    }
    Some(())
}

/// The status of OPA's plugin where the object has none.
const DENIED: u16 = 403;

/// Bytes of a body that is repeated in a message.
const SHOWN: usize = 200;

/// Bytes of a name: it is in each record.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::input::to_rego;

    fn said(value: &Json) -> Result<Option<Violation>, String> {
        objection("envoy/authz/allow", Mode::Enforce, &to_rego(value))
    }

    #[test]
    fn an_entrypoint_is_words_with_slashes() {
        for good in ["envoy/authz/allow", "/envoy/authz/allow", "a/b", "_a/b1/c"] {
            let entrypoint: Entrypoint = good.parse().unwrap();
            assert_eq!(entrypoint.name(), good.trim_start_matches('/'));
        }
        let long = format!("a/{}", "b".repeat(LONGEST));
        for bad in [
            "", "/", "a", "/a", "//a/b", "a//b", "a/b/", "a.b", "a/1b", "a/b c", "a/b\"]", "ä/b",
            "a/b\n", &long,
        ] {
            assert_eq!(bad.parse::<Entrypoint>(), Err(NoEntrypoint), "{bad}");
        }
        let rule = "envoy/authz/allow".parse::<Entrypoint>().unwrap().rule();
        assert_eq!(rule, "data.envoy.authz.allow");
    }

    #[test]
    fn nothing_but_true_allows() {
        for allows in [json!(true), json!({"allowed": true, "http_status": "x"})] {
            assert_eq!(said(&allows), Ok(None), "{allows}");
        }
        for denies in [
            json!(false),
            json!({"allowed": false}),
            json!({"allowed": false, "allow": true}),
        ] {
            assert!(matches!(said(&denies), Ok(Some(_))), "{denies}");
        }
        let undefined = objection("a/b", Mode::Warn, &Value::Undefined);
        let undefined = undefined.unwrap().unwrap();
        assert_eq!(undefined.code.as_deref(), Some("undefined"));
        assert_eq!(undefined.mode, Mode::Warn);
        for fails in [
            json!(null),
            json!(1),
            json!("true"),
            json!([true]),
            json!({}),
            json!({"allow": true}),
            json!({"allowed": "true"}),
            json!({"allowed": 1}),
            json!({"allowed": null}),
        ] {
            assert!(said(&fails).is_err(), "{fails}");
        }
        let set = Value::from(std::collections::BTreeSet::from([Value::from(true)]));
        assert!(objection("a/b", Mode::Enforce, &set).is_err());
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        assert!(said(&json!({"allowed": false, "body": deep})).is_err());
    }

    #[test]
    fn an_object_says_how_it_is_answered() {
        let object = json!({
            "allowed": false, "http_status": 401, "body": "Go away", "dynamic_metadata": {"a": 1},
            "headers": [{"x-a": "1"}, {"x-b": ["2", "3"]}],
        });
        let violation = said(&object).unwrap().unwrap();
        let answer = violation.answer.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_deref()),
            (401, Some("Go away"))
        );
        let headers = [("x-a", "1"), ("x-b", "2"), ("x-b", "3")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(answer.headers, headers);
        assert_eq!(violation.details["dynamic_metadata"], json!({"a": 1}));
        assert!(violation.message.ends_with("this request: Go away"));
        assert_eq!(said(&json!(false)).unwrap().unwrap().answer, None);
        // What nobody can send is in the record only.
        for odd in [
            json!({"allowed": false, "http_status": "401"}),
            json!({"allowed": false, "http_status": 70_000}),
            json!({"allowed": false, "http_status": 401.5}),
            json!({"allowed": false, "body": {"a": 1}}),
            json!({"allowed": false, "headers": "x"}),
            json!({"allowed": false, "headers": {"x": 1}}),
            json!({"allowed": false, "headers": ["x"]}),
        ] {
            assert_eq!(said(&odd).unwrap().unwrap().answer, None, "{odd}");
        }
    }
}
