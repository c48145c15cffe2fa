//! How much each policy may do, for whom, and until when: `data.modes`. Whether a lookup may fail: `data.lookup`.
//!
//! It guarantees that a mode nobody can understand is refused, never taken for a lenient one, and that whoever no entry is
//! about is enforced.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};

use super::about::{About, teams};
use crate::policy::decision::Mode;
use crate::policy::input::{self, Input};

/// How one policy is applied: the first entry that is about a request says it. Where none is, it is enforced.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::policy) struct Enforcement(Vec<Entry>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    mode: Mode,
    about: About,
}

impl Enforcement {
    pub(in crate::policy) fn of(&self, policy: &str, input: &Input) -> Mode {
        let (time, mut entries) = (input.time, self.0.iter());
        let found = entries.find(|Entry { about, .. }| {
            about.has_begun(time) && !about.has_ended(time) && about.is(input, policy)
        });
        found.map_or(Mode::Enforce, |entry| entry.mode)
    }

    /// In words, as it holds at a time: what has ended is told as that.
    pub(in crate::policy) fn at(&self, time: jiff::Timestamp) -> String {
        let (ended, live): (Vec<Entry>, Vec<Entry>) = self
            .0
            .iter()
            .cloned()
            .partition(|entry| entry.about.has_ended(time));
        let is_open = live.last().is_some_and(|last| !last.about.is_everything());
        let mut told = Self(live).to_string();
        if ended.is_empty() {
            return told;
        }
        if is_open {
            told = format!("{told}, then {}", Mode::Enforce);
        }
        let ended = ended.iter().map(|Entry { mode, about }| {
            let end = about.until.map(|until| until.to_string());
            format!("{mode} ended {}", end.unwrap_or_default())
        });
        let ended: Vec<String> = ended.collect();
        format!("{told} ({})", ended.join(", "))
    }

    /// What is to be said of entries that have ended.
    pub(in crate::policy) fn ended(&self, time: jiff::Timestamp) -> impl Iterator<Item = String> {
        let ended = self.0.iter().filter(move |it| it.about.has_ended(time));
        ended.map(|Entry { mode, about }| {
            let until = about.until.map(|until| until.to_string());
            format!(
                "the mode {mode} ended at {}: it holds for nobody any more; remove it",
                until.unwrap_or_default()
            )
        })
    }

    /// What its entries are about.
    pub(in crate::policy) fn about(&self) -> impl Iterator<Item = &About> {
        self.0.iter().map(|entry| &entry.about)
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Mode::Enforce.fmt(out);
        }
        for (number, Entry { mode, about }) in self.0.iter().enumerate() {
            let before = if number == 0 { "" } else { ", then " };
            write!(out, "{before}{mode}")?;
            if !about.is_everything() {
                write!(out, " ({about})")?;
            }
        }
        Ok(())
    }
}

/// Reads `data.modes`; calls `complain` with the path of what is wrong and why.
pub(in crate::policy) fn read(
    data: &Map<String, Json>,
    policies: &[&str],
    mut complain: impl FnMut(&[&str], String),
) -> BTreeMap<String, Enforcement> {
    let mut read = BTreeMap::new();
    let modes = match data.get("modes") {
        None | Some(Json::Null) => return read,
        Some(Json::Object(modes)) => modes,
        Some(_) => {
            complain(
                &["modes"],
                "data.modes must be an object: one mode a policy".to_owned(),
            );
            return read;
        }
    };
    let teams = teams(data);
    for (policy, setting) in modes {
        if !policies.contains(&policy.as_str()) {
            let guess = input::guess(policy, "", policies);
            let message = format!("data.modes.{policy} names a policy that does not exist{guess}");
            complain(&["modes", policy], message);
            continue;
        }
        match enforcement(setting, &teams) {
            Ok(enforcement) => {
                read.insert(policy.clone(), enforcement);
            }
            Err(message) => complain(
                &["modes", policy],
                format!("data.modes.{policy}: {message}"),
            ),
        }
    }
    read
}

/// Reads `data.lookup.required`; calls `complain` as [`read`] does. What is not said is required.
pub(in crate::policy) fn lookup_required(
    lookup: Option<&Json>,
    mut complain: impl FnMut(&[&str], String),
) -> bool {
    let members = match lookup {
        None | Some(Json::Null) => return true,
        Some(Json::Object(members)) => members,
        Some(_) => {
            let message = "data.lookup must be an object with the member required";
            complain(&["lookup"], message.to_owned());
            return true;
        }
    };
    let mut required = true;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("required", Json::Bool(wanted)) => required = *wanted,
            ("required", other) => complain(
                &["lookup", "required"],
                format!("data.lookup.required is true or false, not {other}"),
            ),
            (other, _) => complain(
                &["lookup", other],
                format!("data.lookup has no member {other}: only required"),
            ),
        }
    }
    required
}

fn enforcement(setting: &Json, teams: &[&str]) -> Result<Enforcement, String> {
    let one = std::slice::from_ref(setting);
    let settings = setting.as_array().map_or(one, Vec::as_slice);
    let entries: Vec<Entry> = settings
        .iter()
        .map(|it| entry(it, teams))
        .collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Err("the list is empty: name a mode, or leave the policy out".to_owned());
    }
    if let Some((before, number)) = never_reached(&entries) {
        return Err(format!(
            "entry {number} is never reached: entry {before} is about all that it is about"
        ));
    }
    if says_nothing(&entries) {
        return Err(
            "where the last entry is not about a request, the policy is enforced, too: add an entry with the mode that \
             holds otherwise, such as warn"
                .to_owned(),
        );
    }
    Ok(Enforcement(entries))
}

/// An entry that another one before it leaves nothing, and that one, counted from 1.
fn never_reached(entries: &[Entry]) -> Option<(usize, usize)> {
    entries.iter().enumerate().find_map(|(at, entry)| {
        let mut before = entries.iter().take(at);
        let covering = before.position(|before| before.about.covers(&entry.about));
        covering.map(|covering| (covering + 1, at + 1))
    })
}

/// Who writes when or for whom a policy is enforced means that it is not, otherwise.
fn says_nothing(entries: &[Entry]) -> bool {
    let is_last = |entry: &Entry| entry.mode == Mode::Enforce && !entry.about.is_everything();
    entries.last().is_some_and(is_last)
}

fn entry(setting: &Json, teams: &[&str]) -> Result<Entry, String> {
    let mode = |value: &Json| {
        let mode = value.as_str().and_then(Mode::parse);
        mode.ok_or_else(|| format!("a mode is enforce, warn or dry_run, not {value}"))
    };
    let Json::Object(members) = setting else {
        let (mode, about) = (mode(setting)?, About::default());
        return Ok(Entry { mode, about });
    };
    let mut entry = Entry {
        mode: mode(members.get("mode").ok_or("the member mode is missing")?)?,
        about: About::default(),
    };
    for (name, value) in members.iter().filter(|(name, _)| *name != "mode") {
        match entry.about.read(name, value) {
            Some(read) => read?,
            None => return Err(format!("there is no member {name}: only mode, {MEMBERS}")),
        }
    }
    entry.about.check(teams)?;
    Ok(entry)
}

const MEMBERS: &str = "caller, environment, from, percent, team, token and until";

#[cfg(test)]
mod tests;
