//! Signed checkpoints of a gate's journal, checked by its own commands and by others: a verifier in Python that shares
//! nothing with dtgate, and Go's own packages for transparency logs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, policies, program, serving};

/// A journal of several segments and checkpoints that a gate wrote and closed; and the file with its newest checkpoint.
struct Closed {
    directory: tempfile::TempDir,
    journal: PathBuf,
    newest: PathBuf,
    key: String,
}

fn run(directory: tempfile::TempDir, keep: &str) -> tempfile::TempDir {
    run_until(directory, keep, || true)
}

/// The same, and goes on until it is enough: what compresses and deletes gets only what nobody else wants of the
/// processors.
fn run_until(
    directory: tempfile::TempDir,
    keep: &str,
    is_enough: impl Fn() -> bool,
) -> tempfile::TempDir {
    let upstream = Upstream::lenient();
    let config = directory.path().join("dtgate.toml");
    let newest = directory.path().join("newest");
    let text = format!(
        "[journal]\norigin = \"gate.example/test\"\n{keep}\
         [journal.checkpoints]\nfile = \"{}\"\nlog = true\n",
        newest.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serving(&directory);
    command.arg("--config").arg(&config).arg("--upstream");
    command.arg(format!("http://{}", upstream.address));
    command.arg("--policies").arg(policies());
    let mut gate = Gate::spawn(directory, command);
    let started = std::time::Instant::now();
    for number in 1.. {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        if number >= 12 && is_enough() {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(3), "never enough");
    }
    gate.signal("TERM");
    assert!(gate.wait().success());
    assert!(gate.log().contains("checkpoint"), "{}", gate.log());
    std::mem::replace(&mut gate.directory, tempfile::tempdir().unwrap())
}

/// Several segments, whose lines tests can read and change.
const PLAIN: &str = "segment_size = \"12 KiB\"\ncompression = \"off\"\n";

fn closed() -> Closed {
    let directory = run(run(tempfile::tempdir().unwrap(), PLAIN), PLAIN);
    let journal = directory.path().join("journal");
    let key = words(&audit(&journal, "key", &[])).trim().to_owned();
    Closed {
        newest: directory.path().join("newest"),
        directory,
        journal,
        key,
    }
}

fn audit(journal: &Path, command: &str, arguments: &[&str]) -> Output {
    let mut dtgate = program();
    dtgate.args(["audit", command, "--journal"]).arg(journal);
    dtgate.args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(journal).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jsonl")
    });
    found.sort();
    found
}

fn lines(journal: &Path) -> Vec<String> {
    let contents = segments(journal)
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    contents
        .flat_map(|content| content.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The notes of all checkpoints, oldest first, each in a file.
fn notes(closed: &Closed) -> Vec<PathBuf> {
    let records = lines(&closed.journal);
    let records = records
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let checkpoints = records.filter(|record| record["kind"] == "checkpoint");
    let written = checkpoints.enumerate().map(|(number, record)| {
        let path = closed.directory.path().join(format!("note-{number}"));
        std::fs::write(&path, record["note"].as_str().unwrap()).unwrap();
        path
    });
    written.collect()
}

#[test]
fn a_journal_is_proven_by_its_key_and_by_checkpoints_from_elsewhere() {
    let closed = closed();
    let journal = &closed.journal;
    assert!(
        closed.key.starts_with("gate.example/test+"),
        "{}",
        closed.key
    );
    let newest = closed.newest.to_str().unwrap();
    let verified = audit(
        journal,
        "verify",
        &[
            "--key",
            &closed.key,
            "--checkpoint",
            newest,
            "--format",
            "json",
        ],
    );
    let report: Value = serde_json::from_str(&words(&verified)).unwrap();
    let checkpoints = &report["report"]["checkpoints"];
    let records = lines(journal).len();
    assert_eq!(checkpoints["proven"], records - 1, "{report}");
    assert_eq!(checkpoints["compared"], records - 1, "{report}");
    assert!(segments(journal).len() > 3);
    let unproven = words(&audit(journal, "verify", &[]));
    assert!(unproven.contains("not proven without --key"), "{unproven}");
    assert!(unproven.contains(&closed.key), "{unproven}");

    // A file with the key, and one with another.
    let file = closed.directory.path().join("keys");
    std::fs::write(&file, format!("# ours\n{}\n", closed.key)).unwrap();
    let proven = words(&audit(
        journal,
        "verify",
        &["--key", file.to_str().unwrap()],
    ));
    assert!(
        proven.contains(&format!(
            "Records 1 to {} are proven by the key.",
            records - 1
        )),
        "{proven}"
    );
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let refused = audit(journal, "verify", &["--key", other]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    for wrong in ["nowhere", newest] {
        assert_eq!(
            audit(journal, "verify", &["--key", wrong]).status.code(),
            Some(1)
        );
    }

    // A tail that is cut cleanly, with a file `head` to suit.
    let last = segments(journal).pop().unwrap();
    std::fs::remove_file(last).unwrap();
    std::fs::remove_file(journal.join("head")).unwrap();
    let cut = audit(
        journal,
        "verify",
        &["--key", &closed.key, "--checkpoint", newest],
    );
    assert_eq!(cut.status.code(), Some(2), "{cut:?}");
    assert!(
        String::from_utf8_lossy(&cut.stdout).contains("was cut off"),
        "{cut:?}"
    );
}

#[test]
fn one_record_is_proven_without_the_journal() {
    let closed = closed();
    let records = lines(&closed.journal);
    let record: Value = serde_json::from_str(&records[1]).unwrap();
    let id = record["decision_id"].as_str().unwrap();
    let file = closed.directory.path().join("proof");
    let file = file.to_str().unwrap();
    let proved = audit(&closed.journal, "prove", &[id, "-o", file]);
    words(&proved);
    let told = String::from_utf8_lossy(&proved.stderr).into_owned();
    assert!(
        told.contains(&format!("record 2 and its evidence are in {file}")),
        "{told}"
    );
    let check = |key: &str| {
        let mut dtgate = program();
        dtgate.args(["audit", "check-proof", file, "--key", key]);
        dtgate.output().unwrap()
    };
    let said = words(&check(&closed.key));
    assert!(
        said.contains("this is record 2 of the journal of gate.example/test"),
        "{said}"
    );
    // The record as `tail` and `show` have it; for programs, as JSON.
    assert!(
        said.contains(&format!("decision {id}")) && !said.contains("\"seq\""),
        "{said}"
    );
    let mut dtgate = program();
    dtgate.args([
        "audit",
        "check-proof",
        file,
        "--format",
        "json",
        "--key",
        &closed.key,
    ]);
    let for_programs: Value = serde_json::from_str(&words(&dtgate.output().unwrap())).unwrap();
    assert_eq!(for_programs["record"], record);
    let proof = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, proof.replacen("\"allow\"", "\"deny\"", 1)).unwrap();
    let refused = check(&closed.key);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let nothing = audit(&closed.journal, "prove", &["999999"]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
}

#[test]
fn a_key_is_rotated_at_the_next_start() {
    let closed = closed();
    let rotated = words(&audit(&closed.journal, "key", &["--rotate"]));
    let lines: Vec<&str> = rotated.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, &*closed.key), "{rotated}");
    let new = lines[2].to_owned();
    let old = words(&audit(&closed.journal, "prove", &["2"]));
    let directory = run(closed.directory, PLAIN);
    let journal = directory.path().join("journal");
    assert_eq!(words(&audit(&journal, "key", &[])).trim(), new);
    for key in [&closed.key, &new] {
        words(&audit(&journal, "verify", &["--key", key]));
    }
    let newer = words(&audit(&journal, "prove", &["2"]));
    proofs_of_both_keys(directory.path(), [(&closed.key, &old), (&new, &newer)]);
    // What the refusal says to do.
    let verified = words(&audit(&journal, "verify", &["--key", &closed.key]));
    assert!(verified.contains(&format!("signed by {new}")), "{verified}");
}

/// A proof needs the key of its checkpoint; another one of the same journal is refused, with what to do.
fn proofs_of_both_keys(directory: &Path, [(old, by_old), (new, by_new)]: [(&str, &str); 2]) {
    let (file, keys) = (directory.join("proof"), directory.join("keys"));
    std::fs::write(&keys, format!("{old}\n{new}\n")).unwrap();
    let both = keys.to_str().unwrap();
    for (proof, key, says) in [
        (by_old, old, Ok(old)),
        (by_new, new, Ok(new)),
        (by_old, both, Ok(old)),
        (by_new, both, Ok(new)),
        (by_old, new, Err(old)),
        (by_new, old, Err(new)),
    ] {
        std::fs::write(&file, proof).unwrap();
        let mut dtgate = program();
        dtgate.args(["audit", "check-proof"]).arg(&file);
        let checked = dtgate.args(["--key", key]).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        let (code, wanted) = match says {
            Ok(key) => (0, format!("signed by {key}")),
            Err(key) => {
                let name_and_hash: Vec<&str> = key.splitn(3, '+').take(2).collect();
                (2, format!("but by {}:", name_and_hash.join("+")))
            }
        };
        assert_eq!(checked.status.code(), Some(code), "{said}");
        assert!(said.contains(&wanted), "{wanted}: {said}");
        let what_to_do = "which `dtgate audit verify --key` with an older one prints";
        assert_eq!(said.contains(what_to_do), code == 2, "{said}");
    }
}

/// The newest checkpoint by a command, however it was carried away, and by the gate's configuration.
#[test]
fn a_checkpoint_is_printed_to_be_kept_elsewhere() {
    let closed = closed();
    let journal = &closed.journal;
    let note = words(&audit(journal, "checkpoint", &[]));
    assert_eq!(note, std::fs::read_to_string(&closed.newest).unwrap());
    let file = closed.directory.path().join("kept");
    let kept = file.to_str().unwrap();
    let told = audit(journal, "checkpoint", &["-o", kept]);
    assert_eq!(words(&told), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), note);
    for text in [
        note.clone(),
        format!("{note}\n"),
        note.trim_end().to_owned(),
    ] {
        std::fs::write(&file, text).unwrap();
        words(&audit(
            journal,
            "verify",
            &["--key", &closed.key, "--checkpoint", kept],
        ));
    }
    // Where the journal is, each command knows by the gate's configuration.
    let config = closed.directory.path().join("gate.toml");
    let text = format!(
        "[journal]\ndirectory = \"{}\"\ncheckpoint_interval = \"5m\"\n",
        journal.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    for arguments in [
        vec!["checkpoint"],
        vec!["key"],
        vec!["prove", "2"],
        vec!["tail", "-n", "1"],
        vec!["tail", "-n", "1", "--tz", "Asia/Tokyo"],
        vec!["verify", "--key", &closed.key],
    ] {
        let mut dtgate = program();
        dtgate.current_dir(closed.directory.path().parent().unwrap());
        let output = dtgate
            .arg("audit")
            .args(&arguments)
            .args(["--config", config])
            .output()
            .unwrap();
        let said = words(&output);
        assert!(!said.is_empty());
        assert_eq!(
            said.contains("+09:00"),
            arguments.contains(&"Asia/Tokyo"),
            "{said}"
        );
    }
}

#[test]
fn a_journal_without_checkpoints_is_said_to_have_none() {
    let record = serde_json::json!({"kind": "stop", "timestamp": "2026-11-24T10:10:00.000Z"});
    let directory = crate::audit::written(&[record]);
    let journal = directory.path().join("journal");
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let output = audit(&journal, "verify", &["--key", key]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("There is no checkpoint in the journal: nothing is proven."),
        "{said}"
    );
    let output = audit(&journal, "checkpoint", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// The verifier of the documentation, and what it says.
fn python(journal: &Path, key: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify.py");
    Command::new(crate::clients::python_with("cryptography"))
        .arg(script)
        .arg(journal)
        .arg(key)
        .output()
        .unwrap()
}

#[test]
#[ignore = "needs Python with cryptography"]
fn needs_python_a_verifier_that_shares_nothing_with_dtgate_agrees() {
    let closed = closed();
    let journal = &closed.journal;
    let said = words(&python(journal, &closed.key));
    let records = lines(journal).len();
    assert!(
        said.starts_with(&format!(
            "holds: records 1 to {records}; proven by the key: up to {}",
            records - 1
        )),
        "{said}"
    );
    let fails = |what: &str| {
        let output = python(journal, &closed.key);
        assert_eq!(output.status.code(), Some(2), "{what}: {output:?}");
    };
    let paths = segments(journal);
    let path = &paths[1];
    let whole = std::fs::read(path).unwrap();
    for (number, at) in [10, whole.len() / 3, whole.len() / 2, whole.len() - 2]
        .into_iter()
        .enumerate()
    {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(path, changed).unwrap();
        fails(&format!("change {number}"));
    }
    let text = String::from_utf8(whole.clone()).unwrap();
    let some: Vec<&str> = text.split_inclusive('\n').collect();
    for changed in [
        [&some[1..], &[]].concat(),
        [&some[..1], &some[..]].concat(),
        [&some[1..2], &some[..1], &some[2..]].concat(),
    ] {
        std::fs::write(path, changed.concat()).unwrap();
        fails("lines");
    }
    // Compressed, it reads the same.
    std::fs::write(path, &whole).unwrap();
    let compressed = Command::new("zstd").args(["-q", "--rm"]).arg(path).status();
    if compressed.is_ok_and(|status| status.success()) {
        assert!(!path.exists());
        assert_eq!(words(&python(journal, &closed.key)), said);
    }
    std::fs::write(path, &whole).unwrap();
    std::fs::remove_file(path).unwrap();
    drop(std::fs::remove_file(path.with_extension("jsonl.zst")));
    fails("a segment is gone");
    std::fs::write(path, &whole).unwrap();
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(python(journal, other).status.code(), Some(2));
    std::fs::remove_file(paths.last().unwrap()).unwrap();
    fails("the file head shows a cut");
}

#[test]
#[ignore = "needs Python with cryptography"]
fn needs_python_it_reads_what_is_compressed_and_pruned() {
    if Command::new("zstd").arg("--version").output().is_err() {
        eprintln!("skipped: there is no zstd here");
        return;
    }
    let keep = "segment_size = \"1 KiB\"\nretention.max_size = \"4 KiB\"\n";
    let mut directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let files = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&journal).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_segment = |path: &PathBuf| {
            path.extension()
                .is_some_and(|it| it == "jsonl" || it == "zst")
        };
        let mut found: Vec<_> = paths.filter(is_segment).collect();
        found.sort();
        found
    };
    directory = run_until(directory, keep, || {
        let files = files();
        let is_pruned = !files[0].to_str().unwrap().contains("00000000000000000001.");
        is_pruned && files.iter().any(|path| path.extension().unwrap() == "zst")
    });
    let key = words(&audit(&journal, "key", &[])).trim().to_owned();
    let said = words(&python(&journal, &key));
    assert!(said.starts_with("holds: records "), "{said}");
    assert!(!said.starts_with("holds: records 1 to"), "{said}");
    let ours = audit(&journal, "verify", &["--key", &key]);
    assert_eq!(ours.status.code(), Some(0), "{ours:?}");
    let mut files = files();
    // The end may also have come while one was compressed: the plain one counts.
    files.retain(|path| {
        let is_compressed = path.extension().unwrap() == "zst";
        !(is_compressed && path.with_extension("").exists())
    });
    // What zstd makes of a changed file may be the same text: there are bytes that it does not look at, and a copy of an
    // equal text from elsewhere is equal, too. `audit verify` reports those all the same.
    let text_of = |path: &PathBuf| {
        let is_plain = path.extension().unwrap() == "jsonl";
        let program: &[&str] = if is_plain {
            &["cat"]
        } else {
            &["zstd", "-dcq"]
        };
        let mut command = Command::new(program[0]);
        let output = command.args(&program[1..]).arg(path).output().unwrap();
        (output.status.success(), output.stdout)
    };
    // Without those that a record says are deleted: the end of the gate may have come before their deletion.
    let pruned_to = |path: &PathBuf| {
        let (_, text) = text_of(path);
        let records = String::from_utf8(text).unwrap();
        let records = records.lines();
        let records = records.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let pruned = records.filter(|it| it["kind"] == "pruned");
        pruned.map(|it| it["last"].as_u64().unwrap()).max()
    };
    let last = files.iter().filter_map(pruned_to).max().unwrap();
    let last = format!("{last:020}.jsonl.zst");
    files.retain(|path| path.file_name().unwrap().to_str().unwrap() > &*last);
    let mut seen = 0;
    for path in files
        .iter()
        .filter(|path| path.metadata().unwrap().len() > 200)
    {
        let (whole, text) = (std::fs::read(path).unwrap(), text_of(path));
        for at in [20, 60, 100, whole.len() / 2] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(path, changed).unwrap();
            let is_other = text_of(path) != text;
            let expected = if is_other { 2 } else { 0 };
            let output = python(&journal, &key);
            assert_eq!(output.status.code(), Some(expected), "{path:?} {at}");
            let ours = audit(&journal, "verify", &["--key", &key]);
            assert_eq!(ours.status.code(), Some(2), "{path:?} {at}: {ours:?}");
            seen += usize::from(is_other);
        }
        std::fs::write(path, whole).unwrap();
    }
    assert!(seen > 0, "no change of a file was a change of its text");
    // One segment more than the record says.
    std::fs::remove_file(&files[0]).unwrap();
    assert_eq!(python(&journal, &key).status.code(), Some(2));
    drop(directory);
}

#[test]
#[ignore = "needs Go and golang.org/x/mod"]
fn needs_gomod_gos_own_packages_agree_with_notes_and_proofs() {
    let closed = closed();
    let built = closed.directory.path().join("tlog");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/tlog");
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(source)
        .output();
    assert!(
        output.as_ref().is_ok_and(|output| output.status.success()),
        "{output:?}"
    );
    let mut notes = notes(&closed);
    let newest = notes.pop().unwrap();
    assert!(notes.len() > 1, "{notes:?}");
    let mut go = Command::new(&built);
    go.args(["tree", &closed.key])
        .arg(&newest)
        .arg(closed.journal.join("tree"))
        .args(&notes);
    assert_eq!(words(&go.output().unwrap()), "holds\n");
    let file = closed.directory.path().join("proof");
    for number in ["1", "7", "20"] {
        words(&audit(
            &closed.journal,
            "prove",
            &[number, "-o", file.to_str().unwrap()],
        ));
        let mut go = Command::new(&built);
        go.args(["proof", &closed.key]).arg(&file);
        assert_eq!(words(&go.output().unwrap()), "holds\n");
    }
}
