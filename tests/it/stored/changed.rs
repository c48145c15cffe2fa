//! Whoever changes the store is found by the store alone.

use serde_json::Value;

use super::{Way, decision, journal, outcome};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, policies, program, serving};
use crate::postgres::{Database, database};

/// What is set in the row of a record, and what is said of it.
const SET: &[(&str, u8, &str)] = &[
    (
        "line = replace(line, 'payments', 'paiments')",
        3,
        "record 3 was changed",
    ),
    (
        "line = replace(line, 'payments', 'paiments'), hash = sha256(convert_to(replace(line, 'payments', 'paiments'), 'UTF8'))",
        3,
        "record 3 was changed",
    ),
    ("seq = 99", 7, "row 99 stands where record 7 comes next"),
    ("at = at - interval '1 day'", 3, "its at"),
    ("kind = 'stop'", 3, "its kind"),
    ("hash = sha256('')", 3, "record 3 was changed"),
    ("decision_id = 'x'", 3, "its decision_id"),
    ("verdict = 'allow'", 5, "its verdict"),
    ("operation = NULL", 3, "its operation"),
    ("environment = 'dev'", 3, "its environment"),
    ("caller = NULL, client = 'x'", 3, "its caller, client"),
    ("revision = 'x', no_op = NULL", 3, "its revision, no_op"),
    (
        "certificate = '{x}', claim = '{NULL}'",
        3,
        "its certificate, claim",
    ),
    (
        "team = NULL, scope = '{}', added = '{}'",
        3,
        "its team, scope, added",
    ),
    (
        "removed = '{x}', policy = '{x}', code = '{x}'",
        3,
        "its removed, policy, code",
    ),
    ("words = NULL", 3, "its words"),
    ("words = words || 'more'", 3, "record 3 ended otherwise"),
    ("token = '{}'", 3, "its token"),
    ("token = token || 'x'::text", 3, "record 3 ended otherwise"),
    (
        "token = array_remove(token, 'dt0c01.MADE')",
        1,
        "record 1 ended otherwise",
    ),
    ("outcome = 'failed'", 1, "record 1 ended otherwise"),
    (
        "outcome = NULL, outcome_seq = NULL",
        1,
        "record 2 says how decision 1 ended",
    ),
    ("outcome_seq = 4", 1, "record 1 ended otherwise"),
    ("outcome_seq = 9000", 1, "record 1 ended otherwise"),
    (
        "outcome_seq = 6, outcome = 'answered'",
        5,
        "record 5 ended otherwise",
    ),
    (
        "settled_seq = NULL, found = NULL",
        6,
        "record 7 settles decision 6",
    ),
    ("found = 'not_done'", 6, "record 6 was settled by no record"),
    (
        "settled_seq = 4, found = 'done'",
        1,
        "record 1 was settled by no record",
    ),
    (
        "words = ts_delete(words, 'handshake')",
        1,
        "record 1 is not found by the words of its outcome 2",
    ),
    (
        "words = ts_delete(words, '{handshake,twice}'::text[])",
        1,
        "somebody took them out of its row",
    ),
    ("words = words || 'more'", 1, "record 1 ended otherwise"),
    ("decision_seq = 3", 2, "its decision_seq"),
    ("outcome = 'answered'", 2, "its outcome"),
];

/// What else is done to the gate `G`.
const DONE: &[(&str, &str)] = &[
    (
        "DELETE FROM dtgate.record WHERE gate = 'G' AND seq = 3",
        "record 3 comes next, but this is record 4",
    ),
    (
        "DELETE FROM dtgate.record WHERE gate = 'G' AND seq = 1",
        "begins with record 2",
    ),
    (
        "DELETE FROM dtgate.record WHERE gate = 'G' AND seq >= 6",
        "had record 7",
    ),
    ("DELETE FROM dtgate.record WHERE gate = 'G'", "had record 7"),
    (
        "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line) SELECT gate, seq, at + interval '1 s', kind, hash, line FROM dtgate.record WHERE gate = 'G' AND seq = 3",
        "record 4 comes next, but this is record 3",
    ),
    (
        "UPDATE dtgate.record AS a SET line = b.line, hash = b.hash FROM dtgate.record AS b WHERE a.gate = 'G' AND b.gate = 'G' AND (a.seq, b.seq) IN ((1, 3), (3, 1))",
        "record 1 comes next, but this is record 3",
    ),
    (
        "DELETE FROM dtgate.name WHERE kind = 'team' AND value = 'ci'",
        "record 1 names the team ci",
    ),
    (
        "UPDATE dtgate.gate SET head_hash = repeat('0', 64) WHERE gate = 'G'",
        "another hash",
    ),
    (
        "DELETE FROM dtgate.gate WHERE gate = 'G'",
        "not among the gates",
    ),
];

fn records() -> Vec<Value> {
    let mut told = outcome(1, 1);
    told["detail"] = "handshake twice".into();
    vec![
        decision(0, "payments", "ci"),
        told,
        decision(2, "payments", "ci"),
        outcome(3, 3),
        decision(4, "payments", "denied"),
        decision(5, "payments", "ci"),
        serde_json::json!({"kind": "settled", "timestamp": "2026-11-24T10:00:06.000Z", "decision_seq": 6, "found": "done"}),
    ]
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_whatever_is_changed_in_the_store_is_found() {
    let database = database();
    let way = Way::to(&database);
    let records = records();
    let set = SET.iter().map(|(set, seq, said)| {
        let change = format!("UPDATE dtgate.record SET {set} WHERE gate = 'G' AND seq = {seq}");
        (change, *said)
    });
    let done = DONE
        .iter()
        .map(|(change, said)| ((*change).to_owned(), *said));
    let mut missed = Vec::new();
    for (number, (change, said)) in set.chain(done).enumerate() {
        let gate = format!("g{number}");
        let (directory, hash) = journal(&records);
        way.ship(&gate, directory.path(), 7, &hash);
        if number == 0 {
            let output = way.audit(&["verify"]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{told}");
            assert!(told.starts_with("gate g0\nThe chain holds."), "{told}");
        }
        let change = change.replace("'G'", &format!("'{gate}'"));
        database.sql(&change);
        let output = way.audit(&["verify", "--gate", &gate]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(2) || !told.contains(said) {
            missed.push(format!(
                "{change}\n  wanted: {said}\n  said: {told}{errors}"
            ));
        }
        database.sql(&format!(
            "DELETE FROM dtgate.record WHERE gate = '{gate}'; DELETE FROM dtgate.gate WHERE gate = '{gate}';
             INSERT INTO dtgate.name VALUES ('team', 'ci') ON CONFLICT DO NOTHING"
        ));
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_store_is_compared_with_a_head_that_was_noted() {
    let database = database();
    let way = Way::to(&database);
    let records = records();
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 7, &hash);
    let (other, _) = journal(&records[..3]);
    way.ship("b", other.path(), 3, &hash);
    let head = format!("7:{hash}");
    let verify = |gate: &str| way.audit(&["verify", "--gate", gate, "--expect-head", &head]);
    assert_eq!(verify("a").status.code(), Some(0));
    assert_eq!(verify("b").status.code(), Some(2));
    let of_which = way.audit(&["verify", "--expect-head", &head]);
    assert_eq!(of_which.status.code(), Some(1));
    // Both, one after the other, and by name.
    let json = String::from_utf8(way.audit(&["verify", "--format", "json"]).stdout).unwrap();
    let ok: Vec<(Value, Value)> = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|it| (it["gate"].clone(), it["ok"].clone()))
        .collect();
    assert_eq!(ok, [("a".into(), true.into()), ("b".into(), false.into())]);
}

#[test]
#[ignore = "needs PostgreSQL"]
#[expect(clippy::too_many_lines, reason = "one store, asked in many ways")]
fn needs_postgres_checkpoints_are_proven_from_the_store_alone() {
    let database = database();
    let way = Way::to(&database);
    let upstream = Upstream::lenient();
    let name = &database.name;
    database.sql(&format!(
        "ALTER DATABASE {name} SET standard_conforming_strings = off"
    ));
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("dtgate.toml");
    let section = database.section(directory.path());
    std::fs::write(
        &config,
        format!("[journal]\norigin = \"gate-a\"\n{section}"),
    )
    .unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&config)
        .arg("--policies")
        .arg(policies());
    command
        .arg("--upstream")
        .arg(format!("http://{}", upstream.address));
    let mut gate = Gate::spawn(directory, command);
    for _ in 0..5 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    gate.signal("TERM");
    assert!(gate.wait().success());
    let journal = gate.journal();
    let of_journal = |arguments: &[&str]| {
        let mut command = program();
        command
            .arg("audit")
            .args(arguments)
            .arg("--journal")
            .arg(&journal);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let key = of_journal(&["key"]);
    let key = key.trim();
    let kept = way.directory.path().join("kept");
    std::fs::write(&kept, of_journal(&["checkpoint"])).unwrap();
    let kept = kept.to_str().unwrap();
    let verify = || {
        way.audit(&[
            "verify",
            "--gate",
            "gate-a",
            "--key",
            key,
            "--checkpoint",
            kept,
        ])
    };
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let whole = verify();
    assert!(whole.status.success(), "{}", told(&whole));
    assert!(
        told(&whole).contains("are proven by the key"),
        "{}",
        told(&whole)
    );
    assert!(
        told(&whole).contains("goes on from the checkpoint"),
        "{}",
        told(&whole)
    );
    // The same number of everything as in the journal.
    let counts = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("  ") && !line.contains("segments"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        counts(&told(&whole)),
        counts(&of_journal(&["verify", "--key", key, "--checkpoint", kept]))
    );
    proves(&way, &of_journal, key);
    goes_on(&way, &database, &verify);
    let change = |seq: u8, from: &str, to: &str| {
        database.sql(&format!(
            "UPDATE dtgate.record SET line = replace(line, '{from}', '{to}') WHERE gate = 'gate-a' AND seq = {seq}"
        ));
        let output = way.audit(&["prove", "2", "--gate", "gate-a"]);
        database.sql(&format!(
            "UPDATE dtgate.record SET line = replace(line, '{to}', '{from}') WHERE gate = 'gate-a' AND seq = {seq}"
        ));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for seq in [1, 2, 4] {
        let said = change(seq, "\"seq\"", "\"sEq\"");
        assert!(said.contains("does not hold"), "{said}");
    }
    database.sql("UPDATE dtgate.record SET seq = 1000 WHERE gate = 'gate-a' AND seq = 3");
    let missing = way.audit(&["prove", "2", "--gate", "gate-a"]);
    database.sql("UPDATE dtgate.record SET seq = 3 WHERE gate = 'gate-a' AND seq = 1000");
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("record 3 is not there"), "{said}");
    // Whoever cuts the end, and says so in the gate's own row.
    database.sql(
        "DELETE FROM dtgate.record WHERE gate = 'gate-a' AND seq > 5;
         UPDATE dtgate.record SET outcome = NULL, outcome_seq = NULL WHERE gate = 'gate-a' AND outcome_seq > 5;
         UPDATE dtgate.gate SET shipped_seq = 5, head_seq = 5, head_hash =
           (SELECT encode(hash, 'hex') FROM dtgate.record WHERE gate = 'gate-a' AND seq = 5)",
    );
    let cut = verify();
    assert_eq!(cut.status.code(), Some(2));
    assert!(told(&cut).contains("was cut off"), "{}", told(&cut));
    // Whoever removes all of it: the key says that there was such a gate.
    let (other, hash) = super::journal(&records());
    way.ship("gate-b", other.path(), 7, &hash);
    database.sql(
        "DELETE FROM dtgate.record WHERE gate = 'gate-a'; DELETE FROM dtgate.gate WHERE gate = 'gate-a'",
    );
    let gone = way.audit(&["verify", "--key", key]);
    assert_eq!(gone.status.code(), Some(2));
    let gate = "gate gate-a: the store is not as this gate wrote it.\n  there are no records of it";
    assert!(told(&gone).contains(gate), "{}", told(&gone));
}

/// Somebody goes on where the gate has ended: its own records are proven, and what he adds is told from them.
fn goes_on(way: &Way, database: &Database<'_>, verify: &dyn Fn() -> std::process::Output) {
    let last = |what: &str| {
        database.sql(&format!(
            "SELECT {what} FROM dtgate.record WHERE gate = 'gate-a' ORDER BY seq DESC LIMIT 1"
        ))
    };
    let (seq, prev) = (last("seq + 1"), last("encode(hash, 'hex')"));
    let add = |kind: &str| {
        let line = format!(
            "{{\"seq\":{seq},\"prev\":\"{prev}\",\"synced\":1,\"kind\":\"{kind}\",\"operation\":\"token.update\",\"verdict\":\"allow\"}}"
        );
        let is_decision = kind == "decision";
        let (verdict, operation) = if is_decision {
            ("'allow'", "'token.update'")
        } else {
            ("NULL", "NULL")
        };
        let empty = if is_decision { "'{}'" } else { "NULL" };
        let words = if is_decision { "''" } else { "NULL" };
        let no_op = if is_decision { "false" } else { "NULL" };
        database.sql(&format!(
            "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line, verdict, operation, no_op, certificate, claim, team, token,
               scope, added, removed, policy, code, words)
             VALUES ('gate-a', {seq}, '-infinity', '{kind}', sha256(convert_to($${line}$$, 'UTF8')), $${line}$$, {verdict}, {operation},
               {no_op}, {empty}, {empty}, {empty}, {empty}, {empty}, {empty}, {empty}, {empty}, {empty}, {words})"
        ));
        let output = verify();
        database.sql(&format!(
            "DELETE FROM dtgate.record WHERE gate = 'gate-a' AND seq = {seq}"
        ));
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, said) = add("decision");
    assert_eq!(code, Some(2), "{said}");
    let wanted = format!("record {seq} stands behind the end of the gate (record ");
    assert!(said.contains(&wanted), "{said}");
    // What is no deed may come there; of a gate that is silent it is told that it said nothing of it.
    let (code, said) = add("settled");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("the gate said last"), "{said}");
    database.sql("UPDATE dtgate.gate SET seen = now() - interval '1 hour'");
    let (code, said) = add("settled");
    assert_eq!(code, Some(0), "{said}");
    let wanted = format!("or somebody else put records {seq} to {seq} there");
    assert!(said.contains(&wanted), "{said}");
    assert!(way.said(&["verify"]).contains("The chain holds."));
}

/// Each record is proven from the store as from the journal, and nothing that somebody has changed.
fn proves(way: &Way, of_journal: &dyn Fn(&[&str]) -> String, key: &str) {
    let file = way.directory.path().join("proof");
    let file = file.to_str().unwrap();
    let check = || {
        let mut command = program();
        command.args(["audit", "check-proof", file, "--key", key]);
        command.output().unwrap()
    };
    for seq in ["1", "2", "7"] {
        let proof = way.said(&["prove", seq, "--gate", "gate-a"]);
        assert_eq!(proof, of_journal(&["prove", seq]), "{seq}");
        way.said(&["prove", seq, "--gate", "gate-a", "-o", file]);
        assert!(check().status.success(), "{:?}", check());
    }
    let shown = way.said(&["show", "2", "--gate", "gate-a", "--format", "json"]);
    let record: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    let id = record["decision_id"].as_str().unwrap();
    assert_eq!(way.said(&["prove", id]), of_journal(&["prove", id]));
    let refused = |arguments: &[&str]| {
        let output = way.audit(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let none = refused(&["prove", "999999", "--gate", "gate-a"]);
    assert!(
        none.contains("there is no record 999999 of this gate in the store"),
        "{none}"
    );
}
