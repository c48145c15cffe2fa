//! Takes the journal's checkpoints to where the operator wants them: a file, the log, a URL, witnesses.
//!
//! Each destination has a task of its own, which only ever has the newest checkpoint to send: one that is slow or gone
//! stops neither the others nor the gate. What a witness has confirmed goes into the journal.

mod post;
mod witness;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::{Audit, Destinations, Signed};
use crate::outbound::OutboundError;
use crate::telemetry::Metrics;
use crate::value::rfc3339_millis;
use post::Post;
use witness::Witness;

/// Who sends checkpoints, and where.
#[derive(Debug)]
pub struct Anchor {
    newest: Newest,
    file: Option<PathBuf>,
    log: bool,
    url: Option<Post>,
    witnesses: Vec<Witness>,
    metrics: Metrics,
    state: State,
}

type Newest = watch::Receiver<Option<Arc<Signed>>>;

/// How it goes, for operators. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct State(Arc<Mutex<BTreeMap<String, Sent>>>);

/// What became of the newest checkpoint at one destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sent {
    /// Records that the last one which arrived covers.
    pub size: u64,
    pub at: Option<String>,
    /// Why a newer one did not arrive.
    pub error: Option<String>,
}

/// Why nothing could ever be sent.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error("{to}: {source}")]
    Outbound { to: String, source: OutboundError },
    #[error("proxy: {0}")]
    Proxy(String),
    #[error("the file {} is to be written into {}, which is no directory", file.display(), directory.display())]
    NoDirectory { file: PathBuf, directory: PathBuf },
    #[error("at most {MOST} witnesses can be asked")]
    Many,
}

/// Finds what a start would object to.
pub fn check(to: &Destinations) -> Result<(), AnchorError> {
    parts(to).map(drop)
}

/// Who is asked over the network.
fn parts(to: &Destinations) -> Result<(Option<Post>, Vec<Witness>), AnchorError> {
    if let Some(file) = &to.file {
        let directory = directory_of(file);
        if !directory.is_dir() {
            let (file, directory) = (file.clone(), directory.to_owned());
            return Err(AnchorError::NoDirectory { file, directory });
        }
    }
    if to.witness.len() > MOST {
        return Err(AnchorError::Many);
    }
    let url = to.url.as_ref().map(|url| Post::new(url, to)).transpose()?;
    let witnesses = to.witness.iter().map(|witness| Witness::new(witness, to));
    Ok((url, witnesses.collect::<Result<_, _>>()?))
}

impl Anchor {
    /// Reads what the configuration names.
    pub fn new(audit: &Audit, to: &Destinations, metrics: Metrics) -> Result<Self, AnchorError> {
        let (url, witnesses) = parts(to)?;
        Ok(Self {
            newest: audit.checkpoints(),
            file: to.file.clone(),
            log: to.log,
            url,
            witnesses,
            metrics,
            state: State::default(),
        })
    }

    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Sends each new checkpoint. Witnesses are asked until `drained`: what they confirm goes into `audit`. The others get
    /// the last one, too, which the journal makes when it is closed, before `closed`.
    pub async fn keep(
        self,
        audit: Audit,
        now: fn() -> Timestamp,
        drained: CancellationToken,
        closed: CancellationToken,
    ) {
        let mut tasks = JoinSet::new();
        let told = |to: String, kind| {
            self.metrics.checkpoints_will_be_sent(kind);
            Told {
                to,
                kind,
                metrics: self.metrics.clone(),
                state: self.state.clone(),
                now,
            }
        };
        for witness in self.witnesses {
            let (newest, told) = (self.newest.clone(), told(witness.name(), "witness"));
            let to = Destination::Witness(witness, audit.clone(), now);
            let (drained, never) = (drained.clone(), CancellationToken::new());
            tasks.spawn(async move {
                let asking = each(newest, never, told, to);
                drained.run_until_cancelled(asking).await;
            });
        }
        // The journal closes when nobody holds it.
        drop(audit);
        if let Some(post) = self.url {
            let told = told(post.url().to_string(), "url");
            let to = Destination::Url(post);
            tasks.spawn(each(self.newest.clone(), closed.clone(), told, to));
        }
        if let Some(file) = self.file {
            let told = told(file.display().to_string(), "file");
            let to = Destination::File(file);
            tasks.spawn(each(self.newest.clone(), closed.clone(), told, to));
        }
        let (metrics, log) = (self.metrics, self.log);
        tasks.spawn(seen(self.newest, closed, metrics, log));
        while tasks.join_next().await.is_some() {}
    }
}

/// Where checkpoints go.
enum Destination {
    File(PathBuf),
    Url(Post),
    Witness(Witness, Audit, fn() -> Timestamp),
}

impl Destination {
    async fn send(&mut self, signed: &Signed) -> Result<(), String> {
        match self {
            Self::File(file) => {
                let (file, note) = (file.clone(), signed.note.clone());
                let written = tokio::task::spawn_blocking(move || put(&file, &note)).await;
                let written = written.unwrap_or_else(|panic| Err(io::Error::other(panic)));
                written.map_err(|error| error.to_string())
            }
            Self::Url(post) => match post.send(signed.note.clone()).await {
                Ok((status, _)) if status.is_success() => Ok(()),
                Ok((status, _)) => Err(format!("the answer is {status}")),
                Err(error) => Err(error.to_string()),
            },
            Self::Witness(witness, audit, now) => witness.ask(signed, audit, *now).await,
        }
    }
}

/// What is told of one destination, and to whom.
struct Told {
    to: String,
    kind: &'static str,
    metrics: Metrics,
    state: State,
    now: fn() -> Timestamp,
}

/// Sends each newest checkpoint, a few times where it does not arrive, until a newer one comes or `closed`.
async fn each(mut newest: Newest, closed: CancellationToken, told: Told, mut to: Destination) {
    let mut last = None;
    while let Some(signed) = next(&mut newest, &closed, &mut last).await {
        for wait in WAITS {
            let sent = to.send(&signed).await;
            told.say(&signed, &sent);
            if sent.is_ok() {
                break;
            }
            let again = tokio::time::timeout(wait, newest.changed());
            // A newer one has come, or there is no time.
            if !matches!(closed.run_until_cancelled(again).await, Some(Err(_elapsed))) {
                break;
            }
        }
    }
}

/// The newest checkpoint, as soon as it is another than the last one. After `closed`, only if there is one already.
async fn next(
    newest: &mut Newest,
    closed: &CancellationToken,
    last: &mut Option<u64>,
) -> Option<Arc<Signed>> {
    loop {
        let signed = newest.borrow_and_update().clone();
        if let Some(signed) = signed
            && *last != Some(signed.checkpoint.size)
        {
            *last = Some(signed.checkpoint.size);
            return Some(signed);
        }
        match closed.run_until_cancelled(newest.changed()).await {
            Some(Ok(())) => {}
            // What came just before.
            None if newest.borrow().as_ref().map(|it| it.checkpoint.size) != *last => {}
            None | Some(Err(_)) => return None,
        }
    }
}

/// Counts checkpoints, and says them in the log.
async fn seen(mut newest: Newest, closed: CancellationToken, metrics: Metrics, log: bool) {
    let mut last = None;
    while let Some(signed) = next(&mut newest, &closed, &mut last).await {
        metrics.checkpoint_made(signed.made);
        if log {
            tracing::info!(size = signed.checkpoint.size, note = %signed.note, "checkpoint");
        }
    }
}

impl Told {
    fn say(&self, signed: &Signed, sent: &Result<(), String>) {
        let mut all = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.entry(self.to.clone()).or_default();
        match sent {
            Ok(()) => {
                if here.error.is_some() {
                    tracing::info!(to = %self.to, "checkpoints arrive again");
                }
                *here = Sent {
                    size: signed.checkpoint.size,
                    at: Some(rfc3339_millis((self.now)())),
                    error: None,
                };
            }
            Err(error) => {
                self.metrics.checkpoint_not_sent(self.kind);
                // Once, however long it lasts.
                if here.error.as_ref() != Some(error) {
                    tracing::warn!(to = %self.to, %error, "a checkpoint does not arrive");
                }
                here.error = Some(error.clone());
            }
        }
    }
}

impl State {
    /// By destination.
    pub fn all(&self) -> BTreeMap<String, Sent> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The file has one checkpoint or the other, whole.
fn put(path: &Path, note: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// How long it is waited before the same checkpoint is sent again. Then the next one is waited for.
const WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::ZERO,
];

/// As many witnesses as one asks.
const MOST: usize = 16;

#[cfg(test)]
mod tests;
