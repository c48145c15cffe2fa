//! What pages are asked: an address that says too much, or something that no page knows, gets no answer to less than that.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::{FROM_HERE, OPEN, PATIENT, ask, decisions, gate, log_in, page, text, users};
use crate::harness::{Answered, BAD, GOOD, TOKEN, Upstream, eventually, program};

fn get(admin: SocketAddr, target: &str, fields: &str) -> Answered {
    ask(admin, "GET", target, fields, "")
}

#[test]
fn what_a_page_does_not_know_is_refused_and_large_things_make_no_large_page() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let scopes: Vec<String> = (0..54)
        .map(|at| format!("{}{at}", "&".repeat(1_100)))
        .collect();
    gate.send(
        "PUT",
        TOKEN,
        &json!({"name": "&\"".repeat(900), "scopes": scopes}).to_string(),
    );
    let found = decisions(gate.admin, 1);
    for target in ["/console", "/console/decisions", &*found[0]] {
        let html = page(gate.admin, target);
        assert!(html.len() < 300 << 10, "{target}: {}", html.len());
    }
    let words = "a+".repeat(60);
    for wrong in [
        "/console/decisions?verdit=deny",
        "/console/decisions?granted=0",
        "/console/decisions?verdict=allow&verdict=deny",
        &format!("/console/decisions?{}verdict=deny", "token=x&".repeat(100)),
        &format!("/console/decisions?token={}", "x".repeat(1_025)),
        &format!("/console/decisions?text={words}"),
        &format!("/console?environment={}", "x".repeat(9_000)),
        "/console/decisions?before=x",
        "/console/decisions?before=2026-11-24T10%3A00%3A00Z/eu/7",
        "/console/decisions.csv?verdit=deny",
        "/console?since=7d",
        "/console/callers?order=x",
        "/console/live?from=x",
        "/console/live?environmnt=prod",
        "/console/policies?policy=x",
        "/console/tokens/x?all=0",
    ] {
        let answer = get(gate.admin, wrong, "");
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    let other = get(gate.admin, "/console/assets/of-another/console.js", "");
    assert_eq!(
        (other.status, other.header("cache-control")),
        (200, Some("no-store"))
    );
}

/// The lines of a stream of events, from an address on.
fn looks_on(admin: SocketAddr, target: &str, fields: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(admin).unwrap();
    let patience = Some(Duration::from_mins(1));
    stream.set_read_timeout(patience).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: localhost:8081\r\n{fields}\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}

/// The next line that begins so.
fn next(stream: &mut BufReader<TcpStream>, beginning: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "it has ended");
        if line.starts_with(beginning) {
            return line.trim_end().to_owned();
        }
    }
}

#[test]
fn what_came_between_a_page_and_its_first_event_is_told() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    decisions(gate.admin, 1);
    let now = page(gate.admin, "/console");
    let (_, query) = now.split_once("data-query=\"").unwrap();
    let query = query.split('"').next().unwrap().replace("&amp;", "&");
    assert!(query.contains("from="), "{query}");
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    decisions(gate.admin, 2);
    let target = format!("/console/live?{query}");
    let mut first = looks_on(gate.admin, &target, "");
    let id = next(&mut first, "id: ");
    assert!(next(&mut first, "data: ").contains("forbidden_scopes"));
    // Who comes again has seen that.
    let seen = format!("Last-Event-ID: {}\r\n", id.trim_start_matches("id: "));
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let mut again = looks_on(gate.admin, &target, &seen);
    assert!(!next(&mut again, "data: ").contains("forbidden_scopes"));
}

#[test]
fn all_who_look_on_are_told_while_the_journal_cannot_be_read() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    decisions(gate.admin, 1);
    let mut stream = looks_on(gate.admin, "/console/live", "");
    next(&mut stream, ": still here");
    let (journal, away) = (gate.journal(), gate.journal().with_extension("away"));
    std::fs::rename(&journal, &away).unwrap();
    next(&mut stream, "event: unread");
    let answer = get(gate.admin, "/console", "");
    let place = journal.display().to_string();
    assert!(
        answer.status >= 500 && !text(&answer).contains(&place),
        "{answer:?}"
    );
    std::fs::rename(&away, &journal).unwrap();
    next(&mut stream, "event: read");
    let told = "the console cannot read what is new";
    assert_eq!(gate.log().matches(told).count(), 1, "{}", gate.log());
}

#[test]
fn one_viewer_leaves_pages_and_streams_to_others_and_a_link_from_elsewhere_finds_its_session() {
    let (directory, path) = users();
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[console]\npasswords = \"{path}\"\n{PATIENT}"),
    );
    let session = |name: &str| {
        let entered = log_in(gate.admin, name, "correct+horse+battery", FROM_HERE);
        let cookie = entered
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        assert!(cookie.starts_with("dtgate-console-8081="), "{cookie}");
        format!("Cookie: {cookie}\r\n")
    };
    let (alice, victor) = (session("alice"), session("victor"));
    let mut streams: Vec<_> = (0..4)
        .map(|_| looks_on(gate.admin, "/console/live", &alice))
        .collect();
    for stream in &mut streams {
        assert!(next(stream, "HTTP/1.1").contains("200"));
    }
    assert_eq!(get(gate.admin, "/console/live", &alice).status, 503);
    let mut others = looks_on(gate.admin, "/console/live", &victor);
    assert!(next(&mut others, "HTTP/1.1").contains("200"));
    drop((streams, others));
    // A browser that another site leads here shows no cookie.
    let led =
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    let target = "/console/decisions?verdict=deny&policy=x";
    let answer = get(gate.admin, target, led);
    let onwards = "content=\"0;url=/console/decisions?verdict=deny&amp;policy=x\"";
    assert!(
        answer.status == 200 && text(&answer).contains(onwards),
        "{answer:?}"
    );
    assert_eq!(get(gate.admin, target, FROM_HERE).status, 303);
    assert_eq!(ask(gate.admin, "HEAD", target, led, "").status, 303);
    assert_eq!(get(gate.admin, "/console", &alice).status, 200);
    // Who is taken out of the file is logged out.
    let lines = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lines.lines().last().unwrap()).unwrap();
    eventually("alice is logged out", || {
        (get(gate.admin, "/console", &alice).status == 303).then_some(())
    });
    assert_eq!(get(gate.admin, "/console", &victor).status, 200);
    drop(directory);
}

#[test]
fn a_search_says_what_the_command_says_of_a_key_that_is_missing() {
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[journal.pseudonyms]\nfields = [\"caller.address\"]\n{OPEN}"),
    );
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    decisions(gate.admin, 1);
    std::fs::remove_file(gate.journal().join("pseudonym-v1.key")).unwrap();
    let mut command = program();
    command.args(["audit", "query", "--client", "127.0.0.1", "--journal"]);
    let ran = command.arg(gate.journal()).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(
        said.contains("the key pseudonym-v1.key is missing"),
        "{said}"
    );
    let html = page(gate.admin, "/console/decisions?client=127.0.0.1");
    for note in said
        .lines()
        .filter_map(|line| line.strip_prefix("dtgate: "))
    {
        // The page begins a sentence, and calls what was given by the name of its field.
        let wanted = note.replace("--client", "“Client&#39;s address”");
        let (_, rest) = wanted.split_at(1);
        let html = html.replace("Client's", "Client&#39;s");
        assert!(html.contains(rest), "{wanted}: {html}");
    }
}

#[test]
fn a_judgement_ends_when_its_browser_has_gone() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let endless = "package dtgate.tried\n\ndeny contains \"x\" if {\n\tsome a in numbers.range(1, 100000)\n\tsome b in numbers.range(1, 100000)\n\ta + b == 0\n}\n";
    let form = format!(
        "request={}&edited={}",
        super::encoded("{}"),
        super::encoded(&json!({"tried.rego": endless}).to_string())
    );
    let length = form.len();
    let mut stream = TcpStream::connect(gate.admin).unwrap();
    write!(
        stream,
        "POST /console/playground/judge HTTP/1.1\r\nHost: localhost:8081\r\n{FROM_HERE}Content-Length: {length}\r\n\r\n{form}"
    )
    .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let gone = "dtgate_limit_reached_total{limit=\"half_close_timeout\"} 1";
    let began = std::time::Instant::now();
    eventually("it is given up", || {
        text(&get(gate.admin, "/metrics", ""))
            .contains(gone)
            .then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_decision_shows_the_lines_of_each_policy_and_the_gates_own_check_is_named() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let denied = page(gate.admin, &decisions(gate.admin, 1)[0]);
    let (_, lines) = denied.split_once("The lines that were evaluated").unwrap();
    assert!(
        lines.contains("By the policies of then, judged again."),
        "{lines}"
    );
    let of_it = lines
        .split("<details")
        .find(|it| it.contains("forbidden_scopes"));
    let of_it = of_it.unwrap();
    assert!(
        of_it.contains("objected") && of_it.contains("scope in _forbidden"),
        "{of_it}"
    );
}
