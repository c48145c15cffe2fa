//! The input document as the engine's own value.
//!
//! Written out by hand, because every request pays for it: through JSON it takes several times as long. A test
//! compares the two on made-up documents, so that there is one spelling.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::{Change, Current, Envoy, Input, Target};

/// The whole document.
pub(super) fn document(input: &Input) -> Value {
    let caller = &input.caller;
    let token = caller.token.as_ref();
    let token = token.map(|token| CALLER_TOKEN.with([text(&token.id), text(&token.kind)]));
    let certificate = caller.certificate.as_ref();
    let environment = &input.environment;
    let settings = input.settings.as_ref();
    let settings = settings.map(|settings| SETTINGS.with([texts(&settings.schemas)]));
    let document = DOCUMENT.with([
        text(&input.api),
        CALLER.with([
            text(&caller.address),
            certificate.map_or(Value::Null, to_rego),
            token.unwrap_or(Value::Null),
        ]),
        change(&input.change),
        ENVIRONMENT.with([
            map(&environment.data),
            text(&environment.id),
            text(&environment.name),
        ]),
        text(&input.operation),
        settings.unwrap_or(Value::Null),
        text(&super::instant::text(input.time)),
        input.token.as_ref().map_or(Value::Null, target),
        map(&input.unknown_members),
    ]);
    match &input.envoy {
        None => document,
        Some(envoy) => with_envoy(&document, envoy),
    }
}

fn target(target: &Target) -> Value {
    TARGET.with([
        target.current.as_ref().map_or(Value::Null, current),
        text(&target.id),
        maybe(target.lookup_error.as_deref()),
    ])
}

fn current(token: &Current) -> Value {
    CURRENT.with([
        flag(token.enabled),
        maybe(token.expiration.as_deref()),
        maybe(token.id.as_deref()),
        maybe(token.name.as_deref()),
        maybe(token.owner.as_deref()),
        flag(token.personal),
        texts(&token.scopes),
    ])
}

fn change(change: &Change) -> Value {
    let scopes = &change.scopes;
    CHANGE.with([
        list(change.differs.as_deref()),
        WISH.with([flag(change.enabled.current), flag(change.enabled.requested)]),
        REQUESTED.with([maybe(change.expiration.requested.as_deref())]),
        WISH.with([
            maybe(change.name.current.as_deref()),
            maybe(change.name.requested.as_deref()),
        ]),
        REQUESTED.with([flag(change.personal.requested)]),
        SCOPES.with([
            list(scopes.added.as_deref()),
            list(scopes.current.as_deref()),
            list(scopes.kept.as_deref()),
            list(scopes.removed.as_deref()),
            list(scopes.requested.as_deref()),
        ]),
    ])
}

/// Few policies read the shape of OPA-Envoy, so that it may take the long way.
fn with_envoy(document: &Value, envoy: &Envoy) -> Value {
    let members = serde_json::to_value(envoy).unwrap_or_default();
    let Ok(document) = document.as_object() else {
        return Value::Undefined;
    };
    let mut all: BTreeMap<Value, Value> = BTreeMap::new();
    all.extend(
        document
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    for (name, value) in members.as_object().into_iter().flatten() {
        all.insert(text(name), to_rego(value));
    }
    all.into()
}

/// The members of an object by name, in the order of the alphabet. Their names are made once, for all requests.
struct Shape<const N: usize> {
    names: [&'static str; N],
    empty: OnceLock<BTreeMap<Value, Value>>,
}

impl<const N: usize> Shape<N> {
    const fn of(names: [&'static str; N]) -> Self {
        Self {
            names,
            empty: OnceLock::new(),
        }
    }

    fn with(&self, values: [Value; N]) -> Value {
        let empty = self.empty.get_or_init(|| {
            let names = self.names.iter();
            names.map(|name| (text(name), Value::Null)).collect()
        });
        let mut members = empty.clone();
        for (member, value) in members.values_mut().zip(values) {
            *member = value;
        }
        members.into()
    }
}

static DOCUMENT: Shape<9> = Shape::of([
    "api",
    "caller",
    "change",
    "environment",
    "operation",
    "settings",
    "time",
    "token",
    "unknown_members",
]);
static CALLER: Shape<3> = Shape::of(["address", "certificate", "token"]);
static CALLER_TOKEN: Shape<2> = Shape::of(["id", "kind"]);
static CHANGE: Shape<6> = Shape::of([
    "differs",
    "enabled",
    "expiration",
    "name",
    "personal",
    "scopes",
]);
static CURRENT: Shape<7> = Shape::of([
    "enabled",
    "expiration",
    "id",
    "name",
    "owner",
    "personal",
    "scopes",
]);
static ENVIRONMENT: Shape<3> = Shape::of(["data", "id", "name"]);
static REQUESTED: Shape<1> = Shape::of(["requested"]);
static SCOPES: Shape<5> = Shape::of(["added", "current", "kept", "removed", "requested"]);
static SETTINGS: Shape<1> = Shape::of(["schemas"]);
static TARGET: Shape<3> = Shape::of(["current", "id", "lookup_error"]);
static WISH: Shape<2> = Shape::of(["current", "requested"]);

fn text(text: &str) -> Value {
    text.into()
}

fn maybe(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn flag(flag: Option<bool>) -> Value {
    flag.map_or(Value::Null, Value::from)
}

fn texts(texts: &[String]) -> Value {
    texts
        .iter()
        .map(|text| text.as_str().into())
        .collect::<Vec<Value>>()
        .into()
}

fn list(list: Option<&[String]>) -> Value {
    list.map_or(Value::Null, texts)
}

fn map(members: &Map<String, Json>) -> Value {
    let members = members.iter();
    let members: BTreeMap<Value, Value> = members
        .map(|(name, value)| (name.as_str().into(), to_rego(value)))
        .collect();
    members.into()
}

/// Converts without the detour through text, which would turn large integers into floats.
pub(in super::super) fn to_rego(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::String(value) => text(value),
        Json::Array(items) => items.iter().map(to_rego).collect::<Vec<Value>>().into(),
        Json::Object(members) => map(members),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => value.into(),
            (_, Some(value), _) => value.into(),
            (.., Some(value)) => value.into(),
            // Not reachable without arbitrary-precision numbers; text keeps every digit.
            _ => Value::from_numeric_string(&number.to_string()).unwrap_or(Value::Undefined),
        },
    }
}
