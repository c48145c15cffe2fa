//! A question to the store that nobody waits for any more is given up, here and at the server.

use std::time::{Duration, Instant};

use dtgate::audit::Stop;
use dtgate::store::{Asked, Key, StoreError};
use serde_json::json;

use super::{Way, journal};
use crate::harness::eventually;
use crate::postgres::Postgres;

#[test]
fn a_question_that_takes_too_long_is_stopped_at_the_server_too() {
    let server = Postgres::start();
    let database = server.database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&[json!({"kind": "start"})]);
    way.ship("a", directory.path(), 1, &hash);
    let key = Key {
        gate: "a".to_owned(),
        seq: 1,
    };
    let held =
        "BEGIN; LOCK TABLE dtgate.record IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60); COMMIT";
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        for is_gone in [false, true] {
            // It has asked for no record yet: from then on nobody could lock the table before it ends.
            let mut asked = Asked::open(&way.config).unwrap();
            let holding = scope.spawn(|| database.asked(held));
            eventually("the table is locked", || {
                let locks = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'dtgate.record'::regclass";
                (database.sql(locks) != "0").then_some(())
            });
            let (stop, waits) = Stop::after(Duration::from_secs(5));
            asked.stop_at(stop).unwrap();
            if is_gone {
                drop(waits);
            } else {
                std::mem::forget(waits);
            }
            let began = Instant::now();
            let answer = asked.line(&key);
            assert!(
                matches!(answer, Err(StoreError::Stopped | StoreError::Postgres(_))),
                "{answer:?}"
            );
            assert!(began.elapsed() < Duration::from_secs(20));
            eventually("the server has stopped, too", || {
                (database.sql(waiting) == "0").then_some(())
            });
            database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'");
            holding.join().unwrap().unwrap_err();
        }
    });
}
