//! A journal that has had several names is one chain, also where each of them is a gate of its own in the store.

use serde_json::json;
use tempfile::TempDir;

use super::{Way, decision, journal};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, policies, program, serving};
use crate::postgres::{Database, database};

/// A gate of this name has run on a journal, and did something.
fn has_run(
    directory: TempDir,
    upstream: &Upstream,
    database: &Database<'_>,
    name: &str,
) -> TempDir {
    let mut gate = runs(directory, upstream, database, name);
    gate.signal("TERM");
    assert!(gate.wait().success());
    gate.crash()
}

fn runs(directory: TempDir, upstream: &Upstream, database: &Database<'_>, name: &str) -> Gate {
    let config = directory.path().join("dtgate.toml");
    let section = database.section(directory.path());
    std::fs::write(
        &config,
        format!("[journal]\norigin = \"{name}\"\n{section}"),
    )
    .unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&config)
        .arg("--policies")
        .arg(policies())
        .arg("--upstream")
        .arg(format!("http://{}", upstream.address));
    let gate = Gate::spawn(directory, command);
    for _ in 0..3 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    gate
}

fn of_journal(directory: &TempDir, arguments: &[&str]) -> String {
    let output = program()
        .args(["audit", "key"])
        .args(arguments)
        .arg("--journal")
        .arg(directory.path().join("journal"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_journal_with_another_name_is_proven_from_its_beginning() {
    let database = database();
    let way = Way::to(&database);
    let upstream = Upstream::lenient();
    let mut directory = tempfile::tempdir().unwrap();
    directory = has_run(directory, &upstream, &database, "gate-a");
    let first = of_journal(&directory, &[]);
    for name in ["gate-b", "gate-c"] {
        of_journal(&directory, &["--rotate", "--origin", name]);
        directory = has_run(directory, &upstream, &database, name);
    }
    let newest = of_journal(&directory, &[]);
    let verify = |arguments: &[&str]| {
        let output = way.audit(&[&["verify"], arguments].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    for key in [&newest, &first] {
        let (code, said) = verify(&["--gate", "gate-c", "--key", key]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(" Records 1 to "), "{said}");
        let names = "are here as those of gate gate-a\n  its records up to ";
        assert!(said.contains(names), "{said}");
    }
    let (_, json) = verify(&["--gate", "gate-b", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["earlier"][0]["gate"], "gate-a", "{json}");
    // What is changed under an old name is a break of the new one's chain.
    database.sql(
        "UPDATE dtgate.record SET line = replace(line, 'timestamp', 'timestomp') WHERE gate = 'gate-a' AND seq = 3",
    );
    let (code, said) = verify(&["--gate", "gate-c"]);
    assert_eq!(code, Some(2), "{said}");
    // Without the end that the new name goes on from, there is no beginning.
    database.sql(
        "DELETE FROM dtgate.record WHERE gate = 'gate-a' AND seq = (SELECT max(seq) FROM dtgate.record WHERE gate = 'gate-a')",
    );
    let (code, said) = verify(&["--gate", "gate-b"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("begins with record"), "{said}");
}

/// Until its first checkpoint under the new name, the newest is of the name before.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_gate_is_proven_at_once_after_it_got_another_name() {
    let database = database();
    let way = Way::to(&database);
    let upstream = Upstream::lenient();
    let directory = has_run(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    let first = of_journal(&directory, &[]);
    of_journal(&directory, &["--rotate", "--origin", "gate-b"]);
    let gate = runs(directory, &upstream, &database, "gate-b");
    let rows = "SELECT count(*) > 3 FROM dtgate.record WHERE gate = 'gate-b' AND outcome IS NOT NULL OR gate = 'gate-b'";
    let listed = "SELECT count(*) FROM dtgate.gate WHERE gate = 'gate-b' AND shipped_seq > 0";
    eventually("its records are there", || {
        let is_there = database.sql(rows) == "t" && database.sql(listed) == "1";
        is_there.then_some(())
    });
    let verify = |gate: &str| {
        let output = way.audit(&["verify", "--gate", gate, "--key", &first]);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let newest =
        "SELECT line FROM dtgate.record WHERE kind = 'checkpoint' ORDER BY seq DESC LIMIT 1";
    if database.sql(newest).contains("gate-a") {
        let (code, said) = verify("gate-b");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("signed by gate-a+"), "{said}");
    }
    // Somebody goes on under the old name.
    let end = database.sql("SELECT max(seq) FROM dtgate.record WHERE gate = 'gate-a'");
    database.sql(
        "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line)
         SELECT gate, seq + 1, at, 'unreadable', sha256('x'), 'x' FROM dtgate.record WHERE gate = 'gate-a' ORDER BY seq DESC LIMIT 1",
    );
    let (_, said) = verify("gate-b");
    let wanted =
        format!(", behind record {end}, with which this journal goes on under another name");
    assert!(said.contains(&wanted), "{said}");
    drop(gate);
}

fn verified(way: &Way, arguments: &[&str]) -> (Option<i32>, String) {
    let output = way.audit(&[&["verify"], arguments].concat());
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// A journal of a gate that was renamed: where it is.
fn renamed(upstream: &Upstream, database: &Database<'_>) -> TempDir {
    let directory = has_run(tempfile::tempdir().unwrap(), upstream, database, "gate-a");
    of_journal(&directory, &["--rotate", "--origin", "gate-b"]);
    has_run(directory, upstream, database, "gate-b")
}

fn statement(name: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("```sql\n-- {name}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

const ALL: &str = "SELECT count(*) - count(DISTINCT seq), count(*) - max(seq) FROM dtgate.record";

/// What is sent again comes under the new name: that is no cut of the old one. By an invented gate nobody hides one.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_was_sent_again_under_another_name_is_not_cut_off() {
    let upstream = Upstream::lenient();
    for loss in [
        "DELETE FROM dtgate.record WHERE seq >= FIRST",
        "DELETE FROM dtgate.record WHERE gate = 'gate-a' AND seq >= FIRST",
        "DELETE FROM dtgate.record WHERE gate = 'gate-a' AND seq > FIRST",
        "DELETE FROM dtgate.record",
    ] {
        let database = database();
        let way = Way::to(&database);
        let directory = renamed(&upstream, &database);
        assert_eq!(verified(&way, &[]).0, Some(0));
        let key = database.sql("SELECT key FROM dtgate.gate WHERE gate = 'gate-a'");
        let first = database.sql("SELECT min(outcome_seq) FROM dtgate.record");
        database.sql(&loss.replace("FIRST", &first));
        let (code, said) = verified(&way, &["--gate", "gate-a"]);
        assert!(
            code == Some(2) && said.contains("cut off"),
            "{loss}: {said}"
        );
        forge(&database);
        let (code, said) = verified(&way, &["--gate", "gate-a"]);
        assert!(
            code == Some(2) && said.contains("cut off"),
            "{loss}: {said}"
        );
        database.sql("DELETE FROM dtgate.record WHERE gate = 'forged'");
        std::fs::remove_file(directory.path().join("journal/shipped.store")).unwrap();
        drop(has_run(directory, &upstream, &database, "gate-b"));
        assert_eq!(database.sql(ALL), "0|0", "{loss}");
        for arguments in [&[][..], &["--gate", "gate-a", "--key", &key]] {
            let (code, said) = verified(&way, arguments);
            assert_eq!(code, Some(0), "{loss}: {said}");
            assert!(
                said.contains(" are here as those of gate gate-b, which goes on"),
                "{loss}: {said}"
            );
        }
        // The end of all is cut off.
        database.sql("DELETE FROM dtgate.record WHERE seq > 5");
        let (code, said) = verified(&way, &["--gate", "gate-a"]);
        assert!(
            code == Some(2) && said.contains("cut off"),
            "{loss}: {said}"
        );
    }
}

/// Records that go on from the end of gate-a, by their own word, and further than it.
fn forge(database: &Database<'_>) {
    let end = database.sql(
        "SELECT seq || '|' || encode(hash, 'hex') FROM dtgate.record WHERE gate = 'gate-a' ORDER BY seq DESC LIMIT 1",
    );
    let key = database.sql("SELECT key FROM dtgate.gate WHERE gate = 'gate-a'");
    let (last, hash) = end.split_once('|').unwrap_or_default();
    let mut seq = last.parse::<u64>().unwrap_or_default();
    let mut prev = if last.is_empty() {
        "0".repeat(64)
    } else {
        hash.to_owned()
    };
    for _ in 0..60 {
        seq += 1;
        let line = json!({"kind": "key", "timestamp": "2026-11-24T10:00:00.000Z", "old": key, "new": key, "note": "x"});
        let line = format!(
            "{{\"seq\":{seq},\"prev\":\"{prev}\",\"synced\":{},{}",
            seq - 1,
            &line.to_string()[1..]
        );
        dtgate::value::Sha256Hex::of(line.as_bytes())
            .as_str()
            .clone_into(&mut prev);
        let line = line.replace('\'', "''");
        database.sql(&format!(
            "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line)
             VALUES ('forged', {seq}, '2026-11-24T10:00:00Z', 'key', sha256(convert_to('{line}', 'UTF8')), '{line}')"
        ));
    }
}

/// As docs/store.md says it.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_loss_in_the_middle_of_an_earlier_name_is_filled() {
    let upstream = Upstream::lenient();
    let database = database();
    let way = Way::to(&database);
    let directory = renamed(&upstream, &database);
    database.sql("DELETE FROM dtgate.record WHERE seq IN (4, 5)");
    assert_eq!(verified(&way, &["--gate", "gate-a"]).0, Some(2));
    let deleted = statement("a loss under an earlier name");
    database.sql(&deleted.replace("gate-old", "gate-a"));
    std::fs::remove_file(directory.path().join("journal/shipped.store")).unwrap();
    drop(has_run(directory, &upstream, &database, "gate-b"));
    assert_eq!(database.sql(ALL), "0|0");
    let (code, said) = verified(&way, &[]);
    assert_eq!(code, Some(0), "{said}");
}

/// As docs/store.md says it.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_gate_that_is_gone_is_taken_away() {
    let database = database();
    let way = Way::to(&database);
    for (gate, time) in [("gate-old", "2025-11"), ("gate-new", "2026-11")] {
        let mut record = decision(0, "payments", "denied");
        record["timestamp"] = json!(format!("{time}-24T10:00:00.000Z"));
        let (directory, hash) = journal(&[record]);
        way.ship(gate, directory.path(), 1, &hash);
        // As a gate says it when all has come.
        database.sql("UPDATE dtgate.gate SET shipped_seq = 1");
    }
    assert_eq!(verified(&way, &[]).0, Some(0));
    database.sql("DROP TABLE dtgate.record_2025_11");
    let (code, said) = verified(&way, &[]);
    assert!(code == Some(2) && said.contains("cut off"), "{said}");
    database.sql(&statement("a gate that is gone"));
    let (code, said) = verified(&way, &[]);
    assert_eq!(code, Some(0), "{said}");
}
