//! What a `pruned` record takes over of the records that are deleted: without it nobody could tell any more which keys
//! there were.

use serde::Deserialize;
use serde_json::Value;

use crate::audit::event::Pruned;
use crate::audit::pseudonym;

/// Of all records that are gone, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Notes by which a key has handed over to the next one.
    keys: Vec<String>,
    /// What starts and reloads said of the keys of pseudonyms.
    pseudonyms: Vec<Value>,
}

/// What has to be known of a record that is deleted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    note: String,
    pseudonyms: Value,
}

impl Carried {
    /// Goes on from what was deleted before, by the record that vouches for it.
    pub(super) fn of(before: Option<Pruned>) -> Self {
        let mut carried = Self::default();
        carried.extend(before.unwrap_or_default());
        carried
    }

    /// A record that is deleted.
    pub(super) fn see(&mut self, kind: &str, line: &[u8]) {
        if !matches!(kind, "key" | "start" | "reload") {
            return;
        }
        let told: Told = serde_json::from_slice(line).unwrap_or_default();
        if kind == "key" {
            add(&mut self.keys, told.note);
        } else if told.pseudonyms.is_object() {
            self.keyed(told.pseudonyms);
        }
    }

    /// What a `pruned` record has taken over, which is deleted itself.
    pub(super) fn extend(&mut self, pruned: Pruned) {
        for note in pruned.keys {
            add(&mut self.keys, note);
        }
        for told in pruned.pseudonyms {
            self.keyed(told);
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.clone()
    }

    pub(super) fn pseudonyms(self) -> Vec<Value> {
        self.pseudonyms
    }

    /// Once for each key: of the same one the last that was said.
    fn keyed(&mut self, told: Value) {
        self.pseudonyms
            .retain(|before| !pseudonym::is_of_one_key(before, &told));
        add(&mut self.pseudonyms, told);
    }
}

/// The oldest gives way: more than anybody rotates would make a record that no line has room for.
fn add<T: PartialEq>(list: &mut Vec<T>, new: T) {
    if list.contains(&new) {
        return;
    }
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(new);
}

/// Of a kind. Whoever finds so many keys of pseudonyms knows that there may be more.
const MOST: usize = pseudonym::MOST_KEYS;
