//! Patterns as what they do: variables that get a value, and comparisons.

use super::Order;
use super::variables::{Names, is_same, mentioned};
use crate::policy::plain::tree::{Form, Statement, Term};

impl Order<'_> {
    /// `one = other`.
    pub(super) fn joined(
        &mut self,
        one: Term,
        other: Term,
        given: &mut Names,
        done: &mut Vec<Statement>,
        with: &[(Term, Term)],
    ) {
        let is_open = |term: &Term| is_pattern(term, given);
        let made = |term: Term| Statement {
            with: with.to_vec(),
            ..Statement::holds(term)
        };
        match (is_open(&one), is_open(&other)) {
            (false, false) => done.push(made(Term::infix("==", one, other))),
            (true, false) => self.taken_apart(&one, other, given, done, with),
            (false, true) => self.taken_apart(&other, one, given, done, with),
            (true, true) => self.matched(one, other, given, done, with),
        }
    }

    /// Two patterns, part by part: what one pair gives a value another may need, however deep it stands.
    fn matched(
        &mut self,
        one: Term,
        other: Term,
        given: &mut Names,
        done: &mut Vec<Statement>,
        with: &[(Term, Term)],
    ) {
        let place = one.place;
        let mut left = Vec::new();
        if !pairs(one, other, given, &mut left) {
            let never = Form::Constant("false".to_owned());
            return done.push(Statement::holds(Term::new(place, never)));
        }
        while !left.is_empty() {
            let open = |term: &Term| is_pattern(term, given);
            let ready = left
                .iter()
                .position(|(one, other)| !open(one) || !open(other));
            let (one, other) = left.remove(ready.unwrap_or(0));
            if ready.is_some() {
                self.joined(one, other, given, done, with);
                continue;
            }
            // A name without a value on each side: nothing joins them later.
            let mut statement = Statement::holds(Term::infix("=", one, other));
            statement.with = with.to_vec();
            for term in statement.terms() {
                mentioned(term, given);
            }
            done.push(statement);
        }
    }

    /// Gives the variables of a pattern their values, and compares.
    pub(super) fn taken_apart(
        &mut self,
        pattern: &Term,
        value: Term,
        given: &mut Names,
        done: &mut Vec<Statement>,
        with: &[(Term, Term)],
    ) {
        let assigned = |name: Term, value: Term| Statement {
            with: with.to_vec(),
            ..Statement::holds(Term::infix(":=", name, value))
        };
        if let Form::Name(name) = &pattern.form {
            let name = if name == "_" {
                self.fresh.name(pattern.place)
            } else {
                given.insert(name.clone());
                pattern.clone()
            };
            done.push(assigned(name, value));
            return;
        }
        let whole = if let Form::Name(_) = &value.form {
            value
        } else {
            let name = self.fresh.name(value.place);
            done.push(assigned(name.clone(), value));
            name
        };
        let compared = filled(pattern, &whole, given, &mut |name, value| {
            done.push(Statement::holds(Term::infix(":=", name, value)));
        });
        done.push(Statement::holds(Term::infix("==", whole, compared)));
    }
}

/// The parts of two patterns that stand at one place of both; says whether the patterns can be the same.
fn pairs(one: Term, other: Term, given: &Names, found: &mut Vec<(Term, Term)>) -> bool {
    if !is_pattern(&one, given) || !is_pattern(&other, given) {
        found.push((one, other));
        return true;
    }
    let place = one.place;
    match (one.form, other.form) {
        (Form::Array(ones), Form::Array(others)) => {
            ones.len() == others.len()
                && ones
                    .into_iter()
                    .zip(others)
                    .all(|(one, other)| pairs(one, other, given, found))
        }
        (Form::Object(ones), Form::Object(mut others)) => {
            ones.len() == others.len()
                && ones.into_iter().all(|(key, one)| {
                    let same = others.iter().position(|(other, _)| is_same(other, &key));
                    same.is_some_and(|same| pairs(one, others.remove(same).1, given, found))
                })
        }
        (one, other) => {
            found.push((Term::new(place, one), Term::new(place, other)));
            true
        }
    }
}

/// A pattern with all that is to be compared; calls `give` for each variable that gets its value here.
fn filled(
    pattern: &Term,
    value: &Term,
    given: &mut Names,
    give: &mut dyn FnMut(Term, Term),
) -> Term {
    let place = pattern.place;
    let form = match &pattern.form {
        Form::Name(name) if name == "_" => return value.clone(),
        Form::Name(name) => {
            if given.insert(name.clone()) {
                give(pattern.clone(), value.clone());
            }
            return pattern.clone();
        }
        Form::Array(terms) => {
            let places = terms.iter().zip(0..);
            let terms = places.map(|(term, number): (&Term, usize)| {
                let step = Term::new(place, Form::Constant(number.to_string()));
                filled(term, &value.clone().step(step), given, give)
            });
            Form::Array(terms.collect())
        }
        Form::Object(members) => {
            let members = members.iter().map(|(key, member)| {
                let found = value.clone().step(key.clone());
                (key.clone(), filled(member, &found, given, give))
            });
            Form::Object(members.collect())
        }
        _ => return pattern.clone(),
    };
    Term::new(place, form)
}

/// Whether a term has variables without a value where a value is matched with it.
pub(super) fn is_pattern(term: &Term, given: &Names) -> bool {
    match &term.form {
        Form::Name(name) => !given.contains(name),
        Form::Array(terms) => terms.iter().any(|term| is_pattern(term, given)),
        Form::Object(members) => members.iter().any(|(_, value)| is_pattern(value, given)),
        _ => false,
    }
}
