//! What makes each alarm go off, made to happen in a gate: what Prometheus reads before and after.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dtgate::telemetry::{Evaluator, Metrics};
use regex::Regex;
use rustix::process::Resource;
use serde_json::json;

use super::Scrape;
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, exchange};
use crate::signer::Signer;

/// What Prometheus knows after one look at a gate, which may not be there.
pub(crate) fn look(admin: SocketAddr) -> Scrape {
    if TcpStream::connect(admin).is_err() {
        return Scrape::from([(series("up", ""), 0.0)]);
    }
    let question = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    read(&exchange(admin, question).body)
}

fn read(page: &str) -> Scrape {
    let line = Regex::new(r#"^(\w+)(?:\{((?:[^"}]|"[^"]*")*)\})? (\S+)"#).unwrap();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let values = lines.map(|text| {
        let found = line.captures(text).unwrap_or_else(|| panic!("{text}"));
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        (series(&found[1], labels), found[3].parse().unwrap())
    });
    values.chain([(series("up", ""), 1.0)]).collect()
}

/// With the labels that Prometheus adds.
fn series(name: &str, labels: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!(r#"{name}{{{labels}{comma}job="dtgate",instance="gate:8081"}}"#)
}

/// A gate with one small policy, which is asked about tokens as they are, and more of a configuration.
fn small(upstream: &Upstream, configuration: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let policy = "package dtgate.added\n\ndeny contains \"WriteConfig may not be added\" if \"WriteConfig\" in input.change.scopes.added\n";
    std::fs::write(policies.join("added.rego"), policy).unwrap();
    let config = directory.path().join("dtgate.toml");
    std::fs::write(&config, configuration).unwrap();
    let [policies, config] = [policies, config].map(|path| path.to_str().unwrap().to_owned());
    let arguments = ["--policies", &policies, "--config", &config];
    Gate::start(directory, upstream.address, &arguments)
}

/// The store by which gates take turns is there, and then it is not.
pub(super) fn store_gone() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    // It answers nothing.
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://dtgate@{}/dtgate", store.local_addr().unwrap());
    let gate = small(
        &upstream,
        &format!("[store]\nurl = \"{url}\"\nturns = \"store\"\ntimeout = \"10m\"\n"),
    );
    let before = look(gate.admin);
    drop(store);
    let after = eventually("turns cannot be had", || {
        let seen = look(gate.admin);
        (seen.get(&series("dtgate_turns_ok", "")) == Some(&0.0)).then_some(seen)
    });
    [before, after]
}

pub(super) fn gate_gone() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let mut gate = small(&upstream, "");
    let before = look(gate.admin);
    gate.signal("TERM");
    gate.wait();
    [before, look(gate.admin)]
}

/// Nothing more fits on the disk.
pub(super) fn disk_full() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let gate = small(&upstream, "");
    let before = look(gate.admin);
    gate.limit(Resource::Fsize, Some(0));
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 500);
    [before, look(gate.admin)]
}

/// Something stands where a closed segment is to be compressed into.
pub(super) fn not_compressed() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let gate = small(&upstream, "[journal]\nsegment_size = \"1 B\"\n");
    let before = look(gate.admin);
    let journal = gate.directory.path().join("journal");
    for number in 1..100 {
        let name = format!("{number:020}.jsonl.zst.new");
        std::fs::create_dir(journal.join(name)).unwrap_or_default();
    }
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let name = series("dtgate_journal_keep_failing", "");
    eventually("told", || {
        let told = look(gate.admin).get(&name).copied();
        told.filter(|told| *told > 0.0)
    });
    [before, look(gate.admin)]
}

/// Records come, and nothing is signed: here because the time for it has not come.
pub(super) fn no_checkpoints() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let gate = small(&upstream, "[journal]\ncheckpoint_interval = \"1 d\"\n");
    let before = look(gate.admin);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    [before, look(gate.admin)]
}

/// Nobody listens where checkpoints are sent.
pub(super) fn checkpoints_not_sent() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let text = format!(
        "[journal]\ncheckpoint_interval = \"1 s\"\n[journal.checkpoints]\nurl = \"http://{address}/\"\n"
    );
    let gate = small(&upstream, &text);
    let before = look(gate.admin);
    let name = series("dtgate_checkpoint_failures_total", "destination=\"url\"");
    eventually("tried again", || {
        let times = look(gate.admin).get(&name).copied();
        times.filter(|times| *times > 2.0)
    });
    [before, look(gate.admin)]
}

/// The share of the disk that is to be left free is so many halves of what is free.
pub(super) fn disk_filling(halves: u64) -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let keeping = |bytes: u64| {
        let text = format!("[journal]\nmin_free = \"{bytes} B\"\n");
        look(small(&upstream, &text).admin)
    };
    let before = keeping(1);
    let free = before[&series("dtgate_journal_free_bytes", "")];
    let free = format!("{free:.0}").parse::<u64>().unwrap();
    [before, keeping(free / 2 * halves)]
}

/// It says two things at once of one name, and nothing wrong of all others.
const FAILING: &str = "package dtgate.failing

size := 1 if input.change.name.requested == \"boom\"

size := 2 if startswith(input.change.name.requested, \"boo\")

deny contains \"large\" if size > 5
";

pub(super) fn policy_failing() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let policies = tempfile::tempdir().unwrap();
    std::fs::write(policies.path().join("failing.rego"), FAILING).unwrap();
    let arguments = ["--policies", policies.path().to_str().unwrap()];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    assert_eq!(gate.send("PUT", TOKEN, r#"{"name":"fine"}"#).status, 204);
    let before = look(gate.admin);
    let answer = gate.send("PUT", TOKEN, r#"{"name":"boom"}"#);
    assert_eq!(answer.status, 403, "{answer:?}");
    [before, look(gate.admin)]
}

/// No request can make a fault, or is known to: `src/app/supervise/tests.rs` shows that one is counted.
pub(super) fn fault() -> [Scrape; 2] {
    let metrics = Metrics::new("1.2.3");
    let before = read(&metrics.encode());
    metrics.panicked();
    [before, read(&metrics.encode())]
}

/// No request is known on which they do: the tests of `src/policy/trust` show what follows when they do.
pub(super) fn engines_differ() -> [Scrape; 2] {
    [false, true].map(|differs| {
        let metrics = Metrics::new("1.2.3");
        metrics.evaluator_from(move || Evaluator {
            bytecode: !differs,
            differs,
        });
        read(&metrics.encode())
    })
}

/// A gate with one policy, which can be changed.
pub(super) fn reloading(upstream: &Upstream) -> (Gate, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let policies = files.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("names.rego"), FAILING).unwrap();
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, "[reload]\ninterval = \"20ms\"\n").unwrap();
    let [policies, config] = [&policies, &config].map(|path| path.to_str().unwrap());
    let arguments = ["--policies", policies, "--config", config];
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::start(directory, upstream.address, &arguments);
    (gate, files)
}

/// Writes the policy, and waits until the metric says so.
pub(super) fn rewritten(
    gate: &Gate,
    files: &tempfile::TempDir,
    text: &str,
    refused: bool,
) -> Scrape {
    let path = files.path().join("policies/names.rego");
    std::fs::write(path, text).unwrap();
    eventually("the new files are read", || {
        let seen = look(gate.admin);
        ((seen[&series("dtgate_reload_refused", "")] > 0.5) == refused).then_some(seen)
    })
}

pub(super) fn reload_refused() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let (gate, files) = reloading(&upstream);
    let before = look(gate.admin);
    [
        before,
        rewritten(&gate, &files, "package dtgate.names\n\ndeny {", true),
    ]
}

#[test]
fn the_alarm_about_refused_files_ends_when_they_are_mended_or_put_back() {
    let upstream = Upstream::lenient();
    let (gate, files) = reloading(&upstream);
    for good in [
        FAILING,
        "package dtgate.names\n\ndeny contains \"no\" if input.change.name.requested == \"x\"\n",
    ] {
        rewritten(&gate, &files, "package dtgate.names\n\ndeny {", true);
        rewritten(&gate, &files, good, false);
    }
}

pub(super) fn lookups_failing() -> [Scrape; 2] {
    let trouble = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering_all(|_| trouble.to_vec());
    let gate = small(&upstream, "");
    let before = look(gate.admin);
    for _ in 0..6 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 403);
    }
    [before, look(gate.admin)]
}

/// The log is a disk that takes nothing.
pub(super) fn log_lost() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let gate = crate::log::gate(&upstream, full);
    let before = look(gate.admin);
    let dropped = series("dtgate_log_dropped_total", "");
    let after = eventually("lines are lost", || {
        assert_eq!(gate.send("GET", "/api/v2/metrics", "").status, 204);
        let after = look(gate.admin);
        (after[&dropped] > before[&dropped]).then_some(after)
    });
    [before, after]
}

const ISSUER: &str = "https://ci.example";

/// A gate that fetches the keys of an issuer, and whether it can.
struct Issuer {
    gate: Gate,
    _upstream: Upstream,
    _server: Upstream,
    works: Arc<AtomicBool>,
}

fn issuer(works: bool) -> Issuer {
    let works = Arc::new(AtomicBool::new(works));
    let body = json!({"keys": [Signer::es256("known").jwk()]}).to_string();
    let does = works.clone();
    let server = Upstream::answering_all(move |_| {
        let status = if does.load(Ordering::Relaxed) {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    let upstream = Upstream::lenient();
    let text = format!(
        "[identity.jwt.ci]\nissuer = '{ISSUER}'\naudience = 'dtgate'\njwks_url = 'http://{}/keys'\npause = '1ms'\n",
        server.address
    );
    Issuer {
        gate: small(&upstream, &text),
        _upstream: upstream,
        _server: server,
        works,
    }
}

/// Waits until as many fetches have gone that way.
fn fetched(gate: &Gate, result: &str) -> Scrape {
    let name = format!(r#"issuer="ci",result="{result}""#);
    let name = series("dtgate_jwks_fetches_total", &name);
    eventually("keys are fetched", || {
        let seen = look(gate.admin);
        (seen[&name] > 0.0).then_some(seen)
    })
}

/// It worked, and then somebody shows a token whose key is new.
pub(super) fn keys_not_fetched() -> [Scrape; 2] {
    let issuer = issuer(true);
    let before = fetched(&issuer.gate, "ok");
    issuer.works.store(false, Ordering::Relaxed);
    let claims = json!({"iss": ISSUER, "aud": "dtgate", "sub": "ci", "exp": 4_000_000_000_u64});
    let token = Signer::es256("new").token(&claims);
    issuer.gate.raw(format!(
        "GET /api/v2/metrics HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    ));
    [before, fetched(&issuer.gate, "failed")]
}

/// They are fetched once, and not again.
pub(super) fn keys_fetched_once() -> [Scrape; 2] {
    let never = fetched(&issuer(false).gate, "failed");
    [never, fetched(&issuer(true).gate, "ok")]
}
