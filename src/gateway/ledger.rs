//! What is written about requests that are refused, and what is only counted.
//!
//! One set of books for the whole gate: budgets for refusals that policies never saw, for denials and for allowed reads,
//! the sums of what went beyond them, and the counts of writes that the catalogue does not know. Where the journal's
//! disk is nearly full there are sums only. An allowed change is none of its business: that is always written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::budget::{Budget, Payer, Spent};
use super::client::Address;
use super::sums::{Kind, Sums};
use super::unseen::{Taken, Unseen};
use crate::audit::{Audit, Space};
use crate::telemetry::{Limit, Metrics};

/// The books. Clones are the same ones.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    books: Mutex<Books>,
    unseen: Mutex<Unseen>,
    space: Space,
    metrics: Metrics,
}

struct Books {
    refusals: Budget,
    denials: Budget,
    reads: Budget,
    /// What has no record.
    journal: Sums,
    /// What has no line in the log.
    log: Sums,
}

/// What is counted and not written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Counted {
    /// When the caller has room again, if it is the caller who had too much.
    pub(super) wait: Option<Duration>,
    /// What there is no more of.
    pub(super) limit: Limit,
}

/// Which budget pays.
#[derive(Clone, Copy)]
pub(super) enum Class {
    /// Policies objected.
    Denial,
    /// They did not, and nothing would change. Without a record it goes nowhere.
    Read,
    /// Policies were not asked.
    Refusal,
}

impl Ledger {
    pub fn new(config: &Config, space: Space, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            books: Mutex::new(Books {
                refusals: Budget::new(config.refusals),
                denials: Budget::new(config.denials),
                reads: Budget::new(config.reads),
                journal: Sums::default(),
                log: Sums::default(),
            }),
            unseen: Mutex::default(),
            space,
            metrics,
        }))
    }

    /// Other budgets, all of them full again.
    pub fn renew(&self, config: &Config) {
        let mut books = self.books();
        books.refusals = Budget::new(config.refusals);
        books.denials = Budget::new(config.denials);
        books.reads = Budget::new(config.reads);
    }

    /// Enters what has a budget, and whose record would take so many bytes. It is to be written down, unless it was counted.
    pub(super) fn enter(
        &self,
        class: Class,
        payer: &Payer,
        kind: Kind,
        bytes: usize,
        time: Timestamp,
    ) -> Result<(), Counted> {
        let cost = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.spend(class, payer, cost, |books, of_caller| {
            books.journal.count(payer, of_caller, kind, time);
            books.log.count(payer, of_caller, kind, time);
        })
    }

    /// Counts a denial that a rule of the policies leaves out of the journal. Whose it was is not said: the rule may be about
    /// who it is.
    pub(super) fn dropped(&self, operation: Option<&'static str>, time: Timestamp) {
        let kind = Kind {
            reason: "dropped",
            operation,
        };
        self.books().journal.count_unnamed(kind, time);
    }

    /// Whether a refusal that is never recorded may have its line in the log. Else it was counted.
    pub(super) fn line(&self, address: Address, kind: Kind, time: Timestamp) -> bool {
        let payer = Payer::new(None, address, Arc::default());
        let spent = self.spend(Class::Refusal, &payer, 1, |books, of_caller| {
            books.log.count(&payer, of_caller, kind, time);
        });
        spent.is_ok()
    }

    /// Whether the journal's disk has room for what need not be written.
    pub(super) fn has_room(&self) -> bool {
        !self.0.space.is_low()
    }

    /// Dynatrace has accepted the payer's credential: its reads are no longer those of a stranger.
    pub(super) fn accept(&self, payer: &Payer) {
        self.books().reads.accept(payer, Instant::now());
    }

    /// Counts a write that the catalogue does not know.
    pub(super) fn saw(&self, seen: Taken) {
        if !self.unseen().add(seen) {
            self.0.metrics.reached(Limit::Unseen);
        }
    }

    fn spend(
        &self,
        class: Class,
        payer: &Payer,
        cost: u32,
        count: impl FnOnce(&mut Books, bool),
    ) -> Result<(), Counted> {
        let Inner {
            books,
            space,
            metrics,
            ..
        } = &*self.0;
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, limit) = match class {
            Class::Denial => (&mut books.denials, Limit::Denials),
            Class::Read => (&mut books.reads, Limit::Reads),
            Class::Refusal => (&mut books.refusals, Limit::Refusals),
        };
        let (limit, of_caller, wait) = match budget.take(payer, cost, Instant::now()) {
            Ok(forgotten) => {
                (0..forgotten).for_each(|_| metrics.reached(Limit::Buckets));
                if !space.is_low() {
                    return Ok(());
                }
                (Limit::MinFree, true, None)
            }
            Err(Spent::Caller(wait)) => (limit, true, Some(wait)),
            Err(Spent::Address(wait)) => (limit, false, Some(wait)),
            Err(Spent::Gate) => (limit, false, None),
        };
        count(&mut books, of_caller);
        drop(books);
        metrics.reached(limit);
        Err(Counted { wait, limit })
    }

    /// Writes sums once a minute, what was unseen once an hour, and all of it a last time when everything is
    /// `drained`.
    pub async fn keep(self, audit: Audit, now: fn() -> Timestamp, drained: CancellationToken) {
        let mut windows = tokio::time::interval(WINDOW);
        while drained.run_until_cancelled(windows.tick()).await.is_some() {
            self.sum_up(&audit, now()).await;
            let due = self.unseen().take_due(now());
            self.tell(&audit, now(), due).await;
        }
        self.sum_up(&audit, now()).await;
        let rest = self.unseen().take_all();
        self.tell(&audit, now(), rest).await;
        let lost = self.unseen().total();
        if lost > 0 {
            tracing::error!(
                count = lost,
                "unknown writes that were counted are not recorded"
            );
        }
    }

    /// Writes down what was unseen, one record for each kind, all of them at once: they share a sync.
    async fn tell(&self, audit: &Audit, now: Timestamp, taken: Vec<Taken>) {
        let mut writing = tokio::task::JoinSet::new();
        for taken in taken {
            let audit = audit.clone();
            writing.spawn(async move {
                let recorded = audit.record(taken.record(now)).await;
                recorded.is_err().then_some(taken)
            });
        }
        while let Some(written) = writing.join_next().await {
            // The journal has said why. What was counted stays counted.
            if let Ok(Some(taken)) = written {
                self.0.metrics.record_failed();
                self.saw(taken);
            }
        }
    }

    /// Writes down what was counted since the last time: one record, and one line in the log.
    async fn sum_up(&self, audit: &Audit, now: Timestamp) {
        let (journal, log) = {
            let mut books = self.books();
            (
                std::mem::take(&mut books.journal),
                std::mem::take(&mut books.log),
            )
        };
        log.log();
        let Some(record) = journal.record(now) else {
            return;
        };
        if audit.record(record).await.is_err() {
            // The journal has said why. What was counted stays counted.
            self.books().journal.add(&journal);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unseen(&self) -> MutexGuard<'_, Unseen> {
        self.0.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often sums are written.
const WINDOW: Duration = Duration::from_mins(1);

/// What one unit of a budget pays for, in bytes: a larger record costs more than one.
const UNIT: usize = 4096;

#[cfg(test)]
mod tests;
