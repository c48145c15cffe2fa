//! The fewest networks with the same addresses.

use regorus::Value;

use super::network::{Network, address, is_mapped, written};
use crate::policy::builtins::arguments::wrong;
use crate::policy::builtins::{Answer, Arguments};

/// Addresses from one to another.
struct Range {
    first: u128,
    last: u128,
    /// How it was given, if it is no more than that.
    text: Option<String>,
}

pub(super) fn merge(given: Arguments<'_>) -> Answer {
    let texts = match given.any(0)? {
        Value::Array(_) | Value::Set(_) => given.texts(0)?,
        other => return Err(wrong(0, "array", other)),
    };
    let ranges = texts.iter().map(|text| range(text));
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    let mut merged = Value::new_set();
    let set = merged.as_set_mut().map_err(|error| error.to_string())?;
    for range in joined(ranges)? {
        match range.text {
            Some(text) => {
                set.insert(text.into());
            }
            None => set.extend(networks(range.first, range.last)),
        }
    }
    Ok(merged)
}

fn range(text: &str) -> Result<Range, String> {
    let (network, shown) = match address(text) {
        Some(address) if is_mapped(address) => {
            // An address alone stands for the network of its class.
            let prefix = match address.to_be_bytes() {
                [.., first, _, _, _] if first < 0x80 => 8,
                [.., first, _, _, _] if first < 0xc0 => 16,
                _ => 24,
            };
            (Network::new(address, prefix, true), Some(address))
        }
        Some(_) => return Err("IPv6 invalid: needs prefix length".to_owned()),
        None => (Some(Network::parse(text)?), None),
    };
    let network = network.ok_or_else(|| "invalid CIDR address".to_owned())?;
    let shown = shown.unwrap_or_else(|| network.first());
    Ok(Range {
        first: network.first(),
        last: network.last(),
        text: Some(in_bits(shown, network.bits())),
    })
}

/// A network of so many bits of 128.
fn in_bits(address: u128, bits: u32) -> String {
    let shown = if is_mapped(address) {
        bits.saturating_sub(96)
    } else {
        bits
    };
    format!("{}/{shown}", written(address))
}

/// Joins what overlaps and what follows one another.
fn joined(mut ranges: Vec<Range>) -> Result<Vec<Range>, String> {
    ranges.sort_by_key(|range| (range.last, range.first));
    let mut done: Vec<Range> = Vec::new();
    while let Some(range) = ranges.pop() {
        match ranges.last_mut() {
            Some(before) if just_before(range.first) <= before.last => {
                *before = Range {
                    first: before.first.min(range.first),
                    last: range.last,
                    text: None,
                };
                if is_mapped(before.first) && !is_mapped(before.last) {
                    return Err("networks of IPv4 and of IPv6 cannot be merged".to_owned());
                }
            }
            _ => done.push(range),
        }
    }
    Ok(done)
}

/// The address before, where there is one of the same kind.
fn just_before(address: u128) -> u128 {
    match address.checked_sub(1) {
        Some(before) if is_mapped(before) == is_mapped(address) || !is_mapped(address) => before,
        _ => address,
    }
}

fn networks(first: u128, last: u128) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = Some(first);
    while let Some(start) = next.filter(|start| *start <= last) {
        let room = (last - start).checked_add(1).map_or(128, u128::ilog2);
        let free = start.trailing_zeros().min(room);
        found.push(in_bits(start, 128 - free).into());
        next = 1_u128
            .checked_shl(free)
            .and_then(|size| start.checked_add(size));
    }
    found
}
