//! The texts and lists that records repeat, each kept once. Those that came last are known without asking.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::facts::members;
use super::tables::{KINDS, Kind, LISTS, List};
use crate::value::Sha256Hex;

/// Numbers of texts and lists.
#[derive(Debug)]
pub(super) struct Known {
    texts: Vec<Cache>,
    lists: Vec<Cache>,
}

/// The numbers that were asked for last, in bounded room.
#[derive(Clone, Debug, Default)]
struct Cache {
    numbers: HashMap<Box<str>, i64>,
    bytes: usize,
}

impl Cache {
    fn get(&self, key: &str) -> Option<i64> {
        self.numbers.get(key).copied()
    }

    fn insert(&mut self, key: &str, id: i64) {
        self.bytes += key.len() + ENTRY;
        if self.bytes > ROOM {
            self.numbers.clear();
            self.bytes = key.len() + ENTRY;
        }
        self.numbers.insert(key.into(), id);
    }
}

impl Default for Known {
    fn default() -> Self {
        Self {
            texts: vec![Cache::default(); KINDS],
            lists: vec![Cache::default(); LISTS],
        }
    }
}

impl Known {
    /// The number of a text; of an empty one, none.
    pub(super) fn text(
        &mut self,
        db: &Connection,
        kind: Kind,
        text: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if text.is_empty() {
            return Ok(None);
        }
        let text = &*within(text);
        let known = self.texts.get_mut(kind as usize);
        if let Some(id) = known.as_ref().and_then(|known| known.get(text)) {
            return Ok(Some(id));
        }
        let id = find_or_add(db, &TEXT, kind as i64, text)?.0;
        remember(known, text, id);
        Ok(Some(id))
    }

    /// The number of a list as a record writes it; of an empty one, and of what is no list, none.
    pub(super) fn list(
        &mut self,
        db: &Connection,
        list: List,
        raw: Option<&RawValue>,
    ) -> rusqlite::Result<Option<i64>> {
        let Some(raw) = raw.filter(|raw| raw.get() != "[]") else {
            return Ok(None);
        };
        self.joined(db, list, raw.get(), |_| members(list, Some(raw)))
    }

    /// The number of several texts that belong together.
    pub(super) fn together(
        &mut self,
        db: &Connection,
        list: List,
        kind: Kind,
        texts: &[&str],
    ) -> rusqlite::Result<Option<i64>> {
        if texts.iter().all(|text| text.is_empty()) {
            return Ok(None);
        }
        let raw = texts.join(BETWEEN);
        let named = |_: &str| {
            let texts = texts.iter().filter(|text| !text.is_empty());
            texts.map(|text| (kind, (*text).to_owned())).collect()
        };
        self.joined(db, list, &raw, named)
    }

    fn joined(
        &mut self,
        db: &Connection,
        list: List,
        raw: &str,
        members: impl FnOnce(&str) -> Vec<(Kind, String)>,
    ) -> rusqlite::Result<Option<i64>> {
        let hash;
        let key = if raw.len() > LONGEST_LIST {
            hash = Sha256Hex::of(raw.as_bytes());
            hash.as_str()
        } else {
            raw
        };
        let known = self.lists.get(list as usize);
        if let Some(id) = known.and_then(|known| known.get(key)) {
            // 0: a list in which nothing can be looked for.
            return Ok(Some(id).filter(|id| *id > 0));
        }
        let members = members(raw);
        let id = if members.is_empty() {
            0
        } else {
            let (id, is_new) = find_or_add(db, &LIST, list as i64, key)?;
            if is_new {
                for (kind, text) in members {
                    if let Some(text) = self.text(db, kind, &text)? {
                        db.prepare_cached(
                            "INSERT OR IGNORE INTO member(text, list) VALUES (?, ?)",
                        )?
                        .execute(params![text, id])?;
                    }
                }
            }
            id
        };
        remember(self.lists.get_mut(list as usize), key, id);
        Ok(Some(id).filter(|id| *id > 0))
    }
}

/// Looks for a value, and adds it where it is not there: its number, and whether it is new.
fn find_or_add(
    db: &Connection,
    table: &Table,
    kind: i64,
    value: &str,
) -> rusqlite::Result<(i64, bool)> {
    let found = db
        .prepare_cached(table.find)?
        .query_row(params![kind, value], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok((id, false));
    }
    db.prepare_cached(table.add)?
        .execute(params![kind, value])?;
    Ok((db.last_insert_rowid(), true))
}

/// How a table is asked.
struct Table {
    find: &'static str,
    add: &'static str,
}

const TEXT: Table = Table {
    find: "SELECT id FROM text WHERE kind = ? AND value = ?",
    add: "INSERT INTO text(kind, value) VALUES (?, ?)",
};

const LIST: Table = Table {
    find: "SELECT id FROM list WHERE kind = ? AND value = ?",
    add: "INSERT INTO list(kind, value) VALUES (?, ?)",
};

fn remember(known: Option<&mut Cache>, key: &str, id: i64) {
    if let Some(known) = known {
        known.insert(key, id);
    }
}

/// As much of a text as is kept: the index is asked for the same.
pub fn within(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let mut end = LONGEST;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

/// Between texts that are kept together.
pub(super) const BETWEEN: &str = "\u{1f}";
/// Bytes of a text.
const LONGEST: usize = 1024;
/// Bytes of a list; a longer one is known by its hash.
const LONGEST_LIST: usize = 4096;
/// Bytes that are remembered of a kind.
const ROOM: usize = 4 << 20;
/// What an entry takes besides its text.
const ENTRY: usize = 48;
