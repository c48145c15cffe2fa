//! What an answer does not say by itself: which of the journal it had nothing of, and names that nothing has. It goes to
//! standard error, so that programs read the same as ever.

use super::opened::note;
use super::source::Source;
use crate::audit::index::{By, Filter, Gaps};
use crate::audit::pseudonym::Differing;
pub(in crate::cli) use crate::trail::beside::said;
pub(super) use crate::trail::lacking::lacking;
use crate::trail::{beside, lacking as of_keys};

/// Says what an answer to this filter does not say by itself.
pub(super) fn say(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    all(&beside::all(source, filter, &option)?);
    Ok(())
}

/// The same, beside an answer that counts by this.
pub(super) fn say_counting(source: &Source, filter: &Filter, by: By) -> anyhow::Result<()> {
    let by_option = |_by| option("by");
    all(&beside::counting(
        source,
        filter,
        &[by],
        &option,
        &by_option,
    )?);
    Ok(())
}

/// The same, beside the history of a token.
pub(super) fn say_of_history(source: &Source, filter: &Filter, token: &str) -> anyhow::Result<()> {
    let called = |name: &str| match name {
        "token" => "TOKEN".to_owned(),
        name => option(name),
    };
    all(&beside::of_history(source, filter, token, &called)?);
    Ok(())
}

/// Says which of the journal an answer has nothing of.
pub(super) fn gaps(gaps: &Gaps) {
    all(&beside::gaps(gaps));
}

fn all(notes: &[String]) {
    for text in notes {
        note(text);
    }
}

fn option(name: &str) -> String {
    format!("--{name}")
}

/// Says where values cannot be found by which pseudonyms were made, because the key is not there.
pub(super) fn keys(source: &Source) -> anyhow::Result<()> {
    all(&of_keys::keys(source)?);
    Ok(())
}

/// Says which key of a journal is missing.
pub(in crate::cli) fn missing(key: &Differing) {
    note(&of_keys::missing(key));
}
