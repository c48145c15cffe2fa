//! Which values of a record may have pseudonyms, and where they stand.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A field of the input document, as the configuration names it: `caller.address`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Field {
    name: String,
    /// Where its value stands: steps, `*` for every element.
    places: Vec<Vec<String>>,
}

/// A field that can have none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot have pseudonyms: one of {known}, or caller.jwt.claims.NAME can",
    known = KNOWN.map(|(name, _)| name).join(", ")
)]
pub struct FieldError(String);

/// Fields, and where their values stand beside the input.
const KNOWN: [(&str, &[&str]); 13] = [
    (
        "caller.address",
        &[
            "requested_by",
            "callers/*/requested_by",
            "input/attributes/source/address/socketAddress/address",
        ],
    ),
    (CALLER_ID, &["caller/id", "callers/*/caller/id"]),
    (
        "caller.certificate.subject",
        &[
            "caller/certificate/subject",
            "callers/*/caller/certificate/subject",
        ],
    ),
    ("caller.certificate.serial", &[]),
    ("caller.certificate.dns", &[]),
    // The SPIFFE id is one of them.
    (
        "caller.certificate.uris",
        &[
            "input/caller/certificate/spiffe_id",
            "caller/certificate/spiffe_id",
            "callers/*/caller/certificate/spiffe_id",
        ],
    ),
    ("caller.certificate.emails", &[]),
    ("caller.certificate.addresses", &[]),
    (
        "caller.certificate.spiffe_id",
        &[
            "caller/certificate/spiffe_id",
            "callers/*/caller/certificate/spiffe_id",
        ],
    ),
    (
        "caller.certificate.fingerprint",
        &[
            "caller/certificate/fingerprint",
            "callers/*/caller/certificate/fingerprint",
        ],
    ),
    (
        "caller.jwt.subject",
        &["caller/jwt/subject", "callers/*/caller/jwt/subject"],
    ),
    ("caller.jwt.id", &[]),
    ("token.current.owner", &[]),
];

const CLAIMS: &str = "caller.jwt.claims.";
const CALLER_ID: &str = "caller.token.id";

impl TryFrom<String> for Field {
    type Error = FieldError;

    fn try_from(name: String) -> Result<Self, FieldError> {
        let steps = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let claim = name.strip_prefix(CLAIMS).filter(|claim| !claim.is_empty());
        let mut places = match claim {
            // A claim's name may have dots.
            Some(claim) => {
                let mut place = steps("input/caller/jwt/claims");
                place.push(claim.to_owned());
                vec![place]
            }
            None => vec![steps(&format!("input/{}", name.replace('.', "/")))],
        };
        if claim.is_none() {
            let known = KNOWN.iter().find(|(known, _)| *known == name);
            let Some((_, more)) = known else {
                return Err(FieldError(name));
            };
            places.extend(more.iter().map(|path| steps(path)));
        }
        Ok(Self { name, places })
    }
}

impl Field {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claim of a JSON Web Token that it is.
    pub fn claim(&self) -> Option<&str> {
        self.name.strip_prefix(CLAIMS)
    }

    /// Whether its values are public ids of tokens.
    pub(super) fn is_id(&self) -> bool {
        self.name == CALLER_ID
    }

    /// Its values in a record: texts and numbers, and all those of a list or an object.
    pub(super) fn values(&self, event: &Map<String, Value>, see: &mut dyn FnMut(&str)) {
        for place in &self.places {
            if let Some((first, rest)) = place.split_first()
                && let Some(value) = event.get(first)
            {
                follow(value, rest, see);
            }
        }
    }
}

fn follow(value: &Value, steps: &[String], see: &mut dyn FnMut(&str)) {
    match (steps.split_first(), value) {
        (None, value) => all(value, see),
        (Some((step, rest)), Value::Array(elements)) if step == "*" => {
            for element in elements {
                follow(element, rest, see);
            }
        }
        (Some((step, rest)), Value::Object(members)) => {
            if let Some(value) = members.get(step) {
                follow(value, rest, see);
            }
        }
        _ => {}
    }
}

fn all(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(elements) => elements.iter().for_each(|value| all(value, see)),
        Value::Object(members) => members.values().for_each(|value| all(value, see)),
        // A claim may be the number of a person.
        Value::Number(number) => see(&number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}
