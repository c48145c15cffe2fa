//! Grants that are not lost: where the journal fails, where masks take things out of records, where somebody else's words
//! look like a grant.

use rustix::process::Resource;
use serde_json::json;

use super::{Desk, id_of};
use crate::asked::said;
use crate::harness::{BAD, TOKEN, Upstream, copy, eventually, policies, put, verify};

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn a_grant_whose_record_did_not_fit_is_good_again_when_there_is_space() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    gate.limit(Resource::Fsize, Some(0));
    let refused = gate.send("PUT", TOKEN, BAD);
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(upstream.seen().is_empty());
    gate.limit(Resource::Fsize, None);
    eventually("it passes without a restart", || {
        (gate.send("PUT", TOKEN, BAD).status == 204).then_some(())
    });
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert_eq!(upstream.seen().len(), 1);
    verify(&gate.journal());
}

/// Masks of what has a name like that of what is read, and one of what is read.
#[test]
fn ordinary_masks_leave_a_request_that_can_be_granted() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let masks = |rules: &str| {
        let folder = desk.path("policies");
        drop(std::fs::remove_dir_all(&folder));
        copy(&policies(), &folder);
        let rules = format!("package system.log\n\n{rules}\n");
        std::fs::write(folder.join("log.rego"), rules).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    let folder = masks(
        "mask contains \"/requested_by\"\n\nmask contains \"/request/client_id\"\n\n\
         mask contains \"/input/caller/address\"\n\n\
         mask contains \"/result/violations/0/message\" if input.result.violations[0]",
    );
    let gate = desk.start(
        tempfile::tempdir().unwrap(),
        &upstream,
        &["--policies", &folder],
    );
    let denied = gate.send("PUT", TOKEN, BAD);
    let record = gate.decisions().pop().unwrap();
    assert!(record["erased"].as_array().unwrap().len() > 1, "{record}");
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    verify(&gate.journal());
    let folder = masks("mask contains \"/caller/id\"");
    let gate = desk.start(
        tempfile::tempdir().unwrap(),
        &upstream,
        &["--policies", &folder],
    );
    let denied = gate.send("PUT", TOKEN, BAD);
    let asked = desk.request(&gate, &["--decision", &id_of(&denied)]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("a mask has changed /caller/id"), "{said}");
}

/// A field of a client can be what two people have signed with: the record would have a note that proves nothing.
#[test]
fn a_request_that_shows_a_part_of_its_grant_as_a_secret_does_not_use_it() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    let signature = grant.lines().last().unwrap().rsplit(' ').next().unwrap();
    let plain = put(BAD);
    for field in ["X-Secret: ", "Cookie-Token: ", "X-Api-Key: "] {
        let shows = format!("Host: gate\r\n{field}{signature}\r\n");
        let request = plain.replacen("Host: gate\r\n", &shows, 1);
        assert_ne!(request, plain);
        let answer = gate.raw(request);
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert!(
        gate.log()
            .contains("a grant is not used: the request shows a part of it as a secret")
    );
    assert!(upstream.seen().is_empty());
    // It is not used up.
    let passed = gate.send("PUT", TOKEN, BAD);
    assert_eq!(passed.status, 204);
    let journal = gate.journal();
    let arguments = ["grant", "verify", &id_of(&passed), "--journal"];
    let verified = desk.run(&[&arguments[..], &[journal.to_str().unwrap()]].concat());
    assert!(verified.status.success(), "{verified:?}");
    verify(&gate.journal());
}

#[test]
fn nobody_puts_a_request_among_those_that_passed_by_a_grant() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    for mark in ["\u{e000}\u{e001}granted", "x \u{e000}\u{e001}granted y"] {
        let name = json!({"name": mark, "scopes": ["metrics.read"]}).to_string();
        assert_eq!(gate.send("PUT", TOKEN, &name).status, 403);
        let claimed = format!("{TOKEN}{mark}");
        assert!(gate.send("PUT", &claimed.replace(' ', ""), BAD).status >= 400);
    }
    let found = said(gate.directory.path(), &["query", "--granted"]);
    assert!(found.contains("No decision matches."), "{found}");
    verify(&gate.journal());
}

#[test]
fn with_grants_records_are_on_disk_before_anything_is_sent() {
    let desk = Desk::new("");
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let with = "[upstream]\nurl = \"http://127.0.0.1:9\"\n[journal]\ndurability = \"buffered\"\n";
    std::fs::write(desk.config(), format!("{with}{text}")).unwrap();
    let policies = policies();
    let policies = policies.to_str().unwrap();
    for command in [
        vec!["check", "--config", "dtgate.toml"],
        vec![
            "serve",
            "--config",
            "dtgate.toml",
            "--listen",
            "127.0.0.1:0",
        ],
    ] {
        let output = desk.run(&[&command[..], &["--policies", policies]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && said.contains("grants that were used would be good again"),
            "{command:?}: {said}"
        );
    }
}

/// As at a start: what the journal runs with counts, also where the file says otherwise by then.
#[test]
fn a_reload_that_adds_grants_is_refused_where_the_journal_is_buffered() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let grants = std::fs::read_to_string(desk.config()).unwrap();
    let url = format!("[upstream]\nurl = \"http://{}\"\n", upstream.address);
    let with = |durability: &str, grants: &str| {
        let text = format!("{url}[journal]\ndurability = \"{durability}\"\n{grants}");
        std::fs::write(desk.path("new"), text).unwrap();
        std::fs::rename(desk.path("new"), desk.config()).unwrap();
    };
    with("buffered", "[reload]\ninterval = \"1s\"\n");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    for (durability, refusals) in [("buffered", 1), ("synced", 2)] {
        with(durability, &grants);
        gate.signal("HUP");
        eventually("it is refused", || {
            let records = gate.records();
            let refused = records
                .iter()
                .filter(|it| it["kind"] == "reload" && it["ok"] == false);
            let refused: Vec<String> = refused.map(ToString::to_string).collect();
            (refused.len() == refusals
                && refused
                    .iter()
                    .all(|it| it.contains("grants that were used would be good again")))
            .then_some(())
        });
        let denied = gate.send("PUT", TOKEN, BAD);
        assert_eq!(denied.status, 403);
        assert!(!denied.body.contains("grant request"), "{denied:?}");
    }
    verify(&gate.journal());
}
