//! What a consumer of OPA's decision log gets: the members that it knows, of the types that it expects, and no other.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

/// `EventV1` of OPA's plugin, member by member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
struct EventV1 {
    labels: BTreeMap<String, String>,
    decision_id: String,
    batch_decision_id: Option<String>,
    trace_id: Option<String>,
    span_id: Option<String>,
    revision: Option<String>,
    bundles: Option<BTreeMap<String, Bundle>>,
    path: Option<String>,
    query: Option<String>,
    input: Option<Value>,
    result: Option<Value>,
    mapped_result: Option<Value>,
    nd_builtin_cache: Option<Value>,
    intermediate_results: Option<BTreeMap<String, Value>>,
    erased: Option<Vec<String>>,
    masked: Option<Vec<String>>,
    error: Option<BTreeMap<String, Value>>,
    requested_by: Option<String>,
    timestamp: String,
    metrics: Option<BTreeMap<String, Value>>,
    req_id: Option<u64>,
    rule_labels: Option<Vec<BTreeMap<String, Value>>>,
    custom: Option<BTreeMap<String, Value>>,
    request_context: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    revision: String,
}

#[tokio::test]
async fn a_consumer_of_opas_log_finds_what_it_needs_and_nothing_that_it_does_not_know() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    journal.write(
        json!({"kind": "start", "timestamp": "2026-11-24T06:50:47.268Z", "version": "0.1.0"}),
    );
    journal.write(decision(2, "deny"));
    let mut masked = decision(3, "allow");
    masked["erased"] = json!(["/input/caller/jwt/claims/email"]);
    masked["masked"] = json!(["/requested_by"]);
    masked["pseudonyms"] = json!(["/caller/id"]);
    masked["evaluator"] = json!("bytecode");
    journal.write(masked);
    let mut refused = decision(4, "deny");
    refused["error"] = json!("the body, line 1: duplicate member");
    refused["environment"] = json!("default");
    drop(refused.as_object_mut().unwrap().remove("input"));
    journal.write(refused);
    journal.write(
        json!({"kind": "outcome", "timestamp": "2026-11-24T06:50:48.268Z", "decision_id": "id-3"}),
    );
    let (shipping, metrics) = journal.start(&opa("das", server.address, ""));
    shipping.end(WITHIN).await;
    // Of five records three are decisions.
    assert_eq!(counted(&metrics, "dtgate_sink_records_total"), 3);
    let [got] = &server.taken()[..] else {
        panic!("{:?}", server.taken());
    };
    assert_eq!(got.line, "POST /logs HTTP/1.1");
    assert!(got.head.contains("content-encoding: gzip\r\n"));
    assert!(got.head.contains("content-type: application/json\r\n"));
    let mut text = String::new();
    GzDecoder::new(&*got.body)
        .read_to_string(&mut text)
        .unwrap();
    let events: Vec<EventV1> = serde_json::from_str(&text).unwrap();
    let [denied, masked, refused] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(denied.labels["version"], "0.1.0");
    assert_eq!(denied.labels["id"], "gate.example/journal");
    denied.timestamp.parse::<Timestamp>().unwrap();
    assert_eq!(denied.path.as_deref(), Some("dtgate"));
    assert_eq!(
        denied.bundles.as_ref().unwrap()["policies"].revision,
        "1d2d"
    );
    assert_eq!(denied.requested_by.as_deref(), Some("10.1.2.3"));
    assert_eq!(denied.result.as_ref().unwrap()["allow"], false);
    assert_eq!(denied.input.as_ref().unwrap()["operation"], "token.update");
    let custom = denied.custom.as_ref().unwrap();
    assert_eq!(custom["seq"], 2);
    assert_eq!(custom["verdict"], "deny");
    assert_eq!(
        masked.erased.as_ref().unwrap(),
        &["/input/caller/jwt/claims/email"]
    );
    assert_eq!(masked.masked.as_ref().unwrap(), &["/requested_by"]);
    assert_eq!(masked.custom.as_ref().unwrap()["evaluator"], "bytecode");
    let error = refused.error.as_ref().unwrap();
    assert_eq!(error["message"], "the body, line 1: duplicate member");
    assert_eq!(refused.input, None);
}
