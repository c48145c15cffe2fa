//! What the answer to a creation says of the credential that it made: its public id, and when it expires.
//!
//! The answer holds the secret as well. What comes out of here cannot: an id is the public part of a token, a UUID or
//! a keyed hash, and an expiration is written anew.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::catalogue::Operation;
use super::token::{HashKey, TokenId, TokenReference};

/// A credential that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: TokenId,
    /// Where the answer says so.
    pub expiration: Option<Timestamp>,
}

/// The form of the answer to a creation: where it has the new credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// An OAuth client; its id is a member.
    Client,
    /// A token of a Managed environment. The `id` beside it is that of the environment.
    ManagementToken,
    /// A token. v1 tells no id beside it.
    Token,
}

impl Birth {
    /// `None`: the operation makes no credential.
    pub fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::ActiveGateTokenCreate
            | Operation::ClusterTokenCreate
            | Operation::TokenCreate => Some(Self::Token),
            Operation::EdgeConnectCreate | Operation::EdgeConnectRotate => Some(Self::Client),
            Operation::TokenManagementTokenCreate => Some(Self::ManagementToken),
            _ => None,
        }
    }

    /// The members that mean something.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let (secret, id) = self.members();
        secret.iter().chain(id).chain(&[EXPIRATION]).copied()
    }

    /// Members that hold a whole token, and those that hold an id, each list in the order in which they are asked.
    fn members(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Client => (&[], &["oauthClientId", "clientId"]),
            Self::ManagementToken => (&["tokenManagementToken", "token"], &[]),
            Self::Token => (&["token"], &["id"]),
        }
    }

    /// Reads an answer in JSON. `None`: it does not say.
    ///
    /// The public part of the token itself comes first, because later requests show that. A token older than the
    /// format has none: then it is the id beside it, and where there is none, its keyed hash.
    pub fn read(self, members: &Map<String, Value>, key: &HashKey) -> Option<Credential> {
        let reference = |name: &&str| {
            let text = members.get(*name)?.as_str()?;
            TokenReference::parse(text, key).ok()
        };
        let (secrets, ids) = self.members();
        let secret = secrets.iter().find_map(reference);
        let public = secret.clone().filter(|token| !token.is_hashed());
        let found = public
            .or_else(|| ids.iter().find_map(reference))
            .or(secret)?;
        Some(Credential {
            id: found.id().clone(),
            expiration: members.get(EXPIRATION).and_then(expiration),
        })
    }

    /// Reads an answer that is the token and nothing else, as v1 gives it to who asks for text or for CSV.
    pub fn read_text(self, text: &str, key: &HashKey) -> Option<Credential> {
        let last = text
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())?;
        let token = last.trim_matches('"');
        // Shorter text is the head of an empty table, or an excuse.
        if self != Self::Token || token.len() < MIN_TOKEN {
            return None;
        }
        Some(Credential {
            id: TokenReference::parse(token, key).ok()?.id().clone(),
            expiration: None,
        })
    }
}

/// A time, however the answer writes it.
fn expiration(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(millis) => Timestamp::from_millisecond(millis.as_i64()?).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

const EXPIRATION: &str = "expirationDate";

/// Tokens of before the format have 21 characters.
const MIN_TOKEN: usize = 16;

#[cfg(test)]
mod tests;
