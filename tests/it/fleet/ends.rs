//! Turns that end otherwise than they began: by a server that gives up, by other limits, by the end of a gate.

use std::time::Duration;

use super::{Watched, change, start, status, token};
use crate::harness::{GOOD, Upstream, eventually};
use crate::postgres::{Postgres, database};

/// The server ends the question for a turn, or cannot answer it: the lock that it took on the way is nobody's.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_question_for_a_turn_that_fails_leaves_no_lock_behind() {
    let upstream = Upstream::lenient();
    let database = database();
    let begin = |origin, wait| {
        let more = format!("turn_wait = \"{wait}\"");
        let directory = tempfile::tempdir().unwrap();
        start(directory, &upstream, &database, (origin, &more))
    };
    let (hurried, other) = (begin("ends-a", "300ms"), begin("ends-b", "10s"));
    for gate in [&hurried, &other] {
        eventually("it asks the store", || {
            (gate.send("PUT", &token(0), GOOD).status == 204).then_some(())
        });
    }
    // Longer than a question may take.
    let blocks = "BEGIN; SELECT FROM dtgate.turn FOR UPDATE; SELECT pg_sleep(4); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| database.sql(blocks));
        eventually("rows are locked", || {
            let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
            (database.asked(sleeps).as_deref() == Ok("1")).then_some(())
        });
        assert_eq!(hurried.send("PUT", &token(0), GOOD).status, 500);
    });
    assert_eq!(other.send("PUT", &token(0), GOOD).status, 204);
    // And at once, as where the disk is full.
    database.sql(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END';
         CREATE TRIGGER fail BEFORE INSERT ON dtgate.turn FOR EACH ROW WHEN (NEW.gate = ''ends-a'')
           EXECUTE FUNCTION public.fail()"
            .replace("''ends-a''", "'ends-a'")
            .as_str(),
    );
    assert_eq!(hurried.send("PUT", &token(0), GOOD).status, 500);
    assert_eq!(other.send("PUT", &token(0), GOOD).status, 204);
    let no_lock = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                   WHERE l.locktype = 'advisory' AND d.datname = current_database()";
    eventually("no lock is left", || {
        (database.asked(no_lock).as_deref() == Ok("0")).then_some(())
    });
    database.sql("DROP TRIGGER fail ON dtgate.turn");
    eventually("it has turns again", || {
        (hurried.send("PUT", &token(0), GOOD).status == 204).then_some(())
    });
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
    let of = ("ends-d", "");
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
