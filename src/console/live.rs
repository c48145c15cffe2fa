//! Decisions as they come, as server-sent events.
//!
//! One thread reads for all who look on, as long as anybody does. Who is slow loses what came meanwhile and is told so; no
//! more than so many look on at once.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::interval;

use super::desk::Gate;
use super::login::Holds;
use super::page::guard;
use super::pages::decisions::rows;
use super::params::Params;
use super::row::Row;
use super::search::patterns;
use super::{Fault, Viewer};
use crate::audit::Stop;
use crate::audit::index::{Filter, Pattern};
use crate::listener::{Body, BodyError, boxed};
use crate::store::Key;
use crate::telemetry::Limit;

/// Tells everybody who looks on.
pub(super) struct Live {
    rows: broadcast::Sender<Arc<News>>,
    places: Arc<Semaphore>,
    gate: Gate,
    reads: Reads,
}

/// What all are told.
enum News {
    Row(Box<Row>),
    /// There were more decisions than are looked at.
    Lost,
}

/// Who is told, and what of it.
struct Listener {
    viewer: Viewer,
    /// Decisions of these; none: of all.
    environments: Vec<Pattern>,
    /// The table has a column for the gate.
    has_gates: bool,
    holds: Holds,
}

/// Whether a thread reads: one at most.
#[derive(Clone, Default)]
struct Reads(Arc<Mutex<bool>>);

/// The thread that reads. Dropped before it has ended: it has failed, and another one may begin.
struct Reader {
    reads: Reads,
    has_ended: bool,
}

/// The body of an answer that goes on.
struct Events {
    events: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            rows: broadcast::channel(BEHIND).0,
            places: Arc::new(Semaphore::new(MOST)),
            gate,
            reads: Reads::default(),
        }
    }

    /// So many look on now.
    pub(super) fn count(&self) -> usize {
        MOST.saturating_sub(self.places.available_permits())
    }

    /// Goes on until whoever asked has gone or has logged out, or an hour is over.
    pub(super) fn answer(
        &self,
        params: &Params,
        viewer: Viewer,
        holds: Holds,
    ) -> Result<Response<Body>, Fault> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_full| {
            self.gate.metrics.reached(Limit::ConsoleLive);
            Fault::Busy
        })?;
        let rows = self.reads.join(&self.rows, |reader| self.begin(reader))?;
        let listener = Listener {
            viewer,
            environments: patterns(params, "environment"),
            has_gates: params.get(GATES).is_some(),
            holds,
        };
        let (events, receiver) = mpsc::channel(WAITING);
        tokio::spawn(tell(rows, events, listener));
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
        let thread = std::thread::Builder::new().name("console-live".to_owned());
        let reading = move || {
            (gate.step_back)();
            let mut known: Option<HashSet<Key>> = None;
            while reader.goes_on(&rows) {
                let (stop, _waiting) = Stop::after(LOOK);
                match newest(&gate.until(stop), known.as_ref()) {
                    Ok((seen, new)) => {
                        known = Some(seen);
                        for news in new {
                            let _nobody = rows.send(Arc::new(news));
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the console cannot read what is new"),
                }
                std::thread::sleep(PAUSE);
            }
        };
        let started = thread.spawn(reading);
        started.map_err(|error| Fault::Failed(format!("no thread can be had: {error}")))?;
        Ok(())
    }
}

impl Reads {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks on. Where no thread reads, one begins.
    fn join<T: Clone>(
        &self,
        rows: &broadcast::Sender<T>,
        begin: impl FnOnce(Reader) -> Result<(), Fault>,
    ) -> Result<broadcast::Receiver<T>, Fault> {
        // Held until it is known: a thread that is about to end sees who has come, or has ended before.
        let mut is_read = self.lock();
        let receiver = rows.subscribe();
        if !*is_read {
            let reader = Reader {
                reads: self.clone(),
                has_ended: false,
            };
            *is_read = true;
            // What is not begun is dropped, which takes the lock.
            drop(is_read);
            begin(reader)?;
        }
        Ok(receiver)
    }
}

impl Reader {
    /// Whether anybody looks on. Where nobody does, it has ended.
    fn goes_on<T>(&mut self, rows: &broadcast::Sender<T>) -> bool {
        let mut is_read = self.reads.lock();
        if rows.receiver_count() > 0 {
            return true;
        }
        *is_read = false;
        self.has_ended = true;
        false
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Another one may have begun since it has ended.
        if !self.has_ended {
            *self.reads.lock() = false;
        }
    }
}

/// The newest decisions, and those of them that were not there before, the oldest first.
fn newest(gate: &Gate, known: Option<&HashSet<Key>>) -> Result<(HashSet<Key>, Vec<News>), Fault> {
    let source = gate.open()?;
    // One more than is told: where it is new, too, it is lost.
    let mut new = source
        .find(&Filter::default(), None, LOOKED_AT + 1)?
        .decisions;
    let seen = new.iter().map(crate::store::Found::key).collect();
    let Some(known) = known else {
        return Ok((seen, Vec::new()));
    };
    new.retain(|it| !known.contains(&it.key()));
    let is_lost = new.len() > LOOKED_AT;
    new.truncate(LOOKED_AT);
    new.reverse();
    let rows = rows(&source, &new)?
        .0
        .into_iter()
        .map(Box::new)
        .map(News::Row);
    let lost = is_lost.then_some(News::Lost);
    Ok((seen, lost.into_iter().chain(rows).collect()))
}

/// What one of them is told.
async fn tell(
    mut rows: broadcast::Receiver<Arc<News>>,
    events: mpsc::Sender<Bytes>,
    listener: Listener,
) {
    let mut beats = interval(BEAT);
    let ends = tokio::time::sleep(LONGEST);
    tokio::pin!(ends);
    loop {
        let event = tokio::select! {
            () = &mut ends => return,
            () = events.closed() => return,
            _ = beats.tick() => Some(Bytes::from_static(b": still here\n\n")),
            news = rows.recv() => match news.as_deref() {
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) | Ok(News::Lost) => Some(Bytes::from_static(LOST)),
                Ok(News::Row(row)) => listener.event(row),
            },
        };
        // Whoever has logged out is told nothing more.
        if !(listener.holds)() {
            return;
        }
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

impl Listener {
    fn event(&self, row: &Row) -> Option<Bytes> {
        let mut environments = self.environments.iter();
        let is_meant =
            self.environments.is_empty() || environments.any(|it| it.fits(&row.cells.environment));
        if !is_meant {
            return None;
        }
        let html = row.html(&self.viewer, self.has_gates).into_string();
        // One line: nothing that is shown has an end of line in it.
        Some(Bytes::from(format!("event: decision\ndata: {html}\n\n")))
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let event = ready!(self.events.poll_recv(context));
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}

/// The name by which a page says that its table has a column for the gate.
pub(super) const GATES: &str = "gates";
const LOST: &[u8] = b"event: lost\ndata: some decisions\n\n";
/// Who look on at once.
const MOST: usize = 32;
/// Rows that somebody may be behind.
const BEHIND: usize = 128;
/// Events that wait for one connection.
const WAITING: usize = 8;
/// Decisions that are told each time.
const LOOKED_AT: usize = 50;
const PAUSE: Duration = Duration::from_secs(1);
/// How long one look at them may take.
const LOOK: Duration = Duration::from_secs(10);
/// How often a connection shows that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// How long one is kept: browsers come again by themselves.
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::console::desk::tests::gate_of;

    fn listener(query: &str) -> Listener {
        let params = Params::of(query);
        Listener {
            viewer: Viewer::anybody(),
            environments: patterns(&params, "environment"),
            has_gates: params.get(GATES).is_some(),
            holds: Box::new(|| true),
        }
    }

    fn row(gate: &Gate) -> Row {
        let source = gate.open().unwrap();
        let page = source.find(&Filter::default(), None, 1).unwrap();
        let mut row = rows(&source, &page.decisions).unwrap().0.remove(0);
        "prod-1".clone_into(&mut row.cells.environment);
        row
    }

    #[test]
    fn more_decisions_than_are_looked_at_are_said_to_be_lost() {
        let new = |count: usize, known: &[u64]| {
            let known = known.iter().map(|seq| Key {
                gate: String::new(),
                seq: *seq,
            });
            newest(&gate_of(count), Some(&known.collect())).unwrap().1
        };
        let lost = |new: &[News]| new.iter().filter(|it| matches!(it, News::Lost)).count();
        let exactly = new(LOOKED_AT + 1, &[1]);
        assert_eq!((exactly.len(), lost(&exactly)), (LOOKED_AT, 0));
        let more = new(LOOKED_AT + 2, &[1]);
        assert_eq!((more.len(), lost(&more)), (LOOKED_AT + 1, 1));
        assert!(matches!(more[0], News::Lost));
    }

    #[test]
    fn rows_are_those_of_the_page_with_its_columns() {
        let row = row(&gate_of(1));
        for (query, is_told) in [
            ("", true),
            ("environment=prod-1", true),
            ("environment=prod*", true),
            ("environment=dev&environment=prod*", true),
            ("environment=dev", false),
        ] {
            assert_eq!(listener(query).event(&row).is_some(), is_told, "{query}");
        }
        for (query, has_gates) in [("", false), ("gates=1", true)] {
            let event = listener(query).event(&row).unwrap();
            let text = String::from_utf8_lossy(&event).into_owned();
            assert_eq!(text.contains("data-title=\"Gate\""), has_gates, "{text}");
        }
    }

    #[tokio::test]
    async fn whoever_has_logged_out_is_told_nothing_more() {
        let (news, rows) = broadcast::channel(4);
        let (events, mut told) = mpsc::channel(4);
        let is_in = Arc::new(AtomicBool::new(true));
        let asked = is_in.clone();
        let listener = Listener {
            holds: Box::new(move || asked.load(Ordering::Relaxed)),
            ..listener("")
        };
        tokio::spawn(tell(rows, events, listener));
        assert!(told.recv().await.unwrap().starts_with(b":"));
        let gate = gate_of(1);
        news.send(Arc::new(News::Row(Box::new(row(&gate)))))
            .ok()
            .unwrap();
        assert!(told.recv().await.unwrap().starts_with(b"event: decision"));
        is_in.store(false, Ordering::Relaxed);
        news.send(Arc::new(News::Row(Box::new(row(&gate)))))
            .ok()
            .unwrap();
        assert_eq!(told.recv().await, None);
    }

    /// Who looks on, and the readers that have threads.
    #[test]
    fn one_reads_however_often_a_page_is_loaded_again() {
        let (rows, _) = broadcast::channel::<u8>(1);
        let (reads, threads) = (Reads::default(), RefCell::new(Vec::new()));
        let join = || {
            let begin = |reader| {
                threads.borrow_mut().push(reader);
                Ok(())
            };
            reads.join(&rows, begin).unwrap()
        };
        let count = || threads.borrow().len();
        drop(join());
        // The reader has not looked since the first one went.
        let again = join();
        assert_eq!(count(), 1);
        assert!(threads.borrow_mut()[0].goes_on(&rows));
        drop(again);
        assert!(!threads.borrow_mut()[0].goes_on(&rows));
        let _later = join();
        assert_eq!(count(), 2);
        // The first one is gone only now: that is not the end of the second.
        drop(threads.borrow_mut().remove(0));
        let _more = join();
        assert_eq!(count(), 1);
        // One that failed makes room for another.
        threads.borrow_mut().clear();
        let _after = join();
        assert_eq!(count(), 1);
        let refused = Reads::default().join(&rows, |_reader| Err(Fault::Busy));
        assert!(matches!(refused, Err(Fault::Busy)));
    }
}
