mod looks;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::audit::Stop;
use crate::audit::index::{FILE, Index};
use crate::console::params::Params;
use crate::console::reached::Kept;
use crate::console::viewer::Viewer;
use crate::console::{Asked, Gate, Made, Route};
use crate::policy::Policy;
use crate::telemetry::Metrics;
use crate::trail::Source;

const NOW: &str = "2026-11-24T12:00:00Z";

/// Beside a journal of these records, which have their numbers. A segment ends where one is missing.
fn gate_of(records: &[Value]) -> Gate {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let number = |record: &Value| record["seq"].as_u64().unwrap();
    for segment in records.chunk_by(|one, next| number(one) + 1 == number(next)) {
        let lines: Vec<String> = segment.iter().map(Value::to_string).collect();
        let name = format!("{:020}.jsonl", number(&segment[0]));
        std::fs::write(directory.path().join(name), lines.join("\n") + "\n").unwrap();
    }
    let path = directory.path().join(FILE);
    let mut index = Index::open(directory.path(), &path).unwrap();
    index.catch_up(|_| true).unwrap();
    Gate {
        trail: Arc::new(move || Source::of_gate(directory.path(), &path)),
        status: None,
        policies: None,
        kept: None,
        now: || NOW.parse().unwrap(),
        answered_within: std::time::Duration::from_secs(65),
        step_back: || {},
        worker: None,
        metrics: Metrics::new("1.2.3"),
    }
}

fn page(gate: &Gate, route: &Route, query: &str) -> String {
    page_for(&Viewer::nobody(), gate, route, query)
}

fn auditor() -> Viewer {
    Viewer {
        is_auditor: true,
        ..Viewer::nobody()
    }
}

fn page_for(viewer: &Viewer, gate: &Gate, route: &Route, query: &str) -> String {
    let (stop, _waiting) = Stop::after(std::time::Duration::from_mins(1));
    let asked = Asked {
        gate,
        kept: &Kept::default(),
        viewer,
        params: &Params::of(query),
        now: NOW.parse::<Timestamp>().unwrap(),
        stop: &stop,
    };
    match route.make(&asked).unwrap() {
        Made::Page(page) => page.body.into_string(),
        Made::File(_) | Made::Json(_) => panic!("{route:?}"),
    }
}

fn denial(seq: u64) -> Value {
    json!({
        "seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T10:00:{seq:02}.000Z"), "verdict": "deny",
        "operation": "token.update", "input": {"request": {"path": "/api/v1/tokens/x"}},
        "result": {"violations": [{"policy": "naming", "mode": "enforce", "rule": "deny", "message": "m"}]},
    })
}

/// All pages with numbers.
fn counting() -> Vec<(Route, &'static str)> {
    vec![
        (Route::Now, "last=24h"),
        (Route::Now, "last=30d"),
        (Route::Callers, ""),
        (Route::Policies, ""),
        (Route::Policy("naming".to_owned()), ""),
        (Route::Decisions, ""),
    ]
}

#[test]
fn pages_with_numbers_say_what_is_not_in_them() {
    let refused = json!({"seq": 3, "kind": "suppressed", "timestamp": "2026-11-24T10:30:00.000Z", "count": 41});
    let gap = gate_of(&[denial(1), denial(2), refused, denial(6)]);
    let whole = gate_of(&[denial(1), denial(2), denial(3)]);
    let pruned = json!({
        "seq": 7, "kind": "pruned", "timestamp": "2026-11-24T10:45:00.000Z", "first": 1, "last": 4, "hash": "0".repeat(64),
    });
    let deleted = gate_of(&[denial(5), denial(6), pruned]);
    let said = [
        (&gap, "Records 4 to 5 are missing"),
        (
            &gap,
            "Refused in this time without a record of their own, and not in this answer: 41 requests",
        ),
        (&deleted, "Records 1 to 4 were deleted"),
    ];
    for (route, query) in counting() {
        for (gate, words) in said {
            let shown = page(gate, &route, query);
            assert!(shown.contains(words), "{route:?}: {words}: {shown}");
        }
        let shown = page(&whole, &route, query);
        for (_, words) in said {
            assert!(!shown.contains(words), "{route:?}: {words}: {shown}");
        }
    }
}

/// Of other policies than that of the page, or of another time, nothing is said.
#[test]
fn what_was_refused_in_another_time_is_not_told() {
    let refused = json!({"seq": 2, "kind": "suppressed", "timestamp": "2026-11-01T10:30:00.000Z", "count": 41});
    let gate = gate_of(&[denial(1), refused]);
    let told = |query| {
        page(&gate, &Route::Now, query)
            .contains("without a record of their own, and not in this answer: 41 requests")
    };
    assert!(!told("last=24h") && told("last=30d"));
}

/// A page counted by what masks have left, and did not say so.
#[test]
fn pages_that_count_say_of_how_many_decisions_masks_hide_what_they_count_by() {
    let mut masked = denial(1);
    let places = [
        "/result/violations",
        "/environment",
        "/input/environment",
        "/caller",
        "/input/caller",
    ];
    masked["masked"] = json!(places);
    let gate = gate_of(&[masked, denial(2)]);
    let whole = gate_of(&[denial(1)]);
    let of_policies = ["policy"].as_slice();
    let all = [
        (Route::Now, ["environment"].as_slice()),
        (
            Route::Callers,
            ["team", "subject", "certificate", "credential"].as_slice(),
        ),
        (Route::Policies, of_policies),
        (Route::Policy("naming".to_owned()), of_policies),
    ];
    for (route, words) in all {
        let query = if route == Route::Now { "last=24h" } else { "" };
        let shown = page_for(&auditor(), &gate, &route, query);
        let is_said = |word: &str, shown: &str| {
            let note = format!(
                "Of 1 decision of this time masks have hidden what the count by {word} looks at: they are counted by what is left."
            );
            shown.contains(&note)
        };
        for word in words {
            assert!(is_said(word, &shown), "{route:?} {word}: {shown}");
        }
        let shown = page_for(&auditor(), &whole, &route, query);
        assert!(!shown.contains("the count by"), "{route:?}: {shown}");
    }
    // Of what somebody is not shown, nothing is said.
    let shown = page(&gate, &Route::Callers, "");
    assert!(shown.contains("the count by team") && !shown.contains("the count by subject"));
}

/// The history on a page said less than the command does.
#[test]
fn the_page_of_a_token_says_what_the_command_does() {
    let mut change = denial(2);
    change["verdict"] = json!("allow");
    change["input"] = json!({"token": {"id": "dt0c01.A", "current": {"name": "mine"}}});
    let mut masked = denial(3);
    masked["masked"] = json!(["/input/token", "/input/change/name", "/request/path"]);
    let pruned = json!({
        "seq": 4, "kind": "pruned", "timestamp": "2026-11-24T10:45:00.000Z", "first": 1, "last": 1, "hash": "0".repeat(64),
    });
    let gate = gate_of(&[change, masked, pruned, denial(7)]);
    let shown = page_for(&auditor(), &gate, &Route::Token("mine".to_owned()), "");
    for words in [
        "Record 1 was deleted on",
        "Records 5 to 6 are missing",
        "masks have hidden what “Token (id or name)” looks at: they may be missing here.",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // What is shown of a token by its id is not found by names.
    let shown = page_for(&auditor(), &gate, &Route::Token("dt0c01.A".to_owned()), "");
    assert!(!shown.contains("looks at: they may be missing"), "{shown}");
}

/// A change in doubt between two that are known, and another one that may be of the same token.
#[test]
fn the_page_of_a_token_says_for_certain_what_the_command_does() {
    let decision = |seq: u64, minute: u64, current: &str, requested: &str| {
        json!({
            "seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T10:{minute:02}:00.000Z"), "verdict": "allow",
            "operation": "token.update", "decision_id": format!("019ab533-{seq:04}-7000-8000-000000000001"),
            "input": {"environment": {"name": "prod"}, "token": {"id": "dt0c01.A", "current": {"id": "dt0c01.A", "scopes": [current]}},
                "change": {"scopes": {"requested": [requested]}}},
        })
    };
    let answered = |seq: u64, of: u64| {
        json!({"seq": seq, "kind": "outcome", "timestamp": "2026-11-24T10:50:01.000Z", "decision_seq": of,
            "decision_id": format!("019ab533-{of:04}-7000-8000-000000000001"), "outcome": "answered", "status": 204})
    };
    let hidden = |place: &str| {
        let mut record = decision(3, 30, "x", "b");
        let (around, name) = place.rsplit_once('/').unwrap();
        let members = record.pointer_mut(around).unwrap();
        members.as_object_mut().unwrap().remove(name);
        record["erased"] = json!([place, "/request/path"]);
        record
    };
    let page = |between: Option<Value>| {
        let mut all = vec![denial(1), decision(2, 20, "a", "b")];
        all.extend(between);
        all.extend([decision(4, 50, "b", "c"), answered(5, 4)]);
        page_for(
            &auditor(),
            &gate_of(&all),
            &Route::Token("dt0c01.A".to_owned()),
            "",
        )
    };
    let mut other = decision(3, 30, "x", "b");
    for place in ["/input/token/id", "/input/token/current/id"] {
        *other.pointer_mut(place).unwrap() = json!("dt0c01.B");
    }
    let certain = "#2 was carried out: record 4 found it so";
    let shown = page(Some(other));
    assert!(shown.contains(certain), "{shown}");
    let unsure = "#2 was carried out, or a record that is missing or hidden did the same: record 4 found it so";
    let note = "of 1 change of this token masks have hidden in which environment it was";
    for (between, is_told) in [
        (None, false),
        (Some(hidden("/input/token")), false),
        (Some(hidden("/input/environment")), true),
    ] {
        let shown = page(between);
        assert!(
            shown.contains(unsure) && !shown.contains(certain),
            "{shown}"
        );
        assert_eq!(shown.to_lowercase().contains(note), is_told, "{shown}");
    }
}

/// Only objections were compared: a line that was not reached then was shown as one that was.
#[test]
fn lines_that_are_judged_again_are_not_certain_where_something_of_the_input_is_hidden() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "package dtgate.a\n\ndeny contains \"no\" if {\n\tinput.change.name.requested == \"x\"\n\tinput.api == \"v9\"\n}\n";
    std::fs::write(directory.path().join("a.rego"), rules).unwrap();
    let policy = Policy::load(directory.path(), std::time::Duration::from_secs(5)).unwrap();
    let record = |seq: u64, list: &str, place: &str| {
        let input = json!({
            "operation": "token.create", "api": "v2", "environment": {"name": "default"},
            "time": "2026-11-24T10:00:00.000Z",
            "caller": {"address": "10.1.2.3", "token": {"id": "dt0c01.AAAA", "kind": "api-token"}},
            "change": {"name": {"requested": "hidden"}, "scopes": {"requested": ["metrics.read"]}},
        });
        json!({
            "seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T10:00:{seq:02}.000Z"), "verdict": "allow",
            "operation": "token.create", "input": input, "result": {"allow": true, "violations": []},
            "bundles": {"policies": {"revision": policy.revision()}}, (list): [place],
        })
    };
    let of_this = policy.clone();
    let gate = |records: &[Value]| {
        let policy = of_this.clone();
        Gate {
            policies: Some(Arc::new(move || policy.clone())),
            ..gate_of(records)
        }
    };
    let certain = "By the policies of then, judged again.";
    let veiled = "But something that they saw is masked, or has a pseudonym";
    for (list, place, is_certain) in [
        ("masked", "/input/change/name/requested", false),
        ("erased", "/input/change/name", false),
        ("pseudonyms", "/input/caller/token/id", false),
        ("masked", "/input", false),
        ("masked", "/requested_by", true),
        ("other", "/input/change", true),
    ] {
        let gate = gate(&[record(1, list, place), record(2, "other", "")]);
        let shown = page_for(&auditor(), &gate, &Route::Decision("1".to_owned()), "");
        assert_eq!(
            shown.contains(certain),
            is_certain,
            "{list} {place}: {shown}"
        );
        assert_eq!(
            shown.contains(veiled),
            !is_certain,
            "{list} {place}: {shown}"
        );
        let shown = page_for(&auditor(), &gate, &Route::Policy("a".to_owned()), "");
        assert!(shown.contains("newest 2 recorded requests"), "{shown}");
        let said = shown.contains("Of 1 request of these something that policies saw is masked");
        assert_eq!(said, !is_certain, "{list} {place}: {shown}");
    }
}

/// A blank read as if the request had emptied it.
#[test]
fn what_a_request_does_not_say_is_no_blank() {
    let shown = |operation: &str, input: Value, masked: &[&str]| {
        let record = json!({
            "seq": 1, "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "allow",
            "operation": operation, "input": input, "masked": masked,
        });
        let gate = gate_of(&[record]);
        page_for(&auditor(), &gate, &Route::Decision("1".to_owned()), "")
    };
    let row = |title: &str, before: &str, after: &str| {
        format!("<th scope=\"row\">{title}</th><td>{before}</td><td>{after}</td>")
    };
    let scopes = json!({"requested": ["metrics.read"]});
    let put = json!({"change": {"name": {"current": "admin"}, "enabled": {"current": true}, "scopes": scopes}});
    let create = json!({"change": {"name": {"requested": "ci"}, "scopes": scopes}});
    let extend = json!({
        "token": {"current": {"expiration": "2026-12-01T00:00:00.000Z"}},
        "change": {"expiration": {"requested": "now+14d"}, "name": {"requested": "ci"}},
    });
    for (operation, input, masked, rows) in [
        (
            "token.update",
            &put,
            &[][..],
            [
                row("Name", "admin", "not in the request"),
                row("Enabled", "true", "not in the request"),
            ],
        ),
        (
            "token.delete",
            &put,
            &[],
            [
                row("Name", "admin", "removed"),
                row("Enabled", "true", "removed"),
            ],
        ),
        (
            "token.update",
            &put,
            &["/input/change/name/requested"],
            [
                row("Name", "admin", "masked"),
                row("Enabled", "true", "not in the request"),
            ],
        ),
        (
            "token.create",
            &create,
            &[],
            [row("Name", "none", "ci"), "</tbody>".to_owned()],
        ),
        (
            "token.update",
            &extend,
            &[],
            [
                row("Name", "not known", "ci"),
                row("Expires", "2026-12-01T00:00:00.000Z", "now+14d"),
            ],
        ),
    ] {
        let shown = shown(operation, input.clone(), masked);
        for row in rows {
            assert!(shown.contains(&row), "{operation} {row}: {shown}");
        }
        assert!(!shown.contains("<td></td>"), "{shown}");
    }
}

/// A decision of 2026-11-24 that Dynatrace was asked about.
fn allowed(seq: u64, time: &str) -> Value {
    json!({"seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T{time}.000Z"), "verdict": "allow",
           "input": {"environment": {"name": "prod"}}, "metrics": {"timer_rego_query_eval_ns": 1_000_000}})
}

/// Which time is looked at, and which numbers stand there.
fn looked_at(html: &str) -> &str {
    let span = html.split("aria-current=\"true\">").nth(1).unwrap();
    span.split('<').next().unwrap()
}

#[test]
fn cards_and_pictures_are_of_one_time_and_it_ends_now() {
    let gate = gate_of(&[
        // Before the first minute of the hour, in it, in the last one, and of a clock that is ahead.
        allowed(1, "11:00:59"),
        allowed(2, "11:01:00"),
        allowed(3, "12:00:00"),
        allowed(4, "12:01:00"),
    ]);
    let html = page(&gate, &Route::Now, "last=1h");
    for told in [
        "<div class=\"number\">2</div>",
        "<i class=\"key\"></i> 2 allowed</span>, <span class=\"deny\"><i class=\"key\"></i> 0 denied</span></figcaption>",
        "2026-11-24 11:01:00 UTC: 1 allowed",
        "2026-11-24 12:00:00 UTC: 1 allowed",
        "2026-11-24 11:01:00 UTC: half within",
        "2026-11-24 12:00:00 UTC: half within",
    ] {
        assert!(html.contains(told), "{told}: {html}");
    }
    assert!(
        !html.contains("11:00:00 UTC: 1") && !html.contains("12:01:00 UTC:"),
        "{html}"
    );
    let html = page(&gate, &Route::Now, "last=24h");
    assert!(html.contains("<div class=\"number\">4</div>"), "{html}");
}

#[test]
fn where_nobody_says_which_time_it_is_the_shortest_that_has_all() {
    let span = |times: &[&str]| {
        let all = (1..).zip(times).map(|(seq, time)| allowed(seq, time));
        let html = page(&gate_of(&all.collect::<Vec<_>>()), &Route::Now, "");
        let ticks = html.split("data-form=").nth(1).unwrap_or_default();
        let first = ticks.split(['>', '<']).nth(1).unwrap_or_default();
        (looked_at(&html).to_owned(), first.to_owned())
    };
    let told = |span: &str, first: &str| (span.to_owned(), first.to_owned());
    // Of three minutes, five are seen.
    assert_eq!(span(&["11:57:00", "11:59:50"]), told("15m", "11:55:15"));
    assert_eq!(span(&["11:50:00"]), told("15m", "11:49:15"));
    assert_eq!(span(&["11:30:00", "11:59:50"]), told("1h", "11:29"));
    assert_eq!(span(&["09:00:00", "11:59:50"]), told("24h", "12:15"));
    assert_eq!(span(&[]).0, "24h");
}

#[test]
fn a_request_that_is_under_way_is_not_in_doubt() {
    let gate = gate_of(&[allowed(1, "11:58:00"), allowed(2, "11:59:30")]);
    let html = page(&gate, &Route::Now, "");
    let card = "<div class=\"soft\">in doubt</div><div class=\"number\">1</div>";
    assert!(html.contains(card), "{html}");
    assert!(html.contains("1 more: no answer yet"), "{html}");
    assert!(
        html.contains("<strong class=\"warn\">in doubt</strong>"),
        "{html}"
    );
    assert!(
        html.contains("<span class=\"soft\">no answer yet</span>"),
        "{html}"
    );
    let one = |seq: u64| page(&gate, &Route::Decision(seq.to_string()), "");
    assert!(one(1).contains("dtgate audit settle looks"));
    assert!(one(2).contains("no answer yet: the request is under way"));
}
