//! Asking by a value that has pseudonyms in the journal: by all of them, whichever key made them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use crate::audit::OpenError;
use crate::audit::index::{Filter, Pattern};
use crate::audit::pseudonym::{KnownKeys, is_pseudonym};
use crate::value::Network;

/// The filter, with the pseudonyms of what it names, where the journal's directory has keys.
pub fn known_as(mut filter: Filter, journal: &Path) -> Result<Filter, OpenError> {
    let keys = KnownKeys::of(journal)?;
    if keys.is_empty() {
        return Ok(filter);
    }
    let patterns = [
        &filter.caller,
        &filter.certificate,
        &filter.claim,
        &filter.token,
    ];
    let texts = patterns.into_iter().flatten().filter_map(|it| match it {
        Pattern::Exactly(text) => Some(text.clone()),
        // Of how a value begins nothing can be told.
        Pattern::Begins(_) => None,
    });
    let mut wanted: Vec<(String, Vec<String>)> =
        texts.map(|text| (text.clone(), vec![text])).collect();
    let addresses = filter.client.iter().filter_map(Network::address);
    wanted.extend(addresses.map(|address| (address.to_string(), written(address))));
    let (tokens, claims) = (whole(&filter.token), whole(&filter.claim));
    for (value, written) in wanted {
        let mut names = Vec::new();
        for text in written {
            names.extend(keys.names(&text));
        }
        if let Some((name, claim)) = value.split_once('=').filter(|_| claims.contains(&*value)) {
            names.extend(keys.names(claim).map(|it| format!("{name}={it}")));
        }
        if tokens.contains(&*value) {
            for (before, part, behind) in parts(&value) {
                let made = keys.names(part);
                names.extend(made.map(|name| format!("{before}{name}{behind}")));
            }
        }
        filter.known_as.insert(value, names);
    }
    Ok(filter)
}

/// Which ids of tokens the pseudonyms of records stand for, as far as the ids are known: so that one token is one,
/// whichever key made its pseudonym.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeMap<String, String>);

impl Known {
    /// With the pseudonyms of ids.
    pub(super) fn add(&mut self, keys: Option<&KnownKeys>, ids: &BTreeSet<String>) {
        let Some(keys) = keys else {
            return;
        };
        for id in ids.iter().filter(|id| !is_pseudonym(id)) {
            let names = keys.names(id);
            self.0.extend(names.map(|name| (name, id.clone())));
        }
    }

    /// The ids that are meant by these.
    pub(super) fn ids(&self, written: &BTreeSet<String>) -> BTreeSet<String> {
        let ids = written.iter().map(|id| self.id(id));
        ids.map(str::to_owned).collect()
    }

    /// The id that stands there, or that is meant by what stands there.
    pub fn id<'a>(&'a self, written: &'a str) -> &'a str {
        self.0.get(written).map_or(written, |id| id)
    }
}

/// Those that are asked for as a whole.
fn whole(patterns: &[Pattern]) -> BTreeSet<&str> {
    let texts = patterns.iter().filter_map(|it| match it {
        Pattern::Exactly(text) => Some(&**text),
        Pattern::Begins(_) => None,
    });
    texts.collect()
}

/// The words of a token's name, and what several of them are together: one may be a value that got a pseudonym. With what
/// stands before and behind.
fn parts(name: &str) -> Vec<(&str, &str, &str)> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for (at, letter) in name.char_indices().filter(|(_, it)| it.is_alphanumeric()) {
        let end = at + letter.len_utf8();
        match words.last_mut() {
            Some(word) if word.end == at => word.end = end,
            _ => words.push(at..end),
        }
    }
    words.truncate(WORDS);
    let mut parts = Vec::new();
    for first in &words {
        for last in words.iter().filter(|last| last.end >= first.end) {
            let (before, rest) = name.split_at(first.start);
            let (part, behind) = rest.split_at(last.end - first.start);
            if part.len() < name.len() {
                parts.push((before, part, behind));
            }
        }
    }
    parts
}

/// The ways in which an address may have stood where it got a pseudonym.
fn written(address: IpAddr) -> Vec<String> {
    let mut all = vec![address.to_string()];
    if let IpAddr::V4(address) = address {
        all.push(address.to_ipv6_mapped().to_string());
    }
    all
}

/// Words of a name that are looked at.
const WORDS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_by_each_of_its_words_and_by_several_together() {
        let found: Vec<String> = parts("pay-prod b")
            .into_iter()
            .map(|(before, part, behind)| format!("{before}<{part}>{behind}"))
            .collect();
        let wanted = [
            "<pay>-prod b",
            "<pay-prod> b",
            "pay-<prod> b",
            "pay-<prod b>",
            "pay-prod <b>",
        ];
        assert_eq!(found, wanted);
        assert_eq!(parts("payments"), []);
        assert_eq!(parts(""), []);
        assert!(parts(&"a-".repeat(5_000)).len() < 100);
    }
}
