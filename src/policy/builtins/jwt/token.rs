//! A token in three parts, and what its header says. No message repeats any of it.

use std::collections::BTreeSet;

use regorus::Value;

use crate::policy::builtins::encoding::{base64url, text_of};
use crate::policy::builtins::json;

/// The longest token.
const MOST_BYTES: usize = 64 << 10;

/// A token as it is written.
#[derive(Clone, Copy)]
pub(super) struct Token<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
}

impl<'t> Token<'t> {
    pub(super) fn of(text: &'t str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err("the token is longer than 64 KiB".to_owned());
        }
        let parts: Vec<&str> = text.split('.').collect();
        match *parts.as_slice() {
            [_] => Err("encoded JWT had no period separators".to_owned()),
            [header, payload, signature] => Ok(Self {
                header,
                payload,
                signature,
            }),
            _ => {
                let found = parts.len();
                Err(format!("encoded JWT must have 3 sections, found {found}"))
            }
        }
    }

    /// What is signed.
    pub(super) fn signed(self) -> String {
        format!("{}.{}", self.header, self.payload)
    }

    pub(super) fn signature(self) -> Result<Vec<u8>, String> {
        decoded(self.signature, "signature")
    }

    pub(super) fn header(self) -> Result<Value, String> {
        let header = decoded(self.header, "header")?;
        let header = object(&text_of(&header), "header")?;
        if member(&header, "enc").is_some() {
            return Err("JWT is a JWE object, which is not supported".to_owned());
        }
        Ok(header)
    }

    /// What it says, as text: an object, or another token.
    pub(super) fn payload(self) -> Result<String, String> {
        decoded(self.payload, "payload").map(|bytes| text_of(&bytes))
    }
}

fn decoded(part: &str, name: &str) -> Result<Vec<u8>, String> {
    base64url(part).ok_or_else(|| format!("JWT {name} had invalid encoding"))
}

/// The object that a text is; the last of two members of one name counts, as in Go.
pub(super) fn object(text: &str, name: &str) -> Result<Value, String> {
    let object = json::parsed(text).ok().filter(|it| it.as_object().is_ok());
    object.ok_or_else(|| format!("JWT {name} is no JSON object"))
}

pub(super) fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let members = object.as_object().ok()?;
    members.get(&Value::from(name))
}

/// The text of a member that has to be one; empty where there is none.
pub(super) fn text(object: &Value, name: &str) -> Result<String, String> {
    match member(object, name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(_) => Err(format!("{name}: must be a string")),
    }
}

/// What a header says about its token.
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) key: String,
    pub(super) content: String,
    /// Whether it says what has to be understood, and is.
    is_understood: bool,
}

impl Header {
    pub(super) fn read(header: &Value) -> Result<Self, String> {
        text(header, "typ")?;
        Ok(Self {
            algorithm: text(header, "alg")?,
            key: text(header, "kid")?,
            content: text(header, "cty")?,
            is_understood: is_understood(header)?,
        })
    }

    pub(super) fn is_valid(&self) -> bool {
        !self.algorithm.is_empty() && self.is_understood
    }
}

/// Whether nothing in it is said to be critical that OPA does not know.
fn is_understood(header: &Value) -> Result<bool, String> {
    let Some(critical) = member(header, "crit") else {
        return Ok(true);
    };
    let critical = critical.as_array().ok().ok_or("crit: must be a list")?;
    let name = |it: &Value| it.as_string().ok().map(ToString::to_string);
    let names: BTreeSet<String> = critical.iter().map_while(name).collect();
    if names.is_empty() {
        return Err("crit: must be a nonempty list".to_owned());
    }
    let is_known = |name: &str| ["alg", "kid", "typ", "cty", "crit"].contains(&name);
    let is_unknown = |name: &String| !is_known(name) && member(header, name).is_some();
    Ok(!names.iter().any(is_unknown))
}
