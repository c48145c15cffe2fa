//! What became of decisions in doubt: looked up at the simulator, and at servers that do not answer as Dynatrace does.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;

use dtgate::audit::{Directory, OpenError};
use dtgate::simulate::seeds;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::harness::{Gate, Simulator, Upstream, program, records, verify};

/// An allowed decision without outcome.
fn doubt(number: usize, operation: &str, id: &str, change: &Value) -> Value {
    let decision_id = format!("019ab533-{number:04}-7000-8000-000000000001");
    json!({
        "kind": "decision", "timestamp": "2026-11-24T10:10:00.000Z", "decision_id": decision_id,
        "labels": {"version": "0.1.0"}, "path": "dtgate",
        "input": {"operation": operation, "api": "v2", "environment": {"name": "default", "id": "", "data": {}},
            "caller": {"address": "10.1.2.3", "token": {"id": "", "kind": ""}, "teams": []},
            "token": {"id": id, "known": true}, "change": change, "time": "2026-11-24T10:10:00.000Z"},
        "result": {"allow": true, "violations": []}, "bundles": {"policies": {"revision": "r"}},
        "metrics": {}, "requested_by": "10.1.2.3", "verdict": "allow", "operation": operation,
        "request": {"id": decision_id, "method": "PUT", "path": "/api/v2/apiTokens/x",
            "received_sha256": Value::Null, "forwarded_sha256": Value::Null},
    })
}

fn scopes(current: &[&str], requested: &[&str]) -> Value {
    json!({"scopes": {"current": current, "requested": requested}})
}

/// `dtgate audit settle` with this credential, which nobody may ever see again.
fn settle(directory: &Path, upstream: SocketAddr, secret: &str, more: &[&str]) -> Output {
    let config = directory.join("dtgate.toml");
    std::fs::write(
        &config,
        format!("upstream = {{ url = \"http://{upstream}\" }}\n"),
    )
    .unwrap();
    let mut command = program();
    command
        .current_dir(directory)
        .env("LOOKUP", secret)
        .args(["audit", "settle", "--config", "dtgate.toml"])
        .args(["--token-env", "LOOKUP", "--format", "json"])
        .args(more);
    let output = command.output().unwrap();
    let hidden = secret.rsplit('.').next().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let journal = records(&directory.join("journal"));
    for text in [
        String::from_utf8_lossy(&said).into_owned(),
        json!(journal).to_string(),
    ] {
        assert!(!text.contains(hidden), "{text}");
    }
    output
}

/// What was found, in the order of the journal.
fn found(output: &Output) -> Vec<(String, String)> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("found"), text("detail"))
    });
    lines.collect()
}

/// A decision for whatever can be found out, and what is found.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn cases() -> Vec<(Value, &'static str, &'static str)> {
    let (managed, looked_up) = (seeds::MANAGED.id, seeds::LOOKED_UP.id);
    let regions = "geographicRegions.read";
    let gone = |letter: &str| format!("dt0c01.GONE{}", letter.repeat(20));
    let switched = json!({"enabled": {"current": true, "requested": false}});
    let renamed = json!({"name": {"current": "monaco", "requested": "other"}, "scopes": {
        "current": ["settings.read", "settings.write"], "requested": ["settings.write", "settings.read"]}});
    let cases = [
        (
            "token.update",
            managed.to_owned(),
            scopes(&[], &[regions]),
            "done",
            "as the request wanted",
        ),
        (
            "token.update",
            looked_up.to_owned(),
            scopes(&["metrics.read"], &["logs.read"]),
            "not_done",
            "as it was before",
        ),
        (
            "token.update",
            seeds::LEGACY.id.to_owned(),
            scopes(&["logs.read"], &["logs.ingest"]),
            "unknown",
            "neither",
        ),
        (
            "token.update",
            seeds::REVOKED.id.to_owned(),
            switched,
            "done",
            "as the request wanted",
        ),
        // The order of scopes means nothing.
        (
            "token.update",
            seeds::MONACO.id.to_owned(),
            renamed,
            "not_done",
            "as it was before",
        ),
        (
            "token.update",
            seeds::SHARING.id.to_owned(),
            scopes(&["ViewDashboard"], &["ViewDashboard"]),
            "unknown",
            "changes nothing",
        ),
        (
            "token.update",
            gone("A"),
            scopes(&[], &["logs.read"]),
            "unknown",
            "gone",
        ),
        ("token.delete", gone("B"), json!({}), "done", "gone"),
        (
            "token.delete",
            seeds::EXPIRED.id.to_owned(),
            json!({}),
            "not_done",
            "there",
        ),
        (
            "token.create",
            String::new(),
            json!({}),
            "unknown",
            "cannot look up a token without its id",
        ),
        (
            "edge_connect.rotate",
            String::new(),
            json!({}),
            "unknown",
            "audit log",
        ),
        (
            "token.update",
            "hmac-sha256:00/../x".to_owned(),
            scopes(&[], &["logs.read"]),
            "unknown",
            "does not tell",
        ),
        (
            "token.update",
            seeds::PERSONAL.id.to_owned(),
            scopes(&[], &["logs.read"]),
            "unknown",
            "changed again",
        ),
        (
            "token.delete",
            seeds::PERSONAL.id.to_owned(),
            json!({}),
            "not_done",
            "there",
        ),
    ];
    let cases = cases.into_iter().enumerate();
    let cases = cases.map(|(number, (operation, id, change, found, why))| {
        (doubt(number, operation, &id, &change), found, why)
    });
    cases.collect()
}

fn journal(cases: &[(Value, &str, &str)]) -> TempDir {
    let records: Vec<Value> = cases.iter().map(|(record, _, _)| record.clone()).collect();
    written(&records)
}

#[test]
fn what_can_be_known_is_found_and_ends_the_doubt() {
    let simulator = Simulator::start();
    let cases = cases();
    let directory = journal(&cases);
    let secret = seeds::API_TOKENS.secret;
    let before = records(&directory.path().join("journal"));
    let output = settle(directory.path(), simulator.address, secret, &[]);
    assert!(output.status.success(), "{output:?}");
    let said = found(&output);
    assert_eq!(said.len(), cases.len());
    for ((found, why), (record, wanted, because)) in said.iter().zip(&cases) {
        assert_eq!(found, wanted, "{record}");
        assert!(why.contains(because), "{why}: {record}");
    }
    assert_eq!(records(&directory.path().join("journal")), before);

    let output = settle(directory.path(), simulator.address, secret, &["--apply"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(found(&output), said);
    // What nobody knows stays in doubt, for everybody who looks.
    let open = said.iter().filter(|(found, _)| found == "unknown").count();
    let output = settle(directory.path(), simulator.address, secret, &[]);
    assert_eq!(found(&output).len(), open);
    let report = verify(&directory.path().join("journal"));
    assert_eq!(
        report["in_doubt"].as_array().unwrap().len(),
        open,
        "{report}"
    );
    let query = program()
        .current_dir(directory.path())
        .args(["audit", "query", "--outcome", "doubt", "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&query.stdout).lines().count(), open);

    // That the last change of a token was not carried out is known now: why nobody knows of the one before is another reason.
    let output = settle(directory.path(), simulator.address, secret, &["--apply"]);
    assert!(output.status.success(), "{output:?}");

    // What the journal says already is not written again.
    let before = records(&directory.path().join("journal")).len();
    let output = settle(directory.path(), simulator.address, secret, &["--apply"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(found(&output).len(), open);
    assert_eq!(records(&directory.path().join("journal")).len(), before);

    let mut gate = Gate::start(directory, simulator.address, &[]);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let start = gate
        .records()
        .into_iter()
        .rev()
        .find(|it| it["kind"] == "start");
    assert_eq!(start.unwrap()["in_doubt"].as_array().unwrap().len(), open);
}

#[test]
fn who_does_not_answer_as_dynatrace_does_settles_nothing() {
    let html = |status: &str| {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 5\r\n\r\n<p>no")
    };
    let token = |id: &str| {
        let body = json!({"id": id, "scopes": []}).to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (answer, says) in [
        (html("401 Unauthorized"), "may not read tokens"),
        (html("403 Forbidden"), "may not read tokens"),
        // A proxy's, or the wrong address: nothing there knows any token.
        (html("404 Not Found"), "404"),
        (html("500 Internal Server Error"), "500"),
        (html("302 Found"), "redirect"),
        (html("200 OK"), "no token"),
        (token("dt0c01.OTHER"), "another token"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"scopes\":[]}".to_owned(),
            "about which token",
        ),
        ("garbage\r\n\r\n".to_owned(), ""),
    ] {
        let asked: Vec<_> = cases()
            .into_iter()
            .filter(|(_, found, _)| *found != "unknown")
            .collect();
        let directory = journal(&asked);
        let sent = answer.clone().into_bytes();
        let upstream = Upstream::answering_all(move |_| sent.clone());
        let before = records(&directory.path().join("journal"));
        let secret = seeds::API_TOKENS.secret;
        let output = settle(directory.path(), upstream.address, secret, &["--apply"]);
        assert_eq!(output.status.code(), Some(1), "{answer}: {output:?}");
        for (found, why) in found(&output) {
            assert_eq!(found, "unknown", "{answer}");
            assert!(why.contains(says), "{answer}: {why}");
        }
        assert_eq!(
            records(&directory.path().join("journal")),
            before,
            "{answer}"
        );
    }
}

/// What is under way for a minute may still be carried out: a token as it was says nothing yet.
#[test]
fn a_change_that_is_young_is_not_said_to_be_undone() {
    let (managed, looked_up) = (seeds::MANAGED.id, seeds::LOOKED_UP.id);
    let now = dtgate::app::now();
    let ago = |seconds: i64| {
        let then = jiff::Timestamp::from_millisecond(now.as_millisecond() - seconds * 1000);
        format!("{:.3}", then.unwrap())
    };
    let carried_out = scopes(&[], &["geographicRegions.read"]);
    let undone = scopes(&["metrics.read"], &["logs.read"]);
    let asked = [
        (managed, "token.update", &carried_out, 60, "done"),
        (looked_up, "token.update", &undone, 60, "unknown"),
        (looked_up, "token.delete", &json!({}), 60, "unknown"),
    ];
    let mut lines = Vec::new();
    for (number, (id, operation, change, age, _)) in asked.iter().enumerate() {
        let mut line = doubt(number + 1, operation, id, change);
        line["timestamp"] = ago(*age).into();
        lines.push(line);
    }
    // One at a time: each is the last change of its token.
    for (line, (.., wanted)) in lines.into_iter().zip(asked) {
        let directory = written(&[line]);
        let simulator = Simulator::start();
        let secret = seeds::API_TOKENS.secret;
        let output = settle(directory.path(), simulator.address, secret, &["--apply"]);
        let found = found(&output);
        assert_eq!(found[0].0, wanted, "{found:?}");
        assert_eq!(found[0].1.contains("may still come"), wanted == "unknown");
        let is_settled = records(&directory.path().join("journal"))
            .iter()
            .any(|it| it["kind"] == "settled");
        assert_eq!(is_settled, wanted == "done", "{found:?}");
    }
}

/// A server that is silent, and one that hangs up: the wait ends, and says why.
#[test]
fn who_does_not_answer_at_all_ends_no_doubt_and_keeps_nobody_waiting() {
    let asked: Vec<_> = cases()
        .into_iter()
        .filter(|(_, found, _)| *found != "unknown")
        .collect();
    let secret = seeds::API_TOKENS.secret;
    for (hangs_up, says) in [(false, "no answer within 300ms"), (true, "no answer: ")] {
        let directory = journal(&asked);
        let before = records(&directory.path().join("journal"));
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let once = std::thread::spawn(move || {
            if hangs_up {
                drop(server.accept());
            }
            server
        });
        let output = settle(
            directory.path(),
            address,
            secret,
            &["--apply", "--timeout", "300ms"],
        );
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let found = found(&output);
        assert_eq!(found.len(), asked.len());
        for (found, why) in found {
            assert_eq!(found, "unknown");
            assert!(why.contains(says), "{why}");
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("could not be looked up"), "{said}");
        assert_eq!(records(&directory.path().join("journal")), before);
        drop(once.join().unwrap());
    }
}

/// One count, whoever counts: a request that was sent and got no answer is in doubt like one without outcome.
#[test]
fn everybody_counts_the_same_decisions_in_doubt() {
    let change = scopes(&["logs.read"], &["metrics.read"]);
    let mut lines: Vec<Value> = (1..=7)
        .map(|number| doubt(number, "token.update", "dt0c01.AAAA", &change))
        .collect();
    for (of, outcome, status) in [
        (1, "unknown", Value::Null),
        (2, "answered", json!(204)),
        (3, "failed", Value::Null),
        (5, "answered", json!(503)),
        (6, "answered", json!(302)),
        (7, "answered", json!(400)),
    ] {
        let decision_id = lines[of - 1]["decision_id"].clone();
        lines.push(json!({
            "kind": "outcome", "timestamp": "2026-11-24T10:10:01.000Z", "decision_id": decision_id,
            "decision_seq": of, "outcome": outcome, "status": status, "duration_ms": 1.0,
        }));
    }
    let directory = written(&lines);
    let report = verify(&directory.path().join("journal"));
    let output = program()
        .current_dir(directory.path())
        .args(["audit", "settle", "--format", "json"])
        .output()
        .unwrap();
    let listed: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["decision_id"].clone())
        .collect();
    assert_eq!(
        listed,
        [0, 3, 4, 5].map(|at| lines[at]["decision_id"].clone())
    );
    assert_eq!(report["in_doubt"], json!(listed), "{report}");
    let csv = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(directory.path()).arg("audit");
        let output = command.args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let found = csv(&["query", "--outcome", "doubt", "--format", "csv"]);
    assert_eq!(found.lines().count(), 1 + listed.len(), "{found}");
    let stats = csv(&["stats", "--by", "outcome", "--format", "json"]);
    let stats: Value = serde_json::from_str(&stats).unwrap();
    let names = stats["names"].as_array().unwrap();
    let doubts = names.iter().find(|it| it["name"] == "in doubt").unwrap();
    assert_eq!(doubts["allowed"], 4, "{stats}");
    let history = csv(&["history", "dt0c01.AAAA"]);
    assert!(history.contains("4 changes in doubt"), "{history}");
    assert!(history.contains("503, in doubt"), "{history}");
}

fn asked(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.current_dir(directory).args(["audit", "settle"]);
    command.args(arguments).output().unwrap()
}

/// A later record of the same token tells what became of the change: nobody has to be asked, and history says the same.
#[test]
fn what_a_later_record_tells_ends_the_doubt() {
    let lines = |seen: [&str; 1]| {
        let change = scopes(&["logs.read"], &["metrics.read"]);
        let mut later = doubt(
            2,
            "token.update",
            "dt0c01.AAAA",
            &scopes(&seen, &["slo.read"]),
        );
        later["timestamp"] = json!("2026-11-24T11:10:00.000Z");
        let id = later["decision_id"].clone();
        let outcome = json!({
            "kind": "outcome", "timestamp": "2026-11-24T11:10:01.000Z", "decision_id": id, "decision_seq": 2,
            "outcome": "answered", "status": 204, "duration_ms": 1.0,
        });
        [
            doubt(1, "token.update", "dt0c01.AAAA", &change),
            later,
            outcome,
        ]
    };
    for (seen, expected, why) in [
        ("metrics.read", "done", "record 2 found it so"),
        ("logs.read", "not_done", "record 2 found it so"),
        ("other", "unknown", "not looked up"),
    ] {
        let directory = written(&lines([seen]));
        let directory = directory.path();
        let output = asked(directory, &["--format", "json"]);
        assert_eq!(found(&output), [(expected.to_owned(), why.to_owned())]);
        let history = program()
            .current_dir(directory)
            .args(["audit", "history", "dt0c01.AAAA"])
            .output()
            .unwrap();
        let history = String::from_utf8(history.stdout).unwrap();
        assert_eq!(
            history.contains("1 change in doubt"),
            expected == "unknown",
            "{history}"
        );
        let applied = asked(directory, &["--apply"]);
        if expected == "unknown" {
            assert_eq!(applied.status.code(), Some(1), "{applied:?}");
            continue;
        }
        assert!(applied.status.success(), "{applied:?}");
        assert_eq!(verify(&directory.join("journal"))["in_doubt"], json!([]));
        let journal = records(&directory.join("journal"));
        let settled = journal.iter().find(|it| it["kind"] == "settled").unwrap();
        assert_eq!(
            (&settled["found"], &settled["detail"]),
            (&json!(expected), &json!(why))
        );
        assert!(settled.get("by").is_none());
    }
}

/// A creation cannot be looked up; who searched Dynatrace says what was there, of one decision.
#[test]
fn a_person_says_what_was_found() {
    let change = json!({"name": {"requested": "payments-ci"}});
    let created = |number| doubt(number, "token.create", "", &change);
    let directory = written(&[created(1), created(2), created(3)]);
    let directory = directory.path();
    let output = asked(directory, &["--token-env", "PATH", "--format", "json"]);
    let search = "search Dynatrace for tokens named payments-ci";
    assert!(
        found(&output).iter().all(|(_, why)| why.ends_with(search)),
        "{output:?}"
    );

    let id = "019ab533-0001-7000-8000-000000000001";
    for wrong in [
        vec!["--found", "done"],
        vec![id, "--note", "x"],
        vec![id, "--found", "unknown"],
        vec!["7", "--found", "done"],
        vec!["nobody", "--found", "done"],
    ] {
        let output = asked(directory, &wrong);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let output = asked(directory, &[id, "--found", "done", "--format", "json"]);
    assert_eq!(
        found(&output),
        [("done".to_owned(), "a person found it so".to_owned())]
    );
    assert_eq!(records(&directory.join("journal")).len(), 3);

    let output = asked(
        directory,
        &[
            id,
            "--found",
            "done",
            "--note",
            &format!("it is in the list, says {}", seeds::API_TOKENS.secret),
            "--apply",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let output = asked(directory, &["#2", "--found", "not_done", "--apply"]);
    assert!(output.status.success(), "{output:?}");
    let journal = records(&directory.join("journal"));
    let settled = journal
        .iter()
        .filter(|it| it["kind"] == "settled")
        .map(|it| {
            (
                it["decision_seq"].clone(),
                it["found"].clone(),
                it["detail"].clone(),
                it["by"].clone(),
            )
        });
    let said =
        |seq: u64, found, detail: &str| (json!(seq), json!(found), json!(detail), json!("person"));
    let (public, _) = seeds::API_TOKENS.secret.rsplit_once('.').unwrap();
    let why = format!("a person found it so: it is in the list, says {public}.[secret]");
    assert_eq!(
        settled.collect::<Vec<_>>(),
        [
            said(1, "done", &why),
            said(2, "not_done", "a person found it so"),
        ]
    );
    let left = verify(&directory.join("journal"));
    assert_eq!(
        left["in_doubt"],
        json!(["019ab533-0003-7000-8000-000000000001"])
    );
    let again = asked(directory, &["1", "--found", "not_done", "--apply"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}

/// What was in doubt when retention took it away is still listed, counted, and can be settled.
#[test]
fn a_decision_in_doubt_whose_record_is_deleted_stays_in_doubt() {
    let id = "019ab533-0001-7000-8000-000000000001";
    let pruned = |last: u64, ids: &[&str]| {
        json!({
            "kind": "pruned", "timestamp": "2026-11-24T10:10:00.000Z", "first": 1, "last": last, "hash": "0".repeat(64),
            "tree": [], "oldest": "2026-11-24T10:10:00.000Z", "newest": "2026-11-24T10:10:00.000Z", "reason": "max_age",
            "in_doubt_count": ids.len(), "in_doubt": ids,
        })
    };
    let there = doubt(5, "token.create", "", &json!({}));
    let still = there["decision_id"].as_str().unwrap().to_owned();
    // The second is there all the same: a kill came before it was deleted.
    let directory = written(&[there, pruned(0, &[id, &still])]);
    let directory = directory.path();
    let listed = |arguments: &[&str]| {
        let output = asked(directory, &[arguments, &["--format", "json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| (line["decision_id"].clone(), line["decision_seq"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed(&[]),
        [(json!(id), Value::Null), (json!(still), json!(1))]
    );
    assert_eq!(listed(&[id]).len(), 1);
    let words = String::from_utf8(asked(directory, &[]).stdout).unwrap();
    assert!(
        words.contains(&format!("the record of decision {id} is deleted")),
        "{words}"
    );

    let output = asked(directory, &[id, "--found", "done", "--apply"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(listed(&[]), [(json!(still), json!(1))]);
}

#[test]
fn a_journal_that_a_gate_writes_is_left_to_it() {
    let simulator = Simulator::start();
    let gate = Gate::start(journal(&cases()), simulator.address, &[]);
    let secret = seeds::API_TOKENS.secret;
    let output = settle(
        gate.directory.path(),
        simulator.address,
        secret,
        &["--apply"],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a gate writes the journal"), "{said}");
    // Asking is free.
    let output = settle(gate.directory.path(), simulator.address, secret, &[]);
    assert!(output.status.success(), "{output:?}");
}

/// Nobody else writes while it looks: a gate that came and went would have told what became of the decision.
#[test]
fn the_journal_is_held_while_dynatrace_is_asked() {
    let journal = journal(&cases()[..1]);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let directory = journal.path().to_owned();
    let asking = std::thread::spawn({
        let directory = directory.clone();
        move || settle(&directory, address, seeds::API_TOKENS.secret, &["--apply"])
    });
    let asked = server.accept().unwrap();
    let held = Directory::hold(&directory.join("journal"));
    assert!(matches!(held, Err(OpenError::InUse(_))), "{held:?}");
    drop((asked, server));
    assert_eq!(asking.join().unwrap().status.code(), Some(1));
    Directory::hold(&directory.join("journal")).unwrap();
}
