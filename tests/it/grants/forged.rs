//! Grants that are none: edited, signed by too few, for somebody or something else, ended. Each is told with its reason,
//! and none lets anything pass.

use dtgate::audit::checkpoint::key::of_person;

use super::{Desk, id_of, looked, usable};
use crate::harness::{BAD, Gate, TOKEN, Upstream, eventually, verify};

/// Puts it before the gate, which still denies; `show` says why.
fn refused(desk: &Desk, gate: &Gate, name: &str, text: &str, says: &str) {
    let path = desk.grants().join(format!("{name}.grant"));
    std::fs::write(&path, text).unwrap();
    let (is_usable, shown) = desk.show(gate, &path);
    assert!(
        !is_usable && shown.contains(says),
        "{name}: {says}: {shown}"
    );
}

#[test]
fn what_not_two_people_have_signed_is_none() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let decision = ["--decision", &id_of(&denied)];
    let asked = desk.request(&gate, &decision);
    assert!(asked.status.success(), "{asked:?}");
    let alone = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    refused(&desk, &gate, "alone", &alone, "only alice has signed it");
    let last = alone.lines().last().unwrap();
    refused(
        &desk,
        &gate,
        "twice",
        &format!("{alone}{last}\n"),
        "only alice has signed it",
    );
    // Nobody approves their own, under whatever name.
    for (key, says) in [
        (
            "alice.key",
            "alice has asked for it: somebody else has to approve it",
        ),
        ("mallory.key", "none of grants.approvers"),
    ] {
        let output = desk.run(&["grant", "approve", "asked.grant", "--key", key, "--yes"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let config = [
            "grant",
            "approve",
            "asked.grant",
            "--key",
            key,
            "--yes",
            "--config",
            "dtgate.toml",
        ];
        let with = desk.run(&config);
        let with = String::from_utf8_lossy(&with.stderr).into_owned();
        assert!(
            said.contains(says) || with.contains(says),
            "{says}: {said}{with}"
        );
        if output.status.success() {
            let strange = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
            refused(&desk, &gate, "strange", &strange, "is signed by mallory+");
        }
    }
    looked(&desk, &gate);
    assert_eq!(usable(&gate), 0);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_grant_that_was_edited_is_none() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let decision = ["--decision", &id_of(&denied)];
    let good = desk.granted(&gate, &decision);
    // Every value of it is another one.
    let values = good.split_once("\n\n").unwrap().0.lines().skip(2);
    let mut edited = 0;
    for (number, line) in values.enumerate() {
        let Some((before, value)) = line.split_once(": \"") else {
            continue;
        };
        let at = if value.starts_with("20") { 3 } else { 0 };
        let other = value.as_bytes()[at] ^ 1;
        let other = format!(
            "{before}: \"{}{}{}",
            &value[..at],
            char::from(other),
            &value[at + 1..]
        );
        let forged = good.replacen(line, &other, 1);
        assert_ne!(forged, good);
        std::fs::write(
            desk.grants().join(format!("edited-{number}.grant")),
            &forged,
        )
        .unwrap();
        let (is_usable, shown) =
            desk.show(&gate, &desk.grants().join(format!("edited-{number}.grant")));
        assert!(!is_usable, "{other}: {shown}");
        edited += 1;
    }
    assert!(edited > 12, "{edited}");
    for (from, to) in [
        ("\"seq\": ", "\"seq\": 1"),
        ("OPS-4711", "OPS-4712"),
        ("forbidden_scopes", "naming"),
    ] {
        let forged = good.replace(from, to);
        refused(
            &desk,
            &gate,
            &format!("changed-{to}").replace([' ', '"', ':'], ""),
            &forged,
            "it was edited after that",
        );
    }
    looked(&desk, &gate);
    assert_eq!(usable(&gate), 0);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert!(upstream.seen().is_empty());
    let listed = desk.run(&[
        "grant",
        "list",
        "--config",
        "dtgate.toml",
        "--journal",
        gate.journal().to_str().unwrap(),
    ]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.lines().count() > edited && !listed.contains("can be used, once"),
        "{listed}"
    );
    verify(&gate.journal());
}

#[test]
fn a_grant_for_a_request_is_for_no_other() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "a.grant", &grant);
    let plain = crate::harness::put(BAD);
    let secret = credential_of(&plain);
    let other = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";
    for (what, changed) in [
        ("another caller", plain.replace("ST2EY72K", "AAAAAAAA")),
        // Whoever has read the denial knows the public id, and would use the grant up.
        (
            "another secret",
            plain.replace(
                &secret,
                &secret.replace(&secret[secret.len() - 8..], "AAAAAAAA"),
            ),
        ),
        ("another token", plain.replace(TOKEN, other)),
        (
            "another interface",
            plain.replace("/api/v1/tokens/", "/api/v2/apiTokens/"),
        ),
        // The same change, in another body; and another change.
        ("another body", {
            let body = BAD.replace("\":[", "\": [");
            plain
                .replace(BAD, &body)
                .replace("Content-Length: 26", "Content-Length: 27")
        }),
        ("another scope", plain.replace("WriteConfig", "writeConfig")),
        (
            "a query",
            plain.replace(&format!("{TOKEN} "), &format!("{TOKEN}?force=true ")),
        ),
    ] {
        assert_ne!(changed, plain, "{what}");
        let answer = gate.raw(&changed);
        // What no operation takes is refused before any policy.
        let status = if what == "a query" { 400 } else { 403 };
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(usable(&gate), 1);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    verify(&gate.journal());
}

#[test]
fn a_grant_for_one_gate_is_none_for_another() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    // The same name, and another journal.
    let other = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    assert_eq!(other.send("PUT", TOKEN, BAD).status, 403);
    std::fs::write(desk.grants().join("a.grant"), &grant).unwrap();
    let (_, shown) = desk.show(&other, &desk.grants().join("a.grant"));
    assert!(shown.contains("it is for another journal"), "{shown}");
    looked(&desk, &other);
    assert_eq!(other.send("PUT", TOKEN, BAD).status, 403);
    // Another name.
    let third = Desk::new("");
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let named = format!("[journal]\norigin = \"dtgate/third\"\n{text}");
    std::fs::write(third.config(), named).unwrap();
    let gate = third.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let (_, shown) = third.show(&gate, &desk.grants().join("a.grant"));
    assert!(shown.contains("it is for the gate dtgate/"), "{shown}");
    looked(&desk, &gate);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_grant_ends() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("longest = \"10m\"");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let id = id_of(&denied);
    let grant = desk.granted(&gate, &["--decision", &id, "--for", "10s"]);
    desk.give(&gate, "a.grant", &grant);
    eventually("it ends", || {
        let (_, shown) = desk.show(&gate, &desk.grants().join("a.grant"));
        shown
            .contains("it cannot be used: it ended at ")
            .then_some(())
    });
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    // Nobody grants more than the configuration allows.
    let asked = desk.request(&gate, &["--decision", &id, "--for", "11m"]);
    assert!(asked.status.success(), "{asked:?}");
    let long = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    let output = desk.run(&[
        "grant",
        "approve",
        "asked.grant",
        "--key",
        "bob.key",
        "--yes",
    ]);
    assert!(output.status.success(), "{output:?}");
    let both = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    assert_ne!(long, both);
    refused(&desk, &gate, "long", &both, "longer than grants.longest");
    looked(&desk, &gate);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let asked = desk.request(
        &gate,
        &["--decision", &id, "--for", "11m", "--config", "dtgate.toml"],
    );
    assert!(!asked.status.success(), "{asked:?}");
    let asked = desk.request(&gate, &["--decision", &id, "--until", "2020-01-01"]);
    assert!(!asked.status.success(), "{asked:?}");
    assert!(upstream.seen().is_empty());
    verify(&gate.journal());
}

#[test]
fn a_directory_full_of_junk_stops_nobody() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let directory = desk.grants();
    for number in 0..300 {
        std::fs::write(directory.join(format!("0{number}.grant")), "junk").unwrap();
    }
    let huge = std::fs::File::create(directory.join("1.grant")).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::os::unix::fs::symlink("/dev/zero", directory.join("2.grant")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(directory.join("3.grant"))
        .status();
    assert!(fifo.unwrap().success());
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = gate.send("PUT", TOKEN, BAD);
    let grant = desk.granted(&gate, &["--decision", &id_of(&denied)]);
    desk.give(&gate, "z.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let metrics =
        crate::harness::exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let limit = "dtgate_limit_reached_total{limit=\"grants\"} ";
    let reached = metrics.lines().find_map(|line| line.strip_prefix(limit));
    assert_ne!(reached.unwrap(), "0");
    verify(&gate.journal());
}

/// What a request shows as its credential.
fn credential_of(request: &str) -> String {
    let (_, shown) = request.split_once("Authorization: Api-Token ").unwrap();
    shown.lines().next().unwrap().to_owned()
}

#[test]
fn the_next_change_can_be_kept_for_whoever_has_the_whole_credential() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let denial = gate.decisions().pop().unwrap();
    let hash = denial["request"]["caller_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let token = TOKEN.rsplit('/').next().unwrap();
    let next = ["--token", token, "--policy", "forbidden_scopes"];
    // Who may use it up has to be said.
    let asked = desk.request(&gate, &next);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("--caller"), "{said}");
    // A public id is no name: whoever shows it with another secret would use up what is for its holder.
    let public = denial["caller"]["id"].as_str().unwrap();
    let asked = desk.request(&gate, &[&next[..], &["--caller", public]].concat());
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        !asked.status.success() && said.contains("request.caller_hash"),
        "{said}"
    );
    // Whoever asks for one that anybody can use up is told so, and so is whoever approves it.
    let asked = desk.request(&gate, &[&next[..], &["--any-caller"]].concat());
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        asked.status.success() && said.contains("warning: anybody who reaches the gate can use"),
        "{said}"
    );
    let approved = desk.approve(&gate);
    let said = String::from_utf8_lossy(&approved.stdout).into_owned();
    assert!(
        said.contains("anybody: whoever reaches the gate uses it up"),
        "{said}"
    );
    let grant = desk.granted(&gate, &[&next[..], &["--caller", &hash]].concat());
    desk.give(&gate, "a.grant", &grant);
    let plain = crate::harness::put(BAD);
    let secret = credential_of(&plain);
    let wrong = secret.replace(&secret[secret.len() - 8..], "AAAAAAAA");
    assert_eq!(gate.raw(plain.replace(&secret, &wrong)).status, 403);
    assert!(upstream.seen().is_empty());
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    verify(&gate.journal());
}

/// Whoever has both signatures writes one id into two grants: the journal knows a grant by its id.
#[test]
fn two_grants_with_one_id_are_none_and_whoever_approves_the_second_is_told() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let decision = ["--decision", &id_of(&gate.send("PUT", TOKEN, BAD))];
    let first = desk.granted(&gate, &decision);
    let asked = desk.request(&gate, &decision);
    assert!(asked.status.success(), "{asked:?}");
    // As the program never writes it: with the id of the first.
    let read = |text: &str| dtgate::grant::Signed::parse(text).unwrap().grant;
    let asked = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    let grant = dtgate::grant::Grant {
        id: read(&first).id,
        reason: "another one".to_owned(),
        ..read(&asked)
    };
    let [alice, bob] = ["alice.key", "bob.key"].map(|name| of_person(&desk.path(name)).unwrap());
    let mut signed = dtgate::grant::Signed::new(grant, &alice);
    std::fs::write(desk.path("asked.grant"), signed.to_string()).unwrap();
    std::fs::write(desk.grants().join("a.grant"), &first).unwrap();
    let approved = desk.approve(&gate);
    let said = String::from_utf8_lossy(&approved.stderr).into_owned();
    assert!(
        !approved.status.success() && said.contains("another grant has its id"),
        "{approved:?}"
    );
    signed.approve(&bob).unwrap();
    refused(
        &desk,
        &gate,
        "b",
        &signed.to_string(),
        "another grant has its id",
    );
    let (is_usable, shown) = desk.show(&gate, &desk.grants().join("a.grant"));
    assert!(
        !is_usable && shown.contains("another grant has its id"),
        "{shown}"
    );
    eventually("the log says so", || {
        let log = gate.log();
        (log.matches("another grant has its id").count() >= 2).then_some(())
    });
    looked(&desk, &gate);
    assert_eq!(usable(&gate), 0);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    std::fs::remove_file(desk.grants().join("b.grant")).unwrap();
    looked(&desk, &gate);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    verify(&gate.journal());
}

/// What no request ever is grants nothing: whoever asks learns it at once.
#[test]
fn what_is_asked_for_is_named_as_records_name_it() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let token = TOKEN.rsplit('/').next().unwrap();
    let asks = |more: &[&str]| {
        let asked = desk.request(&gate, &[&["--policy", "forbidden_scopes"], more].concat());
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        (asked.status.success(), said)
    };
    let secret = credential_of(&crate::harness::put(BAD));
    let hidden = secret.rsplit('.').next().unwrap();
    for flags in [
        &["--token", &*secret, "--any-caller"][..],
        &["--token", hidden, "--any-caller"],
        &["--token", token, "--caller", &secret],
        &["--token", token, "--caller", hidden],
    ] {
        let (is_made, said) = asks(flags);
        assert!(!is_made && !said.contains(&hidden[..20]), "{said}");
    }
    let elsewhere = ["--token", token, "--any-caller", "--environment", "prod"];
    let with = ["--config", "dtgate.toml"];
    let (is_made, said) = asks(&[&elsewhere[..], &with].concat());
    assert!(
        !is_made && said.contains("no environment prod: --environment is one of default"),
        "{said}"
    );
    let unknown = ["--token", token, "--any-caller", "--policy", "forbiden"];
    let (is_made, said) = asks(&unknown);
    assert!(
        is_made && said.contains("no policy forbiden was in force"),
        "{said}"
    );
    assert!(!said.contains("no policy forbidden_scopes"), "{said}");
    // A UUID in large letters is the same one.
    let large = token.to_uppercase();
    let next = [
        "--token",
        &large,
        "--any-caller",
        "--policy",
        "forbidden_scopes",
    ];
    let grant = desk.granted(&gate, &next);
    desk.give(&gate, "a.grant", &grant);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    verify(&gate.journal());
}

/// One signature is there, and something else is wrong: whoever approves it learns that before signing.
#[test]
fn nobody_approves_what_no_gate_would_take() {
    let upstream = Upstream::lenient();
    let desk = Desk::new("longest = \"10m\"");
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let id = id_of(&gate.send("PUT", TOKEN, BAD));
    let decision = ["--decision", &*id];
    let refuses = |gate: &Gate, says: &str| {
        let asked = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
        let approved = desk.approve(gate);
        let said = String::from_utf8_lossy(&approved.stderr).into_owned();
        assert!(
            !approved.status.success() && said.contains(says),
            "{says}: {approved:?}"
        );
        let left = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
        assert_eq!(asked, left, "{says}");
    };
    let asks = |more: &[&str]| {
        let asked = desk.request(&gate, &[&decision[..], more].concat());
        assert!(asked.status.success(), "{asked:?}");
    };
    asks(&["--for", "11m"]);
    refuses(&gate, "longer than grants.longest");
    asks(&["--for", "1s"]);
    eventually("it has ended", || {
        let (_, shown) = desk.show(&gate, &desk.path("asked.grant"));
        shown.contains("it ended at ").then_some(())
    });
    refuses(&gate, "it ended at ");
    // Of another journal.
    asks(&["--for", "5m"]);
    let other = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    assert_eq!(other.send("PUT", TOKEN, BAD).status, 403);
    refuses(&other, "it is for another journal");
    // The signature of whoever asks is not of this text.
    let text = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    std::fs::write(
        desk.path("asked.grant"),
        text.replace("OPS-4711", "OPS-4712"),
    )
    .unwrap();
    refuses(&gate, "it was edited after that");
    // Used already: the file with one signature is the same grant.
    std::fs::write(desk.path("asked.grant"), &text).unwrap();
    assert!(desk.approve(&gate).status.success());
    let good = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    desk.give(&gate, "a.grant", &good);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    std::fs::write(desk.path("asked.grant"), &text).unwrap();
    refuses(&gate, "it was used, by decision ");
}
