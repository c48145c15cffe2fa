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

#[test]
fn what_was_changed_in_the_journal_afterwards_is_found() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    let passed = id_of(&gate.send("PUT", TOKEN, BAD));
    let lines = eventually("the outcome is recorded", || {
        let lines = lines(&gate.journal());
        let ended = lines.iter().any(|it| it.contains("\"kind\":\"outcome\""));
        ended.then_some(lines)
    });
    let at = lines
        .iter()
        .position(|line| line.contains("\"grant\":{"))
        .unwrap();
    let used: Value = serde_json::from_str(&lines[at]).unwrap();
    // A journal with these lines, without anything that was made of the other.
    let verify = |lines: &[String], decision: &str| {
        let journal = tempfile::tempdir_in(desk.files.path()).unwrap();
        let segment = journal.path().join("00000000000000000001.jsonl");
        std::fs::write(segment, lines.join("\n") + "\n").unwrap();
        let journal = journal.path().to_str().unwrap();
        let output = desk.run(&["grant", "verify", decision, "--journal", journal]);
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, said) = verify(&lines, &passed);
    assert_eq!(code, Some(0), "{said}");
    let changed = |pointer: &str, value: Value| {
        let (mut lines, mut record) = (lines.clone(), used.clone());
        *record.pointer_mut(pointer).unwrap() = value;
        lines[at] = record.to_string();
        lines
    };
    let note = used["grant"]["note"].as_str().unwrap();
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
        let (code, said) = verify(&changed(pointer, value), &passed);
        assert_ne!(code, Some(0), "{pointer}: {said}");
        assert!(said.contains(says), "{pointer}: {said}");
    }
    // Another approver's key is in force, or none.
    let start = changed_start(&lines, &desk);
    let (code, said) = verify(&start, &passed);
    assert!(
        code == Some(2) && said.contains("none of grants.approvers"),
        "{said}"
    );
    // That it was used is taken out: there is no such decision.
    let mut without = lines.clone();
    without.remove(at);
    let (code, said) = verify(&without, &passed);
    assert!(code == Some(1) && said.contains(&passed), "{said}");
    // The denial that it names is another one.
    let mut denial = lines.clone();
    denial[at - 1] = denial[at - 1]
        .replace("OPS", "ops")
        .replace("forbidden_scopes", "naming");
    let named = lines
        .iter()
        .position(|line| line.contains(&id_of(&denied)))
        .unwrap();
    denial[named] = lines[named].replace("forbidden_scopes", "naming");
    let (code, said) = verify(&denial, &passed);
    assert!(
        code == Some(2) && said.contains("another journal"),
        "{said}"
    );
    // Used twice: the second could not pass by it.
    let mut twice = lines.clone();
    let mut again = used.clone();
    let second = "019ab533-0000-7000-8000-0000000000ff";
    again["decision_id"] = json!(second);
    again["seq"] = json!(lines.len() + 1);
    twice.push(again.to_string());
    let (code, said) = verify(&twice, second);
    let first = format!("it was used before, by record {}", used["seq"]);
    assert!(code == Some(2) && said.contains(&first), "{said}");
    assert_eq!(verify(&twice, &passed).0, Some(0));
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
