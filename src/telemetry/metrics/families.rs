//! Every metric, with its help: what it counts, and in which unit.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{
    BundleLabels, BundleResultLabels, CertificateLabels, DecisionId, DecisionLabels,
    DestinationLabels, IssuerLabels, IssuerResultLabels, LimitLabels, LoginLabels, OutcomeLabels,
    PolicyLabels, QuestionLabels, ReasonLabels, RequestLabels, ResultLabels, SignalLabels,
    SinkLabels, ViolationLabels,
};
use super::{JournalKept, Load};

pub(super) struct Families {
    pub(super) access_token_failures: Counter,
    pub(super) bytecode_differs: Gauge,
    pub(super) bytecode_trusted: Gauge,
    pub(super) certificate_not_after: Family<CertificateLabels, Gauge>,
    pub(super) certificates_refused: Family<ReasonLabels, Counter>,
    pub(super) challenger: Family<ResultLabels, Counter>,
    pub(super) challenger_refused: Gauge,
    pub(super) checkpoint_failures: Family<DestinationLabels, Counter>,
    pub(super) checkpoint_made: Gauge,
    pub(super) checkpoints: Counter,
    pub(super) connections: Gauge,
    pub(super) console_live: Gauge,
    pub(super) console_logins: Family<LoginLabels, Counter>,
    pub(super) console_requests: Family<ResultLabels, Counter>,
    pub(super) console_sessions: Gauge,
    pub(super) decisions: Family<DecisionLabels, Counter>,
    pub(super) evaluation: HistogramWithExemplars<DecisionId>,
    pub(super) forwarded: Family<ResultLabels, Counter>,
    pub(super) generation: Gauge,
    pub(super) grants_usable: Gauge,
    pub(super) grants_used: Counter,
    pub(super) in_flight: Gauge,
    pub(super) in_force_since: Gauge,
    pub(super) index_behind: Gauge,
    pub(super) index_failures: Gauge,
    pub(super) bundle_fetched: Family<BundleLabels, Gauge>,
    pub(super) bundle_fetches: Family<BundleResultLabels, Counter>,
    pub(super) bundles_unremembered: Gauge,
    pub(super) questions: Family<QuestionLabels, Counter>,
    pub(super) jwks_fetched: Family<IssuerLabels, Gauge>,
    pub(super) jwks_fetches: Family<IssuerResultLabels, Counter>,
    pub(super) jwt: Family<IssuerResultLabels, Counter>,
    pub(super) journal: HistogramWithExemplars<DecisionId>,
    pub(super) journal_dropped: Counter,
    pub(super) journal_drops_ignored: Counter,
    pub(super) journal_failures: Counter,
    pub(super) journal_free: Gauge,
    pub(super) journal_min_free: Gauge,
    pub(super) journal_records: Counter,
    pub(super) limits: Family<LimitLabels, Counter>,
    pub(super) kept: KeptGauges,
    pub(super) load: LoadGauges,
    pub(super) log_dropped: Counter,
    pub(super) lookup: Histogram,
    pub(super) lookup_failures: Counter,
    pub(super) malformed_requests: Counter,
    pub(super) otlp_failures: Family<SignalLabels, Counter>,
    pub(super) otlp_spans_dropped: Counter,
    pub(super) panics: Counter,
    pub(super) policy: Family<PolicyLabels, Gauge<u64, AtomicU64>>,
    pub(super) policy_errors: Counter,
    pub(super) proxy_headers: Family<OutcomeLabels, Counter>,
    pub(super) ready: Gauge,
    pub(super) reload_failures: Counter,
    pub(super) reload_refused: Gauge,
    pub(super) reloads: Counter,
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) sink_behind: Family<SinkLabels, Gauge>,
    pub(super) sink_failures: Family<SinkLabels, Counter>,
    pub(super) sink_lag: Family<SinkLabels, Gauge>,
    pub(super) sink_missing: Family<SinkLabels, Counter>,
    pub(super) sink_records: Family<SinkLabels, Counter>,
    pub(super) upstream: HistogramWithExemplars<DecisionId>,
    pub(super) turns_local: Counter,
    pub(super) turns_ok: Gauge,
    pub(super) upstream_connections: Gauge,
    pub(super) violations: Family<ViolationLabels, Counter>,
}

/// [`JournalKept`], to be read.
pub(super) struct KeptGauges {
    segments: Gauge,
    bytes: Gauge,
    text_bytes: Gauge,
    oldest: Gauge,
    waiting: Gauge,
    failing: Gauge,
}

/// [`Load`], to be read.
pub(super) struct LoadGauges {
    pub(super) body_bytes: Gauge,
    pub(super) judge_waiting: Gauge,
}

impl Families {
    #[expect(clippy::too_many_lines, reason = "the one list of every metric")]
    pub(super) fn register(to: &mut Registry) -> Self {
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
            certificate_not_after: add_with_unit(
                to,
                Unit::Seconds,
                "certificate_not_after_timestamp",
                "When a certificate of the gate ends, in seconds since 1970",
            ),
            certificates_refused: add(
                to,
                "client_certificates_refused",
                "Clients that were not let in, or not kept, for what their certificate is, by reason",
            ),
            challenger: add(
                to,
                "challenger_decisions",
                "Judged requests that were left to the challenger, by what became of them",
            ),
            challenger_refused: add(
                to,
                "challenger_refused",
                "1 when the files of the challenger as they are now were refused",
            ),
            checkpoint_failures: add(
                to,
                "checkpoint_failures",
                "Times that a checkpoint of the journal did not arrive where it was sent, by destination",
            ),
            checkpoint_made: add_with_unit(
                to,
                Unit::Seconds,
                "checkpoint_made_timestamp",
                "When the newest checkpoint of the journal was made, in seconds since 1970",
            ),
            checkpoints: add(to, "checkpoints", "Signed checkpoints of the journal"),
            connections: add(
                to,
                "connections",
                "Open client connections, handshakes included",
            ),
            console_live: add(
                to,
                "console_live",
                "Viewers of the console who look on as decisions come",
            ),
            console_logins: add(
                to,
                "console_logins",
                "Logins to the console, by way and result",
            ),
            console_requests: add(
                to,
                "console_requests",
                "Requests to the console but for style and scripts, by result",
            ),
            console_sessions: add(
                to,
                "console_sessions",
                "Sessions of people who have logged in to the console",
            ),
            decisions: add(to, "decisions", "Judged requests, by operation and verdict"),
            evaluation: add_examples(
                to,
                "evaluation",
                "Time to judge one request by all policies, in seconds",
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
                "Times that files were read again and put in force since the start, as a gauge",
            ),
            grants_usable: add(
                to,
                "grants_usable",
                "One-time grants that could be used now",
            ),
            grants_used: add(
                to,
                "grants_used",
                "Requests that policies deny and a one-time grant has let pass",
            ),
            in_flight: add(
                to,
                "in_flight",
                "Requests that do not have their answer yet",
            ),
            in_force_since: add_with_unit(
                to,
                Unit::Seconds,
                "in_force_since_timestamp",
                "When what judges now was put in force, in seconds since 1970",
            ),
            index_behind: add(
                to,
                "index_behind_records",
                "Records of the journal that are not in its index yet",
            ),
            index_failures: add(
                to,
                "index_failures",
                "Times since the start that the journal could not be indexed, as a gauge",
            ),
            bundle_fetched: add_with_unit(
                to,
                Unit::Seconds,
                "bundle_fetched_timestamp",
                "When the server of a bundle of policies last answered, in seconds since 1970",
            ),
            bundle_fetches: add(
                to,
                "bundle_fetches",
                "Times that a bundle of policies was asked for, by bundle and result",
            ),
            bundles_unremembered: add(
                to,
                "bundles_unremembered",
                "1 when a start would not know which bundles of policies are in force",
            ),
            questions: add(
                to,
                "questions",
                "Questions of operators about what the policies say, by API and result",
            ),
            jwks_fetched: add_with_unit(
                to,
                Unit::Seconds,
                "jwks_fetched_timestamp",
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
            journal: add_examples(
                to,
                "journal",
                "Time that a request waits until its record is durable, in seconds",
                JOURNAL_BUCKETS,
            ),
            journal_dropped: add(
                to,
                "journal_dropped",
                "Refusals and denials that have no record because of a drop rule",
            ),
            journal_drops_ignored: add(
                to,
                "journal_drops_ignored",
                "Allowed requests that a drop rule would leave out and that are recorded all the same",
            ),
            journal_failures: add(
                to,
                "journal_failures",
                "Records that could not be made durable",
            ),
            journal_free: add_with_unit(
                to,
                Unit::Bytes,
                "journal_free",
                "Free space on the journal's file system, in bytes",
            ),
            journal_min_free: add_with_unit(
                to,
                Unit::Bytes,
                "journal_min_free",
                "Free space on the journal's file system that is left to allowed changes, in bytes",
            ),
            journal_records: add(to, "journal_records", "Records that are durable"),
            limits: add(
                to,
                "limit_reached",
                "Times that a limit of the gate was reached, by limit",
            ),
            kept: KeptGauges::new(to),
            load: LoadGauges::new(to),
            log_dropped: add(
                to,
                "log_dropped",
                "Lines of the log that were lost because it could not be written",
            ),
            lookup: add_seconds(
                to,
                "lookup",
                "Time to look a token up, the wait for other changes of it included, in seconds",
                LOOKUP_BUCKETS,
            ),
            lookup_failures: add(to, "lookup_failures", "Tokens that could not be looked up"),
            malformed_requests: add(
                to,
                "malformed_requests",
                "Requests of HTTP/1 whose head could not be read, and that have no line in the log",
            ),
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
            policy: add(
                to,
                "policy_info",
                "Always 1; the label has the digest of the policies that judge now",
            ),
            policy_errors: add(
                to,
                "policy_errors",
                "Objections that stand for a policy which could not be asked",
            ),
            proxy_headers: add(
                to,
                "proxy_headers",
                "Connections that began with the PROXY protocol, or should have, by outcome",
            ),
            ready: add(to, "ready", "1 when /readyz answers 200, else 0"),
            reload_failures: add(
                to,
                "reload_failures",
                "Times that files were read again and refused",
            ),
            reload_refused: add(
                to,
                "reload_refused",
                "1 when the files as they are now were refused, so that others are in force",
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
            sink_behind: add(
                to,
                "sink_behind_records",
                "Records on disk that have not arrived at a sink yet",
            ),
            sink_failures: add(
                to,
                "sink_failures",
                "Times that records did not arrive at a sink, each attempt counted",
            ),
            sink_lag: add_with_unit(
                to,
                Unit::Seconds,
                "sink_lag",
                "Time since a sink had everything that was on disk, in seconds; 0 while it has",
            ),
            sink_missing: add(
                to,
                "sink_missing_records",
                "Records that a sink will never get: refused and left out, damaged, or deleted before it was there",
            ),
            sink_records: add(to, "sink_records", "Records that have arrived at a sink"),
            turns_local: add(
                to,
                "turns_local",
                "Changes that went on without a turn among all gates, where gates take turns by the store",
            ),
            turns_ok: add(
                to,
                "turns_ok",
                "1 when turns can be had from the store, or the gate takes turns by itself",
            ),
            upstream: add_examples(
                to,
                "upstream",
                "Time from sending a request until the upstream's answer begins, in seconds",
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

impl KeptGauges {
    fn new(to: &mut Registry) -> Self {
        let on_disk = "Size of the journal's segments on disk, in bytes";
        let text = "Size of the journal's segments as they were written, in bytes";
        let oldest = "When the journal's oldest record was written, in seconds since 1970";
        let waiting = "Segments that are to be deleted and may not be yet";
        let failing = "1 when closed segments of the journal cannot be compressed or deleted";
        Self {
            segments: add(to, "journal_segments", "Segments of the journal"),
            bytes: add_with_unit(to, Unit::Bytes, "journal_size", on_disk),
            text_bytes: add_with_unit(to, Unit::Bytes, "journal_text", text),
            oldest: add_with_unit(to, Unit::Seconds, "journal_oldest_timestamp", oldest),
            waiting: add(to, "journal_segments_waiting", waiting),
            failing: add(to, "journal_keep_failing", failing),
        }
    }

    pub(super) fn set(&self, kept: JournalKept) {
        let number = |held: u64| i64::try_from(held).unwrap_or(i64::MAX);
        self.segments.set(number(kept.segments));
        self.bytes.set(number(kept.bytes));
        self.text_bytes.set(number(kept.text_bytes));
        let oldest = kept.oldest.map_or(0, jiff::Timestamp::as_second);
        self.oldest.set(oldest);
        self.waiting.set(number(kept.waiting));
        self.failing.set(kept.failing.into());
    }
}

impl LoadGauges {
    fn new(to: &mut Registry) -> Self {
        let bytes = "Memory that is held by bodies which are read whole, in bytes";
        let waiting = "Requests that wait for their turn to be judged";
        Self {
            body_bytes: add_with_unit(to, Unit::Bytes, "body", bytes),
            judge_waiting: add(to, "judge_waiting", waiting),
        }
    }

    pub(super) fn set(&self, load: Load) {
        let number = |held: usize| i64::try_from(held).unwrap_or(i64::MAX);
        self.body_bytes.set(number(load.body_bytes));
        self.judge_waiting.set(number(load.judge_waiting));
    }
}

/// Makes a metric and puts it into the list.
fn add<M: Metric + Clone + Default>(to: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    to.register(name, help, metric.clone());
    metric
}

/// The same for one that is measured in a unit, which its name ends in.
fn add_with_unit<M: Metric + Clone + Default>(
    to: &mut Registry,
    unit: Unit,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    to.register_with_unit(name, help, unit, metric.clone());
    metric
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

/// A histogram whose buckets each show the last decision that fell into them.
fn add_examples<const N: usize>(
    to: &mut Registry,
    name: &str,
    help: &str,
    buckets: [f64; N],
) -> HistogramWithExemplars<DecisionId> {
    let histogram = HistogramWithExemplars::new(buckets.into_iter());
    to.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Around the 20 to 50 microseconds that a judgement takes, up to its time limit of 100 ms and what each rule may take
/// on its own after that.
const EVALUATION_BUCKETS: [f64; 15] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 1.0,
];
/// From a fast disk's sync to a disk that is about to fail, up to `journal.timeout`.
const JOURNAL_BUCKETS: [f64; 13] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0,
];
/// Up to `lookup.timeout`, twice: for the wait, and for the answer.
const LOOKUP_BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Up to `upstream.response_timeout`.
const UPSTREAM_BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
