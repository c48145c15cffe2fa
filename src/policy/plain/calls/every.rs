//! `every` that looks something up by what it goes through.

use crate::policy::plain::tree::{Bracket, Form, Kind, Query, Statement, Term};

/// Whether `every` looks something up by what it goes through: the engine would look at all members.
pub(super) fn is_loose(key: Option<&Term>, value: &Term, query: &Query) -> bool {
    fn uses(term: &Term, names: &[&Term]) -> bool {
        let same = |one: &Term| match (&one.form, &term.form) {
            (Form::Name(one), Form::Name(other)) => one == other && one != "_",
            _ => false,
        };
        names.iter().any(|name| same(name))
            || term.parts().into_iter().any(|part| uses(part, names))
    }
    fn within(term: &Term, names: &[&Term]) -> bool {
        let here = match &term.form {
            Form::Reference(_, steps) => steps.iter().any(|step| uses(step, names)),
            Form::Comprehension(_, _, query) => in_query(query, names),
            _ => false,
        };
        here || term.parts().into_iter().any(|part| within(part, names))
    }
    fn in_query(query: &Query, names: &[&Term]) -> bool {
        query.statements.iter().any(|statement| {
            let inner = match &statement.kind {
                Kind::Every { query, .. } => in_query(query, names),
                _ => false,
            };
            inner
                || statement
                    .terms()
                    .into_iter()
                    .any(|term| within(term, names))
        })
    }
    let names: Vec<&Term> = key.into_iter().chain([value]).collect();
    in_query(query, &names)
}

/// `every` as a comparison: as many keys hold as there are. `other`: what they are called where all are looked for.
pub(super) fn every(key: &Term, other: &Term, value: &Term, within: &Term, query: &Query) -> Kind {
    let place = value.place;
    let keys = |key: &Term, value: Term, rest: Vec<Statement>| {
        let first = Statement {
            place,
            kind: Kind::SomeIn {
                key: Some(key.clone()),
                value,
                within: within.clone(),
            },
            with: Vec::new(),
            is_negated: false,
        };
        let query = Query {
            statements: std::iter::once(first).chain(rest).collect(),
            end: 0,
        };
        Term::new(
            place,
            Form::Comprehension(Bracket::Curly, vec![key.clone()], query),
        )
    };
    let all = keys(other, Term::name(place, "_"), Vec::new());
    let holding = keys(key, value.clone(), query.statements.clone());
    Kind::Holds(Term::infix("==", all, holding))
}
