//! The task of one sink: reads, sends, and remembers how far it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::losses::Losses;
use super::{Refused, Sink, State};
use crate::audit::outgoing::{Batch, Bookmark, Outgoing};
use crate::store::StoreError;
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
    /// When the cursor was written last, or could not be.
    pub(super) saved: Instant,
    pub(super) cannot_save: bool,
    /// The last record that the other side has taken and that can be sent again, to tell a server that refuses a record
    /// from one that refuses everything.
    pub(super) taken: Option<Outgoing>,
    /// Of what has arrived, the other side has nothing behind this record any more.
    pub(super) lost: Option<u64>,
    /// Up to this record, the other side has records of this journal under another name.
    pub(super) earlier: Option<u64>,
    pub(super) losses: Losses,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// All of it was passed.
    Whole,
    /// Not all of it, and it goes on: what is left is read again.
    Part,
    /// It is to end before.
    Ended,
}

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All have arrived, as far as they are for this sink: so many.
    Arrived(usize),
    /// The sink has taken them in its hand, to tell of them later: they have not arrived.
    Held,
}

/// Why records have not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For what they are: the same ones will be refused again.
    Records(String),
    /// For now. How long the server wants to be left alone.
    Now(String, Option<Duration>),
    /// Of what has arrived, everything behind this record is not there any more.
    Lost(u64),
    /// Up to this record, they are there under another name of this journal.
    Earlier(u64),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Lost(seq) => Self::Lost(seq),
            StoreError::Earlier(seq) => Self::Earlier(seq),
            error => Self::Now(error.to_string(), None),
        }
    }
}

impl Keep {
    /// Sends what comes until it is told to stop, and then what is left, as long as it is taken.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let is_last = stop.is_cancelled();
            let looked = self.state.now();
            let last = (self.on_disk)();
            let batch = match self.read(last, &stop).await {
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
                    after_record = self.bookmark.seq(),
                    "records are not in the journal any more, or damaged, and are not sent"
                );
            }
            pause = FIRST_PAUSE;
            match self.deliver(&batch.records, &stop).await {
                Delivered::Whole => {}
                Delivered::Part => continue,
                Delivered::Ended => break,
            }
            if batch.records.last().is_none_or(|it| it.seq >= last) && !self.sink.holds() {
                self.state.complete(&self.name, looked);
            }
            if self.saved.elapsed() >= SAVE {
                self.save();
            }
            if batch.records.is_empty() {
                let is_delivered = self.deliver_held(is_last, &stop).await;
                if let Err(Refusal::Lost(seq)) = self.sink.rest(is_last).await {
                    self.lost = Some(seq);
                    continue;
                }
                if !is_delivered || is_last {
                    break;
                }
                stop.run_until_cancelled(sleep(LOOK)).await;
            }
        }
        self.save();
    }

    /// What comes next; if the other side has lost what it had, that.
    async fn read(&mut self, last: u64, stop: &CancellationToken) -> io::Result<Batch> {
        let sent = self.bookmark.seq();
        if let Some(seq) = self.lost
            && self.bookmark.lost(seq)?
        {
            let after = self.bookmark.seq();
            self.state.stands(&self.name, after);
            self.save();
            self.metrics.shipping_failed(&self.name);
            let pause = self.losses.another();
            // Once, however often it happens.
            if pause.is_zero() {
                tracing::warn!(
                    sink = %self.name, after_record = after, sent,
                    "records that were sent are not there any more: they are sent again"
                );
            }
            stop.run_until_cancelled(sleep(pause)).await;
        }
        self.lost = None;
        if let Some(seq) = self.earlier {
            self.bookmark.sent_before(seq)?;
            self.state.stands(&self.name, self.bookmark.seq());
            self.save();
            tracing::info!(
                sink = %self.name, up_to_record = seq,
                "records are there under an earlier name of this journal: they are not sent again"
            );
        }
        self.earlier = None;
        self.bookmark.next(last, self.sink.most())
    }

    /// Sends records until all have arrived, or are held.
    async fn deliver(&mut self, records: &[Outgoing], stop: &CancellationToken) -> Delivered {
        let (mut rest, mut count) = (records, records.len());
        let mut pause = FIRST_PAUSE;
        while let Some((part, behind)) = rest.split_at_checked(count.min(rest.len()))
            && let Some(last) = part.last()
        {
            let sending = self.sink.send(part);
            // One that has failed is not waited for at the end.
            let sent = if self.state.is_failing(&self.name) {
                match stop.run_until_cancelled(sending).await {
                    Some(sent) => sent,
                    None => return Delivered::Ended,
                }
            } else {
                sending.await
            };
            let is_refused = matches!(sent, Err(Refusal::Records(_)));
            let is_told = is_refused
                && part.len() == 1
                && self.refused == Refused::Skip
                && self.takes_another(rest, last.seq).await;
            // Refused before and behind one that was taken: the server may have begun to take records in between.
            let sent = if is_told {
                self.sink.send(part).await
            } else {
                sent
            };
            let refusal = match sent {
                Ok(sent) => {
                    self.remember(sent, part);
                    self.bookmark.passed(last);
                    self.sent(sent);
                    None
                }
                // It is looked for which one it is.
                Err(Refusal::Records(_)) if part.len() > 1 => {
                    count = part.len().div_ceil(2);
                    continue;
                }
                Err(Refusal::Records(reason)) if is_told => {
                    self.metrics.records_not_shipped(&self.name, 1);
                    tracing::error!(sink = %self.name, record = last.seq, reason, "a record is refused and left out");
                    self.bookmark.passed(last);
                    self.sent(Sent::Arrived(0));
                    None
                }
                Err(Refusal::Records(reason)) => {
                    Some((format!("record {}: {reason}", last.seq), None))
                }
                Err(Refusal::Now(reason, patience)) => Some((reason, patience)),
                Err(Refusal::Lost(seq)) => {
                    self.lost = Some(seq);
                    return Delivered::Part;
                }
                Err(Refusal::Earlier(seq)) => {
                    self.earlier = Some(seq);
                    return Delivered::Part;
                }
            };
            if let Some((reason, patience)) = refusal {
                self.failed(&reason);
                self.save();
                if is_refused && self.refused == Refused::Skip {
                    // Another one may have come, by which the server can be told from the record.
                    pause = ANOTHER;
                }
                if stop.is_cancelled() || !wait(&mut pause, patience, stop).await {
                    return Delivered::Ended;
                }
                if is_refused && self.refused == Refused::Skip {
                    return Delivered::Part;
                }
                continue;
            }
            rest = behind;
            // Where one is left out, the next often is.
            count = (count * if is_told { 1 } else { 2 }).min(records.len());
            pause = FIRST_PAUSE;
            if self.saved.elapsed() >= SAVE {
                self.save();
            }
        }
        Delivered::Whole
    }

    /// Sends what the sink holds, where it is time for that; before the end it is. `false`: it ends before.
    async fn deliver_held(&mut self, is_last: bool, stop: &CancellationToken) -> bool {
        let mut pause = FIRST_PAUSE;
        while self.sink.holds() {
            let (reason, patience) = match self.sink.send_held(is_last).await {
                Ok(Sent::Held) => return true,
                Ok(sent) => {
                    self.sent(sent);
                    return true;
                }
                Err(Refusal::Now(reason, patience)) => (reason, patience),
                Err(Refusal::Records(reason)) => (reason, None),
                Err(Refusal::Lost(seq)) => {
                    self.lost = Some(seq);
                    return true;
                }
                Err(Refusal::Earlier(seq)) => {
                    self.earlier = Some(seq);
                    return true;
                }
            };
            self.failed(&reason);
            if stop.is_cancelled() || !wait(&mut pause, patience, stop).await {
                return false;
            }
        }
        true
    }

    /// What was passed is held, or has arrived.
    fn sent(&mut self, sent: Sent) {
        let Sent::Arrived(records) = sent else {
            return;
        };
        self.bookmark.arrived();
        self.metrics.shipped(&self.name, records as u64);
        let seq = self.bookmark.seq();
        if self.state.arrived(&self.name, seq, records > 0).is_some() {
            tracing::info!(sink = %self.name, record = seq, "records arrive again");
        }
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
        self.saved = Instant::now();
        if !self.bookmark.is_ahead() {
            return;
        }
        match self.bookmark.save() {
            Ok(()) => {
                self.cannot_save = false;
                self.state.saved(&self.name, self.bookmark.seq());
            }
            Err(error) => {
                self.metrics.shipping_failed(&self.name);
                // Once, however long it lasts.
                if !std::mem::replace(&mut self.cannot_save, true) {
                    tracing::warn!(sink = %self.name, %error, "how far it is cannot be written");
                }
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
/// Until it is looked for another record than one that is refused.
const ANOTHER: Duration = Duration::from_secs(5);
/// However long a server wants to be left alone.
const LONGEST_PATIENCE: Duration = Duration::from_mins(5);
