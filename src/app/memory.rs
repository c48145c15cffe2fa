//! What was in force of each bundle: told to those who load them, and kept for the next start.
//!
//! Of each name it is known what was in force under it last, and where in `data` that was: in the policies of a gate that
//! runs, else in `policies.state`, else in the sets of policies that are kept beside the journal. What the sets know beyond
//! the state counts, too, so that neither can be set back alone; but not what somebody went back from on purpose, which
//! stands in the state. What is in force is refused by nothing that is known: whatever would do so was gone back from, or is
//! itself in force under another name.

use anyhow::Context;

use super::generations;
use crate::bundles::{self, Remembered, WentBack};
use crate::config::Config;
use crate::policy::{Before, Policy, Release};
use crate::value::rfc3339_millis;

/// All that is known.
pub(super) fn known(config: &Config) -> anyhow::Result<Vec<Before>> {
    let state = &config.policies.state;
    let (remembered, went_back) = (remembered(config)?, WentBack::read(state)?);
    // Where nobody wrote what was gone back from, all sets count: a state that lost that file opens no way back.
    with_kept(config, remembered, &went_back.unwrap_or_default())
}

/// The same, as far as it can be read, and nothing where older ones may be taken: whoever reads them says why.
pub(super) fn known_or_nothing(config: &Config) -> Vec<Before> {
    match config.policies.allow_rollback {
        Some(_) => Vec::new(),
        None => known(config).unwrap_or_default(),
    }
}

/// What the state says.
fn remembered(config: &Config) -> anyhow::Result<Vec<Before>> {
    let bundles = &config.policies.bundles;
    let all = Remembered::all(&config.policies.state)?;
    let all = all.into_iter().map(|(name, remembered)| {
        let mut before = remembered.before(&name);
        // Of a bundle that has its place nobody needs to know more than its name. Another may be anywhere.
        if before.roots.is_empty() && !bundles.contains_key(&name) {
            before.roots = vec![String::new()];
        }
        before
    });
    Ok(all.collect())
}

/// And what the sets know that are kept, beyond what was gone back from.
fn with_kept(
    config: &Config,
    mut known: Vec<Before>,
    went_back: &WentBack,
) -> anyhow::Result<Vec<Before>> {
    let in_force: Vec<Before> = known.iter().filter(|it| it.is_in_force).cloned().collect();
    for release in generations::releases(&config.journal.directory)? {
        // What is in force now is measured by that alone: under another name it was not left, but is called otherwise.
        let is_renamed = in_force
            .iter()
            .any(|it| it.name != release.name && has_files(it, &release));
        if release.sequence.is_none() || went_back.has(&release) || is_renamed {
            continue;
        }
        let mut kept = Before::of(&release);
        kept.is_in_force = false;
        for it in known.iter_mut().filter(|it| kept.is_behind(it)) {
            // It was set back, perhaps to before a rename: what it says was in force last was not.
            it.is_in_force = false;
        }
        let sequence = |it: &Before| it.least.as_ref().map(|it| it.sequence);
        let mut is_known = false;
        for it in known.iter_mut().filter(|it| it.name == kept.name) {
            if it.roots == kept.roots {
                is_known = true;
                if sequence(it) < sequence(&kept) {
                    it.least.clone_from(&kept.least);
                }
            }
        }
        if !is_known {
            known.push(kept);
        }
    }
    Ok(known)
}

/// Whether it is the same, whatever it is called.
fn has_files(known: &Before, release: &Release) -> bool {
    let mut least = known.least.iter();
    least.any(|it| {
        let is_same = it.digest == release.digest || it.content == release.content;
        release.sequence == Some(it.sequence) && is_same
    })
}

/// What a gate has in force it knows better than anybody.
pub(super) fn add(known: &mut Vec<Before>, in_force: &Policy) {
    for before in &mut *known {
        before.is_in_force = false;
    }
    known.retain(|it| in_force.releases().all(|release| release.name != it.name));
    known.extend(in_force.releases().map(Before::of));
}

/// The bundles with a sequence of which nobody knows an earlier one: an older one would have been taken as well.
/// `in_force`: what was until now.
pub(super) fn without(
    config: &Config,
    policy: &Policy,
    in_force: Option<&Policy>,
) -> anyhow::Result<Vec<String>> {
    let mut known = known(config)?;
    if let Some(in_force) = in_force {
        add(&mut known, in_force);
    }
    let is_unknown = |release: &&Release| {
        let mut known = known.iter().filter(|it| it.least.is_some());
        release.sequence.is_some() && !known.any(|it| it.concerns(&release.name, &release.roots))
    };
    let without = policy.releases().filter(is_unknown);
    Ok(without.map(|release| release.name.clone()).collect())
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
    go_back(config, policy)?;
    let remembered: Vec<_> = policy
        .releases()
        .map(|release| remember_one(config, release))
        .collect();
    remembered.into_iter().collect::<anyhow::Result<()>>()?;
    forget(config, policy)
}

/// Remembers what would refuse what is in force now: it was gone back from, whether the state says why or a build before
/// did not know it.
fn go_back(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let policies = &config.policies;
    let (remembered, before) = (remembered(config)?, WentBack::read(&policies.state)?);
    let is_remote = |name: &str| {
        let mut bundles = policies.bundles.iter();
        bundles.any(|(it, bundle)| it.as_str() == name && bundle.remote().is_some())
    };
    let mut releases = policy.releases();
    if remembered.is_empty() && !releases.any(|it| it.sequence.is_some() || is_remote(&it.name)) {
        return Ok(());
    }
    let mut now = before.clone().unwrap_or_default();
    policy
        .releases()
        .for_each(|release| now.is_in_force(release));
    // Each by itself: of those between, each would refuse it.
    let kept = generations::releases(&config.journal.directory)?;
    let kept = kept.iter().filter(|release| !now.has(release));
    let kept: Vec<Before> = kept.map(Before::of).collect();
    for known in remembered.iter().chain(&kept) {
        // Two bundles that change their names leave nothing.
        let is_left = !policy.releases().any(|release| has_files(known, release));
        if is_left && policy.releases().any(|release| known.refuses(release)) {
            now.add(known);
        }
    }
    if before.as_ref() != Some(&now) {
        now.write(&policies.state)?;
    }
    Ok(())
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
        rego: release.has_rego,
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

/// Bundles that are not in force any more: nothing older may come in their place, however late. What somebody went back from
/// is forgotten.
fn forget(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let policies = &config.policies;
    let known = remembered(config)?;
    for (name, last) in Remembered::all(&policies.state)? {
        if policies.bundles.contains_key(&name) {
            continue;
        }
        let its = known.iter().find(|it| it.name == name.as_str());
        if its.is_some_and(|its| policy.releases().any(|release| its.refuses(release))) {
            Remembered::forget(&policies.state, &name).context("policies.state")?;
        } else if !last.gone {
            let gone = |last: Option<Remembered>| {
                Some(Remembered {
                    gone: true,
                    ..last?
                })
            };
            Remembered::change(&policies.state, &name, gone)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
