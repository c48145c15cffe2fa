//! Texts with expressions in them, as calls.

use super::super::{IMPLICIT, TEMPLATE, Wrong};
use super::Walk;

impl Walk<'_> {
    /// A text with expressions in it, as a call that puts its pieces together.
    pub(super) fn template(&mut self) -> Result<(), Wrong> {
        let is_raw = self.word().starts_with("$`");
        let mut is_first = true;
        loop {
            let Some(part) = self.token().copied() else {
                return Ok(());
            };
            let written = self.word();
            let opens = written.ends_with('{') && part.partner != self.at;
            let begin = if is_first { 2 } else { 1 };
            let inner = written.get(begin..written.len().saturating_sub(1));
            let mut pieces = pieces(inner.unwrap_or_default(), is_raw);
            let mut new = String::new();
            if is_first {
                new.push_str(TEMPLATE);
                new.push_str("([");
            } else {
                new.push('}');
                if opens || !pieces.is_empty() {
                    new.push_str(", ");
                }
            }
            if opens {
                self.texts += 1;
                let name = format!("{TEMPLATE}_{}", self.texts);
                pieces.push(format!("{{{name} | some {IMPLICIT} in [0]; {name} := "));
            }
            new.push_str(&pieces.join(", "));
            if !opens {
                new.push_str("])");
            }
            self.changes.replace(part.start, part.end, new);
            self.at += 1;
            if !opens {
                return Ok(());
            }
            self.embedded(part.partner)?;
            is_first = false;
        }
    }

    /// The expression in a text, to where the text goes on.
    fn embedded(&mut self, end: usize) -> Result<(), Wrong> {
        let missing = self.wrong("an expression with a value has to stand between these braces; \\{ is a brace of the text");
        let first = self.at;
        if !self.expression()? {
            return Err(missing);
        }
        self.number(first);
        if let Some(start) = self.assigned {
            return Err(Wrong::new(
                start,
                "nothing can be given a value within a text",
            ));
        }
        self.replacements()?;
        if self.at != end {
            return Err(
                self.wrong("one expression can stand between the braces of a text: this is more")
            );
        }
        Ok(())
    }

    /// A number that stands there alone is written as in the file.
    fn number(&mut self, first: usize) {
        let written = self
            .tokens
            .get(first)
            .map(|first| (first.start, self.end()));
        let Some((start, end)) = written else { return };
        let number = self.text.get(start..end).unwrap_or_default();
        if serde_json::from_str::<serde_json::Number>(number).is_ok() {
            self.changes.replace(start, end, format!("\"{number}\""));
        }
    }
}

/// The pieces of a part of a text, as texts of their own; `\{` is a brace.
fn pieces(inner: &str, is_raw: bool) -> Vec<String> {
    if is_raw {
        // In it there is no other escape: a piece ends before each such.
        let mut pieces = Vec::new();
        let mut start = 0;
        for (place, _) in inner.match_indices("\\{") {
            pieces.push(inner.get(start..place).unwrap_or_default());
            start = place + 1;
        }
        pieces.push(inner.get(start..).unwrap_or_default());
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        return pieces.map(|piece| format!("`{piece}`")).collect();
    }
    if inner.is_empty() {
        return Vec::new();
    }
    let mut piece = String::with_capacity(inner.len() + 2);
    piece.push('"');
    let mut characters = inner.chars();
    while let Some(next) = characters.next() {
        if next != '\\' {
            piece.push(next);
            continue;
        }
        match characters.next() {
            Some('{') => piece.push('{'),
            escaped => {
                piece.push('\\');
                piece.extend(escaped);
            }
        }
    }
    piece.push('"');
    vec![piece]
}
