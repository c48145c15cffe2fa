//! What an answer does not say by itself: which of the journal it has nothing of, names that nothing has, and what is
//! hidden in records. Commands and pages say it in the same words.

use std::collections::BTreeSet;

use super::lacking::keys;
use super::{Error, Source};
use crate::audit::index::{By, Filter, Gaps, Hidden, Pattern, Unnamed, Veil, is_id};
use crate::store::{Found, Key};
use crate::value::counted;

/// How whoever asks calls what decisions are looked for by: `client` is an option of a command, or a field on a page.
pub type Called<'a> = &'a dyn Fn(&str) -> String;

/// The same of what decisions are counted by.
pub type CalledBy<'a> = &'a dyn Fn(By) -> String;

/// All that an answer to a filter does not say by itself, in one order for commands and pages.
pub fn all(source: &Source, filter: &Filter, called: Called<'_>) -> Result<Vec<String>, Error> {
    all_where(source, filter, filter.asks_by_form(), called)
}

/// The same, beside an answer that counts by these.
pub fn counting(
    source: &Source,
    filter: &Filter,
    by: &[By],
    called: Called<'_>,
    called_by: CalledBy<'_>,
) -> Result<Vec<String>, Error> {
    let by_form = by.iter().any(|by| matches!(by, By::Token | By::Outcome));
    let mut notes = all_where(source, filter, by_form || filter.asks_by_form(), called)?;
    for by in by {
        notes.extend(hidden_by(source, filter, *by, &called_by(*by))?);
    }
    Ok(notes)
}

/// The same, beside the history of a token. Where that is asked for by an id, the history itself says of which decisions the
/// token is hidden.
pub fn of_history(
    source: &Source,
    filter: &Filter,
    token: &str,
    called: Called<'_>,
) -> Result<Vec<String>, Error> {
    let mut notes = behind(source)?;
    notes.extend(older(source, filter)?);
    notes.extend(missing(source, filter)?);
    notes.extend(keys(source)?);
    let mut filter = filter.clone();
    if !is_id(token) {
        filter.token.push(Pattern::Exactly(token.to_owned()));
    }
    notes.extend(hidden(source, &filter, called)?);
    Ok(notes)
}

/// What is asked by the form of a row an older build may have sent otherwise.
fn all_where(
    source: &Source,
    filter: &Filter,
    asks_by_form: bool,
    called: Called<'_>,
) -> Result<Vec<String>, Error> {
    let mut notes = behind(source)?;
    if asks_by_form {
        notes.extend(older(source, filter)?);
    }
    notes.extend(missing(source, filter)?);
    if filter.asks_by_value() {
        notes.extend(keys(source)?);
    }
    notes.extend(refused(source, filter)?);
    notes.extend(searched(source, filter, called)?);
    notes.extend(hidden(source, filter, called)?);
    Ok(notes)
}

/// What of the journal, and of the names in a filter, is not there.
fn missing(source: &Source, filter: &Filter) -> Result<Vec<String>, Error> {
    let mut notes = gaps(&source.gaps(filter.since, filter.until)?);
    let unnamed = source.unnamed(filter)?;
    notes.extend(unnamed.iter().map(said));
    Ok(notes)
}

/// Of which gates a store has rows of this time that other builds have sent: what is asked for may be missing there.
fn older(source: &Source, filter: &Filter) -> Result<Option<String>, Error> {
    let gates = source.sent_by_others(filter.since, filter.until)?;
    let named: Vec<&str> = gates.iter().take(GATES).map(String::as_str).collect();
    let more = match gates.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Ok((!gates.is_empty()).then(|| {
        format!(
            "rows of this time were sent by another build of dtgate (gate {}{more}): by what this asks for they may be missing \
             here. docs/store.md says how to ship them again",
            named.join(", ")
        )
    }))
}

/// Which gates have written more than the store has.
pub fn behind(source: &Source) -> Result<Vec<String>, Error> {
    let all = source.unshipped()?.into_iter().map(|(last, missing)| {
        let behind = counted(missing, "record");
        format!(
            "{behind} of gate {} had not come to the store when it was seen last",
            last.gate
        )
    });
    Ok(all.collect())
}

/// Which of the journal an answer has nothing of.
pub fn gaps(gaps: &Gaps) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(pruned) = &gaps.pruned {
        let (first, when) = (pruned.first, &pruned.timestamp);
        notes.push(match first.saturating_sub(1) {
            1 => format!("Record 1 was deleted on {when}. It is not in this answer."),
            last => {
                format!("Records 1 to {last} were deleted on {when}. They are not in this answer.")
            }
        });
    }
    for (first, last) in &gaps.missing {
        let what = if first == last {
            format!("record {first} is")
        } else {
            format!("records {first} to {last} are")
        };
        notes.push(format!(
            "{what} missing, and no record says that they were pruned: run dtgate audit verify"
        ));
    }
    if gaps.more_missing > 0 {
        let more = counted(gaps.more_missing, "further gap");
        notes.push(format!("there is more that is missing: {more}"));
    }
    if let Some((last, on_disk)) = gaps.cut {
        notes.push(format!(
            "the journal ends with record {last}, and record {on_disk} was on disk, says the file head: what came after is gone. \
             Run dtgate audit verify"
        ));
    }
    if gaps.unread > 0 {
        let lines = counted(gaps.unread, "line");
        notes.push(format!(
            "{lines} of the journal could not be read as records: run dtgate audit verify"
        ));
    }
    notes
}

/// Names that nothing has, and some of those that there are.
pub fn said(unnamed: &Unnamed) -> String {
    let Unnamed { what, value, .. } = unnamed;
    let text = format!("no record names the {what} {value}");
    let there = unnamed.there.join(", ");
    match (unnamed.there.len(), unnamed.more) {
        (0, _) => text,
        (_, 0) => format!("{text}; there are: {there}"),
        (_, more) => format!("{text}; there are: {there} and {more} more"),
    }
}

/// Where words are not looked for.
fn searched(source: &Source, filter: &Filter, called: Called<'_>) -> Result<Vec<String>, Error> {
    let Some(text) = &filter.text else {
        return Ok(Vec::new());
    };
    let words = called("text");
    if filter.has_no_word() {
        return Ok(vec![format!(
            "{words} holds no word to look for: nothing is found by it"
        )]);
    }
    let mut notes = Vec::new();
    let long = source.searched_in_part()?;
    if long > 0 {
        let decisions = counted(long, "decision");
        notes.push(format!(
            "of {decisions} with long texts {words} looks at the first 4096 bytes only: there may be more"
        ));
    }
    for option in source.found_by(text)? {
        let name = option.trim_start_matches("--");
        let what = match name {
            "scope" => "does not look at scopes",
            "caller" => "does not look at credentials of callers",
            "client" => "does not look at addresses",
            // Names of tokens, and ids that were asked about, are looked at.
            _ if !text.starts_with("dt0") => continue,
            _ => "does not look at ids of tokens that were made",
        };
        notes.push(format!("{words} {what}: {} {text} does", called(name)));
    }
    Ok(notes)
}

/// How many refused requests are counted only, where whoever asks for decisions means those that were denied too.
fn refused(source: &Source, filter: &Filter) -> Result<Option<String>, Error> {
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
    let requests = counted(count, "request");
    Ok((count > 0).then(|| {
        format!(
            "refused in this time without a record of their own, and not in this answer: {requests} (dtgate audit tail shows \
             what counts them, suppressed)"
        )
    }))
}

/// Of how many decisions masks and pseudonyms have hidden what is asked for.
fn hidden(source: &Source, filter: &Filter, called: Called<'_>) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    for (whats, names) in asked(filter) {
        let veiled = whats.iter().map(|what| (*what, Veil::Mask));
        if let Some(decisions) = decisions(source, filter, veiled)? {
            let (names, look) = listed(&names, called);
            notes.push(masked(&decisions, &names, look));
        }
    }
    for (what, name, why) in asked_in_part(filter) {
        let veiled = [(what, Veil::Pseudonym)].into_iter();
        if let Some(decisions) = decisions(source, filter, veiled)? {
            notes.push(named(&decisions, &called(name), why));
        }
    }
    Ok(notes)
}

/// Masks have hidden what is asked for.
pub fn masked(decisions: &str, names: &str, look: &str) -> String {
    format!(
        "of {decisions} of this time masks have hidden what {names} {look} at: they may be missing here"
    )
}

/// Pseudonyms have hidden what is asked for by a part of it.
pub fn named(decisions: &str, name: &str, why: &str) -> String {
    format!(
        "of {decisions} of this time pseudonyms stand where {name} looks, and nobody can tell {why}: they may be missing here"
    )
}

/// Of how many decisions masks have hidden by what they are counted.
fn hidden_by(
    source: &Source,
    filter: &Filter,
    by: By,
    name: &str,
) -> Result<Option<String>, Error> {
    let whats: &[Hidden] = match by {
        By::Policy => &[Hidden::Policy],
        By::Code => &[Hidden::Code],
        By::Caller => &[Hidden::Claim, Hidden::Certificate, Hidden::Caller],
        By::Credential => &[Hidden::Caller],
        By::Subject => &[Hidden::Claim],
        By::Certificate => &[Hidden::Certificate],
        By::Team => &[Hidden::Team],
        By::Token => &[Hidden::Names],
        By::Scope => &[Hidden::Scopes],
        By::Environment => &[Hidden::Environment],
        By::Client => &[Hidden::Client],
        By::Verdict | By::Operation | By::Outcome | By::Challenger => &[],
    };
    let veiled = whats.iter().map(|what| (*what, Veil::Mask));
    let decisions = decisions(source, filter, veiled)?;
    Ok(decisions.map(|decisions| {
        format!(
            "of {decisions} of this time masks have hidden what {name} looks at: they are counted by what is left"
        )
    }))
}

/// Whether a name is asked by.
type Asked = (bool, &'static str);

/// What is asked for that masks can hide, and by which names.
fn asked(filter: &Filter) -> Vec<(&'static [Hidden], Vec<&'static str>)> {
    let claims: &[Hidden] = match (filter.asks_for_claims(), filter.claim.len()) {
        (false, _) => &[Hidden::Claim],
        (true, 1) => &[Hidden::Claims],
        (true, _) => &[Hidden::Claim, Hidden::Claims],
    };
    let is_client = !filter.client.is_empty() || !filter.client_named.is_empty();
    let given = |patterns: &[Pattern]| !patterns.is_empty();
    let all: [(&'static [Hidden], &[Asked]); 12] = [
        (&[Hidden::Names], &[(given(&filter.token), "token")]),
        (
            &[Hidden::Scopes],
            &[
                (given(&filter.scope), "scope"),
                (given(&filter.added), "added"),
                (given(&filter.removed), "removed"),
            ],
        ),
        (&[Hidden::Caller], &[(given(&filter.caller), "caller")]),
        (
            &[Hidden::Certificate],
            &[(given(&filter.certificate), "certificate")],
        ),
        (claims, &[(given(&filter.claim), "claim")]),
        (&[Hidden::Team], &[(given(&filter.team), "team")]),
        (
            &[Hidden::Environment],
            &[(given(&filter.environment), "environment")],
        ),
        (&[Hidden::Policy], &[(given(&filter.policy), "policy")]),
        (&[Hidden::Code], &[(given(&filter.code), "code")]),
        (&[Hidden::Client], &[(is_client, "client")]),
        (&[Hidden::Words], &[(filter.text.is_some(), "text")]),
        // Nobody can tell of it that it changes nothing: whoever leaves such requests out is shown it.
        (&[Hidden::Effect], &[(filter.no_op == Some(true), "no-op")]),
    ];
    let all = all.into_iter().map(|(whats, names)| {
        let names = names.iter().filter(|(is_asked, _)| *is_asked);
        (whats, names.map(|(_, name)| *name).collect::<Vec<_>>())
    });
    all.filter(|(_, names)| !names.is_empty()).collect()
}

/// What is asked for by a part of the value, and why a pseudonym does not tell that.
fn asked_in_part(filter: &Filter) -> Vec<(Hidden, &'static str, &'static str)> {
    let keeps = |what, patterns: &[Pattern]| {
        let mut patterns = patterns.iter();
        patterns.any(|it| Veil::Pseudonym.keeps(what, it))
    };
    let claims = if filter.asks_for_claims() {
        Hidden::Claims
    } else {
        Hidden::Claim
    };
    let has_networks = filter.client.iter().any(|it| it.address().is_none());
    let patterns = [
        (Hidden::Names, &filter.token, "token", BEGINS),
        (Hidden::NamePart, &filter.token, "token", SEVERAL),
        (Hidden::Caller, &filter.caller, "caller", BEGINS),
        (
            Hidden::Certificate,
            &filter.certificate,
            "certificate",
            BEGINS,
        ),
        (claims, &filter.claim, "claim", BEGINS),
    ];
    let patterns = patterns.map(|(what, asked, name, why)| (what, keeps(what, asked), name, why));
    let others = [
        (
            Hidden::Client,
            has_networks,
            "client",
            "in which network an address was",
        ),
        (
            Hidden::Words,
            filter.text.is_some(),
            "text",
            "which words a value had",
        ),
    ];
    let all = patterns.into_iter().chain(others);
    let all = all.filter(|(_, is_asked, ..)| *is_asked);
    all.map(|(what, _, name, why)| (what, name, why)).collect()
}

/// How many decisions there are of which any of that is hidden, as far as the rest of the filter tells; `None`: none.
fn decisions(
    source: &Source,
    filter: &Filter,
    veiled: impl Iterator<Item = (Hidden, Veil)>,
) -> Result<Option<String>, Error> {
    let mut keys: BTreeSet<Key> = BTreeSet::new();
    let mut has_more = false;
    for veiled in veiled {
        // Nothing else of a filter is certain to be there as it was.
        let of_these = Filter {
            since: filter.since,
            until: filter.until,
            operation: filter.operation.clone(),
            allowed: filter.allowed,
            id: filter.id.clone(),
            outcome: filter.outcome,
            granted: filter.granted,
            challenger: filter.challenger,
            hidden: vec![veiled],
            ..Filter::default()
        };
        let found = source.find(&of_these, None, MOST)?;
        has_more |= found.more;
        keys.extend(found.decisions.iter().map(Found::key));
    }
    let more = if has_more { "more than " } else { "" };
    let count = if has_more { MOST } else { keys.len() };
    Ok((count > 0).then(|| format!("{more}{}", counted(count, "decision"))))
}

/// The names as a sentence has them, with its verb.
fn listed(names: &[&str], called: Called<'_>) -> (String, &'static str) {
    let names: Vec<String> = names.iter().map(|name| called(name)).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => {
            (format!("{} and {last}", before.join(", ")), "look")
        }
        _ => (names.concat(), "looks"),
    }
}

/// Decisions that are counted of those of which something is hidden.
const MOST: usize = 1000;
/// Gates that are named in one note.
const GATES: usize = 8;
/// What a pseudonym does not tell of a value.
pub const BEGINS: &str = "how a value began";
/// What pseudonyms do not tell of a name.
pub const SEVERAL: &str = "which name it was that holds several of them";
