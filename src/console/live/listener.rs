//! Somebody who looks on: what they are told, and the answer that goes on.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::interval;

use super::News;
use super::seen::Seen;
use super::since::Last;
use crate::audit::index::Pattern;
use crate::console::Viewer;
use crate::console::login::Holds;
use crate::console::row::Row;
use crate::console::shares::Share;
use crate::listener::BodyError;
use crate::store::Key;

/// Who is told, and what of it.
pub(super) struct Listener {
    pub(super) viewer: Viewer,
    /// Decisions of these; none: of all.
    pub(super) environments: Vec<Pattern>,
    /// The table has a column for the gate.
    pub(super) has_gates: bool,
    pub(super) holds: Holds,
    /// Decisions of which it was told when it joined.
    pub(super) told: HashSet<Key>,
    /// What it has seen last.
    pub(super) last: Last,
    pub(super) seen: Arc<Seen>,
    /// It was told that nothing can be read.
    pub(super) is_unread: bool,
}

/// The body of an answer that goes on.
pub(super) struct Events {
    pub(super) events: mpsc::Receiver<Bytes>,
    pub(super) _place: Share,
}

/// What one of them is told.
pub(super) async fn tell(
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

    fn news(&mut self, news: &News) -> Option<Bytes> {
        match news {
            News::Lost => Some(Bytes::from_static(LOST)),
            News::Row(row) if self.told.contains(&row.key()) => None,
            News::Row(row) => {
                let html = self.row(row)?;
                self.last.add(row.key());
                let id = self.last.text();
                Some(Bytes::from(format!(
                    "event: decision\nid: {id}\ndata: {html}\n\n"
                )))
            }
            News::Again(row) => {
                let html = self.row(row)?;
                Some(Bytes::from(format!("event: again\ndata: {html}\n\n")))
            }
        }
    }

    /// One line: nothing that is shown has an end of line in it. `None`: it is of another environment.
    fn row(&self, row: &Row) -> Option<String> {
        let mut environments = self.environments.iter();
        let is_meant =
            self.environments.is_empty() || environments.any(|it| it.fits(&row.cells.environment));
        is_meant.then(|| row.html(&self.viewer, self.has_gates).into_string())
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

const LOST: &[u8] = b"event: lost\ndata: some decisions\n\n";
const UNREAD: &[u8] = b"event: unread\ndata: nothing can be read\n\n";
const READ: &[u8] = b"event: read\ndata: it can be read again\n\n";
const STILL_HERE: &[u8] = b": still here\n\n";
/// How often a connection shows that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// How long one is kept: browsers come again by themselves.
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::audit::index::Filter;
    use crate::console::Fault;
    use crate::console::desk::Gate;
    use crate::console::desk::tests::gate_of;
    use crate::console::live::GATES;
    use crate::console::pages::decisions::rows;
    use crate::console::params::Params;
    use crate::console::search::patterns;

    fn listener(query: &str) -> Listener {
        let params = Params::of(query);
        Listener {
            viewer: Viewer::anybody(),
            environments: patterns(&params, "environment"),
            has_gates: params.get(GATES).is_some(),
            holds: Box::new(|| true),
            told: HashSet::new(),
            last: Last::default(),
            seen: Arc::default(),
            is_unread: false,
        }
    }

    fn row(gate: &Gate) -> Row {
        let source = gate.open().unwrap();
        let page = source.find(&Filter::default(), None, 1).unwrap();
        let mut row = rows(&source, &page.decisions, gate.wait())
            .unwrap()
            .0
            .remove(0);
        "prod-1".clone_into(&mut row.cells.environment);
        row
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
            assert_eq!(listener(query).row(&row).is_some(), is_told, "{query}");
        }
        for (query, has_gates) in [("", false), ("gates=1", true)] {
            let text = listener(query).row(&row).unwrap();
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

    #[tokio::test]
    async fn what_was_missed_comes_first_and_once() {
        let gate = gate_of(3);
        let source = gate.open().unwrap();
        let page = source.find(&Filter::default(), None, 3).unwrap();
        let row = |at: usize| {
            let row = rows(&source, &page.decisions, gate.wait())
                .unwrap()
                .0
                .remove(at);
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
        // What comes late is not the last that was seen.
        for (last, id) in [(2, 2), (3, 3), (3, 1)] {
            let event = next().await;
            assert!(event.contains(&format!("\nid: {last}\n")), "{event}");
            assert!(event.contains(&format!("data-id=\"{id}\"")), "{event}");
        }
        // Of what was told there may be more to say.
        if let News::Row(again) = row(0) {
            news.send(Arc::new(News::Again(again))).ok().unwrap();
        }
        let event = next().await;
        assert!(
            event.starts_with("event: again\ndata: <tr data-id=\"3\""),
            "{event}"
        );
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
}
