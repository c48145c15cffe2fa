//! Asking by a value that has pseudonyms in the journal: by all of them, whichever key made them.

use std::path::Path;

use anyhow::Context;

use super::opened::note;
use crate::audit::index::{Filter, Pattern};
use crate::audit::pseudonym::KnownKeys;
use crate::trail::known_as;

/// The filter, with the pseudonyms of what it names, where there are keys.
pub(super) fn added(mut filter: Filter, keys: Option<&Path>) -> anyhow::Result<Filter> {
    let Some(journal) = keys else {
        return Ok(filter);
    };
    filter = known_as(filter, journal).with_context(|| format!("journal {}", journal.display()))?;
    say_what_finds_none(&filter, journal)?;
    Ok(filter)
}

/// A network is no value that could have a pseudonym.
fn say_what_finds_none(filter: &Filter, journal: &Path) -> anyhow::Result<()> {
    let mut patterns = [&filter.caller, &filter.certificate, &filter.claim]
        .into_iter()
        .flatten();
    let is_wide = filter.client.iter().any(|it| it.address().is_none())
        || patterns.any(|it| matches!(it, Pattern::Begins(_)));
    if is_wide && !KnownKeys::of(journal)?.is_empty() {
        note(
            "the journal has keys of pseudonyms: networks, and names that end with *, find nothing that has one",
        );
    }
    Ok(())
}
