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
