//! Comparisons with `null` of what is never null: refused like a member that does not exist, because they hold for no
//! request, or for every one.
//!
//! It looks at what is compared by name, and at names that stand for such a member in the same rule.

use regorus::unstable::{AssignOp, BoolOp, Expr};

use super::ways::{self, Scope};
use crate::policy::input::{self, Presence};
use crate::policy::problem::Problem;
use crate::policy::rego::program::{Program, at, known};
use crate::policy::rego::syntax::{self, Form, form};
use crate::policy::rego::walk::Site;

/// Refuses them, with what to write instead.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    ways::sites(program, &mut |scope, site| {
        let (expr, is_negated) = match site {
            Site::Operation(Expr::BoolExpr {
                op: op @ (BoolOp::Eq | BoolOp::Ne),
                lhs,
                rhs,
                ..
            }) => (beside_null(lhs, rhs), *op == BoolOp::Ne),
            Site::Operation(Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            }) => (beside_null(lhs, rhs), false),
            Site::Call {
                function,
                arguments: [argument],
            } if program
                .builtin(&scope.definition.names, function)
                .is_some_and(|name| name == "is_null") =>
            {
                (Some(argument.as_ref()), false)
            }
            _ => return,
        };
        if let Some(expr) = expr
            && let Some(path) = member(scope, expr)
            && let Some(message) = message(&path, is_negated)
        {
            problems.push(at(expr.span(), message));
        }
    });
}

fn beside_null<'a>(one: &'a Expr, other: &'a Expr) -> Option<&'a Expr> {
    match (form(one), form(other)) {
        (_, Form::Null) => Some(one),
        (Form::Null, _) => Some(other),
        _ => None,
    }
}

/// The member of the input that is meant, if all steps to it are known. A function may be there for nulls as well,
/// whatever it is given today.
fn member(scope: &Scope<'_>, expr: &Expr) -> Option<Vec<String>> {
    let first = known(expr).into_iter().next()?;
    if syntax::arguments(scope.definition.rule).contains(first.as_str()) {
        return None;
    }
    let ways = scope.ways(expr);
    let [way] = ways.as_slice() else {
        return None;
    };
    let path: Vec<String> = way.iter().cloned().collect::<Option<_>>()?;
    (path.first()? == "input" && path.len() > 1).then_some(path)
}

fn message(path: &[String], is_negated: bool) -> Option<String> {
    let name = path.join(".");
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    Some(match (input::presence(&steps)?, is_negated) {
        (Presence::Always(nothing), false) => {
            format!(
                "{name} is never null, but always there: write `{nothing}` for one that says nothing"
            )
        }
        (Presence::Always(nothing), true) => {
            let something = nothing.replace(" == ", " != ");
            format!(
                "{name} is never null, but always there: write `{something}` for one that says something"
            )
        }
        (Presence::Flag { within, last }, false) => format!(
            "{name} is never null: where there is nothing it is absent; write `not \"{last}\" in object.keys({within})`"
        ),
        (Presence::Flag { .. }, true) => format!(
            "{name} is never null: where there is nothing it is absent; write `is_boolean({name})`"
        ),
        (Presence::Absent, false) => {
            format!("{name} is never null: where there is nothing it is absent; write `not {name}`")
        }
        (Presence::Absent, true) => {
            format!("{name} is never null: where there is nothing it is absent; write `{name}`")
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

    fn said(rules: &str) -> Vec<String> {
        let policy = format!("package dtgate.p\n\nimport input.change as asked\n\n{rules}\n");
        problems(&[("p.rego", &policy)])
    }

    #[test]
    fn what_is_never_null_is_not_compared_with_null() {
        for (body, instead) in [
            (
                "input.change.name.requested == null",
                "`not input.change.name.requested`",
            ),
            (
                "null == asked.name.requested",
                "`not input.change.name.requested`",
            ),
            (
                "is_null(input.change.name.requested)",
                "`not input.change.name.requested`",
            ),
            (
                "not is_null(input.token.current.owner)",
                "`not input.token.current.owner`",
            ),
            (
                "input.change.scopes.added != null",
                "`input.change.scopes.added`",
            ),
            ("input.token == null", "`not input.token`"),
            (
                "input.unknown_members == null",
                "`not input.unknown_members`",
            ),
            (
                "input.change.enabled.requested == null",
                "`not \"requested\" in object.keys(input.change.enabled)`",
            ),
            (
                "input.change.enabled.requested != null",
                "`is_boolean(input.change.enabled.requested)`",
            ),
            (
                "input.caller.token == null",
                "`input.caller.token.id == \"\"`",
            ),
            (
                "input.caller.token.id != null",
                "`input.caller.token.id != \"\"`",
            ),
            (
                "input.environment.data == null",
                "`input.environment.data == {}`",
            ),
            ("input.parsed_body == null", "`not input.parsed_body`"),
            (
                "{ name := input.change.name.requested; name == null }",
                "`not input.change.name.requested`",
            ),
            (
                "count([1 | input.token.lookup_error != null]) == 1",
                "`input.token.lookup_error`",
            ),
            (
                "every s in [1] { input.change.name[\"requested\"] != null }",
                "`input.change.name.requested`",
            ),
        ] {
            let said = said(&format!("deny contains \"x\" if {body}"));
            assert!(
                said.len() == 1 && said[0].contains(instead),
                "{body}: {said:?}"
            );
        }
    }

    #[test]
    fn what_may_be_null_may_be_compared() {
        for body in [
            "input.unknown_members.owner == null",
            "input.parsed_body.name == null",
            "input.environment.data.team != null",
            "object.get(input.change.name, \"requested\", null) == null",
            "data.guardrails.x == null",
            "{ some s in input.change.scopes.requested; s == null }",
        ] {
            let policy = format!("package dtgate.p\n\ndeny contains \"x\" if {body}\n");
            let files = [
                ("p.rego", policy.as_str()),
                ("data.yaml", "guardrails: {x: null}"),
            ];
            assert_eq!(problems(&files), [""; 0], "{body}");
        }
    }
}
