//! Traces and metrics by OTLP: protobuf over HTTP, to a collector of the operator's.
//!
//! A thread of its own sends them, so that whatever the collector does (nothing, for ever; refuse; go away) is its
//! trouble alone. What has no room in the queue, or is not taken after a few attempts, is dropped and counted.
//!
//! The messages are those of `opentelemetry-proto`. The SDK around them is not used: its queue does not tell what it
//! drops, its metrics cannot be filled from a registry that is there already, and its exporter takes settings from the
//! environment that the configuration does not know of.

mod config;
mod counts;
mod doubts;
mod post;
mod resource;
mod send;
mod series;
mod spans;

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Metrics, Tracer};
use crate::outbound::OutboundError;
use crate::value::threads;
pub use config::{
    Config, Endpoint, MetricsConfig, Queue, Ratio, Sampling, Temporality, TracesConfig,
};
pub use doubts::doubts;
use opentelemetry_proto::tonic::resource::v1::Resource;
use post::Post;
pub use resource::{Instance, Named};
use send::{MetricsSender, TracesSender};
pub use spans::{nanoseconds, pair, scope};

/// Why nothing could be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the thread that sends cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// What sends. It ends with the program.
#[derive(Default)]
#[must_use]
pub struct Exporter {
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

/// Looks whether everything is there that the configuration names.
pub fn check(config: &Config) -> Result<(), OtlpError> {
    Post::new(config).map(drop)
}

/// Who says it: the same in whatever is sent by OTLP.
pub fn resource(config: Option<&Config>, instance: &Instance) -> Resource {
    let named = config.map(|config| config.resource.clone());
    let named = named.unwrap_or_default();
    resource::resource(&named, instance, &resource::environment())
}

/// Starts to send what the configuration says, from now on, as this gate.
pub fn start(
    config: &Config,
    instance: &Instance,
    metrics: &Metrics,
    now: fn() -> Timestamp,
) -> Result<(Tracer, Exporter), OtlpError> {
    let post = Post::new(config)?;
    let resource = resource(Some(config), instance);
    let runtime = threads::runtime_here().enable_all().build()?;
    let stop = CancellationToken::new();
    let (mut tracer, mut sends_traces) = (Tracer::default(), None);
    if let Some(config) = &config.traces {
        let (queue, waiting) = mpsc::channel(config.queue.get());
        let sender = TracesSender::new(
            config,
            post.clone(),
            resource.clone(),
            waiting,
            metrics.clone(),
        );
        sends_traces = Some(sender);
        tracer = Tracer::new(config.sampling, config.ratio, queue, metrics.clone(), now);
    }
    let sends_metrics = config.metrics.as_ref();
    let sends_metrics = sends_metrics
        .map(|config| MetricsSender::new(config, post, resource, metrics.clone(), now));
    let (done, ended) = oneshot::channel();
    let stopping = stop.clone();
    let work = async move {
        let of_traces = async {
            if let Some(sender) = sends_traces {
                sender.keep(stopping.clone()).await;
            }
        };
        let of_metrics = async {
            if let Some(sender) = sends_metrics {
                sender.keep(stopping.clone()).await;
            }
        };
        tokio::join!(of_traces, of_metrics);
        drop(done);
    };
    let thread = threads::named("otlp");
    drop(thread.spawn(move || runtime.block_on(work))?);
    let ended = Some(ended);
    Ok((tracer, Exporter { stop, ended }))
}

impl Exporter {
    /// Sends what is left, as far as it can be sent in this time.
    pub async fn end(self, within: Duration) {
        self.stop.cancel();
        if let Some(ended) = self.ended {
            // That it is over is said by its being dropped.
            drop(tokio::time::timeout(within, ended).await);
        }
    }
}
