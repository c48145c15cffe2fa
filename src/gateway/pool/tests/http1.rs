//! Connections of HTTP/1: what is used again, what never is, and what is sent a second time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Frame;

use super::*;
use crate::listener::BodyError;

impl Peer {
    /// A connection that carried one request and is kept.
    async fn kept(&self) -> Wire {
        let serve = async {
            let mut wire = self.accept().await;
            wire.head().await;
            wire.write(OK).await;
            wire
        };
        let (wire, answer) = self.exchange(serve).await;
        assert_eq!(answer.unwrap(), "ok");
        until("the connection is ready again", || self.ready() == 1).await;
        wire
    }

    fn ready(&self) -> usize {
        let kept = self.pool.0.kept();
        kept.http1.iter().filter(|(one, _)| one.is_ready()).count()
    }

    fn closed(&self) -> usize {
        let kept = self.pool.0.kept();
        kept.http1.iter().filter(|(one, _)| one.is_closed()).count()
    }

    /// The next request comes on a new connection, and only there.
    async fn next_is_elsewhere(&self) -> Wire {
        let serve = async {
            let mut wire = self.accept().await;
            assert!(wire.head().await.starts_with("PUT /api/x?y HTTP/1.1\r\n"));
            wire.write(OK).await;
            wire
        };
        let (wire, answer) = self.exchange(serve).await;
        assert_eq!(answer.unwrap(), "ok");
        assert!(self.is_left_alone().await);
        wire
    }

    /// An upload that is answered when only its beginning was read; the rest is the test's to send, and what
    /// becomes of the connection then.
    async fn answers_early<T>(
        &self,
        answer: &[u8],
        then: impl FnOnce(Wire) -> T,
    ) -> (T, Sending, Response<Body>) {
        let (request, parts) = upload();
        parts.send("begin").unwrap();
        let serve = async {
            let mut wire = self.accept().await;
            wire.head().await;
            assert_eq!(wire.bytes(10).await, b"5\r\nbegin\r\n");
            wire.write(answer).await;
            then(wire)
        };
        let (then, answer) = tokio::join!(serve, within(send(&self.pool, request)));
        (then, parts, answer.unwrap())
    }
}

pub(super) type Sending = tokio::sync::mpsc::UnboundedSender<&'static str>;

/// A request whose body is what the test sends, of a length that nobody knows before.
pub(super) fn upload() -> (Request<Body>, Sending) {
    let (sender, mut parts) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::new(Parts(std::future::poll_fn(move |context| {
        parts.poll_recv(context)
    })));
    (Request::post("/upload").body(body).unwrap(), sender)
}

struct Parts<F>(F);

impl<F: Future<Output = Option<&'static str>> + Unpin> http_body::Body for Parts<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let part = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(part.map(|part| Ok(Frame::data(Bytes::from(part)))))
    }
}

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    for peer in [Peer::plain().await, Peer::encrypted("http/1.1").await] {
        let mut wire = peer.kept().await;
        for _ in 0..5 {
            let serve = async {
                wire.head().await;
                wire.write(OK).await;
            };
            assert_eq!(peer.exchange(serve).await.1.unwrap(), "ok");
            assert_eq!(peer.pool.0.kept().http1.len(), 1);
        }
        assert!(peer.is_left_alone().await);
        // Another thread's pool shares nothing.
        let twin = peer.pool.twin();
        let serve = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            wire.write(OK).await;
        };
        let ((), answer) = tokio::join!(serve, exchange(&twin));
        assert_eq!(answer.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_connection_is_not_kept_before_its_answer_was_read() {
    let peer = Peer::plain().await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(OK).await;
        wire
    };
    let (mut wire, first) = tokio::join!(serve, within(send(&peer.pool, request())));
    assert!(peer.pool.0.take().is_none());
    let _second = peer.next_is_elsewhere().await;
    // Given up half-way: closed, and never used again.
    drop(first);
    assert!(wire.rest().await.is_empty());
    assert_eq!(peer.pool.0.kept().http1.len(), 1);
}

#[tokio::test]
async fn a_request_that_was_given_up_closes_its_connection() {
    let peer = Peer::plain().await;
    let mut wire = peer.kept().await;
    tokio::select! {
        _answer = send(&peer.pool, request()) => panic!("answered"),
        _head = wire.head() => {}
    }
    assert!(wire.rest().await.is_empty());
    // What comes too late reaches nobody.
    drop(wire.0.write_all(OK).await);
    let _second = peer.next_is_elsewhere().await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    for peer in [Peer::plain().await, Peer::encrypted("http/1.1").await] {
        let mut wire = peer.kept().await;
        wire.0.shutdown().await.unwrap();
        drop(wire);
        until("the end was seen", || peer.closed() == 1).await;
        let _second = peer.next_is_elsewhere().await;
        // Whatever is closed leaves with the first look at it.
        assert_eq!(peer.pool.0.kept().http1.len(), 1);
    }
}

/// The connection is gone, and the pool does not know it yet when it hands the request over.
#[tokio::test]
async fn a_request_that_provably_never_left_is_sent_on_another_connection() {
    let peer = Peer::plain().await;
    // Told by the system in the same breath, the test runs before the connection's own task does.
    let (mut bell, mut ear) = tokio::net::UnixStream::pair().unwrap();
    bell.write_all(b"!").await.unwrap();
    // Into more room than there are bytes: the next time it has to ask the system.
    assert_eq!(ear.read(&mut [0; 8]).await.unwrap(), 1);
    // An answer that nobody asked for ends a connection, too: whose should it be?
    for unasked in [OK, b""] {
        let mut wire = peer.kept().await;
        if unasked.is_empty() {
            wire.0.shutdown().await.unwrap();
        } else {
            wire.write(unasked).await;
        }
        bell.write_all(b"!").await.unwrap();
        assert_eq!(within(ear.read(&mut [0; 8])).await.unwrap(), 1);
        assert_eq!(peer.ready(), 1);
        drop(peer.next_is_elsewhere().await);
        assert!(wire.rest().await.is_empty());
        until("both are gone", || peer.ready() == 0).await;
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys() {
    let peer = Peer::plain().await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(&[OK, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"].concat())
            .await;
        wire
    };
    let (mut wire, answer) = peer.exchange(serve).await;
    assert_eq!(answer.unwrap(), "ok");
    let _second = peer.next_is_elsewhere().await;
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn a_request_that_was_read_and_not_answered_is_not_sent_again() {
    let peer = Peer::plain().await;
    let mut wire = peer.kept().await;
    let cut = async {
        wire.head().await;
        drop(wire);
    };
    let error = peer.exchange(cut).await.1.unwrap_err();
    assert!(matches!(error, SendError::Send(_)), "{error:?}");
    assert!(peer.is_left_alone().await);
}

/// Half an answer is none: who asks for the rest of it gets an error, and not the beginning of another.
#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_its_connection_gone() {
    for peer in [Peer::plain().await, Peer::encrypted("http/1.1").await] {
        for beginning in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegin"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n",
        ] {
            let serve = async {
                let mut wire = peer.accept().await;
                wire.head().await;
                wire.write(beginning).await;
            };
            let ((), answer) = tokio::join!(serve, within(send(&peer.pool, request())));
            let body = within(answer.unwrap().into_body().collect()).await;
            assert!(body.is_err());
            assert!(peer.pool.0.kept().http1.is_empty());
        }
    }
}

#[tokio::test]
async fn an_upstream_that_closes_after_its_answer_is_not_asked_twice_there() {
    let peer = Peer::plain().await;
    for answer in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let serve = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            // It says so and does not: the connection is left open, for the gate to close.
            wire.write(answer).await;
            wire
        };
        let (mut wire, read) = peer.exchange(serve).await;
        assert_eq!(read.unwrap(), "ok");
        assert!(wire.rest().await.is_empty());
        assert_eq!(peer.ready(), 0);
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    for version in ["1.0", "1.1"] {
        let peer = Peer::plain().await;
        let serve = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            wire.write(format!("HTTP/{version} 200 OK\r\n\r\n").as_bytes())
                .await;
            for _ in 0..100 {
                wire.write(&[b'x'; 10_000]).await;
            }
        };
        let ((), answer) = peer.exchange(serve).await;
        assert_eq!(answer.unwrap().len(), 1_000_000);
        let _second = peer.next_is_elsewhere().await;
    }
}

/// On a connection that it knows to be of HTTP/1.0 hyper would send a body of unknown length as none at all.
#[tokio::test]
async fn an_upload_to_an_upstream_of_http_1_0_is_whole_or_nothing() {
    let peer = Peer::plain().await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok")
            .await;
        wire
    };
    let (_open, answer) = peer.exchange(serve).await;
    assert_eq!(answer.unwrap(), "ok");
    let (request, parts) = upload();
    parts.send("part").unwrap();
    drop(parts);
    let serve = async {
        let mut wire = peer.accept().await;
        let head = wire.head().await;
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(wire.bytes(14).await, b"4\r\npart\r\n0\r\n\r\n");
        wire.write(OK).await;
    };
    let ((), answer) = tokio::join!(serve, within(send(&peer.pool, request)));
    assert_eq!(read(answer.unwrap()).await, "ok");
}

/// An upstream that answers before it has read everything: the connection is used again after the last byte of
/// the request, and not before.
#[tokio::test]
async fn an_early_answer_is_passed_on_and_the_rest_of_the_request_too() {
    let peer = Peer::plain().await;
    let (mut wire, parts, answer) = peer.answers_early(OK, |wire| wire).await;
    assert_eq!(read(answer).await, "ok");
    assert_eq!(peer.ready(), 0);
    let _second = peer.next_is_elsewhere().await;

    parts.send("end").unwrap();
    drop(parts);
    assert_eq!(wire.bytes(13).await, b"3\r\nend\r\n0\r\n\r\n");
    until("both are ready", || peer.ready() == 2).await;
}

/// It says no more than its answer, and hangs up on the rest of the request.
#[tokio::test]
async fn an_early_answer_with_a_closed_connection_is_an_answer() {
    let peer = Peer::plain().await;
    let too_large = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let ((), parts, answer) = peer.answers_early(too_large, drop).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(read(answer).await, "ok");
    // Whoever uploads learns that nobody listens.
    within(parts.closed()).await;
    let _second = peer.next_is_elsewhere().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_never_the_beginning_of_another_request() {
    let peer = Peer::plain().await;
    let (request, parts) = upload();
    let request = request.map(|body| Body::new(Broken(body)));
    parts.send("begin").unwrap();
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        assert_eq!(wire.bytes(10).await, b"5\r\nbegin\r\n");
        drop(parts);
        assert!(wire.rest().await.is_empty());
    };
    let ((), answer) = tokio::join!(serve, within(send(&peer.pool, request)));
    assert!(matches!(answer, Err(SendError::Send(_))), "{answer:?}");
    let _second = peer.next_is_elsewhere().await;
}

/// A body whose sender goes away where it should end.
struct Broken(Body);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(frame.or_else(|| Some(Err(BodyError::new("gone")))))
    }
}

#[tokio::test]
async fn a_protocol_that_nobody_asked_for_ends_the_connection() {
    let peer = Peer::plain().await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        )
        .await;
        wire
    };
    let (mut wire, answer) = peer.exchange(serve).await;
    assert!(matches!(answer, Err(SendError::Answer(_))), "{answer:?}");
    assert!(wire.rest().await.is_empty());
    let _second = peer.next_is_elsewhere().await;
}

/// The system knows it, and the runtime does not yet: nothing is awaited in between.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_lies_unread_before_a_request_is_no_answer_to_it() {
    for peer in [Peer::plain().await, Peer::encrypted("http/1.1").await] {
        let upstream = peer.listener.local_addr().unwrap().port();
        for unasked in [OK, b""] {
            let serve = async {
                let stream = peer.accept_tcp().await;
                let gate = stream.peer_addr().unwrap().port();
                let mut wire = peer.wire(stream).await;
                wire.head().await;
                wire.write(OK).await;
                (wire, gate)
            };
            let ((mut wire, gate), answer) = peer.exchange(serve).await;
            assert_eq!(answer.unwrap(), "ok");
            until("the connection is ready again", || peer.ready() == 1).await;
            if unasked.is_empty() {
                wire.0.shutdown().await.unwrap();
            } else {
                wire.write(unasked).await;
            }
            while !lies_unread(gate, upstream) {}
            assert_eq!(peer.ready(), 1, "nobody has looked");
            drop(peer.next_is_elsewhere().await);
            // Not a byte of the request was written to it.
            assert!(wire.rest().await.is_empty());
            until("both are gone", || peer.ready() == 0).await;
        }
    }
}

/// Whether the other end of a connection has received what was not read, as the system tells it.
#[cfg(target_os = "linux")]
fn lies_unread(gate: u16, upstream: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = [format!(":{gate:04X}"), format!(":{upstream:04X}")];
    let unread = sockets.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ours = ends
            .iter()
            .all(|end| fields.next().is_some_and(|field| field.ends_with(end)));
        let (_unsent, unread) = fields.nth(1)?.split_once(':')?;
        ours.then_some(unread)
    });
    unread.is_some_and(|unread| unread.bytes().any(|digit| digit != b'0'))
}

/// Where an answer has no body, whatever comes behind it could be taken for the next one.
#[tokio::test]
async fn a_connection_is_not_used_behind_an_answer_that_claims_a_body_and_may_have_none() {
    for claim in ["content-length: 2", "transfer-encoding: chunked"] {
        let peer = Peer::plain().await;
        let serve = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            wire.write(format!("HTTP/1.1 204 No Content\r\n{claim}\r\n\r\n").as_bytes())
                .await;
            wire
        };
        let (mut wire, answer) = tokio::join!(serve, within(send(&peer.pool, request())));
        let answer = answer.unwrap();
        assert_eq!(answer.headers().get("content-length"), None);
        assert_eq!(read(answer).await, "");
        assert!(wire.rest().await.is_empty());
        let _second = peer.next_is_elsewhere().await;
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let peer = Peer::plain().await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100);
        // Until the gate hangs up.
        while wire.0.write_all(&interim).await.is_ok() {}
    };
    let ((), answer) = peer.exchange(within(serve)).await;
    assert!(matches!(answer, Err(SendError::Head)), "{answer:?}");
    // A body is as long as it is, however much of it comes with the head.
    let body = vec![b'x'; 10_000_000];
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.write(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n",
        )
        .await;
        wire.write(&body).await;
    };
    let ((), answer) = peer.exchange(serve).await;
    assert_eq!(answer.unwrap().len(), body.len());
}

/// It answers, and then neither reads the rest nor hangs up.
#[tokio::test]
async fn an_upstream_that_takes_no_more_of_a_request_that_it_answered_is_left() {
    let mut limits = limits();
    limits.times.response = Duration::from_millis(50);
    let metrics = limits.metrics.clone();
    let peer = Peer::start(None, limits).await;
    let (mut wire, parts, answer) = peer.answers_early(OK, |wire| wire).await;
    assert_eq!(read(answer).await, "ok");
    // More than fits into the buffers of two sockets.
    let rest: &'static str = "x".repeat(50_000_000).leak();
    parts.send(rest).unwrap();
    within(parts.closed()).await;
    assert!(wire.rest().await.len() < rest.len());
    assert_eq!(count(&metrics, Limit::UpstreamResponse), 1);
    until("nothing is left", || open(&metrics) == 0).await;
}

/// Waiting for the client is no silence of the upstream's.
#[tokio::test]
async fn the_rest_of_a_request_may_take_as_long_as_its_client_does() {
    let peer = Peer::plain().await;
    let (mut wire, parts, answer) = peer.answers_early(OK, |wire| wire).await;
    assert_eq!(read(answer).await, "ok");
    tokio::time::pause();
    tokio::time::advance(LONG * 10).await;
    tokio::time::resume();
    parts.send("end").unwrap();
    drop(parts);
    assert_eq!(wire.bytes(13).await, b"3\r\nend\r\n0\r\n\r\n");
}
