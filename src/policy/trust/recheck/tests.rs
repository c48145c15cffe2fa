use std::sync::Arc;
use std::time::Duration;

use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::directory;
use crate::policy::input::tests::input;
use crate::policy::trust::proof::tests::engine_of;
use crate::policy::{AnswersFor, Checking, Engine, Evaluator, Trusted};

#[test]
fn a_request_that_takes_many_steps_is_not_begun_in_a_hurry_each_time() {
    let words: Vec<String> = (0..10_000).map(|number| format!("w{number}")).collect();
    let data = format!("guardrails: {{words: [{}]}}", words.join(", "));
    let files = [
        (
            "p.rego",
            "package dtgate.p\ndeny contains \"no\" if {\n\tsome word in data.guardrails.words\n\tword == input.api\n}",
        ),
        ("data.yaml", data.as_str()),
    ];
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    engine.prove(AnswersFor::All, 1, 1);
    assert_eq!(engine.decide_quickly(&input()), None);
    assert!(engine.is_patient());
    let decision = engine.decide(&input());
    assert_eq!(
        decision.evaluator,
        Evaluator::Bytecode,
        "there is time for it"
    );
    for _ in 0..100 {
        assert_eq!(engine.decide_quickly(&input()), None);
    }
    assert!(!engine.is_patient(), "and once more in a hurry");
}

#[test]
fn one_difference_while_it_works_ends_the_trust() {
    let engine = engine_of("package dtgate.p\ndeny contains \"no\" if input.api == \"v1\"");
    // As if the compiler had made something else of it, and nobody had noticed.
    engine.trust_that_of(&engine_of(
        "package dtgate.p\ndeny contains \"no\" if input.api == \"v2\"",
    ));
    let to_check = engine.to_check().unwrap();
    assert!(engine.decide_quickly(&input()).is_some(), "it was let pass");
    engine.check(&to_check.try_recv().unwrap());
    let Trusted::Lost { difference } = engine.trusted() else {
        panic!("{}", engine.trusted());
    };
    assert_eq!(
        difference,
        "the interpreter says [[\"no\"]], the bytecode that nobody objects, of the request of \"2026-11-24T10:00:00.000Z\""
    );
    assert_eq!(engine.decide_quickly(&input()), None);
    assert_eq!(engine.decide(&input()).violations[0].message, "no");
}

#[test]
fn what_nobody_compares_any_more_is_not_trusted() {
    let engine = engine_of("package dtgate.p\ndeny contains \"no\" if input.api == \"v3\"");
    engine.prove(AnswersFor::All, 10, 1);
    assert!(engine.decide_quickly(&input()).is_some());
    let engine = Arc::new(engine);
    let panicked = std::thread::spawn({
        let checking = Checking(Arc::downgrade(&engine));
        move || {
            let _checking = checking;
            panic!("a mistake in what compares");
        }
    })
    .join();
    assert!(panicked.is_err());
    assert_eq!(
        engine.trusted().to_string(),
        "interpreter: the comparison of the engines has ended"
    );
    assert_eq!(engine.decide_quickly(&input()), None);
    assert_eq!(engine.decide(&input()).evaluator, Evaluator::Interpreter);
}

#[test]
fn one_request_in_a_while_is_compared() {
    let engine = engine_of("package dtgate.p\ndeny contains \"no\" if input.api == \"v3\"");
    engine.prove(AnswersFor::All, 10, 1);
    let to_check = engine.to_check().unwrap();
    assert!(engine.to_check().is_none(), "one thread is enough");
    assert!(engine.decide_quickly(&input()).is_some());
    let first = to_check.try_recv().unwrap();
    assert_eq!(first, input().to_rego());
    for _ in 0..3 {
        assert!(engine.decide_quickly(&input()).is_some());
        assert!(to_check.try_recv().is_err(), "the first is not done");
    }
    engine.check(&first);
    assert!(matches!(engine.trusted(), Trusted::Bytecode { .. }));
    assert!(engine.decide_quickly(&input()).is_some());
    assert!(to_check.try_recv().is_err(), "not so soon again");
    drop(engine);
    assert!(to_check.recv().is_err(), "it ends with the engine");
}
