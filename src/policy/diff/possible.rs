//! Input documents such as a gate can make: whatever was made up, or left out of them, is made to fit together.
//!
//! What the catalogue says of an operation says what a request of it can ask for. Who asks, and what a caller has shown,
//! stays as it was made up, as far as it can be so.

mod envoy;

use std::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use crate::dynatrace::catalogue::{Content, ENDPOINTS, Endpoint, Handling, ID, SCHEMAS, Words};
use crate::dynatrace::change::all_words;
use crate::dynatrace::moment;

type Members = Map<String, Json>;

/// The nearest document that a gate can make. One that it can make stays as it is.
pub(super) fn possible(document: &Json) -> Json {
    let Json::Object(mut all) = without_controls(document) else {
        return document.clone();
    };
    let Some(endpoint) = endpoint(&all) else {
        return Json::Object(all);
    };
    let operation = endpoint.operation.as_str();
    all.insert("operation".to_owned(), json!(operation));
    all.insert("api".to_owned(), json!(endpoint.api.as_str()));
    environment(&mut all);
    caller(&mut all);
    token(&mut all, endpoint);
    settings(&mut all, endpoint);
    unknown_members(&mut all, endpoint);
    change(&mut all, endpoint);
    envoy::envoy(&mut all, endpoint);
    Json::Object(all)
}

/// A row that policies judge: of the operation and the API that it says, as far as there is one.
fn endpoint(all: &Members) -> Option<&'static Endpoint> {
    let (operation, api) = (text(all, "operation"), text(all, "api"));
    let judged = || {
        let rows = ENDPOINTS.iter();
        rows.filter(|row| row.handling == Handling::Judge && row.content != Content::Opaque)
    };
    let of = |operation: &str| {
        let rows = || judged().filter(|row| row.operation.as_str() == operation);
        let of_the_api = rows().find(|row| Some(row.api.as_str()) == api);
        of_the_api.or_else(|| rows().next())
    };
    of(operation.unwrap_or_default()).or_else(|| of("token.update"))
}

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Json::as_str)
}

/// What stands there, made an object if it is none.
fn object<'a>(members: &'a mut Members, name: &str) -> Option<&'a mut Members> {
    let value = members.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The guard refuses letters that nobody can see.
fn without_controls(value: &Json) -> Json {
    let plain = |text: &str| text.replace(char::is_control, "");
    match value {
        Json::String(text) => Json::String(plain(text)),
        Json::Array(elements) => elements.iter().map(without_controls).collect(),
        Json::Object(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| (plain(name), without_controls(value)));
            Json::Object(members.collect())
        }
        other => other.clone(),
    }
}

/// People name environments.
fn environment(all: &mut Members) {
    let Some(environment) = object(all, "environment") else {
        return;
    };
    let is_letter = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(is_letter)
    };
    if !text(environment, "name").is_some_and(is_name) {
        environment.insert("name".to_owned(), json!(ENVIRONMENT));
    }
}

/// Everybody has an address. Who has shown no token has a browser's session.
fn caller(all: &mut Members) {
    let Some(caller) = object(all, "caller") else {
        return;
    };
    if text(caller, "address").is_none_or(|text| text.parse::<IpAddr>().is_err()) {
        caller.insert("address".to_owned(), json!(ADDRESS));
    }
    let Some(token) = caller.get_mut("token").and_then(Json::as_object_mut) else {
        return;
    };
    let kind = text(token, "kind").unwrap_or_default();
    let has_id = text(token, "id").is_some_and(is_id);
    match (kind, has_id) {
        ("api-token", false) => drop(token.insert("id".to_owned(), json!(TOKEN))),
        ("bearer" | "other", false) => drop(token.insert("id".to_owned(), json!(""))),
        ("api-token" | "bearer" | "other", true) => {}
        (_, true) => drop(token.insert("kind".to_owned(), json!("api-token"))),
        (_, false) => {
            for name in ["id", "kind"] {
                token.insert(name.to_owned(), json!(""));
            }
        }
    }
}

fn is_id(id: &str) -> bool {
    let is_letter = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.');
    let is_public = id.starts_with("dt0") && id.contains('.') && id.chars().all(is_letter);
    is_public || id.len() == UUID.len() && id.chars().all(|it| it.is_ascii_hexdigit() || it == '-')
}

fn token(all: &mut Members, endpoint: &Endpoint) {
    if endpoint.path.split('/').all(|step| step != ID) {
        all.shift_remove("token");
        return;
    }
    let Some(token) = object(all, "token") else {
        return;
    };
    if !text(token, "id").is_some_and(is_id) {
        token.insert("id".to_owned(), json!(UUID));
    }
    if !endpoint.operation.changes_token() {
        token.shift_remove("current");
        token.shift_remove("lookup_error");
    }
    if let Some(current) = token.get_mut("current").and_then(Json::as_object_mut) {
        current.entry("scopes").or_insert_with(|| json!([]));
        token.shift_remove("lookup_error");
    }
    let known = token.contains_key("current");
    token.insert("known".to_owned(), json!(known));
}

fn settings(all: &mut Members, endpoint: &Endpoint) {
    if endpoint.content != Content::Settings {
        all.shift_remove("settings");
        return;
    }
    let Some(settings) = object(all, "settings") else {
        return;
    };
    let is_known = |schema: &&Json| schema.as_str().is_some_and(|name| SCHEMAS.contains(&name));
    let schemas = settings.get("schemas").and_then(Json::as_array);
    let schemas = schemas.into_iter().flatten().filter(is_known);
    let mut schemas: Vec<Json> = schemas.cloned().collect();
    if schemas.is_empty() {
        schemas.extend(SCHEMAS.last().map(|schema| json!(schema)));
    }
    settings.insert("schemas".to_owned(), Json::Array(schemas));
}

/// Of a body that speaks of a token those that neither API knows; of another one all.
fn unknown_members(all: &mut Members, endpoint: &Endpoint) {
    match endpoint.content {
        Content::Token(_) | Content::Named(_) => {
            if let Some(Json::Object(members)) = all.get_mut("unknown_members") {
                members.retain(|name, _| all_words().all(|word| word != name));
            }
        }
        Content::Object => {}
        Content::Nothing | Content::Settings | Content::Opaque => {
            all.shift_remove("unknown_members");
        }
    }
}

fn change(all: &mut Members, endpoint: &Endpoint) {
    let (known, time) = (current(all), time(all));
    let Some(change) = object(all, "change") else {
        return;
    };
    let asks: &[&str] = match endpoint.content {
        Content::Token(Words::V1) | Content::Named(Words::V1) => {
            &["name", "enabled", "scopes", "expiration"]
        }
        Content::Token(Words::V2) | Content::Named(Words::V2) => &PARTS,
        _ => &[],
    };
    for name in PARTS {
        if let Some(part) = change.get_mut(name).and_then(Json::as_object_mut) {
            part.retain(|member, _| member == "requested" || member == "at");
            if !asks.contains(&name) {
                part.clear();
            }
        }
    }
    if endpoint.operation.makes_token() {
        for (name, least) in [("name", json!(NAME)), ("scopes", json!([SCOPE]))] {
            if let Some(part) = object(change, name) {
                part.entry("requested").or_insert(least);
            }
        }
    }
    expiration(change, time);
    change.shift_remove("differs");
    if let Some(current) = &known {
        for name in ["name", "enabled", "scopes"] {
            if let Some(value) = current.get(name)
                && let Some(part) = object(change, name)
            {
                part.insert("current".to_owned(), value.clone());
            }
        }
    }
    difference(change, endpoint, known.as_ref());
}

fn current(all: &Members) -> Option<Members> {
    let current = all.get("token")?.get("current")?;
    current.as_object().cloned()
}

fn time(all: &Members) -> jiff::Timestamp {
    let time = text(all, "time").and_then(|text| text.parse().ok());
    time.unwrap_or_default()
}

/// An instant has a notation, and what is no notation of one has no instant.
fn expiration(change: &mut Members, time: jiff::Timestamp) {
    let Some(expiration) = change.get_mut("expiration").and_then(Json::as_object_mut) else {
        return;
    };
    let made_up = expiration.shift_remove("at");
    let meant = |it: &Members| text(it, "requested").and_then(|it| moment::expiration(it, time));
    if meant(expiration).is_none()
        && let Some(at) = made_up
    {
        expiration.insert("requested".to_owned(), at);
    }
    if let Some(at) = meant(expiration) {
        expiration.insert("at".to_owned(), json!(format!("{at:.3}")));
    }
}

/// What would be different, as the gate computes it.
fn difference(change: &mut Members, endpoint: &Endpoint, known: Option<&Members>) {
    let operation = endpoint.operation;
    if operation.removes_token() || known.is_none() && !operation.makes_token() {
        return;
    }
    let list = |value: Option<&Json>| value.and_then(Json::as_array).cloned();
    let had = list(known.and_then(|known| known.get("scopes"))).unwrap_or_default();
    let asked = |name: &str| change.get(name)?.get("requested");
    let of = |from: &[Json], other: &[Json], is_in: bool| -> Vec<Json> {
        let some = from.iter().filter(|it| other.contains(it) == is_in);
        some.cloned().collect()
    };
    let (added, removed, kept) = match list(asked("scopes")) {
        None => (Vec::new(), Vec::new(), had),
        Some(asked) => (
            of(&asked, &had, false),
            of(&had, &asked, false),
            of(&asked, &had, true),
        ),
    };
    let other = |name: &str| {
        let asked = asked(name);
        asked.is_some() && asked != known.and_then(|known| known.get(name))
    };
    let differs = [
        ("name", other("name")),
        ("enabled", other("enabled")),
        ("scopes", !added.is_empty() || !removed.is_empty()),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    let differs: Vec<&str> = differs.map(|(name, _)| name).collect();
    if known.is_some() {
        change.insert("differs".to_owned(), json!(differs));
    }
    if let Some(scopes) = object(change, "scopes") {
        for (name, list) in [("added", added), ("removed", removed), ("kept", kept)] {
            scopes.insert(name.to_owned(), Json::Array(list));
        }
    }
}

const PARTS: [&str; 5] = ["name", "enabled", "scopes", "expiration", "personal"];
const ENVIRONMENT: &str = "default";
const ADDRESS: &str = "10.1.2.3";
const NAME: &str = "payments-prod-ci";
const SCOPE: &str = "metrics.read";
const TOKEN: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
const UUID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::input::Input;
    use crate::policy::trust::sample::Sampler;

    #[test]
    fn what_no_gate_makes_becomes_what_it_makes() {
        let made = possible(&json!({
            "operation": "", "api": "v1", "time": "2026-11-29T10:00:00.000Z", "environment": {"name": "12"},
            "change": {"name": {"requested": "a\u{0}b", "current": "x"}, "differs": ["scopes"]}
        }));
        assert_eq!(made["operation"], "token.update");
        assert_eq!(made["environment"]["name"], "default");
        assert_eq!(made["caller"]["address"], ADDRESS);
        assert_eq!(made["change"], json!({"name": {"requested": "ab"}}));
        assert_eq!(made["token"], json!({"id": UUID, "known": false}));
        let made = possible(&json!({
            "operation": "token.delete", "api": "nothing", "time": "2026-11-29T10:00:00.000Z", "environment": {"name": "prod"},
            "caller": {"address": "::1", "token": {"kind": "api-token", "id": "12"}},
            "token": {"id": UUID, "current": {"name": "old"}, "lookup_error": "gone"},
            "unknown_members": {"a": 1}, "settings": {"schemas": ["a"]},
            "change": {"name": {"requested": "new"}, "scopes": {"requested": ["a"], "added": ["a"]}},
        }));
        assert_eq!(
            made["change"],
            json!({"name": {"current": "old"}, "scopes": {"current": []}})
        );
        assert_eq!(made["caller"]["token"]["id"], TOKEN);
        assert_eq!(made["token"]["known"], true);
        for absent in ["unknown_members", "settings"] {
            assert!(made.get(absent).is_none(), "{made:#}");
        }
        assert!(made["token"].get("lookup_error").is_none());
    }

    #[test]
    fn what_is_possible_stays_as_it_is_and_can_be_read() {
        let words = ["12", "WriteConfig", "prod"].map(str::to_owned).into();
        let reads = [vec![Some("input".to_owned()), None]].into();
        let mut sampler = Sampler::new(&words, &reads, 7);
        for _ in 0..500 {
            let made = possible(&sampler.input().to_json());
            assert_eq!(possible(&made), made);
            let input: Input = serde_json::from_value(made.clone()).unwrap();
            assert!(input.envoy.is_some(), "{made:#}");
            // And what it is read as is the same.
            let again = input.to_json();
            assert_eq!(possible(&again), again);
        }
    }
}
