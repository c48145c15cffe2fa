//! Which words about credentials an `OpenAPI` document speaks of: in the names of parameters, and of the properties that
//! its schemas have or refer to.
//!
//! Each schema is looked at once, whatever refers to it. It knows nothing of the catalogue.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::MAX_DEPTH;

/// The words about credentials that schemas speak of, each schema looked at once: many operations refer to it, and they
/// refer to each other in circles.
pub(super) struct Speaking<'a> {
    /// By the reference.
    schemas: HashMap<&'a str, &'a str>,
    /// By where they are: many paths may refer to one.
    operations: HashMap<*const Value, Option<String>>,
}

impl<'a> Speaking<'a> {
    pub(super) fn of(root: &'a Value) -> Self {
        // In an order that is always the same.
        let mut references = BTreeSet::new();
        objects(root, 0, &mut |members| {
            references.extend(reference(members));
        });
        let mut schemas: HashMap<&str, &str> = HashMap::new();
        // Who refers to a schema.
        let mut referring: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut pending = Vec::new();
        for name in references {
            let pointer = name.strip_prefix('#');
            let Some(target) = pointer.and_then(|pointer| root.pointer(pointer)) else {
                continue;
            };
            objects(target, 0, &mut |members| {
                if let Some(word) = named(members)
                    && let Entry::Vacant(vacant) = schemas.entry(name)
                {
                    vacant.insert(word);
                    pending.push((name, word));
                }
                if let Some(to) = reference(members) {
                    referring.entry(to).or_default().push(name);
                }
            });
        }
        while let Some((name, word)) = pending.pop() {
            for by in referring.remove(name).unwrap_or_default() {
                if let Entry::Vacant(vacant) = schemas.entry(by) {
                    vacant.insert(word);
                    pending.push((by, word));
                }
            }
        }
        Self {
            schemas,
            operations: HashMap::new(),
        }
    }

    /// The first word about credentials in the parameters and in the schemas of an operation.
    pub(super) fn operation(&mut self, item: &'a Value, operation: &'a Value) -> Option<String> {
        let Self {
            schemas,
            operations,
        } = self;
        let found = operations
            .entry(std::ptr::from_ref(operation))
            .or_insert_with(|| {
                let shared = item.get("parameters");
                let parts = ["parameters", "requestBody", "responses"];
                let parts = parts.iter().filter_map(|part| operation.get(part));
                let mut found = None;
                for part in shared.into_iter().chain(parts) {
                    objects(part, 0, &mut |members| {
                        let target = reference(members).and_then(|name| schemas.get(name).copied());
                        found = found.or(target).or_else(|| named(members));
                    });
                }
                found.map(str::to_owned)
            });
        found.clone()
    }
}

/// Calls `see` for every object in a part of a document, outer ones first, without examples.
fn objects<'a>(value: &'a Value, depth: usize, see: &mut dyn FnMut(&'a Map<String, Value>)) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(members) => {
            see(members);
            let below = members
                .iter()
                .filter(|(name, _)| *name != "example" && *name != "examples");
            for (_, below) in below {
                objects(below, depth + 1, see);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                objects(element, depth + 1, see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn reference(members: &Map<String, Value>) -> Option<&str> {
    members.get("$ref").and_then(Value::as_str)
}

/// The name of a property, or of a parameter, that is about credentials.
fn named(members: &Map<String, Value>) -> Option<&str> {
    let properties = members.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(Map::keys);
    let parameter = members.get("in").and_then(|_| members.get("name"));
    let mut names = names
        .map(String::as_str)
        .chain(parameter.and_then(Value::as_str));
    names.find(|name| is_about_credentials(name))
}

/// Whether a name speaks of something that opens doors, and not of the next page of a list.
pub(super) fn is_about_credentials(name: &str) -> bool {
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PAGES.iter().any(|word| name.contains(word))
}

const WORDS: [&str; 7] = [
    "apikey",
    "credential",
    "passcode",
    "password",
    "privatekey",
    "secret",
    "token",
];

const PAGES: [&str; 3] = ["continuation", "page", "requesttoken"];
