use crate::policy::bundle::tests::problems;

const DATA: &str = "guardrails:
  naming:
    # pattern: '('
    pattern: '^[a-z'
    fine: '^[a-z]+$'
  networks:
    - 10.0.0.0/8
    - 10.0.0.0/33
  teams:
    a: {name: '(a'}
    b: {name: 'b'}
  most: 2 days
";

/// What is said about rules beside this data.
fn said(rules: &str) -> Vec<String> {
    let policy = format!("package dtgate.p\n\nimport data.guardrails.naming as cfg\n\n{rules}\n");
    problems(&[("p.rego", &policy), ("settings.yaml", DATA)])
}

#[test]
fn a_pattern_or_glob_is_refused_when_it_is_loaded_if_opa_would_refuse_it() {
    let said = |call: &str, pattern: &str| {
        let in_data = format!("package dtgate.p\n\ndeny contains \"x\" if {call}\n")
            .replace("{}", "data.pattern");
        let data = format!("pattern: '{pattern}'\n");
        let in_rule = in_data.replace("data.pattern", &format!("`{pattern}`"));
        [
            problems(&[("p.rego", &in_data), ("data.yaml", &data)]).join("\n"),
            problems(&[("p.rego", &in_rule)]).join("\n"),
        ]
    };
    let regex = "regex.match({}, input.api)";
    for pattern in [
        r"^\d+$",
        r"^\\\w",
        r"[^\s]",
        r"\bx",
        r"\pL",
        "(?i)^a",
        "[a&&b]",
        "^.{1,100}$",
    ] {
        assert_eq!(said(regex, pattern), ["", ""], "{pattern}");
    }
    let [data, rule] = said(regex, r"(a\8");
    assert_eq!(
        rule,
        r#"p.rego:3:35: "(a\\8" is not a regular expression: invalid escape sequence: `\8`"#
    );
    assert!(
        data.starts_with("data.yaml:1:1: ") && data.ends_with(r"`\8`"),
        "{data}"
    );
    let glob = "glob.match({}, [], input.api)";
    for pattern in ["{prod-,}token", "[^m]", "**/b", "a}"] {
        assert_eq!(said(glob, pattern), ["", ""], "{pattern}");
    }
    let [data, rule] = said(glob, "{a");
    assert_eq!(rule, r#"p.rego:3:34: "{a" is not a glob: unclosed `{`"#);
    assert!(data.starts_with("data.yaml:1:1: "), "{data}");
}

#[test]
fn a_setting_that_no_builtin_can_use_is_refused_with_its_place_and_the_reason() {
    let pattern = "settings.yaml:4:5: data.guardrails.naming.pattern must be a regular expression, and \"^[a-z\" is none: \
                   missing closing ]: `[a-z`";
    let network = "settings.yaml:8:7: data.guardrails.networks.1 must be a network such as 10.0.0.0/8, and \"10.0.0.0/33\" is none: ";
    let member = "settings.yaml:10:9: data.guardrails.teams.a.name must be a regular expression, and \"(a\" is none: missing closing ): `(a`";
    for (rules, wanted) in [
        (
            "deny contains \"x\" if regex.match(data.guardrails.naming.pattern, input.api)",
            pattern,
        ),
        (
            "deny contains \"x\" if not regex.match(cfg.pattern, input.api)",
            pattern,
        ),
        (
            "deny contains \"x\" if { p := cfg.pattern; regex.match(p, input.api) }",
            pattern,
        ),
        (
            "deny contains \"x\" if { c := cfg; regex.match(c[\"pattern\"], input.api) }",
            pattern,
        ),
        (
            "deny contains \"x\" if regex.match(object.get(cfg, \"pattern\", \"a\"), input.api)",
            pattern,
        ),
        (
            "deny contains \"x\" if regex.replace(input.api, cfg.pattern, \"\") == \"\"",
            pattern,
        ),
        (
            "deny contains \"x\" if count(regex.find_n(_pattern, input.api, 1)) == 1\n\n_pattern := cfg.pattern",
            pattern,
        ),
        (
            "deny contains \"x\" if { some n in data.guardrails.networks; net.cidr_contains(n, input.caller.address) }",
            network,
        ),
        (
            "deny contains \"x\" if { every n in data.guardrails.networks { net.cidr_contains(n, input.caller.address) } }",
            network,
        ),
        (
            "deny contains \"x\" if count([n | some n in data.guardrails.networks; net.cidr_contains(n, input.caller.address)]) == 0",
            network,
        ),
        (
            "deny contains \"x\" if { some n in _nets; net.cidr_contains(n, input.caller.address) }\n\n\
             _nets contains n if some n in data.guardrails.networks",
            network,
        ),
        (
            "deny contains \"x\" if { some t in data.guardrails.teams; regex.match(t.name, input.api) }",
            member,
        ),
        (
            "deny contains \"x\" if regex.match(data.guardrails.teams[input.api].name, \"a\")",
            member,
        ),
        (
            "deny contains \"x\" if time.parse_duration_ns(data.guardrails.most) > 3",
            "settings.yaml:12:3: data.guardrails.most must be a duration such as 36h, and \"2 days\" is none: ",
        ),
    ] {
        let said = said(rules).join(" | ");
        assert!(said.starts_with(wanted), "{rules}: {said}");
        assert!(!said.contains(" | "), "{said}");
    }
}

#[test]
fn settings_that_can_be_used_or_are_not_known_are_fine() {
    for rules in [
        "deny contains \"x\" if regex.match(cfg.fine, input.api)",
        "deny contains \"x\" if regex.match(data.guardrails.teams.b.name, input.api)",
        "deny contains \"x\" if net.cidr_contains(data.guardrails.networks[0], input.caller.address)\n\n\
         _unused := data.guardrails.most",
        "deny contains \"x\" if regex.match(input.api, \"a\")",
        "deny contains \"x\" if regex.is_valid(cfg.pattern)",
        "deny contains \"x\" if { f(input.api, cfg.pattern) }\n\nf(a, b) if a == b",
        "deny contains \"x\" if glob.match(\"v*\", [], input.api)",
        // What fails for some requests is found by requests.
        "deny contains \"x\" if regex.match(concat(\"\", [\"(\"]), input.api)",
    ] {
        let said = said(rules);
        let said: Vec<_> = said
            .iter()
            .filter(|said| !said.contains("networks.1"))
            .collect();
        assert!(said.is_empty(), "{rules}: {said:?}");
    }
}

#[test]
fn a_text_of_a_time_that_no_builtin_can_use_is_refused() {
    for (call, complaint) in [
        (r#"time.parse_duration_ns("90 days")"#, "p.rego:6:25: "),
        (r#"time.parse_ns("YYYY-MM-DD", input.api)"#, "p.rego:6:16: "),
        (r#"time.clock([input.time, "CEST"])"#, "p.rego:6:26: "),
        (r#"time.parse_duration_ns("90d")"#, ""),
        (r#"time.format([input.time, "Europe/Berlin", "2006"])"#, ""),
    ] {
        let said = said(&format!(
            "deny contains \"x\" if {{\n{call} == input.api\n}}"
        ));
        assert!(said.len() <= 1, "{said:?}");
        let said = said.first().map_or("", String::as_str);
        assert!(
            said.starts_with(complaint) && said.is_empty() == complaint.is_empty(),
            "{said}"
        );
    }
}
