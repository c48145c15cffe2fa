//! The catalogue: every endpoint of the token API, what it does and how the gate handles it.
//!
//! It is data. Code asks it questions and adds no conditions of its own, so that adding an endpoint
//! is adding a row. Paths are written as Dynatrace documents them, below the API root; the optional
//! `/e/{environment-id}` in front (Managed and `ActiveGate`) is not repeated in each row.

use std::fmt;

use serde::Serialize;

/// What the caller wants to do to a token; the first word of every policy's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Operation {
    #[serde(rename = "token.create")]
    Create,
    #[serde(rename = "token.delete")]
    Delete,
    #[serde(rename = "token.update")]
    Update,
    #[serde(rename = "token.list")]
    List,
    #[serde(rename = "token.lookup")]
    Lookup,
    #[serde(rename = "token.read")]
    Read,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "token.create",
            Self::Delete => "token.delete",
            Self::Update => "token.update",
            Self::List => "token.list",
            Self::Lookup => "token.lookup",
            Self::Read => "token.read",
        }
    }

    /// Whether a request for this operation carries a JSON body.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the two token APIs an endpoint belongs to. They differ in vocabulary, not in meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    V1,
    V2,
}

impl Api {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// What the gate does with a request for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Read whole, judged, recorded, then forwarded or refused.
    Judge,
    /// Streamed through: it changes no credential.
    Pass,
}

/// One row of the catalogue.
#[derive(Debug)]
pub struct Endpoint {
    pub operation: Operation,
    pub api: Api,
    pub method: &'static str,
    /// Segments below the root (or below `/e/{environment-id}`); `{id}` stands for any one segment.
    pub path: &'static [&'static str],
    pub handling: Handling,
    /// Why it is handled so.
    pub why: &'static str,
}

/// The token endpoints of the Environment API, v1 (deprecated, still live) and v2.
///
/// Source: Dynatrace documentation, "Environment API, Tokens v1" and "Access tokens API v2".
pub const CATALOGUE: &[Endpoint] = &[
    row(
        Operation::List,
        Api::V1,
        "GET",
        V1,
        Handling::Pass,
        "reads metadata only",
    ),
    row(
        Operation::Create,
        Api::V1,
        "POST",
        V1,
        Handling::Judge,
        "mints a token",
    ),
    row(
        Operation::Lookup,
        Api::V1,
        "POST",
        V1_LOOKUP,
        Handling::Pass,
        "reads metadata only",
    ),
    row(
        Operation::Read,
        Api::V1,
        "GET",
        V1_ID,
        Handling::Pass,
        "reads metadata only",
    ),
    row(
        Operation::Update,
        Api::V1,
        "PUT",
        V1_ID,
        Handling::Judge,
        "renames, widens, revokes or revives a token",
    ),
    row(
        Operation::Delete,
        Api::V1,
        "DELETE",
        V1_ID,
        Handling::Judge,
        "removes a token for good",
    ),
    row(
        Operation::List,
        Api::V2,
        "GET",
        V2,
        Handling::Pass,
        "reads metadata only",
    ),
    row(
        Operation::Create,
        Api::V2,
        "POST",
        V2,
        Handling::Judge,
        "mints a token",
    ),
    row(
        Operation::Lookup,
        Api::V2,
        "POST",
        V2_LOOKUP,
        Handling::Pass,
        "reads metadata only; Monaco needs it",
    ),
    row(
        Operation::Read,
        Api::V2,
        "GET",
        V2_ID,
        Handling::Pass,
        "reads metadata only",
    ),
    row(
        Operation::Update,
        Api::V2,
        "PUT",
        V2_ID,
        Handling::Judge,
        "renames, widens, disables or enables a token",
    ),
    row(
        Operation::Delete,
        Api::V2,
        "DELETE",
        V2_ID,
        Handling::Judge,
        "removes a token for good",
    ),
];

const V1: &[&str] = &["api", "v1", "tokens"];
const V1_LOOKUP: &[&str] = &["api", "v1", "tokens", "lookup"];
const V1_ID: &[&str] = &["api", "v1", "tokens", ID];
const V2: &[&str] = &["api", "v2", "apiTokens"];
const V2_LOOKUP: &[&str] = &["api", "v2", "apiTokens", "lookup"];
const V2_ID: &[&str] = &["api", "v2", "apiTokens", ID];

/// The placeholder for the one segment that names a token.
pub const ID: &str = "{id}";

/// Collections of tokens, lower case, as the last fixed segment of a path names them.
///
/// Below any API version these words mean tokens, wherever the path begins: the same API is also
/// served by the platform proxy (`/platform/classic/environment-api/v2/apiTokens`) and, for cluster
/// tokens, by the cluster API (`/api/cluster/v2/tokens`).
pub const COLLECTIONS: &[&str] = &["apitokens", "tokens"];

/// The root of the web UI's internal API. It is undocumented and authenticated by cookie, so nobody
/// can say what it changes.
pub const INTERNAL_ROOT: &str = "rest";

/// The segment that introduces an environment id on Managed clusters and `ActiveGates`.
pub const ENVIRONMENT: &str = "e";

/// What the catalogue says about a method on a path it knows.
#[derive(Debug)]
pub enum Find {
    Endpoint(&'static Endpoint),
    /// The path is known, the method is not; these are.
    Method(Vec<&'static str>),
    /// No row has this path.
    Unknown,
}

/// Looks a method and the segments of a canonical path up.
///
/// A row with a fixed last segment wins over one with `{id}`: `tokens/lookup` names no token.
pub fn find(method: &str, segments: &[&str]) -> Find {
    let fixed = |endpoint: &&Endpoint| endpoint.path == segments;
    let any = |endpoint: &&Endpoint| matches_path(endpoint.path, segments);
    let rows: Vec<&'static Endpoint> = if CATALOGUE.iter().any(|row| fixed(&row)) {
        CATALOGUE.iter().filter(fixed).collect()
    } else {
        CATALOGUE.iter().filter(any).collect()
    };
    match rows.iter().find(|row| row.method == method) {
        Some(row) => Find::Endpoint(row),
        None if rows.is_empty() => Find::Unknown,
        None => Find::Method(rows.iter().map(|row| row.method).collect()),
    }
}

fn matches_path(path: &[&str], segments: &[&str]) -> bool {
    path.len() == segments.len()
        && path
            .iter()
            .zip(segments)
            .all(|(pattern, segment)| *pattern == ID || pattern == segment)
}

const fn row(
    operation: Operation,
    api: Api,
    method: &'static str,
    path: &'static [&'static str],
    handling: Handling,
    why: &'static str,
) -> Endpoint {
    Endpoint {
        operation,
        api,
        method,
        path,
        handling,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_of_a_token_is_judged() {
        for row in CATALOGUE {
            let writes = matches!(
                row.operation,
                Operation::Create | Operation::Update | Operation::Delete
            );
            assert_eq!(writes, row.handling == Handling::Judge, "{row:?}");
        }
    }

    #[test]
    fn lookup_names_no_token() {
        let Find::Endpoint(row) = find("POST", &["api", "v1", "tokens", "lookup"]) else {
            panic!("lookup is on the catalogue");
        };
        assert_eq!(row.operation, Operation::Lookup);
        assert!(matches!(
            find("PUT", &["api", "v1", "tokens", "lookup"]),
            Find::Method(_)
        ));
    }

    #[test]
    fn a_known_path_with_an_unknown_method_names_the_known_ones() {
        let Find::Method(methods) = find("PATCH", &["api", "v2", "apiTokens", "x"]) else {
            panic!("PATCH is on no row");
        };
        assert_eq!(methods, ["GET", "PUT", "DELETE"]);
        assert!(matches!(
            find("PUT", &["api", "v3", "tokens"]),
            Find::Unknown
        ));
    }

    #[test]
    fn each_collection_of_the_catalogue_is_in_the_list_that_look_alikes_are_held_against() {
        for row in CATALOGUE {
            assert!(
                row.path
                    .iter()
                    .any(|segment| COLLECTIONS.contains(&segment.to_lowercase().as_str())),
                "{row:?}"
            );
        }
    }
}
