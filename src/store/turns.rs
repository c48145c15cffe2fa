//! The turn of a token among several gates: whoever has it changes the token, and nobody else meanwhile.
//!
//! A turn is an advisory lock of a session, and a row beside it. The lock is held as long as the gate lives, however long
//! a change takes. The row outlives the session: a gate that was killed, or whose server was restarted, may have a
//! request under way, so that others wait until no such request can be left.
//!
//! Gates ask again and again, in one session each, so that whoever waits for one token is in nobody's way. A gate that
//! had the turn last lets another one that asked meanwhile have it first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Config, Connected, StoreError, WhenAway};
use crate::value::Sha256Hex;

/// Gives turns. Clones share the session.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    gate: String,
    /// How long a request of a gate that is gone may be under way.
    hold: Duration,
    /// On which sessions live and turns end, whoever asked.
    runtime: Handle,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
    trouble: Mutex<Option<Trouble>>,
    ending: TaskTracker,
    /// When old rows were removed last.
    cleaned: Mutex<Instant>,
}

/// A session, with what it asks.
#[derive(Debug)]
struct Session {
    connected: Connected,
    take: Statement,
    want: Statement,
    /// No question has failed. One that has is asked nothing more, but is the one that frees its own turns.
    is_well: AtomicBool,
    renew: Statement,
    release: Statement,
    forget: Statement,
}

#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    tried: Instant,
}

/// The right to change a token, until it is dropped.
#[derive(Debug)]
pub struct Turn(Option<Held>);

/// What is in the store for a turn.
#[derive(Debug)]
struct Held {
    inner: Arc<Inner>,
    session: Arc<Session>,
    of: Of,
    holder: String,
    taken: Instant,
}

/// What a turn is of.
#[derive(Clone, Debug)]
struct Of {
    environment: String,
    token: String,
    lock: i64,
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
            hold,
            runtime: Handle::current(),
            session: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
            ending: TaskTracker::new(),
            cleaned: Mutex::new(Instant::now()),
        });
        // So that the first change does not wait for it.
        let first = inner.clone();
        inner
            .runtime
            .spawn(async move { drop(first.session().await) });
        Self(inner)
    }

    /// Whether changes go on without it while the store is away.
    pub fn is_optional(&self) -> bool {
        self.0.config.when_away == WhenAway::Local
    }

    /// Waits for the turn of a token, as long as the configuration says. Whoever stops waiting leaves nothing behind.
    pub async fn take(&self, environment: &str, token: &str) -> Result<Turn, TurnError> {
        let of = Of::new(environment, token);
        let (started, most) = (Instant::now(), self.0.config.turn_wait.as_std());
        let (mut pause, mut was_taken) = (FIRST_PAUSE, false);
        loop {
            let left = most.saturating_sub(started.elapsed());
            let tried = tokio::time::timeout(left, self.try_take(&of)).await;
            let patience = match tried {
                Ok(Ok(Some(turn))) => return Ok(turn),
                Ok(Ok(None)) => pause,
                Ok(Err(_told)) => AGAIN,
                // Of a store that does not answer, or of one that answered before.
                Err(_elapsed) => break,
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
        let holder = Uuid::now_v7().to_string();
        // Whatever becomes of the answer, a row that was made is not left behind.
        let mut turn = Turn(Some(Held {
            inner: self.0.clone(),
            session: session.clone(),
            of: of.clone(),
            holder: holder.clone(),
            taken: Instant::now(),
        }));
        let (client, gate) = (&session.connected.client, &self.0.gate);
        let (environment, token) = (&of.environment, &of.token);
        let hold = self.0.hold.as_secs_f64();
        let said: Said<'_> = &[&of.lock, environment, token, gate, &holder, &hold];
        let asked = client.query_one(&session.take, said);
        let answer = self.0.in_time(&session, asked).await?;
        if answer.get::<_, bool>(0) {
            return Ok(Some(turn));
        }
        turn.0 = None;
        let said: Said<'_> = &[environment, token, gate];
        let wanted = client.execute(&session.want, said);
        self.0.in_time(&session, wanted).await?;
        Ok(None)
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
        if tokio::time::timeout(within, self.0.ending.wait())
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
        // Whoever stops waiting ends nothing: what is opened is there for the next.
        let inner = self.clone();
        let opening = self.runtime.spawn(async move { inner.open().await });
        let opened = opening.await;
        opened.unwrap_or_else(|panic| Err(StoreError::Other(panic.to_string())))
    }

    async fn open(&self) -> Result<Arc<Session>, StoreError> {
        let mut kept = self.session.lock().await;
        if let Some(session) = kept.as_ref()
            && session.is_usable()
        {
            return Ok(session.clone());
        }
        *kept = None;
        if let Some(trouble) = self.trouble()
            && trouble.tried.elapsed() < AGAIN
        {
            return Err(StoreError::Other(trouble.reason));
        }
        let opened = Session::open(&self.config).await;
        self.note(opened.as_ref().err());
        let session = Arc::new(opened?);
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
            Ok(answered) => answered.map_err(StoreError::from),
            Err(_elapsed) => Err(StoreError::Timeout(within)),
        };
        if let Err(error) = &answered
            && session.is_well.swap(false, Ordering::Relaxed)
        {
            self.note(Some(error));
        }
        answered
    }

    fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: Option<&StoreError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = trouble.take();
        match error {
            None if before.is_some() => {
                tracing::info!("turns of tokens are had from the store again");
            }
            None => {}
            Some(error) => {
                let reason = error.to_string();
                if before.is_none_or(|before| before.reason != reason) {
                    tracing::warn!(%error, "turns of tokens cannot be had from the store");
                }
                *trouble = Some(Trouble {
                    reason,
                    tried: Instant::now(),
                });
            }
        }
    }

    /// Removes, now and then, what nobody has had for long: whoever asks for tokens that do not exist leaves rows.
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
            let removed = session.connected.client.execute(CLEAN, &[]);
            drop(self.in_time(session, removed).await);
        }
    }

    /// Frees a turn, in another session where its own has ended. Past `hold` it is free in any case.
    async fn free(self: Arc<Self>, session: Arc<Session>, of: Of, holder: String) {
        let began = Instant::now();
        let (environment, token) = (&of.environment, &of.token);
        if !session.connected.is_closed() {
            let said: Said<'_> = &[&of.lock, environment, token, &holder];
            let client = &session.connected.client;
            let freed = client.execute(&session.release, said);
            if self.in_time(&session, freed).await.is_ok() {
                self.clean(&session).await;
                return;
            }
        }
        // The lock has ended with its session. One of another session may be somebody else's.
        drop(session);
        while began.elapsed() < self.hold {
            if let Ok(session) = self.session().await {
                let said: Said<'_> = &[environment, token, &holder];
                let client = &session.connected.client;
                let freed = client.execute(&session.forget, said);
                if self.in_time(&session, freed).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(LATER).await;
        }
    }
}

impl Session {
    async fn open(config: &Config) -> Result<Self, StoreError> {
        let within = config.timeout.as_std();
        let connected = Connected::open(config, "turns").await?;
        let opened = tokio::time::timeout(within, Self::prepared(connected, within)).await;
        opened.unwrap_or(Err(StoreError::Timeout(within)))
    }

    /// A server that this machine has vanished from must not keep its locks for hours, nor a statement wait without end.
    async fn prepared(connected: Connected, within: Duration) -> Result<Self, StoreError> {
        let client = &connected.client;
        connected.steady(within).await?;
        let (take, want) = (client.prepare(TAKE).await?, client.prepare(WANT).await?);
        let renew = client.prepare(RENEW).await?;
        let (release, forget) = (
            client.prepare(RELEASE).await?,
            client.prepare(FORGET).await?,
        );
        // What nobody has had for long is not kept.
        client.execute(CLEAN, &[]).await?;
        Ok(Self {
            connected,
            is_well: AtomicBool::new(true),
            take,
            want,
            renew,
            release,
            forget,
        })
    }

    fn is_usable(&self) -> bool {
        self.is_well.load(Ordering::Relaxed) && !self.connected.is_closed()
    }
}

impl Turn {
    /// Whether it can be trusted for as long as a request may take from here on: it was had just now, or its session
    /// lives, and the lock with it. Then its row is renewed.
    pub async fn is_good(&self) -> bool {
        let Some(held) = &self.0 else {
            return false;
        };
        if held.taken.elapsed() < FRESH {
            return true;
        }
        let (session, seconds) = (&held.session, held.inner.hold.as_secs_f64());
        let (environment, token) = (&held.of.environment, &held.of.token);
        let said: Said<'_> = &[environment, token, &held.holder, &seconds];
        let asked = session.connected.client.execute(&session.renew, said);
        held.inner
            .in_time(session, asked)
            .await
            .is_ok_and(|rows| rows == 1)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            let inner = held.inner.clone();
            let freeing = held.inner.free(held.session, held.of, held.holder);
            inner.ending.spawn_on(freeing, &inner.runtime);
        }
    }
}

impl Of {
    fn new(environment: &str, token: &str) -> Self {
        let hash = Sha256Hex::of(format!("{environment}\0{token}").as_bytes());
        let half = hash.as_str().get(..16).unwrap_or_default();
        let number = u64::from_str_radix(half, 16).unwrap_or_default();
        Self {
            environment: environment.to_owned(),
            token: token.to_owned(),
            lock: number.cast_signed(),
        }
    }
}

/// Values of a statement.
type Said<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Both, or none.
const TAKE: &str = "
WITH locked AS MATERIALIZED (SELECT pg_try_advisory_lock($1) AS got),
taken AS (
  INSERT INTO dtgate.turn AS turn (environment, token, gate, holder, since, until)
  SELECT $2, $3, $4, ($5::text)::uuid, clock_timestamp(), clock_timestamp() + make_interval(secs => $6)
  FROM locked WHERE got
  ON CONFLICT (environment, token) DO UPDATE
  SET gate = excluded.gate, holder = excluded.holder, since = excluded.since, until = excluded.until, wanted_by = NULL
  WHERE turn.until < clock_timestamp() AND (
    turn.gate <> excluded.gate OR turn.wanted_by IS NULL OR turn.wanted < clock_timestamp() - interval '500 ms'
  )
  RETURNING true AS done
),
answer AS MATERIALIZED (SELECT got, EXISTS (SELECT FROM taken) AS is_mine FROM locked)
SELECT is_mine, CASE WHEN got AND NOT is_mine THEN pg_advisory_unlock($1) END FROM answer";

const WANT: &str = "
UPDATE dtgate.turn SET wanted_by = $3, wanted = clock_timestamp()
WHERE environment = $1 AND token = $2 AND gate <> $3 AND until > '-infinity'";

const RENEW: &str = "
UPDATE dtgate.turn SET until = clock_timestamp() + make_interval(secs => $4)
WHERE environment = $1 AND token = $2 AND holder = ($3::text)::uuid AND until > '-infinity'";

const RELEASE: &str = "
WITH released AS (
  UPDATE dtgate.turn SET until = '-infinity'
  WHERE environment = $2 AND token = $3 AND holder = ($4::text)::uuid RETURNING holder
)
SELECT pg_advisory_unlock($1) FROM released";

const FORGET: &str = "
UPDATE dtgate.turn SET until = '-infinity'
WHERE environment = $1 AND token = $2 AND holder = ($3::text)::uuid";

const CLEAN: &str = "
DELETE FROM dtgate.turn WHERE since < clock_timestamp() - interval '1 hour' AND until < clock_timestamp()";

/// Between two tries where another gate has it.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Between two tries where the store is away.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two removals of old rows.
const CLEANED: Duration = Duration::from_mins(10);
/// Between two tries to free one.
const LATER: Duration = Duration::from_secs(1);
/// How long a row is trusted without its session. `hold` has room for more.
const FRESH: Duration = Duration::from_secs(3);
