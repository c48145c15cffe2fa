//! Texts cut into words, the same way when they are kept and when they are looked for: letters and digits of ASCII,
//! and whatever is not ASCII; upper and lower case are alike.

use super::named::{Hidden, Veil};

/// The words of one record, each once, in bounded room.
#[derive(Debug, Default)]
pub(super) struct Text {
    words: String,
    is_cut: bool,
}

/// What marks have and no other word.
const MARKING: [char; 2] = ['\u{e000}', '\u{e001}'];

/// Stands among the words of a record that has more than are kept.
pub(super) const CUT: &str = "\u{e000}\u{e001}cut";

/// Stands among the words of a decision that passed by a grant.
pub const GRANTED: &str = "\u{e000}\u{e001}granted";

/// Begins the word of a claim.
pub(super) const CLAIM: &str = "\u{e000}\u{e001}value";

/// Stands among the words of a decision of which that is hidden.
pub fn mark((hidden, veil): (Hidden, Veil)) -> String {
    let what = match hidden {
        Hidden::Names => "names",
        Hidden::Scopes => "scopes",
        Hidden::Token => "token",
        Hidden::ByPublicId => "bypublicid",
        Hidden::ByOtherId => "byotherid",
        Hidden::NamePart => "namepart",
        Hidden::Caller => "caller",
        Hidden::Certificate => "certificate",
        Hidden::Claim => "claim",
        Hidden::Claims => "claims",
        Hidden::Team => "team",
        Hidden::Environment => "environment",
        Hidden::Policy => "policy",
        Hidden::Code => "code",
        Hidden::Client => "client",
        Hidden::Effect => "effect",
        Hidden::Words => "words",
    };
    let by = match veil {
        Veil::Mask => "",
        Veil::Pseudonym => "pseudonym",
    };
    format!("\u{e000}\u{e001}{by}{what}")
}

impl Text {
    pub(super) fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.is_cut |= self.words.len() > LONGEST || text.len() > LONGEST;
        if self.words.len() > LONGEST {
            return;
        }
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        if !self.words.is_empty() {
            self.words.push(' ');
        }
        if text.is_ascii() {
            self.words.push_str(text);
        } else {
            // A mark is ours alone: what clients write has none.
            let text = text.to_lowercase().replace(MARKING, " ");
            self.words.push_str(&text);
        }
    }

    /// Adds a mark, which nobody looks for by words of their own.
    pub(super) fn mark(&mut self, mark: &str) {
        if !self.words.is_empty() {
            self.words.push(' ');
        }
        self.words.push_str(mark);
    }

    pub(super) fn done(mut self) -> String {
        if self.is_cut {
            self.words.push(' ');
            self.words.push_str(CUT);
        }
        self.words
    }
}

/// What a text asks for: words that all have to be there, the last letters left open where `*` stands.
pub(super) fn asked(text: &str) -> Option<String> {
    let terms = terms(text).into_iter();
    let terms =
        terms.map(|(word, is_open)| format!("\"{word}\"{}", if is_open { "*" } else { "" }));
    let terms: Vec<String> = terms.collect();
    (!terms.is_empty()).then(|| terms.join(" AND "))
}

/// Its words, and of each whether its last letters are left open.
pub(super) fn terms(text: &str) -> Vec<(String, bool)> {
    let text = text.to_lowercase();
    let mut terms = Vec::new();
    for part in text.split_whitespace() {
        let (part, is_open) = match part.strip_suffix('*') {
            Some(part) => (part, true),
            None => (part, false),
        };
        let mut words = words(part).peekable();
        while let Some(word) = words.next() {
            let is_last = words.peek().is_none();
            terms.push((word.to_owned(), is_open && is_last));
        }
    }
    terms
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    text.split(is_between).filter(|word| !word.is_empty())
}

/// Bytes of a record that are searched, about.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_a_mark() {
        for mark in [CUT, GRANTED, &mark((Hidden::Names, Veil::Mask))] {
            for written in [
                mark.to_owned(),
                mark.to_uppercase(),
                format!("a {mark} b"),
                format!("\u{e000}{mark}"),
                mark.replace('\u{e001}', "\u{e001}\u{e000}\u{e001}"),
            ] {
                let mut text = Text::default();
                text.add(&written);
                let words = text.done();
                assert!(!words.contains(MARKING), "{words}");
            }
        }
        let mut text = Text::default();
        text.mark(GRANTED);
        assert_eq!(text.done(), GRANTED);
    }
}
