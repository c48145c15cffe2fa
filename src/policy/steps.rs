//! Rules and references of several steps that the engine reads otherwise than OPA: refused.
//!
//! Asked for `a.b`, the engine evaluates the rules of that name, and forgets `default a["b"]`, and that `a[key]` may say what
//! `a.b` is as well. It takes `` a[`b`] `` for a step that is only known later, and evaluates a whole package to take it,
//! or nothing. And below a `with` there is no `a` as long as no rule in it holds, where OPA has an empty one. A policy
//! that rests on any of these would be silent.

use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead};

use super::check::{self, Names, Path};
use super::heads;
use super::problem::Problem;
use super::walk::{self, Site};

/// One definition of a rule that is no function.
struct Part<'a> {
    rule: &'a Rule,
    /// Its name up to the first step that is computed, with its package.
    known: Path,
    /// How many steps of it are the package.
    package: usize,
    /// Whether there is something of that name even if no body holds.
    is_there: bool,
}

/// Refuses defaults with brackets, rules within rules, names in backquotes, and references to what other rules are in.
pub(super) fn misread(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    let parts: Vec<Part<'_>> = modules
        .iter()
        .flat_map(|module| module.policy.iter().filter_map(|rule| part(module, rule)))
        .collect();
    for inner in &parts {
        let within = |outer: &&Part<'_>| is_within(&inner.known, &outer.known);
        if let Some(outer) = parts.iter().find(within) {
            let name = outer
                .known
                .get(outer.package..)
                .unwrap_or_default()
                .join(".");
            let message = format!(
                "the engine would leave out what another rule says of all of {name}: write this one as \
                 {name}[key], too, with the key given in the body"
            );
            problems.push(check::at(inner.rule.span(), message));
        }
    }
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            backquoted(check::head(rule), problems);
            if let Rule::Default { refr, .. } = rule.as_ref()
                && matches!(refr.as_ref(), Expr::RefBrack { .. })
            {
                let message = "the engine forgets this default when the member alone is asked for: write it with a dot, \
                               or give the rule a name of its own";
                problems.push(check::at(refr.span(), message));
            }
            walk::rule(rule, &mut |site| {
                let Site::Reference(reference) = site else {
                    return;
                };
                let known = check::known(reference);
                let is_data = |path: &Path| path.first().is_some_and(|first| first == "data");
                if is_data(&names.resolve(&known)) {
                    backquoted(reference, problems);
                }
                if walk::fixed_path(reference).is_some() {
                    emptied(&parts, &names, reference, &known, problems);
                }
            });
        }
    }
}

fn part<'a>(module: &Module, rule: &'a Rule) -> Option<Part<'a>> {
    if check::function(rule).is_some() {
        return None;
    }
    let package = check::package(module);
    let head = check::head(rule);
    let name = check::known(head);
    let is_there = match rule {
        Rule::Default { .. }
        | Rule::Spec {
            head: RuleHead::Set { key: Some(_), .. },
            ..
        } => true,
        Rule::Spec {
            head: RuleHead::Compr { assign, .. },
            bodies,
            ..
        } => {
            let value = assign.as_ref().map(|assign| assign.value.as_ref());
            let is_value = |expr: &Expr| heads::vanishing(expr, &|_| false).is_none();
            let is_open = walk::path(head).is_some_and(|path| path.len() == name.len() + 1);
            is_open || (bodies.is_empty() && value.is_none_or(is_value))
        }
        Rule::Spec { .. } => false,
    };
    Some(Part {
        rule,
        package: package.len(),
        known: [package, name].concat(),
        is_there,
    })
}

fn is_within(inner: &[String], outer: &[String]) -> bool {
    inner.len() > outer.len() && inner.starts_with(outer)
}

/// Refuses names in backquotes as steps.
fn backquoted(reference: &Expr, problems: &mut Vec<Problem>) {
    let is_raw = |index: &&Expr| matches!(index, Expr::RawString { .. });
    if let Some(index) = heads::brackets(reference).into_iter().find(is_raw) {
        let message =
            "the engine takes backquotes here for something to be computed: write \"...\" instead";
        problems.push(check::at(index.span(), message));
    }
}

/// Refuses references to what rules are in of which perhaps none holds.
fn emptied(
    parts: &[Part<'_>],
    names: &Names<'_>,
    reference: &Expr,
    known: &[String],
    problems: &mut Vec<Problem>,
) {
    for path in names.functions(known) {
        let mut within = parts
            .iter()
            .filter(|part| path.len() > part.package && is_within(&part.known, &path))
            .peekable();
        if within.peek().is_some() && !within.any(|part| part.is_there) {
            let name = known.join(".");
            let message = format!(
                "below a `with` the engine knows no {name} unless a rule in it holds: name one of these rules, or make \
                 {name} a rule of its own"
            );
            problems.push(check::at(reference.span(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::problems;

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
                "a.b := 1 if input.api == \"v3\"",
                "a[k] := 2 if some k in [\"b\"]",
                "says of all of a:",
            ),
            (
                "a[k] contains 2 if some k in [\"b\"]",
                "a.b contains 1 if input.api == \"v3\"",
                "says of all of a:",
            ),
            (
                "a.b[k] := 2 if some k in [\"c\"]",
                "default a.b.c := 1\na.b.c := 1 if input.api == \"v1\"",
                "says of all of a.b:",
            ),
            ("a := {\"b\": 1}", "a.b := 1", "says of all of a:"),
            ("a := 1", "b if data.dtgate.lib[`a`]", "backquotes"),
            ("a := 1", "b if data[`dtgate`].lib.a", "backquotes"),
            (
                "a := 1",
                "import data.dtgate.lib\nb if lib[`a`]",
                "backquotes",
            ),
            ("a := 1", "b[`c`] := 1", "backquotes"),
            (
                "default a[\"b\"] := 1",
                "a.b := 2 if input.api == \"v3\"",
                "forgets this default",
            ),
            (
                "a.b if input.api == \"v3\"\na.c if input.api == \"v2\"",
                "b if not a",
                "knows no a unless",
            ),
            (
                "a.b.c if input.api == \"v3\"",
                "import data.dtgate.lib as l\nb if count(l.a.b) == 0",
                "knows no l.a.b unless",
            ),
        ] {
            let said = said(first, second);
            assert!(
                !said.is_empty() && said.iter().all(|said| said.contains(reason)),
                "{first} {second}: {said:?}"
            );
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
