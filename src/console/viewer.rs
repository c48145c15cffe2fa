//! Who looks on, and what they may see.

use super::session::hash;
use crate::listener::Certificate;

/// Somebody who looks on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Viewer {
    /// As they are greeted.
    pub(super) name: String,
    /// Whose share of all places is theirs; `None`: nobody in particular.
    pub(super) person: Option<Person>,
    /// Sees names and ids of tokens and callers.
    pub(super) is_auditor: bool,
    /// May judge requests by policies of their own.
    pub(super) is_author: bool,
    /// Has logged in by a session, which can be ended.
    pub(super) has_session: bool,
    /// A hash of the line that lets them in, where a file does: who has another one is somebody else.
    pub(super) line: Option<[u8; 32]>,
}

/// Somebody who is told apart from all others: by how they show who they are, and as whom. Not by how they are greeted, which
/// two may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Person([u8; 32]);

impl Person {
    pub(super) fn by_password(name: &str) -> Self {
        Self::of(&["password", name])
    }

    /// The same after the certificate is renewed.
    pub(super) fn by_certificate(certificate: &Certificate) -> Self {
        Self::of(&["certificate", &certificate.holder().to_string()])
    }

    pub(super) fn by_issuer(issuer: &str, subject: &str) -> Self {
        Self::of(&["oidc", issuer, subject])
    }

    /// What is quoted is not mistaken for two.
    fn of(parts: &[&str]) -> Self {
        Self(hash(&format!("{parts:?}")))
    }
}

impl Viewer {
    /// Whoever comes, where nobody has to log in.
    pub(super) fn anybody() -> Self {
        Self {
            name: String::new(),
            person: None,
            is_auditor: true,
            is_author: true,
            has_session: false,
            line: None,
        }
    }

    /// Somebody who has not logged in.
    pub(super) fn nobody() -> Self {
        Self {
            name: String::new(),
            person: None,
            is_auditor: false,
            is_author: false,
            has_session: false,
            line: None,
        }
    }

    /// A name or an id, as this viewer may see it.
    pub(super) fn sees<'a>(&self, name: &'a str) -> &'a str {
        if self.is_auditor || name.is_empty() {
            name
        } else {
            HIDDEN
        }
    }
}

/// Stands for what only auditors see.
pub(super) const HIDDEN: &str = "•••";
