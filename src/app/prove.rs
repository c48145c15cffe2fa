//! The comparison of the engines, on a thread of its own.

use crate::audit::yield_to_others;
use crate::policy::{AnswersFor, Policy, Trusted};
use crate::value::threads;

/// Lets the bytecode engine answer as soon as it is found equal to the interpreter, which answers meanwhile and looks
/// at some of the answers later.
pub(super) fn prove(policy: Policy, bytecode: AnswersFor) {
    let thread = threads::named("proof");
    let proof = thread.spawn(move || match policy.prove(bytecode, COMPARED, SEED) {
        trusted @ Trusted::Bytecode { .. } => {
            for other in trusted.others() {
                let (policy, reason) = (&other.policy, &other.reason);
                tracing::info!(policy, reason, "a policy is judged by the slower engine");
            }
            tracing::info!(evaluator = %trusted, "policies are judged by the faster engine");
            yield_to_others();
            policy.keep_checking();
        }
        trusted => tracing::warn!(evaluator = %trusted, "policies are judged by the slower engine"),
    });
    if let Err(error) = proof {
        tracing::warn!(%error, "policies are judged by the slower engine");
    }
}

/// Made-up requests that the engines are compared on before the bytecode answers: a second of one core.
pub const COMPARED: usize = 500;

/// The same requests at every start, so that a start that went well goes well again.
pub const SEED: u64 = 1;
