//! What is refused for what it is, what a server refuses because it refuses everything, and answers with strange bodies.

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
    // In order, but for the one that was sent once more.
    let again = |id: &String| *id != "id-3" && *id != "id-1";
    let order: Vec<String> = server.ids().into_iter().filter(again).collect();
    assert_eq!(order, ["id-7", "id-9", "id-11"]);
    assert_eq!(missing(&metrics), 1);
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
