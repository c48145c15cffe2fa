//! Objects that the engine reads otherwise than OPA: refused, because a policy with one may let pass what it should deny.
//!
//! A pattern with members (`{"a": x} = input.b`) fits objects that have others as well, where OPA wants just those: what
//! negates it is silent. And of two members with one name the engine keeps one, where OPA fails.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::unstable::{AssignOp, Expr, Module, Ref};

use super::bundle::Problem;
use super::check;
use super::walk::{self, Site};

/// Refuses objects as patterns, and objects whose members may meet.
pub(super) fn ambiguous(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    for rule in modules.iter().flat_map(|module| &module.policy) {
        walk::rule(rule, &mut |site| match site {
            Site::Pattern(pattern) => problems.extend(taken_apart(pattern)),
            Site::Operation(Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            }) => {
                problems.extend(taken_apart(lhs));
                problems.extend(taken_apart(rhs));
            }
            Site::Operation(Expr::Object { span, fields, .. }) => {
                let mut seen = BTreeSet::new();
                let mut keys = fields.iter().map(|(_, key, _)| literal(key));
                if fields.len() > 1 && !keys.all(|key| key.is_some_and(|key| seen.insert(key))) {
                    let message = "two members may have one name, and the engine would keep one of them: join objects by object.union";
                    problems.push(check::at(span, message));
                }
            }
            _ => {}
        });
    }
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

/// An object in a pattern, however deep.
fn taken_apart(pattern: &Expr) -> Option<Problem> {
    match pattern {
        Expr::Object { span, .. } => {
            let message = "an object cannot be a pattern, because the engine would not mind what it has besides: name the members (`x := input.a.b`), or compare by ==";
            Some(check::at(span, message))
        }
        Expr::Array { items, .. } => items.iter().find_map(|item| taken_apart(item)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bundle::{Bundle, tests::directory};

    fn refused(rule: &str) -> Option<String> {
        let module = format!("package dtgate.p\n\ndeny contains \"no\" if ok\n\n{rule}\n");
        let error = Bundle::load(directory(&[("p.rego", &module)]).path()).err()?;
        error
            .problems
            .first()
            .map(|problem| problem.message.clone())
    }

    #[test]
    fn an_object_that_is_taken_apart_is_refused() {
        for rule in [
            "ok if { {\"a\": x} = input.unknown_members; x == 1 }",
            "ok if { input.unknown_members = {\"a\": x}; x == 1 }",
            "ok if { {\"a\": x} := input.unknown_members; x == 1 }",
            "ok if { [{\"a\": x}] := input.unknown_members.a; x == 1 }",
            "ok if { some {\"a\": x} in input.unknown_members; x == 1 }",
            "ok if f(input.unknown_members)\n\nf({\"a\": x}) if x == 1",
        ] {
            assert!(
                refused(rule).unwrap().contains("cannot be a pattern"),
                "{rule}"
            );
        }
        for rule in [
            "ok if { x := {\"a\": 1}; x == input.unknown_members }",
            "ok if { [x, y] := input.unknown_members.a; x == y }",
        ] {
            assert_eq!(refused(rule), None, "{rule}");
        }
    }

    #[test]
    fn members_that_may_meet_are_refused() {
        let with = |object: &str| {
            refused(&format!(
                "ok if {{ x := {object}; x == input.unknown_members }}"
            ))
        };
        assert!(
            with("{input.api: 1, \"a\": 2}")
                .unwrap()
                .contains("object.union")
        );
        assert!(with("{\"a\": {input.api: 1, input.operation: 2}}").is_some());
        assert_eq!(with("{input.api: 1}"), None);
        assert_eq!(with("{\"a\": 1, `b`: 2, 3: 4}"), None);
        assert_eq!(with("{name: 1 | some name in [\"a\", \"b\"]}"), None);
    }
}
