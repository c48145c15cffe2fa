//! `dtgate grant verify` goes by the journal alone: whatever of it somebody has changed afterwards, it says so.

use std::path::Path;

use serde_json::{Value, json};

use super::{Desk, id_of};
use crate::harness::{BAD, TOKEN, Upstream, eventually};

/// The lines of a journal.
fn lines(journal: &Path) -> Vec<String> {
    let segment = journal.join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(segment).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What a gate has left behind where a request passed by a grant.
struct Granted {
    desk: Desk,
    lines: Vec<String>,
    /// The line of the decision, and what it says.
    at: usize,
    used: Value,
    denied: String,
    passed: String,
}

impl Granted {
    fn new() -> Self {
        let upstream = Upstream::lenient();
        let desk = Desk::new("");
        let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
        let denied = id_of(&gate.send("PUT", TOKEN, BAD));
        let grant = desk.granted(&gate, &["--decision", &denied]);
        desk.give(&gate, "a.grant", &grant);
        let passed = id_of(&gate.send("PUT", TOKEN, BAD));
        let lines = eventually("the outcome is recorded", || {
            let lines = lines(&gate.journal());
            let ended = lines.iter().any(|it| it.contains("\"kind\":\"outcome\""));
            ended.then_some(lines)
        });
        let is_it = |line: &String| line.contains("\"grant\":{");
        let at = lines.iter().position(is_it).unwrap();
        let used = serde_json::from_str(&lines[at]).unwrap();
        Self {
            desk,
            lines,
            at,
            used,
            denied,
            passed,
        }
    }

    /// What the command says of a journal with these lines, without anything that was made of the other.
    fn verify(&self, lines: &[String], decision: &str) -> (Option<i32>, String) {
        let journal = tempfile::tempdir_in(self.desk.files.path()).unwrap();
        let segment = journal.path().join("00000000000000000001.jsonl");
        std::fs::write(segment, lines.join("\n") + "\n").unwrap();
        let journal = journal.path().to_str().unwrap();
        let verify = ["grant", "verify", decision, "--journal", journal];
        let output = self.desk.run(&verify);
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// The lines, with something else in the record of the decision.
    fn changed(&self, pointer: &str, value: Value) -> Vec<String> {
        let (mut lines, mut record) = (self.lines.clone(), self.used.clone());
        *record.pointer_mut(pointer).unwrap() = value;
        lines[self.at] = record.to_string();
        lines
    }
}

#[test]
fn a_record_that_was_changed_afterwards_is_found() {
    let granted = Granted::new();
    let (code, said) = granted.verify(&granted.lines, &granted.passed);
    assert_eq!(code, Some(0), "{said}");
    let note = granted.used["grant"]["note"].as_str().unwrap();
    let other = |from: &str, to: &str| json!(note.replace(from, to));
    for (pointer, value, says) in [
        ("/grant/approved_by", json!("mallory"), "something else"),
        ("/grant/requested_by", json!("mallory"), "something else"),
        (
            "/grant/ticket",
            json!("OPS-1"),
            "something else than its grant: ticket",
        ),
        (
            "/grant/until",
            json!("2036-01-01T00:00:00.000Z"),
            "something else",
        ),
        ("/grant/policies", json!(["naming"]), "something else"),
        (
            "/grant/note",
            other("OPS-4711", "OPS-4712"),
            "it was edited",
        ),
        (
            "/grant/note",
            other("\u{2014} bob", "\u{2014} mallory"),
            "mallory",
        ),
        (
            "/request/received_sha256",
            json!("a".repeat(64)),
            "another request",
        ),
        (
            "/request/caller_hash",
            json!("hmac-sha256:a"),
            "another request",
        ),
        (
            "/request/path",
            json!("/api/v1/tokens/x"),
            "another request",
        ),
        (
            "/timestamp",
            json!("2036-01-01T00:00:00.000Z"),
            "it ended at",
        ),
        ("/verdict", json!("deny"), "denies the request"),
        (
            "/result/violations/0/policy",
            json!("naming"),
            "no objection of naming",
        ),
    ] {
        let (code, said) = granted.verify(&granted.changed(pointer, value), &granted.passed);
        assert_ne!(code, Some(0), "{pointer}: {said}");
        assert!(said.contains(says), "{pointer}: {said}");
    }
}

#[test]
fn other_approvers_another_denial_and_a_second_use_are_found() {
    let granted = Granted::new();
    // Another approver's key is in force, or none.
    let start = changed_start(&granted.lines, &granted.desk);
    let (code, said) = granted.verify(&start, &granted.passed);
    assert!(
        code == Some(2) && said.contains("none of grants.approvers"),
        "{said}"
    );
    // That it was used is taken out: there is no such decision.
    let mut without = granted.lines.clone();
    without.remove(granted.at);
    let (code, said) = granted.verify(&without, &granted.passed);
    assert!(code == Some(1) && said.contains(&granted.passed), "{said}");
    // The denial that it names is another one.
    let mut denial = granted.lines.clone();
    let is_it = |line: &String| line.contains(&granted.denied);
    let named = granted.lines.iter().position(is_it).unwrap();
    denial[named] = granted.lines[named].replace("forbidden_scopes", "naming");
    let (code, said) = granted.verify(&denial, &granted.passed);
    assert!(
        code == Some(2) && said.contains("another journal"),
        "{said}"
    );
    // Used twice: the second could not pass by it.
    let mut twice = granted.lines.clone();
    let mut again = granted.used.clone();
    let second = "019ab533-0000-7000-8000-0000000000ff";
    again["decision_id"] = json!(second);
    again["seq"] = json!(granted.lines.len() + 1);
    twice.push(again.to_string());
    let (code, said) = granted.verify(&twice, second);
    let first = format!("it was used before, by record {}", granted.used["seq"]);
    assert!(code == Some(2) && said.contains(&first), "{said}");
    assert_eq!(granted.verify(&twice, &granted.passed).0, Some(0));
}

/// The journal says that other people could sign.
fn changed_start(lines: &[String], desk: &Desk) -> Vec<String> {
    let key = desk.run(&["grant", "key", "carol"]);
    let key = String::from_utf8(key.stdout).unwrap();
    let mut lines = lines.to_vec();
    let mut start: Value = serde_json::from_str(&lines[0]).unwrap();
    start["grants"]["approvers"][1] = json!(key.trim());
    lines[0] = start.to_string();
    lines
}
