//! What people see first, and what they can tell apart.

use super::*;

/// One that is all right, and the place of each error.
fn status() -> Value {
    json!({
        "reload": {"refused": false, "last": {"ok": true, "error": null}},
        "journal": {
            "ok": true, "error": null, "free_bytes": 2_u64 << 30, "min_free_bytes": 1 << 28,
            "checkpoints_sent": {"file": {"size": 7, "error": null}},
            "kept": {"compress_error": null, "prune_error": null},
        },
        "policies": {"revision": "0123456789abcdef", "unremembered": null},
        "environments": [{"name": "prod", "connections": 1, "waiting": 0, "error": null}],
        "bundles": [{"name": "main", "error": null}],
        "issuers": [{"name": "login", "failure": null}],
        "challenger": null, "turns": null,
        "sinks": {"otlp.logs": {"seq": 1, "error": null}},
        "certificates": [{"shown_to": "clients", "file": "/etc/tls.pem", "days_left": 30}],
    })
}

/// That new policies are refused, or that the journal fails, was plain text at the bottom of the page.
#[test]
fn what_is_wrong_with_the_gate_stands_first() {
    let shown = |status: Value| {
        let gate = Gate {
            status: Some(Arc::new(move || status.clone())),
            ..gate_of(&[denial(1)])
        };
        page(&gate, &Route::Now, "last=24h")
    };
    let well = shown(status());
    assert!(!well.contains("class=\"fault\""), "{well}");
    let why = "what <b>it</b> says";
    for (place, words) in [
        ("/journal/error", "The journal cannot be written:"),
        ("/reload/last/error", "New files are refused"),
        (
            "/journal/checkpoints_sent/file/error",
            "Checkpoints do not arrive at file:",
        ),
        ("/journal/kept/compress_error", "cannot be compressed:"),
        ("/journal/kept/prune_error", "cannot be deleted:"),
        (
            "/policies/unremembered",
            "cannot be written to policies.state:",
        ),
        (
            "/environments/0/error",
            "The environment prod cannot be reached:",
        ),
        ("/bundles/0/error", "The bundle main cannot be fetched:"),
        (
            "/issuers/0/failure",
            "The keys of the issuer login cannot be fetched:",
        ),
        ("/challenger", "The files of the challenger are refused:"),
        ("/turns", "The gate gets no turns from the store:"),
        (
            "/sinks/otlp.logs/error",
            "The sink otlp.logs does not get records:",
        ),
    ] {
        let mut status = status();
        let wrong = match place {
            "/challenger" | "/turns" => json!({"error": why}),
            _ => json!(why),
        };
        *status.pointer_mut(place).unwrap() = wrong;
        status["reload"]["refused"] = json!(place.starts_with("/reload"));
        let shown = shown(status);
        let (before, _) = shown.split_once("class=\"cards\"").unwrap();
        for words in [
            words,
            "what &lt;b&gt;it&lt;/b&gt; says.",
            "in docs/operations.md",
        ] {
            assert!(before.contains(words), "{place}: {words}: {shown}");
        }
        assert_eq!(before.matches("<li>").count(), 1, "{place}: {shown}");
    }
    // Files that were put back are refused no more.
    let mut back = status();
    back["reload"]["last"] = json!({"ok": false, "error": why});
    assert!(!shown(back).contains("class=\"fault\""));
    let mut full = status();
    full["journal"]["free_bytes"] = json!(1 << 20);
    assert!(shown(full).contains("disk is full.</strong> 1 MiB are free, and 256 MiB have to be."));
    for (days, words) in [
        (13, "in 13 days"),
        (0, "expires today"),
        (-1, "has expired"),
    ] {
        let mut ends = status();
        ends["certificates"][0]["days_left"] = json!(days);
        let shown = shown(ends);
        assert!(
            shown.contains(words) && shown.contains("/etc/tls.pem."),
            "{shown}"
        );
    }
}

/// One of so many of a team, which policies allow or refuse.
fn of_team(seq: u64, team: &[&str], objecting: Option<&str>) -> Value {
    let mut record = denial(seq);
    record["caller"] = json!({"teams": team});
    if let Some(policy) = objecting {
        record["result"]["violations"][0]["policy"] = json!(policy);
    } else {
        record["verdict"] = json!("allow");
        record["result"]["violations"] = json!([]);
    }
    record
}

/// The cells of a row of the page of callers, by the title of each.
fn cells(shown: &str, name: &str) -> Vec<String> {
    let rows = shown.split("<tr>");
    let row = rows.into_iter().find(|row| row.contains(name));
    let row = row.unwrap_or_else(|| panic!("{name}: {shown}"));
    let cells = row.split("<td").skip(1);
    cells
        .map(|cell| cell.split_once('>').unwrap().1.to_owned())
        .collect()
}

/// The largest row had all of the picture, whatever its share was.
#[test]
fn a_share_is_of_all_that_was_counted_in_the_column_that_orders() {
    let mut records = Vec::new();
    for (team, objecting, count) in [
        ("red", None, 5),
        ("red", Some("naming"), 1),
        ("blue", Some("naming"), 3),
        ("green", None, 1),
    ] {
        for _ in 0..count {
            records.push(of_team(1 + records.len() as u64, &[team], objecting));
        }
    }
    let gate = gate_of(&records);
    for (query, title, shares) in [
        (
            "",
            "Share of decisions",
            [("red", "60.0 %"), ("blue", "30.0 %"), ("green", "10.0 %")],
        ),
        (
            "order=denied",
            "Share of refusals",
            [("red", "25.0 %"), ("blue", "75.0 %"), ("green", "0.0 %")],
        ),
    ] {
        let shown = page(&gate, &Route::Callers, query);
        assert!(shown.contains(title), "{shown}");
        for (team, share) in shares {
            let cells = cells(&shown, &format!(">{team}</a>"));
            assert!(
                cells[3].contains(&format!(">{share}</span>")),
                "{team}: {cells:?}"
            );
        }
    }
    // Those who are not shown count, too.
    let many: Vec<Value> = (1..=50)
        .map(|seq| of_team(seq, &[&format!("t{seq}")], None))
        .collect();
    let shown = page(&gate_of(&many), &Route::Callers, "");
    assert!(
        shown.contains("and 20 more") && shown.contains(">2.0 %</span>"),
        "{shown}"
    );
}

/// It was said of them that nobody had counted it.
#[test]
fn who_has_no_team_is_told_for_what_they_were_refused() {
    let records = [
        of_team(1, &[], Some("naming")),
        of_team(2, &[], Some("reactivation")),
        of_team(3, &[], Some("naming")),
        of_team(4, &["red"], Some("escalation")),
    ];
    let shown = page(&gate_of(&records), &Route::Callers, "");
    let of_none = cells(&shown, "no team");
    let objected = of_none.last().unwrap();
    let naming = objected.find(">naming</a> 2×");
    assert!(
        naming.is_some() && naming < objected.find(">reactivation</a> 1×"),
        "{objected}"
    );
    assert!(!objected.contains("escalation"), "{objected}");
}

/// Scopes were grey text, and "scopes -problems.read" was green.
#[test]
fn a_token_shows_its_scopes_as_other_pages_do_and_objections_as_a_whole() {
    let message = format!("it {}says so", "really ".repeat(20));
    let change = |seq: u64, verdict: &str, scopes: Value| {
        json!({
            "seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T10:00:{seq:02}.000Z"), "verdict": verdict,
            "operation": "token.update",
            "input": {
                "token": {"id": "dt0c01.A", "current": {"name": "mine", "scopes": ["metrics.read", "logs.read"]}},
                "change": {"scopes": scopes, "enabled": {"requested": false}},
            },
            "result": {"violations": if verdict == "allow" { json!([]) } else {
                json!([{"policy": "naming", "mode": "enforce", "rule": "deny", "message": message}])
            }},
        })
    };
    let answered = json!({
        "seq": 2, "kind": "outcome", "timestamp": "2026-11-24T10:00:02.000Z", "decision_seq": 1, "outcome": "answered", "status": 204,
    });
    let taken = json!({
        "requested": ["metrics.read", "slo.read"], "current": ["metrics.read", "logs.read"], "added": ["slo.read"],
        "removed": ["logs.read"],
    });
    let gate = gate_of(&[
        change(1, "allow", taken.clone()),
        answered,
        change(3, "deny", taken),
    ]);
    let shown = page_for(&auditor(), &gate, &Route::Token("dt0c01.A".to_owned()), "");
    let (first, second) = shown.split_once("<li class=\"deny\">").unwrap();
    for part in [first, second] {
        for wanted in [
            "<li class=\"added\">slo.read</li><li class=\"removed\">logs.read</li>",
            "scopes",
        ] {
            assert!(part.contains(wanted), "{wanted}: {part}");
        }
        assert!(
            !part.contains("+slo.read") && !part.contains("-logs.read"),
            "{part}"
        );
    }
    let after = "<li class=\"kept\">metrics.read</li><li class=\"kept\">slo.read</li>";
    assert!(first.contains(after), "{first}");
    assert!(second.contains(&message), "{second}");
}

/// How much lighter one colour is than another, as WCAG counts it.
fn contrast(one: &str, other: &str) -> f64 {
    let light = |colour: &str| {
        let digits = colour.trim_start_matches('#');
        let digits = match digits.len() {
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
            _ => digits.to_owned(),
        };
        let part = |at: usize| {
            let value = u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.03928 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4) + 0.05
    };
    let (one, other) = (light(one), light(other));
    one.max(other) / one.min(other)
}

/// The bars of 95 % could hardly be seen.
#[test]
fn bars_can_be_told_from_what_they_stand_on() {
    let style = include_str!("../../assets/console.css");
    let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
    let fills = style.split("svg.plot .").skip(1).filter_map(|rule| {
        let (name, rest) = rule.split_once(" { fill: var(")?;
        Some((name, rest.split_once(')')?.0))
    });
    let fills: Vec<(&str, &str)> = fills.collect();
    let names: Vec<&str> = fills.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["half", "nearly", "allowed", "denied"]);
    for scheme in [light, dark] {
        let value = |name: &str| {
            let (_, rest) = scheme.split_once(&format!("{name}: ")).unwrap();
            rest.split_once(';').unwrap().0
        };
        for (name, colour) in &fills {
            let found = contrast(value(colour), value("--card"));
            assert!(found >= 3.0, "{name}: {found}");
        }
    }
}
