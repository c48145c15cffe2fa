//! Grants that are none: edited, signed by too few, for somebody or something else, ended. Each is told with its reason,
//! and none lets anything pass.

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
    let other = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";
    for (what, changed) in [
        ("another caller", plain.replace("ST2EY72K", "AAAAAAAA")),
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
        assert!([400, 403].contains(&answer.status), "{what}: {answer:?}");
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
    let grant = desk.granted(&gate, &["--decision", &id, "--for", "4s"]);
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
