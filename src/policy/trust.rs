//! Whether the bytecode engine may answer requests.
//!
//! Not before it was found equal to the interpreter, and never again after one difference. Until then, and for
//! policies that it cannot be trusted with, the interpreter answers: slower, and what it says counts.

pub(in crate::policy) mod proof;
pub(in crate::policy) mod recheck;
pub(in crate::policy) mod sample;
pub(in crate::policy) mod share;
pub(in crate::policy) mod shipped;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use regorus::Value;
use serde::Serialize;

use crate::policy::trust::share::{Other, Share};
use crate::value::counted;

/// Who answers requests, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "evaluator", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trusted {
    /// The engines were equal on so many inputs: the bytecode answers where nobody objects.
    Bytecode {
        inputs: usize,
        /// The policies that it does not answer for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        others: Vec<Other>,
        /// Why it answers for none but those that are shipped, though it was to answer for all.
        #[serde(skip_serializing_if = "Option::is_none")]
        shipped_only: Option<String>,
    },
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
            Self::Bytecode {
                inputs,
                others,
                shipped_only,
            } => {
                let inputs = counted(*inputs, "input");
                write!(
                    out,
                    "bytecode, and by the interpreter where it finds an objection: both agree on {inputs}"
                )?;
                if !others.is_empty() {
                    let names: Vec<&str> = others.iter().map(|other| &*other.policy).collect();
                    write!(out, "; by the interpreter alone: {}", names.join(", "))?;
                }
                match shipped_only {
                    Some(reason) => write!(
                        out,
                        "; all policies but the shipped ones by the interpreter alone: {reason}"
                    ),
                    None => Ok(()),
                }
            }
            Self::Interpreter { reason } => write!(out, "interpreter: {reason}"),
            Self::Lost { difference } => write!(out, "interpreter: {difference}"),
            Self::Unproven => write!(out, "interpreter: nothing was compared yet"),
        }
    }
}

impl Trusted {
    /// The policies that are left to the interpreter although the bytecode answers for others.
    pub fn others(&self) -> &[Other] {
        match self {
            Self::Bytecode { others, .. } => others,
            _ => &[],
        }
    }
}

pub(super) struct Trust {
    share: OnceLock<Share>,
    lost: AtomicBool,
    trusted: Mutex<Trusted>,
    /// Where requests go that are to be compared, as soon as somebody compares.
    checked: OnceLock<SyncSender<Value>>,
    began: Instant,
    /// When the next one may go there, in milliseconds after `began`.
    next: AtomicU64,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            share: OnceLock::new(),
            lost: AtomicBool::new(false),
            trusted: Mutex::new(Trusted::Unproven),
            checked: OnceLock::new(),
            began: Instant::now(),
            next: AtomicU64::new(0),
        }
    }
}

impl Trust {
    /// What the bytecode answers for, when it is trusted.
    pub(super) fn share(&self) -> Option<&Share> {
        let share = self.share.get()?;
        (!self.lost.load(Ordering::Relaxed)).then_some(share)
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
        prove: impl FnOnce() -> Result<(Share, Trusted), String>,
    ) -> Trusted {
        if self.trusted() == Trusted::Unproven {
            match prove() {
                Ok((share, trusted)) => {
                    // Told first: from the next line on a request can end the trust.
                    self.tell(trusted);
                    drop(self.share.set(share));
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
            "the bytecode engine decided otherwise than the interpreter and is not asked any more; what it let pass is \
             worth a look: report this"
        );
        self.tell(Trusted::Lost { difference });
    }

    /// Nobody compares any more.
    pub(super) fn give_up(&self) {
        self.lost.store(true, Ordering::Relaxed);
        let reason = "the comparison of the engines has ended";
        tracing::error!(
            reason,
            "the bytecode engine is not asked any more: report this"
        );
        self.tell(Trusted::Interpreter {
            reason: reason.to_owned(),
        });
    }

    /// Where the requests come out that are to be compared; once.
    pub(super) fn to_check(&self) -> Option<Receiver<Value>> {
        let (sender, receiver) = sync_channel(1);
        self.checked.set(sender).ok().map(|()| receiver)
    }

    /// Lets a request be compared on which the bytecode had its word, if it is time for that.
    pub(super) fn offer(&self, document: &Value) {
        let Some(checked) = self.checked.get() else {
            return;
        };
        let next = self.next.load(Ordering::Relaxed);
        if self.now() < next {
            return;
        }
        // Of several at once one is enough, and the next has to wait until it was compared.
        let claimed =
            (self.next).compare_exchange(next, NEVER, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() {
            drop(checked.try_send(document.clone()));
        }
    }

    /// A request was compared, which took so long: the next one has to wait.
    pub(super) fn compared(&self, took: Duration) {
        let pause = PAUSE.max(took.saturating_mul(MOST_OF_THE_TIME));
        let pause = u64::try_from(pause.as_millis()).unwrap_or(NEVER);
        self.next
            .store(self.now().saturating_add(pause), Ordering::Relaxed);
    }

    fn tell(&self, trusted: Trusted) {
        *self.trusted.lock().unwrap_or_else(PoisonError::into_inner) = trusted;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One request in a second is compared. Where there are no more, that is all.
const PAUSE: Duration = Duration::from_secs(1);

/// Comparing takes a fiftieth of the time at most: with a thousand policies the interpreter needs a while.
const MOST_OF_THE_TIME: u32 = 50;

const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_long_to_compare_has_to_wait_longer() {
        let trust = Trust::default();
        let wait = |took| {
            trust.compared(took);
            Duration::from_millis(trust.next.load(Ordering::Relaxed) - trust.now())
        };
        assert!(wait(Duration::from_millis(1)) > Duration::from_millis(900));
        assert!(wait(Duration::from_secs(2)) > Duration::from_secs(99));
        assert!(wait(Duration::MAX) > Duration::from_hours(1));
    }
}
