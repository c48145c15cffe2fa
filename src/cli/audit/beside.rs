//! What an answer does not say by itself: which of the journal it had nothing of, and names that nothing has. It goes to
//! standard error, so that programs read the same as ever.

use serde::Serialize;

use super::opened::note;
use super::source::Source;
use crate::audit::index::{By, Filter, Gaps, Pattern};
use crate::audit::pseudonym::{Differing, Said, differing};
pub(in crate::cli) use crate::trail::beside::said;
use crate::trail::beside::{self, is_id};

/// Says what matters to whoever asked for this.
pub(super) fn say(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    source.say_behind()?;
    all(&beside::missing(source, filter)?);
    if filter.asks_by_value() {
        keys(source)?;
    }
    all(&beside::searched(source, filter, &option)?);
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
    notes.iter().for_each(|text| note(text));
}

fn option(name: &str) -> String {
    format!("--{name}")
}

/// A key by which a gate has given pseudonyms, and that is not there.
#[derive(Debug, Serialize)]
pub(super) struct Lacking {
    /// Of several that meet in a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    #[serde(flatten)]
    key: Differing,
}

/// The keys by which records have pseudonyms, and that are not there.
pub(super) fn lacking(source: &Source) -> anyhow::Result<Vec<Lacking>> {
    let (index, journal) = match source {
        Source::Journal { index, journal } => (index, journal),
        Source::Store { .. } => return lacking_of_gates(source),
    };
    let said = index.said_of_keys(STARTS)?;
    let keys = differing(Some(journal), &said)?.into_iter();
    Ok(keys.map(|key| Lacking { gate: None, key }).collect())
}

/// Each gate has keys of its own, and a command those of one directory at most.
fn lacking_of_gates(source: &Source) -> anyhow::Result<Vec<Lacking>> {
    let Source::Store { asked, gate, keys } = source else {
        return Ok(Vec::new());
    };
    let gates = match gate {
        Some(gate) => vec![gate.clone()],
        None => asked.recorded()?,
    };
    let mut all = Vec::new();
    for gate in gates {
        let lines = asked.starts(&gate, STARTS)?;
        let said: Vec<Said> = lines.iter().filter_map(|line| Said::of(line)).collect();
        let keys = differing(keys.as_deref(), &said)?.into_iter();
        all.extend(keys.map(|key| Lacking {
            gate: Some(gate.clone()),
            key,
        }));
    }
    Ok(all)
}

/// Says where values cannot be found by which pseudonyms were made, because the key is not there.
pub(super) fn keys(source: &Source) -> anyhow::Result<()> {
    let lacking = lacking(source)?;
    if source.is_store() {
        of_gates(&lacking);
    } else {
        for it in &lacking {
            missing(&it.key);
        }
    }
    Ok(())
}

/// Says which key of a journal is missing.
pub(in crate::cli) fn missing(key: &Differing) {
    let Differing {
        version,
        is_replaced,
    } = key;
    let what = if *is_replaced {
        "is another one than records were written by"
    } else {
        "is missing"
    };
    note(&format!(
        "the key pseudonym-v{version}.key {what}: {NOT_FOUND}"
    ));
}

/// Says which keys of gates are missing, in one line.
fn of_gates(lacking: &[Lacking]) {
    if lacking.is_empty() {
        return;
    }
    let named = lacking.iter().take(SHOWN).map(|it| {
        let Differing {
            version,
            is_replaced,
        } = it.key;
        let what = if is_replaced { ", another one" } else { "" };
        let gate = it.gate.as_deref().unwrap_or_default();
        format!("v{version} of {gate}{what}")
    });
    let named: Vec<String> = named.collect();
    let more = match lacking.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    note(&format!(
        "keys of pseudonyms are missing ({}{more}), and --journal DIR names where they are: {NOT_FOUND}",
        named.join("; ")
    ));
}

/// Decisions that are named.
const SHOWN: usize = 8;
/// What becomes of values whose key is missing.
const NOT_FOUND: &str =
    "what has a pseudonym by it is not found by its value, and is not in this answer";
/// Records of each kind that are looked at for keys, the newest first.
const STARTS: usize = 200;
