//! Callers without a credential for Dynatrace: they prove who they are, and the gate shows its own.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{
    BROKERED, DATA, FIELD, JWT, Making, PUBLIC, SECRET, TLS, naming, of_payments, parts, request,
    shown, telling,
};
use crate::harness::{TOKEN, Upstream, eventually, is_lookup, read_answer, token};
use crate::tls::clients::{ask, client};

#[test]
fn a_caller_without_a_credential_changes_a_token_by_certificate_and_by_jwt() {
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED]);
    let nobody = client(&stand.gate, None);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let jwt = stand.token(json!({}));
    let bearer = format!("Bearer {jwt}");
    let own = stand.token(json!({"iss": FIELD}));
    for (client, fields) in [
        (&known, &[][..]),
        (&nobody, &[("Authorization", &*bearer)]),
        (&nobody, &[("x-dtgate-token", &*own)]),
        (&known, &[("authorization", &*bearer)]),
    ] {
        let before = stand.upstream.seen().len();
        let answer = ask(client, stand.gate.address, b"", &naming("payments", fields)).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
        // A lookup, and the change.
        assert_eq!(stand.upstream.seen().len(), before + 2);
        let answer = ask(
            client,
            stand.gate.address,
            b"",
            &naming("forbidden", fields),
        )
        .unwrap();
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.message().contains("called forbidden"), "{answer:?}");
        let seen = stand.upstream.seen();
        assert_eq!(seen.len(), before + 3, "only the lookup");
        let credential = format!("Api-Token {PUBLIC}.{SECRET}");
        assert!(
            shown(&seen).iter().all(|it| *it == Some(&*credential)),
            "{seen:?}"
        );
        let of_the_gates = |name: &str| seen.iter().any(|it| it.header(name).is_some());
        assert!(!of_the_gates("x-dtgate-token") && !of_the_gates("cookie"));
    }
    let decisions = stand.decisions();
    assert_eq!(decisions.len(), 8);
    for decision in &decisions {
        assert_eq!(decision["caller"]["id"], PUBLIC, "{decision}");
        assert_eq!(decision["input"]["caller"]["token"]["id"], PUBLIC);
        assert_eq!(decision["input"]["caller"]["teams"], json!(["payments"]));
        let caller = &decision["input"]["caller"];
        let proven = [&caller["certificate"]["subject"], &caller["jwt"]["subject"]];
        assert!(proven.iter().any(|name| **name != ""), "{decision}");
    }
    // A line may come a moment behind its answer.
    let lines = eventually("eight lines", || {
        let log = stand.gate.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.filter(|line| line["message"] == "request").collect();
        (lines.len() == 8).then_some(lines)
    });
    for line in lines {
        assert_eq!(
            (&line["caller.id"], &line["caller.teams"]),
            (&json!(PUBLIC), &json!("payments"))
        );
    }
    stand.hides(&[SECRET]);
    stand.hides(&parts(&jwt));
    stand.hides(&parts(&own));
}

#[test]
fn nobody_is_given_the_gates_credential_without_a_proof() {
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED]);
    let nobody = client(&stand.gate, None);
    let foreign = "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL3Nzby5leGFtcGxlIn0.c2lnbmF0dXJlc2lnbmF0dXJl";
    let ask = |fields: &[(&str, &str)]| {
        let request = naming("payments-ci", fields);
        ask(&nobody, stand.gate.address, b"", &request).unwrap()
    };
    for fields in [
        &[][..],
        &[("Authorization", "")],
        &[("Cookie", "")],
        &[("x-forwarded-client-cert", "Subject=\"CN=ci\"")],
        &[("x-dtgate-token", "")],
        &[("Via", "1.1 dtgate")],
    ] {
        let answer = ask(fields);
        assert!(
            [400, 401].contains(&answer.status),
            "{fields:?}: {answer:?}"
        );
    }
    assert_eq!(ask(&[]).status, 401);
    assert_eq!(stand.upstream.seen().len(), 0);
    // What it shows of its own goes on, and is all that goes on.
    assert_eq!(ask(&[("Authorization", foreign)]).status, 204);
    let own = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X";
    assert_eq!(ask(&[("Authorization", own)]).status, 204);
    let seen = stand.upstream.seen();
    assert_eq!(
        shown(&seen),
        [Some(foreign), Some(foreign), Some(own), Some(own)]
    );
}

#[test]
fn a_credential_of_the_callers_own_beside_the_gates_is_refused() {
    let all = "traffic = 'all'\n";
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED, all]);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let nobody = client(&stand.gate, None);
    let jwt = stand.token(json!({"iss": FIELD}));
    let proof = ("x-dtgate-token", &*jwt);
    let own = "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    let authorization = format!("Api-Token {own}");
    let platform =
        "Bearer dt0s16.ABCDEFGH.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVF";
    let query = |name: &str| format!("?{name}={own}");
    let cases = [
        (String::new(), Some(("Authorization", &*authorization))),
        (String::new(), Some(("AUTHORIZATION", platform))),
        (String::new(), Some(("Cookie", "b1gAuthSession=a"))),
        (String::new(), Some(("Cookie2", "b1gAuthSession=a"))),
        (query("api-token"), None),
        (query("Api-Token"), None),
        (query("%61pi-token"), None),
        // Whoever else might take it for a credential.
        (query("token"), None),
        (String::new(), Some(("X-Api-Token", own))),
        (String::new(), Some(("X-Authorization", &authorization))),
        (String::new(), Some(("Dynatrace-Api-Token", own))),
    ];
    for (query, field) in &cases {
        for (client, proof) in [(&known, None), (&nobody, Some(proof))] {
            let fields: Vec<_> = field.iter().copied().chain(proof).collect();
            let body = r#"{"name":"payments"}"#;
            for request in [
                request("PUT", &format!("{TOKEN}{query}"), &fields, body),
                request("GET", &format!("/api/v2/metrics{query}"), &fields, ""),
                request(
                    "POST",
                    &format!("/api/v2/metrics/ingest{query}"),
                    &fields,
                    "{}",
                ),
            ] {
                let answer = ask(client, stand.gate.address, b"", &request).unwrap();
                assert_eq!(answer.status, 400, "{request}: {answer:?}");
            }
        }
    }
    assert_eq!(stand.upstream.seen().len(), 0);
    // All of it is in the journal, open traffic too.
    assert_eq!(stand.decisions().len(), cases.len() * 6);
    stand.hides(&[SECRET, "G3DFPBEJYMOD", "b1gAuthSession"]);
}

#[test]
fn each_kind_of_token_is_shown_as_dynatrace_wants_it() {
    for (file, shown_as) in [
        (
            format!("{PUBLIC}.{SECRET}"),
            format!("Api-Token {PUBLIC}.{SECRET}"),
        ),
        (
            format!("dt0s16.GATEGATE.{SECRET}\n"),
            format!("Bearer dt0s16.GATEGATE.{SECRET}"),
        ),
    ] {
        let making = Making::before(telling());
        making.file("gate.token", &file);
        let stand = making.start(&[JWT, BROKERED]);
        let bearer = stand.bearer(json!({}));
        let fields = [("Authorization", &*bearer)];
        assert_eq!(stand.name("payments", &fields).status, 204);
        let seen = stand.upstream.seen();
        assert_eq!(shown(&seen), [Some(&*shown_as), Some(&*shown_as)]);
        stand.hides(&[SECRET]);
    }
}

#[test]
fn an_upstream_that_repeats_the_credential_tells_nobody() {
    for status in ["200 OK", "403 Forbidden"] {
        let upstream = Upstream::answering_all(move |seen| {
            if is_lookup(&seen.line) {
                return token().into_bytes();
            }
            let credential = seen.header("authorization").unwrap_or_default();
            let (one, other) = credential.split_at(40.min(credential.len()));
            let chunks = [
                "{\"error\":{\"message\":\"no such token: ".to_owned(),
                one.to_owned(),
                format!("{other}\"}}}}"),
            ];
            let mut answer = format!(
                "HTTP/1.1 {status}\r\nX-Echo: {credential}\r\nSet-Cookie: s=1\r\n\
                 Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                answer.extend([&format!("{:x}\r\n", chunk.len()), &**chunk, "\r\n"]);
            }
            answer.push_str("0\r\n\r\n");
            answer.into_bytes()
        });
        let stand = Making::before(upstream).start(&[JWT, BROKERED, "traffic = 'all'\n"]);
        let bearer = stand.bearer(json!({}));
        let fields = [("Authorization", &*bearer)];
        let body = r#"{"name":"payments","scopes":["metrics.read"]}"#;
        for request in [
            naming("payments", &fields),
            request("POST", "/api/v1/tokens", &fields, body),
            request("GET", "/api/v2/metrics", &fields, ""),
            request("POST", "/api/v2/metrics/ingest", &fields, "{}"),
        ] {
            let mut stream = TcpStream::connect(stand.gate.address).unwrap();
            let close = request.replacen("Host: gate", "Host: gate\r\nConnection: close", 1);
            stream.write_all(close.as_bytes()).unwrap();
            let mut answer = Vec::new();
            drop(std::io::Read::read_to_end(&mut stream, &mut answer));
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains("no such token: "), "{answer}");
            let (begin, _) = SECRET.split_at(20);
            assert!(!answer.contains(begin), "{answer}");
            // A session that was begun for the gate is the gate's.
            assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
        }
        assert_eq!(stand.upstream.seen().len(), 5);
        let (begin, _) = SECRET.split_at(20);
        stand.hides(&[begin]);
    }
}

/// One that answers as it is wished, and repeats the credential in places that nobody thinks of.
fn careless() -> Upstream {
    Upstream::answering_all(|seen| {
        if is_lookup(&seen.line) {
            return token().into_bytes();
        }
        let credential = seen.header("authorization").unwrap_or_default();
        let basic = data_encoding::BASE64.encode(format!("gates:{credential}").as_bytes());
        let words = format!("403 Not {credential}");
        let (head, body) = match seen.header("x-wish") {
            Some("compressed") => ("200 OK\r\nContent-Encoding: gzip", credential),
            Some("part") => (
                "206 Partial Content\r\nContent-Range: bytes 0-9/99",
                "0123456789",
            ),
            Some("words") => (&*words, ""),
            _ => ("200 OK", &*basic),
        };
        let length = body.len();
        format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    })
}

/// What asks for another answer than the whole one as it is.
const ASKED: [(&str, &str); 4] = [
    ("Accept-Encoding", "gzip"),
    ("Range", "bytes=0-9"),
    ("If-Range", "\"a\""),
    ("A-IM", "vcdiff"),
];

#[test]
fn an_answer_that_cannot_be_searched_is_not_passed_on() {
    let stand = Making::before(careless()).start(&[JWT, BROKERED, "traffic = 'all'\n"]);
    let bearer = stand.bearer(json!({}));
    let proof = ("Authorization", &*bearer);
    let begin = SECRET.split_at(18).0;
    let encoded = data_encoding::BASE64.encode(begin.as_bytes());
    for (wish, open) in [
        ("compressed", 502),
        ("part", 502),
        ("words", 403),
        ("", 200),
    ] {
        let fields = [&[proof, ("X-Wish", wish)], &ASKED[..]].concat();
        let reading = request("GET", "/api/v2/metrics", &fields, "");
        for request in [naming("payments", &fields), reading] {
            let mut stream = TcpStream::connect(stand.gate.address).unwrap();
            let close = request.replacen("Host: gate", "Host: gate\r\nConnection: close", 1);
            stream.write_all(close.as_bytes()).unwrap();
            let mut answer = Vec::new();
            drop(std::io::Read::read_to_end(&mut stream, &mut answer));
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {open} ")), "{answer}");
            assert!(
                !answer.contains(begin) && !answer.contains(&encoded),
                "{answer}"
            );
            assert!(open != 502 || answer.contains("Dynatrace may have acted on this request"));
        }
    }
    for seen in stand.upstream.seen() {
        let header = |name: &str| seen.header(&name.to_lowercase());
        assert!(
            ASKED[1..].iter().all(|(name, _)| header(name).is_none()),
            "{seen:?}"
        );
        assert!(is_lookup(&seen.line) || header(ASKED[0].0) == Some("identity"));
    }
    // What the upstream did is told as it was.
    let mut records = stand.gate.records();
    records.retain(|record| record["kind"] == "outcome");
    let told: Vec<_> = records
        .iter()
        .map(|it| (it["outcome"].as_str(), it["status"].as_u64()))
        .collect();
    let answered = |status| (Some("answered"), Some(status));
    assert_eq!(told, [200, 206, 403, 200].map(answered));
    let detail = records[0]["detail"].as_str().unwrap();
    assert!(detail.contains("compressed"), "{detail}");
    // Of those who are lent nothing, nothing is taken.
    let own = [
        ("Authorization", "Api-Token dt0c01.A.B"),
        ("X-Wish", "part"),
    ];
    let own = [&own, &ASKED[..]].concat();
    assert_eq!(stand.get("/api/v2/metrics", &own).status, 206);
    let seen = stand.upstream.seen().pop().unwrap();
    let is_there = |(name, value): &(&str, &str)| seen.header(&name.to_lowercase()) == Some(value);
    assert!(ASKED.iter().all(is_there), "{seen:?}");
}

#[test]
fn a_credential_can_be_for_some_teams_only() {
    let teams = "teams = ['payments', 'others']\n";
    let making = Making::before(telling());
    let others =
        "  - name: others\n    jwt: [{issuer: https://ci.example, claim: sub, value: others}]\n";
    making.file("policies/data.yaml", &format!("{DATA}{others}"));
    let stand = making.start(&[JWT, BROKERED, teams, "traffic = 'all'\n"]);
    let ours = stand.bearer(json!({}));
    let theirs = stand.bearer(json!({"repository": "example/payments2"}));
    let of = |bearer: &str| stand.name("payments-ci", &[("Authorization", bearer)]);
    assert_eq!(of(&ours).status, 204);
    let seen = stand.upstream.seen().len();
    let answer = of(&theirs);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(
        answer
            .message()
            .contains("is for certain teams, and you are in none of them"),
        "{answer:?}"
    );
    // A token where Dynatrace does not look is no credential of its own.
    let elsewhere = [
        ("Authorization", &*theirs),
        (
            "X-Api-Token",
            "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM",
        ),
    ];
    assert_eq!(stand.name("payments-ci", &elsewhere).status, 403);
    assert_eq!(stand.upstream.seen().len(), seen);
    // Without the gate's it is as good as anybody: what it shows of its own goes on.
    let field = stand.token(json!({"iss": FIELD, "repository": "example/other"}));
    let own = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X";
    let fields = [("Authorization", own), ("x-dtgate-token", &*field)];
    assert_eq!(stand.name("payments-ci", &fields).status, 204);
    assert_eq!(stand.get("/api/v2/metrics", &fields).status, 204);
    assert_eq!(
        stand
            .get("/api/v2/metrics", &[("Authorization", &theirs)])
            .status,
        204
    );
    let seen = stand.upstream.seen();
    let credential = format!("Api-Token {PUBLIC}.{SECRET}");
    let (ours, own) = (Some(&*credential), Some(own));
    assert_eq!(shown(&seen), [ours, ours, own, own, own, None]);
    assert!(seen.iter().all(|it| it.header("x-dtgate-token").is_none()));
}

#[test]
fn open_traffic_is_sent_with_the_gates_credential_where_that_is_configured() {
    let credential = format!("Api-Token {PUBLIC}.{SECRET}");
    for (traffic, reads, writes) in [
        ("", false, false),
        ("traffic = 'guarded'\n", false, false),
        ("traffic = 'reads'\n", true, false),
        ("traffic = 'all'\n", true, true),
    ] {
        let stand = Making::before(telling()).start(&[JWT, BROKERED, traffic]);
        let bearer = stand.bearer(json!({}));
        let proof = ("Authorization", &*bearer);
        let over = ("X-HTTP-Method-Override", "DELETE");
        for (method, target, fields, expected) in [
            ("GET", "/api/v2/metrics", &[proof][..], reads),
            ("HEAD", "/api/v2/metrics", &[proof], reads),
            ("POST", "/api/v2/metrics/ingest", &[proof], writes),
            ("DELETE", "/api/v2/slo/1", &[proof], writes),
            ("OPTIONS", "/api/v2/metrics", &[proof], writes),
            // For those who believe it, this is no read.
            ("GET", "/api/v2/slo/1", &[proof, over], writes),
            ("GET", "/api/v2/slo/1?_method=DELETE", &[proof], writes),
            ("GET", "/api/v2/metrics", &[], false),
            ("POST", "/api/v2/metrics/ingest", &[], false),
        ] {
            let mut stream = TcpStream::connect(stand.gate.address).unwrap();
            stream
                .write_all(request(method, target, fields, "").as_bytes())
                .unwrap();
            let answer = read_answer(&mut BufReader::new(stream)).unwrap();
            assert_eq!(answer.status, 204, "{traffic} {method} {target}");
            let seen = stand.upstream.seen().pop().unwrap();
            assert!(seen.line.starts_with(&format!("{method} {target} ")));
            let expected = expected.then_some(&*credential);
            assert_eq!(seen.header("authorization"), expected, "{traffic}{method}");
        }
        let log = stand.gate.log();
        assert!(
            log.contains("\"caller.teams\":\"payments\"") || !reads,
            "{log}"
        );
        stand.hides(&[SECRET]);
    }
}

#[test]
fn tricks_with_fields_of_the_connection_get_nobody_more() {
    let stand = Making::before(telling()).start(&[JWT, BROKERED, "traffic = 'all'\n"]);
    let field = stand.token(json!({"iss": FIELD}));
    let proof = ("X-DTGATE-Token", &*field);
    for option in ["authorization", "x-dtgate-token", "close, Authorization"] {
        let fields = [proof, ("Connection", option)];
        assert_eq!(stand.name("payments", &fields).status, 400, "{option}");
        assert_eq!(stand.get("/api/v2/metrics", &fields).status, 400);
    }
    for (name, value) in [
        ("Upgrade", "websocket"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
    ] {
        let fields = [proof, ("Connection", name), (name, value)];
        assert_eq!(stand.get("/api/v2/metrics", &fields).status, 204);
    }
    assert_eq!(
        stand
            .gate
            .raw(request("TRACE", "/api/v2/metrics", &[proof], ""))
            .status,
        405
    );
    let connect =
        format!("CONNECT gate:443 HTTP/1.1\r\nHost: gate:443\r\nx-dtgate-token: {field}\r\n\r\n");
    assert_eq!(stand.gate.raw(connect).status, 405);
    // A proof that comes with the last chunk is none.
    let body = r#"{"name":"payments"}"#;
    let late = format!(
        "PUT {TOKEN} HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nTrailer: x-dtgate-token\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-dtgate-token: {field}\r\n\r\n",
        body.len()
    );
    assert_eq!(stand.gate.raw(late).status, 401);
    let open = "POST /api/v2/metrics/ingest HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\
                Trailer: x-dtgate-token\r\n\r\n";
    let open = format!("{open}2\r\n{{}}\r\n0\r\nx-dtgate-token: {field}\r\n\r\n");
    assert_eq!(stand.gate.raw(open).status, 204);
    for seen in stand.upstream.seen() {
        assert!(!format!("{seen:?}").contains(&field), "{seen:?}");
        assert_eq!(seen.header("upgrade"), None);
    }
    assert_eq!(
        stand.upstream.seen().pop().unwrap().header("authorization"),
        None
    );
}

#[test]
fn no_environment_is_shown_anothers_credential_and_no_caller_is_taken_for_another() {
    let upstreams = [telling(), telling(), telling()];
    let making = Making::new();
    let other = SECRET.replace('Q', "A");
    making.file("us.token", &format!("dt0s16.USGATEUS.{other}"));
    let mut sections = String::new();
    for (name, upstream) in ["eu", "us", "none"].iter().zip(&upstreams) {
        let file = match *name {
            "eu" => "credential = { file = 'gate.token', traffic = 'all' }\n",
            "us" => "credential = { file = 'us.token', traffic = 'all' }\n",
            _ => "",
        };
        let section = format!(
            "[environments.{name}]\nhosts = ['{name}.example']\nupstream.url = 'http://{}'\n{file}",
            upstream.address
        );
        sections.push_str(&section);
    }
    let limits = "[limits]\njudge_queue = 100\naddress_share = '100%'\n";
    let stand = Making::start(making, &[JWT, &sections, limits]);
    let jobs = ["job-0", "job-1", "job-2", "job-3"];
    let jobs = jobs.map(|subject| (subject, stand.bearer(json!({ "sub": subject }))));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (stand, jobs) = (&stand, &jobs);
            scope.spawn(move || {
                // One connection, another caller and another environment each time.
                let stream = TcpStream::connect(stand.gate.address).unwrap();
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                let mut send = |request: String| {
                    writer.write_all(request.as_bytes()).unwrap();
                    read_answer(&mut reader).unwrap()
                };
                for number in 0..40 {
                    let (subject, bearer) = &jobs[(number + thread) % jobs.len()];
                    let (host, status) = [("eu", 204), ("us", 204), ("none", 401)][number % 3];
                    let host = format!("{host}.example");
                    let fields = [("Host", &*host), ("Authorization", &**bearer)];
                    let answer = send(naming(&format!("{host}-{subject}"), &fields));
                    assert_eq!(answer.status, status, "{host}: {answer:?}");
                    let answer = send(request("GET", "/api/v2/metrics", &fields, ""));
                    assert_eq!(answer.status, 204);
                    // Whoever comes next on the same connection has proven nothing.
                    let answer = send(naming("anything", &fields[..1]));
                    assert_eq!(answer.status, 401, "{answer:?}");
                }
            });
        }
    });
    let credentials = [
        Some(format!("Api-Token {PUBLIC}.{SECRET}")),
        Some(format!("Bearer dt0s16.USGATEUS.{other}")),
        None,
    ];
    for (upstream, credential) in upstreams.iter().zip(credentials) {
        let seen = upstream.seen();
        assert!(seen.len() >= 39, "{}", seen.len());
        let expected = credential.as_deref();
        assert!(shown(&seen).iter().all(|it| *it == expected), "{seen:?}");
    }
    let mut judged = 0;
    for decision in stand.decisions() {
        let caller = &decision["input"]["caller"];
        let Some(name) = decision["input"]["change"]["name"]["requested"].as_str() else {
            continue;
        };
        let host = decision["input"]["environment"]["name"].as_str().unwrap();
        let subject = caller["jwt"]["subject"].as_str().unwrap();
        assert_eq!(name, format!("{host}.example-{subject}"), "{decision}");
        let id = if host == "eu" {
            PUBLIC
        } else {
            "dt0s16.USGATEUS"
        };
        assert_eq!(caller["token"]["id"], id);
        judged += 1;
    }
    assert!(judged >= 78, "{judged}");
    stand.hides(&[SECRET, &other]);
}
