//! Networks, as OPA 1.22 has them (`topdown/cidr.go`).

mod merge;
mod network;
#[cfg(test)]
mod tests;

use regorus::Value;

use super::{Answer, Arguments, Own};
use network::{Network, address};

pub(super) const OWN: &[Own] = &[
    Own::new("net.cidr_contains", 2, |given| {
        Ok(contains(given.text(0)?, given.text(1)?)?.into())
    }),
    Own::new("net.cidr_contains_matches", 2, contains_matches),
    Own::new("net.cidr_expand", 1, expand),
    Own::new("net.cidr_intersects", 2, |given| {
        let (a, b) = (
            Network::parse(given.text(0)?)?,
            Network::parse(given.text(1)?)?,
        );
        Ok((a.contains(b.first()) || b.contains(a.first())).into())
    }),
    Own::new("net.cidr_is_valid", 1, |given| {
        let text = given.text(0);
        Ok(text.is_ok_and(|text| Network::parse(text).is_ok()).into())
    }),
    Own::new("net.cidr_merge", 1, merge::merge),
    Own::new("net.cidr_overlap", 2, |given| {
        Ok(contains(given.text(0)?, given.text(1)?)?.into())
    }),
];

/// The most addresses that a network is expanded to; OPA's expansion ends when the query does.
const MOST_ADDRESSES: u128 = 1 << 16;

/// The most pairs of networks that are compared in one call.
const MOST_PAIRS: usize = 1 << 18;

/// Whether a network has an address, or another network.
fn contains(network: &str, member: &str) -> Result<bool, String> {
    let network = Network::parse(network)?;
    if let Some(address) = address(member) {
        return Ok(network.contains(address));
    }
    let member = Network::parse(member).map_err(|_unknown| {
        "not a valid textual representation of an IP address or CIDR".to_owned()
    })?;
    Ok(network.contains_network(&member))
}

fn expand(given: Arguments<'_>) -> Answer {
    let network = Network::parse(given.text(0)?)?;
    if network.size().is_none_or(|size| size > MOST_ADDRESSES) {
        return Err("the network has more than 65536 addresses".to_owned());
    }
    let mut members = Value::new_set();
    let set = members.as_set_mut().map_err(|error| error.to_string())?;
    for address in network.first()..=network.last() {
        set.insert(network::written(address).into());
    }
    Ok(members)
}

/// A network of a collection, and what it is known by there.
type Named<'a> = (&'a Value, Value);

/// The networks of a text, a list, a set or an object: texts, or lists that begin with one.
fn named<'a>(given: Arguments<'a>, place: usize) -> Result<Vec<Named<'a>>, String> {
    let network = |member: &'a Value| match member {
        Value::String(_) => Ok(member),
        Value::Array(members) => members.first().ok_or(()),
        _ => Err(()),
    };
    let collection = given.any(place)?;
    let members: Vec<Named<'a>> = match collection {
        Value::String(_) => vec![(collection, collection.clone())],
        Value::Array(members) => members
            .iter()
            .enumerate()
            .map(|(place, member)| (member, Value::from(place)))
            .collect(),
        Value::Set(members) => members.iter().map(|it| (it, it.clone())).collect(),
        Value::Object(members) => members.iter().map(|(key, it)| (it, key.clone())).collect(),
        _ => Vec::new(),
    };
    members
        .into_iter()
        .map(|(member, name)| Ok((network(member)?, name)))
        .collect::<Result<_, ()>>()
        .map_err(|()| {
            format!(
                "operand {}: element must be string or non-empty array",
                place + 1
            )
        })
}

fn contains_matches(given: Arguments<'_>) -> Answer {
    let networks = named(given, 0)?;
    if networks.is_empty() {
        return Ok(Value::new_set());
    }
    let members = named(given, 1)?;
    if networks.len().saturating_mul(members.len()) > MOST_PAIRS {
        return Err("there are more than 262144 pairs of networks".to_owned());
    }
    let mut found = Value::new_set();
    let set = found.as_set_mut().map_err(|error| error.to_string())?;
    for (network, name) in &networks {
        for (member, member_name) in &members {
            let pair = [(*network).clone(), (*member).clone()];
            let pair = Arguments::new(&pair);
            if contains(pair.text(0)?, pair.text(1)?)? {
                set.insert(vec![name.clone(), member_name.clone()].into());
            }
        }
    }
    Ok(found)
}
