//! A store that has lost what it had: it was restored, or another server took over, or it is a new one.

use dtgate::audit::lines::Lines;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, exchange, program};
use crate::postgres::{Database, database};

use super::{end, failures, holds, start};

/// How many records the journal has.
fn written(gate: &Gate) -> u64 {
    let mut lines = Lines::new(&gate.journal());
    let lines = std::iter::from_fn(|| lines.next_line().unwrap());
    lines.count() as u64
}

/// Ends what the gate has open there, as a server does that goes away.
fn hang_up(database: &Database<'_>) {
    database.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
           WHERE application_name LIKE 'dtgate gate-%' AND datname = current_database()",
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_the_store_has_lost_is_sent_again() {
    let upstream = Upstream::lenient();
    let database = database();
    let gate = start(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    // All of it, from the middle on, and the last one.
    let losses = [
        "DROP SCHEMA dtgate CASCADE",
        "DELETE FROM dtgate.record WHERE seq > 7; DELETE FROM dtgate.name",
        "DELETE FROM dtgate.record WHERE seq = (SELECT max(seq) FROM dtgate.record)",
    ];
    for loss in losses {
        for _ in 0..5 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        eventually("all is there", || {
            (database.count() == written(&gate)).then_some(())
        });
        database.sql(loss);
        hang_up(&database);
        // Nobody asks the gate for anything.
        eventually("all is there again", || {
            let there = database.asked("SELECT count(*) FROM dtgate.record");
            (there == Ok(written(&gate).to_string())).then_some(())
        });
    }
    assert!(failures(&gate) >= losses.len() as u64);
    let gate = end(gate);
    holds(&database, "gate-a", &gate.journal());
    let names = database.sql("SELECT value FROM dtgate.name WHERE kind = 'operation'");
    assert_eq!(names, "token.update");
    // Once, however often it happens within some time.
    let told = "records that were sent are not there any more";
    assert_eq!(gate.log().matches(told).count(), 1, "{}", gate.log());

    // While the gate was down.
    database.sql("DELETE FROM dtgate.record WHERE seq > 3");
    let gate = end(start(gate.crash(), &upstream, &database, "gate-a"));
    holds(&database, "gate-a", &gate.journal());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_was_sent_under_another_name_is_not_sent_again() {
    let upstream = Upstream::lenient();
    let database = database();
    let gate = start(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let gate = end(gate);
    let before = written(&gate);
    let rotated = program()
        .args([
            "audit",
            "key",
            "--rotate",
            "--origin",
            "gate-b",
            "--journal",
        ])
        .arg(gate.journal())
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let gate = start(gate.crash(), &upstream, &database, "gate-b");
    eventually("records arrive", || {
        (database.count() > before).then_some(())
    });
    let first = "SELECT min(seq) FROM dtgate.record WHERE gate = 'gate-b'";
    let wanted = (before + 1).to_string();
    assert_eq!(database.sql(first), wanted);
    // What was sent under this name is.
    database.sql("DELETE FROM dtgate.record WHERE gate = 'gate-b'");
    hang_up(&database);
    eventually("records arrive again", || {
        (database.asked(first) == Ok(wanted.clone())).then_some(())
    });
    let gate = end(gate);
    let twice = "SELECT count(*) - count(DISTINCT seq), count(*) FROM dtgate.record";
    let last = written(&gate);
    assert_eq!(database.sql(twice), format!("0|{last}"));
    // Also where nothing, or something wrong, says how far the journal was sent.
    let cursor = gate.journal().join("shipped.store");
    let wrong = std::fs::read_to_string(&cursor).unwrap();
    let wrong = wrong.replace("\"hash\":\"", "\"hash\":\"x");
    let mut directory = gate.crash();
    for text in [None, Some("{"), Some(&*wrong)] {
        match text {
            None => std::fs::remove_file(&cursor).unwrap(),
            Some(text) => std::fs::write(&cursor, text).unwrap(),
        }
        let gate = end(start(directory, &upstream, &database, "gate-b"));
        let last = written(&gate);
        assert_eq!(database.sql(twice), format!("0|{last}"), "{text:?}");
        assert_eq!(database.sql(first), wanted);
        directory = gate.crash();
    }
    // What the store has lost of it since is sent again, and no more.
    database.sql("DELETE FROM dtgate.record WHERE gate = 'gate-b'");
    let gate = end(start(directory, &upstream, &database, "gate-b"));
    assert_eq!(database.sql(twice), format!("0|{}", written(&gate)));
    // A store that never had the old name gets all of it.
    database.sql("DELETE FROM dtgate.record");
    std::fs::remove_file(&cursor).unwrap();
    let gate = end(start(gate.crash(), &upstream, &database, "gate-b"));
    holds(&database, "gate-b", &gate.journal());
}

/// A gate that is killed while it sends again what the store has lost: at each step of that.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_kill_on_the_way_back_loses_nothing() {
    let upstream = Upstream::lenient();
    let database = database();
    let mut directory = tempfile::tempdir().unwrap();
    // Noticed, noted, under way, and done in part or whole.
    for round in 0..8 {
        let gate = start(directory, &upstream, &database, "gate-a");
        for _ in 0..10 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        eventually("all is there", || {
            (database.count() == written(&gate)).then_some(())
        });
        let last = written(&gate);
        let left = if round % 2 == 0 { 0 } else { last / 2 };
        // Each row takes its time, so that there is a middle.
        database.sql(&format!(
            "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_sleep(0.01); RETURN new; END';
             CREATE OR REPLACE TRIGGER slow BEFORE INSERT ON dtgate.record FOR EACH ROW EXECUTE FUNCTION public.slow();
             DELETE FROM dtgate.record WHERE seq > {left}"
        ));
        hang_up(&database);
        let cursor = gate.journal().join("shipped.store");
        let noted = || {
            let text = std::fs::read(&cursor).unwrap_or_default();
            let file: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            file["seq"].as_u64().is_some_and(|seq| seq <= left)
        };
        let copies =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'
                        AND datname = current_database()";
        eventually("it is there", || {
            let is_there = match round / 2 {
                0 => gate.log().contains("are not there any more"),
                1 => noted(),
                2 => database.asked(copies).is_ok_and(|it| it != "0"),
                _ => database.count() > left,
            };
            is_there.then_some(())
        });
        directory = gate.crash();
        database.sql("DROP TRIGGER slow ON dtgate.record");
    }
    let gate = end(start(directory, &upstream, &database, "gate-a"));
    holds(&database, "gate-a", &gate.journal());
}

/// A store that is put back to what it was before a rename, or is a new one: what was sent under the old name comes, too.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_was_lost_of_an_earlier_name_is_sent_again() {
    let upstream = Upstream::lenient();
    let database = database();
    let gate = start(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    for _ in 0..4 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    let gate = end(gate);
    let before = written(&gate);
    rename(&gate, "gate-b");
    let mut gate = start(gate.crash(), &upstream, &database, "gate-b");
    let missing = |gate: &Gate| {
        let told = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
        let is_it = |line: &&str| line.starts_with("dtgate_sink_missing_records_total{");
        told.lines().find(is_it).map(str::to_owned)
    };
    let all = "SELECT count(DISTINCT seq), count(*), min(seq) FROM dtgate.record";
    // The end of the old name, half of it, all that there is, and what the new name has.
    for (loss, first) in [
        (
            "DELETE FROM dtgate.record WHERE gate = 'gate-b' OR seq > 5",
            6,
        ),
        ("DELETE FROM dtgate.record WHERE gate = 'gate-b'", 6),
        (
            "DELETE FROM dtgate.record WHERE gate = 'gate-b' OR seq > 3",
            4,
        ),
        ("DROP SCHEMA dtgate CASCADE", 1),
        ("DELETE FROM dtgate.record WHERE seq > 2", 1),
    ] {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        eventually("all is there", || {
            let wanted = written(&gate);
            (database.asked(all) == Ok(format!("{wanted}|{wanted}|1"))).then_some(())
        });
        // While it runs, and while it is down.
        if first == 4 {
            let ended = end(gate);
            database.sql(loss);
            gate = start(ended.crash(), &upstream, &database, "gate-b");
        } else {
            database.sql(loss);
            hang_up(&database);
        }
        eventually("all is there again", || {
            let wanted = written(&gate);
            (database.asked(all) == Ok(format!("{wanted}|{wanted}|1"))).then_some(())
        });
        let named = database.sql("SELECT min(seq) FROM dtgate.record WHERE gate = 'gate-b'");
        assert_eq!(named, first.to_string(), "{loss}");
        assert!(
            missing(&gate).is_none_or(|line| line.ends_with(" 0")),
            "{loss}: {:?}",
            missing(&gate)
        );
    }
    assert!(before > 5);
    let gate = end(gate);
    holds(&database, "gate-b", &gate.journal());
}

fn rename(gate: &Gate, name: &str) {
    let rotated = program()
        .args(["audit", "key", "--rotate", "--origin", name, "--journal"])
        .arg(gate.journal())
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
}
