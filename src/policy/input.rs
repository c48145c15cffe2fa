//! The input document: all that a policy can know about a request.
//!
//! It is one value with one spelling: what the policies judge is what the journal keeps and a replay
//! reads. It holds plain values and no secrets, and knows neither where they came from nor what HTTP is.

mod absence;
mod defaults;
mod members;
mod rego;

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::dynatrace::catalogue::{ENDPOINTS, Operation};
use crate::dynatrace::redact::Redacted;

pub(super) use absence::{LOOKED_UP, NO_TOKEN, REMOVED, UNKNOWN, absences};
pub use defaults::with_defaults;
pub use members::members;
pub(super) use members::{Presence, Shape, guess, guess_setting, missing, presence, shape};
pub(super) use rego::to_rego;

/// Members that are there only where the token was looked up, which is done when a policy reads one of them. Whoever
/// reads `input.change.scopes` as a whole reads these as well.
pub const LOOKED_UP_FOR: [&str; 10] = [
    "input.change.differs",
    "input.change.enabled.current",
    "input.change.name.current",
    "input.change.scopes.added",
    "input.change.scopes.current",
    "input.change.scopes.kept",
    "input.change.scopes.removed",
    "input.token.current",
    "input.token.known",
    "input.token.lookup_error",
];

/// Members of the request in the shape of OPA-Envoy, which is built when a policy reads one of them.
pub const OF_ENVOY: [&str; 5] = [
    "input.attributes",
    "input.parsed_path",
    "input.parsed_query",
    "input.parsed_body",
    "input.truncated_body",
];

/// What the caller did before, which is counted when a policy reads it.
pub const RECENT: &str = "input.caller.recent";

/// What [`Input::only_disables`] reads.
const ONLY_DISABLES: [&str; 6] = [
    "input.change.enabled.requested",
    "input.change.expiration.requested",
    "input.change.name.requested",
    "input.change.personal.requested",
    "input.change.scopes.requested",
    "input.unknown_members",
];

/// The members by which it is known whether a lookup failed, and whether that matters to this request, or to any.
pub(super) fn lookup_failed_by(input: Option<&Input>) -> impl Iterator<Item = &'static str> {
    let failed = input.is_none_or(|input| input.lookup_error().is_some());
    let whether = ONLY_DISABLES.into_iter().filter(move |_| failed);
    whether.chain(["input.token.lookup_error"])
}

/// What a request would change, and what is not known, is absent; who asks is always there. Nothing is `null`: in
/// Rego a member that is absent is undefined, and `not` says that it is not there.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Input {
    pub operation: String,
    pub api: String,
    pub environment: Environment,
    #[serde(default)]
    pub caller: Caller,
    /// Only where the request is about a token that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Target>,
    #[serde(default)]
    pub change: Change,
    /// Only on a write of settings that govern tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Only where the request has some.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub unknown_members: Redacted<Map<String, Json>>,
    #[serde(with = "instant")]
    pub time: jiff::Timestamp,
    /// The same request in the shape of OPA-Envoy; only built when a loaded policy reads it.
    #[serde(flatten)]
    pub envoy: Option<Envoy>,
}

impl Environment {
    /// The same, called by this id.
    #[must_use]
    pub fn with_id(self, id: Redacted) -> Self {
        Self { id, ..self }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Environment {
    pub name: String,
    #[serde(default)]
    pub id: Redacted,
    /// What the configuration says about the environment, for policies only.
    #[serde(default)]
    pub data: Map<String, Json>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Caller {
    #[serde(default)]
    pub address: String,
    #[serde(default)]
    pub token: CallerToken,
    #[serde(default)]
    pub certificate: CallerCertificate,
    #[serde(default)]
    pub jwt: CallerJwt,
    /// The names of those that `data.callers` puts the caller into.
    #[serde(default)]
    pub teams: Vec<String>,
    /// What its forwarded changes came to within the last hour; only counted when a loaded policy reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<Amounts>,
}

/// So much was made, given and removed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Amounts {
    /// Tokens.
    pub created: u64,
    pub scopes_gained: u64,
    /// Tokens.
    pub removed: u64,
}

/// What the certificate says that the caller has shown; empty texts and lists when there is none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CallerCertificate {
    pub subject: Redacted,
    pub issuer: Redacted,
    pub serial: Redacted,
    pub dns: Vec<Redacted>,
    pub uris: Vec<Redacted>,
    pub emails: Vec<Redacted>,
    pub addresses: Vec<Redacted>,
    pub spiffe_id: Redacted,
    /// SHA-256, 64 hexadecimal digits.
    pub fingerprint: Redacted,
    pub not_after: String,
}

/// What the JSON Web Token says that the caller has shown to the gate; empty when there is none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CallerJwt {
    pub issuer: Redacted,
    pub subject: Redacted,
    pub audiences: Vec<Redacted>,
    pub id: Redacted,
    /// All of them.
    pub claims: Redacted<Map<String, Json>>,
}

/// The public part of the credential that the caller shows; empty texts when there is none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CallerToken {
    pub id: Redacted,
    pub kind: Redacted,
}

/// The token that is to be changed.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Target {
    pub id: Redacted,
    /// `None`: no policy asked for it, or it could not be looked up.
    #[serde(default)]
    pub current: Option<Current>,
    /// Why the token could not be looked up.
    #[serde(default)]
    pub lookup_error: Option<Redacted>,
}

/// The token as it is before the change, in one vocabulary for v1 and v2; what Dynatrace does not tell is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Current {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Redacted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Redacted>,
    pub scopes: Vec<Redacted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Redacted>,
}

/// The settings schemas that a request writes objects of.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Settings {
    pub schemas: Vec<String>,
}

/// What the caller wants to be different. Without `requested`: the request does not mention it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Change {
    pub name: Wish<Redacted>,
    pub enabled: Wish<bool>,
    pub scopes: Scopes,
    pub expiration: Expiration,
    pub personal: Requested<bool>,
    /// The members that would differ from the token as it is (`name`, `enabled`, `scopes`); `None` when that is
    /// not known. Empty: nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Wish<T> {
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub requested: Option<T>,
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub current: Option<T>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Requested<T> {
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub requested: Option<T>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Expiration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Redacted>,
    /// The instant that is meant, whatever the notation; `None` where nobody can say.
    #[serde(with = "perhaps", skip_serializing_if = "Option::is_none")]
    pub at: Option<jiff::Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Scopes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Vec<Redacted>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Vec<Redacted>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<Vec<Redacted>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Vec<Redacted>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<Redacted>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Envoy {
    pub attributes: Attributes,
    pub parsed_path: Vec<Redacted>,
    pub parsed_query: Redacted<Map<String, Json>>,
    /// Only where the request has a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parsed_body: Option<Redacted<Json>>,
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
    pub method: Redacted,
    pub path: Redacted,
    pub host: Redacted,
    pub headers: BTreeMap<Redacted, Redacted>,
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

impl Serialize for Target {
    /// With `known`, which follows from the rest: whether the gate knows the token as it is.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut members = out.serialize_map(None)?;
        members.serialize_entry("id", &self.id)?;
        members.serialize_entry("known", &self.is_known())?;
        if let Some(current) = &self.current {
            members.serialize_entry("current", current)?;
        }
        if let Some(error) = &self.lookup_error {
            members.serialize_entry("lookup_error", error)?;
        }
        members.end()
    }
}

impl Target {
    /// Whether the gate knows the token as it is.
    pub(super) fn is_known(&self) -> bool {
        self.current.is_some()
    }
}

fn nothing<T>() -> Option<T> {
    None
}

fn is_empty(members: &Redacted<Map<String, Json>>) -> bool {
    members.is_empty()
}

impl Input {
    /// The document as the journal writes it.
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).expect("an input has string keys and finite numbers only")
    }

    /// Whether it changes a token that nobody looked up, because no policy asked for it.
    pub fn was_not_looked_up(&self) -> bool {
        let is_unknown = |token: &Target| token.current.is_none() && token.lookup_error.is_none();
        self.token.as_ref().is_some_and(is_unknown) && {
            let mut rows = ENDPOINTS.iter().map(|row| row.operation);
            let operation = rows.find(|operation| operation.as_str() == self.operation);
            operation.is_none_or(Operation::changes_token)
        }
    }

    /// Why the token could not be looked up.
    pub(super) fn lookup_error(&self) -> Option<&str> {
        let error = self.token.as_ref()?.lookup_error.as_ref()?;
        Some(error.as_str())
    }

    /// Whether the request asks for nothing but that the token be disabled: a leaked token must be stopped
    /// even when nobody can say what it is.
    pub fn only_disables(&self) -> bool {
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

/// The same, which may be absent.
mod perhaps {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde hands it over so")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<jiff::Timestamp>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::instant::serialize(time, out),
            None => out.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<jiff::Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let time = text.map(|text| text.parse().map_err(D::Error::custom));
        time.transpose()
    }
}

#[cfg(test)]
pub(super) mod tests;
