//! The task of one sink: reads, sends, and remembers how far it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Refused, Sink, State};
use crate::audit::outgoing::{Bookmark, Outgoing};
use crate::telemetry::Metrics;

/// A sink, as long as the gate runs.
pub(super) struct Keep {
    pub(super) name: String,
    pub(super) sink: Sink,
    pub(super) refused: Refused,
    pub(super) bookmark: Bookmark,
    pub(super) on_disk: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(super) state: State,
    pub(super) metrics: Metrics,
}

/// Why records have not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For what they are: the same ones will be refused again.
    Records(String),
    /// For now. How long the server wants to be left alone.
    Now(String, Option<Duration>),
}

impl Keep {
    /// Sends what comes until it is told to stop, and then what is left, as long as it is taken.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut saved = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let is_last = stop.is_cancelled();
            let last = (self.on_disk)();
            let batch = match self.bookmark.next(last, self.sink.most()) {
                Ok(batch) => batch,
                Err(error) => {
                    self.failed(&format!("the journal cannot be read: {error}"));
                    if is_last || !wait(&mut pause, None, &stop).await {
                        break;
                    }
                    continue;
                }
            };
            if batch.missing > 0 {
                self.metrics.records_not_shipped(&self.name, batch.missing);
                tracing::warn!(
                    sink = %self.name,
                    records = batch.missing,
                    behind = self.bookmark.seq(),
                    "records are not in the journal any more, or damaged, and are not sent"
                );
            }
            if batch.records.is_empty() {
                self.state.complete(&self.name);
                self.save();
                self.sink.rest(is_last).await;
                if is_last {
                    break;
                }
                stop.run_until_cancelled(sleep(LOOK)).await;
                continue;
            }
            pause = FIRST_PAUSE;
            if !self.deliver(&batch.records, &stop).await {
                break;
            }
            if saved.elapsed() >= SAVE {
                self.save();
                saved = Instant::now();
            }
        }
        self.save();
    }

    /// Sends records until all have arrived. `false`: it ends before.
    async fn deliver(&mut self, records: &[Outgoing], stop: &CancellationToken) -> bool {
        let (mut rest, mut count) = (records, records.len());
        let mut pause = FIRST_PAUSE;
        while let Some((part, behind)) = rest.split_at_checked(count.min(rest.len()))
            && let Some(last) = part.last()
        {
            let refusal = match self.sink.send(part).await {
                Ok(()) => None,
                // It is looked for which one it is.
                Err(Refusal::Records(_)) if part.len() > 1 => {
                    count = part.len().div_ceil(2);
                    continue;
                }
                Err(Refusal::Records(reason)) if self.refused == Refused::Skip => {
                    self.metrics.records_not_shipped(&self.name, 1);
                    tracing::error!(sink = %self.name, record = last.seq, reason, "a record is refused and left out");
                    None
                }
                Err(Refusal::Records(reason)) => {
                    Some((format!("record {}: {reason}", last.seq), None))
                }
                Err(Refusal::Now(reason, patience)) => Some((reason, patience)),
            };
            if let Some((reason, patience)) = refusal {
                self.failed(&reason);
                if stop.is_cancelled() || !wait(&mut pause, patience, stop).await {
                    return false;
                }
                continue;
            }
            self.bookmark.arrived(last);
            self.metrics.shipped(&self.name, part.len() as u64);
            if self.state.arrived(&self.name, last.seq).is_some() {
                tracing::info!(sink = %self.name, record = last.seq, "records arrive again");
            }
            rest = behind;
            count = (count * 2).min(records.len());
            pause = FIRST_PAUSE;
        }
        true
    }

    fn failed(&self, reason: &str) {
        self.metrics.shipping_failed(&self.name);
        // Once, however long it lasts.
        if self.state.failed(&self.name, reason) {
            tracing::warn!(sink = %self.name, reason, "records do not arrive; they are kept in the journal");
        }
    }

    /// Whatever becomes of it, what was sent was sent: the next start repeats it.
    fn save(&mut self) {
        if !self.bookmark.is_ahead() {
            return;
        }
        match self.bookmark.save() {
            Ok(()) => self.state.saved(&self.name, self.bookmark.seq()),
            Err(error) => {
                self.metrics.shipping_failed(&self.name);
                tracing::warn!(sink = %self.name, %error, "how far it is cannot be written");
            }
        }
    }
}

/// Waits longer each time, and not in step with other gates. `false`: it is told to stop.
async fn wait(pause: &mut Duration, patience: Option<Duration>, stop: &CancellationToken) -> bool {
    let lot = uuid::Uuid::new_v4().as_bytes().first().copied();
    let chance = pause.mul_f64(f64::from(lot.unwrap_or_default()) / 512.0);
    let wanted = patience.unwrap_or_default().min(LONGEST_PATIENCE);
    let longest = (*pause + chance).max(wanted);
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    stop.run_until_cancelled(sleep(longest)).await.is_some()
}

/// How often it is looked for new records.
const LOOK: Duration = Duration::from_millis(200);
/// How often a busy sink's cursor is written: a kill repeats what was sent since.
const SAVE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// However long a server wants to be left alone.
const LONGEST_PATIENCE: Duration = Duration::from_mins(5);
