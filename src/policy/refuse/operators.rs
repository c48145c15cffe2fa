//! Operators that the engine reads otherwise than OPA.
//!
//! It takes `-y + 1` for `-(y + 1)`, and fails on it unless a number stands behind the minus.

use regorus::unstable::Expr;

use crate::policy::problem::Problem;
use crate::policy::rego::program::{Program, at};
use crate::policy::rego::walk::{self, Site};

/// Refuses a minus before what is computed.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            if let Site::Operation(Expr::UnaryExpr { span, expr, .. }) = site
                && !matches!(expr.as_ref(), Expr::Number { .. })
            {
                let message = "the engine knows a minus before a number only: write 0 - x for -x";
                problems.push(at(span, message));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

    fn said(condition: &str) -> Vec<String> {
        let rule = format!("deny contains \"x\" if {{\n\ty := 3; {condition}\n}}");
        problems(&[("p.rego", &format!("package dtgate.p\n\n{rule}\n"))])
    }

    #[test]
    fn a_minus_before_what_is_computed_is_refused() {
        for condition in [
            "-y == -3",
            "-y + 1 == -2",
            "3 * -y + 1 == -8",
            "-count(input.operation) + 5 == 1",
            "- 1 + 2 == y",
            "[-y] == [-3]",
            "x := {z | z := -y}",
            "every z in [y] { -z < y }",
            "input.api == \"v1\" with input.api as -y",
        ] {
            let said = said(condition);
            assert!(
                said.iter().any(|said| said.contains("write 0 - x for -x")),
                "{condition}: {said:?}"
            );
        }
        for condition in ["-1 + y == 2", "y - -1 == 4", "y -1 == 2", "0 - y == -3"] {
            assert_eq!(said(condition), Vec::<String>::new(), "{condition}");
        }
    }
}
