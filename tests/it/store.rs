//! Gates that meet in `PostgreSQL`: whatever happens to them, to it, or between them, every record is there once.

mod another;
mod hostile;
mod lost;
mod refused;
mod rows;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dtgate::audit::lines::Lines;
use tempfile::TempDir;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, exchange, policies, serving};
use crate::postgres::{Database, Postgres, database};

/// A gate that ships to a database under a name, with its journal below `directory`.
fn start(directory: TempDir, upstream: &Upstream, database: &Database<'_>, name: &str) -> Gate {
    let section = database.section(directory.path());
    start_with(directory, upstream, &section, name)
}

fn start_with(directory: TempDir, upstream: &Upstream, section: &str, name: &str) -> Gate {
    let config = directory.path().join("dtgate.toml");
    // What is asked here is not how fast policies are.
    let patient = "[policies]\ntime_limit = \"10s\"\n";
    let text = format!("{patient}[journal]\norigin = \"{name}\"\n{section}");
    std::fs::write(&config, text).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&config)
        .arg("--policies")
        .arg(policies())
        .arg("--upstream")
        .arg(format!("http://{}", upstream.address));
    Gate::spawn(directory, command)
}

/// Ends a gate as an operator does.
fn end(mut gate: Gate) -> Gate {
    gate.signal("TERM");
    assert!(gate.wait().success());
    gate
}

/// Every record of a journal is a row, and no row is anything else.
pub(crate) fn holds(database: &Database<'_>, name: &str, journal: &Path) {
    let mut lines = Lines::new(journal);
    let lines = std::iter::from_fn(|| lines.next_line().unwrap());
    let wanted: Vec<String> = lines
        .map(|line| String::from_utf8(line.bytes).unwrap())
        .collect();
    assert!(!wanted.is_empty());
    let rows = database.sql(&format!(
        "SELECT line FROM dtgate.record WHERE gate = '{name}' ORDER BY seq"
    ));
    let rows: Vec<&str> = rows.lines().collect();
    for (row, line) in rows.iter().zip(&wanted) {
        assert_eq!(row, line, "{name}");
    }
    assert_eq!(rows.len(), wanted.len(), "{name}");
    let wrong = database.sql(&format!(
        "SELECT seq FROM dtgate.record WHERE gate = '{name}'
           AND (hash <> sha256(convert_to(line, 'UTF8')) OR (line::json->>'seq')::bigint <> seq)"
    ));
    assert_eq!(wrong, "", "{name}");
    let open = database.sql(&format!(
        "SELECT d.seq FROM dtgate.record d JOIN dtgate.record o
             ON o.gate = d.gate AND o.kind = 'outcome' AND o.decision_seq = d.seq
           WHERE d.gate = '{name}' AND d.outcome_seq IS DISTINCT FROM o.seq"
    ));
    assert_eq!(open, "", "{name}: decisions that do not know their outcome");
}

/// How often records did not arrive.
fn failures(gate: &Gate) -> u64 {
    let told = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let is_it = |line: &&str| line.contains("failures") && line.contains("sink=\"store\"");
    let (_, number) = told.lines().find(is_it).unwrap().rsplit_once(' ').unwrap();
    number.parse().unwrap()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_three_gates_meet_in_one_store() {
    let upstream = Upstream::lenient();
    let database = database();
    let names = ["gate-a", "gate-b", "gate-c"];
    let gates = names.map(|name| start(tempfile::tempdir().unwrap(), &upstream, &database, name));
    std::thread::scope(|scope| {
        for gate in &gates {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
                    }
                });
            }
        }
    });
    // All of them tell how they are, while they serve.
    eventually("all gates are known", || {
        let seen = database.asked("SELECT count(*) FROM dtgate.gate WHERE shipped_seq > 0");
        (seen.as_deref() == Ok("3")).then_some(())
    });
    let told = database
        .sql("SELECT version, length(revision) > 9, key FROM dtgate.gate WHERE gate = 'gate-b'");
    let version = concat!(env!("CARGO_PKG_VERSION"), "|t|gate-b+");
    assert!(told.starts_with(version), "{told}");
    for (name, gate) in names.iter().zip(gates) {
        let listen = gate.address.to_string();
        let gate = end(gate);
        holds(&database, name, &gate.journal());
        let last = database.sql(&format!(
            "SELECT g.listen, g.head_seq = r.seq, g.shipped_seq = r.seq, g.head_hash = encode(r.hash, 'hex')
               FROM dtgate.gate g JOIN (SELECT seq, hash FROM dtgate.record WHERE gate = '{name}'
                 ORDER BY seq DESC LIMIT 1) r ON true WHERE g.gate = '{name}'"
        ));
        assert_eq!(last, format!("{listen}|t|t|t"), "{name}");
    }
    let twice =
        database.sql("SELECT gate, seq FROM dtgate.record GROUP BY gate, seq HAVING count(*) > 1");
    assert_eq!(twice, "");
    let names = database.sql("SELECT kind, value FROM dtgate.name WHERE kind = 'operation'");
    assert_eq!(names, "operation|token.update");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_server_that_goes_and_comes_loses_nothing_and_stops_nobody() {
    let upstream = Upstream::lenient();
    let mut server = Postgres::start();
    let name = server.database().name;
    let directory = tempfile::tempdir().unwrap();
    let gate = start(directory, &upstream, &server.named(&name), "gate-a");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
                }
            });
        }
        for mode in ["fast", "immediate", "immediate"] {
            let before = server.named(&name).count();
            eventually("records arrive", || {
                (server.named(&name).count() > before).then_some(())
            });
            let failed = failures(&gate);
            server.stop(mode);
            eventually("it is counted", || (failures(&gate) > failed).then_some(()));
            server.start_again();
        }
        let before = server.named(&name).count();
        eventually("records arrive again", || {
            (server.named(&name).count() > before).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
    });
    let gate = end(gate);
    assert!(
        gate.log().contains("records do not arrive"),
        "{}",
        gate.log()
    );
    assert!(
        gate.log().contains("records arrive again"),
        "{}",
        gate.log()
    );
    assert!(!gate.log().contains(crate::postgres::PASSWORD));
    holds(&server.named(&name), "gate-a", &gate.journal());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_gate_that_is_killed_ships_every_record_once() {
    let upstream = Upstream::lenient();
    let database = database();
    let mut directory = tempfile::tempdir().unwrap();
    for round in 0..12_u64 {
        let gate = start(directory, &upstream, &database, "gate-a");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
                }
            });
            // At another moment of shipping each time: before the first row, in the middle, right behind one.
            let before = database.count();
            let more = round * 3;
            eventually("records arrive", || {
                (database.count() >= before + more).then_some(())
            });
            is_over.store(true, Ordering::Relaxed);
        });
        directory = gate.crash();
    }
    let gate = end(start(directory, &upstream, &database, "gate-a"));
    holds(&database, "gate-a", &gate.journal());
    // What says how far it is gets lost: all is sent again, and stands there as before.
    let before = database.sql("SELECT * FROM dtgate.record ORDER BY seq");
    std::fs::remove_file(gate.journal().join("shipped.store")).unwrap();
    let gate = end(start(gate.crash(), &upstream, &database, "gate-a"));
    holds(&database, "gate-a", &gate.journal());
    let after = database.sql("SELECT * FROM dtgate.record ORDER BY seq");
    assert!(after.starts_with(&before));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_has_not_arrived_is_not_deleted() {
    let upstream = Upstream::lenient();
    let mut server = Postgres::start();
    let name = server.database().name;
    let directory = tempfile::tempdir().unwrap();
    let section = server.named(&name).section(directory.path());
    server.stop("fast");
    let section = format!("segment_size = \"16 KiB\"\nretention.max_size = \"48 KiB\"\n{section}");
    let gate = start_with(directory, &upstream, &section, "gate-a");
    for _ in 0..60 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    let first = |gate: &Gate| gate.records()[0]["seq"].clone();
    assert_eq!(first(&gate), 1);
    server.start_again();
    let database = server.named(&name);
    eventually("what has arrived is deleted", || {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        (first(&gate) != 1).then_some(())
    });
    let gate = end(gate);
    let rows = database.sql("SELECT min(seq), max(seq) - count(*) FROM dtgate.record");
    assert_eq!(rows, "1|0");
    drop(gate);
}
