//! Walks the syntax tree of a policy and names every place where it calls, reads or replaces something.
//!
//! It guarantees that no expression is left out, wherever it stands: heads, defaults, comprehensions,
//! `every`, `with`, index brackets. What is allowed there is decided by its callers.

use super::syntax::{self, Form};
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
    /// A text that stands there as it is.
    Text(&'a Expr),
    /// A statement with a `with`, or several.
    Replacing(&'a LiteralStmt),
    /// The target or the replacement of a `with`: both can name a function without calling it.
    With(&'a Expr),
}

/// Calls `see` for every site in the rule.
pub(in crate::policy) fn rule<'a>(rule: &'a Rule, see: &mut dyn FnMut(Site<'a>)) {
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
pub(in crate::policy) fn queries<'a>(within: &'a Rule, see: &mut dyn FnMut(&'a Query)) {
    if let Rule::Spec { bodies, .. } = within {
        for body in bodies {
            see(&body.query);
        }
    }
    rule(within, &mut |site| match site {
        Site::Every { query, .. } => see(query),
        Site::Operation(expr) => {
            if let Some((_, query)) = syntax::comprehension(expr) {
                see(query);
            }
        }
        _ => {}
    });
}

/// The names that are bound somewhere, each as often as it is: `through` walks there.
pub(in crate::policy) fn bound<'a>(
    through: impl FnOnce(&mut dyn FnMut(Site<'a>)),
) -> Vec<&'a Span> {
    let mut bound = Vec::new();
    through(&mut |site| {
        if let Site::Binding(name) = site {
            bound.push(name);
        }
    });
    bound
}

fn assignment<'a>(assign: Option<&'a RuleAssign>, see: &mut dyn FnMut(Site<'a>)) {
    if let Some(assign) = assign {
        expression(&assign.value, see);
    }
}

/// Calls `see` for every site in a query.
pub(in crate::policy) fn query<'a>(body: &'a Query, see: &mut dyn FnMut(Site<'a>)) {
    for one in &body.stmts {
        statement(one, see);
    }
}

/// Calls `see` for every site in one statement.
pub(in crate::policy) fn statement<'a>(statement: &'a LiteralStmt, see: &mut dyn FnMut(Site<'a>)) {
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
pub(in crate::policy) fn expression<'a>(expr: &'a Expr, see: &mut dyn FnMut(Site<'a>)) {
    let comprehension = syntax::comprehension(expr);
    match syntax::form(expr) {
        Form::Reference => see(Site::Reference(expr)),
        Form::Object | Form::Operation => see(Site::Operation(expr)),
        _ if comprehension.is_some() => see(Site::Operation(expr)),
        _ => {}
    }
    match expr {
        Expr::Call { fcn, params, .. } => {
            see(Site::Call {
                function: fcn,
                arguments: params,
            });
            indices(fcn, see);
        }
        Expr::AssignExpr {
            op: AssignOp::ColEq,
            lhs,
            ..
        } => patterns(std::slice::from_ref(lhs), see),
        Expr::String { .. } | Expr::RawString { .. } => see(Site::Text(expr)),
        _ => {}
    }
    for part in syntax::parts(expr) {
        if let Expr::Membership { collection, .. } = expr
            && std::ptr::eq(collection.as_ref(), part)
        {
            see(Site::Members(collection));
        }
        expression(part, see);
    }
    if let Some((collected, body)) = comprehension {
        for part in collected {
            expression(part, see);
        }
        query(body, see);
    }
}

/// Patterns and their variables, in lists and objects too.
pub(in crate::policy) fn patterns<'a>(items: &'a [Ref<Expr>], see: &mut dyn FnMut(Site<'a>)) {
    for item in items {
        see(Site::Pattern(item));
        variables(item, see);
    }
}

fn variables<'a>(item: &'a Expr, see: &mut dyn FnMut(Site<'a>)) {
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

fn each<'a>(items: &'a [Ref<Expr>], see: &mut dyn FnMut(Site<'a>)) {
    for item in items {
        expression(item, see);
    }
}

/// What stands in the brackets of a reference, and what it starts from when that is not a variable.
fn indices<'a>(reference: &'a Expr, see: &mut dyn FnMut(Site<'a>)) {
    if !syntax::is_reference(reference) {
        return expression(reference, see);
    }
    for part in syntax::parts(reference) {
        expression(part, see);
    }
}
