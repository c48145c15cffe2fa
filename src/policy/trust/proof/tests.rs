use std::fmt::Write as _;
use std::time::Duration;

use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::directory;
use crate::policy::bytecode::Bounds;
use crate::policy::input::tests::{input, text, texts};
use crate::policy::interpreter::Interpreter;
use crate::policy::question::array;
use crate::policy::source::files::Tree;
use crate::policy::trust::proof;
use crate::policy::{AnswersFor, Engine, Input, Trusted};

mod opa;
mod shapes;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

pub(in crate::policy) fn engine_of(policy: &str) -> Engine {
    let files = [("p.rego", policy), ("data.yaml", DATA)];
    Engine::new(
        Bundle::load(directory(&files).path()).unwrap(),
        Duration::from_secs(5),
    )
}

const DATA: &str = "guardrails: {words: [WriteConfig, metrics.read, a], map: {metrics.read: read, WriteConfig: write}, most: 3}";

#[test]
fn the_shipped_policies_are_proven() {
    let engine = Engine::new(Bundle::load(SHIPPED).unwrap(), Duration::from_secs(5));
    assert_eq!(
        engine.decide_quickly(&input()),
        None,
        "nothing was compared yet"
    );
    let trusted = engine.prove(AnswersFor::All, 300, 1);
    let Trusted::Bytecode { inputs, .. } = trusted else {
        panic!("{trusted}");
    };
    // Two hundred of them come from the tests of the policies.
    assert!(inputs > 500, "{inputs}");
    assert!(engine.decide_quickly(&input()).is_some());
}

/// Two of these policies share an objection, which stands in one of them when they are compiled.
#[test]
fn a_denial_names_the_same_objections_whatever_the_bytecode_spared_the_interpreter() {
    const SHARED: &str = "deny contains \"no\" if input.change.enabled.requested == false\n";
    let own = [
        ("one.rego", format!("package dtgate.one\n{SHARED}")),
        ("other.rego", format!("package dtgate.other\n{SHARED}")),
    ];
    let tree = Tree::read(&[SHIPPED]);
    let shipped = tree.policies.iter().chain(&tree.data_files);
    let shipped = shipped.map(|file| (file.name.as_str(), file.text.as_str()));
    let files: Vec<(&str, &str)> = own
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .chain(shipped)
        .collect();
    let directory = directory(&files);
    let engine = || {
        Engine::new(
            Bundle::load(directory.path()).unwrap(),
            Duration::from_secs(5),
        )
    };
    let (alone, spared) = (engine(), engine());
    let trusted = spared.prove(AnswersFor::All, 50, 1);
    assert!(matches!(trusted, Trusted::Bytecode { .. }), "{trusted}");
    let names: Vec<&str> = alone.names().collect();
    let of_tests = proof::inputs_of_tests(&tree, &names);
    let words = proof::words(&tree);
    let made_up = proof::made_up(&words, alone.all_reads(), 7).take(200);
    let (mut denied, mut both) = (0, 0);
    for document in of_tests.into_iter().chain(made_up) {
        let json = serde_json::to_value(&document).unwrap();
        let Ok(request) = serde_json::from_value::<Input>(json) else {
            continue;
        };
        let (expected, decision) = (alone.decide(&request), spared.decide(&request));
        assert_eq!(decision.violations, expected.violations, "{document}");
        let whose = |policy| {
            expected
                .violations
                .iter()
                .any(|found| found.policy == policy)
        };
        denied += usize::from(!expected.violations.is_empty());
        both += usize::from(whose("one") && whose("other"));
    }
    assert!(denied > 100 && both > 10, "{denied} {both}");
}

/// Each takes about half a thousand instructions of the processor.
#[test]
fn an_ordinary_update_takes_few_steps_of_the_shipped_policies() {
    let engine = Engine::new(Bundle::load(SHIPPED).unwrap(), Duration::from_secs(5));
    let share = engine.share(AnswersFor::All).unwrap();
    let mut update = input();
    let scopes = ["metrics.read", "metrics.ingest", "logs.read", "logs.ingest"];
    update.change.scopes.requested = Some(texts(&scopes));
    assert_eq!(
        share
            .bytecode
            .objecting(&update.to_rego(), Bounds::steps(380)),
        Ok(Vec::new())
    );
}

/// Both engines were taken for different on a busy machine, where one of them ran out of a request's time.
#[test]
fn engines_that_run_out_of_a_requests_time_are_not_taken_for_different() {
    let engine = Engine::new(Bundle::load(SHIPPED).unwrap(), Duration::from_nanos(1));
    let trusted = engine.prove(AnswersFor::All, 20, 1);
    assert!(matches!(trusted, Trusted::Bytecode { .. }), "{trusted:?}");
}

/// An engine for so many policies, each with these rules.
fn engine_of_many(count: usize, rules: &str) -> Engine {
    let files = (0..count).map(|number| {
        let name = format!("generated_policy_of_some_length_{number}");
        let policy = format!("package dtgate.{name}\n{rules}");
        (format!("{name}.rego"), policy)
    });
    let files: Vec<(String, String)> = files.collect();
    let files = files
        .iter()
        .map(|(name, policy)| (name.as_str(), policy.as_str()));
    let files: Vec<(&str, &str)> = files.collect();
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    Engine::new(bundle, Duration::from_secs(5))
}

#[test]
fn many_policies_are_asked_in_one_question() {
    let engine = engine_of_many(1000, "deny contains \"no\" if input.api == \"v3\"");
    let share = engine.share(AnswersFor::All).unwrap();
    let comparison = engine.comparison(&share);
    let mut interpreter = Interpreter::clone_of(comparison.prepared);
    interpreter.begin(&input().to_rego(), 0);
    let said = interpreter.ask_together(&array(comparison.rules));
    assert_eq!(said.map(|said| said.len()), Some(1000));
    let objecting = share.bytecode.objecting(&input().to_rego(), Bounds::MOST);
    assert_eq!(objecting, Ok(Vec::new()));
}

/// What ten times the policies, or the scopes, cost: ten times the steps. How long a step takes is not said here.
#[test]
fn steps_grow_as_policies_and_scopes_do() {
    let rule = "deny contains scope if {\n\tis_array(input.change.scopes.requested)\n\tsome scope in input.change.scopes.requested\n\tscope in {\"no\", \"never\"}\n}";
    let steps = |policies: usize, scopes: usize| {
        let engine = engine_of_many(policies, rule);
        let share = engine.share(AnswersFor::All).unwrap();
        let mut request = input();
        let scopes = (0..scopes).map(|number| text(&format!("scope.{number}")));
        request.change.scopes.requested = Some(scopes.collect());
        let document = request.to_rego();
        // Where enough is enough.
        let (mut less, mut enough) = (0, 1_000_000);
        while enough - less > 1 {
            let middle = usize::midpoint(less, enough);
            if share.bytecode.objecting(&document, Bounds::steps(middle)) == Ok(Vec::new()) {
                enough = middle;
            } else {
                less = middle;
            }
        }
        u32::try_from(enough).map(f64::from).unwrap()
    };
    let one_more = |first: f64, second: f64, more: f64| (second - first) / more;
    let few = one_more(steps(10, 12), steps(100, 12), 90.0);
    let many = one_more(steps(100, 12), steps(1000, 12), 900.0);
    assert!((0.9..1.1).contains(&(many / few)), "{few} {many} a policy");
    let few = one_more(steps(10, 1), steps(10, 20), 19.0);
    let many = one_more(steps(10, 20), steps(10, 200), 180.0);
    assert!((0.9..1.1).contains(&(many / few)), "{few} {many} a scope");
}

/// What the interpreter denies because it cannot be evaluated, in a case that no made-up request is: the name is in
/// no policy. Either the bytecode does not get such policies, or it tells that something failed.
#[test]
fn what_cannot_be_evaluated_is_never_taken_for_silence() {
    let met = Input {
        change: crate::policy::input::Change {
            name: crate::policy::input::Wish {
                requested: Some(text("zztop")),
                current: None,
            },
            enabled: crate::policy::input::Wish {
                requested: Some(true),
                current: None,
            },
            ..input().change
        },
        ..input()
    };
    for (rules, body, refused) in [
        ("", "10 / (count(input.change.name.requested) - 5) > 1", ""),
        ("", "10 % (count(input.change.name.requested) - 5) > 1", ""),
        ("", "input.change.name.requested + 1 == 2", ""),
        ("", "count(input.change.name.requested & {1}) > 3", "joins"),
        (
            "_one := 1 if input.api == \"v1\"\n_one := 2 if input.api != \"v2\"",
            "_one == 1",
            "two values",
        ),
        (
            "_f(x) := 1 if x == \"v1\"\n_f(x) := 2 if x != \"v2\"",
            "_f(input.api) == 1",
            "two values",
        ),
        (
            "_some := s if { input.api; some s in {1, 2} }\n_s := _some if input.api == \"v1\"",
            "_s == 1",
            "two values",
        ),
        (
            "",
            "o := {\"k\": s | some s in {\"a\", input.api}}; o.k == \"a\"",
            "",
        ),
        (
            "_p[x] := y if { x := input.api; some y in {1, 2} }",
            "_p.v1 == 1",
            "",
        ),
        ("", "\"x\" in input.change.enabled.requested", ""),
        ("", "some s in input.change.enabled.requested; s == 1", ""),
        (
            "",
            "every s in input.change.enabled.requested { s == 1 }",
            "",
        ),
        ("", "concat(\",\", [1, input.api]) == \"x\"", ""),
        (
            "_fine if lower(input.change.enabled.requested) == \"x\"",
            "not _fine; false",
            "",
        ),
        ("", "count(input.change.enabled.requested) > 1", ""),
        ("", "to_number(input.api) == 1", ""),
        (
            "",
            "regex.match(concat(\"\", [\"(\", input.api]), \"a\")",
            "",
        ),
        ("", "net.cidr_contains(\"10.0.0.0/8\", input.api)", ""),
    ] {
        let policy = format!(
            "package dtgate.p\n{rules}\n_met if input.change.name.requested == concat(\"\", [\"zz\", \"top\"])\n\ndeny contains \"no\" if {{ _met; {body} }}"
        );
        let engine = engine_of(&policy);
        let trusted = engine.prove(AnswersFor::All, 200, 1);
        match refused {
            "" => assert!(
                matches!(trusted, Trusted::Bytecode { .. }),
                "{body}: {trusted}"
            ),
            reason => assert!(trusted.to_string().contains(reason), "{body}: {trusted}"),
        }
        assert_eq!(engine.decide_quickly(&met), None, "{body}");
    }
}

#[test]
fn policies_that_the_bytecode_cannot_run_are_left_to_the_interpreter() {
    for (body, reason) in [
        ("time.now_ns() == 1", "p.rego:2: uses time.now_ns"),
        (
            "io.jwt.decode_verify(input.api, {\"secret\": \"a\"})[0]",
            "p.rego:2: uses io.jwt.decode_verify",
        ),
        (
            "is_string(input.api) with input as {}",
            "p.rego:2: uses with",
        ),
    ] {
        let engine = engine_of(&format!("package dtgate.p\ndeny contains \"no\" if {body}"));
        let trusted = engine.prove(AnswersFor::All, 10, 1);
        assert!(trusted.to_string().ends_with(reason), "{trusted}");
        assert_eq!(engine.decide_quickly(&input()), None);
    }
}

/// Policies that nobody would write, judged by both engines: what the proof accepts must not differ later.
#[test]
fn what_is_proven_stays_true_on_other_requests() {
    let (mut accepted, policies) = (0, policies());
    for seed in 0..policies {
        let policy = Author(seed).policy();
        let files = [("p.rego", policy.as_str()), ("data.yaml", DATA)];
        let Ok(bundle) = Bundle::load(directory(&files).path()) else {
            continue;
        };
        let engine = Engine::new(bundle, Duration::from_secs(5));
        if matches!(
            engine.prove(AnswersFor::All, 300, seed),
            Trusted::Bytecode { .. }
        ) {
            accepted += 1;
            let again = engine.compare_again(600, seed + 1_000_000);
            assert!(again.is_ok(), "{again:?} by\n{policy}");
        }
    }
    // A proof that accepts nothing would never be wrong.
    assert!(accepted > policies / 5, "{accepted} of {policies}");
}

/// Policies, unless `DTGATE_POLICIES` says how many: 80 take seconds, 5,000 an hour.
fn policies() -> u64 {
    let number = std::env::var("DTGATE_POLICIES");
    number.map_or(80, |number| number.parse().unwrap())
}

/// Writes policies by chance, from parts that fit together more often than not.
struct Author(u64);

impl Author {
    fn policy(&mut self) -> String {
        let mut text = "package dtgate.p\n".to_owned();
        for number in 0..3 {
            let body = self.body(number);
            let (words, pairs) = (self.some("s"), self.some("i, s"));
            let helper = self.choose(&[
                format!("_h{number} if {{\n{body}}}\n"),
                format!("_h{number} contains word if {{\n{body}\tsome word in data.guardrails.words\n}}\n"),
                format!("default _h{number} := false\n_h{number} if {{\n{body}}}\n"),
                format!("_h{number} := {{s | {words}}}\n"),
                format!("_h{number} := {{i: s | {pairs}}}\n"),
                format!("_h{number} := \"one\" if {{\n{body}}} else := \"two\"\n"),
            ]);
            text.push_str(&helper);
        }
        text.push_str("_f(x) := lower(x) if {\n\tis_string(x)\n} else := \"none\"\n");
        for _ in 0..=self.below(2) {
            let body = self.body(3);
            let message = self.choose(&[
                "\"no\"".to_owned(),
                "sprintf(\"%v\", [input.operation])".to_owned(),
                "{\"message\": \"no\", \"path\": \"name\"}".to_owned(),
            ]);
            write!(text, "deny contains {message} if {{\n{body}}}\n").unwrap();
        }
        text
    }

    /// A few statements that may use the helpers below a number.
    fn body(&mut self, helpers: usize) -> String {
        let mut text = String::new();
        for place in 0..=self.below(3) {
            let statement = self.statement(place, helpers);
            writeln!(text, "\t{statement}").unwrap();
        }
        text
    }

    fn statement(&mut self, place: usize, helpers: usize) -> String {
        let (word, member) = (self.word(), self.member());
        let (list, most) = (self.list(), self.below(4));
        let helper = format!("_h{}", self.below(helpers.max(1)));
        let mut options = vec![
            format!("input.operation == {word}"),
            format!("{member} == {word}"),
            format!("not {member} == {word}"),
            format!("not {member}"),
            format!("not startswith({member}, {word})"),
            format!("_f({member}) in {{{word}, \"none\"}}"),
            format!("is_string({member}); startswith({member}, {word})"),
            format!("is_array({list}); count({list}) > {most}"),
            format!("is_array({list}); every x{place} in {list} {{ x{place} != {word} }}"),
            format!(
                "s{place} := [x | {}]; count(s{place}) < {most}",
                self.some("x")
            ),
            format!(
                "some i{place}, w{place} in data.guardrails.words; i{place} != {most}; w{place} != {word}"
            ),
            format!("{word} in data.guardrails.words"),
            format!("data.guardrails.map[{member}] == {word}"),
            format!("data.guardrails.most > {most}"),
            format!("lower({member}) == {word}"),
            format!("count({list}) > {most}"),
            format!("{word} in {list}"),
            format!("object.get(input.unknown_members, {word}, {most}) == {most}"),
            format!(
                "n{place} := object.get(data.guardrails.map, {word}, \"x\"); n{place} != {word}"
            ),
        ];
        if helpers > 0 {
            options.extend([
                helper.clone(),
                format!("not {helper}"),
                format!("{helper} == {word}"),
            ]);
        }
        self.choose(&options)
    }

    fn some(&mut self, names: &str) -> String {
        let scopes = self.list();
        let word = self.word();
        let last = names.rsplit(' ').next().unwrap_or_default();
        format!("is_array({scopes}); some {names} in {scopes}; {last} != {word}")
    }

    fn list(&mut self) -> String {
        let lists = ["requested", "current", "added", "kept", "removed"];
        format!("input.change.scopes.{}", lists[self.below(lists.len())])
    }

    fn member(&mut self) -> String {
        let members = [
            "change.name.requested",
            "change.name.current",
            "change.enabled.requested",
            "caller.token.id",
            "token.current.owner",
            "token.id",
            "api",
        ];
        format!("input.{}", members[self.below(members.len())])
    }

    fn word(&mut self) -> String {
        let words = [
            "\"v1\"",
            "\"token.update\"",
            "\"WriteConfig\"",
            "\"a\"",
            "true",
            "2",
        ];
        words[self.below(words.len())].to_owned()
    }

    fn choose(&mut self, options: &[String]) -> String {
        options[self.below(options.len())].clone()
    }

    fn below(&mut self, limit: usize) -> usize {
        crate::policy::trust::sample::below(&mut self.0, limit)
    }
}

/// It would keep the engines from being compared, and the gate from its bytecode, for ever.
#[test]
fn a_test_that_never_ends_is_cut_off() {
    let policy = "package dtgate.p\ndeny contains \"no\" if input.api == \"v3\"";
    let test = "package dtgate.p_test\n\ntest_endless if {\n\tcount(data.dtgate.p.deny) == 0 with input as {\"api\": \"v2\"}\n\tmany := numbers.range(1, 3000)\n\tsome a in many\n\tsome b in many\n\tsome c in many\n\ta * b * c == 0\n}\n";
    let files = [("p.rego", policy), ("p_test.rego", test)];
    let tree = Tree::read(&[directory(&files).path()]);
    let inputs = super::inputs_of_tests(&tree, &["p"]);
    assert_eq!(inputs.len(), 1, "what it had used before");
}

/// What the bytecode cannot be trusted with costs nobody else: each policy has a reason of its own.
#[test]
fn policies_that_cannot_be_trusted_are_left_and_the_others_are_not() {
    let plain = "deny contains \"no\" if input.change.name.requested == \"never\"\n";
    let files = [
        ("plain.rego", format!("package dtgate.plain\n{plain}")),
        ("now.rego", "package dtgate.now\ndeny contains \"no\" if time.now_ns() < 1\n".to_owned()),
        // These rest on the one before: by a rule that is refused, and by one that is not but goes with its file.
        (
            "late.rego",
            "package dtgate.late\nimport data.dtgate.lib.clock\ndeny contains \"no\" if clock.late\n".to_owned(),
        ),
        (
            "helped.rego",
            "package dtgate.helped\nimport data.dtgate.now\ndeny contains \"no\" if now.is_v3\n".to_owned(),
        ),
        (
            "lib/clock.rego",
            "package dtgate.lib.clock\nlate if time.now_ns() > 1893456000000000000\nnever if input.api == \"v3\"\n"
                .to_owned(),
        ),
        (
            "fine.rego",
            "package dtgate.fine\nimport data.dtgate.lib.clock\ndeny contains \"no\" if clock.never\n".to_owned(),
        ),
        ("more.rego", "package dtgate.now\nis_v3 if input.api == \"v3\"\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let directory = directory(&files);
    let bundle = Bundle::load(directory.path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    let trusted = engine.prove(AnswersFor::All, 100, 1);
    let others: Vec<(&str, &str)> = trusted
        .others()
        .iter()
        .map(|other| (&*other.policy, other.reason.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(
        others,
        [
            ("helped", "now.rego:2: uses time.now_ns"),
            ("late", "clock.rego:2: uses time.now_ns"),
            ("now", "now.rego:2: uses time.now_ns"),
        ]
    );
}
