//! Canonical paths, and the recognition of what only looks like one.
//!
//! A path is read twice. Strictly: does it spell an endpoint of the catalogue in the one way that every
//! server reads alike? Then it is that endpoint. Leniently: could any server, decoding again and
//! again, folding case, cutting `;params`, resolving dots, turning backslashes, arrive at the token API, or below
//! what the catalogue guards? Then it is refused, because nobody can say what it would do. What could change something is refused as soon
//! as it can be read in more than one way, wherever that leads: no client writes so. All other paths are open
//! traffic and go upstream byte for byte.

mod lenient;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::reading::Work;
pub use super::reading::{Strange, TooMuch};
use crate::dynatrace::catalogue::{
    Catalogue, ENVIRONMENT, Endpoint, Find, Handling, ID, OBJECT, Only, Operation, Row, documented,
};
use crate::dynatrace::token::{HashKey, IdError, TokenReference, TokenSecret};
pub(super) use lenient::{Kind, Likeness};
use lenient::{MAX_PATH, Suspect};

/// What a method and a path are to the gate.
#[derive(Debug)]
pub enum Target {
    Guarded(CanonicalPath),
    Open,
}

/// The path of a guarded operation, in its one spelling.
#[derive(Clone, Debug)]
pub struct CanonicalPath {
    endpoint: &'static Endpoint,
    handling: Handling,
    environment: Option<String>,
    /// Below `/e/{environment-id}`; the token's place is empty.
    segments: Vec<String>,
    token: Option<TokenReference>,
}

/// Why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    #[error("the path can be read in more than one way ({0}); write it as Dynatrace documents it")]
    Ambiguous(Strange),
    #[error("the path does not end in a token id: {0}")]
    Id(#[source] IdError),
    #[error("the path could be read as that of {0}; write it as Dynatrace documents it")]
    LookAlike(Operation),
    #[error("the path is longer than {MAX_PATH} bytes")]
    Long,
    #[error("this path takes only {}", .0.join(", "))]
    Method(Vec<&'static str>),
    #[error("{operation} is not passed on: {why}")]
    Refused {
        operation: Operation,
        why: &'static str,
    },
    #[error(
        "the path is about tokens, and dtgate does not know it; use one that Dynatrace documents"
    )]
    Unknown,
    #[error(transparent)]
    Work(#[from] TooMuch),
}

/// Reads a method and the path of a request target (without its query).
pub fn classify(
    method: &str,
    path: &str,
    catalogue: &Catalogue,
    key: &HashKey,
) -> Result<Target, PathError> {
    let likeness = Likeness::of(path, catalogue, &mut Work::default())?;
    likeness.classify(method, path, catalogue, key)
}

impl Likeness {
    /// What a method is to the gate on the path that this is the likeness of.
    pub(super) fn classify(
        &self,
        method: &str,
        path: &str,
        catalogue: &Catalogue,
        key: &HashKey,
    ) -> Result<Target, PathError> {
        let kind = Kind::of(method);
        if path.len() > MAX_PATH {
            return Err(PathError::Long);
        }
        if let Some(strange) = self.strange.filter(|_| kind == Kind::Write || self.hidden) {
            return Err(PathError::Ambiguous(strange));
        }
        let Some(suspect) = self.suspect(kind, catalogue) else {
            return Ok(Target::Open);
        };
        match strict(method, path, catalogue, key)? {
            // What passes everything below a path says nothing of tokens there.
            Some(Found::Below(_)) if self.names_tokens(kind) => Err(PathError::Unknown),
            Some(Found::Below(row) | Found::Open(row)) => self.refuse_closer(kind, row, catalogue),
            Some(Found::Guarded(path)) => Ok(Target::Guarded(path)),
            None if kind == Kind::Get && self.is_known_read(path, catalogue) => Ok(Target::Open),
            None => Err(match suspect {
                Suspect::Row(operation) => PathError::LookAlike(operation),
                Suspect::Token => PathError::Unknown,
            }),
        }
    }

    /// What a row passes is open, unless a server that folds case could take it for what another row says more
    /// closely: `credentials/Details` is no name of a credential then.
    fn refuse_closer(
        &self,
        kind: Kind,
        passing: &Row,
        catalogue: &Catalogue,
    ) -> Result<Target, PathError> {
        match self.closer(kind, passing, catalogue) {
            Some(operation) => Err(PathError::LookAlike(operation)),
            None => Ok(Target::Open),
        }
    }

    /// Whether a path that has escapes in it is that of a read that passes. All servers read it alike, and nothing
    /// that is known to disclose could be meant.
    fn is_known_read(&self, path: &str, catalogue: &Catalogue) -> bool {
        if self.strange.is_some() || !self.is_below_only(Kind::Get, catalogue) {
            return false;
        }
        let decoded: Vec<_> = segments(path)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
            .collect();
        let decoded: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let (_, below) = environment(&decoded);
        match catalogue.find("GET", &documented(below)) {
            Find::Row(row) => !row.is_guarded() && !row.owns,
            Find::Method(_) | Find::Unknown => false,
        }
    }
}

impl CanonicalPath {
    pub fn endpoint(&self) -> &'static Endpoint {
        self.endpoint
    }

    /// The `{environment-id}` of `/e/{environment-id}`.
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    pub fn token(&self) -> Option<&TokenReference> {
        self.token.as_ref()
    }

    /// An error when the catalogue refuses the operation as a whole.
    pub(super) fn accept(&self) -> Result<(), PathError> {
        match self.handling {
            Handling::Refuse => Err(refused(self.endpoint)),
            Handling::Judge | Handling::Pass => Ok(()),
        }
    }

    /// The id of the settings object that the path names, if it names one.
    pub fn object(&self) -> Option<&str> {
        // From the end: the proxy's root is longer than `api`.
        let patterns = self.endpoint.path.rsplit('/');
        let mut pairs = patterns.zip(self.segments.iter().rev());
        pairs.find_map(|(pattern, segment)| {
            let verb = pattern.strip_prefix(OBJECT)?;
            segment.strip_suffix(verb)
        })
    }

    /// What goes upstream. It may hold a whole secret: Dynatrace lets one delete a token by it.
    pub fn raw(&self) -> TokenSecret {
        TokenSecret::new(self.with_id(|token| token.raw().expose()))
    }

    /// The same without `/e/{environment-id}`.
    pub fn raw_below(&self) -> TokenSecret {
        TokenSecret::new(self.below(|token| token.raw().expose()))
    }

    /// The path up to the token's id, with the environment's prefix or without.
    pub fn collection(&self, below: bool) -> String {
        let path = if below {
            self.below(|_| "")
        } else {
            self.with_id(|_| "")
        };
        path.trim_end_matches('/').to_owned()
    }

    /// The same with the token's public id, for people, policies and the journal. Other segments are the client's.
    pub fn public(&self) -> String {
        self.with_id(|token| token.id().as_str())
    }

    fn with_id<'a>(&'a self, id: impl Fn(&'a TokenReference) -> &'a str) -> String {
        let mut path = String::new();
        if let Some(environment) = &self.environment {
            path.push('/');
            path.push_str(ENVIRONMENT);
            path.push('/');
            path.push_str(environment);
        }
        path + &self.below(id)
    }

    fn below<'a>(&'a self, id: impl Fn(&'a TokenReference) -> &'a str) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match &self.token {
                Some(token) if segment.is_empty() => id(token),
                _ => segment,
            });
        }
        path
    }
}

fn refused(endpoint: &Endpoint) -> PathError {
    PathError::Refused {
        operation: endpoint.operation,
        why: endpoint.why,
    }
}

/// What the strict reading finds.
enum Found<'a> {
    Guarded(CanonicalPath),
    /// A row passes it.
    Open(&'a Row),
    /// A row passes it with everything else below some path.
    Below(&'a Row),
}

/// The segments of a path. Dynatrace's own examples have a trailing slash and a double one; both can mean only one
/// thing.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The environment's prefix, and what is below it.
fn environment<'a, 'p>(segments: &'p [&'a str]) -> (Option<&'a str>, &'p [&'a str]) {
    match segments {
        [ENVIRONMENT, environment, below @ ..] if is_environment(environment) => {
            (Some(environment), below)
        }
        below => (None, below),
    }
}

/// The strict reading. `None`: this path is no endpoint of the catalogue.
fn strict<'a>(
    method: &str,
    path: &str,
    catalogue: &'a Catalogue,
    key: &HashKey,
) -> Result<Option<Found<'a>>, PathError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte);
    if !path.bytes().all(plain) {
        return Ok(None);
    }
    let segments: Vec<&str> = segments(path).collect();
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return Ok(None);
    }
    let (environment, below) = environment(&segments);
    let row = match catalogue.find(method, &documented(below)) {
        Find::Unknown => return Ok(None),
        Find::Method(methods) => return Err(PathError::Method(methods)),
        Find::Row(row) => row,
    };
    match row.handling {
        Handling::Pass if row.owns => return Ok(Some(Found::Below(row))),
        Handling::Pass => return Ok(Some(Found::Open(row))),
        // Whether the row means this request is not known yet.
        Handling::Refuse if row.endpoint.only == Only::Always => {
            return Err(refused(row.endpoint));
        }
        Handling::Refuse | Handling::Judge => {}
    }
    let mut canonical: Vec<String> = below.iter().map(|segment| (*segment).to_owned()).collect();
    let mut token = None;
    // The proxy's root is longer than `api`, which makes no difference at the end.
    if row.segments.last() == Some(&ID)
        && let Some(last) = canonical.last_mut()
    {
        token = Some(TokenReference::parse(last, key).map_err(PathError::Id)?);
        last.clear();
    }
    Ok(Some(Found::Guarded(CanonicalPath {
        endpoint: row.endpoint,
        handling: row.handling,
        environment: environment.map(str::to_owned),
        segments: canonical,
        token,
    })))
}

/// "has to match `[a-zA-Z0-9_-]{1,70}`" (cluster API, create environment).
pub fn is_environment(segment: &str) -> bool {
    (1..=70).contains(&segment.len())
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
