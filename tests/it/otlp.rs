//! Traces by OTLP, as a collector gets them. Metrics, and collectors that are none, are in `collectors`.

mod collectors;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use dtgate::telemetry::Step;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::harness::{
    Answered, BAD, GOOD, Gate, SECRET, Seen, TOKEN, Upstream, eventually, exchange,
};
pub(crate) use collectors::{collector_gone, collector_refusing};

/// What a client says about its own trace.
const PARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: vendor=opaque\r\n";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The steps of a change that is allowed.
const WAY: [&str; 9] = [
    "identify",
    "route",
    "read body",
    "understand",
    "look up",
    "judge",
    "record",
    "forward",
    "record outcome",
];

/// A collector that takes everything, with an answer of its own.
fn collector(answer: &'static str) -> Upstream {
    Upstream::answering_all(move |_| answer.as_bytes().to_vec())
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A gate that sends traces to a collector, at once; `more` is more of its configuration.
fn traced(upstream: SocketAddr, collector: SocketAddr, more: &str) -> Gate {
    let config = format!(
        "[otlp]\nendpoint = 'http://{collector}'\n{more}\n[otlp.traces]\ninterval = '10ms'\n"
    );
    configured(upstream, &config)
}

fn configured(upstream: SocketAddr, config: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, config).unwrap();
    Gate::start(directory, upstream, &["--config", file.to_str().unwrap()])
}

/// One request with the tests' credential and more header lines.
fn send(gate: &Gate, method: &str, target: &str, headers: &str, body: &str) -> Answered {
    let credential = format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    gate.raw(format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {credential}\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// All spans that a collector has got so far.
fn spans(collector: &Upstream) -> Vec<Span> {
    let seen = collector.seen();
    let traces = seen
        .iter()
        .filter(|seen| seen.line.starts_with("POST /v1/traces "));
    let mut spans = Vec::new();
    for message in traces {
        assert_eq!(
            message.header("content-type"),
            Some("application/x-protobuf")
        );
        let text = String::from_utf8_lossy(&message.body);
        assert!(!text.contains(SECRET.split_at(20).0), "a secret in a trace");
        let message = ExportTraceServiceRequest::decode(&*message.body).unwrap();
        for resource in message.resource_spans {
            let of = texts(&resource.resource.unwrap().attributes);
            assert_eq!(of["service.name"], "dtgate");
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    spans
}

/// The one trace that a collector gets: the request's span, and those of its steps in their order.
fn trace(collector: &Upstream) -> (Span, Vec<Span>) {
    let spans = eventually("a trace", || {
        Some(spans(collector)).filter(|it| !it.is_empty())
    });
    let (own, mut steps): (Vec<Span>, Vec<Span>) = spans
        .into_iter()
        .partition(|span| span.kind() == SpanKind::Server);
    assert_eq!(own.len(), 1, "{own:?}");
    let own = own.into_iter().next().unwrap();
    steps.sort_by_key(|step| step.start_time_unix_nano);
    for step in &steps {
        assert_eq!(step.trace_id, own.trace_id, "{step:?}");
        assert_eq!(step.parent_span_id, own.span_id, "{step:?}");
        assert!(step.start_time_unix_nano <= step.end_time_unix_nano);
        assert!(own.start_time_unix_nano <= step.start_time_unix_nano);
        assert!(step.end_time_unix_nano <= own.end_time_unix_nano);
    }
    let ids: BTreeSet<_> = steps
        .iter()
        .chain([&own])
        .map(|span| &span.span_id)
        .collect();
    assert_eq!(ids.len(), steps.len() + 1);
    (own, steps)
}

fn names(steps: &[Span]) -> Vec<&str> {
    steps.iter().map(|step| step.name.as_str()).collect()
}

/// Attributes as text.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let texts = attributes.iter().map(|pair| {
        let text = match pair.value.clone().and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => text,
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (pair.key.clone(), text)
    });
    texts.collect()
}

fn hex(id: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

fn counted(gate: &Gate, name: &str) -> u64 {
    let text = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_allowed_change_has_a_span_for_each_step_and_its_decision_id() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let gate = traced(upstream.address, collector.address, "");
    let answered = send(&gate, "PUT", TOKEN, PARENT, GOOD);
    assert_eq!(answered.status, 204);
    let (own, steps) = trace(&collector);
    assert_eq!(names(&steps), WAY);
    assert_eq!(own.name, "PUT token.update");
    assert_eq!(hex(&own.trace_id), TRACE);
    assert_eq!(hex(&own.parent_span_id), "b7ad6b7169203331");

    let said = texts(&own.attributes);
    assert_eq!(
        said["dtgate.decision.id"],
        answered.header("dtgate-decision-id").unwrap()
    );
    assert_eq!(
        said["dtgate.request.id"],
        answered.header("x-request-id").unwrap()
    );
    for (name, value) in [
        ("dtgate.caller.id", "dt0c01.ST2EY72KQINMH574WMNVI7YN"),
        ("dtgate.environment", "default"),
        ("dtgate.operation", "token.update"),
        ("dtgate.route", "guarded"),
        ("dtgate.verdict", "allow"),
        ("client.address", "127.0.0.1"),
        ("http.request.method", "PUT"),
        ("http.response.status_code", "204"),
        ("network.protocol.version", "1.1"),
        ("url.path", TOKEN),
        ("url.scheme", "http"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(own.status, None);
    let [.., judge, record, forward, _outcome] = &steps[..] else {
        panic!("{steps:?}");
    };
    let said = texts(&judge.attributes);
    assert_eq!(said["dtgate.verdict"], "allow");
    assert_eq!(said["dtgate.policies.revision"].len(), 64, "{said:?}");
    assert_eq!(
        (record.kind(), forward.kind()),
        (SpanKind::Internal, SpanKind::Client)
    );
    assert_eq!(
        texts(&forward.attributes)["http.response.status_code"],
        "204"
    );

    // Whoever is asked hangs below the step that asks.
    let seen: Vec<Seen> = upstream.seen();
    let parent = format!("00-{TRACE}-{}-01", hex(&forward.span_id));
    assert_eq!(seen[0].header("traceparent"), Some(&*parent));
    assert_eq!(seen[0].header("tracestate"), Some("vendor=opaque"));
}

#[test]
fn a_denial_goes_no_further_than_its_record() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let gate = traced(upstream.address, collector.address, "");
    let answered = send(&gate, "PUT", TOKEN, "tracestate: a=b\r\n", BAD);
    assert_eq!(answered.status, 403);
    let (own, steps) = trace(&collector);
    assert_eq!(names(&steps), WAY[..7]);
    assert!(own.parent_span_id.is_empty(), "{own:?}");
    let said = texts(&own.attributes);
    assert_eq!(said["dtgate.verdict"], "deny");
    assert_eq!(said["dtgate.refusal"], "denied");
    assert_eq!(
        said["dtgate.decision.id"],
        answered.header("dtgate-decision-id").unwrap()
    );
    assert!(said["dtgate.policies"].contains("scopes"), "{said:?}");
    // To deny is no fault.
    assert_eq!(own.status, None);
}

#[test]
fn a_refusal_has_the_steps_that_it_came_to() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let gate = traced(upstream.address, collector.address, "");
    let answered = send(&gate, "PUT", TOKEN, "", "{");
    assert_eq!(answered.status, 400);
    let (own, steps) = trace(&collector);
    assert_eq!(
        names(&steps),
        ["identify", "route", "read body", "understand", "record"]
    );
    assert_eq!(texts(&own.attributes)["dtgate.refusal"], "json");
}

#[test]
fn open_traffic_has_three_steps_and_hangs_the_upstream_below_the_last() {
    let (collector, upstream) = (collector(TAKEN), Upstream::lenient());
    let gate = traced(upstream.address, collector.address, "");
    // A field that was sent twice is none.
    let twice = format!("{PARENT}{PARENT}");
    assert_eq!(
        send(&gate, "GET", "/api/v2/metrics", &twice, "").status,
        204
    );
    let (own, steps) = trace(&collector);
    assert_eq!(names(&steps), ["identify", "route", "forward"]);
    let forward = texts(&steps[2].attributes);
    assert_eq!(forward["http.request.method"], "GET");
    assert_eq!(forward["server.address"], "127.0.0.1");
    assert_eq!(own.name, "GET");
    assert_eq!(texts(&own.attributes)["dtgate.route"], "open");
    assert_ne!(hex(&own.trace_id), TRACE);
    assert!(own.parent_span_id.is_empty());
    let seen = upstream.seen();
    let parent = format!("00-{}-{}-01", hex(&own.trace_id), hex(&steps[2].span_id));
    let fields = seen[0]
        .headers
        .iter()
        .filter(|(name, _)| name == "traceparent");
    assert_eq!(
        fields.map(|(_, value)| value).collect::<Vec<_>>(),
        [&parent]
    );
    assert_eq!(seen[0].header("tracestate"), None);
}

#[test]
fn what_is_not_sampled_leaves_no_mark() {
    let upstream = Upstream::lenient();
    let other = collector(TAKEN);
    let off = configured(upstream.address, "");
    let sampled = traced(upstream.address, other.address, "");
    let config = format!(
        "[otlp]\nendpoint = 'http://{}'\n[otlp.traces]\nsampling = 'ratio'\nratio = 0\n",
        other.address
    );
    let by_ratio = configured(upstream.address, &config);
    let not_sampled = PARENT.replace("-01\r\n", "-00\r\n");
    for (gate, fields) in [
        (&off, PARENT),
        (&sampled, &not_sampled),
        (&by_ratio, PARENT),
    ] {
        for target in [TOKEN, "/api/v2/tags"] {
            assert_eq!(send(gate, "PUT", target, fields, GOOD).status, 204);
            let seen = upstream.seen().pop().unwrap();
            let parent = fields.split(['\r', ' ']).nth(1);
            assert_eq!(seen.header("traceparent"), parent);
            assert_eq!(seen.header("tracestate"), Some("vendor=opaque"));
        }
    }
    // What comes first would have been sent first.
    assert_eq!(send(&sampled, "GET", "/api/v2/last", "", "").status, 204);
    let (own, _) = trace(&other);
    assert_eq!(texts(&own.attributes)["url.path"], "/api/v2/last");
}

#[test]
fn every_step_and_every_attribute_has_a_line_in_the_documentation() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let (_, section) = page.split_once("\n## Traces\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut sent: BTreeSet<String> = Step::ALL
        .iter()
        .map(|step| step.as_str().to_owned())
        .collect();
    for file in ["gateway.rs", "gateway/traced.rs", "telemetry/trace.rs"] {
        let code = std::fs::read_to_string(root.join("src").join(file)).unwrap();
        let names = code.split(".set").skip(1).filter_map(|call| {
            let (_, arguments) = call.split_once('(')?;
            let name = arguments.trim_start().strip_prefix('"')?;
            name.split('"').next()
        });
        sent.extend(names.map(str::to_owned));
    }
    let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
    assert_eq!(sent, documented);
}
