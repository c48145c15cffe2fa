//! Whether a bundle is older than the one that was in force, or another one with the same number.

use crate::policy::archive::manifest::{self, Manifest, Root};
use crate::policy::archive::signature;
use crate::policy::archive::{Archive, Refusal};
use crate::policy::source::packed::Release;

/// What was in force of a bundle: nothing older may take its place, and nothing else of the same number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Least {
    pub sequence: u64,
    /// Of the archive, as in [`Release`].
    pub digest: String,
    /// Of what is in it, as in [`Release`]; empty where nobody knows.
    pub content: String,
}

/// A bundle that was in force under a name that has none now: another with a part of what it owned may be the same, renamed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Former {
    pub name: String,
    /// What it owned, as in [`Release`].
    pub roots: Vec<String>,
    pub least: Least,
}

impl Former {
    /// Whether one that owns this owns a part of what it owned.
    pub fn overlaps(&self, roots: &[String]) -> bool {
        let others: Vec<Root> = roots.iter().map(|text| Root::of(text)).collect();
        let mut own = self.roots.iter().map(|text| Root::of(text));
        own.any(|own| others.iter().any(|other| own.overlaps(other.steps())))
    }

    /// Whether one that owns this owns all that it owned.
    pub fn is_within(&self, roots: &[String]) -> bool {
        let others: Vec<Root> = roots.iter().map(|text| Root::of(text)).collect();
        let mut own = self.roots.iter().map(|text| Root::of(text));
        own.all(|own| others.iter().any(|other| other.has(own.steps())))
    }

    pub(super) fn permit(&self, archive: &Archive, manifest: &Manifest) -> Result<(), Refusal> {
        if !self.overlaps(&manifest.shown_roots()) {
            return Ok(());
        }
        self.least.permit(archive, manifest).map_err(|refusal| {
            let about = format!(
                "the bundle {}, which owned a part of what this one owns, was in force under that name: {}",
                self.name, refusal.message
            );
            Refusal::of_file(manifest::NAME, about)
        })
    }
}

impl Least {
    /// The one of two that the other is older than. Of equals the first.
    #[must_use]
    pub fn of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.sequence > one.sequence => Some(other),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn permit(&self, archive: &Archive, manifest: &Manifest) -> Result<(), Refusal> {
        let Self { sequence, .. } = self;
        let next = sequence.saturating_add(1);
        let refused = |reason: String| {
            let ways = format!(
                "if it is new, build it with `--sequence {next}` or higher; to go back on purpose, say why in \
                 policies.allow_rollback"
            );
            Refusal::of_file(manifest::NAME, format!("{reason}; {ways}"))
        };
        let Some(own) = manifest.sequence else {
            return Err(refused(format!(
                "it has no sequence, and {sequence} was in force already: it is older"
            )));
        };
        if own < *sequence {
            return Err(refused(format!(
                "its sequence is {own}, and {sequence} was in force already: it is older"
            )));
        }
        if own == *sequence && !self.is_the_same(archive) {
            return Err(refused(format!(
                "its sequence is {own}, as that of what was in force, and its files are others: which of them is older \
                 nobody can tell"
            )));
        }
        Ok(())
    }

    /// Somebody may have signed the same files again.
    fn is_the_same(&self, archive: &Archive) -> bool {
        self.digest == archive.digest || self.content == content(archive)
    }
}

impl Release {
    /// What may not be older. `None`: it does not say how old it is.
    pub fn least(&self) -> Option<Least> {
        self.sequence.map(|sequence| Least {
            sequence,
            digest: self.digest.clone(),
            content: self.content.clone(),
        })
    }
}

/// SHA-256 of what is in a bundle, its signature aside.
pub(super) fn content(archive: &Archive) -> String {
    archive.content_without(signature::NAME)
}
