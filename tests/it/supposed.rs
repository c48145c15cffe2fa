//! `dtgate eval` for a caller that is supposed to have proven who it is, judged by the shipped policies with a list of
//! teams.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::harness::{copy, policies, program};

const LINE: &str = r#"curl -X POST https://gate/api/v2/apiTokens -H 'Content-Type: application/json' -d '{"name":"payments-prod-ci","scopes":["logs.ingest"]}'"#;

/// The shipped policies, of which `escalation` knows teams and `minting` callers.
fn with_teams() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let path = directory.path().join("data.yaml");
    let data = std::fs::read_to_string(&path).unwrap();
    let teams = "    teams:
      payments:
        callers:
          - dt0c01.ST2EY72KQINMH574WMNVI7YN
          - spiffe: spiffe://example/ns/payments/ci
          - {issuer: 'https://ci.example', claim: sub, value: payments}
          - {team: builders}
        scopes: [logs.ingest]
        classes: []
";
    let listed = "  minting:\n    callers:\n";
    let data = data.replacen("    teams: {}\n", teams, 1);
    let data = data.replacen(
        listed,
        &format!("{listed}      edge_connect.create: [{{team: builders}}]\n"),
        1,
    );
    let own = "callers:
  - name: builders
    jwt:
      - {issuer: 'https://ci.example', claim: repository, value: 'example/*'}
";
    std::fs::write(path, format!("{data}\n{own}")).unwrap();
    directory
}

fn eval(directory: &Path, line: &str, more: &[&str]) -> Output {
    let mut command = program();
    command.args(["eval", "--format", "json", "--curl", line, "--policies"]);
    command.arg(directory).args(more).output().unwrap()
}

#[test]
fn a_rule_about_callers_can_be_tried_out() {
    let directory = with_teams();
    let cases: [(&[&str], bool, &str); 9] = [
        (&[], false, "[]"),
        (&["--token", "dt0c01.ST2EY72KQINMH574WMNVI7YN"], true, "[]"),
        (&["--token", "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"], false, "[]"),
        (
            &[
                "--certificate",
                r#"{"spiffe_id":"spiffe://example/ns/payments/ci"}"#,
            ],
            true,
            "[]",
        ),
        (
            &[
                "--certificate",
                r#"{"spiffe_id":"spiffe://example/ns/payments/c"}"#,
            ],
            false,
            "[]",
        ),
        (
            &["--jwt", r#"{"iss":"https://ci.example","sub":"payments"}"#],
            true,
            "[]",
        ),
        (
            &[
                "--jwt",
                r#"{"iss":"https://ci.example","sub":"a","repository":"example/x"}"#,
            ],
            true,
            r#"["builders"]"#,
        ),
        (
            &[
                "--jwt",
                r#"{"iss":"https://other.example","sub":"payments","repository":"example/x"}"#,
            ],
            false,
            "[]",
        ),
        (
            &["--team", "builders", "--team", "b"],
            true,
            r#"["b","builders"]"#,
        ),
    ];
    for (more, passes, teams) in cases {
        let ran = eval(directory.path(), LINE, more);
        let told = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(
            ran.status.success(),
            passes,
            "{more:?}: {told} {:?}",
            ran.stderr
        );
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            told["input"]["caller"]["teams"].to_string(),
            teams,
            "{more:?}"
        );
    }
    let other = "curl -X POST https://gate/platform/app-engine/edge-connect/v1/edge-connects -H 'Content-Type: application/json' -d '{}'";
    assert!(
        !eval(directory.path(), other, &["--team", "payments"])
            .status
            .success()
    );
    let ran = eval(directory.path(), other, &["--team", "builders"]);
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn what_is_said_of_a_caller_is_read_strictly_and_a_token_is_not_repeated() {
    let directory = with_teams();
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL3Nzby5leGFtcGxlIn0.c2lnbmF0dXJl";
    for (more, said) in [
        (["--jwt", token], "write JSON"),
        (["--jwt", "{}"], "give \"iss\" too"),
        (
            ["--certificate", r#"{"spiffeid":"a"}"#],
            "unknown field `spiffeid`",
        ),
        (
            ["--certificate", r#"{"not_after":"tomorrow"}"#],
            "not_after",
        ),
        (["--certificate", "@/absent"], "--certificate /absent"),
    ] {
        let ran = eval(directory.path(), LINE, &more);
        let told = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{told}");
        assert!(told.contains(said), "{more:?}: {told}");
        assert!(!told.contains("c2lnbmF0dXJl"), "{told}");
    }
    let document = directory.path().join("input.json");
    std::fs::write(&document, "{}").unwrap();
    let mut command = program();
    command
        .args(["eval", "--team", "a", "--request"])
        .arg(&document);
    command.arg("--policies").arg(directory.path());
    let told = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(told.contains("an input document says who asks"), "{told}");
}
