//! What builtins say, in both engines.

pub(super) mod opa;

use std::time::Duration;

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::Map;

use super::{allowed, arity, is_known, refusal};
use crate::policy::bytecode::{Bounds, Bytecode};
use crate::policy::interpreter::Interpreter;
use crate::policy::interpreter::prepare;
use crate::policy::source::files::File;

const RULE: &str = "data.t.said";

/// What an expression is in both engines, as JSON; `undefined`, or that it fails.
pub(super) fn said(expression: &str) -> String {
    let text = format!("package t\n\nsaid contains v if {{\n\tv := {expression}\n}}\n");
    let file = File {
        path: "t.rego".to_owned(),
        name: "t.rego".to_owned(),
        text,
    };
    let (mut rego, _) = prepare::ready(&[&file], &Map::new())
        .unwrap_or_else(|problem| panic!("{expression}: {problem}"));
    let timer = ExecutionTimerConfig {
        limit: Duration::from_secs(5),
        check_interval: crate::policy::interpreter::STEPS,
    };
    rego.set_execution_timer_config(timer);
    let mut interpreter = Interpreter::clone_of(&rego);
    interpreter.begin(&Value::new_object(), 0);
    let said = match interpreter.ask(RULE) {
        Ok(values) => shown(&values),
        Err(_problem) => "fails".to_owned(),
    };
    if let Ok(bytecode) = Bytecode::compile(&mut rego, &[RULE.to_owned()], timer) {
        let computed = match bytecode.ask(&Value::new_object(), Bounds::MOST) {
            Ok(answers) => shown(&answers[0_usize][0_usize]),
            Err(_silence) => "fails".to_owned(),
        };
        assert_eq!(computed, said, "{expression}");
    }
    said
}

/// The only member of a set.
fn shown(values: &Value) -> String {
    let first = values.as_set().unwrap().first();
    first.map_or_else(
        || "undefined".to_owned(),
        |value| serde_json::to_string(value).unwrap(),
    )
}

/// Asserts what expressions are, in both engines.
pub(super) fn assert_said(rows: &[(&str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(expression, expected)| {
            let said = said(expression);
            (said != *expected).then(|| format!("{expression} is {said}, not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_does_not_repeat_is_refused() {
    for name in [
        "http.send",
        "io.jwt.encode_sign",
        "io.jwt.encode_sign_raw",
        "crypto.x509.parse_certificates",
        "rand.intn",
        "rego.metadata.rule",
    ] {
        assert!(refusal(name).is_some(), "{name}");
    }
    for name in [
        "time.now_ns",
        "io.jwt.decode_verify",
        "print",
        "count",
        "regex.match",
        "randomly",
    ] {
        assert!(refusal(name).is_none(), "{name}");
    }
}

/// The names of OPA's builtins, and how many arguments each takes (`opa capabilities`).
const OPAS: &str = include_str!("tests/opa.txt");

#[test]
fn every_builtin_of_opa_is_there_or_refused() {
    for line in OPAS.lines() {
        let (name, arguments) = line.split_once(' ').unwrap();
        assert!(is_known(name) || refusal(name).is_some(), "{name}");
        // OPA counts no arguments where there may be any number, and the one that `walk` and `print` have of their own.
        if refusal(name).is_none() && name != "print" {
            let arguments: usize = arguments.parse().unwrap();
            assert_eq!(arity(name), Some(arguments), "{name}");
        }
    }
}

/// A new version of the engine must not slip in a builtin that nobody has looked at.
#[test]
fn the_engine_has_no_unexamined_builtin_that_could_reach_outside() {
    let suspicious: Vec<_> = allowed()
        .into_iter()
        .filter(|name| {
            ["http", "rand", "runtime", "lookup", "now", "uuid"]
                .iter()
                .any(|part| name.contains(part))
        })
        .collect();
    assert_eq!(suspicious, ["time.now_ns", "uuid.parse"]);
}
