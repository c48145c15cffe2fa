//! What the thread does: it gathers traces, reads the metrics now and then, and sends both.

use std::time::Duration;

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::post::{Post, Signal, encoded, may_pass};
use super::{MetricsConfig, Temporality, TracesConfig, series, spans};
use crate::outbound::AskError;
use crate::telemetry::trace::Finished;
use crate::telemetry::{Limit, Metrics};

/// Sends one kind of messages, and says when that begins and ends to fail.
struct Sender {
    signal: Signal,
    post: Post,
    metrics: Metrics,
    resource: Resource,
    is_well: bool,
}

/// Sends traces.
pub(super) struct TracesSender {
    sender: Sender,
    waiting: Receiver<Finished>,
    interval: Duration,
}

/// Sends metrics.
pub(super) struct MetricsSender {
    sender: Sender,
    interval: Duration,
    temporality: Temporality,
    now: fn() -> Timestamp,
    /// When counting began: with the program, or behind the last message that was taken.
    since: Timestamp,
    /// What was counted before.
    counts: Counts,
}

impl Sender {
    fn new(signal: Signal, post: Post, resource: Resource, metrics: Metrics) -> Self {
        metrics.otlp_will_be_sent(signal.as_str());
        Self {
            signal,
            resource,
            post,
            metrics,
            is_well: true,
        }
    }

    /// One attempt.
    async fn send(&mut self, message: bytes::Bytes) -> Result<bytes::Bytes, AskError> {
        let signal = self.signal.as_str();
        let answered = self.post.send(self.signal, message).await;
        match &answered {
            Ok(_) if !self.is_well => tracing::info!(signal, "OTLP: the collector takes it again"),
            Ok(_) => {}
            Err(error) => {
                self.metrics.otlp_failed(signal);
                if matches!(error, AskError::Timeout(_)) {
                    self.metrics.reached(Limit::OtlpTimeout);
                }
                if self.is_well {
                    tracing::warn!(signal, %error, "OTLP: the collector does not take it");
                }
            }
        }
        self.is_well = answered.is_ok();
        answered
    }
}

impl TracesSender {
    pub(super) fn new(
        config: &TracesConfig,
        post: Post,
        resource: Resource,
        waiting: Receiver<Finished>,
        metrics: Metrics,
    ) -> Self {
        Self {
            sender: Sender::new(Signal::Traces, post, resource, metrics),
            waiting,
            interval: config.interval.into(),
        }
    }

    /// Sends what comes until it is told to stop, and then what is left.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        loop {
            let batch = self.gather(&stop).await;
            if batch.is_empty() {
                return;
            }
            self.send(batch, &stop).await;
        }
    }

    /// As many as may be sent together, or what has come in a while. None: that was all.
    async fn gather(&mut self, stop: &CancellationToken) -> Vec<Finished> {
        let mut batch = Vec::new();
        let mut due = None;
        while batch.len() < BATCH {
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.waiting.is_closed() => self.waiting.close(),
                finished = self.waiting.recv() => match finished {
                    Some(finished) => {
                        due.get_or_insert_with(|| Instant::now() + self.interval);
                        batch.push(finished);
                    }
                    None => break,
                },
                () = is_due => break,
            }
        }
        batch
    }

    /// A few attempts, the wait between them longer each time. Meanwhile others wait in the queue, as far as it goes.
    async fn send(&mut self, batch: Vec<Finished>, stop: &CancellationToken) {
        let count = batch.iter().map(Finished::spans).sum();
        let message = encoded(&spans::message(batch, &self.sender.resource));
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let error = match self.sender.send(message.clone()).await {
                Ok(answer) => return self.count_rejected(&answer),
                Err(error) => error,
            };
            if !may_pass(&error) || attempt == ATTEMPTS || stop.is_cancelled() {
                break;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
            pause *= 2;
        }
        self.sender.metrics.spans_dropped(count);
    }

    /// A collector may take a part and say so. What else it says is not looked at.
    fn count_rejected(&self, answer: &[u8]) {
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |part| part.rejected_spans);
        let rejected = u64::try_from(rejected).unwrap_or(0);
        if rejected > 0 {
            self.sender.metrics.spans_dropped(rejected);
            tracing::warn!(spans = rejected, "OTLP: the collector took only a part");
        }
    }
}

impl MetricsSender {
    pub(super) fn new(
        config: &MetricsConfig,
        post: Post,
        resource: Resource,
        metrics: Metrics,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            sender: Sender::new(Signal::Metrics, post, resource, metrics),
            interval: config.interval.into(),
            temporality: config.temporality,
            now,
            since: now(),
            counts: Counts::default(),
        }
    }

    /// Sends all of them now and then, and at the end. What was not taken is in the next ones, whether they have all
    /// counts since the start or only those since the last that was taken.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => {}
            }
            self.send().await;
        }
    }

    /// One attempt.
    async fn send(&mut self) {
        // A clock may be put back; a time does not end before it begins.
        let now = (self.now)().max(self.since);
        let text = self.sender.metrics.encode();
        let mut families = series::families(&text);
        let counts = match self.temporality {
            Temporality::Cumulative => None,
            Temporality::Delta => Some(self.counts.leave_out_of(&mut families)),
        };
        let message = series::message(
            &families,
            &self.sender.resource,
            self.temporality,
            self.since,
            now,
        );
        if let Ok(answer) = self.sender.send(encoded(&message)).await {
            if let Some(counts) = counts {
                (self.counts, self.since) = (counts, now);
            }
            say_rejected(&answer);
        }
    }
}

fn say_rejected(answer: &[u8]) {
    let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success;
    let rejected = rejected.map_or(0, |part| part.rejected_data_points);
    if rejected > 0 {
        tracing::warn!(points = rejected, "OTLP: the collector took only a part");
    }
}

/// Traces in one message: a few hundred KiB.
const BATCH: usize = 256;
/// Of one message.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
