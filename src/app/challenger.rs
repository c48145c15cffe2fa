//! The challenger's files: read once the gate serves, and again when they have changed. Whatever is wrong with them, those
//! in force go on as they are.
//!
//! It is loaded and checked as they are, tests included (`reload.require_tests`), on a thread of low priority.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::reload::{Digest, InForce, State};
use super::{generations, load, now};
use crate::audit::step_back;
use crate::bundles;
use crate::gateway::challenger::{Challenger, Desk, Judging};
use crate::policy::Policy;
use crate::value;
use crate::value::threads;

/// What keeps a challenger as its files are.
pub(super) struct Keeper {
    pub(super) state: Arc<State>,
    pub(super) challenger: Challenger,
    /// Somebody wants the files to be looked at now.
    pub(super) asked: Arc<Notify>,
}

/// All that there is of a challenger, until it is started.
pub(super) struct Beside {
    pub(super) keeper: Keeper,
    pub(super) judging: Judging,
    pub(super) desk: Desk,
}

impl Beside {
    /// Keeps files until `shutdown`, and records until `closing`. What is given back ends when nothing holds the journal
    /// any more.
    pub(super) fn start(
        self,
        shutdown: CancellationToken,
        closing: CancellationToken,
    ) -> JoinHandle<()> {
        tokio::spawn(self.keeper.keep(shutdown));
        match self.judging.start(self.desk, closing) {
            Ok(recording) => tokio::spawn(recording),
            Err(error) => {
                tracing::error!(%error, "the thread of the challenger cannot be started: it is not asked");
                tokio::spawn(async {})
            }
        }
    }
}

/// What a challenger was loaded from: its files, the set that it was checked beside, and how.
#[derive(Clone, PartialEq)]
struct Seen {
    wanted: Option<bundles::Challenger>,
    files: Digest,
    generation: u64,
    limit: value::Duration,
}

impl Keeper {
    pub(super) async fn keep(self, shutdown: CancellationToken) {
        let (mut loaded, mut refused) = (None, None);
        loop {
            let seen = self.settled().await;
            if loaded.as_ref() == Some(&seen) {
                if refused.take().is_some() {
                    self.challenger.put_back();
                    tracing::info!("the files of the challenger are as they were again");
                }
            } else if refused.as_ref() != Some(&seen) {
                let limit = loaded.as_ref().map(|it: &Seen| it.limit);
                match self.load(&seen, limit).await {
                    Ok(()) => (loaded, refused) = (Some(seen), None),
                    Err(error) => {
                        self.refuse(&error);
                        // Other policies are in force: nobody knows whether it is still told what it reads.
                        if loaded
                            .as_ref()
                            .is_some_and(|it| it.generation != seen.generation)
                        {
                            self.challenger.put(None, now());
                        }
                        refused = Some(seen);
                    }
                }
            }
            let reload = self.state.in_force.load().config.reload;
            let interval = if reload.watch {
                reload.interval.as_std()
            } else {
                NEVER
            };
            let woken = timeout(interval, self.asked.notified());
            if shutdown.run_until_cancelled(woken).await.is_none() {
                return;
            }
        }
    }

    /// What is there, when two looks have seen the same.
    async fn settled(&self) -> Seen {
        let mut seen = self.look().await;
        for _ in 0..PATIENCE {
            if seen.wanted.is_none() {
                break;
            }
            sleep(SETTLE).await;
            let now = self.look().await;
            if now == seen {
                break;
            }
            seen = now;
        }
        seen
    }

    async fn look(&self) -> Seen {
        let in_force = self.state.in_force.load_full();
        let wanted = in_force.config.policies.challenger.clone();
        let (generation, limit) = (
            in_force.set.generation(),
            in_force.config.policies.time_limit,
        );
        let files = wanted.as_ref().map(bundles::Challenger::files);
        let looking = tokio::task::spawn_blocking(move || Digest::of(&files.unwrap_or_default()));
        Seen {
            files: looking.await.unwrap_or_default(),
            generation,
            limit,
            wanted,
        }
    }

    /// `limit_before`: what was loaded has.
    async fn load(&self, seen: &Seen, limit_before: Option<value::Duration>) -> anyhow::Result<()> {
        let before = self.challenger.revision();
        let Some(wanted) = seen.wanted.clone() else {
            if before.is_some() {
                tracing::info!("no challenger is asked any more");
            }
            self.challenger.put(None, now());
            return Ok(());
        };
        let in_force = self.state.in_force.load_full();
        let generation = in_force.set.generation();
        let (told, loaded) = tokio::sync::oneshot::channel();
        let thread = threads::named("challenger-load");
        thread
            .spawn(move || {
                step_back();
                if told.send(checked(&wanted, &in_force)).is_err() {
                    tracing::debug!("nobody waits for the challenger any more");
                }
            })
            .context("the thread that reads it cannot be started")?;
        let Ok(policy) = loaded.await else {
            bail!("reading it ended by a fault of the program");
        };
        let policy = policy?;
        self.challenger.checked_beside(generation);
        if before.as_deref() == Some(policy.revision()) && limit_before == Some(seen.limit) {
            self.challenger.put_back();
            return Ok(());
        }
        let names: Vec<&str> = policy.names().collect();
        tracing::info!(
            revision = policy.revision(),
            names = %names.join(", "),
            "challenger: these policies are asked, too, without effect"
        );
        self.challenger.put(Some(policy), now());
        Ok(())
    }

    fn refuse(&self, error: &anyhow::Error) {
        let mut error = format!("{error:#}");
        if error.len() > LONGEST {
            error.truncate(error.floor_char_boundary(LONGEST));
            error.push('…');
        }
        tracing::warn!(
            asked = self.challenger.revision(),
            "the challenger is refused; those in force are as they were: {}",
            error.lines().next().unwrap_or_default()
        );
        for line in error.lines().skip(1) {
            tracing::warn!("{line}");
        }
        self.challenger.refuse(error);
    }
}

/// Reads it and checks it as those in force are.
fn checked(wanted: &bundles::Challenger, in_force: &InForce) -> anyhow::Result<Policy> {
    let (config, set) = (&in_force.config, &in_force.set);
    let checked = load::challenger(wanted, config, set.policy(), Some(set.environments()));
    let policy = checked.map_err(|error| config.hidden().error(error))?;
    generations::keep_challenger(config, &policy);
    Ok(policy)
}

/// Files that change are looked at again after this time, and so often at most.
const SETTLE: Duration = Duration::from_millis(300);
const PATIENCE: u32 = 20;
/// Where nobody wants files to be watched.
const NEVER: Duration = Duration::from_hours(24 * 365);
/// Of what is wrong with it, in bytes.
const LONGEST: usize = 4096;
