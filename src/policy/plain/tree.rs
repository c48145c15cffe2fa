//! Policies as trees that can be changed: what the engine's own cannot be.
//!
//! Everything keeps the place where it is written, so that what is said of it names that place.

use std::collections::BTreeSet;

/// A place in the files as they are. In lines and characters, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The rules of a file, and the package that they belong to (without `data`).
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) file: usize,
    pub(super) package: Vec<String>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) is_default: bool,
    /// A name, or a reference that begins with one.
    pub(super) name: Term,
    /// Of a function.
    pub(super) arguments: Option<Vec<Term>>,
    /// What a set contains.
    pub(super) element: Option<Term>,
    pub(super) value: Option<Term>,
    /// The first, and those behind `else`.
    pub(super) bodies: Vec<Body>,
}

#[derive(Clone, Debug)]
pub(super) struct Body {
    /// Of its `else`.
    pub(super) place: Place,
    /// Behind `else`; of the first body the rule has it.
    pub(super) value: Option<Term>,
    pub(super) query: Query,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) statements: Vec<Statement>,
    /// The line that it ends in.
    pub(super) end: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// What is replaced, and by what.
    pub(super) with: Vec<(Term, Term)>,
    /// Whether it was moved out of a negation, where nothing is looked for: its variables need values from elsewhere.
    pub(super) is_negated: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Holds(Term),
    Not(Term),
    /// Names without a value.
    Some(Vec<Term>),
    SomeIn {
        key: Option<Term>,
        value: Term,
        within: Term,
    },
    Every {
        key: Option<Term>,
        value: Term,
        within: Term,
        query: Query,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) place: Place,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A number, `true`, `false`, `null`: as it is written.
    Constant(String),
    Text(String),
    /// A variable.
    Name(String),
    /// `data`, `input`, or a rule of the package.
    Root(String),
    /// What it begins with, and the steps.
    Reference(Box<Term>, Vec<Term>),
    /// The name of a function, and what it is given.
    Call(Vec<String>, Vec<Term>),
    Array(Vec<Term>),
    Set(Vec<Term>),
    Object(Vec<(Term, Term)>),
    /// `[..]`, `{..}` with one term, `{..}` with two.
    Comprehension(Bracket, Vec<Term>, Query),
    Infix(&'static str, Box<(Term, Term)>),
    Minus(Box<Term>),
    /// The key, if one is asked for, the value, and what they may be in.
    In(Option<Box<Term>>, Box<(Term, Term)>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bracket {
    Square,
    Curly,
}

impl Term {
    pub(super) fn new(place: Place, form: Form) -> Self {
        Self { place, form }
    }

    pub(super) fn name(place: Place, name: &str) -> Self {
        Self::new(place, Form::Name(name.to_owned()))
    }

    pub(super) fn infix(operator: &'static str, one: Self, other: Self) -> Self {
        Self::new(one.place, Form::Infix(operator, Box::new((one, other))))
    }

    /// One step from here.
    pub(super) fn step(self, step: Self) -> Self {
        let place = self.place;
        let form = match self.form {
            Form::Reference(base, mut steps) => {
                steps.push(step);
                Form::Reference(base, steps)
            }
            form => Form::Reference(Box::new(Self { place, form }), vec![step]),
        };
        Self { place, form }
    }

    /// The terms that this one is made of; queries are none.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match &self.form {
            Form::Constant(_) | Form::Text(_) | Form::Name(_) | Form::Root(_) => Vec::new(),
            Form::Reference(base, steps) => std::iter::once(&**base).chain(steps).collect(),
            Form::Call(_, terms) | Form::Array(terms) | Form::Set(terms) => terms.iter().collect(),
            Form::Object(members) => members
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Form::Comprehension(_, heads, _) => heads.iter().collect(),
            Form::Infix(_, both) => vec![&both.0, &both.1],
            Form::Minus(term) => vec![term],
            Form::In(key, both) => key
                .iter()
                .map(|key| &**key)
                .chain([&both.0, &both.1])
                .collect(),
        }
    }

    pub(super) fn parts_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.form {
            Form::Constant(_) | Form::Text(_) | Form::Name(_) | Form::Root(_) => Vec::new(),
            Form::Reference(base, steps) => std::iter::once(&mut **base).chain(steps).collect(),
            Form::Call(_, terms) | Form::Array(terms) | Form::Set(terms) => {
                terms.iter_mut().collect()
            }
            Form::Object(members) => members
                .iter_mut()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Form::Comprehension(_, heads, _) => heads.iter_mut().collect(),
            Form::Infix(_, both) => vec![&mut both.0, &mut both.1],
            Form::Minus(term) => vec![term],
            Form::In(key, both) => key
                .iter_mut()
                .map(|key| &mut **key)
                .chain([&mut both.0, &mut both.1])
                .collect(),
        }
    }
}

impl Term {
    /// The variables of the term, and of all within it.
    pub(super) fn names(&self, names: &mut BTreeSet<String>) {
        if let Form::Comprehension(_, _, query) = &self.form {
            query.statements.iter().for_each(|one| one.names(names));
        }
        match &self.form {
            Form::Name(name) if name != "_" => drop(names.insert(name.clone())),
            _ => self.parts().into_iter().for_each(|part| part.names(names)),
        }
    }
}

impl Statement {
    pub(super) fn names(&self, names: &mut BTreeSet<String>) {
        self.terms().into_iter().for_each(|term| term.names(names));
        if let Kind::Every {
            key, value, query, ..
        } = &self.kind
        {
            key.iter().chain([value]).for_each(|name| name.names(names));
            query.statements.iter().for_each(|one| one.names(names));
        }
    }

    pub(super) fn holds(term: Term) -> Self {
        Self {
            place: term.place,
            kind: Kind::Holds(term),
            with: Vec::new(),
            is_negated: false,
        }
    }

    /// The terms that it is made of, and not those of queries within it.
    pub(super) fn terms(&self) -> Vec<&Term> {
        let mut terms: Vec<&Term> = match &self.kind {
            Kind::Holds(term) | Kind::Not(term) => vec![term],
            Kind::Some(names) => names.iter().collect(),
            Kind::SomeIn { key, value, within } => key.iter().chain([value, within]).collect(),
            Kind::Every { within, .. } => vec![within],
        };
        for (target, value) in &self.with {
            terms.extend([target, value]);
        }
        terms
    }

    pub(super) fn terms_mut(&mut self) -> Vec<&mut Term> {
        let (mut terms, with) = self.all_mut();
        for (target, value) in with {
            terms.extend([target, value]);
        }
        terms
    }

    /// All but what `with` replaces.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Term> {
        let (mut terms, with) = self.all_mut();
        terms.extend(with.iter_mut().map(|(_, value)| value));
        terms
    }

    fn all_mut(&mut self) -> (Vec<&mut Term>, &mut [(Term, Term)]) {
        let terms = match &mut self.kind {
            Kind::Holds(term) | Kind::Not(term) => vec![term],
            Kind::Some(names) => names.iter_mut().collect(),
            Kind::SomeIn { key, value, within } => key.iter_mut().chain([value, within]).collect(),
            Kind::Every { within, .. } => vec![within],
        };
        (terms, &mut self.with)
    }
}

impl Rule {
    /// All queries of the rule, those within terms and within one another too, from the inside to the outside.
    pub(super) fn queries_mut(&mut self, see: &mut dyn FnMut(&mut Query)) {
        let heads = self.arguments.iter_mut().flatten();
        let heads = heads.chain(&mut self.element).chain(&mut self.value);
        for term in heads.chain([&mut self.name]) {
            queries_in(term, see);
        }
        for body in &mut self.bodies {
            if let Some(value) = &mut body.value {
                queries_in(value, see);
            }
            queries_within(&mut body.query, see);
        }
    }
}

impl Rule {
    /// All terms of the rule, those of queries within it too, from the inside to the outside; not its name, and not what
    /// `with` replaces.
    pub(super) fn terms_mut(&mut self, see: &mut dyn FnMut(&mut Term)) {
        if let Form::Reference(_, steps) = &mut self.name.form {
            for step in steps.iter_mut() {
                terms_in(step, see);
            }
        }
        let heads = self.arguments.iter_mut().flatten();
        for term in heads.chain(&mut self.element).chain(&mut self.value) {
            terms_in(term, see);
        }
        for body in &mut self.bodies {
            if let Some(value) = &mut body.value {
                terms_in(value, see);
            }
            terms_within(&mut body.query, see);
        }
    }
}

fn terms_within(query: &mut Query, see: &mut dyn FnMut(&mut Term)) {
    for statement in &mut query.statements {
        let targets: Vec<Term> = statement.with.iter().map(|(one, _)| one.clone()).collect();
        for term in statement.terms_mut() {
            terms_in(term, see);
        }
        for ((target, _), before) in statement.with.iter_mut().zip(targets) {
            *target = before;
        }
        if let Kind::Every { query, .. } = &mut statement.kind {
            terms_within(query, see);
        }
    }
}

fn terms_in(term: &mut Term, see: &mut dyn FnMut(&mut Term)) {
    if let Form::Reference(_, steps) = &mut term.form {
        // What a reference begins with is seen with all of it.
        for step in steps.iter_mut() {
            terms_in(step, see);
        }
        if let Form::Reference(base, _) = &mut term.form
            && !matches!(base.form, Form::Root(_))
        {
            terms_in(base, see);
        }
        return see(term);
    }
    if let Form::Comprehension(_, _, query) = &mut term.form {
        terms_within(query, see);
    }
    for part in term.parts_mut() {
        terms_in(part, see);
    }
    see(term);
}

fn queries_within(query: &mut Query, see: &mut dyn FnMut(&mut Query)) {
    for statement in &mut query.statements {
        for term in statement.terms_mut() {
            queries_in(term, see);
        }
        if let Kind::Every { query, .. } = &mut statement.kind {
            queries_within(query, see);
        }
    }
    see(query);
}

fn queries_in(term: &mut Term, see: &mut dyn FnMut(&mut Query)) {
    if let Form::Comprehension(_, _, query) = &mut term.form {
        queries_within(query, see);
    }
    for part in term.parts_mut() {
        queries_in(part, see);
    }
}

/// The steps of a reference up to the first that is computed; nothing when it does not begin with a name.
pub(super) fn known(term: &Term) -> Option<Vec<String>> {
    match &term.form {
        Form::Name(name) | Form::Root(name) => Some(vec![name.clone()]),
        Form::Reference(base, steps) => {
            let mut path = known(base)?;
            for step in steps {
                let Form::Text(step) = &step.form else { break };
                path.push(step.clone());
            }
            Some(path)
        }
        _ => None,
    }
}

/// A path from `data` or `input` on.
pub(super) fn path(place: Place, path: &[String]) -> Term {
    let (first, rest) = path
        .split_first()
        .map_or(("data", path), |(first, rest)| (first, rest));
    let mut term = Term::new(place, Form::Root(first.to_owned()));
    for step in rest {
        term = term.step(Term::new(place, Form::Text(step.clone())));
    }
    term
}
