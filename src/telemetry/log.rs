//! The log's way out: a queue that nobody waits for, and one thread that writes.
//!
//! Whoever logs puts a line into the queue and goes on. What the log's reader does (nothing, for ever; go away; run
//! out of disk) is the thread's trouble alone. It waits for a pipe, and tries again for a moment what fails; lines that
//! fail still, and those for which the queue has no room, are dropped and counted. When the log is written again, a line
//! says how many. At the end the thread gets a moment to write what is left, and no more.
//!
//! Not `tracing-appender`: a failed write there loses its line uncounted and leaves half of it behind, a full queue
//! at the end loses all of it, and the queue is bounded in lines only.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::{Format, Limit, Metrics};
use crate::value::threads;
use crate::value::{Size, visible_json};

/// Where log lines go. Clones share one queue.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

/// Takes what is logged and makes lines of it that are fit for the queue.
pub(super) struct Lines {
    pub(super) queue: Queue,
    pub(super) format: Format,
}

struct Shared {
    state: Mutex<State>,
    /// The thread has something to do.
    called: Condvar,
    /// The thread has done all that it will do.
    ended: Condvar,
    /// What waits to be written at most, in bytes; as much again may be on its way.
    size: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    text: Vec<u8>,
    /// Lines that were dropped since that was last said.
    dropped: u64,
    /// The thread waits to be called.
    is_idle: bool,
    is_closing: bool,
    has_ended: bool,
}

/// The thread that writes.
struct Thread<W> {
    queue: Queue,
    out: W,
    /// What was taken out of the queue.
    batch: Vec<u8>,
    /// Only a part of the last line was written; the batch begins with the rest of it.
    is_torn: bool,
    /// The last batch was written.
    is_well: bool,
}

impl Queue {
    /// A queue, and the thread that writes to `out` what is put into it.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        size: Size,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let queue = Self(Arc::new(Shared {
            state: Mutex::default(),
            called: Condvar::new(),
            ended: Condvar::new(),
            size: size.as_usize(),
            metrics,
        }));
        let writer = Thread {
            queue: queue.clone(),
            out,
            batch: Vec::new(),
            is_torn: false,
            is_well: true,
        };
        let thread = threads::named("log");
        drop(thread.spawn(move || writer.run())?);
        Ok(queue)
    }

    /// Never waits for a reader: what has no room is dropped.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.text.len() + line.len() > self.0.size {
            drop(state);
            self.0.metrics.reached(Limit::LogQueue);
            self.drop_lines(1);
            return;
        }
        state.text.extend_from_slice(line);
        // One call is enough: the thread takes all that is there.
        let call = std::mem::take(&mut state.is_idle);
        drop(state);
        if call {
            self.0.called.notify_one();
        }
    }

    /// One whole line. What is too long is shortened.
    pub(super) fn put(&self, line: &str, format: Format) {
        if line.len() > LINE {
            self.0.metrics.reached(Limit::LogLine);
            self.push(cut(line, format).as_bytes());
        } else {
            self.push(line.as_bytes());
        }
    }

    /// Waits until everything is written, but not longer than this. What is logged later may be lost.
    pub(super) fn close(&self, within: Duration) {
        let mut state = self.lock();
        state.is_closing = true;
        self.0.called.notify_one();
        let ended = &self.0.ended;
        drop(ended.wait_timeout_while(state, within, |state| !state.has_ended));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines were dropped: to be counted now, and said later.
    fn drop_lines(&self, lines: u64) {
        self.lock().dropped += lines;
        self.0.metrics.log_lines_dropped(lines);
    }

    /// Waits so long, or until the end comes. False: it has.
    fn pause(&self, time: Duration) -> bool {
        let called = &self.0.called;
        let (state, _) = called
            .wait_timeout_while(self.lock(), time, |state| !state.is_closing)
            .unwrap_or_else(PoisonError::into_inner);
        !state.is_closing
    }
}

impl<W: Write> Thread<W> {
    fn run(mut self) {
        while self.take() {
            self.write();
        }
        self.queue.lock().has_ended = true;
        self.queue.0.ended.notify_all();
    }

    /// Takes everything that is there. False: the end has come, and that was all.
    fn take(&mut self) -> bool {
        // A burst may have made it large; that is not kept.
        self.batch.shrink_to(KEPT);
        // To call a thread costs more than to log a line: what comes in this time calls nobody.
        self.queue.pause(GATHER);
        let mut state = self.queue.lock();
        state.is_idle = true;
        let called = &self.queue.0.called;
        let is_well = self.is_well;
        let nothing = |state: &mut State| {
            state.text.is_empty() && !state.is_closing && !(is_well && state.dropped > 0)
        };
        let mut state = called
            .wait_while(state, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        // Whoever called has set it already.
        state.is_idle = false;
        let is_over = state.is_closing && state.text.is_empty();
        if self.batch.is_empty() {
            std::mem::swap(&mut state.text, &mut self.batch);
        } else {
            self.batch.append(&mut state.text);
        }
        let dropped = if is_well {
            std::mem::take(&mut state.dropped)
        } else {
            0
        };
        drop(state);
        if dropped > 0 {
            tracing::warn!(
                lines = dropped,
                "the log could not be written for a while: lines are missing here"
            );
        }
        dropped > 0 || !is_over
    }

    /// Writes the batch; what fails again and again is dropped, but for the end of a line that was begun.
    fn write(&mut self) {
        let (mut written, mut failures) = (0, 0);
        while let Some(rest) = self.batch.get(written..).filter(|rest| !rest.is_empty()) {
            let error = match self.out.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero,
                Ok(taken) => {
                    written += taken;
                    failures = 0;
                    continue;
                }
                Err(error) => error.kind(),
            };
            match error {
                io::ErrorKind::Interrupted => {}
                // Somebody who shares the pipe or terminal has set it so; its reader is only slow.
                io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                _ if failures < TRIES && self.queue.pause(RETRY) => failures += 1,
                _ => break,
            }
        }
        self.is_well = written == self.batch.len();
        let last = written.checked_sub(1).and_then(|last| self.batch.get(last));
        self.is_torn = last.map_or(self.is_torn, |last| *last != b'\n');
        self.batch.drain(..written);
        let mut ends = self
            .batch
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n');
        let kept = if self.is_torn {
            ends.next().map_or(0, |(end, _)| end + 1)
        } else {
            0
        };
        let dropped = ends.count() as u64;
        self.batch.truncate(kept);
        if dropped > 0 {
            self.queue.drop_lines(dropped);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Gets every line as a whole.
impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = match self.format {
            Format::Json => visible_json(&line),
            // Its fields are visible already, and what else is in it is ours: colours, too.
            Format::Text => line,
        };
        self.queue.put(&line, self.format);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that is too long without most of what makes it so. JSON stays JSON.
fn cut(line: &str, format: Format) -> String {
    let short = |text: &str, most: usize| {
        let end = text.floor_char_boundary(most);
        format!(
            "{}… ({} bytes)",
            text.get(..end).unwrap_or_default(),
            text.len()
        )
    };
    match format {
        Format::Text => short(line, LINE) + "\n",
        Format::Json => {
            let mut members: serde_json::Map<_, _> = serde_json::from_str(line).unwrap_or_default();
            for value in members.values_mut() {
                if let serde_json::Value::String(text) = value
                    && text.len() > TEXT
                {
                    *text = short(text, TEXT);
                }
            }
            let line = serde_json::Value::Object(members).to_string();
            visible_json(&line).into_owned() + "\n"
        }
    }
}

/// The longest line.
const LINE: usize = 16 << 10;

/// The longest text in a line of JSON that is too long.
const TEXT: usize = 512;

/// What is kept of a batch's memory.
const KEPT: usize = 64 << 10;

/// How long after a write lines are gathered for the next one.
const GATHER: Duration = Duration::from_millis(1);

/// How soon a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// How often, before the lines are dropped.
const TRIES: u32 = 4;

/// How soon a pipe that was full is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
