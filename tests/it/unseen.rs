//! Writes that the catalogue does not know: streamed and counted, or refused, or let pass, as the configuration says.

use std::io::Write;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gate, Upstream, eventually, program, records, verify};
use crate::wire::{assert_envelope, connect};

/// A secret that the tests' own credential does not have: what the log says of it is not looked at here.
const OTHER: &str = "B3NZQ6VLXOTAJ5CWY7DHUKI2MFE4RGPSB3NZQ6VLXOTAJ5CWY7DHUKI2MFE4RGPS";
const NEW: &str = "/platform/brand-new/v1/things";

fn gate(upstream: &Upstream, configuration: &str) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, configuration).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    (gate, files)
}

/// Drains the gate, and gives the records that say what was unseen.
fn stopped(mut gate: Gate) -> (Vec<Value>, Gate) {
    gate.signal("TERM");
    assert!(gate.wait().success());
    verify(&gate.journal());
    let records = records(&gate.journal());
    assert_eq!(records.last().unwrap()["kind"], "stop");
    let unseen = records
        .into_iter()
        .filter(|record| record["kind"] == "unseen");
    (unseen.collect(), gate)
}

const CALLER: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";

/// A gate that has seen writes that are known and writes that are not, with the records of these.
fn busy() -> (Vec<Value>, Gate) {
    let upstream = Upstream::answering(|seen| {
        let status = if seen.line.contains("/9") {
            "403 Forbidden"
        } else {
            "201 Created"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi").into_bytes()
    });
    let (gate, _files) = gate(&upstream, "");
    for target in [
        "/platform/brand-new/v1/things/17",
        "/e/abc12345/platform/brand-new/v1/things/18",
        "/platform/brand-new/v1/things/d5836312-5790-4e80-afcf-09971954c3ea?filter=x",
        "/platform/brand-new/v1/things/9",
    ] {
        let answered = gate.send("PUT", target, "any bytes at all");
        assert_eq!(answered.body, "hi");
    }
    gate.send("POST", &format!("{NEW}:recompute"), "");
    let stranger = format!("POST {NEW} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(gate.raw(stranger).status, 201);
    // A read, what a row has, and what is elsewhere.
    gate.send("GET", NEW, "");
    gate.send("POST", "/platform/automation/v1/workflows/5/run", "");
    for root in ["/api/v2", "/platform/classic/environment-api/v2"] {
        gate.send("POST", &format!("{root}/metrics/ingest"), "a 1");
    }
    assert_eq!(upstream.seen().len(), 10);
    let records = gate.records();
    let unseen = records.iter().find(|record| record["kind"] == "unseen");
    assert_eq!(unseen, None, "the hour is not over");
    stopped(gate)
}

#[test]
fn an_unknown_write_is_streamed_and_counted_by_caller_method_and_shape() {
    let (unseen, _gate) = busy();
    let members = ["method", "path", "count", "statuses", "requested_by"];
    let brief: Vec<Value> = unseen
        .iter()
        .map(|record| {
            let told = members.map(|member| record[member].clone());
            json!([told, record["caller"]["id"]])
        })
        .collect();
    let things = "/platform/brand-new/v1/things/{id}";
    let verb = "/platform/brand-new/v1/things:recompute";
    assert_eq!(
        json!(brief),
        json!([
            [["PUT", things, 4, {"201": 3, "403": 1}, "127.0.0.1"], CALLER],
            [["POST", verb, 1, {"201": 1}, "127.0.0.1"], CALLER],
            [["POST", NEW, 1, {"201": 1}, "127.0.0.1"], null],
        ])
    );
    assert_eq!(unseen[0]["environment"], "default");
}

#[test]
fn what_was_counted_is_shown_and_listed() {
    let (unseen, gate) = busy();
    let journal = gate.journal();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).arg("--journal").arg(&journal);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let tail = run(&["audit", "tail"]);
    for shown in [
        "unseen      PUT /platform/brand-new/v1/things/{id}  default\n",
        "  4 writes from ",
        ", answered 201: 3, 403: 1\n",
        "by dt0c01.ST2EY72KQINMH574WMNVI7YN at 127.0.0.1\n",
        "by an unknown caller at 127.0.0.1\n",
    ] {
        assert!(tail.contains(shown), "{tail}");
    }
    let listed = run(&["endpoints", "--unknown"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines[1].starts_with("4      PUT     /platform/brand-new/v1/things/{id}"),
        "{listed}"
    );
    assert!(lines[1].ends_with(CALLER), "{listed}");
    let column = lines[0].find("answered").unwrap();
    for line in &lines[1..] {
        assert!(line[column..].starts_with("201: "), "not aligned: {listed}");
    }
    let told = run(&["endpoints", "--unknown", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let writes = told["writes"].as_array().unwrap();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[0]["path"], "/platform/brand-new/v1/things/{id}");
    assert_eq!(writes[0]["callers"], json!([CALLER]));
    assert_eq!(writes[0]["count"], 4);
    assert_eq!(writes[0]["first"], unseen[0]["first"]);
}

#[test]
fn no_secret_gets_into_what_is_counted() {
    let upstream = Upstream::lenient();
    let (gate, _files) = gate(&upstream, "");
    let old = "abcdefghijklmnopqrstu";
    for target in [
        format!("/platform/brand-new/{OTHER}"),
        format!("/platform/{OTHER}:{OTHER}"),
        format!("/platform/brand-new/dt0c01.ST2EY72KQINMH574WMNVI7YN.{OTHER}/x"),
        format!("/platform/brand-new/{}/{}", &OTHER[..32], &OTHER[32..]),
        format!("/platform/brand-new/{}", OTHER.to_lowercase()),
        format!("/platform/brand-new/{old}"),
        format!("/platform/brand-new/things?api-token=dt0c01.A.{OTHER}"),
    ] {
        for credential in [
            format!("Api-Token dt0c01.A.{OTHER}"),
            format!("Api-Token {old}"),
        ] {
            gate.raw(format!(
                "POST {target} HTTP/1.1\r\nHost: g\r\nAuthorization: {credential}\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    }
    let (unseen, _gate) = stopped(gate);
    assert!(!unseen.is_empty());
    let written = json!(unseen).to_string().to_lowercase();
    for secret in [OTHER, old] {
        let secret = secret.to_lowercase();
        assert!(
            !written.contains(&secret[..secret.len().min(20)]),
            "{written}"
        );
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_counted_too() {
    let (go_on, waiting) = std::sync::mpsc::channel::<()>();
    let waiting = std::sync::Mutex::new(waiting);
    let upstream = Upstream::answering(move |_| {
        waiting.lock().unwrap().recv().unwrap_or_default();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let (gate, _files) = gate(&upstream, "");
    let mut client = connect(gate.address);
    let request = format!("DELETE {NEW}/5 HTTP/1.1\r\nHost: g\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    eventually("it is sent", || (!upstream.seen().is_empty()).then_some(()));
    // A reset: it is gone for good.
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(socket);
    let gone = || {
        let metrics =
            crate::harness::exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        metrics.body.contains("dtgate_in_flight 0").then_some(())
    };
    eventually("its request is dropped", gone);
    let (unseen, _gate) = stopped(gate);
    drop(go_on);
    assert_eq!(unseen[0]["statuses"], json!({"none": 1}), "{unseen:?}");
}

#[test]
fn refused_is_refused_before_anything_is_sent_and_recorded() {
    let upstream = Upstream::lenient();
    let (gate, _files) = gate(&upstream, "unknown_writes = \"refuse\"\n");
    let answered = gate.send("POST", NEW, "any");
    assert_envelope(&answered, 403);
    assert!(
        answered.message().contains("unknown_writes"),
        "{answered:?}"
    );
    assert!(answered.message().contains("was not sent"), "{answered:?}");
    assert!(upstream.seen().is_empty());
    let records = gate.records();
    assert_eq!(records[0]["endpoints"]["unknown_writes"], "refuse");
    let refused = records.last().unwrap();
    assert_eq!(refused["kind"], "decision");
    assert_eq!(refused["verdict"], "deny");
    assert_eq!(refused["request"]["path"], NEW);
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("does not know this write"),
        "{refused}"
    );
    // Reads pass, and what a row has.
    assert_eq!(gate.send("GET", NEW, "").status, 204);
    let run = "/platform/automation/v1/workflows/5/run";
    assert_eq!(gate.send("POST", run, "").status, 204);
    let (unseen, _gate) = stopped(gate);
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn pass_passes_without_a_word() {
    let upstream = Upstream::lenient();
    let (gate, _files) = gate(&upstream, "unknown_writes = \"pass\"\n");
    assert_eq!(gate.send("POST", NEW, "any").status, 204);
    let (unseen, _gate) = stopped(gate);
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn a_list_of_what_is_unknown_needs_a_journal() {
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().join("nothing");
    let output = program()
        .args(["endpoints", "--unknown", "--journal"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nothing"),
        "{output:?}"
    );
}

#[test]
fn a_journal_that_somebody_made_up_is_listed_too() {
    let journal = tempfile::tempdir().unwrap();
    let path = "/x".repeat(40_000);
    let record = json!({
        "kind": "unseen", "first": "a", "last": "b", "count": u64::MAX, "statuses": {"200": u64::MAX},
        "method": "POST", "path": path, "requested_by": "10.0.0.1",
    });
    let other = json!({"kind": "unseen", "first": "a", "last": "b", "count": u64::MAX, "requested_by": "10.0.0.2"});
    let mut lines = format!("{record}\n{record}\n").into_bytes();
    // Not UTF-8, no JSON, no record.
    lines.extend(
        b"{\"kind\":\"unseen\",\"path\":\"\xff\"}\n{\"kind\":\"unse\n\0\0\n{\"kind\":\"unseen\"}\n",
    );
    lines.extend(format!("{other}\n{other}\n").into_bytes());
    let file = journal.path().join("00000000000000000001.jsonl");
    std::fs::write(file, lines).unwrap();
    let mut command = program();
    command
        .args(["endpoints", "--unknown", "--journal"])
        .arg(journal.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains(&format!("{}  POST    {path}", u64::MAX)));
    assert!(listed.contains(&format!(
        "{0} more writes there was no room to tell apart: {0} from 10.0.0.2.",
        u64::MAX
    )));
    assert!(listed.contains("4 damaged lines were left out"), "{listed}");
    let mut command = program();
    command
        .args(["audit", "tail", "--journal"])
        .arg(journal.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
