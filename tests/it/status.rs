//! `/status`: what operators are told, and that it is true and documented.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use serde_json::Value;

use crate::alerts::{Scrape, look};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, exchange, program};
use crate::tls::write;

/// A certificate that ends so many days from now.
fn lasting(days: i64) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["gate.example".to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_after = now + time::Duration::days(days) + time::Duration::hours(12);
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

/// A gate whose operators have TLS or not, and its clients none; with two environments.
fn gate(upstream: &Upstream, certificate: &CertifiedKey<KeyPair>) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), certificate);
    let file = directory.path().join("dtgate.toml");
    let path = directory.path().display();
    let address = upstream.address;
    let config = format!(
        "[reload]\ninterval = '20ms'\n[listener.tls.files]\ncertificate = '{path}/certificate.pem'\nkey = '{path}/key.pem'\n\
         [environments.one]\nid = 'one'\nupstream.url = 'http://{address}/a'\nupstream.max_connections = 7\n\
         [environments.two]\nid = 'two'\nupstream.url = 'http://{address}/b'\n"
    );
    std::fs::write(&file, config).unwrap();
    let mut command = crate::harness::serving(&directory);
    command
        .arg("--config")
        .arg(&file)
        .arg("--policies")
        .arg(crate::harness::policies());
    Gate::spawn(directory, command)
}

fn status(gate: &Gate) -> Value {
    exchange(
        gate.admin,
        b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .json()
}

#[test]
fn certificates_are_shown_with_the_days_that_they_have_left() {
    let upstream = Upstream::lenient();
    for days in [30, -2] {
        let gate = gate(&upstream, &lasting(days));
        let shown = status(&gate)["certificates"].clone();
        assert_eq!(shown[0]["days_left"], days, "{shown}");
        assert_eq!(shown[0]["shown_to"], "clients");
        assert_eq!(shown[0]["names"], serde_json::json!(["gate.example"]));
        assert!(
            shown[0]["file"]
                .as_str()
                .unwrap()
                .ends_with("/certificate.pem")
        );
        assert!(shown[0]["not_after"].as_str().unwrap().ends_with('Z'));
        assert_eq!(shown.as_array().unwrap().len(), 1);
    }
}

/// A certificate with so many days left, and then another one in its files: what Prometheus reads.
pub(crate) fn certificate_exchanged(days: [i64; 2]) -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, &lasting(days[0]));
    let before = look(gate.admin);
    let is_end = |series: &&String| series.starts_with("dtgate_certificate_not_after");
    let ends: Vec<&String> = before.keys().filter(is_end).collect();
    let [end] = ends[..] else { panic!("{ends:?}") };
    assert!(end.contains("shown_to=\"clients\""), "{end}");
    write(gate.directory.path(), &lasting(days[1]));
    let after = eventually("the new certificate is shown", || {
        let after = look(gate.admin);
        (after[end] < before[end]).then_some(after)
    });
    [before, after]
}

#[test]
fn environments_are_shown_with_their_connections_also_after_a_reload() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    let config = |limit: &str| {
        format!(
            "{limit}[environments.one]\nid = 'one'\nupstream.url = 'http://{0}/a'\nupstream.max_connections = 7\n\
             [environments.two]\nid = 'two'\nupstream.url = 'http://{0}/b'\n",
            upstream.address
        )
    };
    std::fs::write(&file, config("")).unwrap();
    let mut command = crate::harness::serving(&directory);
    command.arg("--config").arg(&file);
    command.arg("--policies").arg(crate::harness::policies());
    let gate = Gate::spawn(directory, command);
    let path = TOKEN.replace("/api", "/e/one/api");
    assert_eq!(gate.send("PUT", &path, GOOD).status, 204);
    let shown = |status: &Value| {
        let of = |environment: &Value| {
            (
                environment["name"].as_str().unwrap().to_owned(),
                environment["connections"].as_u64().unwrap(),
                environment["max_connections"].as_u64().unwrap(),
                environment["waiting"].as_u64().unwrap(),
            )
        };
        let environments = status["environments"].as_array().unwrap();
        environments.iter().map(of).collect::<Vec<_>>()
    };
    let wanted = [("one".to_owned(), 1, 7, 0), ("two".to_owned(), 0, 1280, 0)];
    let before = status(&gate);
    assert_eq!(shown(&before), wanted);
    let url = format!("http://{}/a", upstream.address);
    assert_eq!(before["environments"][0]["url"], url);
    // The connection goes on, and is still counted.
    std::fs::write(&file, config("[limits]\nbody = '32 KiB'\n")).unwrap();
    gate.signal("HUP");
    let after = eventually("files are read again", || {
        Some(status(&gate)).filter(|status| status["generation"] == 1)
    });
    assert_eq!(shown(&after), wanted);
    assert!(after["age_seconds"].is_u64());
}

#[test]
fn the_head_of_the_journal_proves_that_nothing_was_cut() {
    let upstream = Upstream::lenient();
    let gate = crate::harness::gate(upstream.address);
    for _ in 0..3 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    let journal = status(&gate)["journal"].clone();
    // A start; three decisions, each with its outcome.
    assert_eq!(journal["head_seq"], 7, "{journal}");
    assert_eq!(journal["ok"], true);
    assert_eq!(journal["error"], Value::Null);
    assert_eq!(journal["min_free_bytes"], 256 << 20);
    assert!(journal["free_bytes"].as_u64().is_some(), "{journal}");
    let head = format!("7:{}", journal["head_hash"].as_str().unwrap());
    let verified = program()
        .args(["audit", "verify", "--expect-head", &head, "--journal"])
        .arg(gate.journal())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn everything_that_it_shows_is_documented() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, &lasting(30));
    let mut names = BTreeSet::new();
    let mut values = vec![status(&gate)];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    names.insert(name);
                    values.push(value);
                }
            }
            Value::Array(items) => values.extend(items),
            _ => {}
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let (_, section) = page.split_once("\n### Status\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    for name in names {
        let is_there = section.contains(&format!("`{name}`"));
        assert!(is_there, "{name} is not in {section}");
    }
}
