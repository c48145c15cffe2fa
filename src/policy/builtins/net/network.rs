//! Addresses and networks as Go's `net` has them: an IPv4 address is also the IPv6 address that stands for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the IPv4 addresses are among those of IPv6: `::ffff:0:0/96`.
const MAPPED: u128 = 0xffff << 32;

const BITS: u32 = 128;

/// The number of an address, if it is one without a zone.
pub(super) fn address(text: &str) -> Option<u128> {
    match text.parse().ok()? {
        IpAddr::V4(address) => Some(MAPPED | u128::from(address.to_bits())),
        IpAddr::V6(address) => Some(address.to_bits()),
    }
}

pub(super) fn is_mapped(address: u128) -> bool {
    address >> 32 == MAPPED >> 32
}

/// An address as Go writes it.
pub(super) fn written(address: u128) -> String {
    match u32::try_from(address & !MAPPED) {
        Ok(low) if is_mapped(address) => Ipv4Addr::from_bits(low).to_string(),
        _ => Ipv6Addr::from_bits(address).to_string(),
    }
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network {
    first: u128,
    /// Of 128 bits, for IPv4 too.
    prefix: u32,
    /// Whether it was written as IPv4.
    is_ipv4: bool,
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(first, prefix)| {
            let is_ipv4 = first.parse::<Ipv4Addr>().is_ok();
            Self::new(address(first)?, digits(prefix)?, is_ipv4)
        });
        parsed.ok_or_else(|| "invalid CIDR address".to_owned())
    }

    /// The one of an address; `prefix` counts from where the addresses of its kind begin.
    pub(super) fn new(address: u128, prefix: u32, is_ipv4: bool) -> Option<Self> {
        let prefix = prefix.checked_add(if is_ipv4 { BITS - 32 } else { 0 })?;
        (prefix <= BITS).then(|| Self {
            first: address & mask(prefix),
            prefix,
            is_ipv4,
        })
    }

    pub(super) fn first(&self) -> u128 {
        self.first
    }

    pub(super) fn last(&self) -> u128 {
        self.first | !mask(self.prefix)
    }

    /// `None`: too many for a number.
    pub(super) fn size(&self) -> Option<u128> {
        1_u128.checked_shl(BITS - self.prefix)
    }

    /// The length of its prefix, of 128 bits.
    pub(super) fn bits(&self) -> u32 {
        self.prefix
    }

    /// Whether an address is in it; those that stand for IPv4 are only in networks of their kind.
    pub(super) fn contains(&self, address: u128) -> bool {
        let of_ipv4 = is_mapped(address);
        let compared = if of_ipv4 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        let different = (self.first ^ address) & mask(self.prefix) & compared;
        is_mapped(self.first) == of_ipv4 && different == 0
    }

    pub(super) fn contains_network(&self, other: &Self) -> bool {
        if self.is_plain_ipv6() && other.is_plain_ipv6() {
            return self.prefix <= other.prefix && self.first == other.first & mask(self.prefix);
        }
        self.contains(other.first) && self.contains(other.last())
    }

    fn is_plain_ipv6(&self) -> bool {
        !self.is_ipv4 && !is_mapped(self.first)
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(BITS - prefix).unwrap_or(0)
}

/// Zeros in front do not matter.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
