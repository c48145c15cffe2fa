//! What policies say at other moments: modes and exceptions begin and end.

use std::collections::BTreeSet;

use super::Engine;
use crate::policy::decision::{POLICY_ERROR, Violation};
use crate::policy::input::Input;
use crate::policy::source::about::About;

impl Engine {
    /// When modes and exceptions begin and end that are about this request, after this moment.
    pub fn moments(&self, input: &Input, after: jiff::Timestamp) -> BTreeSet<jiff::Timestamp> {
        let modes = self.policies.iter();
        let modes = modes.flat_map(|(name, it)| {
            let about = it.enforcement.about();
            about.filter(move |about| about.is(input, name))
        });
        let exceptions = self.exceptions.about();
        let about = modes.chain(exceptions.filter(|about| about.is(input, "")));
        let moments = about.flat_map(About::moments);
        moments.filter(|moment| *moment > after).collect()
    }

    /// The same violations, with the modes and exceptions of another moment.
    pub fn applied_at(
        &self,
        violations: &[Violation],
        input: &Input,
        moment: jiff::Timestamp,
    ) -> Vec<Violation> {
        let then = Input {
            time: moment,
            ..input.clone()
        };
        let mut violations = violations.to_vec();
        for violation in &mut violations {
            let is_a_finding = violation.code.as_deref() != Some(POLICY_ERROR);
            let definition = self.policies.get(&violation.policy);
            if let Some(definition) = definition.filter(|_| is_a_finding) {
                violation.mode = definition.enforcement.of(&violation.policy, &then);
                violation.exception = None;
                self.exceptions.apply(violation, &then);
            }
        }
        violations
    }
}
