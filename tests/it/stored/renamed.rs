//! A journal that has had several names is one chain, also where each of them is a gate of its own in the store.

use tempfile::TempDir;

use super::Way;
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
