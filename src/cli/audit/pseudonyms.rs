//! Asking by a value that has pseudonyms in the journal: by all of them, whichever key made them.

use std::path::Path;

use anyhow::Context;

use crate::audit::index::Filter;
use crate::trail::known_as;

/// The filter, with the pseudonyms of what it names, where there are keys.
pub(super) fn added(filter: Filter, keys: Option<&Path>) -> anyhow::Result<Filter> {
    let Some(journal) = keys else {
        return Ok(filter);
    };
    known_as(filter, journal).with_context(|| format!("journal {}", journal.display()))
}
