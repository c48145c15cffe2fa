//! What masks and pseudonyms hide of records, and claims by which callers are found.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::beside::{TOKEN, answered, audit, change, start};

/// A denied change by somebody who has proven who it is, as these paths leave it.
fn veiled(minute: u32, list: &str, paths: &[&str]) -> Value {
    let mut record = change(minute, &["a"], &["a", "b"]);
    let jwt = json!({"issuer": "https://ci.example", "subject": "repo:x"});
    record["caller"]["jwt"] = jwt.clone();
    record["caller"]["teams"] = json!(["ops"]);
    record["input"]["caller"]["jwt"] = jwt;
    record["input"]["caller"]["jwt"]["claims"] =
        json!({"repository": "example/x", "groups": ["a", "b"], "exp": 5});
    record["result"]["violations"] = json!([{"policy": "scopes", "code": "forbidden", "mode": "warn", "rule": "warn", "message": "no"}]);
    record[list] = json!(paths);
    record
}

fn masked(paths: &[&str]) -> TempDir {
    written(&[start(&[]), veiled(10, "masked", paths)])
}

/// What is said of masks and pseudonyms.
fn said(directory: &TempDir, command: &[&str]) -> String {
    let ran = audit(directory.path(), command);
    let lines = ran.err.lines();
    let lines = lines.filter(|line| line.contains("masks have") || line.contains("pseudonyms"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn of_every_option_whose_field_masks_hide_it_is_told_that_decisions_may_be_missing() {
    let options: [(&str, &str, &[&str]); 14] = [
        ("--token", "x", &["/input/token", "/input/change/name"]),
        (
            "--scope",
            "x",
            &["/input/change/scopes/requested", "/input"],
        ),
        ("--added", "x", &["/input/change"]),
        ("--caller", "x", &["/caller/id", "/caller"]),
        ("--claim", "x", &["/caller/jwt/subject", "/caller/jwt"]),
        (
            "--claim",
            "a=b",
            &["/input/caller/jwt/claims/groups", "/input"],
        ),
        ("--team", "x", &["/caller/teams/0", "/caller"]),
        ("--environment", "x", &["/input/environment/name"]),
        (
            "--policy",
            "x",
            &["/result/violations/0", "/result/violations"],
        ),
        ("--code", "x", &["/result/violations/0/code"]),
        ("--client", "10.9.9.9", &["/requested_by"]),
        (
            "--text",
            "x",
            &["/result/violations/0/message", "/error", "/request/path"],
        ),
        ("--no-op", "only", &["/input/change/differs"]),
        ("--certificate", "x", &["/caller/certificate", "/caller"]),
    ];
    for (option, value, paths) in options {
        for path in paths {
            let directory = masked(&[path]);
            let wanted = format!(
                "dtgate: of 1 decision of this time masks have hidden what {option} looks at: they may be missing here\n"
            );
            for command in ["query", "stats"] {
                let text = said(&directory, &[command, option, value]);
                assert_eq!(text, wanted, "{command} {option} {path}");
                // Nobody denies what was not denied, whatever is hidden of it.
                let denied = [command, option, value, "--decision", "deny"];
                assert_eq!(said(&directory, &denied), "", "{option} {path}");
            }
        }
        // What is there as it was, by another place too, and what hides something else.
        for others in [&[][..], &["/request/client_id"], &["/input/caller/token"]] {
            let directory = masked(others);
            assert_eq!(said(&directory, &["query", option, value]), "", "{option}");
        }
    }
    let several = masked(&["/input/change"]);
    let asked = ["query", "--added", "x", "--removed", "y"];
    assert!(said(&several, &asked).contains("what --added and --removed look at"));
}

#[test]
fn what_a_record_says_in_short_is_found_though_masks_hide_what_policies_saw() {
    let directory = masked(&["/input/caller", "/input/environment/data"]);
    for (option, value) in [
        ("--caller", "dt0c01.CALLER"),
        ("--team", "ops"),
        ("--claim", "repo:x"),
        ("--certificate", "x"),
        ("--environment", "prod"),
    ] {
        assert_eq!(said(&directory, &["query", option, value]), "", "{option}");
    }
}

#[test]
fn names_by_which_decisions_are_counted_may_be_hidden() {
    for (by, path) in [
        ("caller", "/caller/jwt/subject"),
        ("client", "/requested_by"),
        ("policy", "/result/violations"),
        ("environment", "/input/environment"),
    ] {
        let text = said(&masked(&[path]), &["stats", "--by", by]);
        let wanted = "dtgate: of 1 decision of this time masks have hidden what --by looks at: they are counted by what is left\n";
        assert_eq!(text, wanted, "{by}");
        assert_eq!(said(&masked(&["/error"]), &["stats", "--by", by]), "");
    }
    assert_eq!(said(&masked(&["/input"]), &["stats"]), "");
}

#[test]
fn of_parts_of_values_that_have_pseudonyms_it_is_told_that_nobody_can_find_them() {
    let why = "nobody can tell how a value began";
    for (option, value, place, why) in [
        ("--caller", "dt0c01.C*", "/caller/id", why),
        ("--claim", "repo:*", "/caller/jwt/subject", why),
        (
            "--claim",
            "repository=e*",
            "/input/caller/jwt/claims/repository",
            why,
        ),
        ("--token", "c*", "/input/token/current/name", why),
        (
            "--client",
            "10.0.0.0/8",
            "/requested_by",
            "nobody can tell in which network an address was",
        ),
        (
            "--text",
            "no",
            "/result/violations/0/message",
            "nobody can tell which words a value had",
        ),
    ] {
        let directory = written(&[start(&[]), veiled(10, "pseudonyms", &[place])]);
        let text = said(&directory, &["query", option, value]);
        let begins = format!(
            "dtgate: of 1 decision of this time pseudonyms stand where {option} looks, and {why}"
        );
        assert!(text.starts_with(&begins), "{option}: {text}");
        if option != "--text" {
            let whole = match option {
                "--client" => "10.1.2.3",
                // By a name nobody finds another one that has several.
                "--token" => TOKEN,
                _ => "x=y",
            };
            assert_eq!(said(&directory, &["query", option, whole]), "", "{option}");
        }
    }
}

#[test]
fn histories_tell_of_hidden_changes_of_the_environments_that_are_asked_for() {
    let hidden = |minute: u32, environment: Value, more: &[&str]| {
        let mut record = change(minute, &["b"], &["c"]);
        let members = record.as_object_mut().unwrap();
        members.remove("input");
        members.insert("environment".to_owned(), environment);
        record["request"]["path"] = json!("-");
        record["erased"] = json!([&["/input", "/request/path"], more].concat());
        record
    };
    let directory = written(&[
        start(&[]),
        change(10, &["a"], &["b"]),
        answered(10, 2),
        hidden(20, json!("test"), &[]),
        hidden(30, json!("prod"), &[]),
        hidden(40, Value::Null, &["/input/environment"]),
    ]);
    let told = |arguments: &[&str]| {
        let ran = audit(directory.path(), &[&["history", TOKEN], arguments].concat());
        let line = ran.err.lines().find(|line| line.contains("since then"));
        line.unwrap_or_default().to_owned()
    };
    assert!(told(&[]).contains("of 3 changes since then"));
    assert!(told(&["--environment", "prod"]).contains("of 2 changes since then"));
    let both = ["--environment", "prod", "--environment", "test"];
    assert!(told(&both).contains("of 3 changes since then"));
    let text = said(&directory, &["history", TOKEN, "--environment", "prod"]);
    assert!(
        text.contains("masks have hidden what --environment looks at"),
        "{text}"
    );
    let text = said(&directory, &["history", TOKEN]);
    assert!(!text.contains("--environment"), "{text}");
}

#[test]
fn callers_are_found_by_any_claim() {
    let directory = written(&[
        start(&[]),
        veiled(10, "erased", &[]),
        change(20, &["a"], &["b"]),
    ]);
    let found = |claims: &[&str]| {
        let options = claims.iter().flat_map(|it| ["--claim", *it]);
        let all: Vec<&str> = ["query", "--format", "json"]
            .into_iter()
            .chain(options)
            .collect();
        let ran = audit(directory.path(), &all);
        (ran.out.lines().count(), ran.err)
    };
    for claims in [
        &["repository=example/x"][..],
        &["repository=*"],
        &["groups=b"],
        &["iss=x", "groups=a"],
        &["none=x", "repo:x"],
        &["https://ci.example"],
    ] {
        assert_eq!(found(claims).0, 1, "{claims:?}");
    }
    for claim in ["repository=example", "groups=c", "exp=5", "example/x"] {
        let says = format!("dtgate: no record names the claim {claim}\n");
        assert_eq!(found(&[claim]), (0, says), "{claim}");
    }
    let ran = audit(
        directory.path(),
        &["stats", "--claim", "groups=a", "--format", "json"],
    );
    assert!(ran.out.contains("\"allowed\":1"), "{}", ran.out);
}
