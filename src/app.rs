//! The composition root: from a configuration to a running gate. Builds every part once, in order;
//! owns the clock and the shutdown.

pub mod activation;
mod challenger;
mod configured;
mod descriptors;
mod export;
pub mod generations;
mod grants;
mod index;
mod load;
mod manager;
mod memory;
mod prove;
mod reload;
mod shown;
mod signals;
mod status;
mod supervise;
pub mod written;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use http::Response;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::util::MapResponse;

use crate::admin::{self, Admin};
use crate::anchor::Anchor;
use crate::ask::{self, Ask};
use crate::audit::{self, Audit, Configured, Directory, Space, Writer};
use crate::bundles::Downloads;
use crate::config::Config;
use crate::console::Console;
use crate::dynatrace::token::HashKey;
use crate::gateway::challenger::{Challenger, Desk};
use crate::gateway::{
    self, Counts, Gateway, Ledger, Recent, Service, Set, Shared, environment::DEFAULT,
};
use crate::grant::Grants;
use crate::listener::{self, BindError, Drained, Heart, Listener, Seat, Tracker, Workers, boxed};
use crate::policy::{AnswersFor, Policy};
use crate::ship::Shipping;
use crate::store::Turns;
use crate::telemetry::otlp::Exporter;
use crate::telemetry::{AccessLog, Metrics, Telemetry};
use crate::value::{Duration, absolute};
use challenger::{Beside, Keeper};
use manager::Manager;
use reload::{InForce, Reloader, State};
use status::Places;

pub use descriptors::descriptors;
use descriptors::{OPERATORS, SPARES, within_descriptors};
pub use export::{answered_within, check_otlp};
pub use load::{
    catalogue, challenger, doubts, ended, policies_at, policies_with_those_of, prepare, rehearse,
    sources, teams,
};
pub use prove::{COMPARED, SEED};
pub use reload::Source;
pub use shown::{kept, program};
pub use signals::{Hangup, Hangups, signals};
pub use supervise::Ended;

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
    operators: listener::Config,
    seats: Vec<Seat<Service>>,
    workers: Workers,
    state: Arc<State>,
    /// Where files are read again, and when.
    source: Option<(Source, Hangups)>,
    admin: Admin,
    heart: Heart,
    ledger: Ledger,
    metrics: Metrics,
    audit: Audit,
    anchor: Anchor,
    space: Space,
    writer: Writer,
    tracker: Tracker,
    exporter: Exporter,
    shipping: Shipping,
    /// Bundles that servers have.
    downloads: Arc<Downloads>,
    /// Where several gates take turns.
    fleet: Option<Turns>,
    grants: Grants,
    /// What callers did before, for those who ask.
    counts: Counts,
    challenger: Beside,
    /// The journal, and where its index is; `None`: none is kept.
    index: Option<(PathBuf, PathBuf)>,
    drain_timeout: Duration,
}

impl App {
    /// Builds every part: sockets early, so that a taken port is known before the journal is opened.
    ///
    /// Has to be called within a tokio runtime.
    #[expect(clippy::too_many_lines, reason = "every part is built once, in order")]
    pub fn build(config: &Config, metrics: Metrics, access: AccessLog) -> anyhow::Result<Self> {
        let config = &within_descriptors(config);
        check_places(config)?;
        check_console(config)?;
        // Before anybody can connect.
        let wanted = load::load(config, &metrics, None)?;
        let overridden = load::overridden(config, wanted.catalogue());
        let set = Set::new(wanted, None);
        let policy = set.policy();
        say_what_serves(config, policy);
        load::say_doubts(config, &set);
        let listener = Listener::bind(&config.listener, metrics.clone(), now);
        let listener = listener.map_err(|error| named(error, "listener", "--listen"))?;
        let operators = operators(&config.admin);
        let admin_listener = Listener::bind(&operators, metrics.clone(), now);
        let admin_listener =
            admin_listener.map_err(|error| named(error, "admin listener", "--admin"))?;
        let admin_listener = admin_listener.with_spares(SPARES);
        let configured = |key: &HashKey| {
            let mut configured = configured::configured(config, &set, key, overridden);
            configured.kept = Some(policy.kept_content());
            configured::say(&configured);
            configured
        };
        let journal = audit::Config {
            is_shipped: config.ship.is_any() || config.store.is_some(),
            ..config.journal.clone()
        };
        let (audit, writer, key) = open_journal(&journal, policy, configured).context("journal")?;
        let without_memory = memory::without(config, policy, None)?;
        memory::say_without(&without_memory, policy);
        memory::remember(config, policy)?;
        generations::keep(config, policy);
        let anchor = Anchor::new(&audit, &config.journal.checkpoints, metrics.clone());
        let anchor = anchor.context("journal.checkpoints")?;
        let space = Space::new(&config.journal);
        space.look();
        let state = Arc::new(State::new(
            set.clone(),
            config.clone(),
            key.clone(),
            without_memory,
        ));
        let connections = listener.connections();
        metrics.connections_from(move || connections.count());
        let room = space.clone();
        metrics.journal_free_from(move || room.free());
        shown::keeps(&metrics, &audit);
        metrics.journal_keeps_free(config.journal.min_free.as_u64());
        shown::judges(&metrics, &state);
        let tracker = Tracker::default();
        let ledger = Ledger::new(&config.limits, space.clone(), metrics.clone());
        let (traces, exporter) = export::start(config, &metrics)?;
        let shipping = export::ship(config, &audit, &metrics, listener.local_addr())?;
        let fleet = export::fleet(config, &audit, &metrics);
        let downloads = Downloads::new(metrics.clone(), now);
        let asked = downloads.clone();
        let grants = Grants::new(metrics.clone());
        let recent = Recent::new(metrics.clone());
        // Also where no policy reads it yet: a reload may bring one.
        recent.restore(audit.directory(), now(), policy.reads_recent());
        let (challenger, judging) = Challenger::new(metrics.clone());
        let beside = Beside {
            keeper: Keeper {
                state: state.clone(),
                challenger: challenger.clone(),
                asked: Arc::default(),
            },
            judging,
            desk: Desk {
                audit: audit.clone(),
                ledger: ledger.clone(),
                key: key.clone(),
                now,
            },
        };
        let counts = Counts::new(recent.clone(), key.clone());
        let shared = Arc::new(Shared::new(
            audit.clone(),
            ledger.clone(),
            Telemetry {
                metrics: metrics.clone(),
                access,
                traces,
            },
            key,
            now,
            tracker.clone(),
            gateway::Outside {
                fleet: fleet.clone(),
                stale: Arc::new(move || asked.refuses()),
                grants: grants.clone(),
                challenger: challenger.clone(),
                recent,
            },
        ));
        let workers = Workers::start(config.listener.workers).context("workers")?;
        let seats = workers.seats(|| Gateway::new(set.clone(), shared.clone()).into_service());
        let checks = shown::checks(
            state.clone(),
            audit.clone(),
            space.clone(),
            downloads.clone(),
        );
        shown::readiness(&metrics, &checks);
        let tls = [listener.tls(), admin_listener.tls()];
        shown::certificates(&metrics, &tls);
        let places = Places {
            state: state.clone(),
            audit: audit.clone(),
            space: space.clone(),
            anchored: anchor.state(),
            shipped: shipping.state(),
            fleet: fleet.clone(),
            downloads: downloads.clone(),
            challenger,
            tls,
            service: seats.first().map(|seat| seat.service().clone()),
        };
        let status = Arc::new(move || places.to_json());
        let heart = Heart::new(workers.pulse());
        let admin = Admin::new(heart.stuck(), checks, status, metrics.clone());
        Ok(Self {
            listener,
            admin_listener,
            operators,
            seats,
            workers,
            state,
            source: None,
            admin,
            heart,
            ledger,
            metrics,
            audit,
            anchor,
            space,
            writer,
            tracker,
            exporter,
            shipping,
            downloads,
            fleet,
            grants,
            counts,
            challenger: beside,
            index: index::wanted(&config.journal),
            drain_timeout: config.listener.drain_timeout,
        })
    }

    /// The same gate, which reads its files again when they have changed, and when SIGHUP comes.
    #[must_use]
    pub fn reloading(mut self, source: Source, hangups: Hangups) -> Self {
        self.source = Some((source, hangups));
        self
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Where operators are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_listener.local_addr()
    }

    fn reloader(&self, manager: Manager) -> Reloader {
        Reloader {
            state: self.state.clone(),
            services: self
                .seats
                .iter()
                .map(|seat| seat.service().clone())
                .collect(),
            audit: self.audit.clone(),
            ledger: self.ledger.clone(),
            metrics: self.metrics.clone(),
            tls: [self.listener.tls(), self.admin_listener.tls()],
            downloads: self.downloads.clone(),
            fleet: self.fleet.clone(),
            challenger: self.challenger.keeper.asked.clone(),
            manager,
        }
    }

    /// Serves until `shutdown`, then drains: connections, detached requests, the journal. Does the same when a part
    /// that it cannot do without ends by itself.
    #[expect(clippy::too_many_lines, reason = "what is started is ended, in order")]
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Ended> {
        let manager = Manager::of_this_process();
        self.state.keep_keys();
        let in_force = self.state.in_force.load_full();
        let policies = &in_force.config.policies;
        let is_shared = load::is_shared(&in_force.config);
        self.downloads
            .keep(&policies.state, &policies.bundles, is_shared)
            .await;
        let bytecode = in_force.config.policies.bytecode;
        if bytecode != AnswersFor::None {
            prove::prove(in_force.set.policy().clone(), bytecode);
        }
        if let Some((source, hangups)) = self.source.take() {
            let reloader = self.reloader(manager.clone());
            tokio::spawn(reloader.keep(source, hangups, shutdown.clone()));
        }
        let index = self
            .index
            .take()
            .and_then(|(journal, path)| index::keep(&journal, &path, &self.audit, &self.metrics));
        // Operators can look on until the last request is done.
        let stop_admin = CancellationToken::new();
        let state = self.state.clone();
        let downloads = self.downloads.clone();
        let gate = ask::Gate {
            in_force: Arc::new(move || state.in_force.load().set.clone()),
            stale: Arc::new(move || downloads.refuses()),
            counts: self.counts,
            metrics: self.metrics.clone(),
            now,
            step_back: audit::step_back,
        };
        let console = shown::console(
            &in_force.config,
            self.state.clone(),
            self.admin.status(),
            self.metrics.clone(),
        );
        let (metrics, tls) = (self.metrics, self.admin_listener.tls());
        let operators = self.operators;
        let listen_again = move |listen| {
            let config = listener::Config {
                listen,
                ..operators.clone()
            };
            // With the certificates that it has by then.
            let bound = Listener::bind_with(&config, tls.clone(), metrics.clone())?;
            Ok(bound.with_spares(SPARES))
        };
        let admin = tokio::spawn(supervise::keep_serving(
            self.admin_listener,
            listen_again,
            Console::new(
                Ask::new(
                    MapResponse::new(self.admin, |response: Response<_>| response.map(boxed)),
                    &in_force.config.admin,
                    gate,
                ),
                console,
            ),
            stop_admin.clone(),
        ));
        let drained = CancellationToken::new();
        let challenger = self.challenger.start(shutdown.clone(), drained.clone());
        let closed = CancellationToken::new();
        let audit = self.audit.clone();
        let anchor = tokio::spawn(
            self.anchor
                .keep(audit, now, drained.clone(), closed.clone()),
        );
        let (origin, journal) = (
            self.audit.origin().to_owned(),
            self.audit.directory().to_owned(),
        );
        let records = self.audit.last();
        let sums = tokio::spawn(self.ledger.keep(self.audit, now, drained.clone()));
        let looks = tokio::spawn(look_at(self.space));
        let grants = grants::keep(self.grants, self.state, records, (origin, journal));
        let heart = tokio::spawn(self.heart.beat());
        let alive = tell(manager, &self.workers, &in_force, shutdown.clone());
        let served = supervise::serve(
            self.listener,
            self.seats,
            &self.workers,
            self.tracker,
            shutdown,
            self.drain_timeout.as_std(),
        )
        .await;
        if let Ok(Drained::Cut { tasks: 1.., .. }) = served {
            tracing::warn!(
                "requests still under way after the drain time-out: the journal shows them in doubt"
            );
        }
        stop_admin.cancel();
        if admin.await.is_err() {
            tracing::error!("the admin listener ended by a panic");
        }
        looks.abort();
        grants.abort();
        drained.cancel();
        let (writer, shipping, fleet) = (self.writer, self.shipping, self.fleet);
        let drain_timeout = self.drain_timeout.as_std();
        let closing = async move {
            // Before the journal closes: what was only counted belongs into it.
            if sums.await.is_err() {
                tracing::error!("the sums of refused requests ended by a panic");
            }
            if challenger.await.is_err() {
                tracing::error!("what the challenger said ended by a panic");
            }
            writer.join().await;
            // The last checkpoint goes where the others went.
            closed.cancel();
            if anchor.await.is_err() {
                tracing::error!("the sending of checkpoints ended by a panic");
            }
            index::end(index).await;
        };
        // The last records are sent when they are there, in what is left of that time.
        let began = tokio::time::Instant::now();
        let closing = async move {
            if tokio::time::timeout(drain_timeout, closing).await.is_err() {
                tracing::warn!("the journal is still in use: it ends without a stop record");
            }
            shipping
                .end(drain_timeout.saturating_sub(began.elapsed()))
                .await;
        };
        // Beside all that: nothing of this gate waits for a store that is away.
        let turns = async move {
            if let Some(fleet) = fleet {
                fleet.end(drain_timeout).await;
            }
        };
        tokio::join!(closing, turns, self.exporter.end(drain_timeout));
        heart.abort();
        alive.abort();
        // Not before: a request that outlived the drain may still record its outcome.
        drop(self.workers);
        served.map(|_drained| ())
    }
}

/// Which listener could not be made, and where its address is the matter, by which flag it can get another one.
fn named(error: BindError, which: &'static str, flag: &str) -> anyhow::Error {
    match error {
        BindError::Address { .. } => anyhow!("{which}: {error} ({flag})"),
        _ => anyhow::Error::new(error).context(which),
    }
}

/// Tells the service manager that the gate serves, when it drains, and that it is alive: until the end, because what
/// drains is alive, too.
fn tell(
    manager: Manager,
    workers: &Workers,
    in_force: &InForce,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    manager.ready(&in_force.to_string());
    let (alive, pulse) = (manager.clone(), workers.pulse());
    tokio::spawn(async move {
        shutdown.cancelled().await;
        manager.stopping();
    });
    tokio::spawn(async move { alive.keep_alive(|| pulse.felt()).await })
}

/// Looks at the journal's disk now and then.
async fn look_at(space: Space) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let space = space.clone();
        // Nobody waits for it but the next look: a disk that hangs is asked once.
        if tokio::task::spawn_blocking(move || space.look())
            .await
            .is_err()
        {
            tracing::error!("the look at the journal's disk ended by a panic");
        }
    }
}

/// How often the journal's disk is looked at: at what the gate writes in that time at most, a few MiB.
const LOOK: std::time::Duration = std::time::Duration::from_secs(5);

/// The first lines of the log: where requests go, and by which policies they are judged.
fn say_what_serves(config: &Config, policy: &Policy) {
    if let Some(url) = &config.upstream.url {
        tracing::info!(environment = DEFAULT, %url, "upstream");
    }
    for (name, environment) in &config.environments {
        let hosts: Vec<String> = environment.hosts.iter().map(ToString::to_string).collect();
        tracing::info!(
            environment = %name,
            hosts = (!hosts.is_empty()).then(|| hosts.join(", ")),
            id = environment.id.as_ref().map(ToString::to_string),
            url = environment.upstream.url.as_ref().map(ToString::to_string),
            "upstream"
        );
    }
    let names: Vec<&str> = policy.names().collect();
    say_bundles(config, policy);
    tracing::info!(
        directory = config.directory().map(|it| display(absolute(it))),
        count = names.len(),
        names = %names.join(", "),
        revision = policy.revision(),
        "policies"
    );
}

/// Which bundles are in force.
fn say_bundles(config: &Config, policy: &Policy) {
    for release in policy.releases() {
        tracing::info!(
            name = %release.name,
            revision = release.revision.as_ref().map(display),
            sequence = release.sequence,
            digest = %release.digest,
            "bundle of policies"
        );
    }
    if let Some(reason) = &config.policies.allow_rollback {
        tracing::warn!(
            %reason,
            "bundles may be older than those that were in force: take policies.allow_rollback away when it is done"
        );
    }
}

/// Nobody but operators needs it, and nobody may take it from them: few connections, none of them idle for long.
pub fn operators(config: &admin::Config) -> listener::Config {
    listener::Config {
        listen: config.listen,
        tls: config.tls.clone(),
        // No token comes here, and probes come from other machines.
        allow_plaintext: true,
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(10),
        half_close_timeout: GONE,
        drain_timeout: Duration::from_secs(1),
        max_connections: NonZeroU32::new(OPERATORS).unwrap_or(NonZeroU32::MIN),
        http2: listener::Http2 {
            max_streams: NonZeroU32::new(STREAMS_OF_OPERATORS).unwrap_or(NonZeroU32::MIN),
            ..listener::Http2::default()
        },
        ..listener::Config::default()
    }
}

/// Requests at once on one connection of HTTP/2.
const STREAMS_OF_OPERATORS: u32 = 8;
/// A browser that has closed its side has gone: nobody waits for a page any more.
pub const GONE: Duration = Duration::from_secs(1);

/// Finds what is wrong with both listeners without binding; gives what is not well, and does not stop them.
pub fn check_listeners(config: &Config) -> anyhow::Result<Vec<String>> {
    check_places(config)?;
    let mut shaky = config.listener.check(now).context("listener")?;
    check_console(config)?;
    let admin = operators(&config.admin).check(now);
    shaky.extend(admin.context("admin listener")?);
    Ok(shaky)
}

/// Whether clients and operators have a port each.
fn check_places(config: &Config) -> anyhow::Result<()> {
    let (clients, operators) = (config.listener.listen, config.admin.listen);
    let is_all = clients.ip().is_unspecified() || operators.ip().is_unspecified();
    let meet = clients.ip() == operators.ip() || is_all;
    // 0 is any port that is free.
    if clients.port() != operators.port() || clients.port() == 0 || !meet {
        return Ok(());
    }
    bail!(
        "clients ({clients}) and operators ({operators}) would have the same port: give the admin listener another one \
         (admin.listen, --admin), or the listener (listener.listen, --listen)"
    )
}

/// Whether the console may be shown as it is configured.
fn check_console(config: &Config) -> anyhow::Result<()> {
    let Some(console) = &config.console else {
        return Ok(());
    };
    let (listen, tls) = (config.admin.listen, config.admin.tls.as_ref());
    console.check(listen, tls).context("console")
}

/// The key first: a journal whose key is refused is not begun.
fn open_journal(
    config: &audit::Config,
    policy: &Policy,
    configured: impl FnOnce(&HashKey) -> Configured,
) -> Result<(Audit, Writer, HashKey), audit::OpenError> {
    let directory = Directory::hold(&config.directory)?;
    let key = HashKey::new(directory.hash_key()?);
    let (audit, writer) = Audit::open(directory, config, policy.revision(), configured(&key), now)?;
    Ok((audit, writer, key))
}
