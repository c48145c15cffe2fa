//! What the commands that ask a journal say: of hostile records, of a real token's life, and after a kill.

use std::path::Path;
use std::time::{Duration, Instant};

use dtgate::simulate::seeds;
use serde_json::{Value, json};

use crate::audit::written;
use crate::harness::{
    GOOD, Gate, Simulator, TOKEN, Upstream, eventually, exchange, policies, program, records,
};

pub(crate) fn said(directory: &Path, arguments: &[&str]) -> String {
    let output = program()
        .current_dir(directory)
        .env("LC_ALL", "C")
        .arg("audit")
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap() + &error
}

/// Every member of a decision with something else in it.
fn hostile(with: &Value) -> Value {
    fn all(value: &mut Value, with: &Value) {
        match value {
            Value::Object(members) => members.values_mut().for_each(|it| all(it, with)),
            Value::Array(elements) => elements.iter_mut().for_each(|it| all(it, with)),
            other => *other = with.clone(),
        }
    }
    let mut record = json!({
        "timestamp": "", "decision_id": "", "labels": {"version": ""}, "path": "",
        "input": {"operation": "", "api": "", "environment": {"name": "", "id": "", "data": {}},
            "caller": {"address": "", "token": {"id": "", "kind": ""}, "teams": [""],
                "jwt": {"issuer": "", "subject": ""}, "certificate": {"subject": "", "fingerprint": ""}},
            "token": {"id": "", "current": {"name": "", "scopes": [""]}},
            "change": {"name": {"requested": "", "current": ""}, "enabled": {"requested": "", "current": ""},
                "scopes": {"requested": [""], "current": [""], "added": [""], "removed": [""]}, "differs": [""]}},
        "result": {"allow": "", "violations": [{"policy": "", "mode": "", "rule": "", "message": "", "path": "",
            "code": "", "details": {"a": ""}}], "remedy": {"text": "", "scopes": [""]}},
        "bundles": {"policies": {"revision": ""}}, "metrics": {"timer_rego_query_eval_ns": ""}, "requested_by": "",
        "verdict": "", "operation": "", "environment": "", "caller": {"id": "", "kind": "", "teams": [""],
            "jwt": {"issuer": "", "subject": ""}}, "request": {"id": "", "method": "", "path": ""}, "error": "",
        "outcome": "", "status": "", "duration_ms": "", "detail": "", "credential": {"id": ""}, "found": "", "differs": "",
    });
    all(&mut record, with);
    record
}

#[test]
fn no_record_reaches_a_terminal_as_it_is_or_ends_a_command() {
    let text = "\u{1b}]0;x\u{7}\r\n\0\u{202e}\u{200f}\u{9b}31m=cmd|'/c calc'!A0 \"x\",";
    let long = "\u{1b}[2J\u{202e}".repeat(8 * 1024);
    let mut all = Vec::new();
    for with in [
        json!(text),
        json!(long),
        json!(-1),
        json!(1e300),
        json!(null),
        json!([[[]]]),
        json!({"a": {}}),
        json!("7"),
    ] {
        for kind in [
            "decision",
            "outcome",
            "settled",
            "challenger",
            "pruned",
            "suppressed",
            "unseen",
            "start",
            "\u{1b}[1m",
        ] {
            let mut record = hostile(&with);
            record["kind"] = kind.into();
            // What is about a decision that is there.
            record["decision_seq"] = json!(1);
            if kind == "decision" {
                let mut allowed = record.clone();
                allowed["verdict"] = "allow".into();
                allowed["timestamp"] = "2026-11-24T10:10:00.000Z".into();
                allowed["input"]["token"]["id"] = "one".into();
                all.push(allowed);
            }
            all.push(record);
        }
    }
    let directory = written(&all);
    let number = all.len().to_string();
    for arguments in [
        vec!["query", "--limit", "9999999999"],
        vec!["query", "--format", "json"],
        vec!["query", "--format", "csv"],
        vec!["query", "--absolute", "--tz", "Europe/Vienna"],
        vec!["history", "one", "--all"],
        vec!["history", "one", "--format", "json"],
        vec!["history", text],
        vec!["show", "#1"],
        vec!["show", "#2"],
        vec!["show", "#9"],
        vec!["show", &format!("#{number}")],
        vec!["stats", "--by", "caller"],
        vec!["stats", "--by", "policy", "--format", "json"],
        vec!["settle"],
        vec!["tail"],
        vec!["index", "--rebuild"],
    ] {
        if arguments.contains(&text) {
            // No argument can hold a NUL.
            continue;
        }
        let said = said(directory.path(), &arguments);
        let raw = said.chars().find(|c| {
            (c.is_control() && !"\n\r".contains(*c)) || "\u{202e}\u{200f}\u{9b}".contains(*c)
        });
        assert_eq!(raw, None, "{arguments:?}");
        if arguments[0] == "stats" {
            // LC_ALL=C: a terminal that shows ASCII only.
            assert!(!said.contains('█'), "{said}");
        }
        if arguments.contains(&"csv") {
            let cells = said.split("\r\n").flat_map(|line| line.split("\",\""));
            assert!(cells.clone().count() > 20);
            assert!(
                !cells.into_iter().any(|cell| cell.starts_with('=')),
                "{said}"
            );
        }
    }
}

#[test]
fn nonsense_is_refused_with_examples() {
    let directory = written(&[json!({"kind": "stop", "timestamp": "2026-11-24T10:10:00.000Z"})]);
    for (arguments, says) in [
        (["--since", "yesterday"], "2026-11-01T08:00"),
        (["--since", "20261101"], "7d"),
        (["--until", "-7d"], "12h"),
        (["--tz", "Mars/One"], "Europe/Vienna"),
        (["--limit", "0"], "write a number, 1 or more"),
        (["--client", "10.0.0.0/99"], "10.0.0.0/99"),
    ] {
        let arguments = [format!("{}={}", arguments[0], arguments[1])];
        let output = program()
            .current_dir(directory.path())
            .args(["audit", "query"])
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

/// A gate before the simulator whose one policy denies what is called so, and would deny another.
fn gate(simulator: &Simulator) -> (Gate, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let policies = files.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let rule = |package: &str, scope: &str| {
        format!(
            "package dtgate.{package}\n\ndeny contains \"no {scope}\" if \"{scope}\" in input.change.scopes.added\n"
        )
    };
    std::fs::write(
        policies.join("strict.rego"),
        rule("strict", "metrics.ingest"),
    )
    .unwrap();
    std::fs::write(policies.join("tried.rego"), rule("tried", "logs.read")).unwrap();
    std::fs::write(policies.join("data.yaml"), "modes:\n  tried: dry_run\n").unwrap();
    let arguments = ["--policies", policies.to_str().unwrap()];
    let gate = Gate::start(tempfile::tempdir().unwrap(), simulator.address, &arguments);
    (gate, files)
}

fn send(gate: &Gate, by: seeds::Seed, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} /api/v2/apiTokens{path} HTTP/1.1\r\nHost: dt\r\nAuthorization: Api-Token {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        by.secret,
        body.len()
    );
    let answer = exchange(gate.address, request.as_bytes());
    let json = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, json)
}

#[test]
fn the_history_of_a_token_is_whole_and_counts_what_it_does_not_show() {
    let simulator = Simulator::start();
    let (mut gate, _files) = gate(&simulator);
    let (one, other) = (seeds::AUTOMATION, seeds::API_TOKENS);
    let new = json!({"name": "ci", "scopes": ["metrics.read"]});
    let (status, made) = send(&gate, one, "POST", "", &new);
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/{id}");
    let scopes = |scopes: &[&str]| json!({"scopes": scopes});
    let all = [
        (other, "PUT", scopes(&["metrics.read", "logs.read"]), 204),
        (one, "PUT", scopes(&["metrics.read", "logs.read"]), 204),
        (
            other,
            "PUT",
            scopes(&["metrics.read", "metrics.ingest"]),
            403,
        ),
        (other, "PUT", json!({"enabled": false}), 204),
        (one, "PUT", json!({"enabled": true}), 204),
        (one, "DELETE", Value::Null, 204),
    ];
    for (by, method, body, wanted) in all {
        let (status, answer) = send(&gate, by, method, &path, &body);
        assert_eq!(status, wanted, "{method} {body}: {answer}");
    }
    let (_, again) = send(&gate, other, "POST", "", &new);
    let second = again["id"].as_str().unwrap().to_owned();
    assert_ne!(id, second);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let directory = gate.directory.path();

    let steps = |token: &str, more: &[&str]| -> Vec<Value> {
        let arguments = [&["history", token, "--format", "json"], more].concat();
        let said = said(directory, &arguments);
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let by_id = steps(&id, &[]);
    let what: Vec<&str> = by_id
        .iter()
        .map(|step| step["what"].as_str().unwrap())
        .collect();
    assert_eq!(what.len(), 5, "{what:?}");
    assert!(what[0].starts_with(&format!("created as {id}")), "{what:?}");
    assert!(what[1].contains("+logs.read"), "{what:?}");
    assert!(what[4].starts_with("removed"), "{what:?}");
    assert!(
        by_id
            .iter()
            .all(|step| step["token"] == *id && step["happened"] == true)
    );
    let after: Vec<usize> = by_id
        .iter()
        .map(|it| it["scopes_after"].as_array().unwrap().len())
        .collect();
    assert_eq!(after, [1, 2, 2, 2, 0]);
    assert!(
        by_id[1]["objections"][0]
            .as_str()
            .unwrap()
            .contains("no logs.read")
    );
    assert_eq!(steps(&id, &["--all"]).len(), 7);
    // The name leads to both tokens, and says which is which.
    let by_name = steps("ci", &[]);
    assert_eq!(by_name.len(), 6);
    assert_eq!(by_name[5]["token"], *second);
    assert_eq!(by_name[5]["scopes_after"], json!(["metrics.read"]));
    let shown = said(directory, &["history", "ci"]);
    assert!(
        shown.contains("Not shown: 1 denied request, 1 request that changed nothing."),
        "{shown}"
    );
    assert_eq!(shown.matches(&second).count(), 2, "{shown}");
}

/// Wherever the configuration has it: for `check` beside the gate, and for commands.
#[test]
fn an_index_is_found_where_the_configuration_puts_it() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (config, elsewhere) = (path("gate.toml"), path("elsewhere.sqlite"));
    let text = format!(
        "[journal]\ndirectory = \"{}\"\nindex_path = \"{}\"\n",
        path("journal").display(),
        elsewhere.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let gate = Gate::start(directory, upstream.address, &["--config", &config]);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually("the index is there", || elsewhere.exists().then_some(()));
    let run = |arguments: &[&str]| {
        let output = program()
            .args(arguments)
            .args(["--config", &config])
            .output();
        output.unwrap()
    };
    let policies = policies();
    let checked = run(&["check", "--policies", policies.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!said.contains("no index of a journal"), "{said}");
    let found = run(&["audit", "query", "--format", "json"]);
    assert!(found.status.success(), "{found:?}");
    assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 1);
    assert!(!gate.journal().join("index.sqlite").exists());
}

#[test]
fn a_gate_that_is_killed_while_it_indexes_leaves_an_index_that_is_whole_or_mended() {
    let upstream = Upstream::lenient();
    let mut directory = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        let gate = Gate::start(directory, upstream.address, &[]);
        for _ in 0..40 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        // It is killed before the index is begun, when it is, and when it has rows; on a machine that is busy, wherever
        // it is: requests go before the index.
        let index = gate.journal().join("index.sqlite-wal");
        let enough = |it: std::fs::Metadata| round < 2 || it.len() > 100_000;
        let patience = Instant::now() + Duration::from_secs(5);
        while round > 0 && Instant::now() < patience && !std::fs::metadata(&index).is_ok_and(enough)
        {
            std::thread::yield_now();
        }
        directory = gate.crash();
        let wanted: Vec<u64> = records(&directory.path().join("journal"))
            .iter()
            .filter(|record| record["kind"] == "decision" && record["verdict"] == "allow")
            .map(|record| record["seq"].as_u64().unwrap())
            .rev()
            .collect();
        let arguments = [
            "query",
            "--decision",
            "allow",
            "--format",
            "json",
            "--limit",
            "100000",
        ];
        let found: Vec<u64> = said(directory.path(), &arguments)
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["decision"]["seq"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(found, wanted);
    }
}
