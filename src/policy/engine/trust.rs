//! Whether the bytecode engine may answer requests.
//!
//! Not before it was found equal to the interpreter, and never again after one difference. Until then, and for
//! policies that it cannot be trusted with, the interpreter answers: slower, and what it says counts.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::policy::bytecode::Bytecode;

/// Who answers requests, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "evaluator", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trusted {
    /// The engines were equal on so many inputs: the bytecode answers where nobody objects.
    Bytecode { inputs: usize },
    /// The interpreter, for this reason.
    Interpreter { reason: String },
    /// The interpreter, because the engines have said different things about a request.
    Lost { difference: String },
    /// The interpreter, as long as nobody has compared the two.
    Unproven,
}

impl fmt::Display for Trusted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytecode { inputs } => {
                write!(
                    out,
                    "bytecode where nobody objects: equal to the interpreter on {inputs} inputs"
                )
            }
            Self::Interpreter { reason } => write!(out, "interpreter: {reason}"),
            Self::Lost { difference } => write!(out, "interpreter: {difference}"),
            Self::Unproven => write!(out, "interpreter: nothing was compared yet"),
        }
    }
}

pub(super) struct Trust {
    bytecode: OnceLock<Bytecode>,
    lost: AtomicBool,
    trusted: Mutex<Trusted>,
    began: Instant,
    /// When the engines were compared last, in milliseconds after `began`.
    checked: AtomicU64,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            bytecode: OnceLock::new(),
            lost: AtomicBool::new(false),
            trusted: Mutex::new(Trusted::Unproven),
            began: Instant::now(),
            checked: AtomicU64::new(0),
        }
    }
}

impl Trust {
    /// The bytecode, when it is trusted.
    pub(super) fn bytecode(&self) -> Option<&Bytecode> {
        let bytecode = self.bytecode.get()?;
        (!self.lost.load(Ordering::Relaxed)).then_some(bytecode)
    }

    pub(super) fn trusted(&self) -> Trusted {
        self.trusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Trusts the bytecode, or says why not; once.
    pub(super) fn settle(
        &self,
        prove: impl FnOnce() -> Result<(Bytecode, usize), String>,
    ) -> Trusted {
        if self.trusted() == Trusted::Unproven {
            match prove() {
                Ok((bytecode, inputs)) => {
                    // Told first: from the next line on a request can end the trust.
                    self.tell(Trusted::Bytecode { inputs });
                    drop(self.bytecode.set(bytecode));
                }
                Err(reason) => self.tell(Trusted::Interpreter { reason }),
            }
        }
        self.trusted()
    }

    /// The engines differ.
    pub(super) fn lose(&self, difference: String) {
        self.lost.store(true, Ordering::Relaxed);
        tracing::error!(
            difference,
            "the bytecode engine decides otherwise than the interpreter and is not asked any more; this request was \
             decided by the interpreter, earlier ones are worth a look: report this"
        );
        self.tell(Trusted::Lost { difference });
    }

    pub(super) fn is_check_due(&self) -> bool {
        self.now()
            .saturating_sub(self.checked.load(Ordering::Relaxed))
            >= EVERY_MILLISECONDS
    }

    /// Whether the caller is the one to compare.
    pub(super) fn begin_check(&self) -> bool {
        let last = self.checked.load(Ordering::Relaxed);
        let now = self.now();
        now.saturating_sub(last) >= EVERY_MILLISECONDS
            && self
                .checked
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn tell(&self, trusted: Trusted) {
        *self.trusted.lock().unwrap_or_else(PoisonError::into_inner) = trusted;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One request in a second is decided by the interpreter and compared. Where there are no more, that is all.
const EVERY_MILLISECONDS: u64 = 1000;

/// The tests have a time of their own.
#[cfg(test)]
impl Trust {
    /// It is time to compare.
    pub(super) fn let_time_pass(&mut self) {
        self.began -= std::time::Duration::from_millis(2 * EVERY_MILLISECONDS);
        self.checked = AtomicU64::new(0);
    }

    /// It will never be.
    pub(super) fn stop_time(&mut self) {
        self.checked = AtomicU64::new(u64::MAX);
    }
}
