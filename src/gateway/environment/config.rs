//! The section `[environments.NAME]`: by what an environment is reached, and where it leads.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::dynatrace::redact::Redactor;
use crate::gateway::{credential, upstream};
use crate::guard::host::canonical;
use crate::guard::path::is_environment;

/// One environment of several.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names by which clients reach it, without port. None: any.
    pub hosts: Vec<Host>,
    /// The environment id of `/e/{environment-id}`. None: requests without one.
    pub id: Option<Id>,
    pub prefix: PathPrefix,
    pub upstream: upstream::Config,
    /// What callers who have proven who they are need not show.
    pub credential: Option<credential::Config>,
    /// For policies, as `input.environment.data`.
    pub data: Data,
}

/// What becomes of `/e/{environment-id}` on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathPrefix {
    #[default]
    Keep,
    Strip,
}

/// A host name or address, in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(pub(super) String);

/// An environment id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(pub(super) String);

/// What the configuration tells policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data(pub(super) Map<String, Value>);

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = canonical(&text);
        host.map(Self)
            .ok_or_else(|| format!("{text:?} is no host: give a name or an address, without port"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_environment(&text) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is no environment id: 1 to 70 letters, digits, '-' and '_'"
            ))
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let members = table
            .into_iter()
            .map(|(name, value)| Ok((name, json(value)?)));
        let members = members.collect::<Result<Map<_, _>, &str>>();
        let data = members.map_err(serde::de::Error::custom)?;
        // Every record of the environment has it.
        if Redactor::default().hides(&Value::Object(data.clone()).to_string()) {
            return Err(serde::de::Error::custom(
                "data contains the secret part of a token",
            ));
        }
        Ok(Self(data))
    }
}

fn json(value: toml::Value) -> Result<Value, &'static str> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => {
            Value::Number(serde_json::Number::from_f64(number).ok_or("a number is not finite")?)
        }
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(values) => values.into_iter().map(json).collect::<Result<_, _>>()?,
        toml::Value::Table(table) => {
            let members = table
                .into_iter()
                .map(|(name, value)| Ok((name, json(value)?)));
            Value::Object(members.collect::<Result<_, &str>>()?)
        }
    })
}
