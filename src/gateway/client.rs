//! Who a request is from, as far as fairness goes.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use crate::dynatrace::redact::Redacted;
use crate::dynatrace::token::TokenSecret;

/// What one client cannot have at will. Of IPv6 that is a network of 64 bits: each customer gets all addresses in it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Address(IpAddr);

/// A caller: an address, and a credential there.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Who {
    pub(super) address: Address,
    pub(super) credential: Credential,
}

/// A hash of all of it, so that nobody stands in another's place who knows only its public part.
pub(super) type Credential = u64;

impl Who {
    pub(super) fn new(address: Address, credential: Option<&TokenSecret>) -> Self {
        Self {
            address,
            credential: HASHER.hash_one(credential.map(TokenSecret::expose)),
        }
    }
}

impl Who {
    /// One who has proven who it is is the same everywhere.
    pub(super) fn proven(name: &TokenSecret) -> Self {
        let nowhere = Address::from(IpAddr::from(Ipv6Addr::UNSPECIFIED));
        Self::new(nowhere, Some(name))
    }
}

impl Address {
    /// The address, or the first of the network.
    pub(super) fn ip(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & NETWORK;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl From<&Address> for Redacted {
    fn from(address: &Address) -> Self {
        match address.0 {
            IpAddr::V6(network) => Self::network(network, 64),
            address @ IpAddr::V4(_) => address.into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// Its keys are this process's secret: nobody can choose a credential that is counted as another's.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

const NETWORK: u128 = !(u64::MAX as u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address_and_an_ipv4_address_is_one_however_it_is_written() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:0:0:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("10.0.0.1"), address("::ffff:10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }
}
