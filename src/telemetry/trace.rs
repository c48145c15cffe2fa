//! Traces: the way of a request, step by step.
//!
//! A request that is not traced has an empty [`Trace`]: nothing is made for it, and no clock is asked. One that is
//! traced is kept until it ends, and then put into a queue that nobody waits for ([`super::otlp`] sends it). A step ends
//! where the next one begins, so that a way needs one line a step.
//!
//! Names of attributes are our own constants. A value that a client wrote is taken as `Redacted` and no other.

mod attributes;
mod context;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::otlp::{Ratio, Sampling};
use super::{Limit, Metrics};
pub use attributes::{Attributes, Value};
pub(super) use context::Context;

/// Begins traces. Clones are the same one; the default makes none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    sampling: Sampling,
    ratio: Ratio,
    /// Draws the lot for the id of a trace. Clients choose ids, and do not know what it makes of them.
    lots: RandomState,
    queue: Sender<Finished>,
    metrics: Metrics,
    now: fn() -> Timestamp,
}

/// One request's trace, if it has one. Clones are the same one; it ends with the last of them.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Traced>>);

struct Traced {
    tracer: Arc<Inner>,
    /// The request's own span.
    context: Context,
    parent: Option<[u8; 8]>,
    at: Timestamp,
    began: Instant,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    attributes: Attributes,
    steps: Vec<Stepped>,
    /// When the request had its answer. It may go on for longer.
    answered: Option<Duration>,
    is_discarded: bool,
}

/// What a request's way is made of, in this order. What does not happen is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Who asks: checks its JSON Web Token, and may wait for keys.
    Identify,
    /// Where to: looks at the head, and at the body where the head does not tell.
    Route,
    ReadBody,
    /// Reads the body as JSON; waits for a turn.
    Understand,
    /// Asks the upstream about the token; waits for its turn.
    LookUp,
    /// Writes the input and asks the policies; waits for a turn.
    Judge,
    /// Waits for the decision, or the refusal, to be on disk.
    Record,
    /// Waits for the upstream's answer to begin, or to be read where it makes a credential.
    Forward,
    /// Waits for the outcome to be on disk.
    RecordOutcome,
}

impl Step {
    pub const ALL: [Self; 9] = [
        Self::Identify,
        Self::Route,
        Self::ReadBody,
        Self::Understand,
        Self::LookUp,
        Self::Judge,
        Self::Record,
        Self::Forward,
        Self::RecordOutcome,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Route => "route",
            Self::ReadBody => "read body",
            Self::Understand => "understand",
            Self::LookUp => "look up",
            Self::Judge => "judge",
            Self::Record => "record",
            Self::Forward => "forward",
            Self::RecordOutcome => "record outcome",
        }
    }

    /// Whether somebody else is asked.
    pub(super) fn is_a_call(self) -> bool {
        matches!(self, Self::LookUp | Self::Forward)
    }
}

/// A step that was begun. Times count from the beginning of the trace.
pub(super) struct Stepped {
    pub(super) step: Step,
    pub(super) id: [u8; 8],
    pub(super) began: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) attributes: Attributes,
}

/// A trace that has ended.
pub(super) struct Finished {
    pub(super) context: Context,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) attributes: Attributes,
    pub(super) steps: Vec<Stepped>,
}

impl Finished {
    /// One of the request, one of each step.
    pub(super) fn spans(&self) -> u64 {
        1 + u64::try_from(self.steps.len()).unwrap_or(u64::MAX - 1)
    }
}

impl Tracer {
    pub(super) fn new(
        sampling: Sampling,
        ratio: Ratio,
        queue: Sender<Finished>,
        metrics: Metrics,
        now: fn() -> Timestamp,
    ) -> Self {
        Self(Some(Arc::new(Inner {
            sampling,
            ratio,
            lots: RandomState::new(),
            queue,
            metrics,
            now,
        })))
    }

    /// The trace of a request with these header fields, if it is to have one.
    pub fn trace(&self, headers: &HeaderMap) -> Trace {
        let Some(tracer) = &self.0 else {
            return Trace::default();
        };
        let client = Context::of_client(headers);
        let trace = client.map_or_else(|| *Uuid::new_v4().as_bytes(), |client| client.trace);
        let is_sampled = match (tracer.sampling, client) {
            (Sampling::Parent, Some(client)) => client.is_sampled,
            (Sampling::Parent | Sampling::Ratio, _) => {
                tracer.ratio.takes(tracer.lots.hash_one(trace))
            }
        };
        if !is_sampled {
            return Trace::default();
        }
        let context = Context {
            trace,
            span: span_id(),
            is_sampled,
        };
        Trace(Some(Arc::new(Traced {
            tracer: tracer.clone(),
            context,
            parent: client.map(|client| client.span),
            at: (tracer.now)(),
            began: Instant::now(),
            told: Mutex::default(),
        })))
    }
}

impl Trace {
    /// Begins a step, and ends the one before.
    pub fn step(&self, step: Step) {
        let Some(traced) = &self.0 else { return };
        let now = traced.began.elapsed();
        let mut told = traced.told();
        told.end_step(now);
        told.steps.push(Stepped {
            step,
            id: span_id(),
            began: now,
            ended: None,
            attributes: Attributes::default(),
        });
    }

    /// Says something about the request.
    pub fn tell(&self, say: impl FnOnce(&mut Attributes)) {
        if let Some(traced) = &self.0 {
            say(&mut traced.told().attributes);
        }
    }

    /// Says something about the step that was begun last.
    pub fn tell_step(&self, say: impl FnOnce(&mut Attributes)) {
        if let Some(traced) = &self.0
            && let Some(step) = traced.told().steps.last_mut()
        {
            say(&mut step.attributes);
        }
    }

    /// Makes the step that was begun last, or else the request, the parent of what the upstream does.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        let Some(traced) = &self.0 else { return };
        let step = traced.told().steps.last().map(|step| step.id);
        let context = Context {
            span: step.unwrap_or(traced.context.span),
            ..traced.context
        };
        context.pass_on(traced.parent.is_none(), headers);
    }

    /// The request has its answer.
    pub fn answered(&self, say: impl FnOnce(&mut Attributes)) {
        let Some(traced) = &self.0 else { return };
        let now = traced.began.elapsed();
        let mut told = traced.told();
        told.end_step(now);
        told.answered = Some(now);
        say(&mut told.attributes);
    }

    /// Nothing has happened yet: the request begins anew.
    pub fn discard(&self) {
        if let Some(traced) = &self.0 {
            traced.told().is_discarded = true;
        }
    }
}

impl Told {
    fn end_step(&mut self, now: Duration) {
        if let Some(step) = self.steps.last_mut() {
            step.ended.get_or_insert(now);
        }
    }
}

impl Traced {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traced {
    /// Its last holder is done: nobody waits for what becomes of it.
    fn drop(&mut self) {
        let now = self.began.elapsed();
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut told = std::mem::take(told);
        if told.is_discarded {
            return;
        }
        told.end_step(now);
        if told.answered.is_none() {
            told.attributes.set("error.type", "client-gone");
        }
        let finished = Finished {
            context: self.context,
            parent: self.parent,
            at: self.at,
            took: told.answered.unwrap_or(now),
            attributes: told.attributes,
            steps: told.steps,
        };
        if let Err(full) = self.tracer.queue.try_send(finished) {
            let spans = full.into_inner().spans();
            self.tracer.metrics.reached(Limit::OtlpQueue);
            self.tracer.metrics.spans_dropped(spans);
        }
    }
}

/// Random, and not all zeros: of the halves of a random UUID, where one has fixed bits the other has not.
fn span_id() -> [u8; 8] {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low).max(1).to_be_bytes()
}

#[cfg(test)]
mod tests;
