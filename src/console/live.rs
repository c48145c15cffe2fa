//! Decisions as they come, as server-sent events.
//!
//! One thread reads for all who look on, as long as anybody does. Each says which decision it has seen last, and is told
//! what came since: between a page and its first event, and while a connection was lost, nothing is left out. Who is slow
//! loses what came meanwhile and is told so, and all are told while nothing can be read. No more than so many look on at
//! once, and of one viewer a few.

mod known;
mod listener;
mod reads;
mod seen;
mod since;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response};
use tokio::sync::{broadcast, mpsc};

use self::known::Known;
use self::listener::{Events, Listener, tell};
use self::reads::{Reader, Reads};
use self::seen::Seen;
use self::since::last;
pub(super) use self::since::{FROM, Last, id};
use super::desk::Gate;
use super::login::Holds;
use super::page::guard;
use super::params::Params;
use super::row::Row;
use super::search::patterns;
use super::shares::Shares;
use super::{Fault, Viewer};
use crate::audit::Stop;
use crate::listener::{Body, boxed};
use crate::store::Key;
use crate::telemetry::Limit;
use crate::value::threads;

/// Tells everybody who looks on.
pub(super) struct Live {
    rows: broadcast::Sender<Arc<News>>,
    places: Shares,
    gate: Gate,
    reads: Reads,
    seen: Arc<Seen>,
}

/// What all are told.
enum News {
    Row(Box<Row>),
    /// One of which there is more to say than when it was told.
    Again(Box<Row>),
    /// There were more decisions than are looked at.
    Lost,
}

impl Live {
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            rows: broadcast::channel(BEHIND).0,
            places: Shares::new(MOST, OF_ONE),
            gate,
            reads: Reads::default(),
            seen: Arc::default(),
        }
    }

    /// So many look on now.
    pub(super) fn count(&self) -> usize {
        self.places.taken()
    }

    /// Goes on until whoever asked has gone or has logged out, or an hour is over.
    pub(super) fn answer(
        &self,
        params: &Params,
        parts: &Parts,
        viewer: Viewer,
        holds: Holds,
    ) -> Result<Response<Body>, Fault> {
        let last = last(params, parts)?;
        let place = self.places.take(&viewer).ok_or_else(|| {
            self.gate.metrics.reached(Limit::ConsoleLive);
            Fault::Busy
        })?;
        let rows = self.reads.join(&self.rows, |reader| self.begin(reader))?;
        let listener = Listener {
            viewer,
            environments: patterns(params, "environment"),
            has_gates: params.get(GATES).is_some(),
            holds,
            told: HashSet::new(),
            last: last.clone().unwrap_or_default(),
            seen: self.seen.clone(),
            is_unread: false,
        };
        let missed = last.map(|last| self.seen.join(last, listener.environments.clone()));
        let (events, receiver) = mpsc::channel(WAITING);
        tokio::spawn(tell(rows, events, missed, listener));
        let body = Events {
            events: receiver,
            _place: place,
        };
        let mut response = Response::new(boxed(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        guard(headers);
        Ok(response)
    }

    /// Reads for as long as anybody looks on.
    fn begin(&self, mut reader: Reader) -> Result<(), Fault> {
        let (gate, rows) = (self.gate.clone(), self.rows.clone());
        let seen = self.seen.clone();
        let thread = threads::named("console-live");
        let reading = move || {
            (gate.step_back)();
            let mut known: Option<Known> = None;
            while reader.goes_on(&rows) {
                let (stop, _waiting) = Stop::after(LOOK);
                match Known::look(&gate.until(stop), known.as_ref()) {
                    Ok((found, new)) => {
                        known = Some(found);
                        for news in new {
                            let _nobody = rows.send(Arc::new(news));
                        }
                        seen.is_read();
                        // Behind what is known: what comes later is told to all.
                        seen.tell(&gate, LOOK);
                    }
                    Err(error) => seen.is_not_read(&error),
                }
                std::thread::sleep(PAUSE);
            }
        };
        let started = thread.spawn(reading);
        started.map_err(|error| Fault::Broken {
            told: "No thread can be had.",
            error: error.to_string(),
        })?;
        Ok(())
    }
}

impl News {
    fn key(&self) -> Option<Key> {
        match self {
            Self::Row(row) => Some(row.key()),
            Self::Again(_) | Self::Lost => None,
        }
    }
}

/// The name by which a page says that its table has a column for the gate.
pub(super) const GATES: &str = "gates";
/// Who look on at once, and windows of one viewer.
const MOST: usize = 32;
const OF_ONE: usize = 4;
/// Rows that somebody may be behind.
const BEHIND: usize = 128;
/// Events that wait for one connection.
const WAITING: usize = 8;
/// Decisions that are told each time.
const LOOKED_AT: usize = 50;
const PAUSE: Duration = Duration::from_secs(1);
/// How long one look at them may take.
const LOOK: Duration = Duration::from_secs(10);
