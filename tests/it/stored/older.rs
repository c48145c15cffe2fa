//! Rows that an earlier build has sent: nobody is told that all is there, nor that ordinary rows were changed.

use dtgate::audit::facts::FORM;
use serde_json::{Value, json};

use super::{Way, decision, journal, outcome};
use crate::postgres::{Database, database};

/// As such rows are: fewer names and words, and one word for all answers.
const MADE_OLDER: &str = "
    UPDATE dtgate.record SET token = '{dt0c01.TOKEN,payments}' WHERE seq = 2;
    UPDATE dtgate.record SET words = ts_delete(words, '{handshake,twice}'::text[]), outcome = 'answered' WHERE seq = 2;
    UPDATE dtgate.record SET no_op = true, words = ts_delete(words, ARRAY[chr(57344) || chr(57345) || 'names'])
      WHERE seq = 4";

/// Nothing is noted of their form.
const NO_NOTES: &str = "DELETE FROM dtgate.name WHERE kind = 'form'";

fn start(form: Option<u32>) -> Value {
    let mut start = json!({"kind": "start", "timestamp": "2026-11-24T09:59:00.000Z", "version": "0.1.0", "revision": "r",
        "in_doubt": []});
    if let Some(form) = form {
        start["form"] = form.into();
    }
    start
}

/// Behind the start of a build that tells facts of this form.
fn records(form: Option<u32>) -> Vec<Value> {
    let mut other_id = decision(0, "payments", "ci");
    other_id["input"]["token"]["current"]["id"] = "d5836312-5790-4e80-afcf-09971954c3ea".into();
    let mut unclear = outcome(1, 2);
    unclear["status"] = 503.into();
    unclear["detail"] = "handshake twice".into();
    unclear["credential"] = Value::Null;
    let mut masked = decision(2, "payments", "ci");
    masked["input"]["change"]["differs"] = json!([]);
    masked["input"]["change"]["name"] = Value::Null;
    masked["masked"] = json!(["/input/change/differs", "/input/change/name"]);
    vec![
        start(form),
        other_id,
        unclear,
        masked,
        outcome(3, 4),
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

/// Nothing is noted, and two rows are as another build has sent them.
fn gaps_are_noted(way: &Way, database: &Database<'_>, ship: &dyn Fn()) {
    let told = "were sent by another build of dtgate (gate gate a)";
    // What was missing in the middle says nothing of what is behind it.
    database.sql(
        "DELETE FROM dtgate.record WHERE seq = 5; DELETE FROM dtgate.name WHERE kind = 'form'",
    );
    ship();
    assert_eq!(notes(database), "1 1 5 gate a\n2 0 6 gate a");
    assert!(asked(way, BY_OTHER_ID).0.contains(told));
    // What comes between rows of this build is of it, too.
    database.sql(
        "DELETE FROM dtgate.record WHERE seq IN (1, 2, 3); DELETE FROM dtgate.name WHERE kind = 'form';
         INSERT INTO dtgate.name VALUES ('form', '1 1 4 gate a')",
    );
    ship();
    assert_eq!(notes(database), "1 1 4 gate a\n2 1 1 gate a");
    let (said, lines) = asked(way, BY_OTHER_ID);
    assert!(!said.contains(told) && lines == 2, "{lines} {said}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_rows_of_an_earlier_build_are_told_and_can_be_sent_again() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&records(None));
    way.ship("gate a", directory.path(), 6, &hash);
    let told = "were sent by another build of dtgate (gate gate a)";
    // All of it is of this build.
    assert_eq!(notes(&database), "1 1 1 gate a");
    let (said, lines) = asked(&way, BY_OTHER_ID);
    assert!(!said.contains(told) && lines == 2, "{lines} {said}");
    let (code, said) = verified(&way);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("another build"), "{said}");

    database.sql(NO_NOTES);
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
        // Between the first and the last of them, nobody looks for more.
        &[
            "query",
            "--token",
            "payments",
            "--since",
            "2026-11-24T10:00:02.100Z",
            "--until",
            "2026-11-24T10:00:02.200Z",
        ],
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
        "2 rows of records 2 to 4, sent by another build, not as this one tells their lines";
    assert!(said.contains(wanted), "{said}");
    assert!(said.contains(": no_op, outcome, token, words. "), "{said}");
    let json = way.said(&["verify", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let wanted =
        json!({"rows": 2, "first": 2, "last": 4, "lacks": ["no_op", "outcome", "token", "words"]});
    assert_eq!(json["older"], wanted, "{json}");

    // Only the missing end is this build's.
    database.sql("DELETE FROM dtgate.record WHERE seq = 6");
    way.ship("gate a", directory.path(), 6, &hash);
    assert_eq!(notes(&database), "1 1 6 gate a");
    assert!(asked(&way, BY_OTHER_ID).0.contains(told));
    gaps_are_noted(&way, &database, &|| {
        way.ship("gate a", directory.path(), 6, &hash);
    });
    // Sent again as docs/store.md says it.
    database.sql(
        "DELETE FROM dtgate.record WHERE seq >= 1; DELETE FROM dtgate.name WHERE kind = 'form'",
    );
    way.ship("gate a", directory.path(), 6, &hash);
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
    let (directory, hash) = journal(&records(None));
    way.ship("gate a", directory.path(), 6, &hash);
    database.sql(NO_NOTES);
    database.sql(MADE_OLDER);
    database.sql("CREATE TABLE public.kept AS SELECT * FROM dtgate.record");
    for (set, seq, wanted) in [
        (
            "token = '{}'",
            2,
            "its token, or an earlier build has shipped it",
        ),
        ("token = token || 'x'::text", 2, "ended otherwise"),
        ("token = '{payments,dt0c01.TOKEN}'", 2, "its token"),
        ("words = ''", 2, "its words, or an earlier build"),
        ("words = words || 'more'", 4, "ended otherwise"),
        ("no_op = true", 6, "its no_op"),
        ("no_op = NULL", 4, "its no_op"),
        ("outcome = 'failed'", 2, "ended otherwise"),
        ("outcome = 'unclear'", 4, "ended otherwise"),
        ("caller = NULL", 4, "its caller"),
        ("verdict = 'deny'", 4, "its verdict"),
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

/// Each role of a gate may note anything among the names.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_forged_note_stops_no_gate_and_proves_no_row() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&records(Some(FORM)));
    way.ship("first", directory.path(), 6, &hash);
    let forged = [
        "18446744073709551615 0 1",
        "4294967295 0 1",
        "1000000 0 1",
        "9 0 1",
        "9 4294967295 1",
        "9 0 18446744073709551615",
    ];
    let forge = |gate: &str, note: &str| {
        database.sql(&format!(
            "INSERT INTO dtgate.name VALUES ('form', '{note} {gate}') ON CONFLICT DO NOTHING"
        ));
    };
    for (number, note) in forged.iter().enumerate() {
        let gate = format!("g{number}");
        forge(&gate, note);
        way.ship(&gate, directory.path(), 6, &hash);
        let output = way.audit(&["query", "--gate", &gate, "--token", "payments"]);
        assert!(output.status.success(), "{note}: {output:?}");
    }
    database.sql(MADE_OLDER);
    let gates = (0..forged.len()).map(|number| format!("g{number}"));
    for gate in gates.chain(["first".to_owned()]) {
        for note in [None].into_iter().chain(forged.map(Some)) {
            if let Some(note) = note {
                forge(&gate, note);
            }
            let output = way.audit(&["verify", "--gate", &gate]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(2), "{gate} {note:?}: {said}");
            for wanted in [
                "record 2 is not what it is found by: its line says something else than its token",
                "record 2 ended otherwise than its row says",
                "its line says something else than its no_op, words",
            ] {
                assert!(said.contains(wanted), "{gate} {note:?}: {said}");
            }
            assert!(!said.contains("build"), "{gate} {note:?}: {said}");
        }
        database.sql(NO_NOTES);
    }
}

/// However many and however long they are.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_many_and_long_notes_stop_neither_a_gate_nor_a_question() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&records(Some(FORM)));
    way.ship("first", directory.path(), 6, &hash);
    database.sql(
        "INSERT INTO dtgate.name SELECT 'form', format('%s %s %s a', n, n % 2, n) FROM generate_series(1, 200000) AS n;
         INSERT INTO dtgate.name SELECT 'form', n || repeat('9', 50000) FROM generate_series(1, 1000) AS n",
    );
    way.ship("a", directory.path(), 6, &hash);
    for gate in ["a", "first"] {
        let begun = std::time::Instant::now();
        let found = way.said(&[
            "query", "--gate", gate, "--token", "payments", "--format", "csv",
        ]);
        assert_eq!(found.lines().count(), 4, "{found}");
        assert!(begun.elapsed().as_secs() < 30);
        assert_eq!(
            way.audit(&["verify", "--gate", gate]).status.code(),
            Some(0)
        );
    }
}

/// An earlier build is no reason for what every build tells the same.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_every_build_tells_the_same_is_no_earlier_builds() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&records(Some(FORM)));
    way.ship("a", directory.path(), 6, &hash);
    let begin = format!("3:{}", "0".repeat(64));
    let said = || {
        let output = way.audit(&["verify", "--gate", "a", "--begin", &begin]);
        String::from_utf8(output.stdout).unwrap()
    };
    // Its first rows are gone, and somebody puts something there.
    database.sql("DELETE FROM dtgate.record WHERE seq <= 3");
    database.sql("UPDATE dtgate.record SET token = '{}' WHERE seq = 4");
    let wanted = "record 4 is not what it is found by: its line says something else than its token, or an earlier build has \
                  shipped it, which nothing says where the first records of a gate are gone";
    assert!(said().contains(wanted), "{}", said());
    database.sql(
        "INSERT INTO dtgate.record(gate, seq, at, kind, hash, line) VALUES ('a', 3, '2026-11-24', 'unreadable', sha256('x'), 'x')",
    );
    let of_it = said();
    let of_it = of_it.lines().find(|it| it.contains("record 3 is not"));
    assert!(
        of_it.is_some_and(|it| it.ends_with("else than its at")),
        "{}",
        said()
    );
}

/// The chain says which rows may lack something: those before the first start of a build with the form of this one.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_rows_behind_the_start_of_this_build_lack_nothing() {
    let database = database();
    let way = Way::to(&database);
    let mut unclear = outcome(11, 8);
    unclear["status"] = 503.into();
    let mut records = records(None);
    records.extend([start(Some(FORM)), decision(10, "payments", "ci"), unclear]);
    // Put back for a while.
    records.push(start(None));
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 10, &hash);
    database.sql(MADE_OLDER);
    let (code, said) = verified(&way);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 rows of records 2 to 4"), "{said}");
    database.sql("UPDATE dtgate.record SET outcome = 'answered' WHERE seq = 8");
    let (code, said) = verified(&way);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("record 8 ended otherwise"), "{said}");
    database.sql("UPDATE dtgate.record SET outcome = 'unclear' WHERE seq = 8");
    assert_eq!(verified(&way).0, Some(0));

    // Of what comes before the place from which on it is verified, a start counts for nothing: anybody may put one there.
    let head = database.sql("SELECT '3:' || encode(hash, 'hex') FROM dtgate.record WHERE seq = 3");
    database.sql("DELETE FROM dtgate.record WHERE seq = 2");
    let output = way.audit(&["verify", "--gate", "a", "--begin", &head]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let wanted = "record 4 is not what it is found by: its line says something else than its no_op, words, or an earlier build";
    assert!(said.contains(wanted), "{said}");
}
