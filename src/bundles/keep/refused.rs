//! What becomes of bundles that came: they are in force, or put aside and tried again.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bundles, Downloads, REFUSED, lock};
use crate::bundles::Name;
use crate::bundles::aside::Aside;
use crate::bundles::fetch::Answer;
use crate::bundles::stored::Stored;
use crate::policy::Policy;
use crate::value::Sha256Hex;

impl Downloads {
    /// Why what came is not tried yet. An answer that says something else ends it that it was put aside.
    pub(super) fn refused(&self, name: &Name, answer: &Answer) -> Option<String> {
        let digest = match answer {
            Answer::Bundle(fetched) => Some(Sha256Hex::of(&fetched.bytes)),
            Answer::Unchanged => None,
        };
        let mut all = lock(&self.told);
        let told = all.get_mut(name)?;
        let aside = told.aside.as_ref()?;
        if digest.is_none_or(|digest| digest.as_str() != aside.digest) {
            told.aside = None;
            self.came.notify_one();
            return None;
        }
        let (mut trying, now) = (lock(&self.trying), Instant::now());
        if !aside.is_due() || trying.is_some_and(|until| until > now) {
            return Some(format!("{REFUSED} was refused: {}", aside.reason));
        }
        *trying = Some(now + LONGEST_TRY);
        None
    }

    /// The bundles that came and are not in force, by name and digest.
    pub fn waiting(state: &Path, bundles: &Bundles, in_force: &Policy) -> Vec<(Name, String)> {
        let remote = bundles.iter().filter(|(_, it)| it.remote().is_some());
        let waiting = remote.filter_map(|(name, config)| {
            let stored = Stored::new(state, name, config, false);
            let digest = stored.waiting(digest(in_force, name))?;
            Some((name.clone(), digest))
        });
        waiting.collect()
    }

    /// These are refused: what is in force is read in their place, so that other files can change without them.
    pub fn put_aside(
        &self,
        state: &Path,
        bundles: &Bundles,
        in_force: &Policy,
        waiting: &[(Name, String)],
        reason: &str,
    ) {
        *lock(&self.trying) = None;
        for (name, refused) in waiting {
            let Some(config) = bundles.get(name) else {
                continue;
            };
            let stored = Stored::new(state, name, config, false);
            let in_force = digest(in_force, name);
            if stored.waiting(in_force).as_ref() != Some(refused) {
                continue;
            }
            let restored = stored.put_back(in_force);
            if let (Ok(true), Some(told)) = (restored, lock(&self.told).get_mut(name)) {
                told.aside = Some(Aside::new(told.aside.as_ref(), refused, reason));
            }
        }
    }

    /// These were put aside together, or with other files that are refused: each may be right by itself.
    pub fn put_aside_with_others(&self, waiting: &[(Name, String)]) {
        let mut all = lock(&self.told);
        for (name, refused) in waiting {
            let told = all.get_mut(name).and_then(|told| told.aside.as_mut());
            if let Some(aside) = told.filter(|aside| aside.digest == *refused) {
                aside.with_others = true;
            }
        }
    }

    /// Whether a bundle is put aside.
    pub fn holds_refused(&self) -> bool {
        lock(&self.told).values().any(|told| told.aside.is_some())
    }

    /// Nothing else is refused any more: those that were put aside with others are tried, one after the other.
    pub fn try_those_with_others(&self) {
        self.try_those(|aside| aside.with_others);
    }

    /// Somebody wants them tried.
    pub fn try_all(&self) {
        self.try_those(|_| true);
    }

    fn try_those(&self, wanted: impl Fn(&Aside) -> bool) {
        let mut all = lock(&self.told);
        let aside = all.values_mut().filter_map(|told| told.aside.as_mut());
        let wanted: Vec<&mut Aside> = aside.filter(|aside| wanted(aside)).collect();
        if !wanted.is_empty() {
            wanted.into_iter().for_each(Aside::try_now);
            self.again.notify_waiters();
        }
    }

    /// Something else is in force: bundles that were put aside are tried again when they come.
    pub fn are_in_force(&self, policy: &Policy) {
        *lock(&self.trying) = None;
        let mut held = false;
        for (name, told) in lock(&self.told).iter_mut() {
            held |= told.aside.take().is_some();
            let in_force = digest(policy, name);
            let came = told.came.take_if(|came| Some(&*came.0) == in_force);
            told.last_success = came.map(|(_, moment)| moment).or(told.last_success);
        }
        if held {
            self.again.notify_waiters();
        }
    }
}

/// The digest of a bundle that is in force.
fn digest<'a>(in_force: &'a Policy, name: &Name) -> Option<&'a str> {
    let release = in_force.releases().find(|it| it.name == name.as_str());
    release.map(|release| release.digest.as_str())
}

/// How long one that was put aside is tried, before another is.
const LONGEST_TRY: Duration = Duration::from_mins(1);
