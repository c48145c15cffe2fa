//! Objects that the engine reads otherwise than OPA: those that are taken apart, and those whose members may meet.
//!
//! `{"a": x} := input.b`, an argument `f({"a": 1})`, or `=` hold in OPA only for an object with these members and no
//! others. The engine looks at none but these: `not is_harmless(member)` would be silent about a member with a second
//! half that is not harmless at all. And of two members with one name the engine keeps one, where OPA fails.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::unstable::{AssignOp, Expr};

use super::bundle::Problem;
use super::check::{self, Names, Program};
use super::walk::{self, Site};

/// Refuses objects where values are taken apart, and computed members beside others.
pub(super) fn misread(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            walk::rule(rule, &mut |site| {
                if let Site::Operation(made @ Expr::Object { .. }) = site
                    && !has_plain_members(made)
                {
                    problems.push(check::at(
                        made.span(),
                        "two members may have one name, and the engine would keep one of them: join objects by object.union",
                    ));
                }
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

/// Whether no two members of an object can have the same name.
fn has_plain_members(object: &Expr) -> bool {
    let Expr::Object { fields, .. } = object else {
        return true;
    };
    let mut seen = BTreeSet::new();
    let mut keys = fields.iter().map(|(_, key, _)| literal(key));
    fields.len() == 1 || keys.all(|key| key.is_some_and(|key| seen.insert(key)))
}

/// The value, if it stands there.
pub(super) fn literal(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::Bool { value, .. }
        | Expr::Null { value, .. }
        | Expr::Number { value, .. }
        | Expr::String { value, .. }
        | Expr::RawString { value, .. } => Some(value.clone()),
        _ => None,
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

    #[test]
    fn members_that_may_meet_are_refused() {
        for (object, refused) in [
            ("{input.api: 1, \"a\": 2}", true),
            ("{\"a\": {input.api: 1, input.operation: 2}}", true),
            ("{\"a\": 1, `a`: 2}", true),
            ("{input.api: 1}", false),
            ("{\"a\": 1, `b`: 2, 3: 4}", false),
            ("{name: 1 | some name in [\"a\", \"b\"]}", false),
        ] {
            let said = said(&format!("deny contains \"x\" if sent == {object}"));
            let is_refused = said.iter().any(|said| said.contains("may have one name"));
            assert_eq!(is_refused, refused, "{object}: {said:?}");
        }
    }
}
