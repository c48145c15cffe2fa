//! Asks entrypoints: by the interpreter alone, each by itself, because what they say is no set.

use regorus::Value;

use super::Engine;
use crate::policy::decision::{Rule, Violation};
use crate::policy::entrypoint;
use crate::policy::input::Input;
use crate::policy::interpreter::Interpreter;

impl Engine {
    pub(super) fn has_entrypoints(&self) -> bool {
        let mut all = self.policies.values();
        all.any(|definition| definition.entrypoint.is_some())
    }

    /// What the entrypoints say, one after the other, to an interpreter that has begun.
    pub(super) fn ask_entrypoints(
        &self,
        input: &Input,
        document: &Value,
        prepared: &regorus::Engine,
        interpreter: &mut Interpreter,
        mut broken: impl FnMut(&mut Interpreter),
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (name, definition) in &self.policies {
            let Some(rule) = &definition.entrypoint else {
                continue;
            };
            let mode = definition.enforcement.of(name, input);
            let said = interpreter.value(rule);
            let objection = said.map_err(|problem| {
                // What an error leaves behind in an interpreter is anybody's guess.
                broken(interpreter);
                *interpreter = Interpreter::clone_of(prepared);
                interpreter.begin(document, input.now_ns());
                self.origins.in_file(problem).to_string()
            });
            let objection = objection.and_then(|said| entrypoint::objection(name, mode, &said));
            let failed = |message: String| Some(Violation::failed(name, Rule::Deny, &message));
            violations.extend(objection.unwrap_or_else(failed));
        }
        for violation in &mut violations {
            self.exceptions.apply(violation, input);
        }
        violations
    }
}
