//! A connection whose client is silent gives its buffers back, and nobody can tell.

use super::*;

/// A listener, and how often its service is held.
fn start_counted() -> (Running, impl Fn() -> usize) {
    let held = Arc::new(());
    let counted = held.clone();
    // Nobody is silent for long here: the moment is that of a head at most.
    let config = Config {
        header_timeout: soon(),
        ..Config::default()
    };
    let running = start(config, move |request| {
        assert!(Arc::strong_count(&counted) > 1);
        describe(request)
    });
    (running, move || Arc::strong_count(&held))
}

#[tokio::test]
async fn a_silent_connection_holds_less_and_serves_again() {
    let (running, held) = start_counted();
    let mut stream = running.connect().await;
    for path in ["/one", "/two", "/three"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gate\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.ends_with(path));
        let awake = held();
        while held() == awake {
            tokio::task::yield_now().await;
        }
        assert!(held() < awake);
    }
    assert_eq!(running.connections.count(), 1);
    running.shutdown.cancel();
    assert!(is_closed(&mut stream).await);
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn a_client_that_leaves_in_silence_is_gone() {
    let (running, held) = start_counted();
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    answer(&mut stream).await;
    let awake = held();
    while held() == awake {
        tokio::task::yield_now().await;
    }
    drop(stream);
    running.until_no_connection_is_open().await;
}
