//! Rules of several steps that the engine reads otherwise than OPA: refused.
//!
//! Asked for `a.b`, the engine evaluates the rules of that name, and forgets what a rule says of all of `a`, and
//! `default a["b-c"]`. A policy that rests on it would be silent.

use regorus::unstable::Rule;

use crate::policy::problem::Problem;
use crate::policy::rego::program::{Definition, Program, at, head};
use crate::policy::rego::syntax;
use crate::policy::rego::word::follows_a_dot;

/// Refuses defaults with brackets, and rules within rules unless both are parts of one document.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    let all = program.definitions.iter();
    let parts: Vec<&Definition<'_>> = all.filter(|it| it.arity.is_none()).collect();
    for inner in &parts {
        let is_default = matches!(inner.rule, Rule::Default { .. });
        let within = |outer: &&&Definition<'_>| {
            is_within(&inner.path, &outer.path) && (is_default || !outer.is_open())
        };
        if let Some(outer) = parts.iter().find(within) {
            let name = outer.name().join(".");
            let message = format!(
                "the engine would leave out what another rule says of all of {name}: write this one as \
                 {name}[key], too, with the key given in the body"
            );
            problems.push(at(inner.rule.span(), message));
        }
        let steps = syntax::path(head(inner.rule)).unwrap_or_default();
        if is_default
            && let [_, .., step] = steps.as_slice()
            && !step.name.as_deref().is_some_and(follows_a_dot)
        {
            let message = "the engine forgets this default when the member alone is asked for: give the rule a name \
                           of its own";
            problems.push(at(head(inner.rule).span(), message));
        }
    }
}

fn is_within(inner: &[String], outer: &[String]) -> bool {
    inner.len() > outer.len() && inner.starts_with(outer)
}

#[cfg(test)]
mod tests {
    use regorus::Value;

    use crate::policy::bundle::tests::problems;
    use crate::policy::source::files::File;

    fn said(first: &str, second: &str) -> Vec<String> {
        let library = |rules: &str| format!("package dtgate.lib\n\n{rules}\n");
        let policy = "package dtgate.p\n\ndeny contains \"x\" if input.api == \"v1\"\n";
        problems(&[
            ("a.rego", &library(first)),
            ("b.rego", &library(second)),
            ("p.rego", policy),
        ])
    }

    #[test]
    fn steps_that_the_engine_reads_otherwise_are_refused() {
        for (first, second, reason) in [
            // Who asks for a.b would not be told of 2.
            (
                "a.b[k] := 2 if some k in [\"c\"]",
                "default a.b.c := 1\na.b.c := 1 if input.api == \"v1\"",
                "says of all of a.b:",
            ),
            ("a := {\"b\": 1}", "a.b := 1", "says of all of a:"),
            (
                "default a[\"b-c\"] := 1",
                "a[\"b-c\"] := 2 if input.api == \"v3\"",
                "forgets this default",
            ),
        ] {
            let said = said(first, second);
            assert!(
                !said.is_empty() && said.iter().all(|said| said.contains(reason)),
                "{first} {second}: {said:?}"
            );
        }
    }

    /// On the day that one of them is what OPA says, it need not be refused any more.
    #[test]
    fn what_is_refused_is_not_what_opa_says() {
        for (rules, opa) in [
            (
                "default a[\"b-c\"] := 1\na[\"b-c\"] := 2 if input.none\nq := data.p.a[\"b-c\"]",
                "1",
            ),
            (
                "default a.b.c := 1\na.b.c := 3 if input.none\na.b[k] := 2 if some k in [\"c\"]\nq := data.p.a.b.c",
                "2",
            ),
        ] {
            let file = File {
                path: "p.rego".to_owned(),
                name: "p.rego".to_owned(),
                text: format!("package p\n\n{rules}\n"),
            };
            let (mut rego, problems) =
                crate::policy::read::compile(&[&file], &serde_json::Map::new());
            assert!(problems.is_empty(), "{problems:?}");
            let (mut written, _) =
                crate::policy::interpreter::prepare::evaluable(&mut rego, &serde_json::Map::new())
                    .unwrap();
            for engine in [&mut rego, &mut written] {
                let said = engine.eval_rule("data.p.q".to_owned());
                let said = said.map_err(|error| error.to_string());
                assert_ne!(said, Ok(Value::from_json_str(opa).unwrap()), "{rules}");
            }
        }
    }

    #[test]
    fn other_steps_are_fine() {
        for (first, second) in [
            ("a.b := 1", "a.c := 2 if a.b == 1"),
            (
                "a.b := 1 if input.api == \"v3\"",
                "a.b := 1 if input.api == \"v2\"",
            ),
            (
                "a[k] := 1 if some k in [\"b\"]",
                "a[k] := 1 if some k in [\"c\"]\nb if a.c == 1",
            ),
            ("a.f(x) := x", "a.g(x) := 2 if a.f(x) == 1"),
            (
                "a.b contains 1 if input.api == \"v3\"",
                "b if count(a) == 1",
            ),
            (
                "a.b := 1",
                "a.c := 2 if input.api == \"v3\"\nb if count(a) == 1",
            ),
            ("a.b if input.api == \"v3\"", "default a.b := false\nb if a"),
            ("a := `b`", "b if input.unknown_members[`x`] == `a`"),
        ] {
            assert_eq!(said(first, second), [""; 0], "{first} {second}");
        }
    }
}
