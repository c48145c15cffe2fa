//! What the bytecode let pass, shown to the interpreter afterwards.
//!
//! It guarantees that one difference ends the trust in the bytecode, and so does the end of whoever looks for them. It
//! does not say who looks, nor at what priority.

use std::time::{Duration, Instant};

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;

use super::Trust;
use crate::policy::extent;
use crate::policy::interpreter::{Interpreter, STEPS};
use crate::policy::question::{array, says_nothing};

/// Time for a request that was decided already, when the machine has nothing better to do.
const UNHURRIED: ExecutionTimerConfig = ExecutionTimerConfig {
    limit: Duration::from_mins(1),
    check_interval: STEPS,
};

impl Trust {
    /// Whether the interpreter agrees that nobody objects. If not, the bytecode never answers again.
    ///
    /// Takes its time, and is meant for a thread that has nothing else to do.
    pub(in crate::policy) fn check(&self, prepared: &regorus::Engine, document: &Value) {
        let Some(share) = self.share() else {
            return;
        };
        let started = Instant::now();
        let mut interpreter = Interpreter::with_time(prepared, UNHURRIED);
        interpreter.begin(document, 0);
        let answers = interpreter.ask_together(&array(&share.rules));
        let took = started.elapsed();
        let said = match answers {
            Some(answers) if answers.iter().all(says_nothing) => None,
            Some(answers) => Some(extent::shown(&Value::from(answers))),
            // That it had to wait for the processor is no difference.
            None if took >= UNHURRIED.limit => {
                tracing::warn!(?took, "a request could not be compared in time");
                None
            }
            None => Some("that it cannot be evaluated".to_owned()),
        };
        if let Some(said) = said {
            // By its time it is found in the journal. No more of it: the log is not for what people send.
            let difference = format!(
                "the interpreter says {said}, the bytecode that nobody objects, of the request of {}",
                document["time"]
            );
            self.lose(difference);
        }
        self.compared(took);
    }
}

#[cfg(test)]
mod tests;
