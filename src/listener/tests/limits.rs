//! What a client may not do, and that it harms nobody else.

use super::*;

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let running = start(
        Config {
            header_timeout: soon(),
            ..Config::default()
        },
        describe,
    );
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: ga")
        .await
        .unwrap();
    assert!(is_closed(&mut stream).await);
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, _) = localhost(&directory);
    let plain = Config {
        idle_timeout: soon(),
        ..Config::default()
    };
    let handshake = Config {
        tls: Some(tls),
        handshake_timeout: soon(),
        ..Config::default()
    };
    for config in [plain, handshake] {
        let running = start(config, describe);
        assert!(is_closed(&mut running.connect().await).await);
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_limit_for_heads() {
    let config = Config {
        header_timeout: soon(),
        idle_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let running = start(config, describe);
    let mut idle = running.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    answer(&mut idle).await;

    // Several times the limit passes on this second connection.
    for _ in 0..4 {
        let mut slow = running.connect().await;
        slow.write_all(b"GET").await.unwrap();
        assert!(is_closed(&mut slow).await);
    }
    idle.write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    answer(&mut idle).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let (began, mut requests) = mpsc::unbounded_channel();
    let config = Config {
        stall_timeout: soon(),
        ..Config::default()
    };
    let running = start(config, move |_| {
        began.send(()).unwrap();
        // More than the buffers of both sockets can hold.
        ready(Response::new(full(vec![0_u8; 64 << 20])))
    });
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    requests.recv().await.unwrap();
    running.until_no_connection_is_open().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431_on_both_protocols() {
    let config = Config {
        max_header_size: Size::from_kib(16),
        ..Config::default()
    };
    let running = start(config, describe);
    let filler = "x".repeat(20 << 10);

    let mut stream = running.connect().await;
    let request = format!("GET / HTTP/1.1\r\nhost: gate\r\nfiller: {filler}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 40];
    let read = stream.read(&mut status).await.unwrap();
    let status = std::str::from_utf8(&status[..read]).unwrap();
    assert!(status.starts_with("HTTP/1.1 431 "), "{status}");

    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::get(format!("http://{}/", running.address))
        .header("filler", filler)
        .body(Full::default())
        .unwrap();
    let refused = client.request(request).await.unwrap();
    assert_eq!(
        refused.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
}

#[tokio::test]
async fn a_head_limit_that_cannot_be_kept_is_refused() {
    let config = Config {
        max_header_size: Size::from_kib(1),
        ..Config::default()
    };
    let error = Listener::bind(&config, Metrics::new("test"), noon)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("\"8 KiB\""), "{error}");
}

#[tokio::test]
async fn a_service_that_panics_and_a_client_that_talks_nonsense_harm_nobody_else() {
    let running = start(Config::default(), |request: Request<Body>| {
        assert_ne!(request.uri().path(), "/panic");
        describe(request)
    });
    for nonsense in [
        "GET /panic HTTP/1.1\r\nhost: gate\r\n\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
    ] {
        let mut stream = running.connect().await;
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // How it ends is not of interest, only that it does.
        drop(stream.read_to_end(&mut rest).await);
    }
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_until_one_has_no_request() {
    let config = Config {
        max_connections: NonZeroU32::MIN,
        max_connections_per_address: NonZeroU32::new(2),
        ..Config::default()
    };
    let (began, mut requests) = mpsc::unbounded_channel();
    let running = start(config, move |_| {
        let (finish, finished) = oneshot::channel::<()>();
        began.send(finish).unwrap();
        async move {
            drop(finished.await);
            Response::new(full("done"))
        }
    });
    let mut first = running.connect().await;
    first.write_all(REQUEST).await.unwrap();
    let finish = requests.recv().await.unwrap();
    let mut second = running.connect().await;
    second.write_all(REQUEST).await.unwrap();
    tokio::task::yield_now().await;
    assert!(requests.try_recv().is_err());
    assert_eq!(running.connections.count(), 1);

    // It gets its answer, and then makes room.
    finish.send(()).unwrap();
    assert!(answer(&mut first).await.ends_with("done"));
    assert!(is_closed(&mut first).await);
    requests.recv().await.unwrap().send(()).unwrap();
    assert!(answer(&mut second).await.ends_with("done"));
}
