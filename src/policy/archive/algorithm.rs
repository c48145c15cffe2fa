//! How bundles are signed: the algorithms that OPA has for it.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::policy::builtins::jwt::signature::{Algorithm as Verified, Key};

/// By its name in the header of a JSON Web Signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Algorithm(&'static str);

/// What its key is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    Elliptic,
    Rsa,
    /// Who can verify can sign, too.
    Secret,
}

impl Default for Algorithm {
    fn default() -> Self {
        Self("RS256")
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = ALL.into_iter().find(|known| **known == name);
        known
            .map(Self)
            .ok_or_else(|| format!("{name:?} signs no bundle: write one of {}", ALL.join(", ")))
    }
}

impl std::str::FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::try_from(name.to_owned())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        self.0
    }

    pub(super) fn family(self) -> Family {
        match self.0.get(..2) {
            Some("ES") => Family::Elliptic,
            Some("HS") => Family::Secret,
            _ => Family::Rsa,
        }
    }

    /// Whether a key is one for it.
    pub(super) fn fits(self, key: &Key) -> bool {
        match (self.0, key) {
            ("ES256", Key::Elliptic(curve, _)) => curve.name() == "P-256",
            ("ES384", Key::Elliptic(curve, _)) => curve.name() == "P-384",
            ("ES512", Key::Elliptic(curve, _)) => curve.name() == "P-521",
            (_, Key::Rsa(_)) => self.family() == Family::Rsa,
            (_, Key::Secret(_)) => self.family() == Family::Secret,
            _ => false,
        }
    }

    pub(super) fn verified(self) -> Option<Verified> {
        Verified::named(self.0)
    }
}

const ALL: [&str; 12] = [
    "ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "PS256", "PS384", "PS512", "RS256",
    "RS384", "RS512",
];
