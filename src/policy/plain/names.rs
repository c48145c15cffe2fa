//! Every name says what it means: OPA's compiler writes out imports and gives each local variable a name of its own.
//!
//! The engine evaluates the whole package that an import names, reads one import for all files of a package, and takes
//! a variable for a rule of its name in some places. It gets whole paths, calls of the policies' functions by theirs,
//! and variables whose name nothing else has.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{builtins, lexical};

use super::tree::{self, Form, Kind, Module, Place, Query, Rule, Statement, Term};
use super::words;

/// What the names of one file mean, apart from its variables.
pub(super) struct Names<'a> {
    /// Without `data`.
    pub(super) package: &'a [String],
    pub(super) imports: &'a BTreeMap<String, Vec<String>>,
    /// The rules of the package, by the first step of their names.
    pub(super) rules: &'a BTreeSet<String>,
    /// All functions of the policies, by their whole path.
    pub(super) functions: &'a BTreeMap<Vec<String>, usize>,
}

/// # Errors
///
/// Says of a variable that it is declared too late, or twice, and where.
pub(super) fn write_out(module: &mut Module, names: &Names<'_>) -> Result<(), (Place, String)> {
    for rule in &mut module.rules {
        // Names that are declared nowhere keep what they are called.
        let mut first = Walk::new(names, BTreeSet::new());
        first.rule(&mut rule.clone());
        let mut scopes = Walk::new(names, first.loose);
        scopes.rule(rule);
        if let Some(wrong) = scopes.wrong {
            return Err(wrong);
        }
    }
    Ok(())
}

struct Walk<'a> {
    names: &'a Names<'a>,
    /// From the outside to the inside.
    scopes: Vec<Scope>,
    /// What variables are called already.
    taken: BTreeSet<String>,
    /// The number behind the last variable of each name that several have.
    numbers: BTreeMap<String, usize>,
    loose: BTreeSet<String>,
    wrong: Option<(Place, String)>,
    /// Whether the rule moves into a package of its own, where the names of its package say nothing.
    moves: bool,
}

#[derive(Default)]
struct Scope {
    /// What its variables are called.
    declared: BTreeMap<String, String>,
    /// The names that were used in it before they were declared, if they are.
    used: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(names: &'a Names<'a>, taken: BTreeSet<String>) -> Self {
        Self {
            names,
            scopes: vec![Scope::default()],
            taken,
            numbers: BTreeMap::new(),
            loose: BTreeSet::new(),
            wrong: None,
            moves: false,
        }
    }

    fn rule(&mut self, rule: &mut Rule) {
        self.moves = words::moves(rule);
        if let Form::Name(name) = &rule.name.form {
            rule.name.form = Form::Root(name.clone());
        }
        if let Form::Reference(base, _) = &mut rule.name.form
            && let Form::Name(name) = &base.form
        {
            base.form = Form::Root(name.clone());
        }
        // What is named twice among the arguments is compared.
        for argument in rule.arguments.iter_mut().flatten() {
            self.declare(argument);
            self.wrong = None;
        }
        let mut bodies = rule.bodies.iter_mut();
        self.within(|scopes| {
            if let Some(first) = bodies.next() {
                scopes.query(&mut first.query);
            }
            let steps = match &mut rule.name.form {
                Form::Reference(_, steps) => steps.as_mut_slice(),
                _ => &mut [],
            };
            for term in steps
                .iter_mut()
                .chain(&mut rule.element)
                .chain(&mut rule.value)
            {
                scopes.term(term);
            }
        });
        for body in bodies {
            self.within(|scopes| {
                scopes.query(&mut body.query);
                if let Some(value) = &mut body.value {
                    scopes.term(value);
                }
            });
        }
    }

    fn within(&mut self, inner: impl FnOnce(&mut Self)) {
        self.scopes.push(Scope::default());
        inner(self);
        self.scopes.pop();
    }

    fn query(&mut self, query: &mut Query) {
        for statement in &mut query.statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &mut Statement) {
        for (target, value) in &mut statement.with {
            self.target(target);
            self.value(value);
        }
        match &mut statement.kind {
            Kind::Some(names) => {
                for name in names {
                    self.declare(name);
                }
            }
            Kind::SomeIn { key, value, within } => {
                let mut names = BTreeSet::new();
                within.names(&mut names);
                self.term(within);
                for pattern in key.iter_mut().chain([value]) {
                    self.declare_but(&names, pattern);
                }
            }
            Kind::Every {
                key,
                value,
                within,
                query,
            } => {
                self.term(within);
                self.within(|scopes| {
                    for name in key.iter_mut().chain([value]) {
                        scopes.declare(name);
                    }
                    scopes.query(query);
                });
            }
            Kind::Holds(term) => match &mut term.form {
                Form::Infix(":=", both) => {
                    self.term(&mut both.1);
                    self.declare(&mut both.0);
                }
                _ => self.term(term),
            },
            Kind::Not(term) => self.term(term),
        }
    }

    /// The variables of a pattern.
    fn declare(&mut self, pattern: &mut Term) {
        self.declare_but(&BTreeSet::new(), pattern);
    }

    /// Those of a `some … in` are not declared by it where what is gone through names them, anywhere in it: OPA compares
    /// with what they are around it.
    fn declare_but(&mut self, others: &BTreeSet<String>, pattern: &mut Term) {
        match &mut pattern.form {
            Form::Name(name) if others.contains(name) => {
                if self.local(name).is_none() && self.global(pattern.place, name).is_some() {
                    let said = format!(
                        "`some` does not declare {name}, because what it goes through names it: use another name"
                    );
                    self.wrong.get_or_insert((pattern.place, said));
                }
                self.term(pattern);
            }
            Form::Name(name) if name != "_" => {
                let said = self.scopes.last().and_then(|scope| {
                    if scope.declared.contains_key(name) {
                        Some(format!(
                            "{name} has been declared above: use another name, or compare by =="
                        ))
                    } else {
                        scope.used.contains(name).then(|| {
                            format!("{name} is used above: declare it before, or use another name")
                        })
                    }
                });
                if let Some(said) = said {
                    self.wrong.get_or_insert((pattern.place, said));
                }
                let own = self.own(name);
                if let Some(scope) = self.scopes.last_mut() {
                    scope
                        .declared
                        .insert(std::mem::replace(name, own.clone()), own);
                }
            }
            Form::Name(_) => {}
            Form::Array(terms) => {
                for term in terms {
                    self.declare_but(others, term);
                }
            }
            Form::Object(members) => {
                for (key, value) in members {
                    self.term(key);
                    self.declare_but(others, value);
                }
            }
            _ => self.term(pattern),
        }
    }

    /// A name that nothing else has.
    fn own(&mut self, name: &str) -> String {
        if let Some(known) = self
            .scopes
            .last()
            .and_then(|scope| scope.declared.get(name))
        {
            return known.clone();
        }
        if self.take(name) {
            return name.to_owned();
        }
        let mut number = self.numbers.get(name).copied().unwrap_or(1);
        let own = loop {
            number += 1;
            let own = format!("{name}_{number}");
            if self.take(&own) {
                break own;
            }
        };
        self.numbers.insert(name.to_owned(), number);
        own
    }

    /// Takes a name, unless something has it.
    fn take(&mut self, name: &str) -> bool {
        let is_global = self.names.rules.contains(name)
            || self.names.imports.contains_key(name)
            || matches!(name, "data" | "input");
        !is_global && self.taken.insert(name.to_owned())
    }

    fn local(&self, name: &str) -> Option<&String> {
        let mut scopes = self.scopes.iter().rev();
        scopes.find_map(|scope| scope.declared.get(name))
    }

    fn term(&mut self, term: &mut Term) {
        let place = term.place;
        match &mut term.form {
            Form::Name(name) if name == "_" => {}
            Form::Name(name) => {
                if let Some(scope) = self.scopes.last_mut()
                    && !scope.declared.contains_key(name)
                {
                    scope.used.insert(name.clone());
                }
                if let Some(own) = self.local(name) {
                    *name = own.clone();
                } else if let Some(meant) = self.global(place, name) {
                    *term = meant;
                } else {
                    self.loose.insert(name.clone());
                }
            }
            Form::Reference(base, steps) => {
                for step in &mut *steps {
                    self.term(step);
                }
                self.term(base);
                flatten(term);
            }
            Form::Call(name, terms) => {
                if let Some(path) = self.function(name) {
                    *name = path;
                }
                for term in terms {
                    self.term(term);
                }
            }
            Form::Comprehension(_, heads, query) => self.within(|scopes| {
                scopes.query(query);
                for head in heads {
                    scopes.term(head);
                }
            }),
            _ => {
                for part in term.parts_mut() {
                    self.term(part);
                }
            }
        }
    }

    /// What a name that is no variable means.
    fn global(&self, place: Place, name: &str) -> Option<Term> {
        if let Some(import) = self.names.imports.get(name) {
            return Some(tree::path(place, import));
        }
        let is_rule = self.names.rules.contains(name);
        if is_rule && (self.moves || lexical::is_keyword(name)) {
            let data = ["data".to_owned()];
            let path = [&data, self.names.package, &[name.to_owned()]].concat();
            return Some(tree::path(place, &path));
        }
        (is_rule || matches!(name, "data" | "input"))
            .then(|| Term::new(place, Form::Root(name.to_owned())))
    }

    /// The whole path of a function of the policies.
    fn function(&self, name: &[String]) -> Option<Vec<String>> {
        let (first, rest) = name.split_first()?;
        if self.local(first).is_some() {
            return None;
        }
        let imported = self.names.imports.get(first);
        if let Some(import) = imported {
            return Some([import.as_slice(), rest].concat());
        }
        let data = ["data".to_owned()];
        let own = [&data, self.names.package, name].concat();
        let mut meant = [name.to_vec(), own].into_iter();
        meant.find(|path| self.names.functions.contains_key(path))
    }

    /// What a `with` replaces: functions of the engine keep their names.
    fn target(&mut self, target: &mut Term) {
        let place = target.place;
        let Some(name) = tree::known(target) else {
            return self.term(target);
        };
        if let Some(path) = self
            .function(&name)
            .filter(|path| self.names.functions.contains_key(path))
        {
            *target = tree::path(place, &path);
            return;
        }
        self.term(target);
        self.whole(target);
        engines(target);
    }

    /// A rule of the package by its whole path.
    fn whole(&self, term: &mut Term) {
        match &mut term.form {
            Form::Root(name) if !matches!(name.as_str(), "data" | "input") => {
                let data = ["data".to_owned()];
                let path = [&data, self.names.package, std::slice::from_ref(name)].concat();
                *term = tree::path(term.place, &path);
            }
            Form::Reference(base, _) => {
                self.whole(base);
                flatten(term);
            }
            _ => {}
        }
    }

    /// What a `with` puts there: a function may be named.
    fn value(&mut self, value: &mut Term) {
        let known = tree::known(value);
        let path = known.and_then(|name| self.function(&name));
        let path = path.filter(|path| self.names.functions.contains_key(path));
        if let Some(path) = path {
            *value = tree::path(value.place, &path);
        } else {
            self.term(value);
            engines(value);
        }
    }
}

/// The name of a function of the engine, which is no variable.
fn engines(term: &mut Term) {
    let name = tree::known(term).unwrap_or_default().join(".");
    if !builtins::is_known(&name) {
        return;
    }
    let first = match &mut term.form {
        Form::Reference(base, _) => base,
        _ => term,
    };
    if let Form::Name(name) = &first.form {
        first.form = Form::Root(name.clone());
    }
}

/// One reference instead of one within another.
fn flatten(term: &mut Term) {
    if let Form::Reference(base, steps) = &mut term.form
        && let Form::Reference(first, begin) = &mut base.form
    {
        begin.append(steps);
        let first = std::mem::replace(&mut **first, Term::name(term.place, "_"));
        term.form = Form::Reference(Box::new(first), std::mem::take(begin));
    }
}
