use serde_json::json;

use super::*;
use crate::policy::input::tests::input;

/// The mode of a policy `p` with this setting, for a request at a time, from whom `change` makes it.
fn mode(setting: &Json, time: &str, change: impl FnOnce(&mut Input)) -> Mode {
    let mut input = input();
    input.time = time.parse().unwrap();
    change(&mut input);
    let found = enforcement(setting, &["payments", "web"]).unwrap();
    found.of("p", &input)
}

#[test]
fn a_date_includes_its_whole_day() {
    let at = |time| {
        mode(
            &json!({"mode": "warn", "until": "2027-01-31"}),
            time,
            |_| {},
        )
    };
    assert_eq!(at("2027-01-31T23:59:59Z"), Mode::Warn);
    assert_eq!(at("2027-02-01T00:00:00Z"), Mode::Enforce);
    let later = json!([{"mode": "enforce", "from": "2027-02-01"}, "dry_run"]);
    let at = |time| mode(&later, time, |_| {});
    assert_eq!(at("2027-01-31T23:59:59Z"), Mode::DryRun);
    assert_eq!(at("2027-02-01T00:00:00Z"), Mode::Enforce);
}

#[test]
fn a_timestamp_is_exact() {
    let until = json!({"mode": "dry_run", "until": "2027-01-31T18:00:00+01:00"});
    assert_eq!(mode(&until, "2027-01-31T16:59:59Z", |_| {}), Mode::DryRun);
    assert_eq!(mode(&until, "2027-01-31T17:00:00Z", |_| {}), Mode::Enforce);
}

#[test]
fn the_first_entry_that_is_about_a_request_says_its_mode() {
    let setting = json!([
        {"mode": "dry_run", "environment": "prod", "caller": ["dt0c01.A", "dt0c01.B"]},
        {"mode": "enforce", "team": "payments"},
        {"mode": "warn", "environment": ["prod", "stage"], "until": "2027-01-31"},
    ]);
    let of = |environment: &str, caller: &str, teams: &[&str]| {
        mode(&setting, "2027-01-01T00:00:00Z", |input| {
            input.environment.name = environment.to_owned();
            input.caller.token.id = serde_json::from_value(json!(caller)).unwrap();
            input.caller.teams = teams.iter().map(ToString::to_string).collect();
        })
    };
    assert_eq!(of("prod", "dt0c01.B", &["payments"]), Mode::DryRun);
    assert_eq!(of("stage", "dt0c01.B", &["web", "payments"]), Mode::Enforce);
    assert_eq!(of("stage", "dt0c01.B", &[]), Mode::Warn);
    assert_eq!(of("prod", "", &[]), Mode::Warn);
    // Whom no entry is about.
    assert_eq!(of("dev", "dt0c01.A", &[]), Mode::Enforce);
}

#[test]
fn a_share_of_callers_is_drawn_once_and_only_grows() {
    let share = |percent: u64| -> Vec<bool> {
        let setting = json!([{"mode": "enforce", "percent": percent}, "warn"]);
        let callers = (0..2000).map(|number| {
            mode(&setting, "2027-01-01T00:00:00Z", |input| {
                let id = format!("dt0c01.{number}");
                input.caller.token.id = serde_json::from_value(json!(id)).unwrap();
            })
        });
        callers.map(|mode| mode == Mode::Enforce).collect()
    };
    let count = |share: &[bool]| share.iter().filter(|is_in| **is_in).count();
    assert_eq!((count(&share(0)), count(&share(100))), (0, 2000));
    let (few, more) = (share(10), share(40));
    assert!((140..260).contains(&count(&few)), "{}", count(&few));
    assert!((700..900).contains(&count(&more)), "{}", count(&more));
    assert!(few.iter().zip(&more).all(|(few, more)| !few || *more));
    // What a caller has proven to be stays, whatever tokens it shows.
    let setting = json!([{"mode": "enforce", "percent": 50}, "warn"]);
    let known = |token: &str| {
        mode(&setting, "2027-01-01T00:00:00Z", |input| {
            input.caller.token.id = serde_json::from_value(json!(token)).unwrap();
            input.caller.jwt.subject = serde_json::from_value(json!("ci")).unwrap();
        })
    };
    let first = known("a");
    assert!((0..50).all(|number| known(&number.to_string()) == first));
}

/// The hash of a credential is another one at each gate, and of an access token with each of them.
#[test]
fn a_caller_without_a_name_that_stays_is_drawn_by_its_address() {
    let setting = json!([{"mode": "enforce", "percent": 50}, "warn"]);
    let of = |token: &str, address: &str| {
        mode(&setting, "2027-01-01T00:00:00Z", |input| {
            input.caller.token.id = serde_json::from_value(json!(token)).unwrap();
            input.caller.address = serde_json::from_value(json!(address)).unwrap();
        })
    };
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        let first = of("", address);
        let hashes = (0..50).map(|number| format!("hmac-sha256:{number:032x}"));
        assert!(hashes.into_iter().all(|hash| of(&hash, address) == first));
    }
    let differ = (0..50).any(|number| of("", &format!("192.0.2.{number}")) == Mode::Warn);
    assert!(differ);
}

#[test]
fn an_entry_that_is_never_reached_is_refused() {
    let read = |before: Json, entry: Json| {
        let setting = json!([before, entry, "dry_run"]);
        enforcement(&setting, &["payments", "web"]).map(drop)
    };
    let entry = json!({
        "mode": "warn", "environment": ["a", "b"], "team": "web", "caller": "dt0c01.A", "token": "dt0c01.T",
        "percent": 20, "from": "2027-01-01", "until": "2027-01-31",
    });
    // One member more narrow than the entry's, or none of them: what it leaves is reached.
    for (name, narrow, wide) in [
        ("environment", json!("a"), json!(["a", "b", "c"])),
        ("team", json!("payments"), json!(["payments", "web"])),
        ("caller", json!("dt0c01.B"), json!(["dt0c01.A", "dt0c01.B"])),
        ("token", json!("dt0c01.S"), json!(["dt0c01.S", "dt0c01.T"])),
        ("percent", json!(19), json!(20)),
        ("from", json!("2027-01-02"), json!("2027-01-01")),
        ("until", json!("2027-01-30"), json!("2027-02-01")),
    ] {
        let with = |value: Json| {
            let mut before = entry.clone();
            before["mode"] = json!("enforce");
            before[name] = value;
            before
        };
        let mut without = with(Json::Null);
        without.as_object_mut().unwrap().remove(name);
        read(with(narrow), entry.clone()).unwrap();
        for before in [with(wide), without.clone()] {
            let why = read(before, entry.clone()).unwrap_err();
            assert!(why.contains("entry 2 is never reached"), "{name}: {why}");
        }
        // The other way round.
        read(entry.clone(), without).unwrap();
    }
    // The last step of a share, whose number alone was changed.
    read(
        json!({"mode": "enforce", "percent": 100}),
        json!({"mode": "warn", "team": "web"}),
    )
    .unwrap();
    // Not by its own mode: what it says does not matter.
    read(
        json!({"mode": "warn", "team": "web"}),
        json!({"mode": "warn", "team": "web"}),
    )
    .unwrap_err();
}

#[test]
fn a_uuid_in_large_letters_is_the_same_token() {
    let id = "d5836312-5790-4e80-afcf-09971954c3ea";
    let setting = json!([{"mode": "dry_run", "token": [id.to_uppercase(), "dt0c01.X"]}, "warn"]);
    let found = mode(&setting, "2027-01-01T00:00:00Z", |input| {
        input.token.as_mut().unwrap().id = serde_json::from_value(json!(id)).unwrap();
    });
    assert_eq!(found, Mode::DryRun);
}

#[test]
fn a_mode_that_cannot_be_understood_is_refused() {
    for (wrong, why) in [
        (json!("Warn"), "a mode is enforce, warn or dry_run"),
        (json!("off"), "a mode is"),
        (json!(null), "a mode is"),
        (json!({}), "the member mode is missing"),
        (json!([]), "the list is empty"),
        (json!({"until": "2027-01-31"}), "the member mode is missing"),
        (
            json!({"mode": "warn", "till": "2027-01-31"}),
            "there is no member till",
        ),
        (
            json!({"mode": "warn", "until": "31.01.2027"}),
            "until is a date",
        ),
        (
            json!({"mode": "warn", "until": "2027-01-31T18:00:00"}),
            "until is a date",
        ),
        (
            json!({"mode": "warn", "until": "2027-02-30"}),
            "until is a date",
        ),
        (json!({"mode": "warn", "until": null}), "until is a date"),
        (json!({"mode": "warn", "from": 7}), "from is a date"),
        (
            json!({"mode": "warn", "from": "2027-02-01", "until": "2027-01-31"}),
            "ends before it begins",
        ),
        (json!({"mode": "warn", "percent": 101}), "from 0 to 100"),
        (json!({"mode": "warn", "percent": 1.5}), "from 0 to 100"),
        (json!({"mode": "warn", "percent": -1}), "from 0 to 100"),
        (json!({"mode": "warn", "team": []}), "team is empty"),
        (
            json!({"mode": "warn", "team": "paymants"}),
            "no team paymants: did you mean payments?",
        ),
        (
            json!({"mode": "warn", "environment": 1}),
            "environment is a text",
        ),
        (
            json!({"mode": "warn", "environment": ""}),
            "environment is a text",
        ),
        (
            json!(["warn", {"mode": "dry_run", "team": "web"}]),
            "never reached",
        ),
        // Who writes so means that nothing is enforced before.
        (
            json!({"mode": "enforce", "from": "2027-01-31"}),
            "enforced, too",
        ),
        (json!(["dry_run", "warn"]), "never reached"),
        (
            json!([{"mode": "warn", "team": "web"}, {"mode": "enforce", "percent": 5}]),
            "enforced, too",
        ),
    ] {
        let said = enforcement(&wrong, &["payments", "web"]).unwrap_err();
        assert!(said.contains(why), "{wrong}: {said}");
    }
}
