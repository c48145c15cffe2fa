//! An open loop: requests are due at a fixed rate whether or not the last ones were answered, and the latency of each
//! counts from the moment it was due. Standing in line, here or there, is therefore part of it.
//!
//! Plain threads with a connection each and no runtime: a runtime's clock ticks in milliseconds, which is what is to be
//! measured. Prints one line of JSON. Knows HTTP/1.1 only as far as the benchmark's upstream and peers speak it: a head
//! with `Content-Length`, or 204. Needs nothing but the standard library, so that `rustc -O` builds it in a moment.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// What every thread shares.
struct Plan {
    target: String,
    requests: Vec<Vec<u8>>,
    /// Of one request after the other.
    interval: Duration,
    total: u64,
    start: Instant,
    /// When to give up on what should have been sent by now.
    end: Instant,
    next: AtomicU64,
}

/// What one thread saw.
#[derive(Default)]
struct Seen {
    /// In nanoseconds, from when the request was due.
    latencies: Vec<u64>,
    /// How late each was sent, though a connection was free: the fault of this program and of its timer.
    late: Vec<u64>,
    refused: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, requests, headers, rate, seconds, connections] = arguments.as_slice() else {
        // `cargo bench` starts every bench; alone this one has nothing to do.
        writeln!(
            std::io::stderr(),
            "load HOST:PORT REQUESTS HEADERS RATE SECONDS CONNECTIONS (benches/compare/run.py starts it)"
        )?;
        return Ok(());
    };
    let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
    let connections: usize = connections.parse()?;
    let begin = Instant::now() + Duration::from_millis(50);
    let interval = Duration::from_secs_f64(1.0 / rate);
    let plan = Arc::new(Plan {
        target: target.clone(),
        requests: prepare(target, requests, headers)?,
        interval,
        total: (Duration::from_secs_f64(seconds).as_nanos() / interval.as_nanos()).try_into()?,
        start: begin,
        end: begin + Duration::from_secs_f64(seconds + 1.0),
        next: AtomicU64::new(0),
    });
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let plan = Arc::clone(&plan);
            thread::spawn(move || drive(&plan))
        })
        .collect();
    let (mut all, mut answered) = (Seen::default(), 0);
    for thread in threads {
        let seen = thread
            .join()
            .map_err(|panic| format!("a thread panicked: {panic:?}"))??;
        answered += seen.latencies.len();
        all.latencies.extend(seen.latencies);
        all.late.extend(seen.late);
        all.refused += seen.refused;
    }
    let took = begin.elapsed();
    // What was due and never sent has waited at least until now.
    let first_unsent = plan.next.load(Ordering::Relaxed).min(plan.total);
    all.latencies.extend(
        (first_unsent..plan.total)
            .map(|index| nanoseconds(begin.elapsed().saturating_sub(due(&plan, index)))),
    );
    all.latencies.sort_unstable();
    all.late.sort_unstable();
    let micros = |sorted: &[u64], per_mille: usize| quantile(sorted, per_mille) / 1000;
    writeln!(
        std::io::stdout(),
        "{{\"due\":{},\"requests\":{answered},\"seconds\":{:.6},\"refused\":{},\"p50\":{},\"p99\":{},\"p999\":{},\"late_p50\":{},\"late_p99\":{}}}",
        plan.total,
        took.as_secs_f64(),
        all.refused,
        micros(&all.latencies, 500),
        micros(&all.latencies, 990),
        micros(&all.latencies, 999),
        micros(&all.late, 500),
        micros(&all.late, 990),
    )?;
    Ok(())
}

/// Every request as it goes over the wire.
fn prepare(target: &str, requests: &str, headers: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let headers = std::fs::read_to_string(headers)?.replace('\n', "\r\n");
    let mut prepared = Vec::new();
    for line in std::fs::read_to_string(requests)?.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(method), Some(path), Some(body)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("not a request: {line}").into());
        };
        let length = body.len();
        prepared.push(
            format!("{method} {path} HTTP/1.1\r\nHost: {target}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        );
    }
    if prepared.is_empty() {
        return Err("no requests".into());
    }
    Ok(prepared)
}

/// Takes the next request that is due, waits for its moment, sends it, reads the answer; until none is left.
fn drive(plan: &Plan) -> Result<Seen, Failure> {
    let mut stream = TcpStream::connect(&plan.target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut seen = Seen::default();
    let mut buffer = Vec::with_capacity(64 * 1024);
    loop {
        if Instant::now() > plan.end {
            return Ok(seen);
        }
        let index = plan.next.fetch_add(1, Ordering::Relaxed);
        if index >= plan.total {
            return Ok(seen);
        }
        let moment = plan.start + due(plan, index);
        let wait = moment.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
            seen.late.push(nanoseconds(moment.elapsed()));
        }
        let turn = usize::try_from(index)? % plan.requests.len();
        stream.write_all(plan.requests.get(turn).ok_or("no such request")?)?;
        let status = read_answer(&mut stream, &mut buffer)?;
        seen.latencies.push(nanoseconds(moment.elapsed()));
        if !(200..300).contains(&status) {
            seen.refused += 1;
        }
    }
}

/// Reads one answer to its end and returns its status.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16, Failure> {
    buffer.clear();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err("the connection was closed before the answer".into());
        }
        buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(buffer.get(..head).unwrap_or_default())?;
        let status: u16 = text.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse::<usize>())
            .transpose()?;
        let Some(length) = length.or_else(|| (status == 204).then_some(0)) else {
            return Err("an answer without Content-Length".into());
        };
        if buffer.len() >= head + 4 + length {
            return Ok(status);
        }
    }
}

/// When a request is due, from the start.
fn due(plan: &Plan, index: u64) -> Duration {
    Duration::from_nanos(nanoseconds(plan.interval).saturating_mul(index))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn quantile(sorted: &[u64], per_mille: usize) -> u64 {
    let place = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
