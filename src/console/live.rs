//! Decisions as they come, as server-sent events.
//!
//! One thread reads for all who look on, as long as anybody does. Each says which decision it has seen last, and is told
//! what came since: between a page and its first event, and while a connection was lost, nothing is left out. Who is slow
//! loses what came meanwhile and is told so, and all are told while nothing can be read. No more than so many look on at
//! once, and of one viewer a few.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use http_body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::interval;

use super::desk::Gate;
use super::login::Holds;
use super::page::guard;
use super::pages::decisions::rows;
use super::params::{Params, encoded};
use super::row::Row;
use super::search::patterns;
use super::shares::{Share, Shares};
use super::{Fault, Viewer};
use crate::audit::Stop;
use crate::audit::index::{Filter, Pattern};
use crate::listener::{Body, BodyError, boxed};
use crate::store::Key;
use crate::telemetry::Limit;

/// Tells everybody who looks on.
pub(super) struct Live {
    rows: broadcast::Sender<Arc<News>>,
    places: Shares,
    gate: Gate,
    reads: Reads,
    seen: Arc<Seen>,
}

/// What the thread that reads and those who look on know of each other.
#[derive(Default)]
struct Seen {
    /// Nothing can be read at this moment.
    is_unread: AtomicBool,
    /// Those who want to know what came since they looked last.
    joining: Mutex<Vec<Joining>>,
}

/// Somebody who wants to know that.
struct Joining {
    environments: Vec<Pattern>,
    /// What they have seen last; `None`: nothing.
    last: Option<Key>,
    told: oneshot::Sender<Vec<News>>,
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
    /// Decisions of which it was told when it joined.
    told: HashSet<Key>,
    seen: Arc<Seen>,
    /// It was told that nothing can be read.
    is_unread: bool,
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
    _place: Share,
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
        let thread = std::thread::Builder::new().name("console-live".to_owned());
        let reading = move || {
            (gate.step_back)();
            let mut known: Option<HashSet<Key>> = None;
            while reader.goes_on(&rows) {
                let (stop, _waiting) = Stop::after(LOOK);
                let gate = gate.until(stop);
                match newest(&gate, known.as_ref()) {
                    Ok((found, new)) => {
                        known = Some(found);
                        for news in new {
                            let _nobody = rows.send(Arc::new(news));
                        }
                        seen.is_read();
                        // Behind what is known: what comes later is told to all.
                        seen.tell(&gate);
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

impl Seen {
    fn joining(&self) -> MutexGuard<'_, Vec<Joining>> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since `last`, as soon as somebody has looked.
    fn join(&self, last: Option<Key>, environments: Vec<Pattern>) -> oneshot::Receiver<Vec<News>> {
        let (told, missed) = oneshot::channel();
        self.joining().push(Joining {
            environments,
            last,
            told,
        });
        missed
    }

    /// Tells those who have joined.
    fn tell(&self, gate: &Gate) {
        let joining = std::mem::take(&mut *self.joining());
        for it in joining.into_iter().filter(|it| !it.told.is_closed()) {
            let missed = it.missed(gate).unwrap_or_else(|error| {
                tracing::debug!(%error, "it is not known what somebody has missed");
                vec![News::Lost]
            });
            let _gone = it.told.send(missed);
        }
    }

    fn is_read(&self) {
        if self.is_unread.swap(false, Ordering::Relaxed) {
            tracing::info!("the console reads what is new again");
        }
    }

    fn is_not_read(&self, error: &Fault) {
        if !self.is_unread.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the console cannot read what is new");
        }
    }
}

impl Joining {
    /// The oldest first. Where the last one is too far back, some are lost.
    fn missed(&self, gate: &Gate) -> Result<Vec<News>, Fault> {
        let source = gate.open()?;
        let filter = Filter {
            environment: self.environments.clone(),
            ..Filter::default()
        };
        let mut new = source.find(&filter, None, LOOKED_AT + 1)?.decisions;
        let known = match &self.last {
            None => (new.len() <= LOOKED_AT).then_some(new.len()),
            Some(last) => new.iter().position(|it| it.key() == *last),
        };
        new.truncate(known.unwrap_or(LOOKED_AT));
        new.reverse();
        let lost = known.is_none().then_some(News::Lost);
        let rows = rows(&source, &new)?.0.into_iter();
        let rows = rows.map(Box::new).map(News::Row);
        Ok(lost.into_iter().chain(rows).collect())
    }
}

/// What somebody says that they have seen last, if they say it: a browser that comes again, or the address of a page.
#[expect(
    clippy::option_option,
    reason = "somebody may say that they have seen nothing"
)]
fn last(params: &Params, parts: &Parts) -> Result<Option<Option<Key>>, Fault> {
    let again = parts.headers.get(LAST).and_then(|id| id.to_str().ok());
    let said = again
        .filter(|id| !id.is_empty())
        .or_else(|| params.get(FROM));
    match said {
        None => Ok(None),
        Some(NOTHING) => Ok(Some(None)),
        Some(id) => match key(id) {
            Some(key) => Ok(Some(Some(key))),
            None => Err(Fault::Invalid(format!(
                "{FROM}: this is no decision: load the page again."
            ))),
        },
    }
}

/// By which a decision is known here.
pub(super) fn id(key: &Key) -> String {
    match &*key.gate {
        "" => key.seq.to_string(),
        gate => format!("{}/{}", encoded(gate), key.seq),
    }
}

fn key(id: &str) -> Option<Key> {
    let (gate, seq) = id.rsplit_once('/').unwrap_or(("", id));
    let gate = percent_encoding::percent_decode_str(gate).decode_utf8();
    Some(Key {
        gate: gate.ok()?.into_owned(),
        seq: seq.parse().ok()?,
    })
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
    missed: Option<oneshot::Receiver<Vec<News>>>,
    mut listener: Listener,
) {
    let mut waits = missed.is_some();
    let missed = async move {
        match missed {
            Some(missed) => missed.await.unwrap_or_else(|_failed| vec![News::Lost]),
            None => Vec::new(),
        }
    };
    tokio::pin!(missed);
    let mut beats = interval(BEAT);
    let ends = tokio::time::sleep(LONGEST);
    tokio::pin!(ends);
    loop {
        let told: Vec<Bytes> = tokio::select! {
            () = &mut ends => return,
            () = events.closed() => return,
            _ = beats.tick() => vec![listener.beat()],
            news = &mut missed, if waits => {
                waits = false;
                let told = news.iter().filter_map(|news| listener.news(news)).collect();
                listener.told.extend(news.iter().filter_map(News::key));
                told
            }
            news = rows.recv(), if !waits => match news.as_deref() {
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => vec![Bytes::from_static(LOST)],
                Ok(news) => listener.news(news).into_iter().collect(),
            },
        };
        for event in told {
            // Whoever has logged out is told nothing more.
            if !(listener.holds)() || events.send(event).await.is_err() {
                return;
            }
        }
    }
}

impl News {
    fn key(&self) -> Option<Key> {
        match self {
            Self::Row(row) => Some(row.key()),
            Self::Lost => None,
        }
    }
}

impl Listener {
    /// That it is there, or that it cannot read.
    fn beat(&mut self) -> Bytes {
        let was_unread = self.is_unread;
        self.is_unread = self.seen.is_unread.load(Ordering::Relaxed);
        Bytes::from_static(match (self.is_unread, was_unread) {
            (true, _) => UNREAD,
            (false, true) => READ,
            (false, false) => STILL_HERE,
        })
    }

    fn news(&self, news: &News) -> Option<Bytes> {
        match news {
            News::Lost => Some(Bytes::from_static(LOST)),
            News::Row(row) if self.told.contains(&row.key()) => None,
            News::Row(row) => self.event(row),
        }
    }

    fn event(&self, row: &Row) -> Option<Bytes> {
        let mut environments = self.environments.iter();
        let is_meant =
            self.environments.is_empty() || environments.any(|it| it.fits(&row.cells.environment));
        if !is_meant {
            return None;
        }
        let html = row.html(&self.viewer, self.has_gates).into_string();
        // One line: nothing that is shown has an end of line in it.
        let id = id(&row.key());
        Some(Bytes::from(format!(
            "event: decision\nid: {id}\ndata: {html}\n\n"
        )))
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
/// The name by which a page says which decision it has seen last, and the word for none.
pub(super) const FROM: &str = "from";
pub(super) const NOTHING: &str = "none";
/// The same of a browser that comes again.
const LAST: HeaderName = HeaderName::from_static("last-event-id");
const LOST: &[u8] = b"event: lost\ndata: some decisions\n\n";
const UNREAD: &[u8] = b"event: unread\ndata: nothing can be read\n\n";
const READ: &[u8] = b"event: read\ndata: it can be read again\n\n";
const STILL_HERE: &[u8] = b": still here\n\n";
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
/// How often a connection shows that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// How long one is kept: browsers come again by themselves.
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::console::desk::tests::gate_of;

    fn listener(query: &str) -> Listener {
        let params = Params::of(query);
        Listener {
            viewer: Viewer::anybody(),
            environments: patterns(&params, "environment"),
            has_gates: params.get(GATES).is_some(),
            holds: Box::new(|| true),
            told: HashSet::new(),
            seen: Arc::default(),
            is_unread: false,
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
        tokio::spawn(tell(rows, events, None, listener));
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

    fn numbers(news: &[News]) -> Vec<Option<u64>> {
        news.iter().map(|it| it.key().map(|key| key.seq)).collect()
    }

    #[test]
    fn whoever_joins_is_told_what_came_since_and_what_is_lost() {
        let missed = |count: usize, last: Option<u64>| {
            let last = last.map(|seq| Key {
                gate: String::new(),
                seq,
            });
            let (told, _missed) = oneshot::channel();
            let joining = Joining {
                environments: Vec::new(),
                last,
                told,
            };
            numbers(&joining.missed(&gate_of(count)).unwrap())
        };
        assert_eq!(missed(5, Some(3)), [Some(4), Some(5)]);
        assert_eq!(missed(5, Some(5)), []);
        assert_eq!(missed(2, None), [Some(1), Some(2)]);
        let far = missed(LOOKED_AT + 2, Some(1));
        assert_eq!((far.len(), far[0], far[1]), (LOOKED_AT + 1, None, Some(3)));
        // One that was never there, or not any more.
        assert_eq!(missed(2, Some(9)), [None, Some(1), Some(2)]);
        assert_eq!(missed(LOOKED_AT + 1, None)[0], None);
    }

    #[test]
    fn a_browser_that_comes_again_says_what_it_has_seen() {
        let said = |query: &str, header: Option<&str>| {
            let request = http::Request::get("/console/live");
            let request = header
                .into_iter()
                .fold(request, |it, id| it.header(LAST, id));
            let parts = request.body(()).unwrap().into_parts().0;
            last(&Params::of(query), &parts).map_err(|fault| fault.to_string())
        };
        let key = |gate: &str, seq| Key {
            gate: gate.to_owned(),
            seq,
        };
        assert_eq!(said("", None), Ok(None));
        assert_eq!(said("from=none", None), Ok(Some(None)));
        assert_eq!(said("from=7", None), Ok(Some(Some(key("", 7)))));
        assert_eq!(said("from=7", Some("9")), Ok(Some(Some(key("", 9)))));
        let of_store = key("eu/1 é", 3);
        assert_eq!(
            said("from=7", Some(&id(&of_store))),
            Ok(Some(Some(of_store)))
        );
        assert!(said("from=x", None).is_err());
    }

    #[tokio::test]
    async fn what_was_missed_comes_first_and_once() {
        let gate = gate_of(3);
        let source = gate.open().unwrap();
        let page = source.find(&Filter::default(), None, 3).unwrap();
        let row = |at: usize| {
            let row = rows(&source, &page.decisions).unwrap().0.remove(at);
            News::Row(Box::new(row))
        };
        let (news, receiver) = broadcast::channel(8);
        let (events, mut told) = mpsc::channel(8);
        let (missed, waiting) = oneshot::channel();
        tokio::spawn(tell(receiver, events, Some(waiting), listener("")));
        assert!(told.recv().await.unwrap().starts_with(b":"));
        // The newest is found by both.
        for at in [0, 0] {
            news.send(Arc::new(row(at))).ok().unwrap();
        }
        missed.send(vec![News::Lost, row(1), row(0)]).ok().unwrap();
        news.send(Arc::new(row(2))).ok().unwrap();
        let mut next = async || String::from_utf8(told.recv().await.unwrap().to_vec()).unwrap();
        assert!(next().await.starts_with("event: lost"));
        for id in [2, 3, 1] {
            let event = next().await;
            assert!(event.contains(&format!("\nid: {id}\n")), "{event}");
        }
    }

    #[test]
    fn all_are_told_while_nothing_can_be_read() {
        let mut listener = listener("");
        let seen = listener.seen.clone();
        assert_eq!(&*listener.beat(), STILL_HERE);
        for _ in 0..2 {
            seen.is_not_read(&Fault::Late);
            assert_eq!(&*listener.beat(), UNREAD);
        }
        seen.is_read();
        assert_eq!(&*listener.beat(), READ);
        assert_eq!(&*listener.beat(), STILL_HERE);
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
