//! The address of an upstream, below which all requests go.
//!
//! What is put in front of a target changes no byte of it, and makes no other endpoint of it. Opens no connection.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use serde::Deserialize;
use thiserror::Error;

use super::{UpstreamError, written};
use crate::value::has_possible_port;

/// The part of an upstream URL that every request shares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Base {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    prefix: String,
}

/// Why text is no upstream URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BaseError {
    #[error("{0:?} does not say how to get there: write https://{0}")]
    Scheme(String),
    #[error(
        "an upstream is written http://host[:port][/path] or https://…, without user, query or fragment; the path is what stands before /api"
    )]
    Url,
}

impl BaseError {
    /// Nothing else is repeated: a URL may hold a password.
    fn of(text: &str) -> Self {
        let host = text.split(['/', ':']).next().unwrap_or_default();
        let is_host = host.contains('.') && !text.contains(['@', '?', '#']);
        if is_host && !text.contains("://") && format!("https://{text}").parse::<Base>().is_ok() {
            Self::Scheme(text.to_owned())
        } else {
            Self::Url
        }
    }
}

impl TryFrom<String> for Base {
    type Error = BaseError;

    fn try_from(text: String) -> Result<Self, BaseError> {
        text.parse()
    }
}

impl std::str::FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let uri: Uri = text.parse().map_err(|_invalid| BaseError::of(text))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(BaseError::of(text));
        };
        let known = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
        if !known
            || !has_possible_port(&uri)
            || authority.as_str().contains('@')
            || uri.query().is_some()
            || text.contains('#')
        {
            return Err(BaseError::of(text));
        }
        // Paths are judged as clients write them: what is put in front must not make others of them.
        let roots = ["api", "iam", "platform", "rest", "v1"];
        let mut segments = uri.path().split('/');
        if segments.any(|segment| roots.contains(&segment) || segment.contains(['%', ';', '\\'])) {
            return Err(BaseError::of(text));
        }
        Ok(Self {
            scheme: scheme.clone(),
            authority: authority.clone(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Base {
    pub fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Whether nobody is on the way.
    pub fn is_here(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// Where it leads, without a path.
    pub(super) fn origin(&self) -> Uri {
        let origin = Uri::builder().scheme(self.scheme.clone());
        let origin = origin.authority(self.authority.clone());
        origin.path_and_query("/").build().unwrap_or_default()
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

impl Base {
    /// A target below the upstream's path; what is put in front of it changes no byte of it.
    pub(super) fn join(&self, target: PathAndQuery) -> Result<Uri, UpstreamError> {
        if self.prefix.is_empty() {
            return Ok(target.into());
        }
        written(&format!("{}{}", self.prefix, target.as_str())).map(Uri::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_joined_byte_for_byte() {
        let base: Base = "https://ag.example:9999/e/abc/".parse().unwrap();
        for target in [
            "/api/v2/x?a=%2F&b",
            "//double",
            "/a/../b;c=d",
            "/%7Euser?x=%zz",
        ] {
            let uri = base.join(target.parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), format!("/e/abc{target}"));
        }
    }

    #[test]
    fn urls_with_more_than_a_place_in_them_are_refused() {
        for url in [
            "",
            "host:80",
            "/path",
            "ftp://host",
            "http://user:pass@host",
            "http://host/?a=b",
            "http://host/#x",
            "https://host/platform",
            "https://host/e/x/api/",
        ] {
            assert!(url.parse::<Base>().is_err(), "{url}");
        }
        let base: Base = "http://127.0.0.1:9100".parse().unwrap();
        assert_eq!(base.to_string(), "http://127.0.0.1:9100");
    }
}
