//! An answer that begins and does not go on.

use tokio::time::{advance, pause, resume};

use super::*;

const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";

impl Peer {
    /// An answer whose body the test writes.
    async fn begun(&self) -> (Wire, Body) {
        let serve = async {
            let mut wire = self.accept().await;
            wire.head().await;
            wire.write(BEGUN).await;
            wire
        };
        let (wire, answer) = tokio::join!(serve, within(send(&self.pool, request())));
        (wire, answer.unwrap().into_body())
    }
}

/// Whether a frame comes, or nothing does.
async fn next(body: &mut Body) -> Option<usize> {
    let frame = within(body.frame()).await?;
    let frame = frame.ok()?.into_data();
    frame.ok().map(|data| data.len())
}

/// Asks for more, and gets it only after so much time.
async fn after(time: Duration, wire: &mut Wire, body: &mut Body, bytes: &[u8]) -> Option<usize> {
    pause();
    let mut frame = std::pin::pin!(body.frame());
    tokio::select! {
        biased;
        _early = &mut frame => panic!("nothing was sent"),
        () = std::future::ready(()) => {}
    }
    advance(time).await;
    resume();
    wire.write(bytes).await;
    within(frame)
        .await?
        .ok()?
        .into_data()
        .ok()
        .map(|data| data.len())
}

#[tokio::test]
async fn silence_breaks_an_answer_off() {
    let peer = Peer::plain().await;
    let (mut wire, mut body) = peer.begun().await;
    wire.write(b"begin").await;
    assert_eq!(next(&mut body).await, Some(5));
    // Time passes where nothing else happens.
    pause();
    let error = body.frame().await.unwrap().unwrap_err();
    resume();
    assert_eq!(error.to_string(), "the body broke off");
    assert_eq!(count(&peer.pool.0.metrics, Limit::UpstreamBody), 1);
    drop(body);
    assert!(wire.rest().await.is_empty());
    assert!(peer.pool.0.kept().http1.is_empty());
}

#[tokio::test]
async fn a_byte_now_and_then_is_silence_and_a_kib_is_not() {
    let peer = Peer::plain().await;
    let (mut wire, mut body) = peer.begun().await;
    let most = LONG * 9 / 10;
    let kib = [b'x'; 1024];
    for _ in 0..3 {
        assert_eq!(after(most, &mut wire, &mut body, &kib).await, Some(1024));
    }
    assert_eq!(after(most, &mut wire, &mut body, b"x").await, Some(1));
    assert_eq!(after(most, &mut wire, &mut body, b"x").await, None);
    assert_eq!(count(&peer.pool.0.metrics, Limit::UpstreamBody), 1);
}

#[tokio::test]
async fn time_in_which_nobody_asks_for_more_does_not_count() {
    let peer = Peer::plain().await;
    let (mut wire, mut body) = peer.begun().await;
    for _ in 0..3 {
        wire.write(b"begin").await;
        assert_eq!(next(&mut body).await, Some(5));
        pause();
        advance(LONG * 10).await;
        resume();
    }
}

#[tokio::test]
async fn silence_ends_a_stream_of_http_2_and_not_its_connection() {
    let mut limits = limits();
    limits.times.body = Duration::from_millis(50);
    let peer = Peer::start(Some("h2"), limits).await;
    let serve = async {
        let mut wire = peer.accept().await;
        let stream = wire.http2_request().await;
        wire.http2_head(stream).await;
        (wire, stream)
    };
    let ((mut wire, stream), answer) = tokio::join!(serve, within(send(&peer.pool, request())));
    let mut body = answer.unwrap().into_body();
    assert_eq!(next(&mut body).await, None);
    assert_eq!(count(&peer.pool.0.metrics, Limit::UpstreamBody), 1);
    drop(body);
    assert_eq!(wire.http2_called_back().await, stream);
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
    assert!(peer.is_left_alone().await);
}
