//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tries of the last minute, by address.
#[derive(Default)]
pub(super) struct Tries(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Tries {
    /// So many from one address in a minute.
    pub(super) fn may_try(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        let address = network(address);
        if tries.len() >= ADDRESSES && !tries.contains_key(&address) {
            // Many addresses keep nobody else out.
            let oldest = tries.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                tries.remove(&oldest);
            }
        }
        let (_, count) = tries.entry(address).or_insert((now, 0));
        *count += 1;
        *count <= TRIES
    }
}

/// What is one address to the limit of logins: of IPv6 somebody has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

const MINUTE: Duration = Duration::from_mins(1);
/// Logins that one address may try in a minute.
const TRIES: u32 = 10;
/// Addresses of which that is known.
const ADDRESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_may_try_so_often() {
        let tries = Tries::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..TRIES {
            assert!(tries.may_try(one));
        }
        assert!(!tries.may_try(one));
        assert!(tries.may_try(other));
        assert!(!tries.may_try("::ffff:10.0.0.1".parse().unwrap()));
        for host in 0..TRIES {
            assert!(tries.may_try(format!("2001:db8:0:1::{host:x}").parse().unwrap()));
        }
        assert!(!tries.may_try("2001:db8:0:1:ffff::1".parse().unwrap()));
        assert!(tries.may_try("2001:db8:0:2::1".parse().unwrap()));
    }

    #[test]
    fn many_addresses_keep_nobody_else_out() {
        let tries = Tries::default();
        for number in 0..u32::try_from(ADDRESSES).unwrap() {
            assert!(tries.may_try(IpAddr::V4((0x0a00_0000 + number).into())));
        }
        assert!(tries.may_try("192.0.2.1".parse().unwrap()));
        let table = tries.0.lock().unwrap();
        assert_eq!(table.len(), ADDRESSES);
        assert!(!table.contains_key(&"10.0.0.0".parse().unwrap()));
    }
}
