//! Whoever is no auditor: no page, whatever it is, shows them a name or an id of a token or a caller.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::{FROM_HERE, PATIENT, ask, gate, log_in, text, users};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually};

/// Stands in everything that a client can say of itself or of a token.
const MARK: &str = "zqxmark";
/// What nobody but auditors sees, in small letters.
const PRIVATE: [&str; 4] = [
    MARK,
    "d5836312-5790-4e80-afcf-09971954c3ea",
    "st2ey72kqinmh574wmnvi7yn",
    "127.0.0.1",
];
/// As the gate would show it, were it text of others.
const HOSTILE: &str = "<b>zqxmark</b>";

/// Requests that say the mark wherever something can be said.
fn hostile(gate: &Gate) -> usize {
    let bodies = [
        json!({"name": HOSTILE, "scopes": ["metrics.read"]}),
        json!({"name": format!("zqxmark-{}", "long".repeat(200)), "scopes": ["WriteConfig"]}),
        json!({"name": "zqxmark\u{202e}", "scopes": ["metrics.read", "logs.read"], HOSTILE: HOSTILE}),
        json!({"scopes": "zqxmark"}),
    ];
    for body in &bodies {
        gate.send("PUT", TOKEN, &body.to_string());
    }
    for (target, body) in [
        ("/api/v1/tokens/zqxmark", GOOD),
        ("/api/v1/tokens/%7a%71xmark", GOOD),
        ("/api/v2/apiTokens/dt0c01.ZQXMARK", r#"{"enabled":false}"#),
    ] {
        let length = body.len();
        gate.raw(format!(
            "PUT {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: zqxmark\r\nX-Request-Id: zqxmark\r\n\
             Authorization: Api-Token dt0c01.ZQXMARKZQXMARKZQXMARKZQX.ZQXMARK\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }
    bodies.len()
}

/// The pages that a page leads to.
fn links(html: &str) -> impl Iterator<Item = String> {
    let parts = html.split("href=\"").skip(1);
    let found = parts.filter_map(|part| part.split('"').next());
    let ours = found.filter(|href| href.starts_with("/console") && !href.contains("/assets/"));
    ours.map(|href| href.replace("&amp;", "&"))
}

/// The paths in the table of `src/console.rs`: whoever adds one has to say here how it is reached.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../../src/console.rs");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `/console"));
    rows.map(|row| format!("/console{}", row.split('`').next().unwrap()))
        .collect()
}

/// What auditors find by following every link is asked for by a viewer, too, and every path that there is.
fn everywhere(gate: &Gate, auditor: &str, count: usize) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    eventually("the decisions are listed", || {
        let list = text(&ask(gate.admin, "GET", "/console/decisions", auditor, ""));
        let listed = links(&list).filter(|it| it.starts_with("/console/decisions/"));
        (listed.collect::<BTreeSet<_>>().len() >= count).then_some(())
    });
    let mut marked = 0;
    let mut next = vec![
        "/console".to_owned(),
        "/console/decisions?verdict=deny".to_owned(),
    ];
    while let Some(target) = next.pop() {
        if all.len() >= 60 || !all.insert(target.clone()) {
            continue;
        }
        let page = text(&ask(gate.admin, "GET", &target, auditor, ""));
        marked += usize::from(page.to_lowercase().contains(MARK));
        next.extend(links(&page));
    }
    assert!(marked > 5, "{marked} {all:?}");
    for route in routes() {
        let target = match &*route {
            "/console/decisions/{id}" => "/console/decisions/2".to_owned(),
            "/console/decisions/{id}/proof" => "/console/decisions/2/proof".to_owned(),
            "/console/tokens/{id}" => "/console/tokens/zqxmar".to_owned(),
            "/console/policies/{name}" => "/console/policies/forbidden_scopes".to_owned(),
            // The one has no text of others, the other goes on without end.
            "/console/assets/…" | "/console/live" => continue,
            "/console/decisions.csv" => {
                all.insert("/console/decisions.json".to_owned());
                route
            }
            _ => route,
        };
        assert!(
            !target.contains(['{', '…']),
            "{target}: how is it asked for?"
        );
        all.insert(target);
    }
    all
}

/// Decisions as they come.
fn live_tells_nothing(gate: &Gate, viewer: &str) {
    let mut stream = TcpStream::connect(gate.admin).unwrap();
    let patience = Some(Duration::from_mins(1));
    stream.set_read_timeout(patience).unwrap();
    write!(
        stream,
        "GET /console/live HTTP/1.1\r\nHost: localhost:8081\r\n{viewer}\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("200"));
    let row = loop {
        let line = lines.next().unwrap();
        if line.starts_with(": still here") {
            hostile(gate);
        }
        if let Some(row) = line.strip_prefix("data: ") {
            break row.to_lowercase();
        }
    };
    for private in PRIVATE {
        assert!(!row.contains(private), "{private}: {row}");
    }
}

#[test]
fn no_page_shows_a_viewer_a_name_or_an_id() {
    let (_directory, path) = users();
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[console]\npasswords = \"{path}\"\n{PATIENT}"),
    );
    let count = hostile(&gate);
    let cookie = |name: &str| {
        let entered = log_in(gate.admin, name, "correct+horse+battery", FROM_HERE);
        let cookie = entered.header("set-cookie").unwrap();
        format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
    };
    let (auditor, viewer) = (cookie("alice"), cookie("victor"));
    let all = everywhere(&gate, &auditor, count);
    live_tells_nothing(&gate, &viewer);
    let allowed: Vec<&String> = all
        .iter()
        .filter(|target| {
            let answer = ask(gate.admin, "GET", target, &viewer, "");
            assert!(
                [200, 303, 400, 403, 404].contains(&answer.status),
                "{target}: {answer:?}"
            );
            let page = text(&answer).to_lowercase();
            for private in PRIVATE {
                // What was asked for itself may be said again.
                let is_asked = target.to_lowercase().contains(private);
                assert!(
                    is_asked || !page.contains(private),
                    "{target}: {private}: {page}"
                );
            }
            answer.status == 200
        })
        .collect();
    assert!(allowed.len() > 8, "{allowed:?}");
    for private in ["/console/decisions.csv", "/console/decisions.json"] {
        assert_eq!(ask(gate.admin, "GET", private, &viewer, "").status, 403);
        let file = ask(gate.admin, "GET", private, &auditor, "");
        assert_eq!(file.status, 200, "{file:?}");
        assert!(file.body.contains(MARK), "{file:?}");
        assert!(
            file.header("content-disposition")
                .unwrap()
                .starts_with("attachment;")
        );
    }
}
