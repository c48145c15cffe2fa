//! How the console is shown, and to whom.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Deserialize;

use crate::value::Duration;

/// Pages for people, beside a gate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How people show who they are.
    pub login: Login,
    /// Who may log in by a password: a line each, as `dtgate new console-user` prints them.
    pub passwords: Option<PathBuf>,
    /// By which names the console is asked, besides localhost and IP addresses.
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
    /// Not at all: only on an address of loopback.
    None,
    /// By a name and a password.
    #[default]
    Password,
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
}

impl Config {
    /// Whether it may be shown at this address.
    pub fn allows(&self, listen: SocketAddr, has_tls: bool) -> Result<(), ConfigError> {
        let is_here = listen.ip().is_loopback();
        match self.login {
            Login::None if !is_here => Err(ConfigError::Open(listen)),
            Login::Password if !is_here && !has_tls => Err(ConfigError::Readable(listen)),
            Login::Password if self.passwords.is_none() => Err(ConfigError::NoPasswords),
            Login::None | Login::Password => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            login: Login::default(),
            passwords: None,
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

    #[test]
    fn nobody_sees_it_from_elsewhere_without_a_login_or_without_tls() {
        let here = "127.0.0.1:8081".parse().unwrap();
        let everywhere = "0.0.0.0:8081".parse().unwrap();
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let open = config("login = \"none\"");
        open.allows(here, false).unwrap();
        open.allows(everywhere, true).unwrap_err();
        let closed = config("passwords = \"users\"");
        closed.allows(here, false).unwrap();
        closed.allows(everywhere, true).unwrap();
        closed.allows(everywhere, false).unwrap_err();
        config("").allows(here, false).unwrap_err();
    }
}
