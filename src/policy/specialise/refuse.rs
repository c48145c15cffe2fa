//! What the bytecode engine may not be given.
//!
//! Where the interpreter fails, and so denies, the bytecode finds nothing, and so lets pass. Builtins tell when they
//! fail ([`watch`]); what can fail otherwise is refused here unless it is certain that it
//! cannot: joining what are no sets, comparing what are no numbers, a rule or a member with two values.

use regorus::unstable::{ArithOp, BoolOp, Expr, Literal, Query, Ref, Rule, RuleHead, Span};

use super::kinds::{Kind, Kinds};
use super::rewrite::whole;
use super::{DEPTH, Rules, path_of};
use crate::policy::check::{self, Names, Path};
use crate::policy::walk::{self, Site};
use crate::policy::watch;

/// Refuses the first thing that could fail unnoticed, with its place.
pub(super) fn what_can_fail(rules: &Rules, kinds: &Kinds<'_>) -> Result<(), String> {
    for module in kinds.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let path = path_of(&names, rule);
            let own = path.as_ref().and_then(|path| path.last());
            if let Some(own) = own.filter(|own| names.imports.contains_key(*own)) {
                // Each engine would take another of the two.
                return Err(format!(
                    "{}: has an import and a rule named {own}",
                    names.file
                ));
            }
            // Its value is known: it is not evaluated any more.
            if path
                .as_ref()
                .is_some_and(|path| kinds.known.contains_key(path))
            {
                continue;
            }
            let mut refused = None;
            let mut refuse = |span: &Span, what: &str| {
                let place = check::at(span, "");
                refused.get_or_insert_with(|| format!("{}:{}: {what}", place.path, place.line));
            };
            if let Some(what) = shape(rule, kinds, path.as_ref()) {
                refuse(rule.span(), what);
            }
            walk::rule(rule, &mut |site| match site {
                Site::With(expr) => refuse(expr.span(), "uses with"),
                Site::Call { function, .. } => {
                    let name = check::dotted(function).unwrap_or_default();
                    if !is_of_policies(rules, &names, &name) {
                        let name = name.join(".");
                        if name == watch::ITERABLE || watch::watched(&name).is_none() {
                            refuse(function.span(), &format!("uses {name}"));
                        }
                    }
                }
                Site::Operation(expr) => {
                    if let Some(what) = operation(&names, rule, kinds, expr) {
                        refuse(expr.span(), what);
                    }
                }
                Site::Members(expr) => {
                    let kind = kinds.of(&names, rule, expr, DEPTH);
                    if !kind.has_members() && whole(expr).is_none() {
                        refuse(expr.span(), "walks through what may have no members");
                    }
                }
                Site::Binding(_) | Site::Reference(_) => {}
            });
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
    }
    Ok(())
}

fn is_of_policies(rules: &Rules, names: &Names<'_>, name: &[String]) -> bool {
    let local = [names.package.clone(), name.to_vec()].concat();
    rules.functions.contains(&names.resolve(name)) || rules.functions.contains(&local)
}

fn operation(
    names: &Names<'_>,
    rule: &Rule,
    kinds: &Kinds<'_>,
    expr: &Expr,
) -> Option<&'static str> {
    let both = |one: &Expr, other: &Expr, kind: Kind| {
        kinds.of(names, rule, one, DEPTH) == kind && kinds.of(names, rule, other, DEPTH) == kind
    };
    match expr {
        Expr::BinExpr { lhs, rhs, .. } => {
            (!both(lhs, rhs, Kind::Set)).then_some("joins what may be no sets")
        }
        Expr::ArithExpr { op, lhs, rhs, .. } => match op {
            ArithOp::Sub if both(lhs, rhs, Kind::Set) => None,
            ArithOp::Add | ArithOp::Mul | ArithOp::Sub if both(lhs, rhs, Kind::Number) => None,
            _ => Some("calculates with what may be no numbers, or divides"),
        },
        Expr::BoolExpr { op, lhs, rhs, .. } => match op {
            BoolOp::Eq | BoolOp::Ne => None,
            BoolOp::Ge | BoolOp::Gt | BoolOp::Le | BoolOp::Lt => {
                (!both(lhs, rhs, Kind::Number)).then_some("compares what may be no numbers")
            }
        },
        Expr::ObjectCompr { key, query, .. } => {
            (!is_once_a_key(key, query)).then_some("may make a member of an object twice")
        }
        // The compiler leaves the key out.
        Expr::Membership { key: Some(_), .. } => Some("asks for a member with its key"),
        Expr::UnaryExpr { expr, .. } => (!matches!(expr.as_ref(), Expr::Number { .. }))
            .then_some("negates what may be no number"),
        _ => None,
    }
}

/// Whether an object's members are those of one thing that is walked through, by the same keys.
fn is_once_a_key(key: &Expr, query: &Query) -> bool {
    let Expr::Var { span: name, .. } = key else {
        return false;
    };
    let mut walks = query
        .stmts
        .iter()
        .filter_map(|statement| match &statement.literal {
            Literal::SomeIn { key, value, .. } => Some((key, value)),
            _ => None,
        });
    let (Some((Some(key), _)), None) = (walks.next(), walks.next()) else {
        return false;
    };
    matches!(key.as_ref(), Expr::Var { span, .. } if span.text() == name.text())
        && !query.stmts.iter().any(|statement| {
            let mut walks = false;
            walk::statement(statement, &mut |site| walks |= is_open_reference(site));
            walks
        })
}

/// A reference that finds more than one thing: `list[_]`.
fn is_open_reference(site: Site<'_>) -> bool {
    let Site::Reference(mut expr) = site else {
        return false;
    };
    loop {
        match expr {
            Expr::RefBrack { refr, index, .. } => {
                if matches!(index.as_ref(), Expr::Var { span, .. } if span.text() == "_") {
                    return true;
                }
                expr = refr;
            }
            Expr::RefDot { refr, .. } => expr = refr,
            _ => return false,
        }
    }
}

/// A rule that could have two values, or has a form that is not for this engine.
fn shape(rule: &Rule, kinds: &Kinds<'_>, path: Option<&Path>) -> Option<&'static str> {
    let Rule::Spec { head, bodies, .. } = rule else {
        let Rule::Default { args, .. } = rule else {
            return None;
        };
        return (!args.is_empty()).then_some("has a default of a function");
    };
    let (RuleHead::Set { refr, .. } | RuleHead::Compr { refr, .. } | RuleHead::Func { refr, .. }) =
        head;
    if check::dotted(refr).is_none_or(|name| name.len() != 1) {
        return Some("defines an object by its members");
    }
    if matches!(head, RuleHead::Set { .. }) {
        return None;
    }
    let twins = path.and_then(|path| kinds.definitions.get(path));
    let twins: Vec<&Rule> = twins
        .into_iter()
        .flatten()
        .map(|(_, rule)| *rule)
        .filter(|rule| matches!(rule, Rule::Spec { .. }))
        .collect();
    let fixed = fixed_value(rule);
    let same = |other: &&Rule| fixed.is_some() && fixed_value(other) == fixed;
    if twins.len() > 1 && !twins.iter().all(same) {
        return Some("may have two values");
    }
    // One definition that finds several values.
    let walks = bodies
        .iter()
        .flat_map(|body| &body.query.stmts)
        .any(|statement| {
            let mut open = matches!(
                statement.literal,
                Literal::SomeIn { .. } | Literal::SomeVars { .. }
            );
            walk::statement(statement, &mut |site| open |= is_open_reference(site));
            open
        });
    let several = walks || bodies.iter().skip(1).any(|body| !body.is_else);
    (fixed.is_none() && several).then_some("may have two values")
}

/// What a definition says its value is, when that is the same whatever its body finds.
fn fixed_value(rule: &Rule) -> Option<&str> {
    let Rule::Spec { head, bodies, .. } = rule else {
        return None;
    };
    let assign = match head {
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref(),
        RuleHead::Set { .. } => return None,
    };
    if bodies.iter().any(|body| body.is_else) {
        return None;
    }
    assign.map_or(Some("true"), |assign| literal(&assign.value))
}

fn literal(expr: &Ref<Expr>) -> Option<&str> {
    match expr.as_ref() {
        Expr::Bool { span, .. }
        | Expr::Null { span, .. }
        | Expr::Number { span, .. }
        | Expr::String { span, .. }
        | Expr::RawString { span, .. } => Some(span.text()),
        _ => None,
    }
}
