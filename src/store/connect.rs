//! A connection to the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Config, schema};
use crate::outbound::{Files, OutboundError};
use crate::value::unread;

/// A session. It ends when this is dropped.
#[derive(Debug)]
pub struct Connected {
    pub client: Client,
    /// Moves its bytes.
    work: JoinHandle<()>,
}

/// Why the store is not there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}", causes(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("password_file {}: {reason}", path.display())]
    Password { path: PathBuf, reason: String },
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error(
        "its tables are of version {found}, and this dtgate wants {wanted}: use the same version of dtgate for all gates"
    )]
    Version { found: i32, wanted: i32 },
    #[error(
        "it has another record {seq} of gate {gate:?}, and nothing is overwritten: another journal was sent under this \
         name, or the record was changed since. Give this journal a name of its own: stop the gate and run `dtgate audit key --rotate --origin NAME`"
    )]
    Foreign { gate: String, seq: i64 },
    #[error("it has lost what was sent behind record {0}")]
    Lost(u64),
    #[error(
        "{0} is there and is no part of dtgate.record: attach it again, or give it another name"
    )]
    Detached(String),
    #[error("its encoding is {0}: make the database with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("{0}")]
    Other(String),
}

impl Connected {
    /// Opens a session for `purpose`, which the server shows to its operators, and makes the tables where there are none.
    pub async fn open(config: &Config, purpose: &str) -> Result<Self, StoreError> {
        let within = config.timeout.as_std();
        let opening = Self::open_now(config, purpose);
        let opened = tokio::time::timeout(within, opening).await;
        opened.unwrap_or(Err(StoreError::Timeout(within)))
    }

    async fn open_now(config: &Config, purpose: &str) -> Result<Self, StoreError> {
        let mut settings = config.url.settings();
        settings.application_name(format!("dtgate {purpose}"));
        // One that is silent must not take the time of those behind it.
        let hosts = u32::try_from(settings.get_hosts().len()).unwrap_or(1);
        settings.connect_timeout(config.timeout.as_std() / (hosts + 1));
        settings.tcp_user_timeout(config.timeout.as_std());
        if let Some(path) = &config.password_file {
            settings.password(password(path)?);
        }
        let (client, connection) = settings.connect(tls(config)?).await?;
        if let Some(encoding) = connection.parameter("server_encoding")
            && encoding != "UTF8"
        {
            return Err(StoreError::Encoding(encoding.to_owned()));
        }
        let work = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %causes(&error), "a connection to the store ended");
            }
        });
        let mut connected = Self { client, work };
        schema::prepare(&mut connected.client).await?;
        Ok(connected)
    }

    /// Whatever the server's own settings say: what was answered is on its disk, nothing waits without end, and a gate whose
    /// machine is gone keeps nothing for long.
    pub(super) async fn steady(&self, within: Duration) -> Result<(), StoreError> {
        let ms = within.as_millis();
        let settings = format!(
            "SET default_transaction_isolation = 'read committed'; SET statement_timeout = {ms}; SET lock_timeout = {ms};
             SET idle_in_transaction_session_timeout = {};
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
             SET tcp_user_timeout = 20000;
             SELECT set_config('synchronous_commit', 'on', false)
               WHERE current_setting('synchronous_commit') = 'off'",
            ms * 3
        );
        Ok(self.client.batch_execute(&settings).await?)
    }

    /// Whether the server has ended it, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Finds what would keep a connection from being opened, and needs no server to be seen.
pub fn check(config: &Config) -> Result<(), StoreError> {
    if let Some(path) = &config.password_file {
        password(path)?;
    }
    tls(config).map(drop)
}

/// Read anew for each connection: certificates are replaced while the gate runs.
fn tls(config: &Config) -> Result<MakeRustlsConnect, StoreError> {
    let files = Files::read(config.ca.as_deref(), config.client_certificate.as_ref())?;
    let is_encrypted = config.url.settings().get_ssl_mode() != SslMode::Disable;
    Ok(MakeRustlsConnect::new(files.client(is_encrypted)?))
}

/// The driver says only "db error" of what the server says.
pub(super) fn causes(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let code = said.code();
        let advice = advice(code).map_or(String::new(), |it| format!(": {it}"));
        return format!("{} ({}){advice}", said.message(), code.code());
    }
    let error: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<String> = all.map(ToString::to_string).collect();
    all.join(": ")
}

/// What an operator can do, where the server's own words do not say it.
fn advice(code: &SqlState) -> Option<&'static str> {
    let advice = match *code {
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "this server can only be read (a standby?): name the primary, or all of them and target_session_attrs=read-write"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => "docs/store.md has the rights that a gate's role needs",
        SqlState::UNDEFINED_TABLE => "the tables are not as dtgate made them",
        // A partition that was dropped since it was looked for is made again by the next attempt.
        SqlState::CHECK_VIOLATION => "a table of a month is gone",
        _ => return None,
    };
    Some(advice)
}

fn password(path: &Path) -> Result<String, StoreError> {
    let wrong = |reason| StoreError::Password {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(unread(&error)))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') {
        return Err(wrong("it holds no password, one line".to_owned()));
    }
    Ok(line.to_owned())
}
