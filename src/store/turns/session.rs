//! A session in which turns are asked for, and what is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::{Error, Statement};

use crate::store::schema::lock_of;
use crate::store::{Config, Connected, StoreError};

/// What a turn is of.
#[derive(Clone, Debug)]
pub(super) struct Of {
    environment: String,
    token: String,
    lock: i64,
}

/// A session, with what it asks.
#[derive(Debug)]
pub(super) struct Session {
    connected: Connected,
    /// No question has failed. One that has is asked nothing more, but is the one that frees its own turns.
    is_well: AtomicBool,
    take: Statement,
    want: Statement,
    renew: Statement,
    release: Statement,
    forget: Statement,
}

impl Of {
    /// What nobody changes: it is taken to find out whether turns can be had.
    pub(super) fn nothing(gate: &str) -> Self {
        Self::new("", gate)
    }

    pub(super) fn new(environment: &str, token: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            token: token.to_owned(),
            lock: lock_of(&format!("{environment}\0{token}")),
        }
    }
}

impl Session {
    pub(super) async fn open(config: &Config, gate: &str) -> Result<Self, StoreError> {
        let within = config.timeout.as_std();
        let connected = Connected::open(config, &format!("{gate} turns")).await?;
        let opened = tokio::time::timeout(within, Self::prepared(connected, within)).await;
        opened.unwrap_or(Err(StoreError::Timeout(within)))
    }

    async fn prepared(connected: Connected, within: Duration) -> Result<Self, StoreError> {
        let steady = connected.steady(within).await;
        steady.map_err(|error| connected.explained(error))?;
        let client = &connected.client;
        Ok(Self {
            is_well: AtomicBool::new(true),
            take: client.prepare(TAKE).await?,
            want: client.prepare(WANT).await?,
            renew: client.prepare(RENEW).await?,
            release: client.prepare(RELEASE).await?,
            forget: client.prepare(FORGET).await?,
            connected,
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_well.load(Ordering::Relaxed) && !self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connected.is_closed()
    }

    /// Why the connection has ended, in place of that it has.
    pub(super) fn explained(&self, error: StoreError) -> StoreError {
        self.connected.explained(error)
    }

    /// Ends it, and all locks with it. Rows of turns hold on.
    pub(super) fn end(&self) {
        self.connected.end();
    }

    /// A question has failed. Whether that is the first.
    pub(super) fn fails(&self) -> bool {
        self.is_well.swap(false, Ordering::Relaxed)
    }

    /// Takes a turn for `hold` at least, if nobody has it. Whether it did.
    pub(super) async fn take(
        &self,
        of: &Of,
        gate: &str,
        holder: &str,
        hold: Duration,
    ) -> Result<bool, Error> {
        let Of {
            environment,
            token,
            lock,
        } = of;
        let seconds = hold.as_secs_f64();
        let client = &self.connected.client;
        let answer = client
            .query_one(
                &self.take,
                &[lock, environment, token, &gate, &holder, &seconds],
            )
            .await?;
        answer.try_get(0)
    }

    /// Tells whoever has a turn that another gate waits for it.
    pub(super) async fn want(&self, of: &Of, gate: &str) -> Result<u64, Error> {
        let client = &self.connected.client;
        client
            .execute(&self.want, &[&of.environment, &of.token, &gate])
            .await
    }

    /// Has a turn for `hold` from now on. Whether it was there.
    pub(super) async fn renew(&self, of: &Of, holder: &str, hold: Duration) -> Result<bool, Error> {
        let seconds = hold.as_secs_f64();
        let client = &self.connected.client;
        let rows = client
            .execute(
                &self.renew,
                &[&of.environment, &of.token, &holder, &seconds],
            )
            .await?;
        Ok(rows == 1)
    }

    /// Frees a turn of this session; 0: there was none. `is_had`: it certainly had it.
    pub(super) async fn release(&self, of: &Of, holder: &str, is_had: bool) -> Result<u64, Error> {
        let client = &self.connected.client;
        client
            .execute(
                &self.release,
                &[&of.lock, &of.environment, &of.token, &holder, &is_had],
            )
            .await
    }

    /// Frees a turn of a session that has ended, and its lock with it: one of this session may be somebody else's.
    pub(super) async fn forget(&self, of: &Of, holder: &str) -> Result<u64, Error> {
        let client = &self.connected.client;
        client
            .execute(&self.forget, &[&of.environment, &of.token, &holder])
            .await
    }

    /// Removes what nobody has had for long: rows that another gate waited for, and those of gates that were killed.
    pub(super) async fn clean(&self) -> Result<u64, Error> {
        self.connected.client.execute(CLEAN, &[]).await
    }
}

/// Both, or none. A row that no gate can have written, because it holds for longer than any gate does, holds nothing.
const TAKE: &str = "
WITH locked AS MATERIALIZED (SELECT pg_try_advisory_lock($1) AS got),
taken AS (
  INSERT INTO dtgate.turn AS turn (environment, token, gate, holder, since, until)
  SELECT $2, $3, $4, ($5::text)::uuid, clock_timestamp(), clock_timestamp() + make_interval(secs => $6)
  FROM locked WHERE got
  ON CONFLICT (environment, token) DO UPDATE
  SET gate = excluded.gate, holder = excluded.holder, since = excluded.since, until = excluded.until, wanted_by = NULL
  WHERE (turn.until < clock_timestamp()
      OR turn.until > clock_timestamp() + interval '1 day' OR turn.since > clock_timestamp() + interval '1 hour') AND (
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

/// A session may hold a lock several times: once for each turn that was had, and never for one that was not.
///
/// The row goes with the turn, unless another gate waits for it: then it says so to whoever comes first. It is locked
/// before it is looked at, so that nobody begins to wait in between.
const RELEASE: &str = "
WITH mine AS MATERIALIZED (
  SELECT wanted_by IS NOT NULL AS is_wanted FROM dtgate.turn
  WHERE environment = $2 AND token = $3 AND holder = ($4::text)::uuid FOR UPDATE
),
gone AS (
  DELETE FROM dtgate.turn WHERE environment = $2 AND token = $3 AND holder = ($4::text)::uuid
    AND NOT (SELECT is_wanted FROM mine) RETURNING holder
),
kept AS (
  UPDATE dtgate.turn SET until = '-infinity' WHERE environment = $2 AND token = $3 AND holder = ($4::text)::uuid
    AND (SELECT is_wanted FROM mine) RETURNING holder
)
SELECT pg_advisory_unlock($1) WHERE $5 OR EXISTS (SELECT FROM gone UNION ALL SELECT FROM kept)";

const FORGET: &str = "
WITH mine AS MATERIALIZED (
  SELECT wanted_by IS NOT NULL AS is_wanted FROM dtgate.turn
  WHERE environment = $1 AND token = $2 AND holder = ($3::text)::uuid FOR UPDATE
),
gone AS (
  DELETE FROM dtgate.turn WHERE environment = $1 AND token = $2 AND holder = ($3::text)::uuid
    AND NOT (SELECT is_wanted FROM mine)
)
UPDATE dtgate.turn SET until = '-infinity' WHERE environment = $1 AND token = $2 AND holder = ($3::text)::uuid
  AND (SELECT is_wanted FROM mine)";

const CLEAN: &str = "
DELETE FROM dtgate.turn WHERE since < clock_timestamp() - interval '1 hour' AND until < clock_timestamp()
  OR until > clock_timestamp() + interval '1 day'";
