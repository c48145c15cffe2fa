//! What an answer does not say by itself: which of the journal it had nothing of, and names that nothing has. It goes to
//! standard error, so that programs read the same as ever.

use super::opened::note;
use super::source::Source;
use crate::audit::index::{By, Filter, Gaps, Pattern, is_id};
use crate::audit::pseudonym::Differing;
pub(in crate::cli) use crate::trail::beside::said;
pub(super) use crate::trail::lacking::lacking;
use crate::trail::{beside, lacking as of_keys};

/// Says what matters to whoever asked for this.
pub(super) fn say(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    all(&beside::behind(source)?);
    if filter.asks_by_form() {
        older(source, filter)?;
    }
    all(&beside::missing(source, filter)?);
    if filter.asks_by_value() {
        keys(source)?;
    }
    all(&beside::searched(source, filter, &option)?);
    Ok(())
}

/// Says of which gates a store has rows of this time that other builds have sent.
pub(super) fn older(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    all(beside::older(source, filter)?.as_slice());
    Ok(())
}

/// Says how many refused requests are counted only, and of how many decisions is hidden what is asked for.
pub(super) fn left_out(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    all(beside::refused(source, filter)?.as_slice());
    hidden(source, filter)
}

/// Says of how many decisions is hidden what is asked for.
pub(super) fn hidden(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    all(&beside::hidden(source, filter, &option)?);
    Ok(())
}

/// The same, beside the history of a token that is asked for by a name. Of its ids the history itself says it.
pub(super) fn hidden_from_history(
    source: &Source,
    filter: &Filter,
    token: &str,
) -> anyhow::Result<()> {
    let mut filter = filter.clone();
    if !is_id(token) {
        filter.token.push(Pattern::Exactly(token.to_owned()));
    }
    let called = |name: &str| match name {
        "token" => "TOKEN".to_owned(),
        name => option(name),
    };
    all(&beside::hidden(source, &filter, &called)?);
    Ok(())
}

/// Says of how many decisions is hidden by what they are counted.
pub(super) fn hidden_by(source: &Source, filter: &Filter, by: By) -> anyhow::Result<()> {
    all(beside::hidden_by(source, filter, by)?.as_slice());
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
