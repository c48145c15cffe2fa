//! Sends the journal's records elsewhere: to OpenTelemetry collectors, to services that take OPA's decision log, to
//! webhooks, to the store of a fleet.
//!
//! Each destination, a *sink*, has a task and a cursor of its own and reads the journal by itself: one that is slow or
//! gone delays no other. All of them are on one thread of low priority, away from requests. A record arrives at least
//! once and in order; what has not arrived stays in the journal, whatever its retention says.

mod config;
mod doubts;
mod http;
mod keep;
mod opa;
mod otlp;
mod record;
mod state;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::outgoing::{Bookmark, Most, Outgoing};
use crate::outbound::OutboundError;
use crate::store::{self, StoreError};
use crate::telemetry::Metrics;
pub use config::{Config, From, Name, PerMinute, Refused, Shape, Target, Url, Verdict, Webhook};
pub use doubts::doubts;
use keep::{Keep, Refusal, Sent};
pub use state::{State, Told};

/// Why nothing could ever be sent.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    #[error("{sink}: {source}")]
    Outbound { sink: String, source: OutboundError },
    #[error("store: {0}")]
    Store(#[from] StoreError),
    #[error("{sink}: how far it is cannot be read: {source}")]
    Cursor {
        sink: String,
        source: std::io::Error,
    },
    #[error("{sink}: {reason}")]
    Webhook { sink: String, reason: String },
    #[error("at most {MOST} sinks can be sent to")]
    Many,
    #[error("the thread that sends cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The journal that is sent, for whoever must not keep it from being closed.
pub struct Journal {
    pub directory: PathBuf,
    /// By what name its records are known elsewhere.
    pub origin: String,
    /// What OTLP is told about the gate.
    pub resource: Resource,
    /// The last record that a power failure does not take back.
    pub on_disk: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// To be told up to which record all have arrived everywhere.
    pub shipped: Arc<dyn Fn(u64) + Send + Sync>,
}

/// The store, and how the gate tells the others there of itself.
pub struct Fleet<'c> {
    pub config: &'c store::Config,
    pub about: store::About,
}

/// What sends. It ends with the program.
#[derive(Default)]
#[must_use]
pub struct Shipping {
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
    state: State,
}

/// A destination.
enum Sink {
    Opa(Box<opa::Opa>),
    Otlp(Box<otlp::Otlp>),
    Store(Box<store::Sink>),
    Webhook(Box<webhook::Webhook>),
}

impl Sink {
    /// Sends records once. An answer that is no refusal says what has become of all of them.
    async fn send(&mut self, records: &[Outgoing]) -> Result<Sent, Refusal> {
        match self {
            Self::Opa(opa) => opa.send(records).await.map(Sent::Arrived),
            Self::Otlp(otlp) => otlp.send(records).await.map(Sent::Arrived),
            Self::Store(store) => {
                let sent = store.send(records).await;
                let sent = sent.map(|()| Sent::Arrived(records.len()));
                sent.map_err(Refusal::from)
            }
            Self::Webhook(webhook) => webhook.send(records).await,
        }
    }

    /// Everything has arrived; at the end, no more will.
    async fn rest(&mut self, is_end: bool) -> Result<(), Refusal> {
        match self {
            Self::Store(store) => Ok(store.rest(is_end).await?),
            Self::Opa(_) | Self::Otlp(_) | Self::Webhook(_) => Ok(()),
        }
    }

    /// Whether records were sent that have not arrived.
    fn holds(&self) -> bool {
        matches!(self, Self::Webhook(webhook) if webhook.holds())
    }

    /// Sends those, if it is time for that, or at once.
    async fn send_held(&mut self, at_once: bool) -> Result<Sent, Refusal> {
        match self {
            Self::Opa(_) | Self::Otlp(_) | Self::Store(_) => Ok(Sent::Arrived(0)),
            Self::Webhook(webhook) => webhook.send_held(at_once).await,
        }
    }

    /// Whether this record is one of those that the other side gets.
    fn is_for(&self, record: &Outgoing) -> bool {
        match self {
            Self::Opa(_) => opa::is_event(record),
            Self::Otlp(_) | Self::Store(_) | Self::Webhook(_) => true,
        }
    }

    /// How much it takes at once.
    fn most(&self) -> Most {
        match self {
            Self::Opa(_) => opa::MOST,
            Self::Otlp(_) => otlp::MOST,
            Self::Store(_) => store::MOST,
            Self::Webhook(_) => webhook::MOST,
        }
    }
}

/// A sink, and how it is treated.
struct Made {
    name: String,
    sink: Sink,
    refused: Refused,
    from: From,
}

/// Finds what a start would object to.
pub fn check(config: &Config) -> Result<(), ShipError> {
    sinks(config, "", &Resource::default()).map(drop)
}

/// All that the configuration names.
fn sinks(config: &Config, origin: &str, resource: &Resource) -> Result<Vec<Made>, ShipError> {
    let mut made = Vec::new();
    for (name, target) in &config.opa {
        let name = format!("opa.{name}");
        let sink = opa::Opa::new(target, origin).map_err(of(&name))?;
        made.push(target.made(name, Sink::Opa(sink.into())));
    }
    for (name, target) in &config.otlp {
        let name = format!("otlp.{name}");
        let sink = otlp::Otlp::new(target, resource, origin).map_err(of(&name))?;
        made.push(target.made(name, Sink::Otlp(sink.into())));
    }
    for (name, config) in &config.webhook {
        let name = format!("webhook.{name}");
        let sink = webhook::Webhook::new(&name, config, origin)?;
        made.push(Made {
            sink: Sink::Webhook(sink.into()),
            refused: Refused::Wait,
            // Nobody wants old alarms.
            from: config.from.unwrap_or(From::Now),
            name,
        });
    }
    if made.len() > MOST {
        return Err(ShipError::Many);
    }
    Ok(made)
}

impl Target {
    fn made(&self, name: String, sink: Sink) -> Made {
        Made {
            name,
            sink,
            refused: self.refused,
            from: self.from.unwrap_or(From::Beginning),
        }
    }
}

fn of(sink: &str) -> impl FnOnce(OutboundError) -> ShipError {
    let sink = sink.to_owned();
    move |source| ShipError::Outbound { sink, source }
}

/// Starts to send what the configuration says.
pub fn start(
    config: &Config,
    fleet: Option<Fleet<'_>>,
    journal: &Journal,
    metrics: &Metrics,
    now: fn() -> Timestamp,
) -> Result<Shipping, ShipError> {
    let mut made = sinks(config, &journal.origin, &journal.resource)?;
    if let Some(Fleet { config, about }) = fleet {
        let sink = store::Sink::new(config, &journal.origin, about)?;
        made.push(Made {
            name: "store".to_owned(),
            sink: Sink::Store(Box::new(sink)),
            refused: Refused::Wait,
            from: From::Beginning,
        });
    }
    if made.is_empty() {
        return Ok(Shipping::default());
    }
    let state = State::new(journal.shipped.clone(), now);
    let mut all = Vec::new();
    for mut made in made {
        let from = match made.from {
            From::Beginning => 0,
            From::Now => (journal.on_disk)(),
        };
        let bookmark = Bookmark::open(&journal.directory, &made.name, from).map_err(|source| {
            ShipError::Cursor {
                sink: made.name.clone(),
                source,
            }
        })?;
        let bookmark = bookmark.under(&journal.origin);
        if let Sink::Store(store) = &mut made.sink {
            store.has_arrived(bookmark.seq());
        }
        // People are told late or not at all; the journal is not kept for that.
        let is_waited_for = !matches!(made.sink, Sink::Webhook(_));
        state.begins(&made.name, bookmark.seq(), is_waited_for);
        metrics.will_be_shipped(&made.name);
        tracing::info!(sink = %made.name, behind = bookmark.seq(), "records are sent");
        all.push(Keep {
            name: made.name,
            sink: made.sink,
            refused: made.refused,
            bookmark,
            on_disk: journal.on_disk.clone(),
            state: state.clone(),
            metrics: metrics.clone(),
            saved: Instant::now(),
            cannot_save: false,
            taken: None,
            lost: None,
        });
    }
    state.tell_shipped();
    let (asked, on_disk) = (state.clone(), journal.on_disk.clone());
    metrics.sinks_from(move || asked.load(on_disk()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stop = CancellationToken::new();
    let (done, ended) = oneshot::channel();
    let stopping = stop.clone();
    let work = async move {
        keep_all(all, &stopping).await;
        drop(done);
    };
    let thread = std::thread::Builder::new().name("ship".to_owned());
    drop(thread.spawn(move || {
        crate::audit::step_back();
        runtime.block_on(work);
    })?);
    Ok(Shipping {
        stop,
        ended: Some(ended),
        state,
    })
}

/// Until they are told to stop.
async fn keep_all(all: Vec<Keep>, stop: &CancellationToken) {
    let mut tasks = JoinSet::new();
    for keep in all {
        let (sink, state) = (keep.name.clone(), keep.state.clone());
        let kept = tokio::spawn(keep.keep(stop.clone()));
        tasks.spawn(async move {
            if kept.await.is_err() {
                tracing::error!(sink, "{PANICKED}");
                state.failed(&sink, PANICKED);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl Shipping {
    /// How it goes, for operators.
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Sends what is left, as far as it can be sent in this time. The journal is closed before.
    pub async fn end(self, within: Duration) {
        self.stop.cancel();
        if let Some(ended) = self.ended {
            // That it is over is said by its being dropped.
            drop(tokio::time::timeout(within.min(LAST), ended).await);
        }
    }
}

/// How long the end of the gate waits for sinks: what they have not got, they get after the next start.
const LAST: Duration = Duration::from_secs(5);

/// Until then, nothing is deleted that it has not got.
const PANICKED: &str =
    "it ended by a fault of the program: it gets nothing until dtgate is restarted";

/// As many sinks as one has use for.
const MOST: usize = 32;

#[cfg(test)]
mod tests;
