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
        until("it holds less", || held() != awake).await;
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
    until("it holds less", || held() != awake).await;
    drop(stream);
    running.until_no_connection_is_open().await;
}

/// What comes after an early answer is the rest of the body, however long it takes: whoever forgot about the body
/// would read it as a request.
#[tokio::test]
async fn the_rest_of_a_body_is_never_a_request() {
    let held = Arc::new(());
    let (counted, seen) = (held.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (paths, (bodies, mut unread)) = (seen.clone(), mpsc::unbounded_channel());
    let config = Config {
        header_timeout: soon(),
        ..Config::default()
    };
    let running = start(config, move |request: Request<Body>| {
        assert!(Arc::strong_count(&counted) > 1);
        paths.lock().unwrap().push(request.uri().path().to_owned());
        bodies.send(request.into_body()).unwrap();
        ready(Response::new(full("early")))
    });
    let hidden = b"GET /hidden HTTP/1.1\r\nhost: gate\r\n\r\n";
    let mut stream = running.connect().await;
    let begin = format!(
        "POST /upload HTTP/1.1\r\nhost: gate\r\ncontent-length: {}\r\n\r\nbegin",
        5 + hidden.len()
    );
    stream.write_all(begin.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.ends_with("early"));
    let body = unread.recv().await.unwrap();

    // A second client, silent for as long: when it holds less, the first one would, too.
    let mut other = running.connect().await;
    let request = b"GET /other HTTP/1.1\r\nhost: gate\r\n\r\n";
    other.write_all(request).await.unwrap();
    answer(&mut other).await;
    let awake = Arc::strong_count(&held);
    until("one holds less", || Arc::strong_count(&held) != awake).await;
    assert_eq!(Arc::strong_count(&held), awake - 1);

    // It may arrive as what it is, or find the connection closed.
    drop(stream.write_all(hidden).await);
    drop(body.collect().await);
    running.shutdown.cancel();
    drop(stream.read_to_end(&mut Vec::new()).await);
    assert_eq!(running.stop().await, Drained::Clean);
    assert_eq!(*seen.lock().unwrap(), ["/upload", "/other"]);
}
