//! Questions to the store: what it answers is what the index of a journal answers, over all gates, and whoever changes
//! anything in it is found.

mod changed;
mod hidden;
mod many;
mod odd;
mod older;
mod renamed;
mod same;
mod shown;
mod stopped;
mod unsure;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use dtgate::audit::facts::within;
use dtgate::audit::outgoing::{Bookmark, Most};
use dtgate::store::{Asked, Config, Sink, Standing, Url};
use dtgate::value::Sha256Hex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::program;
use crate::postgres::{Database, PASSWORD, database};

/// A journal of these records, chained as a gate chains them; its last hash.
fn journal(records: &[Value]) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let (mut prev, mut text) = (Sha256Hex::ZERO, String::new());
    for (at, record) in records.iter().enumerate() {
        let record = record.to_string();
        let line = format!(
            "{{\"seq\":{},\"prev\":\"{}\",\"synced\":{at},{}",
            at + 1,
            prev.as_str(),
            &record[1..]
        );
        prev = Sha256Hex::of(line.as_bytes());
        text.push_str(&line);
        text.push('\n');
    }
    std::fs::write(directory.path().join("00000000000000000001.jsonl"), text).unwrap();
    (directory, prev.as_str().to_owned())
}

/// Where a database is, and the password for it.
struct Way {
    directory: TempDir,
    config: Config,
}

impl Way {
    fn to(database: &Database<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, PASSWORD).unwrap();
        let url: Url = database.url().parse().unwrap();
        let config = Config {
            password_file: Some(file),
            ..Config::at(url)
        };
        Self { directory, config }
    }

    /// Sends a journal there under a name.
    fn ship(&self, name: &str, journal: &Path, last: u64, hash: &str) {
        let head = (last, hash.to_owned());
        let of = name.to_owned();
        let about = move || Standing {
            version: "0.1.0",
            revision: Arc::from("1d2dd3cb06ac8b43".repeat(4)),
            listen: "127.0.0.1:8080".to_owned(),
            head: head.clone(),
            started: dtgate::app::now(),
            key: format!("{of}+0123abcd+AbCd"),
        };
        let mut sink = Sink::new(&self.config, name, Arc::new(about)).unwrap();
        let mut mark = Bookmark::open(journal, "store", 0).unwrap();
        let most = Most {
            records: 10_000,
            bytes: 1 << 24,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let batch = mark.next(last, most).unwrap();
            assert_eq!(batch.records.len() as u64, last);
            sink.send(&batch.records).await.unwrap();
        });
    }

    /// A command that asks there.
    fn audit(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("audit").args(arguments);
        command.args(["--store", &self.config.url.to_string()]);
        command
            .arg("--password-file")
            .arg(self.directory.path().join("password"));
        command.output().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.audit(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A change of a token: at a second, and who asks.
fn decision(second: u32, name: &str, caller: &str) -> Value {
    let allow = caller != "denied";
    json!({
        "kind": "decision",
        "timestamp": format!("2026-11-24T10:{:02}:{:02}.000Z", second / 60, second % 60),
        "decision_id": format!("019ab533-{second:04}-7000-8000-{:012x}", name.len()),
        "verdict": if allow { "allow" } else { "deny" },
        "operation": "token.update",
        "requested_by": "10.1.2.3",
        "caller": {"id": format!("dt0c01.{caller}"), "teams": [caller],
            "jwt": {"issuer": "https://ci.example", "subject": format!("repo:{caller}")}},
        "input": {
            "environment": {"name": "prod"},
            "token": {"id": "dt0c01.TOKEN", "known": true,
                "current": {"id": "dt0c01.TOKEN", "name": name, "scopes": ["metrics.read"]}},
            "change": {"name": {"requested": name, "current": name},
                "scopes": {"requested": ["metrics.read", "logs.read"], "current": ["metrics.read"],
                    "added": ["logs.read"], "removed": []}},
        },
        "result": {"violations": if allow { json!([]) } else {
            json!([{"policy": "scopes", "code": "forbidden", "message": "not granted"}])
        }},
        "bundles": {"policies": {"revision": "1d2dd3cb06ac8b43".repeat(4)}},
        "request": {"path": "/api/v2/apiTokens/dt0c01.TOKEN"},
    })
}

fn outcome(second: u32, of: u64) -> Value {
    json!({"kind": "outcome", "timestamp": format!("2026-11-24T10:{:02}:{:02}.500Z", second / 60, second % 60),
        "decision_seq": of, "outcome": "answered", "status": 204, "duration_ms": 4.5,
        "credential": {"id": "dt0c01.MADE"}})
}

#[test]
#[ignore = "needs PostgreSQL"]
#[expect(clippy::too_many_lines, reason = "one store, asked in many ways")]
fn needs_postgres_one_answer_has_the_records_of_all_gates_in_the_order_of_time() {
    let database = database();
    let way = Way::to(&database);
    // A name may hold what separates the parts of a cursor.
    let gates = ["gate-a", "b/2026", "gate c"];
    for (at, gate) in gates.iter().enumerate() {
        let at = u32::try_from(at).unwrap();
        let mut records = Vec::new();
        for turn in 0..4 {
            let second = turn * 3 + at;
            records.push(decision(
                second,
                "payments",
                if turn == 3 { "denied" } else { "ci" },
            ));
            if turn != 3 {
                records.push(outcome(second, records.len() as u64));
            }
        }
        let (directory, hash) = journal(&records);
        way.ship(gate, directory.path(), records.len() as u64, &hash);
    }
    // Page by page, as the notes say it.
    let (mut before, mut found) = (None::<String>, Vec::new());
    loop {
        let mut arguments = vec!["query", "--format", "json", "--limit", "5"];
        if let Some(before) = &before {
            arguments.extend(["--before", before]);
        }
        let output = way.audit(&arguments);
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let time = line["decision"]["timestamp"].as_str().unwrap().to_owned();
            found.push((time, line["gate"].as_str().unwrap().to_owned()));
        }
        let note = String::from_utf8(output.stderr).unwrap();
        let Some((_, rest)) = note.split_once("--before ") else {
            break;
        };
        before = Some(rest.split_once(" shows them").unwrap().0.to_owned());
    }
    assert_eq!(found.len(), 12);
    assert!(
        found.is_sorted_by(|one, other| one.0 > other.0),
        "{found:?}"
    );
    assert_eq!(
        found[0],
        ("2026-11-24T10:00:11.000Z".to_owned(), "gate c".to_owned())
    );
    let table = way.said(&["query", "--absolute", "--decision", "deny"]);
    assert!(table.starts_with("WHEN                  GATE "), "{table}");
    let of_one = way.said(&[
        "query",
        "--gate",
        "gate-a",
        "--limit",
        "1",
        "--before",
        "3",
        "--absolute",
    ]);
    assert!(of_one.contains("10:00:00Z  1  allow"), "{of_one}");
    let history = way.said(&["history", "dt0c01.TOKEN", "--absolute"]);
    let gates: Vec<&str> = history
        .lines()
        .skip(1)
        .filter_map(|line| line.get(22..28))
        .filter(|gate| !gate.trim().is_empty())
        .collect();
    assert_eq!(
        gates[..4],
        ["gate-a", "b/2026", "gate c", "gate-a"],
        "{history}"
    );
    let made = way.said(&["history", "dt0c01.MADE", "--format", "json"]);
    let changes = made.lines().filter(|line| line.starts_with("{\"seq\""));
    assert_eq!(changes.count(), 9, "{made}");
    let sums = way.said(&["stats", "--by", "team", "--format", "json"]);
    let sums: Value = serde_json::from_str(&sums).unwrap();
    assert_eq!(
        sums["names"][0],
        json!({"name": "ci", "allowed": 9, "denied": 0})
    );
    let id = found_id(&way);
    let shown = way.said(&["show", &id]);
    assert!(
        shown.contains("gate gate c") && shown.contains("forbidden"),
        "{shown}"
    );
    let of_which = way.audit(&["show", "1"]);
    assert!(
        String::from_utf8(of_which.stderr)
            .unwrap()
            .contains("--gate")
    );
    let unknown = way.audit(&["query", "--gate", "gate-x"]);
    assert!(
        String::from_utf8(unknown.stderr)
            .unwrap()
            .contains("b/2026, gate c, gate-a")
    );
}

fn found_id(way: &Way) -> String {
    let found = way.said(&["query", "--format", "csv", "--limit", "1"]);
    let line = found.lines().nth(1).unwrap();
    line.split(',').nth(3).unwrap().to_owned()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_gates_are_listed_and_what_is_odd_is_marked() {
    let database = database();
    let way = Way::to(&database);
    for gate in ["a", "b", "c\u{1b}[31m"] {
        let (directory, hash) = journal(&[decision(0, "payments", "ci")]);
        way.ship(gate, directory.path(), 1, &hash);
    }
    database
        .sql("UPDATE dtgate.gate SET revision = repeat('ab', 32), head_seq = 9 WHERE gate = 'b'");
    database.sql("UPDATE dtgate.gate SET seen = now() - interval '2 hours' WHERE gate = 'a'");
    let gates = Asked::open(&way.config).unwrap().gates().unwrap();
    assert!(gates.iter().all(|gate| gate.asked > gate.seen), "{gates:?}");
    let table = way.said(&["gates"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[1].contains("(silent)") && !lines[1].contains("(others)"),
        "{table}"
    );
    assert!(lines[1].ends_with("a+0123abcd"), "{table}");
    assert!(
        table.contains("abababab") && table.contains("c\\u{1b}[31m"),
        "{table}"
    );
    let json = way.said(&["gates", "--format", "json"]);
    let behind = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let behind: Vec<u64> = behind.map(|it| it["behind"].as_u64().unwrap()).collect();
    assert_eq!(behind, [0, 8, 0]);
    let output = way.audit(&["query"]);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("8 records of gate b had not come to the store"),
        "{note}"
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_long_name_is_found_by_all_of_it() {
    let database = database();
    let way = Way::to(&database);
    let long = format!("{}é'%_\\\"", "x".repeat(3000));
    let (directory, hash) = journal(&[decision(0, &long, "it's")]);
    way.ship("a", directory.path(), 1, &hash);
    assert!(within(&long).len() < long.len());
    for arguments in [
        ["--token", &long],
        ["--token", "xxx*"],
        ["--caller", "dt0c01.it's"],
        ["--claim", "repo:it's"],
        ["--text", "dt0c01 TOKEN"],
    ] {
        let found = way.said(&["query", "--format", "csv", arguments[0], arguments[1]]);
        assert_eq!(found.lines().count(), 2, "{arguments:?}");
    }
    for nothing in ["%", "x%", "_", "' OR true --", "dt0c01.it\\'s"] {
        let found = way.said(&["query", "--caller", nothing]);
        assert_eq!(found, "No decision matches.\n", "{nothing}");
    }
}
