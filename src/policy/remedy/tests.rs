use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::super::input::tests::{text as text_of, texts};
use super::super::{Engine, bundle::Bundle, bundle::tests::directory};
use super::*;

const POLICY: &str = r#"package dtgate.rules

deny contains {"message": "no", "path": sprintf("scopes[%d]", [i])} if {
	some i, scope in input.change.scopes.requested
	startswith(scope, "bad")
}

deny contains {"message": "name", "path": "name"} if input.change.name.requested == "bad"

deny contains {"message": "many", "path": "scopes"} if {
	count(input.change.scopes.requested) > 5
}

deny contains {"message": "alone", "path": "scopes[0]"} if input.change.scopes.requested == ["lonely"]
"#;

fn engine() -> Engine {
    let bundle = Bundle::load(directory(&[("rules.rego", POLICY)]).path()).unwrap();
    Engine::new(bundle, Duration::from_secs(5))
}

fn input(operation: &str, name: Option<&str>, scopes: Option<&[&str]>) -> Input {
    let mut input = crate::policy::input::tests::input();
    input.operation = operation.to_owned();
    if operation == "token.create" {
        input.token = None;
    }
    input.change.name.requested = name.map(text_of);
    input.change.scopes.requested = scopes.map(texts);
    input
}

fn text(engine: &Engine, input: &Input) -> Option<String> {
    let decision = engine.decide(input);
    Some(find(input, &decision, |less| engine.decide(less))?.text)
}

#[test]
fn the_largest_part_that_passes_is_named() {
    let engine = engine();
    for (operation, name, scopes, told) in [
        (
            "token.update",
            None,
            Some(&["a", "bad", "b"][..]),
            "2 of 3 scopes are fine; leave out bad, and the request passes",
        ),
        (
            "token.create",
            Some("n"),
            Some(&["bad", "a"]),
            "1 of 2 scopes is fine; leave out bad, and the request passes",
        ),
        (
            "token.update",
            Some("bad"),
            Some(&["a"]),
            "leave out the name, and the request passes",
        ),
        (
            "token.update",
            Some("n"),
            Some(&["bad"]),
            "leave out bad, and the request passes",
        ),
        (
            "token.update",
            Some("bad"),
            Some(&["bad1", "a", "bad2"]),
            "1 of 3 scopes is fine; leave out bad1, bad2 and the name, and the request passes",
        ),
        (
            "token.update",
            None,
            Some(&["bad1", "bad2", "a", "b", "c", "d"]),
            "4 of 6 scopes are fine; leave out bad1 and bad2, and the request passes",
        ),
    ] {
        assert_eq!(
            text(&engine, &input(operation, name, scopes)).as_deref(),
            Some(told)
        );
    }
}

#[test]
fn what_no_part_of_the_request_can_mend_is_not_promised() {
    let engine = engine();
    for (operation, name, scopes) in [
        // A new token needs a name and scopes.
        ("token.create", Some("bad"), Some(&["a"][..])),
        ("token.create", Some("n"), Some(&["bad"])),
        // Nothing would be left of it.
        ("token.update", None, Some(&["bad"])),
        ("token.update", Some("bad"), None),
        // Which of the scopes are too many, nobody said.
        ("token.update", None, Some(&["a", "b", "c", "d", "e", "f"])),
        (
            "token.update",
            None,
            Some(&["bad", "a", "b", "c", "d", "e", "f"]),
        ),
    ] {
        assert_eq!(
            text(&engine, &input(operation, name, scopes)),
            None,
            "{scopes:?}"
        );
    }
    let allowed = input("token.update", Some("n"), Some(&["a"]));
    assert_eq!(text(&engine, &allowed), None);
}

#[test]
fn what_falls_to_another_objection_is_looked_at_again() {
    let request = input("token.update", Some("n"), Some(&["bad", "lonely"]));
    assert_eq!(
        text(&engine(), &request).as_deref(),
        Some("leave out bad and lonely, and the request passes")
    );
}

#[test]
fn what_is_left_out_of_the_kept_is_removed() {
    let mut change = Change::default();
    let list = |list: &[&str]| Some(texts(list));
    change.scopes.requested = list(&["a", "b", "c"]);
    change.scopes.current = list(&["b", "c", "d"]);
    change.scopes.added = list(&["a"]);
    change.scopes.kept = list(&["b", "c"]);
    change.scopes.removed = list(&["d"]);
    change.differs = Some(vec!["scopes".to_owned()]);
    let mut less = change.clone();
    less.without(&BTreeSet::from(["a", "b"].map(text_of)));
    assert_eq!(less.scopes.requested, list(&["c"]));
    assert_eq!(less.scopes.added, list(&[]));
    assert_eq!(less.scopes.kept, list(&["c"]));
    assert_eq!(less.scopes.removed, list(&["d", "b"]));
    less.without(&BTreeSet::from(["c"].map(text_of)));
    less.differs_less();
    assert_eq!(less.scopes.requested, None);
    assert_eq!(less.scopes.kept, change.scopes.current);
    assert_eq!(less.scopes.removed, list(&[]));
    assert_eq!(less.differs, Some(Vec::new()));
}

#[test]
fn a_long_list_is_cut() {
    let names: Vec<String> = (0..9).map(|number| format!("bad{number}")).collect();
    let mut scopes: Vec<&str> = names.iter().map(String::as_str).collect();
    scopes.push("a");
    let told = text(&engine(), &input("token.update", None, Some(&scopes))).unwrap();
    assert_eq!(
        told,
        "1 of 10 scopes is fine; leave out bad0, bad1, bad2, bad3, bad4, bad5 and 3 more scopes, and the request passes"
    );
}

#[test]
fn what_could_steer_a_terminal_is_escaped() {
    let long = format!("bad{}", "x".repeat(100));
    let told = text(
        &engine(),
        &input("token.update", Some("n"), Some(&["bad\u{202e}", &long])),
    )
    .unwrap();
    assert_eq!(
        told,
        format!(
            "leave out \"bad\\u{{202e}}\" and \"bad{}\", and the request passes",
            "x".repeat(57)
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_remedy_that_is_offered_is_allowed_when_it_is_taken(
        creates in any::<bool>(),
        name in prop::option::of(prop::sample::select(vec!["n", "bad"])),
        scopes in prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b", "bad", "badder", "lonely"]), 0..8)),
    ) {
        let engine = engine();
        let operation = if creates { "token.create" } else { "token.update" };
        let asked = input(operation, name, scopes.as_deref());
        let decision = engine.decide(&asked);
        if let Some(remedy) = find(&asked, &decision, |less| engine.decide(less)) {
            prop_assert_eq!(decision.verdict, Verdict::Deny);
            let mut taken = asked.clone();
            if remedy.members.contains(&"the name") {
                taken.change.name.requested = None;
            }
            taken.change.without(&remedy.scopes.iter().cloned().collect());
            prop_assert_eq!(engine.decide(&taken).verdict, Verdict::Allow, "{:?}", json!(remedy));
        }
    }
}
