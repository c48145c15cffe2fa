//! As many connections as may be open, whoever has them.

use super::*;

/// A peer to which one connection may be open, and a second thread's pool before it.
async fn narrow(protocol: Option<&str>) -> (Peer, Pool) {
    let mut limits = limits();
    limits.connections = 1;
    let peer = Peer::start(protocol, limits).await;
    let twin = peer.pool.twin();
    (peer, twin)
}

#[tokio::test]
async fn who_finds_no_place_waits_for_the_connection_of_somebody_else() {
    for twins in [false, true] {
        let (peer, twin) = narrow(None).await;
        let other = if twins { &twin } else { &peer.pool };
        let serve = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            until("one waits", || peer.pool.0.places.waiting() == 1).await;
            assert_eq!(open(&peer.pool.0.metrics), 1);
            wire.write(OK).await;
            wire.head().await;
            wire.write(OK).await;
        };
        let ((), first, second) = tokio::join!(serve, exchange(&peer.pool), exchange(other));
        assert_eq!(first.unwrap(), "ok");
        assert_eq!(second.unwrap(), "ok");
        assert!(peer.is_left_alone().await);
        assert_eq!(peer.pool.0.places.waiting(), 0);
    }
}

#[tokio::test]
async fn an_idle_connection_is_everybodys() {
    for protocol in [None, Some("h2")] {
        let (peer, twin) = narrow(protocol).await;
        let mut wire = None;
        for pool in [&peer.pool, &twin, &peer.pool] {
            let serve = async {
                let wire = match &mut wire {
                    Some(wire) => wire,
                    None => wire.insert(peer.accept().await),
                };
                if protocol.is_some() {
                    wire.serve().await;
                } else {
                    wire.head().await;
                    wire.write(OK).await;
                }
            };
            let ((), answer) = tokio::join!(serve, exchange(pool));
            assert_eq!(answer.unwrap(), "ok");
        }
        assert!(peer.is_left_alone().await);
    }
}

#[tokio::test]
async fn a_closed_connection_makes_room() {
    let (peer, twin) = narrow(None).await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        until("one waits", || peer.pool.0.places.waiting() == 1).await;
        // Cut: of the first request nobody knows what became of it.
        drop(wire);
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(OK).await;
        wire
    };
    let (mut wire, first, second) = tokio::join!(serve, exchange(&peer.pool), exchange(&twin));
    assert!(matches!(first, Err(SendError::Send(_))), "{first:?}");
    assert_eq!(second.unwrap(), "ok");
    assert_eq!(open(&peer.pool.0.metrics), 1);
    wire.0.shutdown().await.unwrap();
    until("none is open", || open(&peer.pool.0.metrics) == 0).await;
}

/// Time passes only where nothing else happens.
#[tokio::test]
async fn nobody_waits_for_ever_and_nothing_is_left_of_who_did() {
    let (peer, twin) = narrow(None).await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire
    };
    let held = send(&peer.pool, request());
    let mut held = std::pin::pin!(held);
    let mut wire = tokio::select! {
        _answer = &mut held => panic!("answered"),
        wire = serve => wire,
    };
    tokio::time::pause();
    let error = send(&twin, request()).await.unwrap_err();
    tokio::time::resume();
    assert!(matches!(error, SendError::Full), "{error:?}");
    assert_eq!(peer.pool.0.places.waiting(), 0);
    wire.write(OK).await;
    assert_eq!(read(within(held).await.unwrap()).await, "ok");
    // What was lent is there again.
    let serve = async {
        wire.head().await;
        wire.write(OK).await;
    };
    let ((), answer) = tokio::join!(serve, exchange(&twin));
    assert_eq!(answer.unwrap(), "ok");
    assert!(peer.is_left_alone().await);
}

/// A handshake takes its place, and gives it back where it fails.
#[tokio::test]
async fn what_fails_to_connect_takes_no_place() {
    let (peer, _twin) = narrow(Some("h2")).await;
    for _ in 0..2 {
        let (silent, ()) = tokio::join!(peer.accept_tcp(), async {
            tokio::time::pause();
            let error = send(&peer.pool, request()).await.unwrap_err();
            tokio::time::resume();
            assert!(matches!(error, SendError::Connect(_)), "{error:?}");
        });
        drop(silent);
    }
    let serve = async { peer.accept().await.serve().await };
    assert_eq!(peer.exchange(serve).await.1.unwrap(), "ok");
}
