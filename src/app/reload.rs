//! Files that are read again while the gate runs: the configuration, policies with their data, certificates, tokens.
//!
//! They are looked at by their contents, every few seconds: what watches directories misses the swap of a symbolic link
//! (a Kubernetes `ConfigMap`) and most network file systems. SIGHUP has them looked at now. What was read is put in force
//! as a whole, and only when all of it holds: it is checked as `dtgate check` does, and its policies pass their own
//! tests. Anything else changes nothing. Both are said: in the log, in the journal, in metrics and at `/status`.

mod digest;
mod files;
mod outcome;
mod state;
mod tested;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::activation::ByDecisions;
use super::manager::Manager;
use super::{Hangups, load, shown};
use crate::audit::Audit;
use crate::audit::event::Record;
use crate::bundles::{self, Downloads};
use crate::config::Config;
use crate::gateway::{self, Ledger, Service};
use crate::listener::{Change, TlsSwap};
use crate::store::Turns;
use crate::telemetry::{Limit, Metrics};
pub(super) use digest::Digest;
use state::Trigger;
pub(super) use state::{InForce, State};
use tested::Tested;

/// Where the configuration comes from: a file, where there is one, and the command line.
pub struct Source {
    file: Option<PathBuf>,
    read: Box<dyn Fn() -> anyhow::Result<Config> + Send + Sync>,
    /// What the files were like before they were read for the first time.
    first: Seen,
    /// The same of the policies alone, with their tests.
    policies: Digest,
}

/// What files are like.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
struct Seen {
    /// All but the bundles that servers have.
    own: Digest,
    /// Those that the configuration names as it is now.
    fetched: Digest,
    /// Those of the configuration in force: it may name others, and what comes of them is not held up.
    of_running: Digest,
}

/// Reads files again, and puts them in force.
pub(super) struct Reloader {
    pub(super) state: Arc<State>,
    pub(super) services: Vec<Service>,
    pub(super) audit: Audit,
    pub(super) ledger: Ledger,
    pub(super) metrics: Metrics,
    /// Certificates of the listeners, for clients and for operators.
    pub(super) tls: [TlsSwap; 2],
    pub(super) downloads: Arc<Downloads>,
    /// Where several gates take turns.
    pub(super) fleet: Option<Turns>,
    pub(super) manager: Manager,
    /// Whoever looks at the challenger's files.
    pub(super) challenger: Arc<Notify>,
}

/// What there is once bundles were put aside.
#[derive(Default)]
struct PutAside {
    /// Something else was new as well.
    are_others: bool,
    /// The files are as they are in force.
    are_back: bool,
    /// What servers have is in force, beside files as they were.
    is_beside: bool,
}

/// What was read, and cannot be put in force.
struct Refused {
    error: anyhow::Error,
    /// Bundles that came and are not in force.
    waiting: Vec<(bundles::Name, String)>,
    tested: Tested,
    /// What the files are like, and what those in force were like.
    seen: Seen,
    loaded: Seen,
    trigger: Trigger,
}

/// Files that are refused: nothing is to be done about them until they change, or, where it was for what was decided last,
/// until others have asked for something else.
#[derive(Clone, Copy, Default)]
struct RefusedFiles {
    seen: Option<Seen>,
    times: u32,
    due: Option<Instant>,
}

impl RefusedFiles {
    fn are(self, seen: Seen) -> bool {
        self.seen == Some(seen) && self.due.is_none_or(|due| due > Instant::now())
    }

    /// None any more, where they `are_back`.
    fn unless(self, are_back: bool) -> Self {
        if are_back { Self::default() } else { self }
    }

    /// These are refused now, perhaps once more.
    fn and(self, seen: Seen, error: &anyhow::Error) -> Self {
        let times = if self.seen == Some(seen) {
            self.times.saturating_add(1)
        } else {
            1
        };
        let is_by_decisions = error.is::<ByDecisions>();
        Self {
            seen: Some(seen),
            times,
            due: is_by_decisions.then(|| Instant::now() + bundles::pause(times)),
        }
    }
}

/// Of what a set is made.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Made {
    OfFiles,
    /// What servers have, beside all else as it is in force: the files are wrong.
    BesideFiles,
}

/// What was read, and holds.
struct Fresh {
    made: Made,
    config: Config,
    wanted: gateway::Wanted,
    restart: Vec<&'static str>,
    tested: Tested,
}

impl Refused {
    fn of(
        error: anyhow::Error,
        waiting: Vec<(bundles::Name, String)>,
        tested: Tested,
        [seen, loaded]: [Seen; 2],
        trigger: Trigger,
    ) -> Self {
        Self {
            error,
            waiting,
            tested,
            seen,
            loaded,
            trigger,
        }
    }
}

impl Source {
    /// Reads the configuration for the first time.
    pub fn new(
        file: Option<PathBuf>,
        read: impl Fn() -> anyhow::Result<Config> + Send + Sync + 'static,
    ) -> anyhow::Result<(Self, Config)> {
        // A change that comes while they are read is seen later.
        let before = read()?;
        let first = Seen::of(&before, &before, file.as_deref());
        let policies = Digest::of(&before.files_of_policies());
        let config = read()?;
        let source = Self {
            file,
            read: Box::new(read),
            first,
            policies,
        };
        Ok((source, config))
    }

    /// What the files are like: those that the configuration names, as it is now if it can be read.
    fn look(&self, running: &Config) -> Seen {
        let config = (self.read)();
        let config = config.as_ref().unwrap_or(running);
        Seen::of(config, running, self.file.as_deref())
    }
}

impl Seen {
    fn of(config: &Config, running: &Config, file: Option<&Path>) -> Self {
        let (fetched, of_running) = (files::fetched(config), files::fetched(running));
        let is_same = fetched == of_running;
        let fetched = Digest::of(&fetched);
        Self {
            own: Digest::of(&files::of(config, file)),
            fetched,
            of_running: if is_same {
                fetched
            } else {
                Digest::of(&of_running)
            },
        }
    }

    /// The same, once the configuration is in force.
    fn in_force(self) -> Self {
        Self {
            of_running: self.fetched,
            ..self
        }
    }

    /// What the files are like if all but the bundles are put back: those came in force beside them.
    fn beside(self, seen: Self) -> Self {
        Self {
            fetched: seen.of_running,
            of_running: seen.of_running,
            ..self
        }
    }
}

impl Reloader {
    /// Looks at the files now and then, and whenever it is asked to, until `shutdown`.
    pub(super) async fn keep(
        self,
        source: Source,
        mut hangups: Hangups,
        shutdown: CancellationToken,
    ) {
        let source = Arc::new(source);
        // In force, and refused: nothing is to be done about either.
        let (mut loaded, mut refused) = (source.first, RefusedFiles::default());
        let (mut tested, mut unrecorded) = (Tested::new(source.policies), None);
        // What has to be tried again, whoever asked for it.
        let (mut again, mut rounds) = (None, 0_u32);
        // What came meanwhile waits, unless somebody asks for it.
        let mut rest = Instant::now();
        let mut looks = ticks(self.state.in_force.load().config.reload.interval);
        loop {
            let woken = self.woken(again.take(), rest, &mut looks, &mut hangups, &shutdown);
            let Some(trigger) = woken.await else {
                return;
            };
            unrecorded = self.write_again(unrecorded).await;
            let reload = self.state.in_force.load().config.reload;
            if trigger == Trigger::Watch && !reload.watch {
                continue;
            }
            let began = Instant::now();
            let seen = self.look(&source).await;
            self.say_that_it_reads(trigger);
            if seen == loaded {
                refused = RefusedFiles::default();
                self.are_back();
            }
            let is_known = seen == loaded || refused.are(seen);
            if is_known && trigger != Trigger::Signal {
                looks.reset_after(pause(reload.interval.as_std(), began.elapsed()));
                continue;
            }
            if seen == loaded {
                self.nothing_has_changed(trigger);
                continue;
            }
            let seen = self.settled(&source, seen).await;
            if seen == loaded {
                // Files were put back while they were looked at: they are in force already.
                again = Some(trigger);
                continue;
            }
            let reading = Instant::now();
            // What is fetched meanwhile takes the place of nothing that was not kept.
            let held = self.downloads.hold().await;
            let waiting = self.waiting().await;
            let read = self.read(&source, tested).await;
            if self.look(&source).await != seen {
                // What was read may be half of one and half of the other.
                rest = Instant::now() + rest_after(reading.elapsed());
                rounds += 1;
                say_if_restless(rounds);
                sleep(SETTLE).await;
                again = Some(trigger);
                continue;
            }
            rounds = 0;
            match self.with_certificates(read).await {
                Ok((fresh, mut renewed)) => {
                    if fresh.tested.differs(tested) {
                        // Or only their tests; then nothing else says so.
                        renewed.push("policies");
                    }
                    (loaded, tested) = (seen.in_force(), fresh.tested);
                    refused = RefusedFiles::default();
                    self.state.is_refused.store(false, Relaxed);
                    unrecorded = Box::pin(self.put_in_force(fresh, renewed, trigger)).await;
                }
                Err(error) => {
                    refused = refused.and(seen, &error);
                    let of = Refused::of(error, waiting, tested, [seen, loaded], trigger);
                    let aside;
                    (aside, unrecorded) = Box::pin(self.refused(&source, of, unrecorded)).await;
                    again = aside.are_others.then_some(Trigger::Bundle);
                    if aside.is_beside {
                        loaded = loaded.beside(seen);
                    }
                    // What comes again is tried again, also where nobody looks at files meanwhile.
                    refused = refused.unless(aside.are_back);
                }
            }
            drop(held);
            rest = Instant::now() + rest_after(reading.elapsed());
            self.say_how_it_is(trigger, self.state.is_refused.load(Relaxed));
            looks = self.ticks_again(looks, reload.interval);
        }
    }

    /// Others, where another interval is in force now.
    fn ticks_again(&self, looks: Interval, before: crate::value::Duration) -> Interval {
        let every = self.state.in_force.load().config.reload.interval;
        if every == before {
            return looks;
        }
        let mut looks = ticks(every);
        looks.reset();
        looks
    }

    /// What becomes of what cannot be put in force: what servers have may be, beside what was in force. `unrecorded`: what
    /// still has to be.
    async fn refused(
        &self,
        source: &Arc<Source>,
        refused: Refused,
        mut unrecorded: Option<Record>,
    ) -> (PutAside, Option<Record>) {
        let Refused { error, trigger, .. } = &refused;
        let before = self.state.in_force.load_full();
        let (mut why, mut waiting, mut is_beside) = (None, &*refused.waiting, false);
        match self.read_beside(source, &refused).await {
            Some(Ok(fresh)) => {
                unrecorded = Box::pin(self.put_in_force(fresh, Vec::new(), *trigger)).await;
                waiting = &[];
                is_beside = true;
            }
            Some(Err(error)) => why = Some(error),
            None => {}
        }
        self.state.is_refused.store(true, Relaxed);
        self.refuse(error, *trigger, &before).await;
        let why = why.as_ref().unwrap_or(error);
        let aside = self.put_all_aside(source, waiting, why, refused.loaded);
        let aside = PutAside {
            is_beside,
            ..aside.await
        };
        (aside, unrecorded)
    }

    /// Waits until there is something to look at, at once where that has to be done `again`, and until the gate has rested.
    /// `None`: the gate ends.
    async fn woken(
        &self,
        again: Option<Trigger>,
        rest: Instant,
        looks: &mut Interval,
        hangups: &mut Hangups,
        shutdown: &CancellationToken,
    ) -> Option<Trigger> {
        let trigger = match again {
            Some(trigger) if !shutdown.is_cancelled() => trigger,
            _ => tokio::select! {
                () = shutdown.cancelled() => return None,
                () = hangups.next() => Trigger::Signal,
                () = self.downloads.came() => Trigger::Bundle,
                _ = looks.tick() => Trigger::Watch,
            },
        };
        self.rested(trigger, rest, hangups, shutdown).await
    }

    /// Waits until files may be read again; a signal does not wait. `None`: the gate ends.
    async fn rested(
        &self,
        trigger: Trigger,
        until: Instant,
        hangups: &mut Hangups,
        shutdown: &CancellationToken,
    ) -> Option<Trigger> {
        if trigger == Trigger::Signal || until <= Instant::now() {
            return Some(trigger);
        }
        if trigger == Trigger::Bundle {
            self.metrics.reached(Limit::Activations);
        }
        tokio::select! {
            () = shutdown.cancelled() => None,
            () = hangups.next() => Some(Trigger::Signal),
            () = sleep_until(until) => Some(trigger),
        }
    }

    /// Who has asked is told.
    fn say_that_it_reads(&self, trigger: Trigger) {
        if trigger == Trigger::Signal {
            self.manager.reloading();
        }
    }

    /// The files are as they are in force.
    fn are_back(&self) {
        self.downloads.try_those_with_others();
        if self.state.is_refused.load(Relaxed) && !self.downloads.holds_refused() {
            self.put_back();
        }
    }

    fn nothing_has_changed(&self, trigger: Trigger) {
        self.downloads.try_all();
        tracing::info!(
            signal = "SIGHUP",
            "nothing has changed: nothing is read again"
        );
        self.say_how_it_is(trigger, false);
    }

    /// Puts the bundles aside that came and are refused.
    async fn put_all_aside(
        &self,
        source: &Arc<Source>,
        waiting: &[(bundles::Name, String)],
        error: &anyhow::Error,
        loaded: Seen,
    ) -> PutAside {
        if waiting.is_empty() {
            return PutAside::default();
        }
        self.put_aside(waiting, error).await;
        let are_back = self.look(source).await == loaded;
        let are_others = waiting.len() > 1 || !are_back;
        if are_others {
            self.downloads.put_aside_with_others(waiting);
        }
        PutAside {
            are_others,
            are_back,
            is_beside: false,
        }
    }

    /// Who has asked waits for that.
    fn say_how_it_is(&self, trigger: Trigger, refused: bool) {
        // Its files are looked at, too, and whether it is told what it reads.
        self.challenger.notify_one();
        let mut status = self.state.in_force.load().to_string();
        if refused {
            status.push_str("; new files are refused: /status says why");
        }
        match trigger {
            Trigger::Signal => self.manager.ready(&status),
            Trigger::Bundle | Trigger::Watch => self.manager.status(&status),
        }
    }

    async fn look(&self, source: &Arc<Source>) -> Seen {
        let (source, state) = (source.clone(), self.state.clone());
        off_thread(move || source.look(&state.in_force.load().config))
            .await
            .unwrap_or_default()
    }

    /// Bundles that came and are not in force.
    async fn waiting(&self) -> Vec<(bundles::Name, String)> {
        let state = self.state.clone();
        let look = off_thread(move || {
            let in_force = state.in_force.load_full();
            let policies = &in_force.config.policies;
            Downloads::waiting(&policies.state, &policies.bundles, in_force.set.policy())
        });
        look.await.unwrap_or_default()
    }

    /// Waits until nobody writes the files any more, as far as can be seen.
    async fn settled(&self, source: &Arc<Source>, mut seen: Seen) -> Seen {
        for _ in 0..PATIENCE {
            sleep(SETTLE).await;
            let now = self.look(source).await;
            if now == seen {
                break;
            }
            seen = now;
        }
        seen
    }

    /// What servers have, beside all else as it is in force: no other file that is wrong holds up any of it. `None`: no
    /// server has anything new, or all other files are as they are in force.
    async fn read_beside(
        &self,
        source: &Arc<Source>,
        refused: &Refused,
    ) -> Option<anyhow::Result<Fresh>> {
        let are_others = refused.seen.own != refused.loaded.own;
        if refused.waiting.is_empty() || !are_others {
            return None;
        }
        let (state, tested) = (self.state.clone(), refused.tested);
        let reading = move || {
            let running = state.in_force.load_full();
            let config = running.config.clone();
            let hidden = config.hidden();
            let fresh = || {
                let sources = load::sources_beside(&config, running.set.policy())?;
                let wanted = load::load_beside(&config, sources.clone(), &running.set)?;
                Ok(Fresh {
                    made: Made::BesideFiles,
                    tested: tested.with(&config, || Ok(sources))?,
                    config,
                    wanted,
                    restart: Vec::new(),
                })
            };
            fresh().map_err(|error| hidden.error(error))
        };
        let read = off_thread(reading).await.unwrap_or_else(by_a_fault);
        let is_settled = self.look(source).await == refused.seen;
        is_settled.then_some(read)
    }

    async fn read(&self, source: &Arc<Source>, tested: Tested) -> anyhow::Result<Fresh> {
        let (source, state, metrics) = (source.clone(), self.state.clone(), self.metrics.clone());
        let reading = move || {
            let running = state.in_force.load_full();
            let mut config = super::within_descriptors(&(source.read)()?);
            let hidden = config.hidden();
            let restart = config.keep_what_needs_a_restart(&running.config);
            let fresh = || {
                tokio::runtime::Handle::current()
                    .block_on(load::prepare_others(&config, &running.config))?;
                super::check_listeners(&config)?;
                let before = Some((&running.config, &*running.set));
                let wanted = load::load(&config, &metrics, before)?;
                Ok(Fresh {
                    made: Made::OfFiles,
                    tested: tested.with(&config, || load::sources(&config))?,
                    config,
                    wanted,
                    restart,
                })
            };
            fresh().map_err(|error| hidden.error(error))
        };
        off_thread(reading).await.unwrap_or_else(by_a_fault)
    }

    /// Certificates come last: they are in force as soon as they are read.
    async fn with_certificates(
        &self,
        read: anyhow::Result<Fresh>,
    ) -> anyhow::Result<(Fresh, Vec<&'static str>)> {
        let fresh = read?;
        let renewed = self.renew_certificates(&fresh.config).await;
        let renewed = renewed.map_err(|error| fresh.config.hidden().error(error))?;
        Ok((fresh, renewed))
    }

    /// For new handshakes. It needs no record: they must not end with a disk that is full.
    async fn renew_certificates(&self, config: &Config) -> anyhow::Result<Vec<&'static str>> {
        let [clients, operators] = self.tls.clone();
        let (listener, admin) = (config.listener.clone(), super::operators(&config.admin));
        let renewing = move || {
            let mut renewed = Vec::new();
            if clients.renew(&listener).context("listener")? == Change::Renewed {
                renewed.push("listener.tls");
            }
            if operators.renew(&admin).context("admin listener")? == Change::Renewed {
                renewed.push("admin.tls");
            }
            Ok(renewed)
        };
        let renewed = off_thread(renewing).await;
        // Also where the second of them is refused: the first is in force.
        shown::certificates(&self.metrics, &self.tls);
        renewed.unwrap_or_else(by_a_fault)
    }
}

fn by_a_fault<T>() -> anyhow::Result<T> {
    bail!("reading the files ended by a fault of the program")
}

/// Runs what reads and computes where it stops nobody. `None`: it panicked, and that is logged.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// One at once, and then one each time; late ones are not made up for.
fn ticks(every: crate::value::Duration) -> Interval {
    let mut ticks = interval(every.as_std());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Looking takes a fiftieth of the time at most.
fn pause(interval: Duration, took: Duration) -> Duration {
    interval.max(took.saturating_mul(50))
}

/// Whoever makes files could keep a core busy with ever new ones: judging them takes a quarter of it at most.
fn rest_after(took: Duration) -> Duration {
    took.saturating_mul(3).min(LONGEST_REST)
}

const LONGEST_REST: Duration = Duration::from_mins(10);

/// Where nobody sees anything else of it.
fn say_if_restless(rounds: u32) {
    if rounds.is_multiple_of(ROUNDS) {
        tracing::warn!(
            rounds,
            "files change faster than they can be read and checked: nothing of them is in force yet"
        );
    }
}

/// After how many readings in vain it is said that they were.
const ROUNDS: u32 = 5;

/// Files that change are looked at again after this time.
const SETTLE: Duration = Duration::from_millis(300);

/// So often, at most.
const PATIENCE: u32 = 20;

#[cfg(test)]
mod tests;
