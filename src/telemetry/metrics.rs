//! Every metric of the gate, in one list, as `OpenMetrics` text.
//!
//! Label values are constants of our own code or names of loaded policies, never text of a client, so the
//! number of series is bounded by the configuration. Counting is a hash and an atomic addition.

mod asked;
mod classic;
mod families;
mod labels;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Limit;
use crate::dynatrace::redact::Redacted;
use asked::Sources;
pub use asked::{Evaluator, JournalKept, Load, SinkLoad};
use families::Families;
pub use labels::known_method;
use labels::{
    BuildLabels, BundleLabels, BundleResultLabels, CertificateLabels, DecisionLabels,
    DestinationLabels, IssuerLabels, IssuerResultLabels, LimitLabels, LoginLabels, OutcomeLabels,
    PolicyLabels, QuestionLabels, ReasonLabels, RequestLabels, ResultLabels, SignalLabels,
    SinkLabels, ViolationLabels, class,
};

/// The type of what `Metrics::encode` returns.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The type of what `Metrics::encode_classic` returns.
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

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
    sources: Sources,
}

impl Metrics {
    /// `version` is that of the program.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("dtgate");
        let to = &mut registry;
        let build = Info::new(BuildLabels { version });
        let help = "Always 1; the label has the version of the program";
        to.register("build", help, build);
        let families = Families::register(to);
        // All from the start: a limit that was never reached shows as 0.
        for limit in Limit::ALL {
            drop(families.limits.get_or_create(&LimitLabels::of(*limit)));
        }
        // Whoever takes turns by himself always has them.
        families.turns_ok.set(1);
        Self(Arc::new(Inner {
            registry,
            families,
            sources: Sources::default(),
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

    /// One judged request.
    pub fn decision(&self, operation: &'static str, verdict: &'static str) {
        let labels = DecisionLabels { operation, verdict };
        self.0.families.decisions.get_or_create(&labels).inc();
    }

    /// How long all policies took for one request; its decision's id, if the journal has it.
    pub fn evaluated(&self, took: Duration, decision: Option<&Redacted>) {
        let example = decision.map(Into::into);
        let evaluation = &self.0.families.evaluation;
        evaluation.observe(took.as_secs_f64(), example, None);
    }

    /// One objection. `policy` has to be the name of a loaded one.
    pub fn violation(&self, policy: &str, mode: &str) {
        let labels = ViolationLabels {
            policy: policy.to_owned(),
            mode: mode.to_owned(),
        };
        self.0.families.violations.get_or_create(&labels).inc();
    }

    /// A policy could not be asked about a request, which is denied for that.
    pub fn policy_failed(&self) {
        self.0.families.policy_errors.inc();
    }

    /// A record of this decision is durable, `waited` after it was handed to the journal.
    pub fn recorded(&self, waited: Duration, decision: &Redacted) {
        self.0.families.journal_records.inc();
        let journal = &self.0.families.journal;
        journal.observe(waited.as_secs_f64(), Some(decision.into()), None);
    }

    pub fn record_failed(&self) {
        self.0.families.journal_failures.inc();
    }

    /// A drop rule left out the record of what was refused or denied.
    pub fn record_dropped(&self) {
        self.0.families.journal_dropped.inc();
    }

    /// A drop rule would have left out what was allowed.
    pub fn drop_ignored(&self) {
        self.0.families.journal_drops_ignored.inc();
    }

    /// A request that policies deny passed by a grant.
    pub fn grant_used(&self) {
        self.0.families.grants_used.inc();
    }

    /// How many grants could be used now.
    pub fn grants_usable(&self, count: usize) {
        let gauge = &self.0.families.grants_usable;
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A change goes on. `is_alone`: another gate may change the token at the same time.
    pub fn goes_on(&self, is_alone: bool) {
        self.0.families.turns_local.inc_by(is_alone.into());
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

    /// The keys of an issuer will be asked for. An alarm on failures needs a 0 from which they rise.
    pub fn keys_will_be_fetched(&self, issuer: &str) {
        for result in ["failed", "ok"] {
            let issuer = issuer.to_owned();
            let labels = IssuerResultLabels { issuer, result };
            drop(self.0.families.jwks_fetches.get_or_create(&labels));
        }
    }

    /// The keys of an issuer are those of this moment.
    pub fn keys_are_of(&self, issuer: &str, moment: jiff::Timestamp) {
        let labels = IssuerLabels {
            issuer: issuer.to_owned(),
        };
        let gauge = self.0.families.jwks_fetched.get_or_create(&labels);
        gauge.set(moment.as_second());
    }

    /// A bundle will be fetched, and was last fetched then. `bundle` has to be a name of the configuration.
    pub fn bundle_will_be_fetched(&self, bundle: &str, last: Option<jiff::Timestamp>) {
        for result in ["failed", "ok"] {
            let bundle = bundle.to_owned();
            let labels = BundleResultLabels { bundle, result };
            drop(self.0.families.bundle_fetches.get_or_create(&labels));
        }
        let labels = BundleLabels {
            bundle: bundle.to_owned(),
        };
        let gauge = self.0.families.bundle_fetched.get_or_create(&labels);
        gauge.set(last.map_or(0, jiff::Timestamp::as_second));
    }

    /// A bundle was asked for; `when`: its server has answered then.
    pub fn bundle_fetched(&self, bundle: &str, when: Option<jiff::Timestamp>) {
        let result = if when.is_some() { "ok" } else { "failed" };
        let bundle = bundle.to_owned();
        let labels = BundleResultLabels {
            bundle: bundle.clone(),
            result,
        };
        self.0.families.bundle_fetches.get_or_create(&labels).inc();
        if let Some(when) = when {
            let gauge = self
                .0
                .families
                .bundle_fetched
                .get_or_create(&BundleLabels { bundle });
            gauge.set(when.as_second());
        }
    }

    /// Somebody has asked what the policies say. `api` and `result` are words of ours.
    pub fn asked(&self, api: &'static str, result: &'static str) {
        let labels = QuestionLabels { api, result };
        self.0.families.questions.get_or_create(&labels).inc();
    }

    /// The console has answered somebody.
    pub fn console_answered(&self, status: StatusCode) {
        let result = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                "refused"
            }
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_success() => "answered",
            status if status.is_redirection() => "redirected",
            status if status.is_server_error() => "failed",
            _ => "invalid",
        };
        let labels = ResultLabels { result };
        self.0
            .families
            .console_requests
            .get_or_create(&labels)
            .inc();
    }

    /// People can log in to the console in this way. All results from the start: one that never was shows as 0.
    pub fn console_asks(&self, way: &'static str) {
        for result in ["good", "refused", "limited", "failed"] {
            let labels = LoginLabels { way, result };
            drop(self.0.families.console_logins.get_or_create(&labels));
        }
    }

    /// Somebody has tried to log in to the console. `way` and `result` are words of ours.
    pub fn console_login(&self, way: &'static str, result: &'static str) {
        let labels = LoginLabels { way, result };
        self.0.families.console_logins.get_or_create(&labels).inc();
    }

    /// What became of a judged request before the challenger.
    pub fn challenged(&self, result: &'static str) {
        let labels = ResultLabels { result };
        self.0.families.challenger.get_or_create(&labels).inc();
    }

    /// There is a challenger. An alarm on its results needs a 0 from which they rise.
    pub fn will_be_challenged(&self, results: &[&'static str]) {
        for result in results {
            drop(
                self.0
                    .families
                    .challenger
                    .get_or_create(&ResultLabels { result }),
            );
        }
    }

    /// Whether a start would know which bundles are in force.
    pub fn bundles_remembered(&self, are: bool) {
        self.0.families.bundles_unremembered.set((!are).into());
    }

    /// Whether the files of the challenger were refused.
    pub fn challenger_is_refused(&self, is_refused: bool) {
        self.0.families.challenger_refused.set(is_refused.into());
    }

    /// What was made of a field in which proxies say for whom they ask.
    pub fn forwarded(&self, result: &'static str) {
        let labels = ResultLabels { result };
        self.0.families.forwarded.get_or_create(&labels).inc();
    }

    /// The upstream began to answer; the decision's id, if the request was guarded.
    pub fn upstream_answered(&self, took: Duration, decision: Option<&Redacted>) {
        let example = decision.map(Into::into);
        let upstream = &self.0.families.upstream;
        upstream.observe(took.as_secs_f64(), example, None);
    }

    /// A limit was reached: somebody waited too long, sent too much, or was one too many.
    pub fn reached(&self, limit: Limit) {
        self.0
            .families
            .limits
            .get_or_create(&LimitLabels::of(limit))
            .inc();
    }

    /// The certificates that the gate shows are these: to whom, from which file, and until when they are good. Names
    /// of files are of the configuration.
    pub fn certificates_are(
        &self,
        certificates: impl IntoIterator<Item = (&'static str, String, jiff::Timestamp)>,
    ) {
        let ends = &self.0.families.certificate_not_after;
        ends.clear();
        for (shown_to, file, not_after) in certificates {
            let labels = CertificateLabels { shown_to, file };
            ends.get_or_create(&labels).set(not_after.as_second());
        }
    }

    /// A client was not let in, or not kept, for what its certificate is.
    pub fn certificate_refused(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        let refused = &self.0.families.certificates_refused;
        refused.get_or_create(&labels).inc();
    }

    /// Clients may be refused for this. An alarm on that needs a 0 from which it rises.
    pub fn certificates_may_be_refused(&self, reason: &'static str) {
        let refused = &self.0.families.certificates_refused;
        drop(refused.get_or_create(&ReasonLabels { reason }));
    }

    /// A client sent what is no request of HTTP/1.
    pub fn malformed(&self) {
        self.0.families.malformed_requests.inc();
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

    /// Messages of this kind will be sent by OTLP. An alarm on failures needs a 0 from which they rise.
    pub fn otlp_will_be_sent(&self, signal: &'static str) {
        let failures = &self.0.families.otlp_failures;
        drop(failures.get_or_create(&SignalLabels { signal }));
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
        families.reload_refused.set(0);
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

    /// The journal has another checkpoint.
    pub fn checkpoint_made(&self, at: jiff::Timestamp) {
        self.0.families.checkpoints.inc();
        self.0.families.checkpoint_made.set(at.as_second());
    }

    /// Checkpoints go to a destination of this kind. An alarm on failures needs a 0 from which they rise.
    pub fn checkpoints_will_be_sent(&self, destination: &'static str) {
        let failures = &self.0.families.checkpoint_failures;
        drop(failures.get_or_create(&DestinationLabels { destination }));
    }

    /// A checkpoint did not arrive at a destination of this kind.
    pub fn checkpoint_not_sent(&self, destination: &'static str) {
        let labels = DestinationLabels { destination };
        let failures = &self.0.families.checkpoint_failures;
        failures.get_or_create(&labels).inc();
    }

    /// Records go to this sink. An alarm needs a 0 from which numbers rise.
    pub fn will_be_shipped(&self, sink: &str) {
        let (families, labels) = (&self.0.families, SinkLabels::of(sink));
        drop(families.sink_failures.get_or_create(&labels));
        drop(families.sink_missing.get_or_create(&labels));
        drop(families.sink_records.get_or_create(&labels));
    }

    /// Records have arrived at a sink.
    pub fn shipped(&self, sink: &str, records: u64) {
        let arrived = &self.0.families.sink_records;
        arrived.get_or_create(&SinkLabels::of(sink)).inc_by(records);
    }

    /// Records did not arrive at a sink.
    pub fn shipping_failed(&self, sink: &str) {
        let failures = &self.0.families.sink_failures;
        failures.get_or_create(&SinkLabels::of(sink)).inc();
    }

    /// A sink will never get these records.
    pub fn records_not_shipped(&self, sink: &str, records: u64) {
        let missing = &self.0.families.sink_missing;
        missing.get_or_create(&SinkLabels::of(sink)).inc_by(records);
    }

    /// An access token of the gate's own could not be had.
    pub fn access_token_failed(&self) {
        self.0.families.access_token_failures.inc();
    }

    /// Files were read again, and refused.
    pub fn reload_failed(&self) {
        self.0.families.reload_failures.inc();
        self.0.families.reload_refused.set(1);
    }

    /// The files are again those that are in force.
    pub fn refused_files_are_gone(&self) {
        self.0.families.reload_refused.set(0);
    }

    /// How much room of the journal's disk is left to allowed changes.
    pub fn journal_keeps_free(&self, bytes: u64) {
        let gauge = &self.0.families.journal_min_free;
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// All metrics as `OpenMetrics` text.
    pub fn encode(&self) -> String {
        self.ask();
        let mut text = String::with_capacity(16 << 10);
        text::encode(&mut text, &self.0.registry).expect("a string takes every write");
        text
    }

    /// All metrics in the text format 0.0.4 of Prometheus, which has no exemplars.
    pub fn encode_classic(&self) -> String {
        classic::classic(&self.encode())
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

#[cfg(test)]
mod tests;
