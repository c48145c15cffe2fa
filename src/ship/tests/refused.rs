//! What is refused for what it is, what a server refuses because it refuses everything, and answers with strange bodies.

use std::sync::atomic::AtomicI64;

use super::*;

fn skips(address: SocketAddr) -> String {
    opa("skips", address, "refused = 'skip'\ntimeout = '2s'")
}

fn missing(metrics: &Metrics) -> u64 {
    counted(metrics, "dtgate_sink_missing_records_total")
}

/// A decision, and how it ended, which is no event of OPA's log.
fn pair(journal: &mut Written) {
    journal.record(1);
    let seq = journal.last.load(Ordering::Relaxed);
    journal.write(json!({"kind": "outcome", "decision_seq": seq, "outcome": "answered"}));
}

#[tokio::test]
async fn a_server_that_turns_to_refuse_everything_makes_no_record_be_left_out() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let (shipping, metrics) = journal.start(&skips(server.address));
    pair(&mut journal);
    until("one arrives", || server.ids().len() == 1).await;
    server.does_now(|_| Does::Answer("400 Bad Request"));
    let asked = server.asked();
    for _ in 0..5 {
        pair(&mut journal);
    }
    // Long enough to halve all, and to look for another one.
    until("it is asked", || server.asked() > asked + 6).await;
    assert_eq!(missing(&metrics), 0);
    assert_eq!(shipping.state().all()["opa.skips"].seq, 2);
    // It does again, but for one.
    server.does_now(|got| {
        if got.ids().iter().any(|id| id == "id-5") {
            Does::Answer("400 Bad Request")
        } else {
            TAKEN
        }
    });
    until("the others arrive", || server.firsts().len() == 5).await;
    let mut firsts = server.firsts();
    firsts.sort();
    assert_eq!(firsts, ["id-1", "id-11", "id-3", "id-7", "id-9"]);
    // In order, but for those that were sent once to see whether others are taken, and once more in their turn.
    let sent = server.ids();
    let is_last = |at: usize, id: &str| !sent.iter().skip(at + 1).any(|other| other == id);
    let order = sent.iter().enumerate();
    let order = order.filter(|(at, id)| is_last(*at, id) && !["id-1", "id-3"].contains(&&***id));
    let order: Vec<&str> = order.map(|(_, id)| &**id).collect();
    assert_eq!(order, ["id-7", "id-9", "id-11"]);
    assert_eq!(missing(&metrics), 1);
    shipping.end(WITHIN).await;
}

/// Refuses messages with any of these decisions.
fn refuses(numbers: impl Fn(u64) -> bool + Send + 'static) -> impl Fn(&Got) -> Does + Send {
    move |got| {
        let number = |id: &String| id.trim_start_matches("id-").parse().unwrap();
        if got.ids().iter().any(|id| numbers(number(id))) {
            Does::Answer("400 Bad Request")
        } else {
            TAKEN
        }
    }
}

/// Waits until these have arrived, whatever came more than once, and as many were left out.
async fn others_arrive(server: &Receiver, metrics: &Metrics, wanted: &[u64], left_out: u64) {
    until(&format!("{wanted:?} arrive"), || {
        let mut firsts: Vec<u64> = server
            .firsts()
            .iter()
            .map(|id| id.trim_start_matches("id-").parse().unwrap())
            .collect();
        firsts.sort_unstable();
        firsts == wanted && missing(metrics) == left_out
    })
    .await;
}

/// The old ones are too old, and nothing was taken before.
#[tokio::test]
async fn a_run_of_refused_records_is_left_out_at_the_first_start() {
    let mut journal = Written::new();
    journal.record(60);
    let server = Receiver::new(refuses(|number| number <= 50));
    let (shipping, metrics) = journal.start(&skips(server.address));
    others_arrive(&server, &metrics, &(51..=60).collect::<Vec<_>>(), 50).await;
    shipping.end(WITHIN).await;
}

/// More than one message, so that what is taken is not in it.
#[tokio::test]
async fn a_run_of_refused_records_that_is_longer_than_a_message_is_left_out() {
    let mut journal = Written::new();
    journal.record(1100);
    let server = Receiver::new(refuses(|number| number <= 1050));
    let (shipping, metrics) = journal.start(&skips(server.address));
    others_arrive(&server, &metrics, &(1051..=1100).collect::<Vec<_>>(), 1050).await;
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn what_was_taken_once_may_be_refused_by_now() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let (shipping, metrics) = journal.start(&skips(server.address));
    journal.record(5);
    until("they arrive", || server.ids().len() == 5).await;
    // It was away, and everything became too old meanwhile.
    server.does_now(|_| Does::Answer("503 Service Unavailable"));
    let asked = server.asked();
    journal.record(35);
    until("it is asked", || server.asked() > asked).await;
    server.does_now(refuses(|number| number <= 30));
    let wanted: Vec<u64> = (1..=5).chain(31..=40).collect();
    others_arrive(&server, &metrics, &wanted, 25).await;
    shipping.end(WITHIN).await;
}

/// Whatever is refused, all others arrive, after restarts, too: one record that is taken is enough.
#[tokio::test]
async fn whatever_is_refused_all_others_arrive() {
    for seed in 0..5_u64 {
        let is_refused = move |number: u64| {
            let lot = Sha256Hex::of(&(seed * 1000 + number).to_be_bytes());
            let lot = lot.as_str().bytes().map(u64::from).sum::<u64>() % 10;
            // From one in ten to nearly all; the newest one is taken.
            lot < 1 + seed * 2 && number != 40
        };
        let mut journal = Written::new();
        let server = Receiver::new(refuses(is_refused));
        journal.record(25);
        let (shipping, _metrics) = journal.start(&skips(server.address));
        shipping.end(WITHIN).await;
        let seq = shipping_stands_at(&journal);
        let before = (1..=seq).filter(|it| !is_refused(*it)).count();
        journal.record(15);
        let (shipping, metrics) = journal.start(&skips(server.address));
        let wanted: Vec<u64> = (1..=40).filter(|it| !is_refused(*it)).collect();
        let left_out = 40 - seq - (wanted.len() - before) as u64;
        others_arrive(&server, &metrics, &wanted, left_out).await;
        shipping.end(WITHIN).await;
    }
}

/// How far the sink is, as its file says it.
fn shipping_stands_at(journal: &Written) -> u64 {
    let text = std::fs::read(journal.path().join("shipped.opa.skips")).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    file["seq"].as_u64().unwrap()
}

/// A server that refuses everything is told as one: nothing is left out, and nobody is told that it is well.
#[tokio::test]
async fn a_sink_that_delivers_nothing_is_behind_and_says_why() {
    // A clock that goes on a second each time that it is asked.
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let now = || Timestamp::from_second(CLOCK.fetch_add(1, Ordering::Relaxed)).unwrap();
    let (shipping, metrics) = journal.start_at(&skips(server.address), Arc::new(|_| ()), now);
    journal.record(1);
    until("it arrives", || server.ids().len() == 1).await;
    server.does_now(|_| Does::Answer("400 Bad Request"));
    journal.record(8);
    let state = shipping.state();
    let is_failing = || state.all()["opa.skips"].error.is_some();
    until("it is said", is_failing).await;
    let (rounds, longest) = (AtomicU64::new(0), AtomicI64::new(0));
    let asked = AtomicU64::new(server.asked());
    // Each time after a pause of five seconds.
    until("it is asked again and again", || {
        assert!(is_failing());
        let load = &state.load(9)[0];
        assert_eq!(load.behind, 8);
        assert!(load.seconds >= longest.fetch_max(load.seconds, Ordering::Relaxed));
        let now = server.asked();
        if now >= asked.load(Ordering::Relaxed) + 5 {
            asked.store(now, Ordering::Relaxed);
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        rounds.load(Ordering::Relaxed) >= 3
    })
    .await;
    assert_eq!(missing(&metrics), 0);
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn a_server_that_begins_to_take_records_again_misses_none() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let (shipping, metrics) = journal.start(&skips(server.address));
    pair(&mut journal);
    until("one arrives", || server.ids().len() == 1).await;
    // It refuses a record, and is well when it is asked about another one.
    let refusals = AtomicU64::new(0);
    server.does_now(move |got| {
        let is_it = got.ids() == ["id-3"] && refusals.fetch_add(1, Ordering::Relaxed) == 0;
        if is_it {
            Does::Answer("400 Bad Request")
        } else {
            TAKEN
        }
    });
    pair(&mut journal);
    until("it arrives", || server.firsts() == ["id-1", "id-3"]).await;
    assert_eq!(missing(&metrics), 0);
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn the_status_says_what_becomes_of_records_whatever_comes_behind_it() {
    let strange = [
        // More than anybody reads, less than was promised, and a byte now and then.
        "200 OK\r\nContent-Length: 99999999\r\nX-Body: long",
        "200 OK\r\nContent-Length: 50\r\nX-Body: cut",
        "200 OK\r\nContent-Length: 50\r\nX-Body: silent",
    ];
    for head in strange {
        let mut journal = Written::new();
        let server = Receiver::new(move |_| Does::Begin(head));
        let (shipping, metrics) = journal.start(&skips(server.address));
        journal.record(3);
        until("they arrive", || {
            counted(&metrics, "dtgate_sink_records_total") == 3
        })
        .await;
        assert_eq!(server.ids(), ids(1..=3), "{head}");
        assert_eq!(counted(&metrics, "dtgate_sink_failures_total"), 0, "{head}");
        shipping.end(WITHIN).await;
    }
    // OTLP says there what is rejected: it is asked again, and not for ever.
    for head in strange {
        let mut journal = Written::new();
        let server = Receiver::new(move |_| Does::Begin(head));
        let config = format!("[otlp.siem]\nurl = 'http://{}'\n", server.address);
        let (shipping, metrics) = journal.start(&config);
        let sent = || counted(&metrics, "dtgate_sink_records_total");
        journal.record(3);
        until("they arrive", || sent() == 3).await;
        let failures = counted(&metrics, "dtgate_sink_failures_total");
        let asked = server.asked();
        assert!(failures >= 3 && asked >= 4, "{head}: {failures} of {asked}");
        // It is known by now.
        journal.record(3);
        until("they arrive, too", || sent() == 6).await;
        assert_eq!(counted(&metrics, "dtgate_sink_failures_total"), failures);
        // A whole answer is believed, and so the next one that is not has to be asked again.
        server.does_now(|_| TAKEN);
        journal.record(1);
        until("and the next", || sent() == 7).await;
        server.does_now(move |_| Does::Begin(head));
        journal.record(1);
        until("it is asked again", || {
            counted(&metrics, "dtgate_sink_failures_total") > failures
        })
        .await;
        server.does_now(|_| TAKEN);
        until("and the last", || sent() == 8).await;
        shipping.end(WITHIN).await;
    }
    // Also that it is refused.
    let mut journal = Written::new();
    let server = Receiver::new(|got| {
        if got.ids().iter().any(|id| id == "id-2") {
            Does::Begin("413 Payload Too Large\r\nContent-Length: 99999999\r\nX-Body: long")
        } else {
            TAKEN
        }
    });
    journal.record(3);
    let (shipping, metrics) = journal.start(&skips(server.address));
    until("it is left out", || missing(&metrics) == 1).await;
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn the_journal_is_kept_for_sinks_and_not_for_webhooks() {
    let mut journal = Written::new();
    journal.record(4);
    let down = Receiver::new(|_| Does::Answer("404 Not Found"));
    let url = journal.path().join("url");
    std::fs::write(&url, format!("http://{}/hook", down.address)).unwrap();
    let url = url.display();
    let hook = format!("[webhook.a]\nshape = 'slack'\nurl_file = '{url}'\nfrom = 'beginning'\n");
    let kept = Arc::new(AtomicU64::new(0));
    let told = kept.clone();
    let tell: Arc<dyn Fn(u64) + Send + Sync> =
        Arc::new(move |seq| told.store(seq, Ordering::Relaxed));
    let (shipping, _metrics) = journal.start_told(&hook, tell.clone());
    assert_eq!(kept.load(Ordering::Relaxed), u64::MAX);
    shipping.end(Duration::ZERO).await;
    let server = Receiver::new(|_| TAKEN);
    let (shipping, _metrics) = journal.start_told(&(hook + &opa("das", server.address, "")), tell);
    until("all that is waited for has arrived", || {
        kept.load(Ordering::Relaxed) == 4
    })
    .await;
    shipping.end(Duration::ZERO).await;
}
