//! Reads a directory of policies: Rego, tests and data, in one order that never changes.
//!
//! It guarantees that nothing which looks like a policy is skipped in silence: what cannot be read becomes
//! a problem. Hidden files and unknown kinds of files are not ours. It does not know what Rego means.

use std::{
    fmt,
    fs::{self, FileType},
    path::Path,
};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::bundle::Problem;

pub(super) struct File {
    /// As the user would write it: the given directory, then the way down.
    pub(super) path: String,
    /// Below the given directory, with slashes.
    pub(super) name: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn is_json(&self) -> bool {
        Path::new(&self.name)
            .extension()
            .is_some_and(|extension| extension == "json")
    }
}

#[derive(Default)]
pub(super) struct Tree {
    pub(super) policies: Vec<File>,
    pub(super) tests: Vec<File>,
    pub(super) data_files: Vec<File>,
    pub(super) data: Map<String, Json>,
    pub(super) problems: Vec<Problem>,
}

impl Tree {
    /// Reads everything below the given directories or files.
    pub(super) fn read<P: AsRef<Path>>(roots: &[P]) -> Self {
        let mut tree = Self::default();
        for root in roots {
            let root = root.as_ref();
            match fs::metadata(root) {
                Ok(metadata) if metadata.is_dir() => tree.directory(root, &mut Vec::new()),
                Ok(_) => {
                    let name = root
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned();
                    tree.file(root, &[], &name);
                }
                Err(error) => tree.problems.push(Problem::of_file(root, &error)),
            }
        }
        tree
    }

    fn directory(&mut self, directory: &Path, below: &mut Vec<String>) {
        let entries: Result<Vec<_>, _> = fs::read_dir(directory).and_then(Iterator::collect);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(Problem::of_file(directory, &error)),
        };
        // The order of a directory is the file system's business; ours must not be.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.problems
                    .push(Problem::of_file(&path, &"the name is not UTF-8"));
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    below.push(name.to_owned());
                    self.directory(&path, below);
                    below.pop();
                }
                Ok(kind) => self.entry(&path, kind, below, name),
                Err(error) => self.problems.push(Problem::of_file(&path, &error)),
            }
        }
    }

    fn entry(&mut self, path: &Path, kind: FileType, below: &[String], name: &str) {
        // A link to a file is how Kubernetes mounts a ConfigMap. A link to a directory could lead in a circle.
        if kind.is_symlink() && fs::metadata(path).is_ok_and(|target| target.is_dir()) {
            let message = "a symbolic link to a directory is not followed";
            return self.problems.push(Problem::of_file(path, &message));
        }
        self.file(path, below, name);
    }

    fn file(&mut self, path: &Path, below: &[String], name: &str) {
        let is_data = matches!(name, "data.json" | "data.yaml");
        let is_rego = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "rego");
        if !is_data && !is_rego {
            return;
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(Problem::of_file(path, &error)),
        };
        let mut whole_name = below.join("/");
        if !whole_name.is_empty() {
            whole_name.push('/');
        }
        whole_name.push_str(name);
        let file = File {
            path: path.display().to_string(),
            name: whole_name,
            text,
        };
        if is_data {
            self.data_file(file, below);
        } else if name.ends_with("_test.rego") {
            self.tests.push(file);
        } else {
            self.policies.push(file);
        }
    }

    fn data_file(&mut self, file: File, below: &[String]) {
        let parsed = if file.is_json() {
            serde_json::from_str::<Strict>(&file.text).map_err(|error| {
                (
                    error.line(),
                    error.column(),
                    without_place(&error.to_string()),
                )
            })
        } else {
            yaml_serde::from_str::<Strict>(&file.text).map_err(|error| {
                let (line, column) = error
                    .location()
                    .map_or((0, 0), |place| (place.line(), place.column()));
                (line, column, without_place(&error.to_string()))
            })
        };
        match parsed {
            Ok(Strict(value)) => {
                let value = below.iter().rev().fold(value, |value, directory| {
                    Json::Object(Map::from_iter([(directory.clone(), value)]))
                });
                match value {
                    Json::Object(members) => {
                        if let Err(message) = merge(&mut self.data, members, "data") {
                            self.problems.push(Problem::new(&file.path, 1, 1, message));
                        }
                    }
                    // An empty file, or one that holds only comments.
                    Json::Null => {}
                    _ => {
                        let message = "data must be an object";
                        self.problems.push(Problem::new(&file.path, 1, 1, message));
                    }
                }
            }
            Err((line, column, message)) => {
                self.problems
                    .push(Problem::new(&file.path, line, column, message));
            }
        }
        self.data_files.push(file);
    }

    /// A problem with a member of the data, at the line where the last part of its path seems to be.
    pub(super) fn problem_in_data(&self, path: &[&str], message: impl Into<String>) -> Problem {
        let place = self.data_files.iter().find_map(|file| {
            let mut wanted = path.iter().peekable();
            let mut lines = file.text.lines().enumerate();
            let mut last = None;
            while wanted.peek().is_some() {
                let (number, line) = lines.next()?;
                while let Some(column) = wanted.peek().and_then(|name| key(line, name)) {
                    wanted.next();
                    last = Some((&file.path, number + 1, column));
                    if !file.is_json() {
                        break;
                    }
                }
            }
            last
        });
        match (place, self.data_files.first()) {
            (Some((path, line, column)), _) => Problem::new(path, line, column, message),
            (None, Some(file)) => Problem::new(&file.path, 0, 0, message),
            (None, None) => Problem::new("data", 0, 0, message),
        }
    }
}

/// The column at which the name stands as a key.
fn key(line: &str, name: &str) -> Option<usize> {
    line.match_indices(name).find_map(|(start, found)| {
        let (before, rest) = line.split_at(start);
        let after = rest
            .strip_prefix(found)?
            .trim_start_matches(['"', '\'', ' ']);
        let starts = before
            .chars()
            .next_back()
            .is_none_or(|last| " \t{,\"'".contains(last));
        (starts && after.starts_with(':')).then(|| before.chars().count() + 1)
    })
}

/// Joins two documents; where both say something, they must not contradict each other.
fn merge(into: &mut Map<String, Json>, from: Map<String, Json>, path: &str) -> Result<(), String> {
    for (name, value) in from {
        let path = format!("{path}.{name}");
        match (into.get_mut(&name), value) {
            (Some(Json::Object(into)), Json::Object(from)) => merge(into, from, &path)?,
            (Some(_), _) => return Err(format!("{path} is already defined by another data file")),
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
    Ok(())
}

fn without_place(message: &str) -> String {
    message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned()
}

/// JSON in which no member stands twice: the second of two `guardrails` would silently erase the first.
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON data")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        let number = serde_json::Number::from_f64(value);
        number
            .map(Json::Number)
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        from.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(de::Error::custom(format!("{name} is defined twice")));
            }
            let Strict(value) = from.next_value()?;
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}
