//! Asking by a value that has pseudonyms in the journal: by all of them, whichever key made them.

use std::net::IpAddr;
use std::path::Path;

use crate::audit::index::{Filter, Pattern};
use crate::audit::{OpenError, pseudonym};
use crate::value::Network;

/// The filter, with the pseudonyms of what it names, where the journal's directory has keys.
pub fn known_as(mut filter: Filter, journal: &Path) -> Result<Filter, OpenError> {
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
            names.extend(pseudonym::names(journal, &text)?);
        }
        if !names.is_empty() {
            filter.known_as.insert(value, names);
        }
    }
    Ok(filter)
}

/// The ways in which an address may have stood where it got a pseudonym.
fn written(address: IpAddr) -> Vec<String> {
    let mut all = vec![address.to_string()];
    if let IpAddr::V4(address) = address {
        all.push(address.to_ipv6_mapped().to_string());
    }
    all
}
