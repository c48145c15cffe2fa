//! The bytecode engine: policies compiled for the virtual machine of regorus, several times as fast as its
//! interpreter.
//!
//! It can say one thing, that a rule is silent. What the others say, the interpreter is asked; and of all rules where
//! one fails, or runs past a limit. So a mistake of this engine can matter in one direction only, and [`crate::policy::trust::proof`]
//! looks for it before the engine is trusted and while it works.

pub(in crate::policy) mod specialise;
pub(in crate::policy) mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regorus::Value;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::{Program, RuleInfo};
use regorus::rvm::vm::RegoVM;
use regorus::utils::limits::ExecutionTimerConfig;

use super::complaint::{PANICKED, answer, engine_problem, guarded};
use super::interpreter::STEPS;
use super::question::{QUESTION, says_nothing};
use crate::policy::bytecode::specialise::{Left, Rewritten, Specialised, specialise};
use crate::policy::rego::rests::is_of_library;

use crate::policy::read;

/// Time for an answer of either engine, where both are compared.
pub(super) const COMPARED: ExecutionTimerConfig = ExecutionTimerConfig {
    limit: Duration::from_secs(10),
    check_interval: STEPS,
};

/// Compiled policies: one program, or several where there are more files than one has room for.
pub(super) struct Bytecode {
    parts: Vec<Part>,
    /// Rules that object whenever another does, behind that one, which alone says what both do.
    shared: Vec<(String, String)>,
}

/// Some of the policies, with the library. Machines are made once and used again by whoever asks next.
struct Part {
    program: Arc<Program>,
    /// Those that it answers for, as they are asked.
    rules: Vec<String>,
    data: Value,
    idle: Mutex<Vec<RegoVM>>,
    timer: ExecutionTimerConfig,
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Silence {
    /// Which is no wrong answer: the interpreter may have had no need to call it.
    #[error("nothing: a builtin failed")]
    BuiltinFailed,
    #[error("nothing: {0}")]
    Failed(String),
    #[error("nothing after more steps than it may take")]
    TooManySteps,
}

/// How far the engine may go for one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Instructions.
    steps: usize,
    /// Instead of the time that a request may take.
    timer: Option<ExecutionTimerConfig>,
}

impl Bounds {
    /// Where requests are moved: one to two milliseconds, if no builtin takes long, because each counts as one
    /// instruction. The shipped policies take far fewer.
    pub(super) const FEW: Self = Self::steps(25_000);

    /// Elsewhere: what a thousand policies need. Some it would follow for ever.
    pub(super) const MOST: Self = Self::steps(1_000_000);

    /// Where both engines are compared: a busy machine must not look like a difference.
    pub(super) const COMPARED: Self = Self {
        timer: Some(COMPARED),
        ..Self::MOST
    };

    pub(super) const fn steps(steps: usize) -> Self {
        Self { steps, timer: None }
    }
}

impl Bytecode {
    /// Compiles policies that the interpreter has accepted; `rules` are those to ask, as `data.dtgate.naming.deny`.
    ///
    /// # Errors
    ///
    /// Says why these policies are left to the interpreter.
    pub(super) fn compile(
        interpreter: &mut regorus::Engine,
        rules: &[String],
        timer: ExecutionTimerConfig,
    ) -> Result<Self, Left> {
        let specialised = specialise(interpreter, rules)?;
        let parts = split(&specialised, rules).map_err(Left::All)?;
        let parts = parts
            .into_iter()
            .map(|(modules, rules)| Part::compile(modules, &rules, &specialised.data, timer));
        Ok(Self {
            parts: parts.collect::<Result<_, _>>().map_err(Left::All)?,
            shared: specialised.shared,
        })
    }

    /// The rules that are not silent about the request.
    pub(super) fn objecting(&self, input: &Value, bounds: Bounds) -> Result<Vec<&str>, Silence> {
        let mut objecting = Vec::new();
        let bounds = Bounds {
            steps: bounds.steps / self.parts.len(),
            ..bounds
        };
        for part in &self.parts {
            objecting.extend(part.objecting(input, bounds)?);
        }
        for (one, other) in &self.shared {
            if objecting.contains(&one.as_str()) && !objecting.contains(&other.as_str()) {
                objecting.push(other);
            }
        }
        Ok(objecting)
    }

    /// What all rules say, in lists of lists.
    pub(super) fn ask(&self, input: &Value, bounds: Bounds) -> Result<Value, Silence> {
        let mut all = Vec::new();
        for part in &self.parts {
            let answers = part.ask(input, bounds)?;
            all.extend(
                answers
                    .as_array()
                    .into_iter()
                    .flat_map(|chunks| chunks.iter().cloned()),
            );
        }
        Ok(Value::from(all))
    }
}

/// What a program is made of, and which rules it answers for.
type Share = (Vec<Rewritten>, Vec<String>);

/// Shares the policies out to programs.
fn split(specialised: &Specialised, rules: &[String]) -> Result<Vec<Share>, String> {
    let modules = &specialised.modules;
    if modules.len() <= MOST_MODULES {
        return Ok(vec![(modules.clone(), rules.to_vec())]);
    }
    if !specialised.separable {
        return Err(
            "there are very many files, and policies in them that use rules of other policies"
                .to_owned(),
        );
    }
    let (library, policies): (Vec<&Rewritten>, Vec<&Rewritten>) = modules
        .iter()
        .partition(|module| is_of_library(&module.package));
    let mut packages: BTreeMap<String, Vec<Rewritten>> = BTreeMap::new();
    for module in policies {
        packages
            .entry(module.package.join("."))
            .or_default()
            .push(module.clone());
    }
    let mut parts: Vec<Share> = Vec::new();
    for (package, modules) in packages {
        let of_package = rules
            .iter()
            .filter(|rule| rule.rsplit_once('.').is_some_and(|(of, _)| of == package));
        match parts.last_mut() {
            Some((all, rules)) if all.len() + modules.len() <= MOST_MODULES => {
                all.extend(modules);
                rules.extend(of_package.cloned());
            }
            _ => {
                let all = library.iter().copied().cloned().chain(modules);
                parts.push((all.collect(), of_package.cloned().collect()));
            }
        }
    }
    let asked: usize = parts.iter().map(|(_, rules)| rules.len()).sum();
    if asked != rules.len() {
        return Err("there is a rule that no file of a policy has".to_owned());
    }
    Ok(parts)
}

impl Part {
    fn compile(
        modules: Vec<Rewritten>,
        rules: &[String],
        data: &Value,
        timer: ExecutionTimerConfig,
    ) -> Result<Self, String> {
        let mut engine = read::engine();
        let said =
            |error: &dyn ToString| engine_problem(&error.to_string(), "policies").to_string();
        for module in modules {
            engine
                .add_policy(module.path, module.text)
                .map_err(|error| said(&error))?;
        }
        engine
            .add_policy(QUESTION_FILE.to_owned(), question(rules))
            .map_err(|error| said(&error))?;
        engine
            .add_data(data.clone())
            .map_err(|error| said(&error))?;
        let entry = format!("data.{QUESTION}.all");
        // The compiler is young.
        let policy = answer("policies", || {
            engine.compile_with_entrypoint(&entry.as_str().into())
        });
        let policy = policy.map_err(|problem| problem.to_string())?;
        let program = answer("policies", || {
            Compiler::compile_from_policy(&policy, &[&entry])
        });
        let program = program.map_err(|problem| problem.to_string())?;
        let mut program = Arc::unwrap_or_clone(program);
        let builtins = program.builtin_info_table.iter();
        for (builtin, resolved) in builtins.zip(&mut program.resolved_builtins) {
            resolved.0 = watch::watched(&builtin.name)
                .ok_or_else(|| format!("the bytecode calls {}", builtin.name))?;
        }
        for rule in &mut program.rule_infos {
            // A definition that fails denies, though another one says the same.
            rule.early_exit_on_first_success = false;
            lighten(rule);
        }
        Ok(Self {
            program: Arc::new(program),
            rules: rules.to_vec(),
            data: engine.get_data(),
            idle: Mutex::default(),
            timer,
        })
    }

    fn objecting(&self, input: &Value, bounds: Bounds) -> Result<Vec<&str>, Silence> {
        let answers = self.ask(input, bounds)?;
        let chunks = answers.as_array().into_iter();
        let chunks = chunks.flat_map(|chunks| chunks.iter());
        let mut answers =
            chunks.flat_map(|chunk| chunk.as_array().into_iter().flat_map(|sets| sets.iter()));
        let is_silent = |answer: Option<&Value>| answer.is_some_and(says_nothing);
        let rules = self.rules.iter().filter(|_| !is_silent(answers.next()));
        Ok(rules.map(String::as_str).collect())
    }

    /// What each rule says, in lists of [`CHUNK`] rules.
    fn ask(&self, input: &Value, bounds: Bounds) -> Result<Value, Silence> {
        let mut machine = self.machine()?;
        machine.set_max_instructions(bounds.steps);
        machine.set_execution_timer_config(Some(bounds.timer.unwrap_or(self.timer)));
        machine.set_input(input.clone());
        watch::has_failed();
        // A machine that failed or panicked is thrown away: nobody knows what is left in it.
        let answer = guarded(|| machine.execute_entry_point_by_index(0));
        let answer = answer.ok_or_else(|| Silence::Failed(PANICKED.to_owned()))?;
        if watch::has_failed() {
            return Err(Silence::BuiltinFailed);
        }
        match answer {
            Ok(value @ Value::Array(_)) => {
                machine.set_input(Value::Null);
                self.idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(machine);
                Ok(value)
            }
            Ok(_) => Err(Silence::Failed("it is undefined".to_owned())),
            Err(regorus::rvm::vm::VmError::InstructionLimitExceeded { .. }) => {
                Err(Silence::TooManySteps)
            }
            Err(error) => Err(Silence::Failed(error.to_string())),
        }
    }

    fn machine(&self) -> Result<RegoVM, Silence> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(machine) = idle {
            return Ok(machine);
        }
        let mut machine = RegoVM::new();
        machine.set_strict_builtin_errors(true);
        machine.load_program(self.program.clone());
        machine
            .set_data(self.data.clone())
            .map_err(|error| Silence::Failed(error.to_string()))?;
        Ok(machine)
    }
}

/// Takes away what is of no use: the machine copies all of it with every call of the rule. Where a mark is missing it
/// takes it for not set, and it never looks at the name.
fn lighten(rule: &mut RuleInfo) {
    rule.name = String::new();
    if !rule.else_bodies.iter().flatten().any(|is_else| *is_else) {
        rule.else_bodies = Vec::new();
    }
    if rule.destructuring_blocks.iter().all(Option::is_none) {
        rule.destructuring_blocks = Vec::new();
    }
}

/// One rule that asks all the others. A list takes a register an element, and a rule has 255; a line has 1,024
/// characters.
fn question(rules: &[String]) -> String {
    let chunks = rules.chunks(CHUNK).enumerate();
    let (names, lists): (Vec<String>, Vec<String>) = chunks
        .map(|(number, chunk)| {
            let list = format!("rules{number} := [{}]\n", chunk.join(",\n"));
            (format!("rules{number}"), list)
        })
        .unzip();
    let (all, lists) = (names.join(",\n"), lists.join("\n"));
    format!("package {QUESTION}\n\n{lists}\nall := [{all}]\n")
}

/// Files that a program may be made of; the question is one more.
const MOST_MODULES: usize = 255;

const CHUNK: usize = 100;
const QUESTION_FILE: &str = "dtgate_question.rego";
