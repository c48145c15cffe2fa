//! Whether a grant could be used at a moment, by all that it says itself. Whether it was, the journal knows.

use jiff::{SignedDuration, Timestamp};

use super::config::Config;
use super::flaw::Flaw;
use super::signed::Signed;
use super::text::Grant;

/// A grant whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub grant: Grant,
    pub approved_by: String,
}

/// Whose grants are good.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    pub config: &'a Config,
    /// The name of its journal; none, where nobody knows it.
    pub name: Option<&'a str>,
}

impl Gate<'_> {
    /// Checks everything but the time and the journal.
    pub fn approved(&self, signed: Signed) -> Result<Approved, Flaw> {
        let grant = &signed.grant;
        if let Some(here) = self.name.filter(|here| *here != grant.gate) {
            return Err(Flaw::OtherGate {
                found: grant.gate.clone(),
                here: here.to_owned(),
            });
        }
        let approved_by = signed.approver(&self.config.approvers)?;
        let longest = self.config.longest;
        if grant.until.duration_since(grant.requested_at)
            > SignedDuration::try_from(longest.as_std()).unwrap_or(SignedDuration::MAX)
        {
            return Err(Flaw::TooLong(longest));
        }
        Ok(Approved {
            grant: signed.grant,
            approved_by,
        })
    }
}

impl Grant {
    /// Whether it is good at this moment.
    pub fn is_timely(&self, now: Timestamp) -> Result<(), Flaw> {
        if now >= self.until {
            return Err(Flaw::Ended(self.until));
        }
        if self.requested_at.duration_since(now) > CLOCKS {
            return Err(Flaw::Early(self.requested_at));
        }
        Ok(())
    }
}

/// How far the clocks of two machines may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
