//! One-time grants: what two people have signed passes once, and nothing else does. The journal is the witness.

mod forged;
mod kept;
mod page;
mod proven;
mod stored;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{Scrape, causes::look};
use crate::asked::said;
use crate::harness::{
    Answered, BAD, GOOD, Gate, TOKEN, Upstream, copy, eventually, exchange, policies, program,
    verify,
};

/// The keys of some people, the directory of grants, and the configuration of a gate.
pub(crate) struct Desk {
    pub(crate) files: TempDir,
}

impl Desk {
    /// Alice and Bob may sign; Mallory has a key.
    pub(crate) fn new(more: &str) -> Self {
        let desk = Self {
            files: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(desk.grants()).unwrap();
        let keys = ["alice", "bob", "mallory"].map(|name| {
            let made = desk.run(&["grant", "key", name]);
            assert!(made.status.success(), "{made:?}");
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        });
        let config = format!(
            "[grants]\ndirectory = '{}'\napprovers = [\"{}\", \"{}\"]\n{more}\n[reload]\ninterval = \"1s\"\nrequire_tests = false\n",
            desk.grants().display(),
            keys[0],
            keys[1]
        );
        std::fs::write(desk.config(), config).unwrap();
        desk
    }

    pub(crate) fn grants(&self) -> PathBuf {
        self.files.path().join("grants")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.files.path().join("dtgate.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn start(&self, directory: TempDir, upstream: &Upstream, more: &[&str]) -> Gate {
        let config = self.config();
        let arguments = [&["--config", config.to_str().unwrap()], more].concat();
        Gate::start(directory, upstream.address, &arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program()
            .current_dir(self.files.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Asks as Alice for what is named; the file is not in the directory of the gate yet.
    pub(crate) fn request(&self, gate: &Gate, more: &[&str]) -> Output {
        let journal = gate.journal();
        let asked = [
            "grant",
            "request",
            "--journal",
            journal.to_str().unwrap(),
            "--reason",
            "the old deployment",
            "--ticket",
            "OPS-4711",
            "--key",
            "alice.key",
            "--output",
            "asked.grant",
            "--yes",
        ];
        drop(std::fs::remove_file(self.path("asked.grant")));
        self.run(&[&asked, more].concat())
    }

    /// Approves as Bob what Alice has asked for.
    pub(crate) fn approve(&self, gate: &Gate) -> Output {
        let journal = gate.journal();
        let journal = journal.to_str().unwrap();
        self.run(&[
            "grant",
            "approve",
            "asked.grant",
            "--key",
            "bob.key",
            "--config",
            "dtgate.toml",
            "--journal",
            journal,
            "--yes",
        ])
    }

    /// A good grant, not in the directory of the gate.
    pub(crate) fn granted(&self, gate: &Gate, more: &[&str]) -> String {
        for made in [self.request(gate, more), self.approve(gate)] {
            assert!(made.status.success(), "{made:?}");
        }
        std::fs::read_to_string(self.path("asked.grant")).unwrap()
    }

    /// Gives the gate a grant, and waits until it has seen it.
    pub(crate) fn give(&self, gate: &Gate, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.grants().join(name)).unwrap();
        eventually("the gate has seen the grant", || {
            let log = gate.log();
            let mut lines = log
                .lines()
                .filter(|line| line.contains("a grant can be used"));
            lines.any(|line| line.contains(name)).then_some(())
        });
    }

    /// What `grant show` says of a file, and whether it is usable.
    pub(crate) fn show(&self, gate: &Gate, file: &Path) -> (bool, String) {
        let journal = gate.journal();
        let shown = self.run(&[
            "grant",
            "show",
            file.to_str().unwrap(),
            "--config",
            "dtgate.toml",
            "--journal",
            journal.to_str().unwrap(),
        ]);
        let all = String::from_utf8_lossy(&shown.stdout).into_owned()
            + &String::from_utf8_lossy(&shown.stderr);
        (shown.status.success(), all)
    }
}

/// A metric without labels.
pub(crate) fn metric(gate: &Gate, name: &str) -> usize {
    let all = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let line = all.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

fn usable(gate: &Gate) -> usize {
    metric(gate, "dtgate_grants_usable ")
}

pub(crate) fn id_of(answer: &Answered) -> String {
    answer.header("dtgate-decision-id").unwrap().to_owned()
}

/// Waits until a gate has looked at its directory twice from now on: whatever was put there was seen.
pub(crate) fn looked(desk: &Desk, gate: &Gate) {
    for round in 0..2 {
        let name = format!("mark-{round}-{}", gate.log().len());
        std::fs::write(desk.grants().join(format!("{name}.grant")), "").unwrap();
        eventually("the gate looks", || {
            gate.log().contains(&name).then_some(())
        });
        std::fs::remove_file(desk.grants().join(format!("{name}.grant"))).unwrap();
    }
}

/// What people do at first, and what they are told then.
#[test]
fn slips_around_a_grant_are_named() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let id = id_of(&gate.send("PUT", TOKEN, BAD));
    std::fs::write(
        desk.path("bob.public"),
        desk.run(&["grant", "key", "bob2"]).stdout,
    )
    .unwrap();
    let said = |output: Output| {
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let token = ["--token", "x", "--policy", "naming"];
    for (more, wanted) in [
        (&["--decision", ""][..], "--decision is empty"),
        (&token[..], "Write --caller HASH, or --any-caller"),
    ] {
        let said = said(desk.request(&gate, more));
        assert!(said.contains(wanted), "{said}");
    }
    let journal = gate.journal();
    let ask = |output: &str, key: &str| {
        let journal = journal.to_str().unwrap();
        desk.run(&[
            "grant",
            "request",
            "--journal",
            journal,
            "--decision",
            &id,
            "--reason",
            "r",
            "--ticket",
            "t",
            "--key",
            key,
            "--output",
            output,
            "--yes",
        ])
    };
    let wrong = said(ask("asked.txt", "alice.key"));
    assert!(wrong.contains("its name has to end in .grant"), "{wrong}");
    assert!(!desk.path("asked.txt").exists());
    let public = said(ask("asked.grant", "bob.public"));
    assert!(
        public.contains("holds a public key: --key takes the private one"),
        "{public}"
    );
    let again = said(desk.run(&["grant", "key", "alice"]));
    assert!(again.contains("--output"), "{again}");
    // Also where nobody knows whose signatures are good.
    let asked = ask("asked.grant", "alice.key");
    assert!(asked.status.success(), "{asked:?}");
    let shown = desk.run(&[
        "grant",
        "show",
        "asked.grant",
        "--journal",
        journal.to_str().unwrap(),
    ]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("it cannot be used: only alice has signed it"),
        "{shown}"
    );
}

#[test]
fn what_is_denied_passes_once_by_a_grant_and_is_denied_again() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    assert_eq!(denied.status, 403);
    let id = id_of(&denied);
    let ask = format!(
        "To ask for a one-time grant: dtgate grant request --decision {id} --config FILE --key FILE --reason TEXT --ticket TEXT"
    );
    assert!(denied.message().ends_with(&ask), "{denied:?}");

    let asked = desk.request(&gate, &["--decision", &id]);
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success(), "{asked:?}");
    for said in [
        "lets pass    this request once, exactly as it was denied:",
        &format!("request      PUT {TOKEN}"),
        "caller       dt0c01.ST2EY72KQINMH574WMNVI7YN",
        "overrides    forbidden_scopes",
        "WriteConfig",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    // One signature is none.
    let text = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    std::fs::write(desk.grants().join("half.grant"), text).unwrap();
    looked(&desk, &gate);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let approved = desk.approve(&gate);
    assert!(approved.status.success(), "{approved:?}");
    let told = String::from_utf8_lossy(&approved.stdout).into_owned();
    assert!(told.contains("WriteConfig"), "{told}");
    let text = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    desk.give(&gate, "half.grant", &text);

    let before = upstream.seen().len();
    let passed = gate.send("PUT", TOKEN, BAD);
    assert_eq!(passed.status, 204, "{passed:?}");
    assert_eq!(upstream.seen().len(), before + 1);
    let warning = passed.header("warning").unwrap();
    assert!(
        warning.starts_with("299 dtgate \"passes this once by grant "),
        "{warning}"
    );
    assert!(
        warning.contains(", approved by bob; denied by forbidden_scopes; ticket OPS-4711"),
        "{warning}"
    );
    let again = gate.send("PUT", TOKEN, BAD);
    assert_eq!(again.status, 403);
    assert_eq!(upstream.seen().len(), before + 1);
    eventually("it is not offered any more", || {
        (usable(&gate) == 0).then_some(())
    });
    assert_eq!(metric(&gate, "dtgate_grants_used_total "), 1);
    eventually("the log says so", || {
        gate.log()
            .contains("a grant was used: policies deny this request, and it passes once")
            .then_some(())
    });

    let grant = recorded(&gate, &id_of(&passed));
    let (is_usable, shown) = desk.show(&gate, &desk.path("asked.grant"));
    assert!(
        !is_usable && shown.contains(&format!("it was used, by decision {}", id_of(&passed))),
        "{shown}"
    );
    told_of(&gate, &grant, &id_of(&passed));
    proven(&desk, &gate, &id_of(&denied), &id_of(&passed));
    verify(&gate.journal());
}

/// The journal alone proves who has granted it; of a denial there is nothing to prove.
fn proven(desk: &Desk, gate: &Gate, denied: &str, passed: &str) {
    let journal = gate.journal();
    let verify = |decision: &str| {
        let journal = journal.to_str().unwrap();
        desk.run(&["grant", "verify", decision, "--journal", journal])
    };
    let verified = verify(passed);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{verified:?}");
    let wanted = "signed by alice and approved by bob, by the keys that record 1 has";
    assert!(said.contains(wanted), "{said}");
    assert!(!verify(denied).status.success());
    let records = gate.decisions();
    let record = records.iter().find(|it| it["decision_id"] == passed);
    let grant = &record.unwrap()["grant"];
    let file = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    assert_eq!(grant["note"], file);
    assert_eq!(
        (&grant["allows"], &grant["decision"]),
        (&json!("request"), &json!(denied))
    );
}

/// The record of a decision has all of its grant; gives its id.
fn recorded(gate: &Gate, decision: &str) -> String {
    let decisions = gate.decisions();
    let granted: Vec<&Value> = decisions
        .iter()
        .filter(|it| it.get("grant").is_some())
        .collect();
    let [record] = granted.as_slice() else {
        panic!("{decisions:?}");
    };
    assert_eq!(record["verdict"], "allow");
    assert_eq!(record["decision_id"], decision);
    let violation = &record["result"]["violations"][0];
    assert_eq!(
        (
            &violation["policy"],
            &violation["mode"],
            violation.get("exception")
        ),
        (&json!("forbidden_scopes"), &json!("enforce"), None)
    );
    assert_eq!(
        record["result"]["violations"],
        decisions[0]["result"]["violations"]
    );
    let grant = &record["grant"];
    assert_eq!(
        [
            &grant["requested_by"],
            &grant["approved_by"],
            &grant["ticket"],
            &grant["reason"]
        ],
        ["alice", "bob", "OPS-4711", "the old deployment"]
    );
    assert_eq!(grant["policies"], json!(["forbidden_scopes"]));
    grant["id"].as_str().unwrap().to_owned()
}

/// What makes the alarm go off.
pub(crate) fn grant_used() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let before = look(gate.admin);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    [before, look(gate.admin)]
}

/// What the commands that look at a journal say of the one decision that passed by a grant.
fn told_of(gate: &Gate, grant: &str, decision: &str) {
    let directory = gate.directory.path();
    let by = format!(
        "passes once by grant {grant} (OPS-4711), asked for by alice, approved by bob: the old deployment"
    );
    for (arguments, needles) in [
        (
            vec!["query", "--granted"],
            vec![by.as_str(), "forbidden_scopes would deny"],
        ),
        (
            vec!["show", decision],
            vec!["granted", &by, "approved_by: bob"],
        ),
        (
            vec!["tail"],
            vec!["granted", &by, "forbidden_scopes would deny"],
        ),
        (
            vec!["history", TOKEN.rsplit('/').next().unwrap()],
            vec![&by],
        ),
        (vec!["query", "--granted", "--format", "csv"], vec![&by]),
        (vec!["query", "--decision", "granted"], vec![&by]),
        (vec!["query", "--text", "OPS-4711"], vec![&by]),
    ] {
        let answer = said(directory, &arguments);
        for needle in needles {
            assert!(answer.contains(needle), "{arguments:?}: {needle}: {answer}");
        }
    }
    for which in [&["--granted"][..], &["--decision", "granted"]] {
        let found = said(directory, &[&["query", "--format", "json"], which].concat());
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    // Whatever a client calls its token.
    let none = said(directory, &["query", "--granted", "--text", "nowhere"]);
    assert!(none.contains("No decision matches."), "{none}");
    // The policies still deny it: nothing is decided otherwise.
    let output = program()
        .current_dir(directory)
        .args([
            "replay",
            "--fail-on",
            "new-denials,new-allows",
            "--policies",
        ])
        .arg(policies())
        .args(["--format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["granted"], &report["new_denials"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(report["same"], report["replayed"]);
}

#[test]
fn without_the_section_nobody_is_told_of_grants_and_none_is_good() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("how_to_ask = \"Ask in #tokens, with {decision}\"");
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let (_, without) = text.split_once("[reload]").unwrap();
    std::fs::write(desk.config(), format!("[reload]{without}")).unwrap();
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    assert!(!denied.message().contains("grant request"), "{denied:?}");
    // Nobody can know by its record that it was this caller.
    let asked = desk.request(&gate, &["--decision", &id_of(&denied)]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("no /request/caller_hash"), "{asked:?}");
    // It comes, and goes again, while the gate runs.
    let token = TOKEN.rsplit('/').next().unwrap();
    let next = ["--token", token, "--policy", "naming", "--any-caller"];
    let asked = desk.request(&gate, &next);
    assert!(asked.status.success(), "{asked:?}");
    std::fs::write(desk.config(), &text).unwrap();
    assert!(desk.approve(&gate).status.success());
    let grant = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    desk.give(&gate, "a.grant", &grant);
    let elsewhere = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";
    let denied = gate.send("PUT", elsewhere, BAD);
    let wanted = format!("Ask in #tokens, with {}", id_of(&denied));
    assert!(denied.message().ends_with(&wanted), "{denied:?}");
    std::fs::write(desk.config(), format!("[reload]{without}")).unwrap();
    eventually("no grant is good", || (usable(&gate) == 0).then_some(()));
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    verify(&gate.journal());
}

/// Creations: no two of them wait for one another, as changes of one token do.
#[test]
fn of_many_at_once_one_passes() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &["--workers", "2"]);
    let bad = r#"{"name":"payments-prod-ci","scopes":["WriteConfig"]}"#;
    let send = || gate.send("POST", "/api/v1/tokens", bad).status;
    let denied = gate.send("POST", "/api/v1/tokens", bad);
    assert_eq!(denied.status, 403);
    for round in 0..5 {
        let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
        desk.give(&gate, &format!("{round}.grant"), &grant);
        let passed = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let is_passed = usize::from(send() == 204);
                    passed.fetch_add(is_passed, std::sync::atomic::Ordering::SeqCst)
                });
            }
        });
        assert_eq!(passed.into_inner(), 1);
        assert_eq!(upstream.seen().len(), round + 1);
    }
    verify(&gate.journal());
}

#[test]
fn a_grant_that_was_recorded_is_used_up_also_after_a_kill() {
    // The change arrives, and has no answer.
    let (arrived, arrivals) = mpsc::channel();
    let (arrived, first) = (Mutex::new(arrived), Mutex::new(true));
    let upstream = Upstream::answering(move |_| {
        arrived.lock().unwrap().send(()).unwrap();
        if std::mem::take(&mut *first.lock().unwrap()) {
            std::thread::park_timeout(Duration::from_mins(1));
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    let address = gate.address;
    let sent = std::thread::spawn(move || {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(crate::harness::put(BAD).as_bytes())
            .unwrap();
        stream
    });
    let _stream = sent.join().unwrap();
    arrivals.recv_timeout(Duration::from_secs(30)).unwrap();
    let mut directory = gate.crash();
    for round in 0..2 {
        // Copied and renamed, it is the same one.
        for name in ["b", "c"] {
            std::fs::write(desk.grants().join(format!("{round}{name}.grant")), &grant).unwrap();
        }
        let gate = desk.start(directory, &upstream, &[]);
        looked(&desk, &gate);
        assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
        assert_eq!(usable(&gate), 0);
        let (_, shown) = desk.show(&gate, &desk.grants().join("a.grant"));
        assert!(shown.contains("it was used, by decision "), "{shown}");
        verify(&gate.journal());
        // What was not used is as good as ever after a kill.
        let other = desk.granted(&gate, &["--decision", &id_of(&denied)]);
        desk.give(&gate, &format!("good{round}.grant"), &other);
        directory = gate.crash();
        let gate = desk.start(directory, &upstream, &[]);
        eventually("it is there again", || (usable(&gate) == 1).then_some(()));
        assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
        directory = gate.crash();
    }
    assert_eq!(arrivals.try_iter().count(), 2);
}

#[test]
fn the_next_change_of_a_token_passes_where_only_these_policies_deny_it() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let token = TOKEN.rsplit('/').next().unwrap();
    let next = |more: &[&str]| {
        let named = ["--token", token, "--policy", "forbidden_scopes"];
        let anybody: &[&str] = if more.contains(&"--caller") {
            &[]
        } else {
            &["--any-caller"]
        };
        desk.granted(&gate, &[&named, anybody, more].concat())
    };
    let grant = next(&["--operation", "token.update"]);
    desk.give(&gate, "a.grant", &grant);
    // Another token, another operation, a policy that is not named; what passes by itself needs no grant.
    let other = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";
    assert_eq!(gate.send("PUT", other, BAD).status, 403);
    let two = r#"{"name":"no name","scopes":["WriteConfig"]}"#;
    let both = gate.send("PUT", TOKEN, two);
    assert_eq!(both.status, 403);
    assert_eq!(
        both.json()["error"]["constraintViolations"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(usable(&gate), 1);
    let another = r#"{"scopes":["WriteConfig","metrics.read"]}"#;
    assert_eq!(gate.send("PUT", TOKEN, another).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    // Of another caller, of another environment, for another operation.
    for (name, more) in [
        (
            "b",
            ["--caller", "hmac-sha256:0123456789abcdef0123456789abcdef"],
        ),
        ("c", ["--environment", "prod"]),
        ("d", ["--operation", "token.delete"]),
    ] {
        desk.give(&gate, &format!("{name}.grant"), &next(&more));
        assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403, "{name}");
    }
    verify(&gate.journal());
}

#[test]
fn a_policy_that_failed_is_overridden_only_by_a_grant_that_says_so() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let folder = desk.path("policies");
    copy(&policies(), &folder);
    let rule = "package dtgate.broken\n\ndeny contains \"never\" if {\n\tinput.change.name.requested == \"payments-prod-boom\"\n\t\
                to_number(input.change.name.requested) == 1\n}\n";
    let boom = r#"{"name":"payments-prod-boom","scopes":["metrics.read"]}"#;
    std::fs::write(folder.join("broken.rego"), rule).unwrap();
    let gate = desk.start(
        tempfile::tempdir().unwrap(),
        &upstream,
        &["--policies", folder.to_str().unwrap()],
    );
    let denied = gate.send("PUT", TOKEN, boom);
    assert_eq!(denied.status, 403);
    assert!(
        denied.message().contains("could not be evaluated"),
        "{denied:?}"
    );
    let id = id_of(&denied);
    let asked = desk.request(&gate, &["--decision", &id]);
    let refused = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        refused.contains("broken could not judge this request"),
        "{asked:?}"
    );
    let token = TOKEN.rsplit('/').next().unwrap();
    let plain = desk.granted(
        &gate,
        &["--token", token, "--policy", "broken", "--any-caller"],
    );
    desk.give(&gate, "a.grant", &plain);
    assert_eq!(gate.send("PUT", TOKEN, boom).status, 403);
    let grant = desk.granted(&gate, &["--decision", &id, "--even-if-unjudged"]);
    desk.give(&gate, "b.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, boom).status, 204);
    let last = gate.decisions().pop().unwrap();
    assert_eq!(last["grant"]["failed_policies"], json!(["broken"]));
    assert_eq!(last["result"]["violations"][0]["code"], "policy-error");
    verify(&gate.journal());
}

#[test]
fn what_policies_have_not_judged_can_never_be_granted() {
    // Nobody can look a token up.
    let upstream =
        Upstream::answering_all(|_| b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec());
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let token = TOKEN.rsplit('/').next().unwrap();
    let any = desk.granted(
        &gate,
        &[
            "--token",
            token,
            "--any-caller",
            "--policy",
            "forbidden_scopes",
            "--policy",
            "token lookup",
            "--even-if-unjudged",
        ],
    );
    desk.give(&gate, "a.grant", &any);
    let slashed = format!("{TOKEN}%2f");
    for (method, target, body, says) in [
        ("PUT", TOKEN, BAD, "the token could not be looked up"),
        ("PUT", TOKEN, "{", "no policy has judged this request"),
        ("PUT", &slashed, BAD, "no policy has judged this request"),
        ("PATCH", TOKEN, BAD, "no policy has judged this request"),
    ] {
        let refused = gate.send(method, target, body);
        assert!(refused.status >= 400, "{refused:?}");
        assert!(!refused.message().contains("grant request"), "{refused:?}");
        let asked = desk.request(
            &gate,
            &["--decision", &id_of(&refused), "--even-if-unjudged"],
        );
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(
            !asked.status.success() && said.contains(says),
            "{says}: {said}"
        );
    }
    let nothing = desk.request(
        &gate,
        &["--decision", "019ab533-0000-7000-8000-000000000001"],
    );
    assert!(!nothing.status.success());
    assert_eq!(usable(&gate), 1);
    assert!(gate.decisions().iter().all(|it| it["verdict"] == "deny"));
}

#[test]
fn a_request_is_the_same_one_also_where_its_record_has_pseudonyms() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let with = "[journal]\npseudonyms.fields = [\"caller.token.id\", \"caller.address\"]\n";
    std::fs::write(desk.config(), with.to_owned() + &text).unwrap();
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    assert!(!grant.contains("ST2EY72KQINMH574WMNVI7YN"), "{grant}");
    desk.give(&gate, "a.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let gate = desk.start(gate.crash(), &upstream, &[]);
    looked(&desk, &gate);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let (_, shown) = desk.show(&gate, &desk.grants().join("a.grant"));
    assert!(shown.contains("it was used, by decision "), "{shown}");
    verify(&gate.journal());
}

#[test]
fn the_configuration_names_two_people_and_a_directory() {
    let desk = Desk::new("");
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let check = |config: &str| {
        std::fs::write(desk.path("other.toml"), config).unwrap();
        let policies = policies();
        let policies = policies.to_str().unwrap();
        let output = desk.run(&["check", "--config", "other.toml", "--policies", policies]);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.success(),
            out + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let upstream = "[upstream]\nurl = \"http://127.0.0.1:9\"\n";
    let good = format!("{upstream}{text}");
    let (is_good, said) = check(&good);
    assert!(is_good && !said.contains("no grant is good"), "{said}");
    let (before, behind) = good.split_once("approvers = [").unwrap();
    let (keys, behind) = behind.split_once(']').unwrap();
    let (alice, bob) = keys.split_once(", ").unwrap();
    for (keys, says) in [
        (alice.to_owned(), "a grant needs two people"),
        (String::new(), "a grant needs two people"),
        (
            format!("{alice}, {alice}"),
            "two approvers are called alice",
        ),
        (
            format!("{alice}, \"bob\""),
            "entry 2 of grants.approvers is no public key",
        ),
        (
            format!("{alice}, {}", bob.replace("bob+", "alice+")),
            "is no public key",
        ),
    ] {
        let (is_good, said) = check(&format!("{before}approvers = [{keys}]{behind}"));
        assert!(!is_good && said.contains(says), "{says}: {said}");
    }
    for more in [
        "how_to_ask = \"\"",
        "how_to_ask = \"a\\nb\"",
        "longest = \"0s\"",
        "longer = 1",
    ] {
        let (is_good, said) = check(&good.replace("[reload]", &format!("{more}\n[reload]")));
        assert!(!is_good && said.contains("other.toml:"), "{more}: {said}");
    }
    std::fs::remove_dir(desk.grants()).unwrap();
    let (is_good, said) = check(&good);
    assert!(
        is_good && said.contains("no grant is good until there is one"),
        "{said}"
    );
    // It comes later; readers of the journal know who may sign.
    let upstream = Upstream::lenient();
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let start = gate
        .records()
        .into_iter()
        .find(|it| it["kind"] == "start")
        .unwrap();
    assert_eq!(start["grants"]["approvers"].as_array().unwrap().len(), 2);
    assert_eq!(start["grants"]["longest"], "4h");
    std::fs::create_dir(desk.grants()).unwrap();
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
}
