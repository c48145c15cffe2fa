//! The proxy that a company has between itself and the world.

use std::path::Path;

use data_encoding::BASE64;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use serde::Deserialize;

use super::OutboundError;
use crate::value::{has_possible_port, read_setting, unread};

/// Through which proxy somebody is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    Environment,
    /// `http://host:port`
    Url(Uri),
}

impl TryFrom<String> for Proxy {
    type Error = String;

    /// Nothing of the text is repeated: it may hold a password.
    fn try_from(text: String) -> Result<Self, String> {
        if text == "environment" {
            return Ok(Self::Environment);
        }
        let no_proxy = || {
            "a proxy is written http://host:port, or \"environment\" for what HTTPS_PROXY and NO_PROXY say; a user and a \
             password belong in the file that proxy_credential_file names"
                .to_owned()
        };
        let uri: Uri = text.parse().map_err(|_invalid| no_proxy())?;
        let is_plain = uri.scheme() == Some(&Scheme::HTTP) && matches!(uri.path(), "" | "/");
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
        if !is_plain || uri.query().is_some() || authority.is_none() || !has_possible_port(&uri) {
            return Err(no_proxy());
        }
        Ok(Self::Url(uri))
    }
}

/// A proxy, and what it wants to see of us.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub(super) uri: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

impl Found {
    /// The proxy on the way to `origin`, if there is one; `credential_file` holds `user:password` for it.
    pub fn on_the_way(
        origin: &Uri,
        proxy: Option<&Proxy>,
        credential_file: Option<&Path>,
    ) -> Result<Option<Self>, OutboundError> {
        let own = credential_file.map(credential).transpose()?;
        let (uri, authorization) = match proxy {
            None if own.is_some() => return Err(OutboundError::NoProxy),
            None => return Ok(None),
            Some(Proxy::Url(uri)) => (uri.clone(), own),
            Some(Proxy::Environment) => match Matcher::from_env().intercept(origin) {
                None => return Ok(None),
                Some(found) if found.uri().scheme() != Some(&Scheme::HTTP) => {
                    return Err(OutboundError::ProxyScheme);
                }
                Some(found) => {
                    let said = found.basic_auth().cloned();
                    (found.uri().clone(), own.or(said))
                }
            },
        };
        Ok(Some(Self { uri, authorization }))
    }
}

/// `user:password` as the proxy wants to see it.
fn credential(path: &Path) -> Result<HeaderValue, OutboundError> {
    let failed = |reason: String| OutboundError::of(path, reason);
    let text = read_setting(path).map_err(|error| failed(unread(&error)))?;
    let text = text.trim();
    if !text.contains(':') || text.chars().any(char::is_control) {
        return Err(failed(
            "user:password is expected in it, and nothing else".to_owned(),
        ));
    }
    let encoded = format!("Basic {}", BASE64.encode(text.as_bytes()));
    let mut value = HeaderValue::try_from(encoded)
        .map_err(|_impossible| failed("it is no credential".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
