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
                    StoreError::Lost(_) => Refusal::from(error),
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
        tracing::info!(sink = %keep.name, behind = keep.bookmark.seq(), "records are sent");
        all.push(keep);
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
        keep_all(all, making, &stopping).await;
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

/// By what sinks are made: at the start, and again where one has ended by a fault.
struct Making {
    config: Config,
    fleet: Option<(store::Config, store::About)>,
    journal: Journal,
    metrics: Metrics,
    state: State,
}

impl Making {
    fn all(&self) -> Result<Vec<Made>, ShipError> {
        let journal = &self.journal;
        let mut made = sinks(&self.config, &journal.origin, &journal.resource)?;
        if let Some((config, about)) = &self.fleet {
            let sink = store::Sink::new(config, &journal.origin, about.clone())?;
            made.push(Made {
                name: "store".to_owned(),
                sink: Sink::Store(Box::new(sink)),
                refused: Refused::Wait,
                from: From::Beginning,
            });
        }
        Ok(made)
    }

    /// Behind what its cursor says.
    fn keep(&self, mut made: Made) -> Result<Keep, ShipError> {
        let journal = &self.journal;
        let from = match made.from {
            From::Beginning => 0,
            From::Now => (journal.on_disk)(),
        };
        let bookmark = Bookmark::open(&journal.directory, &made.name, from);
        let bookmark = bookmark.map_err(|source| ShipError::Cursor {
            sink: made.name.clone(),
            source,
        })?;
        let bookmark = bookmark.under(&journal.origin);
        if let Sink::Store(store) = &mut made.sink {
            store.has_arrived(bookmark.seq());
        }
        Ok(Keep {
            name: made.name,
            sink: made.sink,
            refused: made.refused,
            bookmark,
            on_disk: journal.on_disk.clone(),
            state: self.state.clone(),
            metrics: self.metrics.clone(),
            saved: Instant::now(),
            cannot_save: false,
            taken: None,
            lost: None,
            losses: losses::Losses::default(),
        })
    }

    /// One sink anew. What it had sent and not noted is sent again.
    fn again(&self, name: &str) -> Result<Keep, ShipError> {
        let made = self.all()?.into_iter().find(|made| made.name == name);
        let keep = self.keep(made.ok_or(ShipError::Gone)?)?;
        self.state.goes_back(name, keep.bookmark.seq());
        Ok(keep)
    }
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
    let (mut next, mut pause) = (Ok(keep), FIRST_PAUSE);
    loop {
        let begun = Instant::now();
        let reason = match next {
            Ok(keep) => match tokio::spawn(keep.keep(stop.clone())).await {
                Ok(()) => return,
                Err(_panicked) => PANICKED.to_owned(),
            },
            Err(error) => format!("{PANICKED}: {error}"),
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
        next = making.again(&sink);
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

/// As many sinks as one has use for.
const MOST: usize = 32;

#[cfg(test)]
mod tests;
