//! One JSON Web Token as it is sent: three parts in base64url with dots between.
//!
//! Whose it is can be asked before anything in it is believed. Then each part is read strictly: what two readers could
//! understand in two ways is none. Nothing here checks a signature.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::Flaw;
use crate::guard::json;

/// What has the shape of a token. It may be anything else: a token of Dynatrace's has three parts, too.
#[derive(Clone, Copy)]
pub(super) struct Compact<'t> {
    text: &'t str,
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
}

/// The head of a token: by which key it says that it is signed, and how.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
}

impl<'t> Compact<'t> {
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let mut parts = text.split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_one = parts.next().is_none()
            && !header.is_empty()
            && !payload.is_empty()
            && text.bytes().all(is_digit);
        is_one.then_some(Self {
            text,
            header,
            payload,
            signature,
        })
    }

    pub(super) fn is_long(&self) -> bool {
        self.text.len() > LONGEST
    }

    /// Every issuer that some reader could find in it: of several members `iss` each, and none where it is no JSON.
    pub(super) fn issuers(&self) -> Vec<String> {
        let Ok(bytes) = BASE64URL_NOPAD.decode(self.payload.as_bytes()) else {
            return Vec::new();
        };
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let found = reader.deserialize_map(Issuers);
        found
            .and_then(|found| reader.end().map(|()| found))
            .unwrap_or_default()
    }

    pub(super) fn head(&self) -> Result<Head, Flaw> {
        let members = object(self.header).ok_or(Flaw::Head)?;
        // What changes the meaning of a token must be understood; nothing of the kind is.
        if let Some(name) = FOREIGN.iter().find(|name| members.contains_key(**name)) {
            return Err(Flaw::Extension(name));
        }
        match members.get("typ") {
            None => {}
            Some(Value::String(kind)) if is_for_access(kind) => {}
            Some(_) => return Err(Flaw::Type),
        }
        let algorithm = members.get("alg").and_then(Value::as_str);
        let algorithm = algorithm
            .and_then(Algorithm::named)
            .ok_or(Flaw::Algorithm)?;
        match members.get("kid") {
            Some(Value::String(kid)) if (1..=LONGEST_KID).contains(&kid.len()) => Ok(Head {
                algorithm,
                kid: kid.clone(),
            }),
            _ => Err(Flaw::Kid),
        }
    }

    pub(super) fn claims(&self) -> Result<Map<String, Value>, Flaw> {
        let claims = object(self.payload).ok_or(Flaw::Claims)?;
        let mut left = MOST_VALUES;
        let is_small = claims
            .values()
            .all(|claim| is_within(claim, DEPTH - 1, &mut left));
        if is_small {
            Ok(claims)
        } else {
            Err(Flaw::Large)
        }
    }

    /// All of it, which is a secret.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// What is signed.
    pub(super) fn message(&self) -> &'t [u8] {
        let length = self.header.len() + 1 + self.payload.len();
        self.text.as_bytes().get(..length).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &'t str {
        self.signature
    }
}

/// An object that every reader understands alike.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    match json::parse(&bytes) {
        Ok(Value::Object(members)) => Some(members),
        Ok(_) | Err(_) => None,
    }
}

/// Whether a value has few values in it, and not too deep.
fn is_within(value: &Value, depth: usize, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else {
        return false;
    };
    *left = fewer;
    match value {
        Value::Array(elements) => {
            depth > 0
                && elements
                    .iter()
                    .all(|value| is_within(value, depth - 1, left))
        }
        Value::Object(members) => {
            depth > 0
                && members
                    .values()
                    .all(|value| is_within(value, depth - 1, left))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Whether a kind of token (`typ`) is one that callers show. Issuers sign others with the same keys: of a logout, of a
/// proof that somebody has a key.
fn is_for_access(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    ["at+jwt", "jose", "jwt"].contains(&kind)
}

/// Reads each text `iss` of an object, and nothing else.
struct Issuers;

impl<'de> Visitor<'de> for Issuers {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<String>, A::Error> {
        let mut issuers = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == "iss" {
                if let Value::String(issuer) = members.next_value()? {
                    issuers.push(issuer);
                }
            } else {
                let _: IgnoredAny = members.next_value()?;
            }
        }
        Ok(issuers)
    }
}

/// The longest token: all of its parts. Those of common issuers have 1 to 3 KiB.
const LONGEST: usize = 16 << 10;
/// The longest name of a key.
pub(super) const LONGEST_KID: usize = 256;
/// Objects and lists around a value, and values in all.
const DEPTH: usize = 8;
const MOST_VALUES: usize = 1024;

/// Members of a head that change what the token means: extensions that must be understood, a payload that is not in
/// base64, one that is a token itself, encrypted or packed.
const FOREIGN: [&str; 5] = ["b64", "crit", "cty", "enc", "zip"];
