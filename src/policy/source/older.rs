//! Whether a bundle is older than the one that was in force, or another one with the same number.

use crate::policy::archive::manifest::{self, Manifest, Root};
use crate::policy::archive::signature;
use crate::policy::archive::{Archive, Refusal};
use crate::policy::source::files::Kind;
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

/// What is known of a bundle that was in force. One that has its name, or owns a part of what it owned, may be the same:
/// nothing older is taken in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Before {
    pub name: String,
    /// What it owned, as in [`Release`].
    pub roots: Vec<String>,
    /// `None`: it did not say how old it is.
    pub least: Option<Least>,
    /// Whether it had policies, as in [`Release`].
    pub has_rego: bool,
    /// It was in force last: the same is no older, whatever it is called now.
    pub is_in_force: bool,
}

impl Before {
    /// Of one that is in force.
    pub fn of(release: &Release) -> Self {
        Self {
            name: release.name.clone(),
            roots: release.roots.clone(),
            least: release.least(),
            has_rego: release.has_rego,
            is_in_force: true,
        }
    }

    /// Whether one of this name that owns this may be the same.
    pub fn concerns(&self, name: &str, roots: &[String]) -> bool {
        self.name == name || self.overlaps(roots)
    }

    /// Whether one that owns this owns a part of what it owned.
    pub fn overlaps(&self, roots: &[String]) -> bool {
        let others: Vec<Root> = roots.iter().map(|text| Root::of(text)).collect();
        let mut own = self.roots.iter().map(|text| Root::of(text));
        own.any(|own| others.iter().any(|other| own.overlaps(other.steps())))
    }

    /// Whether that is older, by all that is known.
    pub fn refuses(&self, release: &Release) -> bool {
        let is_same =
            |least: &Least| least.digest == release.digest || least.content == release.content;
        let mut least = self.least.iter();
        self.concerns(&release.name, &release.roots)
            && least.any(|it| it.refusal(release.sequence, || is_same(it)).is_some())
    }

    /// Whether this was in force behind that, by all that is known: that would be refused as older, or as another one with
    /// the same number.
    pub fn is_behind(&self, that: &Self) -> bool {
        let own = that.least.as_ref().map(|it| it.sequence);
        let is_same = |least: &Least| {
            let mut that = that.least.iter();
            that.any(|it| least.digest == it.digest || least.content == it.content)
        };
        let mut least = self.least.iter();
        self.concerns(&that.name, &that.roots)
            && least.any(|it| it.refusal(own, || is_same(it)).is_some())
    }

    /// Whether one that owns this owns all that it owned.
    fn is_within(&self, roots: &[String]) -> bool {
        let others: Vec<Root> = roots.iter().map(|text| Root::of(text)).collect();
        let mut own = self.roots.iter().map(|text| Root::of(text));
        own.all(|own| others.iter().any(|other| other.has(own.steps())))
    }

    fn permit(&self, name: &str, archive: &Archive, manifest: &Manifest) -> Result<(), Refusal> {
        let roots = manifest.shown_roots();
        if !self.concerns(name, &roots) {
            return Ok(());
        }
        let takes_its_place = self.name == name || self.is_within(&roots);
        if self.is_in_force && self.has_rego && takes_its_place && !has_rego(archive) {
            return Err(Refusal::new(NO_REGO));
        }
        let Some(least) = &self.least else {
            return Ok(());
        };
        let refusal = least.refusal(manifest.sequence, || least.is_the_same(archive));
        let Some(reason) = refusal else {
            return Ok(());
        };
        let about = if self.name == name {
            reason
        } else {
            let other = &self.name;
            format!(
                "the bundle {other}, which owned a part of what this one owns, was in force under that name: {reason}"
            )
        };
        Err(Refusal::of_file(manifest::NAME, about))
    }
}

/// Refuses a bundle of this name that is older than what was in force before.
pub(super) fn permit(
    name: &str,
    before: &[Before],
    archive: &Archive,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    let mut in_force = before.iter().filter(|it| it.is_in_force);
    if in_force.any(|it| it.least.as_ref().is_some_and(|it| it.is_the_same(archive))) {
        return Ok(());
    }
    before
        .iter()
        .try_for_each(|it| it.permit(name, archive, manifest))
}

/// Whether a bundle has policies, or what they share.
pub(super) fn has_rego(archive: &Archive) -> bool {
    let mut names = archive.files.keys();
    names.any(|name| matches!(Kind::of(name), Kind::Policy))
}

const NO_REGO: &str = "it has no Rego, and what was in force had some: all its policies would be gone; if that is meant, say why \
                       in policies.allow_rollback";

impl Least {
    /// The one of two that the other is older than. Of equals the first.
    #[must_use]
    pub fn of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.sequence > one.sequence => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// Why one of this sequence is refused. `is_the_same`: whether its files are those that were in force.
    fn refusal(&self, own: Option<u64>, is_the_same: impl Fn() -> bool) -> Option<String> {
        let Self { sequence, .. } = self;
        let next = sequence.saturating_add(1);
        let reason = match own {
            None => format!("it has no sequence, and {sequence} was in force already: it is older"),
            Some(own) if own < *sequence => {
                format!("its sequence is {own}, and {sequence} was in force already: it is older")
            }
            Some(own) if own == *sequence && !is_the_same() => format!(
                "its sequence is {own}, as that of what was in force, and its files are others: which of them is older \
                 nobody can tell"
            ),
            Some(_) => return None,
        };
        Some(format!(
            "{reason}; if it is new, build it with `--sequence {next}` or higher; to go back on purpose, say why in \
             policies.allow_rollback"
        ))
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
