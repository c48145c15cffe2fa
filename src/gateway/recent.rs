//! What each caller's changes came to within the last hour, for policies that want to know.
//!
//! A change counts when it was allowed, before the next one of the same caller is judged: callers take turns at that,
//! so that two requests at once cannot both be the last that fits. It counts no more when it was not sent, or when
//! Dynatrace has refused it. It is kept in memory; the record of a decision says what it counts for, so that a start
//! reads it from the journal again.

mod restored;
mod table;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::Gateway;
use super::answer::Became;
use super::client::Who;
use super::identify::Identity;
use super::line::Crowded;
use super::record::Recorder;
use super::rejection::Reason;
use super::turns::{Turn, Turns};
use crate::audit::event::{Answer, Counted};
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::redact::Redacted;
use crate::dynatrace::token::{HashKey, TokenId};
use crate::policy::Input;
use crate::policy::input::Amounts;
use crate::telemetry::{Limit, Metrics};
use table::{Minute, Table};

/// The counts of all callers. Clones are the same ones.
#[derive(Clone)]
pub struct Recent(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    turns: Turns,
    metrics: Metrics,
}

/// A change that is about to be judged, with its caller's turn.
pub(super) struct Counting {
    recent: Recent,
    entry: Entry,
    name: TokenId,
    _turn: Turn,
}

/// What a change counts for, and when it was counted.
#[derive(Clone)]
struct Entry {
    /// As records name it.
    caller: Arc<str>,
    minute: Minute,
    amounts: Amounts,
    /// It has proven who it is; else it has shown a credential, which may be invented.
    is_proven: bool,
}

/// A change that counts. Dropped before it is sent, it counts no more.
pub(super) struct Spent {
    recent: Recent,
    entry: Entry,
    name: TokenId,
    is_sent: bool,
}

impl Recent {
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            table: Mutex::new(Table::new(MOST_CALLERS)),
            turns: Turns::new(Duration::ZERO),
            metrics,
        }))
    }

    /// Reads what the journal tells of the last hour. `is_read`: policies ask for it already.
    pub fn restore(&self, journal: &Path, now: Timestamp, is_read: bool) {
        let mut table = self.table();
        let restored = restored::read(journal, now, &mut table);
        drop(table);
        match restored {
            Ok(restored) => restored.say(is_read),
            Err(error) => tracing::warn!(
                %error,
                "what callers did within the last hour cannot be read from the journal: it counts from now on"
            ),
        }
    }

    fn of(&self, caller: &str, now: Timestamp) -> Amounts {
        self.table().sum(caller, Minute::of(now))
    }

    fn add(&self, entry: &Entry) {
        let forgotten = self.table().add(entry);
        self.say_forgotten(forgotten);
    }

    fn say_forgotten(&self, forgotten: bool) {
        if forgotten {
            self.0.metrics.reached(Limit::RecentCallers);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Numbers, each changed at once.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts by callers, for whoever asks before a request. It changes none.
#[derive(Clone)]
pub struct Counts {
    recent: Recent,
    key: HashKey,
}

impl Counts {
    pub fn new(recent: Recent, key: HashKey) -> Self {
        Self { recent, key }
    }

    /// Of a caller that has proven who it is: of others a whole credential would have to be known.
    pub(super) fn of(&self, identity: &Identity, now: Timestamp) -> Option<Amounts> {
        let name = identity.name()?;
        let name = self.key.name(name.expose());
        Some(self.recent.of(name.as_str(), now))
    }
}

impl Gateway {
    /// Tells the policies what the caller did before, where one of them wants to know, and waits for the caller's other
    /// changes that are being judged.
    pub(super) async fn recall(
        &self,
        recorder: &Recorder,
        who: Who,
        input: &mut Input,
    ) -> Result<Option<Counting>, Reason> {
        if !self.set.reads_recent {
            return Ok(None);
        }
        let (recent, name) = (&self.shared.outside.recent, recorder.counted_as());
        let amounts = amounts(recorder.known_operation(), input);
        let mut turn = None;
        if amounts != Amounts::default() {
            let patience = self.set.limits.judge_timeout.as_std();
            let turns = Turns::new(patience).after(&recent.0.turns);
            turn = Some(
                turns
                    .take(name.as_str(), who)
                    .await
                    .map_err(Crowded::shed)?,
            );
        }
        input.caller.recent = Some(recent.of(name.as_str(), input.time));
        Ok(turn.map(|turn| Counting {
            recent: recent.clone(),
            entry: Entry {
                caller: name.as_str().into(),
                minute: Minute::of(input.time),
                amounts,
                is_proven: recorder.identity().is_proven(),
            },
            name,
            _turn: turn,
        }))
    }
}

impl Counting {
    /// It was allowed: it counts, and the next one has its turn.
    pub(super) fn spend(self) -> Spent {
        self.recent.add(&self.entry);
        Spent {
            recent: self.recent,
            entry: self.entry,
            name: self.name,
            is_sent: false,
        }
    }
}

impl Spent {
    /// For the record of the decision.
    pub(super) fn counted(&self) -> Counted<'_> {
        Counted {
            caller: &self.name,
            amounts: self.entry.amounts,
        }
    }

    /// From here on it counts, unless it is known not to have happened.
    pub(super) fn sent(mut self) -> Self {
        self.is_sent = true;
        self
    }

    /// What became of it.
    pub(super) fn came_to(mut self, became: &Became) {
        self.is_sent = counts(became.outcome == Answer::Failed, became.status);
        if became.is_success() {
            let forgotten = self.recent.table().accept(&self.entry);
            self.recent.say_forgotten(forgotten);
        }
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        if !self.is_sent {
            self.recent.table().take_back(&self.entry);
        }
    }
}

/// Whether a change that ended so may have happened.
fn counts(has_failed: bool, status: Option<u16>) -> bool {
    let is_refused = status.is_some_and(|status| (400..500).contains(&status));
    !has_failed && !is_refused
}

/// What a request would come to. Where nobody knows the token's scopes, all that are asked for are new.
fn amounts(operation: Option<Operation>, input: &Input) -> Amounts {
    let Some(operation) = operation else {
        return Amounts::default();
    };
    let scopes = &input.change.scopes;
    let gained = scopes.added.as_ref().or(scopes.requested.as_ref());
    let is_about_tokens = operation.makes_token() || operation.changes_token();
    let gained = gained.filter(|_| is_about_tokens && !operation.removes_token());
    let names: BTreeSet<&str> = gained.into_iter().flatten().map(Redacted::as_str).collect();
    Amounts {
        created: operation.makes_token().into(),
        scopes_gained: names.len() as u64,
        removed: operation.removes_token().into(),
    }
}

/// Callers of whom something is remembered, and as many whose credentials nobody has taken yet: of each the one whose last
/// change is longest ago is forgotten first.
const MOST_CALLERS: usize = 10_000;

#[cfg(test)]
mod tests;
