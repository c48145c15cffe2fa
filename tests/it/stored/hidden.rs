//! Whoever owns the tables can make something else of them, which shows one thing to one role and another to the next:
//! then nothing is asked.

use super::{Way, decision, journal};
use crate::postgres::database;

/// What is made of the tables, how that is undone, and what is said of it.
const MADE: &[(&str, &str, &str)] = &[
    (
        "ALTER TABLE dtgate.record RENAME TO kept;
         CREATE VIEW dtgate.record AS SELECT * FROM dtgate.kept WHERE seq <> 2",
        "DROP VIEW dtgate.record; ALTER TABLE dtgate.kept RENAME TO record",
        "dtgate.record is not as dtgate made it: it is a view",
    ),
    (
        "ALTER TABLE dtgate.name RENAME TO kept; CREATE VIEW dtgate.name AS SELECT * FROM dtgate.kept",
        "DROP VIEW dtgate.name; ALTER TABLE dtgate.kept RENAME TO name",
        "dtgate.name is not as dtgate made it: it is a view",
    ),
    (
        "ALTER TABLE dtgate.record RENAME TO kept; CREATE TABLE dtgate.record AS SELECT * FROM dtgate.kept",
        "DROP TABLE dtgate.record; ALTER TABLE dtgate.kept RENAME TO record",
        "or else no such table",
    ),
    (
        "ALTER TABLE dtgate.record ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE dtgate.record DISABLE ROW LEVEL SECURITY",
        "row-level security",
    ),
    (
        "CREATE POLICY hides ON dtgate.name USING (value <> 'ci')",
        "DROP POLICY hides ON dtgate.name",
        "row-level security",
    ),
    (
        "CREATE RULE hides AS ON INSERT TO dtgate.gate DO INSTEAD NOTHING",
        "DROP RULE hides ON dtgate.gate",
        "it has a rule",
    ),
    (
        "CREATE TABLE dtgate.more() INHERITS (dtgate.name)",
        "DROP TABLE dtgate.more",
        "dtgate.more is not as dtgate made it: it is a part of another table",
    ),
    (
        "ALTER TABLE dtgate.record ALTER caller TYPE text COLLATE \"C\"",
        "ALTER TABLE dtgate.record ALTER caller TYPE text COLLATE \"default\"",
        "compares texts otherwise",
    ),
    (
        "CREATE FUNCTION dtgate.f(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE dtgate.record ADD CONSTRAINT c CHECK (dtgate.f(verdict));
         CREATE OR REPLACE FUNCTION dtgate.f(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 <> $$deny$$'",
        "ALTER TABLE dtgate.record DROP CONSTRAINT c; DROP FUNCTION dtgate.f",
        "calls a function",
    ),
    (
        "CREATE FUNCTION dtgate.f(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false';
         CREATE INDEX sneaky ON dtgate.record(at) WHERE dtgate.f(verdict);
         CREATE OR REPLACE FUNCTION dtgate.f(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $$deny$$'",
        "DROP INDEX dtgate.sneaky; DROP FUNCTION dtgate.f",
        "calls a function",
    ),
    // The server's own functions answer by settings, and by what anybody owns.
    (
        "CREATE INDEX sneaky ON dtgate.record(at) WHERE verdict = 'deny'
           AND (timestamp '2020-01-01' AT TIME ZONE 'IST') = timestamptz '2019-12-31 22:00+00'",
        "DROP INDEX dtgate.sneaky",
        "it has an index of some of its rows that dtgate has not made: dtgate.sneaky",
    ),
    (
        "CREATE TEXT SEARCH CONFIGURATION dtgate.c (COPY = simple);
         CREATE INDEX sneaky ON dtgate.name(kind, value) WHERE to_tsvector('dtgate.c'::regconfig, 'x') @@ 'x'",
        "DROP INDEX dtgate.sneaky; DROP TEXT SEARCH CONFIGURATION dtgate.c",
        "dtgate.name is not as dtgate made it: it has an index of some of its rows",
    ),
    (
        "CREATE INDEX sneaky ON dtgate.record_2026_11(gate, seq, at) WHERE gate <> 'b'",
        "DROP INDEX dtgate.sneaky",
        "dtgate.record_2026_11 is not as dtgate made it: it has an index of some of its rows",
    ),
    (
        "CREATE INDEX sneaky ON dtgate.gate(gate) WHERE head_seq > 0",
        "DROP INDEX dtgate.sneaky",
        "dtgate.gate is not as dtgate made it: it has an index of some of its rows",
    ),
    // What a part has beneath itself is left out by what that says.
    (
        "ALTER TABLE dtgate.record DETACH PARTITION dtgate.record_2026_11;
         ALTER TABLE dtgate.record_2026_11 RENAME TO old;
         CREATE TABLE dtgate.record_2026_11 (LIKE dtgate.record INCLUDING DEFAULTS) PARTITION BY RANGE (at);
         CREATE FUNCTION dtgate.g(timestamptz) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE dtgate.old ADD CONSTRAINT c CHECK (dtgate.g(at));
         CREATE OR REPLACE FUNCTION dtgate.g(timestamptz) RETURNS boolean IMMUTABLE LANGUAGE sql
           AS 'SELECT $1 >= $$2026-11-01 00:00:00+00$$ AND $1 < $$2026-11-02 00:00:00+00$$';
         ALTER TABLE dtgate.record_2026_11 ATTACH PARTITION dtgate.old
           FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-11-02 00:00:00+00');
         ALTER TABLE dtgate.old DROP CONSTRAINT c; DROP FUNCTION dtgate.g;
         ALTER TABLE dtgate.record ATTACH PARTITION dtgate.record_2026_11
           FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')",
        "ALTER TABLE dtgate.record_2026_11 DETACH PARTITION dtgate.old; DROP TABLE dtgate.record_2026_11;
         ALTER TABLE dtgate.old RENAME TO record_2026_11;
         ALTER TABLE dtgate.record ATTACH PARTITION dtgate.record_2026_11
           FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')",
        "dtgate.record_2026_11 is not as dtgate made it: it is a part that has parts itself",
    ),
    (
        "ALTER TABLE dtgate.record DROP CONSTRAINT record_pkey;
         ALTER TABLE dtgate.record DETACH PARTITION dtgate.record_2026_11;
         ALTER TABLE dtgate.record_2026_11 RENAME TO old;
         CREATE TABLE dtgate.record_2026_11 (LIKE dtgate.record INCLUDING DEFAULTS) PARTITION BY LIST (verdict);
         ALTER TABLE dtgate.record_2026_11 ATTACH PARTITION dtgate.old DEFAULT;
         ALTER TABLE dtgate.record ATTACH PARTITION dtgate.record_2026_11
           FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')",
        "ALTER TABLE dtgate.record_2026_11 DETACH PARTITION dtgate.old; DROP TABLE dtgate.record_2026_11;
         ALTER TABLE dtgate.old RENAME TO record_2026_11;
         ALTER TABLE dtgate.record ATTACH PARTITION dtgate.record_2026_11
           FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
         ALTER TABLE dtgate.record ADD PRIMARY KEY (gate, seq, at)",
        "is not as dtgate made it",
    ),
    (
        "ALTER TABLE dtgate.record RENAME TO kept;
         CREATE TABLE dtgate.record (LIKE dtgate.kept INCLUDING DEFAULTS) PARTITION BY LIST (kind)",
        "DROP TABLE dtgate.record; ALTER TABLE dtgate.kept RENAME TO record",
        "its parts are told by something else than the time",
    ),
    (
        "CREATE TABLE dtgate.rest PARTITION OF dtgate.record DEFAULT",
        "DROP TABLE dtgate.rest",
        "dtgate.rest is not as dtgate made it: it is a part for what no other part takes",
    ),
    (
        "CREATE TABLE dtgate.above (LIKE dtgate.record) PARTITION BY RANGE (at);
         ALTER TABLE dtgate.above ATTACH PARTITION dtgate.record FOR VALUES FROM (MINVALUE) TO ('infinity')",
        "ALTER TABLE dtgate.above DETACH PARTITION dtgate.record; DROP TABLE dtgate.above",
        "dtgate.record is not as dtgate made it: it is a part of another table",
    ),
    (
        "ALTER TABLE dtgate.record DROP CONSTRAINT record_pkey",
        "ALTER TABLE dtgate.record ADD PRIMARY KEY (gate, seq, at)",
        "its primary key is gone",
    ),
    // The server believes what a column says of itself.
    (
        "CREATE FUNCTION dtgate.g(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE dtgate.record ADD CONSTRAINT c CHECK (dtgate.g(outcome));
         CREATE OR REPLACE FUNCTION dtgate.g(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 IS NOT NULL';
         ALTER TABLE dtgate.record ALTER outcome SET NOT NULL;
         ALTER TABLE dtgate.record DROP CONSTRAINT c; DROP FUNCTION dtgate.g",
        "ALTER TABLE dtgate.record ALTER outcome DROP NOT NULL",
        "may be null where it must not or the other way round: outcome,",
    ),
    (
        "ALTER TABLE dtgate.record_2026_11 ALTER operation SET NOT NULL",
        "ALTER TABLE dtgate.record_2026_11 ALTER operation DROP NOT NULL",
        "dtgate.record_2026_11 is not as dtgate made it: a column is missing",
    ),
    (
        "ALTER TABLE dtgate.gate ALTER head_seq TYPE numeric",
        "ALTER TABLE dtgate.gate ALTER head_seq TYPE bigint",
        "or the other way round: head_seq,",
    ),
    (
        "ALTER TABLE dtgate.name ADD more text",
        "ALTER TABLE dtgate.name DROP more",
        "or the other way round: more,",
    ),
    (
        "ALTER TABLE dtgate.version ADD more integer GENERATED ALWAYS AS (1) STORED",
        "ALTER TABLE dtgate.version DROP more",
        "is generated",
    ),
];

fn shipped(way: &Way, gate: &str) {
    let records = [0, 1, 2].map(|second| decision(second, "payments", "ci"));
    let (directory, hash) = journal(&records);
    way.ship(gate, directory.path(), 3, &hash);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_nothing_is_asked_of_tables_that_could_hide_rows() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    for (made, undone, wanted) in MADE {
        assert!(way.audit(&["verify"]).status.success(), "before {made}");
        database.sql(made);
        for arguments in [&["query"][..], &["verify"], &["gates"]] {
            let output = way.audit(arguments);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{made}: {said}");
            assert!(said.contains(wanted), "{made}: {said}");
        }
        database.sql(undone);
    }
    assert!(way.audit(&["verify"]).status.success());
}

/// An index of all rows leaves none out, whatever it has of them.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_an_index_of_all_rows_is_no_matter() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    database.sql(
        "CREATE INDEX all_of_it ON dtgate.record(caller, (octet_length(line)), (timezone('IST', timestamp '2020-01-01')));
         CREATE INDEX ON dtgate.record(verdict, at) WHERE kind = 'decision';
         CREATE INDEX ON dtgate.name(value)",
    );
    // One of dtgate's own, for a month that a DBA has made.
    database.sql(
        "CREATE TABLE dtgate.record_2027_01 (LIKE dtgate.record INCLUDING DEFAULTS);
         ALTER TABLE dtgate.record ATTACH PARTITION dtgate.record_2027_01
           FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00')",
    );
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{said}");
    // Nor do abbreviations of time zones change what is asked.
    let name = &database.name;
    database.sql(&format!(
        "ALTER DATABASE {name} SET timezone_abbreviations = 'India'"
    ));
    let found = way.said(&["query", "--format", "csv"]);
    assert_eq!(found.lines().count(), 4, "{found}");
}

/// A month that says that it is another one: a question for its time does not look into it.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_month_that_says_that_it_is_another_is_found() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    let part = database
        .sql("SELECT tableoid::regclass FROM dtgate.record WHERE kind = 'decision' LIMIT 1");
    let part = part.trim();
    database.sql(&format!(
        "CREATE FUNCTION dtgate.g(timestamptz) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE dtgate.record DETACH PARTITION {part};
         ALTER TABLE {part} ADD CONSTRAINT c CHECK (dtgate.g(at));
         CREATE OR REPLACE FUNCTION dtgate.g(timestamptz) RETURNS boolean IMMUTABLE LANGUAGE sql
           AS 'SELECT $1 >= $$2020-11-01 00:00:00+00$$ AND $1 < $$2020-12-01 00:00:00+00$$';
         ALTER TABLE dtgate.record ATTACH PARTITION {part}
           FOR VALUES FROM ('2020-11-01 00:00:00+00') TO ('2020-12-01 00:00:00+00');
         ALTER TABLE {part} DROP CONSTRAINT c"
    ));
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8(verified.stderr).unwrap();
    assert!(!verified.status.success(), "{said}");
    assert!(said.contains("rows of another time"), "{said}");
}

/// What stands in another schema is not taken for the server's own, by a gate or by a command.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_functions_and_operators_are_the_servers_own() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    let name = &database.name;
    database.sql(&format!(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.never(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false';
         CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
         ALTER DATABASE {name} SET search_path = evil, pg_catalog"
    ));
    let found = way.said(&["query", "--format", "csv"]);
    assert_eq!(found.lines().count(), 4, "{found}");
    shipped(&way, "b");
    shipped(&way, "b");
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{said}");
}

/// An index that misses rows, as a damaged one does.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_an_index_that_misses_decisions_is_found() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    let name = &database.name;
    database.sql(&format!("ALTER DATABASE {name} SET enable_seqscan = off"));
    assert!(way.audit(&["verify"]).status.success());
    database.sql(
        "CREATE INDEX missing ON dtgate.record_2026_11(gate) WHERE kind = 'decision' AND seq > 1;
         UPDATE pg_index SET indpred = (
           SELECT indpred FROM pg_index WHERE indrelid = 'dtgate.record_2026_11'::regclass
             AND pg_get_expr(indpred, indrelid) = '(kind = ''decision''::text)' LIMIT 1
         ) WHERE indexrelid = 'dtgate.missing'::regclass",
    );
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(2), "{said}");
    assert!(
        said.contains("a question for its decisions finds 2, and 3 are there"),
        "{said}"
    );
    assert!(said.contains("REINDEX TABLE dtgate.record"), "{said}");
}

/// Where a decision is called another record, no index has to be made anew.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_decision_that_is_called_another_record_is_found_and_named() {
    let database = database();
    let way = Way::to(&database);
    shipped(&way, "a");
    database.sql("UPDATE dtgate.record SET kind = 'stop' WHERE seq = 2");
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(2), "{said}");
    assert!(
        said.contains("finds 2, and 3 are there") && said.contains("changed to another kind"),
        "{said}"
    );
    assert!(
        said.contains("record 2 is not what it is found by"),
        "{said}"
    );
}

/// Whatever form a role or a database gives to times, and whatever it lets an index leave out.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_settings_of_a_database_change_no_answer() {
    let database = database();
    let way = Way::to(&database);
    // On the first day of a month, which is another day elsewhere.
    let records: Vec<_> = (0..600)
        .map(|second| {
            let mut record = decision(second, "payments", "ci");
            let time = record["timestamp"]
                .as_str()
                .unwrap()
                .replace("-24T10", "-01T00");
            record["timestamp"] = time.into();
            record
        })
        .collect();
    let (directory, hash) = journal(&records);
    way.ship("a", directory.path(), 600, &hash);
    let name = &database.name;
    database.sql("VACUUM ANALYZE dtgate.record");
    for setting in [
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Asia/Shanghai'",
        "IntervalStyle = 'iso_8601'",
        "quote_all_identifiers = on",
        "gin_fuzzy_search_limit = 1",
        "timezone_abbreviations = 'India'",
        "standard_conforming_strings = off",
        "enable_seqscan = off",
        "enable_indexscan = off",
    ] {
        database.sql(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    let sums = way.said(&[
        "stats",
        "--by",
        "team",
        "--added",
        "logs.read",
        "--format",
        "json",
    ]);
    assert!(sums.contains("\"allowed\":600"), "{sums}");
    let verified = way.audit(&["verify"]);
    let said = String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{said}");
    // A gate, too.
    shipped(&way, "b");
    assert!(way.audit(&["verify"]).status.success());
}

/// A store of before is asked without its index, and with it, as docs/store.md adds it.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_changes_nothing_and_adds_something_is_found() {
    use std::os::unix::fs::PermissionsExt;

    let database = database();
    let way = Way::to(&database);
    let mut odd = decision(0, "payments", "ci");
    odd["input"]["change"]["differs"] = serde_json::json!([]);
    let (directory, hash) = journal(&[odd, decision(1, "payments", "ci")]);
    way.ship("a", directory.path(), 2, &hash);
    let finds = || {
        let asked = [
            "query",
            "--no-op",
            "only",
            "--added",
            "logs.read",
            "--format",
            "csv",
        ];
        let found = way.said(&asked);
        assert_eq!(found.lines().count(), 2, "{found}");
        let nothing = way.said(&["query", "--decision", "deny", "--outcome", "answered"]);
        assert_eq!(nothing, "No decision matches.\n");
    };
    finds();
    let there = "SELECT count(*) FROM pg_index WHERE indisvalid
        AND pg_get_expr(indpred, indrelid) LIKE '%no_op%' AND indrelid <> 'dtgate.record'::regclass";
    let before = database.sql(there);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page
        .split_once("```sql\n-- an index that is missing\n")
        .unwrap();
    let file = directory.path().join("index.sql");
    std::fs::write(&file, rest.split_once("```").unwrap().0).unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = || database.sql(&format!("\\i {}", file.display()));
    // Where it is there already, nothing is made a second time.
    run();
    assert_eq!(database.sql(there), before);
    database.sql("DROP INDEX dtgate.record_by_contradiction");
    assert_eq!(database.sql(there), "0");
    finds();
    // An attempt that was broken off leaves one that nobody uses.
    database.sql(
        "CREATE INDEX record_before_2000_by_contradiction ON dtgate.record_before_2000(at)
           WHERE no_op AND (added <> '{}' OR removed <> '{}');
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dtgate.record_before_2000_by_contradiction'::regclass",
    );
    run();
    assert_eq!(database.sql(there), before);
    run();
    assert_eq!(database.sql(there), before);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'dtgate.record_by_contradiction'::regclass";
    assert_eq!(database.sql(valid), "t");
    finds();
}
