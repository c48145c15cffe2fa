//! The algorithms that tokens may be signed with: those whose keys are in two halves, so that who can check a token
//! cannot make one.

use std::fmt;

use jsonwebtoken::Algorithm as Signed;
use serde::Deserialize;

/// What a key is: its type, and its curve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Ed25519,
    P256,
    P384,
    Rsa,
}

/// A name of RFC 7518 or RFC 8037.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Algorithm(Signed);

impl Algorithm {
    /// Each that is supported.
    pub(super) fn all() -> Vec<Self> {
        SUPPORTED.iter().map(|(_, one, _)| Self(*one)).collect()
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let mut supported = SUPPORTED.iter();
        let (_, found, _) = supported.find(|(known, _, _)| *known == name)?;
        Some(Self(*found))
    }

    /// What a key has to be to be for it.
    pub(super) fn kind(self) -> Option<Kind> {
        let mut supported = SUPPORTED.iter();
        let (_, _, kind) = supported.find(|(_, known, _)| *known == self.0)?;
        Some(*kind)
    }

    pub(super) fn of_library(self) -> Signed {
        self.0
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| {
            let reason = match name.as_str() {
                "none" => "anybody can write a token that is not signed",
                "HS256" | "HS384" | "HS512" => {
                    "who can check a token that is signed with a shared secret can make one, too"
                }
                _ => "it is not supported",
            };
            let names: Vec<&str> = SUPPORTED.iter().map(|(name, _, _)| *name).collect();
            format!(
                "algorithm {name:?}: {reason}; write one of {}",
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut supported = SUPPORTED.iter();
        let name = supported.find(|(_, known, _)| *known == self.0);
        f.write_str(name.map_or("", |(name, _, _)| name))
    }
}

const SUPPORTED: [(&str, Signed, Kind); 9] = [
    ("ES256", Signed::ES256, Kind::P256),
    ("ES384", Signed::ES384, Kind::P384),
    ("EdDSA", Signed::EdDSA, Kind::Ed25519),
    ("PS256", Signed::PS256, Kind::Rsa),
    ("PS384", Signed::PS384, Kind::Rsa),
    ("PS512", Signed::PS512, Kind::Rsa),
    ("RS256", Signed::RS256, Kind::Rsa),
    ("RS384", Signed::RS384, Kind::Rsa),
    ("RS512", Signed::RS512, Kind::Rsa),
];
