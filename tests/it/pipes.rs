//! Commands that nobody reads from: they end without a word, and their exit code is as true as ever. And what they
//! print can be read without harm, whatever clients have written.

use std::fs::File;
use std::io::{BufRead, BufReader, pipe};
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::harness::{BAD, GOOD, TOKEN, Upstream, eventually, gate, policies, program};

/// What must not reach a terminal, one of each kind; the first is more than a byte of UTF-8 could be mistaken for.
const HIDDEN: &str = "\u{9b}\u{7f}\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{ad}\u{e0041}\u{fe0f}";

/// A policy that quotes what it objects to, with an import that the engine has something to say about.
const POLICY: &str = r#"package dtgate.named

import input

deny contains sprintf("not %s", [input.change.name.requested]) if {
	input.change.name.requested != "payments-prod-ci"
}
"#;

const TEST: &str = r#"package dtgate.named_test

import data.dtgate.named

test_another_name if {
	named.deny with input as {"change": {"name": {"requested": "x"}}}
}
"#;

/// A journal, a broken one, requests to judge and policies whose tests fail.
struct Things(TempDir);

impl Things {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let things = Self(directory);
        let upstream = Upstream::lenient();
        let mut gate = gate(upstream.address);
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
        // Controls are refused in bodies as they stand.
        let unseen = HIDDEN.replace(char::is_control, "");
        let name = format!(r#"{{"name":"x{unseen}","scopes":["metrics.read"]}}"#);
        assert_eq!(gate.send("PUT", TOKEN, &name).status, 403);
        let unknown = format!(r#"{{"x{HIDDEN}":1,"x{HIDDEN}":2}}"#);
        assert_eq!(gate.send("PUT", TOKEN, &unknown).status, 400);
        gate.send("PUT", &format!("{TOKEN}/x{HIDDEN}"), GOOD);
        gate.signal("TERM");
        assert!(gate.wait().success());
        let segment = "00000000000000000001.jsonl";
        let written = std::fs::read_to_string(gate.journal().join(segment)).unwrap();
        for (name, text) in [
            ("journal", written.clone()),
            ("broken", written.replacen("\"allow\"", "\"deny\"", 1)),
        ] {
            std::fs::create_dir(things.path(name)).unwrap();
            std::fs::write(things.path(name).join(segment), text).unwrap();
        }
        let request = "POST /api/v2/apiTokens HTTP/1.1\ncontent-type: application/json\n\n";
        let request = request.to_owned();
        std::fs::write(things.path("good"), request.clone() + GOOD).unwrap();
        std::fs::write(things.path("bad"), request.clone() + &name).unwrap();
        std::fs::write(things.path("unknown"), request + &unknown).unwrap();
        let hidden = things.path("hidden");
        std::fs::create_dir(&hidden).unwrap();
        let broken = format!("package dtgate.broken\n\ndeny contains \"{HIDDEN}\" if {HIDDEN}\n");
        std::fs::write(hidden.join(format!("x{HIDDEN}.rego")), broken).unwrap();
        std::fs::create_dir(things.path("fine")).unwrap();
        std::fs::write(things.path("fine/named.rego"), POLICY).unwrap();
        std::fs::write(things.path("fine/named_test.rego"), TEST).unwrap();
        let failing = format!(
            "package dtgate.failing_test\n\nimport rego.v1\n\ntest_fails if {{\n\tprint(\"{HIDDEN}\")\n\tfalse\n}}\n"
        );
        std::fs::create_dir(things.path("failing")).unwrap();
        std::fs::write(things.path("failing/failing_test.rego"), failing).unwrap();
        things
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Every command that prints and ends, in all its forms, with its exit code.
    fn commands(&self) -> Vec<(Vec<String>, i32)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let [
            journal,
            broken,
            good,
            bad,
            unknown,
            fine,
            hidden,
            failing,
            absent,
        ] = [
            "journal", "broken", "good", "bad", "unknown", "fine", "hidden", "failing", "absent",
        ]
        .map(|name| text(&self.path(name)));
        let shipped = text(&policies());
        let mut commands = Vec::new();
        let both: [(&[&str], i32); 12] = [
            (&["audit", "tail", "--journal", &journal], 0),
            (&["audit", "verify", "--journal", &journal], 0),
            (&["audit", "verify", "--journal", &broken], 2),
            (&["audit", "verify", "--journal", &absent], 1),
            (&["endpoints"], 0),
            (&["check", "--compare", "1", "--policies", &fine], 0),
            (&["check", "--policies", &hidden], 1),
            (&["eval", "--policies", &fine, "--request", &good], 0),
            (&["eval", "--policies", &fine, "--request", &bad], 2),
            (&["eval", "--policies", &fine, "--request", &unknown], 2),
            (&["test", &fine], 0),
            (&["test", &failing], 2),
        ];
        for (command, code) in both {
            let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
            let json = [&command[..], &["--format".to_owned(), "json".to_owned()]].concat();
            commands.extend([(command, code), (json, code)]);
        }
        let once: [(&[&str], i32); 10] = [
            (&["--help"], 0),
            (&["--version"], 0),
            (&["help", "audit"], 0),
            (&["serve", "--help"], 0),
            (&["no-such-command"], 1),
            (&["test", "--coverage", &fine], 0),
            (&["test", "--verbose", &fine], 0),
            (&["test", &hidden], 1),
            (&["demo", "--once", "--policies", &shipped], 0),
            (
                &[
                    "serve",
                    "--upstream",
                    "http://127.0.0.1:1",
                    "--policies",
                    &hidden,
                ],
                1,
            ),
        ];
        for (command, code) in once {
            commands.push((command.iter().map(|&word| word.to_owned()).collect(), code));
        }
        commands
    }
}

fn run(command: &[String], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut child = program();
    // A journal that is made would be made here.
    child.current_dir(&directory).args(command);
    child.stdout(stdout).stderr(stderr).output().unwrap()
}

/// The end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

#[test]
fn a_closed_or_full_output_changes_no_exit_code_to_fine_and_adds_no_noise() {
    let things = Things::new();
    for (command, code) in things.commands() {
        let whole = run(&command, Stdio::piped(), Stdio::piped());
        let said = String::from_utf8(whole.stderr).unwrap();
        assert_eq!(whole.status.code(), Some(code), "{command:?}: {said}");

        let ran = run(&command, closed(), Stdio::piped());
        assert_eq!(ran.status.code(), Some(code), "{command:?}, closed");
        assert_eq!(
            String::from_utf8(ran.stderr).unwrap(),
            said,
            "{command:?}, closed"
        );

        let ran = run(&command, full(), Stdio::piped());
        let complaint = String::from_utf8(ran.stderr).unwrap();
        if whole.stdout.is_empty() {
            assert_eq!(
                (ran.status.code(), &complaint),
                (Some(code), &said),
                "{command:?}"
            );
        } else {
            assert_eq!(ran.status.code(), Some(1), "{command:?}, full");
            assert!(
                complaint.contains("standard output: no space is left"),
                "{complaint}"
            );
            assert_eq!(complaint.lines().count(), 1, "{command:?}: {complaint}");
        }

        for stderr in [closed(), full()] {
            let ran = run(&command, Stdio::piped(), stderr);
            assert_eq!(ran.status.code(), Some(code), "{command:?}, without stderr");
            assert_eq!(
                ran.stdout.is_empty(),
                whole.stdout.is_empty(),
                "{command:?}"
            );
        }
    }
}

#[test]
fn nothing_hidden_comes_out_of_any_command() {
    let things = Things::new();
    for (command, _) in things.commands() {
        let ran = run(&command, Stdio::piped(), Stdio::piped());
        for text in [ran.stdout, ran.stderr] {
            let text = String::from_utf8(text).unwrap();
            let found = text.find(|c: char| HIDDEN.contains(c));
            assert_eq!(found, None, "{command:?}: {text:?}");
        }
    }
}

#[test]
fn a_simulator_without_reader_ends_and_so_does_whoever_follows_a_journal() {
    let things = Things::new();
    let journal = things.path("journal").to_str().unwrap().to_owned();
    let simulate = ["simulate", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let ran = run(&simulate, closed(), Stdio::piped());
    assert_eq!((ran.status.code(), ran.stderr), (Some(0), Vec::new()));

    let (reader, writer) = pipe().unwrap();
    let mut child = program()
        .args(["audit", "tail", "--follow", "--journal", &journal])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while !line.ends_with("  stop\n") {
        assert!(reader.read_line(&mut line).unwrap() > 0, "{line}");
    }
    // Nothing more is written that could fail.
    drop(reader);
    let status = eventually("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
