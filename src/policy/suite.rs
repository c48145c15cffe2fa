//! Runs policy tests as `opa test` does: the same rules are tests, the same things count as passed.
//!
//! Tests run on the interpreter that decides in production, with the same strictness, so that what passes
//! here is what happens there. An interpreter of its own for each test: no test sees what another left.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use regex::Regex;
use regorus::{
    Value,
    unstable::{Expr, Literal, Module, Ref, Rule, RuleHead},
    utils::limits::ExecutionTimerConfig,
};

use crate::policy::bundle::{Bundle, Settings};
use crate::policy::interpreter::prepare;
use crate::policy::plain::Origins;
use crate::policy::problem::{self, LoadError, Problem};
use crate::policy::refuse;
use crate::policy::rego::program::{self, Program, at};
use crate::policy::source::files::{File, Tree};
use crate::policy::{complaint, read};
use coverage::Coverage;
use report::{Failure, Location, SubResult, TestResult};

mod coverage;
mod report;

/// As `opa test`: five seconds a test.
pub(super) const LIMIT: ExecutionTimerConfig = ExecutionTimerConfig {
    limit: Duration::from_secs(5),
    check_interval: NonZeroU32::new(1024).expect("1024 is not zero"),
};

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    Json,
    #[default]
    Pretty,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only tests whose full name (`data.dtgate.naming_test.test_x`) matches.
    pub run: Option<Regex>,
    pub format: Format,
    /// Also those that passed.
    pub verbose: bool,
    /// Report covered lines, as JSON, instead of results.
    pub coverage: bool,
    /// The percentage of lines that must be covered.
    pub threshold: Option<f64>,
    pub exit_zero_on_skipped: bool,
}

/// What the exit code says: 0 for passed, 2 for failed. An [`Error`] is 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    Failed,
    Passed,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is more likely a slip of the pen than a wish to test nothing.
    #[error("no test matches {wanted}; {}", there_are(*all))]
    NoMatch { wanted: Regex, all: usize },
    #[error("could not write the report")]
    Write(#[from] io::Error),
}

/// Runs every test below the paths and reports to `out`.
pub fn run<P: AsRef<Path>>(
    paths: &[P],
    options: &Options,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    let suite = Suite::load(paths)?;
    let (results, coverage) = suite.run(options.run.as_ref());
    if let (Some(wanted), true) = (&options.run, results.is_empty()) {
        return Err(Error::NoMatch {
            wanted: wanted.clone(),
            all: suite.tests.len(),
        });
    }
    let skipping_is_fine = options.exit_zero_on_skipped;
    let passed = results
        .iter()
        .all(|result| result.passed() || (skipping_is_fine && result.skip));
    let outcome = if passed {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    if let Some(threshold) = options.threshold
        && !coverage.meets(threshold, out)?
    {
        return Ok(Outcome::Failed);
    }
    if options.coverage || options.threshold.is_some() {
        coverage.write(out)?;
    } else {
        match options.format {
            Format::Json => report::json(&results, out)?,
            Format::Pretty => report::pretty(&results, options.verbose, out)?,
        }
    }
    Ok(outcome)
}

fn there_are(tests: usize) -> String {
    match tests {
        0 => "there are no tests".to_owned(),
        1 => "there is 1 test".to_owned(),
        _ => format!("there are {tests} tests"),
    }
}

struct Suite {
    prepared: regorus::Engine,
    origins: Origins,
    tests: Vec<Test>,
    /// Lines of each file as the user wrote it.
    lines: BTreeMap<String, usize>,
}

struct Test {
    location: Location,
    package: String,
    name: String,
    /// What to ask for; differs from the name where one name stands twice.
    rule: String,
    cases: Cases,
}

/// Where the notes of `test_x[note]` come from.
enum Cases {
    None,
    /// The rule that lists them, in the same package.
    Listed(String),
    Unknown,
}

impl Suite {
    fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, LoadError> {
        // What may not judge may not be tested either.
        let tree = Bundle::of(Tree::read(paths), Settings::Replaced)?.tree;
        let mut problems = Vec::new();
        let test_files: BTreeSet<String> =
            tree.tests.iter().map(|file| file.path.clone()).collect();
        let files: Vec<File> = tree.policies.into_iter().chain(tree.tests).collect();
        let lines = files
            .iter()
            .map(|file| (file.path.clone(), file.text.lines().count()))
            .collect();

        let (mut rego, broken) = read::compile(&files.iter().collect::<Vec<_>>(), &tree.data);
        problems.extend(broken);
        let modules = rego.get_modules().clone();
        problem::finish(std::mem::take(&mut problems))?;
        let program = Program::new(&modules);
        program.calls(|file| test_files.contains(file), &mut problems);
        refuse::misread(&modules, &mut problems);
        problem::finish(problems)?;
        let evaluable = prepare::evaluable(&mut rego, &tree.data).map_err(|problem| LoadError {
            problems: vec![problem],
        })?;

        let mut tests: Vec<Test> = modules.iter().flat_map(tests_of).collect();
        number_twins(&mut tests);
        let with_cases = with_cases(&modules, &mut tests, &files, &tree.data);
        let (prepared, origins) = with_cases.unwrap_or(evaluable);
        Ok(Self {
            prepared,
            origins,
            tests,
            lines,
        })
    }

    fn run(&self, wanted: Option<&Regex>) -> (Vec<TestResult>, Coverage) {
        let mut watched = self.prepared.clone();
        watched.set_enable_coverage(true);
        watched.set_execution_timer_config(LIMIT);
        let mut coverage = Coverage::of(watched.get_modules(), &self.lines, &self.origins);
        let results = self
            .tests
            .iter()
            .filter(|test| {
                wanted.is_none_or(|wanted| {
                    wanted.is_match(&format!("{}.{}", test.package, test.name))
                })
            })
            .map(|test| {
                let mut rego = watched.clone();
                let result = test.run(&mut rego, &self.origins);
                coverage.add(&rego, &self.origins);
                result
            })
            .collect();
        (results, coverage)
    }
}

impl Test {
    fn run(&self, rego: &mut regorus::Engine, origins: &Origins) -> TestResult {
        let mut result = TestResult::new(self.location.clone(), &self.package, &self.name);
        if self.name.starts_with("todo_") {
            result.skip = true;
            return result;
        }
        let started = Instant::now();
        let value = ask(rego, &format!("{}.{}", self.package, self.rule));
        result.duration = started.elapsed();
        result.output = output(rego, &self.location.file);
        match (value, &self.cases) {
            (Err(problem), _) => result.error = Some(Failure::new(origins.in_file(problem))),
            (Ok(value), Cases::None) => result.fail = value != Value::Bool(true),
            (Ok(value), Cases::Listed(rule)) => {
                match ask(rego, &format!("{}.{rule}", self.package)) {
                    Err(problem) => result.error = Some(Failure::new(problem)),
                    Ok(notes) => {
                        let notes = notes.as_set().into_iter().flat_map(|notes| notes.iter());
                        let cases: BTreeMap<_, _> = notes
                            .map(|note| {
                                let name = note
                                    .as_string()
                                    .map_or_else(|_error| note.to_string(), ToString::to_string);
                                (
                                    name.clone(),
                                    SubResult {
                                        name,
                                        fail: value[note] != Value::Bool(true),
                                    },
                                )
                            })
                            .collect();
                        // No case at all is a test that proves nothing.
                        result.fail = cases.is_empty() || cases.values().any(|case| case.fail);
                        result.sub_results = cases;
                    }
                }
            }
            (Ok(_), Cases::Unknown) => {
                let message = "the cases of a parametrised test must come from one `some note, case in …` that does not depend on other variables";
                let Location { file, row, col } = &self.location;
                result.error = Some(Failure::new(Problem::new(file, *row, *col, message)));
            }
        }
        result
    }
}

fn ask(rego: &mut regorus::Engine, rule: &str) -> Result<Value, Problem> {
    match catch_unwind(AssertUnwindSafe(|| rego.eval_rule(rule.to_owned()))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(complaint::engine_problem(&error.to_string(), rule)),
        Err(_panic) => Err(Problem::new(rule, 0, 0, "the engine panicked")),
    }
}

/// What the test printed; the engine puts `file:row: ` before each line.
fn output(rego: &mut regorus::Engine, file: &str) -> String {
    let mut output = String::new();
    for print in rego.take_prints().unwrap_or_default() {
        let own = print
            .strip_prefix(file)
            .and_then(|rest| rest.strip_prefix(':'))
            .and_then(|rest| rest.split_once(": "));
        output.push_str(own.map_or(print.as_str(), |(_, text)| text));
        output.push('\n');
    }
    output
}

/// The tests that a module defines, in its order.
fn tests_of(module: &Ref<Module>) -> Vec<Test> {
    let package = program::package(module).join(".");
    let test = |rule: &Ref<Rule>| {
        let Rule::Spec {
            head: RuleHead::Compr { refr, .. },
            ..
        } = rule.as_ref()
        else {
            return None;
        };
        let (name, cases) = match refr.as_ref() {
            Expr::Var { span, .. } => (span.text(), Cases::None),
            Expr::RefBrack { refr, .. } => (refr.span().text(), Cases::Unknown),
            _ => return None,
        };
        let is_test = name.starts_with("test_") || name.starts_with("todo_test_");
        let place = at(rule.span(), "");
        is_test.then(|| Test {
            location: Location {
                file: place.path,
                row: place.line,
                col: place.column,
            },
            package: package.clone(),
            name: name.to_owned(),
            rule: name.to_owned(),
            cases,
        })
    };
    module.policy.iter().filter_map(test).collect()
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
fn with_cases(
    modules: &[Ref<Module>],
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
        let lister = modules
            .iter()
            .flat_map(|module| &module.policy)
            .find_map(|rule| {
                let place = at(rule.span(), "");
                let same = place.path == test.location.file && place.line == test.location.row;
                same.then(|| lister(rule, number)).flatten()
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
    let Rule::Spec {
        head: RuleHead::Compr { refr, .. },
        bodies,
        ..
    } = rule
    else {
        return None;
    };
    let Expr::RefBrack { index, .. } = refr.as_ref() else {
        return None;
    };
    let Expr::Var { span: note, .. } = index.as_ref() else {
        return None;
    };
    let is_note = |expr: &Ref<Expr>| matches!(expr.as_ref(), Expr::Var { span, .. } if span.text() == note.text());
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

#[cfg(test)]
mod tests;
