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

/// The same request with one member otherwise: once for each that has a shape, by its path.
pub(in super::super) fn with_one_member_otherwise(input: &Input) -> Vec<(String, Input)> {
    let paths = members().into_iter();
    let others: Vec<_> = paths
        .filter_map(|path| {
            let mut other = input.to_json();
            let mut here = &mut other;
            let mut sample = &*members::SAMPLE;
            for step in path.split('.').skip(1) {
                sample = &sample[step];
                if here.get(step).is_none() {
                    here[step] = sample.clone();
                }
                here = &mut here[step];
            }
            *here = match sample {
                _ if members::OPEN.contains(&&*path) => json!({"otherwise": "x"}),
                Json::Bool(_) => json!(*here != json!(true)),
                Json::Number(_) => json!(7),
                Json::String(_)
                    if ["input.change.expiration.at", "input.time"].contains(&&*path) =>
                {
                    json!("2033-01-01T00:00:00.000Z")
                }
                Json::String(_) => json!("otherwise"),
                Json::Array(_) => json!(["otherwise"]),
                _ => return None,
            };
            let read = serde_json::from_value(other);
            Some((
                path.clone(),
                read.unwrap_or_else(|error| panic!("{path}: {error}")),
            ))
        })
        .collect();
    assert!(others.len() > 40, "{}", others.len());
    others
}

#[test]
fn whether_a_failed_lookup_matters_goes_by_what_is_said_of_it() {
    let mut disables = input();
    disables.change.name = Wish::default();
    disables.change.scopes = Scopes::default();
    disables.change.enabled.requested = Some(false);
    let token = disables.token.as_mut().unwrap();
    token.lookup_error = Some(text("no answer"));
    assert!(disables.only_disables());
    let mut found = Vec::new();
    for (path, other) in with_one_member_otherwise(&disables) {
        let says = |it: &Input| (it.lookup_error().is_some(), it.only_disables());
        if says(&other) != says(&disables) {
            found.push(path);
        }
    }
    found.sort();
    let mut said = ONLY_DISABLES.to_vec();
    said.sort_unstable();
    assert_eq!(found, said);
    let read = |input: Option<&Input>| lookup_failed_by(input).count();
    assert_eq!(
        (read(None), read(Some(&disables)), read(Some(&input()))),
        (7, 7, 1)
    );
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
