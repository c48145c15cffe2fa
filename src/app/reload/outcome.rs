//! What becomes of files that were read: they are in force, or refused, and everybody is told.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::state::{InForce, Last, Trigger};
use super::{Fresh, Made, Reloader, off_thread};
use crate::app::prove::prove;
use crate::app::{configured, export, generations, load, memory, now, say_bundles};
use crate::audit;
use crate::audit::event::{self, Event, Record};
use crate::audit::pseudonym::Pseudonyms;
use crate::bundles;
use crate::config::Config;
use crate::gateway::Set;
use crate::policy::{AnswersFor, Policy, Release, suite};
use crate::telemetry::Limit;
use crate::value::rfc3339_millis;

impl Reloader {
    /// Gives the record back that could not be written.
    pub(super) async fn put_in_force(
        &self,
        fresh: Fresh,
        renewed: Vec<&'static str>,
        trigger: Trigger,
    ) -> Option<Record> {
        let running = self.state.in_force.load_full();
        let Fresh {
            config,
            wanted,
            restart,
            tested: _,
            made,
        } = fresh;
        let overridden = load::overridden(&config, wanted.catalogue());
        let set = Set::new(wanted, Some(&running.set));
        let changed = changed(&running, &config, &set, renewed);
        let without = without_memory(&config, &set, &running.set).await;
        let kept = keep_generation(&config, &set).await;
        // Before it judges: whatever happens then, a start knows it.
        self.remember(&config, &set).await;
        load::say_doubts(&config, &set);
        let mut configured = configured::configured(&config, &set, &self.state.key, overridden);
        configured.kept = kept;
        configured.pseudonyms = self.audit.pseudonyms().map(Pseudonyms::told);
        if changed.contains(&"credential") || changed.contains(&"identity") {
            configured::say(&configured);
        }
        let at = now();
        let record = Event::Reload(event::Reload {
            timestamp: rfc3339_millis(at),
            trigger: trigger.as_str(),
            ok: true,
            generation: set.generation(),
            from: running.set.policy().revision().to_owned(),
            to: Some(set.policy().revision().to_owned()),
            changed: changed.clone(),
            restart: restart.clone(),
            gone: say_what_goes(running.set.policy(), set.policy()),
            configured,
            error: None,
        })
        .record();
        let limits = (config.limits != running.config.limits).then_some(config.limits);
        let by = audit::InForce {
            generation: set.generation(),
            revision: set.policy().revision().into(),
            mask: set.policy().mask().cloned(),
        };
        // Before: no request is under way for longer than others wait.
        self.hold_turns(&config);
        let placed = self.audit.replaced(record.clone(), by, || {
            for service in &self.services {
                service.swap(set.clone());
            }
            let (set, config, since) = (set.clone(), config.clone(), at);
            self.state
                .in_force
                .store(Arc::new(InForce { set, config, since }));
        });
        let recorded = placed.await;
        if let Some(limits) = limits {
            self.ledger.renew(&limits);
        }
        self.is_placed(&set, at);
        say_what_is_in_force(made, trigger, &set, &changed);
        if changed.contains(&"policies") {
            say_bundles(&config, set.policy());
        }
        memory::say_without(&without, set.policy());
        self.state.more_without_memory(&without, set.policy());
        // Behind it: how old a bundle is stands there.
        self.keep_bundles().await;
        say_what_needs_a_restart(&restart);
        self.prove_again(&running);
        self.state.tell(Last {
            at,
            trigger,
            came_to: Ok(changed),
            restart,
        });
        recorded.err().map(|error| {
            tracing::error!(%error, "the reload is in force and not recorded yet");
            record
        })
    }

    fn is_placed(&self, set: &Set, at: jiff::Timestamp) {
        self.state.keep_keys();
        self.metrics.policies_loaded(set.policy().revision());
        self.metrics.reloaded(set.generation(), at);
    }

    /// Compares the engines, unless the policies are those that were in force before.
    fn prove_again(&self, before: &InForce) {
        let in_force = self.state.in_force.load_full();
        let (policy, bytecode) = (in_force.set.policy(), in_force.config.policies.bytecode);
        if bytecode != AnswersFor::None && !policy.is(before.set.policy()) {
            prove(policy.clone(), bytecode);
        }
    }

    fn hold_turns(&self, config: &Config) {
        if let Some(fleet) = &self.fleet {
            fleet.hold_for(export::hold(config));
        }
    }

    async fn keep_bundles(&self) {
        let in_force = self.state.in_force.load_full();
        let policies = &in_force.config.policies;
        let is_shared = load::is_shared(&in_force.config);
        self.downloads
            .keep(&policies.state, &policies.bundles, is_shared)
            .await;
        self.downloads.are_in_force(in_force.set.policy());
    }

    /// What of the bundles has to be known after a restart.
    async fn remember(&self, config: &Config, set: &Arc<Set>) {
        if let Err(error) = self.remembered(config, set).await {
            tracing::error!(
                error,
                "the bundles are in force, and older ones would not be known as such after a restart: it is tried again"
            );
        }
    }

    /// Until it is known.
    async fn remember_again(&self) {
        if self.downloads.is_kept() {
            return;
        }
        let in_force = self.state.in_force.load_full();
        let remembered = self.remembered(&in_force.config, &in_force.set);
        if remembered.await.is_ok() {
            tracing::info!("the bundles in force are known after a restart");
        }
    }

    async fn remembered(&self, config: &Config, set: &Arc<Set>) -> Result<(), String> {
        let (config, set) = (config.clone(), set.clone());
        let remembering = move || memory::remember(&config, set.policy());
        let remembered = off_thread(remembering).await.unwrap_or(Ok(()));
        let remembered = remembered.map_err(|error| format!("{error:#}"));
        self.downloads.set_kept(remembered.is_ok());
        self.metrics.bundles_remembered(remembered.is_ok());
        self.state.tell_remembered(remembered.clone());
        remembered
    }

    /// Bundles that came and were refused do not keep other files from being read.
    pub(super) async fn put_aside(
        &self,
        waiting: &[(bundles::Name, String)],
        error: &anyhow::Error,
    ) {
        let reason = format!("{error:#}");
        let mut reason = reason.lines().collect::<Vec<_>>().join("; ");
        if reason.len() > LONGEST {
            reason.truncate(reason.floor_char_boundary(LONGEST));
            reason.push('…');
        }
        let (downloads, state) = (self.downloads.clone(), self.state.clone());
        let waiting = waiting.to_owned();
        let aside = off_thread(move || {
            let in_force = state.in_force.load_full();
            let policies = &in_force.config.policies;
            let policy = in_force.set.policy();
            downloads.put_aside(
                &policies.state,
                &policies.bundles,
                policy,
                &waiting,
                &reason,
            );
        });
        let _done = aside.await;
    }

    /// The files hold what is in force again.
    pub(super) fn put_back(&self) {
        self.state.is_refused.store(false, Relaxed);
        self.metrics.refused_files_are_gone();
        self.say_how_it_is(Trigger::Watch, false);
        tracing::info!("the files are as they are in force again: what was refused is gone");
    }

    /// Nothing changes but what was put in force since `before`, and everybody is told why.
    pub(super) async fn refuse(&self, error: &anyhow::Error, trigger: Trigger, before: &InForce) {
        let running = self.state.in_force.load_full();
        if let Some(suite::Error::OutOfTime { .. }) = error.downcast_ref() {
            self.metrics.reached(Limit::Tests);
        }
        let (at, mut error) = (now(), format!("{error:#}"));
        if error.len() > LONGEST {
            error.truncate(error.floor_char_boundary(LONGEST));
            error.push('…');
        }
        self.metrics.reload_failed();
        let bundles = new_bundles(before.set.policy(), running.set.policy());
        let (trigger_name, generation) = (trigger.as_str(), running.set.generation());
        let first = error.lines().next().unwrap_or_default();
        if bundles.is_empty() {
            tracing::error!(
                trigger = trigger_name,
                generation,
                "what was read again is refused, and everything stays as it is: {first}"
            );
        } else {
            tracing::error!(
                trigger = trigger_name,
                generation,
                bundles,
                "what was read again is refused, and everything stays but for bundles of servers, which are in force: {first}"
            );
        }
        // A line of its own for each: the log writes no line end within one.
        for line in error.lines().skip(1) {
            tracing::error!("{line}");
        }
        let revision = running.set.policy().revision();
        let event = Event::Reload(event::Reload {
            timestamp: rfc3339_millis(at),
            trigger: trigger.as_str(),
            ok: false,
            generation: running.set.generation(),
            from: revision.to_owned(),
            to: None,
            changed: Vec::new(),
            restart: Vec::new(),
            gone: Vec::new(),
            configured: audit::Configured::default(),
            error: Some(error.clone()),
        });
        self.state.tell(Last {
            at,
            trigger,
            came_to: Err(error),
            restart: Vec::new(),
        });
        if let Err(error) = self.audit.record(event.record()).await {
            tracing::error!(%error, "a refused reload is not recorded");
        }
    }

    /// What is in force has to be known after a restart, and in the journal, however late.
    pub(super) async fn write_again(&self, unrecorded: Option<Record>) -> Option<Record> {
        self.remember_again().await;
        let record = unrecorded?;
        let again = self.audit.record(record.clone()).await;
        again.is_err().then_some(record)
    }
}

/// What is not as it was, in order. `renewed`: what was renewed already.
fn changed(
    running: &InForce,
    config: &Config,
    set: &Set,
    renewed: Vec<&'static str>,
) -> Vec<&'static str> {
    let mut changed = config.changed_since(&running.config);
    changed.extend(set.changed_since(&running.set));
    changed.extend(renewed);
    changed.sort_unstable();
    changed.dedup();
    changed
}

/// The bundles of it of which nobody knows an earlier one.
async fn without_memory(config: &Config, set: &Arc<Set>, before: &Arc<Set>) -> Vec<String> {
    let (config, set, before) = (config.clone(), set.clone(), before.clone());
    let looking = move || memory::without(&config, set.policy(), Some(before.policy()));
    // What cannot be read was refused before.
    let found = off_thread(looking).await;
    found.and_then(Result::ok).unwrap_or_default()
}

/// Before anything is judged by it. The digest of its files.
async fn keep_generation(config: &Config, set: &Arc<Set>) -> Option<String> {
    let (config, set) = (config.clone(), set.clone());
    let keeping = move || {
        generations::keep(&config, set.policy());
        set.policy().kept_content()
    };
    off_thread(keeping).await
}

fn say_what_is_in_force(made: Made, trigger: Trigger, set: &Set, changed: &[&str]) {
    let (trigger, generation) = (trigger.as_str(), set.generation());
    let (changed, revision) = (changed.join(", "), set.policy().revision());
    match made {
        Made::OfFiles => tracing::info!(
            trigger,
            generation,
            changed,
            revision,
            "files were read again and are in force"
        ),
        Made::BesideFiles => tracing::info!(
            trigger,
            generation,
            changed,
            revision,
            "what servers have is in force, beside all else as it was"
        ),
    }
}

/// Says which policies judge no more, and gives their names.
fn say_what_goes(before: &Policy, policy: &Policy) -> Vec<String> {
    let is_gone = |name: &&str| policy.names().all(|other| other != *name);
    let gone: Vec<&str> = before.names().filter(is_gone).take(MOST_GONE).collect();
    if !gone.is_empty() {
        tracing::warn!(
            policies = %gone.join(", "),
            "policies that judged before are gone: none of these refuses anything any more"
        );
    }
    gone.into_iter().map(str::to_owned).collect()
}

/// The bundles that are in force now and were not before.
fn new_bundles(before: &Policy, now: &Policy) -> String {
    let is_new = |release: &&Release| !before.releases().any(|it| it == *release);
    let new: Vec<&str> = now.releases().filter(is_new).map(|it| &*it.name).collect();
    new.join(", ")
}

fn say_what_needs_a_restart(keys: &[&str]) {
    if !keys.is_empty() {
        tracing::warn!(
            keys = %keys.join(", "),
            "the configuration changes what cannot change while the gate runs: restart it"
        );
    }
}

/// Of what is wrong with them, in bytes: it is in a record of the journal.
const LONGEST: usize = 4096;
/// Names of policies in one record.
const MOST_GONE: usize = 100;
