//! What somebody has seen last, as they say it: a browser that comes again, or the address of a page.

use http::HeaderName;
use http::request::Parts;

use crate::console::Fault;
use crate::console::params::{Params, encoded};
use crate::store::Key;

/// The newest decision of each gate that somebody has seen, the gate first that was seen last. What a gate has sent late
/// stands before none of another gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::console) struct Last(Vec<Key>);

impl Last {
    /// Of decisions, the newest first.
    pub(in crate::console) fn of(found: impl Iterator<Item = Key>) -> Self {
        let mut last = Self::default();
        for key in found {
            if last.0.iter().all(|it| it.gate != key.gate) {
                last.0.push(key);
            }
        }
        last
    }

    pub(super) fn all(&self) -> &[Key] {
        &self.0
    }

    /// Whether it tells of every gate that there was: there was room for more.
    pub(super) fn is_of_all(&self) -> bool {
        self.0.len() < GATES && self.text().len() < LONGEST / 2
    }

    /// One more was seen.
    pub(super) fn add(&mut self, key: Key) {
        let before = self.0.iter().position(|it| it.gate == key.gate);
        let before = before.map(|at| self.0.remove(at));
        let newest = before.filter(|before| before.seq > key.seq).unwrap_or(key);
        self.0.insert(0, newest);
        self.0.truncate(GATES);
    }

    /// As a page and a browser say it: of as many gates as there is room for.
    pub(in crate::console) fn text(&self) -> String {
        let mut text = String::new();
        for key in self.0.iter().take(GATES) {
            let id = id(key);
            if !text.is_empty() && text.len() + id.len() >= LONGEST {
                break;
            }
            if !text.is_empty() {
                text.push(BETWEEN);
            }
            text.push_str(&id);
        }
        match &*text {
            "" => NOTHING.to_owned(),
            _ => text,
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            NOTHING => Some(Self::default()),
            text => {
                let keys = text.split(BETWEEN).take(GATES).map(key);
                Some(Self(keys.collect::<Option<_>>()?))
            }
        }
    }
}

/// What somebody says that they have seen, if they say it: a browser that comes again, or the address of a page.
pub(super) fn last(params: &Params, parts: &Parts) -> Result<Option<Last>, Fault> {
    let again = parts.headers.get(LAST).and_then(|id| id.to_str().ok());
    let said = again
        .filter(|id| !id.is_empty())
        .or_else(|| params.get(FROM));
    let Some(said) = said else { return Ok(None) };
    match Last::read(said) {
        Some(last) => Ok(Some(last)),
        None => Err(Fault::Invalid(format!(
            "{FROM}: this is no decision: load the page again."
        ))),
    }
}

/// By which a decision is known here.
pub(in crate::console) fn id(key: &Key) -> String {
    match &*key.gate {
        "" => key.seq.to_string(),
        gate => format!("{}/{}", encoded(gate), key.seq),
    }
}

fn key(id: &str) -> Option<Key> {
    let (gate, seq) = id.rsplit_once('/').unwrap_or(("", id));
    let gate = percent_encoding::percent_decode_str(gate).decode_utf8();
    Some(Key {
        gate: gate.ok()?.into_owned(),
        seq: seq.parse().ok()?,
    })
}

/// The name by which a page says what it has seen last, and the word for nothing.
pub(in crate::console) const FROM: &str = "from";
const NOTHING: &str = "none";
/// Gates of which it is said, and the bytes of that: an address of a page has no longer values.
const GATES: usize = 16;
const LONGEST: usize = 900;
const BETWEEN: char = ',';
/// The same of a browser that comes again.
const LAST: HeaderName = HeaderName::from_static("last-event-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_comes_again_says_what_it_has_seen() {
        let said = |query: &str, header: Option<&str>| {
            let request = http::Request::get("/console/live");
            let request = header
                .into_iter()
                .fold(request, |it, id| it.header(LAST, id));
            let parts = request.body(()).unwrap().into_parts().0;
            last(&Params::of(query), &parts).map_err(|fault| fault.to_string())
        };
        let key = |gate: &str, seq| Key {
            gate: gate.to_owned(),
            seq,
        };
        let seen = |keys: &[Key]| Ok(Some(Last(keys.to_vec())));
        assert_eq!(said("", None), Ok(None));
        assert_eq!(said("from=none", None), seen(&[]));
        assert_eq!(said("from=7", None), seen(&[key("", 7)]));
        assert_eq!(said("from=7", Some("9")), seen(&[key("", 9)]));
        let of_store = [key("eu/1, é", 3), key("us", 8)];
        let text = Last(of_store.to_vec()).text();
        assert_eq!(said("from=7", Some(&text)), seen(&of_store));
        assert!(said("from=x", None).is_err());
    }

    #[test]
    fn the_newest_of_each_gate_is_said_of_as_many_as_there_is_room_for() {
        let key = |gate: usize, seq| Key {
            gate: format!("{gate:0100}"),
            seq,
        };
        let mut last = Last::of([key(1, 9), key(2, 5), key(1, 8)].into_iter());
        assert_eq!(last.all(), [key(1, 9), key(2, 5)]);
        // It came late, and is not the newest of its gate.
        last.add(key(2, 4));
        assert_eq!(last.all(), [key(2, 5), key(1, 9)]);
        for gate in 3..40 {
            last.add(key(gate, 1));
        }
        let text = last.text();
        assert!((800..=LONGEST).contains(&text.len()), "{text}");
        assert_eq!(Last::read(&text).unwrap().all()[0], key(39, 1));
        assert_eq!(Last::default().text(), NOTHING);
    }
}
