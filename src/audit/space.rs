//! How much room the journal's disk has, looked up now and then, never by a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Config;
use crate::value::Size;

/// The room on the journal's file system. Clones see the same.
#[derive(Clone, Debug)]
pub struct Space(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    min_free: Size,
    free: AtomicU64,
    low: AtomicBool,
}

impl Space {
    /// Nothing is known before the first [`Space::look`].
    pub fn new(config: &Config) -> Self {
        Self(Arc::new(Inner {
            directory: config.directory.clone(),
            min_free: config.min_free,
            free: AtomicU64::new(u64::MAX),
            low: AtomicBool::new(false),
        }))
    }

    /// Asks the system, which may take as long as the disk does. Says so when it begins to be little, and when that
    /// ends. Where the system does not answer, what was known stays.
    pub fn look(&self) {
        let stat = match rustix::fs::statvfs(&self.0.directory) {
            Ok(stat) => stat,
            Err(error) => {
                tracing::debug!(%error, "the free space of the journal's disk is not known");
                return;
            }
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let low = free < self.0.min_free.as_u64();
        self.0.free.store(free, Ordering::Relaxed);
        match (self.0.low.swap(low, Ordering::Relaxed), low) {
            (false, true) => tracing::warn!(
                free, min_free = %self.0.min_free,
                "the journal's disk is nearly full: refusals and denials are only counted, and judged reads refused"
            ),
            (true, false) => tracing::info!(
                free, min_free = %self.0.min_free,
                "the journal's disk has room again: refusals and denials are recorded"
            ),
            (false, false) | (true, true) => {}
        }
    }

    /// Whether there is less than the configuration wants to be left.
    pub fn is_low(&self) -> bool {
        self.0.low.load(Ordering::Relaxed)
    }

    /// The same, where it is known.
    pub fn known_free(&self) -> Option<u64> {
        Some(self.free()).filter(|free| *free != u64::MAX)
    }

    /// What is left to allowed changes.
    pub fn min_free(&self) -> Size {
        self.0.min_free
    }

    /// Bytes that this process may still use.
    pub fn free(&self) -> u64 {
        self.0.free.load(Ordering::Relaxed)
    }
}
