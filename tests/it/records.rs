//! The examples in docs/journal.md: what the program writes, without what differs each time.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it records` writes them anew into the page.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dtgate::value::Sha256Hex;
use regex::{Captures, Regex};
use serde_json::{Map, Value};

use crate::harness::{BAD, GOOD, Gate, Simulator, TOKEN, policies, serving};
use crate::messages::is_writing;

/// A creation that the policies allow.
const NEW: &str = r#"{"name":"payments-prod-cd","scopes":["metrics.read"],"expiresIn":{"value":14,"unit":"DAYS"}}"#;

/// A gate before the simulator that denies, refuses, allows, counts and ends: its journal, line by line.
fn journal() -> Vec<String> {
    let simulator = Simulator::start();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("dtgate.toml");
    let text = "[policies]\nbytecode = \"none\"\ntime_limit = \"20s\"\n[limits]\nrefusals = 1\n";
    std::fs::write(&config, text).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(config)
        .arg("--upstream")
        .arg(format!("http://{}", simulator.address))
        .arg("--policies")
        .arg(policies());
    let mut gate = Gate::spawn(directory, command);
    let send = |what: &str, body: &str| {
        let secret = dtgate::simulate::seeds::MANAGEMENT.secret;
        let answer = gate.raw(format!(
            "{what} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        answer.status
    };
    let put = |body: &str| send(&format!("PUT {TOKEN}"), body);
    assert_eq!(put(BAD), 403);
    let twice = r#"{"scopes":[],"scopes":["WriteConfig"]}"#;
    for _ in 0..3 {
        assert_eq!(put(twice), 400);
    }
    assert_eq!(put(GOOD), 204);
    assert_eq!(send("POST /api/v1/tokens", NEW), 201);
    assert_eq!(send("POST /platform/new/v1/things", "{}"), 404);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let segment = gate.journal().join("00000000000000000001.jsonl");
    let content = std::fs::read_to_string(segment).unwrap();
    content.lines().map(str::to_owned).collect()
}

/// The lines with times, ids and measurements of their own, and linked anew.
fn masked(lines: &[String]) -> Vec<String> {
    let time = Regex::new(r#""[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z""#).unwrap();
    let id = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
    let prev = Regex::new(r#""prev":"[0-9a-f]{64}""#).unwrap();
    let members = [
        (
            r#""credential":\{"id":"dt0c01\.[A-Z0-9]+""#,
            "\"credential\":{\"id\":\"dt0c01.ST2EY72KQINMH574WMNVI7YN\"".to_owned(),
        ),
        (
            r#""caller":"hmac-sha256:[0-9a-f]{32}""#,
            format!("\"caller\":\"hmac-sha256:{}\"", "3e1c".repeat(8)),
        ),
        (
            r#""revision":"[0-9a-f]{64}""#,
            format!("\"revision\":\"{}\"", "1d2dd3cb06ac8b43".repeat(4)),
        ),
        (
            r#""kept":"[0-9a-f]{64}""#,
            format!("\"kept\":\"{}\"", "fdf165b65991969a".repeat(4)),
        ),
        (
            r#""timer_rego_query_eval_ns":[0-9]+"#,
            "\"timer_rego_query_eval_ns\":715862".to_owned(),
        ),
        (
            r#""duration_ms":[0-9.]+"#,
            "\"duration_ms\":4.545".to_owned(),
        ),
    ];
    let mut ids = HashMap::new();
    let mut before = Sha256Hex::ZERO;
    let mut masked = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let now = format!("\"2026-11-24T06:50:{:02}.268Z\"", 47 + number);
        let mut line = time.replace_all(line, &*now).into_owned();
        line = id
            .replace_all(&line, |found: &Captures<'_>| {
                let next = ids.len() + 1;
                let number = ids.entry(found[0].to_owned()).or_insert(next);
                format!("01a20c52-49be-7000-8000-{number:012}")
            })
            .into_owned();
        for (shape, value) in &members {
            let shape = Regex::new(shape).unwrap();
            line = shape.replace_all(&line, value.as_str()).into_owned();
        }
        let before_it = format!("\"prev\":\"{}\"", before.as_str());
        line = prev.replace(&line, &*before_it).into_owned();
        before = Sha256Hex::of(line.as_bytes());
        masked.push(line);
    }
    masked
}

/// A record with each of its members on a line.
fn spread(line: &str) -> String {
    let members: Map<String, Value> = serde_json::from_str(line).unwrap();
    let members = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", Value::from(&**name)));
    let spread = format!("{{{}}}", members.collect::<Vec<_>>().join(",\n "));
    assert_eq!(spread.replace(",\n ", ","), line);
    spread + "\n"
}

#[test]
fn the_records_of_the_documentation_are_what_the_program_writes() {
    let lines = masked(&journal());
    let kinds: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "start",
            "decision",
            "decision",
            "decision",
            "outcome",
            "decision",
            "outcome",
            "suppressed",
            "unseen",
            "stop",
            "checkpoint"
        ]
    );
    let shown: Vec<String> = [0, 1, 2, 4, 7, 8, 6]
        .map(|number: usize| spread(&lines[number]))
        .to_vec();

    let path = page();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut parts: Vec<&str> = text.split("```json\n").collect();
    assert_eq!(parts.len(), shown.len() + 1, "a block for each record");
    let mut written = parts.remove(0).to_owned();
    for (part, record) in parts.iter().zip(&shown) {
        let (block, rest) = part.split_once("```").unwrap();
        if !is_writing() {
            assert_eq!(block, record);
        }
        written.extend(["```json\n", record, "```", rest]);
    }
    if is_writing() {
        std::fs::write(path, written).unwrap();
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/journal.md")
}
