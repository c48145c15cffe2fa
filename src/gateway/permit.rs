//! The only key to the upstream for a guarded operation, and the one place where a verdict is obeyed.

use super::environment::{Addressed, Environment};
use crate::audit::Recorded;
use crate::guard::Call;
use crate::policy::{Decision, Verdict};

/// A call that was allowed, for one environment, and whose decision is on disk. [`super::upstream`] takes nothing else.
#[derive(Debug)]
pub(super) struct Permit(Addressed);

impl Permit {
    /// Obeys the verdict of a recorded decision.
    ///
    /// Only a [`Recorded`] call gets here, and only the journal makes one: forwarding what was not
    /// recorded does not compile.
    ///
    /// ```compile_fail
    /// use dtgate::{audit::Recorded, policy::Judged};
    /// fn forge<T>(judged: Judged<T>) -> Recorded<T> {
    ///     Recorded { judged, sequence: 1 }
    /// }
    /// ```
    pub(super) fn grant(recorded: Recorded<Addressed>) -> Result<(Self, Decision), Decision> {
        let (addressed, decision) = recorded.into_parts();
        match decision.verdict {
            Verdict::Allow => Ok((Self(addressed), decision)),
            Verdict::Deny => Err(decision),
        }
    }

    pub(super) fn call(&self) -> &Call {
        &self.0.call
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.0.environment
    }
}
