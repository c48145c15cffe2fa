//! Decisions whose lines somebody else has read.

use std::time::Instant;

use super::compare::Candidate;
use super::{Options, Report, Wanted};
use crate::policy::Policy;

/// Judges these lines again in their order, on this thread, and begins none after `until`. Also says how many were looked
/// at.
pub fn given(
    lines: &[String],
    candidate: &Policy,
    examples: usize,
    until: Instant,
) -> (Report, usize) {
    let options = Options {
        wanted: Wanted::new(None, None, Vec::new()),
        examples,
        jobs: 1,
    };
    let candidate = Candidate::new(candidate);
    let mut report = Report::new(candidate.policy().revision());
    let mut looked_at = 0;
    for line in lines {
        if Instant::now() > until {
            break;
        }
        candidate.judge(line.as_bytes(), &options, &mut report);
        looked_at += 1;
    }
    (report, looked_at)
}
