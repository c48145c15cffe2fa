//! What requests are read, judged and forwarded by. A reload makes another set and swaps it for the old one as a whole:
//! a request has one from its head to its end.

use std::sync::Arc;

use super::environment::Environments;
use super::limits::{Admission, Config};
use super::lookup::Lookup;
use super::{UnknownWrites, reads_envoy};
use crate::dynatrace::catalogue::Catalogue;
use crate::grant;
use crate::identity::{Proofs, Teams, Tokens, forwarded};
use crate::policy::Policy;
use crate::telemetry::Load;

/// One set. Whatever is in it was checked.
pub struct Set {
    /// Counts them: the first has 0.
    pub(super) generation: u64,
    pub(super) limits: Config,
    pub(super) admission: Admission,
    pub(super) catalogue: Catalogue,
    /// Every thread has twins of them.
    pub(super) environments: Environments,
    pub(super) lookup: Lookup,
    pub(super) policy: Policy,
    /// Whether a policy reads the request in the shape of OPA-Envoy.
    pub(super) reads_envoy: bool,
    /// Whether a policy reads what callers did before.
    pub(super) reads_recent: bool,
    pub(super) unknown_writes: UnknownWrites,
    pub(super) tokens: Tokens,
    pub(super) forwarded: forwarded::Config,
    pub(super) teams: Teams,
    /// What a caller is told who has proven nothing.
    pub(super) proofs: Proofs,
    /// Whose grants are good.
    pub(super) grants: Option<Arc<grant::Config>>,
}

/// What a set is made of.
pub struct Wanted {
    pub limits: Config,
    pub catalogue: Catalogue,
    pub environments: Environments,
    pub lookup: Lookup,
    pub policy: Policy,
    pub unknown_writes: UnknownWrites,
    /// Whose tokens are believed.
    pub tokens: Tokens,
    /// Which proxies are.
    pub forwarded: forwarded::Config,
    pub teams: Teams,
    pub proofs: Proofs,
    pub grants: Option<grant::Config>,
}

impl Wanted {
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

impl Set {
    /// `before`: the set that it takes the place of. What requests hold of the same limits they go on holding, and
    /// tokens that are being changed stay taken.
    pub fn new(wanted: Wanted, before: Option<&Self>) -> Arc<Self> {
        let Wanted {
            limits,
            catalogue,
            environments,
            lookup,
            policy,
            unknown_writes,
            tokens,
            forwarded,
            teams,
            proofs,
            grants,
        } = wanted;
        let same = before.filter(|before| before.limits == limits);
        Arc::new(Self {
            generation: before.map_or(0, |before| before.generation + 1),
            admission: same.map_or_else(
                || Admission::new(&limits),
                |before| before.admission.clone(),
            ),
            limits,
            catalogue,
            environments,
            lookup: lookup.after(before.map(|before| &before.lookup)),
            reads_envoy: reads_envoy(&policy),
            reads_recent: policy.reads_recent(),
            policy,
            unknown_writes,
            tokens,
            forwarded,
            teams,
            proofs,
            grants: grants.map(Arc::new),
        })
    }

    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is not as it was although the configuration is: the contents of files.
    pub fn changed_since(&self, before: &Self) -> Vec<&'static str> {
        let contents = [
            (
                self.environments.lead_elsewhere(&before.environments),
                "upstream",
            ),
            (
                self.environments.show_others(&before.environments),
                "credential",
            ),
            (!self.tokens.is_like(&before.tokens), "identity"),
            (!self.lookup.is_like(&before.lookup), "lookup"),
            (
                self.policy.revision() != before.policy.revision(),
                "policies",
            ),
        ];
        let changed = contents.into_iter().filter(|(differs, _)| *differs);
        changed.map(|(_, what)| what).collect()
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn teams(&self) -> &Teams {
        &self.teams
    }

    pub fn grants(&self) -> Option<&Arc<grant::Config>> {
        self.grants.as_ref()
    }

    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What requests hold.
    pub fn load(&self) -> Load {
        self.admission.load()
    }
}
