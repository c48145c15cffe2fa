//! Two journals under one name: nothing is written beside the records of another, also where no number is there twice.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{end, start};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, program};
use crate::postgres::{Database, database};

/// A gate has run, and done so much.
fn has_run(
    directory: TempDir,
    upstream: &Upstream,
    database: &Database<'_>,
    (name, requests): (&str, usize),
) -> TempDir {
    let gate = start(directory, upstream, database, name);
    for _ in 0..requests {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    // What is written at the end may take longer than a gate waits for it.
    let rows =
        format!("SELECT count(*) FROM dtgate.record WHERE gate = '{name}' AND kind = 'outcome'");
    eventually("all is there", || {
        let there = database.asked(&rows).ok()?.parse::<usize>().ok()?;
        (there >= requests).then_some(())
    });
    end(gate).crash()
}

/// It serves, writes nothing there, and says why, also to operators.
fn writes_nothing(gate: &Gate, database: &Database<'_>, said: &str) {
    let rows = "SELECT gate, seq, hash FROM dtgate.record ORDER BY 1, 2";
    let before = database.sql(rows);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually(said, || gate.log().contains(said).then_some(()));
    let status = crate::harness::exchange(gate.admin, b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        status.body.contains(&said.replace('"', "\\\"")),
        "{}",
        status.body
    );
    assert_eq!(database.sql(rows), before);
}

fn rename(directory: &TempDir, name: &str) {
    let rotated = program()
        .args(["audit", "key", "--rotate", "--origin", name, "--journal"])
        .arg(directory.path().join("journal"))
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_journal_that_begins_anew_is_told_when_old_months_are_dropped() {
    let (upstream, database) = (Upstream::lenient(), database());
    let first = has_run(
        tempfile::tempdir().unwrap(),
        &upstream,
        &database,
        ("gate-a", 12),
    );
    database.sql("DELETE FROM dtgate.record WHERE seq < 20");
    let other = start(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    writes_nothing(&other, &database, "which this journal has not got");
    let directory = end(other).crash();
    rename(&directory, "gate-b");
    has_run(directory, &upstream, &database, ("gate-b", 1));
    drop(first);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_name_that_is_taken_is_no_way_out() {
    let (upstream, database) = (Upstream::lenient(), database());
    let _first = has_run(
        tempfile::tempdir().unwrap(),
        &upstream,
        &database,
        ("gate-a", 1),
    );
    let directory = has_run(
        tempfile::tempdir().unwrap(),
        &upstream,
        &database,
        ("gate-b", 12),
    );
    rename(&directory, "gate-a");
    let gate = start(directory, &upstream, &database, "gate-a");
    writes_nothing(&gate, &database, "it has another record ");
    let directory = end(gate).crash();
    rename(&directory, "gate-c");
    // What came meanwhile is sent under the next name.
    let gate = end(start(directory, &upstream, &database, "gate-c"));
    let last = "SELECT count(DISTINCT seq), max(seq) FROM dtgate.record WHERE gate IN ('gate-b', 'gate-c')";
    let told = database.sql(last);
    let (count, newest) = told.split_once('|').unwrap();
    assert_eq!(count, newest);
    drop(gate);
}

/// What has arrived and was not noted is the gate's own; a journal from a backup is another one from there on.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_is_beyond_the_cursor_is_told_from_what_is_beyond_the_journal() {
    let (upstream, database) = (Upstream::lenient(), database());
    let directory = has_run(
        tempfile::tempdir().unwrap(),
        &upstream,
        &database,
        ("gate-a", 3),
    );
    let (journal, backup) = (
        directory.path().join("journal"),
        tempfile::tempdir().unwrap(),
    );
    copied(&journal, backup.path());
    let directory = has_run(directory, &upstream, &database, ("gate-a", 12));
    // A kill came before the cursor was written.
    fs::copy(
        backup.path().join("shipped.store"),
        journal.join("shipped.store"),
    )
    .unwrap();
    let directory = has_run(directory, &upstream, &database, ("gate-a", 1));
    for entry in fs::read_dir(&journal).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    copied(backup.path(), &journal);
    let gate = start(directory, &upstream, &database, "gate-a");
    writes_nothing(&gate, &database, "which this journal has not got");
    let directory = end(gate).crash();
    rename(&directory, "gate-b");
    let gate = end(start(directory, &upstream, &database, "gate-b"));
    let first =
        database.sql("SELECT min(seq), count(*) > 0 FROM dtgate.record WHERE gate = 'gate-b'");
    assert!(first.ends_with("|t"), "{first}");
    drop(gate);
}

/// As docs/store.md says it: what it had in common with the journal that went on is not sent again, and nothing is told as
/// lost that was never there.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_journal_from_a_backup_goes_on_behind_what_is_its_own() {
    let upstream = Upstream::lenient();
    for cursor in ["kept", "older", "gone"] {
        let database = database();
        let directory = has_run(
            tempfile::tempdir().unwrap(),
            &upstream,
            &database,
            ("gate-a", 3),
        );
        let (journal, backup) = (
            directory.path().join("journal"),
            tempfile::tempdir().unwrap(),
        );
        let older = fs::read(journal.join("shipped.store")).unwrap();
        let directory = has_run(directory, &upstream, &database, ("gate-a", 6));
        copied(&journal, backup.path());
        let last = database.sql("SELECT max(seq) FROM dtgate.record");
        let directory = has_run(directory, &upstream, &database, ("gate-a", 12));
        for entry in fs::read_dir(&journal).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        copied(backup.path(), &journal);
        match cursor {
            "older" => fs::write(journal.join("shipped.store"), older).unwrap(),
            "gone" => fs::remove_file(journal.join("shipped.store")).unwrap(),
            _ => {}
        }
        rename(&directory, "gate-b");
        let gate = start(directory, &upstream, &database, "gate-b");
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        let rows =
            "SELECT count(*) > 0 FROM dtgate.record WHERE gate = 'gate-b' AND kind = 'outcome'";
        eventually("it is there", || {
            (database.asked(rows).ok()? == "t").then_some(())
        });
        let log = end(gate).log();
        assert!(!log.contains("are not there any more"), "{cursor}: {log}");
        let first = database.sql("SELECT min(seq) - 1 FROM dtgate.record WHERE gate = 'gate-b'");
        assert_eq!(first, last, "{cursor}");
    }
}
