//! What commands say to somebody who knows nothing of them yet: what was looked for, and how to name another.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::harness::program;

/// Exit code, standard output and standard error of a command in a directory.
fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = program()
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_directory_that_nobody_named_is_named_with_the_flag() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().canonicalize().unwrap();
    let of = |what: &str, more: &str| {
        let real = real.display();
        format!(
            "dtgate: there is no directory {what} in {real}, which is the default: give {more}\n"
        )
    };
    let key = |section: &str| {
        format!(", or set {section}.directory in the configuration (--config FILE)")
    };
    let journal = format!("--journal DIR{}", key("journal"));
    let policies = format!("--policies DIR{}", key("policies"));
    for (arguments, what, more) in [
        (&["audit", "query"][..], "journal", &*journal),
        (&["audit", "history", "a"], "journal", &journal),
        (&["audit", "show", "1"], "journal", &journal),
        (&["audit", "stats"], "journal", &journal),
        (&["audit", "tail"], "journal", &journal),
        (&["audit", "verify"], "journal", &journal),
        (&["audit", "prove", "1"], "journal", &journal),
        (&["audit", "checkpoint"], "journal", &journal),
        (&["audit", "key"], "journal", &journal),
        (&["audit", "hash", "a"], "journal", &journal),
        (&["audit", "index"], "journal", &journal),
        (&["replay", "--policies", "p"], "journal", &journal),
        (&["check"], "policies", &policies),
        (
            &["serve", "--upstream", "http://127.0.0.1:1"],
            "policies",
            &policies,
        ),
        (&["demo", "--once"], "policies", "--policies DIR"),
        (
            &["eval", "--curl", "curl http://x"],
            "policies",
            "--policies DIR",
        ),
        (&["test"], "policies", "a directory (dtgate test DIR)"),
    ] {
        let (code, out, err) = run(directory.path(), arguments);
        assert_eq!((code, &*out), (1, ""), "{arguments:?}: {err}");
        assert_eq!(err, of(what, more), "{arguments:?}");
    }
}

#[test]
fn a_directory_of_the_configuration_is_named_with_the_key_and_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let config = "upstream.url = 'http://127.0.0.1:1'\n[policies]\ndirectory = 'rules'\n[journal]\ndirectory = 'records'\n";
    std::fs::write(directory.path().join("dtgate.toml"), config).unwrap();
    for (arguments, wanted) in [
        (
            &["check", "--config", "dtgate.toml"][..],
            "dtgate: dtgate.toml:3:1: policies.directory: there is no directory rules\n",
        ),
        (
            &["serve", "--config", "dtgate.toml"],
            "dtgate: dtgate.toml:3:1: policies.directory: there is no directory rules\n",
        ),
        (
            &["audit", "query", "--config", "dtgate.toml"],
            "dtgate: dtgate.toml:5:1: journal.directory: there is no directory records\n",
        ),
    ] {
        let (code, _, err) = run(directory.path(), arguments);
        assert_eq!((code, &*err), (1, wanted), "{arguments:?}");
    }
}

/// A file of the system's that cannot be had, in words and with what to do.
#[test]
fn no_command_shows_numbers_of_the_system() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (
            &["simulate", "--listen", &*address][..],
            format!(
                "dtgate: cannot listen on {address}: another program listens there already: stop it, or take another port \
                 (--listen)\n"
            ),
        ),
        (
            &["man", "nowhere"],
            "dtgate: nowhere: there is no such directory: make it, or write elsewhere\n".to_owned(),
        ),
    ] {
        let (code, _, err) = run(directory.path(), arguments);
        assert_eq!((code, err), (1, wanted), "{arguments:?}");
    }
}

#[test]
fn check_runs_the_tests_as_a_reload_does_and_says_what_it_comes_to() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("policies");
    std::fs::create_dir(&rules).unwrap();
    let policy = "package dtgate.mine\n\ndeny contains \"x\" if input.api == \"v1\"\n";
    std::fs::write(rules.join("mine.rego"), policy).unwrap();
    let write = |expected: usize| {
        let test = format!(
            "package dtgate.mine_test\n\nimport data.dtgate.mine\n\ntest_v1 if count(mine.deny) == {expected} with input as \
             {{\"api\": \"v1\"}}\n"
        );
        std::fs::write(rules.join("mine_test.rego"), test).unwrap();
    };
    let check = |more: &[&str]| {
        run(
            directory.path(),
            &[&["check", "--compare", "0"], more].concat(),
        )
    };
    write(1);
    let (code, out, _) = check(&[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("\nall is well (1 test run)\n"), "{out}");
    assert!(!out.contains("note: "), "{out}");

    write(2);
    let failed = "policies/mine_test.rego:5:1: the test test_v1 fails: a reload would be refused (reload.require_tests); see \
                  dtgate test";
    let (code, out, _) = check(&[]);
    assert_eq!(code, 0, "{out}");
    let wanted = format!("warning: {failed}\nno error, and 1 warning (1 test run)\n");
    assert!(out.ends_with(&wanted), "{out}");
    let (code, _, err) = check(&["--strict"]);
    assert_eq!((code, err), (1, format!("dtgate: {failed}\n")));
    let (_, json, _) = check(&["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["ok"], &json["tests"]), (&true.into(), &1.into()));
    assert_eq!(json["diagnostics"][0]["row"], 5);

    let config = "upstream.url = 'http://127.0.0.1:1'\nreload.require_tests = false\n";
    std::fs::write(directory.path().join("dtgate.toml"), config).unwrap();
    let (code, out, _) = check(&["--config", "dtgate.toml"]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.ends_with("\nall is well (no test run, as reload.require_tests says)\n"),
        "{out}"
    );
}

/// What `cp -R` makes of a directory that is there already.
#[test]
fn a_copy_of_the_policies_within_the_policies_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("policies");
    let policy = "package dtgate.mine\n\ndeny contains \"x\" if input.api == \"v1\"\n";
    for place in [&rules, &rules.join("policies")] {
        std::fs::create_dir(place).unwrap();
        std::fs::write(place.join("mine.rego"), policy).unwrap();
    }
    let (code, out, _) = run(directory.path(), &["check", "--compare", "0"]);
    assert_eq!(code, 0, "{out}");
    let about = |line: &&str| line.contains("defines the same rules as");
    let told: Vec<&str> = out.lines().filter(about).collect();
    assert_eq!(told.len(), 1, "{out}");
    assert!(
        told[0].starts_with("warning: policies/policies/mine.rego: "),
        "{out}"
    );
}
