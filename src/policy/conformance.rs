//! The engines beside OPA's own compliance suite: what the gate accepts, and whether it says what OPA says.
//!
//! The suite is OPA's (`v1/test/cases/testdata/v1` in its repository) and no part of this project: the environment
//! variable `OPA_CASES` names the folder. `docs/conformance.md` has what came out, and says how to run it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::bytecode::{Bounds, Bytecode};
use super::interpreter::Interpreter;
use super::problem::Problem;
use crate::policy::interpreter::prepare;
use crate::policy::read;
use crate::policy::rego::program::Program;
use crate::policy::source::files::File;

/// One case of the suite, as far as it is used here.
#[derive(Debug, Deserialize)]
struct Case {
    note: String,
    query: String,
    #[serde(default)]
    modules: Option<Vec<String>>,
    #[serde(default)]
    data: Option<Map<String, Json>>,
    input: Option<Json>,
    /// Rego; in place of `input`.
    input_term: Option<String>,
    want_result: Option<Vec<BTreeMap<String, Json>>>,
    /// The order of lists says nothing.
    #[serde(default)]
    sort_bindings: bool,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

/// What became of a case in one of the engines.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Became {
    Agreed,
    /// When it was loaded.
    Refused(String),
    /// When it was evaluated: as a policy it would have denied.
    Failed(String),
    Differed(String),
}

/// When it is, in nanoseconds: the first of January 2026.
const NOW: i64 = 1_767_225_600_000_000_000;

const ANSWERS: &str = "data.dtgate_conformance.deny";

impl Case {
    /// The case's own modules, and one that asks its query.
    fn files(&self) -> Vec<File> {
        let modules = self.modules.iter().flatten().enumerate();
        let mut files: Vec<File> = modules
            .map(|(number, text)| file(&format!("case{number}.rego"), text.clone()))
            .collect();
        let wanted = self.wanted().first().map(|row| row.keys());
        let names: Vec<&str> = wanted.into_iter().flatten().map(String::as_str).collect();
        let question = format!(
            "package dtgate_conformance\n\ndeny contains [{}] if {{\n{}\n}}\n",
            names.join(", "),
            self.query
        );
        files.push(file("question.rego", question));
        files
    }

    fn wanted(&self) -> &[BTreeMap<String, Json>] {
        self.want_result.as_deref().unwrap_or_default()
    }

    fn input(&self) -> Value {
        match (&self.input_term, &self.input) {
            (Some(term), _) => {
                let results = regorus::Engine::new().eval_query(term.clone(), false);
                results.unwrap().result[0].expressions[0].value.clone()
            }
            (None, Some(input)) => value(input),
            (None, None) => Value::Undefined,
        }
    }

    /// What the two engines make of it.
    fn run(&self) -> (Became, Option<Became>) {
        match catch_unwind(AssertUnwindSafe(|| self.load())) {
            Ok(Ok(rego)) => {
                let by_interpreter = catch_unwind(AssertUnwindSafe(|| self.interpret(&rego)));
                let by_bytecode = catch_unwind(AssertUnwindSafe(|| self.compute(&rego)));
                let panicked = |_| Became::Failed("a panic".to_owned());
                (
                    by_interpreter.unwrap_or_else(panicked),
                    by_bytecode.unwrap_or_else(|panic| Some(panicked(panic))),
                )
            }
            Ok(Err(problem)) => (Became::Refused(problem.to_string()), None),
            Err(_panic) => (
                Became::Refused("a panic when it is loaded".to_owned()),
                None,
            ),
        }
    }

    fn load(&self) -> Result<regorus::Engine, Problem> {
        let files = self.files();
        let data = self.data.clone().unwrap_or_default();
        let (mut rego, mut problems) = read::compile(&files.iter().collect::<Vec<_>>(), &data);
        if problems.is_empty() {
            let modules = rego.get_modules().clone();
            crate::policy::refuse::misread(&Program::new(&modules), &mut problems);
        }
        match problems.into_iter().min() {
            Some(problem) => Err(problem),
            None => Ok(prepare::evaluable(&mut rego, &data)?.0),
        }
    }

    fn interpret(&self, rego: &regorus::Engine) -> Became {
        let mut rego = rego.clone();
        rego.set_execution_timer_config(timer());
        let mut interpreter = Interpreter::clone_of(&rego);
        interpreter.begin(&self.input(), NOW);
        match interpreter.ask(ANSWERS) {
            Ok(answers) => self.compared(&answers),
            Err(problem) => Became::Failed(problem.to_string()),
        }
    }

    /// `None`: it does not compile, and is left to the interpreter.
    fn compute(&self, rego: &regorus::Engine) -> Option<Became> {
        let bytecode = Bytecode::compile(&mut rego.clone(), &[ANSWERS.to_owned()], timer()).ok()?;
        Some(match bytecode.ask(&self.input(), Bounds::MOST) {
            Ok(answers) => match answers.as_array().unwrap()[0].as_array().unwrap()[0].clone() {
                answers @ Value::Set(_) => self.compared(&answers),
                _ => Became::Failed("it is no set".to_owned()),
            },
            Err(silence) => Became::Failed(silence.to_string()),
        })
    }

    fn compared(&self, answers: &Value) -> Became {
        let said = answers.as_set().unwrap().iter();
        let said: Vec<Vec<Value>> = said
            .map(|row| {
                row.as_array()
                    .unwrap()
                    .iter()
                    .map(|cell| self.cell(cell))
                    .collect()
            })
            .collect();
        let wanted = self.wanted().iter();
        let wanted: Vec<Vec<Value>> = wanted
            .map(|row| row.values().map(|cell| self.cell(&value(cell))).collect())
            .collect();
        let unordered = |mut rows: Vec<Vec<Value>>| {
            rows.sort();
            rows.dedup();
            rows
        };
        let (said, wanted) = (unordered(said), unordered(wanted));
        if said == wanted {
            Became::Agreed
        } else {
            Became::Differed(format!("{said:?}, OPA {wanted:?}"))
        }
    }

    /// As JSON has it: there are no sets in it.
    fn cell(&self, cell: &Value) -> Value {
        let cell = Value::from_json_str(&cell.to_json_str().unwrap()).unwrap();
        match cell {
            Value::Array(elements) if self.sort_bindings => {
                let mut elements = elements.to_vec();
                elements.sort();
                Value::from(elements)
            }
            cell => cell,
        }
    }
}

fn file(name: &str, text: String) -> File {
    File {
        path: name.to_owned(),
        name: name.to_owned(),
        text,
    }
}

fn value(json: &Json) -> Value {
    Value::from_json_str(&json.to_string()).unwrap()
}

fn timer() -> ExecutionTimerConfig {
    ExecutionTimerConfig {
        limit: Duration::from_secs(2),
        check_interval: crate::policy::interpreter::STEPS,
    }
}

/// All cases that have a value, by the folder that they are in.
fn cases(root: &Path) -> BTreeMap<String, Vec<Case>> {
    let mut all: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for folder in entries(root) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for path in entries(&folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let read: Cases = yaml_serde::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let cases = read
                .cases
                .into_iter()
                .filter(|case| case.want_result.is_some());
            all.entry(name.clone()).or_default().extend(cases);
        }
    }
    all
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// What is counted, in the order of the table's columns.
#[derive(Default)]
struct Counts {
    cases: usize,
    agreed: usize,
    refused: usize,
    failed: usize,
    differed: usize,
    bytecode_agreed: usize,
    bytecode_failed: usize,
    bytecode_differed: usize,
}

impl Counts {
    fn count(&mut self, by_interpreter: &Became, by_bytecode: Option<&Became>) {
        self.cases += 1;
        *match by_interpreter {
            Became::Agreed => &mut self.agreed,
            Became::Refused(_) => &mut self.refused,
            Became::Failed(_) => &mut self.failed,
            Became::Differed(_) => &mut self.differed,
        } += 1;
        match by_bytecode {
            Some(Became::Agreed) => self.bytecode_agreed += 1,
            Some(Became::Failed(_)) => self.bytecode_failed += 1,
            Some(Became::Differed(_)) => self.bytecode_differed += 1,
            Some(Became::Refused(_)) | None => {}
        }
    }

    fn row(&self, title: &str) -> String {
        let numbers = [
            self.cases,
            self.agreed,
            self.refused,
            self.failed,
            self.differed,
            self.bytecode_agreed,
            self.bytecode_failed,
            self.bytecode_differed,
        ];
        let numbers = numbers.map(|number| number.to_string());
        format!("| {title} | {} |\n", numbers.join(" | "))
    }
}

/// `DTGATE_SNAPSHOTS=write` writes the table; without it, it is compared with the one that is there. What was refused,
/// failed or differed is printed.
#[test]
#[ignore = "needs OPA's cases"]
fn needs_cases_the_table_is_true_and_nothing_differs() {
    let folder = std::env::var_os("OPA_CASES").expect("OPA_CASES names the folder of the cases");
    let (mut table, mut all, mut wrong) = (String::new(), Counts::default(), Vec::new());
    for (title, cases) in cases(Path::new(&folder)) {
        let mut counts = Counts::default();
        for case in cases {
            let (by_interpreter, by_bytecode) = case.run();
            counts.count(&by_interpreter, by_bytecode.as_ref());
            all.count(&by_interpreter, by_bytecode.as_ref());
            if by_interpreter != Became::Agreed {
                println!("{title} {}: {by_interpreter:?}", case.note);
            }
            if let Some(by_bytecode @ (Became::Failed(_) | Became::Differed(_))) = &by_bytecode {
                println!("{title} {}: bytecode: {by_bytecode:?}", case.note);
            }
            for became in [Some(&by_interpreter), by_bytecode.as_ref()]
                .into_iter()
                .flatten()
            {
                if let Became::Differed(how) = became {
                    wrong.push(format!("{title} {}: {how}", case.note));
                }
            }
        }
        if counts.cases > 0 {
            table.push_str(&counts.row(&title));
        }
    }
    table.push_str(&all.row("**all**"));
    check_table(&table);
    let mut said = String::new();
    for one in &wrong {
        writeln!(said, "{one}").unwrap();
    }
    assert!(wrong.is_empty(), "{} differ silently:\n{said}", wrong.len());
}

fn check_table(table: &str) {
    const BEGIN: &str = "<!-- made by the test -->\n";
    const END: &str = "<!-- end -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (old, after) = rest.split_once(END).unwrap();
    let (head, _) = old.split_once("| --- |").unwrap();
    let columns = head.matches('|').count() - 1;
    let line = " --- |".repeat(columns);
    let new = format!("{head}|{line}\n{table}");
    if std::env::var("DTGATE_SNAPSHOTS").as_deref() == Ok("write") {
        std::fs::write(&path, format!("{before}{BEGIN}{new}{END}{after}")).unwrap();
    } else {
        assert_eq!(old, new, "docs/conformance.md is not what comes out now");
    }
}
