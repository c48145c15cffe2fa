//! Which token a record is about: by a pseudonym of any key, by the other of two ids, and where masks have hidden one of
//! them. What is not certain is not told.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::beside::{Ran, TOKEN, answered, audit, change, start};

const UUID: &str = "019ab533-0040-7000-8000-00000000000a";

/// The pseudonyms of a value by two keys, and where the keys are.
fn keys(value: &str) -> (TempDir, [String; 2]) {
    let directory = written(&[start(&[])]);
    let made = |_| {
        let arguments = ["hash", "--rotate", value, "--journal", "journal"];
        let ran = audit(directory.path(), &arguments);
        ran.out.lines().last().unwrap().to_owned()
    };
    let names = [1, 2].map(made);
    (directory, names)
}

/// A journal beside the keys of another one.
fn with_keys(records: &[Value], keys: &TempDir, versions: &[u32]) -> TempDir {
    let directory = written(records);
    for version in versions {
        let name = format!("journal/pseudonym-v{version}.key");
        std::fs::copy(keys.path().join(&name), directory.path().join(&name)).unwrap();
    }
    directory
}

/// A change by which the token changes itself.
fn by_itself(mut record: Value, name: &str) -> Value {
    record["input"]["token"]["id"] = json!(name);
    record["input"]["token"]["current"]["id"] = json!(name);
    record["request"]["path"] = json!(format!("/api/v2/apiTokens/{name}"));
    record["pseudonyms"] = json!([
        "/input/token/id",
        "/input/token/current/id",
        "/request/path"
    ]);
    record
}

/// A start of a gate that gives pseudonyms by this key.
fn start_with(version: u32) -> Value {
    let mut record = start(&[]);
    record["pseudonyms"] = json!({"fields": ["caller.token.id"], "key": format!("v{version}")});
    record
}

fn history(directory: &Path, more: &[&str]) -> (Vec<Value>, String) {
    let asked = [&["history"], more, &["--format", "json"]].concat();
    let ran = audit(directory, &asked);
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), ran.err)
}

fn steps(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|it| it["seq"].as_u64()).collect()
}

fn told(lines: &[Value]) -> Vec<&str> {
    let found = lines.iter().filter(|it| it["seq"].is_null());
    found.map(|it| it["what"].as_str().unwrap()).collect()
}

/// What `settle` knows of each without a lookup: the record, what it found and why.
fn settled(directory: &Path) -> Vec<(u64, String, String)> {
    let ran = audit(directory, &["settle", "--format", "json"]);
    let lines = ran.out.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (
            line["decision_seq"].as_u64().unwrap(),
            text("found"),
            text("detail"),
        )
    });
    lines.collect()
}

#[test]
fn a_token_that_changes_itself_is_the_one_that_others_change_whichever_key_was_in_use() {
    let (keys, [one, two]) = keys(TOKEN);
    let records = |is_first_in_doubt: bool| {
        let mut all = vec![
            start_with(2),
            by_itself(change(10, &["a"], &["a", "b"]), &one),
        ];
        if !is_first_in_doubt {
            all.push(answered(10, 2));
        }
        let seq = all.len() as u64 + 1;
        all.extend([
            change(30, &["a", "b"], &["a"]),
            answered(30, seq),
            by_itself(change(50, &["a"], &["a", "c"]), &two),
            answered(50, seq + 2),
        ]);
        all
    };
    let directory = with_keys(&records(false), &keys, &[1, 2]);
    for asked in [TOKEN, "ci"] {
        let (lines, said) = history(directory.path(), &[asked]);
        assert_eq!((steps(&lines), told(&lines)), (vec![2, 4, 6], vec![]));
        assert!(!said.contains("pseudonym"), "{said}");
    }
    let plain = audit(directory.path(), &["history", TOKEN]);
    assert!(!plain.out.contains("TOKEN "), "{}", plain.out);
    let directory = with_keys(&records(true), &keys, &[1, 2]);
    let (lines, _) = history(directory.path(), &[TOKEN]);
    assert_eq!(told(&lines), ["#2 was carried out: record 3 found it so"]);
    // By the pseudonym alone nobody knows what others have done to it.
    let [(2, found, _)] = &settled(directory.path())[..] else {
        panic!("one is in doubt");
    };
    assert_eq!(found, "unknown");
}

#[test]
fn what_a_token_did_to_itself_is_a_change_again_and_one_by_a_lost_key_may_be_its_own() {
    let (keys, [one, _]) = keys(TOKEN);
    let directory = with_keys(
        &[
            start_with(1),
            change(10, &["a"], &["a", "b"]),
            by_itself(change(40, &["a", "b"], &["a"]), &one),
            answered(40, 3),
        ],
        &keys,
        &[1],
    );
    let wanted = (2, "done".to_owned(), "record 3 found it so".to_owned());
    assert_eq!(settled(directory.path()), [wanted]);
    // Nothing tells of the first change, and the second makes a lookup worthless.
    let mut unseen = by_itself(change(40, &["a", "b"], &["a"]), &one);
    unseen["input"]["token"]
        .as_object_mut()
        .unwrap()
        .remove("current");
    unseen["input"]["change"]["scopes"]
        .as_object_mut()
        .unwrap()
        .remove("current");
    let records = [
        start_with(1),
        change(10, &["a"], &["a", "b"]),
        unseen,
        answered(40, 3),
    ];
    for (versions, why) in [
        (&[1][..], "the token was changed again"),
        (
            &[],
            "the token may have been changed again: a request of that time or later has a pseudonym in place of its id, and a \
             key of pseudonyms is missing",
        ),
    ] {
        let directory = with_keys(&records, &keys, versions);
        let looked = audit_with_token(directory.path());
        assert!(looked.out.contains(why), "{} {}", looked.out, looked.err);
    }
}

/// Nobody is at that address: whoever is not asked has been decided before.
pub(crate) fn audit_with_token(directory: &Path) -> Ran {
    let config = "upstream.url = \"http://127.0.0.1:9\"\njournal.directory = \"journal\"\n";
    std::fs::write(directory.join("dtgate.toml"), config).unwrap();
    std::fs::write(directory.join("token"), "dt0c01.A.B").unwrap();
    let asked = [
        "settle",
        "--config",
        "dtgate.toml",
        "--token-file",
        "token",
        "--format",
        "json",
    ];
    audit(directory, &asked)
}

/// As a mask leaves it that takes away what the token was when it was looked up.
fn without_current(mut record: Value, id: &str) -> Value {
    let token = record["input"]["token"].as_object_mut().unwrap();
    token.remove("current");
    token.insert("id".to_owned(), json!(id));
    record["erased"] = json!(["/input/token/current"]);
    record
}

#[test]
fn where_masks_hide_that_two_ids_are_of_one_token_nothing_is_certain() {
    let change = |minute, current: &[&str], requested: &[&str], id| {
        without_current(change(minute, current, requested), id)
    };
    let directory = written(&[
        start(&[]),
        change(5, &["a"], &["a", "b"], UUID),
        change(20, &["a", "b"], &["a"], TOKEN),
        answered(20, 3),
        change(40, &["a"], &["a", "c"], UUID),
        answered(40, 5),
    ]);
    let (lines, said) = history(directory.path(), &[UUID]);
    assert_eq!(steps(&lines), [2, 5]);
    let note = "of 1 change since then masks have hidden the other id of the token";
    assert!(said.contains(note), "{said}");
    assert_eq!(settled(directory.path())[0].1, "unknown");
    // What has an id of the same form is another token.
    let (lines, said) = history(directory.path(), &[TOKEN, "--since", "2026-11-24"]);
    assert_eq!(steps(&lines), [3]);
    assert!(said.contains(note), "{said}");
    let others = written(&[
        start(&[]),
        change(10, &["a"], &["a", "b"], "dt0c01.OTHER"),
        answered(10, 2),
        change(20, &["a", "b"], &["a"], TOKEN),
        answered(20, 4),
    ]);
    let (_, said) = history(others.path(), &["dt0c01.OTHER"]);
    assert!(!said.contains("masks"), "{said}");
    // The last change of the other id makes a lookup worthless.
    let last = written(&[
        start(&[]),
        change(10, &["a"], &["a", "b"], UUID),
        change(40, &["a", "b"], &["a"], TOKEN),
        answered(40, 3),
    ]);
    let looked = audit_with_token(last.path());
    assert!(
        looked.out.contains("may have been changed again: masks"),
        "{}",
        looked.out
    );
}

#[test]
fn a_denial_tells_each_of_two_ids_by_the_other_one() {
    let mut denied = change(10, &["a"], &["b"]);
    denied["input"]["token"]["current"]["id"] = json!(UUID);
    denied["verdict"] = json!("deny");
    let directory = written(&[
        start(&[]),
        denied,
        change(40, &["a"], &["c"]),
        answered(40, 3),
    ]);
    for id in [UUID, TOKEN] {
        let (lines, _) = history(directory.path(), &[id, "--all"]);
        assert_eq!(steps(&lines), [2, 3], "{id}");
    }
}

#[test]
fn a_history_by_a_name_says_that_names_are_hidden() {
    let mut masked = change(10, &["a"], &["a", "b"]);
    masked["input"]["token"]["current"]
        .as_object_mut()
        .unwrap()
        .remove("name");
    masked["erased"] = json!(["/input/token/current/name"]);
    let mut named = change(20, &["a"], &["a", "b"]);
    named["input"]["token"]["current"]["name"] =
        json!("ci-hmac-sha256:v1:00000000000000000000000000000000-x");
    named["pseudonyms"] = json!(["/input/token/current/name"]);
    let directory = written(&[start(&[]), masked, answered(10, 2), named, answered(20, 4)]);
    let (lines, said) = history(directory.path(), &["payments-cd"]);
    assert_eq!(lines.len(), 0);
    for note in [
        "of 1 decision of this time masks have hidden what TOKEN looks at: they may be missing here",
        "of 1 decision of this time pseudonyms stand where TOKEN looks, and nobody can tell which name",
    ] {
        assert!(said.contains(note), "{said}");
    }
    let asked = audit(directory.path(), &["query", "--token", "payments-cd"]);
    assert!(
        asked.err.contains("pseudonyms stand where --token looks"),
        "{}",
        asked.err
    );
    let (_, said) = history(directory.path(), &[TOKEN]);
    assert!(!said.contains("looks"), "{said}");
}

#[test]
fn a_change_elsewhere_has_its_environment_and_the_record_that_found_it() {
    let in_dev = |mut record: Value, id: &str| {
        record["input"]["environment"]["name"] = json!("dev");
        record["input"]["token"]["id"] = json!(id);
        record["input"]["token"]["current"]["id"] = json!(id);
        record
    };
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["b"]),
        answered(10, 2),
        in_dev(change(20, &["x"], &["y"]), "dt0c01.DEV"),
        answered(20, 4),
        in_dev(change(40, &["z"], &["q"]), "dt0c01.DEV"),
        answered(40, 6),
    ]);
    let (lines, _) = history(directory.path(), &["ci"]);
    let found = lines.iter().find(|it| it["seq"].is_null()).unwrap();
    assert_eq!(
        (&found["environment"], &found["found_by"]),
        (&json!("dev"), &json!(6))
    );
    let csv = audit(directory.path(), &["history", "ci", "--format", "csv"]).out;
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let titles = rows.next().unwrap();
    let at = |name: &str| titles.iter().position(|it| *it == name).unwrap();
    let found = rows.find(|row| row[at("seq")].is_empty()).unwrap();
    // What was found may have commas in it.
    assert_eq!(
        (found[at("environment")], &found[found.len() - 2..]),
        ("dev", &["6", "false"][..])
    );
    assert_eq!(titles[titles.len() - 2..], ["found_by", "unsure"]);
    let table = audit(directory.path(), &["history", "ci"]).out;
    let elsewhere = table
        .lines()
        .find(|line| line.contains("elsewhere"))
        .unwrap();
    assert!(elsewhere.contains("dev"), "{table}");
}

#[test]
fn lines_that_are_gone_within_a_segment_are_told_and_nothing_is_certain_beside_them() {
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["b"]),
        change(20, &["b"], &["c"]),
        answered(20, 3),
        change(40, &["b"], &["b", "d"]),
        answered(40, 5),
    ]);
    let segment = directory.path().join("journal/00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(at, _)| ![2, 3].contains(at))
        .map(|(_, line)| line)
        .collect();
    std::fs::write(&segment, kept.join("\n") + "\n").unwrap();
    let (_, said) = history(directory.path(), &[TOKEN]);
    assert!(said.contains("records 3 to 4 are missing"), "{said}");
    assert_eq!(settled(directory.path())[0].1, "unknown");
}

#[test]
fn a_token_whose_id_a_mask_has_replaced_is_shown_by_its_path() {
    let mut record = change(10, &["a"], &["b"]);
    record["input"]["token"]["id"] = json!("hidden");
    record["request"]["path"] = json!(format!("/api/v2/apiTokens/{TOKEN}"));
    record["masked"] = json!(["/input/token/id"]);
    let directory = written(&[start(&[]), record]);
    for command in ["query", "settle"] {
        let shown = audit(directory.path(), &[command, "--format", "json"]).out
            + &audit(directory.path(), &[command]).out;
        assert!(
            !shown.contains("(hidden)") && shown.contains(TOKEN),
            "{command}: {shown}"
        );
    }
}

/// A change by the id of the entity, which Dynatrace knows by this public id.
fn by_entity(mut record: Value, public: &str) -> Value {
    record["input"]["token"]["id"] = json!(UUID);
    record["input"]["token"]["current"]["id"] = json!(public);
    if public != TOKEN {
        record["pseudonyms"] = json!(["/input/token/current/id"]);
    }
    record
}

#[test]
fn the_other_id_under_a_lost_key_leaves_nothing_certain() {
    let (keys, [one, _]) = keys(TOKEN);
    let mut records = vec![
        start_with(1),
        change(10, &["b"], &["a"]),
        by_entity(change(20, &["a"], &["b"]), &one),
        answered(20, 3),
    ];
    let last = with_keys(&records, &keys, &[]);
    let looked = audit_with_token(last.path());
    let why = "the token may have been changed again: a request of that time or later has a pseudonym in place of its id";
    assert!(looked.out.contains(why), "{} {}", looked.out, looked.err);
    records.extend([change(40, &["b"], &["b", "c"]), answered(40, 5)]);
    let directory = with_keys(&records, &keys, &[]);
    assert_eq!(settled(directory.path())[0].1, "unknown");
    let directory = with_keys(&records, &keys, &[1]);
    let wanted = (2, "done".to_owned(), "record 3 found it so".to_owned());
    assert_eq!(settled(directory.path()), [wanted]);
}

/// However often the gate was started since: without pseudonyms, with another key of the same number, or with an older one.
#[test]
fn a_key_that_was_lost_long_ago_leaves_nothing_certain() {
    let (keys, [one, two]) = keys(TOKEN);
    let told = |pseudonyms: Value| {
        let mut record = start(&[]);
        record["pseudonyms"] = pseudonyms;
        record
    };
    let replaced = told(json!({"fields": [], "key": "v1", "fingerprint": "0123456789abcdef"}));
    // The first start, the pseudonym of its key, all later starts, and which key is there as which.
    for (first, name, later, there, says) in [
        (start_with(1), &one, start(&[]), None, "v1.key is missing"),
        (
            replaced,
            &one,
            start_with(1),
            Some((2, 1)),
            "v1.key is another one",
        ),
        (
            start_with(2),
            &two,
            start_with(1),
            Some((1, 1)),
            "v2.key is missing",
        ),
    ] {
        let mut records = vec![
            first,
            change(10, &["b"], &["a"]),
            by_entity(change(20, &["a"], &["b"]), name),
            answered(20, 3),
            change(40, &["b"], &["b", "c"]),
            answered(40, 5),
        ];
        records.extend((0..300).map(|_| later.clone()));
        let directory = written(&records);
        if let Some((from, to)) = there {
            let key = |version: u32| format!("journal/pseudonym-v{version}.key");
            let (from, to) = (keys.path().join(key(from)), directory.path().join(key(to)));
            std::fs::copy(from, to).unwrap();
        }
        assert_eq!(settled(directory.path())[0].1, "unknown", "{says}");
        let (_, said) = history(directory.path(), &[TOKEN]);
        assert!(said.contains(says), "{says}: {said}");
        // Nor does whoever verifies stay silent, and what is proven is proven.
        let verified = audit(directory.path(), &["verify", "--journal", "journal"]);
        assert_eq!(verified.code, Some(0), "{}", verified.out);
        let note = format!("  the key pseudonym-{says}");
        assert!(verified.out.contains(&note), "{says}: {}", verified.out);
    }
}

#[test]
fn where_one_id_is_known_by_a_pseudonym_only_a_lookup_tells_nothing_after_others_were_changed() {
    let (keys, [one, _]) = keys(TOKEN);
    for (public, is_certain) in [(&*one, false), (TOKEN, true)] {
        let records = [
            start_with(1),
            by_entity(change(10, &["a"], &["b"]), public),
            change(20, &["b"], &["a"]),
            answered(20, 3),
        ];
        let directory = with_keys(&records[..2], &keys, &[1]);
        let looked = audit_with_token(directory.path());
        assert!(!looked.out.contains("changed again"), "{}", looked.out);
        let mut other = records.clone();
        // What nobody looked up tells nothing of what came before.
        for place in ["/input/token", "/input/change/scopes"] {
            let around = other[2].pointer_mut(place).unwrap();
            around.as_object_mut().unwrap().remove("current");
        }
        let directory = with_keys(&other, &keys, &[1]);
        let looked = audit_with_token(directory.path());
        let why = if is_certain {
            "the token was changed again"
        } else {
            "one of its ids is known by a pseudonym only"
        };
        assert!(looked.out.contains(why), "{} {}", looked.out, looked.err);
    }
}

#[test]
fn a_lookup_tells_nothing_where_records_behind_the_change_are_missing() {
    let others = |minute| {
        let mut record = change(minute, &["x"], &["y"]);
        for place in ["/input/token/id", "/input/token/current/id"] {
            *record.pointer_mut(place).unwrap() = json!("dt0c01.OTHER");
        }
        record
    };
    let mut records = vec![start(&[]), others(5), answered(5, 2)];
    records.extend([change(30, &["a"], &["a", "b"]), others(40), answered(40, 5)]);
    records.push(start(&[]));
    let why = "records of that time or later are missing or cannot be read";
    // Lines that are taken out, one that is put behind, and whether that matters.
    for (gone, more, is_told) in [
        (0..0, None, false),
        (1..2, None, false),
        (4..6, None, true),
        (0..0, Some("x"), true),
    ] {
        let directory = written(&records);
        let segment = directory.path().join("journal/00000000000000000001.jsonl");
        let text = std::fs::read_to_string(&segment).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.drain(gone);
        lines.extend(more);
        std::fs::write(&segment, lines.join("\n") + "\n").unwrap();
        let looked = audit_with_token(directory.path());
        assert!(looked.out.contains("\"decision_seq\":4"), "{}", looked.out);
        assert_eq!(looked.out.contains(why), is_told, "{}", looked.out);
    }
}
