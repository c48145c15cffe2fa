//! The turn of a token among several gates: whoever has it changes the token, and nobody else meanwhile.
//!
//! A turn is an advisory lock of a session, and a row beside it. The lock is held as long as the gate lives, however long
//! a change takes. The row outlives the session: a gate that was killed, or whose server was restarted, may have a
//! request under way, so that others wait until no such request can be left.
//!
//! Gates ask again and again, in one session each, so that whoever waits for one token is in nobody's way. A gate that
//! had the turn last lets another one that asked meanwhile have it first.

mod held;
mod session;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Config, StoreError, WhenAway};
use held::Held;
pub use held::Turn;
use session::{Of, Session};

#[cfg(test)]
mod tests;

/// Gives turns. Clones share the session.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    gate: String,
    /// How long a request of a gate that is gone may be under way, in milliseconds.
    hold: AtomicU64,
    /// On which sessions live and turns end, whoever asked.
    runtime: Handle,
    session: Mutex<Option<Arc<Session>>>,
    /// Held while one is opened.
    opening: tokio::sync::Mutex<()>,
    trouble: Mutex<Option<Trouble>>,
    /// Held by whoever looks whether the store is there again.
    looking: tokio::sync::Mutex<()>,
    ending: TaskTracker,
    /// When old rows were removed last.
    cleaned: Mutex<Instant>,
}

/// No turn was had or refused since.
#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    kind: String,
    since: Instant,
    /// When it was tried last.
    tried: Instant,
    /// Until another session is opened.
    pause: Duration,
}

/// How long a store is waited for that does not answer, or says that it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// It may be about to come back.
    Whole,
    /// It was away for longer than that.
    OneTry,
}

/// Why there is no turn. The log says what is wrong with the store: that is nothing for clients.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    #[error(
        "the store by which the gates take turns was away for {} (dtgate's log says why)",
        humantime::format_duration(*.0)
    )]
    Away(Duration),
    #[error(
        "another gate changes this token, and was not done within {}",
        humantime::format_duration(*.0)
    )]
    Taken(Duration),
    #[error("the turn of the token was lost before the request was judged (dtgate's log says why)")]
    Lost,
}

/// How it goes, for operators.
#[derive(Clone, Debug, Serialize)]
pub struct TurnsTold {
    pub ok: bool,
    pub error: Option<String>,
}

impl Turns {
    /// Turns of the gates that share a store. `hold`: how long a request may be under way. Sessions live on the runtime
    /// that this is called in.
    pub fn new(config: &Config, gate: &str, hold: Duration) -> Self {
        let inner = Arc::new(Inner {
            config: config.clone(),
            gate: gate.to_owned(),
            hold: AtomicU64::default(),
            runtime: Handle::current(),
            session: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            ending: TaskTracker::new(),
            cleaned: Mutex::new(Instant::now()),
        });
        // So that the first change does not wait for it.
        let first = inner.clone();
        inner
            .runtime
            .spawn(async move { drop(first.session().await) });
        let looks = Self::look(Arc::downgrade(&inner));
        inner.runtime.spawn(looks);
        let turns = Self(inner);
        turns.hold_for(hold);
        turns
    }

    /// From now on a request may be under way for so long. It is never less than before: some began with the limits that
    /// were in force then.
    pub fn hold_for(&self, hold: Duration) {
        let ms = u64::try_from(hold.min(LONGEST_HOLD).as_millis()).unwrap_or(u64::MAX);
        self.0.hold.fetch_max(ms, Ordering::Relaxed);
    }

    /// Whether changes go on without it while the store is away.
    pub fn is_optional(&self) -> bool {
        self.0.config.when_away == WhenAway::Local
    }

    /// Waits for the turn of a token, as long as the configuration says. Whoever stops waiting leaves nothing behind.
    pub async fn take(&self, environment: &str, token: &str) -> Result<Turn, TurnError> {
        let of = Of::new(environment, token);
        let Some(away) = self.0.away() else {
            return self.wait(&of, Patience::Whole).await;
        };
        // One looks whether it is there again. The others do not wait for what they would not get.
        let Ok(_alone) = self.0.looking.try_lock() else {
            return Err(TurnError::Away(away));
        };
        match self.wait(&of, Patience::OneTry).await {
            Err(TurnError::Away(_)) => Err(TurnError::Away(away)),
            answered => answered,
        }
    }

    /// While turns cannot be had, this looks whether they can: operators are told so also where nobody changes anything,
    /// and no change waits to find it out.
    async fn look(inner: Weak<Inner>) {
        loop {
            tokio::time::sleep(LONGEST_AGAIN).await;
            let Some(inner) = inner.upgrade() else { return };
            let turns = Self(inner);
            if turns.0.ending.is_closed() {
                return;
            }
            if (turns.0.trouble().is_some() || turns.0.usable().is_none())
                && let Ok(_alone) = turns.0.looking.try_lock()
            {
                let nothing = Of::nothing(&turns.0.gate);
                drop(turns.wait(&nothing, Patience::OneTry).await);
            }
        }
    }

    async fn wait(&self, of: &Of, patience: Patience) -> Result<Turn, TurnError> {
        let is_one_try = patience == Patience::OneTry;
        if is_one_try {
            self.0.may_try();
        }
        let (started, most) = (Instant::now(), self.0.config.turn_wait.as_std());
        let (mut pause, mut was_taken) = (FIRST_PAUSE, false);
        loop {
            let begun = Instant::now();
            let left = most.saturating_sub(started.elapsed());
            let tried = tokio::time::timeout(left, self.try_take(of)).await;
            let patience = match tried {
                Ok(Ok(Some(turn))) => return Ok(turn),
                Ok(Ok(None)) => pause,
                Ok(Err(_told)) if is_one_try => break,
                Ok(Err(_told)) => AGAIN,
                // Of a store that does not answer, or of one that answered before.
                Err(_elapsed) => {
                    if begun.elapsed() >= most / 2 {
                        self.0.note(&StoreError::Timeout(most));
                    }
                    break;
                }
            };
            was_taken |= patience != AGAIN;
            if started.elapsed() + patience >= most {
                break;
            }
            tokio::time::sleep(patience).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Who has said once that another one has it, is believed.
        Err(if was_taken {
            TurnError::Taken(most)
        } else {
            TurnError::Away(most)
        })
    }

    /// The turn; or nothing, where another has it, who is told that somebody waits.
    async fn try_take(&self, of: &Of) -> Result<Option<Turn>, StoreError> {
        let session = self.0.session().await?;
        // Whoever stops waiting for the answer does not keep it from being read: a turn that was had is let go.
        let taking = self.0.clone().ask(session.clone(), of.clone());
        let taking = self.0.ending.spawn_on(taking, &self.0.runtime);
        let taken = taking.await.unwrap_or_else(|_panicked| Err(fault()))?;
        // Nobody waits for it too long: what was answered late was not.
        self.0.answers();
        if taken.is_none() {
            let told = session.want(of, &self.0.gate);
            self.0.in_time(&session, told).await?;
        }
        Ok(taken)
    }

    /// Whether turns can be had, as far as is known, where somebody may ask for longer than there are turns.
    pub fn goes_well(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let inner = Arc::downgrade(&self.0);
        move || inner.upgrade().is_some_and(|it| it.trouble().is_none())
    }

    /// How it goes.
    pub fn told(&self) -> TurnsTold {
        let error = self.0.trouble().map(|trouble| trouble.reason);
        TurnsTold {
            ok: error.is_none(),
            error,
        }
    }

    /// Waits until every turn that was dropped is free for others.
    pub async fn end(&self, within: Duration) {
        self.0.ending.close();
        if tokio::time::timeout(within.min(LAST), self.0.ending.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "turns of tokens are left in the store: other gates wait until they run out"
            );
        }
    }
}

impl Inner {
    /// The session; another one, where the last has ended. While it cannot be opened, it is not tried by everybody.
    async fn session(self: &Arc<Self>) -> Result<Arc<Session>, StoreError> {
        if let Some(session) = self.usable() {
            return Ok(session);
        }
        // Whoever stops waiting ends nothing: what is opened is there for the next.
        let inner = self.clone();
        let opening = self.runtime.spawn(async move { inner.open().await });
        opening.await.unwrap_or_else(|_panicked| {
            let error = fault();
            self.note(&error);
            Err(error)
        })
    }

    /// Asks for a turn once. `None`: another has it.
    async fn ask(
        self: Arc<Self>,
        session: Arc<Session>,
        of: Of,
    ) -> Result<Option<Turn>, StoreError> {
        let (holder, hold) = (Uuid::now_v7().to_string(), self.hold());
        // Whatever becomes of the answer, what was taken is not left behind.
        let mut turn = Turn::asked(Held {
            inner: self.clone(),
            session: session.clone(),
            of: of.clone(),
            holder: holder.clone(),
            taken: Instant::now(),
            hold,
            is_had: false,
        });
        let asked = session.take(&of, &self.gate, &holder, hold);
        let is_taken = self.in_time(&session, asked).await?;
        turn.is_answered(is_taken);
        Ok(is_taken.then_some(turn))
    }

    fn hold(&self) -> Duration {
        Duration::from_millis(self.hold.load(Ordering::Relaxed))
    }

    fn usable(&self) -> Option<Arc<Session>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.clone().filter(|session| session.is_usable())
    }

    async fn open(&self) -> Result<Arc<Session>, StoreError> {
        let _alone = self.opening.lock().await;
        if let Some(session) = self.usable() {
            return Ok(session);
        }
        if let Some(trouble) = self.trouble()
            && trouble.tried.elapsed() < trouble.pause
        {
            return Err(StoreError::Other(trouble.reason));
        }
        // Whether it is well, is said by the first question that it answers.
        let opened = Session::open(&self.config, &self.gate).await;
        let opened = opened.inspect_err(|error| self.note(error));
        let session = Arc::new(opened?);
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(session.clone());
        Ok(session)
    }

    /// The answer in time; a session that gives none is not asked again.
    async fn in_time<T>(
        &self,
        session: &Arc<Session>,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let within = self.config.timeout.as_std();
        let answered = match tokio::time::timeout(within, asked).await {
            Ok(answered) => answered.map_err(|error| session.explained(error.into())),
            Err(_elapsed) => Err(StoreError::Timeout(within)),
        };
        if let Err(error) = &answered
            && session.fails()
        {
            self.note(error);
            self.gives_up(session);
        }
        answered
    }

    /// Asks this session nothing more: it ends with the last turn that was had in it.
    fn gives_up(&self, session: &Arc<Session>) {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|kept| Arc::ptr_eq(kept, session));
    }

    fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long it is known to be away, if it is so for longer than a change waits. What was seen long ago is not known.
    fn away(&self) -> Option<Duration> {
        let trouble = self.trouble()?;
        let wait = self.config.turn_wait.as_std();
        let away = trouble.since.elapsed();
        let is_known = away >= wait && trouble.tried.elapsed() < wait + LONGEST_AGAIN;
        is_known.then(|| Duration::from_secs(away.as_secs().max(1)))
    }

    /// Whether a turn can be had was answered, before whoever asked went away.
    fn answers(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.take().is_some() {
            tracing::info!("turns of tokens are had from the store again");
        }
    }

    /// Whoever looks whether it is there again opens a session if nobody has tried to just now.
    fn may_try(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = trouble.as_mut() {
            trouble.pause = AGAIN;
        }
    }

    fn note(&self, error: &StoreError) {
        let (reason, kind, now) = (error.to_string(), error.kind(), Instant::now());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = trouble.take();
        let is_news = before.as_ref().is_none_or(|before| before.kind != kind);
        if is_news {
            tracing::warn!(error = %reason, "turns of tokens cannot be had from the store");
        }
        *trouble = Some(Trouble {
            reason,
            kind: kind.into_owned(),
            since: before.as_ref().map_or(now, |before| before.since),
            tried: now,
            pause: before.map_or(AGAIN, |before| (before.pause * 2).min(LONGEST_AGAIN)),
        });
    }

    /// Removes old rows, now and then.
    async fn clean(&self, session: &Arc<Session>) {
        let is_due = {
            let mut cleaned = self.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = cleaned.elapsed() >= CLEANED;
            if is_due {
                *cleaned = Instant::now();
            }
            is_due
        };
        if is_due {
            drop(self.in_time(session, session.clean()).await);
        }
    }
}

/// Between two tries where another gate has it.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Between two tries where the store is away.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two sessions of a store that answers nothing, and between two looks at one that is away.
const LONGEST_AGAIN: Duration = Duration::from_secs(2);
/// Between two removals of old rows.
const CLEANED: Duration = Duration::from_mins(10);
/// A row that holds for longer is none of a gate's.
const LONGEST_HOLD: Duration = Duration::from_hours(23);
/// How long the end of the gate waits for those that are not free: they run out by themselves.
const LAST: Duration = Duration::from_secs(5);

/// What a panic is for operators.
fn fault() -> StoreError {
    StoreError::Other("dtgate has a fault: the store could not be asked for a turn".to_owned())
}
