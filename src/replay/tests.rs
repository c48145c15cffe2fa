use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::newest::{Most, newest_within};
use super::*;
use crate::policy::{AnswersFor, Input, Trusted, Verdict};

mod hidden;

const TIME: &str = "2026-11-24T10:00:00.000Z";

fn load(files: &[(&str, &str)]) -> Policy {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    Policy::load(directory.path(), Duration::from_secs(1)).unwrap()
}

fn of(rules: &str) -> Policy {
    load(&[("a.rego", &format!("package dtgate.a\n\n{rules}\n"))])
}

fn shipped() -> Policy {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    Policy::load(policies, Duration::from_secs(5)).unwrap()
}

/// What a gate with these policies would have recorded.
fn decided(policy: &Policy, input: &Input) -> Value {
    let decision = policy.replay(input);
    json!({
        "kind": "decision", "timestamp": format!("{:.3}", input.time), "decision_id": "d", "path": "dtgate",
        "input": input, "verdict": decision.verdict, "operation": input.operation,
        "result": {"allow": decision.verdict == Verdict::Allow, "violations": decision.violations},
        "bundles": {"policies": {"revision": policy.revision()}}, "requested_by": input.caller.address,
        "caller": {"id": input.caller.token.id, "kind": "api-token", "teams": input.caller.teams},
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is called with what was just made"
)]
fn input(more: Value) -> Input {
    let mut input = json!({
        "operation": "token.create", "api": "v2", "environment": {"name": "default"}, "time": TIME,
        "caller": {"address": "10.1.2.3", "token": {"id": "dt0c01.AAAA", "kind": "api-token"}, "teams": ["payments"]},
        "change": {"scopes": {"requested": ["metrics.read"]}},
    });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    serde_json::from_value(input).unwrap()
}

struct Journal(tempfile::TempDir);

impl Journal {
    fn of(records: impl IntoIterator<Item = Value>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lines = records.into_iter().enumerate().map(|(number, mut record)| {
            record["seq"] = json!(number + 1);
            record.to_string() + "\n"
        });
        let text: String = lines.collect();
        std::fs::write(directory.path().join(format!("{:020}.jsonl", 1)), text).unwrap();
        Self(directory)
    }

    fn by(&self, candidate: &Policy, conditions: &[&str], jobs: usize) -> Report {
        let conditions = conditions.iter().map(|it| it.parse().unwrap()).collect();
        let options = Options {
            wanted: Wanted::new(None, None, conditions),
            examples: 2,
            jobs,
        };
        replay(self.0.path(), candidate, &options).unwrap()
    }
}

fn flips(report: &Report) -> (u64, u64, u64, u64) {
    (
        report.same,
        report.new_denials,
        report.new_allows,
        report.changed,
    )
}

#[test]
fn the_same_policies_decide_alike_whichever_engine() {
    let policy = shipped();
    let inputs = policy.inputs_of_tests();
    assert!(inputs.len() > 100, "{}", inputs.len());
    let journal = Journal::of(inputs.iter().map(|input| decided(&policy, input)));
    let by_interpreter = journal.by(&policy, &[], 2);
    let proven = policy.prove(AnswersFor::All, 20, 1);
    assert!(matches!(proven, Trusted::Bytecode { .. }), "{proven}");
    let by_bytecode = journal.by(&policy, &[], 2);
    for report in [by_interpreter, by_bytecode] {
        assert_eq!(report.decisions, inputs.len() as u64);
        assert_eq!(report.replayed + report.unreplayed(), report.decisions);
        assert!(report.replayed > 100, "{report:#?}");
        assert_eq!(flips(&report), (report.replayed, 0, 0, 0), "{report:#?}");
        assert_eq!(report.of_other_policies, 0);
    }
}

/// Who asks for a value that has a pseudonym by a key that is not there finds nothing by it.
#[test]
fn keys_of_pseudonyms_that_are_missing_are_told() {
    let policy = of("deny contains \"x\" if input.api == \"v1\"");
    let start = |kind: &str, key: &str| {
        let pseudonyms = json!({"fields": ["caller.token.id"], "key": key, "fingerprint": "ab"});
        json!({"kind": kind, "timestamp": TIME, "pseudonyms": pseudonyms})
    };
    let decision = decided(&policy, &input(json!({})));
    let journal = Journal::of([
        start("start", "v1"),
        decision.clone(),
        start("reload", "v3"),
    ]);
    let report = journal.by(&policy, &["caller=dt0c01.AAAA"], 2);
    let told = json!(report)["missing_keys"].clone();
    let wanted = [1, 2, 3].map(|version| json!({"version": version, "replaced": false}));
    assert_eq!(told, json!(wanted));
    // Another one in the place of the first: a new one gets a number that no record tells of.
    let directory = journal.0.path();
    let made = crate::audit::pseudonym::rotate(directory).unwrap();
    assert_eq!(made.version, 4);
    let key = |version: u32| directory.join(format!("pseudonym-v{version}.key"));
    std::fs::rename(key(4), key(1)).unwrap();
    let report = journal.by(&policy, &[], 2);
    let told = json!(report)["missing_keys"].clone();
    assert_eq!(told[0], json!({"version": 1, "replaced": true}));
    let without = Journal::of([decision]).by(&policy, &[], 2);
    assert_eq!(json!(without).get("missing_keys"), None);
}

#[test]
fn one_more_rule_flips_exactly_what_it_is_about() {
    let old = of("deny contains \"bad\" if \"bad\" in input.change.scopes.requested");
    let new = of(
        "deny contains \"bad\" if \"bad\" in input.change.scopes.requested\n\n\
                  deny contains \"more\" if \"more\" in input.change.scopes.requested",
    );
    let mut inputs = Vec::new();
    for bad in [false, true] {
        for more in [false, true] {
            for other in 0..5 {
                let mut scopes = vec![format!("s{other}")];
                scopes.extend(bad.then(|| "bad".to_owned()));
                scopes.extend(more.then(|| "more".to_owned()));
                let caller = json!({"address": "10.0.0.1", "token": {"id": format!("dt0c01.{other}"), "kind": "api-token"}});
                inputs.push(input(
                    json!({"change": {"scopes": {"requested": scopes}}, "caller": caller}),
                ));
            }
        }
    }
    let before = Journal::of(inputs.iter().map(|input| decided(&old, input)));
    let report = before.by(&new, &[], 3);
    assert_eq!(flips(&report), (10, 5, 0, 5), "{report:#?}");
    assert_eq!(report.of_other_policies, 20);
    let group = &report.groups[0];
    assert_eq!(
        (group.change, &*group.policy, group.count),
        (Change::NewDenial, "a", 5)
    );
    let numbers: Vec<u64> = group.examples.iter().map(|example| example.seq).collect();
    assert_eq!(numbers, [6, 7], "the first ones, whoever judged them");
    assert!(
        group.examples[0].says.ends_with("denies (enforce): more"),
        "{group:?}"
    );
    assert!(
        group.examples[0].by.contains("dt0c01.0 at 10.0.0.1"),
        "{group:?}"
    );
    assert_eq!(
        report.callers["dt0c01.0"],
        Affected {
            new_denials: 1,
            new_allows: 0,
            changed: 1
        }
    );
    let after = Journal::of(inputs.iter().map(|input| decided(&new, input)));
    assert_eq!(flips(&after.by(&old, &[], 3)), (10, 0, 5, 5));
    assert_eq!(flips(&after.by(&new, &[], 1)), (20, 0, 0, 0));
}

#[test]
fn modes_count_as_they_do_in_a_gate() {
    let rule = "package dtgate.a\n\ndeny contains \"bad\" if input.operation == \"token.create\"\n";
    let allows = of("deny contains \"bad\" if input.operation == \"token.delete\"");
    let journal = Journal::of([decided(&allows, &input(json!({})))]);
    for (mode, expected) in [
        ("enforce", (0, 1, 0, 0)),
        ("warn", (0, 0, 0, 1)),
        ("dry_run", (0, 0, 0, 1)),
        // The record's own time is the clock: a day later it is enforced.
        (
            "{mode: warn, until: \"2026-11-24T10:00:00.001Z\"}",
            (0, 0, 0, 1),
        ),
        (
            "{mode: warn, until: \"2026-11-24T10:00:00.000Z\"}",
            (0, 1, 0, 0),
        ),
    ] {
        let candidate = load(&[
            ("a.rego", rule),
            ("data.yaml", &format!("modes:\n  a: {mode}\n")),
        ]);
        assert_eq!(flips(&journal.by(&candidate, &[], 1)), expected, "{mode}");
    }
    let clock = of("deny contains \"late\" if time.now_ns() != time.parse_rfc3339_ns(input.time)");
    assert_eq!(flips(&journal.by(&clock, &[], 1)), (1, 0, 0, 0));
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_cannot_be_judged_is_counted_with_its_reason() {
    let policy = of("deny contains \"bad\" if input.caller.address == \"10.9.9.9\"");
    let record = || decided(&policy, &input(json!({})));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut record = record();
        change(&mut record);
        record
    };
    let cut = format!("x… (2048 bytes, hmac-sha256:{})", "0".repeat(32));
    for (name, record, replayed, reason) in [
        (
            "refused",
            with(&|it| {
                it.as_object_mut().unwrap().remove("input");
            }),
            0,
            "refused before policies",
        ),
        (
            "older",
            with(&|it| it["input"]["operation"] = json!(1)),
            0,
            "not those of this version",
        ),
        (
            "masked as a whole",
            with(&|it| {
                it.as_object_mut().unwrap().remove("input");
                it["erased"] = json!(["/input"]);
            }),
            0,
            "its input is masked",
        ),
        (
            "masked, must be there",
            with(&|it| {
                it["input"].as_object_mut().unwrap().remove("api");
                it["erased"] = json!(["/input/api"]);
            }),
            1,
            "",
        ),
        (
            "masked, of another kind",
            with(&|it| {
                it["input"]["caller"]["token"] = json!("***");
                it["input"]["operation"] = json!(7);
                it["caller"]["teams"] = json!("***");
                it["masked"] = json!(["/input/caller/token", "/input/operation", "/caller/teams"]);
            }),
            1,
            "",
        ),
        (
            "masked, must be there, and read",
            with(&|it| {
                it["input"]["caller"]["token"]
                    .as_object_mut()
                    .unwrap()
                    .remove("id");
                it["input"].as_object_mut().unwrap().remove("time");
                it["erased"] = json!([
                    "/input/caller/token/id",
                    "/input/time",
                    "/input/caller/address"
                ]);
            }),
            0,
            "is erased: /input/caller/address",
        ),
        (
            "not masked, must be there",
            with(&|it| {
                it["input"].as_object_mut().unwrap().remove("api");
                it["erased"] = json!(["/input/operation"]);
            }),
            0,
            "must be there is masked",
        ),
        (
            "masked, read",
            with(&|it| it["masked"] = json!(["/input/caller/address"])),
            0,
            "is masked: /input/caller/address",
        ),
        (
            "masked, around it",
            with(&|it| it["erased"] = json!(["/input/caller"])),
            0,
            "is erased: /input/caller",
        ),
        (
            "a pseudonym",
            with(&|it| it["pseudonyms"] = json!(["/requested_by", "/input/caller/address"])),
            0,
            "is a pseudonym",
        ),
        (
            "cut, read",
            with(&|it| it["input"]["caller"]["address"] = json!(cut)),
            0,
            "was cut",
        ),
        (
            "masked, not read",
            with(&|it| it["erased"] = json!(["/input/change/name", "/requested_by"])),
            1,
            "",
        ),
        (
            "cut, not read",
            with(&|it| it["input"]["change"]["name"] = json!({"requested": cut})),
            1,
            "",
        ),
    ] {
        let report = Journal::of([record]).by(&policy, &[], 1);
        assert_eq!(
            (report.decisions, report.replayed),
            (1, replayed),
            "{name}: {report:#?}"
        );
        let reasons: Vec<&String> = report.not_replayed.keys().collect();
        assert_eq!(reasons.is_empty(), reason.is_empty(), "{name}: {reasons:?}");
        assert!(
            reasons.iter().all(|it| it.contains(reason)),
            "{name}: {reasons:?}"
        );
        assert_eq!(
            report.new_allows + report.new_denials + report.changed,
            0,
            "{name}"
        );
    }
}

#[test]
fn members_that_were_not_recorded_silence_the_policies_that_read_them_and_no_others() {
    let old = of("deny contains \"bad\" if input.operation == \"nothing\"");
    let token = json!({"operation": "token.update", "token": {"id": "dt0c01.BBBB"}});
    let journal = Journal::of([decided(&old, &input(token))]);
    let of_envoy = "deny contains \"no\" if not input.attributes.request.http.headers[\"x\"]";
    let of_lookup = "deny contains \"no\" if not input.token.known";
    for (rules, reason) in [(of_envoy, "OPA-Envoy"), (of_lookup, "was not looked up")] {
        let report = journal.by(&of(rules), &[], 1);
        assert_eq!((report.replayed, report.new_denials), (0, 0), "{report:#?}");
        assert!(
            report.not_replayed.keys().all(|it| it.contains(reason)),
            "{report:#?}"
        );
        // By way of a helper, and beside a policy that reads what is there.
        let (head, body) = rules.split_once(" if ").unwrap();
        let lib = format!("package dtgate.lib\n\nmissing if {body}\n");
        let asks = format!("package dtgate.b\n\nimport data.dtgate.lib\n\n{head} if lib.missing\n");
        let other =
            "package dtgate.c\n\ndeny contains \"now\" if input.operation == \"token.update\"\n";
        let candidate = load(&[("lib.rego", &lib), ("b.rego", &asks), ("c.rego", other)]);
        let report = journal.by(&candidate, &[], 1);
        assert_eq!((report.replayed, report.new_denials), (1, 1), "{report:#?}");
        assert_eq!(report.not_by.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(
            report
                .groups
                .iter()
                .map(|it| &*it.policy)
                .collect::<Vec<_>>(),
            ["c"]
        );
    }
}

#[test]
fn a_candidate_that_fails_denies_and_is_counted() {
    let old = of("deny contains \"bad\" if input.operation == \"nothing\"");
    let journal = Journal::of([decided(&old, &input(json!({})))]);
    let report = journal.by(
        &of("deny contains \"no\" if to_number(input.operation) == 1"),
        &[],
        1,
    );
    assert_eq!((report.new_denials, report.failed), (1, 1), "{report:#?}");
}

#[test]
fn other_records_damage_and_conditions() {
    let old = of(
        "deny contains {\"message\": \"bad\", \"code\": \"c\"} if input.operation == \"token.delete\"",
    );
    let new = of("deny contains \"now\" if input.operation");
    let deleted = json!({
        "operation": "token.delete", "token": {"id": "dt0c01.BBBB", "lookup_error": "no"}, "environment": {"name": "prod"},
    });
    let mut later = input(json!({}));
    later.time = "2026-11-25T00:00:00Z".parse().unwrap();
    let records = [
        json!({"kind": "start", "timestamp": TIME}),
        decided(&old, &input(json!({}))),
        json!({"kind": "settled", "result": "text", "input": 1}),
        decided(&old, &input(deleted)),
        decided(&old, &later),
    ];
    let journal = Journal::of(records);
    for (condition, decisions) in [
        ("caller=10.1.2.3", 3),
        ("caller=dt0c01.AAAA", 3),
        ("caller=10.1.2", 0),
        ("team=payments", 3),
        ("team=other", 0),
        ("environment=prod", 1),
        ("operation=token.create", 2),
        ("code=c", 1),
        ("policy=a", 1),
        ("token=dt0c01.BBBB", 1),
        ("verdict=allow", 2),
        ("verdict=deny", 1),
    ] {
        assert_eq!(
            journal.by(&new, &[condition], 2).decisions,
            decisions,
            "{condition}"
        );
    }
    assert_eq!(
        journal
            .by(&new, &["verdict=allow", "environment=prod"], 1)
            .decisions,
        0
    );
    for wrong in ["", "caller", "team=", "colour=red", "verdict=maybe"] {
        assert!(wrong.parse::<Where>().is_err(), "{wrong}");
    }
    let moment = |text: &str| Some(text.parse().unwrap());
    for (since, until, decisions) in [
        (moment(TIME), None, 3),
        (moment("2026-11-24T10:00:00.001Z"), None, 1),
        (None, moment(TIME), 0),
        (None, moment("2026-11-25T00:00:00Z"), 2),
        (
            moment("2026-11-25T00:00:00Z"),
            moment("2026-11-25T00:00:01Z"),
            1,
        ),
    ] {
        let options = Options {
            wanted: Wanted::new(since, until, Vec::new()),
            examples: 0,
            jobs: 1,
        };
        let report = replay(journal.0.path(), &new, &options).unwrap();
        assert_eq!(report.decisions, decisions, "{since:?} {until:?}");
    }
    let mut text =
        std::fs::read_to_string(journal.0.path().join(format!("{:020}.jsonl", 1))).unwrap();
    text.push_str("{\"seq\":6,\n");
    std::fs::write(journal.0.path().join(format!("{:020}.jsonl", 1)), text).unwrap();
    assert_eq!(journal.by(&new, &[], 1).damaged, 1);
}

#[test]
fn segments_that_are_gone_are_told() {
    let new = of("deny contains \"never\" if false");
    let journal = tempfile::tempdir().unwrap();
    let segment = |first: u64, lines: u64| {
        let lines =
            (first..first + lines).map(|seq| format!("{{\"seq\":{seq},\"kind\":\"stop\"}}\n"));
        let path = journal.path().join(format!("{first:020}.jsonl"));
        std::fs::write(path, lines.collect::<String>()).unwrap();
    };
    let told = || {
        let options = Options {
            wanted: Wanted::default(),
            examples: 0,
            jobs: 1,
        };
        let report = replay(journal.path(), &new, &options).unwrap();
        let has_gaps = report.has_gaps();
        (report.missing, report.more_missing, has_gaps)
    };
    segment(4, 3);
    segment(7, 2);
    // Retention deletes a beginning.
    assert_eq!(told(), (vec![(1, 3)], 0, false));
    segment(11, 1);
    assert_eq!(told(), (vec![(1, 3), (9, 10)], 0, true));
    (0..40).for_each(|at| segment(100 + 10 * at, 1));
    let (missing, more, _) = told();
    assert_eq!((missing.len(), more), (32, 10));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let old = of("deny contains \"bad\" if input.caller.address == \"10.0.0.3\"");
    let new = of("deny contains \"bad\" if input.caller.address == \"10.0.0.4\"");
    let inputs = (0..500).map(|number| {
        let caller =
            json!({"address": format!("10.0.0.{}", number % 7), "token": {"id": "", "kind": ""}});
        input(json!({"caller": caller}))
    });
    let journal = Journal::of(inputs.map(|input| decided(&old, &input)));
    let one = json!(journal.by(&new, &[], 1));
    assert_eq!(json!(journal.by(&new, &[], 4)), one);
    assert_eq!(
        (&one["new_denials"], &one["new_allows"]),
        (&json!(71), &json!(71)),
        "{one}"
    );
}

#[test]
fn objections_that_are_masked_flip_nothing_and_hide_no_flip() {
    let denies = of("deny contains sprintf(\"%s may not\", [input.caller.address])");
    let allows = of("deny contains \"no\" if input.operation == \"nothing\"");
    let record = |change: &dyn Fn(&mut Value)| {
        let mut record = decided(&denies, &input(json!({})));
        change(&mut record);
        record
    };
    let pseudonym = record(&|it| {
        it["result"]["violations"][0]["message"] = json!("hmac-sha256:v1:00 may not");
        it["pseudonyms"] = json!(["/requested_by", "/result/violations/0/message"]);
    });
    let message = record(&|it| {
        it["result"]["violations"][0]["message"] = json!("-");
        it["masked"] = json!(["/result/violations/0/message"]);
    });
    let no_message = record(&|it| {
        let said = it["result"]["violations"][0].as_object_mut().unwrap();
        said.remove("message");
        said.insert("path".to_owned(), json!(7));
        it["erased"] = json!(["/result/violations/0/message"]);
        it["masked"] = json!(["/result/violations/0/path"]);
    });
    let no_mode = record(&|it| {
        let said = it["result"]["violations"][0].as_object_mut().unwrap();
        said.remove("mode");
        said.insert("policy".to_owned(), json!("***"));
        it["erased"] = json!(["/result/violations/0/mode"]);
        it["masked"] = json!(["/result/violations/0/policy"]);
    });
    let one = record(&|it| {
        it["result"]["violations"] = json!([]);
        it["erased"] = json!(["/result/violations/0"]);
    });
    let all = record(&|it| {
        it["result"].as_object_mut().unwrap().remove("violations");
        it["erased"] = json!(["/result/violations"]);
    });
    for record in [pseudonym, message, no_message, no_mode, one, all] {
        let journal = Journal::of([record.clone()]);
        assert_eq!(
            flips(&journal.by(&denies, &[], 1)),
            (1, 0, 0, 0),
            "{record}"
        );
        assert_eq!(
            flips(&journal.by(&allows, &[], 1)),
            (0, 0, 1, 0),
            "{record}"
        );
    }
}

/// Modes and exceptions go by members of the input, too: where those are masked nobody can say what a policy does.
#[test]
fn what_modes_and_exceptions_go_by_is_read_by_their_policies() {
    const RULE: &str =
        "package dtgate.a\n\ndeny contains \"no\" if input.operation == \"token.update\"\n";
    let with = |data: &str| load(&[("a.rego", RULE), ("data.yaml", data)]);
    let exception = "exceptions: [{policy: a, token: dt0c01.BBBB, reason: r, ticket: t, until: \"2027-06-01\"}]\n";
    let cases = [
        (exception.to_owned(), "/input/token/id"),
        (exception.to_owned(), "/input/token"),
        (exception.to_owned(), "/input/time"),
        (
            format!(
                "callers: [{{name: payments, tokens: [dt0c01.AAAA]}}]\n{}",
                exception.replace("token: dt0c01.BBBB", "team: payments")
            ),
            "/input/caller/teams/0",
        ),
        (
            "modes: {a: [{mode: warn, environment: default}, enforce]}\n".to_owned(),
            "/input/environment/name",
        ),
        (
            "modes: {a: [{mode: warn, caller: dt0c01.AAAA}, enforce]}\n".to_owned(),
            "/input/caller/token/id",
        ),
        (
            "modes: {a: [{mode: warn, percent: 99}, enforce]}\n".to_owned(),
            "/input/caller/jwt/subject",
        ),
    ];
    let token = || input(json!({"operation": "token.update", "token": {"id": "dt0c01.BBBB"}}));
    for (data, pointer) in cases {
        let policy = with(&data);
        for list in ["erased", "masked", "pseudonyms"] {
            // Neither is a text.
            if ["/input/token", "/input/time"].contains(&pointer) && list != "erased" {
                continue;
            }
            let mut record = decided(&policy, &token());
            assert_eq!(record["verdict"], "allow", "{data}");
            let (around, last) = pointer.rsplit_once('/').unwrap();
            let within = record.pointer_mut(around).unwrap();
            match (list, within) {
                ("erased", Value::Object(members)) => drop(members.remove(last)),
                ("erased", Value::Array(elements)) => elements.clear(),
                (_, within) if last == "0" => within[0] = json!("hmac-sha256:v1:00"),
                (_, within) => within[last] = json!("hmac-sha256:v1:00"),
            }
            record[list] = json!([pointer]);
            let report = Journal::of([record.clone()]).by(&policy, &[], 1);
            assert_eq!(
                flips(&report),
                (0, 0, 0, 0),
                "{pointer} {list}: {report:#?}"
            );
            assert_eq!(report.unreplayed(), 1, "{pointer} {list}: {report:#?}");
            // Without it the same member says nothing.
            let report = Journal::of([record]).by(&with("{}"), &[], 1);
            assert_eq!(
                flips(&report),
                (0, 1, 0, 0),
                "{pointer} {list}: {report:#?}"
            );
            // Another thing that names the caller comes before.
            let mut record = decided(&policy, &token());
            record[list] = json!(["/input/caller/address"]);
            let report = Journal::of([record]).by(&policy, &[], 1);
            assert_eq!(report.replayed, 1, "{pointer} {list}: {report:#?}");
        }
    }
}

/// Of a token that could not be looked up the gate itself says no: also where nobody can say any more that it was so.
#[test]
fn what_was_denied_for_a_failed_lookup_is_no_new_allow_where_the_failure_is_masked() {
    let policy = of(
        "deny contains \"no\" if input.token.current.name == \"x\"\n\ndeny contains \"never\" if input.operation == \"nothing\"",
    );
    let mut record = decided(
        &policy,
        &input(json!({
            "operation": "token.update", "token": {"id": "dt0c01.BBBB", "lookup_error": "no answer"},
        })),
    );
    assert_eq!(record["verdict"], "deny");
    record["input"]["token"]
        .as_object_mut()
        .unwrap()
        .remove("lookup_error");
    record["erased"] = json!(["/input/token/lookup_error"]);
    let other = of("deny contains \"never\" if input.operation == \"nothing\"");
    for candidate in [policy, other] {
        let report = Journal::of([record.clone()]).by(&candidate, &[], 1);
        assert_eq!(report.new_allows, 0, "{report:#?}");
    }
}

#[test]
fn a_masked_member_is_known_however_its_path_is_written() {
    let policy = of("deny contains \"no\" if input.caller.address == \"10.9.9.9\"");
    for path in [
        "/input/%63aller/address",
        "/input/caller/%61ddress",
        "/input/caller/address",
    ] {
        let mut record = decided(&policy, &input(json!({})));
        record["input"]["caller"]["address"] = json!("10.9.9.9");
        record["masked"] = json!([path]);
        let report = Journal::of([record]).by(&policy, &[], 1);
        assert_eq!(
            (report.replayed, report.new_denials),
            (0, 0),
            "{path}: {report:#?}"
        );
    }
}

/// What stands in the place of the whole input says nothing about any policy.
#[test]
fn nothing_is_known_of_an_input_that_is_masked_as_a_whole() {
    let policy = of("deny contains \"no\" if input.change.scopes.requested[_] == \"a\"");
    for put in [json!("***"), json!({}), json!([]), json!(7)] {
        let mut record = decided(&policy, &input(json!({})));
        record["verdict"] = json!("deny");
        record["input"] = put.clone();
        record["masked"] = json!(["/input"]);
        let report = Journal::of([record]).by(&policy, &[], 1);
        assert_eq!(flips(&report), (0, 0, 0, 0), "{put}: {report:#?}");
        assert_eq!(report.unreplayed(), 1, "{put}: {report:#?}");
    }
}

#[test]
fn what_there_is_no_room_to_name_is_the_same_whoever_judged() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation");
    let mut records: Vec<Value> = Vec::new();
    for number in 0..3000_u32 {
        let id = number.wrapping_mul(2_654_435_761) % 1500;
        let mut one = input(json!({}));
        one.caller = serde_json::from_value(
            json!({"address": "10.0.0.1", "token": {"id": format!("dt0c01.{id}"), "kind": ""}}),
        )
        .unwrap();
        let mut record = decided(&old, &one);
        if number % 3 == 0 {
            record["input"][format!("m{id}")] = json!(1);
            record["input"]["operation"] = json!({format!("x{id}"): 1});
        }
        records.push(record);
    }
    let journal = Journal::of(records);
    let one = json!(journal.by(&new, &[], 1));
    assert_eq!(one["callers"].as_object().unwrap().len(), 1000);
    assert_eq!(one["decisions"], 3000);
    for jobs in [2, 3, 7] {
        assert_eq!(json!(journal.by(&new, &[], jobs)), one, "{jobs}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// What a gate of these policies has recorded flips nothing under them, whatever was asked for.
    #[test]
    fn the_same_policies_flip_nothing(
        scopes in proptest::collection::vec("[a-z.:WDC]{0,12}|WriteConfig|metrics.read|apiTokens.write", 0..6),
        name in proptest::option::of("\\PC{0,40}"),
        operation in proptest::sample::select(vec!["token.create", "token.update", "token.delete", "token.read"]),
        enabled in proptest::option::of(any::<bool>()),
    ) {
        let policy = SHIPPED.get_or_init(shipped);
        let asked = input(json!({
            "operation": operation,
            "change": {"name": name.map(|it| json!({"requested": it})).unwrap_or(json!({})),
                "enabled": enabled.map(|it| json!({"requested": it})).unwrap_or(json!({})), "scopes": {"requested": scopes}},
        }));
        let report = Journal::of([decided(policy, &asked)]).by(policy, &[], 1);
        prop_assert_eq!((report.new_denials, report.new_allows, report.changed), (0, 0, 0), "{:#?}", report);
        prop_assert_eq!(report.replayed + report.unreplayed(), 1);
    }
}

static SHIPPED: std::sync::OnceLock<Policy> = std::sync::OnceLock::new();

/// What the gate asks of new policies: how they would have decided, and what becomes of the same requests from now on.
fn newest_of(journal: &Journal, candidate: &Policy, in_force: &Policy) -> Report {
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    newest(journal.0.path(), candidate, Some(in_force), now, 10).unwrap()
}

#[test]
fn modes_and_exceptions_that_begin_or_end_behind_a_record_count_from_now_on() {
    const RULE: &str =
        "package dtgate.a\n\ndeny contains \"no\" if input.operation == \"token.create\"\n";
    let with = |data: &str| load(&[("a.rego", RULE), ("data.yaml", data)]);
    let exception = |from: &str, until: &str| {
        format!(
            "callers: [{{name: payments, tokens: [dt0c01.AAAA]}}]\n\
             exceptions: [{{policy: a, team: payments, reason: r, ticket: t, from: \"{from}\", until: \"{until}\"}}]\n"
        )
    };
    let mode =
        |mode: &str, from: &str| format!("modes: {{a: [{{mode: {mode}, from: \"{from}\"}}]}}\n");
    let strict = with("{}");
    let denied = Journal::of([decided(&strict, &input(json!({})))]);
    for (data, said) in [
        // It has begun since.
        (mode("warn", "2026-12-01"), "no longer denies (enforce): no"),
        (
            exception("2026-12-01", "2027-06-01"),
            "no longer denies (enforce): no",
        ),
        // It is still to begin.
        (
            mode("dry_run", "2027-02-01"),
            "no longer denies (enforce): no, from 2027-02-01T00:00:00Z on",
        ),
        (
            exception("2027-03-01", "2027-06-01"),
            "no longer denies (enforce): no, from 2027-03-01T00:00:00Z on",
        ),
    ] {
        let new = with(&data);
        let report = newest_of(&denied, &new, &strict);
        assert_eq!(flips(&report), (0, 0, 1, 0), "{data}: {report:#?}");
        assert_eq!(report.groups[0].examples[0].says, said, "{data}");
        // What is in force does the same: that is no change. Nor is it for whoever replays a journal.
        assert_eq!(
            flips(&newest_of(&denied, &new, &new)),
            (1, 0, 0, 0),
            "{data}"
        );
        assert_eq!(flips(&denied.by(&new, &[], 1)), (1, 0, 0, 0), "{data}");
    }
    // It is over, or was never for anybody of these.
    for data in [
        exception("2026-12-01", "2026-12-24"),
        mode("warn", "2027-02-01").replace("from", "environment: elsewhere, from"),
    ] {
        assert_eq!(
            flips(&newest_of(&denied, &with(&data), &strict)),
            (1, 0, 0, 0),
            "{data}"
        );
    }
    // Stricter now is a change; later it is what was wished for.
    let lenient = with("modes: {a: warn}\n");
    let allowed = Journal::of([decided(&lenient, &input(json!({})))]);
    let until = |until: &str| {
        with(&format!(
            "modes: {{a: [{{mode: warn, until: \"{until}\"}}, enforce]}}\n"
        ))
    };
    let report = newest_of(&allowed, &until("2026-12-01"), &lenient);
    assert_eq!(flips(&report), (0, 1, 0, 0), "{report:#?}");
    assert_eq!(
        flips(&newest_of(&allowed, &until("2027-02-01"), &lenient)),
        (1, 0, 0, 0)
    );
}

/// Whoever is denied again and again, with ever new credentials, pushes nobody out of the newest.
#[test]
fn one_who_asks_without_end_does_not_fill_the_newest() {
    let old = of("deny contains \"no\" if input.operation == \"token.create\"");
    let new = of("deny contains \"never\" if input.api");
    let asked = |operation: &str, token: String, address: String| {
        let caller = json!({"address": address, "token": {"id": token, "kind": "api-token"}});
        decided(
            &old,
            &input(json!({"operation": operation, "caller": caller})),
        )
    };
    let others = |operation: &'static str| {
        (0..5).map(move |n| asked(operation, format!("dt0c01.B{n}"), format!("10.0.0.{n}")))
    };
    let flood = |address: fn(usize) -> String| {
        (0..100).map(move |n| asked("token.create", format!("dt0c01.A{n}"), address(n)))
    };
    for address in [
        |_| "192.0.2.1".to_owned(),
        |n| format!("2001:db8::{n:x}"),
        |n| format!("2001:db8:0:{n:x}::1"),
    ] {
        let journal = Journal::of(others("token.update").chain(flood(address)));
        let report = newest_of(&journal, &new, &old);
        assert_eq!(
            (report.replayed, report.new_denials),
            (10, 5),
            "{report:#?}"
        );
        // Where there is nobody else, they fill what is left.
        let journal = Journal::of(flood(address));
        assert_eq!(newest_of(&journal, &new, &old).replayed, 10);
    }
    // Nor does one whose certificate is another one each time: a workload gets a new one every hour.
    for by in ["spiffe_id", "subject"] {
        let certified = |operation: &str, name: &str, n: usize| {
            let names = json!({(by): name, "fingerprint": format!("{n:064x}")});
            let mut certificate = names.clone();
            certificate["issuer"] = json!("CN=CA");
            let caller = json!({"address": "10.0.0.1", "certificate": certificate});
            let seen = input(json!({"operation": operation, "caller": caller}));
            let mut record = decided(&old, &seen);
            record["caller"] = json!({"certificate": names});
            record
        };
        let others = (0..5).map(|n| certified("token.update", &format!("spiffe://x/{n}"), n));
        let one = (10..110).map(|n| certified("token.create", "spiffe://x/one", n));
        let journal = Journal::of(others.chain(one));
        let report = newest_of(&journal, &new, &old);
        assert_eq!((report.replayed, report.new_denials), (10, 5), "{by}");
    }
    // Those of one issuer that writes the same subject for all are told apart by their other names.
    for by in ["dns", "uris", "emails", "addresses"] {
        let named = |operation: &str, name: &str, n: usize| {
            let names = json!({"subject": "O=x", "fingerprint": format!("{n:064x}")});
            let mut certificate = names.clone();
            certificate["issuer"] = json!("CN=CA");
            certificate[by] = json!([name]);
            let caller = json!({"address": "10.0.0.1", "certificate": certificate});
            let seen = input(json!({"operation": operation, "caller": caller}));
            let mut record = decided(&old, &seen);
            record["caller"] = json!({"certificate": names});
            record
        };
        let others = (0..5).map(|n| named("token.update", &format!("{n}"), n));
        let one = (10..110).map(|n| named("token.create", "one", n));
        let journal = Journal::of(others.chain(one));
        let report = newest_of(&journal, &new, &old);
        assert_eq!((report.replayed, report.new_denials), (10, 5), "{by}");
    }
    // The same of one caller who may do what is asked.
    let one = (0..100).map(|n| asked("token.update", "dt0c01.A".to_owned(), format!("10.1.0.{n}")));
    let one = one.map(|asked| (asked, Some(done())));
    let others = others("token.create").map(|asked| (asked, None));
    let journal = Journal::of(with_outcomes(others.chain(one)));
    let lenient = of("deny contains \"no\" if input.operation == \"nothing\"");
    assert_eq!(newest_of(&journal, &lenient, &old).new_allows, 5);
}

/// A decision about a request of whoever shows this token.
fn asked_by(old: &Policy, id: &str, operation: &str) -> Value {
    let token = json!({"id": id, "kind": "api-token"});
    let caller = json!({"address": "10.0.0.1", "token": token});
    let asked = input(json!({"operation": operation, "caller": caller}));
    decided(old, &asked)
}

/// Decisions, each with what its outcome says behind it, if it has one.
fn with_outcomes(decisions: impl IntoIterator<Item = (Value, Option<Value>)>) -> Vec<Value> {
    let mut records = Vec::new();
    for (decision, outcome) in decisions {
        records.push(decision);
        if let Some(mut outcome) = outcome {
            outcome["kind"] = json!("outcome");
            outcome["decision_seq"] = json!(records.len());
            records.push(outcome);
        }
    }
    records
}

/// Dynatrace has done what was asked.
fn done() -> Value {
    json!({"outcome": "answered", "status": 204})
}

/// What outcomes say that let nobody in.
fn nobody_is_let_in() -> [Option<Value>; 12] {
    [
        None,
        Some(json!({"outcome": "failed", "status": null, "detail": "connection refused"})),
        Some(json!({"outcome": "unknown", "status": null, "detail": "no answer in time"})),
        Some(json!({"outcome": "unknown", "status": 302, "detail": "redirect"})),
        Some(json!({"outcome": "unknown", "status": 200})),
        Some(answered(304)),
        Some(answered(400)),
        Some(answered(404)),
        Some(answered(429)),
        Some(answered(500)),
        Some(answered(502)),
        Some(answered(401)),
    ]
}

fn answered(status: u16) -> Value {
    json!({"outcome": "answered", "status": status})
}

/// A stranger's invented token, answered 400, refused a release that denies more.
#[test]
fn what_dynatrace_has_not_done_for_nobody_refuses_no_release() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let stricter = of("deny contains \"no\" if input.operation == \"token.update\"");
    for outcome in nobody_is_let_in() {
        let invented = (0..50).map(|n| {
            let mut asked = asked_by(&old, &format!("dt0c01.A{n}"), "token.update");
            asked["requested_by"] = json!("192.0.2.1");
            (asked, outcome.clone())
        });
        let journal = Journal::of(with_outcomes(invented));
        // What they ask for is denied from now on: that refuses a release only where it may have been done.
        let report = newest_of(&journal, &stricter, &old);
        let status = outcome.as_ref().and_then(|it| it["status"].as_u64());
        let is_refused = status.is_some_and(|status| (400..500).contains(&status));
        assert_eq!(
            report.new_denials > 0,
            !is_refused,
            "{outcome:?}: {report:#?}"
        );
        assert_eq!(report.turned_away, if is_refused { 50 } else { 0 });
        // Nor are they called by what they have invented.
        let named: Vec<&String> = report.callers.keys().collect();
        let by_address = ["address 192.0.2.1"];
        assert_eq!(named, if is_refused { &[][..] } else { &by_address[..] });
        for group in &report.groups {
            assert!(
                group.examples.iter().all(|it| it.by == by_address[0]),
                "{group:?}"
            );
        }
    }
    // Who has proven who it is counts, whatever Dynatrace said.
    let mut proven = asked_by(&old, "dt0c01.A", "token.update");
    proven["caller"]["jwt"] = json!({"issuer": "https://idp", "subject": "ci"});
    let journal = Journal::of(with_outcomes([(proven, Some(answered(400)))]));
    assert_eq!(newest_of(&journal, &stricter, &old).new_denials, 1);
}

/// Each with a token that nobody has: whatever policies allow can be sent while the upstream is away, or hangs, or answers
/// before it looks at tokens, and pushed out all others.
#[test]
fn a_token_that_nobody_has_let_in_is_no_caller_of_its_own() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    for outcome in nobody_is_let_in() {
        let real = (0..8).map(|n| {
            (
                asked_by(&old, &format!("dt0c01.B{n}"), "token.create"),
                Some(done()),
            )
        });
        let invented = (0..50).map(|n| {
            let mut asked = asked_by(&old, &format!("dt0c01.A{n}"), "token.update");
            asked["requested_by"] = json!("192.0.2.1");
            (asked, outcome.clone())
        });
        let journal = Journal::of(with_outcomes(real.chain(invented)));
        let report = newest_of(&journal, &new, &old);
        assert_eq!(report.new_denials, 8, "{outcome:?}: {report:#?}");
    }
    // Who was let in is one, also where the outcome stands in the next segment, or masks hide who it was.
    let many = (0..50).map(|n| {
        (
            asked_by(&old, &format!("dt0c01.A{n}"), "token.create"),
            None,
        )
    });
    let journal = Journal::of(with_outcomes(many));
    let lines = (1..=50).map(|seq| {
        let mut outcome = done();
        outcome["kind"] = json!("outcome");
        outcome["seq"] = json!(50 + seq);
        outcome["decision_seq"] = json!(seq);
        format!("{outcome}\n")
    });
    let path = journal.0.path().join(format!("{:020}.jsonl", 51));
    std::fs::write(path, lines.collect::<String>()).unwrap();
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let most = Most {
        held: 1 << 20,
        spare: 0,
        read: 1 << 30,
        read_at_all: 1 << 30,
        answers: 1 << 10,
    };
    let look =
        |most: Most| newest_within(most, journal.0.path(), &new, Some(&old), now, 50).unwrap();
    assert_eq!(look(most).replayed, 50);
    // Of more outcomes than are held at once the decisions count for their address: a tenth of 50.
    let report = look(Most {
        answers: 20,
        ..most
    });
    assert_eq!(report.replayed, 20 + 5, "{report:#?}");
}

/// One client of OAuth gets as many access tokens as it likes, and Dynatrace lets each of them in.
#[test]
fn access_tokens_of_oauth_from_one_address_are_one_caller() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let real = (0..8).map(|n| asked_by(&old, &format!("dt0c01.B{n}"), "token.create"));
    let hashed = (0..40).map(|n| {
        let mut asked = asked_by(&old, &format!("hmac-sha256:{n:064x}"), "token.update");
        asked["requested_by"] = json!("192.0.2.1");
        asked
    });
    let all = real.chain(hashed).map(|asked| (asked, Some(done())));
    let report = newest_of(&Journal::of(with_outcomes(all)), &new, &old);
    assert_eq!(
        (report.replayed, report.new_denials),
        (10, 8),
        "{report:#?}"
    );
    // From several, they are several.
    let hashed = (0..40).map(|n| {
        let mut asked = asked_by(&old, &format!("hmac-sha256:{n:064x}"), "token.create");
        asked["requested_by"] = json!(format!("192.0.2.{n}"));
        (asked, Some(done()))
    });
    let one = (0..40).map(|_| (asked_by(&old, "dt0c01.B", "token.update"), Some(done())));
    let report = newest_of(&Journal::of(with_outcomes(hashed.chain(one))), &new, &old);
    assert_eq!(report.new_denials, 9, "{report:#?}");
}

/// Nor has it a part of the bounds of its own.
#[test]
fn tokens_that_nobody_has_let_in_end_no_look() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let journal = Journal::of(with_outcomes([(
        asked_by(&old, "dt0c01.B", "token.create"),
        Some(done()),
    )]));
    for number in 10..50_u64 {
        let mut record = asked_by(&old, &format!("dt0c01.A{number}"), "token.update");
        record["requested_by"] = json!("192.0.2.1");
        record["seq"] = json!(number);
        record["junk"] = json!("x".repeat(20_000));
        let path = journal.0.path().join(format!("{number:020}.jsonl"));
        std::fs::write(path, format!("{record}\n")).unwrap();
    }
    let most = Most {
        held: 1 << 20,
        spare: 1 << 20,
        read: 200_000,
        read_at_all: 1 << 30,
        answers: 1 << 10,
    };
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let report = newest_within(most, journal.0.path(), &new, Some(&old), now, 100).unwrap();
    assert_eq!(
        (report.new_denials, report.ended_by),
        (1, None),
        "{report:#?}"
    );
}

/// A few callers who send much filled the room of all, or the look ended behind their records.
#[test]
fn those_who_send_much_leave_room_for_others() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let asked = |operation: &str, token: &str, junk: usize| {
        let mut record = asked_by(&old, token, operation);
        record["junk"] = json!("x".repeat(junk));
        record
    };
    let normal = (0..30).map(|n| asked("token.create", &format!("dt0c01.B{}", n % 5), 0));
    let fresh = (0..140).map(|n| asked("token.update", &format!("dt0c01.A{}", n % 7), 2000));
    let asked = normal.chain(fresh).map(|asked| (asked, Some(done())));
    let journal = Journal::of(with_outcomes(asked));
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let look =
        |most: Most| newest_within(most, journal.0.path(), &new, Some(&old), now, 200).unwrap();
    let wide = Most {
        held: 100_000,
        spare: 50_000,
        read: 1 << 20,
        read_at_all: 1 << 30,
        answers: 1 << 10,
    };
    // Of 140 long ones there is room for less than a third, and no short one is left out for them.
    let report = look(wide);
    assert_eq!(report.new_denials, 30, "{report:#?}");
    assert!(report.replayed < 100, "{report:#?}");
    assert_eq!(report.ended_by, Some(Bound::Held));
    let report = look(Most {
        held: 1 << 20,
        spare: 1 << 20,
        ..wide
    });
    assert_eq!((report.replayed, report.ended_by), (170, None));
}

#[test]
fn a_look_goes_on_behind_the_records_of_one_who_sends_much() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let asked = |operation: &str, token: &str, junk: usize| {
        let mut record = asked_by(&old, token, operation);
        record["junk"] = json!("x".repeat(junk));
        record
    };
    let journal = Journal::of([asked("token.create", "dt0c01.B", 0)]);
    // Segments behind it: by one, then by as many as there are parts.
    let add = |number: u64, token: &str| {
        let number = 2 * number;
        let mut record = asked("token.update", token, 20_000);
        record["seq"] = json!(number);
        let mut outcome = done();
        outcome["kind"] = json!("outcome");
        outcome["seq"] = json!(number + 1);
        outcome["decision_seq"] = json!(number);
        let path = journal.0.path().join(format!("{number:020}.jsonl"));
        std::fs::write(path, format!("{record}\n{outcome}\n")).unwrap();
    };
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let most = Most {
        held: 1 << 20,
        spare: 1 << 20,
        read: 50_000,
        read_at_all: 1 << 20,
        answers: 1 << 10,
    };
    let look =
        |most: Most| newest_within(most, journal.0.path(), &new, Some(&old), now, 100).unwrap();
    (2..=7).for_each(|number| add(number, "dt0c01.A"));
    let report = look(most);
    assert_eq!(
        (report.new_denials, report.ended_by),
        (1, None),
        "{report:#?}"
    );
    let report = look(Most {
        read_at_all: 60_000,
        ..most
    });
    assert_eq!(
        (report.new_denials, report.ended_by),
        (0, Some(Bound::Read)),
        "{report:#?}"
    );
    (8..=20).for_each(|number| add(number, &format!("dt0c01.A{number}")));
    let report = look(most);
    assert_eq!(
        (report.new_denials, report.ended_by),
        (0, Some(Bound::Read)),
        "{report:#?}"
    );
}

/// Each with a credential of its own, which is nobody's: they ended the look, and new policies were measured by nothing.
#[test]
fn those_whom_dynatrace_turns_away_have_one_part_together() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let asked = |seq: u64, operation: &str, junk: usize| {
        let mut record = asked_by(&old, &format!("dt0c01.A{seq}"), operation);
        record["seq"] = json!(seq);
        record["junk"] = json!("x".repeat(junk));
        record
    };
    let most = Most {
        held: 1 << 20,
        spare: 1 << 20,
        read: 200_000,
        read_at_all: 1 << 30,
        answers: 1 << 10,
    };
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    // The outcome stands in the same segment, or in the next.
    for apart in [false, true] {
        let journal = Journal::of([asked(1, "token.create", 0)]);
        for number in (2..80).step_by(2) {
            let status = json!({
                "kind": "outcome", "seq": number + 1, "decision_seq": number, "outcome": "answered", "status": 401,
            });
            let decision = asked(number, "token.update", 20_000);
            let segments = if apart {
                vec![
                    (number, format!("{decision}\n")),
                    (number + 1, format!("{status}\n")),
                ]
            } else {
                vec![(number, format!("{decision}\n{status}\n"))]
            };
            for (number, text) in segments {
                let path = journal.0.path().join(format!("{number:020}.jsonl"));
                std::fs::write(path, text).unwrap();
            }
        }
        let report = newest_within(most, journal.0.path(), &new, Some(&old), now, 100).unwrap();
        assert_eq!(
            (report.new_denials, report.turned_away, report.ended_by),
            (1, 39, None),
            "{report:#?}"
        );
    }
}

/// Anybody can show the id of somebody else's credential: what is turned away takes no place of that caller.
#[test]
fn who_shows_the_id_of_somebody_else_hides_nothing_of_theirs() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let asked = |seq: u64, id: &str, operation: &str| {
        let mut record = asked_by(&old, id, operation);
        record["seq"] = json!(seq);
        record.to_string()
    };
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    for at_the_end in [false, true] {
        let outcome = |seq: u64, status: u16| {
            let outcome = json!({
                "kind": "outcome", "seq": seq + 1, "decision_seq": seq, "outcome": "answered", "status": status,
            });
            outcome.to_string()
        };
        let others = (1..=20).flat_map(|n| {
            let seq = 2 * n;
            let asked = asked(seq, &format!("dt0c01.O{n}"), "token.update");
            [asked, outcome(seq, 204)]
        });
        let mut lines: Vec<String> = others.collect();
        lines.push(asked(42, "dt0c01.VICTIM", "token.create"));
        lines.push(outcome(42, 204));
        let mut outcomes = Vec::new();
        for number in 0..5 {
            let seq = 44 + 2 * number;
            lines.push(asked(seq, "dt0c01.VICTIM", "token.update"));
            outcomes.push(outcome(seq, 401));
            if !at_the_end {
                lines.append(&mut outcomes);
            }
        }
        lines.append(&mut outcomes);
        let journal = tempfile::tempdir().unwrap();
        let path = journal.path().join(format!("{:020}.jsonl", 1));
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
        let most = Most {
            held: 1 << 20,
            spare: 1 << 20,
            read: 1 << 30,
            read_at_all: 1 << 30,
            answers: 1 << 10,
        };
        let report = newest_within(most, journal.path(), &new, Some(&old), now, 10).unwrap();
        assert_eq!(
            (report.new_denials, report.turned_away),
            (1, 5),
            "{report:#?}"
        );
    }
}

/// All such lines were damaged, and new policies measured by none.
#[test]
fn whatever_a_mask_puts_in_the_place_of_who_has_asked_the_newest_are_judged() {
    let old = of("deny contains \"no\" if input.operation == \"nothing\"");
    let new = of("deny contains \"no\" if input.operation == \"token.create\"");
    let certificate = json!({"subject": "CN=ci", "issuer": "CN=CA", "fingerprint": "ab"});
    let caller = json!({"address": "10.0.0.1", "certificate": certificate, "jwt": {"issuer": "i", "subject": "s"}});
    let whole = || {
        let mut record = decided(&old, &input(json!({"caller": caller})));
        record["caller"]["certificate"] = json!({"subject": "CN=ci", "fingerprint": "ab"});
        record["caller"]["jwt"] = json!({"issuer": "i", "subject": "s"});
        record
    };
    for place in [
        "/input/caller",
        "/input/caller/certificate",
        "/input/caller/certificate/issuer",
        "/caller",
        "/caller/certificate",
        "/caller/certificate/fingerprint",
        "/caller/jwt",
        "/caller/jwt/subject",
        "/requested_by",
    ] {
        for other in [Value::Null, json!(7), json!("hidden"), json!(["x"])] {
            let mut record = whole();
            let Some(member) = record.pointer_mut(place) else {
                panic!("{place}");
            };
            *member = other.clone();
            record["masked"] = json!([place]);
            let journal = Journal::of([record]);
            let report = newest_of(&journal, &new, &old);
            assert_eq!(report.damaged, 0, "{place} {other}: {report:#?}");
            // By what is left; or else it is said why not.
            assert_eq!(report.decisions, 1, "{place} {other}: {report:#?}");
            if place.starts_with("/input") {
                assert_eq!(report.new_denials, 1, "{place} {other}: {report:#?}");
            }
        }
    }
}

/// As `audit query` means `--caller`, `--certificate`, `--claim`, `--client` and `--token`.
#[test]
fn conditions_mean_what_they_mean_to_a_query() {
    let policy = of("deny contains \"no\" if input.operation == \"nothing\"");
    let certificate =
        json!({"subject": "CN=ci", "spiffe_id": "spiffe://x/ci", "fingerprint": "ab12"});
    let jwt = json!({"issuer": "https://ci.example", "subject": "repo:x"});
    let mut told = decided(&policy, &input(json!({})));
    told["caller"]["certificate"] = certificate.clone();
    told["caller"]["jwt"] = jwt.clone();
    let caller = json!({"address": "10.1.2.3", "certificate": certificate, "jwt": jwt});
    let seen = decided(&policy, &input(json!({"caller": caller})));
    let made = json!({
        "kind": "outcome", "timestamp": TIME, "decision_seq": 1, "outcome": "answered",
        "credential": {"id": "dt0c01.MADE"},
    });
    let journal = Journal::of([told, seen, decided(&policy, &input(json!({}))), made]);
    for (condition, expected) in [
        ("caller=CN=ci", 2),
        ("caller=spiffe://x/*", 2),
        ("caller=ab12", 2),
        ("caller=https://ci.example", 2),
        ("caller=repo:*", 2),
        ("caller=dt0c01.*", 2),
        ("caller=10.1.*", 3),
        ("token=dt0c01.MADE", 1),
        ("token=dt0c01.M*", 1),
        ("token=dt0c01.OTHER", 0),
        ("operation=token.*", 3),
        ("operation=token.update", 0),
    ] {
        let report = journal.by(&policy, &[condition], 2);
        assert_eq!(report.decisions, expected, "{condition}");
    }
    for wrong in ["caller=", "operation=tokens.*"] {
        wrong.parse::<Where>().unwrap_err();
    }
}

/// As `audit query --token` finds it: by its path, whatever of the input masks have taken away.
#[test]
fn a_token_that_masks_hide_in_the_input_is_known_by_its_path() {
    const ID: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    let policy = of("deny contains \"no\" if input.operation == \"nothing\"");
    let update = json!({"operation": "token.update", "token": {"id": ID, "known": true}});
    let masked = |place: &str, list: &str, value: Option<Value>| {
        let mut record = decided(&policy, &input(update.clone()));
        record["request"] = json!({"path": format!("/api/v2/apiTokens/{ID}")});
        let (around, name) = place.rsplit_once('/').unwrap();
        let around = record.pointer_mut(around).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => around.insert(name.to_owned(), value),
            None => around.remove(name),
        };
        record[list] = json!([place]);
        record
    };
    for record in [
        masked("/input", "erased", None),
        masked("/input", "masked", Some(json!({}))),
        masked("/input/token", "erased", None),
        masked("/input/token", "masked", Some(json!("x"))),
        masked("/input/token/id", "erased", None),
        masked("/input/token/id", "masked", Some(json!("x"))),
    ] {
        let journal = Journal::of([record.clone()]);
        for (condition, expected) in [(ID, 1), ("dt0c01.S*", 1), ("dt0c01.OTHER", 0)] {
            let condition = format!("token={condition}");
            let report = journal.by(&policy, &[&condition], 1);
            // A name may be hidden, too: what has another id can be meant by that.
            let perhaps = report.not_replayed.get(tally::PERHAPS);
            let meant = report.decisions - perhaps.copied().unwrap_or_default();
            assert_eq!(meant, expected, "{condition}: {record}");
        }
        // Nobody knows it any more.
        let mut unknown = record.clone();
        unknown["request"]["path"] = json!("-");
        let list = if unknown["erased"].is_array() {
            "erased"
        } else {
            "masked"
        };
        unknown[list]
            .as_array_mut()
            .unwrap()
            .push(json!("/request/path"));
        let journal = Journal::of([unknown, record]);
        let wanted = Wanted::new(None, None, vec![format!("token={ID}").parse().unwrap()]);
        let options = Options {
            wanted,
            examples: 0,
            jobs: 2,
        };
        let report = replay(journal.0.path(), &policy, &options).unwrap();
        let perhaps = report.not_replayed.get(tally::PERHAPS).copied();
        assert_eq!((report.decisions, perhaps), (2, Some(1)));
    }
}

/// As `audit query --token` says it: which name it was that holds several pseudonyms, nobody can tell.
#[test]
fn a_name_that_holds_several_pseudonyms_may_be_the_one_that_is_asked_for() {
    let policy = of("deny contains \"no\" if input.operation == \"nothing\"");
    let part = "hmac-sha256:v1:00000000000000000000000000000000";
    let change = json!({"name": {"requested": format!("{part}-of-{part}")}});
    let mut record = decided(&policy, &input(json!({"change": change})));
    record["pseudonyms"] = json!(["/input/change/name/requested"]);
    let journal = Journal::of([record]);
    for (condition, expected) in [
        ("token=payments-of-prod", Some(1)),
        ("token=pay*", Some(1)),
        ("token=dt0c01.ST2EY72KQINMH574WMNVI7YN", None),
        ("token=019ab533-0040-7000-8000-00000000000a", None),
        ("team=payments-of-prod", None),
    ] {
        let report = journal.by(&policy, &[condition], 1);
        let perhaps = report.not_replayed.get(tally::PERHAPS).copied();
        assert_eq!(perhaps, expected, "{condition}");
    }
}
