//! Which engine judges, seen from outside: the gate works from the start, faster once the proof is done, and the
//! journal tells which decisions rest on the bytecode alone.

use tempfile::TempDir;

use crate::harness::{self, BAD, GOOD, Gate, TOKEN, Upstream, copy, eventually, exchange, gate};
use crate::wire::configured;

fn metric(gate: &Gate, name: &str) -> Option<u64> {
    let answer = exchange(
        gate.admin,
        b"GET /metrics HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n",
    );
    let lines = answer.body.lines();
    lines
        .filter_map(|line| line.strip_prefix(name))
        .find_map(|value| value.trim().parse().ok())
}

#[test]
fn requests_are_judged_from_the_start_and_by_bytecode_after_the_proof() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually("the engines are found equal", || {
        (metric(&gate, "dtgate_bytecode_trusted ")? == 1).then_some(())
    });
    assert_eq!(metric(&gate, "dtgate_bytecode_differs "), Some(0));
    eventually("a decision by the bytecode", || {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        let last = gate
            .records()
            .into_iter()
            .rev()
            .find(|record| record["kind"] == "decision")?;
        (last["evaluator"] == "bytecode" && last["verdict"] == "allow").then_some(())
    });
    // Whoever objects is heard in full.
    let answer = gate.send("PUT", TOKEN, BAD);
    assert_eq!(answer.status, 403);
    assert!(answer.message().contains("WriteConfig"), "{answer:?}");
    let records = gate.records();
    let denied = records
        .iter()
        .rev()
        .find(|record| record["kind"] == "decision")
        .unwrap();
    assert_eq!(denied["verdict"], "deny");
    assert!(denied.get("evaluator").is_none(), "{denied}");
}

/// Comparing costs what hundreds of requests cost. Nobody shall wait for it.
#[cfg(target_os = "linux")]
#[test]
fn the_engines_are_compared_when_nobody_else_wants_the_processor() {
    const SCHED_IDLE: &str = "5";
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let threads = format!("/proc/{}/task", gate.child.id());
    eventually("the thread that compares runs at idle priority", || {
        std::fs::read_dir(&threads).ok()?.flatten().find(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name is in parentheses; the policy is the 41st value.
            let Some((before, values)) = stat.rsplit_once(") ") else {
                return false;
            };
            before.ends_with("(proof") && values.split(' ').nth(41 - 3) == Some(SCHED_IDLE)
        })
    });
}

#[test]
fn policies_that_the_bytecode_is_kept_from_are_judged_all_the_same() {
    let policies = TempDir::new().unwrap();
    let policy = "package dtgate.hours\n\ndeny contains \"never\" if time.now_ns() < 0\n\ndeny contains \"no\" if \"WriteConfig\" in object.get(input.change.scopes, \"requested\", [])\n";
    std::fs::write(policies.path().join("hours.rego"), policy).unwrap();
    let upstream = Upstream::lenient();
    let all = "[policies]\nbytecode = \"all\"\n";
    std::fs::write(policies.path().join("dtgate.toml"), all).unwrap();
    let config = policies.path().join("dtgate.toml");
    let (config, path) = (config.to_str().unwrap(), policies.path().to_str().unwrap());
    let arguments = ["--config", config, "--policies", path];
    let gate = Gate::start(TempDir::new().unwrap(), upstream.address, &arguments);
    eventually("the log says which engine judges", || {
        let log = gate.log();
        log.contains("hours.rego:3: ").then_some(())
    });
    assert_eq!(metric(&gate, "dtgate_bytecode_trusted "), Some(0));
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
}

#[test]
fn bytecode_can_be_turned_off() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "[policies]\nbytecode = \"none\"\n");
    for _ in 0..20 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    let records = gate.records();
    assert!(
        records
            .iter()
            .all(|record| record.get("evaluator").is_none())
    );
    assert_eq!(metric(&gate, "dtgate_bytecode_trusted "), Some(0));
}

/// The shipped policies with one of our own: the bytecode answers for those, the interpreter for this one.
#[test]
fn a_policy_of_ones_own_is_heard_beside_the_shipped_ones() {
    let upstream = Upstream::lenient();
    let policies = TempDir::new().unwrap();
    copy(&harness::policies(), policies.path());
    let own = "package dtgate.own\n\ndeny contains \"not this one\" if {\n\tinput.token.id == \"d5836312-5790-4e80-afcf-09971954c3eb\"\n\ttime.now_ns() > 0\n}\n";
    std::fs::write(policies.path().join("own.rego"), own).unwrap();
    let path = policies.path().to_str().unwrap();
    let gate = Gate::start(
        TempDir::new().unwrap(),
        upstream.address,
        &["--policies", path],
    );
    eventually("the log says which policies are whose", || {
        gate.log()
            .contains("by the interpreter alone: own")
            .then_some(())
    });
    eventually("a decision by the bytecode", || {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        let records = gate.records();
        let last = records
            .iter()
            .rev()
            .find(|record| record["kind"] == "decision")?;
        (last["evaluator"] == "bytecode").then_some(())
    });
    let other = TOKEN.replace("c3ea", "c3eb");
    let answer = gate.send("PUT", &other, GOOD);
    assert_eq!(answer.status, 403);
    assert!(answer.message().contains("not this one"), "{answer:?}");
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
}
