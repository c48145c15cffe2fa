//! How often somebody may try to log in.
//!
//! Only wrong tries count, and each for a minute at most. They count against who makes them: nobody else is kept out by
//! them. Where an address does not say who asks, since a proxy before the console has one for all, names still do, and a
//! browser in which somebody has logged in before is known again and has tries of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use data_encoding::BASE64URL_NOPAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::session::hash;

/// The wrong tries of the last minute.
#[derive(Default)]
pub(super) struct Tries(Mutex<HashMap<Whose, (Instant, u32)>>);

/// Whom a try counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// All that comes from one network.
    Network(IpAddr),
    /// One name, as it is tried from one network.
    Name([u8; 32], Option<IpAddr>),
    /// One name, in browsers in which it has logged in before.
    Known([u8; 32]),
}

/// Who tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trier<'a> {
    /// `None`: nobody knows.
    pub(super) address: Option<IpAddr>,
    pub(super) name: &'a str,
    /// Whether the browser is one in which this name has logged in before.
    pub(super) is_known: bool,
}

/// Knows browsers again in which somebody has logged in, until the program ends.
pub(super) struct Browsers(Option<hmac::Key>);

/// Where passwords are looked at: one at a time of strangers, and one of browsers that are known.
pub(super) struct Places {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
}

impl Tries {
    /// Counts a try as one that goes wrong. `false`: there were too many.
    pub(super) fn begin(&self, all: &[Whose]) -> bool {
        let now = Instant::now();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        if !are_left(&tries, all) {
            return false;
        }
        for whose in all {
            if tries.len() >= KEPT && !tries.contains_key(whose) {
                // Many others keep nobody out. Of those who have tried least first: names that are made up do not have the
                // tries of another one forgotten.
                let oldest = tries
                    .iter()
                    .min_by_key(|(_, (since, count))| (*count, *since));
                if let Some(oldest) = oldest.map(|(whose, _)| *whose) {
                    tries.remove(&oldest);
                }
            }
            let (_, count) = tries.entry(*whose).or_insert((now, 0));
            *count += 1;
        }
        true
    }

    /// Whether one more may be made. It is not counted.
    pub(super) fn are_left(&self, all: &[Whose]) -> bool {
        let now = Instant::now();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        are_left(&tries, all)
    }

    /// It went well, or nobody looked at the password.
    pub(super) fn take_back(&self, all: &[Whose]) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for whose in all {
            if let Some((_, count)) = tries.get_mut(whose) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    tries.remove(whose);
                }
            }
        }
    }
}

fn are_left(tries: &HashMap<Whose, (Instant, u32)>, all: &[Whose]) -> bool {
    all.iter().all(|whose| {
        let counted = tries.get(whose);
        counted.is_none_or(|(_, count)| *count < whose.most())
    })
}

impl Whose {
    /// Whom a login at an issuer counts against: there is no name yet.
    pub(super) fn of_address(address: Option<IpAddr>) -> Vec<Self> {
        let apart = address.filter(|it| is_apart(*it));
        apart
            .map(|it| Self::Network(network(it)))
            .into_iter()
            .collect()
    }

    /// Whom a try of a password counts against.
    pub(super) fn of(trier: Trier<'_>) -> Vec<Self> {
        let name = hash(trier.name);
        if trier.is_known {
            return vec![Self::Known(name)];
        }
        let mut all = vec![Self::Name(name, trier.address.map(network))];
        all.extend(Self::of_address(trier.address));
        all
    }

    fn most(self) -> u32 {
        match self {
            Self::Network(_) => OF_NETWORK,
            Self::Name(..) | Self::Known(_) => OF_NAME,
        }
    }
}

impl Browsers {
    pub(super) fn new() -> Self {
        Self(hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok())
    }

    /// What a browser keeps in which this name has logged in. It lets nobody in.
    pub(super) fn mark(&self, name: &str) -> Option<String> {
        let tag = hmac::sign(self.0.as_ref()?, name.as_bytes());
        Some(BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    pub(super) fn knows(&self, name: &str, mark: Option<&str>) -> bool {
        let mark = mark.and_then(|mark| BASE64URL_NOPAD.decode(mark.as_bytes()).ok());
        let key = self.0.as_ref();
        key.zip(mark)
            .is_some_and(|(key, mark)| hmac::verify(key, name.as_bytes(), &mark).is_ok())
    }
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            strangers: Arc::new(Semaphore::new(1)),
            known: Arc::new(Semaphore::new(1)),
        }
    }

    /// One of them, to be kept until the password was looked at. `None`: none was free for a while.
    pub(super) async fn enter(&self, is_known: bool) -> Option<OwnedSemaphorePermit> {
        let places = if is_known {
            &self.known
        } else {
            &self.strangers
        };
        let place = timeout(PATIENCE, places.clone().acquire_owned()).await;
        place.ok()?.ok()
    }
}

/// Whether an address says who asks. That of this machine is one of a proxy, or of anybody here.
fn is_apart(address: IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

/// What is one address to the limit of tries: of IPv6 somebody has a whole /64.
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
/// Wrong passwords for one name from one network, or from browsers that are known for it.
const OF_NAME: u32 = 10;
/// The same for all names of one network; and logins that begin at an issuer.
const OF_NETWORK: u32 = 60;
/// Of so many that is known.
const KEPT: usize = 10_000;
/// How long a login waits for others.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(name: &str, address: &str) -> Vec<Whose> {
        Whose::of(Trier {
            address: Some(address.parse().unwrap()),
            name,
            is_known: false,
        })
    }

    #[test]
    fn one_name_may_be_tried_so_often_from_one_network() {
        let tries = Tries::default();
        for _ in 0..OF_NAME {
            assert!(tries.begin(&stranger("alice", "10.0.0.1")));
        }
        assert!(!tries.begin(&stranger("alice", "10.0.0.1")));
        assert!(!tries.begin(&stranger("alice", "::ffff:10.0.0.1")));
        assert!(tries.begin(&stranger("bob", "10.0.0.1")));
        assert!(tries.begin(&stranger("alice", "10.0.0.2")));
        for host in 0..OF_NAME {
            assert!(tries.begin(&stranger("alice", &format!("2001:db8:0:1::{host:x}"))));
        }
        assert!(!tries.begin(&stranger("alice", "2001:db8:0:1:ffff::1")));
        assert!(tries.begin(&stranger("alice", "2001:db8:0:2::1")));
    }

    #[test]
    fn one_network_may_try_so_many_names_and_a_proxy_on_this_machine_is_none() {
        let tries = Tries::default();
        for number in 0..OF_NETWORK {
            assert!(tries.begin(&stranger(&format!("{number}"), "10.0.0.1")));
        }
        assert!(!tries.begin(&stranger("alice", "10.0.0.1")));
        for number in 0..2 * OF_NETWORK {
            for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                assert!(tries.begin(&stranger(&format!("{number}"), here)));
                let address = Some(here.parse().unwrap());
                assert!(tries.begin(&Whose::of_address(address)));
            }
        }
    }

    #[test]
    fn a_browser_that_is_known_has_tries_of_its_own() {
        let tries = Tries::default();
        while tries.begin(&stranger("alice", "127.0.0.1")) {}
        let known = Whose::of(Trier {
            address: Some("127.0.0.1".parse().unwrap()),
            name: "alice",
            is_known: true,
        });
        for _ in 0..OF_NAME {
            assert!(tries.begin(&known));
        }
        assert!(!tries.begin(&known));
    }

    #[test]
    fn only_wrong_tries_count() {
        let tries = Tries::default();
        for _ in 0..2 * OF_NETWORK {
            let all = stranger("alice", "10.0.0.1");
            assert!(tries.begin(&all));
            tries.take_back(&all);
        }
        assert!(tries.0.lock().unwrap().is_empty());
        assert!(tries.are_left(&stranger("alice", "10.0.0.1")));
        assert!(tries.0.lock().unwrap().is_empty());
    }

    #[test]
    fn names_that_are_made_up_do_not_have_tries_of_another_one_forgotten() {
        let tries = Tries::default();
        let alice = stranger("alice", "127.0.0.1");
        while tries.begin(&alice) {}
        for number in 0..KEPT + 10 {
            assert!(tries.begin(&stranger(&format!("{number}"), "127.0.0.1")));
        }
        assert_eq!(tries.0.lock().unwrap().len(), KEPT);
        assert!(!tries.begin(&alice) && !tries.are_left(&alice));
    }

    #[test]
    fn a_wrong_try_is_forgotten_after_a_minute_though_more_were_refused() {
        let tries = Tries::default();
        while tries.begin(&stranger("alice", "10.0.0.1")) {}
        let ago = Instant::now().checked_sub(MINUTE).unwrap();
        for (since, _) in tries.0.lock().unwrap().values_mut() {
            *since = ago;
        }
        assert!(tries.begin(&stranger("alice", "10.0.0.1")));
    }

    #[test]
    fn many_others_keep_nobody_out() {
        let tries = Tries::default();
        let of = |number: u32| [Whose::Network(IpAddr::V4((0x0a00_0000 + number).into()))];
        for number in 0..u32::try_from(KEPT).unwrap() {
            assert!(tries.begin(&of(number)));
        }
        assert!(tries.begin(&of(u32::MAX >> 8)));
        let table = tries.0.lock().unwrap();
        assert_eq!(table.len(), KEPT);
        assert!(!table.contains_key(&of(0)[0]));
    }

    #[test]
    fn a_browser_is_known_for_one_name_and_to_one_program() {
        let browsers = Browsers::new();
        let mark = browsers.mark("alice").unwrap();
        assert!(browsers.knows("alice", Some(&mark)));
        assert!(!browsers.knows("bob", Some(&mark)));
        assert!(!Browsers::new().knows("alice", Some(&mark)));
        for wrong in [None, Some(""), Some("guessed"), Some(&*mark.to_lowercase())] {
            assert!(!browsers.knows("alice", wrong));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_one_place_and_leave_the_other_to_those_who_are_known() {
        let places = Places::new();
        let stranger = places.enter(false).await;
        assert!(stranger.is_some());
        assert!(places.enter(false).await.is_none());
        assert!(places.enter(true).await.is_some());
        drop(stranger);
        assert!(places.enter(false).await.is_some());
    }
}
