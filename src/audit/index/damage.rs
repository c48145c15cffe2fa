//! Compressed segments that are damaged: an error for the gate, and for who asks, something to be told.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::audit::lines::{Lines, Unreadable};

/// What of the journal cannot be read, for who wants answers all the same.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Who is told, once of each; `None`: damage is an error.
    told: Option<fn(&Unreadable)>,
    seen: RefCell<BTreeSet<PathBuf>>,
}

impl Damage {
    /// It is stepped over.
    pub(super) fn told(told: fn(&Unreadable)) -> Self {
        Self {
            told: Some(told),
            seen: RefCell::default(),
        }
    }

    pub(super) fn lines(&self, lines: Lines) -> Lines {
        if self.told.is_some() {
            lines.over_damage()
        } else {
            lines
        }
    }

    pub(super) fn tell(&self, unreadable: &[Unreadable]) {
        for one in unreadable {
            if let Some(told) = self.told
                && self.seen.borrow_mut().insert(one.path.clone())
            {
                told(one);
            }
        }
    }
}
