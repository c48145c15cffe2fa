//! At which issuer people log in, and what they may see then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::Issuer;
use crate::console::Viewer;
use crate::console::role::Roles;
use crate::console::viewer::Person;
use crate::identity::{BuildError, Url};
use crate::outbound::{OutboundError, Proxy};
use crate::telemetry::Metrics;
use crate::value::{Duration, read_setting, unread};

/// The issuer at which people log in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Oidc {
    /// What its tokens have as `iss`, letter by letter.
    pub issuer: String,
    /// How the issuer calls the console.
    pub client_id: String,
    /// File with the client's secret. `None`: the issuer knows the client as a public one.
    pub client_secret_file: Option<PathBuf>,
    /// `None`: where the issuer describes itself.
    pub endpoints: Option<Configured>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim with the roles of a person: its name, or a JSON pointer such as `/realm_access/roles`.
    pub roles_claim: String,
    /// What a value of it means here. Who has none of these is not let in.
    pub roles: BTreeMap<String, Roles>,
    /// The claim by which people are greeted.
    pub name_claim: String,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    pub proxy: Option<Proxy>,
    pub proxy_credential_file: Option<PathBuf>,
    /// For one question to the issuer.
    pub timeout: Duration,
}

/// Where an issuer is asked that does not describe itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
}

/// Why people could not log in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("client_secret_file {}: {reason}", path.display())]
    Secret { path: PathBuf, reason: String },
    #[error("{0}")]
    Issuer(String),
    #[error(transparent)]
    Keys(#[from] BuildError),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    client_id: String,
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    authorization_url: Option<Url>,
    #[serde(default)]
    token_url: Option<Url>,
    #[serde(default)]
    jwks_url: Option<Url>,
    #[serde(default)]
    scopes: Vec<String>,
    roles_claim: String,
    roles: BTreeMap<String, Roles>,
    #[serde(default)]
    name_claim: Option<String>,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    proxy: Option<Proxy>,
    #[serde(default)]
    proxy_credential_file: Option<PathBuf>,
    #[serde(default)]
    timeout: Option<Duration>,
}

impl TryFrom<Written> for Oidc {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let urls = (
            written.authorization_url,
            written.token_url,
            written.jwks_url,
        );
        let endpoints = match urls {
            (None, None, None) => None,
            (Some(authorization), Some(token), Some(keys)) => Some(Configured {
                authorization,
                token,
                keys,
            }),
            _ => {
                return Err(
                    "give all of authorization_url, token_url and jwks_url, or none: then the issuer is asked for them"
                        .to_owned(),
                );
            }
        };
        if written.client_id.is_empty() || written.client_id.contains(char::is_whitespace) {
            return Err("client_id: write how the issuer calls the console".to_owned());
        }
        if written.roles_claim.is_empty() || written.roles.is_empty() {
            return Err(
                "roles_claim and roles: say which claim has the roles of people, and which of its values let them in: without \
                 them nobody would be"
                    .to_owned(),
            );
        }
        let is_scope =
            |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
        if !written.scopes.iter().all(is_scope) {
            return Err("scopes: each is a word without blanks".to_owned());
        }
        let oidc = Self {
            issuer: written.issuer,
            client_id: written.client_id,
            client_secret_file: written.client_secret_file,
            endpoints,
            scopes: written.scopes,
            roles_claim: written.roles_claim,
            roles: written.roles,
            name_claim: written.name_claim.unwrap_or_else(|| "sub".to_owned()),
            ca: written.ca,
            proxy: written.proxy,
            proxy_credential_file: written.proxy_credential_file,
            timeout: written.timeout.unwrap_or(TIMEOUT),
        };
        oidc.of_identity()?;
        Ok(oidc)
    }
}

impl Oidc {
    /// Whether people could log in, as far as the files say.
    pub(in crate::console) fn check(&self) -> Result<(), OidcError> {
        self.secret()?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        Issuer::new(self, &metrics, || jiff::Timestamp::UNIX_EPOCH).map(drop)
    }

    /// The same issuer as the edge of the gate knows others.
    pub(super) fn of_identity(&self) -> Result<crate::identity::Issuer, String> {
        let keys = self.endpoints.as_ref().map(|it| it.keys.clone());
        let mut issuer = crate::identity::Issuer::of_logins(&self.issuer, &self.client_id, keys)?;
        issuer.ca.clone_from(&self.ca);
        issuer.proxy.clone_from(&self.proxy);
        issuer
            .proxy_credential_file
            .clone_from(&self.proxy_credential_file);
        issuer.timeout = self.timeout;
        Ok(issuer)
    }

    /// As it is in its file now.
    pub(super) fn secret(&self) -> Result<Option<String>, OidcError> {
        let Some(path) = &self.client_secret_file else {
            return Ok(None);
        };
        let refuse = |reason: String| OidcError::Secret {
            path: path.clone(),
            reason,
        };
        let text = read_setting(path).map_err(|error| refuse(unread(&error)))?;
        let secret = text.trim();
        if secret.is_empty() || secret.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("it is no secret: one line is expected".to_owned()));
        }
        Ok(Some(secret.to_owned()))
    }

    pub(super) fn scope(&self) -> String {
        let further = self.scopes.iter().filter(|scope| *scope != "openid");
        let further = further.map(|scope| format!(" {scope}"));
        format!("openid{}", further.collect::<String>())
    }

    /// Who has these claims; `None`: nobody who is let in.
    pub(super) fn viewer(&self, name: &str, claims: &Map<String, Value>) -> Option<Viewer> {
        let subject = claims.get("sub").and_then(Value::as_str);
        let mut viewer = Viewer {
            name: name.to_owned(),
            person: Some(Person::by_issuer(&self.issuer, subject.unwrap_or(name))),
            has_session: true,
            line: None,
            ..Viewer::nobody()
        };
        let mut is_known = false;
        for value in self.values(claims) {
            if let Some(roles) = self.roles.get(value) {
                roles.give(&mut viewer);
                is_known = true;
            }
        }
        is_known.then_some(viewer)
    }

    /// The values of the claim: a text, or a list of texts.
    fn values<'c>(&self, claims: &'c Map<String, Value>) -> Vec<&'c str> {
        let named = claims.get(&self.roles_claim);
        let pointed = || {
            let path = self.roles_claim.strip_prefix('/')?;
            let (first, rest) = path.split_once('/').unwrap_or((path, ""));
            let claim = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
            match rest {
                "" => Some(claim),
                rest => claim.pointer(&format!("/{rest}")),
            }
        };
        match named.or_else(pointed) {
            Some(Value::String(value)) => vec![value],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oidc(more: &str) -> Result<Oidc, toml::de::Error> {
        toml::from_str(&format!(
            "issuer = 'https://a.example'\nclient_id = 'console'\n{more}"
        ))
    }

    #[test]
    fn who_has_a_role_at_the_issuer_is_let_in_and_nobody_else() {
        let roles = "[roles]\n'gate-auditors' = 'auditor'\nstaff = []";
        for (claim, claims, is_auditor) in [
            ("groups", json!({"groups": ["gate-auditors"]}), Some(true)),
            ("groups", json!({"groups": "staff"}), Some(false)),
            (
                "groups",
                json!({"groups": ["staff", 7, "gate-auditors"]}),
                Some(true),
            ),
            ("groups", json!({"groups": ["others"]}), None),
            ("groups", json!({"groups": {"gate-auditors": true}}), None),
            ("groups", json!({}), None),
            (
                "/realm/roles",
                json!({"realm": {"roles": ["staff"]}}),
                Some(false),
            ),
            ("/realm/roles", json!({"realm": ["staff"]}), None),
            (
                "https://a/roles",
                json!({"https://a/roles": ["staff"]}),
                Some(false),
            ),
        ] {
            let oidc = oidc(&format!("roles_claim = '{claim}'\n{roles}")).unwrap();
            let viewer = oidc.viewer("alice", claims.as_object().unwrap());
            assert_eq!(viewer.map(|it| it.is_auditor), is_auditor, "{claims}");
        }
    }

    #[test]
    fn what_would_let_nobody_in_or_cannot_be_asked_is_refused() {
        for (text, wanted) in [
            ("roles_claim = 'a'\nroles = {}", "nobody would be"),
            ("roles_claim = ''\nroles = {a = []}", "nobody would be"),
            ("roles_claim = 'a'\nroles = {a = 'admin'}", "admin"),
            ("roles = {a = []}", "roles_claim"),
            (
                "token_url = 'https://a'\nroles_claim = 'a'\nroles = {a = []}",
                "all of authorization_url",
            ),
            (
                "scopes = ['a b']\nroles_claim = 'a'\nroles = {a = []}",
                "scopes",
            ),
        ] {
            let error = oidc(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
