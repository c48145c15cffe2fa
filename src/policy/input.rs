//! The input document: all that a policy can know about a request.
//!
//! It is one value with one spelling: what the policies judge is what the journal keeps and a replay
//! reads. It holds plain values and no secrets, and knows neither where they came from nor what HTTP is.

mod rego;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

pub(super) use rego::to_rego;

/// Members below these are not ours to name.
const OPEN: [&str; 5] = [
    "input.attributes.request.http.headers",
    "input.environment.data",
    "input.parsed_body",
    "input.parsed_query",
    "input.unknown_members",
];

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Input {
    pub operation: String,
    pub api: String,
    pub environment: Environment,
    pub caller: Caller,
    pub token: Option<Target>,
    pub change: Change,
    /// Only on a write of settings that govern tokens.
    pub settings: Option<Settings>,
    pub unknown_members: Map<String, Json>,
    #[serde(with = "instant")]
    pub time: jiff::Timestamp,
    /// The same request in the shape of OPA-Envoy; only built when a loaded policy reads it.
    #[serde(flatten)]
    pub envoy: Option<Envoy>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Environment {
    pub name: String,
    pub id: String,
    /// What the configuration says about the environment, for policies only.
    #[serde(default)]
    pub data: Map<String, Json>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Caller {
    pub address: String,
    pub token: Option<CallerToken>,
    pub certificate: Option<Json>,
}

/// The public part of the credential that the caller shows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CallerToken {
    pub id: String,
    pub kind: String,
}

/// The token that is to be changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Target {
    pub id: String,
    /// `None`: no policy asked for it, or it could not be looked up.
    pub current: Option<Current>,
    /// Why the token could not be looked up.
    #[serde(default)]
    pub lookup_error: Option<String>,
}

/// The token as it is before the change, in one vocabulary for v1 and v2.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Current {
    pub id: Option<String>,
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub owner: Option<String>,
    pub scopes: Vec<String>,
    pub personal: Option<bool>,
    pub expiration: Option<String>,
}

/// The settings schemas that a request writes objects of.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Settings {
    pub schemas: Vec<String>,
}

/// What the caller wants to be different. `None` in `requested`: the request does not mention it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Change {
    pub name: Wish<String>,
    pub enabled: Wish<bool>,
    pub scopes: Scopes,
    pub expiration: Requested<String>,
    pub personal: Requested<bool>,
    /// The members that would differ from the token as it is (`name`, `enabled`, `scopes`); `None` when that is
    /// not known. Empty: nothing changes.
    #[serde(default)]
    pub differs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Wish<T> {
    pub requested: Option<T>,
    pub current: Option<T>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Requested<T> {
    pub requested: Option<T>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Scopes {
    pub requested: Option<Vec<String>>,
    pub current: Option<Vec<String>>,
    pub added: Option<Vec<String>>,
    pub removed: Option<Vec<String>>,
    pub kept: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Envoy {
    pub attributes: Attributes,
    pub parsed_path: Vec<String>,
    pub parsed_query: Map<String, Json>,
    pub parsed_body: Json,
    pub truncated_body: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Attributes {
    pub request: AttributesRequest,
    pub source: AttributesSource,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AttributesRequest {
    pub http: AttributesHttp,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AttributesHttp {
    pub method: String,
    pub path: String,
    pub host: String,
    pub headers: Map<String, Json>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AttributesSource {
    pub address: AttributesAddress,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributesAddress {
    pub socket_address: SocketAddress,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SocketAddress {
    pub address: String,
}

impl Input {
    /// The document as the journal writes it.
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).expect("an input has string keys and finite numbers only")
    }

    /// Why the token could not be looked up.
    pub(super) fn lookup_error(&self) -> Option<&str> {
        self.token.as_ref()?.lookup_error.as_deref()
    }

    /// Whether the request asks for nothing but that the token be disabled: a leaked token must be stopped
    /// even when nobody can say what it is.
    pub(super) fn only_disables(&self) -> bool {
        let change = &self.change;
        change.enabled.requested == Some(false)
            && change.name.requested.is_none()
            && change.scopes.requested.is_none()
            && change.expiration.requested.is_none()
            && change.personal.requested.is_none()
            && self.unknown_members.is_empty()
    }

    /// The document as the engine reads it: the same as the JSON, without the detour.
    pub(super) fn to_rego(&self) -> regorus::Value {
        rego::document(self)
    }

    /// What `time.now_ns()` answers: exactly `input.time`, so that a replayed record decides the same.
    pub(super) fn now_ns(&self) -> i64 {
        self.time.as_millisecond().saturating_mul(1_000_000)
    }
}

/// Every member that a policy may name, for the documentation.
pub fn members() -> Vec<String> {
    let mut found = Vec::new();
    collect("input", &SAMPLE, &mut found);
    found
}

/// Where a reference leaves the document.
pub(super) struct Missing {
    /// The step that is not there, counted from `input` as zero.
    pub(super) step: usize,
    pub(super) message: String,
}

/// Follows a reference below `input` as far as it can be known before there is a request.
pub(super) fn missing(steps: &[Option<&str>]) -> Option<Missing> {
    let mut here: &Json = &SAMPLE;
    let mut path = "input".to_owned();
    for (step, name) in steps.iter().enumerate().skip(1) {
        if OPEN.contains(&path.as_str()) {
            return None;
        }
        here = match (here, name) {
            (Json::Object(members), Some(name)) => match members.get(*name) {
                Some(next) => next,
                None => {
                    return Some(Missing {
                        step,
                        message: unknown(&path, name, members),
                    });
                }
            },
            (Json::Array(items), None) => items.first()?,
            (Json::Array(_), Some(name)) => {
                return Some(Missing {
                    step,
                    message: format!("{path} is a list: it has no member {name}"),
                });
            }
            // What is null in the sample has a shape that is not promised; a computed member cannot be known.
            (Json::Null | Json::Object(_), _) => return None,
            (Json::Bool(_) | Json::Number(_) | Json::String(_), name) => {
                let name = name.unwrap_or("[…]");
                return Some(Missing {
                    step,
                    message: format!("{path} is a plain value: it has no member {name}"),
                });
            }
        };
        path.push('.');
        path.push_str(name.unwrap_or("[]"));
    }
    None
}

fn unknown(path: &str, name: &str, members: &Map<String, Json>) -> String {
    let guess = guess(
        name,
        &format!("{path}."),
        &members.keys().map(String::as_str).collect::<Vec<_>>(),
    );
    format!("the input document has no member {path}.{name}{guess}")
}

/// `: did you mean …?` with the nearest candidate, or nothing when none is near.
pub(super) fn guess(name: &str, prefix: &str, candidates: &[&str]) -> String {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, nearest)| format!(": did you mean {prefix}{nearest}?"))
        .unwrap_or_default()
}

fn collect(path: &str, here: &Json, found: &mut Vec<String>) {
    if path != "input" {
        found.push(path.to_owned());
    }
    if let (Json::Object(members), false) = (here, OPEN.contains(&path)) {
        for (name, value) in members {
            collect(&format!("{path}.{name}"), value, found);
        }
    }
}

/// A document in which every member that has a promised shape is present.
static SAMPLE: LazyLock<Json> = LazyLock::new(|| {
    let text = || Some(String::new());
    let texts = || Some(vec![String::new()]);
    Input {
        operation: String::new(),
        api: String::new(),
        environment: Environment {
            name: String::new(),
            id: String::new(),
            data: Map::new(),
        },
        caller: Caller {
            address: String::new(),
            token: Some(CallerToken {
                id: String::new(),
                kind: String::new(),
            }),
            certificate: None,
        },
        token: Some(Target {
            id: String::new(),
            current: Some(Current {
                id: text(),
                name: text(),
                enabled: Some(true),
                owner: text(),
                scopes: vec![String::new()],
                personal: Some(true),
                expiration: text(),
            }),
            lookup_error: text(),
        }),
        change: Change {
            name: Wish {
                requested: text(),
                current: text(),
            },
            enabled: Wish {
                requested: Some(true),
                current: Some(true),
            },
            scopes: Scopes {
                requested: texts(),
                current: texts(),
                added: texts(),
                removed: texts(),
                kept: texts(),
            },
            expiration: Requested { requested: text() },
            personal: Requested {
                requested: Some(true),
            },
            differs: texts(),
        },
        settings: Some(Settings {
            schemas: vec![String::new()],
        }),
        unknown_members: Map::new(),
        time: jiff::Timestamp::UNIX_EPOCH,
        envoy: Some(Envoy {
            attributes: Attributes {
                request: AttributesRequest {
                    http: AttributesHttp {
                        method: String::new(),
                        path: String::new(),
                        host: String::new(),
                        headers: Map::new(),
                    },
                },
                source: AttributesSource {
                    address: AttributesAddress {
                        socket_address: SocketAddress {
                            address: String::new(),
                        },
                    },
                },
            },
            parsed_path: vec![String::new()],
            parsed_query: Map::new(),
            parsed_body: json!({}),
            truncated_body: false,
        }),
    }
    .to_json()
});

/// `2026-11-24T10:00:00.000Z`: milliseconds, as Dynatrace writes them.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        time: &jiff::Timestamp,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn text(time: jiff::Timestamp) -> String {
        format!("{time:.3}")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<jiff::Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(super) mod tests;
