//! Records on their way elsewhere: from a real gate, whatever becomes of it and of those that get them.

mod kept;
mod kills;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dtgate::audit::lines::Lines;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;

use crate::alerts::{Scrape, look};
use crate::harness::{
    BAD, GOOD, Gate, SECRET, Seen, TOKEN, Upstream, eventually, exchange, program, verify,
};
use crate::tls::certified;
use crate::upstream::mutual;

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// Takes everything, and keeps it.
fn receiver() -> Upstream {
    Upstream::answering_all(|_| TAKEN.to_vec())
}

/// A gate whose configuration has these sinks.
fn shipping(directory: TempDir, upstream: SocketAddr, config: &str) -> Gate {
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, config).unwrap();
    Gate::start(directory, upstream, &["--config", file.to_str().unwrap()])
}

fn otlp(address: SocketAddr) -> String {
    format!("[ship.otlp.siem]\nurl = 'http://{address}'\n")
}

/// All log records of the messages that were taken.
fn logs(seen: &[Seen]) -> Vec<LogRecord> {
    let mut logs = Vec::new();
    for message in seen {
        assert!(
            message.line.starts_with("POST /v1/logs "),
            "{}",
            message.line
        );
        let message = ExportLogsServiceRequest::decode(&*message.body).unwrap();
        for of in message.resource_logs {
            logs.extend(of.scope_logs.into_iter().flat_map(|of| of.log_records));
        }
    }
    logs
}

fn text<'a>(log: &'a LogRecord, name: &str) -> Option<&'a str> {
    let found = log.attributes.iter().find(|pair| pair.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The number of a record, and its line.
fn record(log: &LogRecord) -> (u64, String) {
    let body = log.body.clone().unwrap().value;
    let Some(any_value::Value::StringValue(line)) = body else {
        panic!("{log:?}");
    };
    let record: Value = serde_json::from_str(&line).unwrap();
    (record["seq"].as_u64().unwrap(), line)
}

/// All lines of a journal.
fn lines(journal: &Path) -> Vec<(u64, String)> {
    let mut lines = Lines::new(journal);
    let lines = std::iter::from_fn(|| lines.next_line().unwrap());
    lines
        .map(|line| {
            let line = String::from_utf8(line.bytes).unwrap();
            let record: Value = serde_json::from_str(&line).unwrap();
            (record["seq"].as_u64().unwrap(), line)
        })
        .collect()
}

fn events(seen: &[Seen]) -> Vec<Value> {
    let mut events = Vec::new();
    for message in seen {
        assert_eq!(message.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        let mut gzip = flate2::read::GzDecoder::new(&*message.body);
        gzip.read_to_string(&mut text).unwrap();
        assert!(
            !text.contains(SECRET.split_at(20).0),
            "a secret in an event"
        );
        events.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
    }
    events
}

fn counted(gate: &Gate, name: &str) -> u64 {
    let text = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn every_sink_gets_what_is_for_it() {
    let [collector, das, slack, team] = [(); 4].map(|()| receiver());
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    for (name, to) in [("slack", &slack), ("team", &team)] {
        let url = format!("http://{}/hook/hunter2\n", to.address);
        std::fs::write(directory.path().join(name), url).unwrap();
    }
    let at = |name: &str| directory.path().join(name).display().to_string();
    let config = format!(
        "[journal]\norigin = 'gate.example/one'\n{}\n[ship.opa.das]\nurl = 'http://{}/logs'\n\
         [ship.webhook.alarms]\nshape = 'slack'\nurl_file = '{}'\n\
         [ship.webhook.changes]\nshape = 'json'\nurl_file = '{}'\nverdict = ['allow']\noperation = ['token.*']\n",
        otlp(collector.address),
        das.address,
        at("slack"),
        at("team"),
    );
    let mut gate = shipping(directory, upstream.address, &config);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let denied = gate.send("PUT", TOKEN, BAD);
    assert_eq!(denied.status, 403);
    let id = denied.header("dtgate-decision-id").unwrap();

    let logs_so_far = eventually("OTLP has both", || {
        let logs = logs(&collector.seen());
        (logs
            .iter()
            .filter(|log| text(log, "dtgate.verdict").is_some())
            .count()
            == 2)
            .then_some(logs)
    });
    let log = logs_so_far
        .iter()
        .find(|log| text(log, "dtgate.decision.id") == Some(id))
        .unwrap();
    assert_eq!(
        (log.severity_text.as_str(), log.event_name.as_str()),
        ("WARN", "dtgate.decision")
    );
    assert_eq!(text(log, "dtgate.policies"), Some("forbidden_scopes"));
    assert_eq!(
        text(log, "dtgate.caller.id"),
        Some("dt0c01.ST2EY72KQINMH574WMNVI7YN")
    );

    let both = eventually("OPA's log has both", || {
        Some(events(&das.seen())).filter(|events| events.len() == 2)
    });
    assert_eq!(both[1]["decision_id"], id);
    assert_eq!(both[1]["labels"]["id"], "gate.example/one");
    assert_eq!(both[1]["custom"]["verdict"], "deny");

    let message = eventually("people are told", || slack.seen().pop());
    assert_eq!(message.line, "POST /hook/hunter2 HTTP/1.1");
    let message: Value = serde_json::from_slice(&message.body).unwrap();
    let told = message["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(
        told.contains(id) && told.contains("forbidden_scopes"),
        "{told}"
    );
    let change = eventually("and of the change", || team.seen().pop());
    let change: Value = serde_json::from_slice(&change.body).unwrap();
    assert_eq!(change["records"][0]["verdict"], "allow");
    assert_eq!(change["gate"], "gate.example/one");

    let status = exchange(gate.admin, b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").json();
    let sinks = status["sinks"].as_object().unwrap();
    let names: Vec<&String> = sinks.keys().collect();
    assert_eq!(
        names,
        ["opa.das", "otlp.siem", "webhook.alarms", "webhook.changes"]
    );
    // Counted when the answer has come.
    eventually("the alarm is counted", || {
        let series = r#"dtgate_sink_records_total{sink="webhook.alarms"}"#;
        (counted(&gate, series) == 1).then_some(())
    });

    // The end sends the last ones, the stop record and the checkpoint behind it too.
    gate.signal("TERM");
    assert!(gate.wait().success());
    let arrived: Vec<_> = logs(&collector.seen()).iter().map(record).collect();
    assert_eq!(arrived, lines(&gate.journal()));
    assert_eq!(slack.seen().len(), 1);
    assert!(!gate.log().contains("hunter2"), "{}", gate.log());
    verify(&gate.journal());
}

#[test]
fn a_sink_that_is_down_costs_no_request_and_loses_nothing() {
    let upstream = Upstream::lenient();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    let well = receiver();
    let config = format!(
        "[listener]\ndrain_timeout = '1s'\n{}[ship.opa.gone]\nurl = 'http://{nowhere}'\n\
         [ship.opa.silent]\nurl = 'http://{}'\ntimeout = '1h'\n",
        otlp(well.address),
        silent.local_addr().unwrap()
    );
    let mut gate = shipping(tempfile::tempdir().unwrap(), upstream.address, &config);
    for _ in 0..20 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    eventually("the one that is well has all", || {
        (logs(&well.seen()).len() >= 41).then_some(())
    });
    eventually("that one fails is told", || {
        (counted(&gate, r#"dtgate_sink_failures_total{sink="opa.gone"}"#) > 1).then_some(())
    });
    assert_eq!(gate.ready().status, 200);
    assert!(counted(&gate, r#"dtgate_sink_behind_records{sink="opa.silent"}"#) >= 40);
    let said = gate.log().matches("records do not arrive").count();
    assert_eq!(said, 1, "{}", gate.log());
    // It would take an hour.
    gate.signal("TERM");
    assert!(gate.wait().success());
    // The next gate sends what they have not got.
    let directory = std::mem::replace(&mut gate.directory, tempfile::tempdir().unwrap());
    let das = receiver();
    let config = format!("[ship.opa.gone]\nurl = 'http://{}'\n", das.address);
    let _gate = shipping(directory, upstream.address, &config);
    eventually("all of it arrives", || {
        (events(&das.seen()).len() == 20).then_some(())
    });
}

#[test]
fn mistakes_are_found_before_the_start_and_what_may_be_one_is_said() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("dtgate.toml");
    let url = files.path().join("url");
    std::fs::write(&url, "http://hunter2.example/x").unwrap();
    let check = |section: &str| {
        let config = format!("upstream.url = 'http://127.0.0.1:1'\n{section}\n");
        std::fs::write(&file, config).unwrap();
        let output = program()
            .args(["check", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let url = url.display();
    for (section, wanted) in [
        (
            "[ship.opa.a]\nurl = 'ftp://a'",
            "dtgate.toml:3:7: write http://",
        ),
        (
            "[ship.opa.a]\nurl = 'https://a'\nca = '/nowhere'",
            "opa.a: /nowhere",
        ),
        (
            "[ship.webhook.a]\nshape = 'slack'",
            "webhook.a: the URL is a secret",
        ),
        (
            &format!("[ship.webhook.a]\nshape = 'slack'\nurl_file = '{url}'"),
            "is http:// on another machine",
        ),
    ] {
        let (is_well, said) = check(section);
        assert!(!is_well && said.contains(wanted), "{section}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let (is_well, said) = check("[ship.opa.a]\nurl = 'http://a.example/logs'");
    assert!(said.contains("records are sent to opa.a"), "{said}");
    assert!(
        is_well && said.contains("dtgate.toml:3:1: ship.opa.a.url: records cross the network"),
        "{said}"
    );
}

/// A receiver takes records, and then it does not any more: what Prometheus reads before and after.
pub(crate) fn sink_down() -> [Scrape; 2] {
    let works = Arc::new(AtomicUsize::new(1));
    let does = works.clone();
    let collector = Upstream::answering_all(move |_| match does.load(Ordering::Relaxed) {
        0 => BUSY.to_vec(),
        _ => TAKEN.to_vec(),
    });
    let upstream = Upstream::lenient();
    let config = otlp(collector.address);
    let gate = shipping(tempfile::tempdir().unwrap(), upstream.address, &config);
    let sent = r#"dtgate_sink_records_total{sink="otlp.siem"}"#;
    eventually("records arrive", || {
        (counted(&gate, sent) > 0).then_some(())
    });
    let before = look(gate.admin);
    works.store(0, Ordering::Relaxed);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let after = eventually("it fails again and again", || {
        let failures = counted(&gate, r#"dtgate_sink_failures_total{sink="otlp.siem"}"#);
        (failures > 4).then(|| look(gate.admin))
    });
    [before, after]
}

/// A receiver refuses a record for what it is, and it is left out.
pub(crate) fn record_refused() -> [Scrape; 2] {
    let collector = Upstream::answering_all(|seen| {
        let kind = b"\"kind\":\"decision\"";
        let is_decision = seen.body.windows(kind.len()).any(|part| part == kind);
        if is_decision {
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()
        } else {
            TAKEN.to_vec()
        }
    });
    let upstream = Upstream::lenient();
    let config = otlp(collector.address) + "refused = 'skip'\n";
    let gate = shipping(tempfile::tempdir().unwrap(), upstream.address, &config);
    let sent = r#"dtgate_sink_records_total{sink="otlp.siem"}"#;
    eventually("records arrive", || {
        (counted(&gate, sent) > 0).then_some(())
    });
    let before = look(gate.admin);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let missing = r#"dtgate_sink_missing_records_total{sink="otlp.siem"}"#;
    let after = eventually("it is left out", || {
        (counted(&gate, missing) > 0).then(|| look(gate.admin))
    });
    [before, after]
}

/// Certificates are exchanged while the gate runs.
#[test]
fn an_authority_that_is_exchanged_is_trusted_without_a_restart() {
    let (server, other) = (certified(), certified());
    let receiver = mutual(&server, None);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, other.cert.pem()).unwrap();
    let config = format!(
        "[ship.opa.das]\nurl = 'https://localhost:{}/logs'\nca = '{}'\n",
        receiver.port(),
        ca.display()
    );
    let gate = shipping(directory, upstream.address, &config);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let is_counted = |what: &str| {
        let name = format!("dtgate_sink_{what}_total{{sink=\"opa.das\"}}");
        eventually(what, || (counted(&gate, &name) > 0).then_some(()));
    };
    is_counted("failures");
    // One that is being written changes nothing.
    std::fs::write(&ca, "-----BEGIN").unwrap();
    std::fs::write(&ca, server.cert.pem()).unwrap();
    is_counted("records");
}
