//! `dtgate audit index`: the index made whole.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::expect_journal;
use super::opened::{Place, progress, unreadable};
use crate::audit::index::{Error, Index};
use crate::value::counted;

#[derive(Debug, Args)]
pub(in crate::cli) struct IndexArgs {
    #[command(flatten)]
    place: Place,
    /// Forget what is there, and read the whole journal
    #[arg(long)]
    rebuild: bool,
}

impl IndexArgs {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let place = self.place.find()?;
        expect_journal(&place.journal)?;
        let index = match self.filled(Index::open(&place.journal, &place.index)?) {
            Err(error) if error.is_damage() => {
                self.filled(Index::anew(&place.journal, &place.index)?)
            }
            filled => filled,
        }?;
        let (records, decisions) = index.counts()?;
        writeln!(
            out,
            "Indexed up to record {}: {}, {} of them decisions.",
            index.last()?,
            counted(records, "record"),
            decisions
        )?;
        let unread = index.unread()?;
        if unread > 0 {
            writeln!(
                out,
                "{} could not be read: dtgate audit verify says where.",
                counted(unread, "line")
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn filled(&self, mut index: Index) -> Result<Index, Error> {
        index.over_damage(unreadable);
        // Rows are added behind the others only.
        if self.rebuild || index.lacks_what_was_put_back()? {
            index.empty()?;
        }
        index.catch_up(progress())?;
        Ok(index)
    }
}
