//! Whoever changes the store is found by the store alone.

use serde_json::Value;

use super::{Way, decision, journal, outcome};
use crate::postgres::database;

/// What is done to the records of a gate, and what is said of it.
const CHANGES: &[(&str, &str)] = &[
    ("UPDATE r SET line = replace(line, 'payments', 'paiments') WHERE seq = 3", "record 3 was changed"),
    (
        "UPDATE r SET line = replace(line, 'payments', 'paiments'),
           hash = sha256(convert_to(replace(line, 'payments', 'paiments'), 'UTF8')) WHERE seq = 3",
        "record 3 was changed",
    ),
    ("DELETE FROM r WHERE seq = 3", "record 3 comes next, but this is record 4"),
    ("DELETE FROM r WHERE seq = 1", "begins with record 2"),
    ("DELETE FROM r WHERE seq >= 6", "had record 7"),
    ("DELETE FROM r", "had record 7"),
    (
        "INSERT INTO r SELECT gate, seq, at + interval '1 s', kind, hash, line FROM dtgate.record WHERE gate = 'G' AND seq = 3",
        "record 4 comes next, but this is record 3",
    ),
    (
        "UPDATE r AS a SET line = b.line, hash = b.hash FROM dtgate.record AS b
         WHERE b.gate = 'G' AND (a.seq, b.seq) IN ((1, 3), (3, 1))",
        "record 1 comes next, but this is record 3",
    ),
    ("UPDATE r SET seq = 99 WHERE seq = 7", "record 7 comes next, but"),
    ("UPDATE r SET at = at - interval '1 day' WHERE seq = 3", "its at"),
    ("UPDATE r SET kind = 'stop' WHERE seq = 3", "its kind"),
    ("UPDATE r SET hash = sha256('') WHERE seq = 3", "record 3 was changed"),
    ("UPDATE r SET decision_id = 'x' WHERE seq = 3", "its decision_id"),
    ("UPDATE r SET verdict = 'allow' WHERE seq = 5", "its verdict"),
    ("UPDATE r SET operation = NULL WHERE seq = 3", "its operation"),
    ("UPDATE r SET environment = 'dev' WHERE seq = 3", "its environment"),
    ("UPDATE r SET caller = NULL, client = 'x' WHERE seq = 3", "its caller, client"),
    ("UPDATE r SET revision = 'x', no_op = NULL WHERE seq = 3", "its revision, no_op"),
    ("UPDATE r SET certificate = '{x}', claim = '{NULL}' WHERE seq = 3", "its certificate, claim"),
    ("UPDATE r SET team = NULL, scope = '{}', added = '{}'  WHERE seq = 3", "its team, scope, added"),
    ("UPDATE r SET removed = '{x}', policy = '{x}', code = '{x}' WHERE seq = 3", "its removed, policy, code"),
    ("UPDATE r SET words = NULL WHERE seq = 3", "its words"),
    ("UPDATE r SET words = words || 'more' WHERE seq = 3", "its words"),
    ("UPDATE r SET token = '{}' WHERE seq = 3", "its token"),
    ("UPDATE r SET token = token || 'x'::text WHERE seq = 3", "record 3 ended otherwise"),
    ("UPDATE r SET token = array_remove(token, 'dt0c01.MADE') WHERE seq = 1", "record 1 ended otherwise"),
    ("UPDATE r SET outcome = 'failed' WHERE seq = 1", "record 1 ended otherwise"),
    ("UPDATE r SET outcome = NULL, outcome_seq = NULL WHERE seq = 1", "record 2 says how decision 1 ended"),
    ("UPDATE r SET outcome_seq = 4 WHERE seq = 1", "record 1 ended otherwise"),
    ("UPDATE r SET outcome_seq = 9000 WHERE seq = 1", "record 1 ended otherwise"),
    ("UPDATE r SET outcome_seq = 6, outcome = 'answered' WHERE seq = 5", "record 5 ended otherwise"),
    ("UPDATE r SET settled_seq = NULL, found = NULL WHERE seq = 6", "record 7 settles decision 6"),
    ("UPDATE r SET found = 'not_done' WHERE seq = 6", "record 6 was settled by no record"),
    ("UPDATE r SET settled_seq = 4, found = 'done' WHERE seq = 1", "record 1 was settled by no record"),
    ("UPDATE r SET decision_seq = 3 WHERE seq = 2", "its decision_seq"),
    ("UPDATE r SET outcome = 'answered' WHERE seq = 2", "its outcome"),
    ("DELETE FROM dtgate.name WHERE kind = 'team' AND value = 'ci'", "record 1 names the team ci"),
    ("UPDATE dtgate.gate SET head_hash = repeat('0', 64) WHERE gate = 'G'", "another hash"),
    ("DELETE FROM dtgate.gate WHERE gate = 'G'", "not among the gates"),
];

fn records() -> Vec<Value> {
    vec![
        decision(0, "payments", "ci"),
        outcome(1, 1),
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
    let (directory, hash) = journal(&records);
    let mut missed = Vec::new();
    for (number, (change, said)) in CHANGES.iter().enumerate() {
        let gate = format!("g{number}");
        std::fs::remove_file(directory.path().join("sent-store")).ok();
        let (copy, _) = journal(&records);
        way.ship(&gate, copy.path(), 7, &hash);
        if number == 0 {
            let output = way.audit(&["verify"]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{told}");
            assert!(told.starts_with("gate g0\nThe chain holds."), "{told}");
        }
        let change = change.replace("'G'", &format!("'{gate}'"));
        let change = change
            .replace("UPDATE r AS a SET", "UPDATE dtgate.record AS a SET")
            .replace("UPDATE r SET", "UPDATE dtgate.record AS a SET")
            .replace("DELETE FROM r", "DELETE FROM dtgate.record AS a")
            .replace("INSERT INTO r SELECT", "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line) SELECT");
        let change = match (change.contains(" AS a"), change.contains("WHERE")) {
            (true, true) => change.replacen("WHERE", &format!("WHERE a.gate = '{gate}' AND"), 1),
            (true, false) => format!("{change} WHERE a.gate = '{gate}'"),
            (false, _) => change,
        };
        let change = change.replace("AND seq", "AND a.seq").replace("AND b.gate", "AND b.gate");
        let change = if change.contains(" AS a") { change } else { change.replace("a.seq", "seq") };
        database.sql(&change);
        let output = way.audit(&["verify", "--gate", &gate]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(2) || !told.contains(said) {
            missed.push(format!("{change}\n  wanted: {said}\n  said: {told}{errors}"));
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
