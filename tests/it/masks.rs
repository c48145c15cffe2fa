//! What the journal must not hold: masks of the policies, dropped records, pseudonyms.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    BAD, GOOD, Gate, SECRET, TOKEN, Upstream, copy, eventually, exchange, policies, program,
    serving, verify,
};

/// The shipped policies with a mask.
fn with_mask(rules: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let rules = format!("package system.log\n\n{rules}\n");
    std::fs::write(directory.path().join("log.rego"), rules).unwrap();
    directory
}

fn started(policies: &Path, upstream: &Upstream) -> Gate {
    let policies = policies.to_str().unwrap();
    Gate::start(
        tempfile::tempdir().unwrap(),
        upstream.address,
        &["--policies", policies],
    )
}

#[test]
fn a_mask_applies_to_what_is_allowed_denied_and_refused() {
    let policies = with_mask(
        "mask contains \"/input/caller/address\"\n\n\
         mask contains {\"op\": \"upsert\", \"path\": \"/requested_by\", \"value\": \"hidden\"}\n\n\
         mask contains \"/error\" if input.error",
    );
    let upstream = Upstream::lenient();
    let gate = started(policies.path(), &upstream);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert_eq!(gate.send("PUT", TOKEN, "{").status, 400);
    let records = gate.decisions();
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(record["requested_by"], "hidden");
        assert!(!record.to_string().contains("127.0.0.1"), "{record}");
        assert_eq!(record["masked"], json!(["/requested_by"]));
    }
    assert_eq!(records[0]["erased"], json!(["/input/caller/address"]));
    assert_eq!(
        (&records[2]["erased"], records[2].get("error")),
        (&json!(["/error"]), None)
    );
    verify(&gate.journal());
}

#[test]
fn a_mask_that_fails_ends_the_request_and_nothing_of_it_is_written() {
    // Right for every made-up request, and wrong for one name.
    let policies = with_mask(
        "mask contains \"/input/change/name\" if to_number(replace(input.input.change.name.requested, \"payments-prod-ci\", \"7\")) == 7",
    );
    let check = program()
        .args(["check", "--policies"])
        .arg(policies.path())
        .output()
        .unwrap();
    // Made-up requests have other names, too: the rule is found.
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let policies = with_mask(
        "mask contains \"/input/change/name\" if {\n\tstartswith(input.input.change.name.requested, \"secret-\")\n\tto_number(input.input.change.name.requested) == 7\n}",
    );
    let upstream = Upstream::lenient();
    let gate = started(policies.path(), &upstream);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let body = r#"{"name":"secret-prod-ci","scopes":["metrics.read"]}"#;
    for body in [
        body,
        r#"{"name":"secret-prod-ci","scopes":["WriteConfig"]}"#,
    ] {
        let answer = gate.send("PUT", TOKEN, body);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(!answer.body.contains("secret-prod"), "{answer:?}");
        // The client learns which request it was, and the log where the policies failed.
        assert!(
            answer.body.contains("log says why) (request "),
            "{answer:?}"
        );
        assert!(!answer.body.contains("log.rego"), "{answer:?}");
    }
    eventually("a line about the rule that failed", || {
        gate.log().contains("log.rego:").then_some(())
    });
    assert_eq!(upstream.seen().len(), 1, "only the first was forwarded");
    assert_eq!(gate.decisions().len(), 1);
    for text in [gate.log(), json!(gate.records()).to_string()] {
        assert!(!text.contains("secret-prod"), "{text}");
    }
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    assert!(
        metrics.contains("dtgate_journal_failures_total 2"),
        "{metrics}"
    );
    verify(&gate.journal());
}

#[test]
fn a_drop_rule_leaves_out_what_was_refused_and_never_what_was_allowed() {
    let policies = with_mask(
        "drop if input.verdict == \"deny\"\n\ndrop if input.input.change.name.requested == \"payments-prod-ci\"",
    );
    let upstream = Upstream::lenient();
    let check = program()
        .args(["check", "--policies"])
        .arg(policies.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    let mut gate = if check.status.success() {
        started(policies.path(), &upstream)
    } else {
        // The made-up requests have that name: it is refused at load.
        assert!(said.contains("always recorded"), "{said}");
        let policies = with_mask(
            "drop if input.verdict == \"deny\"\n\ndrop if input.input.change.name.requested == \"team-prod-ci\"",
        );
        started(policies.path(), &upstream)
    };
    let body = r#"{"name":"team-prod-ci","scopes":["metrics.read"]}"#;
    assert_eq!(gate.send("PUT", TOKEN, body).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert_eq!(gate.send("PUT", TOKEN, "{").status, 400);
    let records = gate.decisions();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["verdict"], "allow");
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    assert!(
        metrics.contains("dtgate_journal_dropped_total 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("dtgate_journal_drops_ignored_total 1"),
        "{metrics}"
    );
    // Whoever has the journal alone knows that something is not in it.
    gate.signal("TERM");
    assert!(gate.wait().success());
    let records = gate.records();
    assert_eq!(records[0]["masks"], json!(["drop"]));
    let counted = records
        .iter()
        .find(|it| it["kind"] == "suppressed")
        .unwrap();
    assert_eq!(counted["count"], 2, "{counted}");
    assert_eq!(
        (&counted["callers"], &counted["other_callers"]),
        (&json!([]), &json!(2))
    );
    let reasons = counted["reasons"].as_array().unwrap();
    assert!(
        reasons.iter().all(|it| it["reason"] == "dropped"),
        "{counted}"
    );
}

#[test]
fn masks_that_cannot_work_are_refused_by_check_with_their_place() {
    for (rules, said) in [
        ("mask contains \"/decision_id\"", "may not be masked"),
        ("mask contains \"/input/*\"", "no wildcards"),
        (
            "mask contains \"/input/x\" if to_number(input.requested_by) == 1",
            "log.rego:3",
        ),
        ("mask := [\"/input/x\"] if input.input.nothing", "undefined"),
        ("drop if input.verdict == \"allow\"", "always recorded"),
        ("masks contains \"/input/x\"", "has neither"),
    ] {
        let policies = with_mask(rules);
        let check = program()
            .args(["check", "--policies"])
            .arg(policies.path())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.code(), Some(1), "{rules}: {out}");
        assert!(out.contains(said), "{rules}: {out}");
    }
}

#[test]
fn masks_have_tests_like_policies() {
    let policies =
        with_mask("mask contains \"/input/caller/address\" if input.verdict == \"allow\"");
    let test = "package system.log_test\n\nimport data.system.log\n\n\
                test_masked if \"/input/caller/address\" in log.mask with input as {\"verdict\": \"allow\"}\n\n\
                test_not_masked if count(log.mask) == 0 with input as {\"verdict\": \"deny\"}\n";
    std::fs::write(policies.path().join("log_test.rego"), test).unwrap();
    let ran = program()
        .args(["test", "--run", "data.system.log_test", "-v"])
        .arg(policies.path())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && out.contains("PASS: 2/2"), "{ran:?}");
}

#[test]
fn values_with_pseudonyms_stand_nowhere_and_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("dtgate.toml");
    std::fs::write(
        &config,
        "[journal.pseudonyms]\nfields = [\"caller.address\", \"caller.token.id\"]\n",
    )
    .unwrap();
    let policies = tempfile::tempdir().unwrap();
    copy(&crate::harness::policies(), policies.path());
    let says = "package dtgate.says\n\nwarn contains sprintf(\"%s at %s, again\", [input.caller.token.id, input.caller.address])\n";
    std::fs::write(policies.path().join("says.rego"), says).unwrap();
    let upstream = Upstream::lenient();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&config)
        .arg("--policies")
        .arg(policies.path());
    command.args(["--upstream", &format!("http://{}", upstream.address)]);
    let gate = Gate::spawn(directory, command);
    for (body, status) in [(GOOD, 204), (BAD, 403), ("{", 400)] {
        assert_eq!(gate.send("PUT", TOKEN, body).status, status);
    }
    eventually("the log has it", || {
        (gate.log().matches("\"message\":\"request\"").count() == 3).then_some(())
    });
    let seen: Vec<Value> = gate
        .records()
        .into_iter()
        .filter(|record| record["kind"] == "decision")
        .collect();
    let lines: Vec<String> = gate
        .log()
        .lines()
        .filter(|line| line.contains("\"message\":\"request\""))
        .map(str::to_owned)
        .collect();
    let hash = |value: &str| {
        let journal = gate.journal();
        let ran = program()
            .args(["audit", "hash", value, "--journal"])
            .arg(journal)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let id = format!("dt0c01.{}", "ST2EY72KQINMH574WMNVI7YN");
    let (address, caller) = (hash("127.0.0.1"), hash(&id));
    assert!(!SECRET.is_empty() && address.starts_with("hmac-sha256:v1:"));
    for record in &seen {
        let text = record.to_string();
        assert!(!text.contains("127.0.0.1") && !text.contains(&id), "{text}");
        assert_eq!(record["requested_by"], address.as_str());
        assert_eq!(record["caller"]["id"], caller.as_str());
    }
    assert!(
        seen[0]["result"]["violations"]
            .to_string()
            .contains(&format!("{caller} at {address}, again")),
        "{}",
        seen[0]
    );
    for line in &lines {
        assert!(!line.contains("127.0.0.1") && !line.contains(&id), "{line}");
        assert!(line.contains(&address), "{line}");
    }
    verify(&gate.journal());
    let rotated = program()
        .args(["audit", "hash", "--rotate", "127.0.0.1", "--journal"])
        .arg(gate.journal())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&rotated.stdout).into_owned();
    assert!(
        out.contains("key v2 is made") && out.contains(&address) && out.contains("hmac-sha256:v2:"),
        "{out}"
    );
    found_again(&gate.journal(), &id, &caller, &address);
}

/// Whoever asks by the value, or by the pseudonym as it stands, finds it, whichever key made it.
fn found_again(journal: &Path, id: &str, caller: &str, address: &str) {
    let found = |arguments: [&str; 2]| {
        let ran = program()
            .args(["audit", "query", "--format", "json", "--journal"])
            .arg(journal)
            .args(arguments)
            .output()
            .unwrap();
        let lines = String::from_utf8_lossy(&ran.stdout).lines().count();
        (lines, String::from_utf8(ran.stderr).unwrap())
    };
    for asked in [
        ["--client", "127.0.0.1"],
        ["--client", address],
        ["--caller", id],
        ["--caller", caller],
    ] {
        assert_eq!(found(asked), (3, String::new()), "{asked:?}");
    }
    let (none, said) = found(["--client", "127.0.0.0/8"]);
    assert!(
        none == 0
            && said.contains("of 3 decisions of this time pseudonyms stand where --client looks"),
        "{said}"
    );
    let (none, said) = found(["--client", "127.0.0.2"]);
    assert!(
        none == 0 && said.contains("no record names the client 127.0.0.2"),
        "{said}"
    );
    // Without the key nobody finds it, and is told why.
    let key = journal.join("pseudonym-v1.key");
    let good = std::fs::read(&key).unwrap();
    let other: Vec<u8> = good.iter().map(|byte| byte ^ 0x55).collect();
    for (content, says) in [
        (None, "the key pseudonym-v1.key is missing"),
        (Some(other), "the key pseudonym-v1.key is another one"),
    ] {
        std::fs::remove_file(&key).unwrap();
        if let Some(content) = &content {
            std::fs::write(&key, content).unwrap();
            let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&key, own).unwrap();
        }
        let (none, said) = found(["--client", "127.0.0.1"]);
        assert!(none == 0 && said.contains(says), "{said}");
        let replay = |condition: &str| {
            let ran = program()
                .args([
                    "replay",
                    "--format",
                    "json",
                    "--where",
                    condition,
                    "--journal",
                ])
                .arg(journal)
                .arg("--policies")
                .arg(policies())
                .output()
                .unwrap();
            let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
            assert_eq!(report["missing_keys"][0]["version"], 1, "{report}");
            String::from_utf8(ran.stderr).unwrap()
        };
        let said = replay(&format!("caller={id}"));
        assert_eq!(said.matches(says).count(), 1, "{said}");
        assert!(!replay("verdict=deny").contains(says));
        let shown = program()
            .args(["audit", "show", "2", "--journal"])
            .arg(journal)
            .output()
            .unwrap();
        let said = String::from_utf8(shown.stderr).unwrap();
        assert!(said.contains(says), "{said}");
        // Whoever asks by nothing that has one is not bothered.
        assert_eq!(found(["--decision", "deny"]), (2, String::new()));
        std::fs::write(&key, &good).unwrap();
    }
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, own).unwrap();
    assert_eq!(found(["--client", "127.0.0.1"]), (3, String::new()));
}
