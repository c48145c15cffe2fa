//! Clients that hold what others need, by not doing their part: bodies that do not come, answers that nobody
//! takes. And clients that are only slow, or wait themselves, and must not be cut.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::frames::{self, Frames, GOAWAY, RST_STREAM};
use crate::harness::{
    Answered, GOOD, Gate, SECRET, TOKEN, Upstream, eventually, exchange, put, read_answer,
    read_message, records,
};
use crate::wire::{Scripted, configured, connect, patient, read_head};

/// Everything that has to be waited for here ends soon.
const QUICK: &str = "[listener]\nstall_timeout = \"300ms\"\nmin_rate = \"1 KiB\"\n";

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, QUICK);
    for (path, limit) in [("/api/v2/logs/ingest", 1), (TOKEN, 2)] {
        let answer = unfinished(&gate, "PUT", path, "");
        assert_eq!(answer.status, 408, "{path}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        assert_eq!(reached(&gate, "stalled_upload"), limit);
    }
    assert!(upstream.seen().is_empty());
    let record = records(&gate.journal()).pop().unwrap();
    assert_eq!(record["verdict"], "deny", "{record}");
    idle_again(&gate);
}

/// The client waits to be told to go on, is told so, and then says nothing.
#[test]
fn a_client_that_is_told_to_continue_has_to() {
    let gate = configured(Upstream::lenient().address, QUICK);
    let mut client = BufReader::new(connect(gate.address));
    let head = "POST /api/v2/logs/ingest HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    client.get_mut().write_all(head.as_bytes()).unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 100 "));
    assert_eq!(read_answer(&mut client).unwrap().status, 408);
    idle_again(&gate);
}

#[test]
fn a_body_that_trickles_is_too_slow() {
    for piece in ["x", "1\r\nx\r\n"] {
        let gate = configured(Upstream::lenient().address, QUICK);
        let framing = if piece.len() == 1 {
            "Content-Length: 100000"
        } else {
            "Transfer-Encoding: chunked"
        };
        let mut client = connect(gate.address);
        let head = format!("POST /api/v2/logs/ingest HTTP/1.1\r\nHost: g\r\n{framing}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        let answer = meanwhile(&client, || client_writes(&client, piece.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(reached(&gate, "too_slow"), 1);
        idle_again(&gate);
    }
}

#[test]
fn streams_whose_bodies_do_not_come_give_everything_back() {
    let upstream = Counting::start(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let gate = configured(upstream.address, QUICK);
    let mut clients: Vec<Frames> = (0..9)
        .map(|_| Frames::connect(gate.address, 65_535))
        .collect();
    for client in &mut clients {
        for number in 0..100 {
            client.ask(2 * number + 1, "POST", "/api/v2/logs/ingest", true);
        }
    }
    for mut client in clients {
        // Each stream is answered, and the connection takes no more of them.
        let mut answered = 0;
        let mut said_goodbye = false;
        while let Some(frame) = client.next() {
            answered += usize::from(frame.kind == frames::HEADERS);
            said_goodbye |= frame.kind == GOAWAY;
        }
        assert_eq!((answered, said_goodbye), (100, true));
    }
    idle_again(&gate);
    // One is kept for the next request by each worker.
    upstream.until_only(2);
    assert_eq!(gate.send("GET", "/api/v2/x", "").status, 204);
    assert_eq!(reached(&gate, "stalled_upload"), 900);
}

#[test]
fn answers_for_which_a_client_has_no_window_are_let_go() {
    let upstream = Counting::start(answer_of(20 << 10));
    let gate = configured(upstream.address, QUICK);
    let mut client = Frames::connect(gate.address, 0);
    for number in 0..100 {
        client.ask(2 * number + 1, "GET", "/api/v2/metrics", false);
    }
    let mut reset = 0;
    let mut said_goodbye = false;
    // PINGs are answered meanwhile: it is alive, and takes nothing.
    while let Some(frame) = client.next() {
        reset += usize::from(frame.kind == RST_STREAM);
        said_goodbye |= frame.kind == GOAWAY;
        assert_ne!(frame.kind, frames::DATA);
    }
    assert_eq!((reset, said_goodbye), (100, true));
    upstream.until_only(2);
    assert_eq!(reached(&gate, "stalled_answer"), 100);
    assert_eq!(gate.send("GET", "/api/v2/x", "").status, 200);
}

/// Each of these answers is given to the protocol at once, but for the last byte of it.
#[test]
fn answers_that_lack_room_for_their_last_byte_are_let_go_too() {
    let size = 3000;
    let upstream = Counting::start(answer_of(size));
    let gate = configured(upstream.address, QUICK);
    let mut client = Frames::connect(gate.address, u32::try_from(size).unwrap() - 1);
    client.ask(1, "GET", "/api/v2/metrics", false);
    let mut taken = 0;
    let reset = loop {
        let frame = client.next().unwrap();
        match frame.kind {
            frames::DATA => taken += frame.payload.len(),
            RST_STREAM => break frame.stream,
            _ => {}
        }
    };
    assert_eq!((reset, taken), (1, size - 1));
    assert_eq!(reached(&gate, "stalled_answer"), 1);
}

#[test]
fn a_window_that_opens_by_single_bytes_is_too_slow() {
    let upstream = Counting::start(answer_of(20 << 10));
    let gate = configured(upstream.address, QUICK);
    let mut client = Frames::connect(gate.address, 0);
    client.ask(1, "GET", "/api/v2/metrics", false);
    let mut taken = 0;
    loop {
        // Goes on until the stream is reset: one byte is asked for whenever one has come.
        client.window(1, 1).unwrap();
        let frame = client.next().unwrap();
        match frame.kind {
            frames::DATA => {
                taken += frame.payload.len();
                std::thread::park_timeout(Duration::from_millis(10));
            }
            RST_STREAM => break,
            _ => {}
        }
    }
    assert!(taken < 1000, "{taken}");
    let cut = reached(&gate, "too_slow") + reached(&gate, "stalled_answer");
    assert_eq!(cut, 1);
}

#[test]
fn an_answer_that_fills_the_socket_is_let_go_on_both_protocols() {
    let upstream = Counting::start(answer_of(64 << 20));
    let gate = configured(upstream.address, QUICK);
    let mut http1 = connect(gate.address);
    http1
        .write_all(b"GET /api/v2/big HTTP/1.1\r\nHost: g\r\n\r\n")
        .unwrap();
    let mut http2 = Frames::connect(gate.address, 0x7fff_ffff);
    http2.window(0, 0x7fff_0000).unwrap();
    http2.ask(1, "GET", "/api/v2/big", false);
    eventually("both are let go", || {
        (reached(&gate, "stalled_answer") == 2).then_some(())
    });
    upstream.until_nobody_is_connected();
}

/// Thousands of requests on one connection whose answers nobody reads are not begun: the gate stops reading.
#[test]
fn a_pipeline_whose_answers_nobody_reads_is_let_go() {
    let upstream = Counting::start(answer_of(64 << 10));
    let gate = configured(upstream.address, QUICK);
    let client = connect(gate.address);
    let request = b"GET /api/v2/x HTTP/1.1\r\nHost: g\r\n\r\n".repeat(100);
    client.set_nonblocking(true).unwrap();
    let cut = eventually("it is cut", || client_writes(&client, &request).err());
    assert_ne!(cut.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(reached(&gate, "stalled_answer"), 1);
    upstream.until_only(1);
}

#[test]
fn whoever_waits_for_the_upstream_is_not_cut() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, QUICK);
    // A long poll on both protocols, half an answer, and an upload that the upstream does not read.
    let mut poll = connect(gate.address);
    poll.write_all(b"GET /poll HTTP/1.1\r\nHost: g\r\n\r\n")
        .unwrap();
    let mut polled = BufReader::new(upstream.accept());
    read_head(&mut polled);
    let mut http2 = Frames::connect(gate.address, 65_535);
    http2.ask(1, "GET", "/half", false);
    let mut half = BufReader::new(upstream.accept());
    read_head(&mut half);
    half.get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        .unwrap();
    let upload = connect(gate.address);
    let uploading = std::thread::spawn(move || {
        let mut upload = upload;
        let head = format!("PUT /big HTTP/1.1\r\nHost: g\r\nContent-Length: {BIG}\r\n\r\n");
        upload.write_all(head.as_bytes()).unwrap();
        upload.write_all(&vec![b'x'; BIG]).unwrap();
        read_answer(&mut BufReader::new(upload)).unwrap()
    });
    let mut unread = BufReader::new(upstream.accept());
    read_head(&mut unread);

    several_times_the_limit(&gate);
    polled
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    assert_eq!(read_answer(&mut BufReader::new(poll)).unwrap().body, "ok");
    half.get_mut().write_all(b" last").unwrap();
    assert_eq!(all_data(&mut http2), b"first last");
    unread.read_exact(&mut vec![0; BIG]).unwrap();
    unread
        .get_mut()
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .unwrap();
    assert_eq!(uploading.join().unwrap().status, 204);
    assert_eq!(reached(&gate, "too_slow"), 0);
}

/// More than all sockets on the way hold.
const BIG: usize = 32 << 20;

/// Both take about twice as long as anybody may be silent.
#[test]
fn whoever_is_slow_and_keeps_on_is_not_cut() {
    let upstream = Counting::start(answer_of(SLOW));
    let gate = configured(
        upstream.address,
        "[listener]\nstall_timeout = \"3s\"\nmin_rate = \"10 KiB\"\n",
    );
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.connect(&gate.address.into()).unwrap();
    let mut http1 = patient(socket.into());
    http1
        .write_all(b"GET /api/v2/big HTTP/1.1\r\nHost: g\r\n\r\n")
        .unwrap();
    let reading = std::thread::spawn(move || {
        let mut taken = 0;
        let mut piece = vec![0; SLOW / 100];
        while taken < SLOW {
            let read = http1.read(&mut piece).unwrap();
            assert_ne!(read, 0, "cut after {taken}");
            taken += read;
            std::thread::park_timeout(Duration::from_millis(60));
        }
    });
    let mut http2 = Frames::connect(gate.address, 0);
    http2.ask(1, "GET", "/api/v2/big", false);
    let mut taken = 0;
    while taken < SLOW / 20 {
        http2.window(0, 2048).unwrap();
        http2.window(1, 2048).unwrap();
        std::thread::park_timeout(Duration::from_millis(60));
        let frame = http2.next().unwrap();
        assert_ne!(frame.kind, RST_STREAM, "after {taken}");
        if frame.kind == frames::DATA {
            taken += frame.payload.len();
        }
    }
    reading.join().unwrap();
    assert_eq!(reached(&gate, "stalled_answer"), 0);
    assert_eq!(reached(&gate, "too_slow"), 0);
}

const SLOW: usize = 4 << 20;

/// Other requests of the connection end as if nothing had happened.
#[test]
fn a_stalled_stream_takes_no_other_with_it() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, QUICK);
    let mut client = Frames::connect(gate.address, 65_535);
    client.ask(1, "GET", "/long", false);
    let mut long = BufReader::new(upstream.accept());
    read_head(&mut long);
    client.ask(3, "POST", "/stalled", true);
    let stalled = loop {
        let frame = client.next().unwrap();
        if frame.kind == GOAWAY {
            break reached(&gate, "stalled_upload");
        }
    };
    assert_eq!(stalled, 1);
    long.get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        .unwrap();
    assert_eq!(all_data(&mut client), b"whole");
    while let Some(frame) = client.next() {
        assert_eq!(frame.kind, GOAWAY);
    }
}

/// The bytes of stream 1, to its end.
fn all_data(client: &mut Frames) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let frame = client.next().unwrap();
        if frame.stream != 1 {
            continue;
        }
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == frames::DATA {
            data.extend(frame.payload);
        }
        if frame.flags & frames::END_STREAM != 0 {
            return data;
        }
    }
}

/// Time passes: as much as it takes to cut three clients, one after the other.
fn several_times_the_limit(gate: &Gate) {
    for _ in 0..3 {
        assert_eq!(unfinished(gate, "PUT", TOKEN, "").status, 408);
    }
}

/// A request with three bytes of a hundred, and its answer.
fn unfinished(gate: &Gate, method: &str, path: &str, more: &str) -> Answered {
    let mut client = connect(gate.address);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.PUBLIC.{SECRET}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n{more}\r\n{{\"x"
    );
    client.write_all(head.as_bytes()).unwrap();
    read_answer(&mut BufReader::new(client)).unwrap()
}

/// What a client reads to the end while it does something again and again.
fn meanwhile(stream: &TcpStream, mut again: impl FnMut() -> std::io::Result<()>) -> String {
    let mut reader = stream.try_clone().unwrap();
    reader
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let mut text = Vec::new();
    eventually("the connection ends", || {
        let mut piece = [0; 4096];
        match reader.read(&mut piece) {
            Ok(0) => return Some(()),
            Ok(read) => text.extend(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => drop(again()),
            Err(_reset) => return Some(()),
        }
        None
    });
    String::from_utf8(text).unwrap()
}

fn client_writes(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    match stream.write(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        other => other.map(drop),
    }
}

fn answer_of(size: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; size]].concat()
}

/// How often a limit was reached.
pub(crate) fn reached(gate: &Gate, limit: &str) -> u64 {
    metric(gate, &format!("limit_reached_total{{limit=\"{limit}\"}}"))
}

pub(crate) fn metric(gate: &Gate, name: &str) -> u64 {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let line = metrics
        .lines()
        .find(|line| line.starts_with(&format!("dtgate_{name} ")))
        .unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Nothing is held any more, and the gate works.
fn idle_again(gate: &Gate) {
    eventually("no request is in flight", || {
        (metric(gate, "in_flight") == 0).then_some(())
    });
    let changed = exchange(gate.address, put(GOOD).as_bytes());
    assert_ne!(changed.status, 503, "{changed:?}");
}

/// An upstream that answers all alike, and counts who is connected.
struct Counting {
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
}

impl Counting {
    fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (connected.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (counted, answer) = (counted.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while read_message(&mut stream).is_some()
                        && stream.get_mut().write_all(&answer).is_ok()
                    {}
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connected }
    }

    /// Connections that are kept for the next request may remain.
    fn until_only(&self, most: usize) {
        eventually("the gate lets go of the upstream", || {
            (self.connected.load(Ordering::SeqCst) <= most).then_some(())
        });
    }

    fn until_nobody_is_connected(&self) {
        self.until_only(0);
    }
}
