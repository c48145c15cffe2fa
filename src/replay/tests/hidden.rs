//! What is hidden of records, or gone: nothing is judged by it, and nothing is left out in silence.

use super::*;
use crate::audit::pseudonym::Differing;

const CLAIM: &str = "https://acme.example/person";

/// A decision about somebody with such a claim, and what a mask or a pseudonym has made of it.
fn with_claim(policy: &Policy, list: &str, place: &str) -> Value {
    let jwt = json!({"issuer": "https://ci", "claims": {CLAIM: "jane"}});
    let caller = json!({
        "address": "10.1.2.3", "token": {"id": "dt0c01.AAAA", "kind": "api-token"}, "teams": [], "jwt": jwt,
    });
    let mut record = decided(policy, &input(json!({"caller": caller})));
    let claims = record.pointer_mut("/input/caller/jwt/claims").unwrap();
    match list {
        "erased" => drop(claims.as_object_mut().unwrap().remove(CLAIM)),
        _ => claims[CLAIM] = json!("hmac-sha256:v1:00000000000000000000000000000000"),
    }
    record[list] = json!([place]);
    record
}

#[test]
fn a_claim_whose_name_has_dots_and_slashes_may_be_hidden() {
    let policy = of(&format!(
        "deny contains \"no\" if input.caller.jwt.claims[\"{CLAIM}\"] != \"jane\""
    ));
    let other = of("deny contains \"no\" if input.caller.jwt.claims.other == \"x\"");
    let escaped = CLAIM.replace('/', "~1");
    let below = "/input/caller/jwt/claims";
    for (list, place) in [
        ("pseudonyms", format!("{below}/{escaped}")),
        ("masked", format!("{below}/{escaped}")),
        ("erased", format!("{below}/{escaped}")),
        // As earlier builds have written it.
        ("pseudonyms", format!("{below}/{CLAIM}")),
        // The name itself became one.
        (
            "erased",
            format!("{below}/hmac-sha256:v1:00000000000000000000000000000000"),
        ),
    ] {
        let record = with_claim(&policy, list, &place);
        let report = Journal::of([record.clone()]).by(&policy, &[], 1);
        assert_eq!(report.unreplayed(), 1, "{list} {place}: {report:#?}");
        // Whoever reads another claim can judge, as long as that is certain.
        if !place.contains("hmac") {
            let report = Journal::of([record]).by(&other, &[], 1);
            assert_eq!((report.replayed, report.same), (1, 1), "{list} {place}");
        }
    }
}

#[test]
fn a_decision_of_which_masks_hide_whether_it_is_wanted_is_counted() {
    let policy = of("deny contains \"never\" if false");
    let about = |id: &str| {
        let input = json!({"operation": "token.update", "token": {"id": id}});
        decided(&policy, &self::input(input))
    };
    let hidden = |places: &[&str], id: &str| {
        let mut record = about("dt0c01.BBBB");
        record["input"]["token"]["id"] = json!("hidden");
        record["request"] = json!({"path": format!("/api/v2/apiTokens/{id}")});
        record["masked"] = json!(places);
        record
    };
    let journal = Journal::of([
        about("dt0c01.BBBB"),
        about("dt0c01.CCCC"),
        // The path tells it.
        hidden(&["/input/token/id"], "dt0c01.BBBB"),
        hidden(&["/input/token/id"], "dt0c01.CCCC"),
        hidden(&["/input/token/id", "/request/path"], "x"),
    ]);
    let report = journal.by(&policy, &["token=dt0c01.BBBB"], 1);
    assert_eq!((report.decisions, report.replayed), (3, 2), "{report:#?}");
    assert_eq!(report.perhaps_wanted(), 1);
    // Another condition says no.
    let report = journal.by(&policy, &["token=dt0c01.BBBB", "team=other"], 1);
    assert_eq!((report.decisions, report.perhaps_wanted()), (0, 0));
    let mut caller = about("dt0c01.BBBB");
    caller["caller"]["teams"] = json!(["hidden"]);
    caller["masked"] = json!(["/caller/teams/0"]);
    let journal = Journal::of([caller]);
    for (condition, wanted) in [
        ("team=payments", 1),
        ("team=other", 1),
        ("operation=token.create", 0),
    ] {
        let report = journal.by(&policy, &[condition], 1);
        let sure = u64::from(condition == "team=payments");
        assert_eq!(report.decisions, wanted, "{condition}");
        assert!(
            report.perhaps_wanted() <= wanted - sure.min(wanted),
            "{condition}"
        );
    }
}

#[test]
fn lines_that_are_gone_within_a_segment_and_at_the_end_are_told() {
    let policy = of("deny contains \"never\" if false");
    let journal = tempfile::tempdir().unwrap();
    let segment = |name: u64, lines: &[String]| {
        let path = journal.path().join(format!("{name:020}.jsonl"));
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    };
    let line = |seq: u64| format!("{{\"seq\":{seq},\"kind\":\"stop\"}}");
    let head = |seq: u64| {
        let hash = crate::value::Sha256Hex::of(b"");
        let head = format!("{seq:020}:{} {seq:020}\n", hash.as_str());
        std::fs::write(journal.path().join("head"), head).unwrap();
    };
    let told = || {
        let options = Options {
            wanted: Wanted::default(),
            examples: 0,
            jobs: 1,
        };
        let report = replay(journal.path(), &policy, &options).unwrap();
        (report.missing.clone(), report.cut, report.has_gaps())
    };
    segment(1, &[1, 2, 3].map(line));
    assert_eq!(told(), (vec![], None, false));
    head(3);
    assert_eq!(told(), (vec![], None, false));
    head(20);
    assert_eq!(told(), (vec![], Some((3, 20)), true));
    head(9);
    segment(1, &[1, 2, 5].map(line));
    segment(6, &[7, 8, 9].map(line));
    assert_eq!(told(), (vec![(3, 4), (6, 6)], None, true));
    // What is no record stands in its place.
    segment(
        1,
        &[
            line(1),
            "{\"seq\":2,\"ki".to_owned(),
            "no".to_owned(),
            line(4),
            line(5),
        ],
    );
    segment(6, &[6, 7, 8, 9].map(line));
    assert_eq!(told(), (vec![], None, false));
}

#[test]
fn a_key_that_only_a_record_of_a_deletion_tells_of_is_missed() {
    let policy = of("deny contains \"never\" if false");
    let pruned = json!({
        "kind": "pruned", "timestamp": TIME, "first": 1, "last": 3, "hash": "0".repeat(64), "segments": 1,
        "oldest": TIME, "newest": TIME, "reason": "max_age", "in_doubt": [], "in_doubt_count": 0, "keys": [],
        "pseudonyms": [{"fields": ["caller.token.id"], "key": "v3", "fingerprint": "ab"}],
    });
    let report = Journal::of([pruned]).by(&policy, &[], 1);
    let versions = [1, 2, 3].map(|version| Differing::Key {
        version,
        is_replaced: false,
    });
    assert_eq!(report.missing_keys, versions);
}
