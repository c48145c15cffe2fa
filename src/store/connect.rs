//! A connection to the store.

use std::future::poll_fn;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{causes, cut};
use super::guard::{Guard, Watched};
use super::watch::Room;
use super::{Config, StoreError, schema};
use crate::outbound::Files;
use crate::value::{read_setting, unread};

/// A session. It ends when this is dropped.
#[derive(Debug)]
pub struct Connected {
    pub client: Client,
    /// Moves its bytes.
    work: JoinHandle<()>,
    /// Why that has ended.
    ended: Arc<OnceLock<String>>,
}

impl Connected {
    /// Opens a session of a gate for `purpose`, which the server shows to its operators, and makes the tables where there
    /// are none.
    pub async fn open(config: &Config, purpose: &str) -> Result<Self, StoreError> {
        in_time(config, async {
            let mut connected = Self::reach(config, purpose, Room::GATE).await?;
            connected.is_plain_spoken().await?;
            let prepared = schema::prepare(&mut connected.client).await;
            prepared.map_err(|error| connected.explained(error))?;
            Ok(connected)
        })
        .await
    }

    /// Opens a session of somebody who asks, and makes nothing.
    pub(super) async fn open_to_ask(config: &Config, purpose: &str) -> Result<Self, StoreError> {
        in_time(config, async {
            let connected = Self::reach(config, purpose, Room::COMMAND).await?;
            connected.is_plain_spoken().await?;
            let checked = schema::check(&connected.client).await;
            checked.map_err(|error| connected.explained(error))?;
            Ok(connected)
        })
        .await
    }

    async fn reach(config: &Config, purpose: &str, room: Room) -> Result<Self, StoreError> {
        let mut settings = config.url.settings();
        settings.application_name(format!("dtgate {purpose}"));
        // One that is silent must not take the time of those behind it.
        let hosts = u32::try_from(settings.get_hosts().len()).unwrap_or(1);
        settings.connect_timeout(config.timeout.as_std() / (hosts + 1));
        settings.tcp_user_timeout(config.timeout.as_std());
        if let Some(path) = &config.password_file {
            settings.password(password(path)?);
        }
        // It stands alone.
        if let [Host::Unix(directory)] = settings.get_hosts() {
            let port = settings.get_ports().first().copied().unwrap_or(PORT);
            let path = directory.join(format!(".s.PGSQL.{port}"));
            let socket = UnixStream::connect(&path).await;
            let socket = socket.map_err(|error| {
                StoreError::Other(format!("{}: {}", path.display(), unread(&error)))
            })?;
            let socket = Watched::private(socket, room);
            settings.ssl_mode(SslMode::Disable);
            let (client, connection) = settings.connect_raw(socket, NoTls).await?;
            return Self::opened(client, connection);
        }
        let mode = settings.get_ssl_mode();
        if mode != SslMode::Disable {
            settings.ssl_mode(SslMode::Require);
            let guard = Guard::encrypted(tls(config)?, room);
            match Self::over(&settings, guard).await {
                Err(error) if mode == SslMode::Prefer && has_no_tls(&error) => {}
                reached => return reached,
            }
        }
        let guard = Guard::plain(&mut settings, room);
        Self::over(&settings, guard).await
    }

    async fn over<M>(settings: &tokio_postgres::Config, tls: M) -> Result<Self, StoreError>
    where
        M: MakeTlsConnect<Socket>,
        M::Stream: Send + 'static,
        M::TlsConnect: Send,
        <M::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let reached = settings.connect(tls).await;
        let (client, connection) =
            reached.map_err(|error| StoreError::connecting(error, settings))?;
        Self::opened(client, connection)
    }

    fn opened<S, T>(client: Client, connection: Connection<S, T>) -> Result<Self, StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(encoding) = connection.parameter("server_encoding")
            && encoding != "UTF8"
        {
            return Err(StoreError::Encoding(cut(encoding)));
        }
        let ended = Arc::new(OnceLock::new());
        let work = tokio::spawn(moved(connection, ended.clone()));
        Ok(Self {
            client,
            work,
            ended,
        })
    }

    /// A function or an operator that somebody put into another schema is not taken for the server's own of that name, no
    /// index leaves out what it finds, and texts have one form, whatever the settings of the role and the database say.
    async fn is_plain_spoken(&self) -> Result<(), StoreError> {
        let set = self.client.batch_execute(PLAIN).await;
        set.map_err(|error| self.explained(error.into()))
    }

    /// Why the connection has ended, in place of that it has.
    pub(super) fn explained(&self, error: StoreError) -> StoreError {
        match (&error, self.ended.get()) {
            (StoreError::Postgres(driver), Some(reason)) if driver.is_closed() => {
                StoreError::Other(reason.clone())
            }
            _ => error,
        }
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

    /// Ends it at once, whoever still has it.
    pub(super) fn end(&self) {
        self.work.abort();
    }

    /// Whether the server has ended it, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.end();
    }
}

/// Moves the bytes of a session until it ends. What the server says beside its answers is its own business.
async fn moved<S, T>(mut connection: Connection<S, T>, ended: Arc<OnceLock<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                tracing::debug!(notice = cut(notice.message()), "the store says");
            }
            Ok(_) => {}
            Err(error) => {
                let reason = causes(&error);
                tracing::debug!(reason, "a connection to the store ended");
                drop(ended.set(reason));
                return;
            }
        }
    }
}

async fn in_time(
    config: &Config,
    opening: impl Future<Output = Result<Connected, StoreError>>,
) -> Result<Connected, StoreError> {
    let within = config.timeout.as_std();
    let opened = tokio::time::timeout(within, opening).await;
    opened.unwrap_or(Err(StoreError::Timeout(within)))
}

/// Whether the server has said that it does not encrypt.
fn has_no_tls(error: &StoreError) -> bool {
    matches!(error, StoreError::Postgres(error) if causes(error).contains("server does not support TLS"))
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

fn password(path: &Path) -> Result<String, StoreError> {
    let wrong = |reason| StoreError::Password {
        path: path.to_owned(),
        reason,
    };
    let text = read_setting(path).map_err(|error| wrong(unread(&error)))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') {
        return Err(wrong("it holds no password, one line".to_owned()));
    }
    Ok(line.to_owned())
}

/// What a session means is not left to settings that come with a role or a database.
const PLAIN: &str = "SET search_path = pg_catalog, pg_temp; SET gin_fuzzy_search_limit = 0;
    SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET quote_all_identifiers = off;
    SET timezone_abbreviations = 'Default'; SET standard_conforming_strings = on";

/// Where none is given.
const PORT: u16 = 5432;
