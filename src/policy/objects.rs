//! Objects that the engine reads otherwise than OPA: those whose members may meet.
//!
//! Of two members with one name the engine keeps the last, and OPA the one whose name is computed.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::unstable::Expr;

use super::check::{self, Program};
use super::problem::Problem;
use super::walk::{self, Site};

/// Refuses computed members beside others.
pub(super) fn misread(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
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

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

    fn said(rules: &str) -> Vec<String> {
        let policy =
            format!("package dtgate.p\n\nimport input.unknown_members as sent\n\n{rules}\n");
        problems(&[("p.rego", &policy)])
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
