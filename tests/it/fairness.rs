//! Nobody takes the gate from the others: not by many requests, not by requests that never end, not by the memory or
//! the time that one request takes. The limits are small here, so that few requests reach them.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Answered, BAD, GOOD, Gate, SECRET, TOKEN, Upstream, copy, eventually, exchange, policies,
    read_answer,
};
use crate::wire::{assert_envelope, configured, patient};

/// Objects to nothing quickly, and for "slow" it takes longer than it may.
const SLOW: &str = r#"package dtgate.slow

deny contains "never" if {
	"slow" in input.change.scopes.requested
	some i in numbers.range(1, 100000)
	some j in numbers.range(1, 100000)
	i * j < 0
}
"#;

/// How many can be judged at once.
fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// A connection from another address of this machine.
fn connect_from(last: u8, gate: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket
            .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
            .unwrap();
        socket.connect(gate).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    patient(stream)
}

/// Sends what need not be all of a request.
fn begin(last: u8, gate: &Gate, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = connect_from(last, gate.address);
    stream.write_all(bytes.as_ref()).unwrap();
    stream
}

fn answer(stream: TcpStream) -> Answered {
    read_answer(&mut BufReader::new(stream)).unwrap()
}

/// A request with JSON and a credential of its own.
fn request(method: &str, target: &str, credential: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.{credential}.{SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn create(credential: &str, scopes: &[&str]) -> String {
    let body = serde_json::json!({"name": "payments-prod-ci", "scopes": scopes});
    request("POST", "/api/v1/tokens", credential, &body.to_string())
}

/// A value of the metrics.
fn metric(gate: &Gate, name: &str) -> usize {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}"))
        .parse()
        .unwrap()
}

fn reached(gate: &Gate, limit: &str) -> usize {
    metric(
        gate,
        &format!("dtgate_limit_reached_total{{limit=\"{limit}\"}}"),
    )
}

fn until(gate: &Gate, name: &str, wanted: impl Fn(usize) -> bool) {
    eventually(name, || wanted(metric(gate, name)).then_some(()));
}

/// A gate that judges by [`SLOW`] alone, which takes its time limit twice.
fn slow(upstream: &Upstream, time_limit: &str, limits: &str) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let rules = files.path().join("policies");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("slow.rego"), SLOW).unwrap();
    let file = files.path().join("dtgate.toml");
    let config = format!(
        "[policies]\ntime_limit = \"{time_limit}\"\nbytecode = \"none\"\n[listener]\nhalf_close_timeout = \"100ms\"\n[limits]\naddress_share = \"100%\"\n{limits}"
    );
    std::fs::write(&file, config).unwrap();
    let (rules, file) = (rules.to_str().unwrap(), file.to_str().unwrap());
    let arguments = ["--policies", rules, "--config", file];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    (gate, files)
}

/// Requests that keep every core busy for seconds, and one more that waits for one.
fn keep_busy(gate: &Gate) -> Vec<TcpStream> {
    let busy = (0..=cores()).map(|_| begin(9, gate, create("BUSY", &["slow"])));
    let busy = busy.collect();
    until(gate, "dtgate_judge_waiting", |waiting| waiting == 1);
    busy
}

fn refusal(gate: &Gate, text: &str) -> Value {
    let is_refusal = |record: &Value| {
        record["error"]
            .as_str()
            .is_some_and(|error| error.contains(text))
    };
    eventually(text, || gate.records().into_iter().find(is_refusal))
}

#[test]
fn who_asks_for_much_waits_in_his_own_queue() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let (config, place) = (
        directory.path().join("dtgate.toml"),
        directory.path().join("policies"),
    );
    std::fs::write(
        &config,
        "[limits]\naddress_share = \"100%\"\njudge_queue = 1000\njudge_timeout = \"5m\"\ndenials = 100000\n",
    )
    .unwrap();
    // Where a policy knows what a caller did before, its changes are judged one after the other.
    copy(&policies(), &place);
    std::fs::remove_file(place.join("blast_radius.rego")).unwrap();
    let [config, place] = [&config, &place].map(|path| path.to_str().unwrap().to_owned());
    let gate = Gate::start(
        directory,
        upstream.address,
        &["--config", &config, "--policies", &place],
    );
    let scopes: Vec<String> = (0..200).map(|n| format!("unknown.scope.{n}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let greedy = create("GREEDY", &scopes);
    let greedy: Vec<_> = (0..120).map(|_| begin(1, &gate, &greedy)).collect();
    until(&gate, "dtgate_judge_waiting", |waiting| waiting >= 100);
    // One at another address, one with another credential at the same one.
    let others = [2, 1].map(|last| begin(last, &gate, request("PUT", TOKEN, "MODEST", BAD)));
    for other in others {
        assert_envelope(&answer(other), 403);
    }
    for stream in greedy {
        assert_envelope(&answer(stream), 403);
    }
    let records = gate.records();
    let callers = records.iter().map(|record| &record["caller"]["id"]);
    let callers: Vec<_> = callers.collect();
    let after = callers
        .iter()
        .rev()
        .take_while(|caller| **caller == "dt0c01.GREEDY");
    assert!(after.count() >= 50, "{callers:?}");
    // Others were waiting: nobody searched for what of it would pass.
    assert!(reached(&gate, "remedy") > 50);
}

#[test]
fn a_full_queue_refuses_its_own_caller_and_no_other() {
    let upstream = Upstream::lenient();
    let (gate, _files) = slow(&upstream, "1s", "judge_queue = 2\njudge_timeout = \"5m\"\n");
    // Two of them wait, however quickly the others are done.
    let mut many = Vec::new();
    for _ in 0..cores() + 4 {
        many.push(begin(1, &gate, create("MANY", &["slow"])));
    }
    let record = refusal(&gate, "too many requests of this caller");
    assert_eq!(record["verdict"], "deny", "{record}");
    assert_eq!(record["caller"]["id"], "dt0c01.MANY", "{record}");
    let other = answer(begin(1, &gate, create("OTHER", &["fine"])));
    assert_eq!(other.status, 204, "{other:?}");
    let answers: Vec<_> = many.into_iter().map(answer).collect();
    let shed: Vec<_> = answers.iter().filter(|it| it.status == 503).collect();
    assert!(!shed.is_empty(), "{answers:?}");
    assert_eq!(reached(&gate, "judge_queue"), shed.len());
    assert_envelope(shed[0], 503);
    assert_eq!(shed[0].header("retry-after"), Some("1"));
    assert!(shed[0].header("dtgate-decision-id").is_some());
    assert_eq!(upstream.seen().len(), 1);
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 0);
    until(&gate, "dtgate_body_bytes", |bytes| bytes == 0);
}

#[test]
fn nobody_waits_longer_than_the_deadline() {
    let upstream = Upstream::lenient();
    let (gate, _files) = slow(&upstream, "1s", "judge_timeout = \"100ms\"\n");
    let busy: Vec<_> = (0..cores())
        .map(|_| begin(9, &gate, create("BUSY", &["slow"])))
        .collect();
    // As long as one of them gets a core the others are not all busy.
    let late = eventually("a request that waits too long", || {
        let answered = answer(begin(1, &gate, create("LATE", &["fine"])));
        (answered.status == 503).then_some(answered)
    });
    assert_envelope(&late, 503);
    assert_eq!(late.header("retry-after"), Some("1"));
    assert!(late.message().contains("waited too long"), "{late:?}");
    refusal(&gate, "waited too long to be judged");
    assert!(reached(&gate, "judge_timeout") > 0);
    drop(busy);
}

#[test]
fn a_client_that_hangs_up_in_the_queue_leaves_it_and_nothing_is_sent() {
    let upstream = Upstream::lenient();
    let (gate, _files) = slow(&upstream, "2s", "judge_timeout = \"5m\"\n");
    let busy = keep_busy(&gate);
    let leaves = begin(1, &gate, create("LEAVES", &["fine"]));
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 2);
    drop(leaves);
    let record = refusal(&gate, "the client went away");
    assert_eq!(record["caller"]["id"], "dt0c01.LEAVES", "{record}");
    assert_eq!(record["verdict"], "deny", "{record}");
    drop(busy);
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 0);
    until(&gate, "dtgate_body_bytes", |bytes| bytes == 0);
    assert!(upstream.seen().is_empty());
    let kinds = gate.records();
    let kinds = kinds.iter().filter(|record| record["kind"] == "outcome");
    assert_eq!(kinds.count(), 0);
}

#[test]
fn long_bodies_are_read_in_turn_and_short_ones_at_once() {
    let upstream = Upstream::lenient();
    let (gate, _files) = slow(&upstream, "2s", "judge_timeout = \"5m\"\n");
    let busy = keep_busy(&gate);
    let long = format!("{{{}", " ".repeat(5 << 10));
    let settings = "/api/v2/settings/objects";
    let long = [("/api/v1/tokens", "LONG"), (settings, "SETTINGS")]
        .map(|(target, who)| begin(1, &gate, request("POST", target, who, &long)));
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 3);
    let short = request("POST", "/api/v1/tokens", "SHORT", "{");
    assert_envelope(&answer(begin(1, &gate, short)), 400);
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 3);
    drop(busy);
    for answered in long.map(answer) {
        assert_envelope(&answered, 400);
    }
    until(&gate, "dtgate_judge_waiting", |waiting| waiting == 0);
    until(&gate, "dtgate_body_bytes", |bytes| bytes == 0);
}

#[test]
fn uploads_that_do_not_begin_hold_nothing() {
    let upstream = Upstream::lenient();
    // All of it may be one address's: what holds nothing needs no share.
    let gate = configured(
        upstream.address,
        "[limits]\nin_flight = 4\nguarded_in_flight = 4\naddress_share = \"100%\"\nbody_timeout = \"5m\"\n",
    );
    let targets = [("POST", "/api/v2/logs/ingest"), ("PUT", TOKEN)];
    let unsent: Vec<_> = targets
        .iter()
        .flat_map(|(method, target)| (0..8).map(move |_| request(method, target, "A", GOOD)))
        .map(|whole| begin(1, &gate, whole.split_inclusive("\r\n\r\n").next().unwrap()))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(unsent_over_http2(&gate, targets));
    until(&gate, "dtgate_in_flight", |count| count == 16 + 32);
    assert_eq!(gate.send("GET", "/x", "").status, 204);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    // They begin after all, and are answered.
    for mut stream in unsent {
        stream.write_all(GOOD.as_bytes()).unwrap();
        assert_eq!(answer(stream).status, 204);
    }
    drop(runtime);
    until(&gate, "dtgate_in_flight", |count| count == 0);
}

/// Two connections, with eight requests of each kind on each, of which no byte of the body was sent.
async fn unsent_over_http2(gate: &Gate, targets: [(&str, &str); 2]) {
    for _ in 0..2 {
        let stream = tokio::net::TcpStream::connect(gate.address).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        for (method, target) in targets.iter().cycle().take(16) {
            let request = http::Request::builder()
                .method(*method)
                .uri(format!("http://g{target}"))
                .header("content-type", "application/json")
                .header("authorization", format!("Api-Token dt0c01.A.{SECRET}"))
                .body(Unsent)
                .unwrap();
            tokio::spawn(sender.send_request(request));
        }
    }
}

/// A body of which no byte is ever there.
struct Unsent;

impl http_body::Body for Unsent {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }
}

#[test]
fn uploads_that_stop_take_one_addresss_share_and_no_more() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\nin_flight = 8\n");
    let stuck = |_| {
        let head = "POST /api/v2/logs/ingest HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\nabc";
        begin(1, &gate, head)
    };
    let stuck: Vec<_> = (0..12).map(stuck).collect();
    eventually("the others are refused", || {
        (reached(&gate, "in_flight_per_address") == 10).then_some(())
    });
    let refused = gate.send("GET", "/x", "");
    assert_envelope(&refused, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.message().contains("this address"), "{refused:?}");
    for _ in 0..3 {
        let other = answer(begin(2, &gate, "GET /x HTTP/1.1\r\nHost: g\r\n\r\n"));
        assert_eq!(other.status, 204, "{other:?}");
    }
    // Guarded requests have slots of their own.
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    drop(stuck);
    until(&gate, "dtgate_in_flight", |count| count == 0);
    assert_eq!(gate.send("GET", "/x", "").status, 204);
}

/// Behind a load balancer all clients have one address.
#[test]
fn one_caller_leaves_slots_to_the_others_at_its_address() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::answering(move |seen| {
        if seen.line.starts_with("POST") {
            released.lock().unwrap().recv().unwrap();
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let limits = "[limits]\nguarded_in_flight = 8\naddress_share = \"50%\"\n";
    let gate = configured(upstream.address, limits);
    let greedy: Vec<_> = (0..2)
        .map(|_| begin(1, &gate, create("A", &["metrics.read"])))
        .collect();
    eventually("both are recorded", || {
        let records = gate.records();
        let allowed = records.iter().filter(|record| record["verdict"] == "allow");
        (allowed.count() == 2).then_some(())
    });
    let refused = answer(begin(1, &gate, create("A", &["metrics.read"])));
    assert_envelope(&refused, 503);
    refusal(&gate, "too many guarded requests at once of this caller");
    assert_eq!(reached(&gate, "guarded_in_flight_per_caller"), 1);
    let other = answer(begin(1, &gate, request("PUT", TOKEN, "B", GOOD)));
    assert_eq!(other.status, 204, "{other:?}");
    // Both, before either is read: which of them the upstream took first is not known.
    for _ in &greedy {
        release.send(()).unwrap();
    }
    for begun in greedy {
        assert_eq!(answer(begun).status, 204);
    }
}

#[test]
fn slots_of_guarded_requests_are_shared_too() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new((arrived, released));
    let upstream = Upstream::answering(move |seen| {
        if seen.line.starts_with("POST") {
            let held = held.lock().unwrap();
            held.0.send(()).unwrap();
            held.1.recv().unwrap();
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = configured(upstream.address, "[limits]\nguarded_in_flight = 4\n");
    let first = begin(1, &gate, create("A", &["metrics.read"]));
    arrivals.recv().unwrap();
    let refused = gate.send("PUT", TOKEN, GOOD);
    assert_envelope(&refused, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    refusal(&gate, "too many guarded requests at once from this address");
    assert_eq!(reached(&gate, "guarded_in_flight_per_address"), 1);
    assert_eq!(gate.send("GET", "/x", "").status, 204);
    let other = answer(begin(2, &gate, request("PUT", TOKEN, "B", GOOD)));
    assert_eq!(other.status, 204, "{other:?}");
    release.send(()).unwrap();
    assert_eq!(answer(first).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
}

#[test]
fn bodies_that_do_not_end_share_a_stated_amount_of_memory() {
    let upstream = Upstream::lenient();
    let gate = configured(
        upstream.address,
        "[limits]\nbody = \"8 KiB\"\nsettings_body = \"256 KiB\"\nbodies = \"2 MiB\"\naddress_share = \"50%\"\nbody_timeout = \"5m\"\n",
    );
    let body = format!("[\"{}\"]", "x".repeat(200_000));
    let whole = request("POST", "/api/v2/settings/objects", "A", &body);
    let unfinished = &whole.as_bytes()[..whole.len() - 2];
    let many: Vec<_> = (0..10).map(|_| begin(1, &gate, unfinished)).collect();
    eventually("there is no more for this address", || {
        (reached(&gate, "bodies_per_address") > 0).then_some(())
    });
    let held = metric(&gate, "dtgate_body_bytes");
    assert!((512 << 10..=1 << 20).contains(&held), "{held}");
    let refused = refusal(&gate, "too many request bodies at once from this address");
    assert_eq!(refused["verdict"], "deny", "{refused}");
    let other = answer(begin(2, &gate, &whole));
    assert_eq!(other.status, 204, "{other:?}");
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(upstream.seen()[0].body, body.as_bytes());
    drop(many);
    until(&gate, "dtgate_body_bytes", |bytes| bytes == 0);
    assert_eq!(answer(begin(1, &gate, &whole)).status, 204);
}

#[test]
fn what_a_body_becomes_when_it_is_read_counts_as_well() {
    let upstream = Upstream::lenient();
    let (gate, _files) = slow(
        &upstream,
        "2s",
        "bodies = \"8 MiB\"\njudge_timeout = \"5m\"\nbody = \"32 KiB\"\n",
    );
    let busy = keep_busy(&gate);
    let zeros = "0,".repeat(12_000);
    let body = format!("{{\"name\":\"a\",\"scopes\":[\"fine\"],\"more\":[{zeros}0]}}");
    let large = request("POST", "/api/v1/tokens", "LARGE", &body);
    let large: Vec<_> = (0..5).map(|_| begin(1, &gate, &large)).collect();
    refusal(&gate, "too many request bodies at once");
    assert!(metric(&gate, "dtgate_body_bytes") > 4 << 20);
    drop((busy, large));
    until(&gate, "dtgate_body_bytes", |bytes| bytes == 0);
}

#[test]
fn an_answer_has_few_warnings_and_says_how_many_more_there_are() {
    let files = tempfile::tempdir().unwrap();
    let rego = r#"package dtgate.chatty

warn contains sprintf("%d %s", [i, input.change.name.requested]) if some i in numbers.range(1, 150)
"#;
    std::fs::write(files.path().join("chatty.rego"), rego).unwrap();
    let upstream = Upstream::lenient();
    // A slow machine is no reason to deny.
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, "[policies]\ntime_limit = \"20s\"\n").unwrap();
    let (config, policies) = (config.to_str().unwrap(), files.path().to_str().unwrap());
    let arguments = ["--config", config, "--policies", policies];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    let body = format!(
        r#"{{"name":"{}","scopes":["metrics.read"]}}"#,
        r#"\"\\ä"#.repeat(4000)
    );
    let answer = gate.send("POST", "/api/v1/tokens", &body);
    assert_eq!(answer.status, 204, "{answer:?}");
    let warnings = answer.headers.iter().filter(|(name, _)| name == "warning");
    let warnings: Vec<_> = warnings.map(|(_, value)| value).collect();
    assert_eq!(warnings.len(), 6);
    let bytes: usize = warnings.iter().map(|value| value.len()).sum();
    assert!(bytes <= 2500, "{bytes}");
    let last = warnings[5];
    assert!(last.contains("145 more warnings in the journal"), "{last}");
    assert_eq!(reached(&gate, "warnings"), 1);
    let records = gate.records();
    let decision = records.iter().find(|record| record["kind"] == "decision");
    let recorded = &decision.unwrap()["result"]["violations"];
    assert_eq!(recorded.as_array().unwrap().len(), 150);
}

#[test]
fn a_denial_shows_what_a_client_can_show_and_says_how_much_more_there_is() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[policies]\ntime_limit = \"20s\"\n");
    let scopes: Vec<String> = (0..200)
        .map(|n| format!("{n}{}", "x".repeat(200)))
        .collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let denied = answer(begin(1, &gate, create("A", &scopes)));
    assert_envelope(&denied, 403);
    assert!(denied.body.len() < 20_000, "{}", denied.body.len());
    let shown = denied.json()["error"]["constraintViolations"].clone();
    let shown = shown.as_array().unwrap().len();
    assert!(shown > 10, "{denied:?}");
    let records = gate.records();
    let all = records.last().unwrap()["result"]["violations"].as_array();
    let left_out = all.unwrap().len() - shown;
    let said = format!("the journal also has {left_out} that this answer does not show");
    assert!(denied.message().contains(&said), "{said}: {denied:?}");
    assert_eq!(reached(&gate, "violations"), 1);
    assert_eq!(reached(&gate, "remedy"), 1);
    // A text as long as a body may be.
    let name = "\\\"".repeat(10_000);
    let body = format!(r#"{{"name":"{name}","scopes":["a"]}}"#);
    let denied = answer(begin(
        1,
        &gate,
        request("POST", "/api/v1/tokens", "A", &body),
    ));
    assert_envelope(&denied, 403);
    assert!(denied.body.len() < 20_000, "{}", denied.body.len());
}
