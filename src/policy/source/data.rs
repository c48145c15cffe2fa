//! The data files of a directory of policies, read strictly and joined into one document.
//!
//! It guarantees that no file changes what another says, and knows where each member stands. It does not know what the
//! members mean.

mod numbers;

use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value as Json};

use super::files::File;
use crate::policy::problem::Problem;
use crate::policy::yaml;

/// Puts the members of a file where its directory says; `others` are the files that are in there already.
pub(in crate::policy) fn add(
    data: &mut Map<String, Json>,
    others: &[File],
    file: &File,
) -> Result<(), Problem> {
    let Strict(mut value) = parse::<Strict>(file)
        .map_err(|(line, column, message)| Problem::new(&file.path, line, column, message))?;
    if file.is_json() {
        numbers::refuse(file)?;
    } else {
        round(&mut value);
        numbers::refuse_texts(file, &value)?;
    }
    let directories: Vec<&str> = directories(file).collect();
    let value = directories.iter().rev().fold(value, |value, directory| {
        Json::Object(Map::from_iter([((*directory).to_owned(), value)]))
    });
    match value {
        Json::Object(members) => merge(data, members, &mut Vec::new()).map_err(|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let other = place(others, &path).map_or("another data file", |(file, ..)| &file.path);
            let message = format!("data.{} is already defined by {other}", path.join("."));
            problem(std::slice::from_ref(file), &path, message)
        }),
        // An empty file, or one that holds only comments.
        Json::Null => Ok(()),
        _ => {
            let message = "data must be an object: give the value a name";
            Err(Problem::new(&file.path, 1, 1, message))
        }
    }
}

/// A problem with a member, at its key, or at the nearest one around it that is there.
pub(in crate::policy) fn problem(
    files: &[File],
    path: &[&str],
    message: impl Into<String>,
) -> Problem {
    let lengths = (1..=path.len()).rev();
    let mut found = lengths.filter_map(|length| place(files, path.get(..length)?));
    match (found.next(), files.first()) {
        (Some((file, line, column)), _) => Problem::new(&file.path, line, column, message),
        (None, Some(file)) => Problem::new(&file.path, 0, 0, message),
        (None, None) => Problem::new("data", 0, 0, message),
    }
}

/// The file that has this member, and the line and column of its key.
fn place<'a>(files: &'a [File], path: &[&str]) -> Option<(&'a File, usize, usize)> {
    files.iter().find_map(|file| {
        let mut path = path;
        for directory in directories(file) {
            let (first, rest) = path.split_first()?;
            if *first != directory {
                return None;
            }
            path = rest;
        }
        if path.is_empty() {
            return Some((file, 1, 1));
        }
        let (line, column, message) = match parse_with(file, Find(path)) {
            Ok(()) => return None,
            Err(error) => error,
        };
        if !message.contains(FOUND) {
            return None;
        }
        let column = match path.last() {
            Some(name) if file.is_json() => before(file, line, column, name),
            _ => column,
        };
        Some((file, line, column))
    })
}

/// JSON is read as far as behind the key.
fn before(file: &File, line: usize, column: usize, name: &str) -> usize {
    let text = file.text.lines().nth(line.saturating_sub(1));
    let read: String = text.unwrap_or_default().chars().take(column).collect();
    let key = format!("\"{name}\"");
    let at = read.rfind(&key).and_then(|at| read.get(..at));
    at.map_or(column, |before| before.chars().count() + 2)
}

/// The directories between that of the policies and the file.
fn directories(file: &File) -> impl Iterator<Item = &str> {
    let below = file.name.rsplit_once('/').map_or("", |(below, _)| below);
    below.split('/').filter(|directory| !directory.is_empty())
}

/// Joins two documents; what both define is named.
fn merge(
    into: &mut Map<String, Json>,
    from: Map<String, Json>,
    path: &mut Vec<String>,
) -> Result<(), Vec<String>> {
    for (name, value) in from {
        path.push(name.clone());
        match (into.get_mut(&name), value) {
            (Some(Json::Object(into)), Json::Object(from)) => merge(into, from, path)?,
            (Some(_), _) => return Err(path.clone()),
            (None, value) => {
                into.insert(name, value);
            }
        }
        path.pop();
    }
    Ok(())
}

/// Line, column, and what is wrong there.
type Wrong = (usize, usize, String);

fn parse<T: for<'de> Deserialize<'de>>(file: &File) -> Result<T, Wrong> {
    parse_with(file, std::marker::PhantomData)
}

fn parse_with<S: for<'de> DeserializeSeed<'de, Value = T>, T>(
    file: &File,
    seed: S,
) -> Result<T, Wrong> {
    if file.is_json() {
        let mut json = serde_json::Deserializer::from_str(&file.text);
        let read = seed.deserialize(&mut json);
        read.and_then(|read| json.end().map(|()| read))
            .map_err(|error| {
                let message = without_place(&error.to_string());
                (error.line(), error.column(), message)
            })
    } else {
        yaml::read_with(&file.text, seed)
            .map_err(|fault| (fault.line, fault.column, without_place(&fault.message)))
    }
}

/// On the way from YAML to JSON, which OPA's reader takes, `1.0` becomes an integer.
fn round(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(round),
        Json::Object(members) => members.values_mut().for_each(round),
        Json::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            let text = float.to_string();
            if let Ok(whole) = text.parse::<i64>() {
                *value = whole.into();
            } else if let Ok(whole) = text.parse::<u64>() {
                *value = whole.into();
            }
        }
        _ => {}
    }
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

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Json, E> {
        Err(E::custom(numbers::too_long(&value.to_string())))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Json, E> {
        Err(E::custom(numbers::too_long(&value.to_string())))
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
            // OPA puts the members in place of it.
            if name == "<<" {
                return Err(de::Error::custom(
                    "merge keys (<<) are not read: write the members out",
                ));
            }
            let Strict(value) = from.next_value()?;
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

/// Looks for a member and ends in an error, [`FOUND`], where it stands: the parsers say where they are when one occurs.
#[derive(Clone, Copy)]
struct Find<'a>(&'a [&'a str]);

/// Whether a key is this one; whoever looks for no more than it has found it.
struct Key<'a> {
    wanted: &'a str,
    is_last: bool,
}

const FOUND: &str = "the place was found";

impl Find<'_> {
    /// What has no members: it is the place, or leads nowhere.
    fn end<E: de::Error>(self) -> Result<(), E> {
        if self.0.is_empty() {
            Err(E::custom(FOUND))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON data")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.end()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.end()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.end()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.end()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.end()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.end()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else {
            return self.end();
        };
        let mut index = 0_usize;
        loop {
            let more = if wanted.parse() == Ok(index) {
                from.next_element_seed(Find(rest))?.is_some()
            } else {
                from.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else {
            return self.end();
        };
        let is_last = rest.is_empty();
        while let Some(is_wanted) = from.next_key_seed(Key { wanted, is_last })? {
            if is_wanted {
                from.next_value_seed(Find(rest))?;
            } else {
                from.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<bool, E> {
        match (name == self.wanted, self.is_last) {
            (true, true) => Err(E::custom(FOUND)),
            (is_wanted, _) => Ok(is_wanted),
        }
    }
}

#[cfg(test)]
mod tests;
