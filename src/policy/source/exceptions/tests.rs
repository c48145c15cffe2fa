use serde_json::json;

use super::*;
use crate::policy::decision::{Mode, Rule};
use crate::policy::input::tests::input;

const TOKEN: &str = "d5836312-5790-4e80-afcf-09971954c3ea";

fn one() -> Json {
    json!({
        "policy": "p", "token": TOKEN, "reason": "the migration", "ticket": "OPS-7", "until": "2027-01-31",
    })
}

fn read(entries: &Json) -> Result<Exceptions, Vec<String>> {
    let mut data = json!({"callers": [{"name": "payments"}]});
    data["exceptions"] = entries.clone();
    let mut said = Vec::new();
    let read = Exceptions::read(data.as_object().unwrap(), &["p", "q"], |_, why| {
        said.push(why);
    });
    if said.is_empty() { Ok(read) } else { Err(said) }
}

fn violation(policy: &str, mode: Mode, code: Option<&str>) -> Violation {
    let mut element = json!({"message": "no"});
    if let Some(code) = code {
        element["code"] = json!(code);
    }
    Violation::read(policy, mode, Rule::Deny, element).unwrap()
}

/// What becomes of a denial by `p`.
fn applied(exception: &Json, change: impl FnOnce(&mut Input)) -> Violation {
    let mut input = input();
    input.time = "2027-01-15T00:00:00Z".parse().unwrap();
    change(&mut input);
    let mut violation = violation("p", Mode::Enforce, Some("c"));
    read(&json!([exception]))
        .unwrap()
        .apply(&mut violation, &input);
    violation
}

fn with(members: &Json) -> Json {
    let mut exception = one();
    for (name, value) in members.as_object().unwrap() {
        exception[name] = value.clone();
    }
    exception
}

#[test]
fn what_an_exception_is_for_passes_and_says_so() {
    let violation = applied(&one(), |_| {});
    assert_eq!(violation.effect(), Effect::Warn);
    assert_eq!(
        violation.told(),
        "no (p; passes until 2027-02-01T00:00:00Z by exception OPS-7)"
    );
    let json = serde_json::to_value(&violation).unwrap();
    let told =
        json!({"ticket": "OPS-7", "reason": "the migration", "until": "2027-02-01T00:00:00Z"});
    assert_eq!(
        (&json["mode"], &json["exception"]),
        (&json!("enforce"), &told)
    );
}

#[test]
fn it_is_for_nothing_and_nobody_else() {
    let passes = |members: Json| applied(&with(&members), |_| {}).effect() == Effect::Warn;
    assert!(passes(
        json!({"code": "c", "environment": "prod", "from": "2027-01-15"})
    ));
    for other in [
        json!({"policy": "q"}),
        json!({"code": "d"}),
        json!({"token": "another"}),
        json!({"caller": "dt0c01.NOBODY"}),
        json!({"team": "payments"}),
        json!({"environment": "stage"}),
        json!({"from": "2027-01-16"}),
    ] {
        assert!(!passes(other.clone()), "{other}");
    }
    let without_token = applied(&one(), |input| input.token = None);
    assert_eq!(without_token.effect(), Effect::Deny);
    let in_team = applied(&with(&json!({"team": "payments"})), |input| {
        input.caller.teams = vec!["payments".to_owned()];
    });
    assert_eq!(in_team.effect(), Effect::Warn);
}

#[test]
fn one_that_has_ended_lets_nothing_pass_and_is_named() {
    let after = |input: &mut Input| input.time = "2027-02-01T00:00:00Z".parse().unwrap();
    let violation = applied(&one(), after);
    assert_eq!(violation.effect(), Effect::Deny);
    assert_eq!(
        violation.message,
        "no; the exception for this (OPS-7) ended at 2027-02-01T00:00:00Z"
    );
    // Another one goes on.
    let mut violation = tests::violation("p", Mode::Enforce, None);
    let mut input = input();
    after(&mut input);
    let both = json!([
        one(),
        with(&json!({"until": "2027-03-01", "ticket": "OPS-8"}))
    ]);
    let exceptions = read(&both).unwrap();
    exceptions.apply(&mut violation, &input);
    assert_eq!(violation.exception.unwrap().ticket, "OPS-8");
    let ended: Vec<_> = exceptions.ended(input.time).collect();
    assert_eq!(ended.len(), 1);
    assert!(ended[0].1.contains("OPS-7"), "{ended:?}");
}

#[test]
fn what_was_not_judged_and_what_passes_anyway_is_not_touched() {
    let exceptions = read(&json!([one()])).unwrap();
    let mut input = input();
    input.time = "2027-01-15T00:00:00Z".parse().unwrap();
    for untouched in [
        Violation::failed("p", Rule::Deny, "it broke"),
        Violation::not_looked_up("the upstream is silent"),
        violation("p", Mode::Warn, None),
        violation("p", Mode::DryRun, None),
    ] {
        let mut violation = untouched.clone();
        exceptions.apply(&mut violation, &input);
        assert_eq!(violation, untouched);
    }
}

#[test]
fn an_exception_without_an_end_or_for_everybody_is_refused() {
    let without = |name: &str| {
        let mut exception = one();
        exception.as_object_mut().unwrap().remove(name);
        exception
    };
    for (wrong, why) in [
        (json!({"policy": "p"}), "data.exceptions must be a list"),
        (json!(["p"]), "an exception is an object"),
        (json!([without("policy")]), "it needs policy"),
        (json!([without("reason")]), "it needs reason"),
        (json!([without("ticket")]), "it needs ticket"),
        (json!([with(&json!({"ticket": " "}))]), "it needs ticket"),
        (json!([without("until")]), "it has no end: write until"),
        (json!([without("token")]), "it is for everybody"),
        (
            json!([with(&json!({"policy": "pp"}))]),
            "there is no policy pp",
        ),
        (
            json!([with(&json!({"tokens": TOKEN}))]),
            "there is no member tokens",
        ),
        (
            json!([with(&json!({"resaon": "x"}))]),
            "there is no member resaon: did you mean reason?",
        ),
        (json!([with(&json!({"percent": 5}))]), "leave percent out"),
        (
            json!([with(&json!({"team": "paymants"}))]),
            "data.callers has no team paymants",
        ),
        (json!([with(&json!({"code": 7}))]), "it needs code, a text"),
        (json!([with(&json!({"until": "soon"}))]), "until is a date"),
        (
            json!([with(&json!({"from": "2027-03-01"}))]),
            "ends before it begins",
        ),
    ] {
        let said = read(&wrong).unwrap_err();
        assert!(said[0].contains(why), "{wrong}: {said:?}");
    }
    assert!(read(&json!(null)).is_ok() && read(&json!([])).is_ok());
}
