//! What happens to running work when the program is told to stop.

use super::*;

#[tokio::test]
async fn a_drain_lets_the_running_request_finish_and_takes_no_new_connection() {
    let (began, mut requests) = mpsc::unbounded_channel();
    let running = start(Config::default(), move |_| {
        let (finish, finished) = oneshot::channel::<()>();
        began.send(finish).unwrap();
        async move {
            finished.await.unwrap();
            Response::new(full("done"))
        }
    });
    let mut stream = running.connect().await;
    let mut idle = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    let finish = requests.recv().await.unwrap();

    running.shutdown.cancel();
    assert!(is_closed(&mut idle).await);
    let refused = TcpStream::connect(running.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

    finish.send(()).unwrap();
    let text = answer(&mut stream).await;
    assert!(
        text.contains("connection: close") && text.ends_with("done"),
        "{text}"
    );
    assert!(is_closed(&mut stream).await);
    assert_eq!(running.server.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn a_drain_waits_for_work_that_its_request_left_behind() {
    let running = start(Config::default(), describe);
    let (finish, finished) = oneshot::channel::<()>();
    drop(running.tracker.spawn(finished));
    running.shutdown.cancel();
    // The socket is gone, so the drain is on its way; it cannot end before the task does.
    running.until_nobody_is_let_in().await;
    assert!(!running.server.is_finished());
    finish.send(()).unwrap();
    assert_eq!(running.server.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn what_is_not_finished_when_the_drain_time_is_up_is_cut_and_counted() {
    let (began, mut requests) = mpsc::unbounded_channel();
    let config = Config {
        drain_timeout: soon(),
        ..Config::default()
    };
    let running = start(config, move |_| {
        began.send(()).unwrap();
        std::future::pending()
    });
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    requests.recv().await.unwrap();
    drop(running.tracker.spawn(std::future::pending::<()>()));
    assert_eq!(
        running.stop().await,
        Drained::Cut {
            connections: 1,
            tasks: 1
        }
    );
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn tracked_work_survives_the_client_that_asked_for_it() {
    let (began, mut requests) = mpsc::unbounded_channel();
    let (outcome, mut outcomes) = mpsc::unbounded_channel();
    let tracker = Tracker::default();
    let config = Config {
        half_close_timeout: soon(),
        ..Config::default()
    };
    let running = start(config, {
        let tracker = tracker.clone();
        move |_| {
            let (finish, finished) = oneshot::channel::<()>();
            began.send(finish).unwrap();
            let outcome = outcome.clone();
            let work = tracker.spawn(async move {
                finished.await.unwrap();
                outcome.send("recorded").unwrap();
            });
            async move {
                work.await.unwrap();
                Response::new(empty())
            }
        }
    });
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    let finish = requests.recv().await.unwrap();
    drop(stream);
    running.until_no_connection_is_open().await;
    finish.send(()).unwrap();
    assert_eq!(outcomes.recv().await.unwrap(), "recorded");
}
