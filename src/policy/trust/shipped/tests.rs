use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::directory;
use crate::policy::input::tests::{input, text};
use crate::policy::{AnswersFor, Effect, Engine, Evaluator, Input, POLICY_ERROR, Trusted, Verdict};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

/// Everything that is shipped but the tests, by name; to be changed.
fn files() -> BTreeMap<String, String> {
    let tree = Tree::read(&[SHIPPED]);
    let files = tree.policies.into_iter().chain(tree.data_files);
    files.map(|file| (file.name, file.text)).collect()
}

/// An engine for these files, and who answers by it.
fn proven(files: &BTreeMap<String, String>) -> (Engine, Trusted) {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    let trusted = engine.prove(AnswersFor::Shipped, 20, 1);
    (engine, trusted)
}

/// The policies that are left to the interpreter.
fn others(trusted: Trusted) -> Vec<String> {
    match trusted {
        Trusted::Bytecode { others, .. } => others.into_iter().map(|other| other.policy).collect(),
        trusted => panic!("{trusted}"),
    }
}

/// Nobody objects, and the bytecode had its word.
fn passes_by_bytecode(engine: &Engine, asked: &Input) {
    let decision = engine.decide(asked);
    assert_eq!(decision.violations, []);
    assert_eq!(decision.evaluator, Evaluator::Bytecode);
}

#[test]
fn every_shipped_file_is_known() {
    let tree = Tree::read(&[SHIPPED]);
    let mut packages = BTreeSet::new();
    for file in &tree.policies {
        let list = if Path::new(&file.name).starts_with("lib") {
            LIBRARY
        } else {
            let package = file.text.lines().find(|line| line.starts_with("package "));
            assert!(packages.insert(package), "{} shares its package", file.name);
            POLICIES
        };
        assert!(
            list.contains(&file.text.as_str()),
            "{} is missing",
            file.name
        );
    }
    assert_eq!(tree.policies.len(), LIBRARY.len() + POLICIES.len());
}

#[test]
fn the_bytecode_answers_for_shipped_policies_whatever_their_settings() {
    let mut files = files();
    let settings = files.get_mut("data.yaml").unwrap();
    *settings = settings.replace("max: 12\n", "max: 40\n");
    let (engine, trusted) = proven(&files);
    assert_eq!(others(trusted), [""; 0]);
    let decision = engine.decide_quickly(&input()).unwrap();
    assert_eq!(decision.evaluator, Evaluator::Bytecode);
}

#[test]
fn what_was_added_or_changed_is_asked_in_the_interpreter() {
    let mut files = files();
    let own = "package dtgate.own\n\nimport data.dtgate.lib\n\ndeny contains \"not on Sundays\" if {\n\tlib.about_tokens\n\tinput.change.name.requested == \"sunday\"\n}\n\nwarn contains \"mind the gap\" if input.change.name.requested == \"gap\"\n";
    files.insert("own.rego".to_owned(), own.to_owned());
    files
        .get_mut("naming.rego")
        .unwrap()
        .push_str("\n# Ours.\n");
    // One of two rules: the other is as it was.
    let more =
        "package dtgate.minting\n\nwarn contains \"minted\" if input.operation == \"never\"\n";
    files.insert("more.rego".to_owned(), more.to_owned());
    let (engine, trusted) = proven(&files);
    assert_eq!(
        trusted.to_string().split("; ").nth(1).unwrap(),
        "by the interpreter alone: minting, naming, own"
    );
    let mut asked = input();
    assert_eq!(
        engine.decide_quickly(&asked),
        None,
        "the interpreter takes its time"
    );
    passes_by_bytecode(&engine, &asked);
    // What the interpreter is asked about counts as much, and so does everything else then.
    asked.change.name.requested = Some(text("sunday"));
    let decision = engine.decide(&asked);
    assert_eq!(decision.evaluator, Evaluator::Interpreter);
    let policies: Vec<&str> = decision
        .violations
        .iter()
        .map(|violation| violation.policy.as_str())
        .collect();
    assert_eq!(policies, ["naming", "own"]);
    asked.change.name.requested = Some(text("gap"));
    let said = engine.decide(&asked).violations;
    assert!(
        said.iter()
            .any(|violation| violation.message == "mind the gap")
    );
}

/// The shipped policies with one of one's own, and these settings more.
fn with_own(rules: &str, settings: &str) -> Engine {
    let mut files = files();
    let own = format!("package dtgate.own\n\n{rules}\n");
    files.insert("own.rego".to_owned(), own);
    let data = files.get_mut("data.yaml").unwrap();
    *data = data.replace("modes: {}\n", settings);
    let (engine, trusted) = proven(&files);
    assert_eq!(others(trusted), ["own"]);
    engine
}

#[test]
fn a_policy_of_ones_own_that_fails_denies_and_harms_no_other_request() {
    let engine = with_own(
        "deny contains \"one\" if to_number(input.change.name.requested) == 1",
        "modes: {own: dry_run}\n",
    );
    for _ in 0..2 {
        // Of the shipped policies none looks at this one's name.
        let mut asked = input();
        asked.operation = "dashboard_sharing.read".to_owned();
        let decision = engine.decide(&asked);
        assert_eq!(decision.verdict, Verdict::Deny);
        let said: Vec<_> = decision.violations.iter().map(|it| &it.code).collect();
        assert_eq!(said, [&Some(POLICY_ERROR.to_owned())]);
        asked.change.name.requested = Some(text("2"));
        passes_by_bytecode(&engine, &asked);
        // In dry run it is recorded, which needs the interpreter.
        asked.change.name.requested = Some(text("1"));
        let decision = engine.decide(&asked);
        assert_eq!(decision.verdict, Verdict::Allow);
        assert_eq!(decision.with_effect(Effect::Record).count(), 1);
    }
}

#[test]
fn a_lookup_that_failed_denies_whoever_judges() {
    let engine = with_own("deny contains \"no\" if input.api == \"v9\"", "modes: {}\n");
    let mut asked = input();
    assert_eq!(engine.decide(&asked).evaluator, Evaluator::Bytecode);
    asked.token.as_mut().unwrap().lookup_error = Some(text("no answer"));
    let decision = engine.decide(&asked);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(decision.only_lookup_failed());
    let (engine, _) = proven(&files());
    assert_eq!(engine.decide_quickly(&asked), None);
    assert!(engine.decide(&asked).only_lookup_failed());
}

/// Engines are compared without the time of a request, which a policy of one's own may ask for.
#[test]
fn only_what_the_bytecode_answers_for_is_compared() {
    let engine = with_own(
        "deny contains \"early\" if time.now_ns() < 1",
        "modes: {}\n",
    );
    let to_check = engine.to_check().unwrap();
    assert_eq!(engine.decide(&input()).evaluator, Evaluator::Bytecode);
    engine.check(&to_check.try_recv().unwrap());
    assert!(matches!(engine.trusted(), Trusted::Bytecode { .. }));
}

#[test]
fn a_policy_that_another_file_adds_to_is_not_the_shipped_one() {
    let mut files = files();
    let more = "package dtgate.scope_budget\n\ndeny contains \"no\" if input.change.name.requested == \"never\"\n";
    files.insert("more.rego".to_owned(), more.to_owned());
    let (engine, trusted) = proven(&files);
    assert_eq!(others(trusted), ["scope_budget"]);
    let mut asked = input();
    asked.change.name.requested = Some(text("never"));
    let said = engine.decide(&asked).violations;
    assert!(said.iter().any(|violation| violation.message == "no"));
}

#[test]
fn helpers_beside_the_shipped_ones_change_nothing() {
    let mut files = files();
    let own = "package dtgate.lib\n\nown_helper if input.api == \"v3\"\n";
    files.insert("lib/own.rego".to_owned(), own.to_owned());
    assert_eq!(others(proven(&files).1), [""; 0]);
}

#[test]
fn nothing_is_as_it_was_when_the_library_is_not() {
    let reason =
        "interpreter: dtgate.lib is not the one that dtgate ships, on which its policies rest";
    let mut edited = files();
    edited.get_mut("lib/request.rego").unwrap().push('\n');
    assert_eq!(proven(&edited).1.to_string(), reason);
    // Another part of a set that is there already.
    let name = "asked_names";
    let mut added = files();
    assert!(added["lib/request.rego"].contains(&format!("\n{name} ")));
    let more = format!("package dtgate.lib\n\n{name} := set() if input.api == \"v3\"\n");
    added.insert("lib/own.rego".to_owned(), more);
    assert_eq!(proven(&added).1.to_string(), reason);
}

#[test]
fn a_library_without_its_policies_is_nothing_to_answer_for() {
    let mut files = files();
    files.retain(|name, _| {
        let is_rego = Path::new(name).extension().is_some_and(|it| it == "rego");
        name.starts_with("lib/") || !is_rego
    });
    files.insert("data.yaml".to_owned(), String::new());
    let own = "package dtgate.own\n\ndeny contains \"no\" if input.api == \"v3\"\n";
    files.insert("own.rego".to_owned(), own.to_owned());
    assert_eq!(
        proven(&files).1.to_string(),
        "interpreter: none of the policies is one that dtgate ships"
    );
}

#[test]
fn data_of_the_names_that_dtgate_uses_is_left_to_the_interpreter() {
    for name in ["dtgate_known", "dtgate_question"] {
        let mut files = files();
        files.insert(format!("{name}/data.json"), "{\"rules0\": []}".to_owned());
        let reason = format!("interpreter: the data has a member {name}");
        assert_eq!(proven(&files).1.to_string(), reason);
    }
}

/// What keeps the bytecode from all policies keeps it from those of one's own alone.
#[test]
fn what_is_shipped_is_judged_by_bytecode_where_all_cannot_be() {
    let mut files = files();
    for number in 0..260 {
        let other = (number + 1) % 260;
        let own = format!(
            "package dtgate.own{number}\n\nimport data.dtgate.own{other}\n\nis_v9 if input.api == \"v9\"\n\ndeny contains \"no\" if own{other}.is_v9\n"
        );
        files.insert(format!("own{number}.rego"), own);
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    let trusted = engine.prove(AnswersFor::All, 1, 1);
    assert_eq!(trusted.others().len(), 260);
    let said = trusted.to_string();
    assert!(said.contains("very many files"), "{said}");
    passes_by_bytecode(&engine, &input());
}
