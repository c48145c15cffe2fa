//! What policies may name: the members of the document, before there is a request.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::{
    Amounts, Attributes, AttributesAddress, AttributesHttp, AttributesRequest, AttributesSource,
    Caller, CallerCertificate, CallerJwt, CallerToken, Change, Current, Environment, Envoy,
    Expiration, Input, Requested, Scopes, Settings, SocketAddress, Target, Wish,
};
use crate::dynatrace::{
    catalogue::ENDPOINTS,
    redact::{Redacted, Redactor},
    token::CredentialKind,
};
use crate::value::likeness;

/// Members below these are not ours to name.
pub(super) const OPEN: [&str; 6] = [
    "input.attributes.request.http.headers",
    "input.caller.jwt.claims",
    "input.environment.data",
    "input.parsed_body",
    "input.parsed_query",
    "input.unknown_members",
];

/// Every member that a policy may name, for the documentation.
pub fn members() -> Vec<String> {
    let mut found = Vec::new();
    collect("input", &SAMPLE, &mut found);
    found
}

/// Where a reference leaves the document.
pub(in crate::policy) struct Missing {
    /// The step that is not there, counted from `input` as zero.
    pub(in crate::policy) step: usize,
    pub(in crate::policy) message: String,
}

/// Follows a reference below `input` as far as it can be known before there is a request.
pub(in crate::policy) fn missing(steps: &[Option<&str>]) -> Option<Missing> {
    let mut here: &Json = &SAMPLE;
    let mut path = "input".to_owned();
    for (step, name) in steps.iter().enumerate().skip(1) {
        if OPEN.contains(&path.as_str()) {
            return None;
        }
        here = match (here, name) {
            (Json::Object(members), Some(name)) => match members.get(*name) {
                Some(next) => next,
                None => {
                    return Some(Missing {
                        step,
                        message: unknown(&path, name, members),
                    });
                }
            },
            (Json::Array(items), None) => items.first()?,
            (Json::Array(_), Some(name)) => {
                return Some(Missing {
                    step,
                    message: format!("{path} is a list: it has no member {name}"),
                });
            }
            // A computed member cannot be known; nothing in the sample is null.
            (Json::Null | Json::Object(_), _) => return None,
            (Json::Bool(_) | Json::Number(_) | Json::String(_), name) => {
                let name = name.unwrap_or("[…]");
                return Some(Missing {
                    step,
                    message: format!("{path} is a plain value: it has no member {name}"),
                });
            }
        };
        path.push('.');
        path.push_str(name.unwrap_or("[]"));
    }
    None
}

/// What a member is, wherever it is there.
pub(in crate::policy) enum Shape {
    Flag,
    List,
    /// With the names of its members.
    Object(Vec<String>),
    /// With the texts that it may be, where there is a list of them.
    Text(Vec<&'static str>),
}

/// What a member is that has a promised shape.
pub(in crate::policy) fn shape(steps: &[Option<&str>]) -> Option<Shape> {
    let mut here: &Json = &SAMPLE;
    let mut path = "input".to_owned();
    for step in steps.iter().skip(1) {
        here = match (here, step) {
            (Json::Object(members), Some(name)) => members.get(*name)?,
            (Json::Array(items), None) => items.first()?,
            _ => return None,
        };
        path.push('.');
        path.push_str(step.unwrap_or("[]"));
        if OPEN.contains(&path.as_str()) {
            return None;
        }
    }
    Some(match here {
        Json::Object(members) => Shape::Object(members.keys().cloned().collect()),
        Json::Array(_) => Shape::List,
        Json::Bool(_) => Shape::Flag,
        Json::String(_) => Shape::Text(values(&path)),
        Json::Null | Json::Number(_) => return None,
    })
}

/// The texts that a member may be; none where nobody can list them.
fn values(path: &str) -> Vec<&'static str> {
    let mut values: Vec<&str> = match path {
        "input.operation" => ENDPOINTS.iter().map(|row| row.operation.as_str()).collect(),
        "input.api" => ENDPOINTS.iter().map(|row| row.api.as_str()).collect(),
        "input.caller.token.kind" => {
            use CredentialKind::{ApiToken, Bearer, Other};
            let kinds = [ApiToken, Bearer, Other].map(CredentialKind::as_str);
            kinds.into_iter().chain([""]).collect()
        }
        "input.change.differs.[]" => vec!["enabled", "name", "scopes"],
        _ => Vec::new(),
    };
    values.sort_unstable();
    values.dedup();
    values
}

/// How a member that is never null says that there is nothing.
pub(in crate::policy) enum Presence {
    /// It is always there; what holds of it then.
    Always(String),
    /// It is absent; and where it is there it may be `false`, so that `not` says less.
    Flag { within: String, last: String },
    /// It is absent.
    Absent,
}

/// What is known of a member with a promised shape; nothing for what is not ours to name, or does not exist.
pub(in crate::policy) fn presence(steps: &[&str]) -> Option<Presence> {
    let (last, within) = steps.split_last()?;
    let path = steps.join(".");
    let is_open = |open: &&str| path.starts_with(&format!("{open}."));
    if OPEN.iter().any(is_open) {
        return None;
    }
    let find = |document| {
        let mut names = steps.iter().skip(1);
        names.try_fold(document, |here: &Json, name| here.get(name))
    };
    let value = find(&SAMPLE)?;
    Some(match (find(&LEAST), value) {
        (Some(Json::Object(members)), _) if members.contains_key("token") => {
            Presence::Always(format!("{path}.token.id == \"\""))
        }
        (Some(Json::Object(members)), _)
            if members.contains_key("id") && path.ends_with("token") =>
        {
            Presence::Always(format!("{path}.id == \"\""))
        }
        (Some(Json::Object(_)), _) => Presence::Always(format!("{path} == {{}}")),
        (Some(Json::Array(_)), _) => Presence::Always(format!("{path} == []")),
        (Some(Json::Bool(_)), _) => Presence::Always(format!("{path} == false")),
        (Some(Json::Number(_)), _) => Presence::Always(format!("{path} == 0")),
        (Some(_), _) => Presence::Always(format!("{path} == \"\"")),
        (None, Json::Bool(_)) if path != "input.token.known" => Presence::Flag {
            within: within.join("."),
            last: (*last).to_owned(),
        },
        (None, _) => Presence::Absent,
    })
}

fn unknown(path: &str, name: &str, members: &Map<String, Json>) -> String {
    let guess = guess(
        name,
        &format!("{path}."),
        &members.keys().map(String::as_str).collect::<Vec<_>>(),
    );
    format!("the input document has no member {path}.{name}{guess}")
}

/// `: did you mean …?` with the nearest candidate, or nothing when none is near.
pub(in crate::policy) fn guess(name: &str, prefix: &str, candidates: &[&str]) -> String {
    nearest(strsim::jaro_winkler, name, prefix, candidates)
}

/// The same for names of settings, of which short ones are often told apart by one letter.
pub(in crate::policy) fn guess_setting(name: &str, prefix: &str, candidates: &[&str]) -> String {
    nearest(likeness, name, prefix, candidates)
}

fn nearest(
    likeness: fn(&str, &str) -> f64,
    name: &str,
    prefix: &str,
    candidates: &[&str],
) -> String {
    candidates
        .iter()
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, nearest)| format!(": did you mean {prefix}{nearest}?"))
        .unwrap_or_default()
}

fn collect(path: &str, here: &Json, found: &mut Vec<String>) {
    if path != "input" {
        found.push(path.to_owned());
    }
    if let (Json::Object(members), false) = (here, OPEN.contains(&path)) {
        for (name, value) in members {
            collect(&format!("{path}.{name}"), value, found);
        }
    }
}

/// A document in which every member that has a promised shape is present.
pub(super) static SAMPLE: LazyLock<Json> = LazyLock::new(|| {
    let text = Redacted::default;
    let texts = || Some(vec![text()]);
    let document = Input {
        operation: String::new(),
        api: String::new(),
        environment: Environment {
            name: String::new(),
            id: text(),
            data: Map::new(),
        },
        caller: Caller {
            address: String::new(),
            token: CallerToken::default(),
            certificate: CallerCertificate {
                dns: vec![text()],
                uris: vec![text()],
                emails: vec![text()],
                addresses: vec![text()],
                ..CallerCertificate::default()
            },
            jwt: CallerJwt {
                audiences: vec![text()],
                ..CallerJwt::default()
            },
            teams: vec![String::new()],
            recent: Some(Amounts::default()),
        },
        token: Some(Target {
            id: text(),
            current: Some(Current {
                id: Some(text()),
                name: Some(text()),
                enabled: Some(true),
                owner: Some(text()),
                scopes: vec![text()],
                personal: Some(true),
                expiration: Some(text()),
            }),
            lookup_error: Some(text()),
        }),
        change: Change {
            name: Wish {
                requested: Some(text()),
                current: Some(text()),
            },
            enabled: Wish {
                requested: Some(true),
                current: Some(true),
            },
            scopes: Scopes {
                requested: texts(),
                current: texts(),
                added: texts(),
                removed: texts(),
                kept: texts(),
            },
            expiration: Expiration {
                requested: Some(text()),
                at: Some(jiff::Timestamp::UNIX_EPOCH),
            },
            personal: Requested {
                requested: Some(true),
            },
            differs: Some(vec![String::new()]),
        },
        settings: Some(Settings {
            schemas: vec![String::new()],
        }),
        unknown_members: some_members(),
        time: jiff::Timestamp::UNIX_EPOCH,
        envoy: Some(sample_of_envoy()),
    };
    document.to_json()
});

/// A document in which every member is absent that may be.
static LEAST: LazyLock<Json> = LazyLock::new(|| {
    let mut envoy = sample_of_envoy();
    envoy.parsed_body = None;
    let document = Input {
        operation: String::new(),
        api: String::new(),
        environment: Environment {
            name: String::new(),
            id: Redacted::default(),
            data: Map::new(),
        },
        caller: Caller {
            recent: Some(Amounts::default()),
            ..Caller::default()
        },
        token: None,
        change: Change::default(),
        settings: None,
        unknown_members: Redacted::default(),
        time: jiff::Timestamp::UNIX_EPOCH,
        envoy: Some(envoy),
    };
    document.to_json()
});

/// Not empty, or it would be absent.
fn some_members() -> Redacted<Map<String, Json>> {
    Redactor::default().members(&Map::from_iter([("any".to_owned(), Json::Bool(true))]))
}

fn sample_of_envoy() -> Envoy {
    let text = Redacted::default;
    Envoy {
        attributes: Attributes {
            request: AttributesRequest {
                http: AttributesHttp {
                    method: text(),
                    path: text(),
                    host: text(),
                    headers: BTreeMap::new(),
                },
            },
            source: AttributesSource {
                address: AttributesAddress {
                    socket_address: SocketAddress {
                        address: String::new(),
                    },
                },
            },
        },
        parsed_path: vec![text()],
        parsed_query: Redacted::default(),
        parsed_body: Some(Redactor::default().json(&Json::Object(Map::new()))),
        truncated_body: false,
    }
}
