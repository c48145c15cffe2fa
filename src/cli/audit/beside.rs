//! What an answer does not say by itself: which of the journal it had nothing of, and names that nothing has. It goes to
//! standard error, so that programs read the same as ever.

use serde::Serialize;

use super::opened::note;
use super::source::Source;
use crate::audit::index::{Filter, Gaps, Hidden, Unnamed};
use crate::audit::pseudonym::{Differing, Said, differing};
use crate::value::counted;

/// Says what matters to whoever asked for this.
pub(super) fn say(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    source.say_behind()?;
    if filter.asks_by_form() {
        older(source, filter)?;
    }
    gaps(&source.gaps(filter.since, filter.until)?);
    if filter.asks_by_value() {
        keys(source)?;
    }
    for unnamed in source.unnamed(filter)? {
        note(&said(&unnamed));
    }
    if filter.has_no_word() {
        note("--text holds no word to look for: nothing is found by it");
    } else if filter.text.is_some() {
        let long = source.searched_in_part()?;
        if long > 0 {
            let decisions = counted(long, "decision");
            note(&format!(
                "of {decisions} with long texts --text looks at the first 4096 bytes only: there may be more"
            ));
        }
    }
    if let Some(text) = &filter.text {
        for option in source.found_by(text)? {
            let what = match option {
                "--scope" => "does not look at scopes",
                "--caller" => "does not look at credentials of callers",
                "--client" => "does not look at addresses",
                // Names of tokens, and ids that were asked about, are looked at.
                _ if !text.starts_with("dt0") => continue,
                _ => "does not look at ids of tokens that were made",
            };
            note(&format!("--text {what}: {option} {text} does"));
        }
    }
    Ok(())
}

/// Says of which gates a store has rows of this time that other builds have sent: what is asked for may be missing there.
pub(super) fn older(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    let gates = source.sent_by_others(filter.since, filter.until)?;
    if gates.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = gates.iter().take(SHOWN).map(String::as_str).collect();
    let more = match gates.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    note(&format!(
        "rows of this time were sent by another build of dtgate (gate {}{more}): by what this asks for they may be missing \
         here. docs/store.md says how to ship them again",
        named.join(", ")
    ));
    Ok(())
}

/// Says how many refused requests are counted only, where whoever asked for decisions means those that were denied too;
/// and of how many decisions masks have hidden what is asked for.
pub(super) fn left_out(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    let means_denied = filter.allowed != Some(true)
        && filter.id.is_none()
        && filter.outcome.is_none()
        && filter.challenger.is_none()
        && !filter.granted;
    let count = if means_denied {
        source.counted(filter.since, filter.until)?
    } else {
        0
    };
    if count > 0 {
        let requests = counted(count, "request");
        note(&format!(
            "refused in this time without a record of their own, and not in this answer: {requests} (dtgate audit tail shows \
             what counts them, suppressed)"
        ));
    }
    let scopes = [&filter.scope, &filter.added, &filter.removed];
    for (is_asked, hidden, options) in [
        (!filter.token.is_empty(), Hidden::Names, "--token"),
        (
            scopes.iter().any(|it| !it.is_empty()),
            Hidden::Scopes,
            "--scope, --added and --removed",
        ),
    ] {
        if !is_asked {
            continue;
        }
        let found = source.find(
            &Filter {
                since: filter.since,
                until: filter.until,
                hidden: Some(hidden),
                ..Filter::default()
            },
            None,
            MOST_HIDDEN,
        )?;
        let more = if found.more { "more than " } else { "" };
        if !found.decisions.is_empty() {
            let decisions = counted(found.decisions.len(), "decision");
            note(&format!(
                "of {more}{decisions} of this time masks have hidden what {options} look at: they may be missing here"
            ));
        }
    }
    Ok(())
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

/// Says which of the journal an answer has nothing of.
pub(super) fn gaps(gaps: &Gaps) {
    if let Some(pruned) = &gaps.pruned {
        let (first, when) = (pruned.first, &pruned.timestamp);
        let text = match first.saturating_sub(1) {
            1 => format!("Record 1 was deleted on {when}. It is not in this answer."),
            last => {
                format!("Records 1 to {last} were deleted on {when}. They are not in this answer.")
            }
        };
        note(&text);
    }
    for (first, last) in &gaps.missing {
        let what = if first == last {
            format!("record {first} is")
        } else {
            format!("records {first} to {last} are")
        };
        note(&format!(
            "{what} missing, and no record says that they were pruned: run dtgate audit verify"
        ));
    }
    if gaps.more_missing > 0 {
        let more = counted(gaps.more_missing, "further gap");
        note(&format!("there is more that is missing: {more}"));
    }
    if let Some((last, on_disk)) = gaps.cut {
        note(&format!(
            "the journal ends with record {last}, and record {on_disk} was on disk, says the file head: what came after is gone. \
             Run dtgate audit verify"
        ));
    }
    if gaps.unread > 0 {
        let lines = counted(gaps.unread, "line");
        note(&format!(
            "{lines} of the journal could not be read as records: run dtgate audit verify"
        ));
    }
}

/// Names that nothing has, and some of those that there are.
pub(in crate::cli) fn said(unnamed: &Unnamed) -> String {
    let Unnamed { what, value, .. } = unnamed;
    let text = format!("no record names the {what} {value}");
    let there = unnamed.there.join(", ");
    match (unnamed.there.len(), unnamed.more) {
        (0, _) => text,
        (_, 0) => format!("{text}; there are: {there}"),
        (_, more) => format!("{text}; there are: {there} and {more} more"),
    }
}

/// Decisions that are counted of those that masks have hidden.
const MOST_HIDDEN: usize = 100_000;
/// Decisions that are named.
const SHOWN: usize = 8;
/// What becomes of values whose key is missing.
const NOT_FOUND: &str =
    "what has a pseudonym by it is not found by its value, and is not in this answer";
/// Records of each kind that are looked at for keys, the newest first.
const STARTS: usize = 200;
