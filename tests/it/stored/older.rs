//! Rows that an earlier build has sent: nobody is told that all is there, nor that ordinary rows were changed.

use serde_json::{Value, json};

use super::{Way, decision, journal, outcome};
use crate::postgres::{Database, database};

/// As such rows are where nothing is noted of their form: fewer names and words, and one word for all answers.
const MADE_OLDER: &str = "
    DELETE FROM dtgate.name WHERE kind = 'form';
    UPDATE dtgate.record SET token = '{dt0c01.TOKEN,payments}' WHERE seq = 1;
    UPDATE dtgate.record SET words = ts_delete(words, '{handshake,twice}'::text[]), outcome = 'answered' WHERE seq = 1;
    UPDATE dtgate.record SET no_op = true, words = ts_delete(words, ARRAY[chr(57344) || chr(57345) || 'names'])
      WHERE seq = 3";

fn records() -> Vec<Value> {
    let mut other_id = decision(0, "payments", "ci");
    other_id["input"]["token"]["current"]["id"] = "d5836312-5790-4e80-afcf-09971954c3ea".into();
    let mut unclear = outcome(1, 1);
    unclear["status"] = 503.into();
    unclear["detail"] = "handshake twice".into();
    unclear["credential"] = Value::Null;
    let mut masked = decision(2, "payments", "ci");
    masked["input"]["change"]["differs"] = json!([]);
    masked["input"]["change"]["name"] = Value::Null;
    masked["masked"] = json!(["/input/change/differs", "/input/change/name"]);
    vec![
        other_id,
        unclear,
        masked,
        outcome(3, 3),
        decision(4, "payments", "ci"),
    ]
}

fn notes(database: &Database<'_>) -> String {
    database.sql("SELECT value FROM dtgate.name WHERE kind = 'form' ORDER BY value")
}

/// What a command says beside its answer, and how many lines that has.
fn asked(way: &Way, arguments: &[&str]) -> (String, usize) {
    let output = way.audit(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let lines = String::from_utf8(output.stdout).unwrap().lines().count();
    (String::from_utf8(output.stderr).unwrap(), lines)
}

fn verified(way: &Way) -> (Option<i32>, String) {
    let output = way.audit(&["verify"]);
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

const BY_OTHER_ID: &[&str] = &[
    "query",
    "--format",
    "csv",
    "--token",
    "d5836312-5790-4e80-afcf-09971954c3ea",
];

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_rows_of_an_earlier_build_are_told_and_can_be_sent_again() {
    let database = database();
    let way = Way::to(&database);
    let records = records();
    let (directory, hash) = journal(&records);
    way.ship("gate a", directory.path(), 5, &hash);
    let told = "were sent by another build of dtgate (gate gate a)";
    // All of it is of this build.
    assert_eq!(notes(&database), "1 1 1 gate a");
    let (said, lines) = asked(&way, BY_OTHER_ID);
    assert!(!said.contains(told) && lines == 2, "{lines} {said}");
    let (code, said) = verified(&way);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("another build"), "{said}");

    database.sql(MADE_OLDER);
    let (said, lines) = asked(&way, BY_OTHER_ID);
    assert!(said.contains(told) && lines == 1, "{lines} {said}");
    for arguments in [
        &["query", "--outcome", "doubt"][..],
        &["query", "--text", "handshake"],
        &["query", "--token", "payments", "--gate", "gate a"],
        &["query", "--no-op", "hide"],
        &["stats", "--by", "token"],
        &["stats", "--by", "outcome"],
        &["history", "payments"],
    ] {
        let (said, _) = asked(&way, arguments);
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    // What builds have told alike, and another time.
    for arguments in [
        &["query"][..],
        &["query", "--caller", "dt0c01.ci", "--decision", "allow"],
        &["query", "--token", "payments", "--since", "2026-11-25"],
        &["query", "--token", "payments", "--until", "2026-11-24"],
        &["stats", "--by", "team"],
    ] {
        let (said, _) = asked(&way, arguments);
        assert!(!said.contains("another build"), "{arguments:?}: {said}");
    }
    let (code, said) = verified(&way);
    assert_eq!(code, Some(0), "{said}");
    let wanted =
        "2 rows of records 1 to 3, sent by another build, not as this one tells their lines";
    assert!(said.contains(wanted), "{said}");
    assert!(said.contains(": no_op, outcome, token, words. "), "{said}");
    let json = way.said(&["verify", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let wanted =
        json!({"rows": 2, "first": 1, "last": 3, "lacks": ["no_op", "outcome", "token", "words"]});
    assert_eq!(json["older"], wanted, "{json}");

    // Only the missing end is this build's.
    database.sql("DELETE FROM dtgate.record WHERE seq = 5");
    way.ship("gate a", directory.path(), 5, &hash);
    assert_eq!(notes(&database), "1 1 5 gate a");
    assert!(asked(&way, BY_OTHER_ID).0.contains(told));
    // What was missing in the middle says nothing of what is behind it.
    database.sql(
        "DELETE FROM dtgate.record WHERE seq = 4; DELETE FROM dtgate.name WHERE kind = 'form'",
    );
    way.ship("gate a", directory.path(), 5, &hash);
    assert_eq!(notes(&database), "");
    // Sent again as docs/store.md says it.
    database.sql("DELETE FROM dtgate.record WHERE seq >= 1");
    way.ship("gate a", directory.path(), 5, &hash);
    assert_eq!(notes(&database), "1 1 1 gate a");
    let (said, lines) = asked(&way, BY_OTHER_ID);
    assert!(!said.contains(told) && lines == 2, "{lines} {said}");
}

/// That another build may have sent a row is no way to change it: it holds what each build has told, and nothing else.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_rows_of_an_earlier_build_that_were_changed_are_found() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&records());
    way.ship("gate a", directory.path(), 5, &hash);
    database.sql(MADE_OLDER);
    database.sql("CREATE TABLE public.kept AS SELECT * FROM dtgate.record");
    for (set, seq, wanted) in [
        (
            "token = '{}'",
            1,
            "its token, or an earlier build has shipped it",
        ),
        ("token = token || 'x'::text", 1, "ended otherwise"),
        ("token = '{payments,dt0c01.TOKEN}'", 1, "its token"),
        ("words = ''", 1, "its words, or an earlier build"),
        ("words = words || 'more'", 3, "ended otherwise"),
        ("no_op = true", 5, "its no_op"),
        ("no_op = NULL", 3, "its no_op"),
        ("outcome = 'failed'", 1, "ended otherwise"),
        ("outcome = 'unclear'", 3, "ended otherwise"),
        ("caller = NULL", 3, "its caller"),
        ("verdict = 'deny'", 3, "its verdict"),
    ] {
        database.sql(&format!("UPDATE dtgate.record SET {set} WHERE seq = {seq}"));
        let (code, said) = verified(&way);
        assert_eq!(code, Some(2), "{set}: {said}");
        assert!(
            said.contains(&format!("record {seq} ")) && said.contains(wanted),
            "{set}: {said}"
        );
        database
            .sql("DELETE FROM dtgate.record; INSERT INTO dtgate.record SELECT * FROM public.kept");
    }
}
