//! The frames of an HTTP/2 client that cost work and carry nothing: they pass by here, and are counted.
//!
//! h2 answers pings and settings, forgets streams that are reset, and keeps the order of priorities, as often as a
//! client likes. Each is cheap to send. What an honest client sends of them goes with what it asks for and what it is
//! sent; so it has a stock of them, which time fills up again, and for control frames also the bytes that move. Sees
//! the nine bytes that each frame begins with, and remembers no other.

use tokio::time::Instant;

use super::config::Http2;
use crate::telemetry::Limit;

/// Where the reader of one connection is.
#[derive(Clone)]
pub(super) struct Frames {
    /// The bytes of a frame's head that have come.
    head: [u8; HEAD],
    have: usize,
    /// To come of what is not looked at: the preface first, then the content of frames.
    skip: usize,
    control: Stock,
    resets: Stock,
}

/// So many at once, and a part of them each second.
#[derive(Clone)]
struct Stock {
    most: f64,
    left: f64,
    since: Instant,
}

impl Frames {
    pub(super) fn new(config: &Http2, now: Instant) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            skip: PREFACE,
            control: Stock::new(config.max_control_frames.get(), now),
            resets: Stock::new(config.max_resets.get(), now),
        }
    }

    /// The client has taken so many bytes. It may say so, with a frame for each KiB.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.control.add(kibibytes(bytes));
    }

    /// So many parts of answers were sent, however small. It may say that it has each: for its stream, and for the
    /// connection.
    pub(super) fn gave(&mut self, parts: u32) {
        self.control.add(2.0 * f64::from(parts));
    }

    /// Bytes that have come from the client, in the order in which they came.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Limit> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.split_at(skipped).1;
                continue;
            }
            let wanted = bytes.len().min(HEAD - self.have);
            let (begin, rest) = bytes.split_at(wanted);
            if let Some(free) = self.head.get_mut(self.have..self.have + wanted) {
                free.copy_from_slice(begin);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, now: Instant) -> Result<(), Limit> {
        let [high, middle, low, kind, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = length;
        match kind {
            DATA if length > 0 => {
                self.control.add(kibibytes(length));
                Ok(())
            }
            HEADERS => Ok(()),
            RESET => self.resets.take(now).ok_or(Limit::Http2Resets),
            _ => self.control.take(now).ok_or(Limit::Http2Control),
        }
    }
}

impl Stock {
    fn new(most: u32, now: Instant) -> Self {
        let most = f64::from(most);
        Self {
            most,
            left: most,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> Option<()> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = self.most.min(self.left + passed * self.most / FILLED) - 1.0;
        (self.left >= 0.0).then_some(())
    }

    fn add(&mut self, earned: f64) {
        self.left = self.most.min(self.left + earned);
    }
}

fn kibibytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0
}

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
/// Seconds in which an empty stock is full again.
const FILLED: f64 = 30.0;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + length, kind);
        frame
    }

    fn frames(now: Instant) -> Frames {
        let few = NonZeroU32::new(3).unwrap();
        let config = Http2 {
            max_control_frames: few,
            max_resets: few,
            ..Http2::default()
        };
        let mut frames = Frames::new(&config, now);
        frames
            .read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now)
            .unwrap();
        frames
    }

    #[test]
    fn frames_are_told_apart_however_their_bytes_arrive() {
        let now = Instant::now();
        for pieces in [1, 2, 9, 10, 1000] {
            let mut frames = frames(now);
            // Content that looks like a frame is none.
            let begin = [
                frame(HEADERS, 20),
                frame(6, 8),
                frame(RESET, 4),
                frame(DATA, 5),
                frame(RESET, 4),
            ];
            for piece in begin.concat().chunks(pieces) {
                frames.read(piece, now).unwrap();
            }
            let other = [frame(4, 0), frame(9, 3), frame(RESET, 4)];
            frames.read(&other.concat(), now).unwrap();
            let mut twin = frames.clone();
            assert_eq!(frames.read(&frame(RESET, 4), now), Err(Limit::Http2Resets));
            assert_eq!(twin.read(&frame(DATA, 0), now), Err(Limit::Http2Control));
        }
    }

    #[test]
    fn time_and_bytes_that_move_pay_for_more() {
        let start = Instant::now();
        let mut all = frames(start);
        let ping = frame(6, 8);
        for _ in 0..3 {
            all.read(&ping, start).unwrap();
        }
        // 3 in half a minute.
        let later = start + Duration::from_secs(10);
        all.read(&ping, later).unwrap();
        all.wrote(2048);
        all.read(&[&ping[..], &ping].concat(), later).unwrap();
        all.read(&frame(DATA, 1024), later).unwrap();
        all.read(&ping, later).unwrap();
        all.gave(1);
        all.read(&[&ping[..], &ping].concat(), later).unwrap();
        assert_eq!(all.read(&ping, later), Err(Limit::Http2Control));
        // What was not used does not add up.
        let mut idle = frames(start);
        let much_later = start + Duration::from_hours(1);
        idle.wrote(1 << 30);
        for _ in 0..3 {
            idle.read(&ping, much_later).unwrap();
        }
        assert_eq!(idle.read(&ping, much_later), Err(Limit::Http2Control));
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let now = Instant::now();
        let mut frames = frames(now);
        frames.read(&frame(HEADERS, 0xff_ffff), now).unwrap();
        frames.read(&frame(0xff, 0), now).unwrap();
    }
}
