//! Token ids, secrets and credentials.
//!
//! A token is written `prefix.public.secret` (`dt0c01.ST2E….G3DF…`). Prefix and public part "can be
//! safely displayed and used for logging"; the secret part has a type that cannot be printed. What
//! cannot be told apart (tokens older than the format, and ids of unknown form) is shown as a keyed
//! hash.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;
use thiserror::Error;

/// The public name of a token: safe to log, record and compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenId(String);

/// Text that may be a secret. It can be sent on and compared; it cannot be printed or serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

/// The key that turns an unprintable token into a stable public name. Each journal has its own, so
/// that hashes tell nothing outside of it.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

/// A token as it stands in a path or a header: its public name, and what has to be sent.
#[derive(Clone)]
pub struct TokenReference {
    id: TokenId,
    raw: TokenSecret,
}

/// Who calls, as far as the credential tells without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    pub id: TokenId,
    pub kind: CredentialKind,
}

/// The forms of credential that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// `Authorization: Api-Token …` or `?api-token=…`.
    ApiToken,
    /// `Authorization: Bearer …`: a platform token or an OAuth access token.
    Bearer,
    /// Any other scheme.
    Other,
}

/// Why a path segment names no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a token id is a UUID, or letters, digits, '-', '_' and '.', at most {} long",
    MAX_LENGTH
)]
pub struct IdError;

impl CredentialKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api-token",
            Self::Bearer => "bearer",
            Self::Other => "other",
        }
    }
}

impl TokenId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a name is a hash: each journal has others, and of a credential that changes all the time so does each of those.
pub fn is_hashed(id: &str) -> bool {
    id.starts_with(HASHED)
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl TokenSecret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who sends it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret")
    }
}

impl HashKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A public name for something that must not be shown.
    pub fn name(&self, secret: &str) -> TokenId {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(secret.as_bytes());
        let hash = mac.finalize().into_bytes();
        let mut name = HASHED.to_owned();
        for byte in hash.iter().take(16) {
            use fmt::Write;
            write!(name, "{byte:02x}").expect("writing to a string cannot fail");
        }
        TokenId(name)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

impl TokenReference {
    /// Reads the `{id}` of a path. It may be the public id or, on DELETE, the whole secret.
    ///
    /// UUIDs are made lower case, so that one token has one spelling for policies and upstream.
    pub fn parse(segment: &str, key: &HashKey) -> Result<Self, IdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if segment.is_empty()
            || segment.len() > MAX_LENGTH
            || !segment.chars().all(allowed)
            || segment.chars().all(|c| c == '.')
        {
            return Err(IdError);
        }
        // Spellings of one id that a server could read as another's: an upper-case prefix, a UUID without
        // its leading zeros.
        let prefix = segment.split('.').next().unwrap_or_default();
        let is_canonical = is_uuid(segment);
        if is_any_prefix(prefix.as_bytes()) && !is_prefix(prefix)
            || !is_canonical && is_loose_uuid(segment)
        {
            return Err(IdError);
        }
        if is_canonical {
            let id = canonical_id(segment).into_owned();
            return Ok(Self {
                id: TokenId(id.clone()),
                raw: TokenSecret(id),
            });
        }
        Ok(Self {
            id: public_id(segment, key),
            raw: TokenSecret(segment.to_owned()),
        })
    }

    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// Whether it has no public form: an id of unknown form, or a secret older than the format.
    pub fn is_hashed(&self) -> bool {
        is_hashed(&self.id.0)
    }

    /// What has to stand in the path.
    pub fn raw(&self) -> &TokenSecret {
        &self.raw
    }
}

impl fmt::Debug for TokenReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenReference").field(&self.id).finish()
    }
}

impl Caller {
    /// Reads the value of an `Authorization` header. Scheme names ignore case, as RFC 9110 says.
    pub fn from_authorization(value: &str, key: &HashKey) -> Self {
        let (scheme, credential) = value.trim().split_once(' ').unwrap_or(("", value));
        let credential = credential.trim();
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "api-token" => CredentialKind::ApiToken,
            "bearer" => CredentialKind::Bearer,
            _ => CredentialKind::Other,
        };
        Self {
            id: match kind {
                CredentialKind::ApiToken | CredentialKind::Bearer => public_id(credential, key),
                CredentialKind::Other => key.name(value),
            },
            kind,
        }
    }

    /// Reads the value of an `api-token` query parameter.
    pub fn from_query(value: &str, key: &HashKey) -> Self {
        Self {
            id: public_id(value, key),
            kind: CredentialKind::ApiToken,
        }
    }
}

/// `prefix.public` where the text has that form, with or without a secret behind it; else its hash.
fn public_id(text: &str, key: &HashKey) -> TokenId {
    let mut parts = text.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(prefix), Some(public), _)
            if is_any_prefix(prefix.as_bytes()) && is_public(public) =>
        {
            TokenId(format!("{}.{public}", prefix.to_ascii_lowercase()))
        }
        _ => key.name(text),
    }
}

/// `dt0c01`, `dt0s16`, …
fn is_prefix(text: &str) -> bool {
    is_any_prefix(text.as_bytes()) && text.starts_with("dt")
}

/// The same, also with large letters in front.
pub fn is_any_prefix(text: &[u8]) -> bool {
    matches!(
        text,
        [b'd' | b'D', b't' | b'T', b'0', kind, a, b]
            if kind.is_ascii_alphabetic() && a.is_ascii_digit() && b.is_ascii_digit()
    )
}

/// 24 characters today, 8 for `ActiveGate` and platform tokens, 6 in the documentation's own example.
/// Longer text could be a secret that lost its public part.
fn is_public(text: &str) -> bool {
    (1..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The part of a credential that must never be written: all of it but prefix and public id.
pub fn secret_part(token: &str) -> &str {
    let mut parts = token.splitn(3, '.');
    let (prefix, public, secret) = (parts.next(), parts.next(), parts.next());
    let known = prefix.is_some_and(|prefix| is_any_prefix(prefix.as_bytes()));
    match (public, secret) {
        (Some(_), Some(secret)) if known => secret,
        (Some(public), None) if known && is_public(public) => "",
        _ => token,
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Five groups of hexadecimal digits, of any length.
fn is_loose_uuid(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        && text.bytes().filter(|byte| *byte == b'-').count() == 4
}

/// Whether a segment is the name of a token that may be shown: a UUID, a public id, or the hash of one that has none.
pub fn is_shown_id(segment: &str) -> bool {
    let hex = |hash: &str| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid(segment)
        || segment.strip_prefix(HASHED).is_some_and(hex)
        || segment
            .split_once('.')
            .is_some_and(|(prefix, public)| is_prefix(prefix) && is_public(public))
}

/// The spelling in which the id of a token is compared: as [`TokenReference::parse`] has it. What is none stays as it is.
pub fn canonical_id(id: &str) -> Cow<'_, str> {
    if is_uuid(id) {
        return Cow::Owned(id.to_ascii_lowercase());
    }
    Cow::Borrowed(id)
}

/// Lower case: the words of a path that Dynatrace has for tokens and nothing else.
pub const TOKEN_WORDS: &[&str] = &[
    "activegatetokens",
    "agentconnectiontoken",
    "apitokens",
    "tenanttokenrotation",
    "tokenmanagementtoken",
];

/// One that says little where it stands alone.
pub const TOKENS: &str = "tokens";

/// What the public name of a secret begins with.
const HASHED: &str = "hmac-sha256:";

const MAX_LENGTH: usize = 160;

#[cfg(test)]
mod tests;
