use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use serde_json::{Value, json};

use super::*;
use crate::ship::tests::{Written, decision};

/// What becomes of a record.
fn log(record: Value) -> LogRecord {
    let mut journal = Written::new();
    journal.write(record);
    let mut bookmark = crate::audit::outgoing::Bookmark::open(journal.path(), "a", 0).unwrap();
    let batch = bookmark.next(1, MOST).unwrap();
    log_record(&batch.records[0])
}

fn texts(record: &LogRecord) -> BTreeMap<String, String> {
    let texts = record.attributes.iter().map(|pair| {
        let text = match pair.value.clone().and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => text,
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (pair.key.clone(), text)
    });
    texts.collect()
}

#[test]
fn a_denial_is_a_warning_that_can_be_searched() {
    let log = log(decision(1, "deny"));
    assert_eq!(log.event_name, "dtgate.decision");
    assert_eq!(log.severity_number, i32::from(SeverityNumber::Warn));
    assert_eq!(log.severity_text, "WARN");
    assert_eq!(log.time_unix_nano, 1_795_503_048_268_000_000);
    let Some(any_value::Value::StringValue(body)) = log.body.clone().unwrap().value else {
        panic!("{log:?}");
    };
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&body["seq"], &body["decision_id"]),
        (&json!(1), &json!("id-1"))
    );
    let said = texts(&log);
    for (name, value) in [
        ("dtgate.seq", "1"),
        ("dtgate.kind", "decision"),
        ("dtgate.decision.id", "id-1"),
        ("dtgate.request.id", "r-1"),
        ("dtgate.verdict", "deny"),
        ("dtgate.operation", "token.update"),
        ("dtgate.environment", "prod"),
        ("dtgate.caller.id", "dt0c01.abc123"),
        ("dtgate.caller.teams", "payments"),
        ("dtgate.token.id", "d5836312"),
        ("dtgate.token.name", "payments-prod-ci"),
        ("dtgate.policies", "forbidden_scopes"),
        ("dtgate.policies.revision", "1d2d"),
        ("client.address", "10.1.2.3"),
        ("http.request.method", "PUT"),
        ("url.path", "/api/v1/tokens/d5836312"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(log.trace_id.is_empty());
}

#[test]
fn what_somebody_should_look_at_stands_out() {
    let with = |kind: &str, more: Value| {
        let mut record = json!({"kind": kind, "timestamp": "2026-11-24T06:50:48.268Z"});
        let more = more.as_object().unwrap().clone();
        record.as_object_mut().unwrap().extend(more);
        log(record)
    };
    for (kind, more, severity) in [
        ("recovery", json!({"reason": "torn"}), "ERROR"),
        ("decision", json!({"verdict": "allow"}), "INFO"),
        (
            "outcome",
            json!({"outcome": "answered", "status": 204}),
            "INFO",
        ),
        (
            "outcome",
            json!({"outcome": "answered", "status": 500}),
            "WARN",
        ),
        ("outcome", json!({"outcome": "failed"}), "INFO"),
        ("outcome", json!({"outcome": "unknown"}), "WARN"),
        ("reload", json!({"ok": true}), "INFO"),
        ("reload", json!({"ok": false}), "WARN"),
        ("suppressed", json!({"count": 3}), "WARN"),
        ("stop", json!({}), "INFO"),
        // Whatever a mask has put there.
        (
            "decision",
            json!({"verdict": "allow", "caller": 3, "requested_by": ["b"]}),
            "INFO",
        ),
    ] {
        let log = with(kind, more);
        assert_eq!(log.severity_text, severity, "{kind}");
        assert_eq!(log.event_name, format!("dtgate.{kind}"));
    }
    let outcome = with(
        "outcome",
        json!({"status": 204, "decision_seq": 4, "credential": {"id": "dt0c01.NEW"}}),
    );
    let said = texts(&outcome);
    assert_eq!(said["http.response.status_code"], "204");
    assert_eq!(said["dtgate.decision.seq"], "4");
    assert_eq!(said["dtgate.token.id"], "dt0c01.NEW");
}

#[test]
fn the_clients_trace_is_that_of_the_record_and_long_texts_are_cut() {
    let with = |parent: &str| {
        let mut record = decision(1, "allow");
        record["input"]["attributes"] =
            json!({"request": {"http": {"headers": {"traceparent": parent}}}});
        record["request"]["path"] = json!("ü".repeat(1000));
        log(record)
    };
    let log = with("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let hex = |id: &[u8]| data_encoding::HEXLOWER.encode(id);
    assert_eq!(hex(&log.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&log.span_id), "b7ad6b7169203331");
    assert_eq!(texts(&log)["url.path"].len(), 1024);
    for wrong in [
        "",
        "00",
        "00-00-00-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-x-y-z",
    ] {
        let log = with(wrong);
        assert!(log.trace_id.is_empty() && log.span_id.is_empty(), "{wrong}");
    }
}

#[test]
fn logs_go_below_the_url() {
    for (url, logs) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
        ("https://a/api/v2/otlp/", "https://a/api/v2/otlp/v1/logs"),
        ("https://a/otlp/v1/logs", "https://a/otlp/v1/logs"),
    ] {
        let target: Target = toml::from_str(&format!("url = '{url}'")).unwrap();
        assert_eq!(target.url.of_logs().to_string(), logs);
    }
}

#[tokio::test]
async fn a_record_that_is_rejected_is_refused_and_a_warning_is_none() {
    use crate::ship::keep::Refusal;
    use crate::ship::tests::{Does, Receiver};
    // Its answer has no body: nothing is rejected.
    let server = Receiver::new(|_| Does::Answer("200 OK"));
    let target: Target = toml::from_str(&format!("url = 'http://{}'", server.address)).unwrap();
    let mut otlp = Otlp::new(&target, &Resource::default(), "gate.example").unwrap();
    assert_eq!(otlp.send(&[]).await, Ok(0));
    let [got] = &server.taken()[..] else { panic!() };
    assert_eq!(got.line, "POST /v1/logs HTTP/1.1");
    assert!(
        got.head
            .contains("content-type: application/x-protobuf\r\n")
    );
    let message = ExportLogsServiceRequest::decode(&*got.body).unwrap();
    let resource = message.resource_logs[0].resource.clone().unwrap();
    assert_eq!(resource.attributes[0].key, "dtgate.gate");
    let rejected = |rejected_log_records| ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records,
            error_message: "hunter2".to_owned(),
        }),
    };
    assert_eq!(answered(&rejected(0).encode_to_vec(), 3), Ok(3));
    assert_eq!(
        answered(&rejected(2).encode_to_vec(), 3),
        Err(Refusal::Records("2 of 3 records are rejected".to_owned()))
    );
    assert_eq!(answered(b"{}", 3), Ok(3));
}
