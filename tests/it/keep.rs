//! Segments that are closed and compressed while the gate serves, is killed, and is read.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, program, verify};

#[test]
fn a_gate_that_is_killed_while_it_compresses_loses_nothing_and_a_reader_sees_everything_once() {
    let upstream = Upstream::lenient();
    let files = tempfile::tempdir().unwrap();
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, "[journal]\nsegment_size = \"4 KiB\"\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let mut gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    let journal = gate.journal();
    let mut reader = program()
        .args(["audit", "tail", "--follow", "--format", "json", "--journal"])
        .arg(&journal)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..3 {
        for _ in 0..8 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        gate = Gate::start(gate.crash(), upstream.address, &arguments);
    }
    let of_form = |form: &str| {
        let names = std::fs::read_dir(&journal).unwrap();
        let names = names.map(|entry| entry.unwrap().path());
        names
            .filter(|path| path.extension() == Some(OsStr::new(form)))
            .count()
    };
    eventually("compressed", || {
        (of_form("jsonl") == 1 && of_form("zst") > 3).then_some(())
    });
    gate.signal("TERM");
    assert!(gate.wait().success());
    assert_eq!(of_form("new"), 0);
    let records = verify(&journal)["records"].as_u64().unwrap();
    let lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let seen = lines.map(|line| {
        let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
        record["seq"].as_u64().unwrap()
    });
    for (expected, seq) in (1..).zip(seen) {
        assert_eq!(seq, expected);
        if seq == records {
            break;
        }
    }
    reader.kill().unwrap();
    reader.wait().unwrap();
    a_damaged_segment_hides_nothing_else(&journal, records);
}

/// Indexed before or not: what can be read is shown, and what cannot is told.
fn a_damaged_segment_hides_nothing_else(journal: &Path, records: u64) {
    let asked = |command: &str, arguments: &[&str]| {
        let mut dtgate = program();
        dtgate.args(["audit", command, "--journal"]).arg(journal);
        let output = dtgate.args(arguments).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        (
            String::from_utf8(output.stdout).unwrap().lines().count() as u64,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let decisions = asked("query", &["--limit", "1000", "--format", "json"]).0;
    let entries = std::fs::read_dir(journal).unwrap();
    let mut packed: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    packed.retain(|path| path.extension() == Some(OsStr::new("zst")));
    packed.sort();
    let mut content = std::fs::read(&packed[1]).unwrap();
    let middle = content.len() / 3;
    content[middle] ^= 0x40;
    std::fs::write(&packed[1], content).unwrap();
    let (lines, said) = asked("tail", &["--format", "json"]);
    assert!(lines < records && lines > records / 2, "{lines}");
    let words = format!("in {} cannot be read, it is damaged", packed[1].display());
    assert!(said.contains(&words), "{said}");
    let elsewhere = journal.parent().unwrap().join("other.sqlite");
    for index in [journal.join("index.sqlite"), elsewhere] {
        let index = index.to_str().unwrap();
        let (found, said) = asked(
            "query",
            &["--limit", "1000", "--format", "json", "--index", index],
        );
        assert!(
            found < decisions && found > decisions / 2,
            "{found} of {decisions}"
        );
        assert!(said.contains(&words), "{said}");
        asked(
            "history",
            &[TOKEN.rsplit('/').next().unwrap(), "--index", index],
        );
    }
}
