//! The page for auditors: each question is answered by a command, and its output is what the program says.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it audit` writes it anew into the page.

use std::path::{Path, PathBuf};

use dtgate::value::Sha256Hex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::program;
use crate::messages::is_writing;

const TOKEN: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
const BEFORE: [&str; 1] = ["metrics.read"];

/// A decision about the token of the page: what is asked for, and by whom.
struct Asked {
    minute: u32,
    operation: &'static str,
    team: &'static str,
    change: Value,
    violations: Value,
}

impl Asked {
    fn record(&self) -> Value {
        let allow = self
            .violations
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["mode"] == "warn");
        let about = if self.operation == "token.create" {
            Value::Null
        } else {
            json!({"id": TOKEN, "known": true, "current": {"id": TOKEN, "name": "payments-prod-cd", "enabled": true,
                "scopes": self.change["scopes"]["current"]}})
        };
        let mut input = json!({
            "operation": self.operation, "api": "v2", "environment": {"name": "prod", "id": "", "data": {}},
            "caller": {"address": "10.1.2.3", "token": {"id": "", "kind": ""}, "teams": [self.team]},
            "change": self.change,
        });
        if !about.is_null() {
            input["token"] = about;
        }
        json!({
            "kind": "decision", "timestamp": self.time(), "decision_id": self.id(),
            "labels": {"version": "0.1.0"}, "path": "dtgate", "input": input,
            "result": {"allow": allow, "violations": self.violations},
            "bundles": {"policies": {"revision": "1d2dd3cb06ac8b43".repeat(4)}},
            "metrics": {"timer_rego_query_eval_ns": 71586}, "requested_by": "10.1.2.3",
            "verdict": if allow { "allow" } else { "deny" }, "operation": self.operation,
            "caller": {"id": "dt0c01.GATEPUBLICGATEPUBLICGATE", "kind": "api-token", "brokered": true, "teams": [self.team],
                "jwt": {"issuer": "https://ci.example", "subject": format!("repo:example/{}", self.team)}},
            "request": {"id": self.id(), "method": "PUT", "path": format!("/api/v2/apiTokens/{TOKEN}"),
                "received_sha256": Value::Null, "forwarded_sha256": Value::Null},
        })
    }

    fn time(&self) -> String {
        format!("2026-11-24T10:{:02}:00.000Z", self.minute)
    }

    fn id(&self) -> String {
        format!("019ab533-{:04}-7000-8000-000000000001", self.minute)
    }

    fn answered(&self, seq: u64, status: u16) -> Value {
        json!({"kind": "outcome", "timestamp": self.time(), "decision_id": self.id(), "decision_seq": seq,
            "outcome": "answered", "status": status, "duration_ms": 4.545})
    }
}

/// A token is made, gets a scope, is sent again by Terraform, should get another one twice, and is removed.
fn journal() -> TempDir {
    let asked = |minute, operation, team, change, violations| Asked {
        minute,
        operation,
        team,
        change,
        violations,
    };
    let name = || json!({"requested": "payments-prod-cd", "current": "payments-prod-cd"});
    let none = || json!([]);
    let made = asked(
        10,
        "token.create",
        "payments",
        json!({"name": {"requested": "payments-prod-cd"}, "scopes": {"requested": BEFORE, "added": BEFORE, "removed": []}}),
        none(),
    );
    let more = asked(
        20,
        "token.update",
        "platform",
        json!({"name": name(), "scopes": {"requested": ["metrics.read", "logs.read"], "current": BEFORE,
            "added": ["logs.read"], "removed": []}, "differs": ["scopes"]}),
        // The policy of the README, on trial.
        json!([{"policy": "no_logs", "mode": "warn", "rule": "deny", "path": "scopes[1]", "code": "logs",
            "message": "scope \"logs.read\" reads logs; leave it out of the request"}]),
    );
    let both = ["metrics.read", "logs.read"];
    let again = asked(
        30,
        "token.update",
        "terraform",
        json!({"name": name(), "scopes": {"requested": both, "current": both, "added": [], "removed": []}, "differs": []}),
        none(),
    );
    let wished = || {
        json!({"name": name(), "scopes": {"requested": ["metrics.read", "logs.read", "WriteConfig"], "current": both,
            "added": ["WriteConfig"], "removed": []}, "differs": ["scopes"]})
    };
    let denied = asked(
        40,
        "token.update",
        "payments",
        wished(),
        json!([{"policy": "forbidden_scopes", "mode": "enforce", "rule": "deny", "path": "scopes[2]", "code": "forbidden-scope",
            "message": "scope \"WriteConfig\" may not be granted; leave it out of the request"}]),
    );
    let doubtful = asked(
        50,
        "token.update",
        "platform",
        json!({"name": name(), "scopes": {"requested": ["logs.read"], "current": both, "added": [], "removed": ["metrics.read"]},
            "differs": ["scopes"]}),
        none(),
    );
    let gone = asked(
        55,
        "token.delete",
        "payments",
        json!({"scopes": {"current": both}}),
        none(),
    );
    let mut created = made.answered(2, 201);
    created["credential"] = json!({"id": TOKEN});
    let revision = "1d2dd3cb06ac8b43".repeat(4);
    let records = [
        json!({"kind": "start", "timestamp": "2026-11-24T10:00:00.000Z", "version": "0.1.0", "revision": revision,
            "policies": ["escalation", "forbidden_scopes", "minting", "naming"], "in_doubt": []}),
        made.record(),
        created,
        more.record(),
        more.answered(4, 204),
        again.record(),
        again.answered(6, 204),
        denied.record(),
        doubtful.record(),
        gone.record(),
        gone.answered(10, 204),
        json!({"kind": "stop", "timestamp": "2026-11-24T11:00:00.000Z"}),
    ];
    written(&records)
}

/// A journal of these records, in a directory.
pub(crate) fn written(records: &[Value]) -> TempDir {
    written_with(records, &str::to_owned)
}

/// The same, with something done to each before it gets its place.
pub(crate) fn written_with(records: &[Value], change: &dyn Fn(&str) -> String) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&journal, own).unwrap();
    let (mut prev, mut lines) = (Sha256Hex::ZERO, String::new());
    for (number, record) in records.iter().enumerate() {
        let record = change(&record.to_string());
        let line = format!(
            "{{\"seq\":{},\"prev\":\"{}\",\"synced\":{number},{}",
            number + 1,
            prev.as_str(),
            record.strip_prefix('{').unwrap()
        );
        prev = Sha256Hex::of(line.as_bytes());
        lines.push_str(&line);
        lines.push('\n');
    }
    let segment = journal.join("00000000000000000001.jsonl");
    std::fs::write(&segment, lines).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&segment, own).unwrap();
    directory
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md")
}

fn said(directory: &Path, command: &str) -> String {
    let words = shlex::split(command).unwrap();
    let output = program()
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .args(&words[1..])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!error.contains("dtgate: error"), "{command}: {error}");
    assert!(output.status.success(), "{command}: {error}");
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().map(str::trim_end);
    lines.fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn every_answer_of_the_page_is_what_the_program_says() {
    let directory = journal();
    let text = std::fs::read_to_string(page()).unwrap();
    let mut written = String::new();
    let mut rest = text.as_str();
    let mut seen = 0;
    while let Some((before, after)) = rest.split_once("```console\n$ ") {
        let (block, behind) = after.split_once("```").unwrap();
        let command = block.lines().next().unwrap();
        let said = said(directory.path(), command);
        let now = format!("{command}\n{said}");
        if !is_writing() {
            assert_eq!(block, now, "{command}");
        }
        written += &[before, "```console\n$ ", &now, "```"].concat();
        rest = behind;
        seen += 1;
    }
    written.push_str(rest);
    assert!(seen > 8, "only {seen} commands are shown");
    if is_writing() {
        std::fs::write(page(), written).unwrap();
    }
}

/// Whoever reads the page can ask the same questions.
#[test]
fn the_journal_of_the_page_is_there_to_be_had() {
    let directory = journal();
    let segment = directory.path().join("journal/00000000000000000001.jsonl");
    let lines = std::fs::read_to_string(segment).unwrap();
    let place = page().with_file_name("audit-journal.jsonl");
    if is_writing() {
        std::fs::write(&place, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(place).unwrap(), lines);
    let text = std::fs::read_to_string(page()).unwrap();
    assert!(text.contains("cp docs/audit-journal.jsonl journal/00000000000000000001.jsonl"));
}

#[test]
fn every_form_says_the_same_decisions() {
    let directory = journal();
    let json = said(directory.path(), "dtgate audit query --format json");
    let seqs: Vec<u64> = json
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["decision"]["seq"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(seqs, [10, 9, 8, 6, 4, 2]);
    let csv = said(directory.path(), "dtgate audit query --format csv");
    assert_eq!(csv.lines().count(), 7);
    // Where the index may not be written, the answer is the same.
    let path = directory.path().join("journal/index.sqlite");
    std::fs::remove_file(path).unwrap();
    let elsewhere = said(
        directory.path(),
        "dtgate audit query --format csv --index other.sqlite",
    );
    assert_eq!(csv, elsewhere);
}
