//! The pages of the console over a store.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use super::{Way, database, decision, journal};
use crate::harness::{exchange, program};

/// A console over the store that ends with this.
struct Shown(Child, std::net::SocketAddr);

impl Shown {
    fn start(way: &Way, more: &[&str]) -> Self {
        let mut command = program();
        command.args(["console", "--no-login", "--listen", "127.0.0.1:0"]);
        command.args(["--store", &way.config.url.to_string()]);
        command
            .arg("--password-file")
            .arg(way.directory.path().join("password"));
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        let address = said.split('/').nth(2).unwrap().parse().unwrap();
        Self(child, address)
    }

    fn page(&self, target: &str) -> (u16, String) {
        let text = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = exchange(self.1, text.as_bytes());
        (answer.status, answer.body)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Where a link of this kind leads.
fn link(html: &str, kind: &str) -> Option<String> {
    let tag = html
        .split("<a ")
        .find(|tag| tag.contains(&format!("rel=\"{kind}\"")))?;
    let href = tag.split("href=\"").nth(1)?.split('"').next()?;
    Some(href.replace("&amp;", "&"))
}

/// Both gates have records of the same numbers and times.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_the_decisions_beside_one_are_those_of_its_gate() {
    let database = database();
    let way = Way::to(&database);
    let between = serde_json::json!({"kind": "reload", "timestamp": "2026-11-24T10:00:15.000Z"});
    for gate in ["A", "B"] {
        let records = [
            decision(10, &format!("first-of-{gate}"), gate),
            between.clone(),
            decision(20, &format!("second-of-{gate}"), gate),
            decision(30, &format!("third-of-{gate}"), "denied"),
        ];
        let (directory, hash) = journal(&records);
        way.ship(gate, directory.path(), 4, &hash);
    }
    let all = Shown::start(&way, &[]);
    let one = Shown::start(&way, &["--gate", "B"]);
    for (console, gate) in [(&all, "A"), (&all, "B"), (&one, "B")] {
        let (status, middle) = console.page(&format!("/console/decisions/3?gate={gate}"));
        assert_eq!(status, 200, "{middle}");
        assert!(middle.contains(&format!("second-of-{gate}")), "{middle}");
        // Of records that are no decision there is no page.
        for (kind, name) in [("prev", "first"), ("next", "third")] {
            let target = link(&middle, kind).unwrap_or_else(|| panic!("{kind}: {middle}"));
            let (status, beside) = console.page(&target);
            assert_eq!(status, 200, "{target}: {beside}");
            assert!(
                beside.contains(&format!("{name}-of-{gate}")),
                "{target}: {beside}"
            );
            assert_eq!(link(&beside, kind), None, "{beside}");
        }
    }
    for target in [
        "",
        "/callers",
        "/policies",
        "/decisions.csv",
        "/tokens/dt0c01.TOKEN",
    ] {
        let (status, shown) = all.page(&format!("/console{target}"));
        assert_eq!(status, 200, "{target}: {shown}");
    }
    // Whatever the URL says, only its gate is shown.
    let (_, list) = one.page("/console/decisions?gate=A");
    assert!(!list.contains("of-A"), "{list}");
}

/// Pages said less than commands, and that a token is not there whose records a gate has not sent yet.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_pages_say_what_has_not_come_and_what_another_build_has_sent() {
    let database = database();
    let way = Way::to(&database);
    for gate in ["A", "B"] {
        let (directory, hash) = journal(&[decision(0, "payments", "ci")]);
        way.ship(gate, directory.path(), 1, &hash);
    }
    let all = Shown::start(&way, &[]);
    let one = Shown::start(&way, &["--gate", "A"]);
    let (token, other) = (
        "/console/tokens/dt0c01.TOKEN",
        "/console/tokens/dt0c01.OTHER",
    );
    let behind = "8 records of gate B had not come to the store";
    assert_eq!(all.page(other).0, 404);
    database.sql("UPDATE dtgate.gate SET head_seq = 9 WHERE gate = 'B'");
    for target in [other, "/console/decisions/7?gate=B"] {
        let (status, shown) = all.page(target);
        assert_eq!(status, 503, "{target}: {shown}");
        assert!(
            shown.contains("o decision ") && shown.contains(behind),
            "{shown}"
        );
    }
    let (status, shown) = all.page(token);
    assert!(status == 200 && shown.contains(behind), "{shown}");
    // What is asked for is of another gate.
    assert_eq!(one.page(other).0, 404);
    let sent = "were sent by another build of dtgate (gate A, B)";
    let search = "/console/decisions?token=dt0c01.TOKEN";
    for target in [token, search] {
        let (_, shown) = all.page(target);
        assert!(!shown.contains("another build"), "{target}: {shown}");
    }
    database.sql("DELETE FROM dtgate.name WHERE kind = 'form'");
    for target in [token, search] {
        let (_, shown) = all.page(target);
        assert!(shown.contains(sent), "{target}: {shown}");
    }
    let (_, shown) = all.page("/console/decisions");
    assert!(!shown.contains("another build"), "{shown}");
}

/// What is told to somebody who looks on: the beginning of each event.
fn looked_on(console: &Shown, query: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = std::net::TcpStream::connect(console.1).unwrap();
    let patience = Some(std::time::Duration::from_mins(1));
    stream.set_read_timeout(patience).unwrap();
    write!(
        stream,
        "GET /console/live?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut event = String::new();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            }
            if let Some(row) = line.strip_prefix("data: ") {
                let row = row.split("data-id=\"").nth(1).unwrap_or_default();
                let id = row.split('"').next().unwrap_or_default();
                return Some(format!("{event} {id}"));
            }
        }
    })
}

/// Gates send when they can: what one sends late is new, however old it is, and so it is for a page that comes again.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_a_gate_sends_late_is_told() {
    let database = database();
    let way = Way::to(&database);
    let ship = |gate: &str, seconds: std::ops::Range<u32>| {
        let records: Vec<_> = seconds
            .map(|second| decision(second, "payments", "denied"))
            .collect();
        let (directory, hash) = journal(&records);
        way.ship(gate, directory.path(), records.len() as u64, &hash);
    };
    // More than are looked at.
    ship("A", 100..160);
    ship("B", 10..11);
    let console = Shown::start(&way, &[]);
    let (_, page) = console.page("/console");
    let query = page.split("data-query=\"").nth(1).unwrap();
    let query = query.split('"').next().unwrap().replace("&amp;", "&");
    assert!(query.contains("A%2F60"), "{query}");
    // A page that comes again.
    ship("C", 20..22);
    let mut told = looked_on(&console, &query);
    let next: Vec<String> = told.by_ref().take(2).collect();
    assert_eq!(next, ["decision C/1", "decision C/2"]);
    // Somebody looks on: it may begin with what is there now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    ship("D", 30..31);
    assert_eq!(told.next().unwrap(), "decision D/1");
    ship("E", 40..95);
    assert_eq!(told.next().unwrap(), "lost ");
}

/// What took so long stands under the time at which it was decided, as the decisions do.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_latencies_stand_under_the_time_of_their_decisions() {
    let database = database();
    let way = Way::to(&database);
    // Each at the beginning of a minute: in parts that begin later, it would be in the one before.
    let now = dtgate::app::now().as_second() / 60 * 60;
    let now = jiff::Timestamp::from_second(now).unwrap();
    let records: Vec<_> = (1..50)
        .map(|minutes| {
            let at = now - jiff::SignedDuration::from_mins(minutes);
            let mut record = decision(1, "payments", "ci");
            record["timestamp"] = format!("{at:.3}").into();
            record["metrics"] = serde_json::json!({"timer_rego_query_eval_ns": 1_000_000});
            record
        })
        .rev()
        .collect();
    let (directory, hash) = journal(&records);
    way.ship("A", directory.path(), records.len() as u64, &hash);
    let console = Shown::start(&way, &[]);
    let (_, page) = console.page("/console?last=1h");
    let figures = page.split("<figure").skip(1);
    let times: Vec<Vec<&str>> = figures
        .map(|figure| {
            let titles = figure.split("<title data-at=\"").skip(1);
            titles.filter_map(|it| it.split('"').next()).collect()
        })
        .collect();
    assert_eq!(times.len(), 2, "{page}");
    assert_eq!(times[0].len(), 49, "{times:?}");
    assert_eq!(times[0], times[1]);
}
