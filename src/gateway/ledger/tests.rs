use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::audit;
use crate::audit::event::{Event, Stop};
use crate::value::Size;

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn journal(directory: &Path, min_free: Size) -> audit::Config {
    audit::Config {
        directory: directory.join("journal"),
        // Every record wants a segment of its own, so that a missing directory is felt at once.
        segment_size: Size::from_bytes(1),
        compression: audit::Compression::Off,
        min_free,
        ..audit::Config::default()
    }
}

fn ledger(config: &audit::Config) -> Ledger {
    let one = Config {
        refusals: NonZeroU32::MIN,
        denials: NonZeroU32::MIN,
        ..Config::default()
    };
    let space = Space::new(config);
    space.look();
    Ledger::new(&one, space, Metrics::new("1.2.3"))
}

const KIND: Kind = Kind {
    reason: "host",
    operation: None,
};

/// Enters so many refusals of one caller, and says how many are to be written down.
fn enter(ledger: &Ledger, class: Class, count: usize) -> usize {
    let payer = Payer::new(
        None,
        Address::from(IpAddr::from([10, 0, 0, 1])),
        Arc::default(),
    );
    let entered = (0..count).map(|_| ledger.enter(class, &payer, KIND, 1_000, now()));
    entered.flatten().count()
}

/// Writes a record, and gives its number: everything asked for before it is written before it.
async fn next(audit: &Audit) -> u64 {
    let event = Event::Stop(Stop {
        timestamp: String::new(),
    });
    audit.record(event.record()).await.unwrap()
}

fn sums(config: &audit::Config) -> Vec<u64> {
    let segments = audit::segments(&config.directory).unwrap();
    let text: String = segments
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|record| record["kind"] == "suppressed")
        .map(|record| record["count"].as_u64().unwrap())
        .collect()
}

fn open(config: &audit::Config) -> (Audit, audit::Writer) {
    let directory = audit::Directory::hold(&config.directory).unwrap();
    Audit::open(directory, config, "r", audit::Configured::default(), now).unwrap()
}

#[tokio::test]
async fn sums_are_written_once_a_minute_and_at_the_end_and_only_where_there_are_some() {
    let directory = tempfile::tempdir().unwrap();
    let config = audit::Config {
        // No checkpoint comes between, as when a segment is closed.
        segment_size: Size::from_mib(1),
        ..journal(directory.path(), Size::from_bytes(1))
    };
    let (audit, writer) = open(&config);
    let ledger = ledger(&config);
    let drained = CancellationToken::new();
    let keeping = tokio::spawn(ledger.clone().keep(audit.clone(), now, drained.clone()));
    let minute = async || {
        // Only for a moment: a clock that is paused runs ahead while the disk is waited for.
        tokio::time::pause();
        tokio::time::advance(WINDOW).await;
        tokio::time::resume();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    minute().await;
    assert_eq!(next(&audit).await, 2, "a start, and nothing counted");
    assert_eq!(enter(&ledger, Class::Refusal, 10), 1);
    minute().await;
    assert_eq!(next(&audit).await, 4);
    minute().await;
    assert_eq!(next(&audit).await, 5);
    // Denials have a budget of their own.
    assert_eq!(enter(&ledger, Class::Denial, 5), 1);
    drained.cancel();
    keeping.await.unwrap();
    drop(audit);
    writer.join().await;
    assert_eq!(sums(&config), [9, 4]);
}

#[tokio::test]
async fn what_cannot_be_written_stays_counted() {
    let directory = tempfile::tempdir().unwrap();
    let config = journal(directory.path(), Size::from_bytes(1));
    let (audit, writer) = open(&config);
    let ledger = ledger(&config);
    enter(&ledger, Class::Refusal, 10);
    let away = directory.path().join("away");
    std::fs::rename(&config.directory, &away).unwrap();
    ledger.sum_up(&audit, now()).await;
    std::fs::rename(&away, &config.directory).unwrap();
    enter(&ledger, Class::Refusal, 3);
    let recovered = async {
        while audit.health().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered)
        .await
        .unwrap();
    ledger.sum_up(&audit, now()).await;
    drop(audit);
    writer.join().await;
    assert_eq!(sums(&config), [12]);
}

#[test]
fn where_space_is_low_nothing_is_written_whoever_asks() {
    let directory = tempfile::tempdir().unwrap();
    let config = journal(directory.path(), Size::from_bytes(u64::MAX));
    std::fs::create_dir(&config.directory).unwrap();
    let ledger = ledger(&config);
    assert_eq!(enter(&ledger, Class::Denial, 1), 0);
    assert_eq!(enter(&ledger, Class::Refusal, 1), 0);
    assert_eq!(enter(&ledger, Class::Read, 1), 0);
    assert!(!ledger.line(Address::from(IpAddr::from([10, 0, 0, 2])), KIND, now()));
}

#[test]
fn only_who_has_used_up_a_budget_is_told_to_wait() {
    let directory = tempfile::tempdir().unwrap();
    let config = journal(directory.path(), Size::from_bytes(u64::MAX));
    std::fs::create_dir(&config.directory).unwrap();
    let ledger = ledger(&config);
    let payer = Payer::new(
        None,
        Address::from(IpAddr::from([10, 0, 0, 1])),
        Arc::default(),
    );
    let wait = || {
        ledger
            .enter(Class::Denial, &payer, KIND, 1, now())
            .unwrap_err()
            .wait
    };
    assert_eq!(wait(), None, "the disk is not the caller's fault");
    assert!(wait() > Some(Duration::from_secs(50)));
}
