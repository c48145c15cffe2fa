//! What a gate of several has hidden, or has not sent yet, leaves of the certainty of a history.

use serde_json::{Value, json};

use super::{Way, decision, journal, outcome};
use crate::postgres::database;

/// A change at a second, of what the token had.
fn change(second: u32, current: &[&str], requested: &[&str]) -> Value {
    let mut record = decision(second, "payments", "ci");
    record["input"]["token"]["current"]["scopes"] = json!(current);
    record["input"]["change"]["scopes"] = json!({"requested": requested, "current": current});
    record
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_another_gate_may_have_done_is_not_said_for_certain() {
    let database = database();
    let way = Way::to(&database);
    let own = [
        change(600, &["a"], &["b"]),
        change(1800, &["b"], &["c"]),
        outcome(1800, 2),
    ];
    let (directory, hash) = journal(&own);
    way.ship("a", directory.path(), 3, &hash);
    let said = || {
        let lines = way.said(&["history", "dt0c01.TOKEN", "--format", "json"]);
        let mut lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.rfind(|it| it["seq"].is_null()).unwrap();
        (found["unsure"] == true, found["carried_out"].clone())
    };
    let (certain, unsure) = ((false, json!(true)), (true, Value::Null));
    assert_eq!(said(), certain);
    // Of another gate there is something before, and something behind: it had nothing to do with the token.
    let mut other = change(5, &["x"], &["b"]);
    other["input"]["token"] = json!({"id": "dt0c01.OTHER"});
    other["request"]["path"] = json!("/api/v2/apiTokens/dt0c01.OTHER");
    let (directory, hash) = journal(&[other.clone()]);
    way.ship("b", directory.path(), 1, &hash);
    assert_eq!(said(), certain);
    // It has written more, which is not here.
    database.sql("UPDATE dtgate.gate SET head_seq = 9 WHERE gate = 'b'");
    assert_eq!(said(), unsure);
    database.sql("UPDATE dtgate.gate SET head_seq = 1 WHERE gate = 'b'");
    assert_eq!(said(), certain);
    // And one more, of which masks hide the token: behind, and in between.
    for (gate, second, wanted) in [("c", 1900, &certain), ("d", 1200, &unsure)] {
        let mut masked = change(second, &["x"], &["b"]);
        masked["input"].as_object_mut().unwrap().remove("token");
        masked["request"]["path"] = json!("-");
        masked["erased"] = json!(["/input/token", "/request/path"]);
        let (directory, hash) = journal(&[masked]);
        way.ship(gate, directory.path(), 1, &hash);
        assert_eq!(said(), *wanted, "{gate}");
    }
}
