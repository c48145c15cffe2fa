//! The thread of a gate that keeps the index. Nobody waits for it, and whatever becomes of it, the gate goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Error, Index};
use crate::audit::keeper::step_back;
use crate::value::threads;

/// How far it is.
#[derive(Debug, Default)]
pub struct Progress {
    last: AtomicU64,
    failures: AtomicU64,
}

impl Progress {
    /// The last record that is indexed.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// How often it could not go on.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    progress: Arc<Progress>,
    /// Dropped to end it.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub fn start(journal: &Path, path: &Path) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let (stop, stopped) = mpsc::channel();
        let (journal, path) = (journal.to_owned(), path.to_owned());
        let told = progress.clone();
        let thread =
            threads::named("index").spawn(move || keep(&journal, &path, &told, &stopped))?;
        Ok(Self {
            progress,
            stop,
            thread,
        })
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Takes what is written by now, and ends. Blocks.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the index ended by a panic: dtgate audit index makes it whole");
        }
    }
}

fn keep(journal: &Path, path: &Path, progress: &Progress, stopped: &Receiver<()>) {
    step_back();
    let mut index = None;
    let mut told = None;
    // Once for a damage: what comes again does not come from the file.
    let mut is_anew = false;
    loop {
        let has_to_end = is_over(stopped);
        // What a long journal has more, the next start reads.
        let mut left = if has_to_end { LAST } else { usize::MAX };
        let go_on = || {
            left = left.saturating_sub(1);
            left > 0 && (has_to_end || !is_over(stopped))
        };
        let pause = match pass(&mut index, journal, path, progress, go_on) {
            Ok(()) => {
                (told, is_anew) = (None, false);
                LOOK
            }
            Err(error) if error.is_damage() && !is_anew => {
                tracing::warn!(%error, "the index is damaged and made anew");
                is_anew = true;
                index = Index::anew(journal, path).ok();
                LOOK
            }
            Err(error) => {
                index = None;
                progress.failures.fetch_add(1, Ordering::Relaxed);
                let text = error.to_string();
                // Said once: what does not go away is in the metrics.
                if told.as_ref() != Some(&text) {
                    tracing::warn!(error = %text, "the journal cannot be indexed; the gate serves all the same");
                    told = Some(text);
                }
                AGAIN
            }
        };
        if has_to_end {
            return;
        }
        // Woken by the end.
        match stopped.recv_timeout(pause) {
            Ok(()) | Err(_) => {}
        }
    }
}

fn is_over(stopped: &Receiver<()>) -> bool {
    stopped.try_recv() == Err(TryRecvError::Disconnected)
}

/// Reads what has been written since.
fn pass(
    index: &mut Option<Index>,
    journal: &Path,
    path: &Path,
    progress: &Progress,
    mut go_on: impl FnMut() -> bool,
) -> Result<(), Error> {
    if index.as_ref().is_some_and(|index| !index.is_there()) {
        *index = None;
    }
    let index = match index {
        Some(index) => index,
        none => none.insert(Index::open(journal, path)?),
    };
    index.catch_up(|last| {
        progress.last.store(last, Ordering::Relaxed);
        go_on()
    })?;
    progress.last.store(index.last()?, Ordering::Relaxed);
    Ok(())
}

/// How often new records are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// Transactions at the end.
const LAST: usize = 4;
