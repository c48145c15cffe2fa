//! What people read, as a whole: somebody has read each text below `tests/data/messages`, and it stays as it was read.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it messages` writes them anew. Read what `git diff` then shows.

use std::fmt::Write;
use std::io::{PipeReader, Read, pipe};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use dtgate::audit::tail::render;
use regex::Regex;

use crate::harness::{Answered, Gate, SECRET, TOKEN, Upstream, program};

/// Nothing is deleted, and two policies have something to say about a change.
const POLICIES: [(&str, &str); 3] = [
    (
        "frozen.rego",
        "package dtgate.frozen\n\ndeny contains \"tokens may not be deleted this week; ask the platform team\" if input.operation == \"token.delete\"\n",
    ),
    (
        "forbidden.rego",
        "package dtgate.forbidden\n\ndeny contains {\"message\": \"scope \\\"WriteConfig\\\" may not be granted; leave it out of the request\", \"path\": \"scopes[0]\"} if \"WriteConfig\" in input.change.scopes.requested\n",
    ),
    (
        "naming.rego",
        "package dtgate.naming\n\ndeny contains \"say the team in the name\" if input.change.name.requested == \"x\"\n",
    ),
];

/// A request and what it shows: name, method, path, more header lines, body.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [u8],
);

const JSON: &str = "Content-Type: application/json\r\n";

const CASES: &[Case] = &[
    (
        "a denial by two policies",
        "PUT",
        TOKEN,
        JSON,
        br#"{"name":"x","scopes":["WriteConfig"]}"#,
    ),
    ("a denied deletion", "DELETE", TOKEN, "", b""),
    (
        "a member twice",
        "PUT",
        TOKEN,
        JSON,
        br#"{"scopes":[],"scopes":["WriteConfig"]}"#,
    ),
    (
        "a member twice, further in",
        "PUT",
        TOKEN,
        JSON,
        br#"{"scopes":[],"more":[{"a":1,"a":2}]}"#,
    ),
    (
        "a member like another",
        "PUT",
        TOKEN,
        JSON,
        br#"{"Scopes":["WriteConfig"]}"#,
    ),
    (
        "a byte-order mark",
        "PUT",
        TOKEN,
        JSON,
        b"\xEF\xBB\xBF{\"scopes\":[]}",
    ),
    ("no JSON", "PUT", TOKEN, JSON, b"{\"scopes\":[],}"),
    (
        "a wrong type",
        "PUT",
        TOKEN,
        JSON,
        br#"{"scopes":"metrics.read"}"#,
    ),
    ("no body", "PUT", TOKEN, JSON, b""),
    ("a body that is none", "DELETE", TOKEN, JSON, b"{}"),
    (
        "another media type",
        "PUT",
        TOKEN,
        "Content-Type: text/plain\r\n",
        b"{}",
    ),
    (
        "another charset",
        "PUT",
        TOKEN,
        "Content-Type: application/json; charset=utf-16\r\n",
        b"{}",
    ),
    (
        "an encoding",
        "PUT",
        TOKEN,
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        b"{}",
    ),
    (
        "a parameter",
        "DELETE",
        "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea?force=true",
        "",
        b"",
    ),
    (
        "an override",
        "POST",
        TOKEN,
        "X-HTTP-Method-Override: PUT\r\n",
        b"",
    ),
    (
        "a field that Connection takes off",
        "PUT",
        TOKEN,
        "Content-Type: application/json\r\nConnection: authorization\r\n",
        b"{}",
    ),
    ("a method that is none", "PATCH", TOKEN, JSON, b"{}"),
    ("a look-alike", "DELETE", "/api/v1/Tokens/x", "", b""),
    (
        "an operation that is refused",
        "POST",
        "/platform/app-engine/app-functions/v1/x",
        JSON,
        b"{}",
    ),
];

const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("another host", "localhost", "/api/v2/metrics"),
    ("another host, with a port", "localhost:8080", TOKEN),
    (
        "another environment",
        "prod.example",
        "/e/other/api/v2/metrics",
    ),
    (
        "a host that needs an id",
        "shared.example",
        "/api/v2/metrics",
    ),
    (
        "two environments",
        "shared.example",
        "/e/dev1/../other/api/v2/metrics",
    ),
];

/// Compares a text with the one that somebody has read.
pub(crate) fn assert_read(name: &str, text: &str) {
    let path = folder().join(name);
    if is_writing() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let read = std::fs::read_to_string(&path).unwrap();
    for (number, (line, read)) in text.lines().zip(read.lines()).enumerate() {
        assert_eq!(line, read, "{name}:{}", number + 1);
    }
    assert_eq!(text, read, "{name}");
}

/// Whether texts are to be written and not compared.
pub(crate) fn is_writing() -> bool {
    std::env::var("DTGATE_SNAPSHOTS").is_ok_and(|wish| wish == "write")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages")
}

/// A gate with two environments, one of them behind an id, which logs as people read it.
struct Logged {
    gate: Gate,
    log: PipeReader,
    upstream: Upstream,
    files: tempfile::TempDir,
}

impl Logged {
    fn start() -> Self {
        let upstream = Upstream::lenient();
        let files = tempfile::tempdir().unwrap();
        for (name, text) in POLICIES {
            std::fs::create_dir_all(files.path().join("policies")).unwrap();
            std::fs::write(files.path().join("policies").join(name), text).unwrap();
        }
        let config = files.path().join("dtgate.toml");
        let text = format!(
            "[listener]\nworkers = 1\n[policies]\nbytecode = \"none\"\n\
             [environments.prod]\nhosts = [\"prod.example\", \"gate\"]\nupstream.url = \"http://{0}\"\n\
             [environments.dev]\nhosts = [\"shared.example\"]\nid = \"dev1\"\nupstream.url = \"http://{0}\"\n",
            upstream.address
        );
        std::fs::write(&config, text).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let addresses = [free(), free()];
        let (log, writer) = pipe().unwrap();
        let mut command = program();
        command
            .env("NO_COLOR", "1")
            .args(["serve", "--config"])
            .arg(&config)
            .args(["--listen", &addresses[0].to_string()])
            .args(["--admin", &addresses[1].to_string()])
            .arg("--policies")
            .arg(files.path().join("policies"))
            .arg("--journal")
            .arg(directory.path().join("journal"));
        let gate = Gate::spawn_at(directory, command, writer.into(), addresses);
        Self {
            gate,
            log,
            upstream,
            files,
        }
    }

    fn send(&self, host: &str, method: &str, target: &str, fields: &str, body: &[u8]) -> Answered {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.gate.raw([head.as_bytes(), body].concat())
    }

    /// Ends the gate. Everything that it has logged, without what differs each time.
    fn end(mut self) -> String {
        self.gate.signal("TERM");
        assert!(self.gate.wait().success());
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        for (folder, name) in [
            (self.files.path(), "/etc/dtgate"),
            (self.gate.directory.path(), "/var/lib/dtgate"),
        ] {
            log = log.replace(folder.to_str().unwrap(), name);
        }
        masked(&log)
    }
}

fn free() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A text without times, ports, digests and ids of requests.
pub(crate) fn masked(text: &str) -> String {
    let masks = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME"),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
            "ID",
        ),
        (r"(127\.0\.0\.1):\d+", "$1:PORT"),
        (r"(duration_ms=)[0-9.]+", "${1}N"),
        (r"after [0-9.]+ ms", "after N ms"),
        (r"policies [0-9a-f]{12}\b", "policies DIGEST"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r" key=dtgate/[!-~]+", " key=KEY"),
        // The connection of the last answer may be open for a moment.
        (r"connections=[01]\b", "connections=0"),
    ];
    masks.iter().fold(text.to_owned(), |text, (shape, mask)| {
        Regex::new(&format!("(?-u){shape}"))
            .unwrap()
            .replace_all(&text, *mask)
            .into_owned()
    })
}

#[test]
fn answers_and_the_log_say_what_is_wrong_and_what_to_do() {
    let gate = Logged::start();
    let mut answers = String::new();
    let mut told = |name: &str, answer: &Answered| {
        assert!(answer.status >= 400, "{name}: {answer:?}");
        let error = serde_json::to_string_pretty(&answer.json()["error"]).unwrap();
        writeln!(answers, "# {name}\n{}\n{error}\n", answer.status).unwrap();
    };
    for (name, method, target, fields, body) in CASES {
        told(name, &gate.send("gate", method, target, fields, body));
    }
    let anonymous = format!("DELETE {TOKEN} HTTP/1.1\r\nHost: gate\r\n\r\n");
    told("no credential", &gate.gate.raw(anonymous));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    told(
        "a long body",
        &gate.send("gate", "PUT", TOKEN, JSON, long.as_bytes()),
    );
    for (name, host, target) in ELSEWHERE {
        told(name, &gate.send(host, "GET", target, "", b""));
    }
    assert_read("answers.txt", &masked(&answers));

    assert_eq!(gate.upstream.seen().len(), 0);
    let good = br#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
    assert_eq!(gate.send("gate", "PUT", TOKEN, JSON, good).status, 204);
    assert_eq!(
        gate.send("gate", "GET", "/api/v2/metrics", "", b"").status,
        204
    );
    assert_read("log.txt", &gate.end());
}

#[test]
fn a_media_type_may_end_in_a_semicolon() {
    let upstream = Upstream::lenient();
    let gate = crate::harness::gate(upstream.address);
    for media_type in [
        "application/json;",
        "application/json; ",
        "application/json;;charset=utf-8;",
        "Application/JSON ; charset=\"UTF-8\" ;",
    ] {
        let body = crate::harness::GOOD;
        let answer = gate.raw(format!(
            "PUT {TOKEN} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}\r\n\
             Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(answer.status, 204, "{media_type}: {answer:?}");
    }
    let last = upstream.seen().pop().unwrap();
    assert_eq!(last.header("content-type"), Some("application/json"));
}

#[test]
fn a_guarded_request_without_a_body_says_so_upstream() {
    let upstream = Upstream::lenient();
    let open = tempfile::tempdir().unwrap();
    let rego = "package dtgate.blind\n\ndeny contains \"never\" if false\n";
    std::fs::write(open.path().join("blind.rego"), rego).unwrap();
    let arguments = ["--policies", open.path().to_str().unwrap()];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    let rotation = "/api/v2/tenantTokenRotation/start";
    for (method, target, field, sent) in [
        ("POST", rotation, "Content-Length: 0\r\n", Some("0")),
        ("POST", rotation, "", Some("0")),
        ("DELETE", TOKEN, "Content-Length: 0\r\n", Some("0")),
        ("DELETE", TOKEN, "", None),
    ] {
        let answer = gate.raw(format!(
            "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}\r\n{field}\r\n"
        ));
        assert_eq!(answer.status, 204, "{answer:?}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), sent, "{method} {field}");
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[test]
fn records_are_shown_to_people() {
    let records = std::fs::read_to_string(folder().join("tail.jsonl")).unwrap();
    let shown: Vec<String> = records.lines().map(render).collect();
    let shown = shown.join("\n") + "\n";
    assert!(shown.contains("\u{1b}[31mdeny"), "no colour: {shown}");
    assert_read(
        "tail.txt",
        &anstream::adapter::strip_str(&shown).to_string(),
    );
}
