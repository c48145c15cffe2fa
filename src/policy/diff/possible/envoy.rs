//! The same request as OPA-Envoy would show it.

use serde_json::{Map, Value as Json, json};

use super::{ADDRESS, Members, UUID, object};
use crate::dynatrace::catalogue::{ANY, Content, Endpoint, ID, Words, is_open};
use crate::policy::input::OF_ENVOY;

/// Whole, or not at all.
pub(super) fn envoy(all: &mut Members, endpoint: &Endpoint) {
    if !all.contains_key("attributes") {
        for path in OF_ENVOY {
            all.shift_remove(path.trim_start_matches("input."));
        }
        return;
    }
    let below = |name: &str, member: &str| all.get(name)?.get(member)?.as_str();
    let id = below("token", "id").unwrap_or(UUID);
    let address = json!(below("caller", "address").unwrap_or(ADDRESS));
    let steps = endpoint.path.split('/').map(|step| match step {
        ID => id,
        open if is_open(open) => UUID,
        fixed => fixed,
    });
    let path = steps.collect::<Vec<_>>().join("/");
    let method = match endpoint.method {
        ANY => "POST",
        method => method,
    };
    let body = body(all, endpoint);
    let parts: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    all.insert("parsed_path".to_owned(), json!(parts));
    all.insert("truncated_body".to_owned(), json!(false));
    if let Some(query) = object(all, "parsed_query")
        && !endpoint.query
    {
        query.clear();
    }
    match body {
        Some(body) => drop(all.insert("parsed_body".to_owned(), body)),
        None => drop(all.shift_remove("parsed_body")),
    }
    let Some(attributes) = object(all, "attributes") else {
        return;
    };
    let source = json!({"address": {"socketAddress": {"address": address}}});
    attributes.insert("source".to_owned(), source);
    if let Some(http) = object(attributes, "request").and_then(|it| object(it, "http")) {
        http.insert("method".to_owned(), json!(method));
        http.insert("path".to_owned(), json!(path));
        http.entry("host").or_insert_with(|| json!(HOST));
        http.entry("headers").or_insert_with(|| json!({}));
    }
}

/// The body that asks for the change. `None`: there is none.
fn body(all: &Members, endpoint: &Endpoint) -> Option<Json> {
    let unknown = || {
        let unknown = all.get("unknown_members").and_then(Json::as_object);
        unknown.cloned().unwrap_or_default()
    };
    let words = match endpoint.content {
        Content::Token(words) | Content::Named(words) => words,
        Content::Object => return Some(Json::Object(unknown())),
        Content::Settings => {
            let body = all.get("parsed_body");
            return body.filter(|it| it.is_object() || it.is_array()).cloned();
        }
        Content::Nothing | Content::Opaque => return None,
    };
    let asked = |name: &str| all.get("change")?.get(name)?.get("requested").cloned();
    let own = match words {
        Words::V1 => {
            let revoked = asked("enabled").and_then(|it| it.as_bool());
            // How long it holds is a number and a unit there: it is left out.
            [
                ("revoked", revoked.map(|it| json!(!it))),
                ("expiresIn", None),
            ]
        }
        Words::V2 => [
            ("enabled", asked("enabled")),
            ("expirationDate", asked("expiration")),
        ],
    };
    let common = [
        ("name", asked("name")),
        ("scopes", asked("scopes")),
        ("personalAccessToken", asked("personal")),
    ];
    let members = common.into_iter().chain(own);
    let members = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut members: Map<String, Json> = members.collect();
    members.extend(unknown());
    Some(Json::Object(members))
}

const HOST: &str = "gate.example";
