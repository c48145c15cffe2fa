//! Connections of HTTP/2 over TLS, whose upstream is written frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;

use super::super::http2::{PING_INTERVAL, PING_TIMEOUT};
use super::http1::upload;
use super::*;
use crate::listener::BodyError;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes.
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

#[derive(Debug)]
struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Wire {
    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.write(&frame).await;
    }

    /// The next frame that is about requests; the rest is answered as it must be.
    async fn next(&mut self) -> Seen {
        loop {
            let head = self.bytes(9).await;
            if head == b"PRI * HTT" {
                self.bytes(15).await;
                self.frame(SETTINGS, 0, 0, &[]).await;
                continue;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            let payload = self.bytes(usize::try_from(length).unwrap()).await;
            match kind {
                SETTINGS if flags == 0 => self.frame(SETTINGS, 1, 0, &[]).await,
                PING if flags == 0 => self.frame(PING, 1, 0, &payload).await,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => {
                    return Seen {
                        kind,
                        flags,
                        stream,
                        payload,
                    };
                }
            }
        }
    }

    /// Reads a request without a body.
    pub(super) async fn http2_request(&mut self) -> u32 {
        let seen = self.next().await;
        assert_eq!(seen.kind, HEADERS, "{seen:?}");
        assert_eq!(seen.flags & END_STREAM, END_STREAM, "{seen:?}");
        seen.stream
    }

    pub(super) async fn http2_answer(&mut self, stream: u32, body: &[u8]) {
        self.http2_head(stream).await;
        self.frame(DATA, END_STREAM, stream, body).await;
    }

    /// `:status: 200` and no more.
    pub(super) async fn http2_head(&mut self, stream: u32) {
        self.frame(HEADERS, END_HEADERS, stream, &[0x88]).await;
    }

    /// Which stream the gate does not want any more.
    pub(super) async fn http2_called_back(&mut self) -> u32 {
        let seen = self.next().await;
        assert_eq!(seen.kind, RST_STREAM, "{seen:?}");
        seen.stream
    }

    async fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
        self.frame(GOAWAY, 0, 0, &payload).await;
    }

    async fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// One request from head to end.
    pub(super) async fn serve(&mut self) {
        let stream = self.http2_request().await;
        self.http2_answer(stream, b"ok").await;
    }
}

impl Peer {
    /// A connection that carried one request and is kept.
    async fn kept_http2(&self) -> Wire {
        let serve = async {
            let mut wire = self.accept().await;
            wire.serve().await;
            wire
        };
        let (wire, answer) = self.exchange(serve).await;
        assert_eq!(answer.unwrap(), "ok");
        assert_eq!(self.open(), 1);
        wire
    }

    /// How many connections are kept that the pool believes in.
    fn open(&self) -> usize {
        let kept = self.pool.0.kept();
        kept.http2
            .iter()
            .filter(|(one, _)| !one.is_closed())
            .count()
    }

    async fn next_is_on_a_new_connection(&self) -> Wire {
        let serve = async {
            let mut wire = self.accept().await;
            wire.serve().await;
            wire
        };
        let (wire, answer) = self.exchange(serve).await;
        assert_eq!(answer.unwrap(), "ok");
        assert!(self.is_left_alone().await);
        wire
    }
}

#[tokio::test]
async fn one_connection_carries_requests_side_by_side() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let serve = async {
        let (one, two) = (wire.http2_request().await, wire.http2_request().await);
        // In the other order, and each gets its own.
        wire.http2_answer(two, b"two").await;
        wire.http2_answer(one, b"one").await;
    };
    let (one, two) = (exchange(&peer.pool), exchange(&peer.pool));
    let ((), one, two) = tokio::join!(serve, one, two);
    assert_eq!(
        (&one.unwrap()[..], &two.unwrap()[..]),
        (&b"one"[..], &b"two"[..])
    );
    assert!(peer.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_is_not_kept_before_its_first_answer() {
    let peer = Peer::encrypted("h2").await;
    let serve = async {
        let mut first = peer.accept().await;
        let stream = first.http2_request().await;
        assert!(peer.pool.0.take().is_none());
        let second = peer.next_is_on_a_new_connection().await;
        first.http2_answer(stream, b"ok").await;
        (first, second)
    };
    let ((mut first, _second), answer) = peer.exchange(serve).await;
    assert_eq!(answer.unwrap(), "ok");
    // One is enough: the other ends with its request.
    assert_eq!(peer.open(), 1);
    first.rest().await;
}

/// A connection is idle since its last answer ended, however long that took.
#[tokio::test]
async fn a_connection_is_as_good_as_new_after_a_long_answer() {
    let idle = Duration::from_secs(8);
    assert!(idle < PING_INTERVAL);
    let mut limits = limits();
    limits.times.idle = idle;
    let peer = Peer::start(Some("h2"), limits).await;
    let mut wire = peer.kept_http2().await;
    let serve = async {
        let stream = wire.http2_request().await;
        wire.http2_head(stream).await;
        stream
    };
    let (stream, answer) = tokio::join!(serve, within(send(&peer.pool, request())));
    tokio::time::pause();
    tokio::time::advance(idle).await;
    tokio::time::resume();
    wire.frame(DATA, END_STREAM, stream, b"late").await;
    assert_eq!(read(answer.unwrap()).await, "late");
    assert!(peer.pool.0.take().is_some());
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
    assert!(peer.is_left_alone().await);
}

/// As many as the upstream takes, and not one that waits behind them.
#[tokio::test]
async fn a_full_connection_makes_nobody_wait() {
    let peer = Peer::encrypted("h2").await;
    let mut first = peer.kept_http2().await;
    let one_at_a_time = [0, 3, 0, 0, 0, 1];
    first.frame(SETTINGS, 0, 0, &one_at_a_time).await;
    // What came before an answer was read before it.
    let ((), answer) = peer.exchange(first.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
    let serve = async {
        let stream = first.http2_request().await;
        let second = peer.next_is_on_a_new_connection().await;
        assert_eq!(peer.open(), 2);
        first.http2_answer(stream, b"ok").await;
        (first, second)
    };
    let ((mut first, _second), answer) = peer.exchange(serve).await;
    assert_eq!(answer.unwrap(), "ok");
    // There is room again.
    let ((), answer) = peer.exchange(first.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_the_end_takes_no_room() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let serve = async {
        let stream = wire.http2_request().await;
        wire.http2_head(stream).await;
        stream
    };
    let (stream, answer) = tokio::join!(serve, within(send(&peer.pool, request())));
    let busy = || peer.pool.0.kept().http2[0].0.is_busy();
    assert!(busy());
    drop(answer);
    assert!(!busy());
    let seen = wire.next().await;
    assert_eq!((seen.kind, seen.stream), (RST_STREAM, stream));
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn a_request_that_was_given_up_is_called_back_and_the_others_go_on() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let stream = tokio::select! {
        _answer = send(&peer.pool, request()) => panic!("answered"),
        stream = wire.http2_request() => stream,
    };
    let seen = wire.next().await;
    assert_eq!((seen.kind, seen.stream), (RST_STREAM, stream));
    assert_eq!(seen.payload, CANCEL.to_be_bytes());
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn an_early_answer_is_an_answer() {
    let peer = Peer::encrypted("h2").await;
    let (_open, body) = tokio::sync::mpsc::unbounded_channel::<()>();
    let never = crate::listener::boxed(Never(body));
    let request = Request::post("/upload").body(never).unwrap();
    let serve = async {
        let mut wire = peer.accept().await;
        let seen = wire.next().await;
        assert_eq!((seen.kind, seen.flags & END_STREAM), (HEADERS, 0));
        wire.http2_answer(seen.stream, b"early").await;
        wire.reset(seen.stream, NO_ERROR).await;
        wire
    };
    let (mut wire, answer) = tokio::join!(serve, within(send(&peer.pool, request)));
    assert_eq!(read(answer.unwrap()).await, "early");
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
}

/// Of the first answers nobody takes a byte; the last one comes all the same. An upstream that sent more than the
/// connection's window would be hung up on.
#[tokio::test]
async fn answers_that_nobody_takes_do_not_stop_the_others() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let mut held = Vec::new();
    for _ in 0..50 {
        let serve = async {
            let stream = wire.http2_request().await;
            wire.http2_head(stream).await;
            // All that the gate takes without being read.
            for _ in 0..16 {
                wire.frame(DATA, 0, stream, &[0; 16 * 1024]).await;
            }
        };
        let ((), answer) = tokio::join!(serve, within(send(&peer.pool, request())));
        held.push(answer.unwrap());
    }
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
    assert!(peer.is_left_alone().await);
}

/// A field `x` with a value of so many bytes, as HPACK writes it.
fn field(length: usize) -> Vec<u8> {
    let mut field = vec![0, 1, b'x', 0x7F];
    let mut rest = length - 0x7F;
    while rest >= 0x80 {
        field.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
        rest /= 0x80;
    }
    field.push(u8::try_from(rest).unwrap());
    field.extend(vec![b'v'; length]);
    field
}

#[tokio::test]
async fn a_head_is_as_long_as_the_limit_allows() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let one = field(0x7F);
    for (fields, passes) in [
        (field(8000), true),
        (field(8200), false),
        (one.repeat(40), true),
        ([0, 1, b'x', 1, b'v'].repeat(121), false),
        // More than hyper takes: the answer is lost, and the connection is not.
        (field(12_000).repeat(3), false),
    ] {
        let serve = async {
            let stream = wire.http2_request().await;
            let block = [&[0x88], &fields[..]].concat();
            let mut parts = block.chunks(16_000).peekable();
            let mut kind = HEADERS;
            while let Some(part) = parts.next() {
                let flags = if parts.peek().is_some() {
                    0
                } else {
                    END_HEADERS
                };
                wire.frame(kind, flags, stream, part).await;
                kind = CONTINUATION;
            }
            if passes {
                wire.frame(DATA, END_STREAM, stream, b"ok").await;
            } else {
                assert_eq!(wire.http2_called_back().await, stream);
            }
        };
        let ((), answer) = peer.exchange(serve).await;
        assert_eq!(answer.is_ok(), passes, "{answer:?}");
        if let Err(error) = answer {
            let named = matches!(error, SendError::Head | SendError::Send(_));
            assert!(named, "{error:?}");
        }
    }
    assert!(peer.is_left_alone().await);
}

/// A window of nothing: hyper waits for room before it reads more of the request.
#[tokio::test]
async fn an_upstream_that_takes_no_more_of_a_request_that_it_answered_is_left() {
    let mut limits = limits();
    limits.times.response = Duration::from_millis(50);
    let metrics = limits.metrics.clone();
    let peer = Peer::start(Some("h2"), limits).await;
    let mut wire = peer.kept_http2().await;
    let (request, parts) = upload();
    for _ in 0..3 {
        parts.send("x".repeat(100_000).leak()).unwrap();
    }
    let serve = async {
        let seen = wire.next().await;
        assert_eq!((seen.kind, seen.flags & END_STREAM), (HEADERS, 0));
        wire.http2_answer(seen.stream, b"early").await;
    };
    let ((), answer) = tokio::join!(serve, within(send(&peer.pool, request)));
    assert_eq!(read(answer.unwrap()).await, "early");
    // Nobody else was on the connection.
    wire.rest().await;
    within(parts.closed()).await;
    assert_eq!(count(&metrics, Limit::UpstreamResponse), 1);
    until("it is not kept", || peer.open() == 0).await;
}

/// A body that does not come.
struct Never(tokio::sync::mpsc::UnboundedReceiver<()>);

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(context).map(|_closed| None)
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    wire.0.shutdown().await.unwrap();
    drop(wire);
    until("the end was seen", || peer.open() == 0).await;
    peer.next_is_on_a_new_connection().await;
    assert_eq!(peer.pool.0.kept().http2.len(), 1);
}

/// The upstream ends the connection, and what it has begun there.
#[tokio::test]
async fn after_goaway_what_was_begun_ends_and_the_next_is_elsewhere() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let serve = async {
        let stream = wire.http2_request().await;
        wire.go_away(stream).await;
        wire.http2_head(stream).await;
        stream
    };
    let (stream, answer) = tokio::join!(serve, within(send(&peer.pool, request())));
    let answer = answer.unwrap();
    let _second = peer.next_is_on_a_new_connection().await;
    wire.frame(DATA, END_STREAM, stream, b"old").await;
    assert_eq!(read(answer).await, "old");
    wire.rest().await;
    assert_eq!(peer.open(), 1);
}

/// Whether it was processed can be guessed; a change of a token is not repeated on a guess.
#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again_whatever_the_upstream_says() {
    let peer = Peer::encrypted("h2").await;
    for how in ["refused", "gone away", "cut"] {
        let mut wire = peer.kept_http2().await;
        let serve = async {
            let stream = wire.http2_request().await;
            match how {
                "refused" => wire.reset(stream, REFUSED_STREAM).await,
                "gone away" => wire.go_away(stream - 2).await,
                _ => drop(wire.0.shutdown().await),
            }
            wire
        };
        let (wire, answer) = peer.exchange(serve).await;
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::Send(_)), "{how}: {error:?}");
        assert!(peer.is_left_alone().await, "{how}");
        drop(wire);
        until("the connection is gone", || peer.open() == 0).await;
    }
}

/// Time passes only where nothing else happens: the upstream reads and says no more, and its socket stays open.
#[tokio::test]
async fn a_connection_without_a_sign_of_life_leaves_the_pool() {
    let peer = Peer::encrypted("h2").await;
    let silent = peer.kept_http2().await;
    tokio::time::pause();
    let before = Instant::now();
    let error = send(&peer.pool, request()).await.unwrap_err();
    assert!(matches!(error, SendError::Send(_)), "{error:?}");
    let a_moment = Duration::from_secs(1);
    assert!(before.elapsed() < PING_INTERVAL + PING_TIMEOUT + a_moment);
    assert_eq!(peer.open(), 0);
    tokio::time::resume();
    peer.next_is_on_a_new_connection().await;
    drop(silent);
}

/// Before a request is sent on it.
#[tokio::test]
async fn an_idle_connection_without_a_sign_of_life_leaves_the_pool() {
    let peer = Peer::encrypted("h2").await;
    let silent = peer.kept_http2().await;
    tokio::time::pause();
    tokio::time::sleep(PING_INTERVAL + PING_TIMEOUT).await;
    tokio::time::resume();
    until("it is gone", || peer.open() == 0).await;
    peer.next_is_on_a_new_connection().await;
    drop(silent);
}

#[tokio::test]
async fn a_connection_with_a_sign_of_life_stays() {
    let peer = Peer::encrypted("h2").await;
    let mut wire = peer.kept_http2().await;
    let read = Instant::now();
    tokio::time::pause();
    tokio::time::advance(PING_INTERVAL).await;
    tokio::time::resume();
    // The pings before the request are answered with it.
    let ((), answer) = peer.exchange(wire.serve()).await;
    assert_eq!(answer.unwrap(), "ok");
    assert!(read.elapsed() >= PING_INTERVAL);
    assert!(peer.is_left_alone().await);
    assert_eq!(peer.open(), 1);
}
