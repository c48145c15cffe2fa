//! Why a JSON Web Token is not believed. No text of the token is in it.

use std::fmt;

use super::config::Name;
use crate::telemetry::Limit;

/// A token of the gate's that is not believed, and of which issuer it says that it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Error {
    pub issuer: Option<Name>,
    pub flaw: Flaw,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Flaw {
    #[error("its algorithm is none of those that the gate takes from this issuer")]
    Algorithm,
    #[error("it is for somebody else: none of its audiences (aud) is the gate's")]
    Audience,
    #[error(
        "it is not checked: too many tokens wait for their signatures to be checked; try again"
    )]
    Busy,
    #[error("its claim {0} has to be {1}")]
    Claim(&'static str, &'static str),
    #[error("its claims are no JSON object that can be read in only one way")]
    Claims,
    #[error("it has expired (exp): get a new one")]
    Expired,
    #[error("its head has {0}, which the gate does not take")]
    Extension(&'static str),
    #[error("it was issued in the future (iat): compare the clocks of issuer and gate")]
    Future,
    #[error("its head is no JSON object that can be read in only one way")]
    Head,
    #[error("its issuer (iss) is none that the gate knows")]
    Issuer,
    #[error(
        "its issuer has no key of the name that it gives (kid): get a new token, or compare its kid with the issuer's keys"
    )]
    Key,
    #[error("its algorithm is not that of the key which it names (kid)")]
    KeyType,
    #[error("it does not name its key (kid)")]
    Kid,
    #[error("its claims are nested too deep, or too many")]
    Large,
    #[error(
        "it is good for longer (iat to exp) than the gate takes from this issuer, or does not say since when (iat): have it \
         issued for a shorter time"
    )]
    Lifetime,
    #[error(
        "its claim {0} is beyond the year 9999: it has to be in seconds since 1970, and this looks like milliseconds"
    )]
    Late(&'static str),
    #[error("it is longer than 16 KiB")]
    Long,
    #[error(
        "the header field is no token: write the token, or Bearer and the token, and nothing else"
    )]
    Malformed,
    #[error("it has no claim {0}: the gate takes no token without it")]
    Missing(&'static str),
    #[error("it is not valid yet (nbf): compare the clocks of issuer and gate")]
    NotYet,
    #[error("it stands in another header field than tokens of this issuer have to")]
    Place,
    #[error(
        "in Authorization it has to stand behind Bearer and alone: write `Authorization: Bearer TOKEN`, and nothing else"
    )]
    Scheme,
    #[error(
        "it is not the only one: the request shows it twice, or another token or credential in a field for one; send one \
         token, in one header field"
    )]
    Several,
    #[error("its signature is wrong")]
    Signature,
    #[error(
        "it does not say whose it is: its claim sub, or the one that identity.jwt.NAME.subject names, has to be a text"
    )]
    Subject,
    #[error("it is a token of another kind (typ)")]
    Type,
    #[error("it cannot be checked now: the keys of its issuer could not be fetched; try again")]
    Unavailable,
    #[error(
        "it cannot be checked now: too many requests wait for the keys of its issuer; try again"
    )]
    Waiting,
}

impl Flaw {
    /// Its name in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::Busy => "busy",
            Self::Claim(..) | Self::Late(_) | Self::Missing(_) => "claim",
            Self::Claims => "claims",
            Self::Expired => "expired",
            Self::Extension(_) => "extension",
            Self::Future => "future",
            Self::Head => "head",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::KeyType => "key-type",
            Self::Kid => "kid",
            Self::Large => "large",
            Self::Lifetime => "lifetime",
            Self::Long => "long",
            Self::Malformed | Self::Scheme => "malformed",
            Self::NotYet => "not-yet",
            Self::Place => "place",
            Self::Several => "several",
            Self::Signature => "signature",
            Self::Subject => "subject",
            Self::Type => "type",
            Self::Unavailable => "unavailable",
            Self::Waiting => "waiting",
        }
    }

    /// Whether it is not the token's fault: the same one may be good in a moment. 503, and 401 for all others.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::Waiting)
    }

    /// The limit that was reached, if it was one of the token's.
    pub(super) fn limit(self) -> Option<Limit> {
        match self {
            Self::Large | Self::Long => Some(Limit::Jwt),
            _ => None,
        }
    }

    pub(super) fn of(self, issuer: Option<&Name>) -> Error {
        Error {
            issuer: issuer.cloned(),
            flaw: self,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issuer {
            Some(issuer) => write!(
                f,
                "the JSON Web Token of issuer {issuer} is refused: {}",
                self.flaw
            ),
            None => write!(f, "the JSON Web Token is refused: {}", self.flaw),
        }
    }
}
