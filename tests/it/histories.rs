//! What happened to a request, as far as records tell it, and what of a token's history they do not tell.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::beside::{TOKEN, answered, audit, change, start};

/// The lines of the history of a token, and what was said beside them.
fn history(directory: &TempDir, token: &str) -> (Vec<Value>, String) {
    let asked = ["history", token, "--all", "--format", "json"];
    let ran = audit(directory.path(), &asked);
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), ran.err)
}

/// What lookups have told.
fn told(lines: &[Value]) -> Vec<&str> {
    let found = lines.iter().filter(|it| it["seq"].is_null());
    found.map(|it| it["what"].as_str().unwrap()).collect()
}

fn step(lines: &[Value], seq: u64) -> &Value {
    lines.iter().find(|it| it["seq"] == seq).unwrap()
}

/// What `settle` knows without asking anybody, by record.
fn settled(directory: &TempDir) -> Vec<(Value, Value)> {
    let ran = audit(directory.path(), &["settle", "--format", "json"]);
    let lines = ran.out.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["decision_seq"].clone(), line["found"].clone())
    });
    lines.collect()
}

fn with_status(minute: u32, seq: u64, status: u16) -> Value {
    let mut outcome = answered(minute, seq);
    outcome["status"] = json!(status);
    outcome
}

#[test]
fn only_a_success_is_done_and_what_else_was_answered_is_in_doubt_until_a_lookup_tells() {
    for (status, happened, says) in [
        (204, json!(true), "204"),
        (404, json!(false), "404"),
        (500, json!(null), "500, in doubt"),
        (503, json!(null), "503, in doubt"),
        (302, json!(null), "302, in doubt"),
        (304, json!(null), "304, in doubt"),
    ] {
        let directory = written(&[
            start(&[]),
            change(10, &["a"], &["a", "b"]),
            with_status(10, 2, status),
        ]);
        let (lines, _) = history(&directory, TOKEN);
        let line = step(&lines, 2);
        assert_eq!(
            (&line["happened"], &line["answer"]),
            (&happened, &json!(says))
        );
        let is_doubt = happened.is_null();
        assert_eq!(settled(&directory).len(), usize::from(is_doubt), "{status}");
        let found = audit(
            directory.path(),
            &["query", "--outcome", "doubt", "--format", "json"],
        );
        assert_eq!(found.out.lines().count(), usize::from(is_doubt), "{status}");
    }
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["a", "b"]),
        with_status(10, 2, 503),
        change(40, &["a", "b"], &["a", "b", "c"]),
        answered(40, 4),
    ]);
    let (lines, _) = history(&directory, TOKEN);
    assert_eq!(told(&lines), ["#2 was carried out: record 4 found it so"]);
    assert_eq!(settled(&directory), [(json!(2), json!("done"))]);
}

/// Two in doubt: the second asks for what the token had before the first, and nobody knows which of them came about.
#[test]
fn nothing_is_told_that_two_changes_in_doubt_explain() {
    let lines = |seen: &[&str]| {
        let directory = written(&[
            start(&[]),
            change(10, &["m", "l"], &["l"]),
            change(11, &["m", "l"], &["m", "l"]),
            change(40, seen, &["x"]),
            answered(40, 4),
        ]);
        let (lines, _) = history(&directory, TOKEN);
        let told: Vec<String> = told(&lines).iter().map(ToString::to_string).collect();
        (told, settled(&directory))
    };
    let unknown = |seq: u64| (json!(seq), json!("unknown"));
    assert_eq!(lines(&["m", "l"]), (vec![], vec![unknown(2), unknown(3)]));
    let carried_out = "#2 was carried out: record 4 found it so".to_owned();
    let done = (json!(2), json!("done"));
    assert_eq!(lines(&["l"]), (vec![carried_out], vec![done, unknown(3)]));
    // The second wants the same as the first.
    let directory = written(&[
        start(&[]),
        change(10, &["m", "l"], &["l"]),
        change(11, &["m", "l"], &["l"]),
        change(40, &["l"], &["x"]),
        answered(40, 4),
    ]);
    let (lines, _) = history(&directory, TOKEN);
    assert_eq!(told(&lines), [""; 0]);
}

#[test]
fn of_a_change_before_which_nobody_knows_the_scopes_nothing_is_told() {
    let mut blind = change(10, &[], &["l"]);
    blind["input"]["token"]
        .as_object_mut()
        .unwrap()
        .remove("current");
    blind["input"]["change"] = json!({"scopes": {"requested": ["l"]}});
    for seen in [["l"], ["m"]] {
        let directory = written(&[
            start(&[]),
            blind.clone(),
            change(40, &seen, &["x"]),
            answered(40, 3),
        ]);
        let (lines, _) = history(&directory, TOKEN);
        assert_eq!(told(&lines), [""; 0]);
        assert_eq!(settled(&directory), [(json!(2), json!("unknown"))]);
    }
}

/// As a mask leaves it that takes the input away.
fn masked(mut record: Value, path: &str, more: &[&str]) -> Value {
    let members = record.as_object_mut().unwrap();
    members.remove("input");
    members.insert("environment".to_owned(), json!("prod"));
    record["request"]["path"] = json!(path);
    record["erased"] = json!([&["/input"], more].concat());
    record
}

#[test]
fn a_change_whose_input_is_masked_is_in_the_history_of_the_token_that_its_path_names() {
    let path = format!("/api/v2/apiTokens/{TOKEN}");
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["b"]),
        masked(change(20, &["b"], &["c"]), &path, &[]),
        answered(20, 3),
        change(40, &["b"], &["b", "d"]),
        answered(40, 5),
    ]);
    let (lines, said) = history(&directory, TOKEN);
    let masked = step(&lines, 3);
    assert_eq!(
        (&masked["token"], &masked["what"]),
        (&json!(TOKEN), &json!("masked"))
    );
    assert_eq!(
        (&masked["environment"], &masked["scopes_after"]),
        (&json!("prod"), &json!(null))
    );
    // It may have been that change.
    assert_eq!(told(&lines), [""; 0]);
    assert!(!said.contains("masks"), "{said}");
    let ran = audit(
        directory.path(),
        &["query", "--token", TOKEN, "--no-op", "hide"],
    );
    assert!(
        ran.out
            .lines()
            .any(|line| line.contains(" 3 ") && line.ends_with("masked")),
        "{}",
        ran.out
    );
    let note = "of 1 decision of this time masks have hidden what --added looks at: they may be missing here";
    let ran = audit(directory.path(), &["query", "--added", "c"]);
    assert!(ran.err.contains(note), "{}", ran.err);
    let ran = audit(directory.path(), &["query", "--decision", "allow"]);
    assert!(!ran.err.contains("masks"), "{}", ran.err);
}

#[test]
fn where_nobody_knows_which_token_a_change_was_about_it_is_said_and_nothing_is_certain() {
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["b"]),
        masked(change(20, &["b"], &["c"]), "-", &["/request/path"]),
        answered(20, 3),
        change(40, &["b"], &["b", "d"]),
        answered(40, 5),
    ]);
    let (lines, said) = history(&directory, TOKEN);
    assert_eq!(lines.len(), 3, "{lines:?}");
    let note = "of 1 change since then masks have hidden which token it was about";
    assert!(said.contains(note), "{said}");
    assert_eq!(settled(&directory), [(json!(2), json!("unknown"))]);
}

#[test]
fn a_token_that_has_two_ids_has_one_history() {
    let uuid = "019ab533-0040-7000-8000-00000000000a";
    let by_uuid = |mut record: Value| {
        record["input"]["token"]["id"] = json!(uuid);
        record
    };
    let directory = written(&[
        start(&[]),
        by_uuid(change(10, &["a"], &["b"])),
        change(40, &["b"], &["c"]),
        answered(40, 3),
        by_uuid(change(50, &["c"], &["d"])),
        answered(50, 5),
    ]);
    let wanted = ["#2 was carried out: record 3 found it so"];
    for id in [uuid, TOKEN] {
        let (lines, _) = history(&directory, id);
        let steps = lines.iter().filter_map(|it| it["seq"].as_u64());
        assert_eq!(steps.collect::<Vec<_>>(), [2, 3, 5], "{id}");
        assert_eq!(told(&lines), wanted);
    }
    assert_eq!(settled(&directory), [(json!(2), json!("done"))]);
}

/// Nobody was allowed anything by its one id, and the lookup of a denial told the other.
#[test]
fn a_denial_tells_the_other_id_of_a_token_that_is_looked_for() {
    let uuid = "019ab533-0040-7000-8000-00000000000a";
    let mut denied = change(10, &["a"], &["b"]);
    denied["input"]["token"]["id"] = json!(uuid);
    denied["verdict"] = json!("deny");
    let directory = written(&[
        start(&[]),
        denied,
        change(40, &["a"], &["c"]),
        answered(40, 3),
    ]);
    let (lines, _) = history(&directory, uuid);
    let steps = lines.iter().filter_map(|it| it["seq"].as_u64());
    assert_eq!(steps.collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_has_members_that_the_gate_does_not_know_may_have_changed_something() {
    let mut record = change(10, &["a"], &["a"]);
    record["input"]["unknown_members"] = json!({"owner": "x"});
    let directory = written(&[start(&[]), record, change(20, &["a"], &["a"])]);
    let ran = audit(directory.path(), &["history", TOKEN]);
    assert!(ran.out.contains("other members: owner"), "{}", ran.out);
    assert!(
        ran.out.contains("1 request that changed nothing"),
        "{}",
        ran.out
    );
    let (lines, _) = history(&directory, TOKEN);
    assert_eq!(step(&lines, 3)["what"], "changes nothing");
}

#[test]
fn what_was_denied_was_only_asked_for() {
    let denied = |operation: &str| {
        let mut record = change(10, &["a"], &["a", "b"]);
        record["operation"] = json!(operation);
        record["verdict"] = json!("deny");
        record
    };
    let directory = written(&[start(&[]), denied("token.create"), denied("token.delete")]);
    let (lines, _) = history(&directory, TOKEN);
    let what = |seq| step(&lines, seq)["what"].as_str().unwrap().to_owned();
    assert_eq!(what(2), "denied: asked to create; scopes +b");
    assert!(
        what(3).starts_with("denied: asked to remove"),
        "{}",
        what(3)
    );
}

#[test]
fn an_end_that_is_gone_and_requests_that_are_only_counted_are_told() {
    let suppressed =
        json!({"kind": "suppressed", "timestamp": "2026-11-24T10:20:00.000Z", "count": 12});
    let directory = written(&[start(&[]), change(10, &["a"], &["b"]), suppressed]);
    let journal = directory.path().join("journal");
    let head = format!("{:020}:{} {:020}\n", 9, "0".repeat(64), 9);
    std::fs::write(journal.join("head"), head).unwrap();
    let cut = "the journal ends with record 3, and record 9 was on disk";
    let counted = "without a record of their own, and not in this answer: 12 requests";
    for (arguments, has_cut, has_counted) in [
        (&["query"][..], true, true),
        (&["query", "--decision", "deny"], true, true),
        (&["stats", "--format", "json"], true, true),
        (&["query", "--decision", "allow"], true, false),
        (&["query", "--until", "2026-11-24T10:20:00Z"], false, false),
        (&["history", TOKEN], true, false),
    ] {
        let ran = audit(directory.path(), arguments);
        let said = (ran.err.contains(cut), ran.err.contains(counted));
        assert_eq!(said, (has_cut, has_counted), "{arguments:?}: {}", ran.err);
    }
}
