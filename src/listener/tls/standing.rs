//! Whether the client of an open connection would still be let in.
//!
//! A handshake is a moment, and a connection may last for days: certificates expire, authorities and revocation lists
//! are exchanged, and a session that is taken up again was judged when it began. So the client is judged again when
//! the set has changed, and now and then; and no request begins that the last judgement does not hold for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ServerConnection};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{Now, Refusal, Set};
use crate::listener::certificate::Certificate;

/// What one client has shown, and until when that is good.
pub struct Standing {
    /// The client's own certificate first; empty: it has none.
    chain: Vec<CertificateDer<'static>>,
    certificate: Option<Arc<Certificate>>,
    now: Now,
    state: Mutex<State>,
    /// A request has found out.
    is_lost: Notify,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

struct State {
    sets: watch::Receiver<Arc<Set>>,
    /// The last judgement holds until then, as long as the set is the same.
    good_until: Timestamp,
}

impl Standing {
    /// `sets`: the one that the handshake was made with is the last that it has seen.
    pub(in crate::listener) fn new(
        connection: &ServerConnection,
        sets: watch::Receiver<Arc<Set>>,
        now: Now,
    ) -> Result<Self, Refusal> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
        let certificate = chain.first().map(|first| Certificate::read(first));
        // Also refused in the handshake, but for a session that is taken up again.
        let certificate = certificate
            .transpose()
            .map_err(|_unreadable| Refusal::Names)?;
        let standing = Self {
            chain,
            certificate: certificate.map(Arc::new),
            now,
            state: Mutex::new(State {
                sets,
                good_until: Timestamp::MIN,
            }),
            is_lost: Notify::new(),
        };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            standing.judge()?;
        } else {
            standing.state().good_until = standing.next((standing.now)());
        }
        Ok(standing)
    }

    pub(in crate::listener) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Whether the client would still be let in: for a request that began before the set was exchanged.
    pub fn is_good(&self) -> bool {
        self.judge().is_ok()
    }

    /// Whether the client would still be let in, and why not.
    pub(in crate::listener) fn judge(&self) -> Result<(), Refusal> {
        let now = (self.now)();
        let mut state = self.state();
        // The sender lives as long as the listener: without one, nothing changes any more.
        let is_new = state.sets.has_changed().unwrap_or(false);
        if !is_new && now < state.good_until {
            return Ok(());
        }
        let set = Arc::clone(&state.sets.borrow_and_update());
        // Not before it is known: a refusal is asked for again.
        state.good_until = Timestamp::MIN;
        set.judge(&self.chain, now)
            .inspect_err(|_| self.is_lost.notify_one())?;
        state.good_until = self.next(now);
        Ok(())
    }

    /// Returns when the client would not be let in any more.
    pub(in crate::listener) async fn lost(&self) -> Refusal {
        loop {
            if let Err(refusal) = self.judge() {
                return refusal;
            }
            let (mut sets, good_until) = {
                let state = self.state();
                (state.sets.clone(), state.good_until)
            };
            let left = good_until.duration_since((self.now)());
            // A clock may be set, and a machine may sleep.
            let left = Duration::try_from(left).unwrap_or_default();
            let left = left.clamp(LEAST, AGAIN);
            tokio::select! {
                Ok(()) = sets.changed() => {}
                () = sleep(left), if self.certificate.is_some() => {}
                () = self.is_lost.notified() => {}
            }
        }
    }

    /// When to judge again.
    fn next(&self, now: Timestamp) -> Timestamp {
        self.certificate.as_ref().map_or(Timestamp::MAX, |own| {
            let soon = now.saturating_add(AGAIN).unwrap_or(Timestamp::MAX);
            // It is good in the very second of its end.
            own.not_after
                .saturating_add(Duration::from_secs(1))
                .map_or(soon, |end| end.min(soon))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever its end: an authority between the client's and ours may expire sooner, and so may a revocation list.
const AGAIN: Duration = Duration::from_mins(1);
/// So that nobody looks without end, whatever the clock says.
const LEAST: Duration = Duration::from_millis(100);
