//! Whether a grant could be used at a moment, by all that it says itself. Whether it was, the journal knows.

use jiff::{SignedDuration, Timestamp};

use super::config::Config;
use super::flaw::Flaw;
use super::signed::Signed;
use super::text::{Allows, Grant};
use crate::policy::Granted;
use crate::value::rfc3339_millis;

/// A grant whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub grant: Grant,
    pub approved_by: String,
    /// All that was signed, and its signatures.
    pub note: String,
}

impl Approved {
    /// As a decision has it.
    pub fn granted(&self) -> Granted {
        let grant = &self.grant;
        let (allows, decision) = match &grant.allows {
            Allows::Request(request) => ("request", Some(request.decision.clone())),
            Allows::Change(_) => ("change", None),
        };
        Granted {
            id: grant.id.to_string(),
            allows,
            decision,
            requested_by: grant.requested_by.clone(),
            approved_by: self.approved_by.clone(),
            reason: grant.reason.clone(),
            ticket: grant.ticket.clone(),
            until: rfc3339_millis(grant.until),
            policies: grant.policies.clone(),
            failed_policies: grant.failed_policies.clone(),
            note: self.note.clone(),
        }
    }
}

/// Whose grants are good.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    pub config: &'a Config,
    /// The name of its journal; none, where nobody knows it.
    pub name: Option<&'a str>,
}

impl Gate<'_> {
    /// Checks all that does not need a second signature, the time or the journal.
    pub fn asked(&self, signed: &Signed) -> Result<(), Flaw> {
        let grant = &signed.grant;
        if let Some(here) = self.name.filter(|here| *here != grant.gate) {
            return Err(Flaw::OtherGate {
                found: grant.gate.clone(),
                here: here.to_owned(),
            });
        }
        signed.asked_by(&self.config.approvers)?;
        let longest = self.config.longest;
        if grant.until.duration_since(grant.requested_at)
            > SignedDuration::try_from(longest.as_std()).unwrap_or(SignedDuration::MAX)
        {
            return Err(Flaw::TooLong(longest));
        }
        Ok(())
    }

    /// Checks everything but the time and the journal.
    pub fn approved(&self, signed: Signed) -> Result<Approved, Flaw> {
        self.asked(&signed)?;
        let approved_by = signed.approver(&self.config.approvers)?;
        Ok(Approved {
            note: signed.to_string(),
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
