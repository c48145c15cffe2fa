//! One interpreter of policies, the reference for what they say.

pub(in crate::policy) mod constants;
pub(in crate::policy) mod prepare;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;

use super::builtins;
use super::complaint::answer;
use super::problem::Problem;

/// Steps of an engine between two looks at the clock.
pub(super) const STEPS: NonZeroU32 = NonZeroU32::new(256).expect("256 is not zero");

pub(super) struct Interpreter {
    pub(super) rego: regorus::Engine,
    /// What `time.now_ns` answers, and what other builtins take for now; each interpreter has its own, because requests have their own time.
    now_ns: Arc<AtomicI64>,
}

impl Interpreter {
    pub(super) fn clone_of(prepared: &regorus::Engine) -> Self {
        let mut rego = prepared.clone();
        let now_ns = Arc::new(AtomicI64::new(0));
        builtins::register_timed(&mut rego, &now_ns);
        Self { rego, now_ns }
    }

    /// The same where no request waits for it.
    pub(super) fn with_time(prepared: &regorus::Engine, timer: ExecutionTimerConfig) -> Self {
        let mut interpreter = Self::clone_of(prepared);
        interpreter.rego.set_execution_timer_config(timer);
        interpreter
    }

    pub(super) fn begin(&mut self, input: &Value, now_ns: i64) {
        self.rego.set_input(input.clone());
        self.now_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Drops what belongs to one request only.
    pub(super) fn forget(&mut self) {
        self.rego.set_input(Value::new_object());
        drop(self.rego.take_prints());
    }

    /// The partial sets of all rules of a query, or nothing when any of them has no answer.
    pub(super) fn ask_together(&mut self, all_rules: &str) -> Option<Vec<Value>> {
        let rego = &mut self.rego;
        let results = answer("", || rego.eval_query(all_rules.to_owned(), false)).ok()?;
        let value = &results.result.first()?.expressions.first()?.value;
        let answers = value.as_array().ok()?;
        let sets = answers.iter().all(|answer| matches!(answer, Value::Set(_)));
        sets.then(|| answers.to_vec())
    }

    /// The value of any reference, undefined where it has none.
    pub(super) fn value(&mut self, reference: &str) -> Result<Value, Problem> {
        let rego = &mut self.rego;
        let results = answer(reference, || rego.eval_query(reference.to_owned(), false))?;
        let found = results.result.into_iter().next();
        let found = found.and_then(|result| result.expressions.into_iter().next());
        Ok(found.map_or(Value::Undefined, |expression| expression.value))
    }

    /// The elements of a partial set, or what went wrong, at its place in what is evaluated.
    pub(super) fn ask(&mut self, rule: &str) -> Result<Value, Problem> {
        let rego = &mut self.rego;
        let nowhere = |message: &str| Problem::new(rule, 0, 0, message);
        match answer(rule, || rego.eval_rule(rule.to_owned()))? {
            elements @ Value::Set(_) => Ok(elements),
            Value::Undefined => Err(nowhere("it is undefined")),
            _ => Err(nowhere("it is not a set")),
        }
    }
}
