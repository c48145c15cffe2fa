//! Texts of clients in records of what was refused, and in the log: no longer than anybody reads.
//!
//! What is longer is cut and says how long it was, with its keyed hash: who has the whole text and the journal's key
//! can prove that it was this one, and nobody else can try out what the rest might be. It gets texts without
//! secrets, and must: it does not look for them.

use std::borrow::Cow;

use crate::audit::event::DecisionRecord;
use crate::dynatrace::redact::Redacted;
use crate::dynatrace::token::HashKey;
use crate::telemetry::{Limit, Metrics};

/// Cuts, and counts that it did.
#[derive(Clone)]
pub(super) struct Cut {
    key: HashKey,
    metrics: Metrics,
}

impl Cut {
    pub(super) fn new(key: HashKey, metrics: Metrics) -> Self {
        Self { key, metrics }
    }

    /// Every text of a record, whoever put it there, names of members too.
    pub(super) fn record(&self, record: DecisionRecord) -> DecisionRecord {
        record.shortened(LONGEST, |text| self.shorten(text))
    }

    pub(super) fn text<'a>(&self, text: &'a Redacted) -> Cow<'a, str> {
        if text.len() <= LONGEST {
            Cow::Borrowed(text.as_str())
        } else {
            Cow::Owned(self.shorten(text))
        }
    }

    fn shorten(&self, text: &str) -> String {
        self.metrics.reached(Limit::Text);
        let begin = text
            .get(..text.floor_char_boundary(LONGEST))
            .unwrap_or_default();
        format!("{begin}… ({} bytes, {})", text.len(), self.key.name(text))
    }
}

/// In bytes.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynatrace::redact::Redactor;

    fn cut() -> Cut {
        Cut::new(HashKey::new([7; 32]), Metrics::new("1.2.3"))
    }

    fn writable(text: &str) -> Redacted {
        Redactor::default().text(text)
    }

    #[test]
    fn a_text_that_is_not_too_long_stays_as_it_is() {
        for text in [String::new(), "x".repeat(LONGEST)] {
            assert_eq!(cut().text(&writable(&text)), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_what_it_was() {
        let text = format!("a{}", "é".repeat(LONGEST));
        let short = cut().text(&writable(&text)).into_owned();
        let name = HashKey::new([7; 32]).name(&text);
        let kept = (LONGEST - 1) / 2;
        assert_eq!(
            short,
            format!("a{}… ({} bytes, {name})", "é".repeat(kept), text.len())
        );
        let other = cut().text(&writable(&format!("{text}b"))).into_owned();
        assert_ne!(short, other, "two long texts that begin alike");
    }

    #[test]
    fn the_hash_is_no_oracle_for_whoever_has_not_the_key() {
        let text = writable(&"x".repeat(LONGEST + 1));
        let other = Cut::new(HashKey::new([8; 32]), Metrics::new("1.2.3"));
        assert_ne!(cut().text(&text), other.text(&text));
    }
}
