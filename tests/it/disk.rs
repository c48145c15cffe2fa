//! What happens when nothing more fits on the disk: no change without a record, everything else goes on,
//! and it ends when there is space again.
//!
//! The full disk is a limit on the size of files that the running program is given and freed of, which
//! fails writes the same way.

use rustix::process::Resource;
use serde_json::json;

use crate::harness::{GOOD, TOKEN, Upstream, eventually, gate, verify};

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn a_full_disk_refuses_changes_lets_the_rest_pass_and_heals_without_a_restart() {
    let upstream = Upstream::lenient();
    let mut gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.ready().status, 200);
    let before = gate.records();
    gate.limit(Resource::Fsize, Some(0));

    for _ in 0..3 {
        let answer = gate.send("PUT", TOKEN, GOOD);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], 500);
        let message = answer.message();
        assert!(
            message.contains("the journal cannot be written"),
            "{message}"
        );
        assert!(message.contains("was not sent to Dynatrace"), "{message}");
        // A request that is refused anyway is no exception.
        assert_eq!(gate.send("PUT", TOKEN, "{").status, 500);
        let open = gate.send("GET", "/api/v2/metrics", "");
        assert_eq!(open.status, 204, "{open:?}");
        let ready = gate.ready();
        assert_eq!(ready.status, 503, "{ready:?}");
        assert_eq!(ready.json()["ready"], false);
        let checks = ready.json()["checks"].clone();
        let mut checks = checks.as_array().unwrap().iter();
        let journal = checks.find(|check| check["name"] == "journal").unwrap();
        let reason = journal["detail"].as_str().unwrap();
        assert!(reason.contains("too large"), "{reason}");
    }
    assert_eq!(changes(&upstream), 1, "a change went upstream unrecorded");
    assert_eq!(gate.records(), before);

    gate.limit(Resource::Fsize, None);
    // Nobody has to send anything for it to heal.
    eventually("ready again", || (gate.ready().status == 200).then_some(()));
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(changes(&upstream), 2);
    gate.signal("TERM");
    assert!(gate.wait().success());
    verify(&gate.journal());
    let records = gate.records();
    assert_eq!(records[..before.len()], before);
    let after: Vec<&str> = records[before.len()..]
        .iter()
        .map(|record| record["kind"].as_str().unwrap())
        .collect();
    assert_eq!(after, ["recovery", "decision", "outcome", "stop"]);
    assert_eq!(records[before.len()]["refused_events"], 6);
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn a_record_that_fits_only_in_part_is_cut_off_again() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let segment = gate.journal().join("00000000000000000001.jsonl");
    let length = std::fs::metadata(&segment).unwrap().len();
    let before = gate.records();
    gate.limit(Resource::Fsize, Some(length + 100));
    let answer = gate.send("PUT", TOKEN, GOOD);
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(changes(&upstream), 0);

    gate.limit(Resource::Fsize, None);
    eventually("ready again", || (gate.ready().status == 200).then_some(()));
    assert!(gate.records().starts_with(&before), "not cut");
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    verify(&gate.journal());
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn a_gate_told_to_end_in_trouble_leaves_a_chain_that_holds() {
    for space_is_back in [true, false] {
        let upstream = Upstream::lenient();
        let mut gate = gate(upstream.address);
        let segment = gate.journal().join("00000000000000000001.jsonl");
        let length = std::fs::metadata(&segment).unwrap().len();
        gate.limit(Resource::Fsize, Some(length + 100));
        let answer = gate.send("PUT", TOKEN, GOOD);
        assert_eq!(answer.status, 500, "{answer:?}");
        gate.limit(Resource::Fsize, (!space_is_back).then_some(0));
        gate.signal("TERM");
        assert!(gate.wait().success());
        verify(&gate.journal());
        let last = gate.records().pop().unwrap();
        assert_eq!(last["kind"] == "stop", space_is_back, "{last}");
    }
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn an_outcome_that_cannot_be_recorded_leaves_the_decision_in_doubt_and_the_answer_true() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let held = std::sync::Mutex::new((arrived, released));
    let upstream = Upstream::answering(move |_| {
        let held = held.lock().unwrap();
        held.0.send(()).unwrap();
        held.1.recv().unwrap();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = gate(upstream.address);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| gate.send("PUT", TOKEN, GOOD));
        arrivals.recv().unwrap();
        gate.limit(Resource::Fsize, Some(0));
        release.send(()).unwrap();
        assert_eq!(client.join().unwrap().status, 204);
    });
    let decision = gate.records().pop().unwrap();
    assert_eq!(decision["kind"], "decision");
    gate.limit(Resource::Fsize, None);
    eventually("ready again", || (gate.ready().status == 200).then_some(()));
    let report = verify(&gate.journal());
    assert_eq!(report["in_doubt"], json!([decision["decision_id"]]));
}

fn changes(upstream: &Upstream) -> usize {
    let seen = upstream.seen();
    seen.iter()
        .filter(|seen| seen.line.starts_with("PUT"))
        .count()
}
