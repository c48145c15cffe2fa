//! Refusals fill neither disk nor log: who is refused without end is counted, and everybody else is recorded as ever.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    Answered, BAD, GOOD, Gate, SECRET, TOKEN, Upstream, eventually, exchange, gate, read_answer,
    records, verify,
};
use crate::wire::{assert_envelope, configured, connect, patient};

/// How long a text in a record or in the log may be, with what is said about the rest of it.
const LONGEST: usize = 1024 + 100;

#[test]
fn a_change_without_a_credential_is_401_before_its_body_is_read() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for (method, target) in [
        ("PUT", TOKEN),
        ("DELETE", TOKEN),
        ("POST", "/api/v2/apiTokens"),
        ("PUT", &format!("{TOKEN}?api-token")),
    ] {
        let mut client = connect(gate.address);
        // The body never comes.
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: g\r\nCookie: \r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        let answer = read_answer(&mut BufReader::new(client)).unwrap();
        if target == TOKEN || method == "POST" {
            assert_envelope(&answer, 401);
            assert!(answer.message().contains("Authorization: Api-Token"));
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Api-Token realm=\"Dynatrace\""));
        } else {
            assert_envelope(&answer, 400);
        }
    }
    assert!(upstream.seen().is_empty());
    let refused = &gate.records()[1];
    assert_eq!(refused["kind"], "decision");
    assert_eq!(refused["verdict"], "deny");
    assert_eq!(refused["operation"], "token.update");
    assert!(refused.get("input").is_none(), "policies saw it: {refused}");
    assert!(refused.get("caller").is_none(), "{refused}");
    // All that Dynatrace knows a caller by is a credential.
    for (field, target) in [
        ("Authorization: Bearer dt0s16.ABC.X\r\n", TOKEN.to_owned()),
        ("", format!("{TOKEN}?Api-Token=dt0c01.ABC.X")),
        ("Cookie: b925d32c=session\r\n", TOKEN.to_owned()),
    ] {
        let answer = gate.raw(format!(
            "PUT {target} HTTP/1.1\r\nHost: g\r\n{field}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{GOOD}",
            GOOD.len()
        ));
        assert_eq!(answer.status, 204, "{field}: {answer:?}");
    }
    // What is not guarded is Dynatrace's to refuse.
    let open = "GET /api/v2/metrics HTTP/1.1\r\nHost: g\r\n\r\n";
    assert_eq!(gate.raw(open).status, 204);
}

#[test]
fn refused_paths_of_60_kb_fill_neither_journal_nor_log_and_every_one_is_counted() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\nrefusals = 5\n");
    // Nothing is as long as that, and nobody shows a credential.
    let path = format!("/api/v1/tokens/{}", "x".repeat(60_000));
    let request = format!("PUT {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n");
    let sent = 8 * 100;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_envelope(&gate.raw(&request), 414);
                }
            });
        }
    });
    let drained = drain(gate);
    let told = drained.count("decision", |record| record["error"].is_string());
    assert!((5..100).contains(&told), "{told} records");
    assert_eq!(drained.suppressed(), sent - told);
    assert!(drained.journal_bytes < 300_000, "{}", drained.journal_bytes);
    // The log has the same.
    assert_eq!(drained.lines(414), told);
    assert_eq!(drained.sum_of_lines(), sent - told);
    assert!(drained.log.len() < 300_000, "{}", drained.log.len());
    assert_eq!(drained.report["suppressed"], sent - told);
    let sum = drained.last_sum();
    assert_eq!(sum["reasons"][0]["reason"], "long-path");
    assert_eq!(sum["callers"][0]["requested_by"], "127.0.0.1");
    assert!(sum["first"].as_str() <= sum["last"].as_str());
}

#[test]
fn denials_past_the_budget_are_429_while_allowed_changes_and_other_callers_go_on() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\ndenials = 5\n");
    let mut denied = 0;
    // Comes back while the test runs, so nobody can say which one is the first too many.
    let throttled = loop {
        let answer = put(&gate, "dt0c01.MINE.X", BAD);
        if answer.status == 429 {
            break answer;
        }
        assert_envelope(&answer, 403);
        denied += 1;
        assert!(denied < 100, "never throttled");
    };
    assert!(denied >= 5, "only {denied} before it was throttled");
    assert_envelope(&throttled, 429);
    assert!(throttled.message().contains("WriteConfig"), "{throttled:?}");
    let wait: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    // There is no record that the id could lead to.
    assert_eq!(throttled.header("dtgate-decision-id"), None);
    for header in &throttled.headers {
        assert!(!header.0.starts_with("x-ratelimit"), "{header:?}");
    }
    assert!(upstream.seen().is_empty());

    assert_eq!(put(&gate, "dt0c01.MINE.X", GOOD).status, 204);
    assert_eq!(put(&gate, "dt0c01.OTHER.X", BAD).status, 403);
    // A public id can be borrowed; the credential is another.
    assert_eq!(put(&gate, "dt0c01.MINE.Y", BAD).status, 403);
    denied += 2;

    let drained = drain(gate);
    let told = drained.count("decision", |record| record["verdict"] == "deny");
    assert_eq!((told, drained.suppressed()), (denied, 1));
    assert_eq!(drained.lines(403), denied);
    assert_eq!(drained.sum_of_lines(), 1);
    let allowed = drained.all("decision", |record| record["verdict"] == "allow");
    assert_eq!(allowed.len(), 1);
    assert_eq!(
        allowed[0]["input"]["change"]["scopes"]["requested"],
        json!(["metrics.read"])
    );
    assert_eq!(drained.count("outcome", |_| true), 1);
    let sum = drained.last_sum();
    assert_eq!(
        sum["reasons"],
        json!([{"reason": "denied", "operation": "token.update", "count": 1}])
    );
    assert_eq!(sum["callers"][0]["caller"]["id"], "dt0c01.MINE");
}

#[test]
fn invented_credentials_have_no_more_than_their_address_and_another_address_is_untouched() {
    let upstream = Upstream::lenient();
    let config = "[limits]\ndenials = 2\nrefusals = 2\n";
    let gate = configured(upstream.address, config);
    let started = Instant::now();
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for number in 0..100 {
        for body in [BAD, "{"] {
            let answer = put(&gate, &format!("dt0c01.A{number}.X"), body);
            *statuses.entry(answer.status).or_default() += 1;
        }
    }
    // Ten times that of a caller, and what comes back meanwhile.
    let most = 20 + started.elapsed().as_secs() / 3 + 1;
    assert_eq!(statuses[&400], 100);
    assert!((20..=most).contains(&statuses[&403]), "{statuses:?}");
    assert_eq!(statuses[&403] + statuses[&429], 100);
    // One that is nobody's yet, from elsewhere.
    let elsewhere = change("dt0c01.B.X", BAD);
    let answer = exchange_from(Ipv4Addr::new(127, 0, 0, 2), gate.address, &elsewhere);
    assert_eq!(answer.status, 403);
    assert_eq!(put(&gate, "dt0c01.A1.X", GOOD).status, 204);

    let drained = drain(gate);
    let refused = drained.count("decision", |record| record["error"].is_string());
    assert!((20..=most).contains(&refused), "{refused}");
    let denied = drained.count("decision", |record| {
        record["input"].is_object() && record["verdict"] == "deny"
    });
    assert_eq!(denied, statuses[&403] + 1);
    assert_eq!(drained.suppressed(), statuses[&429] + 100 - refused);
    let sum = drained.last_sum();
    assert_eq!(
        sum["callers"].as_array().unwrap().len(),
        1,
        "the address, no invented names: {sum}"
    );
}

#[test]
fn where_little_space_is_free_only_allowed_changes_are_written() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[journal]\nmin_free = \"1000 PiB\"\n");
    assert_envelope(&put(&gate, "dt0c01.MINE.X", BAD), 403);
    assert_envelope(&put(&gate, "dt0c01.MINE.X", "{"), 400);
    assert_eq!(put(&gate, "dt0c01.MINE.X", GOOD).status, 204);
    let ready = gate.ready();
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body.contains("MiB free"), "{ready:?}");
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in {metrics}"))
            .trim()
            .parse::<i64>()
            .unwrap()
    };
    assert!(value("dtgate_journal_free_bytes ") > 0);
    assert_eq!(value("dtgate_limit_reached_total{limit=\"min_free\"} "), 2);

    let drained = drain(gate);
    let kinds: Vec<&str> = drained
        .records
        .iter()
        .map(|record| record["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["start", "decision", "outcome", "suppressed", "stop"]
    );
    assert_eq!(drained.records[1]["verdict"], "allow");
    assert!(drained.records[1]["input"].is_object());
    assert_eq!(drained.suppressed(), 2);
    assert_eq!(drained.log.matches("nearly full").count(), 1);
}

#[test]
fn long_texts_of_refused_requests_are_cut_and_say_what_they_were() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let long = "y".repeat(30_000);
    // In no token's place, so that the path is shown: and in it a whole token, behind what is cut off.
    let path = format!("/api/v2/tokensX/%2e/{long}/dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let odd_path = format!("/iam/{long}/dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}/{long}");
    for path in [&path, &odd_path] {
        let answer = gate.raw(format!(
            "POST {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    // Everything in a denial that a client can make long.
    let denied = json!({
        "name": long, "scopes": ["WriteConfig", long], "expiresIn": {"value": 1, "unit": "DAYS"},
        long.as_str(): [{"deep": long}],
    });
    let answer = gate.send(
        "PUT",
        TOKEN,
        &denied.to_string().replace(&long, &long[..9_000]),
    );
    assert_envelope(&answer, 403);
    // An allowed one stays whole.
    let allowed = format!("{{\"name\":\"payments-prod-ci\",\"more\":\"{long}\"}}");
    assert_eq!(gate.send("PUT", TOKEN, &allowed).status, 204);
    // So does the line of open traffic, but for its path.
    let open = format!("/logs/{}", &long[..3_000]);
    assert_eq!(gate.send("GET", &open, "").status, 204);

    let drained = drain(gate);
    let decisions = drained.all("decision", |_| true);
    assert_eq!(decisions.len(), 4);
    for record in &decisions[..3] {
        let mut texts = Vec::new();
        collect(record, &mut texts);
        let longest = texts.iter().map(String::len).max().unwrap();
        assert!(longest <= LONGEST, "a text of {longest} bytes");
    }
    let cut =
        |text: &str, length: usize| text.contains(&format!("… ({length} bytes, hmac-sha256:"));
    let shown = odd_path.len() - SECRET.len() + "[secret]".len();
    let path = decisions[1]["request"]["path"].as_str().unwrap();
    assert!(cut(path, shown) && path.starts_with("/iam/yyy"), "{path}");
    let change = &decisions[2]["input"]["change"];
    assert!(cut(change["name"]["requested"].as_str().unwrap(), 9_000));
    assert!(cut(
        change["scopes"]["requested"][1].as_str().unwrap(),
        9_000
    ));
    let members = decisions[2]["input"]["unknown_members"]
        .as_object()
        .unwrap();
    let (name, value) = members.iter().next_back().unwrap();
    assert!(
        cut(name, 9_000) && cut(value[0]["deep"].as_str().unwrap(), 9_000),
        "{name}"
    );
    let kept = &decisions[3]["input"]["unknown_members"]["more"];
    assert_eq!(kept.as_str().map(str::len), Some(long.len()));
    for line in drained.log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let path = line["path"].as_str().unwrap_or_default();
        assert!(path.len() <= LONGEST, "{path}");
    }
    assert!(drained.log.contains(" bytes, hmac-sha256:"));
}

#[test]
fn what_is_never_recorded_has_a_budget_in_the_log() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\nrefusals = 3\n");
    for _ in 0..40 {
        let answer = gate.raw("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
        assert_envelope(&answer, 405);
        // What Dynatrace answers is not refused here, whatever it answers.
        assert_eq!(gate.send("GET", "/x", "").status, 204);
    }
    let drained = drain(gate);
    assert_eq!(drained.lines(204), 40);
    assert!((3..40).contains(&drained.lines(405)));
    assert_eq!(drained.lines(405) + drained.sum_of_lines(), 40);
    assert_eq!(drained.count("suppressed", |_| true), 0);
}

/// What a gate has left behind.
struct Drained {
    records: Vec<Value>,
    report: Value,
    journal_bytes: u64,
    log: String,
}

#[test]
fn reads_past_the_budget_are_429_and_not_forwarded_while_changes_and_other_callers_go_on() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\nreads = 5\n");
    let read = |token: &str| {
        gate.raw(format!(
            "GET /api/v1/tokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA/brand-new HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token {token}\r\n\r\n"
        ))
    };
    let mut passed = 0;
    // Comes back while the test runs, so nobody can say which one is the first too many.
    let throttled = loop {
        let answer = read("dt0c01.INVENTED.X");
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 204, "{answer:?}");
        passed += 1;
        assert!(passed < 100, "never throttled");
    };
    assert!(passed >= 5, "only {passed} before it was throttled");
    assert_envelope(&throttled, 429);
    assert!(
        throttled.message().contains("not sent to Dynatrace"),
        "{throttled:?}"
    );
    let wait: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(throttled.header("dtgate-decision-id"), None);
    assert_eq!(upstream.seen().len() as u64, passed);

    assert_eq!(put(&gate, "dt0c01.INVENTED.X", GOOD).status, 204);
    assert_eq!(read("dt0c01.OTHER.X").status, 204);
    passed += 1;

    let drained = drain(gate);
    let reads = |record: &Value| record["operation"] == "unknown.read";
    assert_eq!(drained.count("decision", reads), passed);
    assert_eq!(drained.suppressed(), 1);
    assert_eq!(drained.sum_of_lines(), 1);
    let sum = drained.last_sum();
    assert_eq!(
        sum["reasons"],
        json!([{"reason": "read", "operation": "unknown.read", "count": 1}])
    );
    assert_eq!(sum["callers"][0]["caller"]["id"], "dt0c01.INVENTED");
}

/// Ends a gate in peace, proves its chain, and keeps what it wrote.
fn drain(mut gate: Gate) -> Drained {
    gate.signal("TERM");
    assert!(gate.wait().success());
    let journal = gate.journal();
    let segments = std::fs::read_dir(&journal).unwrap();
    let sizes = segments.map(|entry| entry.unwrap().metadata().unwrap().len());
    // Another thread reads the log.
    let log = eventually("the end of the log", || {
        let log = gate.log();
        log.contains("\"message\":\"stopped\"").then_some(log)
    });
    Drained {
        records: records(&journal),
        report: verify(&journal),
        journal_bytes: sizes.sum(),
        log,
    }
}

impl Drained {
    fn all(&self, kind: &str, which: impl Fn(&Value) -> bool) -> Vec<&Value> {
        let records = self.records.iter();
        records
            .filter(|record| record["kind"] == kind && which(record))
            .collect()
    }

    fn count(&self, kind: &str, which: impl Fn(&Value) -> bool) -> u64 {
        self.all(kind, which).len() as u64
    }

    /// All that was only counted; each record has to add up.
    fn suppressed(&self) -> u64 {
        let sum = |entries: &Value| -> u64 {
            let entries = entries.as_array().unwrap().iter();
            entries.map(|entry| entry["count"].as_u64().unwrap()).sum()
        };
        let counts = self.all("suppressed", |_| true).into_iter().map(|record| {
            let count = record["count"].as_u64().unwrap();
            let other = |member: &str| record[member].as_u64().unwrap_or_default();
            assert_eq!(sum(&record["reasons"]) + other("other_reasons"), count);
            assert_eq!(sum(&record["callers"]) + other("other_callers"), count);
            count
        });
        counts.sum()
    }

    fn last_sum(&self) -> &Value {
        self.all("suppressed", |_| true).last().unwrap()
    }

    fn log_lines(&self) -> impl Iterator<Item = Value> {
        self.log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
    }

    /// Requests with a line of their own that were answered so.
    fn lines(&self, status: u16) -> u64 {
        let lines = self.log_lines();
        lines
            .filter(|line| line["message"] == "request" && line["status"] == status)
            .count() as u64
    }

    /// Requests that the log has in sums.
    fn sum_of_lines(&self) -> u64 {
        let lines = self.log_lines();
        let sums =
            lines.filter(|line| line["message"] == "refused requests without a line of their own");
        sums.map(|line| line["count"].as_u64().unwrap()).sum()
    }
}

fn change(token: &str, body: &str) -> String {
    format!(
        "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A change by the holder of a token.
fn put(gate: &Gate, token: &str, body: &str) -> Answered {
    gate.raw(change(token, body))
}

/// One exchange from another address of this machine.
fn exchange_from(source: Ipv4Addr, address: SocketAddr, request: &str) -> Answered {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream: TcpStream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    let mut stream = patient(stream);
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(&mut BufReader::new(stream)).unwrap()
}

/// Every text in a record, names of members too.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                texts.push(name.clone());
                collect(value, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
