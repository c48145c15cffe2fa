//! The variables of terms and statements: which they use, which they give a value, and which they look for.

use std::collections::BTreeSet;

use crate::policy::plain::tree::{Form, Kind, Query, Statement, Term};

pub(super) type Names = BTreeSet<String>;

/// The variables that a pattern gives a value.
pub(super) fn bound(pattern: &Term, names: &mut Names) {
    match &pattern.form {
        Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
        Form::Array(terms) => terms.iter().for_each(|term| bound(term, names)),
        Form::Object(members) => members.iter().for_each(|(_, value)| bound(value, names)),
        _ => {}
    }
}

/// The variables of a term, without those of queries within it.
pub(super) fn mentioned(term: &Term, names: &mut Names) {
    match &term.form {
        Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
        Form::Comprehension(..) => {}
        _ => term
            .parts()
            .into_iter()
            .for_each(|part| mentioned(part, names)),
    }
}

/// What `_` is called where each is told apart from the others: no name in Rego is like it.
const ANY: &str = "_#";

pub(super) fn is_any(name: &str) -> bool {
    name.starts_with(ANY)
}

/// A statement in which every `_` is a variable of its own.
pub(super) fn told_apart(statement: &Statement) -> Statement {
    let mut statement = statement.clone();
    let mut count = 0;
    for term in statement.terms_mut() {
        tell_apart(term, &mut count);
    }
    statement
}

/// A term in which every `_` is a variable of its own.
pub(super) fn apart(term: &Term) -> Term {
    let mut term = term.clone();
    tell_apart(&mut term, &mut 0);
    term
}

fn tell_apart(term: &mut Term, count: &mut usize) {
    match &mut term.form {
        Form::Name(name) if name == "_" => {
            *count += 1;
            *name = format!("{ANY}{count}");
        }
        Form::Comprehension(..) => {}
        _ => {
            for part in term.parts_mut() {
                tell_apart(part, count);
            }
        }
    }
}

/// The variables that a statement uses, itself.
pub(super) fn needs(statement: &Statement) -> Names {
    let mut names = Names::new();
    if let Kind::Some(_) = &statement.kind {
        return names;
    }
    for term in statement.terms() {
        mentioned(term, &mut names);
    }
    names
}

/// The variables of the queries around that a statement uses in a query within it.
pub(super) fn closed_over(statement: &Statement, owned: &Names) -> Names {
    fn within(term: &Term, names: &mut Names) {
        if let Form::Comprehension(..) = &term.form {
            term.names(names);
        } else {
            term.parts()
                .into_iter()
                .for_each(|part| within(part, names));
        }
    }
    let mut names = Names::new();
    for term in statement.terms() {
        within(term, &mut names);
    }
    if let Kind::Every {
        key, value, query, ..
    } = &statement.kind
    {
        query
            .statements
            .iter()
            .for_each(|one| one.names(&mut names));
        let mut own = Names::new();
        key.iter()
            .chain([value])
            .for_each(|name| bound(name, &mut own));
        names.retain(|name| !own.contains(name));
    }
    names.retain(|name| owned.contains(name));
    names
}

/// Those of these variables that a query, or what is collected by it, names.
pub(super) fn named_of(all: &Names, query: &Query, heads: &[Term]) -> Names {
    let mut names = Names::new();
    let statements = query.statements.iter();
    statements.for_each(|one| one.names(&mut names));
    for head in heads {
        head.names(&mut names);
    }
    names.retain(|name| all.contains(name));
    names
}

/// The variables that a statement may give a value, whatever has one before it.
pub(super) fn may_give(statement: &Statement) -> Names {
    fn in_brackets(term: &Term, names: &mut Names) {
        if let Form::Comprehension(..) = &term.form {
            return;
        }
        if let Form::Reference(_, steps) = &term.form {
            for step in steps {
                bound(step, names);
            }
        }
        let parts = term.parts().into_iter();
        parts.for_each(|part| in_brackets(part, names));
    }
    let mut names = Names::new();
    match &statement.kind {
        Kind::Some(_) | Kind::Not(_) => {}
        Kind::SomeIn { key, value, within } => {
            in_brackets(within, &mut names);
            let patterns = key.iter().chain([value]);
            patterns.for_each(|term| bound(term, &mut names));
        }
        Kind::Every { within, .. } => in_brackets(within, &mut names),
        Kind::Holds(term) => {
            in_brackets(term, &mut names);
            match &term.form {
                Form::Infix(sign, both) if statement.is_negated || matches!(*sign, "=" | ":=") => {
                    bound(&both.0, &mut names);
                    bound(&both.1, &mut names);
                }
                Form::Call(_, terms) => terms.iter().for_each(|term| bound(term, &mut names)),
                _ => {}
            }
        }
    }
    names
}

/// The variables that a statement gives a value.
pub(super) fn gives(statement: &Statement, given: &Names) -> Names {
    let mut names = Names::new();
    let mut replacing = Names::new();
    for (_, value) in &statement.with {
        mentioned(value, &mut replacing);
    }
    if !replacing.is_subset(given) {
        return names;
    }
    match &statement.kind {
        Kind::Some(_) | Kind::Not(_) => {}
        Kind::Holds(term) if statement.is_negated => {
            if let Form::Infix(_, both) = &term.form {
                bound(&both.0, &mut names);
            }
        }
        Kind::SomeIn { key, value, within } => {
            looked_for(within, given, &mut names);
            key.iter()
                .chain([value])
                .for_each(|term| bound(term, &mut names));
        }
        Kind::Every { within, .. } => looked_for(within, given, &mut names),
        Kind::Holds(term) => {
            looked_for(term, given, &mut names);
            match &term.form {
                Form::Infix("=" | ":=", both) => {
                    let mut known = Names::new();
                    mentioned(term, &mut known);
                    known.retain(|name| given.contains(name) || names.contains(name));
                    // What one part gives a value another may need.
                    loop {
                        let before = known.len();
                        join(&both.0, &both.1, &mut known);
                        if known.len() == before {
                            break;
                        }
                    }
                    names.extend(known.difference(given).cloned());
                }
                // Its second argument is what it finds.
                Form::Call(name, terms) if name == &["walk"] => {
                    terms
                        .iter()
                        .skip(1)
                        .for_each(|term| bound(term, &mut names));
                }
                _ => {}
            }
        }
    }
    names
}

/// The variables in brackets of references whose beginning has a value.
pub(super) fn looked_for(term: &Term, given: &Names, names: &mut Names) {
    match &term.form {
        Form::Comprehension(..) => return,
        Form::Reference(base, steps) => {
            let mut begin = Names::new();
            mentioned(base, &mut begin);
            if begin.is_subset(given) {
                for step in steps {
                    let mut found = Names::new();
                    bound(step, &mut found);
                    names.extend(found.difference(given).cloned());
                }
            }
        }
        _ => {}
    }
    for part in term.parts() {
        looked_for(part, given, names);
    }
}

/// What `one = other` gives a value, as OPA's `Unify` finds it.
fn join(one: &Term, other: &Term, known: &mut Names) {
    let is_known = |term: &Term, known: &Names| {
        let mut names = Names::new();
        mentioned(term, &mut names);
        names.is_subset(known)
    };
    match (&one.form, &other.form) {
        (Form::Array(ones), Form::Array(others)) if ones.len() == others.len() => {
            for (one, other) in ones.iter().zip(others) {
                join(one, other, known);
            }
        }
        (Form::Object(ones), Form::Object(others)) if ones.len() == others.len() => {
            for (key, one) in ones {
                if let Some((_, other)) = others.iter().find(|(other, _)| is_same(other, key)) {
                    join(one, other, known);
                }
            }
        }
        _ => {
            if is_known(other, known) && may_be(other, one) {
                bound(one, known);
            } else if is_known(one, known) && may_be(one, other) {
                bound(other, known);
            }
        }
    }
}

/// Whether a value may have the parts of a pattern: what is written there and is another list, or none, has not.
fn may_be(value: &Term, pattern: &Term) -> bool {
    let has_parts = matches!(pattern.form, Form::Array(_) | Form::Object(_));
    let is_written = matches!(
        value.form,
        Form::Constant(_) | Form::Text(_) | Form::Array(_) | Form::Set(_) | Form::Object(_)
    );
    !has_parts || !is_written
}

pub(super) fn is_same(one: &Term, other: &Term) -> bool {
    match (&one.form, &other.form) {
        (Form::Text(one), Form::Text(other)) | (Form::Constant(one), Form::Constant(other)) => {
            one == other
        }
        _ => false,
    }
}
