use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit;
use crate::dynatrace::catalogue::{Catalogue, Overrides};
use crate::gateway::Config;
use crate::telemetry::Metrics;
use crate::value::Size;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn address(last: u8) -> Address {
    Address::from(std::net::IpAddr::from([10, 0, 0, last]))
}

fn start() -> Timestamp {
    "2026-11-28T10:20:00Z".parse().unwrap()
}

/// One write to a path, from an address, at a time.
fn one(path: &str, from: Address, time: Timestamp, status: Option<u16>) -> Taken {
    let kind = Kind {
        who: Who::Address(from),
        environment: "prod".into(),
        method: Redacted::ours("POST"),
        path: Redactor::default().text(path),
    };
    let count = Count {
        address: from,
        caller: Arc::default(),
        first: time,
        last: time,
        writes: 1,
        statuses: Tally::of(status.map(|status| StatusCode::from_u16(status).unwrap())),
    };
    Taken(What::Kind(kind), count)
}

fn told(taken: &Taken) -> serde_json::Value {
    serde_json::from_slice(taken.record(start()).as_json()).unwrap()
}

#[test]
fn an_hour_is_one_record_of_each_kind() {
    let mut unseen = Unseen::default();
    let later = start() + SignedDuration::from_mins(10);
    assert!(unseen.add(one("/platform/a", address(1), start(), Some(201))));
    assert!(unseen.add(one("/platform/a", address(1), later, Some(403))));
    assert!(unseen.add(one("/platform/a", address(1), later, None)));
    assert!(unseen.add(one("/platform/b", address(2), later, Some(201))));
    assert!(
        unseen
            .take_due(start() + HOUR - SignedDuration::from_secs(1))
            .is_empty()
    );
    let taken = unseen.take_due(start() + HOUR);
    assert_eq!(
        told(&taken[0]),
        serde_json::json!({
            "kind": "unseen", "timestamp": "2026-11-28T10:20:00.000Z",
            "first": "2026-11-28T10:20:00.000Z", "last": "2026-11-28T10:30:00.000Z", "count": 3,
            "statuses": {"201": 1, "403": 1, "none": 1}, "requested_by": "10.0.0.1",
            "environment": "prod", "method": "POST", "path": "/platform/a",
        })
    );
    assert_eq!(told(&taken[1])["path"], "/platform/b");
    assert_eq!((taken.len(), unseen.total()), (2, 0));
}

#[test]
fn a_clock_that_is_put_back_holds_nothing_back() {
    let mut unseen = Unseen::default();
    unseen.add(one("/platform/a", address(1), start(), Some(201)));
    assert_eq!(unseen.take_due(start() - HOUR).len(), 1);
}

#[test]
fn what_cannot_be_written_down_is_counted_on() {
    let mut unseen = Unseen::default();
    unseen.add(one("/platform/a", address(1), start(), Some(201)));
    for taken in unseen.take_all() {
        unseen.add(taken);
    }
    unseen.add(one("/platform/a", address(1), start(), Some(201)));
    let taken = unseen.take_all();
    assert_eq!(told(&taken[0])["count"], 2);
    assert_eq!(told(&taken[0])["statuses"], serde_json::json!({"201": 2}));
}

#[test]
fn one_address_does_not_take_the_room_of_others_and_nothing_is_forgotten() {
    let mut unseen = Unseen::default();
    let path = |number: usize| format!("/platform/{number}");
    for number in 0..10_000 {
        let counted = unseen.add(one(&path(number), address(1), start(), Some(200)));
        assert_eq!(counted, number < KINDS_OF_ADDRESS);
    }
    assert!(unseen.add(one("/platform/a", address(2), start(), Some(200))));
    for last in 3..=255 {
        for number in 0..100 {
            unseen.add(one(&path(number), address(last), start(), Some(200)));
        }
    }
    assert_eq!(unseen.total(), 10_001 + 253 * 100);
    let taken = unseen.take_all();
    assert!(taken.len() <= KINDS + ADDRESSES + 1);
    let others: Vec<_> = taken.iter().skip(KINDS).map(told).collect();
    for other in &others {
        assert!(
            other.get("path").is_none() && other.get("caller").is_none(),
            "{other}"
        );
        assert_eq!(other["statuses"]["200"], other["count"]);
    }
    let first = others
        .iter()
        .find(|other| other["requested_by"] == "10.0.0.1");
    assert_eq!(first.unwrap()["count"], 10_000 - KINDS_OF_ADDRESS);
    let counts = others.iter().map(|other| other["count"].as_u64().unwrap());
    let kinds = u64::try_from(KINDS).unwrap();
    assert_eq!(counts.sum::<u64>(), 10_001 + 253 * 100 - kinds);
}

#[test]
fn who_floods_is_named_by_address_and_further_addresses_are_counted_together() {
    let mut unseen = Unseen::default();
    let sent = |unseen: &mut Unseen, address, kinds| {
        for number in 0..kinds {
            let path = format!("/platform/{number}");
            unseen.add(one(&path, address, start(), Some(200)));
        }
    };
    for last in 0..4 {
        sent(&mut unseen, address(last), KINDS_OF_ADDRESS);
    }
    let other = |number: usize| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        Address::from(std::net::IpAddr::from([10, 1, high, low]))
    };
    for number in 0..ADDRESSES + 5 {
        sent(&mut unseen, other(number), 2);
    }
    for taken in unseen.take_all() {
        unseen.add(taken);
    }
    let taken = unseen.take_all();
    assert_eq!(taken.len(), KINDS + ADDRESSES + 1);
    let others: Vec<_> = taken.iter().skip(KINDS).map(told).collect();
    let (rest, named) = others.split_last().unwrap();
    assert!(
        named
            .iter()
            .all(|other| other["requested_by"].is_string() && other["count"] == 2)
    );
    assert!(rest.get("requested_by").is_none(), "{rest}");
    assert_eq!(rest["count"], 10);
}

#[test]
fn statuses_are_as_many_as_they_are_and_no_more_than_a_few() {
    let mut unseen = Unseen::default();
    for status in 200..300 {
        unseen.add(one("/platform/a", address(1), start(), Some(status)));
    }
    let record = told(&unseen.take_all()[0]);
    let statuses = record["statuses"].as_object().unwrap();
    let sum: u64 = statuses
        .values()
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert!(statuses.len() <= 33, "{record}");
    assert_eq!(sum, 100);
    assert_eq!(statuses["other"], 68);
}

#[test]
fn unknown_are_writes_to_the_platform_and_verbs_however_they_are_written() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let unknown = |method: &str, path: &str| is_unknown(&method.parse().unwrap(), path, &catalogue);
    for path in [
        "/platform/brand-new/v1/things",
        "/platform/brand-new/v1/things/5",
        "/platform",
        "//platform//brand-new/",
        "/e/abc12345/platform/brand-new/v1/things",
        "/e/a/e/b/platform/brand-new",
        "/Platform/brand-new",
        "/%70latform/brand-new",
        "/platform;a=b/brand-new",
        "/;a/platform/brand-new",
        "/platform/document/v1;a/documents",
        "/platform/classic/brand-new",
        "/platform/classic/environment-api/v2/things:recompute",
        "/api/v2/things/5:recompute",
        "/api/v2/things/5%3Arecompute",
        "/api/v2/things:bulk/more",
        "/api/v2/things/5:recompute;a=b",
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "post", "COPY"] {
            assert!(unknown(method, path), "{method} {path}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(!unknown(method, path), "{method} {path}");
        }
    }
    for path in [
        "/",
        "*",
        "/api/v2/metrics/ingest",
        "/api/v2/settings/objects",
        "/e/abc12345/api/v2/metrics/ingest",
        "/platform/classic/environment-api/v2/metrics/ingest",
        "/e/x/platform/classic/environment-api/v2/settings/objects",
        "/api/v2/settings/schemas/builtin:alerting.profile",
        "/platforms/x",
        "/x/platform/y",
        "/api/v2/things/:",
        "/api/v2/things/a:5",
    ] {
        assert!(!unknown("POST", path), "{path}");
    }
    let run = "/platform/automation/v1/workflows/5/run";
    assert!(!unknown("POST", run), "a row has it");
    assert!(!unknown("PUT", run), "the workflow owns what is below it");
}

#[test]
fn a_method_is_told_where_it_cannot_be_a_secret() {
    let told = |text: &str| method(&text.parse().unwrap()).as_str().to_owned();
    assert_eq!(told("POST"), "POST");
    assert_eq!(told("PROPFIND"), "PROPFIND");
    for other in ["post", "G3DFPBEJYM", "ABCDEFGHIJKLMN", "dt0c01.A.B"] {
        assert_eq!(told(other), "{other}", "{other}");
    }
}

/// The records of that kind that a journal has.
fn written(config: &audit::Config) -> Vec<serde_json::Value> {
    let segments = audit::segments(&config.directory).unwrap();
    let text: String = segments
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    records
        .filter(|record: &serde_json::Value| record["kind"] == "unseen")
        .collect()
}

/// Lets a minute go by for whoever waits for one.
async fn minute() {
    // Only for a moment: a clock that is paused runs ahead while the disk is waited for.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    tokio::time::resume();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn records_are_written_when_the_hour_is_over_as_soon_as_the_journal_can_be_written_and_at_the_end()
 {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let now = || Timestamp::from_second(CLOCK.load(Relaxed)).unwrap();
    let files = tempfile::tempdir().unwrap();
    let config = audit::Config {
        directory: files.path().join("journal"),
        // Every record wants a segment of its own, so that a missing directory is felt at once.
        segment_size: Size::from_bytes(1),
        compression: audit::Compression::Off,
        min_free: Size::from_bytes(1),
        ..audit::Config::default()
    };
    let directory = audit::Directory::hold(&config.directory).unwrap();
    let opened = audit::Audit::open(directory, &config, "r", audit::Configured::default(), now);
    let (audit, writer) = opened.unwrap();
    let metrics = Metrics::new("1.2.3");
    let ledger = Ledger::new(&Config::default(), audit::Space::new(&config), metrics);
    let drained = CancellationToken::new();
    let keeping = tokio::spawn(ledger.clone().keep(audit.clone(), now, drained.clone()));

    ledger.saw(one("/platform/a", address(1), now(), Some(200)));
    minute().await;
    assert!(written(&config).is_empty());
    let away = files.path().join("away");
    std::fs::rename(&config.directory, &away).unwrap();
    CLOCK.store(3600, Relaxed);
    let eventually = async |ready: &dyn Fn() -> bool| {
        let waiting = async {
            while !ready() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let limit = std::time::Duration::from_mins(1);
        tokio::time::timeout(limit, waiting).await.unwrap();
    };
    minute().await;
    eventually(&|| audit.health().is_err()).await;
    std::fs::rename(&away, &config.directory).unwrap();
    eventually(&|| audit.health().is_ok()).await;
    minute().await;
    eventually(&|| written(&config).len() == 1).await;
    assert_eq!(written(&config)[0]["count"], 1);

    ledger.saw(one("/platform/b", address(1), now(), Some(200)));
    drained.cancel();
    keeping.await.unwrap();
    drop(audit);
    writer.join().await;
    let written = written(&config);
    assert_eq!(written.len(), 2);
    assert_eq!(written[1]["path"], "/platform/b");
}
