//! What is certain about heads and bodies: which names are fixed, whether a body finds several things, and what may have
//! no value. It looks at rules as they are written out for the engines.

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, Expr, Literal, Module, Ref, Rule, RuleHead};

use super::program::Names;
use super::walk::Site;
use super::{program, walk};

/// Builtins that always answer when their arguments are there, or fail, which denies.
pub(in crate::policy) const ANSWERING: [&str; 18] = [
    "concat",
    "count",
    "div",
    "format_int",
    "json.marshal",
    "lower",
    "minus",
    "mul",
    "object.get",
    "plus",
    "rem",
    "replace",
    "sort",
    "split",
    "sprintf",
    "substring",
    "trim_space",
    "upper",
];

/// The names that mean the same whatever a body finds: rules, imports, the arguments of a function.
pub(in crate::policy) fn fixed(module: &Module, rule: &Rule) -> BTreeSet<String> {
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
pub(in crate::policy) fn names(module: &Module) -> BTreeSet<String> {
    let heads = module
        .policy
        .iter()
        .map(|rule| program::known(program::head(rule)));
    let mut names: BTreeSet<String> = heads.filter_map(|head| head.into_iter().next()).collect();
    names.extend(Names::of(module).imports.into_keys());
    names.extend(["data".to_owned(), "input".to_owned()]);
    names
}

/// Whether a body, or the head itself, may hold for more than one thing.
pub(in crate::policy) fn finds_several(rule: &Rule, fixed: &BTreeSet<String>) -> bool {
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
            several |= program::dotted(function).is_none_or(|name| name == ["walk"]);
        }
        _ => {}
    });
    several
}

/// Everything that a rule says its names and values are.
pub(in crate::policy) fn outputs(rule: &Rule) -> Vec<&Expr> {
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
pub(in crate::policy) fn brackets(reference: &Expr) -> Vec<&Expr> {
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
pub(in crate::policy) fn vanishing<'a>(
    expr: &'a Expr,
    is_there: &dyn Fn(&Expr) -> bool,
) -> Option<&'a Expr> {
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
            let (name, params) = program::called(fcn, params);
            let name = name.unwrap_or_default().join(".");
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
            Site::Reference(reference) => program::known(reference)
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
