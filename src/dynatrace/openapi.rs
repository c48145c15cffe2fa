//! Dynatrace's own documents of its API, compared with what is shipped: scopes that the lists do not have, and
//! endpoints about credentials that the catalogue does not have.
//!
//! Pure. What it cannot make sense of it passes over: a document is a hint for people, and nothing here decides about
//! a request.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value};
use thiserror::Error;

use super::catalogue::{Catalogue, ENVIRONMENT, Find, PROXY, REST, Row, is_open};

/// A document in the form of `OpenAPI` 3, or of its predecessor Swagger 2.
#[derive(Debug)]
pub struct Document {
    root: Value,
    /// What stands before its paths: `/api/v2`.
    bases: BTreeSet<String>,
}

/// It is another kind of document.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("this is no OpenAPI document: it has no paths")]
pub struct NoPaths;

/// An endpoint about credentials that no row knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub path: String,
    pub method: String,
    pub why: Why,
}

/// What makes an endpoint one that the catalogue has to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It writes below what is judged or refused.
    Below(String),
    /// Its path has such a word, or its request or answer has a member called so.
    Speaks(String),
}

impl Document {
    pub fn new(root: Value) -> Result<Self, NoPaths> {
        if !root.get("paths").is_some_and(Value::is_object) {
            return Err(NoPaths);
        }
        let servers = root.get("servers").and_then(Value::as_array);
        let urls = servers.into_iter().flatten();
        let urls = urls.filter_map(|server| server.get("url")?.as_str());
        let mut bases: BTreeSet<String> = urls.map(base).collect();
        bases.extend(root.get("basePath").and_then(Value::as_str).map(base));
        if bases.is_empty() {
            bases.insert(String::new());
        }
        Ok(Self { root, bases })
    }

    /// The scopes that a token may have, with the schemas (or paths) that list them.
    pub fn scopes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::new();
        for (place, below) in [
            (
                "/components/schemas",
                self.root.pointer("/components/schemas"),
            ),
            ("/definitions", self.root.get("definitions")),
            ("/paths", self.root.get("paths")),
        ] {
            let entries = below.and_then(Value::as_object).into_iter().flatten();
            for (name, schema) in entries {
                let about_tokens = name.to_lowercase().contains("token");
                if about_tokens || place == "/paths" {
                    self.collect(name, schema, about_tokens, 0, &mut found);
                }
            }
        }
        found
    }

    /// Looks for properties `scopes` with an enumeration.
    fn collect(
        &self,
        name: &str,
        value: &Value,
        about_tokens: bool,
        depth: usize,
        found: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        let Value::Object(members) = value else {
            for element in value.as_array().into_iter().flatten() {
                self.collect(name, element, about_tokens, depth + 1, found);
            }
            return;
        };
        for (member, below) in members {
            if member == "scopes" && about_tokens {
                for scope in self.enumeration(below) {
                    found.entry(scope).or_default().insert(name.to_owned());
                }
            }
            self.collect(name, below, about_tokens, depth + 1, found);
        }
    }

    /// The values of an array's elements, given in place or by reference.
    fn enumeration(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.resolved(schema);
        let items = schema.get("items").map(|items| self.resolved(items));
        let values = items.and_then(|items| items.get("enum")?.as_array());
        let values = values.into_iter().flatten().filter_map(Value::as_str);
        values.map(str::to_owned).collect()
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..MAX_REFERENCES {
            match self.reference(value) {
                Some(target) => value = target,
                None => break,
            }
        }
        value
    }

    fn reference(&self, value: &Value) -> Option<&Value> {
        let pointer = value.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    /// How many endpoints it has, and those about credentials that no row knows.
    pub fn endpoints(&self, catalogue: &Catalogue) -> (usize, BTreeSet<Endpoint>) {
        let mut missing = BTreeSet::new();
        let mut count = 0;
        let paths = self.root.get("paths").and_then(Value::as_object);
        let items = paths.into_iter().flatten().flat_map(|(path, item)| {
            // What it has itself, and what it refers to.
            let target = self.reference(item).map(|_| self.resolved(item));
            std::iter::once(item)
                .chain(target)
                .map(move |item| (path, item))
        });
        for (path, item) in items {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if !METHODS.contains(&method.as_str()) {
                    continue;
                }
                count += 1;
                for base in &self.bases {
                    let path = format!("{base}{path}");
                    let method = method.to_uppercase();
                    missing.extend(self.missing(path, method, item, operation, catalogue));
                }
            }
        }
        (count, missing)
    }

    fn missing(
        &self,
        path: String,
        method: String,
        item: &Value,
        operation: &Value,
        catalogue: &Catalogue,
    ) -> Option<Endpoint> {
        let below = below(&path);
        let documented = match below.strip_prefix(PROXY) {
            Some(rest) => [&["api"], rest].concat(),
            None => below,
        };
        let rows = catalogue.rows();
        match catalogue.find(&method, &documented) {
            Find::Row(row) if !takes_the_rest(row, rows) => return None,
            Find::Row(_) | Find::Method(_) | Find::Unknown => {}
        }
        let guarded = rows
            .iter()
            .filter(|row| row.is_guarded() && method != "GET");
        let above = guarded.map(whole).filter(|row| is_below(row, &documented));
        let why = match above.min_by_key(|row| row.len()) {
            Some(row) => Why::Below(format!("/{}", row.join("/"))),
            None => Why::Speaks(self.speaks(&path, item, operation)?),
        };
        Some(Endpoint { path, method, why })
    }

    /// The first word about credentials in a path, in its parameters, or in a schema of the operation.
    fn speaks(&self, path: &str, item: &Value, operation: &Value) -> Option<String> {
        let words = path
            .split('/')
            .find(|segment| is_about_credentials(segment));
        if let Some(segment) = words {
            return Some(segment.to_owned());
        }
        let mut seen = HashSet::new();
        let shared = item.get("parameters");
        let parts = ["parameters", "requestBody", "responses"];
        let parts = parts.iter().filter_map(|part| operation.get(part));
        shared
            .into_iter()
            .chain(parts)
            .find_map(|part| self.member(part, 0, &mut seen))
    }

    /// The first property or parameter below whose name is about credentials.
    fn member<'a>(
        &'a self,
        value: &'a Value,
        depth: usize,
        seen: &mut HashSet<&'a str>,
    ) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        let members = match value {
            Value::Object(members) => members,
            Value::Array(elements) => {
                let mut elements = elements.iter();
                return elements.find_map(|element| self.member(element, depth + 1, seen));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        // Each schema once: they refer to each other in circles.
        let reference = members.get("$ref").and_then(Value::as_str);
        let target = reference.filter(|name| seen.insert(name));
        let target = target.and_then(|_| self.reference(value));
        let found = target.and_then(|target| self.member(target, depth + 1, seen));
        found.or_else(|| named(members)).or_else(|| {
            let below = members
                .iter()
                .filter(|(name, _)| *name != "example" && *name != "examples");
            let mut below = below.map(|(_, below)| below);
            below.find_map(|below| self.member(below, depth + 1, seen))
        })
    }
}

/// The name of a property, or of a parameter, that is about credentials.
fn named(members: &Map<String, Value>) -> Option<String> {
    let properties = members.get("properties").and_then(Value::as_object);
    let mut names = properties
        .into_iter()
        .flat_map(|properties| properties.keys());
    let parameter = members.get("in").and_then(|_| members.get("name"));
    let parameter = parameter.and_then(Value::as_str);
    let about = |name: &str| is_about_credentials(name).then(|| name.to_owned());
    names
        .find_map(|name| about(name))
        .or_else(|| about(parameter?))
}

/// A row's path without the rest that it may stand for.
fn whole(row: &Row) -> &[&'static str] {
    row.segments.strip_suffix(&[REST]).unwrap_or(&row.segments)
}

/// Whether a row stands for all that the other rows of its resource do not have: it knows no request for what it is.
fn takes_the_rest(row: &Row, rows: &[Row]) -> bool {
    let one_of_it = |other: &Row| {
        other.segments.last() != Some(&REST) && other.segments.starts_with(whole(row))
    };
    row.segments.last() == Some(&REST) && rows.iter().any(one_of_it)
}

fn is_below(row: &[&str], segments: &[&str]) -> bool {
    let mut pairs = row.iter().zip(segments);
    segments.len() > row.len() && pairs.all(|(word, segment)| is_open(word) || word == segment)
}

/// Whether a name speaks of something that opens doors, and not of the next page of a list.
fn is_about_credentials(name: &str) -> bool {
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PAGES.iter().any(|word| name.contains(word))
}

/// The path of a server's URL, without what names an environment.
fn base(url: &str) -> String {
    let path = match url.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/').map_or("", |(_host, path)| path),
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let below = below(path);
    let mut base = String::new();
    for segment in below {
        base.push('/');
        base.push_str(segment);
    }
    base
}

/// The segments of a path, below `/e/{environment-id}`.
fn below(path: &str) -> Vec<&str> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let segments: Vec<&str> = segments.collect();
    match segments.as_slice() {
        [ENVIRONMENT, _, below @ ..] => below.to_vec(),
        _ => segments,
    }
}

const METHODS: [&str; 5] = ["delete", "get", "patch", "post", "put"];

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

/// Schemas within schemas, and references in a row. Real documents have a dozen.
const MAX_DEPTH: usize = 100;
const MAX_REFERENCES: usize = 10;
