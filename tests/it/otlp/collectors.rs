//! Metrics by OTLP, and what becomes of both where a collector refuses, is busy or is none: it costs no request anything.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};
use prost::Message;

use super::{
    PARENT, TAKEN, TRACE, WAY, collector, configured, counted, send, spans, texts, trace, traced,
};
use crate::alerts::{Scrape, look};
use crate::harness::{BAD, GOOD, Seen, TOKEN, Upstream, eventually, exchange};

#[test]
fn a_collector_that_is_none_costs_no_request_anything_and_is_counted() {
    let upstream = Upstream::lenient();
    let refusing = collector("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let elsewhere =
        collector("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    // It takes connections, and nothing else.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    for address in [
        refusing.address,
        elsewhere.address,
        silent.local_addr().unwrap(),
        nowhere,
    ] {
        let config = format!(
            "[otlp]\nendpoint = 'http://{address}'\ntimeout = '50ms'\n[otlp.traces]\ninterval = '1ms'\nqueue = 2\n"
        );
        let gate = configured(upstream.address, &config);
        eventually("traces that are lost are counted", || {
            assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
            let is_lost = counted(&gate, "dtgate_otlp_spans_dropped_total") > 0;
            let has_failed = counted(&gate, r#"dtgate_otlp_failures_total{signal="traces"}"#) > 0;
            (is_lost && has_failed).then_some(())
        });
        assert_eq!(send(&gate, "PUT", TOKEN, "", GOOD).status, 204);
        // It is said once, however often it happens.
        let said = gate
            .log()
            .matches("OTLP: the collector does not take it")
            .count();
        assert_eq!(said, 1, "{}", gate.log());
    }
}

/// The collector takes metrics, and then it does not any more: what Prometheus reads before and after.
pub(crate) fn collector_gone() -> [Scrape; 2] {
    let works = Arc::new(AtomicBool::new(true));
    let does = works.clone();
    let collector = Upstream::answering_all(move |_| {
        let answer = if does.load(Ordering::Relaxed) {
            TAKEN
        } else {
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        };
        answer.as_bytes().to_vec()
    });
    let upstream = Upstream::lenient();
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.metrics]\ninterval = '10ms'\n",
        collector.address
    );
    let gate = configured(upstream.address, &config);
    eventually("metrics are sent", || collector.seen().pop());
    let before = look(gate.admin);
    works.store(false, Ordering::Relaxed);
    let after = eventually("it fails again and again", || {
        let failures = counted(&gate, r#"dtgate_otlp_failures_total{signal="metrics"}"#);
        (failures > 10).then(|| look(gate.admin))
    });
    [before, after]
}

/// The collector refuses what is sent to it.
pub(crate) fn collector_refusing() -> [Scrape; 2] {
    let collector = collector("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let upstream = Upstream::lenient();
    let gate = traced(upstream.address, collector.address, "");
    let before = look(gate.admin);
    assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
    let after = eventually("spans are lost", || {
        let lost = counted(&gate, "dtgate_otlp_spans_dropped_total");
        (lost > 0).then(|| look(gate.admin))
    });
    [before, after]
}

#[test]
fn a_queue_that_is_full_is_a_limit() {
    let upstream = Upstream::lenient();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.traces]\ninterval = '1ms'\nqueue = 1\n",
        silent.local_addr().unwrap()
    );
    let gate = configured(upstream.address, &config);
    eventually("the queue is full", || {
        assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
        let reached = counted(&gate, r#"dtgate_limit_reached_total{limit="otlp_queue"}"#);
        (reached > 0).then_some(())
    });
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let busy = Upstream::answering_all(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => TAKEN.as_bytes().to_vec(),
    });
    let upstream = Upstream::lenient();
    let gate = traced(upstream.address, busy.address, "");
    assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
    let messages = eventually("it is asked again", || {
        Some(busy.seen()).filter(|messages| messages.len() == 2)
    });
    assert_eq!(messages[0].body, messages[1].body);
    eventually("it is said that it goes on", || {
        gate.log()
            .contains("OTLP: the collector takes it again")
            .then_some(())
    });
    assert_eq!(counted(&gate, "dtgate_otlp_spans_dropped_total"), 0);
}

#[test]
fn what_waits_is_sent_at_the_end() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.traces]\ninterval = '1h'\n[otlp.metrics]\ninterval = '1h'\n",
        collector.address
    );
    let mut gate = configured(upstream.address, &config);
    for _ in 0..300 {
        assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
    }
    gate.signal("TERM");
    assert!(gate.wait().success());
    assert_eq!(spans(&collector).len(), 4 * 300);
    let last = metrics(&collector);
    assert_eq!(counter(&last, "dtgate_requests_total"), 300);
}

#[test]
fn the_end_does_not_wait_for_a_collector_that_is_none() {
    let upstream = Upstream::lenient();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[listener]\ndrain_timeout = '1s'\n[otlp]\nendpoint = 'http://{}'\ntimeout = '1h'\n[otlp.traces]\n",
        silent.local_addr().unwrap()
    );
    let mut gate = configured(upstream.address, &config);
    assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
    gate.signal("TERM");
    // It would take an hour.
    assert!(gate.wait().success());
    let records = gate.records();
    assert_eq!(records.last().unwrap()["kind"], "stop");
}

/// The metrics that a collector has got last.
fn metrics(collector: &Upstream) -> Vec<Metric> {
    let seen = collector.seen();
    let of_metrics = |seen: &&Seen| seen.line.starts_with("POST /v1/metrics ");
    let Some(last) = seen.iter().rev().find(of_metrics) else {
        return Vec::new();
    };
    let message = ExportMetricsServiceRequest::decode(&*last.body).unwrap();
    let resources = message.resource_metrics.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn counter(metrics: &[Metric], name: &str) -> i64 {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    let found = metrics.iter().find(|metric| metric.name == name);
    let Some(metric::Data::Sum(sum)) = found.and_then(|metric| metric.data.as_ref()) else {
        return 0;
    };
    let values = sum.data_points.iter().map(|point| match point.value {
        Some(Value::AsInt(value)) => value,
        other => panic!("{other:?}"),
    });
    values.sum()
}

#[test]
fn metrics_are_those_of_prometheus_and_secrets_come_from_a_file() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let files = tempfile::tempdir().unwrap();
    let headers = files.path().join("headers");
    std::fs::write(&headers, "Authorization: Api-Token hunter2\n").unwrap();
    let config = format!(
        "[otlp]\nendpoint = 'http://{}/api/v2/otlp'\nheaders_file = '{}'\n[otlp.metrics]\ninterval = '10ms'\n",
        collector.address,
        headers.display()
    );
    let gate = configured(upstream.address, &config);
    assert_eq!(send(&gate, "PUT", TOKEN, PARENT, GOOD).status, 204);
    let seen = eventually("metrics", || {
        let of_one = |seen: &Seen| {
            let message = ExportMetricsServiceRequest::decode(&*seen.body).unwrap();
            let mut resources = message.resource_metrics.into_iter();
            let metrics = resources.next().unwrap().scope_metrics.remove(0).metrics;
            (counter(&metrics, "dtgate_requests_total") == 1).then_some((seen.clone(), metrics))
        };
        collector.seen().iter().find_map(of_one)
    });
    let (message, sent) = seen;
    assert!(
        message.line.starts_with("POST /api/v2/otlp/v1/metrics "),
        "{}",
        message.line
    );
    assert_eq!(message.header("authorization"), Some("Api-Token hunter2"));
    std::fs::write(&headers, "Authorization: Api-Token hunter3\n").unwrap();
    eventually("a new secret is used", || {
        let last = collector.seen().pop().unwrap();
        (last.header("authorization") == Some("Api-Token hunter3")).then_some(())
    });
    assert!(!gate.log().contains("hunter"));
    // Traces are off.
    assert!(
        upstream.seen()[0]
            .header("traceparent")
            .unwrap()
            .contains("b7ad6b7169203331")
    );
    let text = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let fetched: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| {
            let mut of_histogram = ["_bucket", "_sum", "_count"].iter();
            let base = of_histogram.find_map(|end| name.strip_suffix(end));
            base.unwrap_or(name).to_owned()
        })
        .collect();
    let sent: BTreeSet<String> = sent.into_iter().map(|metric| metric.name).collect();
    assert_eq!(sent, fetched);
}

#[test]
fn a_secret_does_not_cross_a_network_in_plain_sight() {
    let files = tempfile::tempdir().unwrap();
    let headers = files.path().join("headers");
    std::fs::write(&headers, "Authorization: Api-Token hunter2\n").unwrap();
    let check = |endpoint: &str, headers: &std::path::Path| {
        let file = files.path().join("dtgate.toml");
        let (endpoint, more) = endpoint.split_once(' ').unwrap_or((endpoint, ""));
        let config = format!(
            "upstream.url = 'http://127.0.0.1:1'\n[otlp]\nendpoint = '{endpoint}'\nheaders_file = '{}'\n{more}\n",
            headers.display()
        );
        std::fs::write(&file, config).unwrap();
        let output = crate::harness::program()
            .args(["check", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert!(check("https://collector.example", &headers).0);
    assert!(check("http://127.0.0.1:4318", &headers).0);
    let (is_well, said) = check("http://collector.example:4318", &headers);
    assert!(!is_well && said.contains("use https://"), "{said}");
    let by_proxy = "proxy = 'http://proxy.example:3128'";
    assert!(check(&format!("https://collector.example {by_proxy}"), &headers).0);
    let (is_well, said) = check(&format!("http://127.0.0.1:4318 {by_proxy}"), &headers);
    assert!(
        !is_well && said.contains("a proxy reads what goes to http://"),
        "{said}"
    );
    let (is_well, said) = check("https://collector.example", &files.path().join("nothing"));
    assert!(!is_well && said.contains("headers_file"), "{said}");
    std::fs::write(&headers, "hunter2\n").unwrap();
    let (is_well, said) = check("https://collector.example", &headers);
    assert!(
        !is_well && said.contains("line 1") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn no_proxy_is_asked_for_a_collector_on_this_machine() {
    let (collector, proxy) = (collector(TAKEN), Upstream::lenient());
    let upstream = Upstream::lenient();
    let gate = traced(
        upstream.address,
        collector.address,
        &format!("proxy = 'http://{}'", proxy.address),
    );
    assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
    trace(&collector);
    assert_eq!(proxy.seen().len(), 0);
}

#[test]
fn mistakes_are_found_before_the_start_and_what_may_be_one_is_said() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("dtgate.toml");
    let check = |section: &str, more: &[&str]| {
        let config = format!("upstream.url = 'http://127.0.0.1:1'\n[otlp]\n{section}\n");
        std::fs::write(&file, config).unwrap();
        let output = crate::harness::program()
            .args(["check", "--config", file.to_str().unwrap()])
            .args(more)
            .env("OTEL_RESOURCE_ATTRIBUTES", "")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let local = "endpoint = 'http://127.0.0.1:4318'";
    for (section, wanted) in [
        (
            "endpoint = 'http://127.0.0.1:4318/v1/metrics'",
            "dtgate.toml:3:12: an endpoint is written",
        ),
        (
            "endpoint = 'http://127.0.0.1:65536'",
            "a port is at most 65535",
        ),
        (
            &format!("{local}\n[otlp.traces]\nqueue = 9223372036854775807"),
            "dtgate.toml:5:9: a queue has room for",
        ),
        (
            &format!("{local}\n[otlp.resource]\na = ''"),
            "a name of an attribute has",
        ),
    ] {
        let (is_well, said) = check(section, &[]);
        assert!(!is_well && said.contains(wanted), "{section}: {said}");
    }
    for (section, wanted) in [
        (local, "dtgate.toml:2:2: otlp: nothing is sent"),
        (
            "endpoint = 'https://a.live.dynatrace.com/api/v2/otlp'\n[otlp.metrics]",
            "otlp.metrics: this looks like Dynatrace's endpoint",
        ),
        (
            "endpoint = 'http://127.0.0.1:4317'\n[otlp.traces]",
            "4317 is the port of OTLP over gRPC",
        ),
        (
            "endpoint = 'http://collector.example:4318'\n[otlp.traces]",
            "cross the network readable",
        ),
    ] {
        let (is_well, said) = check(section, &[]);
        assert!(is_well && said.contains(wanted), "{section}: {said}");
        assert!(!check(section, &["--strict"]).0, "{section}");
    }
}

#[test]
fn the_gate_says_who_it_is_and_is_known_again() {
    let collector = collector(TAKEN);
    let upstream = Upstream::lenient();
    let more = "[otlp.resource]\n'service.instance.id' = 'gate-0'\n'deployment.environment.name' = 'prod'\n";
    let told = |more: &str| {
        let before = collector.seen().len();
        let gate = traced(upstream.address, collector.address, more);
        assert_eq!(send(&gate, "GET", "/api/v2/metrics", "", "").status, 204);
        let message = eventually("a trace", || collector.seen().get(before).cloned());
        let mut message = ExportTraceServiceRequest::decode(&*message.body).unwrap();
        texts(
            &message
                .resource_spans
                .remove(0)
                .resource
                .unwrap()
                .attributes,
        )
    };
    let (first, again) = (told(""), told(""));
    assert_eq!(first, again);
    assert!(
        first["service.instance.id"].ends_with("/127.0.0.1:0"),
        "{first:?}"
    );
    let other = told(more);
    assert_eq!(other["service.instance.id"], "gate-0");
    assert_eq!(other["deployment.environment.name"], "prod");
}

/// Counts of a message with differences: what is in them, and the time for which they are.
fn deltas(message: &Seen) -> (i64, u64, [u64; 2]) {
    let message = ExportMetricsServiceRequest::decode(&*message.body).unwrap();
    let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
    let delta = AggregationTemporality::Delta;
    let Some(metric::Data::Histogram(histogram)) = &named("dtgate_journal_seconds").data else {
        panic!("{metrics:?}");
    };
    let Some(metric::Data::Sum(sum)) = &named("dtgate_limit_reached_total").data else {
        panic!("{metrics:?}");
    };
    assert_eq!(
        (
            histogram.aggregation_temporality(),
            sum.aggregation_temporality()
        ),
        (delta, delta)
    );
    let point = &histogram.data_points[0];
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
    let time = [point.start_time_unix_nano, point.time_unix_nano];
    assert_eq!(
        time,
        [
            sum.data_points[0].start_time_unix_nano,
            sum.data_points[0].time_unix_nano
        ]
    );
    (counter(metrics, "dtgate_requests_total"), point.count, time)
}

#[test]
fn differences_that_are_not_taken_are_in_the_next_message() {
    let asked = Arc::new(AtomicUsize::new(0));
    let number = asked.clone();
    let collector = Upstream::answering_all(move |_| {
        let answer = match number.fetch_add(1, Ordering::Relaxed) {
            0 | 2 | 3 => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            5 => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            _ => TAKEN,
        };
        answer.as_bytes().to_vec()
    });
    let upstream = Upstream::lenient();
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.metrics]\ninterval = '10ms'\ntemporality = 'delta'\n",
        collector.address
    );
    let mut gate = configured(upstream.address, &config);
    let mut sent = 0;
    eventually("some are taken and some are not", || {
        assert_eq!(send(&gate, "PUT", TOKEN, "", GOOD).status, 204);
        sent += 1;
        (asked.load(Ordering::Relaxed) > 8).then_some(())
    });
    gate.signal("TERM");
    assert!(gate.wait().success());

    let seen = collector.seen();
    let (mut requests, mut records, mut end) = (0, 0, None);
    for (number, message) in seen.iter().enumerate() {
        let (of_requests, of_records, [from, to]) = deltas(message);
        assert!(from <= to && end.is_none_or(|end| end == from), "{number}");
        if !matches!(number, 0 | 2 | 3 | 5) {
            (requests, records) = (requests + of_requests, records + of_records);
            end = Some(to);
        }
    }
    // A change has two records: its decision, and its outcome.
    // A change has two records: its decision, and its outcome.
    assert_eq!(
        (requests, records),
        (sent, 2 * u64::try_from(sent).unwrap())
    );
}

/// The collector that `.ci/run` builds from `tests/clients/otelcol.yaml`.
fn otelcol() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("otelcol/build/otelcol")
}

/// A real collector, which writes down what it understood. It is killed when this is dropped.
struct Otelcol {
    child: std::process::Child,
    address: SocketAddr,
    said: PathBuf,
}

impl Otelcol {
    fn start(directory: &std::path::Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (config, said) = (directory.join("otelcol.yaml"), directory.join("said"));
        let text = format!(
            "receivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: {address}\n\
             exporters:\n  debug:\n    verbosity: detailed\n\
             service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n\
             \x20   traces:\n      receivers: [otlp]\n      exporters: [debug]\n\
             \x20   metrics:\n      receivers: [otlp]\n      exporters: [debug]\n\
             \x20   logs:\n      receivers: [otlp]\n      exporters: [debug]\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = std::process::Command::new(otelcol())
            .arg("--config")
            .arg(&config)
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let collector = Self {
            child,
            address,
            said,
        };
        eventually("the collector serves", || {
            std::net::TcpStream::connect(address).ok()
        });
        collector
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }
}

impl Drop for Otelcol {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "needs an OpenTelemetry collector, which .ci/run builds"]
fn needs_otelcol_a_real_collector_understands_traces_and_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Otelcol::start(directory.path());
    let upstream = Upstream::lenient();
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.traces]\ninterval = '10ms'\n[otlp.metrics]\ninterval = '100ms'\n",
        collector.address
    );
    let gate = configured(upstream.address, &config);
    let answered = send(&gate, "PUT", TOKEN, PARENT, GOOD);
    let decision = answered.header("dtgate-decision-id").unwrap();
    let parent = upstream.seen()[0].header("traceparent").unwrap().to_owned();
    let forwarded = parent.split('-').nth(2).unwrap();
    let said = eventually("it understands all of it", || {
        let said = collector.said();
        let all = [
            format!("dtgate.decision.id: Str({decision})"),
            format!("Trace ID       : {TRACE}"),
            "Parent ID      : b7ad6b7169203331".to_owned(),
            format!("ID             : {forwarded}"),
            "Name           : PUT token.update".to_owned(),
            "Kind           : Server".to_owned(),
            "Name: dtgate_requests_total".to_owned(),
            "Name: dtgate_evaluation_seconds".to_owned(),
        ];
        all.iter().all(|line| said.contains(line)).then_some(said)
    });
    for step in WAY {
        assert!(
            said.contains(&format!("Name           : {step}\n")),
            "{step}: {said}"
        );
    }
}

#[test]
#[ignore = "needs an OpenTelemetry collector, which .ci/run builds"]
fn needs_otelcol_a_real_collector_understands_records() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Otelcol::start(directory.path());
    let upstream = Upstream::lenient();
    let config = format!("[ship.otlp.siem]\nurl = 'http://{}'\n", collector.address);
    let gate = configured(upstream.address, &config);
    let answered = send(&gate, "PUT", TOKEN, "", BAD);
    let decision = answered.header("dtgate-decision-id").unwrap();
    eventually("it understands all of it", || {
        let said = collector.said();
        let all = [
            format!("dtgate.decision.id: Str({decision})"),
            "EventName: dtgate.decision".to_owned(),
            "SeverityText: WARN".to_owned(),
            "SeverityNumber: Warn(13)".to_owned(),
            "Body: Str({\"seq\":".to_owned(),
            "dtgate.seq: Int(".to_owned(),
            "service.name: Str(dtgate)".to_owned(),
            "dtgate.gate: Str(dtgate/".to_owned(),
        ];
        all.iter().all(|line| said.contains(line)).then_some(())
    });
}
