//! Gates that take turns at a token by a common store: no two change one token at once, whatever becomes of them.

mod ends;
mod page;
mod together;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Answer, BAD, GOOD, Gate, Seen, TOKEN, Upstream, eventually, exchange, is_lookup, policies, put,
    serving,
};
use crate::postgres::{Database, Postgres, database};

/// Requests that take so long that others would come in between.
struct Watched {
    upstream: Upstream,
    changes: Arc<AtomicUsize>,
    /// Changes of one token at once.
    overlaps: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    /// Each change takes `time`. It goes on when the gate that sent it is gone, as Dynatrace's work does.
    fn start(time: Duration) -> Self {
        Self::of(Upstream::forgetting, move |_| {
            // What is tested is that nobody comes meanwhile.
            std::thread::sleep(time);
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        })
    }

    /// Watches how changes are answered.
    fn of(
        upstream: impl FnOnce(Box<Answer>) -> Upstream,
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let changes = Arc::new(AtomicUsize::new(0));
        let overlaps = Arc::new(Mutex::new(Vec::new()));
        let under_way: Mutex<HashMap<String, usize>> = Mutex::default();
        let (counted, found) = (changes.clone(), overlaps.clone());
        let upstream = upstream(Box::new(move |seen: &Seen| {
            if is_lookup(&seen.line) {
                return answer(seen);
            }
            let token = seen.line.split(' ').nth(1).unwrap().to_owned();
            let count = |step: fn(usize) -> usize| {
                let mut all = under_way.lock().unwrap();
                let number = all.entry(token.clone()).or_default();
                *number = step(*number);
                *number
            };
            if count(|number| number + 1) > 1 {
                found.lock().unwrap().push(token.clone());
            }
            let answered = answer(seen);
            count(|number| number - 1);
            counted.fetch_add(1, Ordering::SeqCst);
            answered
        }));
        Self {
            upstream,
            changes,
            overlaps,
        }
    }
}

/// A gate of a fleet, with its journal below `directory`. Limits are short: so is what is left of a gate that is killed.
fn start(
    directory: TempDir,
    upstream: &Upstream,
    database: &Database<'_>,
    (name, more): (&str, &str),
) -> Gate {
    start_within(directory, upstream, database, (name, more), "3s")
}

/// The same, with this limit for the upstream's answers.
fn start_within(
    directory: TempDir,
    upstream: &Upstream,
    database: &Database<'_>,
    (name, more): (&str, &str),
    response: &str,
) -> Gate {
    let config = directory.path().join("dtgate.toml");
    let section = database.section(directory.path());
    let text = format!(
        "{section}turns = \"store\"\ntimeout = \"2s\"\n{more}\n[journal]\norigin = \"{name}\"\ntimeout = \"3s\"\n\
         [lookup]\ntimeout = \"3s\"\n[upstream]\nurl = \"http://{}\"\nconnect_timeout = \"500ms\"\n\
         response_timeout = \"{response}\"\n",
        upstream.address
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&config)
        .arg("--policies")
        .arg(policies());
    Gate::spawn(directory, command)
}

fn token(number: usize) -> String {
    format!("/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3{number:02}")
}

fn status(gate: &Gate) -> Value {
    exchange(gate.admin, b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").json()
}

fn metric(gate: &Gate, name: &str) -> u64 {
    let told = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let mut lines = told.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("{name}: {told}"))
        .parse()
        .unwrap()
}

fn turns_ok(gate: &Gate) -> u64 {
    metric(gate, "dtgate_turns_ok")
}

fn alone_of(gate: &Gate) -> u64 {
    metric(gate, "dtgate_turns_local_total")
}

/// Changes a token, which has to be done.
fn change(gate: SocketAddr, token: &str) {
    let request = put(GOOD).replacen(TOKEN, token, 1);
    let answer = exchange(gate, request.as_bytes());
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_change_waits_for_its_turn_and_is_told_to_come_again() {
    let watched = Watched::start(Duration::from_millis(400));
    let database = database();
    let begin = |origin, more| {
        let directory = tempfile::tempdir().unwrap();
        start(directory, &watched.upstream, &database, (origin, more))
    };
    let a = begin("turn-a", "");
    let b = begin("turn-b", "turn_wait = \"50ms\"");
    let address = a.address;
    eventually("both ask the store", || {
        let both = [&a, &b].map(|gate| gate.send("PUT", &token(2), GOOD).status);
        (both == [204, 204]).then_some(())
    });
    let slow = std::thread::spawn(move || change(address, &token(0)));
    eventually("the turn is taken", || {
        let taken = database.asked("SELECT count(*) FROM dtgate.turn WHERE until > '-infinity'");
        (taken.as_deref() == Ok("1")).then_some(())
    });
    let refused = b.send("PUT", &token(0), GOOD);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused
            .message()
            .contains("another gate changes this token"),
        "{refused:?}"
    );
    // Whoever changes another token waits for nobody.
    assert_eq!(b.send("PUT", &token(1), GOOD).status, 204);
    slow.join().unwrap();
    assert_eq!(b.send("PUT", &token(0), GOOD).status, 204);
    // Every turn that was had is let go, and no lock is left behind.
    eventually("no lock is left", || {
        let left = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        (database.asked(left).as_deref() == Ok("0")).then_some(())
    });
    assert_eq!(*watched.overlaps.lock().unwrap(), [""; 0]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_changes_are_refused_or_go_on_alone_while_the_store_is_away() {
    let upstream = Upstream::lenient();
    let mut server = Postgres::start();
    let name = server.database().name;
    let begin = |origin, more| {
        let directory = tempfile::tempdir().unwrap();
        start(directory, &upstream, &server.named(&name), (origin, more))
    };
    let wait = "turn_wait = \"300ms\"";
    let strict = begin("away-a", wait);
    let alone = format!("{wait}\nwhen_away = \"local\"");
    let goes_on = begin("away-b", &alone);
    for gate in [&strict, &goes_on] {
        assert_eq!(gate.send("PUT", &token(0), GOOD).status, 204);
        assert_eq!(status(gate)["turns"]["ok"], true);
    }
    assert_eq!(alone_of(&goes_on), 0);
    server.stop("fast");
    let refused = strict.send("PUT", &token(0), GOOD);
    assert_eq!(refused.status, 500, "{refused:?}");
    let message = refused.message();
    assert!(
        message.contains("the store by which the gates take turns was away")
            && message.contains("not sent to Dynatrace"),
        "{message}"
    );
    assert_eq!(goes_on.send("PUT", &token(0), GOOD).status, 204);
    // Where nobody looks at a token, nothing waits for the store.
    let made = strict.send("POST", "/api/v1/tokens", GOOD);
    assert_ne!(made.status, 500, "{made:?}");
    assert_eq!(status(&strict)["turns"]["ok"], false);
    assert_eq!(turns_ok(&strict), 0);
    assert_eq!((alone_of(&goes_on), alone_of(&strict)), (1, 0));
    let last = |gate: &Gate, kind: &str| {
        let records = gate.records().into_iter().rev();
        let mut decisions = records.filter(|record| record["kind"] == "decision");
        decisions.find(|record| record["verdict"] == kind).unwrap()
    };
    let denied = last(&strict, "deny");
    assert!(
        denied["error"].as_str().unwrap().contains("was away"),
        "{denied}"
    );
    assert_eq!(last(&goes_on, "allow")["turn"], "local");
    server.start_again();
    // It finds out by itself.
    eventually("it is told that turns can be had again", || {
        (turns_ok(&goes_on) == 1).then_some(())
    });
    eventually("turns are had again", || {
        (strict.send("PUT", &token(0), GOOD).status == 204).then_some(())
    });
    let allowed = last(&strict, "allow");
    assert!(allowed.get("turn").is_none(), "{allowed}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_store_that_does_not_answer_is_told_until_it_does() {
    let upstream = Upstream::lenient();
    let database = database();
    let directory = tempfile::tempdir().unwrap();
    let more = "turn_wait = \"300ms\"";
    let gate = start(directory, &upstream, &database, ("slow-a", more));
    let is_well = || status(&gate)["turns"]["ok"] == true;
    let change = || gate.send("PUT", &token(0), GOOD).status;
    eventually("turns are had", || (change() == 204).then_some(()));
    let cannot = "turns of tokens cannot be had";
    let again = "turns of tokens are had from the store again";
    let log = || {
        (
            gate.log().matches(cannot).count(),
            gate.log().matches(again).count(),
        )
    };
    let before = log();
    // It can be reached, and answers no question: too late, or with an error that is another one each time.
    for body in [
        "PERFORM pg_sleep(1); RETURN new;",
        "RAISE EXCEPTION ''no, at %'', clock_timestamp();",
    ] {
        database.sql(&format!(
            "CREATE OR REPLACE FUNCTION public.hinder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body} END';
             CREATE OR REPLACE TRIGGER hinder BEFORE INSERT ON dtgate.turn FOR EACH ROW
               EXECUTE FUNCTION public.hinder()"
        ));
        for _ in 0..3 {
            assert_eq!(change(), 500);
            assert!(!is_well());
        }
    }
    let error = status(&gate)["turns"]["error"].clone();
    assert!(error.as_str().unwrap().contains("(P0001)"), "{error}");
    let (told, well_again) = log();
    assert_eq!(well_again, before.1, "{}", gate.log());
    // Once for each reason, however often it was asked; what was too late may have been ended over there.
    assert!(
        (before.0 + 2..=before.0 + 4).contains(&told),
        "{}",
        gate.log()
    );
    assert!(gate.log().contains("no answer within 300ms"));
    database.sql("DROP TRIGGER hinder ON dtgate.turn");
    eventually("turns are had again", || (change() == 204).then_some(()));
    assert!(is_well());
    // Tables that are not dtgate's own.
    database.sql("ALTER TABLE dtgate.version ALTER version TYPE text");
    database.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'dtgate slow-a turns'");
    eventually("it is said", || {
        let said = status(&gate)["turns"]["error"].to_string();
        (change() == 500 && said.contains("(column version)")).then_some(())
    });
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_row_that_no_gate_can_have_written_keeps_nobody_waiting() {
    let upstream = Upstream::lenient();
    let database = database();
    let directory = tempfile::tempdir().unwrap();
    let more = "turn_wait = \"5s\"";
    let gate = start(directory, &upstream, &database, ("odd-a", more));
    let change = || gate.send("PUT", &token(0), GOOD).status;
    eventually("turns are had", || (change() == 204).then_some(()));
    for (since, until, wanted) in [
        ("now()", "'infinity'", 204),
        ("now()", "now() + interval '3 days'", 204),
        (
            "now() + interval '2 hours'",
            "now() + interval '3 hours'",
            204,
        ),
        ("now()", "now() + interval '1 hour'", 503),
    ] {
        database.sql(&format!(
            "DELETE FROM dtgate.turn; INSERT INTO dtgate.turn
             VALUES ('default', '{}', 'gone', gen_random_uuid(), {since}, {until})",
            token(0).rsplit('/').next().unwrap()
        ));
        assert_eq!(change(), wanted, "{since} {until}");
    }
}

/// Whoever asks for tokens that do not exist makes up as many as he wants: nothing stays of them.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_turn_leaves_no_row_behind_unless_somebody_waits_for_it() {
    let upstream = Upstream::lenient();
    let database = database();
    let directory = tempfile::tempdir().unwrap();
    let gate = start(directory, &upstream, &database, ("rows-a", ""));
    eventually("turns are had", || {
        (gate.send("PUT", &token(0), GOOD).status == 204).then_some(())
    });
    for number in 0..30 {
        gate.send("PUT", &token(number), BAD);
    }
    eventually("no row is left", || {
        (database.sql("SELECT count(*) FROM dtgate.turn") == "0").then_some(())
    });
    // Another gate waits for it.
    database.sql(
            "CREATE FUNCTION public.waits() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
               NEW.wanted_by := 'rows-b'; NEW.wanted := clock_timestamp(); RETURN NEW; END$$;
             CREATE TRIGGER waits BEFORE INSERT ON dtgate.turn FOR EACH ROW EXECUTE FUNCTION public.waits()",
        );
    assert_eq!(gate.send("PUT", &token(1), GOOD).status, 204);
    eventually("the row says who waits", || {
        let row = "SELECT wanted_by, until FROM dtgate.turn";
        (database.sql(row) == "rows-b|-infinity").then_some(())
    });
}

/// The row is looked at behind its lock: a gate that says in between that it waits is not missed, and the turn is free.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_turn_that_is_let_go_while_another_gate_begins_to_wait_is_free() {
    let (watched, may_end) = ends::held();
    let database = database();
    let directory = tempfile::tempdir().unwrap();
    let gate = start(directory, &watched.upstream, &database, ("rows-c", ""));
    eventually("turns are had", || {
        (gate.send("PUT", &token(0), GOOD).status == 204).then_some(())
    });
    let is = |sql: &str, wanted: &str| {
        eventually(sql, || {
            (database.asked(sql).as_deref() == Ok(wanted)).then_some(())
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| change(gate.address, &token(5)));
        is("SELECT count(*) FROM dtgate.turn", "1");
        // As the other gate says it, and slowly.
        scope.spawn(|| {
            database.sql(
                "BEGIN; UPDATE dtgate.turn SET wanted_by = 'rows-d', wanted = clock_timestamp();
                 SELECT pg_sleep(1.5); COMMIT",
            )
        });
        is(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
            "1",
        );
        *may_end.0.lock().unwrap() = true;
        may_end.1.notify_all();
    });
    is(
        "SELECT wanted_by, until FROM dtgate.turn",
        "rows-d|-infinity",
    );
    is(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
           WHERE l.locktype = 'advisory' AND d.datname = current_database()",
        "0",
    );
}
