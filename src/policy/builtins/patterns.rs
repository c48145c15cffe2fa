//! Compiled patterns, and those that a thread keeps.

pub(super) mod class;
pub(super) mod syntax;

use std::cell::RefCell;
use std::num::NonZero;
use std::rc::Rc;

use lru::LruCache;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

/// Bytes that a compiled pattern may take: a letter of any script a thousand times, and four times as much.
const MOST_BYTES: usize = 128 << 20;

/// Patterns that a thread keeps, and bytes that they may take. The text of a pattern may come from the input.
const MOST_KEPT: NonZero<usize> = NonZero::new(64).expect("it is not 0");
const MOST_BYTES_KEPT: usize = 32 << 20;

thread_local! {
    static KEPT: RefCell<LruCache<String, Rc<Pattern>>> = RefCell::new(LruCache::new(MOST_KEPT));
}

/// A pattern that was read and compiled.
pub(super) struct Pattern {
    regex: Regex,
    /// Those of its groups, the first of which is the whole match.
    pub(super) names: Vec<Option<String>>,
}

/// What was read: groups have no names in it, because one name may be given twice.
pub(super) struct Read {
    pub(super) hir: Hir,
    pub(super) names: Vec<Option<String>>,
}

/// The compiled pattern, kept or read now. Two kinds of patterns differ in the key.
pub(super) fn kept(
    key: &str,
    read: impl FnOnce() -> Result<Read, String>,
) -> Result<Rc<Pattern>, String> {
    if let Some(pattern) = KEPT.with_borrow_mut(|kept| kept.get(key).cloned()) {
        return Ok(pattern);
    }
    let pattern = Rc::new(Pattern::new(&read()?)?);
    KEPT.with_borrow_mut(|kept| {
        kept.put(key.to_owned(), Rc::clone(&pattern));
        let bytes = |kept: &LruCache<String, Rc<Pattern>>| -> usize {
            kept.iter().map(|(_, it)| it.regex.memory_usage()).sum()
        };
        while kept.len() > 1 && bytes(kept) > MOST_BYTES_KEPT {
            kept.pop_lru();
        }
    });
    Ok(pattern)
}

/// A place in the text: where it begins and ends.
pub(super) type Place = (usize, usize);

impl Pattern {
    fn new(read: &Read) -> Result<Self, String> {
        let config = Regex::config().nfa_size_limit(Some(MOST_BYTES));
        let regex = Regex::builder()
            .configure(config)
            .build_from_hir(&read.hir)
            .map_err(|_error| "the pattern is too large".to_owned())?;
        let names = read.names.clone();
        Ok(Self { regex, names })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// All matches, as Go finds them: an empty one does not touch the one before.
    pub(super) fn matches(&self, text: &str, most: usize) -> Vec<Place> {
        let found = self.regex.find_iter(text).take(most);
        found.map(|found| (found.start(), found.end())).collect()
    }

    /// The same with the groups of each; `None`: the group has no part in the match.
    pub(super) fn groups<'a>(
        &'a self,
        text: &'a str,
        most: usize,
    ) -> impl Iterator<Item = Vec<Option<Place>>> + 'a {
        let of_match = |captures: Captures| {
            let place = |group| captures.get_group(group).map(|it| (it.start, it.end));
            (0..self.names.len()).map(place).collect()
        };
        self.regex.captures_iter(text).take(most).map(of_match)
    }

    /// How much of the text it matches at the beginning.
    pub(super) fn begins(&self, text: &str) -> usize {
        let input = Input::new(text).anchored(Anchored::Yes);
        self.regex.find(input).map_or(0, |found| found.end())
    }
}
