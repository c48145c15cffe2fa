//! How the console is shown, and to whom.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use http::uri::{Authority, Scheme, Uri};
use serde::{Deserialize, Deserializer};

use super::certificate::Holders;
use super::oidc::{Oidc, OidcError};
use super::password::{Passwords, PasswordsError};
use super::role::one_or_more;
use crate::identity::forwarded;
use crate::listener::Tls;
use crate::value::{Duration, has_possible_port};

/// Pages for people, beside a gate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How people show who they are: one way, or several.
    pub login: Logins,
    /// Who may log in by a password: a line each, as `dtgate new console-user` prints them.
    pub passwords: Option<PathBuf>,
    /// Who may look on by a certificate: its subject, SPIFFE id or a DNS name, and roles.
    pub certificates: Holders,
    /// The issuer at which people log in.
    pub oidc: Option<Oidc>,
    /// Where browsers find this listener.
    pub public_url: Option<PublicUrl>,
    /// Proxies that say for whom they ask.
    pub forwarded: forwarded::Config,
    /// By which names the console is asked, besides localhost, IP addresses and the name in `public_url`.
    pub hosts: Vec<String>,
    /// So many pages are made at once.
    pub max_pages: NonZeroU16,
    /// How long a page may take to be made.
    pub page_timeout: Duration,
    /// A session that is not used for so long has ended.
    pub session_idle: Duration,
    /// A session has ended after so long in any case.
    pub session_max: Duration,
}

/// How people show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// By a certificate that the listener has asked for.
    Certificate,
    /// Not at all: only on an address of loopback.
    None,
    /// At an issuer, by `OpenID` Connect.
    Oidc,
    /// By a name and a password.
    #[default]
    Password,
}

/// The ways that there are: one or several, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logins(Vec<Login>);

/// `https://host[:port]`, or `http://…` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl {
    origin: String,
    host: Authority,
    is_encrypted: bool,
}

/// Why a console cannot be shown like that.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "console.login = \"none\" lets everybody who reaches {0} see everything: have it on an address of loopback, such as \
         127.0.0.1, or let people log in"
    )]
    Open(SocketAddr),
    #[error(
        "a console with a login beyond loopback needs TLS: passwords would cross the network readable (it would be at {0})"
    )]
    Readable(SocketAddr),
    #[error(
        "console.passwords is missing: name the file of those who may log in; dtgate new console-user NAME makes a line of it"
    )]
    NoPasswords,
    #[error(
        "console.certificates is missing: name those who may look on, such as \"CN=alice,O=Example\" = \"auditor\""
    )]
    NoCertificates,
    #[error(
        "console.login = \"certificate\" needs a listener that asks for certificates: give admin.tls.clients.ca (or \
         --tls-client-ca)"
    )]
    Unasked,
    #[error(
        "console.oidc is missing: write the section [console.oidc] with the issuer at which people log in"
    )]
    NoOidc,
    #[error(
        "console.public_url is missing: an issuer leads people back to it; write https://host[:port] as browsers have it"
    )]
    NoPublicUrl,
    #[error("passwords: {0}")]
    Passwords(#[from] PasswordsError),
    #[error("oidc: {0}")]
    Oidc(#[from] OidcError),
}

impl Config {
    /// Whether it may be shown at this address. Reads the files that logins need, so that what is wrong shows now.
    pub fn check(&self, listen: SocketAddr, tls: Option<&Tls>) -> Result<(), ConfigError> {
        let is_here = listen.ip().is_loopback();
        if self.login.has(Login::None) {
            return if is_here {
                Ok(())
            } else {
                Err(ConfigError::Open(listen))
            };
        }
        if !is_here && tls.is_none() {
            return Err(ConfigError::Readable(listen));
        }
        for login in &self.login.0 {
            match login {
                Login::Certificate => self.check_certificates(tls)?,
                Login::Oidc => self.check_oidc()?,
                Login::Password => {
                    let path = self.passwords.as_ref().ok_or(ConfigError::NoPasswords)?;
                    Passwords::read(path)?;
                }
                Login::None => {}
            }
        }
        Ok(())
    }

    /// Whether a proxy does TLS before it that does not say for whom it asks.
    pub fn is_behind_a_stranger(&self, has_tls: bool) -> bool {
        let public_url = self.public_url.as_ref();
        let is_behind = public_url.is_some_and(PublicUrl::is_encrypted) && !has_tls;
        is_behind && self.forwarded.from.is_empty()
    }

    fn check_certificates(&self, tls: Option<&Tls>) -> Result<(), ConfigError> {
        if tls.is_none_or(|tls| tls.clients.is_none()) {
            Err(ConfigError::Unasked)
        } else if self.certificates.is_empty() {
            Err(ConfigError::NoCertificates)
        } else {
            Ok(())
        }
    }

    fn check_oidc(&self) -> Result<(), ConfigError> {
        let oidc = self.oidc.as_ref().ok_or(ConfigError::NoOidc)?;
        if self.public_url.is_none() {
            return Err(ConfigError::NoPublicUrl);
        }
        Ok(oidc.check()?)
    }
}

impl Logins {
    pub fn has(&self, login: Login) -> bool {
        self.0.contains(&login)
    }
}

impl From<Login> for Logins {
    fn from(login: Login) -> Self {
        Self(vec![login])
    }
}

impl Default for Logins {
    fn default() -> Self {
        Login::default().into()
    }
}

impl<'de> Deserialize<'de> for Logins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let logins: Vec<Login> = one_or_more(deserializer)?;
        let refuse = serde::de::Error::custom;
        let is_twice = |login: &Login| logins.iter().filter(|it| *it == login).count() > 1;
        if logins.is_empty() {
            return Err(refuse("login: name one way at least"));
        }
        if logins.iter().any(is_twice) {
            return Err(refuse("login: name each way once"));
        }
        if logins.len() > 1 && logins.contains(&Login::None) {
            return Err(refuse(
                "login: \"none\" asks nobody, so that no other way can stand beside it",
            ));
        }
        Ok(Self(logins))
    }
}

impl PublicUrl {
    /// Scheme, host and port, without a path.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, as browsers ask for them.
    pub(super) fn host(&self) -> &Authority {
        &self.host
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = |reason: &str| {
            Err(format!(
                "{text:?}: {reason}; write https://host[:port], as browsers have it"
            ))
        };
        let Ok(uri) = text.parse::<Uri>() else {
            return refuse("that is no URL");
        };
        let (Some(scheme), Some(host)) = (uri.scheme(), uri.authority()) else {
            return refuse("that is no URL");
        };
        if uri.path() != "/" || uri.query().is_some() || text.contains('#') {
            return refuse("the console is always below /console, so that there is no path here");
        }
        if host.as_str().contains('@') || !has_possible_port(&uri) {
            return refuse("a host and a port are expected, and no user");
        }
        let name = host.host().trim_matches(['[', ']']);
        let is_here = name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        let is_encrypted = *scheme == Scheme::HTTPS;
        let is_readable = !is_here || *scheme != Scheme::HTTP;
        if is_readable && !is_encrypted {
            return refuse("whoever logs in would do so readable for the network");
        }
        let host = host.as_str().to_ascii_lowercase();
        // As browsers write it: they leave out the port that goes without saying.
        let usual = if is_encrypted { ":443" } else { ":80" };
        let host = host.strip_suffix(usual).unwrap_or(&host);
        Ok(Self {
            origin: format!("{scheme}://{host}"),
            host: host
                .parse()
                .map_err(|_error| format!("{text:?} is no URL"))?,
            is_encrypted,
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            login: Logins::default(),
            passwords: None,
            certificates: Holders::new(),
            oidc: None,
            public_url: None,
            forwarded: forwarded::Config::default(),
            hosts: Vec::new(),
            max_pages: NonZeroU16::MIN.saturating_add(1),
            page_timeout: Duration::from_secs(10),
            session_idle: Duration::from_secs(30 * 60),
            session_max: Duration::from_secs(12 * 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn tls(more: &str) -> Tls {
        toml::from_str(&format!(
            "files = {{ certificate = 'a', key = 'b' }}\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn nobody_sees_it_from_elsewhere_without_a_login_or_without_tls() {
        let here = "127.0.0.1:8081".parse().unwrap();
        let everywhere = "0.0.0.0:8081".parse().unwrap();
        let tls = tls("");
        let open = config("login = \"none\"");
        open.check(here, None).unwrap();
        open.check(everywhere, Some(&tls)).unwrap_err();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, "").unwrap();
        let closed = config(&format!("passwords = '{}'", path.display()));
        closed.check(here, None).unwrap();
        closed.check(everywhere, Some(&tls)).unwrap();
        closed.check(everywhere, None).unwrap_err();
        config("").check(here, None).unwrap_err();
    }

    #[test]
    fn each_way_to_log_in_needs_what_it_is_about() {
        let here = "127.0.0.1:8081".parse().unwrap();
        let asking = tls("clients = { ca = 'c' }");
        let check = |text: &str, tls: Option<&Tls>| {
            let checked = config(text).check(here, tls);
            checked.map_err(|error| error.to_string())
        };
        let alice = "login = 'certificate'\n[certificates]\n'CN=alice' = 'auditor'";
        check(alice, Some(&asking)).unwrap();
        let both = alice.replace("'certificate'", "['certificate', 'password']");
        for (text, tls, wanted) in [
            (alice, Some(&tls("")), "--tls-client-ca"),
            (
                "login = 'certificate'",
                Some(&asking),
                "console.certificates",
            ),
            (&both, Some(&asking), "console.passwords"),
            ("login = 'oidc'", None, "console.oidc"),
            (
                "login = 'oidc'\noidc = {issuer = 'https://a', client_id = 'b', roles_claim = 'c', roles = {d = []}}",
                None,
                "console.public_url",
            ),
        ] {
            let error = check(text, tls).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        for wrong in [
            "login = []",
            "login = ['password', 'password']",
            "login = ['none', 'password']",
            "login = 'magic'",
        ] {
            toml::from_str::<Config>(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_public_url_is_an_origin_that_nobody_can_read_on_the_way() {
        let url = |text: &str| PublicUrl::try_from(text.to_owned());
        for (text, origin) in [
            ("https://Gate.example", "https://gate.example"),
            ("https://gate.example:443/", "https://gate.example"),
            ("https://gate.example:8081", "https://gate.example:8081"),
            ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
            ("http://[::1]:8090", "http://[::1]:8090"),
        ] {
            assert_eq!(url(text).unwrap().origin(), origin);
        }
        for wrong in [
            "http://gate.example",
            "https://gate.example/console",
            "https://gate.example/?a",
            "https://gate.example#a",
            "https://user@gate.example",
            "https://gate.example:0",
            "gate.example",
            "ftp://127.0.0.1",
        ] {
            url(wrong).unwrap_err();
        }
    }
}
