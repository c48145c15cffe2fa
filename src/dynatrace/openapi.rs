//! Dynatrace's own documents of its API, compared with what is shipped: scopes that the lists do not have, and
//! endpoints about credentials that the catalogue does not have.
//!
//! Pure. What it cannot make sense of it passes over: a document is a hint for people, and nothing here decides about
//! a request.

mod speaking;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use thiserror::Error;

use speaking::{Speaking, is_about_credentials};

use super::catalogue::{Catalogue, ENVIRONMENT, Find, PROXY, REST, Row, is_open};

/// A document in the form of `OpenAPI` 3, or of its predecessor Swagger 2.
#[derive(Debug)]
pub struct Document {
    root: Value,
    /// What stands before its paths: `/api/v2`.
    bases: BTreeSet<String>,
}

/// Why a document cannot be compared.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// It is another kind of document.
    #[error("this is no OpenAPI document: it has no paths")]
    NoPaths,
    #[error(
        "the document lists more than {MAX_BASES} servers with a path of their own: take some out"
    )]
    Servers,
}

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
    pub fn new(root: Value) -> Result<Self, DocumentError> {
        if !root.get("paths").is_some_and(Value::is_object) {
            return Err(DocumentError::NoPaths);
        }
        let servers = root.get("servers").and_then(Value::as_array);
        let urls = servers.into_iter().flatten();
        let urls = urls.filter_map(|server| server.get("url")?.as_str());
        let mut bases: BTreeSet<String> = urls.map(base).collect();
        bases.extend(root.get("basePath").and_then(Value::as_str).map(base));
        if bases.is_empty() {
            bases.insert(String::new());
        }
        // Each path is compared behind each of them.
        if bases.len() > MAX_BASES {
            return Err(DocumentError::Servers);
        }
        Ok(Self { root, bases })
    }

    /// The scopes that a token may have, with the schemas (or paths) that list them.
    pub fn scopes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut listed = Listed::default();
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
                    self.collect(name, schema, about_tokens, 0, &mut listed);
                }
            }
        }
        listed.scopes
    }

    /// Looks for properties `scopes` with an enumeration.
    fn collect(
        &self,
        name: &str,
        value: &Value,
        about_tokens: bool,
        depth: usize,
        listed: &mut Listed,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        let Value::Object(members) = value else {
            for element in value.as_array().into_iter().flatten() {
                self.collect(name, element, about_tokens, depth + 1, listed);
            }
            return;
        };
        for (member, below) in members {
            if member == "scopes" && about_tokens {
                let values = self.enumeration(below);
                listed.add(name, values.unwrap_or_default());
            }
            self.collect(name, below, about_tokens, depth + 1, listed);
        }
    }

    /// The values of an array's elements, given in place or by reference.
    fn enumeration<'a>(&'a self, schema: &'a Value) -> Option<&'a [Value]> {
        let items = self.resolved(schema).get("items")?;
        let values = self.resolved(items).get("enum")?.as_array()?;
        Some(values)
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
        let mut speaking = Speaking::of(&self.root);
        let paths = self.root.get("paths").and_then(Value::as_object);
        let items = paths.into_iter().flatten().flat_map(|(path, item)| {
            // What it has itself, and what it refers to.
            let target = self.reference(item).map(|_| self.resolved(item));
            std::iter::once(item)
                .chain(target)
                .map(move |item| (path, item))
        });
        for (path, item) in items {
            for (method, operation) in operations(item) {
                count += 1;
                for base in &self.bases {
                    let path = format!("{base}{path}");
                    let why = why(&path, &method, catalogue, || {
                        speaking.operation(item, operation)
                    });
                    missing.extend(why.map(|why| Endpoint {
                        path,
                        method: method.clone(),
                        why,
                    }));
                }
            }
        }
        (count, missing)
    }
}

/// The operations of a path, each with its method in capitals.
fn operations(item: &Value) -> impl Iterator<Item = (String, &Value)> {
    let fixed = METHODS.iter();
    let fixed = fixed.filter_map(|method| Some((*method, item.get(*method)?)));
    let further = item.get("additionalOperations").and_then(Value::as_object);
    let further = further.into_iter().flatten().take(MAX_ADDITIONAL);
    let further = further.map(|(method, operation)| (method.as_str(), operation));
    fixed
        .chain(further)
        .map(|(method, operation)| (method.to_uppercase(), operation))
}

/// What makes an endpoint one that no row knows and that the catalogue has to know; `speaks` says of what it speaks.
fn why(
    path: &str,
    method: &str,
    catalogue: &Catalogue,
    speaks: impl FnOnce() -> Option<String>,
) -> Option<Why> {
    // The gate refuses it everywhere.
    if method == "TRACE" {
        return None;
    }
    let is_read = matches!(method, "GET" | "HEAD" | "OPTIONS");
    let below = below(path);
    let documented = match below.strip_prefix(PROXY) {
        Some(rest) => [&["api"], rest].concat(),
        None => below,
    };
    let rows = catalogue.rows();
    // Who knows the path for reading knows its other reads.
    match catalogue.find(if is_read { "GET" } else { method }, &documented) {
        Find::Row(row) if !takes_the_rest(row, rows) => return None,
        Find::Row(_) | Find::Method(_) | Find::Unknown => {}
    }
    let guarded = rows.iter().filter(|row| row.is_guarded() && !is_read);
    let above = guarded.map(whole).filter(|row| is_below(row, &documented));
    if let Some(row) = above.min_by_key(|row| row.len()) {
        return Some(Why::Below(format!("/{}", row.join("/"))));
    }
    let mut segments = path.split('/');
    let own = segments.find(|segment| is_about_credentials(segment));
    own.map(str::to_owned).or_else(speaks).map(Why::Speaks)
}

/// Scopes, with who lists them.
#[derive(Default)]
struct Listed {
    scopes: BTreeMap<String, BTreeSet<String>>,
    /// How often an enumeration was met: many schemas may refer to one.
    met: HashMap<*const Value, usize>,
}

impl Listed {
    fn add(&mut self, name: &str, values: &[Value]) {
        let met = self.met.entry(values.as_ptr()).or_default();
        *met += 1;
        if *met > MAX_LISTERS {
            return;
        }
        for scope in values.iter().filter_map(Value::as_str) {
            let names = self.scopes.entry(scope.to_owned()).or_default();
            names.insert(name.to_owned());
        }
    }
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

const METHODS: [&str; 9] = [
    "delete", "get", "head", "options", "patch", "post", "put", "query", "trace",
];

/// Schemas within schemas, and references in a row. Real documents have a dozen.
const MAX_DEPTH: usize = 100;
const MAX_REFERENCES: usize = 10;

/// Servers, methods of a path beyond the usual, and schemas that list one enumeration. Each is multiplied with the
/// length of a document.
const MAX_BASES: usize = 10;
const MAX_ADDITIONAL: usize = 100;
const MAX_LISTERS: usize = 20;
