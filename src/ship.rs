//! Sends the journal's records elsewhere: to OpenTelemetry collectors, to services that take OPA's decision log, to
//! webhooks, to the store of a fleet.
//!
//! Each destination, a *sink*, has a task and a cursor of its own and reads the journal by itself: one that is slow or
//! gone delays no other. All of them are on one thread of low priority, away from requests. A record arrives at least
//! once and in order; what has not arrived stays in the journal, whatever its retention says.

mod another;
mod config;
mod doubts;
mod http;
mod keep;
mod losses;
mod making;
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

use crate::audit::outgoing::{Most, Outgoing};
use crate::outbound::OutboundError;
use crate::store::{self, StoreError};
use crate::telemetry::Metrics;
use crate::value::threads;
pub use config::{Config, From, Name, PerMinute, Refused, Shape, Target, Url, Verdict, Webhook};
pub use doubts::doubts;
use keep::{Keep, Refusal, Sent};
use making::{MOST, Making, sinks};
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
    #[error("it is not in the configuration")]
    Gone,
    #[error("the thread that sends cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The journal that is sent, for whoever must not keep it from being closed.
#[derive(Clone)]
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
                let sent = Box::pin(store.send(records)).await;
                let sent = sent.map(|()| Sent::Arrived(records.len()));
                sent.map_err(|error| match error {
                    StoreError::Lost(_) | StoreError::Earlier(_) => Refusal::from(error),
                    other => Refusal::Now(store.reason(&other), None),
                })
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

/// Finds what a start would object to.
pub fn check(config: &Config) -> Result<(), ShipError> {
    sinks(config, "", &Resource::default()).map(drop)
}

/// Starts to send what the configuration says.
pub fn start(
    config: &Config,
    fleet: Option<Fleet<'_>>,
    journal: &Journal,
    metrics: &Metrics,
    now: fn() -> Timestamp,
) -> Result<Shipping, ShipError> {
    let state = State::new(journal.shipped.clone(), now);
    let making = Making {
        config: config.clone(),
        fleet: fleet.map(|fleet| (fleet.config.clone(), fleet.about)),
        journal: journal.clone(),
        metrics: metrics.clone(),
        state: state.clone(),
    };
    let made = making.all()?;
    if made.is_empty() {
        return Ok(Shipping::default());
    }
    let mut all = Vec::new();
    for made in made {
        // People are told late or not at all; the journal is not kept for that.
        let is_waited_for = !matches!(made.sink, Sink::Webhook(_));
        let keep = making.keep(made)?;
        state.begins(&keep.name, keep.bookmark.seq(), is_waited_for);
        metrics.will_be_shipped(&keep.name);
        let after = keep.bookmark.seq();
        let behind = (journal.on_disk)().saturating_sub(after);
        tracing::info!(sink = %keep.name, after_record = after, behind, "records are sent");
        all.push(keep);
    }
    state.tell_shipped();
    let (asked, on_disk) = (state.clone(), journal.on_disk.clone());
    metrics.sinks_from(move || asked.load(on_disk()));
    let runtime = threads::runtime_here().enable_all().build()?;
    let stop = CancellationToken::new();
    let (done, ended) = oneshot::channel();
    let stopping = stop.clone();
    let work = async move {
        keep_all(all, making, &stopping).await;
        drop(done);
    };
    let thread = threads::named("ship");
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
async fn keep_all(all: Vec<Keep>, making: Making, stop: &CancellationToken) {
    let making = Arc::new(making);
    let mut tasks = JoinSet::new();
    for keep in all {
        tasks.spawn(keep_on(keep, making.clone(), stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

/// Keeps one sink. One that ended by a fault of the program is begun again, later each time.
async fn keep_on(keep: Keep, making: Arc<Making>, stop: CancellationToken) {
    let sink = keep.name.clone();
    let (mut first, mut pause) = (Some(keep), FIRST_PAUSE);
    loop {
        let begun = Instant::now();
        let (first, making_it) = (first.take(), making.clone());
        let (name, stopping) = (sink.clone(), stop.clone());
        // Whatever a fault is in, making it or keeping it, only this ends by it.
        let kept = tokio::spawn(async move {
            let keep = first.map_or_else(|| making_it.again(&name), Ok)?;
            keep.keep(stopping).await;
            Ok::<_, ShipError>(())
        });
        let reason = match kept.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{PANICKED}: {error}"),
            Err(_panicked) => PANICKED.to_owned(),
        };
        making.metrics.shipping_failed(&sink);
        if making.state.failed(&sink, &reason) {
            tracing::error!(
                sink,
                reason,
                "a sink ended by a fault of the program, and is begun again"
            );
        }
        if begun.elapsed() >= LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
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

/// Until it is, nothing is deleted that it has not got.
const PANICKED: &str = "it ended by a fault of the program, and is begun again";

/// Before it is.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests;
