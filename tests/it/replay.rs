//! `dtgate replay` on the journal of a real gate.

use std::path::Path;

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{BAD, GOOD, TOKEN, Upstream, copy, gate, policies, program};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn replay(journal: &Path, candidate: &Path, more: &[&str]) -> Ran {
    let output = program()
        .args(["replay", "--journal"])
        .arg(journal)
        .arg("--policies")
        .arg(candidate)
        .args(more)
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The shipped policies and one more.
fn candidate() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let rule = "package dtgate.no_metrics\n\ndeny contains \"metrics.read is granted by the platform team\" if {\n\
                \t\"metrics.read\" in input.change.scopes.requested\n}\n";
    std::fs::write(directory.path().join("no_metrics.rego"), rule).unwrap();
    directory
}

#[test]
fn flips_are_told_and_the_exit_code_says_no() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for body in [GOOD, BAD, GOOD, "{"] {
        gate.send("PUT", TOKEN, body);
    }
    let same = replay(
        &gate.journal(),
        &policies(),
        &["--fail-on", "new-denials,new-allows", "--format", "json"],
    );
    assert_eq!(same.code, Some(0), "{}{}", same.out, same.err);
    let report: Value = serde_json::from_str(&same.out).unwrap();
    assert_eq!(
        (&report["decisions"], &report["same"]),
        (&4.into(), &3.into()),
        "{report}"
    );
    assert_eq!(report["of_other_policies"], 0);
    let candidate = candidate();
    let told = replay(&gate.journal(), candidate.path(), &[]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    for (fail_on, code) in [
        ("new-denials", 2),
        ("new-allows", 0),
        ("new-allows,new-denials", 2),
        ("not-replayed", 2),
    ] {
        let ran = replay(&gate.journal(), candidate.path(), &["--fail-on", fail_on]);
        assert_eq!(ran.code, Some(code), "{fail_on}: {}{}", ran.out, ran.err);
        assert_eq!(
            ran.err.contains("--fail-on is met: "),
            code == 2,
            "{}",
            ran.err
        );
    }
    let none = replay(
        &gate.journal(),
        candidate.path(),
        &["--until", "2020-01-01", "--fail-on", "new-denials"],
    );
    // Nothing was judged, so nothing holds.
    assert_eq!(none.code, Some(1), "{}{}", none.out, none.err);
    assert!(
        none.err.contains("--fail-on had nothing to check"),
        "{}",
        none.err
    );
    for (more, said) in [
        (&["--since", "yesterday"][..], "7d"),
        (&["--since", "1d", "--until", "2d"], "nothing lies between"),
        (&["--where", "colour=red"], "FIELD=VALUE"),
        (&["--where", "verdict=alow"], "allow or deny"),
        (&["--where", "operation=token.updat"], "token.update"),
        (&["--fail-on", "anything"], "new-denials"),
    ] {
        let ran = replay(&gate.journal(), candidate.path(), more);
        assert!(
            ran.code != Some(0) && ran.err.contains(said),
            "{more:?}: {}",
            ran.err
        );
    }
    let nowhere = replay(&gate.directory.path().join("none"), candidate.path(), &[]);
    assert_eq!(nowhere.code, Some(1));
    // What the page shows is what was said.
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/replay.md"))
            .unwrap();
    let shown = page
        .split("```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert_eq!(plain(shown), plain(&told.out), "{}", told.out);
}

/// It would always pass.
#[test]
fn a_condition_that_leaves_out_what_is_looked_for_is_refused() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    gate.send("PUT", TOKEN, GOOD);
    let candidate = candidate();
    for (condition, fail_on) in [
        ("policy=forbidden_scopes", "new-denials"),
        ("code=forbidden-scope", "new-allows,new-denials"),
        ("verdict=deny", "new-denials"),
        ("verdict=allow", "new-allows"),
    ] {
        let arguments = ["--where", condition, "--fail-on", fail_on];
        let ran = replay(&gate.journal(), candidate.path(), &arguments);
        assert_eq!(ran.code, Some(1), "{condition}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("leaves out what --fail-on"), "{}", ran.err);
    }
}

#[test]
fn what_no_decision_has_is_told_with_what_there_is() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for body in [GOOD, BAD] {
        gate.send("PUT", TOKEN, body);
    }
    for (condition, said) in [
        (
            "environment=prd",
            "no record names the environment prd; there are: default",
        ),
        (
            "policy=naming2",
            "no record names the policy naming2; there are: ",
        ),
        ("caller=10.9.9.9", "no record names the caller 10.9.9.9"),
    ] {
        let ran = replay(&gate.journal(), &policies(), &["--where", condition]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        assert!(ran.out.starts_with("0 decisions"), "{}", ran.out);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
}

/// Without times and digests.
fn plain(text: &str) -> String {
    let text = Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")
        .unwrap()
        .replace_all(text, "TIME")
        .into_owned();
    let text = Regex::new(r"by [0-9a-f]{12}\n")
        .unwrap()
        .replace_all(&text, "by DIGEST\n")
        .into_owned();
    text.trim_end().to_owned()
}
