//! Every metric of the gate, in one list, as `OpenMetrics` text.
//!
//! Label values are constants of our own code or names of loaded policies, never text of a client, so the
//! number of series is bounded by the configuration. Counting is a hash and an atomic addition.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::Limit;

/// The type of what `Metrics::encode` returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. Clones count into the same numbers.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

/// One of what is counted now, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Counted(Gauge);

struct Inner {
    registry: Registry,
    families: Families,
    count_connections: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    count_journal_free: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    ask_evaluator: OnceLock<Box<dyn Fn() -> Evaluator + Send + Sync>>,
    ask_load: OnceLock<Box<dyn Fn() -> Load + Send + Sync>>,
}

/// What requests hold at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes of bodies that are read whole.
    pub body_bytes: usize,
    /// Requests that wait for their turn to be judged.
    pub judge_waiting: usize,
}

/// Which engine answers for the policies.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator {
    /// The bytecode engine may.
    pub bytecode: bool,
    /// It may not any more, because it was seen to decide otherwise than the interpreter.
    pub differs: bool,
}

struct Families {
    access_token_failures: Counter,
    bytecode_differs: Gauge,
    bytecode_trusted: Gauge,
    certificates_refused: Family<ReasonLabels, Counter>,
    connections: Gauge,
    decisions: Family<DecisionLabels, Counter>,
    evaluation: Histogram,
    forwarded: Family<ResultLabels, Counter>,
    generation: Gauge,
    in_flight: Gauge,
    in_force_since: Gauge,
    jwks_fetched: Family<IssuerLabels, Gauge>,
    jwks_fetches: Family<IssuerResultLabels, Counter>,
    jwt: Family<IssuerResultLabels, Counter>,
    journal: Histogram,
    journal_failures: Counter,
    journal_free: Gauge,
    journal_records: Counter,
    limits: Family<LimitLabels, Counter>,
    load: LoadGauges,
    log_dropped: Counter,
    lookup: Histogram,
    lookup_failures: Counter,
    otlp_failures: Family<SignalLabels, Counter>,
    otlp_spans_dropped: Counter,
    panics: Counter,
    policy: Family<PolicyLabels, Gauge<u64, AtomicU64>>,
    proxy_headers: Family<OutcomeLabels, Counter>,
    reload_failures: Counter,
    reloads: Counter,
    requests: Family<RequestLabels, Counter>,
    upstream: Histogram,
    upstream_connections: Gauge,
    violations: Family<ViolationLabels, Counter>,
}

/// [`Load`], to be read.
struct LoadGauges {
    body_bytes: Gauge,
    judge_waiting: Gauge,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DecisionLabels {
    operation: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct IssuerLabels {
    issuer: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct IssuerResultLabels {
    issuer: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LimitLabels {
    limit: &'static str,
}

impl LimitLabels {
    fn of(limit: Limit) -> Self {
        Self {
            limit: limit.as_str(),
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PolicyLabels {
    revision: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    route: &'static str,
    operation: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SignalLabels {
    signal: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ViolationLabels {
    policy: String,
    mode: String,
}

impl Metrics {
    /// `version` is that of the program.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("dtgate");
        let to = &mut registry;
        let build = Info::new(BuildLabels { version });
        to.register("build", "The program that runs", build);
        let families = Families::register(to);
        // All from the start: a limit that was never reached shows as 0.
        for limit in Limit::ALL {
            drop(families.limits.get_or_create(&LimitLabels::of(*limit)));
        }
        Self(Arc::new(Inner {
            registry,
            families,
            count_connections: OnceLock::new(),
            count_journal_free: OnceLock::new(),
            ask_evaluator: OnceLock::new(),
            ask_load: OnceLock::new(),
        }))
    }

    /// A request got its answer. `operation` is a name from the catalogue, if one is known.
    pub fn request(
        &self,
        guarded: bool,
        operation: Option<&'static str>,
        method: &Method,
        status: StatusCode,
    ) {
        let labels = RequestLabels {
            route: if guarded { "guarded" } else { "open" },
            operation: operation.unwrap_or("none"),
            method: known_method(method).unwrap_or("other"),
            status: class(status),
        };
        self.0.families.requests.get_or_create(&labels).inc();
    }

    /// One judged request, and how long all policies took for it.
    pub fn decision(&self, operation: &'static str, verdict: &'static str, took: Duration) {
        let labels = DecisionLabels { operation, verdict };
        self.0.families.decisions.get_or_create(&labels).inc();
        self.0.families.evaluation.observe(took.as_secs_f64());
    }

    /// One objection. `policy` has to be the name of a loaded one.
    pub fn violation(&self, policy: &str, mode: &str) {
        let labels = ViolationLabels {
            policy: policy.to_owned(),
            mode: mode.to_owned(),
        };
        self.0.families.violations.get_or_create(&labels).inc();
    }

    /// A record is durable, `waited` after it was handed to the journal.
    pub fn recorded(&self, waited: Duration) {
        self.0.families.journal_records.inc();
        self.0.families.journal.observe(waited.as_secs_f64());
    }

    pub fn record_failed(&self) {
        self.0.families.journal_failures.inc();
    }

    pub fn looked_up(&self, found: bool, took: Duration) {
        self.0.families.lookup.observe(took.as_secs_f64());
        if !found {
            self.0.families.lookup_failures.inc();
        }
    }

    /// A request showed a JSON Web Token. `issuer` has to be a name of the configuration, or `none`.
    pub fn jwt(&self, issuer: &str, result: &'static str) {
        let labels = IssuerResultLabels {
            issuer: issuer.to_owned(),
            result,
        };
        self.0.families.jwt.get_or_create(&labels).inc();
    }

    /// The keys of an issuer were asked for. `issuer` has to be a name of the configuration.
    pub fn keys_fetched(&self, issuer: &str, went_well: bool) {
        let labels = IssuerResultLabels {
            issuer: issuer.to_owned(),
            result: if went_well { "ok" } else { "failed" },
        };
        self.0.families.jwks_fetches.get_or_create(&labels).inc();
    }

    /// The keys of an issuer are those of this moment.
    pub fn keys_are_of(&self, issuer: &str, moment: jiff::Timestamp) {
        let labels = IssuerLabels {
            issuer: issuer.to_owned(),
        };
        let gauge = self.0.families.jwks_fetched.get_or_create(&labels);
        gauge.set(moment.as_second());
    }

    /// What was made of a field in which proxies say for whom they ask.
    pub fn forwarded(&self, result: &'static str) {
        let labels = ResultLabels { result };
        self.0.families.forwarded.get_or_create(&labels).inc();
    }

    pub fn upstream_answered(&self, took: Duration) {
        self.0.families.upstream.observe(took.as_secs_f64());
    }

    /// A limit was reached: somebody waited too long, sent too much, or was one too many.
    pub fn reached(&self, limit: Limit) {
        self.0
            .families
            .limits
            .get_or_create(&LimitLabels::of(limit))
            .inc();
    }

    /// A client was not let in, or not kept, for what its certificate is.
    pub fn certificate_refused(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        let refused = &self.0.families.certificates_refused;
        refused.get_or_create(&labels).inc();
    }

    /// Somebody began a connection with the PROXY protocol, or should have.
    pub fn proxy_header(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.0.families.proxy_headers.get_or_create(&labels).inc();
    }

    /// Lines of the log were lost.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.families.log_dropped.inc_by(lines);
    }

    /// Spans of traces were lost.
    pub(super) fn spans_dropped(&self, spans: u64) {
        self.0.families.otlp_spans_dropped.inc_by(spans);
    }

    /// A message by OTLP was not taken.
    pub fn otlp_failed(&self, signal: &'static str) {
        let labels = SignalLabels { signal };
        self.0.families.otlp_failures.get_or_create(&labels).inc();
    }

    /// Something panicked, wherever it was.
    pub fn panicked(&self) {
        self.0.families.panics.inc();
    }

    /// Counts a request as in flight until the returned guard is dropped.
    pub fn begin(&self) -> Counted {
        Counted::in_gauge(&self.0.families.in_flight)
    }

    /// Counts a connection to the upstream as open until the returned guard is dropped.
    pub fn upstream_connected(&self) -> Counted {
        Counted::in_gauge(&self.0.families.upstream_connections)
    }

    /// From now on the policies of this revision judge.
    pub fn policies_loaded(&self, revision: &str) {
        let labels = PolicyLabels {
            revision: revision.to_owned(),
        };
        self.0.families.policy.clear();
        self.0.families.policy.get_or_create(&labels).set(1);
    }

    /// Files were read again, and are in force from now on.
    pub fn reloaded(&self, generation: u64, at: jiff::Timestamp) {
        let families = &self.0.families;
        families.reloads.inc();
        self.in_force(generation, at);
    }

    /// What judges now, and since when.
    pub fn in_force(&self, generation: u64, since: jiff::Timestamp) {
        let families = &self.0.families;
        families
            .generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        families.in_force_since.set(since.as_second());
    }

    /// An access token of the gate's own could not be had.
    pub fn access_token_failed(&self) {
        self.0.families.access_token_failures.inc();
    }

    /// Files were read again, and refused.
    pub fn reload_failed(&self) {
        self.0.families.reload_failures.inc();
    }

    /// Where to ask for the number of open connections when the metrics are read. Only the first counts.
    pub fn connections_from(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        self.0.count_connections.get_or_init(|| Box::new(count));
    }

    /// Where to ask for the free space of the journal's disk when the metrics are read. Only the first counts.
    pub fn journal_free_from(&self, bytes: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.count_journal_free.get_or_init(|| Box::new(bytes));
    }

    /// Where to ask which engine answers when the metrics are read. Only the first counts.
    pub fn evaluator_from(&self, ask: impl Fn() -> Evaluator + Send + Sync + 'static) {
        self.0.ask_evaluator.get_or_init(|| Box::new(ask));
    }

    /// Where to ask what requests hold when the metrics are read. Only the first counts.
    pub fn load_from(&self, ask: impl Fn() -> Load + Send + Sync + 'static) {
        self.0.ask_load.get_or_init(|| Box::new(ask));
    }

    /// All metrics as `OpenMetrics` text.
    pub fn encode(&self) -> String {
        if let Some(count) = self.0.count_connections.get() {
            self.0
                .families
                .connections
                .set(i64::try_from(count()).unwrap_or(i64::MAX));
        }
        if let Some(bytes) = self.0.count_journal_free.get() {
            let bytes = i64::try_from(bytes()).unwrap_or(i64::MAX);
            self.0.families.journal_free.set(bytes);
        }
        if let Some(ask) = self.0.ask_evaluator.get() {
            let evaluator = ask();
            let families = &self.0.families;
            families.bytecode_trusted.set(evaluator.bytecode.into());
            families.bytecode_differs.set(evaluator.differs.into());
        }
        if let Some(ask) = self.0.ask_load.get() {
            self.0.families.load.set(ask());
        }
        let mut text = String::with_capacity(16 << 10);
        text::encode(&mut text, &self.0.registry).expect("a string takes every write");
        text
    }
}

impl Families {
    #[expect(clippy::too_many_lines, reason = "the one list of every metric")]
    fn register(to: &mut Registry) -> Self {
        Self {
            access_token_failures: add(
                to,
                "access_token_failures",
                "Access tokens of the gate's own that could not be had",
            ),
            bytecode_differs: add(
                to,
                "bytecode_differs",
                "1 when the bytecode engine decided otherwise than the interpreter and is not asked any more",
            ),
            bytecode_trusted: add(
                to,
                "bytecode_trusted",
                "1 when the bytecode engine may answer, 0 when only the interpreter does",
            ),
            certificates_refused: add(
                to,
                "client_certificates_refused",
                "Clients that were not let in, or not kept, for what their certificate is, by reason",
            ),
            connections: add(
                to,
                "connections",
                "Open client connections, handshakes included",
            ),
            decisions: add(to, "decisions", "Judged requests, by operation and verdict"),
            evaluation: add_seconds(
                to,
                "evaluation",
                "Time to judge one request by all policies",
                EVALUATION_BUCKETS,
            ),
            forwarded: add(
                to,
                "forwarded",
                "Requests in which a proxy says for whom it asks, by what was made of it",
            ),
            generation: add(
                to,
                "generation",
                "How often files were read again and put in force since the start",
            ),
            in_flight: add(
                to,
                "in_flight",
                "Requests that do not have their answer yet",
            ),
            in_force_since: add_timestamp(
                to,
                "in_force_since_timestamp",
                "When what judges now was put in force",
            ),
            jwks_fetched: add(
                to,
                "jwks_fetched_timestamp_seconds",
                "When the keys of an issuer were last fetched, in seconds since 1970",
            ),
            jwks_fetches: add(
                to,
                "jwks_fetches",
                "Fetches of the keys of an issuer, by issuer and result",
            ),
            jwt: add(
                to,
                "jwt",
                "JSON Web Tokens that were shown to the gate, by issuer and result",
            ),
            journal: add_seconds(
                to,
                "journal",
                "Time a request waits until its record is durable",
                JOURNAL_BUCKETS,
            ),
            journal_failures: add(
                to,
                "journal_failures",
                "Records that could not be made durable",
            ),
            journal_free: add_bytes(
                to,
                "journal_free",
                "Free space on the journal's file system",
            ),
            journal_records: add(to, "journal_records", "Records that are durable"),
            limits: add(
                to,
                "limit_reached",
                "Times that a limit of the gate was reached, by limit",
            ),
            load: LoadGauges::new(to),
            log_dropped: add(
                to,
                "log_dropped",
                "Lines of the log that were lost because it could not be written",
            ),
            lookup: add_seconds(
                to,
                "lookup",
                "Time to look a token up, the wait for other changes of it included",
                UPSTREAM_BUCKETS,
            ),
            lookup_failures: add(to, "lookup_failures", "Tokens that could not be looked up"),
            otlp_failures: add(
                to,
                "otlp_failures",
                "Messages with traces or metrics that the collector did not take, by signal",
            ),
            otlp_spans_dropped: add(
                to,
                "otlp_spans_dropped",
                "Spans of traces that were lost because they could not be sent",
            ),
            panics: add(
                to,
                "panics",
                "Faults of the program that ended a piece of its work",
            ),
            policy: add(to, "policy_info", "The policies that judge now"),
            proxy_headers: add(
                to,
                "proxy_headers",
                "Connections that began with the PROXY protocol, or should have, by outcome",
            ),
            reload_failures: add(
                to,
                "reload_failures",
                "Times that files were read again and refused",
            ),
            reloads: add(
                to,
                "reloads",
                "Times that files were read again and put in force",
            ),
            requests: add(
                to,
                "requests",
                "Answered requests, by route, operation, method and status class",
            ),
            upstream: add_seconds(
                to,
                "upstream",
                "Time until the upstream's answer begins",
                UPSTREAM_BUCKETS,
            ),
            upstream_connections: add(
                to,
                "upstream_connections",
                "Open connections to upstreams, those being made included",
            ),
            violations: add(
                to,
                "violations",
                "Objections of policies, by policy and mode",
            ),
        }
    }
}

impl LoadGauges {
    fn new(to: &mut Registry) -> Self {
        let bytes = "Memory that is held by bodies which are read whole";
        let waiting = "Requests that wait for their turn to be judged";
        Self {
            body_bytes: add(to, "body_bytes", bytes),
            judge_waiting: add(to, "judge_waiting", waiting),
        }
    }

    fn set(&self, load: Load) {
        let number = |held: usize| i64::try_from(held).unwrap_or(i64::MAX);
        self.body_bytes.set(number(load.body_bytes));
        self.judge_waiting.set(number(load.judge_waiting));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Counted {
    fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes a metric and puts it into the list.
fn add<M: Metric + Clone + Default>(to: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    to.register(name, help, metric.clone());
    metric
}

fn add_bytes(to: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    to.register_with_unit(name, help, Unit::Bytes, gauge.clone());
    gauge
}

fn add_timestamp(to: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    to.register_with_unit(name, help, Unit::Seconds, gauge.clone());
    gauge
}

fn add_seconds<const N: usize>(
    to: &mut Registry,
    name: &str,
    help: &str,
    buckets: [f64; N],
) -> Histogram {
    let histogram = Histogram::new(buckets);
    to.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Clients may invent methods; neither metrics nor names of spans grow with them.
pub fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [(Method, &str); 7] = [
        (Method::DELETE, "DELETE"),
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::PATCH, "PATCH"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
    ];
    let known = KNOWN.iter().find(|(known, _)| known == method);
    known.map(|(_, name)| *name)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

/// Around the 20 to 50 microseconds that a judgement takes, up to its time limit.
const EVALUATION_BUCKETS: [f64; 13] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.1, 1.0,
];
/// From a fast disk's sync to a disk that is about to fail.
const JOURNAL_BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5,
];
const UPSTREAM_BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

#[cfg(test)]
mod tests;
