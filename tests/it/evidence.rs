//! The journal tells the truth about itself: what was acknowledged is never set aside, what was set aside is
//! told and missed, and nobody else writes it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{
    GOOD, Gate, TOKEN, Upstream, eventually, files, gate, policies, program, serving, unless_gone,
    verify,
};

/// A journal that a gate wrote and closed: a start, 45 changes with their outcomes, a stop.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let upstream = Upstream::lenient();
    let mut gate = gate(upstream.address);
    for _ in 0..45 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    assert_eq!(gate.send("PUT", TOKEN, "{").status, 400);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let directory = std::mem::replace(&mut gate.directory, tempfile::tempdir().unwrap());
    let segment = directory.path().join("journal/00000000000000000001.jsonl");
    (directory, segment)
}

/// Starts a gate that is expected to refuse.
fn refused(directory: &tempfile::TempDir) -> String {
    let output = serving(directory)
        .args(["--upstream", "http://127.0.0.1:1", "--policies"])
        .arg(policies())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn verified(journal: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.args(["audit", "verify", "--journal"]).arg(journal);
    command.args(arguments).output().unwrap()
}

/// Exit code and words of `audit verify`.
fn verdict(journal: &Path) -> (Option<i32>, String) {
    let output = verified(journal, &[]);
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// Every file of a journal, with its content.
fn listing(journal: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(journal).into_iter();
    files
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn edit(segment: &Path, number: usize, from: &str, to: &str) {
    let content = std::fs::read_to_string(segment).unwrap();
    let mut lines: Vec<String> = content.split_inclusive('\n').map(str::to_owned).collect();
    let line = &mut lines[number - 1];
    assert!(line.contains(from), "{line}");
    *line = line.replacen(from, to, 1);
    std::fs::write(segment, lines.concat()).unwrap();
}

#[test]
fn null_bytes_over_acknowledged_records_stop_the_start_and_change_nothing() {
    let (directory, segment) = closed();
    let journal = segment.parent().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 94);
    let start: usize = lines.iter().take(20).map(|line| line.len()).sum();
    // Over record 21; over it and all that follow; over the last answer and what closes the journal: the end is no excuse.
    let last: usize = lines[91..].iter().map(|line| line.len()).sum();
    let end = whole.len() - last + 50;
    for (from, to) in [
        (start, start + 600),
        (start, whole.len()),
        (end, whole.len()),
    ] {
        let mut damaged = whole.clone();
        damaged[from..to].fill(0);
        std::fs::write(&segment, damaged).unwrap();
        let before = listing(journal);
        let record = if from == start { 21 } else { 92 };
        let said = refused(&directory);
        for words in [
            format!(":{record}: record {record} is damaged: "),
            "null bytes".to_owned(),
            format!("keep {} as evidence", journal.display()),
            format!("run `dtgate audit verify --journal {}`", journal.display()),
            "start with a new directory".to_owned(),
        ] {
            assert!(said.contains(&words), "{words}: {said}");
        }
        assert_eq!(listing(journal), before);
        let (code, words) = verdict(journal);
        assert_eq!(code, Some(2), "{words}");
        assert!(
            words.contains(&format!("record {record} is damaged")),
            "{words}"
        );
    }
}

#[test]
fn what_was_set_aside_is_told_and_missed_when_it_is_gone() {
    let (directory, segment) = closed();
    let journal = segment.parent().unwrap().to_owned();
    let mut content = std::fs::read(&segment).unwrap();
    content.extend(br#"{"seq":95,"prev":"0"#);
    std::fs::write(&segment, content).unwrap();
    let (code, words) = verdict(&journal);
    assert_eq!(code, Some(2));
    assert!(words.contains("record 95 is torn"), "{words}");

    let upstream = Upstream::lenient();
    let mut gate = Gate::start(directory, upstream.address, &[]);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let recovery = gate.records()[93].clone();
    assert_eq!(recovery["kind"], "recovery");
    assert_eq!(recovery["set_aside_bytes"], 19);
    let name = recovery["set_aside"].as_str().unwrap();
    let aside = journal.join(name);
    let report = verify(&journal);
    assert_eq!(report["recoveries"][0]["seq"], 95);
    assert_eq!(report["recoveries"][0]["set_aside"], name);
    assert_eq!(report["problems"], json!([]));
    let (_, words) = verdict(&journal);
    assert!(
        words.contains("record 95, ") && words.contains(&format!("set aside in {name}")),
        "{words}"
    );

    std::fs::remove_file(&aside).unwrap();
    let gone = format!("record 95 says that {name} was set aside: it is gone");
    let (code, words) = verdict(&journal);
    assert_eq!(code, Some(2));
    assert!(
        words.contains(&gone) && !words.starts_with("The chain holds"),
        "{words}"
    );
    let output = verified(&journal, &["--format", "json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&verdict["ok"], &verdict["report"]["problems"]),
        (&json!(false), &json!([gone]))
    );
}

#[test]
fn an_edit_is_found_and_the_record_is_named() {
    let (_directory, segment) = closed();
    let journal = segment.parent().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    edit(&segment, 6, "payments", "payment5");
    let (code, words) = verdict(journal);
    assert_eq!(code, Some(2));
    assert!(
        words.contains(":6: record 6 was changed: record 7 names"),
        "{words}"
    );

    // The last: the file `head` knows it, and without it nothing does.
    std::fs::write(&segment, &whole).unwrap();
    edit(&segment, 94, "\"timestamp\":\"2", "\"timestamp\":\"3");
    let (code, words) = verdict(journal);
    assert_eq!(code, Some(2));
    assert!(words.contains("record 94 was changed"), "{words}");
    std::fs::remove_file(journal.join("head")).unwrap();
    let (code, words) = verdict(journal);
    assert_eq!(code, Some(0));
    assert!(
        words.contains("Nothing vouches yet for record 94, the last: "),
        "{words}"
    );
    assert_eq!(verify(journal)["unvouched"], json!([94]));
    let head = verify(journal)["head_hash"].as_str().unwrap().to_owned();
    let output = verified(journal, &["--expect-head", &format!("94:{head}")]);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && !words.contains("vouches"),
        "{words}"
    );
}

#[test]
fn no_file_that_is_removed_admits_a_second_gate() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    for path in files(&gate.journal()) {
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            unless_gone(std::fs::remove_file(path));
        }
    }
    let said = refused(&gate.directory);
    assert!(said.contains("is in use by another dtgate"), "{said}");
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(verify(&gate.journal())["outcomes"], 2);
}

#[test]
fn a_gate_whose_directory_was_replaced_forwards_nothing_more() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let journal = gate.journal();
    let away = gate.directory.path().join("away");
    std::fs::rename(&journal, &away).unwrap();
    // Nobody has to send anything for it to be known.
    eventually("not ready", || (gate.ready().status == 503).then_some(()));
    // A second gate makes a directory of its own at the same path.
    let mut second = serving(&gate.directory);
    second.args([
        "--upstream",
        &format!("http://{}", upstream.address),
        "--policies",
    ]);
    let second = Gate::spawn(tempfile::tempdir().unwrap(), {
        second.arg(policies());
        second
    });
    for _ in 0..3 {
        let answer = gate.send("PUT", TOKEN, GOOD);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_eq!(second.send("PUT", TOKEN, GOOD).status, 204);
    }
    let sent = |seen: &[crate::harness::Seen]| {
        seen.iter()
            .filter(|seen| seen.line.starts_with("PUT"))
            .count()
    };
    assert_eq!(sent(&upstream.seen()), 4);
    assert_eq!(verify(&journal)["outcomes"], 3);
    assert_eq!(verify(&away)["outcomes"], 1);
}

#[test]
fn a_journal_that_is_open_to_others_is_refused_with_the_command_to_run() {
    let (directory, segment) = closed();
    let journal = segment.parent().unwrap();
    let key = journal.join("hash.key");
    let configuration = directory.path().join("dtgate.toml");
    let text = format!(
        "[upstream]\nurl = \"http://127.0.0.1:1\"\n[journal]\ndirectory = \"{}\"\n[policies]\ndirectory = \"{}\"\nbytecode = \"none\"\n",
        journal.display(),
        policies().display()
    );
    std::fs::write(&configuration, text).unwrap();
    let check = || {
        let mut command = program();
        let output = command
            .args(["check", "--config"])
            .arg(&configuration)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(check(), (Some(0), String::new()));
    let before = listing(journal);
    for (path, good, bad) in [
        (journal, 0o700, 0o777),
        (&segment, 0o600, 0o666),
        (&key, 0o600, 0o666),
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bad)).unwrap();
        let remedy = format!("run `chmod {good:o} {}`", path.display());
        for said in [refused(&directory), check().1] {
            assert!(said.contains(&remedy), "{said}");
        }
        assert_eq!(check().0, Some(1));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(good)).unwrap();
    }
    std::fs::write(&key, [0; 32]).unwrap();
    for said in [refused(&directory), check().1] {
        assert!(said.contains("hash.key is not random"), "{said}");
    }
    std::fs::write(
        &key,
        &before.iter().find(|(path, _)| *path == key).unwrap().1,
    )
    .unwrap();
    assert_eq!(listing(journal), before);
    assert_eq!(check().0, Some(0));
}
