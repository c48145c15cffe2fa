//! Asking by a value that has pseudonyms in the journal: by all of them, whichever key made them.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;

use super::opened::note;
use crate::audit::index::{Filter, Pattern};
use crate::audit::pseudonym;
use crate::value::Network;

/// The filter, with the pseudonyms of what it names, where there are keys.
pub(super) fn added(mut filter: Filter, keys: Option<&Path>) -> anyhow::Result<Filter> {
    let Some(journal) = keys else {
        return Ok(filter);
    };
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
    for (value, written) in wanted {
        let mut names = Vec::new();
        for text in written {
            let found = pseudonym::names(journal, &text);
            names.extend(found.with_context(|| format!("journal {}", journal.display()))?);
        }
        if !names.is_empty() {
            filter.known_as.insert(value, names);
        }
    }
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
    if is_wide && !pseudonym::names(journal, "")?.is_empty() {
        note(
            "the journal has keys of pseudonyms: networks, and names that end with *, find nothing that has one",
        );
    }
    Ok(())
}

/// The ways in which an address may have stood where it got a pseudonym.
fn written(address: IpAddr) -> Vec<String> {
    let mut all = vec![address.to_string()];
    if let IpAddr::V4(address) = address {
        all.push(address.to_ipv6_mapped().to_string());
    }
    all
}
