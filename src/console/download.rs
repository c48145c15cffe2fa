//! The decisions of a search as a file, for auditors: the columns and the lines of `dtgate audit query`.
//!
//! It is made part by part, each like a page, so that nobody who reads slowly keeps a place or much memory. It has an end:
//! so many rows, and so long. What breaks off before its end is seen to: a browser does not take it for the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::desk::{Desk, Gate};
use super::page::guard;
use super::pages::decisions::notes;
use super::params::Params;
use super::search::Search;
use super::shares::{Share, Shares};
use super::{Fault, Viewer};
use crate::listener::{Body, BodyError, boxed};
use crate::telemetry::Limit;
use crate::trail::{csv, export};

/// Makes files of decisions, a few at once.
pub(super) struct Downloads {
    desk: Arc<Desk>,
    places: Shares,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For spreadsheets.
    Csv,
    /// For programs: a line for each decision.
    Json,
}

/// What somebody wants to have.
struct Wanted {
    form: Form,
    params: Params,
    viewer: Viewer,
    now: Timestamp,
}

/// Some of it.
#[derive(Debug, Default)]
struct Part {
    text: Vec<u8>,
    rows: usize,
    /// Decisions that were found, and of which nothing can be shown.
    lost: usize,
    /// What the file does not say by itself; of the first part only.
    notes: Vec<String>,
    /// Where the next one begins.
    next: Option<String>,
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The body of an answer that comes part by part.
struct Pieces {
    coming: mpsc::Receiver<Piece>,
    is_whole: bool,
    _place: Share,
}

impl Form {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            CSV => Some(Self::Csv),
            JSON => Some(Self::Json),
            _ => None,
        }
    }

    /// Its type, and how the file is called.
    fn headers(self) -> [&'static str; 2] {
        match self {
            Self::Csv => [
                "text/csv; charset=utf-8",
                "attachment; filename=\"decisions.csv\"",
            ],
            Self::Json => [
                "application/x-ndjson",
                "attachment; filename=\"decisions.jsonl\"",
            ],
        }
    }
}

impl Downloads {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            places: Shares::new(MOST, OF_ONE),
        }
    }

    /// The file. What is wrong with the question shows before the first byte of it.
    pub(super) async fn answer(
        &self,
        form: Form,
        params: Params,
        viewer: Viewer,
    ) -> Result<Response<Body>, Fault> {
        if !viewer.is_auditor {
            return Err(Fault::NotAllowed("auditor"));
        }
        let place = self.places.take(&viewer).ok_or_else(|| {
            self.desk.metrics().reached(Limit::ConsoleDownloads);
            Fault::Busy
        })?;
        let wanted = Arc::new(Wanted {
            form,
            params,
            viewer,
            now: self.desk.now(),
        });
        let first = part(&self.desk, &wanted, None).await?;
        let (sender, coming) = mpsc::channel(1);
        let desk = self.desk.clone();
        tokio::spawn(async move {
            let sent = timeout(LONGEST, Box::pin(send(&desk, &wanted, first, sender))).await;
            if sent.is_err() {
                desk.metrics().reached(Limit::ConsoleDownloadTimeout);
            }
        });
        let mut response = Response::new(boxed(Pieces {
            coming,
            is_whole: false,
            _place: place,
        }));
        let headers = response.headers_mut();
        let [content_type, disposition] = form.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        guard(headers);
        Ok(response)
    }
}

/// Sends part after part. Where it returns before the end, the file breaks off.
async fn send(desk: &Desk, wanted: &Arc<Wanted>, first: Part, to: mpsc::Sender<Piece>) {
    let (mut part, mut rows, mut lost) = (first, 0, 0);
    let notes = std::mem::take(&mut part.notes);
    loop {
        rows += part.rows;
        lost += part.lost;
        if to.send(Piece::Bytes(part.text.into())).await.is_err() {
            return;
        }
        let Some(next) = part.next else {
            break;
        };
        if rows >= ROWS {
            desk.metrics().reached(Limit::ConsoleRows);
            let text = format!(
                "This is not all: there are older decisions. Ask again with before={next}, or for a shorter time."
            );
            let _gone = to.send(Piece::Bytes(wanted.form.note(&text))).await;
            break;
        }
        part = match self::part(desk, wanted, Some(next)).await {
            Ok(part) => part,
            Err(error) => {
                tracing::warn!(%error, "a download from the console breaks off");
                return;
            }
        };
    }
    for text in &notes {
        let _gone = to.send(Piece::Bytes(wanted.form.note(text))).await;
    }
    if lost > 0 {
        let text = format!(
            "{lost} decisions cannot be shown: the record is gone or cannot be read. Run dtgate audit verify."
        );
        let _gone = to.send(Piece::Bytes(wanted.form.note(&text))).await;
    }
    let _gone = to.send(Piece::End).await;
}

/// The part that begins there. A place is waited for again and again: whoever reads pages goes first.
async fn part(desk: &Desk, wanted: &Arc<Wanted>, before: Option<String>) -> Result<Part, Fault> {
    let mut again = TRIES;
    loop {
        let (wanted, before) = (wanted.clone(), before.clone());
        let viewer = wanted.viewer.clone();
        let made = desk
            .think_for(&viewer, move |gate| wanted.part(gate, before.as_deref()))
            .await;
        match made {
            Err(Fault::Busy) if again > 0 => again -= 1,
            made => return made,
        }
    }
}

impl Wanted {
    fn part(&self, gate: &Gate, before: Option<&str>) -> Result<Part, Fault> {
        let source = gate.open()?;
        let params = match before {
            None => self.params.clone(),
            before => self.params.with("before", before),
        };
        let search = Search::read(&params, &self.viewer, self.now, &source)?;
        let source = source.of_gate_only(search.gate.as_deref());
        let page = source.find(&search.filter, search.before.as_ref(), A_PART)?;
        let mut part = Part::default();
        if before.is_none() {
            part.notes = notes(&source, &search.filter)?;
        }
        if before.is_none() && self.form == Form::Csv {
            line(&mut part.text, &export::titles(&source))?;
        }
        let (mut rest, mut last) = (&*page.decisions, None);
        while !rest.is_empty() && part.text.len() < LARGE {
            let some = rest.get(..AT_ONCE).unwrap_or(rest);
            let count = source.at_once(some)?.clamp(1, some.len());
            let (some, behind) = rest.split_at(count);
            for (found, lines) in some.iter().zip(source.lines(some)?) {
                let shown = match self.form {
                    Form::Csv => export::cells(&source, found, &lines)
                        .map(|cells| line(&mut part.text, &cells)),
                    Form::Json => export::json(&source, found, &lines).map(|json| {
                        part.text.extend_from_slice(json.as_bytes());
                        part.text.push(b'\n');
                        Ok(())
                    }),
                };
                part.lost += usize::from(shown.is_none());
                shown.transpose()?;
            }
            part.rows += some.len();
            last = some.last();
            rest = behind;
        }
        let last = last.filter(|_| page.more || !rest.is_empty());
        part.next = last.map(|last| source.next(last));
        Ok(part)
    }
}

fn line(text: &mut Vec<u8>, cells: &[String]) -> Result<(), Fault> {
    csv::line(text, cells).map_err(|error| Fault::Broken {
        told: "The file cannot be made.",
        error: error.to_string(),
    })
}

impl Form {
    /// A last line for whoever reads the file. It is no decision.
    fn note(self, text: &str) -> Bytes {
        match self {
            Self::Csv => format!("{text}\r\n").replace(',', ";"),
            Self::Json => format!("{}\n", json!({"note": text})),
        }
        .into()
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.coming.poll_recv(context)) {
            Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => {
                self.is_whole = true;
                None
            }
            None => Some(Err(BodyError::new("the download broke off"))),
        })
    }
}

pub(super) const CSV: &str = "/console/decisions.csv";
pub(super) const JSON: &str = "/console/decisions.json";
/// Downloads at once, and those of one auditor.
const MOST: usize = 4;
const OF_ONE: usize = 2;
/// Decisions in one.
const ROWS: usize = 10_000;
/// How long one may take.
const LONGEST: Duration = Duration::from_mins(10);
/// Decisions in a part, and how many of them are read at once.
const A_PART: usize = 500;
const AT_ONCE: usize = 20;
/// A part of so many bytes has no more decisions.
const LARGE: usize = 1 << 20;
/// How often a place is waited for.
const TRIES: u32 = 15;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::console::Config;
    use crate::console::desk::tests::gate_of;

    /// A download of a journal with so many decisions, as far as it came.
    async fn download(count: usize, form: Form) -> String {
        let gate = gate_of(count);
        let downloads = Downloads::new(Arc::new(Desk::new(&Config::default(), gate)));
        let params = Params::of("verdict=deny");
        let answer = downloads.answer(form, params, Viewer::anybody()).await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn all_parts_make_one_file_and_it_has_an_end() {
        let text = download(1_234, Form::Csv).await;
        assert_eq!(text.lines().count(), 1 + 1_234);
        assert!(text.starts_with("time,seq,decision_id,verdict,"), "{text}");
        assert!(text.contains("'=cmd|x"), "{text}");
        let mut numbers: Vec<u64> = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 1_234);
        assert!(numbers.is_sorted_by(|one, next| one > next));
        let text = download(ROWS + 600, Form::Json).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), ROWS + 1);
        assert!(
            lines.last().unwrap().contains("not all"),
            "{:?}",
            lines.last()
        );
        let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(first["decision"]["verdict"], "deny");
    }

    #[tokio::test]
    async fn the_file_ends_with_what_is_missing_of_it() {
        let downloads = Downloads::new(Arc::new(Desk::new(&Config::default(), gate_of(3))));
        let params = Params::of("policy=nobodys");
        let answer = downloads.answer(Form::Csv, params, Viewer::anybody()).await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        let last = text.lines().last().unwrap();
        assert!(
            last.starts_with("No record names the policy nobodys"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_not_taken_for_the_whole() {
        let (sender, coming) = mpsc::channel(1);
        let place = Shares::new(1, 1).take(&Viewer::anybody()).unwrap();
        let body = Pieces {
            coming,
            is_whole: false,
            _place: place,
        };
        sender.send(Piece::Bytes("a".into())).await.unwrap();
        drop(sender);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn only_auditors_may_and_only_a_few_at_once() {
        let downloads = Downloads::new(Arc::new(Desk::new(&Config::default(), gate_of(1))));
        let ask = |viewer| downloads.answer(Form::Csv, Params::default(), viewer);
        let refused = ask(Viewer::nobody()).await;
        assert!(matches!(refused, Err(Fault::NotAllowed(_))));
        let mut held = Vec::new();
        for _ in 0..MOST {
            held.push(ask(Viewer::anybody()).await.unwrap());
        }
        assert!(matches!(ask(Viewer::anybody()).await, Err(Fault::Busy)));
        held.pop();
        ask(Viewer::anybody()).await.unwrap();
    }
}
