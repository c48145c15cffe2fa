//! Request bodies: one JSON object, read leniently as the real server reads it.
//!
//! A null member is an absent one and unknown members are ignored, because published clients send
//! both. Wrong types are violations; all of them are told at once.

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use super::reply::{Refusal, Violation};

pub(super) struct Members {
    members: Map<String, Value>,
    violations: Vec<Violation>,
}

impl Members {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        if !is_json(headers) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "HTTP 415 Unsupported Media Type",
            ));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self {
                members,
                violations: Vec::new(),
            }),
            Ok(_) | Err(_) => Err(Refusal::bad("The request body is not a JSON object.")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn violate(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.violations.push(Violation::body(path, message));
    }

    pub(super) fn extend(&mut self, violations: Vec<Violation>) {
        self.violations.extend(violations);
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => self.wrong(name, "Must be a string."),
        }
    }

    /// A string that says something.
    pub(super) fn filled(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.trim().is_empty() {
            return self.wrong(name, "Must not be blank.");
        }
        Some(text)
    }

    /// A date may come as text or as bare milliseconds.
    pub(super) fn date(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => self.wrong(name, "Must be a date."),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            _ => self.wrong(name, "Must be a boolean."),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Option<i64> {
        let number = self.take(name)?;
        match number.as_i64() {
            Some(number) => Some(number),
            None => self.wrong(name, "Must be an integer."),
        }
    }

    /// Only a list of which every element is a string is one.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let Value::Array(elements) = self.take(name)? else {
            return self.wrong(name, "Must be an array.");
        };
        let count = elements.len();
        let mut texts = Vec::with_capacity(count);
        for (index, element) in elements.into_iter().enumerate() {
            match element {
                Value::String(text) => texts.push(text),
                _ => self.violate(format!("{name}[{index}]"), "Must be a string."),
            }
        }
        (texts.len() == count).then_some(texts)
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Self> {
        match self.take(name)? {
            Value::Object(members) => Some(Self {
                members,
                violations: Vec::new(),
            }),
            _ => self.wrong(name, "Must be an object."),
        }
    }

    /// Unwraps a member that must be there. One that was there but wrong is reported already.
    pub(super) fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        let reported = |violation: &Violation| violation.is_below(name);
        if value.is_none() && !self.violations.iter().any(reported) {
            self.violate(name, "Must not be null.");
        }
        value.unwrap_or_default()
    }

    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(Refusal::violated(self.violations))
        }
    }

    /// Takes the violations of a nested object over, below its name.
    pub(super) fn close(&mut self, name: &str, nested: Self) {
        let below = |violation: Violation| violation.below(name);
        self.violations
            .extend(nested.violations.into_iter().map(below));
    }

    fn wrong<T>(&mut self, name: &str, message: &str) -> Option<T> {
        self.violate(name, message);
        None
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = kind.to_str().unwrap_or_default().split(';').next();
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
