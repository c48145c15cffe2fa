//! Files are read again while the gate runs: nobody is answered wrongly meanwhile, and what does not hold changes nothing.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Answered, GOOD, Gate, TOKEN, Upstream, eventually, exchange, program, put, read_answer,
    serving, verify,
};

/// A gate whose files can be changed.
struct Files {
    gate: Gate,
    directory: TempDir,
    upstream: Upstream,
}

/// Objects to every name but this one.
fn names_are(name: &str) -> String {
    format!(
        "package dtgate.names\n\ndeny contains \"the name is not {name}\" if input.change.name.requested != \"{name}\"\n"
    )
}

const WATCHED: &str = "[reload]\ninterval = \"20ms\"\n";

impl Files {
    fn start(policy: &str, configuration: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::create_dir(files.path().join("policies")).unwrap();
        std::fs::write(files.path().join("policies/names.rego"), policy).unwrap();
        std::fs::write(files.path().join("dtgate.toml"), configuration).unwrap();
        let policies = files.path().join("policies");
        Self::with(files, &policies)
    }

    fn with(files: TempDir, policies: &Path) -> Self {
        let upstream = Upstream::lenient();
        let directory = tempfile::tempdir().unwrap();
        let mut command = serving(&directory);
        command
            .arg("--config")
            .arg(files.path().join("dtgate.toml"))
            .arg("--policies")
            .arg(policies)
            .args(["--upstream", &format!("http://{}", upstream.address)]);
        let gate = Gate::spawn(directory, command);
        Self {
            gate,
            directory: files,
            upstream,
        }
    }

    fn write(&self, name: &str, text: &str) {
        // As an editor does: never half of it.
        let path = self.directory.path().join(name);
        let new = self.directory.path().join(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn named(&self, name: &str) -> u16 {
        self.gate
            .send("PUT", TOKEN, &json!({ "name": name }).to_string())
            .status
    }

    fn status(&self) -> Value {
        let answer = exchange(
            self.gate.admin,
            b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        answer.json()
    }

    /// Waits until the last reload is another one than that.
    fn after(&self, before: &Value) -> Value {
        eventually("files are read again", || {
            let status = self.status();
            (status["reload"]["last"] != *before).then(|| status.clone())
        })
    }

    fn reloads(&self) -> Vec<Value> {
        let mut records = self.gate.records();
        records.retain(|record| record["kind"] == "reload");
        records
    }

    fn metric(&self, name: &str) -> String {
        let metrics = exchange(
            self.gate.admin,
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        let mut lines = metrics.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or("none").to_owned()
    }
}

#[test]
fn a_changed_policy_is_in_force_without_a_restart_and_every_place_says_so() {
    let files = Files::start(&names_are("a"), WATCHED);
    assert_eq!((files.named("a"), files.named("b")), (204, 403));
    let first = files.status();
    assert_eq!(first["generation"], 0);
    assert_eq!(first["reload"]["last"], Value::Null);

    files.write("policies/names.rego", &names_are("b"));
    let second = files.after(&Value::Null);
    assert_eq!((files.named("a"), files.named("b")), (403, 204));
    assert_eq!(second["generation"], 1);
    assert_eq!(second["reload"]["last"]["trigger"], "watch");
    assert_eq!(second["reload"]["last"]["ok"], true);
    assert_eq!(second["reload"]["last"]["changed"], json!(["policies"]));
    let revisions = [&first, &second].map(|status| status["policies"]["revision"].clone());
    let reloads = files.reloads();
    assert_eq!(reloads.len(), 1, "{reloads:?}");
    assert_eq!(reloads[0]["from"], revisions[0]);
    assert_eq!(reloads[0]["to"], revisions[1]);
    assert_eq!(reloads[0]["generation"], 1);
    assert_eq!(files.metric("dtgate_reloads_total"), "1");
    assert_eq!(files.metric("dtgate_reload_failures_total"), "0");
    assert_eq!(files.metric("dtgate_generation"), "1");
    verify(&files.gate.journal());
}

/// Puts files back that were refused: nothing is refused any more, although the last reload was.
fn put_back(files: &Files) {
    std::fs::remove_file(files.directory.path().join("policies/names_test.rego")).unwrap();
    files.write("policies/names.rego", &names_are("a"));
    files.write("dtgate.toml", WATCHED);
    eventually("nothing is refused any more", || {
        let status = files.status();
        (status["reload"]["refused"] == false).then_some(())
    });
    assert_eq!(files.status()["reload"]["last"]["ok"], false);
    eventually("the log says so", || {
        let log = files.gate.log();
        log.contains("what was refused is gone").then_some(())
    });
}

#[test]
fn whatever_does_not_hold_changes_nothing_and_is_told() {
    let files = Files::start(&names_are("a"), WATCHED);
    let good = names_are("b");
    let tested = "package dtgate.names_test\n\nimport data.dtgate.names\n\ntest_b_passes if count(names.deny) == 0 with input as {\"change\": {\"name\": {\"requested\": \"a\"}}}\n";
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[(
                "policies/names.rego",
                "package dtgate.names\n\ndeny contains x if {\n",
            )],
            "names.rego:",
        ),
        (
            &[(
                "policies/names.rego",
                "package dtgate.names\n\ndeny contains \"x\" if input.chnge.name\n",
            )],
            "did you mean",
        ),
        (
            &[(
                "policies/names.rego",
                "package dtgate.names\n\ndeny contains x if x := input.change.name.requested / 2\n",
            )],
            "names",
        ),
        (
            &[
                ("policies/names.rego", &good),
                ("policies/names_test.rego", tested),
            ],
            "reload.require_tests",
        ),
        (
            &[(
                "dtgate.toml",
                "[reload]\ninterval = \"20ms\"\nintervall = 1\n",
            )],
            "dtgate.toml:3:1",
        ),
    ];
    let mut last = Value::Null;
    for (number, (changes, word)) in cases.into_iter().enumerate() {
        for (name, text) in changes {
            files.write(name, text);
        }
        let status = files.after(&last);
        last = status["reload"]["last"].clone();
        assert_eq!(last["ok"], false, "{word}: {status}");
        let error = last["error"].as_str().unwrap();
        assert!(error.contains(word), "{error}");
        assert_eq!(status["generation"], 0);
        assert_eq!((files.named("a"), files.named("b")), (204, 403), "{word}");
        let reloads = files.reloads();
        let record = reloads.last().unwrap();
        assert_eq!((reloads.len(), &record["ok"]), (number + 1, &json!(false)));
        assert_eq!(record["error"], error);
        assert_eq!(record["from"], status["policies"]["revision"]);
        assert_eq!(
            files.metric("dtgate_reload_failures_total"),
            (number + 1).to_string()
        );
        assert_eq!(files.gate.ready().status, 200);
        assert_eq!(status["reload"]["refused"], true);
    }
    put_back(&files);
    assert!(files.gate.log().contains("everything stays as it is"));

    // And it goes on from there.
    files.write("policies/names.rego", &good);
    eventually("the mended files are in force", || {
        (files.named("b") == 204).then_some(())
    });
}

/// Tests are no part of what judges, and a broken one is found out all the same.
#[test]
fn tests_that_change_alone_are_run_and_have_to_pass() {
    let files = Files::start(&names_are("a"), WATCHED);
    let test = |expected: usize| {
        format!(
            "package dtgate.names_test\n\nimport data.dtgate.names\n\ntest_a if count(names.deny) == {expected} with input as {{\"change\": {{\"name\": {{\"requested\": \"a\"}}}}}}\n"
        )
    };
    files.write("policies/names_test.rego", &test(7));
    let status = files.after(&Value::Null);
    let last = &status["reload"]["last"];
    let error = last["error"].as_str().unwrap();
    assert!(error.contains("names_test.rego"), "{error}");
    assert_eq!(
        (&last["ok"], &status["generation"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(files.metric("dtgate_reload_failures_total"), "1");

    files.write("policies/names_test.rego", &test(0));
    let status = files.after(last);
    let last = &status["reload"]["last"];
    assert_eq!(
        (&last["ok"], &last["changed"]),
        (&json!(true), &json!(["policies"]))
    );
    let reloads = files.reloads();
    assert_eq!(
        (&reloads[0]["ok"], &reloads[1]["ok"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(reloads[1]["from"], reloads[1]["to"]);

    // While nobody asks for tests they may break; whoever asks again is told.
    files.write("dtgate.toml", &format!("{WATCHED}require_tests = false\n"));
    let status = files.after(last);
    files.write("policies/names_test.rego", &test(7));
    let status = files.after(&status["reload"]["last"]);
    assert_eq!(status["reload"]["last"]["ok"], true, "{status}");
    files.write("dtgate.toml", WATCHED);
    let status = files.after(&status["reload"]["last"]);
    assert_eq!(status["reload"]["last"]["ok"], false, "{status}");
    assert_eq!(status["reload"]["require_tests"], false);
}

/// No revision speaks of tests. Whoever finds the set again by it finds the tests of today.
#[test]
fn a_change_of_tests_alone_is_kept() {
    let files = Files::start(&names_are("a"), WATCHED);
    let test = |name: &str| {
        format!(
            "package dtgate.names_test\n\nimport data.dtgate.names\n\n{name} if count(names.deny) == 0 with input.change.name.requested as \"a\"\n"
        )
    };
    let revision = files.status()["policies"]["revision"].clone();
    let mut last = Value::Null;
    for name in ["test_one", "test_two"] {
        files.write("policies/names_test.rego", &test(name));
        last = files.after(&last)["reload"]["last"].clone();
        assert_eq!(last["ok"], true, "{last}");
        let shown = program()
            .args(["policies", "show", revision.as_str().unwrap()])
            .args(["--file", "names_test.rego", "--journal"])
            .arg(files.gate.journal())
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(shown, test(name));
    }
}

#[test]
fn sighup_reads_files_that_nobody_watches_and_does_nothing_when_none_has_changed() {
    let files = Files::start(&names_are("a"), "[reload]\nwatch = false\n");
    files.gate.signal("HUP");
    eventually("nothing has changed", || {
        files
            .gate
            .log()
            .contains("nothing has changed")
            .then_some(())
    });
    assert_eq!(files.reloads(), [Value::Null; 0]);

    files.write("policies/names.rego", &names_are("b"));
    files.gate.signal("HUP");
    let status = files.after(&Value::Null);
    assert_eq!(status["reload"]["last"]["trigger"], "signal");
    assert_eq!((files.named("a"), files.named("b")), (403, 204));
}

#[test]
fn the_configuration_changes_where_it_can_and_says_where_it_cannot() {
    let files = Files::start(&names_are("a"), WATCHED);
    let changed = "[reload]\ninterval = \"30ms\"\n[limits]\nbody = \"10 B\"\n[listener]\nlisten = \"127.0.0.1:1\"\nworkers = 1\n\
                   [journal]\ndirectory = \"elsewhere\"\n[endpoints]\n\"token.update\" = \"refuse\"\n";
    files.write("dtgate.toml", changed);
    let status = files.after(&Value::Null);
    let last = &status["reload"]["last"];
    assert_eq!(last["ok"], true, "{last}");
    assert_eq!(last["changed"], json!(["endpoints", "limits", "reload"]));
    // The command line says where it listens, and where the journal is.
    assert_eq!(last["restart"], json!(["listener.workers"]));
    assert_eq!(files.gate.send("POST", "/api/v1/tokens", GOOD).status, 413);
    assert_eq!(files.named("a"), 403);
    let record = files.reloads().pop().unwrap();
    assert_eq!(record["endpoints"]["token.update"], "refuse");
    assert_eq!(record["restart"], json!(["listener.workers"]));
    eventually("restart it", || {
        files.gate.log().contains("restart it").then_some(())
    });
}

/// What the gate answers to many requests at once until it is told to stop, by status.
pub(crate) struct Load {
    threads: Vec<JoinHandle<BTreeMap<u16, usize>>>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn on(gate: &Gate, bodies: &[&str]) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let threads = bodies.iter().map(|body| {
            let (stop, sent) = (stop.clone(), Arc::<AtomicUsize>::clone(&sent));
            let (address, request) = (gate.address, put(body));
            std::thread::spawn(move || {
                let mut statuses = BTreeMap::new();
                let stream = TcpStream::connect(address).unwrap();
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                while !stop.load(Ordering::Relaxed) {
                    writer.write_all(request.as_bytes()).unwrap();
                    let answer = read_answer(&mut reader).expect("an answer");
                    *statuses.entry(answer.status).or_default() += 1;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                statuses
            })
        });
        Self {
            threads: threads.collect(),
            stop,
            sent,
        }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn end(self) -> Vec<BTreeMap<u16, usize>> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

/// A `ConfigMap` as the kubelet keeps it: files are links through `..data`, which is swapped as a whole.
pub(crate) struct ConfigMap {
    directory: PathBuf,
    version: usize,
}

impl ConfigMap {
    pub(crate) fn new(directory: PathBuf, files: &[(&str, &str)]) -> Self {
        std::fs::create_dir(&directory).unwrap();
        let mut map = Self {
            directory,
            version: 0,
        };
        map.swap(files);
        for (name, _) in files {
            // Of a file within directories the first of them is the link.
            let first = name.split('/').next().unwrap();
            symlink(format!("..data/{first}"), map.directory.join(first)).unwrap();
        }
        map
    }

    pub(crate) fn swap(&mut self, files: &[(&str, &str)]) {
        self.version += 1;
        let name = format!("..version_{}", self.version);
        let version = self.directory.join(&name);
        std::fs::create_dir(&version).unwrap();
        for (file, text) in files {
            let path = version.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        symlink(&name, self.directory.join("..data_tmp")).unwrap();
        std::fs::rename(
            self.directory.join("..data_tmp"),
            self.directory.join("..data"),
        )
        .unwrap();
        if self.version > 1 {
            let old = self
                .directory
                .join(format!("..version_{}", self.version - 1));
            std::fs::remove_dir_all(old).unwrap();
        }
    }
}

/// Every decision is by the policies that the journal says are in force there.
pub(crate) fn decided_by_what_is_in_force(records: &[Value]) -> usize {
    let mut in_force = Value::Null;
    let mut decisions = 0;
    for record in records {
        match record["kind"].as_str().unwrap() {
            "start" => in_force = record["revision"].clone(),
            "reload" if record["ok"] == true => {
                assert_eq!(record["from"], in_force, "{record}");
                in_force = record["to"].clone();
            }
            "decision" => {
                decisions += 1;
                assert_eq!(
                    record["bundles"]["policies"]["revision"], in_force,
                    "{record}"
                );
            }
            _ => {}
        }
    }
    decisions
}

#[test]
fn no_request_fails_and_none_is_judged_by_what_is_not_in_force_while_files_are_swapped_under_load()
{
    let files = tempfile::tempdir().unwrap();
    std::fs::write(
        files.path().join("dtgate.toml"),
        format!("{WATCHED}[limits]\ndenials = 1000000\n"),
    )
    .unwrap();
    let policies = files.path().join("policies");
    let letters = |letter: &str| {
        (
            names_are(letter),
            format!("guardrails:\n  letter: {letter}\n"),
        )
    };
    let (policy, data) = letters("a");
    let of = |policy: &str, data: &str| {
        [
            ("names.rego".to_owned(), policy.to_owned()),
            ("settings/data.yaml".to_owned(), data.to_owned()),
        ]
    };
    let written = of(&policy, &data);
    let borrowed: Vec<_> = written
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let mut map = ConfigMap::new(policies.clone(), &borrowed);
    let files = Files::with(files, &policies);
    let load = Load::on(
        &files.gate,
        &[
            r#"{"name":"a"}"#,
            r#"{"name":"b"}"#,
            r#"{"name":"c"}"#,
            r#"{"name":"a"}"#,
        ],
    );
    let mut last = Value::Null;
    for (round, letter) in ["b", "a", "c", "b", "a"].into_iter().enumerate() {
        let sent = load.sent();
        eventually("requests go on", || {
            (load.sent() > sent + 200).then_some(())
        });
        let (policy, data) = letters(letter);
        map.swap(&[("names.rego", &policy), ("settings/data.yaml", &data)]);
        // A storm of signals meanwhile.
        for _ in 0..10 {
            files.gate.signal("HUP");
        }
        let status = files.after(&last);
        last = status["reload"]["last"].clone();
        assert_eq!(last["ok"], true, "{last}");
        assert_eq!(status["generation"], round + 1);
    }
    let statuses = load.end();
    for statuses in &statuses {
        assert!(
            statuses.keys().all(|status| [204, 403].contains(status)),
            "{statuses:?}"
        );
    }
    let records = files.gate.records();
    let all: usize = statuses.iter().flat_map(BTreeMap::values).sum();
    assert_eq!(decided_by_what_is_in_force(&records), all);
    assert!(files.upstream.seen().len() < all);
    verify(&files.gate.journal());
}

#[test]
fn a_request_that_began_before_a_reload_is_judged_by_what_is_in_force_when_it_is_judged() {
    let files = Files::start(&names_are("a"), WATCHED);
    let request = put(r#"{"name":"a"}"#);
    let (begin, end) = request.split_at(request.len() - 3);
    let stream = TcpStream::connect(files.gate.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(begin.as_bytes()).unwrap();
    eventually("the request has begun", || {
        (files.metric("dtgate_in_flight") == "1").then_some(())
    });
    files.write("policies/names.rego", &names_are("b"));
    files.after(&Value::Null);
    writer.write_all(end.as_bytes()).unwrap();
    let answer: Answered = read_answer(&mut BufReader::new(stream)).unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(files.upstream.seen().len(), 0);
    decided_by_what_is_in_force(&files.gate.records());
    let kinds: Vec<_> = files
        .gate
        .records()
        .into_iter()
        .map(|record| record["kind"].clone())
        .collect();
    assert_eq!(kinds, ["start", "reload", "decision"]);
}

#[test]
fn check_says_what_needs_a_restart() {
    let output = program()
        .args(["check", "--config", "deploy/dtgate.toml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(
            "a change of listener (but its certificates), admin, journal, ship, store, log and otlp needs a restart"
        ),
        "{text}"
    );
}
