//! What a caller may do within an hour: counted before the next one is judged, kept over a kill, told by the journal.

use std::path::Path;
use std::sync::Barrier;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::harness::{
    Answered, Gate, TOKEN, Upstream, copy, eventually, exchange, policies, program, verify,
};

/// The shipped policies with these limits, and nothing else that objects.
fn with_limits(limits: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_policy = path.extension().is_some_and(|it| it == "rego");
        if is_policy && !name.starts_with("blast_radius") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let data = format!("guardrails:\n  blast_radius: {limits}\n");
    std::fs::write(directory.path().join("data.yaml"), data).unwrap();
    directory
}

const LIMITS: &str = "{created: 3, scopes_gained: 100, removed: 2}";

fn gate(directory: TempDir, policies: &Path, upstream: &Upstream) -> Gate {
    let policies = policies.to_str().unwrap();
    Gate::start(directory, upstream.address, &["--policies", policies])
}

/// An upstream that makes what it is asked for, and refuses what is called so.
fn maker() -> Upstream {
    Upstream::answering(|seen| {
        let body = String::from_utf8_lossy(&seen.body);
        let (status, answer) = if body.contains("refused") {
            ("403 Forbidden", r#"{"error":{"code":403,"message":"no"}}"#)
        } else {
            ("201 Created", r#"{"token":"dt0c01.NEW.X"}"#)
        };
        let length = answer.len();
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{answer}")
            .into_bytes()
    })
}

fn create(gate: &Gate, name: &str) -> Answered {
    let body = json!({"name": name, "scopes": ["metrics.read"]}).to_string();
    gate.send("POST", "/api/v2/apiTokens", &body)
}

/// The same by somebody else, or with another secret.
fn create_by(gate: &Gate, credential: &str) -> Answered {
    let body = json!({"name": "a", "scopes": ["metrics.read"]}).to_string();
    let request = format!(
        "POST /api/v2/apiTokens HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {credential}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(gate.address, request.as_bytes())
}

/// A gate that starts without a policy that reads the counts, and gets one by a reload.
#[test]
fn a_restart_loses_nothing_when_the_policy_comes_back_by_a_reload() {
    let upstream = maker();
    let limits = with_limits(LIMITS);
    let gate = gate_of(&limits, &upstream);
    for name in ["a", "b", "c"] {
        assert_eq!(create(&gate, name).status, 201);
    }
    let directory = gate.crash();
    let policy = limits.path().join("blast_radius.rego");
    let (text, data) = (
        std::fs::read(&policy).unwrap(),
        limits.path().join("data.yaml"),
    );
    let settings = std::fs::read(&data).unwrap();
    std::fs::remove_file(limits.path().join("blast_radius_test.rego")).unwrap();
    std::fs::write(
        &policy,
        "package dtgate.other\n\ndeny contains \"no\" if input.change.name.requested == \"bad\"\n",
    )
    .unwrap();
    std::fs::write(&data, "{}").unwrap();
    let config = directory.path().join("dtgate.toml");
    std::fs::write(
        &config,
        "[reload]\ninterval = \"1s\"\nrequire_tests = false\n",
    )
    .unwrap();
    let folder = limits.path().to_str().unwrap().to_owned();
    let arguments = ["--config", config.to_str().unwrap(), "--policies", &folder];
    let gate = Gate::start(directory, upstream.address, &arguments);
    assert_eq!(create(&gate, "bad").status, 403);
    std::fs::write(&data, settings).unwrap();
    std::fs::write(&policy, text).unwrap();
    eventually("the policy is in force", || {
        let records = gate.records();
        let mut reloads = records.iter().filter(|it| it["kind"] == "reload");
        let last = reloads.next_back()?;
        let names = last["policies"].as_array()?;
        names.contains(&json!("blast_radius")).then_some(())
    });
    let denied = create(&gate, "d");
    assert_eq!(denied.status, 403, "{denied:?}");
    assert!(
        denied
            .message()
            .contains("you have made 3 within the last hour"),
        "{denied:?}"
    );
}

/// By a browser's session, with one cookie more each time.
#[test]
fn whoever_shows_cookies_alone_is_counted_by_its_address() {
    let upstream = maker();
    let limits = with_limits(LIMITS);
    let gate = gate_of(&limits, &upstream);
    let body = json!({"name": "a", "scopes": ["metrics.read"]}).to_string();
    for (round, wanted) in [201, 201, 201, 403, 403].into_iter().enumerate() {
        let request = format!(
            "POST /api/v2/apiTokens HTTP/1.1\r\nHost: gate\r\nCookie: session=aB3dE5gH7jK9; junk{round}={round}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(gate.address, request.as_bytes());
        assert_eq!(answer.status, wanted, "{round}: {answer:?}");
    }
    // Who shows a token is another one.
    assert_eq!(create(&gate, "a").status, 201);
}

fn recent(record: &Value) -> [u64; 3] {
    let recent = &record["input"]["caller"]["recent"];
    ["created", "scopes_gained", "removed"].map(|name| recent[name].as_u64().unwrap())
}

#[test]
fn a_caller_has_so_much_also_after_a_kill_and_what_was_refused_is_not_counted() {
    let upstream = maker();
    let limits = with_limits(LIMITS);
    let gate = gate_of(&limits, &upstream);
    assert_eq!(create(&gate, "refused").status, 403);
    for name in ["a", "b"] {
        assert_eq!(create(&gate, name).status, 201);
    }
    let decisions = gate.decisions();
    let seen: Vec<_> = decisions.iter().map(recent).collect();
    // Dynatrace has refused the first.
    assert_eq!(seen, [[0, 0, 0], [0, 0, 0], [1, 1, 0]]);
    let counted = &decisions[1]["counted"];
    assert!(
        counted["caller"]
            .as_str()
            .unwrap()
            .starts_with("hmac-sha256:")
    );
    assert_eq!(
        (&counted["created"], &counted["scopes_gained"]),
        (&json!(1), &json!(1))
    );

    let directory = gate.crash();
    let gate = self::gate(directory, limits.path(), &upstream);
    assert_eq!(create(&gate, "c").status, 201);
    let denied = create(&gate, "d");
    assert_eq!(denied.status, 403);
    let said = denied.message();
    assert!(
        said.contains("you have made 3 within the last hour, and 3 are allowed"),
        "{said}"
    );
    // Denied twice is denied twice, and counts nothing.
    assert_eq!(create(&gate, "d").status, 403);
    let last = gate.decisions().pop().unwrap();
    assert_eq!((recent(&last), last.get("counted")), ([3, 3, 0], None));
    // Whoever knows only the public id does not spend for its holder.
    let other_secret = format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{}", "A".repeat(64));
    assert_eq!(create_by(&gate, &other_secret).status, 201);
    let other = format!("dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA.{}", "B".repeat(64));
    assert_eq!(create_by(&gate, &other).status, 201);
    // Each kind has its own limit.
    for wanted in [201, 201, 403] {
        assert_eq!(gate.send("DELETE", TOKEN, "").status, wanted);
    }
    // A stop and a start are like a kill.
    let mut gate = gate;
    gate.signal("TERM");
    assert!(gate.wait().success());
    verify(&gate.journal());
    replays_the_same(&gate, limits.path());
    let directory = gate.crash();
    let gate = self::gate(directory, limits.path(), &upstream);
    assert_eq!(create(&gate, "d").status, 403);
    assert_eq!(recent(&gate.decisions().pop().unwrap()), [3, 3, 2]);
}

fn gate_of(limits: &TempDir, upstream: &Upstream) -> Gate {
    gate(tempfile::tempdir().unwrap(), limits.path(), upstream)
}

/// The recorded input decides the same.
fn replays_the_same(gate: &Gate, policies: &Path) {
    let output = program()
        .args(["replay", "--format", "json", "--journal"])
        .arg(gate.journal())
        .arg("--policies")
        .arg(policies)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["same"], report["replayed"], "{report}");
    assert!(report["replayed"].as_u64().unwrap() > 8, "{report}");
}

#[test]
fn of_requests_at_once_no_two_are_the_last_that_fits() {
    let upstream = maker();
    let limits = with_limits("{created: 5, scopes_gained: 0, removed: 0}");
    let gate = gate_of(&limits, &upstream);
    let start = Barrier::new(16);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..16)
            .map(|number| {
                let (gate, start) = (&gate, &start);
                scope.spawn(move || {
                    start.wait();
                    create(gate, &format!("a{number}")).status
                })
            })
            .collect();
        sending.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!((made, upstream.seen().len()), (5, 5), "{statuses:?}");
    let mut before: Vec<u64> = gate.decisions().iter().map(|it| recent(it)[0]).collect();
    before.sort_unstable();
    assert_eq!(before[..6], [0, 1, 2, 3, 4, 5]);
    verify(&gate.journal());
}

#[test]
fn what_is_older_than_an_hour_counts_no_more() {
    let upstream = maker();
    let limits = with_limits(LIMITS);
    let gate = gate_of(&limits, &upstream);
    assert_eq!(create(&gate, "a").status, 201);
    let decision = gate.decisions().pop().unwrap();
    let key = std::fs::read(gate.journal().join("hash.key")).unwrap();
    drop(gate);
    // The same change twice, as if it had been at other times.
    let now = decision["timestamp"].as_str().unwrap();
    let now: jiff::Timestamp = now.parse().unwrap();
    let at = |minutes: i64| {
        let mut record = decision.clone();
        for name in ["seq", "prev", "synced"] {
            record.as_object_mut().unwrap().remove(name);
        }
        let time = now - jiff::SignedDuration::from_mins(minutes);
        record["timestamp"] = format!("{time:.3}").into();
        record
    };
    let old = written(&[at(90), at(62), at(58), at(2)]);
    let file = old.path().join("journal/hash.key");
    std::fs::write(&file, key).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, own).unwrap();
    let gate = self::gate(old, limits.path(), &upstream);
    assert_eq!(create(&gate, "b").status, 201);
    assert_eq!(recent(&gate.decisions().pop().unwrap()), [2, 2, 0]);
    assert_eq!(create(&gate, "c").status, 403);
    assert!(gate.log().contains("was read from the journal"));
}

#[test]
fn it_is_counted_only_where_a_policy_reads_it() {
    let upstream = maker();
    let none = tempfile::tempdir().unwrap();
    let rule =
        "package dtgate.names\n\ndeny contains \"no\" if input.change.name.requested == \"no\"\n";
    std::fs::write(none.path().join("names.rego"), rule).unwrap();
    let gate = gate_of(&none, &upstream);
    assert_eq!(create(&gate, "a").status, 201);
    let decision = gate.decisions().pop().unwrap();
    assert_eq!(decision["input"]["caller"].get("recent"), None);
    assert_eq!(decision.get("counted"), None);
    // From a reload on, if one does.
    let rule = format!("{rule}\ndeny contains \"too many\" if input.caller.recent.created > 0\n");
    std::fs::write(none.path().join("names.rego"), rule).unwrap();
    gate.signal("HUP");
    eventually("it is read", || {
        let records = gate.records();
        records
            .iter()
            .any(|it| it["kind"] == "reload")
            .then_some(())
    });
    assert_eq!(create(&gate, "a").status, 201);
    assert_eq!(create(&gate, "a").status, 403);
    verify(&gate.journal());
}
