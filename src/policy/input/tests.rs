use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::dynatrace::redact::Redactor;
use crate::policy::trust::sample::Sampler;

/// The request of the seed: 1 scope, API v1.
pub(in super::super) fn input() -> Input {
    serde_json::from_value(json!({
        "operation": "token.update",
        "api": "v1",
        "environment": {"name": "prod", "id": "abc12345"},
        "caller": {
            "address": "10.1.2.3",
            "token": {"id": "dt0c01.ST2EY72KQINMH574WMNVI7YN", "kind": "api-token"},
        },
        "token": {"id": "d5836312-5790-4e80-afcf-09971954c3ea", "known": false},
        "change": {
            "name": {"requested": "payments-prod-ci"},
            "enabled": {},
            "scopes": {"requested": ["ReadConfig"]},
            "expiration": {},
            "personal": {},
        },
        "time": "2026-11-24T10:00:00.000Z",
    }))
    .unwrap()
}

/// Text as a record has it.
pub(in super::super) fn text(text: &str) -> Redacted {
    Redactor::default().text(text)
}

pub(in super::super) fn texts(texts: &[&str]) -> Vec<Redacted> {
    texts.iter().map(|each| text(each)).collect()
}

#[test]
fn a_document_read_back_is_the_same_document() {
    let input = input();
    let text = input.to_json().to_string();
    assert!(
        text.contains(r#""time":"2026-11-24T10:00:00.000Z""#),
        "{text}"
    );
    assert!(!text.contains("parsed_body"));
    assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
}

#[test]
fn engine_and_journal_see_the_same_document() {
    let mut input = input();
    let large = json!({"large": [u64::MAX, i64::MIN, 1.5, null, {"a": true}]});
    input.unknown_members = Redactor::default().members(large.as_object().unwrap());
    let rego = serde_json::to_value(input.to_rego()).unwrap();
    assert_eq!(rego, input.to_json());
}

#[test]
fn the_engines_own_value_is_the_document_whatever_is_in_it() {
    let words = BTreeSet::from(["metrics.read".to_owned(), "WriteConfig".to_owned()]);
    let reads = [
        "parsed_body",
        "unknown_members",
        "environment",
        "attributes",
    ]
    .map(|member| {
        let steps = ["input", member, "data", "name", "x"];
        steps.map(|step| Some(step.to_owned())).to_vec()
    });
    let reads = BTreeSet::from(reads);
    let mut sampler = Sampler::new(&words, &reads, 1);
    for _ in 0..2000 {
        let input = sampler.input();
        assert_eq!(input.to_rego(), to_rego(&input.to_json()));
    }
}

#[test]
fn now_is_the_time_in_the_document() {
    let mut input = input();
    input.time = "2026-11-24T10:00:00.123456789Z".parse().unwrap();
    assert_eq!(input.now_ns() % 1_000_000_000, 123_000_000);
}

#[test]
fn only_members_that_exist_can_be_named() {
    let message = |path: &str| {
        let steps: Vec<_> = path
            .split('.')
            .map(|step| (step != "*").then_some(step))
            .collect();
        missing(&steps).map(|missing| missing.message)
    };
    for known in [
        "input",
        "input.change.scopes.requested.*",
        "input.change.*.anything",
        "input.unknown_members.whatever.else",
        "input.parsed_body.scopes",
        "input.token.current.name",
        "input.attributes.source.address.socketAddress.address",
    ] {
        assert_eq!(message(known), None, "{known}");
    }
    assert_eq!(
        message("input.change.scope.requested").unwrap(),
        "the input document has no member input.change.scope: did you mean input.change.scopes?"
    );
    assert!(
        message("input.operation.name")
            .unwrap()
            .contains("plain value")
    );
    assert!(
        message("input.change.scopes.requested.first")
            .unwrap()
            .contains("is a list")
    );
    assert!(
        message("input.token.current.scope")
            .unwrap()
            .contains("did you mean input.token.current.scopes?")
    );
    assert!(!message("input.zzz").unwrap().contains("did you mean"));
}

#[test]
fn the_list_of_members_is_complete() {
    let members = members();
    assert!(members.contains(&"input.change.personal.requested".to_owned()));
    assert!(members.contains(&"input.truncated_body".to_owned()));
    assert_eq!(members.len(), 83, "{members:#?}");
}
