//! What becomes of closed segments: a thread of low priority compresses them, and deletes what need not be kept.
//!
//! It never stands in the writer's way: what it cannot do it says, and tries again later. It writes no segment that
//! the writer writes, and everything it does can be ended by a kill after any step; the next start goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc::WeakSender;

use super::compress::{Unpacked, pack, text_of};
use super::directory::Directory;
use super::event::{Event, Pruned, Record};
use super::queue::{Pending, Wanted};
use super::retention::{self, Followed, Retention, due, removal};
use super::segment::{
    as_readable_as, directory_of, first_line, first_record, forms, is_compressed, open_regular,
    options, segments, text_length,
};
use super::settle::written_at;
use super::writer::Shared;
use super::{Compression, Config};
use crate::value::rfc3339_millis;
use crate::value::threads;

/// What is there, for the metrics and for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kept {
    pub segments: u64,
    pub compressed_segments: u64,
    /// On disk.
    pub bytes: u64,
    /// As it was written.
    pub text_bytes: u64,
    /// When the oldest record was written.
    pub oldest: Option<String>,
    /// The last record that was deleted since the start.
    pub pruned_up_to: Option<u64>,
    /// Segments that are to be deleted, and that no signed checkpoint covers yet.
    pub waiting_for_a_checkpoint: u64,
    /// Why the last try to compress a segment failed, and to delete some.
    pub compress_error: Option<String>,
    pub prune_error: Option<String>,
}

/// The thread, as its owner has it.
#[derive(Debug)]
pub(super) struct Keeping {
    wake: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Tells it that a segment was closed.
    pub(super) fn wake(&self) {
        if let Some(Err(error)) = self.wake.as_ref().map(|wake| wake.try_send(())) {
            tracing::trace!(%error, "the journal's keeper is at work");
        }
    }
}

/// Ends it, and waits: what it is at is left to the next start.
impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if self.thread.take().is_some_and(|it| it.join().is_err()) {
            tracing::error!("the journal's keeper ended by a panic");
        }
    }
}

/// What the thread works with.
pub(super) struct Keeper {
    directory: Arc<Directory>,
    compression: Compression,
    retention: Retention,
    /// Weak: the writer ends when nobody else has something to record.
    queue: WeakSender<Pending>,
    shared: Arc<Shared>,
    now: fn() -> jiff::Timestamp,
    stop: Arc<AtomicBool>,
    kept: Kept,
    /// What is in doubt, from one deletion to the next.
    followed: Followed,
    /// Lengths of the texts of compressed segments, and when the first one was begun.
    lengths: BTreeMap<u64, u64>,
    oldest: Option<(u64, Option<String>)>,
}

impl Keeper {
    pub(super) fn new(
        directory: Arc<Directory>,
        config: &Config,
        queue: WeakSender<Pending>,
        shared: Arc<Shared>,
        now: fn() -> jiff::Timestamp,
    ) -> Self {
        Self {
            directory,
            compression: config.compression,
            retention: config.retention.clone(),
            queue,
            shared,
            now,
            stop: Arc::default(),
            kept: Kept::default(),
            followed: Followed::default(),
            lengths: BTreeMap::new(),
            oldest: None,
        }
    }

    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<Keeping> {
        let (wake, woken) = sync_channel(1);
        let stop = self.stop.clone();
        let thread = threads::named("keeper").spawn(move || self.run(&woken))?;
        Ok(Keeping {
            wake: Some(wake),
            stop,
            thread: Some(thread),
        })
    }

    fn run(mut self, woken: &Receiver<()>) {
        step_back();
        if let Err(error) = self.clean() {
            tracing::debug!(%error, "what was begun to be compressed is left");
        }
        loop {
            self.pass();
            match woken.recv_timeout(PERIOD) {
                Ok(()) | Err(RecvTimeoutError::Timeout) if !self.is_over() => {}
                _ => return,
            }
        }
    }

    /// Removes what a kill has left half compressed.
    fn clean(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            let is_begun = path.extension().is_some_and(|it| it == "new");
            if is_begun && first_record(&path.with_extension("")).is_some() {
                gone(&path)?;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Everything that there is to do now.
    pub(super) fn pass(&mut self) {
        let compressed = self.compress_all();
        let pruned = self.prune();
        if self.is_over() {
            return;
        }
        match News::of(self.kept.compress_error.as_deref(), &compressed) {
            News::Trouble(error) => tracing::error!(
                %error,
                "a closed segment of the journal cannot be compressed: it is kept as it is"
            ),
            News::Over => tracing::info!("closed segments of the journal are compressed again"),
            News::None => {}
        }
        match News::of(self.kept.prune_error.as_deref(), &pruned) {
            News::Trouble(error) => tracing::error!(
                %error,
                "old segments of the journal cannot be deleted: they are kept"
            ),
            News::Over => tracing::info!("old segments of the journal are deleted again"),
            News::None => {}
        }
        self.kept.compress_error = compressed.err().map(|error| error.to_string());
        self.kept.prune_error = pruned.err().map(|error| error.to_string());
        if let Err(error) = self.survey() {
            tracing::debug!(%error, "what the journal has is not known");
        }
        self.shared.keeps(self.kept.clone());
    }

    /// Whether there is time for another step, and a journal.
    fn going_on(&self) -> impl FnMut() -> io::Result<()> + use<> {
        let (stop, directory) = (self.stop.clone(), self.directory.clone());
        move || {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "dtgate ends"));
            }
            directory.is_there()
        }
    }

    fn compress_all(&self) -> io::Result<()> {
        let go_on = &mut self.going_on();
        go_on()?;
        let all = segments(self.directory.path())?;
        let closed = all.split_last().map_or(&[][..], |(_, closed)| closed);
        for path in closed.iter().filter(|path| !is_compressed(path)) {
            let is_begun = forms(path).1.exists();
            if self.compression == Compression::Zstd || is_begun {
                compress(path, go_on).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
            }
        }
        Ok(())
    }

    fn prune(&mut self) -> io::Result<()> {
        let go_on = &mut self.going_on();
        go_on()?;
        let path = self.directory.path();
        if !retention::finish(path, self.shared.covered_up_to(), go_on)? {
            return Ok(());
        }
        let now = (self.now)();
        let due = due(path, &self.retention, now, self.shared.may_be_deleted())?;
        self.kept.waiting_for_a_checkpoint = due.waiting as u64;
        let Some(plan) = due.plan else {
            return Ok(());
        };
        let pruned = removal(path, &plan, now, &mut self.followed, go_on)?;
        let written = self.shared.head().map_or(0, |head| head.seq);
        let record = || self.record(&pruned);
        retention::prune(path, &pruned, written, record, go_on)?;
        let (first, last, reason) = (pruned.first, pruned.last, &*pruned.reason);
        tracing::info!(
            first,
            last,
            reason,
            "old segments of the journal were deleted"
        );
        self.kept.pruned_up_to = Some(last);
        Ok(())
    }

    /// Has the writer write it, and waits until it is on disk and signed for: a checkpoint comes at once.
    fn record(&self, pruned: &Pruned) -> io::Result<()> {
        let record: Record = Event::Pruned(pruned.clone()).record();
        let (pending, written) = Pending::new(record, Wanted::Always);
        let ended = || io::Error::new(io::ErrorKind::Interrupted, "dtgate ends");
        let queue = self.queue.upgrade().ok_or_else(ended)?;
        queue.blocking_send(pending).map_err(|_closed| ended())?;
        drop(queue);
        let told = written.blocking_recv().map_err(|_closed| ended())?;
        let seq = told.answer().map_err(io::Error::other)?;
        let since = Instant::now();
        while self.shared.covered_up_to() < seq {
            // The writer is gone: the next start finds out whether the record is there.
            if self.is_over() {
                return Err(ended());
            }
            if since.elapsed() > COVERED_WITHIN {
                return Err(io::Error::other("no checkpoint covers the record of it"));
            }
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    fn survey(&mut self) -> io::Result<()> {
        let all = segments(self.directory.path())?;
        let first = all.first().and_then(|path| first_record(path));
        self.lengths.retain(|number, _| Some(*number) >= first);
        let kept = &mut self.kept;
        (kept.segments, kept.compressed_segments) = (all.len() as u64, 0);
        (kept.bytes, kept.text_bytes) = (0, 0);
        for path in &all {
            let length = std::fs::metadata(path)?.len();
            kept.bytes += length;
            if !is_compressed(path) {
                kept.text_bytes += length;
                continue;
            }
            kept.compressed_segments += 1;
            let number = first_record(path).unwrap_or_default();
            let text = match self.lengths.get(&number) {
                Some(text) => *text,
                None => text_length(path)?,
            };
            self.lengths.insert(number, text);
            kept.text_bytes += text;
        }
        if let Some((path, number)) = all.first().zip(first)
            && self
                .oldest
                .as_ref()
                .is_none_or(|(known, _)| *known != number)
        {
            let line = first_line(path)?;
            let written = written_at(line.trim_ascii_end()).map(rfc3339_millis);
            self.oldest = written.map(|written| (number, Some(written)));
        }
        kept.oldest = self.oldest.clone().and_then(|(_, written)| written);
        Ok(())
    }
}

/// Puts the compressed form of a closed segment in its place. After a kill it is begun anew, or finished.
pub(super) fn compress(path: &Path, go_on: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
    let (plain, compressed) = forms(path);
    let mut unfinished = compressed.clone().into_os_string();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let directory = directory_of(path);
    if !compressed.exists() {
        let made = make(&plain, unfinished, go_on);
        if let Err(error) = made {
            // What was begun takes room that the writer may need. A kill leaves it to the next start.
            if let Err(error) = gone(unfinished) {
                tracing::debug!(%error, "what was begun to be compressed is left");
            }
            return Err(error);
        }
        go_on()?;
        std::fs::rename(unfinished, &compressed)?;
        go_on()?;
        File::open(directory)?.sync_all()?;
    } else if text_of(open_packed(&compressed)?)? != text_of(BufReader::new(open_regular(&plain)?))?
    {
        return Err(io::Error::other(
            "its compressed form is there too, and says something else: find out who changed one of them, and \
             move the wrong one away",
        ));
    }
    go_on()?;
    std::fs::remove_file(&plain)?;
    go_on()?;
    File::open(directory)?.sync_all()
}

/// Writes the compressed form, has it on disk, and reads it again.
fn make(
    plain: &Path,
    unfinished: &Path,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    gone(unfinished)?;
    go_on()?;
    let mut text = open_regular(plain)?;
    let mut out = options(as_readable_as(directory_of(plain))?)
        .create_new(true)
        .write(true)
        .open(unfinished)?;
    let written = pack(&mut text, &mut out, go_on)?;
    go_on()?;
    out.sync_all()?;
    drop(out);
    go_on()?;
    if text_of(open_packed(unfinished)?)? != written || text.metadata()?.len() != written.length {
        return Err(io::Error::other(
            "what was compressed is not what is read again",
        ));
    }
    Ok(())
}

fn open_packed(path: &Path) -> io::Result<Unpacked> {
    Unpacked::open(open_regular(path)?, 0)
}

fn gone(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What there is to say, once.
enum News {
    Trouble(String),
    Over,
    None,
}

impl News {
    fn of(before: Option<&str>, now: &io::Result<()>) -> Self {
        match (before, now) {
            (Some(_), Ok(())) => Self::Over,
            (None, Ok(())) => Self::None,
            (before, Err(error)) => {
                let error = error.to_string();
                if before == Some(&*error) {
                    Self::None
                } else {
                    Self::Trouble(error)
                }
            }
        }
    }
}

/// Lets requests go first, and still gets its share where the machine is never idle: what closes segments and keeps the
/// index must not fall behind for ever.
pub fn step_back() {
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of the journal runs as everybody does");
    }
}

/// From now on this thread runs only when no other wants its processor: one that wakes takes it at once, and does not wait
/// for the end of a time slice, as it would behind [`step_back`]. For what may wait for ever, and holds nothing meanwhile
/// that requests need. Linux alone can say that of one thread.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy::Idle, set_thread_priority_and_policy, thread_native_id,
        };
        use thread_priority::{ThreadPriority, ThreadSchedulePolicy::Normal};

        let itself = thread_native_id();
        if let Err(error) =
            set_thread_priority_and_policy(itself, ThreadPriority::Min, Normal(Idle))
        {
            tracing::warn!(%error, "a thread that should let all others go first runs as they do");
        }
    }
}

/// A tenth of what a thread gets that serves requests.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How often closed segments are looked at, at least.
const PERIOD: Duration = Duration::from_mins(1);

/// Where the disk is well it takes no time.
const COVERED_WITHIN: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
