//! How the console is shown, and to whom.

use std::num::NonZeroU16;

use serde::Deserialize;

use crate::value::Duration;

/// Pages for people, beside a gate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// So many pages are made at once.
    pub max_pages: NonZeroU16,
    /// How long a page may take to be made.
    pub page_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_pages: NonZeroU16::MIN.saturating_add(1),
            page_timeout: Duration::from_secs(10),
        }
    }
}
