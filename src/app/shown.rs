//! What metrics and probes ask for when they are read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reload::State;
use super::{generations, load, now};
use crate::admin::{Check, Checks, Status};
use crate::audit::{self, Audit, Space};
use crate::bundles::Downloads;
use crate::config::Config;
use crate::console;
use crate::listener::TlsSwap;
use crate::policy::{Entrypoint, Trusted};
use crate::telemetry::{Evaluator, JournalKept, Metrics};
use crate::trail::Source;

/// Metrics say whether `/readyz` answers 200. They do not hold what it asks: the journal closes when nobody holds it any
/// more, and metrics live longer.
pub(super) fn readiness(metrics: &Metrics, checks: &Checks) {
    let asked = Arc::downgrade(checks);
    metrics.ready_from(move || {
        let checks = asked.upgrade();
        checks.is_some_and(|checks| checks().iter().all(|check| check.ok))
    });
}

/// Whom each of the listeners serves.
pub(super) const SHOWN_TO: [&str; 2] = ["clients", "operators"];

/// Until when the certificates of the listeners are good.
pub(super) fn certificates(metrics: &Metrics, listeners: &[TlsSwap; 2]) {
    let served = SHOWN_TO.iter().zip(listeners).flat_map(|(whom, tls)| {
        let served = tls.served().into_iter();
        served.filter_map(|it| Some((*whom, it.file.display().to_string(), it.not_after?)))
    });
    metrics.certificates_are(served);
}

/// What of the journal is there.
pub(super) fn keeps(metrics: &Metrics, audit: &Audit) {
    let kept = audit.keeps();
    metrics.journal_kept_from(move || {
        let kept = kept();
        JournalKept {
            segments: kept.segments,
            bytes: kept.bytes,
            text_bytes: kept.text_bytes,
            oldest: kept.oldest.and_then(|oldest| oldest.parse().ok()),
            waiting: kept.waiting_for_a_checkpoint,
            failing: kept.compress_error.is_some() || kept.prune_error.is_some(),
        }
    });
}

/// What judges, and what requests hold.
pub(super) fn judges(metrics: &Metrics, state: &Arc<State>) {
    let in_force = state.in_force.load();
    metrics.policies_loaded(in_force.set.policy().revision());
    metrics.in_force(in_force.set.generation(), now());
    let asked = state.clone();
    metrics.load_from(move || asked.in_force.load().set.load());
    let asked = state.clone();
    metrics.evaluator_from(move || {
        let trusted = asked.policy().trusted();
        Evaluator {
            bytecode: matches!(trusted, Trusted::Bytecode { .. }),
            differs: matches!(trusted, Trusted::Lost { .. }),
        }
    });
}

/// What has to be well before guarded requests can be answered.
pub(super) fn checks(
    state: Arc<State>,
    audit: Audit,
    space: Space,
    downloads: Arc<Downloads>,
) -> Checks {
    Arc::new(move || {
        // A gate without policies does not start.
        let policy = state.policy();
        let unheard = downloads.stale();
        let policies = Check {
            name: "policies",
            ok: unheard.is_none(),
            detail: unheard.unwrap_or_else(|| {
                format!("{} loaded, {}", policy.names().count(), policy.revision())
            }),
        };
        let journal = audit.health();
        let journal = Check {
            name: "journal",
            ok: journal.is_ok(),
            detail: journal.err().unwrap_or_else(|| {
                if space.is_low() {
                    format!(
                        "writable, but its disk has only {} MiB free: refusals and denials are only counted, and judged reads refused",
                        space.free() >> 20
                    )
                } else {
                    "writable".to_owned()
                }
            }),
        };
        vec![policies, journal]
    })
}

/// This program, to be begun once more: the very one that runs, also after another version was put in its place.
pub fn program() -> Option<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Some(running.to_owned());
    }
    std::env::current_exe().ok()
}

/// Loads the sets that were in force while a journal was written, as long as they are kept.
pub fn kept(journal: &Path, entrypoints: Vec<Entrypoint>) -> console::KeptPolicies {
    let journal = journal.to_owned();
    Arc::new(move |revision| {
        let path = generations::path(&journal, revision);
        let is_there = path.exists();
        is_there
            .then(|| load::policies_with_those_of(&path, &entrypoints).ok())
            .flatten()
    })
}

/// The console of this gate, if there is one: it reads the journal by the index that this gate keeps.
pub(super) fn console(
    config: &Config,
    state: Arc<State>,
    status: Status,
    metrics: Metrics,
) -> Option<(console::Config, console::Gate)> {
    let shown = config.console.clone()?;
    let journal = config.journal.clone();
    let gate = console::Gate {
        trail: Arc::new(move || Source::of_gate(&journal.directory, &journal.index_path())),
        status: Some(status),
        policies: Some(Arc::new(move || state.in_force.load().set.policy().clone())),
        kept: Some(kept(
            &config.journal.directory,
            config.policies.entrypoints.clone(),
        )),
        worker: program(),
        now,
        answered_within: super::answered_within(config),
        step_back: audit::step_back,
        metrics,
    };
    Some((shown, gate))
}
