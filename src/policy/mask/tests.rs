use serde_json::json;

use super::super::bundle::tests::{directory, problems};
use super::*;
use crate::policy::{LoadError, Policy};

const JUDGING: &str = "package dtgate.a\n\ndeny contains \"no\" if input.operation == \"x\"\n";

fn policy(rules: &str) -> Result<Policy, LoadError> {
    let rules = format!("package system.log\n\n{rules}\n");
    let files = directory(&[("a.rego", JUDGING), ("log.rego", &rules)]);
    Policy::load(files.path(), Duration::from_millis(200))
}

fn apply(rules: &str, event: &Json) -> Result<Masked, MaskError> {
    let policy = policy(rules).unwrap();
    let mask = policy.mask().unwrap();
    mask.apply(
        event.as_object().unwrap().clone(),
        jiff::Timestamp::UNIX_EPOCH,
    )
}

fn masked(rules: &str, event: &Json) -> Json {
    apply(rules, event).unwrap().event.into()
}

fn event() -> Json {
    json!({
        "kind": "decision", "decision_id": "1", "timestamp": "t", "labels": {"version": "1"}, "verdict": "allow",
        "input": {
            "name": "bob", "resource": "user", "operation": "make", "password": "s3cr3t", "ssn": null, "tags": ["a", "b", "c"],
            "cards": [{"number": "1"}, {"number": "2"}], "my key": 1, "a/b": 2, "c~d": 3, "e%20f": 4,
        },
        "result": {"allow": true, "violations": [{"message": "m"}]},
        "requested_by": "10.1.2.3",
    })
}

#[test]
fn the_examples_of_opas_documentation_do_what_it_says() {
    let now = masked(
        "mask contains \"/input/password\" if input.input.resource == \"user\"",
        &event(),
    );
    assert_eq!(now["input"].get("password"), None);
    assert_eq!(now["erased"], json!(["/input/password"]));
    let rules = "mask contains {\"op\": \"upsert\", \"path\": \"/input/password\", \"value\": \"**REDACTED**\"} if {\n\
                 \tinput.input.password\n}\n\nmask contains \"/input/ssn\"\n\n\
                 mask contains {\"op\": \"remove\", \"path\": \"/input/missing\"}";
    let now = masked(rules, &event());
    assert_eq!(now["input"]["password"], "**REDACTED**");
    assert_eq!(now["input"].get("ssn"), None);
    assert_eq!(
        (&now["erased"], &now["masked"]),
        (&json!(["/input/ssn"]), &json!(["/input/password"]))
    );
    let now = masked(
        "mask := [{\"op\": \"upsert\", \"path\": \"/input/new/deep\", \"value\": null}]",
        &event(),
    );
    assert_eq!(now["input"]["new"], json!({"deep": null}));
}

#[test]
fn a_key_is_found_however_it_is_written() {
    for (path, key) in [
        ("/input/my key", "my key"),
        ("/input/my%20key", "my key"),
        ("/input/a~1b", "a/b"),
        ("/input/a%2Fb", "a/b"),
        ("/input/c~0d", "c~d"),
        ("/input/c~d", "c~d"),
        ("/input/e%20f", "e%20f"),
    ] {
        let now = masked(&format!("mask contains \"{path}\""), &event());
        assert_eq!(now["input"].get(key), None, "{path}");
        assert_eq!(now["erased"], json!([path]), "{path}");
        let put =
            format!("mask contains {{\"op\": \"upsert\", \"path\": \"{path}\", \"value\": \"-\"}}");
        assert_eq!(masked(&put, &event())["input"][key], "-", "{path}");
    }
}

#[test]
fn places_in_lists_mean_the_list_as_it_was() {
    let now = masked(
        "mask contains sprintf(\"/input/tags/%d\", [i]) if some i in [0, 2]",
        &event(),
    );
    assert_eq!(now["input"]["tags"], json!(["b"]));
    let now = masked(
        "mask contains sprintf(\"/input/cards/%d/number\", [i]) if some i, _ in input.input.cards",
        &event(),
    );
    assert_eq!(now["input"]["cards"], json!([{}, {}]));
    let both = "mask contains path if some path in [\"/input/cards/0\", \"/input/cards/0/number\", \"/input/cards/1/number\"]";
    assert_eq!(masked(both, &event())["input"]["cards"], json!([{}]));
    let now = masked("mask contains \"/input/tags/9\"", &event());
    assert_eq!(now, event());
}

#[test]
fn what_the_evidence_needs_stays() {
    for path in [
        "/kind",
        "/seq",
        "/prev",
        "/decision_id",
        "/timestamp",
        "/verdict",
        "/labels/version",
        "/bundles",
        "/request/id",
        "/request",
        "/result",
        "/result/allow",
        "/operation",
        "",
        "input/password",
        "/",
        "//input",
    ] {
        let refused = apply(&format!("mask contains \"{path}\""), &event()).unwrap_err();
        assert!(
            matches!(refused, MaskError::Unusable(_)),
            "{path}: {refused}"
        );
    }
    for path in [
        "/requested_by",
        "/input",
        "/result/violations/0/message",
        "/request/path",
        "/caller/id",
        "/error",
    ] {
        assert!(
            apply(&format!("mask contains \"{path}\""), &event()).is_ok(),
            "{path}"
        );
    }
}

#[test]
fn what_cannot_be_done_gives_no_event_and_says_nothing_of_it() {
    for rules in [
        "mask contains 1",
        "mask contains {\"op\": \"hide\", \"path\": \"/input/password\"}",
        "mask contains {\"op\": \"upsert\", \"path\": \"/input/password\"}",
        "mask contains {\"op\": \"remove\"}",
        "mask contains {\"op\": \"remove\", \"path\": \"/input/a\", \"if\": 1}",
        "mask contains {\"op\": \"upsert\", \"path\": \"/requested_by\", \"value\": 1}",
        "mask contains {\"op\": \"upsert\", \"path\": \"/input/name/first\", \"value\": 1}",
        "mask contains \"/input/*\"",
        "mask contains \"/input/tags/*\"",
        "mask := {\"/input/password\": true}",
        "mask := true",
        "mask := [\"/input/password\"] if input.input.nothing",
        "mask contains \"/input/password\" if to_number(input.input.password) == 1",
        "mask contains \"/input/password\" if {\n\tsome a in numbers.range(1, 40000)\n\tsome b in numbers.range(1, 40000)\n\ta * b == -1\n}",
        "drop := \"yes\"",
    ] {
        let refused = apply(rules, &event()).map(|masked| masked.event);
        let refused = refused.expect_err(rules).to_string();
        assert!(!refused.contains("s3cr3t"), "{rules}: {refused}");
    }
}

#[test]
fn drop_is_told_and_the_event_is_masked_all_the_same() {
    let rules = "drop if input.input.resource == \"user\"\n\nmask contains \"/input/password\"";
    let masked = apply(rules, &event()).unwrap();
    assert!(masked.drop);
    assert_eq!(masked.event["erased"], json!(["/input/password"]));
    assert!(
        !apply("drop if input.verdict == \"deny\"", &event())
            .unwrap()
            .drop
    );
    assert!(!apply("default drop := false", &event()).unwrap().drop);
}

#[test]
fn masks_are_no_policies_and_change_the_revision() {
    let with = policy("mask contains \"/input/password\"").unwrap();
    assert_eq!(with.names().collect::<Vec<_>>(), ["a"]);
    let files = directory(&[("a.rego", JUDGING)]);
    let without = Policy::load(files.path(), Duration::from_secs(1)).unwrap();
    assert!(without.mask().is_none());
    assert_ne!(with.revision(), without.revision());
}

#[test]
fn masks_have_helpers_and_data_and_no_policies() {
    let lib = "package dtgate.lib\n\nhides(name) if name in data.hidden\n";
    let rules = "package system.log\n\nimport data.dtgate.lib\n\nmask contains sprintf(\"/input/%s\", [name]) if {\n\
                 \tsome name, _ in input.input\n\tlib.hides(name)\n}\n";
    let files = [
        ("a.rego", JUDGING),
        ("lib.rego", lib),
        ("log.rego", rules),
        ("data.json", r#"{"hidden": ["password"]}"#),
    ];
    let loaded = directory(&files);
    let policy = Policy::load(loaded.path(), Duration::from_secs(1)).unwrap();
    let event = event().as_object().unwrap().clone();
    let masked = policy
        .mask()
        .unwrap()
        .apply(event, jiff::Timestamp::UNIX_EPOCH)
        .unwrap();
    assert_eq!(masked.event["erased"], json!(["/input/password"]));
    let asks =
        "package system.log\n\nmask contains \"/input/x\" if count(data.dtgate.a.deny) > 0\n";
    let refused = problems(&[("a.rego", JUDGING), ("log.rego", asks)]);
    assert!(
        refused[0].contains("log.rego:3:") && refused[0].contains("cannot ask policies"),
        "{refused:?}"
    );
    let empty = problems(&[
        ("a.rego", JUDGING),
        ("log.rego", "package system.log\n\nmasks := 1\n"),
    ]);
    assert!(empty[0].contains("mask and for drop"), "{empty:?}");
    let broken = problems(&[
        ("a.rego", JUDGING),
        (
            "log.rego",
            "package system.log\n\nmask contains nothing(1)\n",
        ),
    ]);
    assert!(!broken.is_empty());
}

/// `opa.jsonl` is what OPA 1.22.4 wrote to its decision log under each of these rules, with the input of the first line.
#[test]
fn events_are_those_of_opa_but_where_it_lets_a_secret_through() {
    let mut lines = include_str!("opa.jsonl").lines();
    let read = |line: &str| serde_json::from_str::<Json>(line).unwrap();
    let input = read(lines.next().unwrap())["input"].clone();
    let event = json!({"decision_id": "1", "verdict": "deny", "input": input});
    let mut differ = Vec::new();
    for line in lines {
        let opa = read(line);
        let rules = opa["rules"].as_str().unwrap();
        let ours = match apply(rules, &event) {
            Ok(masked) if masked.drop => None,
            Ok(masked) => Some(masked.event),
            Err(_failed) => None,
        };
        let same = match &ours {
            None => opa["logged"] == false,
            Some(ours) => {
                let same = |name: &str| opa.get(name) == ours.get(name);
                opa["logged"] == true && same("input") && same("masked") && same_set(&opa, ours)
            }
        };
        if !same {
            differ.push((rules.to_owned(), ours.is_some()));
        }
    }
    let differ: Vec<(&str, bool)> = differ
        .iter()
        .map(|(rules, made)| (&**rules, *made))
        .collect();
    assert_eq!(
        differ,
        [
            // It finds no member whose name is not a word of URLs.
            ("mask contains \"/input/my key\"", true),
            ("mask contains \"/input/my%20key\"", true),
            ("mask contains \"/input/a~1b\"", true),
            ("mask contains \"/input/a%2Fb\"", true),
            ("mask contains \"/input/c~0d\"", true),
            // It goes on as if nothing had been asked for.
            (
                "mask contains {\"op\":\"upsert\",\"path\":\"/input/tags/9\",\"value\":\"-\"}",
                false
            ),
            (
                "mask contains {\"op\":\"upsert\",\"path\":\"/input/name/first\",\"value\":\"-\"}",
                false
            ),
            // It puts null there.
            (
                "mask contains {\"op\":\"upsert\",\"path\":\"/input/password\"}",
                false
            ),
            // It takes the wrong element: the list has moved by then.
            ("mask := [\"/input/tags/0\",\"/input/tags/1\"]", true),
            ("mask contains \"/input/*\"", false),
            (
                "mask := [\"/input/password\"] if input.input.nothing",
                false
            ),
            ("drop := \"yes\"", false),
        ]
    );
}

/// The order is ours.
fn same_set(opa: &Json, ours: &Map<String, Json>) -> bool {
    let texts = |list: Option<&Json>| {
        let list = list.and_then(Json::as_array).into_iter().flatten();
        let mut texts: Vec<String> = list.map(Json::to_string).collect();
        texts.sort();
        texts
    };
    texts(opa.get("erased")) == texts(ours.get("erased"))
}

#[test]
fn the_evidence_stays_however_its_path_is_written() {
    for path in [
        "/result/allow",
        "/result/%61llow",
        "/result/all%6Fw",
        "/result/allow/",
        "/result/allow/x",
    ] {
        let refused = apply(&format!("mask contains \"{path}\""), &event());
        assert!(matches!(refused, Err(MaskError::Unusable(_))), "{path}");
    }
    let put = "mask contains {\"op\": \"upsert\", \"path\": \"/result/violations\", \"value\": 1}";
    assert!(apply(put, &event()).is_err());
    assert_eq!(
        members("/input/c%61ller/a~1b"),
        [
            ["input", "c%61ller", "a~1b"],
            ["input", "c%61ller", "a/b"],
            ["input", "caller", "a~1b"],
            ["input", "caller", "a/b"],
        ]
    );
    // What stands beside one whose name nobody knows may be it.
    let name = "hmac-sha256:v1:00000000000000000000000000000000";
    assert_eq!(
        members(&format!("/input/unknown_members/{name}/x")),
        [["input", "unknown_members"]]
    );
    // With slashes in it, as earlier builds have written it.
    let claims = members("/input/caller/jwt/claims/https://a.b/c");
    let whole = ["input", "caller", "jwt", "claims", "https://a.b/c"];
    assert!(claims.iter().any(|it| it == &whole), "{claims:?}");
}

/// Nobody could read the record again, and it would be missing from every answer.
#[test]
fn what_would_make_a_record_too_deep_or_too_large_fails() {
    let tower = |levels: usize, member: &str| {
        let mut rules = format!(
            "mask contains {{\"op\": \"upsert\", \"path\": \"/input/x\", \"value\": x{levels}}} if {{\n\tx0 := 1\n"
        );
        for level in 0..levels {
            let below = member.replace('x', &format!("x{level}"));
            rules = format!("{rules}\tx{} := {below}\n", level + 1);
        }
        rules + "}"
    };
    let now = masked(&tower(20, "[x]"), &event());
    assert!(now["input"]["x"].is_array());
    for rules in [
        tower(100, "[x]"),
        tower(40, "[x, x]"),
        format!(
            "mask contains {{\"op\": \"upsert\", \"path\": \"/input{}\", \"value\": 1}}",
            "/a".repeat(100)
        ),
    ] {
        let error = apply(&rules, &event()).unwrap_err().to_string();
        let says = ["too large, or nested deeper", "more than 64 steps"];
        assert!(says.iter().any(|it| error.contains(it)), "{error}");
    }
}
