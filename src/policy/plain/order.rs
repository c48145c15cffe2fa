//! Statements in the order in which every variable has a value before it is used, and `=` and patterns as what they do.
//!
//! OPA's compiler brings the statements of a body into this order, whatever order they are written in: `not known[s]; s =
//! scopes[_]` looks for s first. The engine does not find it for every kind of statement. And it takes an object in a
//! pattern for any that has its members, where OPA wants no others. So it gets a statement that gives each variable its
//! value (`x := value.a`), and one that compares (`value == {"a": x}`).

use std::collections::BTreeSet;

use super::Fresh;
use super::implicit;
use super::tree::{Body, Form, Kind, Place, Query, Rule, Statement, Term};

type Names = BTreeSet<String>;

/// A variable that nothing gives a value, and where it is used.
pub(super) struct Unsafe {
    pub(super) name: String,
    pub(super) place: Place,
}

pub(super) fn write_out(rule: &mut Rule, fresh: &mut Fresh) -> Result<(), Unsafe> {
    let mut order = Order { fresh };
    let mut given = Names::new();
    let mut first = Vec::new();
    for argument in rule.arguments.iter_mut().flatten() {
        if !rule.is_default && !matches!(argument.form, Form::Name(_)) && has_object(argument) {
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
    for body in &mut rule.bodies {
        let mut owned = outer.clone();
        if let Some(value) = &body.value {
            mentioned(value, &mut owned);
        }
        let mut statements = first.clone();
        statements.append(&mut body.query.statements);
        body.query.statements = statements;
        order.query(&mut body.query, &given, &owned)?;
    }
    order.heads(rule, &given)
}

struct Order<'a> {
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
        let mut left = std::mem::take(&mut query.statements);
        let mut looked = Names::new();
        while !left.is_empty() {
            let ready = left.iter().position(|statement| {
                let given_here = gives(statement, &given);
                needs(statement)
                    .iter()
                    .all(|name| given.contains(name) || given_here.contains(name))
                    && closed_over(statement, &owned)
                        .iter()
                        .all(|name| given.contains(name))
            });
            let Some(ready) = ready else {
                return Err(unsafe_in(left, &given, &owned));
            };
            let statement = left.remove(ready);
            let mut found = Names::new();
            for term in statement.terms() {
                looked_for(term, &given, &mut found);
            }
            given.extend(found.iter().cloned());
            looked.append(&mut found);
            self.statement(statement, &mut given, &owned, &mut query.statements)?;
        }
        // The engine takes a list that is looked up for a pattern, unless it is told before.
        let mut steps = Names::new();
        query
            .statements
            .iter()
            .for_each(|one| stepped(one, &mut steps));
        for statement in &mut query.statements {
            if let Kind::Holds(term) = &mut statement.kind
                && let Form::Infix(operator @ ":=", both) = &mut term.form
                && let (Form::Name(name), Form::Array(_) | Form::Name(_) | Form::Object(_)) =
                    (&both.0.form, &both.1.form)
                && steps.contains(name)
            {
                *operator = "=";
                looked.insert(name.clone());
            }
        }
        wait(query);
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
        for term in statement.terms_mut() {
            self.within(term, given, owned)?;
        }
        match &mut statement.kind {
            // What is declared has a name that nothing else has.
            Kind::Some(_) => return Ok(()),
            Kind::SomeIn { key, value, .. } => {
                let mut after = Vec::new();
                for pattern in key.iter_mut().chain([value]) {
                    if has_object(pattern) {
                        let name = self.fresh.name(pattern.place);
                        let pattern = std::mem::replace(pattern, name.clone());
                        after.push((pattern, name));
                    } else {
                        bound(pattern, given);
                    }
                }
                done.push(statement);
                for (pattern, name) in after {
                    self.taken_apart(&pattern, name, given, done, &[]);
                }
                return Ok(());
            }
            Kind::Every {
                key, value, query, ..
            } => {
                let mut inner = given.clone();
                for name in key.iter().chain([&*value]) {
                    bound(name, &mut inner);
                }
                self.query(query, &inner, owned)?;
            }
            Kind::Holds(term) => {
                if let Form::Call(name, terms) = &mut term.form
                    && name == &["walk"]
                    && let Some(found) = terms.get_mut(1)
                {
                    if is_pair(found, given) {
                        bound(found, given);
                    } else {
                        let place = found.place;
                        let names = [self.fresh.name(place), self.fresh.name(place)];
                        let pair = Term::new(place, Form::Array(names.to_vec()));
                        let pattern = std::mem::replace(found, pair.clone());
                        bound(&pair, given);
                        done.push(statement);
                        self.joined(pattern, pair, given, done, &[]);
                        return Ok(());
                    }
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

    /// The comprehensions in a term.
    fn within(&mut self, term: &mut Term, given: &Names, owned: &Names) -> Result<(), Unsafe> {
        if let Form::Comprehension(_, heads, query) = &mut term.form {
            if let Some(loose) = implicit::loose(query, given) {
                return Err(loose);
            }
            let mut owned = owned.clone();
            for head in &*heads {
                mentioned(head, &mut owned);
            }
            let given = self.query(query, given, &owned)?;
            for head in heads {
                self.within(head, &given, &owned)?;
            }
            return Ok(());
        }
        for part in term.parts_mut() {
            self.within(part, given, owned)?;
        }
        Ok(())
    }

    /// The comprehensions in heads.
    fn heads(&mut self, rule: &mut Rule, given: &Names) -> Result<(), Unsafe> {
        let mut known = given.clone();
        let mut owned = Names::new();
        for body in &rule.bodies {
            for statement in &body.query.statements {
                bound_by(statement, &mut known);
            }
        }
        owned.extend(known.iter().cloned());
        let values = rule
            .bodies
            .iter_mut()
            .filter_map(|body| body.value.as_mut());
        for head in rule.element.iter_mut().chain(&mut rule.value).chain(values) {
            self.within(head, &known, &owned)?;
        }
        if let Form::Reference(_, steps) = &mut rule.name.form {
            for step in steps {
                self.within(step, &known, &owned)?;
            }
        }
        Ok(())
    }

    /// `one = other`.
    fn joined(
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

    /// Two patterns, part by part.
    fn matched(
        &mut self,
        one: Term,
        other: Term,
        given: &mut Names,
        done: &mut Vec<Statement>,
        with: &[(Term, Term)],
    ) {
        let place = one.place;
        let never = Statement::holds(Term::new(place, Form::Constant("false".to_owned())));
        match (one.form, other.form) {
            (Form::Array(ones), Form::Array(others)) => {
                if ones.len() != others.len() {
                    return done.push(never);
                }
                let mut left: Vec<_> = ones.into_iter().zip(others).collect();
                // What one pair gives a value the other may need.
                while !left.is_empty() {
                    let open = |term: &Term| is_pattern(term, given);
                    let ready = left
                        .iter()
                        .position(|(one, other)| !open(one) || !open(other));
                    let (one, other) = left.remove(ready.unwrap_or(0));
                    self.joined(one, other, given, done, with);
                }
            }
            (Form::Object(ones), Form::Object(mut others)) => {
                let same = ones.len() == others.len();
                for (key, value) in ones {
                    let found = others.iter().position(|(other, _)| is_same(other, &key));
                    let Some(found) = found.filter(|_| same) else {
                        return done.push(never);
                    };
                    let (_, other) = others.remove(found);
                    self.joined(value, other, given, done, with);
                }
            }
            // A name without a value on each side: nothing joins them later.
            (one, other) => {
                let (one, other) = (Term::new(place, one), Term::new(place, other));
                let mut statement = Statement::holds(Term::infix("=", one, other));
                statement.with = with.to_vec();
                for term in statement.terms() {
                    mentioned(term, given);
                }
                done.push(statement);
            }
        }
    }

    /// Gives the variables of a pattern their values, and compares.
    fn taken_apart(
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
fn is_pattern(term: &Term, given: &Names) -> bool {
    match &term.form {
        Form::Name(name) => !given.contains(name),
        Form::Array(terms) => terms.iter().any(|term| is_pattern(term, given)),
        Form::Object(members) => members.iter().any(|(_, value)| is_pattern(value, given)),
        _ => false,
    }
}

/// Two names that have no value yet: what `walk` finds.
fn is_pair(pattern: &Term, given: &Names) -> bool {
    let Form::Array(terms) = &pattern.form else {
        return false;
    };
    let names: BTreeSet<_> = terms
        .iter()
        .filter_map(|term| match &term.form {
            Form::Name(name) if !given.contains(name) => Some(name),
            _ => None,
        })
        .collect();
    terms.len() == 2 && names.len() == 2
}

fn has_object(pattern: &Term) -> bool {
    match &pattern.form {
        Form::Object(_) => true,
        Form::Array(terms) => terms.iter().any(has_object),
        _ => false,
    }
}

/// The variables that a pattern gives a value.
fn bound(pattern: &Term, names: &mut Names) {
    match &pattern.form {
        Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
        Form::Array(terms) => terms.iter().for_each(|term| bound(term, names)),
        Form::Object(members) => members.iter().for_each(|(_, value)| bound(value, names)),
        _ => {}
    }
}

fn bound_by(statement: &Statement, names: &mut Names) {
    match &statement.kind {
        Kind::Some(terms) => terms.iter().for_each(|term| bound(term, names)),
        Kind::SomeIn { key, value, .. } => {
            key.iter()
                .chain([value])
                .for_each(|term| bound(term, names));
        }
        Kind::Holds(term) => match &term.form {
            Form::Infix("=" | ":=", both) => bound(&both.0, names),
            Form::Call(_, terms) => terms.iter().for_each(|term| bound(term, names)),
            _ => {}
        },
        Kind::Not(_) | Kind::Every { .. } => {}
    }
}

/// The variables of a term, without those of queries within it.
fn mentioned(term: &Term, names: &mut Names) {
    match &term.form {
        Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
        Form::Comprehension(..) => {}
        _ => term
            .parts()
            .into_iter()
            .for_each(|part| mentioned(part, names)),
    }
}

/// The variables of a term, and of all within it.
fn all(term: &Term, names: &mut Names) {
    if let Form::Comprehension(_, _, query) = &term.form {
        query.statements.iter().for_each(|one| all_of(one, names));
    }
    match &term.form {
        Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
        _ => term.parts().into_iter().for_each(|part| all(part, names)),
    }
}

fn all_of(statement: &Statement, names: &mut Names) {
    statement
        .terms()
        .into_iter()
        .for_each(|term| all(term, names));
    if let Kind::Every { query, .. } = &statement.kind {
        query.statements.iter().for_each(|one| all_of(one, names));
    }
}

/// Makes `every` wait for what its query uses: the engine asks it before names that stand for others have a value. Its
/// domain names them: `every x in [xs, other][0]`.
fn wait(query: &mut Query) {
    let mut late = Names::new();
    for statement in &query.statements {
        if let Kind::Holds(term) = &statement.kind
            && let Form::Infix("=" | ":=", both) = &term.form
            && let (Form::Name(name), Form::Array(_) | Form::Name(_) | Form::Object(_)) =
                (&both.0.form, &both.1.form)
        {
            late.insert(name.clone());
        }
    }
    for statement in &mut query.statements {
        let waits = closed_over(statement, &late);
        if let Kind::Every { within, .. } = &mut statement.kind
            && !waits.is_empty()
        {
            let place = within.place;
            let domain = std::mem::replace(within, Term::name(place, "_"));
            let names = waits.iter().map(|name| Term::name(place, name));
            let all = std::iter::once(domain).chain(names).collect();
            let first = Term::new(place, Form::Constant("0".to_owned()));
            *within = Term::new(place, Form::Array(all)).step(first);
        }
    }
}

/// The variables that references look something up by.
fn stepped(statement: &Statement, names: &mut Names) {
    fn within(term: &Term, names: &mut Names) {
        if let Form::Reference(_, steps) = &term.form {
            for step in steps {
                mentioned(step, names);
            }
        }
        if let Form::Comprehension(_, _, query) = &term.form {
            query.statements.iter().for_each(|one| stepped(one, names));
        }
        term.parts()
            .into_iter()
            .for_each(|part| within(part, names));
    }
    statement
        .terms()
        .into_iter()
        .for_each(|term| within(term, names));
    if let Kind::Every { query, .. } = &statement.kind {
        query.statements.iter().for_each(|one| stepped(one, names));
    }
}

/// The variables that a statement uses, itself.
fn needs(statement: &Statement) -> Names {
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
fn closed_over(statement: &Statement, owned: &Names) -> Names {
    fn within(term: &Term, names: &mut Names) {
        if let Form::Comprehension(..) = &term.form {
            all(term, names);
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
            .for_each(|one| all_of(one, &mut names));
        let mut own = Names::new();
        key.iter()
            .chain([value])
            .for_each(|name| bound(name, &mut own));
        names.retain(|name| !own.contains(name));
    }
    names.retain(|name| owned.contains(name));
    names
}

/// The variables that a statement gives a value.
fn gives(statement: &Statement, given: &Names) -> Names {
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
                    let mut known = given.clone();
                    known.extend(names.iter().cloned());
                    join(&both.0, &both.1, &mut known);
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
fn looked_for(term: &Term, given: &Names, names: &mut Names) {
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
            for _again in 0..2 {
                for (one, other) in ones.iter().zip(others) {
                    join(one, other, known);
                }
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
            if is_known(other, known) {
                bound(one, known);
            } else if is_known(one, known) {
                bound(other, known);
            }
        }
    }
}

fn is_same(one: &Term, other: &Term) -> bool {
    match (&one.form, &other.form) {
        (Form::Text(one), Form::Text(other)) | (Form::Constant(one), Form::Constant(other)) => {
            one == other
        }
        _ => false,
    }
}

fn unsafe_in(left: Vec<Statement>, given: &Names, owned: &Names) -> Unsafe {
    let mut statements = left.into_iter();
    let statement = statements
        .next()
        .unwrap_or_else(|| Statement::holds(Term::name(Place::default(), "_")));
    let given_here = gives(&statement, given);
    let mut names = needs(&statement);
    names.retain(|name| !given.contains(name) && !given_here.contains(name));
    let mut closed = closed_over(&statement, owned);
    closed.retain(|name| !given.contains(name));
    let name = names.into_iter().chain(closed).next().unwrap_or_default();
    let place = used(&statement, &name).unwrap_or(statement.place);
    Unsafe { name, place }
}

/// Where a statement uses a name first.
fn used(statement: &Statement, name: &str) -> Option<Place> {
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
    let mut terms = statement.terms().into_iter();
    terms
        .find_map(|term| within(term, name))
        .or_else(|| match &statement.kind {
            Kind::Every { query, .. } => query.statements.iter().find_map(|one| used(one, name)),
            _ => None,
        })
}
