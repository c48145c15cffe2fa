//! Several threads behind one socket: all of them serve, and what holds for the listener holds for all.

use super::*;

/// A listener with two workers. They end with the returned value.
fn start_on_two<S, F>(config: Config, handle: S) -> (Running, Workers)
where
    S: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let workers = Workers::start(NonZeroU16::new(2).unwrap()).unwrap();
    let running = start_on(config, |service| workers.seats(|| service.clone()), handle);
    (running, workers)
}

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn connections_are_spread_evenly_and_stay_where_they_are() {
    let (running, _workers) = start_on_two(Config::default(), |_| async {
        Response::new(full(thread()))
    });
    let mut served = std::collections::BTreeMap::new();
    let mut streams = Vec::new();
    for _ in 0..6 {
        let mut stream = running.connect().await;
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..3 {
            stream.write_all(REQUEST).await.unwrap();
            let text = answer(&mut stream).await;
            names.insert(text.rsplit("\r\n").next().unwrap().to_owned());
        }
        assert_eq!(names.len(), 1, "{names:?}");
        *served.entry(names.pop_first().unwrap()).or_insert(0) += 1;
        streams.push(stream);
    }
    let served: Vec<_> = served.into_iter().collect();
    let expected = ["worker-0", "worker-1"].map(|name| (name.to_owned(), 3));
    assert_eq!(served, expected);
    assert_eq!(running.connections.count(), 6);
    drop(streams);
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn the_cap_on_connections_is_one_for_all_workers() {
    let config = Config {
        max_connections: NonZeroU32::new(3).unwrap(),
        max_connections_per_address: NonZeroU32::new(3),
        ..Config::default()
    };
    let (running, _workers) = start_on_two(config, describe);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = running.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        answer(&mut stream).await;
        streams.push(stream);
    }
    // Whoever was idle for longest makes room, on whichever thread it is.
    streams[0].write_all(REQUEST).await.unwrap();
    answer(&mut streams[0]).await;
    let mut newcomer = running.connect().await;
    newcomer.write_all(REQUEST).await.unwrap();
    answer(&mut newcomer).await;
    assert!(is_closed(&mut streams[1]).await);
    assert_eq!(running.connections.count(), 3);
    for stream in [0, 2] {
        streams[stream].write_all(REQUEST).await.unwrap();
        answer(&mut streams[stream]).await;
    }
}

#[tokio::test]
async fn a_drain_waits_for_every_worker_and_for_what_their_requests_left_behind() {
    let (began, mut requests) = mpsc::unbounded_channel();
    let tracker = Tracker::default();
    let left = tracker.clone();
    let (running, _workers) = start_on_two(Config::default(), move |_| {
        let (finish, finished) = oneshot::channel::<()>();
        began.send((thread(), finish)).unwrap();
        let task = left.spawn(finished);
        async move {
            drop(task.await);
            Response::new(full("done"))
        }
    });
    let mut streams = [running.connect().await, running.connect().await];
    let mut finishes = Vec::new();
    for stream in &mut streams {
        stream.write_all(REQUEST).await.unwrap();
        finishes.push(requests.recv().await.unwrap());
    }
    let names: Vec<_> = finishes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["worker-0", "worker-1"]);
    running.shutdown.cancel();
    running.until_nobody_is_let_in().await;
    for ((_, finish), mut stream) in finishes.into_iter().zip(streams) {
        assert!(!running.server.is_finished());
        finish.send(()).unwrap();
        assert!(answer(&mut stream).await.ends_with("done"));
        assert!(is_closed(&mut stream).await);
    }
    tracker.wait().await;
    assert_eq!(running.server.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn workers_end_when_they_are_dropped() {
    let workers = Workers::start(NonZeroU16::new(2).unwrap()).unwrap();
    let alive = Arc::new(());
    for seat in workers.seats(|| ()) {
        let held = alive.clone();
        drop(seat.runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
    }
    drop(workers);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test]
async fn a_worker_that_is_stuck_does_not_answer_and_one_that_ended_is_not_waited_for() {
    let workers = Workers::start(NonZeroU16::new(2).unwrap()).unwrap();
    let pulse = workers.pulse();
    pulse.felt().await;
    let (go, held) = std::sync::mpsc::channel::<()>();
    let stuck = workers.seats(|| ())[1]
        .runtime
        .spawn(async move { held.recv() });
    let mut asked = Box::pin(pulse.felt());
    // What the other one had to do, it has done.
    workers.seats(|| ())[0]
        .runtime
        .spawn(async {})
        .await
        .unwrap();
    let poll = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context)));
    assert!(poll.await.is_pending());
    go.send(()).unwrap();
    asked.await;
    stuck.await.unwrap().unwrap();
    drop(workers);
    pulse.felt().await;
}
