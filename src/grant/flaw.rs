//! Why something is no grant that can be used, in words for whoever asks.

use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

use crate::value::{Duration, Visible};

/// Nothing of a file is repeated but names and numbers that were read out of a well-formed grant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    #[error("it cannot be read: {0}")]
    Unread(String),
    #[error("it is longer than any grant")]
    Long,
    #[error("it is no grant: `dtgate grant request` writes one")]
    NoGrant,
    #[error("it is not written as dtgate writes it: it was edited")]
    Form,
    #[error("{0} is empty, too long, or has what cannot be shown")]
    Text(&'static str),
    #[error(
        "it is for the gate {}, and this one is {}",
        Visible(found),
        Visible(here)
    )]
    OtherGate { found: String, here: String },
    #[error("{} has asked for it, and is none of grants.approvers", Visible(.0))]
    UnknownRequester(String),
    #[error("the signature of {} is not of this text: it was edited after that", Visible(.0))]
    Forged(String),
    #[error("{} has asked for it, and has not signed it", Visible(.0))]
    Unsigned(String),
    #[error("only {} has signed it: somebody else has to approve it", Visible(.0))]
    OnlyRequester(String),
    #[error("it is signed by {}, who is none of grants.approvers", Visible(.0))]
    Stranger(String),
    #[error("it would be good for longer than grants.longest, {0}")]
    TooLong(Duration),
    #[error("it was asked for at {0}, which is to come: one of the clocks is wrong")]
    Early(Timestamp),
    #[error("it ended at {0}")]
    Ended(Timestamp),
    #[error(
        "another grant has its id, {0}, and says something else: none of the two can be used, ask for another one"
    )]
    Doubled(Uuid),
    #[error("it was used, by decision {}", Visible(.0))]
    Used(String),
    #[error(
        "decision {} has it, and whether that was recorded is not known yet: the journal has to work again first",
        Visible(.0)
    )]
    InDoubt(String),
    #[error("whether it was used cannot be read in the journal: {0}")]
    Journal(String),
    #[error("it is for another journal: record {0} of this one is not the one that it names")]
    OtherJournal(u64),
    #[error(
        "the journal has record {0} no more, behind which it could have been used: ask for another one"
    )]
    Pruned(u64),
    #[error("too much was recorded since it was asked for: ask for another one")]
    TooFar,
}
