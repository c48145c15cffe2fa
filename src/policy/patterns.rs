//! Objects that are taken apart: refused, because the engine lets pass what has more members.
//!
//! `{"a": x} := input.b`, an argument `f({"a": 1})`, or `=` hold in OPA only for an object with these members and no
//! others. The engine looks at none but these: `not is_harmless(member)` would be silent about a member with a second
//! half that is not harmless at all. Objects that are only made or compared are not its business.

use regorus::unstable::{AssignOp, Expr};

use super::bundle::Problem;
use super::check::{self, Names, Program};
use super::walk::{self, Site};

/// Refuses objects where values are taken apart.
pub(super) fn lenient(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            walk::rule(rule, &mut |site| {
                let object = match site {
                    Site::Pattern(pattern) => object(pattern),
                    Site::Operation(Expr::AssignExpr {
                        op: AssignOp::Eq,
                        lhs,
                        rhs,
                        ..
                    }) => object(lhs).or_else(|| object(rhs)),
                    // What a function answers can be taken apart by one argument more.
                    Site::Call {
                        function,
                        arguments,
                    } => {
                        let arity = program.arity(&names, function);
                        let further = arguments.iter().skip(arity);
                        further.map(AsRef::as_ref).find_map(object)
                    }
                    _ => None,
                };
                if let Some(object) = object {
                    problems.push(check::at(
                        object.span(),
                        "the engine would take any object here that has these members, and others: give the whole a \
                         name, and compare it, or its members, by ==",
                    ));
                }
            });
        }
    }
}

/// The object in a pattern, if there is one.
fn object(pattern: &Expr) -> Option<&Expr> {
    match pattern {
        Expr::Object { .. } => Some(pattern),
        Expr::Array { items, .. } => items.iter().find_map(|item| object(item)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

    fn said(rules: &str) -> Vec<String> {
        let policy =
            format!("package dtgate.p\n\nimport input.unknown_members as sent\n\n{rules}\n");
        problems(&[("p.rego", &policy)])
    }

    #[test]
    fn objects_that_are_taken_apart_are_refused() {
        for rules in [
            "ok if { {\"a\": x} := sent.b; x == 1 }",
            "ok if { [{\"a\": 1}, x] = [sent.b, 1]; x == 1 }",
            "ok if { sent.b = {\"a\": x}; x == 1 }",
            "ok if { some {\"a\": x} in sent.b; x == 1 }",
            "ok if { some k, {\"a\": x} in sent.b; x == k }",
            "f({\"a\": 1}) if true\nok if f(sent.b)",
            "f([1, {}]) if true\nok if f(sent.b)",
            "f(x) := x\nok if { f(sent.b, {\"a\": x}); x == 1 }",
            "ok if { walk(sent.b, [_, {\"a\": x}]); x == 1 }",
        ] {
            let said = said(&format!("deny contains \"x\" if not ok\n\n{rules}"));
            assert!(
                said.iter()
                    .any(|said| said.contains("has these members, and others")),
                "{rules}: {said:?}"
            );
        }
    }

    #[test]
    fn objects_that_are_made_or_compared_are_fine() {
        for rules in [
            "ok if { x := {\"a\": 1}; x == sent.b }",
            "ok if sent.b == {\"a\": 1}",
            "f(x) := {\"a\": x}\nok if { [x, y] := [f({\"b\": 1}), 2]; x.a.b == 1; y == 2 }",
            "ok if { some x in [{\"a\": 1}]; x = sent.b }",
        ] {
            let said = said(&format!("deny contains \"x\" if not ok\n\n{rules}"));
            assert_eq!(said, [""; 0], "{rules}");
        }
    }
}
