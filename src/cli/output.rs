//! Standard output, whose reader may go away and whose disk may be full.
//!
//! What nobody reads any more is not written, and the command goes on: what it found out is in its exit code. One that
//! has nothing else to do than to write asks by `flush`, and ends. Any other trouble ends the command.

use std::error::Error;
use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Where commands write to.
#[derive(Debug)]
pub struct Output<W> {
    out: W,
    is_closed: bool,
}

/// Nobody reads any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct Closed;

impl<W: Write> Output<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            is_closed: false,
        }
    }

    /// Writes what is left. That nobody reads it is no error.
    pub fn finish(mut self) -> io::Result<()> {
        match self.flush() {
            Err(error) if is_closed(&error) => Ok(()),
            flushed => flushed,
        }
    }

    /// What the command is told about an error.
    fn told(&mut self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            io::ErrorKind::Interrupted => Err(error),
            kind => Err(io::Error::new(kind, format!("standard output: {error}"))),
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        match self.out.write(bytes) {
            Err(error) => self.told(error).map(|()| bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.is_closed
            && let Err(error) = self.out.flush()
        {
            self.told(error)?;
        }
        if self.is_closed {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, Closed));
        }
        Ok(())
    }
}

/// Whether a command ended because nobody reads what it writes: a reader that has seen enough is no trouble.
pub fn ended_unread(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(is_closed)
}

fn is_closed(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<Closed>)
}

/// Waits so long, or until standard output is a pipe that nobody reads from any more, which it tells.
pub(super) fn is_closed_within(time: Timespec) -> io::Result<bool> {
    let stdout = io::stdout();
    // No events: only what is always told, that the other end is gone.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut watched, Some(&time)) {
        Err(Errno::INTR) => Ok(false),
        polled => Ok(polled? > 0),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    /// Takes so many bytes, then fails.
    struct Fails(usize, io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                return Err(self.1.into());
            }
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_went_away_is_told_only_to_who_asks() {
        let mut out = Output::new(Fails(3, io::ErrorKind::BrokenPipe));
        out.flush().unwrap();
        writeln!(out, "more than three bytes").unwrap();
        writeln!(out, "and more").unwrap();
        let error = out.flush().context("wrapped").unwrap_err();
        assert!(ended_unread(&error));
        out.finish().unwrap();
    }

    #[test]
    fn a_broken_pipe_elsewhere_is_an_error() {
        let error = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(!ended_unread(&error.into()));
    }

    #[test]
    fn a_full_disk_is_told_at_once() {
        let mut out = Output::new(Fails(3, io::ErrorKind::StorageFull));
        let error = out.write_all(b"more than three bytes").unwrap_err();
        assert!(error.to_string().starts_with("standard output: "));
        assert!(!ended_unread(&error.into()));
    }
}
