//! The keys of an issuer, as it publishes them (RFC 7517): read once, checked then, and each for one kind of algorithm
//! only.
//!
//! A key that cannot be used safely is left out, with the reason: a set of keys has some for other purposes.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Kind};
use super::compact::LONGEST_KID;
use super::fetch::Fault;
use crate::guard::json;
use crate::value::Sha256Hex;

/// Keys by their name.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: HashMap<String, Key>,
    /// Of the text that they stand in.
    digest: Option<Sha256Hex>,
    /// What was left out, and why. It holds text of the issuer's.
    pub(super) left_out: Vec<String>,
}

/// Half a pair of keys: it checks signatures and makes none.
#[derive(Clone, Debug)]
pub(super) struct Key {
    half: DecodingKey,
    kind: Kind,
    /// The one that it is for, where the issuer says so.
    algorithm: Option<Algorithm>,
}

impl KeySet {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let read = json::parse(bytes).map_err(|error| Fault::Set(error.to_string()))?;
        let Some(Value::Array(listed)) = read.get("keys") else {
            return Err(Fault::Set("there is no list \"keys\"".to_owned()));
        };
        if listed.len() > MOST_KEYS {
            return Err(Fault::Many);
        }
        let mut set = Self {
            digest: Some(Sha256Hex::of(bytes)),
            ..Self::default()
        };
        let mut twice = Vec::new();
        for (number, key) in listed.iter().enumerate() {
            match named(key) {
                Ok((name, key)) => {
                    if set.keys.insert(name.clone(), key).is_some() {
                        twice.push(name);
                    }
                }
                Err(reason) => set.left_out.push(format!("keys[{number}]: {reason}")),
            }
        }
        // Nobody could say which of them signed.
        for name in twice {
            if set.keys.remove(&name).is_some() {
                let reason = format!("more than one key has the name (kid) {name:?}");
                set.left_out.push(reason);
            }
        }
        Ok(set)
    }

    /// A set of which one key at least can be used. Where there is none, that is a fault of whoever published it: keys that
    /// are known from before are better.
    pub(super) fn usable(bytes: &[u8]) -> Result<Self, Fault> {
        let mut set = Self::parse(bytes)?;
        if set.len() > 0 {
            return Ok(set);
        }
        if set.left_out.is_empty() {
            set.left_out.push("the list \"keys\" is empty".to_owned());
        }
        Err(Fault::NoKey(set.left_out))
    }

    /// Whether the two were read from the same text.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// Logs what was left out of the keys of an issuer.
    pub(super) fn say_left_out(&self, issuer: &str) {
        for reason in &self.left_out {
            tracing::warn!(issuer, reason, "a key of an issuer is not used");
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Key {
    /// Whether the key is for the algorithm: by its own kind, and by what its issuer says.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        algorithm.kind() == Some(self.kind) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether this key's other half signed the message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.half, algorithm.of_library())
            .unwrap_or(false)
    }
}

/// A key and its name, or why it cannot be used.
fn named(key: &Value) -> Result<(String, Key), String> {
    let Value::Object(members) = key else {
        return Err("it is no object".to_owned());
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures (use)".to_owned());
    }
    let verifies = |listed: &Value| {
        let listed = listed.as_array().into_iter().flatten();
        listed.into_iter().any(|one| one == "verify")
    };
    if members
        .get("key_ops")
        .is_some_and(|listed| !verifies(listed))
    {
        return Err("it is not for checking signatures (key_ops)".to_owned());
    }
    if PRIVATE.iter().any(|half| members.contains_key(*half)) {
        return Err(
            "it is secret, or holds its secret half: whoever reads it can make tokens".to_owned(),
        );
    }
    let (kind, decoding) = match text("kty") {
        Some("RSA") => (Kind::Rsa, rsa(members)?),
        Some("EC") => elliptic(members)?,
        Some("OKP") => (Kind::Ed25519, edwards(members)?),
        _ => return Err("its type (kty) is none of RSA, EC and OKP".to_owned()),
    };
    let algorithm = match members.get("alg") {
        None => None,
        Some(name) => {
            let known = name.as_str().and_then(Algorithm::named);
            Some(known.ok_or("its algorithm (alg) is not supported")?)
        }
    };
    let key = Key {
        half: decoding,
        kind,
        algorithm,
    };
    if algorithm.is_some_and(|only| !key.is_for(only)) {
        return Err("its algorithm (alg) is not one for its type (kty, crv)".to_owned());
    }
    match text("kid") {
        Some(name) if (1..=LONGEST_KID).contains(&name.len()) => Ok((name.to_owned(), key)),
        _ => Err(format!("it has no name (kid) of 1 to {LONGEST_KID} bytes")),
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = members.get(name).and_then(Value::as_str);
    let decoded = text.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    decoded.ok_or_else(|| format!("its {name} is missing, or no base64url"))
}

fn rsa(members: &Map<String, Value>) -> Result<DecodingKey, String> {
    let (modulus, exponent) = (bytes(members, "n")?, bytes(members, "e")?);
    let zeros = |number: &[u8]| number.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros(&modulus)..).unwrap_or_default();
    let first = modulus
        .first()
        .map_or(8, |first| first.leading_zeros() as usize);
    let bits = modulus.len() * 8 - first.min(modulus.len() * 8);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(format!(
            "an RSA key has to have {MIN_BITS} to {MAX_BITS} bits, and it has {bits}"
        ));
    }
    // With an exponent of 1 every message is its own signature.
    let exponent = exponent.get(zeros(&exponent)..).unwrap_or_default();
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !is_odd || exponent == [1] || exponent.len() > LONGEST_EXPONENT {
        return Err("its exponent (e) is not an odd number from 3 to 4294967295".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn elliptic(members: &Map<String, Value>) -> Result<(Kind, DecodingKey), String> {
    let (kind, length) = match members.get("crv").and_then(Value::as_str) {
        Some("P-256") => (Kind::P256, 32),
        Some("P-384") => (Kind::P384, 48),
        _ => return Err("its curve (crv) is none of P-256 and P-384".to_owned()),
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err("its point (x, y) is none of its curve (crv)".to_owned());
    }
    // Without compression, as SEC 1 has it.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    Ok((kind, DecodingKey::from_ec_der(&point)))
}

fn edwards(members: &Map<String, Value>) -> Result<DecodingKey, String> {
    let point = bytes(members, "x")?;
    if members.get("crv").and_then(Value::as_str) != Some("Ed25519") || point.len() != 32 {
        return Err("its curve (crv) is not Ed25519, or its point (x) none of it".to_owned());
    }
    Ok(DecodingKey::from_ed_der(&point))
}

/// The most keys of a set.
pub(super) const MOST_KEYS: usize = 100;

/// Members of secret keys, and of the secret half of others.
const PRIVATE: [&str; 3] = ["d", "k", "p"];

const MIN_BITS: usize = 2048;
/// The longest takes half a millisecond to check a signature.
const MAX_BITS: usize = 8192;
const LONGEST_EXPONENT: usize = 4;

#[cfg(test)]
mod tests;
