use serde_json::json;

use super::{
    super::{
        Effect, POLICY_ERROR, Verdict,
        bundle::tests::directory,
        input::tests::{input, text},
    },
    *,
};

fn engine(files: &[(&str, &str)]) -> Engine {
    engine_with(files, Duration::from_secs(5), |_| {})
}

fn engine_with(
    files: &[(&str, &str)],
    limit: Duration,
    tamper: impl FnOnce(&mut regorus::Engine),
) -> Engine {
    let mut bundle = Bundle::load(directory(files).path()).unwrap();
    tamper(&mut bundle.evaluated);
    Engine::new(bundle, limit)
}

/// One violation a line: policy, mode, rule, code and message.
fn lines(decision: &Decision) -> Vec<String> {
    let line = |violation: &Violation| {
        let code = violation.code.as_deref().unwrap_or("-");
        let Violation {
            policy,
            mode,
            message,
            rule,
            ..
        } = violation;
        format!("{policy} {mode} {} {code} {message}", rule.name())
    };
    decision.violations.iter().map(line).collect()
}

fn always(name: &str, rules: &str) -> (String, String) {
    (
        format!("{name}.rego"),
        format!("package dtgate.{name}\n\n{rules}\n"),
    )
}

fn files(policies: &[(&str, &str)]) -> Vec<(String, String)> {
    policies
        .iter()
        .map(|(name, rules)| always(name, rules))
        .collect()
}

fn engine_of(policies: &[(&str, &str)], data: &str) -> Engine {
    let mut files = files(policies);
    files.push(("data.yaml".to_owned(), data.to_owned()));
    engine(
        &files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn every_policy_is_asked_and_all_violations_are_told() {
    let engine = engine_of(
        &[
            (
                "b",
                "deny contains {\"message\": \"two\", \"path\": \"name\", \"limit\": 3} if input.api == \"v1\"",
            ),
            (
                "a",
                "deny contains \"one\" if true\n\nwarn contains \"careful\" if true",
            ),
            ("c", "deny contains \"never\" if input.api == \"v3\""),
        ],
        "{}",
    );
    let decision = engine.decide(&input());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(
        lines(&decision),
        [
            "a enforce deny - one",
            "a enforce warn - careful",
            "b enforce deny - two"
        ]
    );
    assert_eq!(decision.violations[2].path.as_deref(), Some("name"));
    assert_eq!(
        decision.violations[2].details,
        *json!({"limit": 3}).as_object().unwrap()
    );
    assert_eq!(decision.revision, engine.revision());
}

#[test]
fn a_request_that_nobody_objects_to_is_allowed() {
    let decision =
        engine_of(&[("a", "deny contains \"x\" if input.api == \"v2\"")], "{}").decide(&input());
    assert_eq!(
        (decision.verdict, decision.violations.len()),
        (Verdict::Allow, 0)
    );
}

#[test]
fn a_mode_lets_pass_until_it_ends() {
    let engine = engine_of(
        &[
            ("a", "deny contains \"a\" if true"),
            ("b", "deny contains \"b\" if true"),
        ],
        "modes:\n  a: dry_run\n  b: {mode: warn, until: \"2026-11-30\"}\n",
    );
    let mut input = input();
    let decision = engine.decide(&input);
    assert_eq!(decision.verdict, Verdict::Allow);
    assert_eq!(decision.with_effect(Effect::Record).count(), 1);
    assert_eq!(decision.with_effect(Effect::Warn).count(), 1);
    input.time = "2026-12-01T00:00:00Z".parse().unwrap();
    let decision = engine.decide(&input);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(
        lines(&decision),
        ["a dry_run deny - a", "b enforce deny - b"]
    );
}

#[test]
fn a_policy_that_fails_denies_in_every_mode_and_the_others_still_speak() {
    let engine = engine_of(
        &[
            (
                "broken",
                "deny contains \"x\" if {\n\tinput.api\n\tto_number(input.operation) == 1\n}",
            ),
            ("fine", "warn contains \"careful\" if true"),
        ],
        "modes: {broken: dry_run}",
    );
    for _ in 0..3 {
        let decision = engine.decide(&input());
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.violations.len(), 2);
        let violation = &decision.violations[0];
        assert_eq!(
            (violation.policy.as_str(), violation.code.as_deref()),
            ("broken", Some(POLICY_ERROR))
        );
        assert!(
            violation.message.contains("broken.rego:5:2: "),
            "{}",
            violation.message
        );
    }
}

#[test]
fn an_error_behind_a_negation_denies_too() {
    let engine = engine_of(
        &[(
            "a",
            "deny contains \"x\" if not to_number(input.operation) == 1",
        )],
        "{}",
    );
    assert_eq!(
        engine.decide(&input()).violations[0].code.as_deref(),
        Some(POLICY_ERROR)
    );
}

#[test]
fn an_element_of_the_wrong_kind_denies() {
    for element in [
        "1",
        "{\"msg\": \"x\"}",
        "{\"message\": 7}",
        "[\"x\"]",
        "null",
        "{\"message\": \"x\", \"path\": 3}",
    ] {
        // Where it is written in the rule it is refused at load.
        let engine = engine_of(
            &[("a", "warn contains data.elements[0] if true")],
            &format!("{{\"modes\": {{\"a\": \"dry_run\"}}, \"elements\": [{element}]}}"),
        );
        let decision = engine.decide(&input());
        assert_eq!(decision.verdict, Verdict::Deny, "{element}");
        assert_eq!(
            decision.violations[0].code.as_deref(),
            Some(POLICY_ERROR),
            "{element}"
        );
    }
}

/// Nobody could read the record again, or write it down.
#[test]
fn a_policy_whose_words_are_too_deep_or_too_large_denies() {
    let said = |levels: usize, member: &str| {
        let mut rules = format!(
            "warn contains {{\"message\": \"m\", \"details\": x{levels}}} if {{\n\tx0 := 1\n"
        );
        for level in 0..levels {
            let below = member.replace('x', &format!("x{level}"));
            rules = format!("{rules}\tx{} := {below}\n", level + 1);
        }
        rules += "}";
        engine_of(&[("deep", &rules)], "{}").decide(&input())
    };
    assert_eq!(said(20, "[x]").verdict, Verdict::Allow);
    for (levels, member, says) in [
        (100, "[x]", "nested deeper than 32"),
        (60, "[x, x]", "longer than 4 MiB"),
    ] {
        let decision = said(levels, member);
        let violation = &decision.violations[0];
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(violation.code.as_deref(), Some(POLICY_ERROR));
        assert!(violation.message.contains(says), "{}", violation.message);
    }
}

#[test]
fn a_policy_that_calls_itself_in_a_circle_denies() {
    let engine = engine_of(
        &[(
            "a",
            "deny contains \"x\" if b\n\nb if c\n\nc if { input.api; b }",
        )],
        "{}",
    );
    let decision = engine.decide(&input());
    assert_eq!(decision.violations[0].code.as_deref(), Some(POLICY_ERROR));
}

#[test]
fn a_policy_that_runs_away_is_stopped_and_denies() {
    let endless = "deny contains \"x\" if {\n\tsome a in numbers.range(1, 3000)\n\tsome b in numbers.range(1, 3000)\n\ta * b == 0\n}";
    let files = files(&[("a", endless), ("b", "warn contains \"careful\" if true")]);
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let engine = engine_with(&files, Duration::from_millis(20), |_| {});
    let decision = engine.decide(&input());
    assert!(
        decision.evaluation < Duration::from_secs(2),
        "{:?}",
        decision.evaluation
    );
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.violations[0].code.as_deref(), Some(POLICY_ERROR));
    assert!(
        decision.violations[0].message.contains("time"),
        "{}",
        decision.violations[0].message
    );
    assert_eq!(decision.violations[1].message, "careful");
}

#[test]
fn a_panic_in_the_engine_denies_and_the_next_request_is_judged() {
    let engine = engine_with(
        &[(
            "a.rego",
            "package dtgate.a\n\ndeny contains \"x\" if is_string(input.api)\n",
        )],
        Duration::from_secs(5),
        |rego| {
            rego.add_extension("is_string".into(), 1, Box::new(|_| panic!("boom")))
                .unwrap();
        },
    );
    for _ in 0..2 {
        let decision = engine.decide(&input());
        assert_eq!(decision.verdict, Verdict::Deny);
        assert!(decision.violations[0].message.contains("panicked"));
    }
}

#[test]
fn now_is_the_time_of_the_request() {
    let engine = engine_of(
        &[(
            "a",
            "warn contains message if message := sprintf(\"%d\", [time.now_ns()])\n\nwarn contains m if m := time.format(time.parse_rfc3339_ns(input.time))",
        )],
        "{}",
    );
    let mut input = input();
    assert_eq!(
        engine.decide(&input).violations[0].message,
        "1795514400000000000"
    );
    input.time = "2026-11-24T10:00:01Z".parse().unwrap();
    assert_eq!(
        engine.decide(&input).violations[0].message,
        "1795514401000000000"
    );
}

#[test]
fn threads_that_ask_at_once_do_not_see_each_others_request() {
    let engine = engine_of(
        &[(
            "a",
            "warn contains input.caller.address if true\n\nwarn contains sprintf(\"%d\", [time.now_ns()]) if true",
        )],
        "{}",
    );
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..50 {
                    let mut input = input();
                    input.caller.address = format!("x{thread}.{round}");
                    input.time = jiff::Timestamp::from_second(thread * 1000 + round).unwrap();
                    let decision = engine.decide(&input);
                    assert_eq!(decision.violations[1].message, input.caller.address);
                    assert_eq!(decision.violations[0].message, input.now_ns().to_string());
                }
            });
        }
    });
    assert!(engine.idle.lock().unwrap().len() <= 4);
}

/// It is valid from second 1000 to second 3000.
#[test]
fn a_token_is_judged_at_the_time_of_the_request() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjMwMDAsIm5iZiI6MTAwMH0.kY0bF8Bp1pqZBpMJ312ajGBBwzNSNadoiGFB5mM7zG4";
    let deny = format!(
        "deny contains \"no\" if not io.jwt.decode_verify(\"{token}\", {{\"secret\": \"secret\"}})[0]"
    );
    let engine = engine_of(&[("a", &deny)], "{}");
    let is_denied = |second: i64| {
        let mut input = input();
        input.time = jiff::Timestamp::from_second(second).unwrap();
        !engine.decide(&input).violations.is_empty()
    };
    assert_eq!(
        [999, 1000, 2999, 3000].map(is_denied),
        [true, false, false, true]
    );
}

#[test]
fn an_explanation_names_the_lines_that_were_evaluated() {
    let engine = engine(&[(
        "a.rego",
        "package dtgate.a\n\ndeny contains \"x\" if {\n\tinput.api == \"v1\"\n\tprint(\"asked\")\n\tinput.operation == \"token.delete\"\n\tinput.time\n}\n",
    )]);
    let explanation = engine.explain(&input());
    assert_eq!(explanation.decision.verdict, Verdict::Allow);
    assert_eq!(explanation.lines.len(), 1);
    assert!(explanation.lines[0].0.ends_with("/a.rego"));
    assert_eq!(explanation.lines[0].1, [4, 5, 6]);
    assert!(
        explanation.prints[0].ends_with("asked"),
        "{:?}",
        explanation.prints
    );
}

/// Sixty lines make a value whose text would have 2^60 members.
#[test]
fn what_is_printed_is_cut_before_its_text_is_built() {
    let mut rules = "deny contains \"x\" if {\n\tx0 := input.operation\n".to_owned();
    for level in 0..60 {
        rules = format!(
            "{rules}\tx{} := {{\"a\": x{level}, \"b\": [x{level}]}}\n",
            level + 1
        );
    }
    rules += "\tprint(\"it is\", x60, x1, input.unknown_members.nothing, [x60])\n}";
    let engine = engine_of(&[("large", &rules)], "{}");
    let explanation = engine.explain(&input());
    assert_eq!(explanation.decision.violations[0].message, "x");
    let printed = &explanation.prints[0];
    let (before, rest) = printed.split_once("… (cut) ").unwrap();
    assert!(before.contains(r#": it is {"a": {"a": "#), "{before}");
    let begins = r#"{"a": "token.update", "b": ["token.update"]} <undefined> [{"#;
    assert!(rest.starts_with(begins), "{rest}");
    assert!(rest.ends_with("… (cut)"));
    assert!(printed.len() < 200_000, "{}", printed.len());
}

#[test]
fn what_the_policies_read_is_known() {
    let engine = engine_of(
        &[(
            "a",
            "deny contains \"x\" if input.change.scopes.added == [input.caller[input.api]]",
        )],
        "{}",
    );
    for member in [
        "input",
        "input.change",
        "input.change.scopes.added",
        "input.caller.token",
        "input.caller.certificate",
    ] {
        assert!(engine.reads(member), "{member}");
    }
    for member in [
        "input.token.current",
        "input.change.name",
        "input.parsed_body",
        "input.attributes",
    ] {
        assert!(!engine.reads(member), "{member}");
    }
}

/// What failed may be as large as a request: its message goes to the record, the log and the caller.
#[test]
fn the_message_of_a_failure_is_short_whatever_failed() {
    let long = "x".repeat(50_000);
    for rules in [
        "deny contains \"no\" if to_number(input.unknown_members.long) == 1",
        "deny contains \"no\" if concat(\"\", input.unknown_members) == \"\"",
        "deny contains {\"message\": input.unknown_members}",
        "deny contains {\"message\": \"no\", \"path\": input.unknown_members}",
        "deny contains x if some x in [input.unknown_members]",
        "f(a) := 1 if a\n\nf(a) := 2 if a\n\ndeny contains \"no\" if f(input.unknown_members.long) == 1",
        "p := input.unknown_members.long\n\np := \"y\" if input.operation\n\ndeny contains p",
    ] {
        let mut asked = input();
        let member = serde_json::from_value(json!({"long": long})).unwrap();
        asked.unknown_members = member;
        let decision = engine_of(&[("a", rules)], "{}").decide(&asked);
        let violation = &decision.violations[0];
        assert_eq!(violation.code.as_deref(), Some(POLICY_ERROR), "{rules}");
        assert!(
            violation.message.len() < 1200,
            "{rules}: {}",
            violation.message.len()
        );
    }
}

#[test]
fn a_failed_lookup_denies_unless_the_policies_say_otherwise() {
    let silent = [("naming", "deny contains \"never\" if false")];
    let strict = engine_of(&silent, "guardrails: {}");
    let relaxed = engine_of(&silent, "lookup: {required: false}");
    let mut failed = input();
    let token = failed.token.as_mut().unwrap();
    token.lookup_error = Some(text("Dynatrace answered 404"));
    let decision = strict.decide(&failed);
    assert_eq!(
        lines(&decision),
        [
            "token lookup enforce deny lookup-failed Dynatrace answered 404; the policies judge by the token as it is"
        ]
    );
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(relaxed.decide(&failed).verdict, Verdict::Allow);

    failed.change = input::Change::default();
    failed.change.enabled.requested = Some(false);
    assert_eq!(strict.decide(&failed).verdict, Verdict::Allow);
    failed.change.name.requested = Some(text("n"));
    assert_eq!(strict.decide(&failed).verdict, Verdict::Deny);
}

/// What the tests of the proof need to reach.
impl Engine {
    /// Compares the engine that is trusted on other requests.
    pub(in super::super) fn compare_again(
        &self,
        inputs: usize,
        seed: u64,
    ) -> Result<usize, String> {
        let share = self.trust.share().expect("it is trusted");
        self.compare(share, inputs, seed)
    }

    pub(in super::super) fn share(&self, wanted: AnswersFor) -> Result<Share, String> {
        self.sources().share(wanted)
    }

    /// Trusts the bytecode of another engine, unseen.
    pub(in super::super) fn trust_that_of(&self, other: &Self) {
        self.trust.settle(|| {
            let trusted = Trusted::Bytecode {
                inputs: 0,
                others: Vec::new(),
                shipped_only: None,
            };
            Ok((other.share(AnswersFor::All)?, trusted))
        });
    }

    pub(in super::super) fn interpreter(&self) -> Interpreter {
        Interpreter::clone_of(&self.prepared)
    }

    /// As one question.
    pub(in super::super) fn all_rules(&self) -> String {
        array(&self.rule_paths())
    }

    /// The same, one by one.
    pub(in super::super) fn rule_paths(&self) -> Vec<String> {
        self.rules().collect()
    }

    /// Whether requests are not tried in a hurry.
    pub(in super::super) fn is_patient(&self) -> bool {
        self.patient.load(Relaxed) > 0
    }
}
