//! The lenient reading of a path: could any server take it for that of a guarded operation?
//!
//! The path is walked through the tree of the catalogue's rows, part by part, at all places at once where some
//! server could be: one that sees a slash between two parts, and one that does not.

use crate::dynatrace::catalogue::{ANY, Catalogue, Edge, Operation, Row, Tree};
use crate::dynatrace::token::{TOKEN_WORDS, TOKENS};
use crate::guard::reading::{Part, Reading, Strange, TooMuch, Work};

/// What a method may do, as far as the catalogue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum Kind {
    /// Changes nothing, and its answer shows nothing.
    Quiet,
    /// Changes nothing; its answer may disclose a credential.
    Get,
    /// Whatever else there is.
    Write,
}

impl Kind {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "HEAD" | "OPTIONS" => Self::Quiet,
            "GET" => Self::Get,
            _ => Self::Write,
        }
    }

    pub(in crate::guard) fn concerns(self, row: &Row) -> bool {
        let method = row.endpoint.method;
        row.is_guarded()
            && match self {
                Self::Quiet => method == ANY,
                Self::Get => matches!(method, ANY | "GET"),
                // Where only GET is known others may do the same: some servers take `get` and `QUERY` for it.
                Self::Write => true,
            }
    }
}

/// What a path could be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    Row(Operation),
    /// No row that is known, but it speaks of tokens.
    Token,
}

/// Everything that some server might make of a path.
#[derive(Debug, Default)]
pub(in crate::guard) struct Likeness {
    /// The rows that it could be meant for, by their number.
    rows: Vec<usize>,
    /// It speaks of tokens.
    tokens: bool,
    /// It is too long, or encoded too often, to say.
    pub(super) hidden: bool,
    /// Why it can be read in more than one way, if it can.
    pub(super) strange: Option<Strange>,
}

impl Likeness {
    pub(in crate::guard) fn of(
        path: &str,
        catalogue: &Catalogue,
        work: &mut Work,
    ) -> Result<Self, TooMuch> {
        let hidden = |strange| Self {
            hidden: true,
            strange,
            ..Self::default()
        };
        if path.len() > MAX_PATH {
            return Ok(hidden(None));
        }
        let reading = Reading::of(path, work)?;
        if reading.is_too_deep() {
            return Ok(hidden(Some(Strange::Twice)));
        }
        let parts = reading.parts();
        let up = parts.iter().any(Part::is_up);
        let mut found = Self {
            tokens: reading.mentions_tokens() && speak_of_tokens(&parts, up),
            strange: reading
                .strange()
                .or_else(|| parts.iter().any(Part::is_dots).then_some(Strange::Dots))
                .or_else(|| is_broken(path).then_some(Strange::Escape)),
            ..Self::default()
        };
        work.spend(parts.len())?;
        if up {
            found.name(&parts, catalogue.tree());
        } else {
            found.walk(&parts, catalogue, work)?;
        }
        found.rows.sort_unstable();
        Ok(found)
    }

    /// Whether it could be meant for a guarded operation, on any method.
    pub(in crate::guard) fn is_suspect(&self, catalogue: &Catalogue) -> bool {
        self.suspect(Kind::Get, catalogue).is_some()
            || self.suspect(Kind::Write, catalogue).is_some()
    }

    pub(super) fn suspect(&self, kind: Kind, catalogue: &Catalogue) -> Option<Suspect> {
        let rows = self
            .rows
            .iter()
            .filter_map(|row| catalogue.rows().get(*row));
        let row = rows.into_iter().find(|row| kind.concerns(row));
        row.map(|row| Suspect::Row(row.endpoint.operation))
            .or_else(|| self.names_tokens(kind).then_some(Suspect::Token))
    }

    /// Whether it is about tokens, as far as a method minds.
    pub(super) fn names_tokens(&self, kind: Kind) -> bool {
        self.hidden || self.tokens && kind == Kind::Write
    }

    /// Whether only what owns the path could be meant, and no row that knows it.
    pub(super) fn is_below_only(&self, kind: Kind, catalogue: &Catalogue) -> bool {
        let rows = self.rows.iter();
        let mut rows = rows.filter_map(|row| catalogue.rows().get(*row));
        !self.hidden && rows.all(|row| row.owns || !kind.concerns(row))
    }

    /// The operation of a guarded row that it could be meant for, and that leaves less open than another row does.
    pub(super) fn closer(&self, kind: Kind, row: &Row, catalogue: &Catalogue) -> Option<Operation> {
        let rows = self.rows.iter();
        let rows = rows.filter_map(|number| catalogue.rows().get(*number));
        let mut closer = rows.filter(|other| other.openness() < row.openness());
        let found = closer.find(|other| kind.concerns(other))?;
        Some(found.endpoint.operation)
    }

    /// Servers disagree on whether dots are resolved before or after slashes are merged and escapes decoded. With
    /// dots in it, a path that names what a row ends in may lead there.
    fn name(&mut self, parts: &[Part<'_>], tree: &Tree) {
        for (word, rows) in tree.names() {
            if parts.iter().any(|part| part.is_word(word)) {
                self.rows.extend(rows);
            }
        }
    }

    fn walk(
        &mut self,
        parts: &[Part<'_>],
        catalogue: &Catalogue,
        work: &mut Work,
    ) -> Result<(), TooMuch> {
        let tree = catalogue.tree();
        let mut places = vec![Tree::ROOT, Tree::ENVIRONMENT];
        let mut next = Vec::with_capacity(MAX_PLACES);
        for part in parts {
            for place in places.iter().chain(&[Tree::ANYWHERE]) {
                work.spend(1)?;
                for (edge, below) in tree.edges(*place) {
                    if leads(edge, part) && !next.contains(below) {
                        next.push(*below);
                    }
                }
            }
            // Who sees no part of its own here, is where they were.
            if part.joined || part.is_nothing() {
                places.retain(|place| !next.contains(place));
                next.append(&mut places);
            }
            std::mem::swap(&mut places, &mut next);
            next.clear();
            if places.len() > MAX_PLACES {
                return Err(TooMuch);
            }
            self.arrive(&places, part.ends, catalogue);
        }
        self.arrive(&places, true, catalogue);
        Ok(())
    }

    /// Takes the rows that end at these places, and those that own what is below.
    fn arrive(&mut self, places: &[usize], ends: bool, catalogue: &Catalogue) {
        for row in places
            .iter()
            .flat_map(|place| catalogue.tree().rows(*place))
        {
            let here = ends || catalogue.rows().get(*row).is_some_and(|row| row.owns);
            if here && !self.rows.contains(row) {
                self.rows.push(*row);
            }
        }
    }
}

/// Whether a `%` in it begins no escape: some servers take it as it is, some take what follows for something else.
fn is_broken(path: &str) -> bool {
    let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
    let mut bytes = path.split('%').skip(1).map(str::bytes);
    !bytes.all(|mut rest| hex(rest.next()) && hex(rest.next()))
}

fn leads(edge: &Edge, part: &Part<'_>) -> bool {
    match edge {
        Edge::Any => !part.is_nothing() || part.unsure,
        Edge::Exactly(word) => part.is(word),
        Edge::Version => part.is_version(),
        Edge::Word(word) => part.is_word(word),
    }
}

/// Whether a path is about tokens in a way that no honest path is that has nothing to do with them: right
/// behind a version, or by a word of their own (`apiTokens`).
fn speak_of_tokens(parts: &[Part<'_>], up: bool) -> bool {
    // Whether a version stands before what is looked at, and in it so far, for some server.
    let (mut behind, mut version) = (false, false);
    parts.iter().any(|part| {
        if !part.joined {
            // Dots may take away what stands in between.
            behind = version || up && behind;
            version = false;
        }
        let found = (behind || version) && part.mentions_tokens()
            || TOKEN_WORDS.iter().any(|word| part.is_word(word))
            || up && part.is_word(TOKENS)
            || part.is_plural_of_tokens();
        version |= part.is_version() || part.is_nothing() && behind;
        found
    })
}

/// Places in the tree where a path could be at once. An honest one is at three or four.
const MAX_PLACES: usize = 16;

/// Bytes of a path. No honest path is as long.
pub(super) const MAX_PATH: usize = 8 * 1024;

#[cfg(test)]
mod tests;
