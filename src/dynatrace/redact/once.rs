//! Many texts, of which some are the same.

use std::collections::HashMap;

use super::{Redacted, Redactor, reading};

/// Makes texts writable, and searches each once, however often it comes.
pub struct Once<'a> {
    redactor: &'a Redactor,
    /// What was searched, and what is to be written in its place; `None`: the same.
    known: HashMap<&'a str, Option<Redacted>>,
}

/// Whether from text was taken what is no secret by itself.
pub(super) fn takes_more(redacted: &Redacted, text: &str) -> bool {
    redacted.0 != text && *redacted != Redactor::default().text(text)
}

impl<'a> Once<'a> {
    pub(super) fn new(redactor: &'a Redactor) -> Self {
        Self {
            redactor,
            known: HashMap::new(),
        }
    }

    pub fn text(&mut self, text: &'a str) -> Redacted {
        let clean = self.known(text);
        clean.unwrap_or_else(|| Redacted(text.to_owned()))
    }

    pub fn all(&mut self, texts: &'a [String]) -> Vec<Redacted> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    /// See [`Redactor::is_shown`].
    pub fn is_shown(&mut self, text: &'a str) -> bool {
        let clean = self.known(text);
        clean.is_some_and(|clean| takes_more(&clean, text))
    }

    /// `None`: there is nothing to take out.
    fn known(&mut self, text: &'a str) -> Option<Redacted> {
        // Most texts: quicker than to know them again.
        if !reading::may_hold_a_secret(text.as_bytes()) {
            return None;
        }
        let search = || {
            let clean = self.redactor.text(text);
            (clean.0 != text).then_some(clean)
        };
        self.known.entry(text).or_insert_with(search).clone()
    }
}
