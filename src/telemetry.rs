//! Logs and metrics: the subscriber, and every metric in one list.
//!
//! Labels come from small fixed sets: no id, no path, nothing that a client chooses.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How logs are written, to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub format: Format,
    /// As `RUST_LOG`: `info`, `warn`, `dtgate=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, for programs.
    Json,
    /// For people.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Text,
            filter: "info".to_owned(),
        }
    }
}

impl Config {
    pub fn filter(&self) -> Result<EnvFilter, String> {
        EnvFilter::try_new(&self.filter)
            .map_err(|error| format!("log filter {:?}: {error}", self.filter))
    }
}

/// Starts logging. A second call changes nothing.
pub fn start(config: &Config) -> Result<(), String> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(config.filter()?)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match config.format {
        Format::Json => builder.json().flatten_event(true).try_init(),
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    operation: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViolationLabels {
    policy: String,
    mode: String,
}

/// Every metric. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    violations: Family<ViolationLabels, Counter>,
    evaluation: Histogram,
    journal: Histogram,
    journal_failures: Counter,
    upstream: Histogram,
    in_flight: Gauge<i64, std::sync::atomic::AtomicI64>,
}

impl Metrics {
    pub fn new(revision: &str) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_01, 4.0, 10));
        let mut registry = Registry::with_prefix("dtgate");
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            decisions: Family::default(),
            violations: Family::default(),
            evaluation: seconds(),
            journal: seconds(),
            journal_failures: Counter::<u64, AtomicU64>::default(),
            upstream: seconds(),
            in_flight: Gauge::default(),
        };
        registry.register(
            "requests",
            "Requests answered, by route and class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "decisions",
            "Guarded requests, by operation and verdict",
            metrics.decisions.clone(),
        );
        registry.register(
            "violations",
            "Objections of policies, by policy and mode",
            metrics.violations.clone(),
        );
        registry.register(
            "evaluation_seconds",
            "Time that all policies took for one request",
            metrics.evaluation.clone(),
        );
        registry.register(
            "journal_seconds",
            "Time from a decision to its being on disk",
            metrics.journal.clone(),
        );
        registry.register(
            "journal_failures",
            "Events that could not be recorded",
            metrics.journal_failures.clone(),
        );
        registry.register(
            "upstream_seconds",
            "Time from sending to the first byte of the answer",
            metrics.upstream.clone(),
        );
        registry.register(
            "in_flight",
            "Requests whose answer has not begun",
            metrics.in_flight.clone(),
        );
        let info = vec![
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("revision".to_owned(), revision.to_owned()),
        ];
        registry.register(
            "build",
            "The program and its policies",
            prometheus_client::metrics::info::Info::new(info),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    pub fn request(&self, guarded: bool, status: http::StatusCode) {
        let status = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let route = if guarded { "guarded" } else { "open" };
        self.requests
            .get_or_create(&RequestLabels { route, status })
            .inc();
    }

    /// One judged request. Operation and verdict come from fixed sets.
    pub fn decision(&self, operation: &'static str, verdict: &'static str, evaluation: Duration) {
        self.decisions
            .get_or_create(&DecisionLabels { operation, verdict })
            .inc();
        self.evaluation.observe(evaluation.as_secs_f64());
    }

    pub fn violation(&self, policy: &str, mode: &str) {
        let labels = ViolationLabels {
            policy: policy.to_owned(),
            mode: mode.to_owned(),
        };
        self.violations.get_or_create(&labels).inc();
    }

    pub fn journal(&self, elapsed: Duration) {
        self.journal.observe(elapsed.as_secs_f64());
    }

    pub fn journal_failure(&self) {
        self.journal_failures.inc();
    }

    pub fn upstream(&self, elapsed: Duration) {
        self.upstream.observe(elapsed.as_secs_f64());
    }

    /// Counts a request as in flight until what it returns is dropped.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// In the text format of Prometheus and OpenMetrics.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        if let Err(error) = text::encode(&mut out, &self.registry) {
            tracing::error!(%error, "metrics");
        }
        out
    }
}

/// A request whose answer has not begun.
#[derive(Debug)]
pub struct InFlight(Gauge<i64, std::sync::atomic::AtomicI64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
