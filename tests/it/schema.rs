//! The schema of records: as it is shipped, and as records are.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it schema` writes it anew.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::docs;
use crate::harness::program;
use crate::messages::is_writing;

pub(crate) fn schema() -> Value {
    let output = program().args(["schema", "record"]).output().unwrap();
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/record.schema.json");
    if is_writing() {
        std::fs::write(&path, &output.stdout).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), output.stdout);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// As much of JSON Schema as ours has; what is wrong, and where.
#[expect(
    clippy::too_many_lines,
    reason = "one word of the language after the other"
)]
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (word, rule) in schema.as_object().unwrap() {
        let fits = match word.as_str() {
            "type" => {
                let types = rule
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![rule.clone()]);
                types.iter().any(|name| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("{other}"),
                })
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        wrong(root, schema, member, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let described = &schema["properties"];
                let others = value.as_object().into_iter().flatten();
                for (name, member) in others.filter(|(name, _)| described.get(name).is_none()) {
                    if *rule == Value::Bool(false) {
                        found.push(format!("{at}/{name} is not known"));
                        continue;
                    }
                    wrong(root, rule, member, &format!("{at}/{name}"), found);
                }
                true
            }
            "items" => {
                for (number, element) in value.as_array().into_iter().flatten().enumerate() {
                    wrong(root, rule, element, &format!("{at}/{number}"), found);
                }
                true
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| pattern.is_match(text))
            }
            "$ref" => {
                let schema = root
                    .pointer(rule.as_str().unwrap().trim_start_matches('#'))
                    .unwrap();
                wrong(root, schema, value, at, found);
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| {
                let mut here = Vec::new();
                wrong(root, schema, value, at, &mut here);
                here.is_empty()
            }),
            "allOf" => {
                for schema in rule.as_array().unwrap() {
                    wrong(root, schema, value, at, found);
                }
                true
            }
            "if" => {
                let mut here = Vec::new();
                wrong(root, rule, value, at, &mut here);
                let next = if here.is_empty() { "then" } else { "else" };
                if let Some(schema) = schema.get(next) {
                    wrong(root, schema, value, at, found);
                }
                true
            }
            "then" | "else" | "title" | "format" | "$schema" | "$defs" => true,
            other => panic!("{other} is not known here"),
        };
        if !fits {
            found.push(format!("{at}: {word} {rule}"));
        }
    }
}

#[test]
fn every_record_of_the_documentation_is_as_the_schema_says() {
    let schema = schema();
    let page = docs::page("docs/journal.md");
    let blocks: Vec<&str> = page
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(blocks.len() > 6);
    for block in blocks {
        let record: Value = serde_json::from_str(block).unwrap();
        let mut found = Vec::new();
        wrong(&schema, &schema, &record, "", &mut found);
        assert!(found.is_empty(), "{found:?}: {block}");
        // And would not be with any member gone that has to be there.
        for name in ["seq", "prev", "kind", "timestamp"] {
            let mut without = record.clone();
            without.as_object_mut().unwrap().remove(name);
            let mut found = Vec::new();
            wrong(&schema, &schema, &without, "", &mut found);
            assert!(!found.is_empty(), "{name}");
        }
        // Every member is described.
        let described = |name: &str| {
            let kind = record["kind"].as_str().unwrap();
            let common = &schema["properties"][name];
            let def = &schema["$defs"][kind];
            let def = def.get("else").unwrap_or(def);
            !common.is_null() || !def["properties"][name].is_null()
        };
        for name in record.as_object().unwrap().keys() {
            assert!(described(name), "{name}");
        }
    }
}

/// What the writer adds.
fn with_place(mut record: Value) -> Value {
    record["seq"] = 1.into();
    record["prev"] = dtgate::value::Sha256Hex::of(b"").as_str().into();
    record["synced"] = 0.into();
    record
}

/// One record of every kind with every member that it can have, and one with only those that it must have. Whoever adds
/// a member to an event has to fill it here: the types are not closed.
#[expect(
    clippy::too_many_lines,
    reason = "every kind of record, with every member"
)]
fn events() -> Vec<Value> {
    use std::collections::BTreeMap;

    use dtgate::audit::event::{
        Answer, Bundle, Bundles, Caller, CertificateNames, Challenged, Checkpoint, Configured,
        Cosigned, Counted, Credential, Decision, DecisionRecord, Event, Findings, Found, JwtNames,
        KeyChange, Labels, Metrics, Outcome, Pruned, Recovery, Reload, Request, SetAside, Settled,
        Start, Stop, Suppressed, SuppressedBy, SuppressedKind, Unseen, UnseenRequest,
    };
    use dtgate::dynatrace::redact::{Redacted, Redactor};
    use dtgate::dynatrace::token::HashKey;
    use dtgate::policy::input::Amounts;
    use dtgate::policy::{Evaluator, Granted, Input, Remedy, Violation};
    use dtgate::value::Sha256Hex;
    use serde_json::{Map, json};

    let now = jiff::Timestamp::UNIX_EPOCH;
    let text = || "text".to_owned();
    let word = Redacted::ours("word");
    let path = Redactor::default().path("/api");
    let hash = Sha256Hex::of(b"");
    let hex = hash.as_str().to_owned();
    let id = HashKey::new([1; 32]).name("x");
    let caller = Caller {
        id: Some(id.clone()),
        kind: Some("api-token"),
        brokered: true,
        teams: vec![text()],
        certificate: Some(CertificateNames {
            subject: Redacted::ours("CN=x"),
            spiffe_id: Some(Redacted::ours("spiffe://x/y")),
            fingerprint: Redacted::ours("00"),
        }),
        jwt: Some(JwtNames {
            issuer: Redacted::ours("https://ci.example"),
            subject: Redacted::ours("repo"),
        }),
    };
    let input: Input = serde_json::from_value(json!({
        "operation": "token.update", "api": "v2", "environment": {"name": "a"}, "time": "2026-11-24T10:00:00Z",
    }))
    .unwrap();
    let violation: Violation = serde_json::from_value(json!({
        "policy": "p", "mode": "enforce", "rule": "deny", "message": "m", "path": "scopes[0]", "code": "c",
        "details": {"a": 1},
    }))
    .unwrap();
    let violations = [Redactor::default().all(&violation)];
    let remedy = Redactor::default().all(&Remedy {
        scopes: vec![Redacted::ours("logs.read")],
        members: vec!["name"],
        text: text(),
    });
    let grant = Redactor::default().all(&Granted {
        id: text(),
        requested_by: text(),
        approved_by: text(),
        reason: text(),
        ticket: text(),
        until: "2026-11-24T10:00:00.000Z".to_owned(),
        policies: vec![text()],
        failed_policies: vec![text()],
        allows: "request",
        decision: Some(text()),
        note: text(),
    });
    let member = json!({"a": 1});
    let configured = || Configured {
        endpoints: Map::from_iter([("token.update".to_owned(), member.clone())]),
        policies: vec!["minting".into(), member.clone()],
        kept: Some("a".repeat(64)),
        bundles: vec![member.clone()],
        issuers: vec![member.clone()],
        client_certificates: Some("required"),
        credentials: vec![member.clone()],
        grants: Some(member.clone()),
        masks: vec!["drop", "mask"],
        pseudonyms: Some(member.clone()),
    };
    let decision = |input, caller, remedy, violations, full: bool| {
        Event::Decision(Decision {
            timestamp: now,
            decision_id: &word,
            labels: Labels { version: "0" },
            path: "dtgate",
            input,
            result: Findings {
                allow: false,
                violations,
                remedy,
            },
            bundles: Bundles {
                policies: Bundle { revision: "r" },
            },
            metrics: Metrics {
                evaluation_ns: full.then_some(1),
            },
            evaluator: full.then_some(Evaluator::Bytecode),
            turn: full.then_some("local"),
            requested_by: &word,
            verdict: "deny",
            grant: full.then_some(&grant),
            operation: full.then_some("token.update"),
            environment: full.then_some("a"),
            caller,
            request: Request {
                id: &word,
                client_id: full.then_some(&word),
                method: &word,
                path: &path,
                query: full.then_some(&word),
                caller_hash: full.then_some(&id),
                received_sha256: full.then_some(&hash),
                forwarded_sha256: None,
            },
            counted: full.then(|| Counted {
                caller: &id,
                amounts: Amounts::default(),
            }),
            error: full.then_some(&word),
        })
    };
    let outcome = |full: bool| {
        Event::Outcome(Outcome {
            timestamp: now,
            decision_id: &word,
            decision_seq: 1,
            outcome: Answer::Answered,
            status: full.then_some(201),
            detail: full.then_some(&word),
            credential: full.then_some(Credential {
                id: &id,
                expiration: Some(now),
            }),
            duration_ms: 1.5,
        })
    };
    let recovery = |aside| {
        Event::Recovery(Recovery {
            timestamp: now.to_string(),
            reason: text(),
            refused_events: 0,
            aside,
        })
    };
    let reload = |full: bool| {
        Event::Reload(Reload {
            timestamp: now.to_string(),
            trigger: "watch",
            ok: full,
            generation: 1,
            from: text(),
            to: full.then(text),
            changed: vec!["policies"],
            restart: if full { vec!["listener"] } else { Vec::new() },
            gone: if full { vec![text()] } else { Vec::new() },
            configured: if full {
                configured()
            } else {
                Configured::default()
            },
            error: full.then(text),
        })
    };
    let start = |configured| {
        Event::Start(Start {
            timestamp: now.to_string(),
            version: "0",
            revision: text(),
            form: 1,
            configured,
            in_doubt: vec![text()],
            in_doubt_count: Some(101),
        })
    };
    let suppressed = |full: bool| {
        Event::Suppressed(Suppressed {
            timestamp: now,
            first: now,
            last: now,
            count: 3,
            reasons: vec![SuppressedKind {
                reason: "denied",
                operation: full.then_some("token.update"),
                count: 1,
            }],
            other_reasons: u64::from(full),
            callers: vec![SuppressedBy {
                requested_by: Redacted::ours("10.0.0.1"),
                caller: full.then_some(&caller),
                count: 1,
            }],
            other_callers: u64::from(full),
        })
    };
    let unseen = |full: bool| {
        Event::Unseen(Unseen {
            timestamp: now,
            first: now,
            last: now,
            count: 1,
            statuses: BTreeMap::from([("404".to_owned(), 1)]),
            requested_by: full.then(|| Redacted::ours("10.0.0.1")),
            request: full.then_some(UnseenRequest {
                caller: Some(&caller),
                environment: "a",
                method: &word,
                path: &path,
            }),
        })
    };
    let aside = SetAside {
        name: text(),
        length: 1,
        sha256: hex.clone(),
    };
    let events = [
        decision(
            Some(&input),
            Some(&caller),
            Some(&remedy),
            &violations,
            true,
        ),
        decision(None, None, None, &[], false),
        outcome(true),
        outcome(false),
        recovery(Some(aside)),
        recovery(None),
        reload(true),
        reload(false),
        start(configured()),
        start(Configured::default()),
        Event::Stop(Stop {
            timestamp: now.to_string(),
        }),
        suppressed(true),
        suppressed(false),
        unseen(true),
        unseen(false),
        Event::Checkpoint(Checkpoint {
            timestamp: now,
            size: 1,
            root: text(),
            key: text(),
            note: text(),
        }),
        Event::Cosigned(Cosigned {
            timestamp: now,
            size: 1,
            witness: text(),
            note: text(),
        }),
        Event::Key(KeyChange {
            timestamp: now,
            old: text(),
            new: text(),
            note: text(),
        }),
        Event::Settled(Settled {
            timestamp: now.to_string(),
            decision_id: text(),
            decision_seq: 1,
            found: Found::NotDone,
            detail: text(),
            by: Some("person"),
        }),
        Event::Pruned(Pruned {
            timestamp: now.to_string(),
            first: 1,
            last: 2,
            hash: hex,
            tree: vec![text()],
            oldest: now.to_string(),
            newest: now.to_string(),
            reason: text(),
            in_doubt_count: 1,
            in_doubt: vec![text()],
            keys: vec!["note".to_owned()],
            pseudonyms: vec![
                json!({"fields": ["caller.address"], "key": "v1", "fingerprint": "0"}),
            ],
        }),
    ];
    let records = events.iter().map(|event| {
        // A kind that is new has to be here, too.
        match event {
            Event::Decision(_)
            | Event::Outcome(_)
            | Event::Recovery(_)
            | Event::Reload(_)
            | Event::Start(_)
            | Event::Stop(_)
            | Event::Suppressed(_)
            | Event::Unseen(_)
            | Event::Checkpoint(_)
            | Event::Cosigned(_)
            | Event::Key(_)
            | Event::Settled(_)
            | Event::Pruned(_) => {}
        }
        let record: Value = serde_json::from_slice(event.record().as_json()).unwrap();
        with_place(record)
    });
    let mut records: Vec<Value> = records.collect();
    let mut decision = records[0].clone();
    for name in ["seq", "prev", "synced", "kind"] {
        decision.as_object_mut().unwrap().remove(name);
    }
    let decision = DecisionRecord::of_event(decision.as_object().unwrap());
    let challenger = decision.of_challenger(Challenged {
        timestamp: now,
        decision_seq: 1,
        differs: "would_deny",
    });
    records.push(with_place(
        serde_json::from_slice(challenger.as_json()).unwrap(),
    ));
    records
}

pub(crate) fn is_valid(schema: &Value, record: &Value) -> Result<(), Vec<String>> {
    let mut found = Vec::new();
    wrong(schema, schema, record, "", &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

#[test]
fn every_kind_of_record_is_as_the_schema_says_and_no_other() {
    let schema = schema();
    let events = events();
    let mut kinds = std::collections::BTreeSet::new();
    for record in &events {
        is_valid(&schema, record).unwrap_or_else(|wrong| panic!("{wrong:?}: {record}"));
        kinds.insert(record["kind"].as_str().unwrap());
        // A member that is not known is refused wherever members are ours, and so is one of another type.
        let mut more = record.clone();
        more["new_member"] = true.into();
        is_valid(&schema, &more).unwrap_err();
        for name in record.as_object().unwrap().keys() {
            let mut other = record.clone();
            other[name] = if record[name].is_array() {
                serde_json::json!({})
            } else {
                serde_json::json!([])
            };
            if name != "kind" {
                assert!(is_valid(&schema, &other).is_err(), "{name}: {record}");
            }
        }
    }
    // Every member that the schema knows is in one of them.
    for kind in &kinds {
        let of = |name: &str| {
            events
                .iter()
                .any(|it| it["kind"] == *kind && it.get(name).is_some())
        };
        let def = &schema["$defs"][kind];
        let properties = if def.get("else").is_some() {
            &def["else"]["properties"]
        } else {
            &def["properties"]
        };
        for name in properties.as_object().unwrap().keys() {
            // Added by what changes a record afterwards.
            let later = ["erased", "masked", "pseudonyms"].contains(&name.as_str());
            assert!(later || of(name), "no {kind} has {name}");
        }
    }
    let described = schema["allOf"].as_array().unwrap().iter();
    let described = described.map(|it| it["if"]["properties"]["kind"]["const"].as_str().unwrap());
    assert_eq!(described.collect::<std::collections::BTreeSet<_>>(), kinds);
}

#[test]
fn what_was_masked_may_be_missing_or_anything_and_the_rest_may_not() {
    let schema = schema();
    let decision = events().remove(0);
    let changed = |list: Option<&str>, change: &dyn Fn(&mut Value)| {
        let mut record = decision.clone();
        change(&mut record);
        if let Some(name) = list {
            record[name] = serde_json::json!(["/input"]);
        }
        is_valid(&schema, &record)
    };
    let no_address = |it: &mut Value| drop(it.as_object_mut().unwrap().remove("requested_by"));
    let number = |it: &mut Value| it["input"] = 7.into();
    changed(None, &no_address).unwrap_err();
    changed(None, &number).unwrap_err();
    changed(Some("erased"), &no_address).unwrap();
    changed(Some("masked"), &number).unwrap();
    changed(Some("pseudonyms"), &|_| {}).unwrap();
    changed(Some("pseudonyms"), &number).unwrap_err();
    for name in [
        "decision_id",
        "verdict",
        "result",
        "request",
        "bundles",
        "prev",
    ] {
        let gone = |it: &mut Value| drop(it.as_object_mut().unwrap().remove(name));
        changed(Some("erased"), &gone).unwrap_err();
    }
    let odd = |it: &mut Value| it["erased"] = "all".into();
    changed(None, &odd).unwrap_err();
    changed(None, &|it| it["request"]["extra"] = 1.into()).unwrap_err();
    changed(None, &|it| it["caller"]["extra"] = 1.into()).unwrap_err();
}
