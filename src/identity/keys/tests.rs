//! With a clock that jumps; nothing answers where keys would be fetched. Fetches that go well: `tests/it/jwks.rs`.

use serde_json::json;

use super::*;
use crate::identity::Config;
use crate::identity::signer::Signer;

const ORIGIN: Origin = Origin {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    share: crate::value::Share::percent(25),
    signatures: 64,
};

const HOUR: Duration = Duration::from_hours(1);

fn keys(lines: &str) -> (Keys, Metrics) {
    let text = format!(
        "[jwt.ci]\nissuer = 'a'\naudience = 'b'\njwks_url = 'http://127.0.0.1:1/'\n{lines}"
    );
    let config: Config = toml::from_str(&text).unwrap();
    let (name, issuer) = config.jwt.iter().next().unwrap();
    let metrics = Metrics::new("1");
    let keys = Keys::new(name, issuer, None, &metrics, || Timestamp::UNIX_EPOCH).unwrap();
    (keys, metrics)
}

/// As if they had been fetched now.
fn give(keys: &Keys, fresh: Option<Duration>) {
    let set = json!({"keys": [Signer::es256("k").jwk()]}).to_string();
    let keys_of_set = KeySet::usable(set.as_bytes()).unwrap();
    keys.0.lock().asked = Some(Instant::now());
    keys.0.store(Fetched {
        keys: keys_of_set,
        fresh,
    });
}

fn fetches(metrics: &Metrics) -> u64 {
    number(
        metrics,
        "dtgate_jwks_fetches_total{issuer=\"ci\",result=\"failed\"}",
    )
}

fn number(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |number| number.trim().parse().unwrap())
}

fn reached(metrics: &Metrics, limit: Limit) -> u64 {
    let name = format!("dtgate_limit_reached_total{{limit=\"{}\"}}", limit.as_str());
    number(metrics, &name)
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_used_while_none_can_be_fetched_and_not_for_ever() {
    let (keys, metrics) = keys("max_age = '4h'\npause = '10s'");
    give(&keys, Some(HOUR));
    assert!(keys.find("k", ORIGIN).await.is_ok());
    tokio::time::advance(HOUR / 2).await;
    assert!(keys.find("k", ORIGIN).await.is_ok());
    assert_eq!(fetches(&metrics), 0);
    // Due: asked for behind the back of who needs one, and nobody waits for it.
    tokio::time::advance(HOUR).await;
    assert!(keys.find("k", ORIGIN).await.is_ok());
    while keys.health().failure.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fetches(&metrics), 1);
    assert!(keys.find("k", ORIGIN).await.is_ok());
    let health = keys.health();
    assert!(health.usable && health.keys == 1, "{health:?}");
    // It may be there by now, and nobody can say.
    assert_eq!(
        keys.find("new", ORIGIN).await.err(),
        Some(Flaw::Unavailable)
    );
    tokio::time::advance(3 * HOUR).await;
    assert_eq!(reached(&metrics, Limit::JwksAge), 0);
    assert_eq!(keys.find("k", ORIGIN).await.err(), Some(Flaw::Unavailable));
    assert_eq!(reached(&metrics, Limit::JwksAge), 1);
    assert!(!keys.health().usable);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_knows_costs_a_fetch_a_pause_at_most() {
    let (keys, metrics) = keys("pause = '10s'");
    assert_eq!(keys.find("a", ORIGIN).await.err(), Some(Flaw::Unavailable));
    assert_eq!(fetches(&metrics), 1);
    for name in 0..1000 {
        let flaw = keys.find(&name.to_string(), ORIGIN).await.err();
        assert_eq!(flaw, Some(Flaw::Unavailable));
    }
    assert_eq!(fetches(&metrics), 1);
    assert_eq!(reached(&metrics, Limit::JwksPause), 1000);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(keys.find("a", ORIGIN).await.err(), Some(Flaw::Unavailable));
    assert_eq!(fetches(&metrics), 2);
    // Where the last fetch went well, it is the token's fault.
    give(&keys, None);
    assert_eq!(keys.find("a", ORIGIN).await.err(), Some(Flaw::Key));
    assert_eq!(fetches(&metrics), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_asked_for_in_vain_is_remembered_for_a_minute() {
    let (keys, metrics) = keys("pause = '1ms'");
    give(&keys, None);
    keys.0.lock().unknown.put("a".to_owned(), Instant::now());
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(keys.find("a", ORIGIN).await.err(), Some(Flaw::Key));
    assert_eq!(fetches(&metrics), 0);
    assert_eq!(reached(&metrics, Limit::JwksPause), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(keys.find("a", ORIGIN).await.err(), Some(Flaw::Unavailable));
    assert_eq!(fetches(&metrics), 1);
    // However many are asked for: few are remembered.
    for name in 0..10_000 {
        keys.0.lock().unknown.put(name.to_string(), Instant::now());
    }
    assert_eq!(keys.0.lock().unknown.len(), 256);
}

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_again_when_it_is_time() {
    for (fresh, due) in [
        (None, Duration::from_mins(10)),
        (Some(Duration::ZERO), Duration::from_mins(1)),
        (Some(Duration::from_mins(20)), Duration::from_mins(20)),
        (Some(24 * HOUR), HOUR),
    ] {
        let (keys, _) = keys("");
        give(&keys, fresh);
        assert_eq!(keys.0.lock().due - Instant::now(), due);
    }
    // Twice within the time for which they are used.
    let (keys, _) = keys("max_age = '10m'");
    give(&keys, Some(HOUR));
    assert_eq!(keys.0.lock().due - Instant::now(), Duration::from_mins(5));
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_the_keys_tries_again_and_not_all_the_time() {
    let (keys, metrics) = keys("");
    let kept = keys.clone();
    let keeping = tokio::spawn(async move { kept.keep().await });
    tokio::time::sleep(Duration::from_secs(295)).await;
    let asked = fetches(&metrics);
    // Every 30 seconds, or 35 where each fetch took all of its time.
    assert!((8..=10).contains(&asked), "{asked}");
    keeping.abort();
}
