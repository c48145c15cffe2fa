//! The tests that policies define, and the cases of those that have several.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Literal, Rule};

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
}

impl Test {
    /// The rule to ask for.
    pub(in crate::policy) fn path(&self) -> String {
        format!("{}.{}", self.package, self.rule)
    }
}

/// The tests of a program, in the order of its files.
pub(in crate::policy) fn tests(program: &Program<'_>) -> Vec<Test> {
    let test = |definition: &Definition<'_>| {
        let head = program::head(definition.rule);
        if definition.arity.is_some()
            || syntax::is_set(definition.rule)
            || matches!(definition.rule, Rule::Default { .. })
        {
            return None;
        }
        let cases = match head {
            Expr::Var { .. } => Cases::None,
            Expr::RefBrack { .. } => Cases::Unknown,
            _ => return None,
        };
        let name = definition.name().first()?;
        let is_test = name.starts_with("test_") || name.starts_with("todo_test_");
        let place = at(definition.rule.span(), "");
        is_test.then(|| Test {
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
    };
    let mut tests: Vec<Test> = program.definitions.iter().filter_map(test).collect();
    number_twins(&mut tests);
    tests
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

/// Adds rules that list the cases of parametrised tests.
///
/// `test_x[note] if { some note, case in CASES; … }` has only the notes that passed. To know the others, CASES
/// must be asked for. A rule at the end of the same file does that: same imports, and no line moves.
pub(super) fn with_cases(
    program: &Program<'_>,
    tests: &mut [Test],
    files: &[File],
    data: &serde_json::Map<String, serde_json::Value>,
) -> Option<(regorus::Engine, Origins)> {
    let mut found = Vec::new();
    let mut listers: BTreeMap<String, String> = BTreeMap::new();
    for (number, test) in tests
        .iter()
        .enumerate()
        .filter(|(_, test)| matches!(test.cases, Cases::Unknown))
    {
        let lister = program.definitions.iter().find_map(|definition| {
            let place = at(definition.rule.span(), "");
            let same = place.path == test.location.file && place.line == test.location.row;
            same.then(|| lister(definition.rule, number)).flatten()
        });
        if let Some(lister) = lister {
            let of_file = listers.entry(test.location.file.clone()).or_default();
            of_file.push_str(&lister);
            found.push(number);
        }
    }
    if found.is_empty() {
        return None;
    }
    let files: Vec<&File> = files.iter().collect();
    let (mut written, problems) = read::compile_with(&files, &listers, data);
    if !problems.is_empty() {
        return None;
    }
    let evaluable = prepare::evaluable(&mut written, data).ok()?;
    for number in found {
        tests.get_mut(number)?.cases = Cases::Listed(format!("__cases_{number}"));
    }
    Some(evaluable)
}

fn lister(rule: &Rule, number: usize) -> Option<String> {
    let Rule::Spec { bodies, .. } = rule else {
        return None;
    };
    let [note] = syntax::brackets(program::head(rule))[..] else {
        return None;
    };
    let note = syntax::variable(note)?.text();
    let is_note = |expr: &Expr| syntax::variable(expr).is_some_and(|name| name.text() == note);
    let [body] = bodies.as_slice() else {
        return None;
    };
    body.query.stmts.iter().find_map(|statement| {
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
            Some(key) if is_note(key) => "note, _",
            None if is_note(value) => "note",
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
            "\n__cases_{number} contains note if some {names}{cases}\n"
        ))
    })
}
