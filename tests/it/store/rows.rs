//! What becomes of single records, by the part that writes them.

use std::sync::Arc;

use dtgate::audit::outgoing::{Arrived, Bookmark, Most, Outgoing};
use dtgate::store::{Config, Sink, Standing, StoreError};
use dtgate::value::Sha256Hex;
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::postgres::{Database, PASSWORD, Postgres, database};

/// Records on their way, with the numbers that they have, or else those that come next.
pub(super) fn outgoing(records: &[Value]) -> Vec<Outgoing> {
    let directory = tempfile::tempdir().unwrap();
    let (mut lines, mut prev) = (String::new(), Sha256Hex::ZERO);
    for (number, record) in records.iter().enumerate() {
        let mut line = json!({"seq": number + 1, "prev": prev.as_str()});
        for (name, value) in record.as_object().unwrap() {
            line[name] = value.clone();
        }
        let line = line.to_string().replace("NO TEXT", "\\ud800");
        prev = Sha256Hex::of(line.as_bytes());
        lines.push_str(&line);
        lines.push('\n');
    }
    // A segment is named by the record that it begins with.
    let first = records.first().and_then(|record| record["seq"].as_u64());
    let name = format!("{:020}.jsonl", first.unwrap_or(1));
    std::fs::write(directory.path().join(name), lines).unwrap();
    let mut bookmark = Bookmark::open(directory.path(), "x", 0).unwrap();
    let most = Most {
        records: usize::MAX,
        bytes: usize::MAX,
    };
    bookmark.next(u64::from(u32::MAX), most).unwrap().records
}

pub(super) fn config(database: &Database<'_>) -> Config {
    let directory = tempfile::tempdir().unwrap().keep();
    let section = database.section(&directory);
    toml::from_str(section.split_once('\n').unwrap().1).unwrap()
}

pub(super) fn sink(config: &Config, gate: &str) -> Sink {
    let about = || Standing {
        version: "1.2.3",
        revision: "r".into(),
        listen: "127.0.0.1:1".to_owned(),
        head: (7, "h".to_owned()),
        started: jiff::Timestamp::UNIX_EPOCH,
        key: "k".to_owned(),
    };
    Sink::new(config, gate, Arc::new(about)).unwrap()
}

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(work)
}

fn send(sink: &mut Sink, records: &[Outgoing]) -> Result<(), StoreError> {
    run(sink.send(records))
}

/// Decisions, and what is said of them later: outcomes, more than one of some, and settlements in any order.
fn story() -> Vec<Outgoing> {
    let mut records = Vec::new();
    for number in 0..40_u64 {
        let time = format!("2026-11-{:02}T09:30:00.123Z", 1 + number % 28);
        let earlier = number / 3 + 1;
        records.push(match number % 6 {
            0 | 1 => json!({
                "kind": "decision", "timestamp": time, "verdict": "allow", "operation": "token.create",
                "decision_id": format!("id-{number}"), "caller": {"id": "c", "teams": ["a", "b"]},
                "input": {"token": {"id": "t"}},
            }),
            2 => json!({"kind": "outcome", "timestamp": time, "decision_seq": number - 1, "outcome": "unknown"}),
            3 => json!({"kind": "outcome", "timestamp": time, "decision_seq": number - 2,
                        "outcome": "answered", "status": 201, "credential": {"id": format!("made-{number}")}}),
            _ if number % 7 == 6 => json!({"kind": "challenger", "timestamp": time, "decision_seq": earlier,
                                           "differs": "would_deny"}),
            4 => json!({"kind": "settled", "timestamp": time, "decision_seq": earlier, "found": "done"}),
            _ => json!({"kind": "settled", "timestamp": time, "decision_seq": earlier, "found": "unknown"}),
        });
    }
    outgoing(&records)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_rows_are_the_same_however_records_come() {
    let database = database();
    let config = config(&database);
    let records = story();
    let rows = |gate: &str| {
        database.sql(&format!(
            "SELECT seq, at, kind, encode(hash, 'hex'), line, decision_id, verdict, operation, team,
               (SELECT array_agg(t ORDER BY t) FROM unnest(token) t), words, outcome, outcome_seq, settled_seq, found,
               decision_seq
             FROM dtgate.record WHERE gate = '{gate}' ORDER BY seq"
        ))
    };
    send(&mut sink(&config, "whole"), &records).unwrap();
    let wanted = rows("whole");
    assert_eq!(wanted.lines().count(), records.len());
    assert!(wanted.contains("|answered|"), "{wanted}");
    for size in [1, 2, 3, 5, 7, 11] {
        let gate = format!("by-{size}");
        let mut sink = sink(&config, &gate);
        run(async {
            for (number, part) in records.chunks(size).enumerate() {
                sink.send(part).await.unwrap();
                // What went before, again, with other boundaries.
                let end = ((number + 1) * size).min(records.len());
                for back in [1, size + 1, 2 * size + 1, end] {
                    let again = &records[end.saturating_sub(back)..end];
                    sink.send(again).await.unwrap();
                }
                // Again, and cut off before what was said later.
                sink.send(&records[..end / 2]).await.unwrap();
            }
        });
        assert_eq!(rows(&gate), wanted, "{size} at a time");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_any_record_is_kept_whatever_it_claims() {
    let database = database();
    let config = config(&database);
    let decision = |time: Value, more: Value| {
        let mut record = json!({"kind": "decision", "verdict": "deny", "timestamp": time});
        for (name, value) in more.as_object().unwrap() {
            record[name] = value.clone();
        }
        record
    };
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..5000).map(|number| format!("scope.{number}")).collect();
    let records = outgoing(&[
        decision(json!("1999-12-31T23:59:59.999Z"), json!({})),
        decision(json!("2000-01-01T00:00:00Z"), json!({})),
        decision(json!("2024-02-29T12:00:00Z"), json!({})),
        decision(json!("2099-12-31T23:59:59.999Z"), json!({})),
        decision(json!("2100-01-01T00:00:00Z"), json!({})),
        decision(json!("-009999-01-02T00:00:00Z"), json!({})),
        decision(json!("9999-12-30T00:00:00Z"), json!({})),
        decision(json!("never"), json!({})),
        decision(
            json!([]),
            json!({"caller": {"id": "a\u{0}b"}, "error": "n\u{0}ul", "operation": "\u{0}"}),
        ),
        decision(
            json!("2024-03-01T00:00:00Z"),
            json!({
                "decision_id": long, "caller": {"id": long, "teams": [long, "\u{0}"]}, "error": long,
                "input": {"token": {"id": long}, "change": {"scopes": {"requested": many}}},
            }),
        ),
        json!({"kind": "stop", "operation": "NO TEXT", "timestamp": "2024-03-01T00:00:00Z"}),
        json!({"kind": "stop", "timestamp": []}),
        json!({"kind": "\u{0}", "timestamp": "2024-03-01T00:00:00Z"}),
    ]);
    assert_eq!(records.len(), 13);
    let mut sink = sink(&config, "odd");
    for _ in 0..2 {
        send(&mut sink, &records).unwrap();
    }
    let rows = database.sql(
        "SELECT r.seq, c.relname, r.at FROM dtgate.record r JOIN pg_class c ON c.oid = r.tableoid ORDER BY r.seq",
    );
    let wanted = "1|record_before_2000|1999-12-31 23:59:59.999+00
2|record_2000_01|2000-01-01 00:00:00+00
3|record_2024_02|2024-02-29 12:00:00+00
4|record_2099_12|2099-12-31 23:59:59.999+00
5|record_from_2100|2100-01-01 00:00:00+00
6|record_before_2000|-infinity
7|record_from_2100|9999-12-30 00:00:00+00
8|record_before_2000|-infinity
9|record_before_2000|-infinity
10|record_2024_03|2024-03-01 00:00:00+00
11|record_before_2000|-infinity
12|record_before_2000|-infinity
13|record_2024_03|2024-03-01 00:00:00+00";
    assert_eq!(rows, wanted);
    let caller = database
        .sql("SELECT caller, operation, kind FROM dtgate.record WHERE seq IN (9, 11) ORDER BY seq");
    assert_eq!(caller, "a\u{fffd}b|\u{fffd}|decision\n||unreadable");
    let wrong = "SELECT count(*) FROM dtgate.record WHERE hash <> sha256(convert_to(line, 'UTF8'))";
    assert_eq!(database.sql(wrong), "0");
    let scopes = "SELECT seq FROM dtgate.record WHERE scope @> '{scope.4999}'";
    assert_eq!(database.sql(scopes), "10");
    let words = "SELECT seq FROM dtgate.record WHERE words @@ '(n & ul) | xxx:*' ORDER BY seq";
    assert_eq!(database.sql(words), "9\n10");
    assert_eq!(
        database.sql("SELECT value FROM dtgate.name WHERE kind = 'caller' AND length(value) < 9"),
        "a\u{fffd}b"
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_another_journal_under_the_same_name_is_refused() {
    let database = database();
    let config = config(&database);
    let records = |from: u64, time: &str, text: &str| -> Vec<Outgoing> {
        let all: Vec<Value> = (from..from + 5)
            .map(|seq| json!({"seq": seq, "kind": "decision", "timestamp": time, "error": text}))
            .collect();
        outgoing(&all)
    };
    let mut first = sink(&config, "gate");
    send(&mut first, &records(1, "2026-11-24T09:30:00Z", "a")).unwrap();
    let rows = "SELECT r.*, g.seen FROM dtgate.record r, dtgate.gate g ORDER BY r.seq";
    let before = database.sql(rows);
    // Of the same time, of another, and where only the last one is another journal's.
    for (from, time) in [
        (1, "2026-11-24T09:30:00Z"),
        (1, "2026-12-24T09:30:00Z"),
        (5, "2026-11-25T09:30:00Z"),
    ] {
        let mut other = sink(&config, "gate");
        let refused = send(&mut other, &records(from, time, "b")).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains(&format!("another record {from} of gate \"gate\"")),
            "{said}"
        );
        assert!(
            said.contains("dtgate audit key --rotate --origin"),
            "{said}"
        );
        // It does not speak in the name of the other gate either.
        run(other.rest(true)).unwrap();
        assert_eq!(database.sql(rows), before);
    }
    // By another name it is welcome.
    send(
        &mut sink(&config, "other"),
        &records(1, "2026-11-24T09:30:00Z", "b"),
    )
    .unwrap();
    assert_eq!(database.count(), 10);
    run(first.rest(true)).unwrap();
    let gates = "SELECT gate, shipped_seq FROM dtgate.gate ORDER BY gate";
    assert_eq!(database.sql(gates), "gate|5\nother|5");
}

/// Of a journal whose beginning was deleted nobody can tell old records: only what has arrived from it can be its own.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_pruned_journal_takes_only_what_has_arrived_for_its_own() {
    let database = database();
    let config = config(&database);
    let records = |from: u64| -> Vec<Outgoing> {
        let time = "2026-11-24T09:30:00Z";
        let all: Vec<Value> = (from..from + 3)
            .map(|seq| json!({"seq": seq, "kind": "decision", "timestamp": time}))
            .collect();
        outgoing(&all)
    };
    send(&mut sink(&config, "gate"), &records(3)).unwrap();
    let pruned = records(20);
    let journal = tempfile::tempdir().unwrap();
    let lines = pruned.iter().map(|it| [&*it.line, b"\n"].concat());
    let text: Vec<u8> = lines.flatten().collect();
    std::fs::write(journal.path().join("00000000000000000020.jsonl"), text).unwrap();
    // The store has 5 of another journal, or of this one, which has sent so much.
    for (seq, behind, wanted) in [
        (0, 0, "another record 5 of gate"),
        (4, 0, "another record 5 of gate"),
        (19, 5, "another record 5 of gate"),
        (19, 0, "lost what was sent behind record 5"),
    ] {
        let mut other = sink(&config, "gate");
        let arrived = Arrived {
            seq,
            hash: None,
            behind,
        };
        other.goes_on(journal.path(), arrived);
        let said = send(&mut other, &pruned).unwrap_err().to_string();
        assert!(said.contains(wanted), "{seq} {behind}: {said}");
        assert_eq!(database.count(), 3);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_months_are_made_by_many_at_once_and_again_when_they_were_dropped() {
    let database = database();
    let config = config(&database);
    let months: Vec<Value> = (0..36)
        .map(|month| {
            let time = format!("20{:02}-{:02}-15T00:00:00Z", 10 + month / 12, 1 + month % 12);
            json!({"kind": "decision", "timestamp": time, "caller": {"id": format!("c{month}"), "teams": ["t", "u"]}})
        })
        .collect();
    let records = outgoing(&months);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (config, records) = (&config, &records);
            scope.spawn(move || {
                let mut sink = sink(config, &format!("gate-{number}"));
                for part in records.chunks(1 + number) {
                    send(&mut sink, part).unwrap();
                }
            });
        }
    });
    assert_eq!(database.count(), 6 * 36);
    let tables = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'dtgate.record'::regclass";
    assert_eq!(database.sql(tables), "38");
    // An operator drops a month that a gate knows to be there.
    let mut known = sink(&config, "known");
    run(async {
        known.send(&records[..1]).await.unwrap();
        database.sql("DROP TABLE dtgate.record_2010_01");
        let said = known.send(&records[..1]).await.unwrap_err().to_string();
        assert!(said.contains("a table of a month is gone"), "{said}");
        // The record that had arrived went with it.
        let lost = known.send(&records[..1]).await;
        assert!(matches!(lost, Err(StoreError::Lost(0))), "{lost:?}");
        known.send(&records[..1]).await.unwrap();
    });
    let rows = "SELECT count(*) FROM dtgate.record_2010_01";
    assert_eq!(database.sql(rows), "1");
    // One that was put aside is not written over.
    database.sql("ALTER TABLE dtgate.record DETACH PARTITION dtgate.record_2010_02");
    let said = send(&mut sink(&config, "late"), &records[..2]).unwrap_err();
    assert!(
        said.to_string().contains("dtgate.record_2010_02 is there"),
        "{said}"
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_server_that_is_slow_gets_fewer_at_once() {
    let database = database();
    let slow = Config {
        timeout: dtgate::value::Duration::from_secs(1),
        ..config(&database)
    };
    let records: Vec<Value> = (0..64)
        .map(|_| json!({"kind": "stop", "timestamp": "2026-11-24T09:30:00Z"}))
        .collect();
    let records = outgoing(&records);
    send(&mut sink(&slow, "first"), &records[..1]).unwrap();
    // Each row takes so long that all together take too long.
    database.sql(
        "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_sleep(0.05); RETURN new; END';
         CREATE TRIGGER slow BEFORE INSERT ON dtgate.record FOR EACH ROW EXECUTE FUNCTION public.slow()",
    );
    let mut sink = sink(&slow, "gate");
    let mut attempts = 0;
    while let Err(error) = send(&mut sink, &records) {
        assert!(error.to_string().contains("57014"), "{error}");
        attempts += 1;
        assert!(attempts < 20);
    }
    assert!(attempts > 0);
    assert_eq!(
        database.sql("SELECT count(*) FROM dtgate.record WHERE gate = 'gate'"),
        "64"
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_commit_is_on_disk_whatever_the_server_does_by_itself() {
    let server = Postgres::with("synchronous_commit = off");
    let database = server.database();
    let config = config(&database);
    let records = outgoing(&[json!({"kind": "stop"})]);
    let mut first = sink(&config, "gate");
    // By what the trigger sees.
    send(&mut first, &records).unwrap();
    database.sql(
        "CREATE TABLE public.seen(what text);
         CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN INSERT INTO public.seen VALUES (current_setting(''synchronous_commit'')); RETURN new; END';
         CREATE TRIGGER look BEFORE INSERT ON dtgate.record FOR EACH ROW EXECUTE FUNCTION public.look()",
    );
    send(&mut sink(&config, "other"), &records).unwrap();
    assert_eq!(database.sql("SELECT what FROM public.seen"), "on");
    assert!(!server.log().contains(PASSWORD));
}

/// Of a batch that overlaps nothing, too.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_batch_goes_on_behind_the_record_before_it() {
    let database = database();
    let config = config(&database);
    let of = |error: &str| {
        let records = (0..6).map(|_| json!({"kind": "decision", "error": error}));
        outgoing(&records.collect::<Vec<_>>())
    };
    let (ours, others) = (of("a"), of("b"));
    send(&mut sink(&config, "gate"), &ours[..3]).unwrap();
    let refused = send(&mut sink(&config, "gate"), &others[3..]).unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("another record 3 of gate \"gate\""), "{said}");
    assert_eq!(database.count(), 3);
    // What was damaged before it was sent is not what the next one names.
    let mut records = of("c");
    records[2].line = String::from_utf8(records[2].line.clone())
        .unwrap()
        .replace("\"c\"", "\"d\"")
        .into_bytes();
    let mut sent = sink(&config, "sent");
    run(async {
        sent.send(&records[..3]).await.unwrap();
        sent.send(&records[3..]).await.unwrap();
    });
    let rows = "SELECT count(*) FROM dtgate.record WHERE gate = 'sent'";
    assert_eq!(database.sql(rows), "6");
}

/// That the others are not told is said, and no reason to send records again.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_records_arrive_although_nobody_can_be_told() {
    let database = database();
    let config = config(&database);
    let records = story();
    send(&mut sink(&config, "first"), &records).unwrap();
    database.sql("ALTER TABLE dtgate.gate RENAME TO away");
    let mut gate = sink(&config, "gate");
    send(&mut gate, &records).unwrap();
    let rows = "SELECT count(*) FROM dtgate.record WHERE gate = 'gate'";
    assert_eq!(database.sql(rows), records.len().to_string());
}

/// Commands that read are waited for, and nobody waits for that.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_month_is_dropped_as_the_page_says_while_gates_write() {
    let database = database();
    let config = Config {
        timeout: dtgate::value::Duration::from_secs(1),
        ..config(&database)
    };
    let of = |month: &str| {
        outgoing(&[json!({"kind": "stop", "timestamp": format!("{month}-24T09:30:00Z")})])
    };
    send(&mut sink(&config, "old"), &of("2025-11")).unwrap();
    send(&mut sink(&config, "new"), &of("2026-11")).unwrap();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md"));
    let page = page.unwrap();
    let (_, rest) = page.split_once("```sql\n-- drop a month\n").unwrap();
    let (statements, _) = rest.split_once("```").unwrap();
    std::thread::scope(|scope| {
        let reads =
            scope.spawn(|| database.sql("SELECT count(*) FROM dtgate.record; SELECT pg_sleep(6)"));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE ";
        let is_there = |query: &str| {
            eventually(query, || {
                (database.sql(&format!("{waits} '%{query}%' AND pid <> pg_backend_pid()")) != "0")
                    .then_some(())
            });
        };
        is_there("pg_sleep");
        let drops = scope.spawn(|| {
            for statement in statements
                .split_inclusive(';')
                .filter(|it| it.contains(';'))
            {
                database.sql(statement);
            }
        });
        is_there("DETACH PARTITION");
        send(&mut sink(&config, "another"), &of("2026-11")).unwrap();
        assert!(!reads.is_finished() && !drops.is_finished());
    });
    let months = "SELECT to_regclass('dtgate.record_2025_11') IS NULL, count(*) FROM dtgate.record";
    assert_eq!(database.sql(months), "t|2");
}
