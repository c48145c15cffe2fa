//! The input document as the engine's own value.
//!
//! Written out by hand, because every request pays for it: through JSON it takes several times as long. A test
//! compares the two on made-up documents, so that there is one spelling.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::{
    Amounts, Caller, CallerCertificate, CallerJwt, CallerToken, Change, Current, Envoy, Input,
    Target,
};
use crate::dynatrace::redact::Redacted;

/// The whole document.
pub(super) fn document(input: &Input) -> Value {
    let caller = &input.caller;
    let environment = &input.environment;
    let unknown = &input.unknown_members;
    let document = DOCUMENT.with([
        Some(text(&input.api)),
        Some(self::caller(caller)),
        Some(change(&input.change)),
        Some(ENVIRONMENT.with([
            Some(map(&environment.data)),
            Some(text(&environment.id)),
            Some(text(&environment.name)),
        ])),
        Some(text(&input.operation)),
        input.settings.as_ref().map(|settings| {
            let schemas = settings.schemas.iter().map(|schema| text(schema));
            SETTINGS.with([Some(schemas.collect::<Vec<Value>>().into())])
        }),
        Some(text(&super::instant::text(input.time))),
        input.token.as_ref().map(target),
        (!unknown.is_empty()).then(|| map(unknown)),
    ]);
    match &input.envoy {
        None => document,
        Some(envoy) => with_envoy(&document, envoy),
    }
}

fn caller(caller: &Caller) -> Value {
    let CallerToken { id, kind } = &caller.token;
    let teams = caller.teams.iter().map(|team| text(team));
    CALLER.with([
        Some(text(&caller.address)),
        Some(certificate(&caller.certificate)),
        Some(jwt(&caller.jwt)),
        caller.recent.map(amounts),
        Some(teams.collect::<Vec<Value>>().into()),
        Some(CALLER_TOKEN.with([id, kind].map(|it| Some(text(it))))),
    ])
}

fn amounts(amounts: Amounts) -> Value {
    let Amounts {
        created,
        scopes_gained,
        removed,
    } = amounts;
    AMOUNTS.with([created, removed, scopes_gained].map(|number| Some(number.into())))
}

/// Most callers have none: then it is always the same.
fn certificate(certificate: &CallerCertificate) -> Value {
    static NONE: OnceLock<Value> = OnceLock::new();
    if *certificate == CallerCertificate::default() {
        return NONE.get_or_init(|| certificate_of(certificate)).clone();
    }
    certificate_of(certificate)
}

fn certificate_of(certificate: &CallerCertificate) -> Value {
    CALLER_CERTIFICATE.with([
        Some(texts(&certificate.addresses)),
        Some(texts(&certificate.dns)),
        Some(texts(&certificate.emails)),
        Some(text(&certificate.fingerprint)),
        Some(text(&certificate.issuer)),
        Some(text(&certificate.not_after)),
        Some(text(&certificate.serial)),
        Some(text(&certificate.spiffe_id)),
        Some(text(&certificate.subject)),
        Some(texts(&certificate.uris)),
    ])
}

fn jwt(jwt: &CallerJwt) -> Value {
    static NONE: OnceLock<Value> = OnceLock::new();
    if *jwt == CallerJwt::default() {
        return NONE.get_or_init(|| jwt_of(jwt)).clone();
    }
    jwt_of(jwt)
}

fn jwt_of(jwt: &CallerJwt) -> Value {
    CALLER_JWT.with([
        Some(texts(&jwt.audiences)),
        Some(map(&jwt.claims)),
        Some(text(&jwt.id)),
        Some(text(&jwt.issuer)),
        Some(text(&jwt.subject)),
    ])
}

fn target(target: &Target) -> Value {
    TARGET.with([
        target.current.as_ref().map(current),
        Some(text(&target.id)),
        Some(target.is_known().into()),
        maybe(target.lookup_error.as_ref()),
    ])
}

fn current(token: &Current) -> Value {
    CURRENT.with([
        token.enabled.map(Value::from),
        maybe(token.expiration.as_ref()),
        maybe(token.id.as_ref()),
        maybe(token.name.as_ref()),
        maybe(token.owner.as_ref()),
        token.personal.map(Value::from),
        Some(texts(&token.scopes)),
    ])
}

fn change(change: &Change) -> Value {
    let (expiration, name, scopes) = (&change.expiration, &change.name, &change.scopes);
    let differs = change.differs.as_ref();
    let list = |list: &Option<Vec<Redacted>>| list.as_deref().map(texts);
    CHANGE.with([
        differs.map(|members| {
            let members = members.iter().map(|member| text(member));
            members.collect::<Vec<Value>>().into()
        }),
        Some(WISH.with([
            change.enabled.current.map(Value::from),
            change.enabled.requested.map(Value::from),
        ])),
        Some(EXPIRATION.with([
            expiration.at.map(|at| text(&super::instant::text(at))),
            maybe(expiration.requested.as_ref()),
        ])),
        Some(WISH.with([maybe(name.current.as_ref()), maybe(name.requested.as_ref())])),
        Some(REQUESTED.with([change.personal.requested.map(Value::from)])),
        Some(SCOPES.with([
            list(&scopes.added),
            list(&scopes.current),
            list(&scopes.kept),
            list(&scopes.removed),
            list(&scopes.requested),
        ])),
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

/// The members that an object may have, in the order of the alphabet. Their names are made once, for all requests.
struct Shape<const N: usize> {
    names: [&'static str; N],
    made: OnceLock<[Value; N]>,
}

impl<const N: usize> Shape<N> {
    const fn of(names: [&'static str; N]) -> Self {
        Self {
            names,
            made: OnceLock::new(),
        }
    }

    /// The object with those members that have a value.
    fn with(&self, values: [Option<Value>; N]) -> Value {
        let names = self.made.get_or_init(|| self.names.map(text));
        let members = names.iter().zip(values);
        let members: BTreeMap<Value, Value> = members
            .filter_map(|(name, value)| Some((name.clone(), value?)))
            .collect();
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
static CALLER: Shape<6> = Shape::of(["address", "certificate", "jwt", "recent", "teams", "token"]);
static AMOUNTS: Shape<3> = Shape::of(["created", "removed", "scopes_gained"]);
static CALLER_CERTIFICATE: Shape<10> = Shape::of([
    "addresses",
    "dns",
    "emails",
    "fingerprint",
    "issuer",
    "not_after",
    "serial",
    "spiffe_id",
    "subject",
    "uris",
]);
static CALLER_JWT: Shape<5> = Shape::of(["audiences", "claims", "id", "issuer", "subject"]);
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
static EXPIRATION: Shape<2> = Shape::of(["at", "requested"]);
static ENVIRONMENT: Shape<3> = Shape::of(["data", "id", "name"]);
static REQUESTED: Shape<1> = Shape::of(["requested"]);
static SCOPES: Shape<5> = Shape::of(["added", "current", "kept", "removed", "requested"]);
static SETTINGS: Shape<1> = Shape::of(["schemas"]);
static TARGET: Shape<4> = Shape::of(["current", "id", "known", "lookup_error"]);
static WISH: Shape<2> = Shape::of(["current", "requested"]);

fn text(text: &str) -> Value {
    text.into()
}

fn maybe(told: Option<&Redacted>) -> Option<Value> {
    told.map(|told| text(told))
}

fn texts(texts: &[Redacted]) -> Value {
    texts
        .iter()
        .map(|each| text(each))
        .collect::<Vec<Value>>()
        .into()
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
