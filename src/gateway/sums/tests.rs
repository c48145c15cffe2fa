use proptest::prelude::*;
use serde_json::{Value, json};
use std::net::IpAddr;

use super::*;
use crate::dynatrace::token::{self, HashKey};
use crate::gateway::identify::Identity;

fn payer(caller: Option<&str>, address: &str) -> Payer {
    let key = HashKey::new([1; 32]);
    let caller = caller.map(|text| token::Caller::from_authorization(text, &key));
    let told = Identity::default().told(caller.as_ref(), false);
    Payer::new(
        None,
        Address::from(address.parse::<IpAddr>().unwrap()),
        told.into(),
    )
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_501_800 + second).unwrap()
}

fn kind(reason: &'static str, operation: Option<&'static str>) -> Kind {
    Kind { reason, operation }
}

fn written(sums: &Sums) -> Value {
    let record = sums.record(at(60)).unwrap();
    serde_json::from_slice(record.as_json()).unwrap()
}

#[test]
fn nothing_counted_is_nothing_written() {
    assert!(Sums::default().record(at(0)).is_none());
}

#[test]
fn a_record_says_how_many_of_what_kind_by_whom_and_when() {
    let mut sums = Sums::default();
    let known = payer(Some("Api-Token dt0c01.PUBLIC.X"), "10.0.0.1");
    sums.count(&known, true, kind("denied", Some("token.update")), at(3));
    sums.count(&known, true, kind("denied", Some("token.update")), at(2));
    sums.count(&known, false, kind("look-alike", None), at(1));
    sums.count(
        &payer(None, "2001:db8::1"),
        true,
        kind("look-alike", None),
        at(4),
    );
    assert_eq!(
        written(&sums),
        json!({
            "kind": "suppressed",
            "timestamp": "2026-11-24T06:31:00.000Z",
            "first": "2026-11-24T06:30:01.000Z",
            "last": "2026-11-24T06:30:04.000Z",
            "count": 4,
            "reasons": [
                {"reason": "denied", "operation": "token.update", "count": 2},
                {"reason": "look-alike", "count": 2},
            ],
            "callers": [
                {"requested_by": "10.0.0.1", "caller": {"id": "dt0c01.PUBLIC", "kind": "api-token"}, "count": 2},
                {"requested_by": "10.0.0.1", "count": 1},
                {"requested_by": "2001:db8::/64", "count": 1},
            ],
        })
    );
}

/// Two of them are a kind: more kinds than are counted by themselves.
const WORDS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

proptest! {
    #[test]
    fn sums_add_up_and_stay_small(
        events in prop::collection::vec(((0..7_usize, 0..7_usize), 0..60_u8, any::<bool>(), 0..100_i64), 1..400),
        half in 0..400_usize,
    ) {
        let (mut early, mut late) = (Sums::default(), Sums::default());
        for (number, ((reason, operation), address, of_caller, second)) in events.iter().enumerate() {
            let sums = if number < half { &mut early } else { &mut late };
            let payer = payer(Some("Bearer dt0s16.ABC.X"), &format!("10.0.0.{address}"));
            sums.count(&payer, *of_caller, kind(WORDS[*reason], Some(WORDS[*operation])), at(*second));
        }
        // What could not be written is put to what came later.
        late.add(&early);
        let record = written(&late);
        let sum = |member: &str| -> u64 {
            let entries = record[member].as_array().unwrap();
            assert!(entries.len() <= ENTRIES);
            entries.iter().map(|entry| entry["count"].as_u64().unwrap()).sum()
        };
        let others = |member: &str| record[member].as_u64().unwrap_or_default();
        let count = events.len() as u64;
        prop_assert_eq!(record["count"].as_u64(), Some(count));
        prop_assert_eq!(sum("reasons") + others("other_reasons"), count);
        prop_assert_eq!(sum("callers") + others("other_callers"), count);
        let seconds = || events.iter().map(|event| event.3);
        prop_assert_eq!(&record["first"], &json!(rfc3339_millis(at(seconds().min().unwrap()))));
        prop_assert_eq!(&record["last"], &json!(rfc3339_millis(at(seconds().max().unwrap()))));
        prop_assert!(record.to_string().len() < 16 * 1024);
    }
}
