//! A connection to the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;
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
        settings.connect_timeout(config.timeout.as_std());
        settings.tcp_user_timeout(config.timeout.as_std());
        if let Some(path) = &config.password_file {
            settings.password(password(path)?);
        }
        let files = Files::read(config.ca.as_deref(), config.client_certificate.as_ref())?;
        let is_encrypted = settings.get_ssl_mode() != tokio_postgres::config::SslMode::Disable;
        let tls = MakeRustlsConnect::new(files.client(is_encrypted)?);
        let (client, connection) = settings.connect(tls).await?;
        let work = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %causes(&error), "a connection to the store ended");
            }
        });
        let mut connected = Self { client, work };
        schema::prepare(&mut connected.client).await?;
        Ok(connected)
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

/// The driver says only "db error" of what the server says.
pub(super) fn causes(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let error: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<String> = all.map(ToString::to_string).collect();
    all.join(": ")
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
