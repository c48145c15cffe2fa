//! What makes a request the same request again, read off the record of a decision.
//!
//! The one function is for both sides: for whoever asks, of the record in the journal; for the gate, of the record that
//! it is about to write. What a mask took away is in neither, and then nothing is the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request, as its record tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub operation: String,
    pub environment: String,
    pub method: String,
    pub path: String,
    /// Keyed hash of the query's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The public id of the token that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub body_sha256: String,
    pub caller: Caller,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The public id of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Of the JSON Web Token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A member that the record of a judged request has, and this one has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its record has no {0}")]
pub struct Missing(pub &'static str);

impl Facts {
    /// Of the record of a decision.
    pub fn of(record: &Value) -> Result<Self, Missing> {
        let text = |pointer: &'static str| {
            let text = record.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let needed = |pointer: &'static str| text(pointer).ok_or(Missing(pointer));
        let caller = Caller {
            id: text("/caller/id"),
            fingerprint: text("/caller/certificate/fingerprint"),
            issuer: text("/caller/jwt/issuer"),
            subject: text("/caller/jwt/subject"),
        };
        if caller.id.is_none() && caller.fingerprint.is_none() && caller.subject.is_none() {
            return Err(Missing("/caller"));
        }
        Ok(Self {
            operation: needed("/operation")?,
            environment: needed("/input/environment/name")?,
            method: needed("/request/method")?,
            path: needed("/request/path")?,
            query: text("/request/query"),
            token: text("/input/token/id"),
            body_sha256: needed("/request/received_sha256")?,
            caller,
        })
    }
}
