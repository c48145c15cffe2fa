//! Asks every policy about one input, in bounded time, and always comes back with a decision.
//!
//! Whatever goes wrong while a policy is asked (an error, a panic, too much time, an answer of the wrong
//! kind) is a violation that denies, in every mode. Interpreters are prepared once for a bundle and cloned
//! for as many threads as ask at once; no lock is held while one of them thinks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use regorus::{Value, utils::limits::ExecutionTimerConfig};
use serde::Serialize;

use super::{
    bundle::{self, Bundle, Definition},
    check::Read,
    decision::{Decision, Mode, Rule, Violation},
    input::Input,
};

/// How long one rule of one policy may take, unless configured.
pub const DEFAULT_LIMIT: Duration = Duration::from_millis(100);

/// Steps of the interpreter between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(256).expect("256 is not zero");

pub struct Engine {
    prepared: regorus::Engine,
    idle: Mutex<Vec<Interpreter>>,
    policies: BTreeMap<String, Definition>,
    /// All rules of all policies in one array, in the order of `policies`.
    all_rules: String,
    reads: BTreeSet<Read>,
    lookup_required: bool,
    revision: String,
}

/// A decision and the lines that led to it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    pub decision: Decision,
    /// Per file the rows that were evaluated, whatever they came to.
    pub lines: Vec<(String, Vec<u32>)>,
    /// What the policies printed.
    pub prints: Vec<String>,
}

struct Interpreter {
    rego: regorus::Engine,
    /// What `time.now_ns` answers; each interpreter has its own, because requests have their own time.
    now_ns: Arc<AtomicI64>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Engine")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for a bundle; `limit` is for all rules together, and past it for each on its own, so that one
    /// that runs away is named.
    ///
    /// A builtin cannot be interrupted: the limit is seen when it returns.
    pub fn new(bundle: Bundle, limit: Duration) -> Self {
        let Bundle {
            mut rego,
            policies,
            revision,
            reads,
            lookup_required,
        } = bundle;
        rego.set_execution_timer_config(ExecutionTimerConfig {
            limit,
            check_interval: STEPS,
        });
        Self {
            prepared: rego,
            idle: Mutex::default(),
            all_rules: all_rules(&policies),
            policies,
            reads,
            lookup_required,
            revision,
        }
    }

    pub fn revision(&self) -> &str {
        &self.revision
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }

    /// Whether a policy may read this member of the input, or one below it, as in `input.token.current`.
    pub fn reads(&self, member: &str) -> bool {
        self.reads.iter().any(|read| {
            let mut steps = read.iter().zip(member.split('.'));
            steps.all(|(step, wanted)| step.as_deref().is_none_or(|step| step == wanted))
        })
    }

    /// Asks every policy, never only the first that objects.
    pub fn decide(&self, input: &Input) -> Decision {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut interpreter = idle.unwrap_or_else(|| Interpreter::clone_of(&self.prepared));
        let decision = self.ask_all(input, &self.prepared, &mut interpreter, |_| {});
        interpreter.forget();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(interpreter);
        decision
    }

    /// Decides as [`Engine::decide`] does, and says which lines were evaluated on the way.
    pub fn explain(&self, input: &Input) -> Explanation {
        let mut watched = self.prepared.clone();
        watched.set_enable_coverage(true);
        let mut lines: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let mut prints = Vec::new();
        let mut collect = |interpreter: &mut Interpreter| {
            prints.extend(interpreter.rego.take_prints().unwrap_or_default());
            for file in interpreter
                .rego
                .get_coverage_report()
                .into_iter()
                .flat_map(|report| report.files)
            {
                lines.entry(file.path).or_default().extend(file.covered);
            }
        };
        let mut interpreter = Interpreter::clone_of(&watched);
        let decision = self.ask_all(input, &watched, &mut interpreter, &mut collect);
        collect(&mut interpreter);
        let lines = lines
            .into_iter()
            .map(|(file, rows)| (file, rows.into_iter().collect()))
            .collect();
        Explanation {
            decision,
            lines,
            prints,
        }
    }

    /// One question for all policies evaluates their common helpers once and takes half the time. When it has no
    /// answer, each rule is asked on its own, so that the decision says which policy failed.
    ///
    /// `broken` sees an interpreter that failed before it is replaced.
    fn ask_all(
        &self,
        input: &Input,
        prepared: &regorus::Engine,
        interpreter: &mut Interpreter,
        mut broken: impl FnMut(&mut Interpreter),
    ) -> Decision {
        let started = Instant::now();
        let document = input.to_rego();
        interpreter.begin(&document, input.now_ns());
        let mut violations = Vec::new();
        if self.lookup_required && !input.only_disables() {
            violations.extend(input.lookup_error().map(Violation::not_looked_up));
        }
        let answers = interpreter.ask_together(&self.all_rules);
        if answers.is_none() {
            broken(interpreter);
            *interpreter = Interpreter::clone_of(prepared);
            interpreter.begin(&document, input.now_ns());
        }
        let mut answers = answers.into_iter().flatten();
        for (policy, definition) in &self.policies {
            let mode = definition.enforcement.at(input.time);
            for rule in &definition.rules {
                let answer = match answers.next() {
                    Some(elements) => Ok(elements),
                    None => interpreter.ask(&rule_path(policy, *rule)),
                };
                match answer {
                    Ok(elements) => violations.extend(read_all(policy, mode, *rule, &elements)),
                    Err(message) => {
                        violations.push(Violation::failed(policy, *rule, &message));
                        // What an error leaves behind in an interpreter is anybody's guess.
                        broken(interpreter);
                        *interpreter = Interpreter::clone_of(prepared);
                        interpreter.begin(&document, input.now_ns());
                    }
                }
            }
        }
        Decision::new(violations, self.revision.clone(), started.elapsed())
    }
}

fn rule_path(policy: &str, rule: Rule) -> String {
    format!("data.dtgate.{policy}.{}", rule.name())
}

fn all_rules(policies: &BTreeMap<String, Definition>) -> String {
    let paths = policies.iter().flat_map(|(policy, definition)| {
        let rules = definition.rules.iter();
        rules.map(move |rule| rule_path(policy, *rule))
    });
    format!("[{}]", paths.collect::<Vec<_>>().join(", "))
}

impl Interpreter {
    fn clone_of(prepared: &regorus::Engine) -> Self {
        let mut rego = prepared.clone();
        let now_ns = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now_ns);
        rego.add_extension(
            "time.now_ns".to_owned(),
            0,
            Box::new(move |_| Ok(clock.load(Ordering::Relaxed).into())),
        )
        .expect("a prepared engine has no clock of its own");
        Self { rego, now_ns }
    }

    fn begin(&mut self, input: &Value, now_ns: i64) {
        self.rego.set_input(input.clone());
        self.now_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Drops what belongs to one request only.
    fn forget(&mut self) {
        self.rego.set_input(Value::new_object());
        drop(self.rego.take_prints());
    }

    /// The partial sets of all rules of a query, or nothing when any of them has no answer.
    fn ask_together(&mut self, all_rules: &str) -> Option<Vec<Value>> {
        let rego = &mut self.rego;
        let answered = catch_unwind(AssertUnwindSafe(|| {
            rego.eval_query(all_rules.to_owned(), false)
        }));
        let results = answered.ok()?.ok()?;
        let value = &results.result.first()?.expressions.first()?.value;
        let answers = value.as_array().ok()?;
        let sets = answers.iter().all(|answer| matches!(answer, Value::Set(_)));
        sets.then(|| answers.to_vec())
    }

    /// The elements of a partial set.
    fn ask(&mut self, rule: &str) -> Result<Value, String> {
        let rego = &mut self.rego;
        // The interpreter is thrown away after a panic, so nobody sees what it was doing.
        match catch_unwind(AssertUnwindSafe(|| rego.eval_rule(rule.to_owned()))) {
            Ok(Ok(elements @ Value::Set(_))) => Ok(elements),
            Ok(Ok(Value::Undefined)) => Err("it is undefined".to_owned()),
            Ok(Ok(_)) => Err("it is not a set".to_owned()),
            Ok(Err(error)) => Err(bundle::engine_problem(&error.to_string(), rule).to_string()),
            Err(_panic) => Err("the engine panicked".to_owned()),
        }
    }
}

fn read_all(policy: &str, mode: Mode, rule: Rule, elements: &Value) -> Vec<Violation> {
    let elements = elements
        .as_set()
        .into_iter()
        .flat_map(|elements| elements.iter());
    elements
        .map(|element| {
            let json = serde_json::to_value(element).map_err(|error| error.to_string());
            json.and_then(|json| Violation::read(policy, mode, rule, json))
                .unwrap_or_else(|message| Violation::failed(policy, rule, &message))
        })
        .collect()
}

#[cfg(test)]
mod tests;
