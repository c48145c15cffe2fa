//! The catalogue: every endpoint by which a credential can be minted, disclosed, widened, revived or
//! removed, what it does and how the gate handles it.
//!
//! It is data ([`table`]). Code asks it questions and adds no conditions of its own, so that adding an
//! endpoint is adding a row. The configuration can change how an operation is handled; a [`Catalogue`]
//! is the table with those changes, which it can name.

mod operation;
mod table;
mod tree;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use operation::UnknownOperation;
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
    /// Those that write objects of [`SCHEMAS`].
    Schemas,
}

/// One row of the catalogue.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub operation: Operation,
    pub api: Api,
    /// [`ANY`] stands for every method, [`WRITE`] for those that are no reads.
    pub method: &'static str,
    /// Below the root, as Dynatrace documents it. `{id}` stands for a token, `{object}` for a settings object,
    /// another name in braces for any one segment without a `:verb`, and a last `{*}` for all that follows, verbs of
    /// the segment before it included.
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

/// The method of a row that means all but GET, HEAD and OPTIONS.
pub const WRITE: &str = "write";

/// The placeholder for the one segment that names a token.
pub const ID: &str = "{id}";

/// The placeholder for the segment that names a settings object, and with it a schema.
pub const OBJECT: &str = "{object}";

/// The placeholder for all segments that follow.
pub const REST: &str = "{*}";

/// The settings schemas that are judged: one turns off that `ActiveGates` need a token, one switches Dynatrace's own
/// audit log off, one lets dashboards be shared without login, and `patEnabled` of the last revives every personal
/// access token.
pub const SCHEMAS: &[&str] = &[
    "builtin:activegate-token",
    "builtin:audit-log",
    "builtin:dashboards.general",
    "builtin:tokens.token-settings",
];

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
    /// The row is about everything below its path.
    pub owns: bool,
    /// That path is one word: it is recognised at the root only.
    pub anchored: bool,
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
    /// The row that leaves least open wins: `tokens/lookup` names no token. What its rows do not list is for whatever
    /// owns the path if it is a read, or if no guarded row is about just this path.
    pub fn find(&self, method: &str, segments: &[&str]) -> Find<'_> {
        let rows = self.rows.iter().filter(|row| row.matches(segments));
        let mut rows: Vec<&Row> = rows.collect();
        rows.sort_by_key(|row| row.openness());
        let Some(least) = rows.first().map(|row| row.openness()) else {
            return Find::Unknown;
        };
        let says_all = |row: &Row| row.is_guarded() && (!row.owns || row.openness() == least);
        let to_owner = method == "GET" || !rows.iter().any(|row| says_all(row));
        let mut fitting = rows.iter().filter(|row| row.endpoint.is_for(method));
        let found = fitting.find(|row| row.openness() == least || to_owner && row.owns);
        if let Some(row) = found {
            return Find::Row(row);
        }
        rows.retain(|row| row.openness() == least);
        Find::Method(rows.iter().map(|row| row.endpoint.method).collect())
    }

    /// Whether any row is about such a request, however it is handled. The path is as it came, without its query.
    pub fn knows(&self, method: &str, path: &str) -> bool {
        self.row(method, path).is_some()
    }

    /// That row.
    pub fn row(&self, method: &str, path: &str) -> Option<&Row> {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let below = match segments.as_slice() {
            [ENVIRONMENT, _, below @ ..] => below,
            all => all,
        };
        match self.find(method, &documented(below)) {
            Find::Row(row) => Some(row),
            Find::Method(_) | Find::Unknown => None,
        }
    }
}

/// The segments below an environment's prefix as rows have them: what the platform's proxy serves is behind `api`.
pub fn documented<'a>(segments: &[&'a str]) -> Vec<&'a str> {
    match segments.strip_prefix(PROXY) {
        Some(rest) => [&["api"], rest].concat(),
        None => segments.to_vec(),
    }
}

impl Endpoint {
    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        self.method == "GET"
    }

    /// Whether the row is about requests with this method.
    pub fn is_for(&self, method: &str) -> bool {
        match self.method {
            ANY => true,
            WRITE => !matches!(method, "GET" | "HEAD" | "OPTIONS"),
            one => one == method,
        }
    }
}

impl Row {
    fn new(endpoint: &'static Endpoint, handling: Handling) -> Self {
        let segments: Vec<&str> = endpoint.path.split('/').skip(1).collect();
        let owns = segments.last() == Some(&REST);
        Self {
            anchored: owns && segments.len() == 2,
            owns,
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
        let all_fit = |patterns: &[&str], segments: &[&str]| {
            let mut pairs = patterns.iter().zip(segments);
            pairs.all(|(pattern, segment)| fits(pattern, segment))
        };
        if !self.owns {
            return self.segments.len() == segments.len() && all_fit(&self.segments, segments);
        }
        let [before @ .., last, REST] = self.segments.as_slice() else {
            return false;
        };
        let verb = |segment: &str| {
            let rest = segment.strip_prefix(last);
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        let named = segments.get(before.len());
        named.is_some_and(|segment| fits(last, segment) || verb(segment))
            && all_fit(before, segments)
    }

    /// How much a row leaves open: all that follows more than any number of single segments, and the more the
    /// earlier it begins.
    pub fn openness(&self) -> (bool, Reverse<usize>, usize) {
        let open = self.segments.iter().filter(|segment| is_open(segment));
        (self.owns, Reverse(self.segments.len()), open.count())
    }
}

/// Whether a segment is what one of a pattern stands for. `:verbs` are part of no name.
fn fits(pattern: &str, segment: &str) -> bool {
    if !is_open(pattern) {
        return pattern == segment;
    }
    let wanted = pattern.split_once(':').map(|(_, verb)| verb);
    match segment.rsplit_once(':') {
        None => wanted.is_none() && !segment.is_empty(),
        Some((name, verb)) => wanted == Some(verb) && !name.is_empty() && !name.contains(':'),
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

#[cfg(test)]
mod tests;
