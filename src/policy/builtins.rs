//! Which functions a policy may call.
//!
//! Everything else is refused when the policy is loaded: what the engine lacks, what it only pretends to
//! have, and what could make the same request decide differently tomorrow. `time.now_ns` is allowed,
//! because here it answers `input.time`; so is `io.jwt.decode_verify`, whose now that is; `print` and `trace` are, because
//! they only talk.

mod arguments;
mod collections;
mod comparison;
mod encoding;
pub(super) mod glob;
mod graph;
mod hashes;
pub(super) mod json;
pub(super) mod jwt;
mod net;
pub(super) mod numbers;
mod patch;
mod paths;
mod patterns;
mod printed;
pub(super) mod regex;
mod sprintf;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod units;
mod uri;
mod uuid;
mod versions;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use regorus::Value;
use regorus::unstable::BUILTINS;

pub(super) use arguments::Arguments;
pub(super) use time::unusable;

/// What a builtin answers: `Undefined` where OPA's is undefined, and an error where OPA's fails.
pub(super) type Answer = Result<Value, String>;

/// A builtin of our own, for both engines: in place of the engine's, which says something else than OPA's, or one that
/// the engine lacks. It answers with a cost that is bounded by the sizes of its arguments, and never panics.
#[derive(Clone, Copy)]
pub(super) struct Own {
    pub(super) name: &'static str,
    pub(super) arity: u8,
    pub(super) call: fn(Arguments<'_>) -> Answer,
}

impl Own {
    const fn new(name: &'static str, arity: u8, call: fn(Arguments<'_>) -> Answer) -> Self {
        Self { name, arity, call }
    }

    /// What it says of these arguments, and its name if it fails.
    pub(super) fn answer(&self, arguments: &[Value]) -> anyhow::Result<Value> {
        let answer = (self.call)(Arguments::new(arguments));
        answer.map_err(|message| match self.name {
            BY_NAME => anyhow::anyhow!(message),
            name => anyhow::anyhow!("{name}: {message}"),
        })
    }
}

/// One that also takes the time of the decision, in nanoseconds. Only an interpreter has a clock.
#[derive(Clone, Copy)]
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) arity: u8,
    pub(super) call: fn(Arguments<'_>, i64) -> Answer,
}

/// All of them.
static TIMED: [Timed; 2] = [
    Timed {
        name: "time.now_ns",
        arity: 0,
        call: |_, now_ns| Ok(now_ns.into()),
    },
    jwt::DECODE_VERIFY,
];

/// All builtins of our own, by family.
const OWN: [&[Own]; 23] = [
    CALLS,
    collections::OWN,
    comparison::OWN,
    encoding::OWN,
    glob::OWN,
    graph::OWN,
    hashes::OWN,
    json::OWN,
    jwt::OWN,
    net::OWN,
    numbers::OWN,
    patch::OWN,
    paths::OWN,
    printed::OWN,
    regex::OWN,
    sprintf::OWN,
    template::OWN,
    text::OWN,
    time::OWN,
    units::OWN,
    uri::OWN,
    uuid::OWN,
    versions::OWN,
];

fn all() -> impl Iterator<Item = &'static Own> {
    OWN.into_iter().flatten()
}

pub(super) fn own(name: &str) -> Option<&'static Own> {
    static OWN: LazyLock<HashMap<&str, &Own>> =
        LazyLock::new(|| all().map(|own| (own.name, own)).collect());
    OWN.get(name).copied()
}

/// The builtin that calls one of ours by its name: `test.sleep(["plus", 1, 2])`. Bytecode can only call what is in the
/// engine's own table, and this is there, takes one argument, and is not for policies.
pub(super) const BY_NAME: &str = "test.sleep";

const CALLS: &[Own] = &[Own::new(BY_NAME, 1, by_name)];

fn by_name(arguments: Arguments<'_>) -> Answer {
    let call = arguments
        .any(0)?
        .as_array()
        .map_err(|error| error.to_string())?;
    let Some((Value::String(name), arguments)) = call.as_slice().split_first() else {
        return Err("a call begins with a name".to_owned());
    };
    match own(name.as_ref()) {
        Some(own) if arguments.len() == usize::from(own.arity) => {
            (own.call)(Arguments::new(arguments)).map_err(|message| format!("{name}: {message}"))
        }
        _ => Err(format!(
            "there is no {name} with {} arguments",
            arguments.len()
        )),
    }
}

/// Whether a builtin is only ours, so that bytecode has to call it by its name.
pub(super) fn is_only_ours(name: &str) -> bool {
    own(name).is_some() && !BUILTINS.contains_key(name)
}

/// Makes an object of pairs: what objects with several computed members are written out as.
pub(super) const OBJECT: &str = "internal.object";

/// Makes an object of paths and what is at the end of each: what objects that grow are written out as.
pub(super) const DOCUMENT: &str = "internal.document";

/// What has the members of a value, by the keys that OPA finds them by: what `xs[i]` walks through.
pub(super) const MEMBERS: &str = "internal.members";

/// All that `walk` finds, as pairs of paths and values.
pub(super) const WALKED: &str = "internal.walked";

/// Cuts what is printed: what arguments of `print` are written out as.
pub(super) const PRINTED: &str = "internal.printed";

/// Looks up what computed steps lead to in data.
pub(super) const DATUM: &str = "internal.datum";

/// Looks up what steps lead to where `with` may have put something in place of data.
pub(super) const REPLACED: &str = "internal.replaced";

/// Lets an interpreter have them: it looks for them before it looks for its own.
pub(super) fn register(rego: &mut regorus::Engine) {
    for own in all() {
        let call = move |arguments: Vec<Value>| own.answer(&arguments);
        rego.add_extension(own.name.to_owned(), own.arity, Box::new(call))
            .expect("each name is there once, and the engine is new");
    }
}

/// Lets an interpreter have those that ask for the time, which it tells them.
pub(super) fn register_timed(rego: &mut regorus::Engine, clock: &Arc<AtomicI64>) {
    for timed in &TIMED {
        let clock = Arc::clone(clock);
        let call = move |arguments: Vec<Value>| {
            (timed.call)(Arguments::new(&arguments), clock.load(Ordering::Relaxed))
                .map_err(|message| anyhow::anyhow!("{}: {message}", timed.name))
        };
        rego.add_extension(timed.name.to_owned(), timed.arity, Box::new(call))
            .expect("a prepared engine has no clock of its own");
    }
}

/// The builtin of this name that asks for the time.
pub(super) fn timed(name: &str) -> Option<&'static Timed> {
    TIMED.iter().find(|timed| timed.name == name)
}

const SIGNS: &str = "a key that signs does not belong in a policy, which many can read";

const GONE: &str = "OPA 1 has it no more";

/// Names, or families of names when they end in a dot or an underscore, and why a decision cannot rest on them.
const REFUSED: [(&str, &str); 27] = [
    ("all", GONE),
    ("and", "write a & b"),
    ("any", GONE),
    ("assign", "write a := b"),
    ("cast_", GONE),
    (
        "crypto.parse_private_keys",
        "dtgate has no keys for policies",
    ),
    ("crypto.x509.", "dtgate does not take certificates apart"),
    ("eq", "write a == b"),
    ("graphql.", "dtgate does not read GraphQL in policies"),
    ("http.send", "a decision may not depend on another service"),
    ("internal.", "only OPA's own compiler calls it"),
    ("io.jwt.encode_sign", SIGNS),
    ("io.jwt.encode_sign_raw", SIGNS),
    ("json.match_schema", NO_SCHEMAS),
    ("json.verify_schema", NO_SCHEMAS),
    (
        "net.cidr_overlap",
        "OPA 1 has it no more: write net.cidr_contains",
    ),
    (
        "net.lookup_ip_addr",
        "a decision may not depend on another service",
    ),
    (
        "opa.runtime",
        "a decision may not depend on where it is made",
    ),
    ("or", "write a | b"),
    ("providers.", "dtgate has no credentials for policies"),
    ("rand.", "a decision must come out the same again"),
    ("re_match", "OPA 1 has it no more: write regex.match"),
    ("rego.", "dtgate does not have policies that read policies"),
    ("set_diff", "OPA 1 has it no more: write a - b"),
    (
        "strings.render_template",
        "dtgate does not have the templates of Go: write sprintf(\"… %v …\", [value])",
    ),
    ("test.", "it is not for policies"),
    ("uuid.rfc4122", "a decision must come out the same again"),
];

const NO_SCHEMAS: &str =
    "dtgate does not have JSON Schema: write what must hold as conditions of a rule";

/// Why the builtin is refused, if it is.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED
        .iter()
        .find(|(refused, _)| {
            if refused.ends_with(['.', '_']) {
                name.starts_with(refused)
            } else {
                name == *refused
            }
        })
        .map(|(_, reason)| *reason)
}

/// Whether the engine has it.
pub(super) fn is_known(name: &str) -> bool {
    name == "print" || own(name).is_some() || timed(name).is_some() || BUILTINS.contains_key(name)
}

/// How many arguments a builtin takes.
pub(super) fn arity(name: &str) -> Option<usize> {
    let own = own(name).map(|own| own.arity);
    let own = own.or_else(|| timed(name).map(|timed| timed.arity));
    let arity = own.or_else(|| BUILTINS.get(name).map(|(_, arity)| *arity));
    arity.map(usize::from)
}

/// Every name a policy may call.
pub(super) fn allowed<'a>() -> Vec<&'a str> {
    let own = all().map(|own| own.name);
    let timed = TIMED.iter().map(|timed| timed.name);
    let names: BTreeSet<&str> = BUILTINS.keys().copied().chain(own).chain(timed).collect();
    let names = names.into_iter();
    names.filter(|name| refusal(name).is_none()).collect()
}
