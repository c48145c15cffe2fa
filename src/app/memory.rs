//! What was in force of each bundle: told to those who load them, and kept for the next start.
//!
//! Two places know it: `policies.state`, and the sets of policies that are kept beside the journal. The one that knows the
//! later bundle counts, so that neither can be set back alone. What was gone back to on purpose stands in the newest set.

use std::collections::BTreeMap;

use anyhow::Context;

use super::generations;
use crate::bundles::{self, Name, Remembered};
use crate::config::Config;
use crate::policy::{Former, Least, Packed, Policy, Release};
use crate::value::rfc3339_millis;

/// What may not be older of one bundle.
#[derive(Default)]
pub(super) struct Memory {
    /// `None`: nobody knows any of it.
    pub(super) least: Option<Least>,
    /// Others that have no place in the configuration, where nothing is known of this one.
    pub(super) formers: Vec<Former>,
}

/// What is known of them.
pub(super) struct Known<'a> {
    config: &'a Config,
    /// Of each the highest that is kept, once it is asked for.
    highest: Option<BTreeMap<String, Least>>,
    formers: Option<Vec<Former>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            highest: None,
            formers: None,
        }
    }

    /// Of one bundle.
    pub(super) fn of(&mut self, name: &Name) -> anyhow::Result<Memory> {
        let least = self.least(name)?;
        let formers = match least {
            Some(_) => Vec::new(),
            None => self.formers().to_vec(),
        };
        Ok(Memory { least, formers })
    }

    /// Of all, as far as it can be read; nothing where older ones may be taken.
    pub(super) fn all(mut self) -> BTreeMap<Name, Least> {
        let policies = &self.config.policies;
        let is_wanted = policies.allow_rollback.is_none();
        let names = policies.bundles.keys().filter(|_| is_wanted);
        let known = names.filter_map(|name| Some((name.clone(), self.least(name).ok()??)));
        known.collect()
    }

    fn least(&mut self, name: &Name) -> anyhow::Result<Option<Least>> {
        let journal = &self.config.journal.directory;
        let remembered = Remembered::read(&self.config.policies.state, name)?;
        let Some(remembered) = remembered else {
            let highest = self
                .highest
                .get_or_insert_with(|| generations::newest_releases(journal));
            return Ok(highest.get(name.as_str()).cloned());
        };
        let last = generations::last_release(journal, name.as_str());
        let last = last.as_ref().and_then(Release::least);
        Ok(Least::of(remembered.least(), last))
    }

    fn formers(&mut self) -> &[Former] {
        let config = self.config;
        self.formers.get_or_insert_with(|| {
            let names: Vec<&Name> = config.policies.bundles.keys().collect();
            let mut formers = Remembered::others(&config.policies.state, &names);
            let kept = generations::last_releases(&config.journal.directory);
            let is_other = |it: &&Release| !names.iter().any(|name| name.as_str() == it.name);
            let others = kept.iter().filter(is_other);
            formers.extend(others.filter_map(former));
            formers
        })
    }
}

fn former(release: &Release) -> Option<Former> {
    Some(Former {
        name: release.name.clone(),
        roots: release.roots.clone(),
        least: release.least()?,
    })
}

/// Bundles are no older than those that are in force, whatever is remembered.
pub(super) fn add(bundles: &mut [Packed], in_force: &mut dyn Iterator<Item = &Release>) {
    for release in in_force {
        if let Some(bundle) = bundles.iter_mut().find(|it| it.name == release.name) {
            bundle.least = Least::of(release.least(), bundle.least.take());
            continue;
        }
        for bundle in bundles.iter_mut().filter(|it| it.least.is_none()) {
            bundle.formers.extend(former(release));
        }
    }
}

/// The bundles with a sequence of which nobody knows an earlier one: an older one would have been taken as well.
/// `in_force`: what was until now.
pub(super) fn without(
    config: &Config,
    policy: &Policy,
    in_force: Option<&Policy>,
) -> anyhow::Result<Vec<String>> {
    let mut known = Known::new(config);
    let mut without = Vec::new();
    for release in policy.releases().filter(|it| it.sequence.is_some()) {
        let mut names = config.policies.bundles.keys();
        let Some(name) = names.find(|name| name.as_str() == release.name) else {
            continue;
        };
        // What may be gone behind is known all the same.
        let memory = known.of(name)?;
        let is_measured = |former: Former| former.overlaps(&release.roots);
        let before = in_force.into_iter().flat_map(Policy::releases);
        let mut before = before.filter(|it| it.sequence.is_some());
        let is_known = memory.least.is_some()
            || memory.formers.into_iter().any(is_measured)
            || before.any(|it| it.name == release.name || former(it).is_some_and(is_measured));
        if !is_known {
            without.push(release.name.clone());
        }
    }
    Ok(without)
}

/// Right when a gate starts for the first time, or has a new bundle, and never again.
pub(super) fn say_without(names: &[String], policy: &Policy) {
    for release in policy.releases().filter(|it| names.contains(&it.name)) {
        tracing::warn!(
            name = %release.name,
            sequence = release.sequence,
            "nobody knows a sequence of this bundle that was in force before: an older bundle would have been taken, too"
        );
    }
}

/// Remembers which bundles are in force: after this, older ones are refused. One that cannot be remembered keeps no
/// other from it; the first of them is told.
pub(super) fn remember(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let remembered: Vec<_> = policy
        .releases()
        .map(|release| remember_one(config, release))
        .collect();
    remembered.into_iter().collect::<anyhow::Result<()>>()?;
    forget(config, policy)
}

fn remember_one(config: &Config, release: &Release) -> anyhow::Result<()> {
    let policies = &config.policies;
    let named = policies.bundles.iter();
    let mut named = named.filter(|(name, _)| name.as_str() == release.name);
    let Some((name, bundle)) = named.next() else {
        return Ok(());
    };
    let mut now = Remembered {
        digest: release.digest.clone(),
        revision: release.revision.clone(),
        sequence: release.sequence,
        content: release.content.clone(),
        roots: release.roots.clone(),
        ..Remembered::default()
    };
    // First what the next start takes: it must not be older than what is remembered.
    now.vouched = bundles::in_force(&policies.state, name, &policies.bundles, release)
        .context("policies.state")?;
    Remembered::change(&policies.state, name, |before| {
        let is_to_know = before.is_some() || now.sequence.is_some() || bundle.remote().is_some();
        let same = before.filter(|before| before.digest == now.digest);
        now.since = same.as_ref().and_then(|same| same.since.clone());
        now.vouched = now
            .vouched
            .take()
            .or_else(|| same.and_then(|same| same.vouched));
        now.since
            .get_or_insert_with(|| rfc3339_millis(super::now()));
        is_to_know.then_some(now)
    })?;
    Ok(())
}

/// Forgets bundles that others have taken the place of: what owns all that they owned and is no older, or what somebody
/// went back to on purpose.
fn forget(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let policies = &config.policies;
    let names: Vec<&Name> = policies.bundles.keys().collect();
    for former in Remembered::others(&policies.state, &names) {
        let is_replaced = |release: &Release| match &policies.allow_rollback {
            Some(_) => former.overlaps(&release.roots),
            None => {
                former.is_within(&release.roots) && release.sequence >= Some(former.least.sequence)
            }
        };
        if policy.releases().any(is_replaced) {
            Remembered::forget(&policies.state, &former.name).context("policies.state")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
