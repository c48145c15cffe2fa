//! Walks the syntax tree of a policy and names every place where it calls, reads or replaces something.
//!
//! It guarantees that no expression is left out, wherever it stands: heads, defaults, comprehensions,
//! `every`, `with`, index brackets. What is allowed there is decided by its callers.

use std::collections::BTreeSet;

use crate::policy::lexical;
use regorus::Value;
use regorus::unstable::{
    AssignOp, Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleAssign, RuleHead, Span,
};

/// One place of interest. References are whole: `input.a.b` is one, not three.
#[derive(Clone, Copy)]
pub(in crate::policy) enum Site<'a> {
    Call {
        function: &'a Expr,
        arguments: &'a [Ref<Expr>],
    },
    /// A variable that the rule binds itself: it hides whatever else has that name.
    Binding(&'a Span),
    /// A variable that is declared without a value: `some i`.
    Declared(&'a Span),
    /// `every`: the names that it binds, and what must hold for each.
    Every {
        key: Option<&'a Span>,
        value: &'a Span,
        query: &'a Query,
    },
    /// What is walked through, or asked for a member.
    Members(&'a Expr),
    /// Assigns, joins, compares or calculates; an object or a comprehension; asks for a member.
    Operation(&'a Expr),
    /// What a `some .. in`, an assignment or the argument of a function binds names by: mostly one name.
    Pattern(&'a Expr),
    Reference(&'a Expr),
    /// A statement with a `with`, or several.
    Replacing(&'a LiteralStmt),
    /// The target or the replacement of a `with`: both can name a function without calling it.
    With(&'a Expr),
}

/// One step of a reference; `None` where the step is only known when it is evaluated.
pub(in crate::policy) struct Step<'a> {
    pub(in crate::policy) name: Option<String>,
    pub(in crate::policy) span: &'a Span,
}

/// Calls `see` for every site in the rule.
pub(in crate::policy) fn rule(rule: &Rule, see: &mut dyn FnMut(Site<'_>)) {
    match rule {
        Rule::Default {
            refr, args, value, ..
        } => {
            indices(refr, see);
            each(args, see);
            expression(value, see);
        }
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    indices(refr, see);
                    assignment(assign.as_ref(), see);
                }
                RuleHead::Func {
                    refr, args, assign, ..
                } => {
                    indices(refr, see);
                    patterns(args, see);
                    each(args, see);
                    assignment(assign.as_ref(), see);
                }
                RuleHead::Set { refr, key, .. } => {
                    indices(refr, see);
                    each(key.as_slice(), see);
                }
            }
            for body in bodies {
                assignment(body.assign.as_ref(), see);
                query(&body.query, see);
            }
        }
    }
}

/// Calls `see` for every query in the rule, those within others too.
pub(in crate::policy) fn queries(within: &Rule, see: &mut dyn FnMut(&Query)) {
    if let Rule::Spec { bodies, .. } = within {
        for body in bodies {
            see(&body.query);
        }
    }
    rule(within, &mut |site| match site {
        Site::Every { query, .. } => see(query),
        Site::Operation(
            Expr::ArrayCompr { query, .. }
            | Expr::SetCompr { query, .. }
            | Expr::ObjectCompr { query, .. },
        ) => see(query),
        _ => {}
    });
}

/// The names that a rule binds, anywhere.
pub(in crate::policy) fn bound(within: &Rule) -> BTreeSet<String> {
    let mut bound = BTreeSet::new();
    rule(within, &mut |site| {
        if let Site::Binding(span) = site {
            bound.insert(span.text().to_owned());
        }
    });
    bound
}

pub(in crate::policy) fn is_comprehension(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. }
    )
}

/// The steps of a reference that starts at a variable, or nothing when it starts at something else.
pub(in crate::policy) fn path(reference: &Expr) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut current = reference;
    loop {
        match current {
            Expr::Var { span, .. } => {
                steps.push(Step {
                    name: Some(lexical::without_mark(span.text()).to_owned()),
                    span,
                });
                break;
            }
            Expr::RefDot { refr, field, .. } => {
                steps.push(Step {
                    name: Some(field.0.text().to_owned()),
                    span: &field.0,
                });
                current = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                steps.push(Step {
                    name: written(index).map(str::to_owned),
                    span: index.span(),
                });
                current = refr;
            }
            _ => return None,
        }
    }
    steps.reverse();
    Some(steps)
}

/// The value, if it stands there.
pub(in crate::policy) fn literal(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::Bool { value, .. }
        | Expr::Null { value, .. }
        | Expr::Number { value, .. }
        | Expr::String { value, .. }
        | Expr::RawString { value, .. } => Some(value.clone()),
        _ => None,
    }
}

/// The text of a string.
pub(in crate::policy) fn written(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => {
            value.as_string().ok().map(AsRef::as_ref)
        }
        _ => None,
    }
}

/// The path when every step is known, as in `data.dtgate.naming`.
pub(in crate::policy) fn fixed_path(reference: &Expr) -> Option<Vec<String>> {
    path(reference)?.into_iter().map(|step| step.name).collect()
}

fn assignment(assign: Option<&RuleAssign>, see: &mut dyn FnMut(Site<'_>)) {
    if let Some(assign) = assign {
        expression(&assign.value, see);
    }
}

/// Calls `see` for every site in a query.
pub(in crate::policy) fn query(body: &Query, see: &mut dyn FnMut(Site<'_>)) {
    for one in &body.stmts {
        statement(one, see);
    }
}

/// Calls `see` for every site in one statement.
pub(in crate::policy) fn statement(statement: &LiteralStmt, see: &mut dyn FnMut(Site<'_>)) {
    match &statement.literal {
        Literal::SomeVars { vars, .. } => {
            for span in vars {
                see(Site::Declared(span));
                see(Site::Binding(span));
            }
        }
        Literal::SomeIn {
            key,
            value,
            collection,
            ..
        } => {
            patterns(key.as_slice(), see);
            patterns(std::slice::from_ref(value), see);
            each(key.as_slice(), see);
            expression(value, see);
            see(Site::Members(collection));
            expression(collection, see);
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => expression(expr, see),
        Literal::Every {
            key,
            value,
            domain,
            query: body,
            ..
        } => {
            see(Site::Every {
                key: key.as_ref(),
                value,
                query: body,
            });
            for span in key.iter().chain([value]) {
                see(Site::Binding(span));
            }
            see(Site::Members(domain));
            expression(domain, see);
            query(body, see);
        }
    }
    if !statement.with_mods.is_empty() {
        see(Site::Replacing(statement));
    }
    for replacement in &statement.with_mods {
        see(Site::With(&replacement.refr));
        indices(&replacement.refr, see);
        see(Site::With(&replacement.r#as));
        expression(&replacement.r#as, see);
    }
}

/// Calls `see` for every site in an expression.
pub(in crate::policy) fn expression(expr: &Expr, see: &mut dyn FnMut(Site<'_>)) {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. } => {}
        Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
            see(Site::Reference(expr));
            indices(expr, see);
        }
        Expr::Array { items, .. } | Expr::Set { items, .. } => each(items, see),
        Expr::Object { fields, .. } => {
            see(Site::Operation(expr));
            for (_, key, value) in fields {
                expression(key, see);
                expression(value, see);
            }
        }
        Expr::ArrayCompr {
            term, query: body, ..
        }
        | Expr::SetCompr {
            term, query: body, ..
        } => {
            see(Site::Operation(expr));
            expression(term, see);
            query(body, see);
        }
        Expr::ObjectCompr {
            key,
            value,
            query: body,
            ..
        } => {
            see(Site::Operation(expr));
            expression(key, see);
            expression(value, see);
            query(body, see);
        }
        Expr::Call { fcn, params, .. } => {
            see(Site::Call {
                function: fcn,
                arguments: params,
            });
            indices(fcn, see);
            each(params, see);
        }
        Expr::UnaryExpr { expr: operand, .. } => {
            see(Site::Operation(expr));
            expression(operand, see);
        }
        Expr::AssignExpr { op, lhs, rhs, .. } => {
            see(Site::Operation(expr));
            if *op == AssignOp::ColEq {
                patterns(std::slice::from_ref(lhs), see);
            }
            expression(lhs, see);
            expression(rhs, see);
        }
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. } => {
            see(Site::Operation(expr));
            expression(lhs, see);
            expression(rhs, see);
        }
        Expr::Membership {
            key,
            value,
            collection,
            ..
        } => {
            see(Site::Operation(expr));
            each(key.as_slice(), see);
            expression(value, see);
            see(Site::Members(collection));
            expression(collection, see);
        }
    }
}

/// Patterns and their variables, in lists and objects too.
pub(in crate::policy) fn patterns(items: &[Ref<Expr>], see: &mut dyn FnMut(Site<'_>)) {
    for item in items {
        see(Site::Pattern(item));
        variables(item, see);
    }
}

fn variables(item: &Expr, see: &mut dyn FnMut(Site<'_>)) {
    match item {
        Expr::Var { span, .. } => see(Site::Binding(span)),
        Expr::Array { items, .. } => {
            for item in items {
                variables(item, see);
            }
        }
        Expr::Object { fields, .. } => {
            for (_, _, value) in fields {
                variables(value, see);
            }
        }
        _ => {}
    }
}

fn each(items: &[Ref<Expr>], see: &mut dyn FnMut(Site<'_>)) {
    for item in items {
        expression(item, see);
    }
}

/// What stands in the brackets of a reference, and what it starts from when that is not a variable.
fn indices(reference: &Expr, see: &mut dyn FnMut(Site<'_>)) {
    let mut current = reference;
    loop {
        match current {
            Expr::Var { .. } => return,
            Expr::RefDot { refr, .. } => current = refr,
            Expr::RefBrack { refr, index, .. } => {
                expression(index, see);
                current = refr;
            }
            other => return expression(other, see),
        }
    }
}
