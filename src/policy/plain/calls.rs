//! What OPA asks for before a statement, and the engine within it, becomes a statement of its own.
//!
//! OPA looks up first, outside of `not`, whatever a call is given and whatever stands in brackets: where that is
//! undefined, so is the body. The engine looks it up within, and takes `not startswith(input.change.name.requested,
//! "a")` for true where the request has no name. The same goes for `in` within an expression, which the engine takes for
//! false where OPA finds nothing. It finds nothing by `walk` unless it has two arguments, takes no key of a set for a
//! key, and for what `with` puts in place it evaluates rules where they are replaced already. So
//! `name := input.change.name.requested; not startswith(name, "a")` is what the engine gets.

mod every;

use super::tree::{Bracket, Form, Kind, Place, Query, Rule, Statement, Term, known};
use super::{Fresh, Package};
use every::{every, is_loose};

pub(super) fn write_out(rule: &mut Rule, package: &Package<'_>, fresh: &mut Fresh) {
    rule.queries_mut(&mut |query| {
        for statement in std::mem::take(&mut query.statements) {
            let mut first = Before {
                package,
                fresh,
                statements: Vec::new(),
                with: Vec::new(),
                is_negated: false,
            };
            let statement = first.statement(statement);
            query.statements.append(&mut first.statements);
            query.statements.push(statement);
        }
    });
}

/// What comes before one statement.
struct Before<'a> {
    package: &'a Package<'a>,
    fresh: &'a mut Fresh,
    statements: Vec<Statement>,
    /// What the statement replaces is replaced for them, too.
    with: Vec<(Term, Term)>,
    /// Whether OPA leaves what is read now within the negation until it has found an order: nothing is looked for there.
    is_negated: bool,
}

impl Before<'_> {
    fn statement(&mut self, mut statement: Statement) -> Statement {
        for (_, value) in &mut statement.with {
            let is_function = known(value).is_some_and(|name| self.package.arity(&name).is_some());
            if !is_function && !is_plain(value) {
                self.named(value);
            }
        }
        self.with.clone_from(&statement.with);
        match &mut statement.kind {
            Kind::Not(term) => self.negated(term),
            Kind::Holds(term) => {
                // OPA wants all that is printed to have a value from elsewhere.
                statement.is_negated =
                    matches!(&term.form, Form::Call(name, _) if name == &["print"]);
                handed_over(term);
                self.relations(term, true);
                self.members(term, true);
                if let Form::In(Some(_), _) = &term.form {
                    self.keyed(term);
                }
            }
            Kind::SomeIn { within, .. } => {
                self.relations(within, false);
                // The engine would go on with what is replaced until the end of the body.
                if !self.with.is_empty() {
                    self.named(within);
                    statement.with = Vec::new();
                }
            }
            Kind::Every {
                key,
                value,
                within,
                query,
            } => {
                self.relations(within, false);
                if is_loose(key.as_ref(), value, query) {
                    self.named(within);
                    let key = key.clone().unwrap_or_else(|| self.fresh.name(value.place));
                    let other = self.fresh.name(value.place);
                    statement.kind = every(&key, &other, value, within, query);
                }
            }
            Kind::Some(_) => {}
        }
        statement
    }

    /// Gives what stands there a name.
    fn named(&mut self, term: &mut Term) {
        let place = term.place;
        let name = self.fresh.name(place);
        let value = std::mem::replace(term, name.clone());
        self.before(Term::infix(":=", name, value));
    }

    fn before(&mut self, term: Term) {
        self.statements.push(Statement {
            with: self.with.clone(),
            is_negated: self.is_negated,
            ..Statement::holds(term)
        });
    }

    /// What OPA looks up before it negates an expression.
    fn negated(&mut self, term: &mut Term) {
        if let Form::Call(name, arguments) = &mut term.form
            && name == &["walk"]
            && arguments.len() == 2
        {
            for argument in &mut *arguments {
                self.relations(argument, false);
                self.is_negated = true;
                self.parts(argument);
                if !is_plain(argument) || has_names(argument) {
                    self.named(argument);
                }
                self.is_negated = false;
            }
            let walk = Statement::holds(term.clone());
            *term = holding(term.place, walk);
            return;
        }
        self.relations(term, false);
        self.is_negated = true;
        if let Form::Call(name, arguments) = &mut term.form
            && self
                .package
                .arity(name)
                .is_some_and(|arity| arguments.len() == arity + 1)
            && name != &["walk"]
            && let Some(mut handed) = arguments.pop()
        {
            self.looked_up(&mut handed);
            for argument in arguments {
                self.looked_up(argument);
            }
            *term = Term::infix("==", handed, term.clone());
            return;
        }
        match &mut term.form {
            Form::Infix("==" | "=" | ":=", both) => {
                for side in [&mut both.0, &mut both.1] {
                    match &side.form {
                        Form::Call(..) | Form::Infix(..) | Form::Minus(_) | Form::In(..) => {
                            self.looked_up(side);
                        }
                        _ => self.parts(side),
                    }
                }
            }
            _ => self.parts(term),
        }
        if let Form::In(Some(_), _) = &term.form {
            self.keyed(term);
        }
    }

    /// What is computed within a negation OPA moves out before it looks for an order.
    fn computed(&mut self, see: impl FnOnce(&mut Self)) {
        let is_negated = std::mem::replace(&mut self.is_negated, false);
        see(self);
        self.is_negated = is_negated;
    }

    /// The calls within a term that is moved out itself.
    fn calls(&mut self, term: &mut Term) {
        match &term.form {
            Form::Call(..) => self.computed(|this| this.named(term)),
            Form::Comprehension(..) => {}
            _ => term
                .parts_mut()
                .into_iter()
                .for_each(|part| self.calls(part)),
        }
    }

    /// What an expression is made of, and not itself.
    fn parts(&mut self, term: &mut Term) {
        match &mut term.form {
            Form::Call(_, terms) | Form::Array(terms) | Form::Set(terms) => {
                for term in terms {
                    self.looked_up(term);
                }
            }
            Form::Object(members) => {
                for (key, value) in members {
                    self.looked_up(key);
                    self.looked_up(value);
                }
            }
            Form::In(key, both) => {
                for term in key.iter_mut().map(|key| &mut **key) {
                    self.looked_up(term);
                }
                self.looked_up(&mut both.0);
                self.looked_up(&mut both.1);
            }
            Form::Minus(term) => self.looked_up(term),
            Form::Infix(_, both) => {
                self.looked_up(&mut both.0);
                self.looked_up(&mut both.1);
            }
            Form::Reference(base, steps) => {
                match &base.form {
                    Form::Call(..) => self.looked_up(base),
                    _ => self.parts(base),
                }
                for step in steps {
                    self.looked_up(step);
                }
            }
            Form::Constant(_)
            | Form::Text(_)
            | Form::Name(_)
            | Form::Root(_)
            | Form::Comprehension(..) => {}
        }
    }

    /// An expression that has to have a value.
    fn looked_up(&mut self, term: &mut Term) {
        match &term.form {
            Form::Root(name) if name == "input" => {}
            Form::Root(_) | Form::Reference(..) => {
                if !self.package.is_set(term) {
                    if self.is_negated {
                        self.calls(term);
                    }
                    self.named(term);
                }
            }
            Form::Call(..) => self.computed(|this| this.named(term)),
            Form::Infix(..) | Form::Minus(_) | Form::In(..) => self.computed(|this| {
                this.parts(term);
                if let Form::In(Some(_), _) = &term.form {
                    this.keyed(term);
                }
            }),
            _ => self.parts(term),
        }
    }

    /// What `in` is asked of within an expression; as a statement of its own it fails either way.
    fn members(&mut self, term: &mut Term, is_whole: bool) {
        match &mut term.form {
            Form::In(key, _) if is_whole && key.is_none() => {}
            Form::In(..) => {
                self.parts(term);
                if !is_whole {
                    self.keyed(term);
                }
            }
            Form::Comprehension(..) => {}
            _ => {
                for part in term.parts_mut() {
                    self.members(part, false);
                }
            }
        }
    }

    /// `k, v in xs` as a look-up: the key of an element of a set is the element. The key is looked for nowhere: it is
    /// named outside.
    fn keyed(&mut self, term: &mut Term) {
        let Form::In(Some(key), both) = &mut term.form else {
            return;
        };
        if !matches!(key.form, Form::Constant(_) | Form::Text(_)) {
            self.named(key);
        }
        let found = both.1.clone().step((**key).clone());
        let found = Term::infix("==", found, both.0.clone());
        *term = holding(term.place, Statement::holds(found));
    }

    /// Calls that stand for several values, or hand their result to an argument: each is a statement.
    fn relations(&mut self, term: &mut Term, is_whole: bool) {
        if let Form::Comprehension(..) = &term.form {
            return;
        }
        for part in term.parts_mut() {
            self.relations(part, false);
        }
        let place = term.place;
        let Form::Call(name, arguments) = &mut term.form else {
            return;
        };
        let arity = self.package.arity(name);
        if name == &["walk"] {
            // Within an expression the second one is one too many, and the engine says so.
            if arguments.len() > 1 {
                return;
            }
            let names = [self.fresh.name(place), self.fresh.name(place)];
            let pair = Term::new(place, Form::Array(names.to_vec()));
            arguments.truncate(1);
            arguments.push(pair.clone());
            let walk = std::mem::replace(term, pair);
            if is_whole {
                *term = walk;
            } else {
                self.before(walk);
            }
        } else if is_whole
            && arity.is_some_and(|arity| arguments.len() == arity + 1)
            && let Some(handed) = arguments.pop()
        {
            *term = Term::infix("=", handed, term.clone());
        }
    }
}

/// Whether a statement holds, as an expression.
fn holding(place: Place, statement: Statement) -> Term {
    let one = Term::new(place, Form::Constant("1".to_owned()));
    let query = Query {
        statements: vec![statement],
        end: 0,
    };
    let all = Form::Comprehension(Bracket::Square, vec![one], query);
    let none = Term::new(place, Form::Array(Vec::new()));
    Term::infix("!=", Term::new(place, all), none)
}

/// Whether there are variables in a term.
fn has_names(term: &Term) -> bool {
    matches!(term.form, Form::Name(_)) || term.parts().into_iter().any(has_names)
}

/// `pattern = walk(value)` as `walk(value, pattern)`.
fn handed_over(term: &mut Term) {
    let Form::Infix("=" | ":=", both) = &mut term.form else {
        return;
    };
    if let Form::Call(name, _) = &both.0.form
        && name == &["walk"]
    {
        std::mem::swap(&mut both.0, &mut both.1);
    }
    if let Form::Call(name, arguments) = &mut both.1.form
        && name == &["walk"]
        && arguments.len() == 1
    {
        arguments.push(both.0.clone());
        *term = both.1.clone();
    }
}

/// What has a value without asking anything.
fn is_plain(term: &Term) -> bool {
    match &term.form {
        Form::Constant(_) | Form::Text(_) | Form::Name(_) => true,
        Form::Array(terms) | Form::Set(terms) => terms.iter().all(is_plain),
        Form::Object(members) => members
            .iter()
            .all(|(key, value)| is_plain(key) && is_plain(value)),
        _ => false,
    }
}
