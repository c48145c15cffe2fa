//! What requests do, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ENDPOINTS, Operation};

impl Operation {
    /// The names that a record can have. `unknown`: the request was refused before anybody knew.
    pub fn recorded() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|it| it.as_str()).chain(["unknown"])
    }

    /// Whether it makes an API token of an environment or a cluster.
    pub fn makes_token(self) -> bool {
        matches!(self, Self::TokenCreate | Self::ClusterTokenCreate)
    }

    /// Whether it removes an API token.
    pub fn removes_token(self) -> bool {
        matches!(self, Self::TokenDelete | Self::ClusterTokenDelete)
    }

    /// Whether it changes or removes one that exists, which can be looked up.
    pub fn changes_token(self) -> bool {
        matches!(
            self,
            Self::ClusterTokenDelete
                | Self::ClusterTokenUpdate
                | Self::TokenDelete
                | Self::TokenUpdate
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The name is on no row.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no operation; `dtgate endpoints` lists them")]
pub struct UnknownOperation(String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        ENDPOINTS
            .iter()
            .map(|row| row.operation)
            .find(|operation| operation.as_str() == text)
            .ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
