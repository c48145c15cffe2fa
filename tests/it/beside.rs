//! What the commands that ask a journal say beside their answers: values that nothing can have, names that nothing has,
//! and what of the journal is not there.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::{written, written_with};
use crate::harness::program;

pub(crate) const TOKEN: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn audit(directory: &Path, arguments: &[&str]) -> Ran {
    let output = program()
        .current_dir(directory)
        .arg("audit")
        .args(arguments)
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A change of the token's scopes: what it had when it was looked up, and what is asked for.
pub(crate) fn change(minute: u32, current: &[&str], requested: &[&str]) -> Value {
    let without = |all: &[&str], those: &[&str]| -> Vec<String> {
        let rest = all.iter().filter(|it| !those.contains(it));
        rest.map(|it| (*it).to_owned()).collect()
    };
    let differs = if current == requested {
        vec![]
    } else {
        vec!["scopes"]
    };
    json!({
        "kind": "decision", "timestamp": format!("2026-11-24T10:{minute:02}:00.000Z"),
        "decision_id": format!("019ab533-{minute:04}-7000-8000-000000000001"),
        "input": {"operation": "token.update", "environment": {"name": "prod"}, "caller": {"address": "10.1.2.3"},
            "token": {"id": TOKEN, "known": true, "current": {"id": TOKEN, "name": "ci", "scopes": current}},
            "change": {"scopes": {"requested": requested, "current": current, "added": without(requested, current),
                "removed": without(current, requested)}, "differs": differs}},
        "result": {"allow": true, "violations": []}, "bundles": {"policies": {"revision": "r"}},
        "requested_by": "10.1.2.3", "verdict": "allow", "operation": "token.update",
        "caller": {"id": "dt0c01.CALLER"}, "request": {"path": "/api/v2/apiTokens"},
    })
}

pub(crate) fn answered(minute: u32, seq: u64) -> Value {
    json!({"kind": "outcome", "timestamp": format!("2026-11-24T10:{minute:02}:01.000Z"),
        "decision_id": format!("019ab533-{minute:04}-7000-8000-000000000001"), "decision_seq": seq,
        "outcome": "answered", "status": 204, "duration_ms": 1.5})
}

pub(crate) fn start(policies: &[&str]) -> Value {
    json!({"kind": "start", "timestamp": "2026-11-24T10:00:00.000Z", "version": "0.1.0", "revision": "r",
        "policies": policies, "in_doubt": []})
}

/// Cuts the one segment: each of these records begins another.
fn cut(directory: &TempDir, at: &[u64]) {
    let journal = directory.path().join("journal");
    let whole = journal.join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&whole).unwrap();
    std::fs::remove_file(&whole).unwrap();
    let mut first = 1;
    let (mut lines, last) = (text.lines(), text.lines().count() as u64 + 1);
    for next in at.iter().copied().chain([last]) {
        let count = usize::try_from(next - first).unwrap();
        let part: Vec<&str> = lines.by_ref().take(count).collect();
        let path = journal.join(format!("{first:020}.jsonl"));
        std::fs::write(path, part.join("\n") + "\n").unwrap();
        first = next;
    }
}

fn remove(directory: &TempDir, first: u64) {
    let name = format!("journal/{first:020}.jsonl");
    std::fs::remove_file(directory.path().join(name)).unwrap();
}

#[test]
fn values_that_nothing_can_have_are_refused_with_what_there_is() {
    let directory = written(&[start(&[]), change(10, &["a"], &["b"])]);
    for (arguments, says) in [
        (["--decision", "alow"], "allow, deny"),
        (["--decision", "019ab533"], "an id such as"),
        (["--operation", "token.updat"], "token.create, token.delete"),
        (["--operation", "tokn.*"], "workflow.update"),
        (["--outcome", "unkown"], "doubt"),
        (["--no-op", "no"], "hide"),
    ] {
        for command in ["query", "stats"] {
            let ran = audit(
                directory.path(),
                &[&[command], arguments.as_slice()].concat(),
            );
            assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.out);
            assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
        }
    }
    for fine in ["token.update", "token.*", "*", "unknown"] {
        let ran = audit(directory.path(), &["query", "--operation", fine]);
        assert_eq!(ran.code, Some(0), "{fine}: {}", ran.err);
    }
}

#[test]
fn names_that_no_record_has_are_told_with_those_that_there_are() {
    let mut denied = change(20, &["a"], &["b"]);
    denied["verdict"] = "deny".into();
    denied["result"]["violations"] = json!([{"policy": "minting", "rule": "deny", "mode": "enforce", "code": "no-expiry",
        "message": "no"}]);
    let many: Vec<String> = (0..30).map(|number| format!("scope.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let directory = written(&[start(&[]), denied, change(30, &["a"], &many)]);
    for (arguments, says) in [
        (
            ["--environment", "prd"],
            "no record names the environment prd; there are: prod\n",
        ),
        (
            ["--operation", "token.delete"],
            "no record names the operation token.delete; there are: token.update\n",
        ),
        (
            ["--policy", "naming"],
            "no record names the policy naming; there are: minting\n",
        ),
        (
            ["--code", "x*"],
            "no record names the code x*; there are: no-expiry\n",
        ),
        (["--team", "ops"], "no record names the team ops\n"),
        (
            ["--client", "10.9.0.0/16"],
            "no record names the client 10.9.0.0/16\n",
        ),
        (
            ["--caller", "dt0c01.X"],
            "no record names the caller dt0c01.X\n",
        ),
        (
            ["--caller", "dt0c01.X*"],
            "no record names the caller dt0c01.X*\n",
        ),
        (
            ["--text", "scope.7"],
            "--text does not look at scopes: --scope scope.7 does\n",
        ),
        (["--token", "cd"], "no record names the token cd\n"),
        (["--added", "scope.1x"], " and 20 more\n"),
    ] {
        let ran = audit(
            directory.path(),
            &[&["query"], arguments.as_slice()].concat(),
        );
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
        assert!(ran.err.len() < 400, "{}", ran.err);
        let json = audit(
            directory.path(),
            &[&["query", "--format", "json"], arguments.as_slice()].concat(),
        );
        assert_eq!((&*json.out, json.err), ("", ran.err));
    }
    let found = [
        "--environment",
        "prod",
        "--client",
        "10.1.0.0/16",
        "--caller",
        "dt0c01.CALL*",
    ];
    let ran = audit(directory.path(), &[&["query"], &found[..]].concat());
    assert_eq!(ran.err, "");
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
}

#[test]
fn what_of_the_journal_is_not_there_is_told() {
    let mut records = vec![start(&[])];
    for minute in 10..20 {
        records.push(change(minute, &["a"], &["a"]));
    }
    records.push(json!({"kind": "pruned", "timestamp": "2026-11-24T11:00:00.000Z", "first": 1, "last": 3, "hash": "",
        "tree": [], "oldest": "2026-11-24T10:00:00.000Z", "newest": "2026-11-24T10:11:00.000Z", "reason": "max_age"}));
    let directory = written(&records);
    cut(&directory, &[4, 6, 8]);
    let every = [
        vec!["query", "--format", "json"],
        vec!["stats"],
        vec!["history", TOKEN],
        vec!["settle"],
    ];
    for command in &every {
        assert_eq!(audit(directory.path(), command).err, "", "{command:?}");
    }
    remove(&directory, 1);
    let pruned = "dtgate: Records 1 to 3 were deleted on 2026-11-24T11:00:00.000Z. They are not in this answer.\n";
    for command in &every {
        assert_eq!(audit(directory.path(), command).err, pruned, "{command:?}");
    }
    let later = ["query", "--since", "2026-11-24T10:30"];
    assert_eq!(audit(directory.path(), &later).err, "");
    let missing = "dtgate: records 6 to 7 are missing, and no record says that they were pruned: run dtgate audit verify\n";
    remove(&directory, 6);
    for command in &every {
        let ran = audit(directory.path(), command);
        // What the index has found of them, it cannot show.
        let other = ran.err.replacen(&format!("{pruned}{missing}"), "", 1);
        // The newest first, and the oldest.
        let which = if command[0] == "settle" {
            "#6, #7"
        } else {
            "#7, #6"
        };
        let not_shown = format!(
            "dtgate: 2 decisions cannot be shown, because the record is gone or cannot be read: {which}. Run dtgate audit \
             verify\n"
        );
        let wanted = if command[0] == "stats" {
            ""
        } else {
            &*not_shown
        };
        assert_eq!(other, wanted, "{command:?}");
    }
    let earlier = ["query", "--until", "2026-11-24T10:12"];
    assert_eq!(audit(directory.path(), &earlier).err, pruned);
    // More is gone than was pruned.
    remove(&directory, 4);
    let ran = audit(directory.path(), &["query", "--format", "json"]);
    assert!(
        ran.err.contains("records 4 to 7 are missing"),
        "{}",
        ran.err
    );
    assert!(ran.out.lines().all(|line| line.starts_with("{\"no_op\"")));
    for command in ["show", "prove"] {
        for spelling in ["2", "#2"] {
            let ran = audit(directory.path(), &[command, spelling]);
            let says = "record 2 is not in the journal any more: it begins with record 8\n";
            assert!(ran.err.ends_with(says), "{}", ran.err);
        }
        let ran = audit(directory.path(), &[command, "99"]);
        assert!(
            ran.err.contains("there is no record 99 in the journal"),
            "{}",
            ran.err
        );
        let ran = audit(directory.path(), &[command, "an id"]);
        assert!(
            ran.err
                .contains("there is no decision an id in the journal"),
            "{}",
            ran.err
        );
    }
    let by_number = ["8", "#8"].map(|id| audit(directory.path(), &["show", id]).out);
    assert!(by_number[0].contains("10:16:00") && by_number[0] == by_number[1]);
}

/// The record is a link of the chain, and nobody can read what it says.
#[test]
fn decisions_that_cannot_be_shown_are_told() {
    let mut deep = change(11, &["a"], &["a", "b"]);
    deep["deep"] = json!("DEEP");
    let records = [
        start(&[]),
        change(10, &["a"], &["a", "b"]),
        deep,
        start(&[]),
    ];
    let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let directory = written_with(&records, &|line| line.replace("\"DEEP\"", &nested));
    let says = "dtgate: 1 decision cannot be shown, because the record is gone or cannot be read: #3. Run dtgate audit \
                verify\n";
    for command in [
        &["query"][..],
        &["query", "--format", "csv"],
        &["history", TOKEN],
        &["settle"],
    ] {
        let ran = audit(directory.path(), command);
        assert!(ran.err.contains(says), "{command:?}: {}", ran.err);
        assert_eq!(ran.code, Some(0), "{command:?}");
    }
    let json = audit(directory.path(), &["query", "--format", "json"]);
    assert_eq!((json.out.lines().count(), &*json.err), (2, ""));
    let shown = audit(directory.path(), &["verify"]);
    assert!(shown.out.contains("The chain holds."), "{}", shown.out);
}

/// Whoever writes much before it must not hide a word without anybody being told.
#[test]
fn texts_that_are_searched_in_part_are_told() {
    let mut long = change(11, &["a"], &["a", "b"]);
    long["request"]["path"] = format!("/{}", "x".repeat(5000)).into();
    long["result"]["violations"] =
        json!([{"policy": "p", "mode": "warn", "rule": "warn", "message": "hidden"}]);
    let directory = written(&[start(&[]), change(10, &["a"], &["a", "b"]), long]);
    let query = |text: &str| {
        let ran = audit(
            directory.path(),
            &["query", "--format", "json", "--text", text],
        );
        (ran.out.lines().count(), ran.err)
    };
    for (text, found) in [("hidden", 0), ("apiTokens", 1), ("ci", 2)] {
        let says = "dtgate: of 1 decision with long texts --text looks at the first 4096 bytes only: there may be more\n";
        assert_eq!(query(text), (found, says.to_owned()), "{text}");
    }
    let says = "dtgate: --text holds no word to look for: nothing is found by it\n";
    for text in ["", " ", "***", "()"] {
        assert_eq!(query(text), (0, says.to_owned()), "{text}");
    }
}

/// The last records, by their places: the whole journal is not held in memory.
#[test]
fn tail_shows_all_records_or_the_last_ones() {
    let mut records = vec![start(&[])];
    records.extend((10..20).map(|minute| change(minute, &["a"], &["a"])));
    let directory = written(&records);
    cut(&directory, &[4, 8]);
    let tail = |arguments: &[&str]| {
        let ran = audit(
            directory.path(),
            &[&["tail", "--format", "json"], arguments].concat(),
        );
        assert_eq!((ran.code, &*ran.err), (Some(0), ""));
        ran.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = tail(&[]);
    assert_eq!(all.len(), 11);
    for count in [0, 1, 3, 4, 5, 11, 100] {
        let from = all.len().saturating_sub(count);
        assert_eq!(tail(&["--lines", &count.to_string()]), all[from..]);
    }
}

#[test]
fn a_history_tells_what_was_changed_elsewhere_and_what_became_of_a_doubt() {
    let directory = written(&[
        start(&["minting"]),
        change(10, &["a"], &["a", "b"]),
        answered(10, 2),
        // Somebody takes b away and gives x.
        change(20, &["a", "x"], &["a"]),
        answered(20, 4),
        // In doubt, and not carried out.
        change(30, &["a"], &["a", "c"]),
        change(40, &["a"], &["a"]),
        answered(40, 7),
        // In doubt, and carried out.
        change(50, &["a"], &["d"]),
        change(51, &["d"], &["d", "e"]),
        answered(51, 10),
        // Both were under way at once: it was looked up before the other was carried out.
        change(51, &["d"], &["d", "f"]),
        answered(52, 12),
        change(59, &["d", "f"], &["g"]),
    ]);
    let ran = audit(directory.path(), &["history", TOKEN, "--format", "json"]);
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found: Vec<&Value> = lines.iter().filter(|it| it["seq"].is_null()).collect();
    assert_eq!(found.len(), 3, "{}", ran.out);
    assert_eq!(
        (
            &found[0]["added"],
            &found[0]["removed"],
            &found[0]["found_by"],
            &found[0]["since"]
        ),
        (&json!(["x"]), &json!(["b"]), &json!(4), &json!(2))
    );
    assert_eq!(
        found[0]["what"],
        "changed elsewhere: scopes +x -b, between 2026-11-24T10:10:00.000Z and 2026-11-24T10:20:00.000Z"
    );
    let carried_out = |line: &Value| line["carried_out"].clone();
    assert_eq!(
        [carried_out(found[1]), carried_out(found[2])],
        [json!(false), json!(true)]
    );
    let after = |seq: u64| {
        let mut steps = lines.iter();
        let step = steps.find(|it| it["seq"] == seq).unwrap();
        (
            step["scopes_after"].clone(),
            step["scopes_if_done"].clone(),
            step["scopes_if_not_done"].clone(),
        )
    };
    let null = Value::Null;
    assert_eq!(after(6), (null.clone(), json!(["a", "c"]), json!(["a"])));
    assert_eq!(after(9), (null.clone(), json!(["d"]), json!(["a"])));
    assert_eq!(after(10), (json!(["d", "e"]), null.clone(), null));
    let shown = audit(directory.path(), &["history", "ci"]).out;
    for says in [
        "changed elsewhere: scopes +x -b, between 2026-11-24T10:10:00Z and 2026-11-24T10:20:00Z",
        "in doubt: a, c; if not carried out: a",
        "#6 was not carried out, or was undone: record 7 found it so",
        "#9 was carried out: record 10 found it so",
    ] {
        assert!(shown.contains(says), "{shown}");
    }
    let csv = audit(directory.path(), &["history", "ci", "--format", "csv"]).out;
    let widths = csv.lines().filter(|line| line.split(',').count() >= 13);
    assert_eq!((csv.lines().count(), widths.count()), (11, 11), "{csv}");
    assert!(
        csv.starts_with("time,seq,decision_id,verdict,operation,environment,token,made_id,"),
        "{csv}"
    );
}

#[test]
fn show_names_the_policies_that_had_nothing_to_say() {
    let mut warned = change(20, &["a"], &["b"]);
    warned["result"]["violations"] =
        json!([{"policy": "minting", "rule": "warn", "mode": "warn", "message": "no expiry"}]);
    let mut other = change(30, &["a"], &["b"]);
    other["bundles"]["policies"]["revision"] = "other".into();
    let mut masked = change(40, &["a"], &["b"]);
    masked["erased"] = json!(["/result/violations"]);
    let reload = json!({"kind": "reload", "timestamp": "2026-11-24T10:15:00.000Z", "ok": false, "from": "r",
        "error": "broken"});
    let directory = written(&[
        start(&["expiry", "minting", "naming"]),
        reload,
        warned,
        other,
        masked,
        change(50, &["a"], &["b"]),
    ]);
    let show = |id: &str| audit(directory.path(), &["show", id]).out;
    assert!(
        show("3").contains("\nno objection\n  expiry, naming\n"),
        "{}",
        show("3")
    );
    assert!(show("6").contains("\nno objection\n  expiry, minting, naming\n"));
    for unknown in ["5", "1"] {
        assert!(!show(unknown).contains("no objection"), "{}", show(unknown));
    }
    assert!(show("4").contains("is not known"), "{}", show("4"));
}

/// Retention takes starts and reloads away, and leaves the policies themselves.
#[test]
fn show_names_policies_that_are_kept_where_no_start_does() {
    let policies = tempfile::tempdir().unwrap();
    for name in ["naming", "minting"] {
        let rego =
            format!("package dtgate.{name}\n\ndeny contains \"no\" if input.api == \"none\"\n");
        std::fs::write(policies.path().join(format!("{name}.rego")), rego).unwrap();
    }
    let limit = std::time::Duration::from_secs(5);
    let policy = dtgate::policy::Policy::load(policies.path(), limit).unwrap();
    let mut record = change(20, &["a"], &["b"]);
    record["bundles"]["policies"]["revision"] = policy.revision().into();
    let directory = written(&[record]);
    let show = || audit(directory.path(), &["show", "1"]).out;
    assert!(
        show().contains("\nno objection\n  which policies judged besides is not known"),
        "{}",
        show()
    );
    let kept = directory.path().join("journal/policies");
    std::fs::create_dir(&kept).unwrap();
    let name = format!("{}.tar.gz", policy.revision());
    std::fs::write(kept.join(name), policy.kept().unwrap()).unwrap();
    assert!(
        show().contains("\nno objection\n  minting, naming\n"),
        "{}",
        show()
    );
}

#[test]
fn history_names_scopes_that_dynatrace_may_have_left_out() {
    let directory = written(&[
        start(&["naming"]),
        change(10, &["a"], &["a", "LogImport"]),
        answered(11, 2),
        change(20, &["a"], &["a", "b"]),
    ]);
    let shown = audit(directory.path(), &["history", "ci"]).out;
    assert!(
        shown.contains("changed elsewhere: scopes -LogImport (or Dynatrace left out"),
        "{shown}"
    );
}

#[test]
fn a_limit_of_names_holds_in_every_form_where_it_is_given() {
    let mut other = change(20, &["a"], &["b"]);
    other["operation"] = "token.create".into();
    let directory = written(&[
        change(10, &["a"], &["b"]),
        change(15, &["a"], &["b"]),
        other,
    ]);
    let stats = |arguments: &[&str]| {
        let all = [&["stats", "--by", "operation"], arguments].concat();
        audit(directory.path(), &all)
    };
    let names = |ran: &Ran| {
        let out: Value = serde_json::from_str(&ran.out).unwrap();
        out["names"].as_array().unwrap().len()
    };
    assert_eq!(names(&stats(&["--format", "json"])), 2);
    let limited = stats(&["--format", "json", "--limit", "1"]);
    assert_eq!(names(&limited), 1);
    assert!(limited.err.contains("1 more"), "{}", limited.err);
    let lines = |arguments: &[&str]| stats(arguments).out.lines().count();
    assert_eq!(lines(&["--format", "csv"]), 3);
    assert_eq!(lines(&["--format", "csv", "--limit", "1"]), 2);
}

#[test]
fn an_empty_name_is_refused() {
    let directory = written(&[change(10, &["a"], &["b"])]);
    for arguments in [
        vec!["query", "--token", ""],
        vec!["history", ""],
        vec!["stats", "--policy", ""],
    ] {
        let ran = audit(directory.path(), &arguments);
        assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{}", ran.err);
    }
}

#[test]
fn tail_begins_where_the_last_records_are_and_keeps_milliseconds() {
    let directory = written(&[change(10, &["a"], &["b"]), change(20, &["a"], &["b"])]);
    let shown = audit(
        directory.path(),
        &["tail", "-n", "1", "--tz", "Europe/Vienna"],
    )
    .out;
    assert!(
        shown.starts_with("2026-11-24T11:20:00.000+01:00       2"),
        "{shown}"
    );
}

#[test]
fn counts_are_told_in_words_and_for_spreadsheets() {
    let mut old = change(10, &["a"], &["b"]);
    old["timestamp"] = "2026-01-01T10:10:00.000Z".into();
    let directory = written(&[start(&[]), old, change(20, &["a"], &["b"])]);
    let ran = audit(directory.path(), &["stats", "--by", "policy"]);
    assert!(
        ran.out.contains("(none objected)        2       0\n"),
        "{}",
        ran.out
    );
    assert_eq!(ran.err, "");
    let hours = ["stats", "--bucket", "hour", "--format", "json"];
    let ran = audit(directory.path(), &hours);
    assert!(
        ran.err
            .contains("only the last 2000 rows over time are shown"),
        "{}",
        ran.err
    );
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let buckets = all["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 2000);
    assert_eq!(buckets[1999]["from"], "2026-11-24T10:00:00Z");
    assert_eq!(buckets[1999]["allowed"], 1);
    let csv = audit(
        directory.path(),
        &[
            "stats",
            "--by",
            "environment",
            "--bucket",
            "month",
            "--format",
            "csv",
        ],
    );
    assert_eq!(
        csv.out,
        "from,name,allowed,denied\r\n2026-01-01T00:00:00Z,prod,1,0\r\n2026-11-01T00:00:00Z,prod,1,0\r\n"
    );
}
