//! The queue before writers of all kinds of trouble.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::*;

/// Everything that was written, in pieces as large as the test allows.
struct Out {
    /// What the next write does: takes so many bytes, or fails.
    allowed: Receiver<Result<usize, io::ErrorKind>>,
    written: Sender<Vec<u8>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Blocks, as a pipe does that nobody reads; what a test has forgotten fails.
        let allowed = self
            .allowed
            .recv()
            .unwrap_or(Err(io::ErrorKind::BrokenPipe));
        let taken = allowed?.min(bytes.len());
        let taken = &bytes[..taken];
        self.written.send(taken.to_vec()).unwrap();
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Under {
    queue: Queue,
    metrics: Metrics,
    allow: Sender<Result<usize, io::ErrorKind>>,
    written: Receiver<Vec<u8>>,
}

fn start() -> Under {
    let (allow, allowed) = channel();
    let (written_to, written) = channel();
    let metrics = Metrics::new("1.2.3");
    let out = Out {
        allowed,
        written: written_to,
    };
    let queue = Queue::start(out, Size::from_mib(4), metrics.clone()).unwrap();
    Under {
        queue,
        metrics,
        allow,
        written,
    }
}

impl Under {
    /// As many bytes as these, however they were divided.
    fn expect(&self, text: &str) {
        let mut read = Vec::new();
        while read.len() < text.len() {
            let piece = self.written.recv_timeout(LONG).unwrap();
            read.extend(piece);
        }
        assert_eq!(String::from_utf8(read).unwrap(), text);
    }

    fn dropped(&self) -> u64 {
        let text = self.metrics.encode();
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("dtgate_log_dropped_total "));
        count.unwrap().parse().unwrap()
    }
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn lines_come_out_in_order_and_the_end_waits_for_them() {
    let under = start();
    let mut all = String::new();
    for number in 0..1000 {
        let line = format!("line {number}\n");
        under.queue.push(line.as_bytes());
        all += &line;
        under.allow.send(Ok(usize::MAX)).unwrap();
    }
    under.queue.close(LONG);
    assert!(under.queue.lock().has_ended);
    under.expect(&all);
    assert_eq!(under.dropped(), 0);
}

#[test]
fn whatever_goes_wrong_every_byte_comes_out_once() {
    let under = start();
    under.queue.push(b"the first line\n");
    for step in [
        Err(io::ErrorKind::StorageFull),
        Ok(5),
        Err(io::ErrorKind::Interrupted),
        Err(io::ErrorKind::WouldBlock),
        Ok(0),
        Ok(1),
        Err(io::ErrorKind::BrokenPipe),
        Err(io::ErrorKind::Other),
        Ok(usize::MAX),
    ] {
        under.allow.send(step).unwrap();
    }
    under.expect("the first line\n");
    under.queue.push(b"the second\n");
    under.allow.send(Ok(usize::MAX)).unwrap();
    under.expect("the second\n");
    assert_eq!(under.dropped(), 0);
}

#[test]
fn what_fails_again_and_again_is_dropped_but_for_the_end_of_a_line() {
    let under = start();
    let fails = |times| {
        for _ in 0..times {
            let error = io::ErrorKind::StorageFull;
            under.allow.send(Err(error)).unwrap();
        }
    };
    under.queue.push(b"a line that is begun\n");
    under.allow.send(Ok(8)).unwrap();
    // The thread is at this line: those that follow come with the next batch.
    under.expect("a line t");
    under.queue.push(b"one\ntwo\n");
    fails(TRIES + 1);
    fails(TRIES + 1);
    let mut lines = 0;
    while lines < 2 {
        thread::yield_now();
        lines = under.dropped();
    }
    assert_eq!(lines, 2);
    under.queue.push(b"three\n");
    under.allow.send(Ok(usize::MAX)).unwrap();
    under.expect("hat is begun\nthree\n");
    assert_eq!(under.dropped(), 2);
}

#[test]
fn what_has_no_room_is_dropped_and_counted_and_nobody_waits() {
    let under = start();
    let line = vec![b'x'; 1 << 20];
    // One is on its way, four wait; nothing moves.
    under.queue.push(&line);
    while !under.queue.lock().text.is_empty() {
        thread::yield_now();
    }
    for _ in 0..20 {
        under.queue.push(&line);
    }
    assert_eq!(under.dropped(), 16);
    assert_eq!(under.queue.lock().dropped, 16);
    assert_eq!(under.queue.lock().text.len(), 4 << 20);
    for _ in 0..20 {
        under.allow.send(Ok(usize::MAX)).unwrap();
    }
    let mut left = 1 + 4;
    while left > 0 {
        left -= under.written.recv_timeout(LONG).unwrap().len() >> 20;
    }
    // It is said, or would be if these tests had a log.
    while under.queue.lock().dropped > 0 {
        thread::yield_now();
    }
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_is_gone_or_asleep() {
    let under = start();
    under.queue.push(b"a line\n");
    // Asleep.
    under.queue.close(Duration::from_millis(10));
    assert!(!under.queue.lock().has_ended);

    let under = start();
    drop(under.allow);
    under.queue.push(b"a line\n");
    // Gone.
    let begun = Instant::now();
    under.queue.close(LONG);
    assert!(under.queue.lock().has_ended);
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_line_that_is_too_long_is_cut_and_stays_what_it_is() {
    let long = "ä\u{9b}".repeat(100 << 10);
    let line = serde_json::json!({"level": "INFO", "path": long, "status": 200}).to_string();
    let cut_line = cut(&line, Format::Json);
    assert!(cut_line.len() <= LINE && cut_line.ends_with("}\n"));
    let value: serde_json::Value = serde_json::from_str(&cut_line).unwrap();
    assert_eq!(value["status"], 200);
    let path = value["path"].as_str().unwrap();
    assert!(path.starts_with('ä') && path.ends_with(&format!("… ({} bytes)", long.len())));

    let cut_line = cut(&line, Format::Text);
    assert!(cut_line.len() < LINE + 32 && cut_line.lines().count() == 1);
}
