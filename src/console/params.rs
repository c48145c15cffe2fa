//! What stands behind the question mark of a URL, and in a form.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Fault;
use super::row::cut;

/// Names and values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Those of a page. What is too much is refused, and not left out: an answer to less than was asked is another answer.
    pub(super) fn of_page(query: &str) -> Result<Self, Fault> {
        if query.len() > LONGEST {
            return Err(too_much(&format!(
                "the address has more than {LONGEST} bytes behind its question mark"
            )));
        }
        let params = Self::of_form(query)?;
        match params
            .0
            .iter()
            .find(|(name, value)| name.len().max(value.len()) > LONGEST_VALUE)
        {
            Some((name, _)) => Err(too_much(&format!(
                "{} has more than {LONGEST_VALUE} bytes",
                cut(name)
            ))),
            None => Ok(params),
        }
    }

    /// Those of a form, whose length somebody else has looked at.
    pub(super) fn of_form(text: &str) -> Result<Self, Fault> {
        if text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .nth(MOST)
            .is_some()
        {
            return Err(too_much(&format!(
                "there are more than {MOST} names and values"
            )));
        }
        Ok(Self::of(text))
    }

    /// Refuses names that a page does not know, and several values of a name that takes one.
    pub(super) fn expect(&self, once: &[&str], many: &[&str]) -> Result<(), Fault> {
        for (name, _) in &self.0 {
            let is_once = once.contains(&&**name);
            if !is_once && !many.contains(&&**name) {
                let known: Vec<&str> = once.iter().chain(many).copied().collect();
                let known = match &*known {
                    [] => "this page takes none".to_owned(),
                    known => format!("there are: {}", known.join(", ")),
                };
                return Err(Fault::Invalid(format!(
                    "There is no parameter {}; {known}.",
                    cut(name)
                )));
            }
            if is_once && self.all(name).nth(1).is_some() {
                return Err(Fault::Invalid(format!("{name}: give it once.")));
            }
        }
        Ok(())
    }

    /// Whether a switch is on: `1` says so, and nothing else is understood.
    pub(super) fn is_on(&self, name: &str) -> Result<bool, Fault> {
        match self.get(name) {
            None => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(Fault::Invalid(format!("{name}: write 1, or leave it out."))),
        }
    }

    /// The first of so many: what leads on to a login, and what issuers send, may have others.
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

fn too_much(what: &str) -> Fault {
    Fault::Invalid(format!("This is too much for a page: {what}."))
}

/// Names and values.
const MOST: usize = 100;
/// Bytes of a query, and of one value.
const LONGEST: usize = 8 << 10;
const LONGEST_VALUE: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_or_not_known_is_refused() {
        let long = format!("token={}", "a".repeat(LONGEST_VALUE));
        Params::of_page(&long).unwrap();
        let many = ["a=1"; MOST].join("&");
        Params::of_page(&format!("&{many}&")).unwrap();
        for wrong in [
            format!("{long}a"),
            format!("{many}&verdict=deny"),
            ["token=abcdefgh"; MOST].join(&"&".repeat(80)),
        ] {
            let fault = Params::of_page(&wrong).unwrap_err();
            assert!(matches!(fault, Fault::Invalid(_)), "{wrong}");
        }
        let asked = |query: &str| Params::of(query).expect(&["verdict"], &["token"]);
        asked("verdict=&token=a&token=b&verdict=deny").unwrap();
        for wrong in ["verdit=deny", "verdict=deny&verdict=allow", "=x", "Token=x"] {
            assert!(matches!(asked(wrong), Err(Fault::Invalid(_))), "{wrong}");
        }
        assert!(Params::of("all=1").is_on("all").unwrap());
        assert!(!Params::of("all=").is_on("all").unwrap());
        assert!(Params::of("all=0").is_on("all").is_err());
    }

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
