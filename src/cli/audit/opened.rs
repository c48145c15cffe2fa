//! The index that a command asks, as new as the journal.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::expect_journal;
use crate::audit::index::{FILE, Index};
use crate::value::Visible;

#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// Directory of the journal
    #[arg(long, value_name = "DIR", default_value = "journal")]
    pub(super) journal: PathBuf,
    /// The index [default: index.sqlite in the journal's directory]
    #[arg(long, value_name = "FILE")]
    pub(super) index: Option<PathBuf>,
}

impl Place {
    pub(super) fn path(&self) -> PathBuf {
        let own = || self.journal.join(FILE);
        self.index.clone().unwrap_or_else(own)
    }

    /// Opens it and brings it up to date: where it may not be written, in one of its own that ends with the command.
    pub(super) fn open(&self) -> anyhow::Result<Index> {
        expect_journal(&self.journal)?;
        let opened = Index::open(&self.journal, &self.path());
        let opened = opened.and_then(|mut index| {
            index.catch_up(progress())?;
            Ok(index)
        });
        let error = match opened {
            Err(error) if error.is_read_only() => error,
            opened => return Ok(opened?),
        };
        if let Ok(Some(index)) = Index::open_to_read(&self.journal, &self.path())
            && index.is_behind().is_ok_and(|behind| !behind)
        {
            return Ok(index);
        }
        note(&format!(
            "the index cannot be written ({error}): the journal is indexed for this command only"
        ));
        let mut index = Index::in_memory(&self.journal)?;
        index.catch_up(progress()).context("index")?;
        Ok(index)
    }
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

/// To standard error, beside the answer.
pub(in crate::cli) fn note(text: &str) {
    // Where it cannot be written there is nobody to tell.
    drop(writeln!(anstream::stderr(), "dtgate: {}", Visible(text)));
}
