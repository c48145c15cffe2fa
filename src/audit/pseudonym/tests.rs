use proptest::prelude::*;
use serde_json::json;

use super::*;

const SEEN: &str = "10.1.2.3";

fn pseudonyms(fields: &[&str]) -> (tempfile::TempDir, Pseudonyms) {
    let journal = tempfile::tempdir().unwrap();
    let fields = fields
        .iter()
        .map(|name| Field::try_from((*name).to_owned()).unwrap());
    let config = Config {
        fields: fields.collect(),
    };
    let made = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    (journal, made)
}

fn applied(pseudonyms: &Pseudonyms, event: &Value) -> Value {
    let record = pseudonyms.apply(Record::of(event, 0));
    serde_json::from_slice(record.as_json()).unwrap()
}

#[test]
fn a_value_is_replaced_wherever_it_stands_and_the_evidence_stays() {
    let (journal, pseudonyms) = pseudonyms(&["caller.address"]);
    let event = json!({
        "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "deny", "requested_by": SEEN,
        "input": {"caller": {"address": SEEN}, "unknown_members": {SEEN: 1}},
        "result": {"violations": [{"message": format!("{SEEN} may not, and {SEEN}4 may; ask 1{SEEN}")}]},
        "request": {"id": SEEN, "path": format!("/api/{SEEN}/x")},
    });
    let name = names(journal.path(), SEEN).unwrap().remove(0);
    assert!(
        name.starts_with("hmac-sha256:v1:") && name.len() == 15 + 32,
        "{name}"
    );
    assert_eq!(
        applied(&pseudonyms, &event),
        json!({
            "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "deny", "requested_by": name,
            "input": {"caller": {"address": name}, "unknown_members": {&name: 1}},
            "result": {"violations": [{"message": format!("{name} may not, and {SEEN}4 may; ask 1{SEEN}")}]},
            "request": {"id": SEEN, "path": format!("/api/{name}/x")},
            "pseudonyms": [
                "/requested_by", "/input/caller/address", "/input/unknown_members", "/result/violations/0/message",
                "/request/path",
            ],
        })
    );
}

#[test]
fn callers_of_sums_and_of_refusals_are_covered() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.token.id", "caller.jwt.subject"]);
    let caller = json!({"id": "dt0c01.AAAA", "jwt": {"issuer": "https://ci", "subject": "jane"}});
    for event in [
        json!({"kind": "decision", "caller": caller}),
        json!({"kind": "suppressed", "callers": [{"requested_by": SEEN, "caller": caller}]}),
        json!({"kind": "unseen", "caller": caller, "requested_by": SEEN}),
    ] {
        let written = applied(&pseudonyms, &event).to_string();
        assert!(
            !written.contains("dt0c01.AAAA") && !written.contains("jane"),
            "{written}"
        );
        assert!(written.contains("https://ci"), "{written}");
        assert_eq!(written.contains(SEEN), event.to_string().contains(SEEN));
    }
}

#[test]
fn a_record_without_such_values_stays_byte_for_byte() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.address"]);
    let record = Record::of(
        &json!({"kind": "outcome", "detail": SEEN, "caller": {"id": "x"}}),
        0,
    );
    assert_eq!(pseudonyms.apply(record.clone()).as_json(), record.as_json());
}

#[test]
fn every_version_of_the_key_finds_a_value_again() {
    let (journal, first) = pseudonyms(&["caller.address"]);
    assert_eq!(rotate(journal.path()).unwrap(), 2);
    let config = Config {
        fields: first.fields.clone(),
    };
    let second = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    let event = json!({"requested_by": SEEN});
    let written = [&first, &second].map(|it| {
        applied(it, &event)["requested_by"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(names(journal.path(), SEEN).unwrap(), written);
    assert!(
        written[0].contains(":v1:") && written[1].contains(":v2:"),
        "{written:?}"
    );
    assert_ne!(
        written[0].replace(":v1:", ""),
        written[1].replace(":v2:", "")
    );
}

#[test]
fn fields_that_do_not_exist_are_refused() {
    for name in [
        "",
        "caller",
        "caller.adress",
        "seq",
        "caller.jwt.claims.",
        "change.name",
    ] {
        let refused = Field::try_from(name.to_owned()).unwrap_err().to_string();
        assert!(refused.contains("caller.address"), "{refused}");
    }
    assert!(Field::try_from("caller.jwt.claims.example.com/email".to_owned()).is_ok());
}

proptest! {
    #[test]
    fn no_value_of_the_field_is_left(
        // No digits of a pseudonym.
        subject in "[g-z@.:/ é-]{1,12}",
        before in "[ .,:(]{0,3}",
        behind in "[ .,:)]{0,3}",
    ) {
        prop_assume!(!"hmac-sha256:v1:/input/caller/jwt/subject/0/message/result/violations/x".contains(subject.trim()));
        prop_assume!(subject.trim() == subject && !subject.chars().all(|c| !c.is_alphanumeric()));
        let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.subject"]);
        let event = json!({
            "input": {"caller": {"jwt": {"subject": subject}}},
            "result": {"violations": [{"message": format!("x{before}{subject}{behind}x")}, {&subject: [&subject]}]},
        });
        let isolated = (!before.is_empty() || !subject.starts_with(char::is_alphanumeric))
            && (!behind.is_empty() || !subject.ends_with(char::is_alphanumeric));
        prop_assume!(isolated);
        let written = applied(&pseudonyms, &event);
        prop_assert!(!written["input"].to_string().contains(&subject));
        prop_assert!(!written["result"].to_string().contains(&subject), "{written}");
    }
}
