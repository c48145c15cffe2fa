//! The section `[store]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use tokio_postgres::config::{Host, SslMode};

use super::error::causes;
use crate::outbound::ClientCertificate;
use crate::value::{Duration, is_this_machine};

/// Where the store is, and who the gate is there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub url: Url,
    /// File with the password, in one line. Read again for each connection.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub client_certificate: Option<ClientCertificate>,
    /// For a connection, and for each answer.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// Who says whose turn a token is.
    #[serde(default)]
    pub turns: Whose,
    /// How long a change waits for its turn, and for a store that is away.
    #[serde(default = "turn_wait")]
    pub turn_wait: Duration,
    /// What becomes of changes while the store is away.
    #[serde(default)]
    pub when_away: WhenAway,
}

/// Who says whose turn a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Each gate for itself.
    #[default]
    Local,
    /// The store, for all gates.
    Store,
}

/// What becomes of changes while nobody can say whose turn a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    /// They go on, each gate for itself, and their records say so.
    Local,
    /// They are refused.
    #[default]
    Refuse,
}

/// `postgres://user@host[:port]/database`, or several hosts, as libpq reads it; without a password. A certificate is
/// always looked at, so that `sslmode=verify-full` is the same as `require`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url {
    text: String,
    settings: tokio_postgres::Config,
}

impl Config {
    /// One that has only a URL.
    pub fn at(url: Url) -> Self {
        Self {
            url,
            password_file: None,
            ca: None,
            client_certificate: None,
            timeout: timeout(),
            turns: Whose::default(),
            turn_wait: turn_wait(),
            when_away: WhenAway::default(),
        }
    }
}

impl Config {
    /// Keys of the section, and what is to be said about them.
    pub fn doubts(&self) -> Vec<(&'static str, &'static str)> {
        let takes_turns = self.turns == Whose::Store;
        let doubts = [
            (
                self.url.is_readable(),
                "url",
                "records, and the password, can be read on the way to the store: take `sslmode` out of the URL, or write \
                 sslmode=require",
            ),
            (
                !takes_turns && self.when_away == WhenAway::Local,
                "when_away",
                "it has no effect, because each gate takes turns for itself: write turns = \"store\", or take it away",
            ),
            (
                !takes_turns && self.turn_wait != turn_wait(),
                "turn_wait",
                "it has no effect, because each gate takes turns for itself: write turns = \"store\", or take it away",
            ),
            (
                takes_turns && self.turn_wait.as_std() > LONGEST_WAIT,
                "turn_wait",
                "clients wait so long for an answer while another gate has the turn, or the store is away, and most of them \
                 give up before: the default is 5s",
            ),
        ];
        let doubts = doubts.into_iter().filter(|(is_so, ..)| *is_so);
        doubts.map(|(_, key, reason)| (key, reason)).collect()
    }
}

impl Url {
    /// As the driver wants it: encrypted, unless the server is on this machine or the URL says otherwise.
    pub(super) fn settings(&self) -> tokio_postgres::Config {
        let mut settings = self.settings.clone();
        if !self.text.contains("sslmode=") {
            settings.ssl_mode(if self.is_here() {
                SslMode::Disable
            } else {
                SslMode::Require
            });
        }
        settings
    }

    /// Whether all of its servers are on this machine.
    pub fn is_here(&self) -> bool {
        self.settings.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(host) => is_this_machine(host),
        })
    }

    /// Whether what goes there can be read on the way.
    pub fn is_readable(&self) -> bool {
        !self.is_here() && self.settings().get_ssl_mode() != SslMode::Require
    }
}

impl TryFrom<String> for Url {
    type Error = &'static str;

    /// Nothing of the text is repeated: it may hold a password.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wanted = "write postgres://user@host[:port]/database; the password belongs in store.password_file, or in --password-file";
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let (_, parameters) = text.rsplit_once('?').unwrap_or_default();
        let names = || parameters.split('&').filter_map(|it| it.split('=').next());
        if let Some((_, elsewhere)) = ELSEWHERE
            .iter()
            .find(|(it, _)| names().any(|name| name == *it))
        {
            return Err(elsewhere);
        }
        let known = text.replace("sslmode=verify-full", "sslmode=require");
        let known = known.replace("sslmode=verify-ca", "sslmode=require");
        let settings = tokio_postgres::Config::from_str(&known);
        let settings = settings.map_err(|error| unknown_value(&error).unwrap_or(wanted))?;
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        if settings.get_hosts().len() > 1 && settings.get_hosts().iter().any(is_socket) {
            return Err(
                "a socket of this machine stands alone: take the other hosts away, or give it a name and a port",
            );
        }
        if settings.get_hosts().len() > 1 && names_prefer(parameters) {
            return Err(
                "sslmode=prefer is for one host: with several, nobody can tell which of them does not encrypt. Write \
                 sslmode=require or sslmode=disable",
            );
        }
        let is_whole = !settings.get_hosts().is_empty() && settings.get_user().is_some();
        if is_url && is_whole && settings.get_password().is_none() {
            Ok(Self { text, settings })
        } else {
            Err(wanted)
        }
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn names_prefer(parameters: &str) -> bool {
    parameters.split('&').any(|it| it == "sslmode=prefer")
}

/// Which parameter has a value that it cannot have. The driver names it, and never its value.
fn unknown_value(error: &tokio_postgres::Error) -> Option<&'static str> {
    let said = causes(error);
    let named = VALUES
        .iter()
        .find(|(name, _)| said.contains(&format!("`{name}`")));
    named.map(|(_, reason)| *reason)
}

/// Parameters with values of their own.
const VALUES: &[(&str, &str)] = &[
    ("port", "its port is none: write a number from 1 to 65535"),
    (
        "sslmode",
        "its sslmode is none that dtgate knows: write sslmode=require, or disable, or of one host prefer",
    ),
    (
        "target_session_attrs",
        "its target_session_attrs is none that dtgate knows: write any, read-write or read-only",
    ),
    (
        "connect_timeout",
        "its connect_timeout is no number of seconds: take it away, store.timeout says it",
    ),
    (
        "channel_binding",
        "its channel_binding is none: write disable, prefer or require",
    ),
    (
        "load_balance_hosts",
        "its load_balance_hosts is none: write disable or random",
    ),
    (
        "keepalives",
        "its keepalives is none: write 0 or 1, or take it away",
    ),
];

/// What libpq knows and the driver does not, and where it stands here.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "sslrootcert",
        "sslrootcert is not known in the URL: the authorities to trust belong in store.ca, or in --ca",
    ),
    (
        "sslcert",
        "sslcert is not known in the URL: it belongs in store.client_certificate",
    ),
    (
        "sslkey",
        "sslkey is not known in the URL: it belongs in store.client_certificate",
    ),
    (
        "passfile",
        "passfile is not known in the URL: the password belongs in store.password_file, or in --password-file",
    ),
    (
        "hostaddr",
        "hostaddr is not known in the URL: the certificate and the way to a server go by one name; write the address as its host",
    ),
    (
        "application_name",
        "application_name is not taken from the URL: dtgate names its sessions itself",
    ),
];

fn timeout() -> Duration {
    Duration::from_secs(10)
}

/// Longer than most clients wait for an answer.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_mins(1);

fn turn_wait() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_url_cannot_have_is_named() {
        for (url, wanted) in [
            ("postgres://g@h:99999/d", "its port is none"),
            ("postgres://g@h:x/d", "its port is none"),
            ("postgres://g@h:1,i:99999/d", "its port is none"),
            ("postgres://g@h/d?sslmode=allow", "its sslmode is none"),
            (
                "postgres://g@h/d?target_session_attrs=primary",
                "its target_session_attrs is none",
            ),
            ("postgres://g@h/d?hunter2=1", "write postgres://user@host"),
            ("mysql://g@h/d", "write postgres://user@host"),
        ] {
            let said = url.parse::<Url>().unwrap_err();
            assert!(said.starts_with(wanted), "{url}: {said}");
        }
    }

    #[test]
    fn what_has_no_effect_or_takes_too_long_is_said() {
        let said = |more: &str| {
            let text = format!("url = 'postgres://g@127.0.0.1/d'\n{more}");
            let config: Config = toml::from_str(&text).unwrap();
            let doubts = config.doubts();
            doubts.iter().map(|(key, _)| *key).collect::<Vec<_>>()
        };
        for good in [
            "",
            "turns = 'store'\nwhen_away = 'local'\nturn_wait = '30s'",
            "when_away = 'refuse'\nturn_wait = '5s'",
        ] {
            assert_eq!(said(good), [""; 0], "{good}");
        }
        assert_eq!(said("when_away = 'local'"), ["when_away"]);
        assert_eq!(said("turn_wait = '6s'"), ["turn_wait"]);
        assert_eq!(said("turns = 'store'\nturn_wait = '1h'"), ["turn_wait"]);
    }
}
