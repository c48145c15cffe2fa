//! Uses of `with` that the engine takes otherwise than OPA: refused, because what they guard would be let pass.
//!
//! To find what is put in place, the engine evaluates rules, and takes them for done when it begins with the replaced
//! documents, where they have no value: they are undefined in what follows. It replaces a function of the policies only
//! where it is called by the very same words, and functions of other packages that have its name with it. Where several
//! things are replaced it notices only of the last that there is nothing to put there. And what a `some .. in` replaces
//! stays replaced until the end of the body. This file looks at policies alone; it refuses to know about tests.

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Ref};

use super::bundle::Problem;
use super::check::{self, Names, Program};
use super::heads;
use super::walk::{self, Site};

/// Refuses what a policy must not replace, or not in this way.
pub(super) fn misread(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            walk::rule(rule, &mut |site| {
                if let Site::Replacing(statement) = site {
                    replacing(program, module, &names, statement, problems);
                }
            });
        }
    }
}

fn replacing(
    program: &Program<'_>,
    module: &Ref<Module>,
    names: &Names<'_>,
    statement: &LiteralStmt,
    problems: &mut Vec<Problem>,
) {
    if let (Literal::SomeIn { collection, .. }, Some(first)) =
        (&statement.literal, statement.with_mods.first())
    {
        let message = "the engine would go on with this until the end of the body: bind what is looked through to a \
                       name first (`found := ... with ...`)";
        let place = match collection.as_ref() {
            Expr::Var { span, .. } => span,
            _ => first.refr.span(),
        };
        problems.push(check::at(place, message));
    }
    let outer = heads::names(module);
    let is_there =
        |expr: &Expr| matches!(expr, Expr::Var { span, .. } if !outer.contains(span.text()));
    for (number, replacement) in statement.with_mods.iter().enumerate() {
        let target = walk::fixed_path(&replacement.refr).unwrap_or_default();
        if program.is_function(names, &target) {
            let message = format!(
                "the engine would replace {} only where it is called by these words: give the function another argument \
                 instead",
                target.join(".")
            );
            problems.push(check::at(replacement.refr.span(), message));
        }
        let value = replacement.r#as.as_ref();
        let is_own = target.first().is_some_and(|first| {
            !matches!(first.as_str(), "data" | "input") && !names.imports.contains_key(first)
        });
        if is_own && program.is_rule(names, &target) && !program.is_function(names, &target) {
            let path = [names.package.as_slice(), &target].concat().join(".");
            let message =
                format!("the engine replaces rules by their whole path only: write {path}");
            problems.push(check::at(replacement.refr.span(), message));
        }
        // A function in place of one of the engine's is no value.
        let is_function =
            walk::fixed_path(value).is_some_and(|path| program.is_function(names, &path));
        if !is_function && evaluates(program, names, value) {
            problems.push(check::at(
                value.span(),
                "the engine would take the rules that it evaluates for this for undefined in the statement: bind it to \
                 a name first (`value := ...`) and use that name behind `as`",
            ));
        }
        let is_last = number + 1 == statement.with_mods.len();
        if !is_last && !is_function && heads::vanishing(value, &is_there).is_some() {
            problems.push(check::at(
                value.span(),
                "this may be undefined, and the engine would go on: bind it to a name first (`value := ...`) and use \
                 that name behind `as`",
            ));
        }
    }
}

/// Whether an expression asks for rules or functions of the policies.
fn evaluates(program: &Program<'_>, names: &Names<'_>, expr: &Expr) -> bool {
    let mut evaluates = false;
    walk::expression(expr, &mut |site| {
        evaluates |= match site {
            Site::Reference(reference) => program.is_rule(names, &check::known(reference)),
            Site::Call { function, .. } => {
                walk::fixed_path(function).is_some_and(|path| program.is_function(names, &path))
            }
            _ => false,
        };
    });
    evaluates
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

    const LIBRARY: &str = "package dtgate.lib

name := \"a\"

matches if input.operation == name

check(x) if x == name

fine if check(input.operation)
";

    fn said(rules: &str) -> Vec<String> {
        let policy = format!("package dtgate.p\n\nimport data.dtgate.lib\n\n{rules}\n");
        problems(&[("lib.rego", LIBRARY), ("p.rego", &policy)])
    }

    #[test]
    fn a_replacement_that_the_engine_takes_otherwise_is_refused() {
        for (rules, reason) in [
            // Nobody would object: lib.name is undefined within.
            (
                "deny contains \"x\" if lib.matches with input.operation as lib.name",
                "undefined in the statement",
            ),
            (
                "deny contains \"x\" if lib.matches with input.unknown_members as {\"a\": [lib.name]}",
                "undefined in the statement",
            ),
            (
                "f(x) := lib.name if x\ndeny contains \"x\" if lib.matches with input.operation as f(1)",
                "undefined in the statement",
            ),
            (
                "r := \"a\"\ndeny contains \"x\" if [lib.matches | true] with input.operation as r",
                "undefined in the statement",
            ),
            (
                "deny contains \"x\" if lib.fine with lib.check as true",
                "replace lib.check only where",
            ),
            (
                "deny contains \"x\" if lib.fine with data.dtgate.lib.check as true",
                "replace data.dtgate.lib.check only where",
            ),
            (
                "r := 1\ndeny contains \"x\" if r == 2 with r as 2",
                "write data.dtgate.p.r",
            ),
            (
                "f(x) if x == 2\ndeny contains \"x\" if f(1) with f as true",
                "replace f only where",
            ),
            (
                "default f(_) := false\ndeny contains \"x\" if f(1) with f as true",
                "replace f only where",
            ),
            (
                "deny contains \"x\" if not lib.matches with input.api as input.unknown_members.x with input.operation as \"b\"",
                "this may be undefined",
            ),
            (
                "deny contains x if { some x in input.change.scopes.requested with input.api as \"v3\"; input.api == \"v1\" }",
                "end of the body",
            ),
        ] {
            let said = said(rules);
            assert!(
                said.len() == 1 && said[0].contains(reason),
                "{rules}: {said:?}"
            );
        }
    }

    /// A variable is not what lies in a package of its name.
    #[test]
    fn a_variable_may_be_called_like_a_package_within() {
        let inner = "package dtgate.lib.x\n\nr := 1\n";
        let library = format!("{LIBRARY}\nf(x) if matches with input.operation as x\n");
        let policy = "package dtgate.p\n\ndeny contains \"x\" if data.dtgate.lib.f(\"a\")\n";
        let files = [
            ("x.rego", inner),
            ("lib.rego", &library),
            ("p.rego", policy),
        ];
        assert_eq!(problems(&files), [""; 0]);
    }

    #[test]
    fn other_replacements_are_fine() {
        for rules in [
            "deny contains \"x\" if { name := lib.name; lib.matches with input.operation as name }",
            "deny contains \"x\" if lib.matches with input.operation as input.api",
            "deny contains \"x\" if lib.matches with input.api as \"v3\" with input.operation as \"a\"",
            "deny contains \"x\" if { some x in [\"a\"]; lib.matches with input.api as x with input.operation as input.api }",
            "deny contains \"x\" if lib.matches with lib.name as \"b\"",
            "deny contains \"x\" if count([1]) == 2 with count as 2",
            "seven(_) := 7\ndeny contains \"x\" if count([1]) == 7 with count as seven",
            "deny contains \"x\" if every x in [1] { x == 1 } with input.api as \"v3\"",
        ] {
            assert_eq!(said(rules), [""; 0], "{rules}");
        }
    }
}
