use proptest::prelude::*;
use regex::Regex;
use serde_json::json;

use super::*;

const SEEN: &str = "10.1.2.3";

fn pseudonyms(fields: &[&str]) -> (tempfile::TempDir, Pseudonyms) {
    let journal = tempfile::tempdir().unwrap();
    let fields = fields
        .iter()
        .map(|name| Field::try_from((*name).to_owned()).unwrap());
    let config = Config {
        fields: fields.collect(),
    };
    let made = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    (journal, made)
}

fn applied(pseudonyms: &Pseudonyms, event: &Value) -> Value {
    let record = pseudonyms.apply(Record::of(event, 0));
    serde_json::from_slice(record.as_json()).unwrap()
}

#[test]
fn a_value_is_replaced_wherever_it_stands_and_the_evidence_stays() {
    let (journal, pseudonyms) = pseudonyms(&["caller.address"]);
    let event = json!({
        "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "deny", "requested_by": SEEN,
        "input": {"caller": {"address": SEEN}, "unknown_members": {SEEN: 1}},
        "result": {"violations": [{"message": format!("{SEEN} may not, and {SEEN}4 may; ask 1{SEEN}")}]},
        "request": {"id": SEEN, "path": format!("/api/{SEEN}/x")},
    });
    let name = names(journal.path(), SEEN).unwrap().remove(0);
    assert!(
        name.starts_with("hmac-sha256:v1:") && name.len() == 15 + 32,
        "{name}"
    );
    assert_eq!(
        applied(&pseudonyms, &event),
        json!({
            "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "deny", "requested_by": name,
            "input": {"caller": {"address": name}, "unknown_members": {&name: 1}},
            "result": {"violations": [{"message": format!("{name} may not, and {SEEN}4 may; ask 1{SEEN}")}]},
            "request": {"id": SEEN, "path": format!("/api/{name}/x")},
            "pseudonyms": [
                "/requested_by", "/input/caller/address", "/input/unknown_members", "/result/violations/0/message",
                "/request/path",
            ],
        })
    );
}

/// By the place alone a reader finds the member, whatever its name is.
#[test]
fn a_place_is_a_pointer_whatever_names_claims_have() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.claims.https://acme.example/~person"]);
    let event = json!({
        "kind": "decision",
        "input": {"caller": {"jwt": {"claims": {"https://acme.example/~person": "jane"}}}},
    });
    let record = applied(&pseudonyms, &event);
    let place = record["pseudonyms"][0].as_str().unwrap();
    assert_eq!(
        place,
        "/input/caller/jwt/claims/https:~1~1acme.example~1~0person"
    );
    let shown = record.pointer(place).and_then(Value::as_str).unwrap();
    assert!(is_pseudonym(shown), "{shown}");
}

#[test]
fn callers_of_sums_and_of_refusals_are_covered() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.token.id", "caller.jwt.subject"]);
    let caller = json!({"id": "dt0c01.AAAA", "jwt": {"issuer": "https://ci", "subject": "jane"}});
    for event in [
        json!({"kind": "decision", "caller": caller}),
        json!({"kind": "suppressed", "callers": [{"requested_by": SEEN, "caller": caller}]}),
        json!({"kind": "unseen", "caller": caller, "requested_by": SEEN}),
    ] {
        let written = applied(&pseudonyms, &event).to_string();
        assert!(
            !written.contains("dt0c01.AAAA") && !written.contains("jane"),
            "{written}"
        );
        assert!(written.contains("https://ci"), "{written}");
        assert_eq!(written.contains(SEEN), event.to_string().contains(SEEN));
    }
}

#[test]
fn by_what_others_ask_for_stays_whatever_a_caller_calls_itself() {
    let (_journal, own) = pseudonyms(&["caller.jwt.subject", "caller.jwt.claims.groups"]);
    let event = |subject: &str| {
        json!({
            "caller": {"jwt": {"subject": subject}, "teams": ["payments"]},
            "input": {
                "caller": {"teams": ["payments"], "jwt": {"claims": {"groups": ["forbidden-scope", "logs.read", "dt0c01.AAAA", "token.update"]}}},
                "change": {"scopes": {"added": ["WriteConfig", "logs.read"]}},
                "token": {"id": "dt0c01.AAAA", "current": {"id": "dt0c01.AAAA", "scopes": ["WriteConfig"]}},
            },
            "operation": "token.update",
            "result": {"violations": [{"policy": "forbidden_scopes", "code": "forbidden-scope"}]},
            "credential": {"id": "dt0c01.AAAA"},
        })
    };
    for subject in [
        "payments",
        "WriteConfig",
        "dt0c01.AAAA",
        "forbidden-scope",
        "forbidden_scopes",
    ] {
        let (was, is) = (event(subject), applied(&own, &event(subject)));
        for place in [
            "/input/change/scopes",
            "/caller/teams",
            "/input/caller/teams",
            "/input/token",
            "/operation",
            "/result/violations",
            "/credential",
        ] {
            assert_eq!(is.pointer(place), was.pointer(place), "{subject} {place}");
        }
        assert_ne!(is["caller"]["jwt"], was["caller"]["jwt"], "{subject}");
    }
    // Who changes the token that it uses itself is named by it.
    let (_journal, own) = pseudonyms(&["caller.token.id"]);
    let mut event = event("x");
    event["caller"]["id"] = "dt0c01.AAAA".into();
    let written = applied(&own, &event);
    let name = &written["caller"]["id"];
    assert_ne!(name, "dt0c01.AAAA");
    for place in [
        "/input/token/id",
        "/input/token/current/id",
        "/credential/id",
    ] {
        assert_eq!(written.pointer(place), Some(name), "{place}");
    }
}

#[test]
fn many_values_cost_no_more_than_the_text_is_long() {
    let (_journal, own) = pseudonyms(&["caller.jwt.claims.groups"]);
    let groups: Vec<String> = (0..2_000).map(|at| format!("group-{at}-of-many")).collect();
    let text = (groups.join(" and ") + ", ").repeat(20);
    let event = json!({"input": {"caller": {"jwt": {"claims": {"groups": groups}}}, "note": text}});
    let written = applied(&own, &event).to_string();
    assert!(!written.contains("of-many"));
    assert_eq!(written.matches("hmac-sha256:v1:").count(), 2_000 * 21);
}

#[test]
fn a_record_without_such_values_stays_byte_for_byte() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.address"]);
    let record = Record::of(
        &json!({"kind": "outcome", "detail": SEEN, "caller": {"id": "x"}}),
        0,
    );
    assert_eq!(pseudonyms.apply(record.clone()).as_json(), record.as_json());
}

#[test]
fn every_version_of_the_key_finds_a_value_again() {
    let (journal, first) = pseudonyms(&["caller.address"]);
    assert_eq!(rotate(journal.path()).unwrap().version, 2);
    let config = Config {
        fields: first.fields.clone(),
    };
    let second = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    let event = json!({"requested_by": SEEN});
    let written = [&first, &second].map(|it| {
        applied(it, &event)["requested_by"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(names(journal.path(), SEEN).unwrap(), written);
    assert!(
        written[0].contains(":v1:") && written[1].contains(":v2:"),
        "{written:?}"
    );
    assert_ne!(
        written[0].replace(":v1:", ""),
        written[1].replace(":v2:", "")
    );
}

#[test]
fn fields_that_do_not_exist_are_refused() {
    for name in [
        "",
        "caller",
        "caller.adress",
        "seq",
        "caller.jwt.claims.",
        "change.name",
    ] {
        let refused = Field::try_from(name.to_owned()).unwrap_err().to_string();
        assert!(refused.contains("caller.address"), "{refused}");
    }
    assert!(Field::try_from("caller.jwt.claims.example.com/email".to_owned()).is_ok());
}

/// With one value of a claim, and this text of a policy.
fn said_of(claims: &Value, message: &str) -> Value {
    let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.claims.a", "caller.jwt.claims.b"]);
    let event = json!({
        "input": {"caller": {"jwt": {"claims": claims}}},
        "result": {"violations": [{"message": message}]},
    });
    let applied = applied(&pseudonyms, &event);
    applied["result"]["violations"][0]["message"].clone()
}

fn name_of(text: &str) -> Regex {
    let name = "hmac-sha256:v1:[0-9a-f]{32}";
    let text = regex::escape(text).replace(r"\#", name);
    Regex::new(&format!("^{text}$")).unwrap()
}

#[test]
fn words_of_pseudonyms_and_overlapping_values_damage_nothing() {
    for (one, other, message, expected) in [
        (
            "jane@example.org",
            "hmac",
            "by jane@example.org, hmac",
            "by #, #",
        ),
        (
            "jane@example.org",
            "sha256",
            "jane@example.org: sha256",
            "#: #",
        ),
        ("jane@example.org", "v1x", "jane@example.org v1x", "# #"),
        ("0123456789abcdef", "sha256", "0123456789abcdef", "#"),
        ("jane", "jane doe", "jane doe and jane", "# and #"),
        ("jane doe", "doe smith", "jane doe smith!", "##!"),
        (
            "JANE@example.org",
            "other",
            "jane@EXAMPLE.org, Jane@example.org",
            "#, #",
        ),
        // A short one is a word of other texts.
        ("a", "is", "a token is here", "a token is here"),
        ("a", "b", "A", "#"),
        (
            "jane",
            "b",
            "/x%20jane%20y?q=%2Fjane, janet, a\\njane",
            "/x%20#%20y?q=%2F#, janet, a\\n#",
        ),
        (
            "::ffff:10.1.2.3",
            "other",
            "at 10.1.2.3, ::ffff:10.1.2.3",
            "at #, #",
        ),
        (
            "10.1.2.3",
            "other",
            "10.1.2.3, 10.9.9.9, ::ffff:10.1.2.3",
            "#, 10.9.9.9, ::ffff:#",
        ),
    ] {
        let said = said_of(&json!({"a": one, "b": other}), message);
        let said = said.as_str().unwrap();
        assert!(
            name_of(expected).is_match(said),
            "{one} {other}: {message}: {said}"
        );
    }
}

#[test]
fn a_text_that_was_cut_within_a_value_has_no_piece_of_it_and_keeps_its_mark() {
    let mark = format!("… (2048 bytes, hmac-sha256:{})", "0".repeat(32));
    for value in ["jane@example.org", "bytes", "hmac", "sha256", "2048"] {
        let said = said_of(&json!({"a": value}), &format!("xx jane@exam{mark}"));
        let said = said.as_str().unwrap();
        assert!(said.ends_with(&mark), "{value}: {said}");
        assert_eq!(
            said.contains("jane@exam"),
            value != "jane@example.org",
            "{value}: {said}"
        );
    }
}

/// Whatever a caller calls itself: its record is found, and read, as that of others.
#[test]
fn what_readers_go_by_has_no_pseudonym() {
    for value in [
        "input",
        "caller",
        "address",
        "token",
        "deny",
        "enforce",
        "token.update",
        "default",
        "scopes",
        "message",
        "violations",
        "api-token",
        "v2",
        "erased",
        "claims",
        "PUT",
    ] {
        let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.subject"]);
        let event = json!({
            "kind": "decision", "verdict": "deny", "operation": "token.update", "environment": "default",
            "input": {
                "operation": "token.update", "api": "v2", "environment": {"name": "default"},
                "caller": {"address": SEEN, "token": {"id": "x", "kind": "api-token"}, "jwt": {"subject": value, "claims": {}}},
                "change": {"differs": ["scopes"]},
            },
            "result": {"violations": [{"policy": "scopes", "mode": "enforce", "rule": "deny", "message": "no"}]},
            "request": {"method": "PUT"}, "caller": {"kind": "api-token"},
            "erased": ["/input/caller/address", "/input/unknown_members/jane"],
        });
        let written = applied(&pseudonyms, &event);
        let mut expected = event.clone();
        expected["input"]["caller"]["jwt"]["subject"] =
            written["input"]["caller"]["jwt"]["subject"].clone();
        expected["pseudonyms"] = json!(["/input/caller/jwt/subject"]);
        assert_eq!(written, expected, "{value}");
    }
    let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.subject"]);
    let event = json!({
        "input": {"caller": {"jwt": {"subject": "jane"}}, "unknown_members": {"jane": 1, "JANE": 2}},
        "erased": ["/input/unknown_members/x/jane", "/input/caller/jane"],
    });
    let written = applied(&pseudonyms, &event);
    assert_eq!(
        written["input"]["unknown_members"]
            .as_object()
            .unwrap()
            .len(),
        2,
        "no member is lost"
    );
    assert!(
        written["erased"][0]
            .as_str()
            .unwrap()
            .starts_with("/input/unknown_members/x/hmac"),
        "{written}"
    );
    assert!(
        !written["input"].to_string().to_lowercase().contains("jane"),
        "{written}"
    );
}

/// Its note is signed: who has asked for a grant may be who calls.
#[test]
fn a_grant_stays_as_it_was_signed() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.subject"]);
    let grant = json!({
        "id": "x", "requested_by": "alice", "approved_by": "bob", "reason": "alice has to", "ticket": "OPS-1",
        "note": "dtgate grant v1\n{\"requested_by\": \"alice\"}\n\n\u{2014} alice AAAA\n",
    });
    let event = json!({
        "kind": "decision", "verdict": "allow", "grant": grant,
        "caller": {"jwt": {"subject": "alice"}}, "input": {"caller": {"jwt": {"subject": "alice"}}},
        "result": {"violations": [{"message": "alice may not"}]},
    });
    let written = applied(&pseudonyms, &event);
    assert_eq!(written["grant"], grant);
    assert!(
        !written["result"].to_string().contains("alice"),
        "{written}"
    );
    assert_ne!(written["caller"]["jwt"]["subject"], "alice");
}

#[test]
fn a_record_of_the_start_says_which_fields_and_which_key() {
    let (journal, first) = pseudonyms(&["caller.address"]);
    let told = first.told();
    assert_eq!(
        (&told["fields"], &told["key"]),
        (&json!(["caller.address"]), &json!("v1"))
    );
    let fingerprint = told["fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), 16, "{told}");
    rotate(journal.path()).unwrap();
    let config = Config {
        fields: first.fields,
    };
    let second = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    assert_eq!(second.told()["key"], "v2");
    assert_ne!(second.told()["fingerprint"], fingerprint);
}

/// Builds that did not carry it over have deleted the records that tell of a key. Its pseudonyms are left.
#[test]
fn a_number_that_a_pseudonym_has_is_not_given_out_again() {
    let name = |version: u64| format!("hmac-sha256:v{version}:{}", "0a".repeat(16));
    let pruned = json!({"kind": "pruned", "seq": 9, "prev": ""});
    let by_name = |text: &str, places: &[&str]| {
        json!({"kind": "decision", "seq": 10, "prev": "", "requested_by": text, "request": {"path": name(70)},
            "pseudonyms": places})
    };
    let start =
        json!({"kind": "start", "seq": 11, "prev": "", "pseudonyms": {"fields": [], "key": "v5"}});
    let made = |version, may_be_used| Rotated {
        version,
        may_be_used,
    };
    for (records, wanted) in [
        (vec![], made(1, false)),
        (vec![&pruned], made(1, true)),
        (
            vec![&pruned, &by_name(&name(3), &["/requested_by"])],
            made(4, false),
        ),
        (vec![&pruned, &start], made(6, false)),
        // What others have written is no word of the gate's.
        (vec![&by_name(&name(3), &[])], made(1, false)),
        (vec![&by_name(&name(3), &["/kind"])], made(1, false)),
        (
            vec![&by_name(&format!("x {}", name(3)), &["/requested_by"])],
            made(1, false),
        ),
        (
            vec![&by_name(&name(u64::MAX), &["/requested_by"])],
            made(1, false),
        ),
        (
            vec![&by_name("hmac-sha256:v3:00", &["/requested_by"])],
            made(1, false),
        ),
    ] {
        let journal = tempfile::tempdir().unwrap();
        let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
        let lines = lines.join("\n") + "\n";
        std::fs::write(journal.path().join(format!("{:020}.jsonl", 9)), &lines).unwrap();
        assert_eq!(rotate(journal.path()).unwrap(), wanted, "{lines}");
        let newest = journal
            .path()
            .join(format!("pseudonym-v{}.key", wanted.version));
        std::fs::remove_file(newest).unwrap();
        let config = Config {
            fields: vec![Field::try_from("caller.address".to_owned()).unwrap()],
        };
        // Nor does a start that finds no key.
        let opened = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
        assert_eq!(opened.version, wanted.version, "{lines}");
    }
}

#[test]
fn a_key_that_is_gone_or_replaced_is_told_from_the_one_that_records_name() {
    let (journal, first) = pseudonyms(&["caller.address"]);
    let line = |told: Value| json!({"kind": "start", "pseudonyms": told}).to_string();
    let said = |told: Value| vec![Said::of(line(told).as_bytes()).unwrap()];
    let differ = |said: &[Said]| {
        let all = differing(Some(journal.path()), said).unwrap().into_iter();
        all.map(|it| match it {
            Differing::Key {
                version,
                is_replaced,
            } => (version, is_replaced),
            Differing::Others { .. } => (0, false),
        })
        .collect::<Vec<_>>()
    };
    let here = said(first.told());
    assert_eq!(differ(&here), []);
    // Of an early build, and of a key after one that nobody has.
    let early = said(json!({"fields": [], "key": "v1"}));
    assert_eq!(differ(&early), []);
    assert_eq!(
        differ(&said(json!({"key": "v3"}))),
        [(2, false), (3, false)]
    );
    assert_eq!(Said::of(b"{\"kind\": \"start\"}"), None);
    let path = journal.path().join("pseudonym-v1.key");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(differ(&here), [(1, false)]);
    assert_eq!(differ(&early), [(1, false)]);
    let config = Config {
        fields: first.fields,
    };
    let other = Pseudonyms::open(journal.path(), &config).unwrap().unwrap();
    assert_eq!(differ(&here), [(1, true)]);
    assert_eq!(
        differ(&[&here[..], &said(other.told())].concat()),
        [(1, true)]
    );
    assert_eq!(differ(&said(other.told())), []);
}

#[test]
fn what_a_record_tells_of_keys_is_read_whatever_else_it_says() {
    let all = |line: Value| {
        let all = Said::all(line.to_string().as_bytes()).into_iter();
        all.map(|it| (it.version, it.fingerprint.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let key = |key: &str| json!({"key": key, "fingerprint": "ab"});
    let ab = |version: u32| (version, "ab".to_owned());
    assert_eq!(all(json!({"pseudonyms": key("v3"), "kind": 7})), [ab(3)]);
    let deleted = json!([key("v1"), 7, key("x"), key("v2"), ["v9", "ab"]]);
    let pruned = json!({"first": "none", "pseudonyms": deleted});
    assert_eq!(all(pruned)[..2], [ab(1), ab(2)]);
    assert_eq!(all(json!({"pseudonyms": ["/caller/id"]})), []);
    assert_eq!(all(json!({"kind": "start"})), []);
    assert_eq!(all(json!([])), []);
    let long = json!({"pseudonyms": {"key": "v1", "fingerprint": "é".repeat(1 << 20)}});
    assert_eq!(all(long)[0].1.chars().count(), 40);
}

#[test]
fn a_claim_that_is_a_number_has_a_pseudonym_and_other_numbers_stay() {
    let (journal, pseudonyms) = pseudonyms(&["caller.jwt.claims.employee"]);
    let event = json!({"input": {"caller": {"jwt": {"claims": {
        "employee": {"id": 40_117, "ids": [1.5, 40_118], "is": true}, "manager": 40_118, "exp": 1_764_000_000, "id": "40117"}}},
        "change": {"expiration": {"days": 40_117}}},
        "result": {"violations": [{"message": "employee 40117 may not, nor 401170"}]}, "seq": 40_117});
    let name = |value: &str| names(journal.path(), value).unwrap().remove(0);
    let written = applied(&pseudonyms, &event);
    let claims = &written["input"]["caller"]["jwt"]["claims"];
    assert_eq!(
        claims,
        &json!({
            "employee": {"id": name("40117"), "ids": [name("1.5"), name("40118")], "is": true},
            "manager": name("40118"), "exp": 1_764_000_000, "id": name("40117")})
    );
    assert_eq!(written["input"]["change"], event["input"]["change"]);
    assert_eq!(written["seq"], 40_117);
    let said = format!("employee {} may not, nor 401170", name("40117"));
    assert_eq!(written["result"]["violations"][0]["message"], said);
}

#[test]
fn a_spiffe_id_is_one_of_the_uris_also_where_these_are_not_listed() {
    let (_journal, pseudonyms) = pseudonyms(&["caller.certificate.uris"]);
    let caller = json!({"certificate": {"subject": "CN=x", "spiffe_id": "spiffe://a/b"}});
    for event in [
        json!({"kind": "decision", "caller": caller}),
        json!({"kind": "suppressed", "callers": [{"caller": caller}]}),
    ] {
        let written = applied(&pseudonyms, &event).to_string();
        assert!(!written.contains("spiffe:"), "{written}");
    }
}

proptest! {
    #[test]
    fn no_value_of_the_field_is_left(
        // No digits of a pseudonym.
        subject in "[g-z@.:/ é-]{3,12}",
        before in "[ .,:(]{0,3}",
        behind in "[ .,:)]{0,3}",
    ) {
        prop_assume!(!"hmac-sha256:v1:/input/caller/jwt/subject/0/message/result/violations/x".contains(subject.trim()));
        prop_assume!(subject.trim() == subject && !subject.chars().all(|c| !c.is_alphanumeric()));
        let (_journal, pseudonyms) = pseudonyms(&["caller.jwt.subject"]);
        let event = json!({
            "input": {"caller": {"jwt": {"subject": subject}}},
            "result": {"violations": [{"message": format!("x{before}{subject}{behind}x"), "details": {&subject: [&subject]}}]},
        });
        let isolated = (!before.is_empty() || !subject.starts_with(char::is_alphanumeric))
            && (!behind.is_empty() || !subject.ends_with(char::is_alphanumeric));
        prop_assume!(isolated);
        let written = applied(&pseudonyms, &event);
        prop_assert!(!written["input"].to_string().contains(&subject));
        prop_assert!(!written["result"].to_string().contains(&subject), "{written}");
    }
}
