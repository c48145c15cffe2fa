//! Turns that end otherwise than they began: by a server that gives up, by other limits, by the end of a gate.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{Watched, change, start, start_within, status, token};
use crate::harness::{GOOD, Gate, Upstream, eventually};
use crate::postgres::{Postgres, database};

/// Changes of token 5 last until they may end.
pub(super) fn held() -> (Watched, Arc<(Mutex<bool>, Condvar)>) {
    let may_end = Arc::new((Mutex::new(false), Condvar::new()));
    let waits = may_end.clone();
    let watched = Watched::of(Upstream::forgetting, move |seen| {
        if seen.line.contains(&token(5)) {
            let (told, is_told) = &*waits;
            let told = told.lock().unwrap();
            drop(is_told.wait_while(told, |told| !*told).unwrap());
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    (watched, may_end)
}

/// The server ends the question for a turn, or cannot answer it: the lock that it took on the way is nobody's, also
/// where the session has turns that go on.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_question_for_a_turn_that_fails_leaves_no_lock_behind() {
    let (watched, may_end) = held();
    let database = database();
    let begin = |origin, wait| {
        let more = format!("turn_wait = \"{wait}\"");
        let directory = tempfile::tempdir().unwrap();
        let of = (origin, more.as_str());
        start_within(directory, &watched.upstream, &database, of, "60s")
    };
    let (hurried, other) = (begin("ends-a", "300ms"), begin("ends-b", "10s"));
    let change_of = |gate: &Gate| gate.send("PUT", &token(0), GOOD).status;
    for gate in [&hurried, &other] {
        eventually("it asks the store", || {
            (change_of(gate) == 204).then_some(())
        });
    }
    let tell = |may: bool| {
        *may_end.0.lock().unwrap() = may;
        may_end.1.notify_all();
    };
    let is = |sql: &str, wanted: &str| {
        eventually(sql, || {
            (database.asked(sql).as_deref() == Ok(wanted)).then_some(())
        });
    };
    // A table that is locked for longer than a question may take, and a full disk.
    let blocks = "BEGIN; LOCK TABLE dtgate.turn IN EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT";
    let fails = "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END';
                 CREATE TRIGGER fail BEFORE INSERT ON dtgate.turn FOR EACH ROW WHEN (NEW.gate = 'ends-a')
                   EXECUTE FUNCTION public.fail()";
    for trouble in [blocks, fails] {
        tell(false);
        std::thread::scope(|scope| {
            scope.spawn(|| change(hurried.address, &token(5)));
            is(
                "SELECT count(*) FROM dtgate.turn WHERE until > '-infinity'",
                "1",
            );
            let troubling = scope.spawn(|| database.sql(trouble));
            if trouble == blocks {
                is(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
                    "1",
                );
            } else {
                is("SELECT count(*) FROM pg_trigger WHERE tgname = 'fail'", "1");
            }
            assert_eq!(change_of(&hurried), 500);
            troubling.join().unwrap();
            assert_eq!(change_of(&other), 204);
            tell(true);
        });
    }
    database.sql("DROP TRIGGER fail ON dtgate.turn");
    eventually("it has turns again", || {
        (change_of(&hurried) == 204).then_some(())
    });
    is(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
           WHERE l.locktype = 'advisory' AND d.datname = current_database()",
        "0",
    );
    assert_eq!(*watched.overlaps.lock().unwrap(), [""; 0]);
}

/// A request may be under way for longer by then: others wait for that long, if its gate is killed.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_limits_that_a_reload_raises_are_those_of_turns() {
    let watched = Watched::start(Duration::from_secs(1));
    let database = database();
    let directory = tempfile::tempdir().unwrap();
    let gate = start(directory, &watched.upstream, &database, ("ends-c", ""));
    // What the row says while a change is under way.
    let holds = || {
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| change(gate.address, &token(0)));
            let seconds = eventually("the turn is had", || {
                let row = "SELECT extract(epoch FROM until - since)::int FROM dtgate.turn WHERE until > '-infinity'";
                database
                    .asked(row)
                    .ok()
                    .and_then(|it| it.parse::<u32>().ok())
            });
            changing.join().unwrap();
            seconds
        })
    };
    assert_eq!(holds(), 15);
    let config = gate.directory.path().join("dtgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let reload = |response: &str, generation: u64| {
        let text = text.replace(
            "response_timeout = \"3s\"",
            &format!("response_timeout = \"{response}\""),
        );
        std::fs::write(&config, text).unwrap();
        gate.signal("HUP");
        eventually("it is in force", || {
            (status(&gate)["generation"] == generation).then_some(())
        });
    };
    reload("100s", 1);
    assert_eq!(holds(), 112);
    // What began before may still be under way.
    reload("5s", 2);
    assert_eq!(holds(), 112);
}

/// It ends as it should, and in time, with a turn that cannot be let go.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_gate_that_ends_while_the_store_is_away_ends_as_it_should() {
    let watched = Watched::start(Duration::from_secs(2));
    let server = Postgres::start();
    let name = server.database().name;
    let directory = tempfile::tempdir().unwrap();
    // Turns would be tried to be let go for longer.
    let of = ("ends-d", "[listener]\ndrain_timeout = \"4s\"");
    let mut gate = start(directory, &watched.upstream, &server.named(&name), of);
    std::thread::scope(|scope| {
        let address = gate.address;
        scope.spawn(move || change(address, &token(0)));
        eventually("the turn is had", || {
            let held = "SELECT gate FROM dtgate.turn WHERE until > clock_timestamp()";
            (server.named(&name).asked(held).as_deref() == Ok("ends-d")).then_some(())
        });
        server.stop("immediate");
    });
    gate.signal("TERM");
    assert!(gate.wait().success());
    let last = gate.records().pop().unwrap();
    assert_eq!(last["kind"], "stop", "{last}");
    let log = gate.log();
    assert!(!log.contains("without a stop record"), "{log}");
    assert!(
        log.contains("turns of tokens are left in the store"),
        "{log}"
    );
}
