//! Trees as text for the engine, and where each piece of it is written in the files.
//!
//! A piece stands in the line that it has in its file, unless others take the room; or each statement, and what each head
//! comes to, has a line of its own, so that whoever counts lines counts these.

use std::collections::BTreeMap;

use super::tree::{Body, Bracket, Form, Kind, Module, Place, Query, Rule, Statement, Term};
use crate::policy::builtins::{BY_NAME, MEMBERS, PRINTED};
use crate::policy::problem::Problem;
use crate::policy::rego::word::follows_a_dot;

/// Which line a piece stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layout {
    AsInFile,
    /// A head comes to its value after its body has held.
    EachItsOwn,
}

/// Where what an engine evaluates is written, by file and line of what it evaluates.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    files: Vec<String>,
    lines: BTreeMap<(String, usize), Vec<(usize, Place)>>,
}

impl Origins {
    pub(super) fn of(files: Vec<String>) -> Self {
        Self {
            files,
            lines: BTreeMap::new(),
        }
    }

    /// A problem with what was evaluated, at its place in the files.
    pub(crate) fn in_file(&self, mut problem: Problem) -> Problem {
        let pieces = self.lines.get(&(problem.path.clone(), problem.line));
        let before = pieces.and_then(|pieces| {
            let before = pieces.iter().rev();
            let mut before = before.skip_while(|(column, _)| *column > problem.column);
            before.find_map(|(_, place)| Some((self.files.get(place.file)?, place)))
        });
        if let Some((path, place)) = before {
            problem.path.clone_from(path);
            (problem.line, problem.column) = (place.line, place.column);
        }
        problem
    }

    /// The file, the line and the column of what a line that is evaluated begins with.
    pub(crate) fn place(&self, path: &str, line: u32) -> Option<(&str, usize, usize)> {
        let number = usize::try_from(line).ok()?;
        let pieces = self.lines.get(&(path.to_owned(), number))?;
        let (_, place) = pieces.first()?;
        let path = self.files.get(place.file)?;
        Some((path, place.line, place.column))
    }
}

pub(super) fn module(
    module: &Module,
    (path, file): (&str, usize),
    layout: Layout,
    origins: &mut Origins,
) -> String {
    let mut printer = Printer {
        text: format!("package {}", module.package.join(".")),
        line: 1,
        start: 0,
        counted: (0, 1),
        path,
        file,
        layout,
        origins,
    };
    for rule in &module.rules {
        printer.break_line();
        printer.rule(rule);
    }
    printer.text.push('\n');
    printer.text
}

struct Printer<'a> {
    text: String,
    line: usize,
    /// Where the line begins.
    start: usize,
    /// How far the text of the line was counted, and the column there.
    counted: (usize, usize),
    path: &'a str,
    file: usize,
    layout: Layout,
    origins: &'a mut Origins,
}

impl Printer<'_> {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn break_line(&mut self) {
        self.text.push('\n');
        self.line += 1;
        self.start = self.text.len();
        self.counted = (self.start, 1);
    }

    fn down_to(&mut self, line: usize) {
        while self.line < line {
            self.break_line();
        }
    }

    fn reach(&mut self, place: Place) {
        if place.file == self.file && self.layout == Layout::AsInFile {
            self.down_to(place.line);
        }
    }

    fn is_spread(&self) -> bool {
        self.layout == Layout::EachItsOwn
    }

    /// What follows is what the head there comes to.
    fn begin_value(&mut self, head: Place) {
        if self.is_spread() {
            self.break_line();
            self.mark(head);
        }
    }

    /// What follows is written there.
    fn mark(&mut self, place: Place) {
        let (counted, column) = self.counted;
        let new = self.text.get(counted..).unwrap_or_default();
        let column = column + new.chars().count();
        self.counted = (self.text.len(), column);
        let key = (self.path.to_owned(), self.line);
        let pieces = self.origins.lines.entry(key).or_default();
        pieces.push((column, place));
    }

    fn rule(&mut self, rule: &Rule) {
        self.reach(rule.place);
        self.mark(rule.place);
        if rule.is_default {
            self.put("default ");
        }
        self.term(&rule.name);
        if let Some(arguments) = &rule.arguments {
            self.put("(");
            self.list(arguments);
            self.put(")");
        }
        if let Some(element) = &rule.element {
            self.put(" contains ");
            self.begin_value(rule.place);
            self.term(element);
        } else {
            self.value(rule.value.as_ref(), rule.place);
        }
        for (number, body) in rule.bodies.iter().enumerate() {
            if number > 0 {
                self.put(" else");
                self.value(body.value.as_ref(), body.place);
            }
            if number > 0 && self.is_spread() {
                self.body_that_says_when_it_holds(body);
                continue;
            }
            self.body(&body.query);
        }
    }

    fn value(&mut self, value: Option<&Term>, head: Place) {
        if let Some(value) = value {
            self.put(" := ");
            self.begin_value(head);
            self.term(value);
        } else if self.is_spread() {
            self.put(" := ");
            self.begin_value(head);
            self.put("true");
        }
    }

    fn body(&mut self, query: &Query) {
        match query.statements.as_slice() {
            [] => {}
            [one]
                if !self.is_spread()
                    && !begins_with_a_brace(one)
                    && one.place.line <= self.line =>
            {
                self.put(" if ");
                self.statement(one);
            }
            statements => {
                self.put(" if {");
                self.statements(statements);
                self.end(query);
                self.put("}");
            }
        }
    }

    /// The engine does not count values of an `else`: a statement behind all others stands for them.
    fn body_that_says_when_it_holds(&mut self, body: &Body) {
        self.put(" if {");
        self.statements(&body.query.statements);
        self.break_line();
        self.mark(body.place);
        self.put("true");
        self.break_line();
        self.put("}");
    }

    fn end(&mut self, query: &Query) {
        if self.is_spread() {
            return self.break_line();
        }
        self.down_to(query.end);
        if self.start < self.text.len() {
            self.put(" ");
        }
    }

    fn statements(&mut self, statements: &[Statement]) {
        for (number, statement) in statements.iter().enumerate() {
            let line = self.line;
            if self.is_spread() {
                self.break_line();
            }
            self.reach(statement.place);
            if line == self.line {
                self.put(if number == 0 { " " } else { "; " });
            }
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        self.mark(statement.place);
        match &statement.kind {
            Kind::Holds(term) => self.outermost(term),
            Kind::Not(term) => {
                self.put("not ");
                self.outermost(term);
            }
            Kind::Some(names) => {
                self.put("some ");
                self.list(names);
            }
            Kind::SomeIn { key, value, within } => {
                self.put("some ");
                self.membership(key.as_ref(), value, within);
            }
            Kind::Every {
                key,
                value,
                within,
                query,
            } => {
                self.put("every ");
                self.membership(key.as_ref(), value, within);
                self.put(" {");
                self.statements(&query.statements);
                self.end(query);
                self.put("}");
            }
        }
        for (target, value) in &statement.with {
            self.put(" with ");
            self.term(target);
            self.put(" as ");
            self.term(value);
        }
    }

    /// It needs no brackets, and an assignment has none.
    fn outermost(&mut self, term: &Term) {
        match &term.form {
            Form::Infix(operator, both) => self.infix(operator, &both.0, &both.1),
            Form::In(key, both) => self.membership(key.as_deref(), &both.0, &both.1),
            _ => self.term(term),
        }
    }

    fn infix(&mut self, operator: &str, one: &Term, other: &Term) {
        self.term(one);
        self.put(&format!(" {operator} "));
        self.term(other);
    }

    fn membership(&mut self, key: Option<&Term>, value: &Term, within: &Term) {
        if let Some(key) = key {
            self.term(key);
            self.put(", ");
        }
        self.term(value);
        self.put(" in ");
        self.term(within);
    }

    fn object(&mut self, members: &[(Term, Term)]) {
        self.put("{");
        for (number, (key, value)) in members.iter().enumerate() {
            if number > 0 {
                self.put(", ");
            }
            self.reach(key.place);
            self.term(key);
            self.put(": ");
            self.term(value);
        }
        self.put("}");
    }

    fn list(&mut self, terms: &[Term]) {
        for (number, term) in terms.iter().enumerate() {
            if number > 0 {
                self.put(", ");
            }
            self.reach(term.place);
            self.term(term);
        }
    }

    /// The engine writes all that it prints down, however long that is.
    fn bounded(&mut self, terms: &[Term]) {
        self.put("print(");
        for (number, term) in terms.iter().enumerate() {
            if number > 0 {
                self.put(", ");
            }
            self.reach(term.place);
            if let Form::Text(_) | Form::Constant(_) = term.form {
                self.term(term);
            } else {
                self.put(PRINTED);
                self.put("(");
                self.term(term);
                self.put(")");
            }
        }
        self.put(")");
    }

    fn term(&mut self, term: &Term) {
        self.mark(term.place);
        match &term.form {
            Form::Constant(text) | Form::Name(text) | Form::Root(text) => self.put(text),
            Form::Text(text) => self.put(&quoted(text)),
            Form::Reference(base, steps) => {
                self.term(base);
                for step in steps {
                    match &step.form {
                        Form::Text(name) if follows_a_dot(name) => {
                            self.put(".");
                            self.mark(step.place);
                            self.put(name);
                        }
                        _ => {
                            self.put("[");
                            self.term(step);
                            self.put("]");
                        }
                    }
                }
            }
            Form::Call(name, terms) if name == &["print"] => self.bounded(terms),
            Form::Call(name, terms) => {
                self.put(&name.join("."));
                self.put("(");
                self.list(terms);
                self.put(")");
            }
            Form::Array(terms) => {
                self.put("[");
                self.list(terms);
                self.put("]");
            }
            Form::Set(terms) if terms.is_empty() => self.put("set()"),
            Form::Set(terms) => {
                self.put("{");
                self.list(terms);
                self.put("}");
            }
            Form::Object(members) => self.object(members),
            Form::Comprehension(bracket, heads, query) => {
                let (open, close) = match bracket {
                    Bracket::Square => ("[", "]"),
                    Bracket::Curly => ("{", "}"),
                };
                self.put(open);
                for (number, head) in heads.iter().enumerate() {
                    if number > 0 {
                        self.put(": ");
                    }
                    self.term(head);
                }
                self.put(" |");
                if !begins_with_a_walk(query) {
                    self.put(" some _ in [0];");
                }
                self.statements(&query.statements);
                self.put(close);
            }
            Form::Infix(operator, both) => {
                self.put("(");
                self.infix(operator, &both.0, &both.1);
                self.put(")");
            }
            Form::Minus(term) => {
                self.put("-");
                self.term(term);
            }
            Form::In(key, both) => {
                self.put("(");
                self.membership(key.as_deref(), &both.0, &both.1);
                self.put(")");
            }
        }
    }
}

/// Whether a comprehension walks through something before all else. In the bytecode engine a condition that fails with
/// no walk around it ends the comprehension around that one, too.
fn begins_with_a_walk(query: &Query) -> bool {
    let first = query.statements.first().map(|statement| &statement.kind);
    let Some(Kind::SomeIn { within, .. }) = first else {
        return false;
    };
    is_simple(within) || members_of(within).is_some_and(is_simple)
}

/// What is looked into by an index.
fn members_of(term: &Term) -> Option<&Term> {
    let Form::Call(name, arguments) = &term.form else {
        return None;
    };
    match arguments.first().map(|first| &first.form) {
        Some(Form::Array(call)) if name.join(".") == BY_NAME => match call.as_slice() {
            [
                Term {
                    form: Form::Text(name),
                    ..
                },
                of,
            ] if name == MEMBERS => Some(of),
            _ => None,
        },
        _ => None,
    }
}

fn is_simple(term: &Term) -> bool {
    match &term.form {
        Form::Reference(base, steps) => [&**base].into_iter().chain(steps).all(|part| {
            matches!(
                part.form,
                Form::Name(_) | Form::Root(_) | Form::Text(_) | Form::Constant(_)
            )
        }),
        form => matches!(form, Form::Name(_) | Form::Root(_)),
    }
}

/// Which the engine would take for the brace of a body.
fn begins_with_a_brace(statement: &Statement) -> bool {
    let Kind::Holds(term) = &statement.kind else {
        return false;
    };
    let mut first = term;
    loop {
        first = match &first.form {
            Form::Set(_) | Form::Object(_) | Form::Comprehension(Bracket::Curly, ..) => {
                return true;
            }
            Form::Reference(base, _) => base,
            Form::Infix(_, both) | Form::In(None, both) => &both.0,
            Form::In(Some(key), _) => key,
            _ => return false,
        };
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
