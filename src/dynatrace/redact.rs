//! Text that may be written. Whatever a client sends reaches the journal, the log, an answer or a policy only as
//! [`Redacted`], and only a [`Redactor`] makes that: it knows the credentials of the request and the forms of all
//! tokens.

use std::fmt;
use std::ops::{Deref, Range};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::token::{TokenSecret, in_any_reading, redact, redact_path};

/// What holds no secret: text, or JSON of which every text and every name was looked at.
///
/// It is made by a [`Redactor`], or read from what was written before (a record, a file of the operator's).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Redacted<T = String>(T);

/// Makes text writable: whole tokens of every form, and the credentials that one request shows, are taken out.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    credentials: Vec<TokenSecret>,
}

impl Redacted {
    /// Text of our own.
    pub fn ours(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Redactor {
    /// One that knows the secrets of a request's credentials.
    pub fn new(credentials: impl IntoIterator<Item = TokenSecret>) -> Self {
        Self {
            credentials: credentials.into_iter().collect(),
        }
    }

    /// Text of the client without what could be a secret.
    pub fn text(&self, text: &str) -> Redacted {
        let mut clean = redact(text);
        while let Some(place) = self.find(&clean) {
            clean.replace_range(place, HIDDEN);
        }
        if self.hides(&clean) {
            return Redacted::ours(HIDDEN);
        }
        Redacted(clean)
    }

    /// A path as it may be written: without query, and without whatever stands in a token's place.
    pub fn path(&self, path: &str) -> Redacted {
        let path = redact_path(path);
        if in_any_reading(&path, |path| self.find(path).is_some()) {
            return Redacted::ours(HIDDEN_PATH);
        }
        Redacted(path)
    }

    /// Whether text holds a secret, whatever it is encoded as.
    pub fn hides(&self, text: &str) -> bool {
        in_any_reading(text, |text| {
            redact(text) != text || self.find(text).is_some()
        })
    }

    /// JSON with every text and every name of a member made writable.
    pub fn json(&self, value: &Value) -> Redacted<Value> {
        Redacted(self.value(value))
    }

    pub fn members(&self, members: &Map<String, Value>) -> Redacted<Map<String, Value>> {
        let members = members.iter();
        Redacted(
            members
                .map(|(name, value)| (self.text(name).0, self.value(value)))
                .collect(),
        )
    }

    /// In any case: names of fields are lower case.
    fn find(&self, text: &str) -> Option<Range<usize>> {
        let lower = text.to_ascii_lowercase();
        self.credentials.iter().find_map(|secret| {
            let secret = secret.expose().to_ascii_lowercase();
            let start = lower.find(&secret)?;
            Some(start..start + secret.len())
        })
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text).0),
            Value::Array(elements) => elements.iter().map(|value| self.value(value)).collect(),
            Value::Object(members) => Value::Object(self.members(members).0),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// Stands for a secret.
const HIDDEN: &str = "[secret]";
const HIDDEN_PATH: &str = "[not shown: a path that may hold a token]";
