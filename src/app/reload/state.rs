//! What judges now, and what operators are told of it.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::app::configured::configured;
use crate::app::now;
use crate::config::Config;
use crate::dynatrace::token::HashKey;
use crate::gateway::Set;
use crate::identity::Tokens;
use crate::policy::Policy;
use crate::value::rfc3339_millis;

/// What judges now, since when, and how the last attempt to change that went.
pub(in crate::app) struct State {
    pub(in crate::app) in_force: ArcSwap<InForce>,
    last: Mutex<Option<Last>>,
    /// The files hold something that was refused.
    pub(super) is_refused: AtomicBool,
    /// Fetches the keys of issuers before they are too old.
    keys: Mutex<Option<AbortHandle>>,
    /// Names credentials that have no public part.
    pub(super) key: HashKey,
    /// Bundles of which no sequence was known when they were put in force.
    without_memory: Mutex<Vec<String>>,
    /// Why a start would not know which bundles are in force.
    unremembered: Mutex<Option<String>>,
    started: Timestamp,
}

/// A set and the configuration that it was made of.
pub(in crate::app) struct InForce {
    pub(in crate::app) set: Arc<Set>,
    pub(in crate::app) config: Config,
    pub(super) since: Timestamp,
}

/// The last time that files were read again.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) at: Timestamp,
    pub(super) trigger: Trigger,
    /// What is not as it was, or why nothing changed.
    pub(super) came_to: Result<Vec<&'static str>, String>,
    /// What needs a restart.
    pub(super) restart: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trigger {
    /// One was fetched.
    Bundle,
    Signal,
    Watch,
}

impl State {
    pub(in crate::app) fn new(
        set: Arc<Set>,
        config: Config,
        key: HashKey,
        without_memory: Vec<String>,
    ) -> Self {
        let since = now();
        Self {
            in_force: ArcSwap::from_pointee(InForce { set, config, since }),
            last: Mutex::default(),
            is_refused: AtomicBool::default(),
            keys: Mutex::default(),
            key,
            without_memory: Mutex::new(without_memory),
            unremembered: Mutex::default(),
            started: since,
        }
    }

    pub(in crate::app) fn policy(&self) -> Policy {
        self.in_force.load().set.policy().clone()
    }

    /// What operators are told of it.
    pub(in crate::app) fn to_json(&self) -> Map<String, Value> {
        let now = now();
        let in_force = self.in_force.load_full();
        let policy = in_force.set.policy();
        let names: Vec<&str> = policy.names().collect();
        let reload = in_force.config.reload;
        let configured = configured(&in_force.config, &in_force.set, &self.key, Map::new());
        let last = lock(&self.last);
        let told = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": rfc3339_millis(self.started),
            "generation": in_force.set.generation(),
            "since": rfc3339_millis(in_force.since),
            "age_seconds": now.as_second().saturating_sub(in_force.since.as_second()).max(0),
            "policies": {
                "revision": policy.revision(),
                "names": names,
                "bundles": configured.bundles,
                "without_memory": *lock(&self.without_memory),
                "without_sequence": without_sequence(&in_force),
                "unremembered": *lock(&self.unremembered),
                "judged_by": policy.trusted(),
            },
            "issuers": issuers(in_force.set.tokens()),
            "client_certificates": configured.client_certificates,
            "credentials": configured.credentials,
            "reload": {
                "watch": reload.watch,
                "interval": reload.interval.to_string(),
                "require_tests": reload.require_tests,
                "refused": self.is_refused.load(Relaxed),
                "last": last.as_ref().map(Last::to_json),
            },
        });
        match told {
            Value::Object(told) => told,
            _ => Map::new(),
        }
    }

    /// Keeps the keys of the issuers that are in force now, and of no others.
    ///
    /// Has to be called within a tokio runtime.
    pub(in crate::app) fn keep_keys(&self) {
        let tokens = self.in_force.load().set.tokens().clone();
        let keeping = tokio::spawn(async move { tokens.keep().await }).abort_handle();
        let mut keys = lock(&self.keys);
        if let Some(before) = keys.replace(keeping) {
            before.abort();
        }
    }

    pub(super) fn tell(&self, last: Last) {
        *lock(&self.last) = Some(last);
    }

    /// Of these bundles, which are in force from here on, nobody knows an earlier one.
    pub(super) fn more_without_memory(&self, more: &[String], policy: &Policy) {
        let mut without = lock(&self.without_memory);
        without.retain(|name| policy.releases().any(|it| it.name == *name));
        without.extend_from_slice(more);
        without.sort_unstable();
        without.dedup();
    }

    /// Whether a start would know which bundles are in force, and why not.
    pub(super) fn tell_remembered(&self, remembered: Result<(), String>) {
        *lock(&self.unremembered) = remembered.err();
    }
}

/// For the line that the service manager shows.
impl fmt::Display for InForce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, revision) = (self.set.generation(), self.set.policy().revision());
        write!(out, "serving, generation {generation}, policies {revision}")
    }
}

impl Last {
    fn to_json(&self) -> Value {
        let mut told = Map::new();
        told.insert("at".to_owned(), json!(rfc3339_millis(self.at)));
        told.insert("trigger".to_owned(), json!(self.trigger.as_str()));
        told.insert("ok".to_owned(), json!(self.came_to.is_ok()));
        match &self.came_to {
            Ok(changed) => told.insert("changed".to_owned(), json!(changed)),
            Err(error) => told.insert("error".to_owned(), json!(error)),
        };
        told.insert("restart".to_owned(), json!(self.restart));
        Value::Object(told)
    }
}

impl Trigger {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Signal => "signal",
            Self::Watch => "watch",
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bundles that are signed, and that do not say how old they are: older ones are signed as well.
fn without_sequence(in_force: &InForce) -> Vec<&str> {
    let releases = in_force.set.policy().releases();
    let without = releases.filter(|release| in_force.config.policies.is_ageless(release));
    without.map(|release| release.name.as_str()).collect()
}

/// How the keys of each issuer of tokens are.
fn issuers(tokens: &Tokens) -> Vec<Value> {
    let health = tokens.health().into_iter();
    let told = health.map(|issuer| {
        json!({
            "name": issuer.name.as_str(),
            "usable": issuer.usable,
            "keys": issuer.keys,
            "age_seconds": issuer.age.map(|age| age.as_secs()),
            "failure": issuer.failure,
        })
    });
    told.collect()
}
