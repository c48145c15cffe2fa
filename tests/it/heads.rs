//! Heads and bodies that once took long to read, and paths that can be read in more than one way: what becomes of
//! them. How little work they are now, tests beside the code count in steps.

use crate::harness::{Answered, GOOD, Gate, TOKEN, Upstream, eventually, exchange, gate};
use crate::stalls::metric;
use crate::wire::configured;

/// Fields in which proxies say what the path was.
const FIELDS: [&str; 7] = [
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Url",
    "X-Original-Path",
    "X-Original-Uri",
    "X-Envoy-Original-Path",
];

/// A path of 8 KiB of which each second byte could be a slash, with dots, and encoded again and again.
fn fractions() -> String {
    format!("/{}/../%25252525252541", "½".repeat(4_000))
}

/// A read of `/x` whose fields say that it was for something else.
fn forwarded(path: &str) -> String {
    let fields = FIELDS.map(|name| format!("{name}: {path}\r\n"));
    format!("GET /x HTTP/1.1\r\nHost: gate\r\n{}\r\n", fields.concat())
}

fn limit(gate: &Gate, name: &str) -> bool {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = format!("dtgate_limit_reached_total{{limit=\"{name}\"}} 1");
    metrics.body.lines().any(|read| read == line)
}

/// The answer to what is refused: its status, what its message says, and that it is recorded and goes nowhere.
fn assert_refused(gate: &Gate, upstream: &Upstream, answer: &Answered, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.message().contains(says), "{answer:?}");
    assert!(answer.message().contains("was not sent"), "{answer:?}");
    let record = gate.records().pop().unwrap();
    assert_eq!(record["verdict"], "deny", "{record}");
    assert!(record["error"].as_str().unwrap().contains(says), "{record}");
    assert!(upstream.seen().is_empty());
}

#[test]
fn heads_that_hide_what_they_ask_for_are_refused_and_recorded() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let two = "can be read in more than one way";
    for method in ["POST", "GET"] {
        let answer = gate.send(method, &fractions(), "");
        assert_refused(&gate, &upstream, &answer, 400, two);
    }
    let answer = gate.raw(forwarded(&fractions()));
    assert_refused(&gate, &upstream, &answer, 400, "would make another request");
    let query = format!("/api/v2/apiTokens?%{}41", "25".repeat(30_000));
    let answer = gate.send("GET", &query, "");
    assert_refused(&gate, &upstream, &answer, 400, "query");

    assert!(!limit(&gate, "head_work"));
    let answer = gate.raw(forwarded(&format!("/{}", "\u{fdfa}".repeat(2_700))));
    assert_refused(&gate, &upstream, &answer, 400, "too much work to read");
    assert!(limit(&gate, "head_work"));
    assert!(!limit(&gate, "path"));
    let answer = gate.send("GET", &"/a".repeat(5_000), "");
    assert_refused(&gate, &upstream, &answer, 414, "longer than 8192 bytes");
    assert!(limit(&gate, "path"));
}

#[test]
fn a_query_of_an_open_read_is_nobodys_business() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let target = format!("/x?%{}41", "25".repeat(30_000));
    assert_eq!(gate.send("GET", &target, "").status, 204);
    assert_eq!(upstream.seen()[0].line, format!("GET {target} HTTP/1.1"));
}

#[test]
fn bodies_of_letters_that_stand_for_many_are_read() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let long = "\u{fdfa}".repeat(20_000);
    let body = format!("{},\"{long}\":1}}", GOOD.trim_end_matches('}'));
    assert_eq!(gate.send("PUT", TOKEN, &body).status, 204);
    assert_eq!(upstream.seen()[0].body, body.as_bytes());
    let twins = format!("{},\"{long}\":1,\"{long}\u{200b}\":1}}", r#"{"scopes":[]"#);
    let answer = gate.send("PUT", TOKEN, &twins.replace(&long, "\u{fdfa}"));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.message().contains("taken for another member"),
        "{answer:?}"
    );

    let settings = format!(
        r#"[{{"schemaId":"app:x","value":{{"{long}":"{}"}}}}]"#,
        long.repeat(15)
    );
    let answer = gate.send("POST", "/api/v2/settings/objects", &settings);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(upstream.seen()[1].body, settings.as_bytes());
}

#[test]
fn a_write_that_can_be_read_in_two_ways_says_what_to_do() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[limits]\nrefusals = 1000\n");
    for (path, why) in [
        ("/api/v2/x/a%2Fb", "an encoded slash"),
        ("/api/v2/x/a%5Cb", "a backslash"),
        ("/api/v2/x/a\\b", "a backslash"),
        ("/api/v2/x/a%2Eb", "an encoded dot"),
        ("/api/v2/x/../y", "a segment of dots"),
        ("/api/v2/./x", "a segment of dots"),
        ("/api/v2/x%3Ba=b", "an encoded semicolon"),
        ("/api/v2/x%3Fa=b", "an encoded ? or #"),
        ("/api/v2/x%23a", "an encoded ? or #"),
        ("/api/v2/x%00", "a control character"),
        ("/api/v2/x%0d%0a", "a control character"),
        ("/api/v2/x%2541", "encoded more than once"),
        ("/api/v2/M%C3%BCller", "not ASCII"),
        ("/api/v2/Müller", "not ASCII"),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "MERGE"] {
            let answer = gate.send(method, path, "");
            assert_refused(&gate, &upstream, &answer, 400, why);
            let advice = "write it as Dynatrace documents it";
            assert!(answer.message().contains(advice), "{answer:?}");
        }
    }
}

/// Identifiers of Dynatrace have colons, blanks, quotation marks and brackets in them, and clients write them in more
/// than one way.
#[test]
fn what_honest_clients_write_passes_byte_for_byte() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let mut sent = Vec::new();
    for path in [
        "/api/v2/metrics/builtin%3Ahost.cpu.usage",
        "/api/v2/metrics/calc:service.a~b",
        "/api/v2/settings/schemas/builtin%3Aalerting.profile",
        "/api/config/v1/calculatedMetrics/service/calc%3Aservice.x",
        "/api/config/v1/dashboards/a%20b%20%20c",
        "/api/v2/slo/a(b)%28c%29",
        "/api/v2/x/%22a%22\"b\"",
        "/api/v2/x/a%2Bb+c%40d%2Ce%7Cf%3Dg%26h%24i%21",
        "/api/v2/x/100%25",
        "/api/v2/x/%7Ea_b%2Dc%41",
        "/api/v2/x/a..b/.c/d.",
        "/api/v2/x;a=b/y",
        "/api/v2//x/",
        "/e/abc12345/api/v2/events/ingest?a=%2F..%2F;%5C%253F",
        "/platform/storage/query/v1/query:execute?enrich=metric-metadata",
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "GET"] {
            assert_eq!(gate.send(method, path, "").status, 204, "{method} {path}");
            sent.push(format!("{method} {path} HTTP/1.1"));
        }
    }
    // Reads may say more: what they ask for is the server's business.
    for path in [
        "/api/v2/metrics/query?metricSelector=builtin:host.cpu.usage:avg&entitySelector=type(%22HOST%22),tag(%22a%3Ab%22)",
        "/api/v2/settings/objects?schemaIds=builtin%3Aalerting.profile&fields=a%2Cb&filter=x%2Fy%20and%20%25",
        "/api/v2/settings/objects?nextPageKey=AQ%2B%2F%3D",
        "/api/v2/entities/HOST-1%2F2",
        "/api/v1/entity/infrastructure/custom/M%C3%BCller%20%26%20S%C3%B6hne",
        "/api/v2/tags/a%2Fb%3Bc;d",
        "/api/v2/x/a%252Fb",
        "/ui/../x\\y",
    ] {
        assert_eq!(gate.send("GET", path, "").status, 204, "{path}");
        sent.push(format!("GET {path} HTTP/1.1"));
    }
    let seen: Vec<String> = upstream.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(seen, sent);
    let opened = gate
        .records()
        .iter()
        .filter(|record| record["kind"] == "decision")
        .count();
    assert_eq!(opened, 0);
}

/// Nobody can say what was asked for: it is answered and counted, and no more.
#[test]
fn what_is_no_request_is_counted() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let counted = || metric(&gate, "malformed_requests_total");
    for (before, bytes) in [
        &b"G\"X / HTTP/1.1\r\nHost: g\r\n\r\n"[..],
        b"GET /\xff HTTP/1.1\r\nHost: g\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost g\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(counted(), before as u64);
        assert_eq!(gate.raw(bytes).status, 400);
        eventually("it is counted", || {
            (counted() > before as u64).then_some(())
        });
    }
    assert_eq!(gate.send("GET", "/api/v2/metrics", "").status, 204);
    assert_eq!(counted(), 3);
    assert_eq!(upstream.seen().len(), 1);
}
