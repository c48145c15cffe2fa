//! Text that may be written. Whatever a client sends reaches the journal, the log, an answer or a policy only as
//! [`Redacted`], and only a [`Redactor`] makes that: it knows the credentials of the request in all their encodings
//! and the shapes of all tokens.
//!
//! It looks at text as it stands, at what that says without its escapes (again and again), and at what base64 and
//! hexadecimal digits in it say. The steps are bounded by the text's length: what takes more is hidden as a whole.

pub(crate) mod encode;
mod once;
mod own;
mod path;
mod private;
mod reading;
mod shape;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::token::{TokenId, TokenSecret};
pub use once::Once;
use own::Own;
use reading::Reading;

/// What holds no secret: text, or JSON of which every text and every name was looked at.
///
/// It is made by a [`Redactor`], from what cannot hold a secret, or read from what was written before (a record, a
/// file of the operator's). A text of a client is none:
///
/// ```compile_fail
/// let name = String::from("as the client wrote it");
/// let written: dtgate::dynatrace::redact::Redacted = name.into();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Redacted<T = String>(T);

/// Makes text writable: tokens of every shape, and the credentials that one request shows, are taken out. Clones
/// share what they know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Shown>);

/// What one request shows.
#[derive(Default)]
struct Shown {
    /// Credentials: the value of `Authorization`, a bare token.
    credentials: Vec<TokenSecret>,
    /// Values of fields that may carry a secret, and may be honest words: cookies.
    values: Vec<TokenSecret>,
    /// Both are made when the first text comes that is long enough to hold a secret: most requests have none.
    own: OnceLock<(Own, Own)>,
}

/// What holds texts of a client among others. To be written, it has each of them made writable: an implementation takes
/// its type apart member by member, so that a new one is not forgotten.
pub trait Texts {
    #[must_use]
    fn redacted(self, redactor: &Redactor) -> Self;
}

/// What a search is for.
#[derive(Clone, Copy, PartialEq)]
enum Sought {
    /// Whatever must not be written.
    All,
    /// Tokens, and what the request shows, but no key of a link.
    Tokens,
}

/// Where secrets stand in a text.
enum Found {
    Nothing,
    /// In order, none touches another.
    Here(Vec<Range<usize>>),
    /// It would take too long to say.
    Unknown,
}

impl Redacted {
    /// Text of our own.
    pub fn ours(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A network: the address that it begins with, and the length of its prefix.
    pub fn network(address: Ipv6Addr, prefix: u8) -> Self {
        Self(format!("{address}/{prefix}"))
    }

    /// So many bytes of it at most; what was cut off shows.
    #[must_use]
    pub fn cut(mut self, most: usize) -> Self {
        if self.0.len() > most {
            let kept = most.saturating_sub(ELLIPSIS.len());
            self.0.truncate(self.0.floor_char_boundary(kept));
            self.0.push_str(ELLIPSIS);
        }
        self
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<IpAddr> for Redacted {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl From<Uuid> for Redacted {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl From<&TokenId> for Redacted {
    fn from(id: &TokenId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl Redactor {
    /// One that knows the credentials of a request, each as it is shown: with its scheme, or bare.
    pub fn new(credentials: impl IntoIterator<Item = TokenSecret>) -> Self {
        Self::knowing(credentials, [])
    }

    /// The same, with values that may be secret and may be honest words: of cookies, of fields with a name that says
    /// so. Only those that look like a secret are taken for one.
    pub fn knowing(
        credentials: impl IntoIterator<Item = TokenSecret>,
        values: impl IntoIterator<Item = TokenSecret>,
    ) -> Self {
        Self(Arc::new(Shown {
            credentials: credentials.into_iter().collect(),
            values: values.into_iter().collect(),
            own: OnceLock::new(),
        }))
    }

    /// The same, which knows one more.
    #[must_use]
    pub fn and(&self, credential: TokenSecret) -> Self {
        let credentials = self.0.credentials.iter().cloned();
        Self::knowing(credentials.chain([credential]), self.0.values.clone())
    }

    /// Text without what could be a secret: in place of each stands `[secret]`.
    pub fn text(&self, text: &str) -> Redacted {
        let ranges = match self.find(text, Sought::All) {
            Found::Nothing => return Redacted(text.to_owned()),
            Found::Here(ranges) => ranges,
            Found::Unknown => return Redacted::ours(HIDDEN),
        };
        let mut clean = String::with_capacity(text.len());
        let mut written = 0;
        for range in ranges {
            clean.push_str(text.get(written..range.start).unwrap_or_default());
            clean.push_str(HIDDEN);
            written = range.end;
        }
        clean.push_str(text.get(written..).unwrap_or_default());
        Redacted(clean)
    }

    /// A word that stands where people paste tokens: a method, a name. One that is written as tokens of the old
    /// format are, which have no mark of their own, is hidden too.
    pub fn word(&self, word: &str) -> Redacted {
        if shape::is_like_an_old_token(word) {
            return Redacted::ours(HIDDEN);
        }
        self.text(word)
    }

    /// A path as it may be written: without query, and without whatever stands in a token's place.
    pub fn path(&self, path: &str) -> Redacted {
        Redacted(path::path(path, |text| self.text(text).0))
    }

    /// The value of a header field; none where the field is made to carry a secret, or its name is one.
    pub fn header(&self, name: &str, value: &str) -> Option<Redacted> {
        let is_a_name = |word: &str| word.len() <= LONGEST_WORD;
        let shown = !names_a_secret(name)
            && name.split(['-', '_', '.']).all(is_a_name)
            && !self.hides(name)
            && self.word(name).0 == name;
        shown.then(|| self.text(value))
    }

    /// JSON with every text and every name of a member made writable.
    pub fn json(&self, value: &Value) -> Redacted<Value> {
        Redacted(self.value(value))
    }

    pub fn members(&self, members: &Map<String, Value>) -> Redacted<Map<String, Value>> {
        let members = members.iter();
        Redacted(
            members
                .map(|(name, value)| (self.text(name).0, self.value(value)))
                .collect(),
        )
    }

    /// A copy of all of it with its texts made writable.
    pub fn all<T: Texts + Clone>(&self, value: &T) -> Redacted<T> {
        Redacted(value.clone().redacted(self))
    }

    /// Whether text holds a secret, whatever it is encoded as.
    pub fn hides(&self, text: &str) -> bool {
        !matches!(self.find(text, Sought::All), Found::Nothing)
    }

    /// Whether text holds a token, or what the request shows as a secret, whatever it is encoded as: the key of a link is
    /// neither.
    pub fn holds_token(&self, text: &str) -> bool {
        !matches!(self.find(text, Sought::Tokens), Found::Nothing)
    }

    /// Whether text holds what the request itself shows as a secret. A client may show what it likes: policies must not
    /// judge a text from which that was taken.
    pub fn is_shown(&self, text: &str) -> bool {
        once::takes_more(&self.text(text), text)
    }

    /// For many texts, of which some are the same.
    pub fn once(&self) -> Once<'_> {
        Once::new(self)
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text).0),
            Value::Array(elements) => elements.iter().map(|value| self.value(value)).collect(),
            Value::Object(members) => Value::Object(self.members(members).0),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn find(&self, text: &str, sought: Sought) -> Found {
        if !reading::may_hold_a_secret(text.as_bytes()) {
            return Found::Nothing;
        }
        #[cfg(test)]
        SEARCHES.set(SEARCHES.get() + 1);
        let mut search = Search {
            own: self.0.own(),
            sought,
            steps: text.len() * STEPS_A_BYTE + STEPS,
            found: Vec::new(),
        };
        if search.all(&Reading::of(text), DEPTH).is_none() {
            return Found::Unknown;
        }
        merged(text, search.found)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Shown {
    fn own(&self) -> &(Own, Own) {
        let made = || {
            (
                Own::of_credentials(&self.credentials),
                Own::of_values(&self.values),
            )
        };
        self.own.get_or_init(made)
    }
}

#[cfg(test)]
thread_local! {
    /// How many texts were searched by this thread.
    pub(crate) static SEARCHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One text, searched in all its readings.
struct Search<'a> {
    own: &'a (Own, Own),
    sought: Sought,
    /// That are left, each a byte of a reading.
    steps: usize,
    found: Vec<Range<usize>>,
}

impl Search<'_> {
    /// `None`: more readings than anybody reads.
    fn all(&mut self, first: &Reading, depth: usize) -> Option<()> {
        self.one(first)?;
        let mut last = None;
        for _ in 0..ROUNDS {
            let Some(next) = last.as_ref().unwrap_or(first).unescaped() else {
                self.decoded(first, depth)?;
                return last.map_or(Some(()), |last| self.decoded(&last, depth));
            };
            self.one(&next)?;
            last = Some(next);
        }
        None
    }

    /// Searches a reading as it stands.
    fn one(&mut self, reading: &Reading) -> Option<()> {
        self.steps = self.steps.checked_sub(reading.len())?;
        let mut found = |range: Range<usize>| self.found.push(reading.origin(range));
        let (credentials, values) = self.own;
        shape::find(reading.bytes(), self.sought, &mut found);
        credentials.find(reading.bytes(), &mut found);
        values.find(reading.bytes(), &mut found);
        if let Some(joined) = reading.joined() {
            self.steps = self.steps.checked_sub(joined.len())?;
            let mut found = |range: Range<usize>| self.found.push(joined.origin(range));
            shape::find_broken(joined.bytes(), self.sought, &mut found);
        }
        Some(())
    }

    /// Searches what digits in a reading say.
    fn decoded(&mut self, reading: &Reading, depth: usize) -> Option<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Some(());
        };
        let stretches = reading.decoded();
        stretches
            .iter()
            .try_for_each(|stretch| self.all(stretch, depth))
    }
}

fn merged(text: &str, mut found: Vec<Range<usize>>) -> Found {
    if found.is_empty() {
        return Found::Nothing;
    }
    found.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let cuts = |at: usize| text.is_char_boundary(at);
    if merged
        .iter()
        .all(|range| cuts(range.start) && cuts(range.end))
    {
        Found::Here(merged)
    } else {
        Found::Unknown
    }
}

/// Whether a name, of a field or a parameter, says that it carries a secret.
pub fn names_a_secret(name: &str) -> bool {
    // Every field of every request is asked about: once through its letters.
    let name = name.as_bytes();
    let begins = name.windows(3).enumerate();
    let mut begins = begins.filter(|(_, letters)| begin_a_secret_word(letters));
    begins.any(|(at, _)| {
        let rest = name.get(at..).unwrap_or_default();
        SECRET_WORDS.iter().any(|word| {
            let begin = rest.get(..word.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
        })
    })
}

/// Whether they are the first letters of one of [`SECRET_WORDS`], in either case, or could be taken for them.
fn begin_a_secret_word(letters: &[u8]) -> bool {
    let [first, second, third] = *letters else {
        return false;
    };
    matches!(
        &[first | 0x20, second | 0x20, third | 0x20],
        b"aut" | b"coo" | b"csr" | b"key" | b"pas" | b"sec" | b"ses" | b"tok"
    )
}

const SECRET_WORDS: &[&str] = &[
    "auth", "cookie", "csrf", "key", "passw", "secret", "session", "token",
];

const ELLIPSIS: &str = "...";

/// Stands for a secret.
const HIDDEN: &str = "[secret]";

/// The longest word in the name of an honest field.
const LONGEST_WORD: usize = 24;

/// Rounds of taking escapes off before a text is given up.
const ROUNDS: usize = 8;

/// Base64 or hexadecimal digits within each other.
const DEPTH: usize = 2;

/// All readings of one text, each of them as long as it is, at most. A text of base64 takes three of them.
const STEPS_A_BYTE: usize = 8;
const STEPS: usize = 4096;

#[cfg(test)]
mod tests;
