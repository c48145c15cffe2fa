//! Decisions in doubt, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::later::{Told, told_later};
use crate::audit::event;
use crate::audit::index::{Filter, Hidden, Index, Veil, Which, hidden_of, is_about};
use crate::audit::masks::Masks;
use crate::audit::tail::Cells;
use crate::cli::audit::opened::note;
use crate::cli::audit::query::say;
use crate::cli::audit::source::Source;
use crate::dynatrace::current::CurrentToken;
use crate::dynatrace::redact::Redactor;
use crate::trail::history::SETTLES;
use crate::trail::read::NotShown;
use crate::trail::told::Token;

/// A decision in doubt.
pub(super) struct Doubt {
    /// 0: its record was deleted, and a `pruned` record has its id.
    pub(super) seq: u64,
    pub(super) cells: Cells,
    /// The id of the token; empty, where nobody knows.
    token: String,
    record: Value,
    /// When nothing more was heard of it; `None`: nobody knows.
    ended: Option<Timestamp>,
    /// What other records of the journal tell of it.
    told: Told,
    /// Masks have hidden in which environment it was.
    hides_environment: bool,
    /// Why nobody could tell, by the record that was written of it last.
    unknown: Option<String>,
}

/// What was found out about it.
#[derive(Clone)]
pub(super) struct Looked {
    pub(super) found: event::Found,
    pub(super) why: String,
    /// Nothing kept it from being looked at: another look would see the same.
    pub(super) is_seen: bool,
    /// A person said so.
    pub(super) is_said: bool,
}

impl Looked {
    pub(super) fn new(found: event::Found, why: &str) -> Self {
        Self {
            found,
            why: why.to_owned(),
            is_seen: true,
            is_said: false,
        }
    }

    pub(super) fn not(why: &str) -> Self {
        Self {
            is_seen: false,
            ..Self::new(event::Found::Unknown, why)
        }
    }

    /// By a person, who looked elsewhere.
    pub(super) fn said(found: event::Found, note: Option<&str>) -> Self {
        // Whoever pastes a token there would have it in the journal for good.
        let note = note.map_or_else(String::new, |note| {
            format!(": {}", Redactor::default().text(note))
        });
        Self {
            is_said: true,
            ..Self::new(found, &format!("a person found it so{note}"))
        }
    }
}

/// Oldest first.
pub(super) fn doubts(source: &Source) -> anyhow::Result<Vec<Doubt>> {
    // A store is nothing that could be written to.
    let Source::Journal { index, .. } = source else {
        return Ok(Vec::new());
    };
    let filter = Filter {
        outcome: Some(Which::Doubt),
        ..Filter::default()
    };
    let page = index.find(&filter, MOST)?;
    let mut doubts = deleted(index)?;
    let mut of_tokens: BTreeMap<String, BTreeMap<u64, Told>> = BTreeMap::new();
    let mut not_shown = NotShown::default();
    for decided in page.decisions.iter().rev() {
        let line = index.line(decided.seq)?.unwrap_or_default();
        let Some(cells) = Cells::of(&line) else {
            not_shown.add(decided.seq);
            continue;
        };
        let record: Value = serde_json::from_slice(&line).unwrap_or_default();
        let outcome = decided.outcome.map(|seq| index.line(seq)).transpose()?;
        let outcome = outcome.flatten().filter(|it| is_about(it, decided.seq));
        let outcome = outcome.and_then(|line| serde_json::from_slice::<Value>(&line).ok());
        let settled = decided.settled.map(|seq| index.line(seq)).transpose()?;
        let settled = settled.flatten().filter(|it| is_about(it, decided.seq));
        let settled = settled.and_then(|line| serde_json::from_slice::<Value>(&line).ok());
        let token = Token::of(&record, None);
        let mut told = Told::default();
        if !token.id.is_empty() {
            if !of_tokens.contains_key(&token.id) {
                let all = told_later(source, &token.id)?;
                of_tokens.insert(token.id.clone(), all);
            }
            let all = of_tokens.get(&token.id);
            let it = all.and_then(|all| all.get(&decided.seq));
            told = it.cloned().unwrap_or_else(Told::unread);
        }
        doubts.push(Doubt {
            seq: decided.seq,
            ended: written(outcome.as_ref()).or_else(|| written(Some(&record))),
            cells,
            token: token.id,
            record,
            told,
            hides_environment: hidden_of(&line).contains(&(Hidden::Environment, Veil::Mask)),
            unknown: settled.as_ref().and_then(detail),
        });
    }
    say(&not_shown);
    if page.more {
        note("there are older ones");
    }
    Ok(doubts)
}

/// Those whose records were deleted: a `pruned` record has their ids, and no record settles them.
fn deleted(index: &Index) -> anyhow::Result<Vec<Doubt>> {
    let mut doubts: BTreeMap<String, Doubt> = BTreeMap::new();
    each(index, "pruned", |pruned| {
        let ids = pruned["in_doubt"].as_array().into_iter().flatten();
        for id in ids.filter_map(Value::as_str) {
            let cells = Cells {
                decision_id: id.to_owned(),
                ..Cells::default()
            };
            doubts.entry(id.to_owned()).or_insert_with(|| Doubt {
                seq: 0,
                cells,
                token: String::new(),
                record: Value::Null,
                ended: None,
                told: Told::default(),
                hides_environment: false,
                unknown: None,
            });
        }
    })?;
    if doubts.is_empty() {
        return Ok(Vec::new());
    }
    let mut ended = BTreeSet::new();
    each(index, "settled", |record| {
        if record["found"] != "unknown" {
            ended.extend(record["decision_id"].as_str().map(str::to_owned));
        } else if let Some(doubt) = record["decision_id"]
            .as_str()
            .and_then(|id| doubts.get_mut(id))
            && doubt.unknown.is_none()
        {
            // The newest comes first.
            doubt.unknown = detail(record);
        }
    })?;
    // A kill, or somebody who put segments back, leaves what is said to be deleted.
    let mut left = Vec::new();
    for (id, doubt) in doubts {
        let filter = Filter {
            id: Some(id.clone()),
            ..Filter::default()
        };
        if !ended.contains(&id) && index.find(&filter, 1)?.decisions.is_empty() {
            left.push(doubt);
        }
    }
    Ok(left)
}

/// All records of a kind, the newest first.
fn each(index: &Index, kind: &str, mut see: impl FnMut(&Value)) -> anyhow::Result<()> {
    let mut before = u64::MAX >> 1;
    while let Some(seq) = index.last_before(kind, before)? {
        if let Some(line) = index.line(seq)? {
            see(&serde_json::from_slice(&line).unwrap_or_default());
        }
        before = seq;
    }
    Ok(())
}

/// What was seen, by a `settled` record.
fn detail(record: &Value) -> Option<String> {
    record.get("detail")?.as_str().map(str::to_owned)
}

/// When a record was written, by its own word.
fn written(record: Option<&Value>) -> Option<Timestamp> {
    record?.get("timestamp")?.as_str()?.parse().ok()
}

impl Doubt {
    /// Whether the journal says already that nobody can tell, for the same reason.
    pub(super) fn is_told(&self, looked: &Looked) -> bool {
        looked.found == event::Found::Unknown && self.unknown.as_ref() == Some(&looked.why)
    }

    /// The number of its record, if that is there.
    pub(super) fn number(&self) -> Option<u64> {
        (self.seq > 0).then_some(self.seq)
    }

    /// What the journal itself tells, without anybody being asked.
    pub(super) fn known(&self) -> Option<Looked> {
        let id = &self.cells.decision_id;
        let deleted = || {
            let why = format!(
                "the record of decision {id} is deleted: look for it where it was shipped to"
            );
            Looked::not(&why)
        };
        let is_deleted = self.seq == 0;
        let known = self.told.known.clone();
        known.or_else(|| is_deleted.then(deleted))
    }

    /// The same, or why nobody knows, where nobody is asked.
    pub(super) fn unasked(&self) -> Looked {
        let why = self.told.unsure.as_deref().unwrap_or("not looked up");
        self.known().unwrap_or_else(|| Looked::not(why))
    }

    /// The id of the token to look up; where none would tell anything, why.
    pub(super) fn target(&self) -> Result<&str, String> {
        let id = match &*self.cells.operation {
            "token.create" => return Err(self.unnamed()),
            "token.update" | "token.delete" => &*self.token,
            _ => return Err("dtgate cannot look this up: see Dynatrace's audit log".to_owned()),
        };
        let is_id = id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        if id.is_empty() || !is_id || id.bytes().all(|c| c == b'.') {
            return Err("the record does not tell the token's id".to_owned());
        }
        if self.hides_environment {
            return Err("masks have hidden in which environment it was".to_owned());
        }
        if let Some(why) = self.told.again {
            return Err(why.to_owned());
        }
        Ok(id)
    }

    /// What to do about a creation.
    fn unnamed(&self) -> String {
        let is_hidden = Masks::with_pseudonyms(&self.record).hide("input.change.name.requested");
        let name = self.record.pointer("/input/change/name/requested");
        let name = name.filter(|_| !is_hidden);
        let search = match name.and_then(Value::as_str) {
            Some(name) => format!("search Dynatrace for tokens named {name}"),
            None => "see Dynatrace's audit log".to_owned(),
        };
        format!("dtgate cannot look up a token without its id: {search}")
    }

    /// What the token, or that there is none, proves. That it is as it was proves nothing as long as the change may still
    /// come into force.
    pub(super) fn judged(&self, token: Option<&CurrentToken>, now: Timestamp) -> Looked {
        let looked = self.seen(token);
        let age = self.ended.map(|ended| now.as_second() - ended.as_second());
        // A time that cannot be read, or that is ahead, says nothing of how old it is.
        let is_early = age.is_none_or(|age| age < SETTLES);
        if looked.found == event::Found::NotDone && is_early {
            let why = format!(
                "{}, but the change may still come into force: ask again when it is {} minutes old",
                looked.why,
                SETTLES / 60
            );
            return Looked::not(&why);
        }
        looked
    }

    fn seen(&self, token: Option<&CurrentToken>) -> Looked {
        match (&*self.cells.operation, token) {
            ("token.delete", None) => Looked::new(event::Found::Done, "the token is gone"),
            ("token.delete", Some(_)) => Looked::new(event::Found::NotDone, "the token is there"),
            (_, None) => Looked::new(event::Found::Unknown, "the token is gone"),
            (_, Some(token)) => {
                let (found, why) = self.compared(token);
                Looked::new(found, &why)
            }
        }
    }

    /// The token beside what it was and what it should have become.
    fn compared(&self, token: &CurrentToken) -> (event::Found, String) {
        // What stands there may be another value, or a part of it: nothing that is seen can be compared with it.
        let hidden = Masks::with_pseudonyms(&self.record);
        let mut members = COMPARED.iter();
        if let Some((_, name)) = members.find(|(member, _)| {
            let [asked, was] = ["requested", "current"]
                .map(|which| hidden.hide(&format!("input.change.{member}.{which}")));
            asked || was
        }) {
            let why = format!(
                "masks or pseudonyms have hidden which {name} it asked for, or which there was before"
            );
            return (event::Found::Unknown, why);
        }
        let (mut then, mut before) = (Vec::new(), Vec::new());
        let at = |pointer: &str| self.record.pointer(pointer);
        let scopes_before = self.told.before.clone().map(|it| json!(sorted(it)));
        let mut is_any_known = false;
        for (member, is) in [
            ("name", token.name.as_ref().map(|name| json!(name))),
            ("enabled", token.enabled.map(Value::Bool)),
            ("scopes", Some(json!(sorted(token.scopes.clone())))),
        ] {
            let asked = at(&format!("/input/change/{member}/requested")).map(in_order);
            let Some(asked) = asked else { continue };
            let mut was = at(&format!("/input/change/{member}/current")).map(in_order);
            if member == "scopes" && was.is_none() {
                was.clone_from(&scopes_before);
            }
            if Some(&asked) == was.as_ref() {
                continue;
            }
            is_any_known |= was.is_some();
            then.push(is.as_ref() == Some(&asked));
            before.push(was.is_some() && is == was);
        }
        if then.is_empty() {
            let why = "nothing would be seen of it: it changes nothing";
            return (event::Found::Unknown, why.to_owned());
        }
        let is_as_asked = then.iter().all(|it| *it);
        if is_as_asked && !is_any_known {
            let why =
                "the token is as the request wanted it, and nobody knows whether it was so before";
            return (event::Found::Unknown, why.to_owned());
        }
        if is_as_asked {
            (
                event::Found::Done,
                "the token is as the request wanted it".to_owned(),
            )
        } else if before.iter().all(|it| *it) {
            (
                event::Found::NotDone,
                "the token is as it was before".to_owned(),
            )
        } else {
            let why = "the token is neither as it was nor as the request wanted it";
            (event::Found::Unknown, why.to_owned())
        }
    }
}

/// Lists in an order of their own: that of scopes means nothing.
fn in_order(value: &Value) -> Value {
    match value.as_array() {
        Some(list) => {
            let texts = list.iter().filter_map(Value::as_str).map(str::to_owned);
            json!(sorted(texts.collect()))
        }
        None => value.clone(),
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Members of a change by which a token is compared, and what they are called.
const COMPARED: [(&str, &str); 3] = [("name", "name"), ("enabled", "state"), ("scopes", "scopes")];

/// Decisions that are looked up in one go.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of all that is compared, which was not carried out.
    fn undone(hide: impl FnOnce(&mut Value)) -> Looked {
        ended(Some(LONG_AGO), hide)
    }

    /// When nothing more was heard of it.
    fn ended(ended: Option<Timestamp>, hide: impl FnOnce(&mut Value)) -> Looked {
        let mut record = json!({
            "input": {"change": {
                "name": {"requested": "ci", "current": "ci"},
                "enabled": {"requested": true, "current": true},
                "scopes": {"requested": ["a", "b"], "current": ["a"]},
            }},
        });
        hide(&mut record);
        let doubt = Doubt {
            seq: 2,
            cells: Cells {
                operation: "token.update".to_owned(),
                ..Cells::default()
            },
            token: "dt0c01.A".to_owned(),
            record,
            ended,
            told: Told::default(),
            hides_environment: false,
            unknown: None,
        };
        let token = CurrentToken {
            name: Some("ci".to_owned()),
            enabled: Some(true),
            scopes: vec!["a".to_owned()],
            ..CurrentToken::default()
        };
        doubt.judged(Some(&token), Timestamp::UNIX_EPOCH)
    }

    const LONG_AGO: Timestamp = Timestamp::constant(-SETTLES, 0);

    /// A clock that is ahead makes nothing old, and neither does a time that nobody can read.
    #[test]
    fn what_may_still_come_into_force_is_not_said_to_be_undone() {
        for (at, found) in [
            (Some(LONG_AGO), event::Found::NotDone),
            (
                Some(Timestamp::constant(1 - SETTLES, 0)),
                event::Found::Unknown,
            ),
            (Some(Timestamp::UNIX_EPOCH), event::Found::Unknown),
            (Some(Timestamp::constant(20, 0)), event::Found::Unknown),
            (None, event::Found::Unknown),
        ] {
            assert_eq!(ended(at, |_| {}).found, found, "{at:?}");
        }
    }

    fn erase(record: &mut Value, list: &str, paths: &[&str]) {
        for path in paths {
            let (around, name) = path.rsplit_once('/').unwrap();
            match record.pointer_mut(around) {
                Some(Value::Object(members)) => drop(members.remove(name)),
                Some(Value::Array(elements)) => drop(elements.remove(name.parse().unwrap())),
                _ => {}
            }
        }
        record[list] = json!(paths);
    }

    #[test]
    fn what_masks_or_pseudonyms_hide_is_compared_with_nothing() {
        assert_eq!(undone(|_| {}).found, event::Found::NotDone);
        for (list, paths) in [
            (
                "erased",
                &["/input/change/scopes", "/input/change/name/current"][..],
            ),
            (
                "erased",
                &[
                    "/input/change/scopes/requested/1",
                    "/input/change/scopes/current",
                ],
            ),
            (
                "erased",
                &["/input/change/enabled/current", "/input/change/scopes"],
            ),
            ("erased", &["/input/change/scopes"]),
            ("erased", &["/input/change"]),
            ("erased", &["/input"]),
        ] {
            let looked = undone(|record| erase(record, list, paths));
            assert_eq!(looked.found, event::Found::Unknown, "{paths:?}");
            assert!(looked.why.contains("masks or pseudonyms"), "{}", looked.why);
        }
        for (list, path, value) in [
            ("masked", "/input/change/scopes/requested", json!(["***"])),
            ("masked", "/input/change/scopes/requested", json!(["a"])),
            ("masked", "/input/change/scopes/current", json!(["a", "b"])),
            (
                "pseudonyms",
                "/input/change/name/requested",
                json!("hmac-sha256:v1:0"),
            ),
        ] {
            let looked = undone(|record| {
                *record.pointer_mut(path).unwrap() = value;
                record[list] = json!([path]);
            });
            assert_eq!(looked.found, event::Found::Unknown, "{path}");
        }
        // What is hidden elsewhere does not matter.
        let looked =
            undone(|record| record["erased"] = json!(["/input/caller", "/input/token/current"]));
        assert_eq!(looked.found, event::Found::NotDone);
    }
}
