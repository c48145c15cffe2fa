//! A sink that ends by a fault of the program.

use super::*;

#[tokio::test]
async fn a_sink_that_ended_by_a_fault_is_begun_again() {
    let mut journal = Written::new();
    journal.record(5);
    let server = Receiver::new(|_| TAKEN);
    let (last, faults) = (journal.last.clone(), Arc::new(AtomicU64::new(0)));
    let asked = faults.clone();
    let of = Journal {
        directory: journal.path().to_owned(),
        origin: "gate.example/journal".to_owned(),
        resource: Resource::default(),
        on_disk: Arc::new(move || {
            let is_ship = std::thread::current().name() == Some("ship");
            assert!(
                !is_ship || asked.fetch_add(1, Ordering::SeqCst) >= 2,
                "a fault, as the test wants it"
            );
            last.load(Ordering::Relaxed)
        }),
        shipped: Arc::new(|_| ()),
    };
    let metrics = Metrics::new("0");
    let config = toml::from_str(&opa("das", server.address, "")).unwrap();
    let shipping = start(&config, None, &of, &metrics, || Timestamp::UNIX_EPOCH).unwrap();
    let state = shipping.state();
    until("it is said", || {
        let error = state.all()["opa.das"].error.clone();
        error.is_some_and(|error| error.contains("fault of the program"))
    })
    .await;
    until("all arrive", || server.firsts() == ids(1..=5)).await;
    until("nothing is wrong any more", || {
        state.all()["opa.das"].error.is_none()
    })
    .await;
    assert_eq!(counted(&metrics, "dtgate_sink_failures_total"), 2);
    shipping.end(WITHIN).await;
}

/// A fault in making it anew is one as well, and what is wrong with another sink is none of this one's.
#[tokio::test]
async fn a_fault_while_it_is_begun_again_is_not_the_end_either() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let other = journal.path().join("url");
    std::fs::write(&other, format!("http://{}/hook", server.address)).unwrap();
    let (last, faults) = (journal.last.clone(), Arc::new(AtomicU64::new(0)));
    let asked = faults.clone();
    let of = Journal {
        directory: journal.path().to_owned(),
        origin: "gate.example/journal".to_owned(),
        resource: Resource::default(),
        // At the first look of a sink, and each time that it is begun again but the last.
        on_disk: Arc::new(move || {
            let is_ship = std::thread::current().name() == Some("ship");
            assert!(
                !is_ship || asked.fetch_add(1, Ordering::SeqCst) >= 3,
                "a fault, as the test wants it"
            );
            last.load(Ordering::Relaxed)
        }),
        shipped: Arc::new(|_| ()),
    };
    let config = format!(
        "{}[webhook.a]\nshape = 'slack'\nurl_file = '{}'\nverdict = ['allow']\nkind = ['none']\n",
        opa("das", server.address, "from = 'now'"),
        other.display()
    );
    let metrics = Metrics::new("0");
    let config = toml::from_str(&config).unwrap();
    let shipping = start(&config, None, &of, &metrics, || Timestamp::UNIX_EPOCH).unwrap();
    std::fs::remove_file(&other).unwrap();
    journal.record(5);
    until("all arrive", || server.firsts() == ids(1..=5)).await;
    assert!(faults.load(Ordering::SeqCst) > 3);
    shipping.end(WITHIN).await;
}
