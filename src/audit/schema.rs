//! What a record looks like, as JSON Schema (2020-12): its members by kind.
//!
//! A kind that is listed has these members and no other. One that is not listed has to have the members of every record,
//! and may have any other. What [masks](crate::policy) may take away or replace is only certain where a record does not
//! say that they did.

use serde_json::{Map, Value, json};

use super::event::{Answer, Found};

/// The schema of every record of a journal.
pub fn schema() -> Value {
    let kinds = kinds();
    let conditions = kinds.iter().map(|(kind, _)| {
        json!({
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"$ref": format!("#/$defs/{kind}")},
        })
    });
    let conditions: Vec<Value> = conditions.collect();
    let mut defs: Map<String, Value> = kinds
        .into_iter()
        .map(|(kind, schema)| (kind.to_owned(), schema))
        .collect();
    defs.insert("caller".to_owned(), caller());
    defs.insert(
        "time".to_owned(),
        json!({"type": "string", "format": "date-time"}),
    );
    defs.insert(
        "sha256".to_owned(),
        json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record of dtgate's journal",
        "type": "object",
        "required": ["seq", "prev", "synced", "kind", "timestamp"],
        "properties": Map::from_iter(common()),
        "allOf": conditions,
        "$defs": defs,
    })
}

/// The members of every record.
fn common() -> [(String, Value); 5] {
    [
        ("seq", json!({"type": "integer", "minimum": 1})),
        ("prev", reference("sha256")),
        ("synced", count()),
        ("kind", text()),
        ("timestamp", reference("time")),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
}

/// A record of one kind: those, and its own.
fn record(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut schema = object(members.into_iter());
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(common());
    }
    schema
}

/// What kinds of records there are.
pub fn names_of_kinds() -> Vec<&'static str> {
    kinds().into_iter().map(|(name, _)| name).collect()
}

#[expect(clippy::too_many_lines, reason = "the one list of every kind")]
fn kinds() -> Vec<(&'static str, Value)> {
    let (text, count, time) = (text(), count(), reference("time"));
    let texts = json!({"type": "array", "items": text});
    let configured = [
        ("endpoints?", json!({"type": "object"})),
        ("policies?", list(json!({"type": ["string", "object"]}))),
        ("bundles?", list(json!({"type": "object"}))),
        ("kept?", reference("sha256")),
        ("issuers?", list(json!({"type": "object"}))),
        ("client_certificates?", one_of(&["required", "optional"])),
        ("credentials?", list(json!({"type": "object"}))),
        ("grants?", json!({"type": "object"})),
        ("masks?", list(one_of(&["drop", "mask"]))),
        ("pseudonyms?", json!({"type": "object"})),
    ];
    let with = |members: Vec<(&'static str, Value)>| object(members.into_iter());
    let reasons = list(with(vec![
        ("reason", text.clone()),
        ("operation?", text.clone()),
        ("count", count.clone()),
    ]));
    let callers = list(with(vec![
        ("requested_by", text.clone()),
        ("caller?", reference("caller")),
        ("count", count.clone()),
    ]));
    let start = [
        ("version", text.clone()),
        ("revision", text.clone()),
        // Earlier builds do not say it.
        ("form?", count.clone()),
        ("in_doubt", texts.clone()),
        ("in_doubt_count?", count.clone()),
    ];
    let reload = [
        ("trigger", text.clone()),
        ("ok", json!({"type": "boolean"})),
        ("generation", count.clone()),
        ("from", text.clone()),
        ("to?", text.clone()),
        ("changed", texts.clone()),
        ("restart?", texts.clone()),
        ("gone?", texts),
        ("error?", text.clone()),
    ];
    vec![
        ("challenger", masked_or_not(members_of_challenger)),
        ("decision", masked_or_not(members_of_decision)),
        (
            "outcome",
            record(vec![
                ("decision_id", text.clone()),
                ("decision_seq", count.clone()),
                (
                    "outcome",
                    json!({"enum": [Answer::Answered, Answer::Failed, Answer::Unknown]}),
                ),
                ("status", json!({"type": ["integer", "null"]})),
                ("detail?", text.clone()),
                (
                    "credential?",
                    with(vec![("id", text.clone()), ("expiration?", time.clone())]),
                ),
                ("duration_ms", json!({"type": "number", "minimum": 0})),
            ]),
        ),
        (
            "recovery",
            record(vec![
                ("reason", text.clone()),
                ("refused_events", count.clone()),
                ("set_aside?", text.clone()),
                ("set_aside_bytes?", count.clone()),
                ("set_aside_sha256?", reference("sha256")),
            ]),
        ),
        (
            "reload",
            record(reload.into_iter().chain(configured.clone())),
        ),
        ("start", record(start.into_iter().chain(configured))),
        ("stop", record(Vec::new())),
        (
            "suppressed",
            record(vec![
                ("first", time.clone()),
                ("last", time.clone()),
                ("count", count.clone()),
                ("reasons", reasons),
                ("other_reasons?", count.clone()),
                ("callers", callers),
                ("other_callers?", count.clone()),
                ("pseudonyms?", paths()),
            ]),
        ),
        (
            "unseen",
            record(vec![
                ("first", time.clone()),
                ("last", time.clone()),
                ("count", count.clone()),
                (
                    "statuses",
                    json!({"type": "object", "additionalProperties": count}),
                ),
                ("requested_by?", text.clone()),
                ("caller?", reference("caller")),
                ("environment?", text.clone()),
                ("method?", text.clone()),
                ("path?", text.clone()),
                ("pseudonyms?", paths()),
            ]),
        ),
        (
            "settled",
            record(vec![
                ("decision_id", text.clone()),
                ("decision_seq", count.clone()),
                (
                    "found",
                    json!({"enum": [Found::Done, Found::NotDone, Found::Unknown]}),
                ),
                ("detail", text.clone()),
                ("by?", one_of(&["person"])),
            ]),
        ),
        (
            "checkpoint",
            record(vec![
                ("size", count.clone()),
                ("root", text.clone()),
                ("key", text.clone()),
                ("note", text.clone()),
            ]),
        ),
        (
            "cosigned",
            record(vec![
                ("size", count.clone()),
                ("witness", text.clone()),
                ("note", text.clone()),
            ]),
        ),
        (
            "key",
            record(vec![
                ("old", text.clone()),
                ("new", text.clone()),
                ("note", text.clone()),
            ]),
        ),
        (
            "pruned",
            record(vec![
                ("first", count.clone()),
                ("last", count.clone()),
                ("hash", reference("sha256")),
                ("tree", list(text.clone())),
                ("oldest", time.clone()),
                ("newest", time),
                ("reason", text.clone()),
                ("in_doubt_count", count),
                ("in_doubt", list(text.clone())),
                ("keys?", list(text)),
                ("pseudonyms?", list(json!({"type": "object"}))),
            ]),
        ),
    ]
}

fn masked_or_not(members: impl Fn(bool) -> Value) -> Value {
    let masked = ["erased", "masked"].map(|name| json!({"required": [name]}));
    json!({
        "if": {"anyOf": masked},
        "then": members(true),
        "else": members(false),
    })
}

/// What masks may change is anything, or nothing.
fn maskable(
    is_masked: bool,
) -> impl Fn(&'static str, &'static str, Value) -> (&'static str, Value) {
    move |name, masked, schema| {
        if is_masked {
            (masked, json!({}))
        } else {
            (name, schema)
        }
    }
}

/// What policies found.
fn result(is_masked: bool) -> Value {
    let maskable = maskable(is_masked);
    let (text, flag) = (text(), json!({"type": "boolean"}));
    let exception = ["ticket", "reason", "until"].map(|name| (name, text.clone()));
    let violation = object(
        [
            ("policy", text.clone()),
            ("mode", text.clone()),
            ("rule", text.clone()),
            ("message", text.clone()),
            ("path?", text.clone()),
            ("code?", text.clone()),
            ("details?", json!({})),
            ("exception?", object(exception.into_iter())),
        ]
        .into_iter(),
    );
    let remedy = [
        ("scopes", list(text.clone())),
        ("members", list(text.clone())),
        ("text", text.clone()),
    ];
    let result = [
        ("allow", flag),
        maskable("violations", "violations?", list(violation)),
        maskable("remedy?", "remedy?", object(remedy.into_iter())),
    ];
    object(result.into_iter())
}

/// By which policies.
fn bundles() -> Value {
    let policies = object([("revision", text())].into_iter());
    object([("policies", policies)].into_iter())
}

fn metrics() -> Value {
    json!({"type": "object", "additionalProperties": count()})
}

fn members_of_challenger(is_masked: bool) -> Value {
    record([
        ("decision_id", text()),
        ("decision_seq", count()),
        (
            "differs",
            one_of(&[
                "would_deny",
                "would_allow",
                "violations",
                "failed",
                "timed_out",
            ]),
        ),
        ("verdict", one_of(&["allow", "deny"])),
        ("result", result(is_masked)),
        ("bundles", bundles()),
        ("metrics", metrics()),
        ("erased?", paths()),
        ("masked?", paths()),
        ("pseudonyms?", paths()),
    ])
}

fn members_of_decision(is_masked: bool) -> Value {
    let (maskable, text) = (maskable(is_masked), text());
    let hash = json!({"anyOf": [reference("sha256"), {"type": "null"}]});
    let request = [
        ("id", text.clone()),
        maskable("client_id?", "client_id?", text.clone()),
        ("method", text.clone()),
        maskable("path", "path?", text.clone()),
        ("query?", text.clone()),
        ("caller_hash?", text.clone()),
        ("received_sha256", hash.clone()),
        ("forwarded_sha256", hash),
    ];
    let counted = [
        ("caller", text.clone()),
        ("created", count()),
        ("scopes_gained", count()),
        ("removed", count()),
    ];
    let input = json!({"type": "object", "required": ["operation", "environment", "caller", "change", "time"]});
    let members = [
        ("decision_id", text.clone()),
        ("labels", object([("version", text.clone())].into_iter())),
        ("path", text.clone()),
        maskable("input?", "input?", input),
        ("result", result(is_masked)),
        ("bundles", bundles()),
        ("metrics", metrics()),
        ("evaluator?", text.clone()),
        ("turn?", one_of(&["local"])),
        maskable("requested_by", "requested_by?", text.clone()),
        ("verdict", one_of(&["allow", "deny"])),
        ("grant?", grant()),
        ("operation?", text.clone()),
        ("environment?", text.clone()),
        maskable("caller?", "caller?", reference("caller")),
        ("request", object(request.into_iter())),
        ("counted?", object(counted.into_iter())),
        maskable("error?", "error?", text),
        ("erased?", paths()),
        ("masked?", paths()),
        ("pseudonyms?", paths()),
    ];
    record(members)
}

/// By what a request passed although policies deny it.
fn grant() -> Value {
    let texts = [
        "id",
        "requested_by",
        "approved_by",
        "reason",
        "ticket",
        "note",
    ];
    let texts = texts.map(|name| (name, text()));
    let others = [
        ("until", reference("time")),
        ("policies", list(text())),
        ("failed_policies?", list(text())),
        ("allows", one_of(&["request", "change"])),
        ("decision?", text()),
    ];
    object(texts.into_iter().chain(others))
}

fn caller() -> Value {
    let certificate = [
        ("subject", text()),
        ("spiffe_id?", text()),
        ("fingerprint", text()),
    ];
    let jwt = [("issuer", text()), ("subject", text())];
    let members = [
        ("id?", text()),
        ("kind?", text()),
        ("brokered?", json!({"const": true})),
        ("teams?", list(text())),
        ("certificate?", object(certificate.into_iter())),
        ("jwt?", object(jwt.into_iter())),
    ];
    object(members.into_iter())
}

/// Members; `?` behind a name: it may be absent.
fn object(members: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let (mut required, mut properties) = (Vec::new(), Map::new());
    for (name, schema) in members {
        let plain = name.trim_end_matches('?');
        if plain == name {
            required.push(name);
        }
        properties.insert(plain.to_owned(), schema);
    }
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn list(of: impl Into<Value>) -> Value {
    let of: Value = of.into();
    json!({"type": "array", "items": of})
}

/// Where something stands in the record.
fn paths() -> Value {
    list(json!({"type": "string", "pattern": "^/"}))
}

fn one_of(texts: &[&str]) -> Value {
    json!({"enum": texts})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}
