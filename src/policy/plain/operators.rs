//! What the engine computes otherwise than OPA: arithmetic, the order of values, and objects whose members may meet.
//!
//! The engine's operators round as a machine does, so that `15.3 / 3` is not `5.1`; it has sets before objects, and in
//! bytecode it compares values of one type only. Builtins of our own have OPA's names for the operators, and reckon and
//! compare as OPA does. Of two members with one name the engine keeps the one that is written last,
//! and OPA the one whose name is computed: that one is written last then. Where several are computed it is
//! [`OBJECT`] that puts them together, and fails where two of them meet. Bytecode calls builtins that only we have by
//! their names.

use std::collections::BTreeSet;

use super::Package;
use super::tree::{Bracket, Form, Kind, Place, Query, Rule, Term};
use crate::policy::builtins::{self, OBJECT};

pub(super) fn write_out(rule: &mut Rule, package: &Package<'_>) {
    if rule.is_default {
        return;
    }
    rule.terms_mut(&mut |term| match &mut term.form {
        Form::Infix(operator, both) => {
            if let Some(name) = builtin(operator)
                && !is_exact(operator, &both.0, &both.1, package)
            {
                let (one, other) = (both.0.clone(), both.1.clone());
                term.form = Form::Call(vec![name.to_owned()], vec![one, other]);
            }
        }
        Form::Comprehension(Bracket::Curly, heads, query) if may_meet(heads, query) => {
            let pair = Form::Array(std::mem::take(heads));
            let heads = vec![Term::new(term.place, pair)];
            let query = std::mem::take(query);
            let pairs = Form::Comprehension(Bracket::Square, heads, query);
            *term = of_pairs(term.place, Term::new(term.place, pairs));
        }
        Form::Object(members) => {
            if let Some(form) = object(members) {
                term.form = form;
            }
        }
        _ => {}
    });
    rule.terms_mut(&mut |term| {
        if let Form::Call(name, arguments) = &mut term.form {
            let whole = name.join(".");
            if builtins::is_only_ours(&whole) && !package.replaced.contains(&whole) {
                let first = Term::new(term.place, Form::Text(whole));
                let call = std::iter::once(first).chain(arguments.drain(..)).collect();
                *name = builtins::BY_NAME.split('.').map(str::to_owned).collect();
                *arguments = vec![Term::new(term.place, Form::Array(call))];
            }
        }
    });
}

/// OPA's name for an operator.
fn builtin(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "+" => "plus",
        "-" => "minus",
        "*" => "mul",
        "/" => "div",
        "%" => "rem",
        "<" => "lt",
        "<=" => "lte",
        ">" => "gt",
        ">=" => "gte",
        _ => return None,
    })
}

/// Whether the engine computes it as OPA does: integers, and what is left of a set.
fn is_exact(operator: &str, one: &Term, other: &Term, package: &Package<'_>) -> bool {
    match operator {
        "-" if is_set(one, package) && is_set(other, package) => true,
        "+" | "-" | "*" | "<" | "<=" | ">" | ">=" => is_whole(one) && is_whole(other),
        _ => false,
    }
}

/// Whether it can be nothing but an integer of some size.
fn is_whole(term: &Term) -> bool {
    match &term.form {
        Form::Constant(text) => text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_digit()),
        Form::Call(name, _) => name == &["count"],
        _ => false,
    }
}

/// Whether it can be nothing but a set.
fn is_set(term: &Term, package: &Package<'_>) -> bool {
    match &term.form {
        Form::Set(_) | Form::Infix("&" | "|", _) => true,
        Form::Comprehension(Bracket::Curly, heads, _) => heads.len() == 1,
        Form::Infix("-", both) => is_set(&both.0, package) && is_set(&both.1, package),
        _ => package.is_set(term),
    }
}

/// Whether members of an object may have one name: they have not where they are called as those of the one thing that is
/// walked through.
fn may_meet(heads: &[Term], query: &Query) -> bool {
    let [key, _] = heads else { return false };
    let mut walks = query.statements.iter().filter_map(|one| match &one.kind {
        Kind::SomeIn { key, .. } => Some(key.as_ref()),
        _ => None,
    });
    let is_once = match (walks.next(), walks.next()) {
        (Some(Some(walked)), None) => match (&walked.form, &key.form) {
            (Form::Name(walked), Form::Name(key)) => walked == key,
            _ => false,
        },
        _ => false,
    };
    !is_once
}

/// An object as the engine has to get it, if that is not how it is written.
fn object(members: &mut Vec<(Term, Term)>) -> Option<Form> {
    let is_literal = |key: &Term| matches!(key.form, Form::Constant(_) | Form::Text(_));
    let computed = members.iter().filter(|(key, _)| !is_literal(key)).count();
    if members.len() < 2 || computed == 0 {
        return None;
    }
    if computed == 1 {
        members.sort_by_key(|(key, _)| !is_literal(key));
        return None;
    }
    // Of two that are written with one name OPA has the last.
    let mut seen = BTreeSet::new();
    let mut pairs: Vec<Term> = std::mem::take(members)
        .into_iter()
        .rev()
        .filter(|(key, _)| match &key.form {
            Form::Constant(text) => seen.insert((true, text.clone())),
            Form::Text(text) => seen.insert((false, text.clone())),
            _ => true,
        })
        .map(|(key, value)| Term::new(key.place, Form::Array(vec![key, value])))
        .collect();
    pairs.reverse();
    let place = pairs.first()?.place;
    Some(of_pairs(place, Term::new(place, Form::Array(pairs))).form)
}

/// The object that has these pairs for members.
fn of_pairs(place: Place, pairs: Term) -> Term {
    let name = OBJECT.split('.').map(str::to_owned).collect();
    Term::new(place, Form::Call(name, vec![pairs]))
}
