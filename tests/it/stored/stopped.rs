//! A question to the store that nobody waits for any more is given up, here and at the server.

use std::time::{Duration, Instant};

use dtgate::audit::Stop;
use dtgate::store::{Asked, Key, StoreError};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Way, journal};
use crate::postgres::database;

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_question_for_which_nobody_waits_any_more_is_given_up() {
    let database = database();
    let way = Way::to(&database);
    let (directory, hash) = journal(&[json!({"kind": "start"})]);
    way.ship("a", directory.path(), 1, &hash);
    let key = Key {
        gate: "a".to_owned(),
        seq: 1,
    };
    for is_gone in [false, true] {
        let mut asked = Asked::open(&way.config).unwrap();
        let (stop, waiting) = Stop::after(Duration::from_secs(10));
        asked.stop_at(stop).unwrap();
        // The server is told for how long it may work.
        let session = database.sql(
            "SELECT pid, query FROM pg_stat_activity
             WHERE query LIKE 'SET statement_timeout%' AND datname = current_database()",
        );
        let (server, query) = session.split_once('|').unwrap();
        let limit: u64 = query.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((1..=10_000).contains(&limit), "{query}");
        assert!(asked.line(&key).unwrap().is_some());
        // It does not answer any more.
        let server = Pid::from_raw(server.parse().unwrap()).unwrap();
        kill_process(server, Signal::STOP).unwrap();
        let began = Instant::now();
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| asked.line(&key));
            if is_gone {
                drop(waiting);
            } else {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_secs(15));
                    drop(waiting);
                });
            }
            asking.join().unwrap()
        });
        let took = began.elapsed();
        kill_process(server, Signal::CONT).unwrap();
        assert!(matches!(answer, Err(StoreError::Stopped)), "{answer:?}");
        assert!(took < Duration::from_secs(25), "{took:?}");
    }
}
