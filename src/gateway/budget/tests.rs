use std::collections::HashMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::dynatrace::token::HashKey;

fn budget(amount: u32) -> Budget {
    Budget::new(NonZeroU32::new(amount).unwrap())
}

fn payer(credential: Option<&str>, address: &str) -> Payer {
    let key = HashKey::new([1; 32]);
    let name = credential.map(|credential| key.name(credential));
    Payer::new(
        name,
        Address::from(address.parse::<IpAddr>().unwrap()),
        Arc::default(),
    )
}

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

/// How many of so many refusals at one moment are written.
fn written(budget: &mut Budget, payer: &Payer, count: u32, now: Instant) -> u32 {
    let taken = (0..count).filter(|_| budget.take(payer, 1, now).is_ok());
    u32::try_from(taken.count()).unwrap()
}

#[test]
fn a_budget_is_for_a_minute_and_comes_back_with_time() {
    let (mut budget, start) = (budget(6), Instant::now());
    let caller = payer(Some("a"), "10.0.0.1");
    assert_eq!(written(&mut budget, &caller, 10, start), 6);
    let spent = budget.take(&caller, 1, start);
    assert_eq!(spent, Err(Spent::Caller(Duration::from_secs(10))));
    assert_eq!(written(&mut budget, &caller, 10, after(start, 9_999)), 0);
    assert_eq!(written(&mut budget, &caller, 10, after(start, 10_000)), 1);
    assert_eq!(written(&mut budget, &caller, 10, after(start, 30_000)), 2);
    // More than a minute's worth is never saved up.
    assert_eq!(written(&mut budget, &caller, 10, after(start, 900_000)), 6);
}

#[test]
fn invented_credentials_take_nothing_from_one_that_was_accepted() {
    let (mut budget, now) = (budget(6), Instant::now());
    let (known, stranger) = (
        payer(Some("known"), "10.0.0.1"),
        payer(Some("new"), "10.0.0.1"),
    );
    budget.accept(&known, now);
    for number in 0..9000 {
        let address = format!("10.0.{}.1", number % 50);
        let invented = payer(Some(&format!("invented {number}")), &address);
        let _spent = budget.take(&invented, 1, now);
    }
    assert!(budget.take(&stranger, 1, now).is_err());
    assert_eq!(written(&mut budget, &known, 10, now), 6);
    // Not for ever.
    let later = now + ACCEPTED;
    for number in 0..9000 {
        let invented = payer(Some(&format!("later {number}")), "10.0.0.1");
        let _spent = budget.take(&invented, 1, later);
    }
    assert!(budget.take(&known, 1, later).is_err());
}

#[test]
fn one_callers_budget_is_not_anothers() {
    let (mut budget, now) = (budget(6), Instant::now());
    assert_eq!(
        written(&mut budget, &payer(Some("a"), "10.0.0.1"), 9, now),
        6
    );
    assert_eq!(
        written(&mut budget, &payer(Some("b"), "10.0.0.1"), 9, now),
        6
    );
    // Whoever shows no credential does not use up what those have who do.
    assert_eq!(written(&mut budget, &payer(None, "10.0.0.1"), 900, now), 6);
    assert_eq!(
        written(&mut budget, &payer(Some("c"), "10.0.0.1"), 9, now),
        6
    );
    // The same credential from elsewhere is the same caller.
    assert_eq!(
        written(&mut budget, &payer(Some("a"), "10.0.0.2"), 9, now),
        0
    );
}

#[test]
fn invented_credentials_have_the_budget_of_their_address_and_addresses_that_of_the_gate() {
    let (mut budget, now) = (budget(6), Instant::now());
    let mut from = |address: &str| {
        let invented =
            (0..1_000).map(|number| payer(Some(&format!("{address} {number}")), address));
        let taken: Vec<_> = invented.map(|payer| budget.take(&payer, 1, now)).collect();
        let last = taken.last().unwrap().unwrap_err();
        (taken.iter().filter(|taken| taken.is_ok()).count(), last)
    };
    let address = Spent::Address(Duration::from_secs(1));
    assert_eq!(from("10.0.0.1"), (60, address));
    assert_eq!(from("::ffff:10.0.0.1"), (0, address));
    assert_eq!(from("2001:db8::1"), (60, address));
    assert_eq!(from("2001:db8::2"), (0, address), "the same house");
    assert_eq!(
        from("2001:db8:0:1::2"),
        (60, Spent::Address(Duration::from_secs(1)))
    );
    assert_eq!(from("10.0.0.2"), (0, Spent::Gate));
}

#[test]
fn a_large_record_costs_more_and_is_owed() {
    let (mut budget, start) = (budget(6), Instant::now());
    let caller = payer(Some("a"), "10.0.0.1");
    assert_eq!(written(&mut budget, &caller, 5, start), 5);
    // There is one left, and it is one record that it is taken for.
    assert_eq!(budget.take(&caller, 4, start), Ok(0));
    assert_eq!(
        budget.take(&caller, 1, start),
        Err(Spent::Caller(Duration::from_secs(40)))
    );
    // The largest takes a whole budget, not more.
    let other = payer(Some("b"), "10.0.0.1");
    assert_eq!(budget.take(&other, u32::MAX, start), Ok(0));
    assert_eq!(
        budget.take(&other, 1, start),
        Err(Spent::Caller(Duration::from_secs(10)))
    );
}

#[test]
fn a_full_table_forgets_who_was_longest_away_and_says_so() {
    let (mut budget, now) = (budget(1_000_000), Instant::now());
    let forgotten: usize = (0..5_000)
        .map(|number: u32| {
            let address = std::net::Ipv4Addr::from_bits(number).to_string();
            budget.take(&payer(None, &address), 1, now).unwrap()
        })
        .sum();
    assert_eq!(budget.full.len(), BUCKETS.get());
    assert_eq!(forgotten, 10_000 - BUCKETS.get());
}

/// Of whom, for how much, and how long after the one before.
fn event() -> impl Strategy<Value = (Option<u8>, u8, u32, u64)> {
    let wait = prop_oneof![Just(0), 0..2_000_u64, Just(61_000)];
    (prop::option::of(0..4_u8), 0..40_u8, 1..5_u32, wait)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_comes_no_more_is_written_than_the_budgets_allow(
        amount in 1..20_u32,
        events in prop::collection::vec(event(), 0..600),
    ) {
        let (mut budget, start) = (budget(amount), Instant::now());
        let mut elapsed = 0;
        // What was taken so far, and by whom.
        let mut taken: HashMap<String, Vec<(u64, u32)>> = HashMap::new();
        for (credential, address, cost, wait) in events {
            elapsed += wait;
            let credential = credential.map(|number| number.to_string());
            let payer = payer(credential.as_deref(), &format!("10.0.0.{address}"));
            if budget.take(&payer, cost, after(start, elapsed)).is_ok() {
                let own = credential.unwrap_or_else(|| format!("at {address}"));
                for name in [own, format!("all at {address}"), "gate".to_owned()] {
                    taken.entry(name).or_default().push((elapsed, cost.min(amount)));
                }
            }
        }
        for (name, entries) in taken {
            let share = match name.as_str() {
                "gate" => GATE.get(),
                name if name.starts_with("all") => ADDRESS.get(),
                _ => 1,
            };
            let per_minute = u64::from(amount * share);
            // Over any time: what can be saved up, what comes back meanwhile, and the last one, which is owed.
            for (first, (from, _)) in entries.iter().enumerate() {
                let mut sum = 0;
                for (to, cost) in &entries[first..] {
                    let allowed = per_minute + (to - from) * per_minute / 60_000 + 1;
                    prop_assert!(sum < allowed, "{name}: {sum} from {from} to {to}");
                    sum += u64::from(*cost);
                }
            }
        }
        prop_assert!(budget.full.len() <= BUCKETS.get());
    }
}
