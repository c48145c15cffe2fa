use super::*;
use crate::policy::Bundle;
use crate::policy::bundle::tests::directory;

/// What becomes of one policy, without blank lines.
fn specialised(policy: &str, data: &str) -> Result<String, String> {
    // What the library reads has to be there.
    let more = if data.contains("list") || data == EMPTY {
        "{}"
    } else {
        "{\"list\": []}"
    };
    let files = [
        ("p.rego", policy),
        ("lib/l.rego", LIBRARY),
        ("data.yaml", data),
        ("guardrails/more.json", more),
    ];
    let mut bundle = Bundle::load(directory(&files).path()).unwrap();
    let asked = ["deny", "warn"].map(|rule| format!("data.dtgate.p.{rule}"));
    let made = specialise(&mut bundle.rego, &asked).map_err(|left| left.to_string())?;
    let module = made
        .modules
        .into_iter()
        .find(|module| module.path.ends_with("p.rego"))
        .unwrap();
    let lines = module.text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

const EMPTY: &str = "guardrails: {}";

const LIBRARY: &str = "package dtgate.lib

fixed := {scope | some scope in data.guardrails.list}

asked := input.change.scopes.requested

double(text) := concat(\"\", [text, text])
";

#[test]
fn what_rests_on_settings_alone_is_replaced_by_its_value() {
    let text = specialised(
        "package dtgate.p\nimport data.dtgate.lib\n_mine := count(data.guardrails.list)\ndeny contains \"x\" if {\n\tcount(lib.fixed) > _mine\n\tinput.api == \"v1\"\n}",
        "guardrails: {list: [a]}",
    );
    let text = text.unwrap();
    assert!(
        text.contains("count(data.dtgate_known.r0), data.dtgate_known.r1"),
        "{text}"
    );
}

#[test]
fn references_and_calls_through_an_import_are_written_out() {
    let text = specialised(
        "package dtgate.p\nimport data.dtgate.lib as l\ndeny contains twice if {\n\tsome scope in l.asked\n\ttwice := l.double(scope)\n}",
        "{}",
    );
    let text = text.unwrap();
    assert!(
        text.contains(
            "some scope in trace(data.dtgate.lib.asked)\ntwice = data.dtgate.lib.double(scope)"
        ),
        "{text}"
    );
}

#[test]
fn a_name_that_means_two_things_is_another_in_one_of_them() {
    let text = specialised(
        "package dtgate.p\nscope := \"a\"\n_same(scope) := scope\ndeny contains \"x\" if _same(input.api) == scope",
        "{}",
    );
    let text = text.unwrap();
    assert!(text.contains("_same(scope_2) := scope_2"), "{text}");
}

#[test]
fn what_the_settings_rule_out_is_left_away_but_never_the_last_definition() {
    let policy = "package dtgate.p\n_usable if is_string(data.guardrails.mode)\ndeny contains \"unusable\" if {\n\tnot _usable\n}\ndeny contains \"never\" if {\n\tdata.guardrails.mode == \"deny\"\n\tinput.api == \"v1\"\n}\ndeny contains \"x\" if input.api == \"v1\"\nwarn contains \"last\" if data.guardrails.mode == \"deny\"";
    let text = specialised(policy, "guardrails: {mode: warn}").unwrap();
    for (part, stays) in [
        ("unusable", false),
        ("never", false),
        ("\"x\"", true),
        ("last", true),
    ] {
        assert_eq!(text.contains(part), stays, "{part} in {text}");
    }
    let text = specialised(policy, "guardrails: {mode: deny}").unwrap();
    for (part, stays) in [
        ("unusable", false),
        ("never", true),
        ("\"x\"", true),
        ("last", true),
    ] {
        assert_eq!(text.contains(part), stays, "{part} in {text}");
    }
    let text = specialised(policy, EMPTY).unwrap();
    assert!(text.contains("unusable"), "{text}");
}

#[test]
fn a_rule_that_the_settings_rule_out_is_undefined_and_so_is_what_rests_on_it() {
    let text = specialised(
        "package dtgate.p\n_listed if {\n\tcount(data.guardrails.list) > 0\n\tinput.api == \"v1\"\n}\n_both if {\n\t_listed\n\tinput.api == \"v2\"\n}\ndeny contains \"both\" if {\n\t_both\n}\ndeny contains \"neither\" if {\n\tnot _both\n}",
        "guardrails: {list: []}",
    );
    let text = text.unwrap();
    assert!(!text.contains("\"both\""), "{text}");
    assert!(text.contains("not data.dtgate_known.undefined"), "{text}");
}

#[test]
fn an_objection_that_two_policies_share_to_the_letter_stands_once() {
    let policy = |name: &str| {
        format!(
            "package dtgate.{name}\nimport data.dtgate.lib\n_own := input.api\ndeny contains scope if some scope in lib.asked\ndeny contains _own if _own == \"v3\""
        )
    };
    let (one, two) = (policy("a"), policy("b"));
    let files = [
        ("a.rego", &*one),
        ("b.rego", &*two),
        ("lib/l.rego", LIBRARY),
        ("data.yaml", EMPTY),
    ];
    let mut bundle = Bundle::load(directory(&files).path()).unwrap();
    let asked = ["a", "b"].map(|name| format!("data.dtgate.{name}.deny"));
    let made = specialise(&mut bundle.rego, &asked).unwrap();
    let texts: String = made.modules.into_iter().map(|module| module.text).collect();
    assert_eq!(
        texts
            .matches("some scope in trace(data.dtgate.lib.asked)")
            .count(),
        1
    );
    // It means something else in each package.
    assert_eq!(texts.matches("dtgate_1 = _own").count(), 2);
}

#[test]
fn what_is_walked_through_must_have_members() {
    let text = specialised(
        "package dtgate.p\nimport data.dtgate.lib\ndeny contains scope if some scope in lib.asked\nwarn contains \"x\" if \"y\" in input.change.scopes.kept",
        "{}",
    );
    let text = text.unwrap();
    assert!(
        text.contains("some scope in trace(data.dtgate.lib.asked)\n"),
        "{text}"
    );
    assert!(
        text.ends_with("if \"y\" in trace(input.change.scopes.kept)"),
        "{text}"
    );
    let text = specialised(
        "package dtgate.p\n_names := {s | some s in data.guardrails.list}\n_mine contains s if s := input.api\ndeny contains scope if some scope in _names & _mine",
        "guardrails: {list: [a]}",
    );
    assert!(!text.unwrap().contains("trace"));
}

#[test]
fn sets_are_known_where_they_can_be() {
    for (body, fine) in [
        ("count(lib.fixed & {\"a\"}) > 0", true),
        (
            "count(lib.fixed - {s | some s in lib.asked}) > data.guardrails.most",
            true,
        ),
        ("n := count(lib.asked); n > data.guardrails.most", true),
        ("count(data.guardrails.by[input.api]) > 0", true),
        ("count({1} & data.guardrails.by[input.api]) > 0", false),
        // Any two values have an order.
        ("count(lib.asked) > data.guardrails.list", true),
        ("count(lib.asked) > data.guardrails.none.missing", true),
        ("count(lib.fixed & lib.asked) > 0", false),
        ("input.api > \"v1\"", true),
    ] {
        let policy = format!(
            "package dtgate.p\nimport data.dtgate.lib\ndeny contains \"x\" if {{ {body} }}"
        );
        let made = specialised(
            &policy,
            "guardrails: {list: [a], most: 3, by: {v1: [a]}, none: {}}",
        );
        assert_eq!(made.is_ok(), fine, "{body}: {made:?}");
    }
}

#[test]
fn what_the_engines_read_differently_is_refused() {
    for (policy, reason) in [
        (
            "known.a contains input.api if data.guardrails.most == 4\nknown.b contains input.api\ndeny contains \"x\" if count(known.a) == 0",
            "by its members",
        ),
        (
            "deny contains \"x\" if { some s in [1]; count([1 | input.api == \"v1\"; some t in [s]; t == 1]) == 0 }",
            "before it walks",
        ),
        (
            "_all contains input.token.id\ndeny contains \"x\" if count(_all) == 0",
            "collects what",
        ),
        (
            "warn contains \"x\" if count(deny) == 0\ndeny contains input.api",
            "what a policy says",
        ),
    ] {
        let made = specialised(
            &format!("package dtgate.p\n{policy}"),
            "guardrails: {words: [a], most: 3}",
        );
        assert!(
            made.as_ref().is_err_and(|refused| refused.contains(reason)),
            "{made:?}"
        );
    }
}
