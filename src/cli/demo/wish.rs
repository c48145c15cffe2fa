//! What somebody asks for, in the demo: what people ask a gate for, good and bad.

use http::Method;
use serde_json::json;

use super::chance::Chance;
use super::traffic::{HANGS_UP, Place};
use crate::simulate::seeds;

/// A request that somebody sends.
pub(super) struct Wish {
    pub(super) method: Method,
    /// Without what leads to the environment.
    pub(super) path: String,
    pub(super) body: String,
    /// If it succeeds.
    pub(super) then: Then,
}

/// What is true when a request has succeeded.
pub(super) enum Then {
    Nothing,
    /// There is one more; its id stands in the answer.
    Made(Token),
    Changed(Token),
    Gone(String),
}

/// A token that traffic has made.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) id: String,
    name: String,
    scopes: Vec<String>,
    enabled: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Widen,
    Narrow,
    Rename,
    /// Asks for what is already so.
    Same,
    Disable,
    Delete,
    Misnamed,
    Forbidden,
    Misspelt,
    TooMany,
    MayMint,
    Revive,
    Itself,
    Nobodys,
    TenantToken,
    ConnectionInfo,
    Garbled,
    /// Keeps scopes that Dynatrace no longer has.
    Legacy,
    /// Dynatrace does it, and its answer is lost.
    HangsUp,
}

impl Token {
    pub(super) fn new(id: String, name: &str, scopes: &[&str]) -> Self {
        Self {
            id,
            name: name.to_owned(),
            scopes: scopes.iter().map(|&it| it.to_owned()).collect(),
            enabled: true,
        }
    }
}

impl Wish {
    fn put(token: Token) -> Self {
        let body = json!({"name": token.name, "enabled": token.enabled, "scopes": token.scopes});
        Self {
            method: Method::PUT,
            path: format!("{V2}/{}", token.id),
            body: body.to_string(),
            then: Then::Changed(token),
        }
    }

    fn post(name: &str, scopes: &[String]) -> Self {
        Self {
            method: Method::POST,
            path: V2.to_owned(),
            body: json!({"name": name, "scopes": scopes}).to_string(),
            then: Then::Made(Token {
                id: String::new(),
                name: name.to_owned(),
                scopes: scopes.to_vec(),
                enabled: true,
            }),
        }
    }

    /// What changes nothing that traffic knows of.
    fn other(method: Method, path: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: body.into(),
            then: Then::Nothing,
        }
    }
}

/// The request of this number. `own` is the token of whoever asks.
pub(super) fn wish(
    chance: &mut Chance,
    place: &Place,
    team: &str,
    own: &str,
    number: usize,
) -> Wish {
    // One of each kind first, after some that make tokens.
    let kind = match number.checked_sub(BORN_FIRST) {
        None => Kind::Create,
        Some(at) => *EACH.get(at).unwrap_or_else(|| weighed(chance)),
    };
    let name = format!(
        "{team}-{}-{}-{number}",
        place.stage,
        chance.of(&PURPOSES).unwrap_or(&"ci")
    );
    let scopes = chance.some(&SCOPES, 4);
    let known = |wanted: &dyn Fn(&Token) -> bool, chance: &mut Chance| {
        let tokens = place.tokens.iter();
        let fit: Vec<&Token> = tokens
            .filter(|it| it.name != HANGS_UP && wanted(it))
            .collect();
        chance.of(&fit).map(|&token| token.clone())
    };
    let found = match kind {
        Kind::Revive => known(&|it| !it.enabled, chance),
        Kind::HangsUp => place.tokens.iter().find(|it| it.name == HANGS_UP).cloned(),
        _ => known(&|it| it.enabled, chance),
    };
    let is_full = place.tokens.len() > MOST;
    let wish = match kind {
        Kind::Create if is_full => None,
        Kind::Create => Some(Wish::post(&name, &scopes)),
        _ => free(kind, &name, &scopes, own).or_else(|| about(kind, found.clone()?, chance, &name)),
    };
    match (wish, found) {
        (Some(wish), _) => wish,
        (None, Some(token)) if is_full => about_gone(token),
        (None, _) => Wish::post(&name, &scopes),
    }
}

/// What is about no token that has to be there.
fn free(kind: Kind, name: &str, scopes: &[String], own: &str) -> Option<Wish> {
    let with = |more: &[&str]| {
        let more = more.iter().map(|&it| it.to_owned());
        let all: Vec<String> = scopes.iter().cloned().chain(more).collect();
        Wish::post(name, &all)
    };
    Some(match kind {
        Kind::Misnamed => Wish::post("Test token (Jane)", scopes),
        Kind::Forbidden => with(&["WriteConfig"]),
        Kind::Misspelt => with(&["metrics.raed"]),
        Kind::TooMany => {
            let all: Vec<String> = SCOPES.iter().map(|&it| it.to_owned()).collect();
            Wish::post(name, &all)
        }
        Kind::MayMint => with(&["apiTokens.write"]),
        Kind::Itself => {
            let body = json!({"scopes": ["apiTokens.read", "metrics.read"]});
            Wish::other(Method::PUT, format!("{V2}/{own}"), body.to_string())
        }
        Kind::Nobodys => {
            let path = format!("{V2}/dt0c01.NOBODYSAAAAAAAAAAAAAAAAA");
            Wish::other(Method::DELETE, path, "")
        }
        Kind::TenantToken => Wish::other(Method::POST, "/api/v2/tenantTokenRotation/start", ""),
        Kind::ConnectionInfo => {
            let path = "/api/v1/deployment/installer/agent/connectioninfo";
            Wish::other(Method::GET, path, "")
        }
        Kind::Garbled => Wish::other(Method::POST, V2, "{\"name\":\"payments-prod-ci\",\"name\":"),
        Kind::Legacy => {
            let body = json!({"scopes": ["DataExport", "LogImport", "MaintenanceWindows"]});
            let path = format!("/api/v1/tokens/{}", seeds::LEGACY.id);
            Wish::other(Method::PUT, path, body.to_string())
        }
        _ => return None,
    })
}

/// What changes this token.
fn about(kind: Kind, mut token: Token, chance: &mut Chance, name: &str) -> Option<Wish> {
    match kind {
        Kind::Widen => {
            let new: Vec<&str> = SCOPES
                .into_iter()
                .filter(|it| !token.scopes.iter().any(|have| have == it))
                .collect();
            token.scopes.extend(chance.some(&new, 2));
        }
        Kind::Narrow if token.scopes.len() > 1 => {
            token.scopes.remove(chance.below(token.scopes.len()));
        }
        Kind::Rename => name.clone_into(&mut token.name),
        Kind::Disable => token.enabled = false,
        Kind::Revive => token.enabled = true,
        Kind::Delete => return Some(about_gone(token)),
        Kind::HangsUp => {
            let has_logs = token.scopes.iter().any(|it| it == "logs.ingest");
            token.scopes = vec!["metrics.ingest".to_owned()];
            token
                .scopes
                .extend((!has_logs).then(|| "logs.ingest".to_owned()));
        }
        Kind::Same => {}
        _ => return None,
    }
    Some(Wish::put(token))
}

fn about_gone(token: Token) -> Wish {
    Wish {
        method: Method::DELETE,
        path: format!("{V2}/{}", token.id),
        body: String::new(),
        then: Then::Gone(token.id),
    }
}

/// By how often people ask for it.
fn weighed(chance: &mut Chance) -> &'static Kind {
    let all: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut left = chance.below(all);
    for (kind, weight) in &WEIGHTS {
        if left < *weight {
            return kind;
        }
        left -= weight;
    }
    &Kind::Create
}

const V2: &str = "/api/v2/apiTokens";
/// Tokens that are made first, for what comes then.
const BORN_FIRST: usize = 14;
/// With more tokens than that in an environment, some are deleted.
const MOST: usize = 24;

const PURPOSES: [&str; 7] = [
    "ci",
    "metrics",
    "logs",
    "alerts",
    "dashboards",
    "synthetics",
    "slo",
];

const SCOPES: [&str; 15] = [
    "metrics.read",
    "metrics.ingest",
    "logs.read",
    "logs.ingest",
    "entities.read",
    "problems.read",
    "events.read",
    "events.ingest",
    "slo.read",
    "traces.lookup",
    "openTelemetryTrace.ingest",
    "oneAgents.read",
    "releases.read",
    "settings.read",
    "networkZones.read",
];

const WEIGHTS: [(Kind, usize); 20] = [
    (Kind::Create, 16),
    (Kind::Widen, 14),
    (Kind::Narrow, 8),
    (Kind::Rename, 6),
    (Kind::Same, 6),
    (Kind::Disable, 4),
    (Kind::Delete, 8),
    (Kind::Misnamed, 6),
    (Kind::Forbidden, 9),
    (Kind::Misspelt, 4),
    (Kind::TooMany, 2),
    (Kind::MayMint, 3),
    (Kind::Revive, 2),
    (Kind::Itself, 2),
    (Kind::Nobodys, 2),
    (Kind::TenantToken, 1),
    (Kind::ConnectionInfo, 4),
    (Kind::Garbled, 1),
    (Kind::Legacy, 2),
    (Kind::HangsUp, 1),
];

/// In an order in which each finds what it needs, or several tries to.
const EACH: [Kind; 21] = [
    Kind::HangsUp,
    Kind::Widen,
    Kind::Disable,
    Kind::Disable,
    Kind::Same,
    Kind::Revive,
    Kind::Revive,
    Kind::Forbidden,
    Kind::Misnamed,
    Kind::Misspelt,
    Kind::TooMany,
    Kind::MayMint,
    Kind::Rename,
    Kind::Itself,
    Kind::Nobodys,
    Kind::TenantToken,
    Kind::ConnectionInfo,
    Kind::Narrow,
    Kind::Legacy,
    Kind::Delete,
    Kind::HangsUp,
];
