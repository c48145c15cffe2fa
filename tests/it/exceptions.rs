//! What passes although a policy denies it: the caller is told, and the journal has it, until it ends.

use serde_json::json;

use crate::harness::{BAD, Gate, TOKEN, Upstream, copy, eventually, policies, program, verify};

/// Ends in so many seconds.
fn exceptions(seconds: i64) -> String {
    let until = dtgate::app::now() + jiff::SignedDuration::from_secs(seconds);
    let id = TOKEN.rsplit('/').next().unwrap();
    format!(
        "exceptions:\n  - {{policy: forbidden_scopes, token: {id}, reason: the old deployment, ticket: OPS-4711, until: \"{until:.0}\"}}\n"
    )
}

#[test]
fn an_exception_lets_pass_what_it_is_for_and_every_use_is_seen_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("policies");
    copy(&policies(), &place);
    let data = place.join("data.yaml");
    let shipped = std::fs::read_to_string(&data).unwrap();
    let with = |exceptions: &str| shipped.replace("exceptions: []\n", exceptions);
    std::fs::write(&data, with(&exceptions(3600))).unwrap();
    let upstream = Upstream::lenient();
    let folder = place.to_str().unwrap().to_owned();
    let config = directory.path().join("dtgate.toml");
    std::fs::write(
        &config,
        "[reload]\ninterval = \"1s\"\nrequire_tests = false\n",
    )
    .unwrap();
    let gate = Gate::start(
        tempfile::tempdir().unwrap(),
        upstream.address,
        &["--config", config.to_str().unwrap(), "--policies", &folder],
    );
    let answer = gate.send("PUT", TOKEN, BAD);
    assert_eq!(answer.status, 204);
    let warning = answer.headers.iter().find(|(name, _)| name == "warning");
    let (_, warning) = warning.unwrap();
    assert!(
        warning.contains("(forbidden_scopes; passes until "),
        "{warning}"
    );
    assert!(warning.contains(" by exception OPS-4711)"), "{warning}");
    // It is for this token, and for nothing else.
    let other = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";
    assert_eq!(gate.send("PUT", other, BAD).status, 403);
    let all = gate.decisions();
    let violation = &all[0]["result"]["violations"][0];
    assert_eq!(
        (&all[0]["verdict"], &violation["mode"]),
        (&json!("allow"), &json!("enforce"))
    );
    assert_eq!(violation["exception"]["ticket"], "OPS-4711");
    assert_eq!(violation["exception"]["reason"], "the old deployment");
    assert_eq!(all[1]["result"]["violations"][0].get("exception"), None);
    eventually("the use is found by its ticket", || {
        let query = program()
            .args([
                "audit",
                "query",
                "--text",
                "OPS-4711",
                "--format",
                "json",
                "--journal",
            ])
            .arg(gate.journal())
            .output()
            .unwrap();
        let found: Vec<u8> = query.stdout;
        (String::from_utf8_lossy(&found).lines().count() == 1).then_some(())
    });

    // The clock moves past its end: it is void, and says so.
    std::fs::write(&data, with(&exceptions(1))).unwrap();
    let denied = eventually("it ends", || {
        let answer = gate.send("PUT", TOKEN, BAD);
        (answer.status == 403).then_some(answer)
    });
    let told = "the exception for this (OPS-4711) ended at ";
    assert!(denied.body.contains(told), "{}", denied.body);
    let check = program()
        .args(["check", "--policies", &folder])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned()
        + &String::from_utf8_lossy(&check.stdout);
    assert!(said.contains("it lets nothing pass; remove it"), "{said}");
    verify(&gate.journal());
}

/// The same of a mode: until then it only warns, and nobody has to do anything for it to end.
#[test]
fn a_mode_that_lets_pass_ends_when_the_clock_is_past_its_until() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("policies");
    copy(&policies(), &place);
    let data = place.join("data.yaml");
    let shipped = std::fs::read_to_string(&data).unwrap();
    let modes = "modes: {}\n";
    assert!(shipped.contains(modes), "{shipped}");
    let until = jiff::Timestamp::from_second(dtgate::app::now().as_second() + 20).unwrap();
    let wanted = format!("modes:\n  forbidden_scopes: {{mode: warn, until: \"{until}\"}}\n");
    std::fs::write(&data, shipped.replace(modes, &wanted)).unwrap();
    let upstream = Upstream::lenient();
    let folder = place.to_str().unwrap().to_owned();
    let gate = Gate::start(
        tempfile::tempdir().unwrap(),
        upstream.address,
        &["--policies", &folder],
    );
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    // No request meanwhile: budgets would deny many.
    eventually("it ends", || (dtgate::app::now() >= until).then_some(()));
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    // The journal is the witness: the same policies, one request before and one after.
    let all = gate.decisions();
    let (first, last) = (&all[0], all.last().unwrap());
    let told = |record: &serde_json::Value| {
        let mode = record["result"]["violations"][0]["mode"].clone();
        [record["verdict"].clone(), mode]
    };
    assert_eq!(told(first), [json!("allow"), json!("warn")]);
    assert_eq!(told(last), [json!("deny"), json!("enforce")]);
    assert_eq!(first["bundles"], last["bundles"]);
    let time = |record: &serde_json::Value| -> jiff::Timestamp {
        record["timestamp"].as_str().unwrap().parse().unwrap()
    };
    assert!(time(last) >= until, "{last}");
    verify(&gate.journal());
}
