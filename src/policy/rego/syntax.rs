//! What one expression, statement or rule is made of, read off where it stands. What names mean is not its question.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleHead, Span};

use super::walk;
use crate::policy::lexical;

/// What kind of expression it is; what is written out says what kind of value it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::policy) enum Form {
    Array,
    Call,
    Flag,
    Null,
    Number,
    Object,
    /// Assigns, compares, calculates, joins, or asks for a member.
    Operation,
    Reference,
    Set,
    Text,
}

pub(in crate::policy) fn form(expr: &Expr) -> Form {
    match expr {
        Expr::Array { .. } | Expr::ArrayCompr { .. } => Form::Array,
        Expr::Bool { .. } => Form::Flag,
        Expr::Call { .. } => Form::Call,
        Expr::Null { .. } => Form::Null,
        Expr::Number { .. } => Form::Number,
        Expr::Object { .. } | Expr::ObjectCompr { .. } => Form::Object,
        Expr::RefBrack { .. } | Expr::RefDot { .. } | Expr::Var { .. } => Form::Reference,
        Expr::RawString { .. } | Expr::String { .. } => Form::Text,
        Expr::Set { .. } | Expr::SetCompr { .. } => Form::Set,
        Expr::ArithExpr { .. }
        | Expr::AssignExpr { .. }
        | Expr::BinExpr { .. }
        | Expr::BoolExpr { .. }
        | Expr::Membership { .. }
        | Expr::UnaryExpr { .. } => Form::Operation,
    }
}

pub(in crate::policy) fn is_reference(expr: &Expr) -> bool {
    form(expr) == Form::Reference
}

/// The expressions that stand in an expression. Those of a comprehension are in a scope of their own: it has none.
pub(in crate::policy) fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().map(AsRef::as_ref).collect()
        }
        Expr::Object { fields, .. } => {
            let fields = fields.iter();
            fields
                .flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()])
                .collect()
        }
        Expr::Call { params, .. } => params.iter().map(AsRef::as_ref).collect(),
        Expr::RefBrack { .. } | Expr::RefDot { .. } => {
            let mut parts = brackets(expr);
            parts.extend(Some(start_of(expr)).filter(|start| !is_reference(start)));
            parts
        }
        Expr::UnaryExpr { expr, .. } => vec![expr],
        Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. }
        | Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. } => vec![lhs, rhs],
        Expr::Membership {
            key,
            value,
            collection,
            ..
        } => key
            .iter()
            .chain([value, collection])
            .map(AsRef::as_ref)
            .collect(),
        _ => Vec::new(),
    }
}

/// What a comprehension collects, and the query that finds it.
pub(in crate::policy) fn comprehension(expr: &Expr) -> Option<(Vec<&Expr>, &Query)> {
    match expr {
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            Some((vec![term], query))
        }
        Expr::ObjectCompr {
            key, value, query, ..
        } => Some((vec![key, value], query)),
        _ => None,
    }
}

/// The items of a list or set that is written out.
pub(in crate::policy) fn items(expr: &Expr) -> Option<&[Ref<Expr>]> {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => Some(items),
        _ => None,
    }
}

/// One step of a reference; `None` where the step is only known when it is evaluated.
pub(in crate::policy) struct Step<'a> {
    pub(in crate::policy) name: Option<String>,
    pub(in crate::policy) span: &'a Span,
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

/// The path when every step is known, as in `data.dtgate.naming`.
pub(in crate::policy) fn fixed_path(reference: &Expr) -> Option<Vec<String>> {
    path(reference)?.into_iter().map(|step| step.name).collect()
}

/// What a reference starts at: a variable, or what is looked into; of anything else, itself.
pub(in crate::policy) fn start_of(mut reference: &Expr) -> &Expr {
    while let Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } = reference {
        reference = refr;
    }
    reference
}

/// What stands in the brackets of a reference, the last first.
pub(in crate::policy) fn brackets(mut reference: &Expr) -> Vec<&Expr> {
    let mut brackets: Vec<&Expr> = Vec::new();
    while let Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } = reference {
        if let Expr::RefBrack { index, .. } = reference {
            brackets.push(index);
        }
        reference = refr;
    }
    brackets
}

/// The name, if the expression is nothing else.
pub(in crate::policy) fn variable(expr: &Expr) -> Option<&Span> {
    match expr {
        Expr::Var { span, .. } => Some(span),
        _ => None,
    }
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

/// How a statement gives a name its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::policy) enum Binding {
    Assigned,
    /// Each member of the value, one after the other.
    Each,
    Unified,
}

/// The name that a statement gives a value, as `name := value`, `some name in value` and `every name in value` do.
pub(in crate::policy) fn given(statement: &LiteralStmt) -> Option<(&str, &Expr, Binding)> {
    let (name, value, how) = match &statement.literal {
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr { op, lhs, rhs, .. } => match op {
                AssignOp::ColEq => (lhs, rhs, Binding::Assigned),
                AssignOp::Eq => (lhs, rhs, Binding::Unified),
            },
            _ => return None,
        },
        Literal::SomeIn {
            value, collection, ..
        } => (value, collection, Binding::Each),
        Literal::Every { value, domain, .. } => return Some((value.text(), domain, Binding::Each)),
        Literal::NotExpr { .. } | Literal::SomeVars { .. } => return None,
    };
    Some((variable(name)?.text(), value, how))
}

/// Where it ends in its source. The engine's spans of texts are without the last quotation mark, and so is that of a
/// statement which ends with one.
pub(in crate::policy) fn end_of(span: &Span) -> Option<usize> {
    let end = usize::try_from(span.end).ok()?;
    let next = span.source.get_contents().as_bytes().get(end);
    let is_open = matches!(next, Some(b'"' | b'`'));
    Some(end + usize::from(is_open))
}

/// The names that the arguments of a function bind.
pub(in crate::policy) fn arguments(rule: &Rule) -> BTreeSet<&str> {
    let args: &[Ref<Expr>] = match rule {
        Rule::Spec {
            head: RuleHead::Func { args, .. },
            ..
        } => args,
        _ => &[],
    };
    let bound = walk::bound(|see| walk::patterns(args, see));
    bound.into_iter().map(Span::text).collect()
}

/// What the head of a rule says that it is, or of a set what is in it.
pub(in crate::policy) fn value(rule: &Rule) -> Option<&Expr> {
    let Rule::Spec { head, .. } = rule else {
        return None;
    };
    match head {
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
            assign.as_ref().map(|assign| assign.value.as_ref())
        }
        RuleHead::Set { key, .. } => key.as_deref(),
    }
}

/// What a rule's names and functions stand for, `else` included; of a set its members.
pub(in crate::policy) fn values(rule: &Rule) -> Vec<&Expr> {
    let Rule::Spec { bodies, .. } = rule else {
        return Vec::new();
    };
    let others = bodies.iter().filter_map(|body| body.assign.as_ref());
    let others = others.map(|assign| assign.value.as_ref());
    value(rule).into_iter().chain(others).collect()
}

/// Whether a rule is a set that grows.
pub(in crate::policy) fn is_set(rule: &Rule) -> bool {
    matches!(
        rule,
        Rule::Spec {
            head: RuleHead::Set { key: Some(_), .. },
            ..
        }
    )
}
