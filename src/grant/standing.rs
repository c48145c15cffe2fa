//! Whether a grant could be used at a moment, by all that it says itself. Whether it was, the journal knows.

use jiff::{SignedDuration, Timestamp};

use super::config::Config;
use super::file;
use super::flaw::Flaw;
use super::signed::Signed;
use super::text::{Allows, Grant};
use crate::policy::Granted;
use crate::value::{Sha256Hex, rfc3339_millis};

/// A grant whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub grant: Grant,
    pub approved_by: String,
    /// All that was signed, and its signatures.
    pub note: String,
    /// Of what was signed: two grants may have one id, and say different things.
    pub(super) digest: Sha256Hex,
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

    /// Whether the directory has another grant that could be used, with the same id and another text: the gate takes none of
    /// the two.
    pub fn not_doubled(&self, grant: &Grant, now: Timestamp) -> Result<(), Flaw> {
        // Where it cannot be read the gate takes none at all.
        let listing = file::read_all(&self.config.directory);
        let files = listing.map_or_else(|_unread| Vec::new(), |listing| listing.files);
        let id = grant.id.to_string();
        let texts = files.into_iter().filter_map(|(_name, text)| text.ok());
        let is_doubled = texts.filter(|text| text.contains(&id)).any(|text| {
            let signed = Signed::parse(&text).ok();
            let other = signed.filter(|it| it.grant.id == grant.id && it.grant != *grant);
            let other = other.and_then(|it| self.approved(it).ok());
            other.is_some_and(|it| it.grant.is_timely(now).is_ok())
        });
        match is_doubled.then_some(grant.id) {
            Some(id) => Err(Flaw::Doubled(id)),
            None => Ok(()),
        }
    }

    /// Checks everything but the time and the journal.
    pub fn approved(&self, signed: Signed) -> Result<Approved, Flaw> {
        self.asked(&signed)?;
        let approved_by = signed.approver(&self.config.approvers)?;
        Ok(Approved {
            note: signed.to_string(),
            digest: signed.grant.digest(),
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
