//! Stores that are none, or hold what no gate has written: answers stay whole, and say so.

use serde_json::{Value, json};

use super::{Way, decision, journal, outcome};
use crate::harness::program;
use crate::postgres::database;

/// A store with these decisions of gate `a`; the hash of the last record.
fn shipped(way: &Way, decisions: u32) -> String {
    let records: Vec<Value> = (0..decisions)
        .map(|second| decision(second, "payments", "ci"))
        .collect();
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), u64::from(decisions), &hash);
    hash
}

fn lines(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

fn errors(way: &Way, arguments: &[&str]) -> String {
    String::from_utf8(way.audit(arguments).stderr).unwrap()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_is_no_record_passes_for_none() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 4);
    for (seq, line) in [
        (
            1,
            "{}\n{\"gate\":\"b\",\"decision\":{\"verdict\":\"allow\"}}",
        ),
        (2, "{},\"gate\":\"b\""),
        (3, "no record at all"),
    ] {
        database.sql(&format!(
            "UPDATE dtgate.record SET line = E'{}' WHERE seq = {seq}",
            line.replace('\n', "\\n")
        ));
        let shown = way.said(&["show", &seq.to_string(), "--format", "json"]);
        assert_eq!(lines(&shown)[0], line, "{shown}");
        let found = lines(&way.said(&["query", "--format", "json"]));
        assert_eq!(found.len(), 4);
        let place = 4 - usize::try_from(seq).unwrap();
        assert_eq!(found[place]["gate"], "a");
        assert_eq!(found[place]["decision"], line);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_pages_go_on_behind_rows_that_are_in_no_calendar() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 6);
    database.sql(
        "UPDATE dtgate.record SET at = 'infinity' WHERE seq IN (1, 2);
         UPDATE dtgate.record SET at = '200000-01-01' WHERE seq = 3;
         UPDATE dtgate.record SET at = '-infinity' WHERE seq IN (4, 5)",
    );
    let (mut before, mut found) = (None::<String>, Vec::new());
    for _page in 0..7 {
        let mut arguments = vec!["query", "--format", "json", "--limit", "1"];
        if let Some(before) = &before {
            arguments.extend(["--before", before]);
        }
        let output = way.audit(&arguments);
        assert!(output.status.success(), "{output:?}");
        for line in lines(&String::from_utf8(output.stdout).unwrap()) {
            found.push(line["decision"]["seq"].as_u64().unwrap());
        }
        let note = String::from_utf8(output.stderr).unwrap();
        let Some((_, rest)) = note.split_once("--before ") else {
            break;
        };
        before = Some(rest.split_once(" shows them").unwrap().0.to_owned());
    }
    assert_eq!(found, [2, 1, 3, 6, 5, 4]);
    // Of a time, none of them is.
    let since = way.said(&["query", "--since", "2026-01-01", "--format", "csv"]);
    assert_eq!(since.lines().count(), 3, "{since}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_large_lines_are_read_some_at_a_time() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 22);
    // More than the answer to one question has room for.
    database.sql("UPDATE dtgate.record SET line = line || repeat(' ', 25000000)");
    let found = way.said(&["query", "--format", "csv"]);
    assert_eq!(found.lines().count(), 23);
    // The first line has another hash than its row: all the others are still compared.
    let verified = way.audit(&["verify"]);
    let told = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(2), "{told}");
    assert!(told.contains("record 1 was changed"), "{told}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_numbers_below_zero_are_nothing() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 2);
    database.sql("UPDATE dtgate.gate SET shipped_seq = -5");
    let gates = lines(&way.said(&["gates", "--format", "json"]));
    assert_eq!(gates[0]["shipped_seq"], 0);
    // What a gate has said of itself is behind what is there: nothing is missing.
    assert_eq!(errors(&way, &["query"]), "");
    database.sql("UPDATE dtgate.gate SET head_seq = -9223372036854775808");
    assert_eq!(errors(&way, &["query"]), "");
    for number in ["0", "-5", "-9223372036854775808"] {
        let row = format!("jsonb_populate_record(r, '{{\"seq\": {number}}}')");
        let odd = format!(
            "INSERT INTO dtgate.record SELECT ({row}).* FROM dtgate.record r WHERE seq = 2"
        );
        database.sql(&odd);
        let said = String::from_utf8(way.audit(&["verify"]).stdout).unwrap();
        assert!(
            said.contains("a row has a number that no record has"),
            "{number}: {said}"
        );
        database.sql("DELETE FROM dtgate.record WHERE seq < 1");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_whoever_asks_makes_no_tables() {
    let database = database();
    let way = Way::to(&database);
    for arguments in [
        &["query"][..],
        &["gates"],
        &["verify"],
        &["stats", "--by", "team"],
        &["history", "x"],
        &["show", "1"],
    ] {
        let output = way.audit(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("there is no dtgate store here"), "{said}");
    }
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'dtgate'";
    assert_eq!(database.sql(schemas), "0");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_is_left_begins_at_a_head_that_was_noted() {
    let database = database();
    let way = Way::to(&database);
    let records = [
        decision(0, "payments", "ci"),
        outcome(1, 1),
        decision(2, "payments", "ci"),
        decision(3, "payments", "ci"),
        decision(4, "payments", "ci"),
    ];
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 5, &hash);
    let head = |seq: u32| {
        database.sql(&format!(
            "SELECT seq || ':' || encode(hash, 'hex') FROM dtgate.record WHERE seq = {seq}"
        ))
    };
    let [second, third, fourth] = [2, 3, 4].map(head);
    let verify = |begin: &str| {
        let output = way.audit(&["verify", "--gate", "a", "--begin", begin]);
        let said = String::from_utf8(output.stdout).unwrap();
        let is_told = said.contains("checkpoints not looked at, because the beginning is not here");
        assert_eq!(is_told, said.contains("The chain holds."), "{said}");
        output.status.code()
    };
    // A record that is nowhere vouches for nothing.
    assert_eq!(verify(&format!("999:{}", "0".repeat(64))), Some(2));
    database.sql("DELETE FROM dtgate.record WHERE seq <= 3");
    assert_eq!(way.audit(&["verify"]).status.code(), Some(2));
    assert_eq!(verify(&third), Some(0));
    // One that was noted later vouches for what comes before it, too.
    assert_eq!(verify(&fourth), Some(0));
    assert_eq!(verify(&second), Some(2));
    assert_eq!(verify(&format!("3:{}", "0".repeat(64))), Some(2));
    database.sql("DELETE FROM dtgate.record WHERE seq = 4");
    assert_eq!(verify(&third), Some(2));
}

/// Months go by time, and the chain by number: of two requests at midnight the later one may have the lower number.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_is_left_may_begin_before_the_head_that_was_noted() {
    let database = database();
    let way = Way::to(&database);
    let records: Vec<Value> = [0, 1, 10, 2, 11, 12, 13]
        .map(|second| decision(second, "payments", "ci"))
        .into();
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 7, &hash);
    let begin = database.sql(
        "SELECT seq || ':' || encode(hash, 'hex') FROM dtgate.record WHERE at < '2026-11-24T10:00:10Z'
         ORDER BY seq DESC LIMIT 1",
    );
    assert!(begin.starts_with("4:"));
    let verify = || {
        let output = way.audit(&["verify", "--gate", "a", "--begin", &begin]);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(verify().0, Some(0));
    database.sql("DELETE FROM dtgate.record WHERE at < '2026-11-24T10:00:10Z'");
    // Record 3 is there, 4 is not.
    let (code, said) = verify();
    assert_eq!(code, Some(0), "{said}");
    // What is left of the records before is compared with its line.
    database.sql("UPDATE dtgate.record SET caller = 'somebody' WHERE seq = 3");
    let (code, said) = verify();
    assert!(code == Some(2) && said.contains("record 3"), "{said}");
    database.sql("DELETE FROM dtgate.record WHERE seq IN (3, 6)");
    assert_eq!(verify().0, Some(2));
    // Nothing is left behind it, and the gate says that there was more.
    database.sql("DELETE FROM dtgate.record");
    assert_eq!(verify().0, Some(2));
}

/// A server that does not answer is not waited for without end.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_question_that_is_not_answered_ends() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 1);
    let config = way.directory.path().join("dtgate.toml");
    let section = database.section(way.directory.path());
    // The command waits for thirty times that.
    std::fs::write(&config, format!("{section}timeout = \"200ms\"\n")).unwrap();
    let locks = "BEGIN; LOCK TABLE dtgate.record; SELECT pg_sleep(100); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| database.asked(locks));
        crate::harness::eventually("the table is locked", || {
            let held =
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                          AND relation = 'dtgate.record'::regclass";
            (database.asked(held).as_deref() == Ok("1")).then_some(())
        });
        // A busy machine may not have opened a session by then.
        crate::harness::eventually("the server ends the question", || {
            let output = program()
                .args(["audit", "show", "1", "--store", "config", "--config"])
                .arg(&config)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            said.contains("statement timeout").then_some(())
        });
        database.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE query LIKE 'BEGIN; LOCK%' AND datname = current_database()",
        );
    });
}

#[test]
fn a_store_that_is_named_wrongly_is_not_repeated() {
    for (url, wanted) in [
        (
            "postgres://dtgate:geheim@db/dtgate",
            "the password belongs in",
        ),
        (
            "postgres://dtgate@db/dtgate?password=geheim",
            "the password belongs in",
        ),
        ("geheim", "write postgres://"),
        ("postgres://dtgate@db/dtgate?sslrootcert=geheim", "store.ca"),
        (
            "postgres://dtgate@db/dtgate?sslcert=geheim",
            "store.client_certificate",
        ),
    ] {
        let output = program()
            .args(["audit", "query", "--store", url])
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            said.contains("--store: ") && said.contains(wanted),
            "{said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
}

/// Each gate has keys of its own; without them nothing is found by a value, and whoever asks by one is told.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_keys_of_pseudonyms_that_are_missing_are_told() {
    let database = database();
    let way = Way::to(&database);
    let start = |key: &str| {
        serde_json::json!({"kind": "start", "timestamp": "2026-11-24T09:00:00.000Z",
            "pseudonyms": {"fields": ["caller.token.id"], "key": key, "fingerprint": "ab"}})
    };
    let mut decided = decision(1, "payments", "ci");
    decided["pseudonyms"] = serde_json::json!(["/caller/id"]);
    for (gate, key) in [("a", "v2"), ("b", "v1")] {
        let (directory, hash) = journal(&[start(key), decided.clone()]);
        way.ship(gate, directory.path(), 2, &hash);
    }
    let told = "keys of pseudonyms are missing (v1 of a; v2 of a; v1 of b), and --journal DIR names where they are";
    for asked in [
        ["query", "--caller", "dt0c01.x"],
        ["stats", "--caller", "dt0c01.x"],
        ["history", "dt0c01.x", "--all"],
    ] {
        let said = errors(&way, &asked);
        assert_eq!(said.matches(told).count(), 1, "{asked:?}: {said}");
    }
    let one = errors(&way, &["show", "2", "--gate", "b"]);
    assert!(one.contains("(v1 of b)"), "{one}");
    assert_eq!(errors(&way, &["show", "1", "--gate", "b"]), "");
    assert!(!errors(&way, &["query", "--decision", "allow"]).contains("pseudonyms"));
    let stats: Value = serde_json::from_str(&way.said(&["stats", "--format", "json"])).unwrap();
    assert_eq!(
        stats["missing_keys"][2],
        serde_json::json!({"gate": "b", "version": 1, "replaced": false})
    );
    // A key that is there is another gate's.
    let keys = tempfile::tempdir().unwrap();
    let key: Vec<u8> = (0..32_u8).map(|at| at.wrapping_mul(151) ^ 0x5a).collect();
    std::fs::write(keys.path().join("pseudonym-v1.key"), key).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(keys.path().join("pseudonym-v1.key"), own).unwrap();
    let place = keys.path().to_str().unwrap();
    let said = errors(
        &way,
        &["query", "--caller", "x", "--gate", "b", "--journal", place],
    );
    assert!(said.contains("(v1 of b, another one)"), "{said}");
}

fn of_key(kind: &str, version: usize, fingerprint: &str) -> Value {
    let key = json!({"fields": ["caller.token.id"], "key": format!("v{version}"), "fingerprint": fingerprint});
    let told = match kind {
        "pruned" => json!([key]),
        _ => key,
    };
    json!({"kind": kind, "timestamp": "2026-11-24T09:00:00.000Z", "pseudonyms": told})
}

/// However often a gate was started since, and whatever of its journal is deleted.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_key_that_was_used_long_ago_is_missed() {
    let database = database();
    let way = Way::to(&database);
    let mut long_ago = vec![of_key("start", 2, "a")];
    long_ago.extend((0..300).map(|_| of_key("start", 1, "b")));
    long_ago.extend((0..300).map(|_| of_key("reload", 1, "b")));
    // A text of somebody's that looks like a key is none.
    let mut texts = of_key("start", 1, "a");
    texts["pseudonyms"]["fields"] = json!(["caller.jwt.claims.}\",\"key\":\"v7\",\"x\":{"]);
    texts["policies"] = json!(["\"pseudonyms\":{\"key\":\"v8\"}"]);
    for (gate, records) in [
        ("a", long_ago),
        ("b", vec![of_key("pruned", 1, "a")]),
        ("c", vec![texts]),
        (
            "d",
            vec![json!({"kind": "start", "timestamp": "2026-11-24T09:00:00.000Z"})],
        ),
    ] {
        let (directory, hash) = journal(&records);
        way.ship(gate, directory.path(), records.len() as u64, &hash);
    }
    let said = errors(&way, &["query", "--caller", "dt0c01.x"]);
    let told = "keys of pseudonyms are missing (v1 of a; v2 of a; v1 of b; v1 of c), and";
    assert!(said.contains(told), "{said}");
    let said = errors(&way, &["query", "--caller", "dt0c01.x", "--gate", "b"]);
    assert!(said.contains("missing (v1 of b), and"), "{said}");
    let said = errors(&way, &["query", "--caller", "dt0c01.x", "--gate", "d"]);
    assert!(!said.contains("pseudonym"), "{said}");
}

/// Lines that no gate wrote make no question fail, and keys that are made up leave nothing certain.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_keys_that_are_made_up_are_not_counted_on() {
    let database = database();
    let way = Way::to(&database);
    let many: Vec<Value> = (0..1100)
        .map(|at| of_key("start", 1, &format!("{at}")))
        .collect();
    let fits: Vec<Value> = (0..999)
        .map(|at| of_key("start", 1, &format!("{at}")))
        .collect();
    let one = [of_key("start", 1, "a"), of_key("stop", 3, "a")];
    for (gate, records) in [("a", &many[..]), ("b", &fits), ("c", &one)] {
        let (directory, hash) = journal(records);
        way.ship(gate, directory.path(), records.len() as u64, &hash);
    }
    let lacks = |gate: &str| {
        let asked = ["stats", "--format", "json", "--gate", gate];
        let stats: Value = serde_json::from_str(&way.said(&asked)).unwrap();
        stats["missing_keys"].clone()
    };
    let missing = |gate: &str| json!({"gate": gate, "version": 1, "replaced": false});
    assert_eq!(
        lacks("a"),
        json!([missing("a"), {"gate": "a", "more": true}])
    );
    assert_eq!(lacks("b"), json!([missing("b")]));
    let said = errors(&way, &["query", "--caller", "dt0c01.x"]);
    assert!(
        said.contains("(v1 of a; perhaps others of a; v1 of b; v1 of c)"),
        "{said}"
    );
    for line in [
        "",
        "{",
        "\"pseudonyms\":\"key\":\"v",
        "{\"pseudonyms\":{\"key\":\"v1\",\"fingerprint\":\"a\\u0000\"}}",
        "{\"pseudonyms\":{\"key\":\"v1\",\"fingerprint\":\"a",
        "{\"pseudonyms\":[[[[{\"key\":\"v1\"},{\"key\":\"v99999999999\"},{\"key\":\"v-1\"}]}",
    ] {
        let line = line.replace('\'', "''");
        database.sql(&format!(
            "UPDATE dtgate.record SET line = '{line}' WHERE gate = 'c' AND seq = 1"
        ));
        let lacks = lacks("c");
        let wanted = if line.contains("v1") {
            json!([missing("c")])
        } else {
            Value::Null
        };
        assert_eq!(lacks, wanted, "{line}");
    }
    database.sql("UPDATE dtgate.record SET line = '{\"pseudonyms\":{\"key\":\"v9999999999\"}}' WHERE gate = 'c' AND seq = 1");
    let lacks = lacks("c");
    assert_eq!(
        lacks.as_array().unwrap().last(),
        Some(&json!({"gate": "c", "more": true}))
    );
}

/// The server need not look at decisions for it.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_keys_are_looked_for_by_an_index() {
    let database = database();
    let way = Way::to(&database);
    let records: Vec<Value> = (0..3000)
        .map(|second| decision(second, "payments", "ci"))
        .collect();
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 3000, &hash);
    let (directory, hash) = journal(&[of_key("start", 1, "a")]);
    way.ship("b", directory.path(), 1, &hash);
    database.sql("ANALYZE dtgate.record");
    let source = include_str!("../../../src/store/keys.rs");
    let (_, sql) = source.split_once("r#\"").unwrap();
    let sql = sql.split_once("\"#").unwrap().0;
    let sql = sql.replace("$1", "NULL").replace("$2", "1000");
    let plan = database.sql(&format!("EXPLAIN {sql}"));
    assert!(plan.contains("_kind_at_idx"), "{plan}");
}

/// One gate's rows are no reason not to prove what others have sent.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_row_that_is_too_large_ends_the_proof_of_its_own_gate() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, 3);
    let records: Vec<Value> = (0..3)
        .map(|second| decision(second, "payments", "ci"))
        .collect();
    let (directory, hash) = journal(&records);
    way.ship("b", directory.path(), 3, &hash);
    // An index has no room for so much.
    database.sql(
        "UPDATE dtgate.gate SET shipped_seq = 3;
         DROP INDEX dtgate.record_by_id, dtgate.record_by_texts, dtgate.record_by_kind",
    );
    let large = "repeat('x', 540 << 20)";
    for changed in [
        format!("UPDATE dtgate.record SET line = {large} WHERE gate = 'a' AND seq = 2"),
        format!("UPDATE dtgate.record SET line = {large} WHERE gate = 'a' AND seq = 1"),
        format!("UPDATE dtgate.record SET decision_id = {large} WHERE gate = 'a' AND seq = 2"),
        format!("UPDATE dtgate.record SET team = ARRAY[{large}] WHERE gate = 'a' AND seq = 2"),
        format!(
            "UPDATE dtgate.record SET hash = convert_to({large}, 'UTF8') WHERE gate = 'a' AND seq = 2"
        ),
        format!("UPDATE dtgate.record SET found = {large} WHERE gate = 'a' AND seq = 2"),
        format!("UPDATE dtgate.record SET kind = {large} WHERE gate = 'a' AND seq = 2"),
        format!("UPDATE dtgate.gate SET version = {large} WHERE gate = 'a'"),
    ] {
        let kept = "CREATE TABLE kept AS SELECT * FROM dtgate.record; CREATE TABLE gates AS SELECT * FROM dtgate.gate";
        database.sql(kept);
        database.sql(&changed);
        let output = way.audit(&["verify"]);
        let said = String::from_utf8(output.stdout).unwrap();
        let is_of_gate = changed.contains("dtgate.gate");
        assert_eq!(
            output.status.code(),
            Some(if is_of_gate { 0 } else { 2 }),
            "{changed}: {said}"
        );
        assert!(
            said.contains("gate b\nThe chain holds."),
            "{changed}: {said}"
        );
        assert!(
            is_of_gate || said.contains("is larger than any that a gate writes"),
            "{said}"
        );
        database.sql(
            "DELETE FROM dtgate.record; INSERT INTO dtgate.record SELECT * FROM kept; DROP TABLE kept;
             DELETE FROM dtgate.gate; INSERT INTO dtgate.gate SELECT * FROM gates; DROP TABLE gates",
        );
    }
}
