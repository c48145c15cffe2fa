//! One request of every kind that policies judge, made up from the catalogue.
//!
//! A row of the catalogue is enough to get its requests, so that whatever is added there is rehearsed. They look as
//! Dynatrace's documentation writes them. The guard reads them as any others; none of them was ever sent.

use std::fmt;

use serde_json::{Value, json};

use crate::dynatrace::catalogue::{
    self, ANY, Api, Catalogue, Content, Endpoint, Handling, ID, Only, Operation, REST, SCHEMAS,
    Words, is_open,
};

/// A kind of request, and one request of it.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    endpoint: &'static Endpoint,
    /// For people: what stands in the body.
    asks: &'static str,
    pub(super) body: Option<Value>,
    pub(super) looked_up: Option<LookedUp>,
    pub(super) caller: &'static Caller,
}

/// What the lookup of a token came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LookedUp {
    Found,
    /// One of which Dynatrace tells nothing that it need not.
    FoundBare,
    Missing,
}

/// Who asks, and from where.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) address: &'static str,
    pub(super) has_token: bool,
}

/// All kinds that the catalogue has. `lookups`: whether tokens are looked up before they are changed.
pub(super) fn all(catalogue: &Catalogue, lookups: bool) -> Vec<Kind> {
    let mut groups: Vec<Vec<&'static Endpoint>> = Vec::new();
    for row in catalogue.rows() {
        if row.handling != Handling::Judge {
            continue;
        }
        let endpoint = row.endpoint;
        let same = |group: &&mut Vec<&Endpoint>| {
            group.first().is_some_and(|first| {
                first.operation == endpoint.operation
                    && first.content.is_read() == endpoint.content.is_read()
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(endpoint),
            None => groups.push(vec![endpoint]),
        }
    }
    let mut kinds = Vec::new();
    for group in groups {
        // Whatever is asked for is asked for by both callers: by one on this row, by the other on the next.
        let times = group.len().max(CALLERS.len());
        for (place, endpoint) in group.iter().copied().cycle().take(times).enumerate() {
            kinds.extend(of(endpoint, place, lookups));
        }
    }
    kinds
}

/// The kinds of one row. Its `place` among those that are alike says who asks first.
fn of(endpoint: &'static Endpoint, place: usize, lookups: bool) -> Vec<Kind> {
    let looked_up: &[Option<LookedUp>] = match endpoint.api {
        _ if !lookups || !endpoint.operation.changes_token() => &[None],
        // A start takes a millisecond longer with each kind, and a cluster's tokens are the same once more.
        Api::ClusterV1 => &[Some(LookedUp::Found)],
        Api::ClusterV2 => &[Some(LookedUp::Missing)],
        _ => &[
            Some(LookedUp::Found),
            Some(LookedUp::Missing),
            Some(LookedUp::FoundBare),
        ],
    };
    let mut kinds = Vec::new();
    for (asks, body) in bodies(endpoint) {
        let callers = CALLERS.iter().cycle().skip(place);
        kinds.extend(
            looked_up
                .iter()
                .zip(callers)
                .map(|(looked_up, caller)| Kind {
                    endpoint,
                    asks,
                    body: body.clone(),
                    looked_up: *looked_up,
                    caller,
                }),
        );
    }
    kinds
}

/// What can be asked for, for people and as JSON.
fn bodies(endpoint: &Endpoint) -> Vec<(&'static str, Option<Value>)> {
    let some = |asks, body| (asks, Some(body));
    match endpoint.content {
        Content::Nothing | Content::Opaque => vec![("", None)],
        Content::Token(words) if endpoint.operation.makes_token() => vec![
            some(
                "with name and scopes",
                json!({"name": NAME, "scopes": ["metrics.read"]}),
            ),
            some(
                "with a list of no scopes",
                json!({"name": NAME, "scopes": []}),
            ),
            some(
                "with an empty name",
                json!({"name": "", "scopes": ["metrics.read"]}),
            ),
            some(
                "with a name in another script, and expiration",
                with(
                    json!({"name": FOREIGN_NAME, "scopes": ["metrics.read"]}),
                    expiration(words),
                ),
            ),
            some(EVERYTHING, everything(words)),
        ]
        .into_iter()
        .chain((words == Words::V2).then(|| {
            let personal =
                json!({"name": NAME, "scopes": ["metrics.read"], "personalAccessToken": true});
            some("of a personal token", personal)
        }))
        .collect(),
        Content::Token(words) => changes(words),
        Content::Named(words) => vec![
            some(
                "with name and expiration",
                with(
                    json!({"name": NAME, "activeGateType": "ENVIRONMENT"}),
                    expiration(words),
                ),
            ),
            some("with a name alone", json!({"name": NAME})),
            some("that asks for nothing", json!({})),
            ("without a body", None),
        ],
        Content::Settings => vec![
            some("of one schema", json!([settings(SCHEMA)])),
            some(
                "of all schemas",
                SCHEMAS.iter().copied().map(settings).collect(),
            ),
        ],
        Content::Object => vec![some("", object(endpoint.operation))],
    }
}

/// Each part of a change alone, and all of them.
fn changes(words: Words) -> Vec<(&'static str, Option<Value>)> {
    let enabled = |enabled: bool| match words {
        Words::V1 => json!({"revoked": !enabled}),
        Words::V2 => json!({"enabled": enabled}),
    };
    let mut changes = vec![
        ("with name alone", json!({"name": NAME})),
        (
            "with scopes alone",
            json!({"scopes": ["metrics.read", "logs.read"]}),
        ),
        ("with a list of no scopes", json!({"scopes": []})),
        ("with an empty name", json!({"name": ""})),
        (
            "with a name in another script",
            json!({"name": FOREIGN_NAME}),
        ),
        ("that only disables", enabled(false)),
        ("that only enables", enabled(true)),
        ("with expiration alone", expiration(words)),
        (
            "with an unknown member alone",
            json!({"description": "ours"}),
        ),
        ("that asks for nothing", json!({})),
        (EVERYTHING, everything(words)),
    ];
    if words == Words::V2 {
        let personal = json!({"personalAccessToken": true});
        changes.push(("with personalAccessToken alone", personal));
    }
    let changes = changes.into_iter();
    changes.map(|(asks, body)| (asks, Some(body))).collect()
}

fn everything(words: Words) -> Value {
    let common = json!({
        "name": NAME,
        // The documentation's own example, which hardly any policy lets pass: what is said about it can fail as well.
        "scopes": [
            "ExternalSyntheticIntegration", "DataPrivacy", "WriteConfig", "DssFileManagement", "LogExport",
            "DTAQLAccess", "ReadConfig", "CaptureRequestData", "ReadSyntheticData", "DataExport",
            "UserSessionAnonymization", "MaintenanceWindows", "LogImport", "TenantTokenManagement",
        ],
        "description": "ours",
    });
    let own = match words {
        Words::V1 => json!({"revoked": false}),
        Words::V2 => json!({"enabled": true, "personalAccessToken": false}),
    };
    with(with(common, own), expiration(words))
}

/// Both objects in one.
fn with(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut members), Value::Object(others)) => {
            members.extend(others);
            Value::Object(members)
        }
        (one, _) => one,
    }
}

fn expiration(words: Words) -> Value {
    match words {
        Words::V1 => json!({"expiresIn": {"value": 14, "unit": "DAYS"}}),
        Words::V2 => json!({"expirationDate": "now+14d"}),
    }
}

fn settings(schema: &str) -> Value {
    json!({"schemaId": schema, "scope": "environment", "value": {"enabled": true}})
}

fn object(operation: Operation) -> Value {
    match operation {
        Operation::DashboardSharingUpdate => json!({
            "id": UUID, "enabled": true, "preset": false, "permissions": [{"type": "ALL", "permission": "VIEW"}],
            "publicAccess": {"managementZoneIds": ["1"], "urls": {}},
        }),
        Operation::EdgeConnectCreate | Operation::EdgeConnectUpdate => {
            json!({"name": NAME, "hostPatterns": ["*.internal.example"], "oauthClientScopes": ["app-engine:edge-connects:connect"]})
        }
        _ => json!({"name": NAME}),
    }
}

impl Kind {
    pub(super) fn operation(&self) -> Operation {
        self.endpoint.operation
    }

    pub(super) fn method(&self) -> &'static str {
        match self.endpoint.method {
            ANY => "POST",
            method => method,
        }
    }

    /// Path and query, below `/e/{environment-id}`.
    pub(super) fn target(&self) -> String {
        let id = match self.endpoint.api {
            Api::V1 | Api::ClusterV1 => UUID,
            _ => TOKEN,
        };
        let segments = self.endpoint.path.split('/').map(|segment| {
            let (name, verb) = match segment.rsplit_once(':') {
                Some((name, verb)) => (name, format!(":{verb}")),
                None => (segment, String::new()),
            };
            let name = match name {
                ID => id,
                REST => "agent/unix/default/latest",
                catalogue::OBJECT => OBJECT,
                open if is_open(open) => UUID,
                fixed => fixed,
            };
            format!("{name}{verb}")
        });
        let path = segments.collect::<Vec<_>>().join("/");
        match self.endpoint.only {
            Only::Query(_) => format!("{path}?createToken=true"),
            Only::Always | Only::Schemas => path,
        }
    }

    pub(super) fn asks_for_everything(&self) -> bool {
        self.asks == EVERYTHING
    }

    /// Name and value of the header that shows who asks.
    pub(super) fn credential(&self) -> (&'static str, &'static str) {
        match (self.caller.has_token, self.endpoint.api) {
            (true, Api::Platform) => ("authorization", PLATFORM_TOKEN),
            (true, _) => ("authorization", API_TOKEN),
            (false, _) => ("cookie", "SESSION=0f7c1e"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method(), self.endpoint.path)?;
        if !self.asks.is_empty() {
            write!(out, " {}", self.asks)?;
        }
        match self.looked_up {
            Some(LookedUp::Found) => write!(out, ", the token was found")?,
            Some(LookedUp::FoundBare) => write!(
                out,
                ", a disabled token without expiration and scopes was found"
            )?,
            Some(LookedUp::Missing) => write!(out, ", the token was not found")?,
            None => {}
        }
        let credential = if self.caller.has_token {
            "a token"
        } else {
            "a browser's session and no token"
        };
        write!(out, ", from {} with {credential}", self.caller.address)
    }
}

/// The gate lets nobody in without a credential; without a token there is a browser's session.
static CALLERS: [Caller; 2] = [
    Caller {
        address: "192.0.2.1",
        has_token: true,
    },
    Caller {
        address: "2001:db8::1",
        has_token: false,
    },
];

const EVERYTHING: &str = "with everything";
const NAME: &str = "payments-prod-ci";
/// Letters of one byte, of two and of three.
const FOREIGN_NAME: &str = "zahlungen-für-東京";
const SCHEMA: &str = "builtin:tokens.token-settings";
const UUID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";
const TOKEN: &str = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";
/// An object of `builtin:tokens.token-settings`.
const OBJECT: &str = "vu9U3hXa3q0AAAABAB1idWlsdGluOnRva2Vucy50b2tlbi1zZXR0aW5ncwALZW52aXJvbm1lbnQAC2Vudmlyb25tZW50ACRhM2MxYjZmMC01YTBjLTNlNmEtOWY1Ny02YTRmNmMxZDJlM2Y";
/// The documentation's example of a token.
const API_TOKEN: &str = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
const PLATFORM_TOKEN: &str =
    "Bearer dt0s16.TYUHJKNM.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
