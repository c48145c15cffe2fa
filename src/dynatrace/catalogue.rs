//! The catalogue: every endpoint by which a credential can be minted, disclosed, widened, revived or
//! removed, what it does and how the gate handles it.
//!
//! It is data ([`table`]). Code asks it questions and adds no conditions of its own, so that adding an
//! endpoint is adding a row. The configuration can change how an operation is handled; a [`Catalogue`]
//! is the table with those changes, which it can name.

mod table;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use table::{ENDPOINTS, Operation};
pub use tree::{Edge, Tree};

/// The API that an endpoint belongs to, as policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Environment API v1.
    V1,
    /// Environment API v2.
    V2,
    /// Configuration API v1.
    ConfigV1,
    /// Cluster API v1 (Managed).
    ClusterV1,
    /// Cluster API v2 (Managed).
    ClusterV2,
    /// What is below `/platform/` and has no classic form.
    Platform,
    /// Belongs to another host than an environment's.
    Account,
    /// The web UI's own.
    Internal,
}

/// What the gate does with a request for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// Read whole, judged, recorded, then forwarded or refused.
    Judge,
    /// Streamed through, like everything that is on no list.
    Pass,
    /// Recorded and refused: the gate cannot see what the request would do.
    Refuse,
}

/// The vocabulary of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// `revoked`, `expiresIn`.
    V1,
    /// `enabled`, `expirationDate`, `personalAccessToken`.
    V2,
}

/// What a request's body is to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is none.
    Nothing,
    /// A change of a token; a create needs name and scopes.
    Token(Words),
    /// An object that may have a name and an expiration among other members.
    Named(Words),
    /// Any JSON object.
    Object,
    /// Settings objects: an array of them, or one.
    Settings,
    /// Never read: it holds a secret, or it is not JSON. Such an operation cannot be judged.
    Opaque,
}

/// Which requests of an endpoint are meant; the others are open traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Always,
    /// Those with this query parameter, unless it says `false`.
    Query(&'static str),
    /// Those that write objects of [`TOKEN_SCHEMAS`].
    TokenSchemas,
}

/// One row of the catalogue.
#[derive(Debug)]
pub struct Endpoint {
    pub operation: Operation,
    pub api: Api,
    /// [`ANY`] stands for every method.
    pub method: &'static str,
    /// Below the root, as Dynatrace documents it. `{id}` stands for a token, another name in braces for
    /// any one segment, and a last `{*}` for all that follows.
    ///
    /// The optional `/e/{environment-id}` in front (Managed and `ActiveGate`) is not repeated in each row,
    /// nor that the platform proxy serves `/api/…` as `/platform/classic/environment-api/…`.
    pub path: &'static str,
    pub handling: Handling,
    pub content: Content,
    pub only: Only,
    /// Whether query parameters mean something here, other than the one that is a credential.
    pub query: bool,
    /// Why it is handled so.
    pub why: &'static str,
}

/// The method of a row that means all of them.
pub const ANY: &str = "*";

/// The placeholder for the one segment that names a token.
pub const ID: &str = "{id}";

/// The placeholder for all segments that follow.
pub const REST: &str = "{*}";

/// The settings schemas that govern tokens: `patEnabled` revives every personal access token, and the
/// other one turns off that `ActiveGates` need a token.
pub const TOKEN_SCHEMAS: &[&str] = &["builtin:activegate-token", "builtin:tokens.token-settings"];

/// The segment that introduces an environment id on Managed clusters and `ActiveGates`.
pub const ENVIRONMENT: &str = "e";

/// Where the platform proxy serves what `/api` is on the classic host.
pub const PROXY: &[&str] = &["platform", "classic", "environment-api"];

/// How the configuration wants operations handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Overrides(BTreeMap<Operation, Handling>);

/// Why an operation cannot be handled as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    #[error(
        "{0} cannot be judged: its body holds a secret or is not JSON, and is never read; it can be passed or refused"
    )]
    Opaque(Operation),
}

/// The table as it is in force.
#[derive(Debug)]
pub struct Catalogue {
    rows: Vec<Row>,
    tree: Tree,
    overrides: Overrides,
}

/// An endpoint, and how it is handled in force.
#[derive(Debug)]
pub struct Row {
    pub endpoint: &'static Endpoint,
    pub handling: Handling,
    pub segments: Vec<&'static str>,
    /// The row is about everything below a root: it is recognised at the root only.
    pub anchored: bool,
    /// A word of it speaks of tokens.
    pub tokens: bool,
}

/// What the catalogue says about a method on a path it knows.
#[derive(Debug)]
pub enum Find<'a> {
    Row(&'a Row),
    /// The path is known, the method is not; these are.
    Method(Vec<&'static str>),
    /// No row has this path.
    Unknown,
}

impl Catalogue {
    pub fn new(overrides: &Overrides) -> Result<Self, OverrideError> {
        let opaque = ENDPOINTS.iter().find(|endpoint| {
            endpoint.content == Content::Opaque
                && overrides.0.get(&endpoint.operation) == Some(&Handling::Judge)
        });
        if let Some(endpoint) = opaque {
            return Err(OverrideError::Opaque(endpoint.operation));
        }
        let handling = |endpoint: &Endpoint| {
            let wanted = overrides.0.get(&endpoint.operation);
            *wanted.unwrap_or(&endpoint.handling)
        };
        let rows: Vec<Row> = ENDPOINTS
            .iter()
            .map(|endpoint| Row::new(endpoint, handling(endpoint)))
            .collect();
        Ok(Self {
            tree: Tree::new(&rows),
            rows,
            overrides: overrides.clone(),
        })
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows as readers look for them who are not sure how a path is meant.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The operations that the configuration handles otherwise than the table, with both handlings.
    pub fn overridden(&self) -> impl Iterator<Item = (Operation, Handling, Handling)> {
        self.overrides.0.iter().filter_map(|(operation, wanted)| {
            let row = ENDPOINTS.iter().find(|row| row.operation == *operation)?;
            (row.handling != *wanted).then_some((*operation, row.handling, *wanted))
        })
    }

    /// Looks a method and the segments of a canonical path up.
    ///
    /// The row that leaves least open wins: `tokens/lookup` names no token.
    pub fn find(&self, method: &str, segments: &[&str]) -> Find<'_> {
        let rows = self.rows.iter().filter(|row| row.matches(segments));
        let mut rows: Vec<&Row> = rows.collect();
        let Some(least) = rows.iter().map(|row| row.openness()).min() else {
            return Find::Unknown;
        };
        rows.retain(|row| row.openness() == least);
        let fits = |row: &&&Row| row.endpoint.method == ANY || row.endpoint.method == method;
        match rows.iter().find(fits) {
            Some(row) => Find::Row(row),
            None => Find::Method(rows.iter().map(|row| row.endpoint.method).collect()),
        }
    }
}

impl Row {
    fn new(endpoint: &'static Endpoint, handling: Handling) -> Self {
        let segments: Vec<&str> = endpoint.path.split('/').skip(1).collect();
        Self {
            tokens: endpoint.path.to_lowercase().contains("token"),
            anchored: segments.last() == Some(&REST),
            endpoint,
            handling,
            segments,
        }
    }

    /// Whether requests that could be for this endpoint must not slip through.
    pub fn is_guarded(&self) -> bool {
        self.handling != Handling::Pass
    }

    fn matches(&self, segments: &[&str]) -> bool {
        let fits = |(pattern, segment): (&&str, &&str)| is_open(pattern) || pattern == segment;
        match self.segments.split_last() {
            Some((&REST, before)) => {
                segments.len() >= before.len() && before.iter().zip(segments).all(fits)
            }
            _ => {
                self.segments.len() == segments.len()
                    && self.segments.iter().zip(segments).all(fits)
            }
        }
    }

    /// How much a row leaves open: a rest more than any number of single segments.
    fn openness(&self) -> usize {
        let open = |segment: &&str| match *segment {
            REST => 100,
            other => usize::from(is_open(other)),
        };
        self.segments.iter().map(open).sum()
    }
}

/// Whether a lower-case segment is the version of an API.
pub fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a segment of a pattern stands for any other.
pub fn is_open(segment: &str) -> bool {
    segment.starts_with('{')
}

impl Api {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::ConfigV1 => "config-v1",
            Self::ClusterV1 => "cluster-v1",
            Self::ClusterV2 => "cluster-v2",
            Self::Platform => "platform",
            Self::Account => "account",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Judge => "judge",
            Self::Pass => "pass",
            Self::Refuse => "refuse",
        })
    }
}

impl Content {
    /// Whether it is JSON that the gate reads.
    pub fn is_read(self) -> bool {
        !matches!(self, Self::Nothing | Self::Opaque)
    }
}

impl Operation {
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

#[cfg(test)]
mod tests;
