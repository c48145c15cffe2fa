//! What the commands say when something is wrong: every message stands in `tests/data/messages/errors.txt`, where somebody has
//! read it.
//!
//! A case is its title (`=== …`), the command (`$ dtgate …`), files (`@ name`, then their lines), and what is said
//! (`>`). `DTGATE_SNAPSHOTS=write` writes what is said now into the file: read the difference before it is committed.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{policies, program};
use crate::messages::is_writing;

/// One case, as the file has it.
#[derive(Default)]
struct Case {
    title: String,
    arguments: Vec<String>,
    files: Vec<(String, String)>,
    said: String,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages/errors.txt")
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in std::fs::read_to_string(file()).unwrap().lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case {
                title: title.to_owned(),
                ..Case::default()
            });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if let Some(command) = line.strip_prefix("$ dtgate ") {
            case.arguments = command.split(' ').map(str::to_owned).collect();
        } else if let Some(name) = line.strip_prefix("@ ") {
            case.files.push((name.to_owned(), String::new()));
        } else if let Some(said) = line.strip_prefix('>') {
            case.said.push_str(said.strip_prefix(' ').unwrap_or(said));
            case.said.push('\n');
        } else if let Some((_, text)) = case.files.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    cases
}

/// What the command says about these files, in a directory of its own.
fn said(case: &Case) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in &case.files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.trim_end_matches('\n').to_owned() + "\n").unwrap();
    }
    let output = program()
        .args(&case.arguments)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{}: nothing is wrong", case.title);
    let mut said = String::from_utf8(output.stdout).unwrap();
    said.push_str(std::str::from_utf8(&output.stderr).unwrap());
    said
}

#[test]
fn every_message_is_the_one_that_was_read() {
    let cases = cases();
    assert!(cases.len() > 40, "{}", cases.len());
    let mut written = String::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let now = said(case);
        if now != case.said {
            wrong.push(format!("{}\nread: {}now:  {now}", case.title, case.said));
        }
        let arguments = case.arguments.join(" ");
        write!(written, "=== {}\n$ dtgate {arguments}\n", case.title).unwrap();
        for (name, text) in &case.files {
            write!(written, "@ {name}\n{}\n", text.trim_end_matches('\n')).unwrap();
        }
        for line in now.lines() {
            written.push_str(format!("> {line}").trim_end());
            written.push('\n');
        }
        written.push('\n');
    }
    if is_writing() {
        std::fs::write(file(), written).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_port_that_is_taken_is_said_to_be_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    for (flag, other, what) in [
        ("--listen", "--admin", "listener"),
        ("--admin", "--listen", "admin listener"),
    ] {
        let output = program()
            .args(["serve", flag, &address, other, "127.0.0.1:0"])
            .args(["--upstream", "http://127.0.0.1:1", "--journal", "journal"])
            .arg("--policies")
            .arg(policies())
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap();
        assert_eq!(
            last,
            format!(
                "dtgate: {what}: cannot listen on {address}: another program listens there already: stop it, or take \
                 another port ({flag})"
            )
        );
    }
}

/// Everything that is missing with it would be named as well, on eighty lines.
#[cfg(unix)]
#[test]
fn a_part_of_the_policies_that_cannot_be_read_is_the_only_thing_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("policies");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(policies())
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    let check = || {
        let mut check = program();
        check
            .args(["check", "--policies", "policies"])
            .current_dir(directory.path());
        String::from_utf8(check.output().unwrap().stderr).unwrap()
    };
    let lib = copy.join("lib");
    std::fs::rename(&lib, directory.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("..", &lib).unwrap();
    assert!(
        check().contains(": a symbolic link leads to a directory that it is in: take it away\n"),
        "{}",
        check()
    );
    std::fs::remove_file(&lib).unwrap();
    std::fs::rename(directory.path().join("elsewhere"), &lib).unwrap();
    std::fs::write(lib.join("request.rego"), "package dtgate.lib\n\nbroken(\n").unwrap();
    let said = check();
    assert!(
        said.starts_with("dtgate: policies/lib/request.rego:"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
