//! Rules of which the engine forgets a part: refused, because a policy with one lets pass what it should deny.
//!
//! Where a rule finds several things, the interpreter (regorus 0.14) drops all that it has found when the head of
//! one is undefined, and fails when another follows: `deny contains data.reasons[scope] if some scope in ...` would be
//! silent about a forbidden scope when one without a reason follows. OPA leaves out only that one. What the body
//! binds is always defined, so `reason := data.reasons[scope]` in the body and `reason` in the head mean the same
//! in both. A second body (`p := 5 if { .. } { .. }`) has no value in it at all, and a name that `every` binds
//! is not known as one in some places (`every s in scopes { allowed[s] }` looks for any, `s = "a"` assigns).

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, Expr, Literal, Module, Ref, Rule, RuleHead, Span};

use super::bundle::Problem;
use super::check::{self, Names, Program};
use super::walk::{self, Site};

/// Builtins that always answer when their arguments are there, or fail, which denies.
const ANSWERING: [&str; 13] = [
    "concat",
    "count",
    "format_int",
    "json.marshal",
    "lower",
    "object.get",
    "replace",
    "sort",
    "split",
    "sprintf",
    "substring",
    "trim_space",
    "upper",
];

/// Refuses heads that may be undefined for some of what the body finds.
pub(super) fn forgetful(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            if let Rule::Spec { bodies, .. } = &**rule
                && let Some(second) = bodies.iter().skip(1).find(|body| !body.is_else)
            {
                problems.push(check::at(
                    &second.span,
                    "a rule has one body, because the engine would forget its value in a second: write another rule",
                ));
            }
            loose_in_every(program, &names, rule, problems);
            let fixed = fixed(module, rule);
            if !finds_several(rule, &fixed) {
                continue;
            }
            // A name that is not fixed is one that the body binds: it has a value.
            let is_there = |expr: &Expr| matches!(expr, Expr::Var { .. }) || is_fixed(expr, &fixed);
            let outputs = outputs(rule);
            for part in outputs
                .iter()
                .filter_map(|output| vanishing(output, &is_there))
            {
                problems.push(check::at(
                    part.span(),
                    "this may be undefined for the last thing that the rule finds, and the engine would then forget \
                     the others: bind it to a name in the body (`found := ...`) and use that name in the head",
                ));
            }
        }
    }
}

/// Refuses uses of a name that `every` binds where the engine does not know that it is bound: as an index it would
/// stand for any, and where a name may be given a value (`=`, one argument more than a function has) it would get
/// another one. Calls in an index are refused with it, to be safe.
fn loose_in_every(
    program: &Program<'_>,
    names: &Names<'_>,
    rule: &Rule,
    problems: &mut Vec<Problem>,
) {
    walk::rule(rule, &mut |site| {
        let Site::Every { key, value, query } = site else {
            return;
        };
        let bound: Vec<&str> = key.into_iter().chain([value]).map(Span::text).collect();
        let uses = |expr: &Expr| {
            let mut uses = false;
            walk::expression(expr, &mut |site| {
                if let Site::Reference(inner) = site {
                    let first = check::known(inner).into_iter().next();
                    uses |= first.is_some_and(|first| bound.contains(&first.as_str()));
                }
            });
            uses
        };
        walk::query(query, &mut |site| {
            let (place, message) = match site {
                Site::Reference(reference) => (
                    brackets(reference).into_iter().find(|index| uses(index)),
                    "the engine looks at all members instead of the one that `every` is at: look it up in a function, \
                     and call that",
                ),
                Site::Operation(Expr::AssignExpr {
                    op: AssignOp::Eq,
                    lhs,
                    rhs,
                    ..
                }) => (
                    [lhs, rhs]
                        .into_iter()
                        .map(Ref::as_ref)
                        .find(|side| uses(side)),
                    "the engine gives this name a new value instead of comparing: write ==",
                ),
                Site::Call {
                    function,
                    arguments,
                } => {
                    let arity = program.arity(names, function);
                    let further = arguments.iter().skip(arity).map(Ref::as_ref);
                    (
                        further
                            .chain(brackets(function))
                            .find(|further| uses(further)),
                        "the engine gives this name a new value instead of comparing: compare the result with ==",
                    )
                }
                _ => return,
            };
            if let Some(place) = place {
                problems.push(check::at(place.span(), message));
            }
        });
    });
}

/// The names that mean the same whatever a body finds: rules, imports, the arguments of a function.
pub(super) fn fixed(module: &Module, rule: &Rule) -> BTreeSet<String> {
    let mut fixed = names(module);
    let Rule::Spec { head, bodies, .. } = rule else {
        return fixed;
    };
    if let RuleHead::Func { args, .. } = head {
        walk::patterns(args, &mut |site| {
            if let Site::Binding(span) = site {
                fixed.insert(span.text().to_owned());
            }
        });
    }
    // A name that a body binds hides whatever else has it.
    for statement in bodies.iter().flat_map(|body| &body.query.stmts) {
        walk::statement(statement, &mut |site| {
            if let Site::Binding(span) = site {
                fixed.remove(span.text());
            }
        });
    }
    fixed
}

/// The names that a module has from outside its rules' bodies.
pub(super) fn names(module: &Module) -> BTreeSet<String> {
    let heads = module
        .policy
        .iter()
        .map(|rule| check::known(check::head(rule)));
    let mut names: BTreeSet<String> = heads.filter_map(|head| head.into_iter().next()).collect();
    names.extend(Names::of(module).imports.into_keys());
    names.extend(["data".to_owned(), "input".to_owned()]);
    names
}

/// Whether a body, or the head itself, may hold for more than one thing.
pub(super) fn finds_several(rule: &Rule, fixed: &BTreeSet<String>) -> bool {
    let Rule::Spec { bodies, .. } = rule else {
        return false;
    };
    let mut several = false;
    // What a body gives a value is one thing, and what is looked up by it.
    let mut single = fixed.clone();
    for statement in bodies.iter().flat_map(|body| &body.query.stmts) {
        match &statement.literal {
            Literal::SomeIn { .. } | Literal::SomeVars { .. } => several = true,
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr {
                    op: AssignOp::ColEq,
                    lhs,
                    ..
                } = expr.as_ref()
                {
                    walk::patterns(std::slice::from_ref(lhs), &mut |site| {
                        if let Site::Binding(span) = site {
                            single.insert(span.text().to_owned());
                        }
                    });
                }
            }
            Literal::NotExpr { .. } | Literal::Every { .. } => {}
        }
    }
    // What a comprehension looks through it looks through alone.
    let mut inner: BTreeSet<*const Expr> = BTreeSet::new();
    walk::rule(rule, &mut |site| match site {
        Site::Operation(expr) if walk::is_comprehension(expr) => {
            walk::expression(expr, &mut |site| {
                if let Site::Reference(reference) = site {
                    inner.insert(std::ptr::from_ref(reference));
                }
            });
        }
        Site::Reference(reference) if !inner.contains(&std::ptr::from_ref(reference)) => {
            several |= brackets(reference)
                .iter()
                .any(|index| !is_fixed(index, &single));
        }
        // It finds everything below its argument.
        Site::Call { function, .. } => {
            several |= check::dotted(function).is_none_or(|name| name == ["walk"]);
        }
        _ => {}
    });
    several
}

/// Everything that a rule says its names and values are.
pub(super) fn outputs(rule: &Rule) -> Vec<&Expr> {
    let Rule::Spec { head, bodies, .. } = rule else {
        return Vec::new();
    };
    let (name, value) = match head {
        RuleHead::Compr { refr, assign, .. } | RuleHead::Func { refr, assign, .. } => {
            (refr, assign.as_ref().map(|assign| &assign.value))
        }
        RuleHead::Set { refr, key, .. } => (refr, key.as_ref()),
    };
    let mut outputs = brackets(name);
    outputs.extend(value.map(Ref::as_ref));
    let others = bodies.iter().filter_map(|body| body.assign.as_ref());
    outputs.extend(others.map(|assign| assign.value.as_ref()));
    outputs
}

/// What stands in the brackets of a reference.
pub(super) fn brackets(reference: &Expr) -> Vec<&Expr> {
    let mut brackets: Vec<&Expr> = Vec::new();
    let mut current = reference;
    loop {
        match current {
            Expr::RefBrack { refr, index, .. } => {
                brackets.push(index);
                current = refr;
            }
            Expr::RefDot { refr, .. } => current = refr,
            _ => return brackets,
        }
    }
}

/// The first part of an expression that may be undefined; `is_there`: what is known not to be.
pub(super) fn vanishing<'a>(expr: &'a Expr, is_there: &dyn Fn(&Expr) -> bool) -> Option<&'a Expr> {
    let each = |parts: &'a [Ref<Expr>]| parts.iter().find_map(|part| vanishing(part, is_there));
    match expr {
        _ if is_there(expr) => None,
        // A comprehension leaves out what is undefined.
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::ArrayCompr { .. }
        | Expr::SetCompr { .. }
        | Expr::ObjectCompr { .. } => None,
        Expr::Array { items, .. } | Expr::Set { items, .. } => each(items),
        Expr::Object { fields, .. } => fields.iter().find_map(|(_, key, value)| {
            vanishing(key, is_there).or_else(|| vanishing(value, is_there))
        }),
        Expr::Call { fcn, params, .. } => {
            let name = check::dotted(fcn).unwrap_or_default().join(".");
            if ANSWERING.contains(&name.as_str()) {
                each(params)
            } else {
                Some(expr)
            }
        }
        _ => Some(expr),
    }
}

/// Whether nothing in an expression changes from one thing that is found to the next.
fn is_fixed(expr: &Expr, fixed: &BTreeSet<String>) -> bool {
    let mut same = true;
    walk::expression(expr, &mut |site| {
        same &= match site {
            Site::Reference(reference) => check::known(reference)
                .first()
                .is_none_or(|first| fixed.contains(first)),
            Site::Call { .. } | Site::Operation(_) | Site::Members(_) | Site::Pattern(_) => true,
            Site::Binding(_)
            | Site::Declared(_)
            | Site::Every { .. }
            | Site::Replacing(_)
            | Site::With(_) => false,
        }
    });
    same
}

#[cfg(test)]
mod tests;
