//! The index that a command asks, as new as the journal.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::expect_journal;
use crate::audit::lines::Unreadable;
use crate::audit::{self, index::Index};
use crate::cli::{load, place};
use crate::value::{Visible, plain_words};

/// The journal, for commands that need no index.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Journal {
    /// Configuration file of the gate: where its journal is
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Directory of the journal [default: what the configuration says, else journal]
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
}

impl Journal {
    /// The command line goes before the configuration.
    pub(in crate::cli) fn find(&self) -> anyhow::Result<PathBuf> {
        Ok(self.settings()?.directory)
    }

    /// All that the configuration says of journals, of this one.
    pub(super) fn settings(&self) -> anyhow::Result<audit::Config> {
        self.settings_of(true)
    }

    /// The same. `is_read`: there has to be a journal.
    pub(super) fn settings_of(&self, is_read: bool) -> anyhow::Result<audit::Config> {
        let config = load(self.config.as_ref())?;
        if is_read && self.journal.is_none() {
            place::JOURNAL.expect(&config.journal.directory, Some(&config))?;
        }
        let mut settings = config.journal;
        if let Some(journal) = &self.journal {
            settings.directory.clone_from(journal);
        }
        Ok(settings)
    }
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Place {
    /// Configuration file of the gate: where its journal is, and its index
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Directory of the journal [default: what the configuration says, else journal]
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// The index [default: what the configuration says, else index.sqlite in the journal's directory]
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
}

/// Where both are.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) journal: PathBuf,
    pub(super) index: PathBuf,
}

impl Place {
    /// The command line goes before the configuration. An index of the configuration's belongs to the journal that it
    /// names, and to no other.
    pub(super) fn find(&self) -> anyhow::Result<Found> {
        self.find_it(true)
    }

    /// The same. `is_read`: there has to be a journal.
    pub(super) fn find_it(&self, is_read: bool) -> anyhow::Result<Found> {
        let config = load(self.config.as_ref())?;
        if is_read && self.journal.is_none() {
            place::JOURNAL.expect(&config.journal.directory, Some(&config))?;
        }
        let mut config = config.journal;
        if let Some(journal) = &self.journal
            && !is_same(journal, &config.directory)
        {
            config.directory.clone_from(journal);
            config.index_path = None;
        }
        if let Some(index) = &self.index {
            config.index_path = Some(index.clone());
        }
        Ok(Found {
            index: config.index_path(),
            journal: config.directory,
        })
    }
}

impl Found {
    /// Opens it and brings it up to date: where it may not be written, in one of its own that ends with the command.
    pub(super) fn open(&self) -> anyhow::Result<Index> {
        expect_journal(&self.journal)?;
        let made_whole = |mut index: Index| {
            index.over_damage(unreadable);
            index.catch_up(progress())?;
            if index.lacks_what_was_put_back()? {
                note(
                    "older segments were put back and are not indexed: dtgate audit index does that",
                );
            }
            Ok(index)
        };
        let opened = match Index::open(&self.journal, &self.index).and_then(made_whole) {
            Err(error) if error.is_damage() => {
                note("the index was damaged and is made anew");
                Index::anew(&self.journal, &self.index).and_then(made_whole)
            }
            opened => opened,
        };
        let error = match opened {
            Err(error) if error.is_read_only() => error,
            opened => return Ok(opened?),
        };
        if let Ok(Some(mut index)) = Index::open_to_read(&self.journal, &self.index)
            && index.is_behind().is_ok_and(|behind| !behind)
        {
            index.over_damage(unreadable);
            return Ok(index);
        }
        note(&format!(
            "the index cannot be written ({error}): the journal is indexed for this command only"
        ));
        let mut index = Index::in_memory(&self.journal)?;
        index.over_damage(unreadable);
        index.catch_up(progress()).context("index")?;
        Ok(index)
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    one == other || (real(one).is_some() && real(one) == real(other))
}

/// Says now and then how far a long journal is.
pub(super) fn progress() -> impl FnMut(u64) -> bool {
    let mut next = 200_000;
    move |seq| {
        if seq >= next {
            note(&format!("indexed up to record {seq}"));
            next = seq + 200_000;
        }
        true
    }
}

/// Says what an answer has nothing of, because it is damaged.
pub(in crate::cli) fn unreadable(Unreadable { path, first }: &Unreadable) {
    let which = first.map_or_else(
        || "some records".to_owned(),
        |first| format!("records from {first} on"),
    );
    let path = path.display();
    note(&format!(
        "{which} in {path} cannot be read, it is damaged: run dtgate audit verify"
    ));
}

/// To standard error, beside the answer.
pub(in crate::cli) fn note(text: &str) {
    // Where it cannot be written there is nobody to tell.
    drop(writeln!(
        anstream::stderr(),
        "dtgate: {}",
        Visible(plain_words(text))
    ));
}
