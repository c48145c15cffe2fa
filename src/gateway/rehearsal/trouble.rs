//! What failed when requests of all kinds were judged, each failure once, in words for an operator.

use std::fmt;

use super::Failures;
use super::kinds::Kind;

/// What failed, in the order in which it was found.
#[derive(Default)]
pub(super) struct Trouble {
    failed: Vec<Failed>,
    /// Kinds that were not judged any more.
    left: usize,
}

/// A policy that failed in one way.
struct Failed {
    policy: String,
    message: String,
    /// The first kind, and how many more. A setting that nobody can use is wrong for all.
    kind: Option<String>,
    others: usize,
}

impl Trouble {
    /// None yet; so many kinds are not judged.
    pub(super) fn of_rest(left: usize) -> Self {
        Self {
            left,
            ..Self::default()
        }
    }

    pub(super) fn see(&mut self, kind: &Kind, failures: Vec<Failure>) {
        for Failure {
            policy,
            message,
            in_settings,
        } in failures
        {
            let same = |failed: &&mut Failed| failed.policy == policy && failed.message == message;
            match self.failed.iter_mut().find(same) {
                Some(failed) => failed.others += 1,
                None => self.failed.push(Failed {
                    kind: (!in_settings).then(|| format!("{} ({kind})", kind.operation())),
                    policy,
                    message,
                    others: 0,
                }),
            }
        }
    }

    pub(super) fn told(self) -> Result<(), Failures> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = self.failed.iter().map(Failed::to_string).collect();
        // A setting is wrong for all kinds alike.
        let of_kinds = self.failed.iter().any(|failed| failed.kind.is_some());
        if of_kinds && self.left > 0 {
            lines.push(format!(
                "{} more kinds of request were not tried: the policies took too long",
                self.left
            ));
        }
        Err(Failures(lines))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            message,
            kind,
            others,
        } = self;
        let Some(kind) = kind else {
            return write!(out, "{message} (policy {policy})");
        };
        write!(out, "policy {policy} fails for {kind}")?;
        match others {
            0 => {}
            1 => write!(out, " and for 1 more kind of request")?,
            _ => write!(out, " and for {others} more kinds of request")?,
        }
        write!(out, ": {message}")
    }
}

/// A policy that could not judge, and why.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Failure {
    pub(super) policy: String,
    pub(super) message: String,
    pub(super) in_settings: bool,
}
