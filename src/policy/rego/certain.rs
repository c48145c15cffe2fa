//! What is certain about heads and bodies: whether a body finds several things, and what may have no value. It looks at
//! rules as they are written out for the engines.

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, Expr, Literal, Rule, Span};

use super::program::{self, Definition, Program};
use super::syntax::{self, Form};
use super::walk::{self, Site};

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

/// Whether a body, or the head itself, may hold for more than one thing.
pub(in crate::policy) fn finds_several(program: &Program<'_>, definition: &Definition<'_>) -> bool {
    let rule = definition.rule;
    let Rule::Spec { bodies, .. } = rule else {
        return false;
    };
    let mut several = false;
    // What a name of the bodies hides, and the names that have one value: what a body assigns, and what is looked up by
    // that.
    let (mut hidden, mut single) = (BTreeSet::new(), BTreeSet::new());
    for statement in bodies.iter().flat_map(|body| &body.query.stmts) {
        let bound = walk::bound(|see| walk::statement(statement, see));
        hidden.extend(bound.into_iter().map(Span::text));
        match &statement.literal {
            Literal::SomeIn { .. } | Literal::SomeVars { .. } => several = true,
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr {
                    op: AssignOp::ColEq,
                    lhs,
                    ..
                } = expr.as_ref()
                {
                    let pattern = std::slice::from_ref(lhs);
                    let bound = walk::bound(|see| walk::patterns(pattern, see));
                    single.extend(bound.into_iter().map(Span::text));
                }
            }
            Literal::NotExpr { .. } | Literal::Every { .. } => {}
        }
    }
    let arguments = syntax::arguments(rule);
    let is_fixed = |name: &str| {
        let is_outer = arguments.contains(name) || program.is_global(&definition.names, name);
        single.contains(name) || (is_outer && !hidden.contains(name))
    };
    // What a comprehension looks through it looks through alone.
    let mut inner: BTreeSet<*const Expr> = BTreeSet::new();
    walk::rule(rule, &mut |site| match site {
        Site::Operation(expr) if syntax::comprehension(expr).is_some() => {
            walk::expression(expr, &mut |site| {
                if let Site::Reference(reference) = site {
                    inner.insert(std::ptr::from_ref(reference));
                }
            });
        }
        Site::Reference(reference) if !inner.contains(&std::ptr::from_ref(reference)) => {
            let mut indices = syntax::brackets(reference).into_iter();
            several |= !indices.all(|index| is_the_same(index, &is_fixed));
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
    let mut outputs = syntax::values(rule);
    outputs.extend(syntax::brackets(program::head(rule)));
    outputs
}

/// The first part of an expression that may be undefined; `is_there`: what is known not to be.
pub(in crate::policy) fn vanishing<'a>(
    expr: &'a Expr,
    is_there: &dyn Fn(&Expr) -> bool,
) -> Option<&'a Expr> {
    if is_there(expr) {
        return None;
    }
    if let Expr::Call { fcn, params, .. } = expr {
        let (name, params) = program::called(fcn, params);
        let name = name.unwrap_or_default().join(".");
        if !ANSWERING.contains(&name.as_str()) {
            return Some(expr);
        }
        return params.iter().find_map(|part| vanishing(part, is_there));
    }
    match syntax::form(expr) {
        Form::Operation | Form::Reference => Some(expr),
        // A comprehension has no parts, and leaves out what is undefined.
        _ => {
            let mut parts = syntax::parts(expr).into_iter();
            parts.find_map(|part| vanishing(part, is_there))
        }
    }
}

/// Whether nothing in an expression changes from one thing that is found to the next.
fn is_the_same(expr: &Expr, is_fixed: &dyn Fn(&str) -> bool) -> bool {
    let mut same = true;
    walk::expression(expr, &mut |site| {
        same &= match site {
            Site::Reference(reference) => program::known(reference)
                .first()
                .is_none_or(|first| is_fixed(first)),
            Site::Call { .. }
            | Site::Operation(_)
            | Site::Members(_)
            | Site::Pattern(_)
            | Site::Text(_) => true,
            Site::Binding(_)
            | Site::Declared(_)
            | Site::Every { .. }
            | Site::Replacing(_)
            | Site::With(_) => false,
        }
    });
    same
}
