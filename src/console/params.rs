//! What stands behind the question mark of a URL, and in a form.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Names and values, in their order. So many at most: the rest is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let read = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = pairs.take(MOST).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (read(name), read(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a name; nothing where it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The same as it was given: spaces around a password belong to it.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| &**value)
    }

    /// The value of a name that stands there once, and is not empty: of two, others could have added one.
    pub(super) fn once(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = named.next()?;
        (named.next().is_none() && !value.is_empty()).then_some(value)
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The same with another value of one name; `None`: without it.
    pub(super) fn with(&self, name: &str, value: Option<&str>) -> Self {
        let kept = self.0.iter().filter(|(known, _)| known != name).cloned();
        let new = value.map(|value| (name.to_owned(), value.to_owned()));
        Self(kept.chain(new).collect())
    }

    /// As it stands in a URL; empty values are left out.
    pub(super) fn query(&self) -> String {
        let pairs = self.0.iter().filter(|(_, value)| !value.is_empty());
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// A text as a part of a URL.
pub(super) fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, RESERVED).into()
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Names and values that are looked at.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written_again() {
        let params = Params::of("token=a%26b+c&token=d&empty=&since=7d");
        assert_eq!(params.all("token").collect::<Vec<_>>(), ["a&b c", "d"]);
        assert_eq!(params.get("empty"), None);
        assert_eq!(params.once("since"), Some("7d"));
        assert_eq!((params.once("token"), params.once("empty")), (None, None));
        assert_eq!(params.query(), "token=a%26b%20c&token=d&since=7d");
        let other = params.with("token", None).with("before", Some("7"));
        assert_eq!(other.query(), "since=7d&before=7");
    }
}
