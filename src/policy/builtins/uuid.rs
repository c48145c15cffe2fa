//! UUIDs, as OPA 1.22 has them (`topdown/uuid.go`, and Google's `uuid` for Go).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use regorus::Value;

use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[Own::new("uuid.parse", 1, parse)];

/// What is none is undefined.
fn parse(arguments: Arguments<'_>) -> Answer {
    let members = read(arguments.text(0)?.as_bytes()).map(members);
    Ok(members.map_or(Value::Undefined, Value::from))
}

/// The forms that there are: plain, as a URN, in any brackets, and without hyphens.
fn read(text: &[u8]) -> Option<[u8; 16]> {
    let text = match text.len() {
        32 => return bytes(&mut text.chunks_exact(2)),
        36 => text,
        38 => text.get(1..37)?,
        45 => {
            let (prefix, text) = text.split_at_checked(9)?;
            prefix.eq_ignore_ascii_case(b"urn:uuid:").then_some(text)?
        }
        _ => return None,
    };
    let mut groups = text.split(|byte| *byte == b'-');
    let mut digits = Vec::with_capacity(32);
    for length in [8, 4, 4, 4, 12] {
        digits.extend(groups.next().filter(|group| group.len() == length)?);
    }
    bytes(&mut digits.chunks_exact(2))
}

fn bytes(pairs: &mut dyn Iterator<Item = &[u8]>) -> Option<[u8; 16]> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes?.try_into().ok()
}

/// From the beginning of the Gregorian calendar to that of Unix, in steps of 100 ns.
const GREGORIAN: i64 = 122_192_928_000_000_000;

fn members(bytes: [u8; 16]) -> BTreeMap<Value, Value> {
    let id = u128::from_be_bytes(bytes);
    let part = |first: u32, bits: u32| (id << first) >> (128 - bits);
    let number = |number: u128| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let version = part(48, 4);
    let variant = match part(64, 3) {
        0..=3 => "Reserved",
        4 | 5 => "RFC4122",
        6 => "Microsoft",
        _ => "Future",
    };
    let mut members = BTreeMap::from([
        ("variant", Value::from(variant)),
        ("version", number(version)),
    ]);
    if version == 1 || version == 2 {
        let ticks = part(52, 12) << 48 | part(32, 16) << 32 | part(0, 32);
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX) - GREGORIAN;
        let node = bytes.iter().skip(10);
        let node: Vec<String> = node.map(|byte| format!("{byte:02x}")).collect();
        members.extend([
            ("clocksequence", number(part(66, 14))),
            ("macvariables", address(part(86, 2)).into()),
            ("nodeid", node.join("-").into()),
            // As in Go, times that are too far away run over.
            ("time", Value::from(ticks.wrapping_mul(100))),
        ]);
    }
    if version == 2 {
        let domain = match part(72, 8) {
            0 => "Person".to_owned(),
            1 => "Group".to_owned(),
            2 => "Org".to_owned(),
            other => format!("Domain{other}"),
        };
        members.extend([("domain", domain.into()), ("id", number(part(0, 32)))]);
    }
    let members = members.into_iter();
    members.map(|(name, value)| (name.into(), value)).collect()
}

/// What the last two bits of an address's first byte say.
fn address(bits: u128) -> &'static str {
    match bits {
        3 => "local:multicast",
        1 => "global:multicast",
        2 => "local:unicast",
        _ => "global:unicast",
    }
}
