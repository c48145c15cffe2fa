//! The tests that policies define, and the cases of those that have several.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Rule, Span};

use super::report::Location;
use crate::policy::interpreter::prepare;
use crate::policy::plain::Origins;
use crate::policy::read;
use crate::policy::rego::program::{self, Definition, Program, at};
use crate::policy::rego::syntax;
use crate::policy::source::files::File;

pub(in crate::policy) struct Test {
    pub(super) location: Location,
    pub(super) package: String,
    pub(super) name: String,
    /// What to ask for; differs from the name where one name stands twice.
    pub(super) rule: String,
    pub(super) cases: Cases,
}

/// Where the notes of `test_x[note]` come from.
pub(super) enum Cases {
    None,
    /// The rule that lists them, in the same package.
    Listed(String),
    Unknown,
    /// There is nothing to ask for that could be true, and why.
    Never(&'static str),
    /// It takes arguments: nobody calls it.
    Function,
}

impl Test {
    /// The rule to ask for.
    pub(in crate::policy) fn path(&self) -> String {
        format!("{}.{}", self.package, self.rule)
    }
}

/// The tests of a program that can be asked for, in the order of its files.
pub(in crate::policy) fn tests(program: &Program<'_>) -> Vec<Test> {
    let mut tests = all(program);
    tests.retain(|test| matches!(test.cases, Cases::None | Cases::Unknown));
    tests
}

/// Every rule that is called like a test, whatever its shape: OPA takes it for one.
pub(super) fn all(program: &Program<'_>) -> Vec<Test> {
    let mut tests: Vec<Test> = program.definitions.iter().filter_map(test).collect();
    number_twins(&mut tests);
    tests
}

fn test(definition: &Definition<'_>) -> Option<Test> {
    let name = definition.name().first()?;
    if !(name.starts_with("test_") || name.starts_with("todo_test_")) {
        return None;
    }
    let head = program::head(definition.rule);
    let cases = match head {
        _ if definition.arity.is_some() => Cases::Function,
        _ if syntax::is_set(definition.rule) => Cases::Never("it is a set, and not true"),
        Expr::Var { .. } => Cases::None,
        head if syntax::brackets(head).is_empty() => {
            Cases::Never("its name has a dot: that is an object, and not true")
        }
        _ => Cases::Unknown,
    };
    let place = at(definition.rule.span(), "");
    Some(Test {
        location: Location {
            file: place.path,
            row: place.line,
            col: place.column,
        },
        package: definition.package().join("."),
        name: name.clone(),
        rule: name.clone(),
        cases,
    })
}

/// `test_x`, `test_x#01`, …: one name may stand several times.
fn number_twins(tests: &mut [Test]) {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    for test in tests {
        let count = seen
            .entry((test.package.clone(), test.rule.clone()))
            .or_default();
        if *count > 0 {
            test.name = format!("{}#{count:02}", test.rule);
        }
        *count += 1;
    }
}

/// Gives each test that has the name of another one of its own, so that it can be asked for by itself. `None`: there is
/// no such test. The names are as long as before: no place in a file moves.
pub(super) fn with_own_names(
    program: &Program<'_>,
    tests: &mut [Test],
    files: &[File],
) -> Option<Vec<File>> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for definition in &program.definitions {
        taken.extend(definition.name().first().cloned());
    }
    let mut numbers = 0..MOST_TWINS;
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    for test in tests.iter_mut().filter(|test| test.name != test.rule) {
        let name = numbers.find_map(|number| {
            let name = format!("t{number:04x}{}", test.rule.get(PREFIX..)?);
            taken.insert(name.clone()).then_some(name)
        });
        let renamed = name.and_then(|name| {
            let span = own_name(program, test)?;
            let text = written
                .entry(test.location.file.clone())
                .or_insert_with(|| span.source.get_contents().to_owned());
            let start = usize::try_from(span.start).ok()?;
            let end = start.checked_add(name.len())?;
            (text.get(start..end)? == test.rule).then(|| text.replace_range(start..end, &name))?;
            Some(name)
        });
        match renamed {
            Some(name) => test.rule = name,
            None => test.cases = Cases::Never("it has the name of another test, too many have it"),
        }
    }
    if written.is_empty() {
        return None;
    }
    let renamed = files.iter().map(|file| File {
        path: file.path.clone(),
        name: file.name.clone(),
        text: written
            .remove(&file.path)
            .unwrap_or_else(|| file.text.clone()),
    });
    Some(renamed.collect())
}

/// Where its name stands.
fn own_name<'a>(program: &'a Program<'_>, test: &Test) -> Option<&'a Span> {
    let definition = definition(program, test)?;
    let mut head = program::head(definition.rule);
    while let Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } = head {
        head = refr;
    }
    syntax::variable(head)
}

fn definition<'a, 'b>(program: &'a Program<'b>, test: &Test) -> Option<&'a Definition<'b>> {
    let Location { file, row, col } = &test.location;
    program.definitions.iter().find(|definition| {
        let place = at(definition.rule.span(), "");
        place.path == *file && place.line == *row && place.column == *col
    })
}

/// Letters of `test_` and of `todo_`, in the place of which a number comes.
const PREFIX: usize = 5;
const MOST_TWINS: u32 = 0x1_0000;

/// A rule that lists the cases of a test.
struct Lister {
    /// The number of the test.
    test: usize,
    file: String,
    text: String,
}

/// An engine that can be asked.
type Ready = (regorus::Engine, Origins);

/// Adds rules that list the cases of parametrised tests.
///
/// `test_x[note] if { some note, case in CASES; … }` has only the notes that passed. To know the others, CASES
/// must be asked for. A rule at the end of the same file does that: same imports, and no line moves. One that cannot be
/// compiled is left out: only its own test has unknown cases.
pub(super) fn with_cases(
    program: &Program<'_>,
    tests: &mut [Test],
    files: &[File],
    data: &serde_json::Map<String, serde_json::Value>,
) -> Option<Ready> {
    let unknown = tests.iter().enumerate();
    let unknown = unknown.filter(|(_, test)| matches!(test.cases, Cases::Unknown));
    let listers = unknown.filter_map(|(number, test)| {
        Some(Lister {
            test: number,
            file: test.location.file.clone(),
            text: lister(definition(program, test)?.rule, number)?,
        })
    });
    let listers: Vec<Lister> = listers.collect();
    if listers.is_empty() {
        return None;
    }
    let ready = |listers: &[Lister]| ready_with(listers, files, data);
    let (listers, ready) = if let Some(all) = ready(&listers) {
        (listers, all)
    } else {
        let usable = usable(listers, &ready);
        let some = ready(&usable)?;
        (usable, some)
    };
    for Lister { test, .. } in listers {
        tests.get_mut(test)?.cases = Cases::Listed(format!("__cases_{test}"));
    }
    Some(ready)
}

/// Those that can be compiled.
fn usable(mut listers: Vec<Lister>, ready: &impl Fn(&[Lister]) -> Option<Ready>) -> Vec<Lister> {
    if listers.is_empty() || ready(&listers).is_some() {
        return listers;
    }
    if listers.len() == 1 {
        return Vec::new();
    }
    let rest = listers.split_off(listers.len() / 2);
    let mut found = usable(listers, ready);
    found.extend(usable(rest, ready));
    found
}

fn ready_with(
    listers: &[Lister],
    files: &[File],
    data: &serde_json::Map<String, serde_json::Value>,
) -> Option<Ready> {
    let mut more: BTreeMap<String, String> = BTreeMap::new();
    for lister in listers {
        more.entry(lister.file.clone())
            .or_default()
            .push_str(&lister.text);
    }
    let files: Vec<&File> = files.iter().collect();
    let (mut written, problems) = read::compile_with(&files, &more, data);
    if !problems.is_empty() {
        return None;
    }
    prepare::evaluable(&mut written, data).ok()
}

/// The files with a test that has one case only, and is a test as those without cases are: where it iterates over them,
/// that one is asked for by its name. No row moves. `None`: it cannot be written.
pub(super) fn with_case(
    test: &Test,
    files: &[File],
    data: &serde_json::Map<String, serde_json::Value>,
    note: &str,
) -> Option<Vec<File>> {
    let all: Vec<&File> = files.iter().collect();
    let (mut rego, _broken) = read::compile(&all, data);
    let modules = rego.get_modules().clone();
    let program = Program::new(&modules);
    let rule = definition(&program, test)?.rule;
    let Rule::Spec { bodies, .. } = rule else {
        return None;
    };
    let Expr::RefBrack { refr, index, .. } = program::head(rule) else {
        return None;
    };
    let (head, note_of) = (syntax::variable(refr)?, syntax::variable(index)?);
    let name = note_of.text();
    let is_it = |expr: &Expr| syntax::variable(expr).is_some_and(|found| found.text() == name);
    let mut statements = bodies.iter().flat_map(|body| &body.query.stmts);
    let cases = statements.find(|statement| match &statement.literal {
        Literal::SomeIn { key, value, .. } => is_it(key.as_ref().unwrap_or(value)),
        _ => false,
    })?;
    let end = syntax::end_of(&cases.span)?;
    let source = cases.span.source.get_contents();
    let (named, bracket) = (
        usize::try_from(head.end).ok()?,
        usize::try_from(note_of.end).ok()?,
    );
    let bracket = bracket + source.get(bracket..)?.find(']')? + 1;
    let (before, between) = (source.get(..named)?, source.get(bracket..end)?);
    let after = source.get(end..)?;
    let written = format!("{before}{between}; {name} == {note}{after}");
    let files = files.iter().map(|file| File {
        path: file.path.clone(),
        name: file.name.clone(),
        text: if file.path == test.location.file {
            written.clone()
        } else {
            file.text.clone()
        },
    });
    Some(files.collect())
}

fn lister(rule: &Rule, number: usize) -> Option<String> {
    let Rule::Spec { bodies, .. } = rule else {
        return None;
    };
    let Expr::RefBrack { refr, index, .. } = program::head(rule) else {
        return None;
    };
    syntax::variable(refr)?;
    let note = syntax::variable(index)?.text();
    let is_note = |expr: &Expr| syntax::variable(expr).is_some_and(|name| name.text() == note);
    let [body] = bodies.as_slice() else {
        return None;
    };
    let mut before = String::new();
    body.query.stmts.iter().find_map(|statement| {
        // What the cases may be made of.
        if let Literal::Expr { expr, .. } = &statement.literal
            && matches!(&**expr, Expr::AssignExpr { .. })
        {
            before.push_str(statement.span.text());
            before.push('\n');
        }
        let Literal::SomeIn {
            key,
            value,
            collection,
            ..
        } = &statement.literal
        else {
            return None;
        };
        let names = match key {
            Some(key) if is_note(key) => format!("{note}, _"),
            None if is_note(value) => note.to_owned(),
            _ => return None,
        };
        // The engine's spans of objects and lists end in the right place but do not start there,
        // so ` in CASES` is taken from the end of what stands before it.
        let collection = collection.span();
        let (start, end) = (
            usize::try_from(value.span().end).ok()?,
            usize::try_from(collection.end).ok()?,
        );
        let cases = collection.source.get_contents().get(start..end)?;
        Some(format!(
            "\n__cases_{number} contains {note} if {{\n{before}some {names}{cases}\n}}\n"
        ))
    })
}
