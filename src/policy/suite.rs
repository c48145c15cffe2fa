//! Runs policy tests as `opa test` does: the same rules are tests, the same things count as passed.
//!
//! Tests run on the interpreter that decides in production, with the same strictness, so that what passes
//! here is what happens there. An interpreter of its own for each test: no test sees what another left.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use regex::Regex;
use regorus::{Value, utils::limits::ExecutionTimerConfig};

use crate::policy::bundle::{Bundle, Settings};
use crate::policy::extent;
use crate::policy::interpreter::prepare;
use crate::policy::plain::Origins;
use crate::policy::problem::{self, LoadError, Problem};
use crate::policy::refuse;
use crate::policy::rego::program::Program;
use crate::policy::source::files::{File, Tree};
use crate::policy::source::packed::Sources;
use crate::policy::{complaint::answer, read};
use coverage::Coverage;
pub(super) use listed::tests;
use listed::{Cases, Test, all, with_cases, with_own_names};
use report::{Failure, Location, SubResult, TestResult};

mod coverage;
mod junit;
mod listed;
mod report;
mod stopped;
mod values;
mod why;

/// As `opa test`: five seconds a test.
pub(super) const LIMIT: ExecutionTimerConfig = ExecutionTimerConfig {
    limit: Duration::from_secs(5),
    check_interval: NonZeroU32::new(1024).expect("1024 is not zero"),
};

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    Json,
    /// The XML that CI systems show.
    Junit,
    #[default]
    Pretty,
}

#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags of the command line"
)]
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
    /// No test is a failure.
    pub fail_on_empty: bool,
    /// For all tests together. `None`: each has five seconds, however many there are.
    pub within: Option<Duration>,
}

/// What the exit code says: 0 for passed, 2 for failed, 1 where there was no test and has to be one. An [`Error`] is 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    Empty,
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
    #[error(
        "only {ran} of {all} tests were done after {within:?}: all have to be (reload.test_timeout)"
    )]
    OutOfTime {
        ran: usize,
        all: usize,
        within: Duration,
    },
    #[error("could not write the report")]
    Write(#[from] io::Error),
}

/// What is said of [`Outcome::Empty`], as `opa test` says it.
pub const EMPTY: &str = "no tests were run";

/// Runs every test below the paths and reports to `out`.
pub fn run<P: AsRef<Path>>(
    paths: &[P],
    options: &Options,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    report(&Suite::load(Tree::read(paths))?, options, out)
}

/// Runs every test of these sources and reports to `out`.
pub fn run_all(
    sources: &Sources,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    report(&Suite::load(Tree::of(sources))?, options, out)
}

fn report(suite: &Suite, options: &Options, out: &mut dyn Write) -> Result<Outcome, Error> {
    let is_counted = options.coverage || options.threshold.is_some();
    let mut coverage = is_counted.then(|| suite.coverage());
    let results = suite.run(options.run.as_ref(), options.within, coverage.as_mut())?;
    if let (Some(wanted), true) = (&options.run, results.is_empty()) {
        return Err(Error::NoMatch {
            wanted: wanted.clone(),
            all: suite.tests.len(),
        });
    }
    let skipping_is_fine = options.exit_zero_on_skipped;
    let is_fine = |result: &TestResult| result.passed() || (skipping_is_fine && result.skip);
    let outcome = if options.fail_on_empty && results.is_empty() {
        Outcome::Empty
    } else if results.iter().all(is_fine) {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    if let (Some(threshold), Some(coverage)) = (options.threshold, &coverage)
        && !coverage.meets(threshold, out)?
    {
        return Ok(Outcome::Failed);
    }
    if let Some(coverage) = &coverage {
        coverage.write(out)?;
    } else {
        match options.format {
            Format::Json => report::json(&results, out)?,
            Format::Junit if outcome == Outcome::Empty => junit::without_any(out)?,
            Format::Junit => junit::write(&results, out)?,
            Format::Pretty => report::pretty(&results, options.verbose, out)?,
        }
    }
    Ok(outcome)
}

/// Tells whether anything below the paths has changed that tests are made of.
pub fn fingerprint<P: AsRef<Path>>(paths: &[P]) -> [u8; 32] {
    Tree::read(paths).fingerprint()
}

/// How many tests there are, and what keeps them from passing: each that fails, at its place, or why none can be run.
pub fn failures(sources: &Sources, within: Duration) -> (usize, Vec<Problem>) {
    let suite = match Suite::load(Tree::of(sources)) {
        Ok(suite) => suite,
        Err(error) => return (0, error.problems),
    };
    let results = match suite.run(None, Some(within), None) {
        Ok(run) => run,
        Err(error) => return (0, vec![Problem::new("tests", 0, 0, error.to_string())]),
    };
    let failures = results.iter().filter_map(TestResult::failure);
    (results.len(), failures.collect())
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
    /// Each file as the user wrote it.
    sources: BTreeMap<String, String>,
    files: Vec<File>,
    data: serde_json::Map<String, serde_json::Value>,
}

impl Suite {
    fn load(tree: Tree) -> Result<Self, LoadError> {
        // What may not judge may not be tested either.
        let tree = Bundle::of(tree, Settings::Replaced)?.tree;
        let mut problems = Vec::new();
        let test_files: BTreeSet<String> =
            tree.tests.iter().map(|file| file.path.clone()).collect();
        let files = tree.policies.into_iter().chain(tree.masks);
        let files: Vec<File> = files.chain(tree.tests).collect();
        let sources = files
            .iter()
            .map(|file| (file.path.clone(), file.text.clone()))
            .collect();

        let (mut rego, broken) = read::compile(&files.iter().collect::<Vec<_>>(), &tree.data);
        problems.extend(broken);
        let modules = rego.get_modules().clone();
        problem::finish(std::mem::take(&mut problems))?;
        let program = Program::new(&modules).with_tests(test_files);
        refuse::misread(&program, &mut problems);
        problem::finish(problems)?;
        let evaluable = prepare::evaluable(&mut rego, &tree.data).map_err(|problem| LoadError {
            problems: vec![problem],
        })?;

        let mut tests = all(&program);
        let renamed = with_own_names(&program, &mut tests, &files);
        let evaluable = match &renamed {
            Some(files) => {
                let all: Vec<&File> = files.iter().collect();
                prepare::ready(&all, &tree.data).map_err(|problem| LoadError {
                    problems: vec![problem],
                })?
            }
            None => evaluable,
        };
        let files = renamed.unwrap_or(files);
        let with_cases = with_cases(&program, &mut tests, &files, &tree.data);
        let (prepared, origins) = with_cases.unwrap_or(evaluable);
        Ok(Self {
            prepared,
            origins,
            tests,
            sources,
            files,
            data: tree.data,
        })
    }

    /// What its tests reach, of which none has run.
    fn coverage(&self) -> Coverage {
        Coverage::of(&self.files, &self.data)
    }

    fn run(
        &self,
        wanted: Option<&Regex>,
        within: Option<Duration>,
        mut coverage: Option<&mut Coverage>,
    ) -> Result<Vec<TestResult>, Error> {
        let began = Instant::now();
        let mut watched = self.prepared.clone();
        watched.set_enable_coverage(true);
        watched.set_execution_timer_config(LIMIT);
        let modules = watched.get_modules().clone();
        let mut to_explain = MOST_EXPLAINED;
        let is_wanted = |test: &&Test| {
            let name = format!("{}.{}", test.package, test.name);
            wanted.is_none_or(|wanted| wanted.is_match(&name))
        };
        let mut results = Vec::new();
        for test in self.tests.iter().filter(is_wanted) {
            let mut rego = watched.clone();
            if let Some(within) = within {
                let left = within.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(self.out_of_time(results.len(), within));
                }
                rego.set_execution_timer_config(ExecutionTimerConfig {
                    limit: LIMIT.limit.min(left),
                    ..LIMIT
                });
            }
            let mut result = test.run(&mut rego, &self.origins);
            self.explain(test, &rego, &modules, &mut result, &mut to_explain);
            if let Some(coverage) = coverage.as_mut().filter(|_| !result.skip) {
                coverage.run(test);
            }
            results.push(result);
        }
        match within {
            Some(within) if began.elapsed() > within => {
                Err(self.out_of_time(results.len(), within))
            }
            _ => Ok(results),
        }
    }

    fn out_of_time(&self, ran: usize, within: Duration) -> Error {
        let all = self.tests.len();
        Error::OutOfTime { ran, all, within }
    }
}

impl Test {
    fn run(&self, rego: &mut regorus::Engine, origins: &Origins) -> TestResult {
        let mut result = TestResult::new(self.location.clone(), &self.package, &self.name);
        if self.name.starts_with("todo_") {
            result.skip = true;
            return result;
        }
        match self.cases {
            Cases::Never(reason) => {
                result.fail = true;
                result.reason = Some(reason.to_owned());
                return result;
            }
            Cases::Function => {
                let message = "a function is no test: nobody calls it; call it otherwise";
                let Location { file, row, col } = &self.location;
                result.error = Some(Failure::new(Problem::new(file, *row, *col, message)));
                return result;
            }
            Cases::None | Cases::Listed(_) | Cases::Unknown => {}
        }
        let started = Instant::now();
        let value = ask(rego, &self.path());
        result.duration = started.elapsed();
        result.output = output(rego, &self.location.file);
        match (value, &self.cases) {
            (Err(problem), _) => result.error = Some(Failure::new(origins.in_file(problem))),
            (Ok(value), Cases::None) => {
                result.fail = value != Value::Bool(true);
                if result.fail && value != Value::Undefined {
                    result.reason = Some(format!(
                        "its value is {}, and not true",
                        extent::shown(&value)
                    ));
                }
            }
            (Ok(value), Cases::Listed(rule)) => {
                match ask(rego, &format!("{}.{rule}", self.package)) {
                    Err(problem) => result.error = Some(Failure::new(problem)),
                    Ok(notes) => {
                        let notes = notes.as_set().into_iter().flat_map(|notes| notes.iter());
                        let mut cases: BTreeMap<String, SubResult> = BTreeMap::new();
                        for note in notes {
                            let name = note
                                .as_string()
                                .map_or_else(|_error| extent::shown(note), ToString::to_string);
                            let case = SubResult::new(&name, &note.to_string());
                            // Long names that begin alike are one case, which fails with any of them.
                            cases.entry(name).or_insert(case).fail |=
                                value[note] != Value::Bool(true);
                        }
                        // No case at all is a test that proves nothing.
                        result.fail = cases.is_empty() || cases.values().any(|case| case.fail);
                        result.sub_results = cases;
                    }
                }
            }
            (Ok(_), _) => {
                let message = "the cases of a parametrised test must come from one `some note, case in …` that does not depend on other variables";
                let Location { file, row, col } = &self.location;
                result.error = Some(Failure::new(Problem::new(file, *row, *col, message)));
            }
        }
        result
    }
}

/// Tests and cases that fail and are run once more, to say what the parts were of what was not true.
const MOST_EXPLAINED: usize = 10;

fn ask(rego: &mut regorus::Engine, rule: &str) -> Result<Value, Problem> {
    answer(rule, || rego.eval_rule(rule.to_owned()))
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

#[cfg(test)]
mod tests;
