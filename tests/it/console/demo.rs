//! The demo with its traffic: what somebody sees first.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{
    Answered, GOOD, Gate, TOKEN, Upstream, eventually, exchange, policies, program, verify,
};

/// A demo that has sent its first requests. It ends with this, as by Ctrl-C.
pub(super) struct Demo {
    child: Child,
    pub(super) gate: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) journal: PathBuf,
}

impl Demo {
    pub(super) fn start() -> Self {
        let mut command = program();
        command.args(["demo", "--traffic", "--policies"]);
        command.arg(policies()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        while !said
            .iter()
            .any(|it: &String| it.starts_with("dtgate audit verify"))
        {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said:?}"));
            said.push(line.unwrap());
        }
        let behind = |name: &str| {
            let found = said.iter().find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("{name}: {said:?}"))
                .trim()
                .to_owned()
        };
        let address = |url: &str| -> SocketAddr {
            let rest = url.split("http://").nth(1).unwrap();
            rest.split([' ', '/']).next().unwrap().parse().unwrap()
        };
        let shown = behind("console ");
        assert!(shown.ends_with("/console"), "{shown}");
        Self {
            child,
            gate: address(&behind("gate ")),
            admin: address(&shown),
            journal: PathBuf::from(behind("dtgate audit verify --journal")),
        }
    }

    pub(super) fn ask(&self, target: &str) -> Answered {
        let text = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        exchange(self.admin, text.as_bytes())
    }

    /// What `dtgate audit` says about its journal: a value a line.
    pub(super) fn audit(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = program();
        command.arg("audit").args(arguments);
        command.arg("--journal").arg(&self.journal);
        let output = command.args(["--format", "json"]).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let lines = output.stdout.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::INT).unwrap();
        drop(self.child.wait());
    }
}

#[test]
fn the_demo_fills_the_console_with_traffic_of_each_kind_and_leaves_nothing_behind() {
    let demo = Demo::start();
    for (search, at_least) in [
        ("verdict=deny&policy=forbidden_scopes", 3),
        ("verdict=deny&policy=naming", 1),
        ("verdict=deny&policy=known_scopes", 1),
        ("verdict=deny&policy=scope_budget", 1),
        ("verdict=deny&policy=escalation", 1),
        ("verdict=deny&policy=reactivation", 1),
        ("verdict=deny&policy=no_self_update", 1),
        ("verdict=deny&policy=minting", 1),
        ("verdict=allow&policy=known_scopes", 1),
        ("outcome=doubt", 1),
        ("no_op=only", 3),
        ("environment=prod&verdict=allow", 20),
        ("environment=stage&verdict=allow", 20),
        ("team=payments", 20),
        ("team=search", 10),
        ("team=checkout", 10),
        ("team=platform", 5),
        ("operation=token.create&verdict=allow", 15),
        ("operation=token.update&verdict=allow", 15),
        ("operation=token.delete&verdict=allow", 3),
        ("operation=connection_info.read", 1),
    ] {
        // The index is a little behind the journal.
        eventually(search, || {
            let answer = demo.ask(&format!("/console/decisions?{search}"));
            assert_eq!(answer.status, 200, "{search}: {answer:?}");
            let found = answer.body.matches("data-title=\"Verdict\"").count();
            (found >= at_least).then_some(())
        });
    }
    // Files are called so that somebody finds them: the demo's own directory ends with it.
    for (target, wanted) in [
        (
            "/console/policies/forbidden_scopes",
            "<code>forbidden_scopes.rego</code>",
        ),
        ("/console/policies", "forbidden_scopes"),
        ("/console/playground", "forbidden_scopes.rego"),
        ("/console", "Policies"),
    ] {
        let body = demo.ask(target).body;
        assert!(body.contains(wanted), "{target}: {body}");
        assert!(!body.contains("dtgate-demo-"), "{target}: {body}");
    }
    // No two callers have one token, and nobody is in two teams.
    let callers = demo.ask("/console/callers").body;
    assert!(!callers.contains("checkout, payments"), "{callers}");
    verify(&demo.journal);
    let directory = Path::new(&demo.journal).parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(demo);
    assert!(!directory.exists(), "{}", directory.display());
}

/// Somebody always has the page of what comes open.
#[test]
fn the_console_ends_at_once_though_somebody_looks_on() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = Upstream::lenient();
    let gate = Gate::start(directory, upstream.address, &[]);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let mut command = program();
    command.args([
        "console",
        "--no-login",
        "--listen",
        "127.0.0.1:0",
        "--journal",
    ]);
    command.arg(gate.journal()).stdout(Stdio::piped());
    let mut console = command.spawn().unwrap();
    let mut lines = BufReader::new(console.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap();
    let address: SocketAddr = address.split('/').nth(2).unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /console/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = BufReader::new(&stream).lines();
    assert!(answer.next().unwrap().unwrap().contains("200"));
    let asked = Instant::now();
    kill_process(Pid::from_child(&console), Signal::INT).unwrap();
    assert!(console.wait().unwrap().success());
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
}
