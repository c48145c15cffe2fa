//! Indexes that look for something: `xs[i]` and `xs[_]` as `some i, x in xs`.
//!
//! The engine finds them by itself, and its bytecode does not always. OPA looks into whatever stands there, and finds
//! nothing in a number or a text; the key of an element of a set is the element. [`MEMBERS`] makes it so.

use super::Order;
use super::patterns::is_pattern;
use super::variables::{Names, bound, mentioned};
use crate::policy::builtins::MEMBERS;
use crate::policy::plain::tree::{Form, Kind, Statement, Term};

impl Order<'_> {
    /// Puts a statement of its own before this one for each index of it that looks for something.
    pub(super) fn indexes(
        &mut self,
        statement: &mut Statement,
        given: &mut Names,
        done: &mut Vec<Statement>,
    ) {
        let before = done.len();
        let with = &statement.with;
        match &mut statement.kind {
            Kind::Holds(term) => self.in_term(term, with, given, done),
            Kind::SomeIn { within, .. } | Kind::Every { within, .. } => {
                self.in_term(within, with, given, done);
            }
            // Nothing is looked for by a name in a negation.
            Kind::Not(_) | Kind::Some(_) => {}
        }
        let walked = done.get_mut(before..).and_then(<[_]>::last_mut);
        if let Some(walked) = walked {
            finds(walked, statement, given);
        }
    }

    fn in_term(
        &mut self,
        term: &mut Term,
        with: &[(Term, Term)],
        given: &mut Names,
        done: &mut Vec<Statement>,
    ) {
        if let Form::Comprehension(..) = &term.form {
            return;
        }
        for part in term.parts_mut() {
            self.in_term(part, with, given, done);
        }
        while self.first_index(term, with, given, done) {}
    }

    /// Walks through what the first index of a reference looks into that looks for something; says whether there is one.
    fn first_index(
        &mut self,
        term: &mut Term,
        with: &[(Term, Term)],
        given: &mut Names,
        done: &mut Vec<Statement>,
    ) -> bool {
        let place = term.place;
        let Form::Reference(base, steps) = &mut term.form else {
            return false;
        };
        let Some(first) = steps.iter().position(|step| is_pattern(step, given)) else {
            return false;
        };
        let is_data = matches!(&base.form, Form::Root(root) if root == "data");
        let mut begin = Names::new();
        mentioned(base, &mut begin);
        let (before, after) = steps.split_at(first);
        for step in before {
            mentioned(step, &mut begin);
        }
        if !begin.is_subset(given) || (is_data && first == 0) {
            return false;
        }
        let Some((step, rest)) = after.split_first() else {
            return false;
        };
        // What data has further down is looked up from its beginning.
        let whole = is_data && self.data.looks_up(steps);
        let key = match &step.form {
            Form::Name(name) if name != "_" => step.clone(),
            Form::Name(_) if !whole => Term::name(place, "_"),
            _ => self.fresh.name(step.place),
        };
        let value = self.fresh.name(place);
        let from = before.iter().cloned().fold((**base).clone(), Term::step);
        let mut within = members(from);
        self.data.write_out(&mut within, given);
        let pattern = (!matches!(step.form, Form::Name(_))).then(|| (step.clone(), key.clone()));
        let begin = if whole {
            before
                .iter()
                .chain([&key])
                .cloned()
                .fold((**base).clone(), Term::step)
        } else {
            value.clone()
        };
        let found = rest.iter().cloned().fold(begin, Term::step);
        for name in [&key, &value] {
            bound(name, given);
        }
        // What is replaced would be so until the end of the body.
        if !with.is_empty() {
            let name = self.fresh.name(place);
            let from = std::mem::replace(&mut within, name.clone());
            bound(&name, given);
            done.push(Statement {
                with: with.to_vec(),
                ..Statement::holds(Term::infix(":=", name, from))
            });
        }
        let is_any = matches!(&key.form, Form::Name(name) if name == "_");
        done.push(Statement {
            place,
            kind: Kind::SomeIn {
                key: (!is_any).then_some(key),
                value,
                within,
            },
            with: Vec::new(),
            is_negated: false,
        });
        if let Some((pattern, key)) = pattern {
            self.joined(pattern, key, given, done, &[]);
        }
        *term = found;
        true
    }
}

/// Calls what is found what a statement behind it would: `x := xs[_]`, and nothing else.
fn finds(walked: &mut Statement, statement: &mut Statement, given: &mut Names) {
    if let Kind::SomeIn { value, .. } = &mut walked.kind
        && let Kind::Holds(term) = &mut statement.kind
        && let Form::Infix("=" | ":=", both) = &mut term.form
        && let (Form::Name(name), Form::Name(found)) = (&both.0.form, &both.1.form)
        && matches!(&value.form, Form::Name(value) if value == found)
        && name != "_"
        && !given.contains(name)
    {
        bound(&both.0, given);
        *value = both.0.clone();
        statement.kind = Kind::Some(Vec::new());
    }
}

/// Something with the members that OPA finds in a value.
fn members(from: Term) -> Term {
    if let Form::Array(_) | Form::Object(_) = &from.form {
        return from;
    }
    let name = MEMBERS.split('.').map(str::to_owned).collect();
    Term::new(from.place, Form::Call(name, vec![from]))
}
