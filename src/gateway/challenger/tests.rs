use std::time::Duration;

use super::*;

fn challenger() -> (Challenger, Judging) {
    Challenger::new(Metrics::new("1.2.3"))
}

fn policy(text: &str) -> Policy {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tried.rego"), text).unwrap();
    Policy::load(directory.path(), Duration::from_millis(100)).unwrap()
}

const DENIES: &str = "package dtgate.tried\n\ndeny contains \"no\" if input.operation\n";

#[test]
fn the_queue_has_room_for_so_many_bytes_and_for_one_whatever_its_size() {
    let (challenger, _judging) = challenger();
    let first = challenger.room(MOST_BYTES + 1).unwrap();
    assert!(challenger.room(1).is_none());
    drop(first);
    let all: Vec<Held> = (0..4)
        .map(|_| challenger.room(MOST_BYTES / 4).unwrap())
        .collect();
    assert!(challenger.room(1).is_none());
    assert_eq!(challenger.0.pending.load(Relaxed), 4);
    drop(all);
    assert_eq!(challenger.0.pending.load(Relaxed), 0);
    assert_eq!(challenger.0.bytes.load(Relaxed), 0);
}

#[test]
fn operators_see_what_is_asked_and_what_is_refused() {
    let (challenger, _judging) = challenger();
    assert_eq!(challenger.told(), Value::Null);
    challenger.refuse("it is broken".to_owned());
    let told = challenger.told();
    assert_eq!(
        (&told["refused"], &told["error"]),
        (&json!(true), &json!("it is broken"))
    );
    assert_eq!(told["revision"], Value::Null);
    let policy = policy(DENIES);
    challenger.put(Some(policy.clone()), Timestamp::UNIX_EPOCH);
    let told = challenger.told();
    assert_eq!(told["revision"], policy.revision());
    assert_eq!(
        (&told["refused"], &told["error"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(told["decisions"]["would_deny"], 0);
    // What was loaded goes on.
    challenger.refuse("it is broken".to_owned());
    assert_eq!(challenger.told()["revision"], policy.revision());
    challenger.put(None, Timestamp::UNIX_EPOCH);
    assert_eq!(challenger.told(), Value::Null);
}

/// A reload changes what those in force say: beside others the challenger would differ in what it was never checked for.
#[test]
fn what_others_have_judged_than_those_it_was_checked_beside_is_not_asked() {
    let (challenger, _judging) = challenger();
    challenger.put(Some(policy(DENIES)), Timestamp::UNIX_EPOCH);
    assert!(challenger.is_beside(0) && !challenger.is_beside(1));
    challenger.checked_beside(1);
    assert!(challenger.is_beside(1) && !challenger.is_beside(0));
}

#[test]
fn what_differs_is_the_verdict_or_else_the_violations() {
    let said = |verdict, violations: &[(&str, Mode)]| Said {
        verdict,
        violations: violations
            .iter()
            .map(|(policy, mode)| ((*policy).to_owned(), *mode, None, None))
            .collect(),
    };
    let (allow, deny) = (Verdict::Allow, Verdict::Deny);
    let (enforce, dry_run) = (Mode::Enforce, Mode::DryRun);
    for (live, other, wanted) in [
        (said(allow, &[]), said(allow, &[]), Came::Same),
        (
            said(allow, &[]),
            said(deny, &[("a", enforce)]),
            Came::WouldDeny,
        ),
        (
            said(deny, &[("a", enforce)]),
            said(allow, &[]),
            Came::WouldAllow,
        ),
        (
            said(deny, &[("a", enforce)]),
            said(deny, &[("b", enforce)]),
            Came::Violations,
        ),
        (
            said(allow, &[("a", dry_run)]),
            said(allow, &[]),
            Came::Violations,
        ),
        (
            said(deny, &[("a", enforce)]),
            said(deny, &[("a", enforce)]),
            Came::Same,
        ),
    ] {
        assert_eq!(live.differs(&other), wanted);
    }
    for (number, came) in Came::ALL.iter().enumerate() {
        assert_eq!(*came as usize, number);
    }
}
