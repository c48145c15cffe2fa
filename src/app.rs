//! The composition root: from a configuration to a running gate. Builds every part once, in order;
//! owns the clock and the shutdown.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use crate::admin::Admin;
use crate::audit::{Audit, Writer};
use crate::config::Config;
use crate::dynatrace::token::HashKey;
use crate::gateway::{Gateway, Parties, Service, upstream::Upstream};
use crate::listener::{self, Drain, Listener, drain_pair};
use crate::policy::Policy;
use crate::telemetry::Metrics;

/// The clock. Everybody else is given the time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the system for the time"
)]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A gate that listens and is ready to serve.
pub struct App {
    listener: Listener,
    admin_listener: Listener,
    service: Service,
    admin: Admin,
    writer: Writer,
    drain: Drain,
    drain_timeout: std::time::Duration,
}

/// Loads policies the way `serve` and `check` do.
pub fn policies(config: &Config) -> anyhow::Result<Policy> {
    Policy::load(
        &config.policies.directory,
        config.policies.time_limit.into(),
    )
    .context("policies")
}

impl App {
    /// Builds every part: sockets early, so that a taken port is known before the journal is opened.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let listener = Listener::bind(config.listener.clone())
            .await
            .context("listener")?;
        let admin_config = listener::Config {
            address: config.admin.address,
            allow_plaintext: config.listener.allow_plaintext,
            max_connections: 64,
            ..listener::Config::default()
        };
        let admin_listener = Listener::bind(admin_config)
            .await
            .context("admin listener")?;
        let upstream = Upstream::new(&config.upstream).context("upstream")?;
        let policy = policies(config)?;
        let (audit, writer) =
            Audit::open(&config.journal, policy.revision(), now).context("journal")?;
        let key = hash_key(&config.journal.directory).context("the journal's hash.key")?;
        let metrics = Metrics::new(policy.revision());
        let (work, drain) = drain_pair();
        let admin = Admin {
            audit: audit.clone(),
            metrics: metrics.clone(),
            revision: policy.revision().to_owned(),
        };
        let parties = Parties {
            upstream,
            policy,
            audit,
            metrics,
            key,
            now,
            work,
        };
        Ok(Self {
            listener,
            admin_listener,
            service: Gateway::new(&config.limits, parties).into_service(),
            admin,
            writer,
            drain,
            drain_timeout: config.listener.drain_timeout.into(),
        })
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where operators are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_listener.address()
    }

    /// Serves until `shutdown` turns true, then drains: connections, detached requests, the journal.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let (stop_admin, admin_shutdown) = watch::channel(false);
        let admin = tokio::spawn(self.admin_listener.serve(self.admin, admin_shutdown));
        self.listener.serve(self.service, shutdown).await;
        if tokio::time::timeout(self.drain_timeout, self.drain.finished())
            .await
            .is_err()
        {
            tracing::warn!(
                "requests still under way after the drain time-out: the journal shows them in doubt"
            );
        }
        stop_admin.send_replace(true);
        if admin.await.is_err() {
            tracing::error!("the admin listener ended by a panic");
        }
        let writer = self.writer;
        let closed = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(self.drain_timeout, closed)
            .await
            .is_err()
        {
            tracing::warn!("the journal is still in use: it ends without a stop record");
        }
    }
}

/// Turns true on SIGTERM and SIGINT.
///
/// Also takes SIGXFSZ, so that a file that may not grow (`RLIMIT_FSIZE`) is a failed write, which the
/// journal heals from, and not the end of the process. A handler once set stays set.
pub fn signals() -> std::io::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    drop(signal(SignalKind::from_raw(SIGXFSZ))?);
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "draining");
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Its number on all systems that this is built for; tokio has no name for it.
const SIGXFSZ: i32 = 25;

/// The key for names of what must not be shown; made once for each journal, readable by its owner only.
fn hash_key(directory: &Path) -> std::io::Result<HashKey> {
    let path = directory.join("hash.key");
    let made = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&path);
    match made {
        Ok(mut file) => {
            // Two random UUIDs: 244 bits from the system's generator.
            let key: [u8; 32] =
                Sha256::digest([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())
                    .into();
            file.write_all(&key)?;
            file.sync_all()?;
            Ok(HashKey::new(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let key = std::fs::read(&path)?;
            let key = <[u8; 32]>::try_from(key).map_err(|key| {
                std::io::Error::other(format!(
                    "{} has {} bytes, not 32",
                    path.display(),
                    key.len()
                ))
            })?;
            Ok(HashKey::new(key))
        }
        Err(error) => Err(error),
    }
}
