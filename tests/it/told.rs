//! What the commands that ask a journal tell of a record: who asked, what was made, whole lists, and everything else.

use serde_json::{Value, json};

use crate::asked::said;
use crate::audit::written;

/// A creation through the gate's own credential, by a caller with a JSON Web Token.
fn brokered() -> Vec<Value> {
    let scopes: Vec<String> = (0..9).map(|number| format!("scope.{number}")).collect();
    let decision = |minute: u32, verdict: &str, operation: &str, environment: &str| {
        json!({
            "kind": "decision", "timestamp": format!("2026-11-24T10:{minute:02}:00.900Z"),
            "decision_id": format!("019ab533-{minute:04}-7000-8000-000000000001"),
            "verdict": verdict, "operation": operation, "requested_by": "10.1.2.3",
            "input": {"environment": {"name": environment}, "change": {"name": {"requested": "ci"},
                "enabled": {"requested": true, "current": false},
                "scopes": {"requested": scopes, "added": scopes, "removed": []}, "differs": ["scopes"]}},
            "caller": {"id": "dt0c01.GATE", "brokered": true, "teams": ["pay"], "certificate": {},
                "jwt": {"issuer": "https://ci", "subject": "repo:pay"}},
            "request": {"path": "/api/v2/apiTokens", "method": "POST"},
            "result": {"allow": true, "violations": []}, "bundles": {"policies": {"revision": "rev"}},
            "erased": ["/input/a"], "masked": ["/input/b"], "evaluator": "wasm",
            "pseudonyms": {"version": 1}, "metrics": {"none": {}}, "anything": {"else": [{"a": 1}]},
        })
    };
    let mut update = decision(30, "deny", "token.update", "prod");
    update["input"]["token"] = json!({"id": "dt0c01.MADE", "current": {"name": "ci"}});
    let mut doubt = update.clone();
    doubt["verdict"] = "allow".into();
    doubt["input"]["environment"]["name"] = "dev".into();
    vec![
        decision(10, "allow", "token.create", "prod"),
        json!({"kind": "outcome", "timestamp": "2026-11-24T10:10:01.000Z", "decision_seq": 1, "outcome": "answered",
            "status": 201, "credential": {"id": "dt0c01.MADE"}, "extra": "kept"}),
        update,
        doubt,
    ]
}

/// The cells of a table for spreadsheets, by the titles of their columns.
fn cells(csv: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = csv.lines().map(|line| line.trim_end().split(','));
    let titles: Vec<&str> = lines.next().unwrap().collect();
    let rows = lines.map(|cells| {
        let cells: Vec<&str> = cells.collect();
        assert_eq!(cells.len(), titles.len(), "{cells:?}");
        let named = titles.iter().zip(cells);
        named
            .map(|(title, cell)| ((*title).to_owned(), cell.to_owned()))
            .collect()
    });
    rows.collect()
}

/// Dynatrace refuses what nobody denied: no token is there afterwards.
#[test]
fn what_dynatrace_did_not_do_is_told_as_not_done() {
    let mut records = brokered();
    records[1]["status"] = 401.into();
    records[1]["credential"] = Value::Null;
    let directory = written(&records[..2]);
    let run = |arguments: &[&str]| said(directory.path(), arguments);
    let line: Value = serde_json::from_str(&run(&["history", "ci", "--format", "json"])).unwrap();
    let what = line["what"].as_str().unwrap();
    assert!(
        what.starts_with("not created: asked to enable it; scopes +scope.0"),
        "{what}"
    );
    assert_eq!(
        (&line["happened"], &line["scopes_after"]),
        (&json!(false), &json!([]))
    );
    let shown = run(&["history", "ci"]);
    assert!(
        shown.contains("401") && !shown.contains("not known"),
        "{shown}"
    );
}

#[test]
fn who_asked_and_what_was_made_are_told_whole() {
    let directory = written(&brokered());
    let run = |arguments: &[&str]| said(directory.path(), arguments);
    let shown = run(&["query"]);
    assert!(
        shown.contains("ci (dt0c01.MADE)  repo:pay (team pay)"),
        "{shown}"
    );
    // Of several environments the column is shown, of one it is not.
    assert!(shown.contains("ENVIRONMENT"), "{shown}");
    assert!(!run(&["query", "--environment", "prod"]).contains("ENVIRONMENT"));
    let all = "scope.0 scope.1 scope.2 scope.3 scope.4 scope.5 scope.6 scope.7 scope.8";
    let rows = cells(&run(&["query", "--format", "csv", "--decision", "allow"]));
    for (title, cell) in [
        ("token_id", "dt0c01.MADE"),
        ("made_id", "dt0c01.MADE"),
        ("token_name", "ci"),
        ("caller_id", "dt0c01.GATE"),
        ("brokered", "true"),
        ("teams", "pay"),
        ("jwt_subject", "repo:pay"),
        ("client", "10.1.2.3"),
        ("path", "/api/v2/apiTokens"),
        ("scopes_added", all),
        ("revision", "rev"),
        ("outcome", "answered"),
    ] {
        assert_eq!(rows[1][title], cell, "{title}");
    }
    assert_eq!(rows[0]["outcome"], "in doubt");
    let history = run(&["history", "ci", "--all", "--format", "json"]);
    let lines: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["scopes_added"].as_array().unwrap().len(), 9);
    assert_eq!(lines[0]["jwt_subject"], "repo:pay");
    assert_eq!(lines[2]["environment"], "dev");
    let denied = lines[1]["what"].as_str().unwrap();
    assert!(
        denied.starts_with("denied: ") && denied.contains("; asked to enable it; "),
        "{denied}"
    );
    // A part of it, and what was before that still counts.
    let later = [
        "history",
        "ci",
        "--all",
        "--since",
        "2026-11-24T10:30",
        "--environment",
        "prod",
    ];
    let shown = run(&later);
    assert!(
        shown.contains("denied") && !shown.contains("created"),
        "{shown}"
    );
    assert!(shown.contains("scope.0, scope.1"), "{shown}");
    assert!(!shown.contains("in doubt"), "{shown}");
    // A time that is shown takes its record in.
    let since = [
        "query",
        "--since",
        "2026-11-24T10:10:00Z",
        "--until",
        "2026-11-24T10:10:01Z",
    ];
    assert!(run(&since).contains("token.create"));
    assert!(run(&["query", "--absolute"]).contains("2026-11-24T10:10:00Z"));
}

#[test]
fn everything_that_a_record_has_is_shown_and_nothing_that_is_empty() {
    let directory = written(&brokered());
    let shown = said(directory.path(), &["show", "1", "--tz", "Europe/Vienna"]);
    for line in [
        "2026-11-24T11:10:00.900+01:00",
        "  erased: /input/a",
        "  masked: /input/b",
        "  evaluator: wasm",
        "pseudonyms\n  version: 1",
        "anything\n  else: [{\"a\":1}]",
        "result\n  allow: true",
        "  extra: kept",
        "    id: dt0c01.MADE",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    for none in ["metrics", "certificate", "null"] {
        assert!(!shown.contains(none), "{none}: {shown}");
    }
}

#[test]
fn counts_tell_who_callers_proved_to_be_and_denied_from_in_doubt() {
    let directory = written(&brokered());
    let names = |by: &str| -> Vec<(String, u64, u64)> {
        let said = said(directory.path(), &["stats", "--by", by, "--format", "json"]);
        let all: Value = serde_json::from_str(&said).unwrap();
        let names = all["names"].as_array().unwrap().iter().map(|it| {
            let count = |of: &str| it[of].as_u64().unwrap();
            let name = it["name"].as_str().unwrap().to_owned();
            (name, count("allowed"), count("denied"))
        });
        names.collect()
    };
    let one = |name: &str| vec![(name.to_owned(), 2, 1)];
    assert_eq!(names("caller"), one("repo:pay"));
    assert_eq!(names("subject"), one("repo:pay"));
    assert_eq!(names("credential"), one("dt0c01.GATE"));
    assert_eq!(names("certificate"), one(""));
    assert_eq!(names("scope").len(), 9);
    let ended = [("answered", 1, 0), ("denied", 0, 1), ("in doubt", 1, 0)];
    let ended = ended.map(|(name, allowed, denied)| (name.to_owned(), allowed, denied));
    assert_eq!(names("outcome"), ended);
}
