//! Where in a record values are looked for, and where names of members are: what its readers go by stays as it is,
//! whatever a caller calls itself.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::words::Values;

/// A record with pseudonyms, and where they stand.
pub(super) fn replaced(
    event: Map<String, Value>,
    values: &Values,
) -> (Map<String, Value>, Vec<Value>) {
    let mut work = Work {
        values,
        path: Vec::new(),
        places: Vec::new(),
    };
    let event = work.members(event);
    (event, work.places)
}

struct Work<'a> {
    values: &'a Values,
    path: Vec<String>,
    places: Vec<Value>,
}

impl Work<'_> {
    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                let shown = match self.path.first().map(String::as_str) {
                    Some("erased" | "masked") => pointer(&text, self.values),
                    _ if is_one_of(IDS, &self.path) => self.values.id(&text),
                    _ => self.values.text(&text),
                };
                match shown {
                    Cow::Borrowed(_) => Value::String(text),
                    Cow::Owned(shown) => {
                        self.found();
                        Value::String(shown)
                    }
                }
            }
            Value::Array(elements) => {
                let elements = elements.into_iter().enumerate();
                let elements =
                    elements.map(|(number, element)| self.below(number.to_string(), element));
                Value::Array(elements.collect())
            }
            Value::Object(members) => Value::Object(self.members(members)),
            Value::Number(number) if self.is_in(CLAIMS) => {
                match self.values.text(&number.to_string()) {
                    Cow::Borrowed(_) => Value::Number(number),
                    Cow::Owned(shown) => {
                        self.found();
                        Value::String(shown)
                    }
                }
            }
            other => other,
        }
    }

    fn is_in(&self, place: &[&str]) -> bool {
        let head = self.path.get(..place.len());
        head.is_some_and(|head| matches(place, head))
    }

    fn members(&mut self, members: Map<String, Value>) -> Map<String, Value> {
        let is_open = is_open(&self.path);
        let mut all = Map::with_capacity(members.len());
        for (name, value) in members {
            let shown = match self.values.text(&name) {
                Cow::Owned(shown) if is_open => {
                    self.found();
                    shown
                }
                _ => name,
            };
            let value = self.below(shown.clone(), value);
            // Names that differ in case alone have one pseudonym: both values stay.
            let mut name = shown;
            while all.contains_key(&name) {
                name.push('\'');
            }
            all.insert(name, value);
        }
        all
    }

    fn below(&mut self, step: String, value: Value) -> Value {
        self.path.push(step);
        let value = if is_kept(&self.path) {
            value
        } else {
            self.value(value)
        };
        self.path.pop();
        value
    }

    fn found(&mut self) {
        let mut place = String::new();
        for step in &self.path {
            place.push('/');
            place.push_str(&escaped(step));
        }
        let place = Value::from(place);
        if self.places.last() != Some(&place) {
            self.places.push(place);
        }
    }
}

/// A step as JSON pointers have it (RFC 6901): names may have slashes.
fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// A path of a mask: its steps are ours as far as the document's members are.
fn pointer<'a>(text: &'a str, values: &Values) -> Cow<'a, str> {
    let mut steps: Vec<String> = Vec::new();
    let mut is_changed = false;
    for step in text.split('/').skip(1) {
        match values.text(step) {
            Cow::Owned(shown) if is_open(&steps) => {
                is_changed = true;
                steps.push(shown);
            }
            _ => steps.push(step.to_owned()),
        }
    }
    if is_changed {
        Cow::Owned(format!("/{}", steps.join("/")))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether what stands here has members that others name.
fn is_open(path: &[String]) -> bool {
    OPEN.iter().any(|open| {
        let head = path.get(..open.len());
        head.is_some_and(|head| matches(open, head))
    })
}

fn is_kept(path: &[String]) -> bool {
    is_one_of(&KEPT, path)
}

fn is_one_of(places: &[&[&str]], path: &[String]) -> bool {
    let mut places = places.iter();
    places.any(|place| place.len() == path.len() && matches(place, path))
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    let mut both = pattern.iter().zip(path);
    both.all(|(step, is)| *step == "*" || step == is)
}

/// The one place where values may be numbers.
const CLAIMS: &[&str] = &["input", "caller", "jwt", "claims"];
const OPEN: [&[&str]; 8] = [
    &["input", "unknown_members"],
    &["input", "environment", "data"],
    CLAIMS,
    &["input", "attributes", "request", "http", "headers"],
    &["input", "parsed_query"],
    &["input", "parsed_body"],
    &["result", "violations", "*", "details"],
    &["nd_builtin_cache"],
];

/// By these the history of a token is asked for.
const IDS: &[&[&str]] = &[
    &["input", "token", "id"],
    &["input", "token", "current", "id"],
    &["credential", "id"],
];

/// What chain, verification, joins and readers go by, and what says nothing of a caller.
const KEPT: [&[&str]; 44] = [
    &["counted"],
    &["kind"],
    &["timestamp"],
    &["decision_id"],
    &["decision_seq"],
    &["labels"],
    &["bundles"],
    &["metrics"],
    &["evaluator"],
    &["verdict"],
    &["operation"],
    &["environment"],
    // Signed: what is taken out of its note leaves a record that proves nothing.
    &["grant"],
    &["first"],
    &["last"],
    &["count"],
    &["status"],
    &["statuses"],
    &["reasons"],
    &["method"],
    // The operator's own words.
    &["caller", "teams"],
    &["callers", "*", "caller", "teams"],
    &["input", "caller", "teams"],
    &["caller", "kind"],
    &["callers", "*", "caller", "kind"],
    &["request", "id"],
    &["request", "method"],
    &["request", "query"],
    &["request", "caller_hash"],
    &["request", "received_sha256"],
    &["request", "forwarded_sha256"],
    &["result", "violations", "*", "code"],
    &["result", "violations", "*", "policy"],
    &["result", "violations", "*", "mode"],
    &["result", "violations", "*", "rule"],
    &["input", "operation"],
    &["input", "api"],
    &["input", "time"],
    &["input", "environment", "name"],
    &["input", "caller", "token", "kind"],
    &["input", "change", "expiration", "at"],
    &["input", "change", "differs"],
    &["input", "change", "scopes"],
    &["input", "token", "current", "scopes"],
];
