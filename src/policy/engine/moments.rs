//! What policies say at other moments: modes and exceptions begin and end.

use std::collections::BTreeSet;

use super::Engine;
use crate::policy::decision::{POLICY_ERROR, Violation};
use crate::policy::input::Input;
use crate::policy::source::about::About;

impl Engine {
    /// When modes and exceptions begin and end, after this moment.
    pub fn moments(&self, after: jiff::Timestamp) -> BTreeSet<jiff::Timestamp> {
        let modes = self.policies.values();
        let about = modes.flat_map(|it| it.enforcement.about());
        let about = about.chain(self.exceptions.about());
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
