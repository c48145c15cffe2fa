//! Compiled patterns, and those that a thread keeps.

pub(super) mod class;
pub(super) mod syntax;

use std::cell::RefCell;
use std::num::NonZero;
use std::rc::Rc;

use lru::LruCache;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{State, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

/// Bytes that the text of a pattern may have.
const MOST_TEXT: usize = 256 << 10;

/// Bytes that a compiled pattern may take forwards, and the same backwards: `^\pL{1,100}$` needs less than half of it.
const MOST_BYTES: usize = 16 << 20;

/// Bytes that a pattern may take with all that a search needs.
const MOST_BYTES_EACH: usize = 32 << 20;

/// Patterns that a thread keeps, and bytes that they may take. The text of a pattern may come from the input.
const MOST_KEPT: NonZero<usize> = NonZero::new(64).expect("it is not 0");
const MOST_BYTES_KEPT: usize = 64 << 20;

/// Bytes that a search may keep of what it found out about a pattern, in each direction.
const MOST_BYTES_SEARCHED: usize = 512 << 10;

/// States of a pattern, times those of its groups that are wanted, times bytes of the text: a search may have to look at
/// each.
const MOST_STEPS: usize = 1_000_000_000;

thread_local! {
    static KEPT: RefCell<LruCache<String, Rc<Pattern>>> = RefCell::new(LruCache::new(MOST_KEPT));
}

/// A pattern that was read and compiled.
pub(super) struct Pattern {
    regex: Regex,
    /// How many groups a search finds, with the whole match.
    groups: usize,
    /// Those of its groups, the first of which is the whole match.
    pub(super) names: Vec<Option<String>>,
}

/// What of a match is wanted. Groups cost time and memory: as many times as there are groups.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Whole,
    Groups,
}

/// What was read: groups have no names in it, because one name may be given twice.
pub(super) struct Read {
    pub(super) hir: Hir,
    pub(super) names: Vec<Option<String>>,
}

/// Refuses a pattern that is too long to be read.
pub(super) fn readable(text: &str) -> Result<(), String> {
    if text.len() > MOST_TEXT {
        return Err("the pattern is longer than 256 KiB".to_owned());
    }
    Ok(())
}

/// The compiled pattern, kept or read now. Two kinds of patterns differ in the key.
pub(super) fn kept(
    key: &str,
    wanted: Wanted,
    read: impl FnOnce() -> Result<Read, String>,
) -> Result<Rc<Pattern>, String> {
    if let Some(pattern) = KEPT.with_borrow_mut(|kept| kept.get(key).cloned()) {
        return Ok(pattern);
    }
    readable(key)?;
    let pattern = Rc::new(Pattern::new(&read()?, wanted)?);
    KEPT.with_borrow_mut(|kept| {
        kept.put(key.to_owned(), Rc::clone(&pattern));
        while bytes_kept(kept) > MOST_BYTES_KEPT {
            kept.pop_lru();
        }
    });
    Ok(pattern)
}

fn bytes_kept(kept: &LruCache<String, Rc<Pattern>>) -> usize {
    let bytes = kept.iter().map(|(key, it)| key.len() + it.bytes());
    bytes.sum()
}

#[cfg(test)]
pub(super) fn all_bytes_kept() -> usize {
    KEPT.with_borrow(bytes_kept)
}

/// A place in the text: where it begins and ends.
pub(super) type Place = (usize, usize);

impl Pattern {
    fn new(read: &Read, wanted: Wanted) -> Result<Self, String> {
        let large = || "the pattern is too large".to_owned();
        let names = read.names.clone();
        let (captures, groups) = match wanted {
            Wanted::Whole => (WhichCaptures::Implicit, 1),
            Wanted::Groups => (WhichCaptures::All, names.len()),
        };
        // Going back keeps a stack that nothing bounds.
        let config = Regex::config()
            .nfa_size_limit(Some(MOST_BYTES))
            .hybrid_cache_capacity(MOST_BYTES_SEARCHED)
            .which_captures(captures)
            .backtrack(false);
        let regex = Regex::builder()
            .configure(config)
            .build_from_hir(&read.hir)
            .map_err(|_error| large())?;
        let pattern = Self {
            regex,
            groups,
            names,
        };
        if pattern.bytes() > MOST_BYTES_EACH {
            return Err(large());
        }
        Ok(pattern)
    }

    /// States, and never less than there are.
    fn states(&self) -> usize {
        self.regex.memory_usage() / size_of::<State>()
    }

    /// Bytes that it may take with all that a search needs: what it found out, and two tables of where each group begins
    /// and ends in each state.
    fn bytes(&self) -> usize {
        let names = self.names.iter().flatten();
        let names: usize = names.map(String::len).sum();
        let tables = self.states().saturating_mul(self.groups);
        let tables = tables.saturating_mul(4 * size_of::<usize>());
        let searched = 2 * MOST_BYTES_SEARCHED;
        (self.regex.memory_usage() + names + searched).saturating_add(tables)
    }

    /// Refuses a text that is too long for the pattern.
    fn searchable(&self, text: &str) -> Result<(), String> {
        let steps = self.states().saturating_mul(self.groups);
        if steps.saturating_mul(text.len()) > MOST_STEPS {
            return Err("the text is too long for a pattern as large as this".to_owned());
        }
        Ok(())
    }

    pub(super) fn is_match(&self, text: &str) -> Result<bool, String> {
        self.searchable(text)?;
        Ok(self.regex.is_match(text))
    }

    /// All matches, as Go finds them: an empty one does not touch the one before.
    pub(super) fn matches(&self, text: &str, most: usize) -> Result<Vec<Place>, String> {
        self.searchable(text)?;
        let found = self.regex.find_iter(text).take(most);
        Ok(found.map(|found| (found.start(), found.end())).collect())
    }

    /// The same with the groups of each; `None`: the group has no part in the match.
    pub(super) fn groups<'a>(
        &'a self,
        text: &'a str,
        most: usize,
    ) -> Result<impl Iterator<Item = Vec<Option<Place>>> + 'a, String> {
        self.searchable(text)?;
        let of_match = |captures: Captures| {
            let place = |group| captures.get_group(group).map(|it| (it.start, it.end));
            (0..self.names.len()).map(place).collect()
        };
        Ok(self.regex.captures_iter(text).take(most).map(of_match))
    }

    /// How much of the text it matches at the beginning.
    pub(super) fn begins(&self, text: &str) -> usize {
        let input = Input::new(text).anchored(Anchored::Yes);
        self.regex.find(input).map_or(0, |found| found.end())
    }
}
