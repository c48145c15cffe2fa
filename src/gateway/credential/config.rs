//! The section `[credential]`: what the gate shows Dynatrace, and for whom.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize};

use crate::outbound::{ClientCertificate, Proxy};
use crate::value::{Duration, has_possible_port};

/// What the gate shows Dynatrace in the place of callers who have proven who they are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Config {
    pub secret: Secret,
    pub traffic: Traffic,
    pub teams: Vec<String>,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Secret {
    /// A file with a token.
    File(PathBuf),
    /// An access token, which has to be asked for again and again.
    OAuth(Box<OAuth>),
}

/// Which requests are sent with it, besides guarded ones.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    #[default]
    Guarded,
    /// GET and HEAD of open traffic too.
    Reads,
    /// Everything.
    All,
}

/// How an access token is asked for: OAuth 2.0, client credentials (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// Where: for Dynatrace `https://sso.dynatrace.com/sso/oauth2/token`.
    pub token_url: TokenUrl,
    pub client_id: String,
    /// File with the client's secret.
    pub client_secret_file: PathBuf,
    /// Scopes, with spaces between them.
    #[serde(default)]
    pub scope: Option<String>,
    /// What the token is for: for Dynatrace `urn:dtaccount:{account-uuid}`.
    #[serde(default)]
    pub resource: Option<String>,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub client_certificate: Option<ClientCertificate>,
    #[serde(default)]
    pub proxy: Option<Proxy>,
    #[serde(default)]
    pub proxy_credential_file: Option<PathBuf>,
    /// For one question.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

/// `https://…`, or `http://…` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenUrl(Uri);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    oauth: Option<OAuth>,
    #[serde(default)]
    traffic: Traffic,
    #[serde(default)]
    teams: Option<Vec<String>>,
}

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let secret = match (written.file, written.oauth) {
            (Some(file), None) => Secret::File(file),
            (None, Some(oauth)) => Secret::OAuth(Box::new(oauth)),
            _ => {
                return Err(
                    "give the file with the token as `file`, or the table `oauth`, and not both",
                );
            }
        };
        if written.teams.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "teams: the list is empty: name the teams that may use this credential, or leave the key out for everybody \
                 who proves who he is",
            );
        }
        if let Secret::OAuth(oauth) = &secret
            && (oauth.client_id.is_empty() || oauth.client_id.contains(char::is_whitespace))
        {
            return Err(
                "oauth.client_id: that is no client: write its id, such as \"dt0s02.ABCD1234\"",
            );
        }
        Ok(Self {
            secret,
            traffic: written.traffic,
            teams: written.teams.unwrap_or_default(),
        })
    }
}

impl Config {
    /// The files that it is made of.
    pub fn files(&self) -> Vec<&Path> {
        match &self.secret {
            Secret::File(file) => vec![file],
            Secret::OAuth(oauth) => {
                let own = oauth.client_certificate.iter();
                let own = own.flat_map(|own| [own.certificate.as_path(), &own.key]);
                let others = [&oauth.ca, &oauth.proxy_credential_file];
                let others = others.into_iter().filter_map(Option::as_deref);
                std::iter::once(oauth.client_secret_file.as_path())
                    .chain(own)
                    .chain(others)
                    .collect()
            }
        }
    }
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TokenUrl {
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}

impl TryFrom<String> for TokenUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let wanted = "a token URL is written https://host/path (http:// on this machine only), without user, query or fragment";
        let uri: Uri = text.parse().map_err(|_invalid| wanted)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost"
            || host
                .parse()
                .is_ok_and(|it: std::net::IpAddr| it.is_loopback());
        let is_safe =
            uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP) && is_here;
        let is_plain = !text.contains(['@', '#']) && uri.query().is_none() && !host.is_empty();
        let is_plain = is_plain && has_possible_port(&uri);
        if is_safe && is_plain {
            Ok(Self(uri))
        } else {
            Err(wanted)
        }
    }
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_use_it_is_said_in_one_way() {
        let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.to_string());
        assert!(read("file = 'f'").unwrap().teams.is_empty());
        assert_eq!(read("file = 'f'\nteams = ['a']").unwrap().teams, ["a"]);
        // Nobody, or everybody?
        let said = read("file = 'f'\nteams = []").unwrap_err();
        assert!(said.contains("teams: the list is empty"), "{said}");
        for client in ["", "a b"] {
            let text = format!(
                "oauth = {{ token_url = 'https://a/b', client_id = '{client}', client_secret_file = 'f' }}"
            );
            let said = read(&text).unwrap_err();
            assert!(
                said.contains("oauth.client_id: that is no client"),
                "{said}"
            );
        }
    }
}
