//! A turn that is had, or that may be, until it is free for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::session::{Of, Session};

/// The right to change a token, until it is dropped.
#[derive(Debug)]
pub struct Turn(Option<Held>);

/// What is in the store for a turn.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) inner: Arc<Inner>,
    pub(super) session: Arc<Session>,
    pub(super) of: Of,
    pub(super) holder: String,
    pub(super) taken: Instant,
    /// How long its row holds from then on.
    pub(super) hold: Duration,
    /// The answer said so. Without an answer it may be.
    pub(super) is_had: bool,
}

impl Held {
    /// Frees the turn, in another session where its own has ended. Past `hold` it is free in any case.
    async fn free(self) {
        let Self {
            inner,
            session,
            of,
            holder,
            is_had,
            ..
        } = self;
        let began = Instant::now();
        if !session.is_closed() {
            let freed = session.release(&of, &holder, is_had);
            let freed = inner.in_time(&session, freed).await;
            if let Ok(1..) = freed {
                inner.clean(&session).await;
                return;
            }
            // It may have the lock, and no row: what it was asked for has failed, or this has.
            session.fails();
            inner.gives_up(&session);
            session.end();
            if freed.is_ok() {
                return;
            }
        }
        drop(session);
        while began.elapsed() < inner.hold() {
            if let Ok(session) = inner.session().await {
                let freed = session.forget(&of, &holder);
                if inner.in_time(&session, freed).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(LATER).await;
        }
    }
}

impl Turn {
    /// One that is asked for.
    pub(super) fn asked(held: Held) -> Self {
        Self(Some(held))
    }

    /// Whether it is had.
    pub(super) fn is_answered(&mut self, is_had: bool) {
        match &mut self.0 {
            Some(held) if is_had => held.is_had = true,
            // There is nothing to free.
            held => *held = None,
        }
    }

    /// Whether it can be trusted for as long as a request may take from here on: it was had just now, or its session
    /// lives, and the lock with it. Then its row is renewed.
    pub async fn is_good(&self) -> bool {
        let Some(held) = &self.0 else {
            return false;
        };
        let needed = held.inner.hold();
        if held.taken.elapsed() < FRESH && needed <= held.hold {
            return true;
        }
        let renewed = held.session.renew(&held.of, &held.holder, needed);
        let renewed = held.inner.in_time(&held.session, renewed).await;
        renewed.unwrap_or(false)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            let inner = held.inner.clone();
            inner.ending.spawn_on(held.free(), &inner.runtime);
        }
    }
}

/// Between two tries to free one.
const LATER: Duration = Duration::from_secs(1);
/// How long a row is trusted without its session. `hold` has room for more.
const FRESH: Duration = Duration::from_secs(3);
