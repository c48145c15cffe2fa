use super::*;
use crate::policy::Engine;
use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::directory;
use crate::policy::interpreter::Interpreter;
use crate::policy::question::says_nothing;
use crate::policy::source::files::Tree;
use crate::policy::trust::proof;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

const DATA: &str = "teams: {a: {words: [x, y]}, b: {words: [z]}}\n";

/// What the interpreter gets of a policy, without and with its constants evaluated.
fn both(policy: &str) -> [String; 2] {
    let policy = format!("package dtgate.p\n\nimport data.teams\n\n{policy}");
    let files = [("p.rego", policy.as_str()), ("data.yaml", DATA)];
    let mut bundle = Bundle::load(directory(&files).path()).unwrap();
    let modules = bundle.rego.get_modules().clone();
    let before = modules
        .iter()
        .map(|module| module.package.span.source.get_contents().as_str());
    let before = before.collect();
    let (texts, _) = evaluated(&mut bundle.rego).unwrap();
    [before, texts.into_iter().map(|(_, text)| text).collect()]
}

/// What the interpreter gets of a policy.
fn written(policy: &str) -> String {
    let [_, with] = both(policy);
    with
}

fn problems(policy: &str) -> String {
    let policy = format!("package dtgate.p\n\n{policy}");
    let files = [("p.rego", policy.as_str()), ("data.yaml", DATA)];
    let directory = directory(&files);
    let error = Bundle::load(directory.path()).unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn what_is_the_same_for_every_request_is_its_value() {
    let text = written(
        "words contains word if {\n\tsome team in teams\n\tsome word in team.words\n}\n\nmost := 3\n\ndefault little := 1\n\nlittle := 2 if most > 5\n\ndeny contains word if {\n\tsome word in words\n\tword == input.api\n}\n",
    );
    assert!(
        text.contains("\nwords := data.dtgate_known.r2\n\n\n\n\nmost := "),
        "{text}"
    );
    assert!(text.contains("\nmost := data.dtgate_known.r1\n"), "{text}");
    assert!(
        text.contains("\nlittle := data.dtgate_known.r0\n\n\n\ndeny contains"),
        "{text}"
    );
}

#[test]
fn what_rests_on_the_request_stays_and_so_do_functions_and_parts_of_objects() {
    for rule in [
        "api := input.api\n",
        "now := time.now_ns()\n",
        "read := io.jwt.decode_verify(\"e30.e30.\", {\"secret\": \"a\"})\n",
        "late if now > 1\n\nnow := time.now_ns()\n",
        "f(x) := x + 1\n",
        "kind.a := 1\n\nkind.b := 2\n",
        "nothing := 1 if 1 > 2\n",
    ] {
        let policy = format!("{rule}\ndeny contains \"x\" if input.api == \"v3\"\n");
        let [before, with] = both(&policy);
        assert_eq!(before, with);
    }
}

/// The rule is evaluated again below a `with`.
#[test]
fn nothing_is_evaluated_beforehand_where_a_policy_replaces_something() {
    let policy = "most := data.teams.a\n\ndeny contains \"x\" if {\n\tsame := most with data.teams.a as input.api\n\tsame == \"v1\"\n}\n";
    let [before, with] = both(policy);
    assert_eq!(before, with);
}

#[test]
fn what_cannot_be_evaluated_is_told_with_its_place_when_it_is_loaded() {
    assert_eq!(
        problems("deny contains \"x\" if input.api == most\n\nmost := 1 / 0\n"),
        "p.rego:5:9: div: divide by zero"
    );
    assert_eq!(
        problems("deny contains \"x\" if input.api == most\n\nmost := n if some n in {1, 2}\n"),
        "p.rego:5:1: rules must not produce multiple outputs"
    );
    assert_eq!(
        problems("deny contains \"x\" if a\n\na if b\n\nb if a\n"),
        "p.rego:5:1: the rule rests on itself"
    );
}

#[test]
fn policies_with_their_constants_evaluated_say_what_they_say_without() {
    let engine = Engine::new(Bundle::load(SHIPPED).unwrap(), Duration::from_secs(5));
    let bundle = Bundle::load(SHIPPED).unwrap();
    let (mut with, mut without) = (
        Interpreter::clone_of(&bundle.evaluated),
        Interpreter::clone_of(&bundle.rego),
    );
    let tree = Tree::read(&[SHIPPED]);
    let names: Vec<&str> = engine.names().collect();
    let of_tests = proof::inputs_of_tests(&tree, &names);
    let words = proof::words(&tree);
    let made_up = proof::made_up(&words, engine.all_reads(), 11).take(100);
    let mut objected = 0;
    for request in of_tests.into_iter().chain(made_up) {
        let mut said = [&mut with, &mut without].map(|interpreter| {
            interpreter.begin(&request, 0);
            interpreter.ask_together(&engine.all_rules()).unwrap()
        });
        let [with, without] = &mut said;
        assert_eq!(with, without, "{request}");
        objected += usize::from(with.iter().any(|said| !says_nothing(said)));
    }
    assert!(objected > 50, "{objected}");
}
