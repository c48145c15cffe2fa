//! Why a request is refused before anybody judges it.

use std::time::Duration;

use thiserror::Error;

use super::json::JsonError;
use super::path::PathError;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::change::ChangeError;
use crate::dynatrace::redact::Redacted;
use crate::value::counted;

/// Why a guarded request, or one that looks like it, is refused before it can be judged.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the request body did not arrive whole: {0}")]
    Body(String),
    #[error("methods are written in capitals: {0}")]
    Case(&'static str),
    #[error("the Connection header must not name {0}: that field belongs to the request")]
    Connection(Redacted),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("{0}")]
    Credential(&'static str),
    #[error("the request has no body, and {0} needs one: send JSON")]
    Empty(Operation),
    #[error("the body is encoded; send it as it is, without Content-Encoding")]
    Encoding,
    #[error("the request must name one host: send one Host header that agrees with the URL")]
    Host,
    #[error("the objectId does not show its schema: it is not one that Dynatrace gives out")]
    ObjectId,
    #[error("the body, {0}")]
    Json(#[from] JsonError),
    #[error("the body must be JSON in UTF-8; send the header Content-Type: application/json")]
    MediaType,
    #[error(
        "{0} needs a credential, and the request shows none: send the header Authorization: Api-Token TOKEN"
    )]
    NoCredential(Operation),
    #[error("the header {0:?} would make another request of this one; leave it out")]
    Override(String),
    #[error(transparent)]
    Path(#[from] PathError),
    // Its name is not repeated: people put tokens into queries.
    #[error(
        "the query has a parameter that this operation does not take (api-token is the only one); leave it out"
    )]
    Query,
    #[error(
        "{0} contains the secret of a token, or of the credential that the request shows: leave it out"
    )]
    Secret(Redacted),
    #[error(
        "the token as it is now has a text in it that the request shows as a secret, in Proxy-Authorization or in a field whose name speaks of one: policies could not see it; leave that field out"
    )]
    Shown,
    #[error(
        "the certificate or the JSON Web Token that proves who you are has a text in it that the request shows as a secret, in a field whose name speaks of one: policies could not see it; leave that field out"
    )]
    ShownProof,
    #[error("{0} takes no body; send the request without one")]
    Superfluous(Operation),
    #[error("the request body arrived too slowly")]
    Stalled,
    #[error("TRACE is not passed on: its answer would repeat the request, credentials included")]
    Trace,
    #[error("the request body did not arrive within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the request body is longer than {}", counted(*.0 as u64, "byte"))]
    TooLarge(usize),
}

/// Why the head of a request is refused, and what it would have been, where method and path say that.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct HeadError {
    pub error: ReadError,
    pub operation: Option<Operation>,
}

impl<E: Into<ReadError>> From<E> for HeadError {
    fn from(error: E) -> Self {
        let error = error.into();
        Self {
            operation: error.operation(),
            error,
        }
    }
}

impl ReadError {
    /// The operation that was refused, where it was refused whatever its body says.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::NoCredential(operation) | Self::Path(PathError::Refused { operation, .. }) => {
                Some(*operation)
            }
            _ => None,
        }
    }

    /// The member of the body that is to blame, if it is one.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Change(error) => Some(&error.path),
            Self::Json(error) => error.member.as_deref(),
            _ => None,
        }
    }
}
