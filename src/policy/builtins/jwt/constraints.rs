//! What `io.jwt.decode_verify` asks of a token.

use regorus::Value;

use super::keys::{self, Named};
use super::signature::{Algorithm, Key};
use super::token::{Header, member, text};

pub(super) struct Constraints {
    keys: Vec<Named>,
    /// Empty where it may be any.
    algorithm: String,
    /// The same.
    issuer: String,
    audience: String,
    /// In seconds.
    time: f64,
}

impl Constraints {
    pub(super) fn read(constraints: &Value, now_ns: i64) -> Result<Self, String> {
        const KNOWN: [&str; 6] = ["alg", "aud", "cert", "iss", "secret", "time"];
        let members = constraints
            .as_object()
            .ok()
            .ok_or("operand 2 must be object")?;
        let is_known = |name: &Value| {
            name.as_string()
                .is_ok_and(|name| KNOWN.contains(&name.as_ref()))
        };
        if !members.keys().all(is_known) {
            return Err("unknown token validation constraint".to_owned());
        }
        let now = Value::from(now_ns);
        let time = member(constraints, "time").unwrap_or(&now);
        // No other kind is written as one.
        let time = time.to_string().parse::<f64>().ok();
        let time = time.filter(|time| time.is_finite() && *time >= 0.0);
        Ok(Self {
            keys: keys(constraints)?,
            algorithm: text(constraints, "alg")?,
            issuer: text(constraints, "iss")?,
            audience: text(constraints, "aud")?,
            time: time.ok_or("token time constraint: must be a number, and not negative")? / 1e9,
        })
    }

    /// Whether a token may be signed as its header says.
    pub(super) fn may_be(&self, header: &Header) -> bool {
        self.algorithm.is_empty() || self.algorithm == header.algorithm
    }

    /// Whether a token with this header is signed by one of the keys.
    pub(super) fn is_signed(&self, header: &Header, message: &[u8], signature: &[u8]) -> bool {
        let Some(algorithm) = Algorithm::named(&header.algorithm) else {
            return false;
        };
        let verifies = |key: &Named| {
            key.key.fits(signature) && key.key.verifies(algorithm, message, signature)
        };
        if let Some(key) = keys::by_id(&self.keys, &header.key) {
            return verifies(key);
        }
        let may_be = |key: &&Named| key.algorithm.is_empty() || key.algorithm == header.algorithm;
        self.keys.iter().filter(may_be).any(verifies)
    }

    /// Whether the token is meant for who asks, and now.
    pub(super) fn are_met(&self, payload: &Value) -> Result<bool, String> {
        if !self.issuer.is_empty() && text(payload, "iss")? != self.issuer {
            return Ok(false);
        }
        let is_audience = |it: &Value| it.as_string().is_ok_and(|it| it.as_ref() == self.audience);
        let is_meant = match member(payload, "aud") {
            None => self.audience.is_empty(),
            Some(Value::Array(all)) => all.iter().any(is_audience),
            Some(one) => is_audience(one),
        };
        if !is_meant {
            return Ok(false);
        }
        let now = Value::from(self.time);
        let number = |name: &str| match member(payload, name) {
            Some(Value::Number(_)) | None => Ok(member(payload, name)),
            Some(_) => Err(format!("{name} value must be a number")),
        };
        if number("exp")?.is_some_and(|expires| now >= *expires) {
            return Ok(false);
        }
        Ok(number("nbf")?.is_none_or(|begins| now >= *begins))
    }
}

fn keys(constraints: &Value) -> Result<Vec<Named>, String> {
    let secret = text(constraints, "secret")?;
    let certificate = member(constraints, "cert").map(|_| text(constraints, "cert"));
    match (certificate.transpose()?, secret.is_empty()) {
        (Some(_), false) => Err("duplicate key constraints".to_owned()),
        (None, true) => Err("no key constraint".to_owned()),
        (Some(certificate), true) => keys::read(&certificate),
        (None, false) => Ok(vec![Named {
            id: String::new(),
            algorithm: String::new(),
            key: Key::Secret(secret.into_bytes()),
        }]),
    }
}
