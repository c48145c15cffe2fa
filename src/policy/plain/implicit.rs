//! Conditions that may bind nothing: those beside `and` and `or`, behind `not` with its import, and the expressions in
//! texts. OPA refuses a variable in them that nothing outside gives a value.

use std::collections::BTreeSet;

use super::order::Unsafe;
use super::tree::{Form, Kind, Query, Statement, Term};
use crate::policy::lexical::IMPLICIT;

/// The first variable of such a condition that has no value before it.
pub(super) fn loose(query: &Query, given: &BTreeSet<String>) -> Option<Unsafe> {
    let (first, condition) = query.statements.split_first()?;
    if !is_mark(first) {
        return None;
    }
    let mut terms = condition.iter().flat_map(Statement::terms);
    terms.find_map(|term| in_term(term, given))
}

fn is_mark(statement: &Statement) -> bool {
    let Kind::SomeIn { value, .. } = &statement.kind else {
        return false;
    };
    matches!(&value.form, Form::Name(name) if name.starts_with(IMPLICIT))
}

fn in_term(term: &Term, given: &BTreeSet<String>) -> Option<Unsafe> {
    match &term.form {
        // Names that were given here begin like this.
        Form::Name(name) => {
            (!given.contains(name) && !name.starts_with("dtgate_")).then(|| Unsafe {
                name: name.clone(),
                place: term.place,
            })
        }
        Form::Comprehension(..) => None,
        _ => term
            .parts()
            .into_iter()
            .find_map(|part| in_term(part, given)),
    }
}
