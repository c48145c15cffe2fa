//! What makes a request the same request again, read off the record of a decision.
//!
//! The one function is for both sides: for whoever asks, of the record in the journal; for the gate, of the record that
//! it is about to write. What a mask took away is in neither, and then nothing is the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::masks::Masks;

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
    /// Keyed hash of what it has proven, or else of its whole credential: a public id is known to others, too.
    pub hash: String,
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

impl Caller {
    /// Whether this is its hash. A public id is no name: anybody can show it, and would use up what is for its holder.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.hash == name
    }
}

impl Facts {
    /// Whether a mask of this place hides which request it was, or which policies denied it: it is one of those that are
    /// read, or around one, or in it.
    pub fn hidden_by(place: &str) -> bool {
        let masks = Masks::new([place].into_iter());
        let mut read = PLACES.iter().chain(&OBJECTIONS);
        // As a whole it has no name.
        place.is_empty()
            || read.any(|pointer| {
                let member = pointer.trim_start_matches('/').replace('/', ".");
                masks.hide(&member)
            })
    }

    /// Of the record of a decision.
    pub fn of(record: &Value) -> Result<Self, Missing> {
        let text = |pointer: &'static str| {
            let text = record.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let needed = |pointer: &'static str| text(pointer).ok_or(Missing(pointer));
        let caller = Caller {
            id: text(CALLER),
            hash: needed(CALLER_HASH)?,
            fingerprint: text(FINGERPRINT),
            issuer: text(ISSUER),
            subject: text(SUBJECT),
        };
        if caller.id.is_none() && caller.fingerprint.is_none() && caller.subject.is_none() {
            return Err(Missing("/caller"));
        }
        Ok(Self {
            operation: needed(OPERATION)?,
            environment: needed(ENVIRONMENT)?,
            method: needed(METHOD)?,
            path: needed(PATH)?,
            query: text(QUERY),
            token: text(TOKEN),
            body_sha256: needed(BODY)?,
            caller,
        })
    }
}

const OPERATION: &str = "/operation";
const ENVIRONMENT: &str = "/input/environment/name";
const METHOD: &str = "/request/method";
const PATH: &str = "/request/path";
const QUERY: &str = "/request/query";
const TOKEN: &str = "/input/token/id";
const BODY: &str = "/request/received_sha256";
const CALLER: &str = "/caller/id";
const CALLER_HASH: &str = "/request/caller_hash";
const FINGERPRINT: &str = "/caller/certificate/fingerprint";
const ISSUER: &str = "/caller/jwt/issuer";
const SUBJECT: &str = "/caller/jwt/subject";

/// What is read of a record.
const PLACES: [&str; 12] = [
    OPERATION,
    ENVIRONMENT,
    METHOD,
    PATH,
    QUERY,
    TOKEN,
    BODY,
    CALLER,
    CALLER_HASH,
    FINGERPRINT,
    ISSUER,
    SUBJECT,
];

/// What says whose a violation is, and what it does.
const OBJECTIONS: [&str; 5] = [
    "/result/violations/*/policy",
    "/result/violations/*/mode",
    "/result/violations/*/rule",
    "/result/violations/*/code",
    "/result/violations/*/exception",
];
