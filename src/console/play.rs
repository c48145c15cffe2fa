//! The playground: a request beside policies that somebody edits, and what they would say.
//!
//! It guarantees that nothing of it is enforced, recorded or kept, and that policies and requests of an author are judged
//! in a process of their own, which has so much memory and so much time: whatever they are, the gate goes on. Two of
//! these run at once, and one for each author. Decisions that were recorded are only judged again for auditors: what a
//! policy says about them tells what they are.

mod draft;
mod examples;
mod saved;
mod task;
mod view;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use task::{
    Answer, Before, Example, Flip, Group, InForce, Judged, Opinion, Replayed, Request, Task, Wanted,
};

use super::desk::{Desk, Gate};
use super::file::File;
use super::page::Page;
use super::viewer::Person;
use super::{Asked, Fault, Made, Params, Route, Viewer};
use crate::audit::index::Filter;
use crate::policy::{Policy, Text};
use crate::trail::{Source, beside};
use draft::Draft;

/// Where authors have their policies judged.
pub(super) struct Playground {
    desk: Desk,
    inside: Arc<Semaphore>,
    authors: Mutex<HashMap<Person, Author>>,
}

/// One of those who are inside.
struct Author {
    inside: Arc<Semaphore>,
    /// One judgement at once.
    turn: Arc<Semaphore>,
}

impl Default for Author {
    fn default() -> Self {
        Self {
            inside: Arc::new(Semaphore::new(INSIDE_OF_ONE)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// What is done with a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The page, with what its buttons do where no script runs.
    Page,
    Check,
    Judge,
    SaveTest,
    WouldChange,
}

/// The policies that are edited, and those that they are compared with.
struct Sets {
    policy: Option<Policy>,
    in_force: Vec<Text>,
}

impl Playground {
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            desk: Desk::with(AT_ONCE, PATIENCE, gate),
            inside: Arc::new(Semaphore::new(INSIDE)),
            authors: Mutex::default(),
        }
    }

    /// Lets an author in; what is asked is read only then, so that nobody fills the memory with what waits.
    pub(super) fn enter(&self, viewer: &Viewer) -> Result<Inside, Fault> {
        let all = self.inside.clone().try_acquire_owned();
        let all = all.map_err(|_full| Fault::Busy)?;
        // Where nobody logs in, nobody is known.
        let Some(person) = viewer.person else {
            return Ok(Inside {
                _all: all,
                of_one: None,
            });
        };
        let mut authors = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        authors.retain(|_, author| author.inside.available_permits() < INSIDE_OF_ONE);
        let author = authors.entry(person).or_default();
        let inside = author.inside.clone().try_acquire_owned();
        let inside = inside.map_err(|_full| Fault::Busy)?;
        Ok(Inside {
            _all: all,
            of_one: Some((inside, author.turn.clone())),
        })
    }

    /// Does it, as soon as it is this author's turn.
    pub(super) async fn make(
        &self,
        deed: Deed,
        inside: Inside,
        params: Params,
        viewer: Viewer,
    ) -> Result<Made, Fault> {
        let turn = match &inside.of_one {
            None => None,
            Some((_, turn)) => {
                let turn = timeout(PATIENCE, turn.clone().acquire_owned()).await;
                let turn = turn.ok().and_then(Result::ok);
                Some(turn.ok_or(Fault::Busy)?)
            }
        };
        let held = Held {
            _inside: Some(inside),
            _turn: turn,
        };
        let route = Route::Play(deed);
        self.desk.make_in(held, route, params, viewer).await
    }
}

/// Somebody who is let in.
pub(super) struct Inside {
    _all: OwnedSemaphorePermit,
    /// Among those of one author, and where it waits for its turn.
    of_one: Option<(OwnedSemaphorePermit, Arc<Semaphore>)>,
}

/// What is held until the work is done, also where nobody waits for it any more.
#[derive(Default)]
pub(super) struct Held {
    _inside: Option<Inside>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// What the address of the page may have: each once.
pub(super) const ASKED: &[&str] = &["decision", "gate", "example", "environment", "file", "last"];

/// The page as it is opened.
pub(super) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    may(asked)?;
    let sets = Sets::of(asked.gate)?;
    let mut draft = Draft::of(asked.params, &sets)?;
    if let Some(id) = asked.params.get("decision") {
        let record = recorded(asked, id)?;
        draft.request = written(&record)?;
        let is_chosen = asked.params.get("file").is_some();
        if let Some(file) = file_of(&sets, &record).filter(|_| !is_chosen) {
            draft.open_this(file, &sets);
        }
    }
    if let Some(example) = asked.params.get("example") {
        draft.take_example(example)?;
    }
    Ok(view::page(asked, &draft, &sets, None))
}

/// A file of the set in force, to be edited.
pub(super) fn file(asked: &Asked<'_>) -> Result<File, Fault> {
    may(asked)?;
    let sets = Sets::of(asked.gate)?;
    let path = asked.params.raw("path").unwrap_or_default();
    let text = sets.text(path);
    let text = text.ok_or_else(|| Fault::NotThere("There is no such file.".to_owned()))?;
    Ok(File {
        name: "policy.txt".to_owned(),
        content_type: "text/plain; charset=utf-8",
        text: text.to_owned(),
    })
}

/// What is asked of the draft.
pub(super) fn done(asked: &Asked<'_>, deed: Deed) -> Result<Made, Fault> {
    may(asked)?;
    let sets = Sets::of(asked.gate)?;
    let mut draft = Draft::of(asked.params, &sets)?;
    match deed {
        Deed::Page => page_after(asked, &mut draft, &sets).map(Made::Page),
        Deed::Check => {
            let answer = ask(asked, &draft, &sets, Wanted::Check)?;
            Ok(Made::Json(problems(&answer)))
        }
        Deed::Judge => {
            let answer = judged(asked, &draft, &sets)?;
            let mut told = problems(&answer);
            if let Answer::Judged {
                edited: Judged::Decided(opinion),
                ..
            } = &answer
                && let Some(members) = told.as_object_mut()
            {
                members.insert("lines".to_owned(), json!(opinion.lines));
                let mut objecting = opinion.violations.iter();
                let opens = objecting.find_map(|it| opinion.files.get(&it.policy));
                members.insert("opens".to_owned(), json!(opens));
            }
            Ok(Made::Json(with_html(
                told,
                view::answer(&answer, &draft, &sets).into_string(),
            )))
        }
        Deed::SaveTest => {
            let test = tested(asked, &draft, &sets)?;
            Ok(Made::Json(with_html(
                json!({}),
                view::test(&test).into_string(),
            )))
        }
        Deed::WouldChange => {
            let answer = replayed(asked, &draft, &sets)?;
            let told = problems(&answer);
            Ok(Made::Json(with_html(
                told,
                view::answer(&answer, &draft, &sets).into_string(),
            )))
        }
    }
}

/// Where no script runs: the page again, with what was asked for.
fn page_after(asked: &Asked<'_>, draft: &mut Draft, sets: &Sets) -> Result<Page, Fault> {
    if let Some(example) = asked.params.get("example") {
        draft.take_example(example)?;
        return Ok(view::page(asked, draft, sets, None));
    }
    if let Some(file) = asked.params.raw("open") {
        draft.open_this(file.to_owned(), sets);
        return Ok(view::page(asked, draft, sets, None));
    }
    let said = match asked.params.get("do") {
        Some("judge") => view::answer(&judged(asked, draft, sets)?, draft, sets),
        Some("test") => view::test(&tested(asked, draft, sets)?),
        Some("change") => view::answer(&replayed(asked, draft, sets)?, draft, sets),
        Some("restore") => {
            draft.changed.remove(&draft.path);
            return Ok(view::page(asked, draft, sets, None));
        }
        Some("write") => {
            draft.write_request()?;
            return Ok(view::page(asked, draft, sets, None));
        }
        _ => {
            draft.open(sets);
            return Ok(view::page(asked, draft, sets, None));
        }
    };
    Ok(view::page(asked, draft, sets, Some(said)))
}

fn may(asked: &Asked<'_>) -> Result<(), Fault> {
    if asked.viewer.is_author {
        return Ok(());
    }
    Err(Fault::NotAllowed("author"))
}

/// What policies say about decisions tells what they are.
fn may_see_decisions(asked: &Asked<'_>) -> Result<(), Fault> {
    if asked.viewer.is_auditor {
        return Ok(());
    }
    Err(Fault::NotAllowed("auditor"))
}

fn judged(asked: &Asked<'_>, draft: &Draft, sets: &Sets) -> Result<Answer, Fault> {
    let request = draft.asked(asked.now)?;
    ask(asked, draft, sets, Wanted::Judge(Box::new(request)))
}

/// The request with what the edited set says to it, as a test.
fn tested(asked: &Asked<'_>, draft: &Draft, sets: &Sets) -> Result<saved::Test, Fault> {
    match judged(asked, draft, sets)? {
        Answer::Judged {
            edited: Judged::Decided(opinion),
            ..
        } => Ok(saved::test(&draft.test_name, &opinion)),
        Answer::Failed(why) => Err(Fault::Invalid(why)),
        _ => Err(Fault::Invalid(
            "Only what policies have judged can be a test: press Judge, and read what is in the way.".to_owned(),
        )),
    }
}

fn replayed(asked: &Asked<'_>, draft: &Draft, sets: &Sets) -> Result<Answer, Fault> {
    may_see_decisions(asked)?;
    let newest = newest(asked, draft.last)?;
    let mut answer = ask(asked, draft, sets, Wanted::Replay(newest.lines))?;
    if let Answer::Replayed(replayed) = &mut answer {
        replayed.damaged += newest.lost;
        replayed.beside = newest.beside;
    }
    Ok(answer)
}

/// The newest decisions, to be judged again.
#[derive(Default)]
struct Newest {
    /// Their records.
    lines: Vec<String>,
    /// Those whose record is gone, or is no text.
    lost: u64,
    /// What of the journal they have nothing of.
    beside: Vec<String>,
}

/// As many as there is room for.
fn newest(asked: &Asked<'_>, most: usize) -> Result<Newest, Fault> {
    let source = asked.gate.open()?;
    let mut newest = read(&source, most)?;
    let mut gaps = source.gaps(None, None)?;
    if newest.lines.len() >= most {
        // What was deleted is older than these.
        gaps.pruned = None;
    }
    newest.beside = beside::gaps(&gaps);
    Ok(newest)
}

fn read(source: &Source, most: usize) -> Result<Newest, Fault> {
    let mut newest = Newest::default();
    let (mut room, mut before) = (MOST_OF_RECORDS, None);
    while newest.lines.len() < most {
        let wanted = PAGE.min(most - newest.lines.len());
        let page = source.find(&Filter::default(), before.as_ref(), wanted)?;
        let Some(last) = page.decisions.last() else {
            break;
        };
        before = source.next(last).parse().ok();
        for found in source.lines(&page.decisions)? {
            let line = found.decision.and_then(|line| String::from_utf8(line).ok());
            let Some(line) = line else {
                newest.lost += 1;
                continue;
            };
            let Some(left) = room.checked_sub(line.len()) else {
                return Ok(newest);
            };
            room = left;
            newest.lines.push(line);
        }
        if !page.more || before.is_none() {
            break;
        }
    }
    Ok(newest)
}

/// A decision that was recorded.
fn recorded(asked: &Asked<'_>, id: &str) -> Result<Value, Fault> {
    may_see_decisions(asked)?;
    super::pages::decision::record(asked, id)
}

/// The file of the first policy that objected to it, as far as it is in force.
fn file_of(sets: &Sets, record: &Value) -> Option<String> {
    let listed = sets.policy.as_ref()?.listed();
    let violations = record.pointer("/result/violations")?.as_array()?;
    violations.iter().find_map(|violation| {
        let policy = violation["policy"].as_str()?;
        let listed = listed.iter().find(|it| it.name == policy)?;
        Some(listed.file_name.clone())
    })
}

/// Its input document.
fn written(record: &Value) -> Result<String, Fault> {
    let input = record.get("input");
    let input = input.filter(|input| input.is_object()).ok_or_else(|| {
        Fault::NotThere("No policy was asked about it: its record has no input.".to_owned())
    })?;
    let text = serde_json::to_string_pretty(input).unwrap_or_default();
    if text.len() > LONGEST_REQUEST {
        return Err(Fault::NotThere(
            "Its input is too long for this page: use dtgate eval --decision.".to_owned(),
        ));
    }
    Ok(text)
}

fn ask(asked: &Asked<'_>, draft: &Draft, sets: &Sets, wanted: Wanted) -> Result<Answer, Fault> {
    let worker = asked.gate.worker.as_ref();
    let worker: &PathBuf = worker.ok_or_else(|| {
        Fault::NotThere(
            "There is no playground here: dtgate does not find its own program.".to_owned(),
        )
    })?;
    let is_judged = matches!(wanted, Wanted::Judge(_));
    let edited = draft.edited(sets)?;
    let in_force = sets.policy.as_ref().filter(|_| is_judged).map(|_| {
        if draft.changed.is_empty() {
            InForce::Same
        } else {
            InForce::Other(sets.in_force.clone())
        }
    });
    let limit = sets
        .policy
        .as_ref()
        .map_or(crate::policy::DEFAULT_LIMIT, Policy::limit);
    let entrypoints = sets.policy.iter().flat_map(Policy::entrypoints);
    let task = Task {
        edited,
        in_force,
        entrypoints: entrypoints.map(ToString::to_string).collect(),
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        wanted,
    };
    worker::ask(worker, &task, asked.stop)
}

/// What is wrong, for the editor.
fn problems(answer: &Answer) -> Value {
    match answer {
        Answer::Checked { problems, warnings } => {
            json!({"problems": problems, "warnings": warnings})
        }
        Answer::Unloaded(problems)
        | Answer::Judged {
            edited: Judged::Unloaded(problems),
            ..
        } => json!({"problems": problems}),
        _ => json!({"problems": []}),
    }
}

fn with_html(mut told: Value, html: String) -> Value {
    if let Some(members) = told.as_object_mut() {
        members.insert("html".to_owned(), Value::String(html));
    }
    told
}

impl Sets {
    fn of(gate: &Gate) -> Result<Self, Fault> {
        let policy = gate.policies.as_ref().map(|policies| policies());
        let in_force = match &policy {
            Some(policy) => policy.texts(),
            None => vec![examples::policy()],
        };
        let size: usize = in_force.iter().map(|it| it.text.len()).sum();
        if in_force.len() > MOST_FILES || size > MOST_BYTES {
            return Err(Fault::NotThere(format!(
                "The policies are too many for the playground: it takes {MOST_FILES} files, {} MiB of them. Use dtgate eval.",
                MOST_BYTES >> 20
            )));
        }
        Ok(Self { policy, in_force })
    }

    fn text(&self, path: &str) -> Option<&str> {
        let file = self.in_force.iter().find(|it| it.path == path);
        file.map(|it| &*it.text)
    }
}

/// Requests that are read, wait, or are judged: in all, and of one author.
const INSIDE: usize = 6;
const INSIDE_OF_ONE: usize = 3;
/// Judgements at once.
const AT_ONCE: usize = 2;
/// How long one may take, the process and all around it, and how long somebody waits for another.
const PATIENCE: Duration = Duration::from_secs(65);
/// Files of a set, and bytes of them.
const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 4 << 20;
/// Bytes of a request that is shown.
const LONGEST_REQUEST: usize = 128 << 10;
/// Decisions that are read at once.
const PAGE: usize = 200;
/// Bytes of records that are judged again.
const MOST_OF_RECORDS: usize = 16 << 20;

impl Deed {
    /// By the last step of its path.
    pub(super) fn of(step: &str) -> Option<Self> {
        match step {
            "check" => Some(Self::Check),
            "judge" => Some(Self::Judge),
            "test" => Some(Self::SaveTest),
            "would-change" => Some(Self::WouldChange),
            _ => None,
        }
    }
}
