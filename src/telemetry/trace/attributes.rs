//! What is said about a request and its steps.

use http::StatusCode;

use crate::dynatrace::redact::Redacted;

/// Names and values, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(&'static str, Value)>);

/// A value. Text of others is [`Redacted`], and cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Value(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Number(i64),
    Ours(&'static str),
    Writable(String),
}

impl Attributes {
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Where there is something to say.
    pub fn set_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub(in crate::telemetry) fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    pub(in crate::telemetry) fn into_pairs(self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.into_iter()
    }
}

impl Value {
    /// A name that the operator chose: of an environment, of policies.
    pub fn configured(name: &str) -> Self {
        Self(Kind::Writable(name.to_owned()))
    }

    pub(in crate::telemetry) fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Kind::Number(_) => None,
            Kind::Ours(text) => Some(text),
            Kind::Writable(text) => Some(text),
        }
    }

    pub(in crate::telemetry) fn as_number(&self) -> Option<i64> {
        match &self.0 {
            Kind::Number(number) => Some(*number),
            Kind::Ours(_) | Kind::Writable(_) => None,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self(Kind::Ours(text))
    }
}

impl From<Redacted> for Value {
    fn from(text: Redacted) -> Self {
        Self(Kind::Writable(text.cut(LONGEST).to_string()))
    }
}

impl From<&Redacted> for Value {
    fn from(text: &Redacted) -> Self {
        text.clone().into()
    }
}

impl From<StatusCode> for Value {
    /// As the name of an error.
    fn from(status: StatusCode) -> Self {
        Self(Kind::Writable(status.as_str().to_owned()))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self(Kind::Number(number.into()))
    }
}

/// Of a text, in bytes.
const LONGEST: usize = 1024;
