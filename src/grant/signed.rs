//! A grant with its signatures: a signed note.

use std::fmt;

use super::config::Approvers;
use super::flaw::Flaw;
use super::text::Grant;
use crate::audit::checkpoint::note::{Note, NoteError, PublicKey, Signature, SigningKey};

/// A text, and who has signed it. Whether the signatures hold is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub grant: Grant,
    note: Note,
}

/// Why somebody's signature is not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} has asked for it: somebody else has to approve it")]
    OwnRequest(String),
    #[error(
        "this is the key of {0}, who has asked for it, under another name: somebody else has to approve it"
    )]
    SameKey(String),
    #[error("{0} has signed it already")]
    Again(String),
}

impl Signed {
    /// Signs what was asked for.
    pub fn new(grant: Grant, key: &SigningKey) -> Self {
        let text = grant.to_text();
        let signatures = vec![key.sign(&text)];
        Self {
            grant,
            note: Note { text, signatures },
        }
    }

    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let note = Note::parse(text).map_err(|error| match error {
            NoteError::Long => Flaw::Long,
            NoteError::Key | NoteError::Name | NoteError::Note | NoteError::Private => {
                Flaw::NoGrant
            }
        })?;
        let grant = Grant::parse(&note.text)?;
        Ok(Self { grant, note })
    }

    /// Adds a second signature.
    pub fn approve(&mut self, key: &SigningKey) -> Result<(), Refused> {
        let (public, name) = (key.public(), key.name().to_owned());
        if name == self.grant.requested_by {
            return Err(Refused::OwnRequest(name));
        }
        for signature in &self.note.signatures {
            if public.is_named_by(signature) {
                return Err(Refused::Again(name));
            }
            if public.is_renamed_in(signature) {
                return Err(Refused::SameKey(signature.name().to_owned()));
            }
        }
        self.note.signatures.push(key.sign(&self.note.text));
        Ok(())
    }

    /// The keys that it says it is signed by.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.note.signatures.iter().map(Signature::name)
    }

    /// The key of whoever has asked for it, and has signed it. Every signature that claims to be of an approver has to be.
    pub(super) fn asked_by<'a>(&self, approvers: &'a Approvers) -> Result<&'a PublicKey, Flaw> {
        let requester = &self.grant.requested_by;
        let asked = approvers
            .named(requester)
            .ok_or_else(|| Flaw::UnknownRequester(requester.clone()))?;
        for signature in &self.note.signatures {
            let mut keys = approvers.keys().iter();
            let named = keys.find(|key| key.is_named_by(signature));
            if let Some(key) = named.filter(|key| key.signed(&self.note).is_none()) {
                return Err(Flaw::Forged(key.name().to_owned()));
            }
        }
        if asked.signed(&self.note).is_none() {
            return Err(Flaw::Unsigned(requester.clone()));
        }
        Ok(asked)
    }

    /// Who else has signed it, and so approves it.
    pub(super) fn approver(&self, approvers: &Approvers) -> Result<String, Flaw> {
        let asked = self.asked_by(approvers)?;
        let mut others = approvers.keys().iter();
        let other = others.find(|key| !key.is_same_key(asked) && key.signed(&self.note).is_some());
        let is_known =
            |signature: &&Signature| approvers.keys().iter().any(|it| it.is_named_by(signature));
        let stranger = self.note.signatures.iter().find(|it| !is_known(it));
        match (other, stranger) {
            (Some(other), _) => Ok(other.name().to_owned()),
            (None, Some(stranger)) => Err(Flaw::Stranger(stranger.key_id())),
            (None, None) => Err(Flaw::OnlyRequester(asked.name().to_owned())),
        }
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
