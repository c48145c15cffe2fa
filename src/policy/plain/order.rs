//! Statements in the order in which every variable has a value before it is used, and `=` and patterns as what they do.
//!
//! OPA's compiler brings the statements of a body into this order, whatever order they are written in: `not known[s]; s =
//! scopes[_]` looks for s first. The engine does not find it for every kind of statement. And it takes an object in a
//! pattern for any that has its members, where OPA wants no others. So it gets a statement that gives each variable its
//! value (`x := value.a`), and one that compares (`value == {"a": x}`).

mod indexes;
mod patterns;
mod variables;
mod waiting;

use super::Fresh;
use super::data::Data;
use super::implicit;
use super::tree::{Body, Form, Kind, Place, Query, Rule, Statement, Term};
use crate::policy::builtins::WALKED;
use variables::{Names, apart, bound, is_any, looked_for, mentioned, named_of};
use waiting::{One, Waiting};

/// A variable that nothing gives a value, and where it is used.
pub(super) struct Unsafe {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Unsafe {
    fn new(name: &str, place: Place) -> Self {
        let name = if is_any(name) { "_" } else { name }.to_owned();
        Self { name, place }
    }
}

pub(super) fn write_out(rule: &mut Rule, data: &Data<'_>, fresh: &mut Fresh) -> Result<(), Unsafe> {
    let mut order = Order { data, fresh };
    let mut given = Names::new();
    let mut first = Vec::new();
    for argument in rule.arguments.iter_mut().flatten() {
        let is_name = matches!(&argument.form, Form::Name(name) if name != "_");
        if !rule.is_default && !is_name {
            let place = argument.place;
            let name = order.fresh.name(place);
            let pattern = std::mem::replace(argument, name.clone());
            first.push(Statement::holds(Term::infix(":=", pattern, name)));
        }
        let is_known = |name: &String| given.contains(name);
        if let Form::Name(name) = &argument.form
            && is_known(name)
        {
            let name = order.fresh.name(argument.place);
            let same = std::mem::replace(argument, name.clone());
            first.push(Statement::holds(Term::infix("==", name, same)));
        }
        bound(argument, &mut given);
    }
    if rule.bodies.is_empty() && !first.is_empty() {
        rule.bodies.push(Body {
            place: rule.place,
            value: None,
            query: Query::default(),
        });
    }
    let heads = rule.element.iter().chain(&rule.value);
    let mut heads: Vec<&Term> = heads.collect();
    if let Form::Reference(_, steps) = &rule.name.form {
        heads.extend(steps);
    }
    let mut outer = Names::new();
    for head in heads {
        mentioned(head, &mut outer);
    }
    // What is known at the end of each body.
    let mut all_known = Vec::new();
    for body in &mut rule.bodies {
        let mut owned = outer.clone();
        if let Some(value) = &body.value {
            mentioned(value, &mut owned);
        }
        let mut statements = first.clone();
        statements.append(&mut body.query.statements);
        body.query.statements = statements;
        let known = order.query(&mut body.query, &given, &owned)?;
        all_known.push(known);
    }
    if all_known.is_empty() {
        all_known.push(given);
    }
    order.heads(rule, &all_known)
}

struct Order<'a> {
    data: &'a Data<'a>,
    fresh: &'a mut Fresh,
}

impl Order<'_> {
    /// Orders a query; `given`: what has a value before it; `owned`: what queries around it and its head name.
    fn query(&mut self, query: &mut Query, given: &Names, owned: &Names) -> Result<Names, Unsafe> {
        let mut owned = owned.clone();
        for statement in &query.statements {
            for term in statement.terms() {
                mentioned(term, &mut owned);
            }
        }
        let mut given = given.clone();
        let mut waiting = Waiting::new(std::mem::take(&mut query.statements), &owned);
        let mut looked = Names::new();
        while let Some(mut statement) = waiting.next(&given) {
            // Before they move: what they use has a value already.
            for term in statement.terms_mut() {
                self.within(term, &given, &owned)?;
            }
            self.indexes(&mut statement, &mut given, &mut query.statements);
            let mut found = Names::new();
            for term in statement.terms() {
                looked_for(term, &given, &mut found);
            }
            for term in statement.values_mut() {
                self.data.write_out(term, &given);
            }
            given.extend(found.iter().cloned());
            looked.append(&mut found);
            self.statement(statement, &mut given, &owned, &mut query.statements)?;
        }
        if let Some(first) = waiting.first() {
            return Err(unsafe_in(first, &given));
        }
        query.statements.iter_mut().for_each(one_way);
        if !looked.is_empty() {
            // The engine has to know, from the beginning, that they are variables.
            let place = query
                .statements
                .first()
                .map_or_else(Default::default, |first| first.place);
            let names = looked.iter().map(|name| Term::name(place, name));
            let declared = Statement {
                place,
                kind: Kind::Some(names.collect()),
                with: Vec::new(),
                is_negated: false,
            };
            query.statements.insert(0, declared);
        }
        if query.statements.is_empty() {
            let place = Place::default();
            let holds = Term::new(place, Form::Constant("true".to_owned()));
            query.statements.push(Statement::holds(holds));
        }
        Ok(given)
    }

    fn statement(
        &mut self,
        mut statement: Statement,
        given: &mut Names,
        owned: &Names,
        done: &mut Vec<Statement>,
    ) -> Result<(), Unsafe> {
        match &mut statement.kind {
            // What is declared has a name that nothing else has.
            Kind::Some(_) => return Ok(()),
            Kind::SomeIn { key, value, .. } => {
                let mut after = Vec::new();
                for pattern in key.iter_mut().chain([value]) {
                    let is_new = matches!(&pattern.form, Form::Name(name) if !given.contains(name));
                    if is_new {
                        bound(pattern, given);
                    } else {
                        let name = self.fresh.name(pattern.place);
                        let pattern = std::mem::replace(pattern, name.clone());
                        bound(&name, given);
                        after.push((pattern, name));
                    }
                }
                done.push(statement);
                for (pattern, name) in after {
                    self.joined(pattern, name, given, done, &[]);
                }
                return Ok(());
            }
            Kind::Every {
                key, value, query, ..
            } => {
                let mut inner = named_of(given, query, &[]);
                for name in key.iter().chain([&*value]) {
                    bound(name, &mut inner);
                }
                self.query(query, &inner, &named_of(owned, query, &[]))?;
            }
            Kind::Holds(term) => {
                if let Form::Call(name, terms) = &mut term.form
                    && name == &["walk"]
                    && let Some(found) = terms.get_mut(1)
                {
                    let pattern = found.clone();
                    let name = self.fresh.name(found.place);
                    bound(&name, given);
                    terms.truncate(1);
                    let walked = WALKED.split('.').map(str::to_owned).collect();
                    let walked = Form::Call(walked, std::mem::take(terms));
                    self.walk(Term::new(term.place, walked), &name, &statement.with, done);
                    self.joined(pattern, name, given, done, &[]);
                    return Ok(());
                }
                if let Form::Infix("=" | ":=", both) = &term.form {
                    let both = (**both).clone();
                    self.joined(both.0, both.1, given, done, &statement.with);
                    return Ok(());
                }
            }
            Kind::Not(term) => {
                if let Form::Infix(operator @ ("=" | ":="), _) = &mut term.form {
                    *operator = "==";
                }
            }
        }
        done.push(statement);
        Ok(())
    }

    /// Walks through what a term has, which is found with what is replaced: the engine would go on with that until the
    /// end of the body.
    fn walk(
        &mut self,
        mut term: Term,
        name: &Term,
        with: &[(Term, Term)],
        done: &mut Vec<Statement>,
    ) {
        let place = term.place;
        if !with.is_empty() {
            let found = self.fresh.name(place);
            let value = std::mem::replace(&mut term, found.clone());
            done.push(Statement {
                with: with.to_vec(),
                ..Statement::holds(Term::infix(":=", found, value))
            });
        }
        done.push(Statement {
            place,
            kind: Kind::SomeIn {
                key: None,
                value: name.clone(),
                within: term,
            },
            with: Vec::new(),
            is_negated: false,
        });
    }

    /// The comprehensions in a term.
    fn within(&mut self, term: &mut Term, given: &Names, owned: &Names) -> Result<(), Unsafe> {
        if let Form::Comprehension(_, heads, query) = &mut term.form {
            if let Some(loose) = implicit::loose(query, given) {
                return Err(loose);
            }
            let mut owned = named_of(owned, query, heads);
            for head in &*heads {
                mentioned(head, &mut owned);
            }
            let given = named_of(given, query, heads);
            let given = self.query(query, &given, &owned)?;
            for head in heads {
                safe(head, &given)?;
                self.data.write_out(head, &given);
                self.within(head, &given, &owned)?;
            }
            return Ok(());
        }
        for part in term.parts_mut() {
            self.within(part, given, owned)?;
        }
        Ok(())
    }

    /// The heads of a rule, each behind its body.
    fn heads(&mut self, rule: &mut Rule, all_known: &[Names]) -> Result<(), Unsafe> {
        let first = rule.element.iter_mut().chain(&mut rule.value);
        let mut heads: Vec<(&mut Term, usize)> = first.map(|head| (head, 0)).collect();
        if let Form::Reference(_, steps) = &mut rule.name.form {
            heads.extend(steps.iter_mut().map(|step| (step, 0)));
        }
        for (number, body) in rule.bodies.iter_mut().enumerate() {
            heads.extend(body.value.as_mut().map(|value| (value, number)));
        }
        for (head, number) in heads {
            let Some(known) = all_known.get(number) else {
                continue;
            };
            safe(head, known)?;
            self.data.write_out(head, known);
            self.within(head, known, known)?;
        }
        Ok(())
    }
}

/// Makes what is assigned something that is found: `s := [x][0]`. A name, a list or an object that stands there alone the
/// engine takes for a pattern, which `s` may give values as well: it asks `not known[s]` before `s := x`.
fn one_way(statement: &mut Statement) {
    if let Kind::Holds(term) = &mut statement.kind
        && let Form::Infix(":=", both) = &mut term.form
        && let Form::Name(_) | Form::Array(_) | Form::Object(_) = &both.1.form
    {
        let place = both.1.place;
        let value = std::mem::replace(&mut both.1, Term::name(place, "_"));
        let first = Term::new(place, Form::Constant("0".to_owned()));
        both.1 = Term::new(place, Form::Array(vec![value])).step(first);
    }
}

fn unsafe_in(left: &One, given: &Names) -> Unsafe {
    let name = left.missing(given).into_iter().next().unwrap_or_default();
    let place = used(&left.apart, &name).unwrap_or(left.apart.place);
    Unsafe::new(&name, place)
}

/// Whether everything that a head names has a value.
fn safe(head: &Term, given: &Names) -> Result<(), Unsafe> {
    let head = apart(head);
    let mut names = Names::new();
    mentioned(&head, &mut names);
    match names.into_iter().find(|name| !given.contains(name)) {
        Some(name) => {
            let place = within(&head, &name).unwrap_or(head.place);
            Err(Unsafe::new(&name, place))
        }
        None => Ok(()),
    }
}

fn within(term: &Term, name: &str) -> Option<Place> {
    match &term.form {
        Form::Name(one) if one == name => Some(term.place),
        Form::Comprehension(_, heads, query) => {
            let mut statements = query.statements.iter();
            let found = statements.find_map(|one| used(one, name));
            found.or_else(|| heads.iter().find_map(|head| within(head, name)))
        }
        _ => term.parts().into_iter().find_map(|part| within(part, name)),
    }
}

/// Where a statement uses a name first.
fn used(statement: &Statement, name: &str) -> Option<Place> {
    let mut terms = statement.terms().into_iter();
    terms
        .find_map(|term| within(term, name))
        .or_else(|| match &statement.kind {
            Kind::Every { query, .. } => query.statements.iter().find_map(|one| used(one, name)),
            _ => None,
        })
}
